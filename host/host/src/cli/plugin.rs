//! `busbar plugin list | inspect`, and the way to `check` and `new`

use std::path::PathBuf;

use busbar_loader::{PluginState, plugin_dirs, search};
use serde_json::json;

use super::args::PluginCommand;
use super::output::{Output, number};
use super::{plugin_check, plugin_new};
use crate::catalog::Catalog;
use crate::config::PluginsConfig;
use crate::error::{HostError, Result};
use crate::format::visible;

/// Runs the subcommand.
pub async fn run(
    command: PluginCommand,
    dirs: &[PathBuf],
    config: &PluginsConfig,
    output: Output,
    catalog: impl AsyncFnOnce() -> Result<Catalog>,
) -> Result<()> {
    match command {
        PluginCommand::List => list(&catalog().await?, output),
        PluginCommand::Check { file } => plugin_check::run(&file, config, output).await,
        PluginCommand::New(args) => {
            let found = search(&plugin_dirs(dirs, config.dir.as_deref()));
            let names = found.into_iter().filter_map(|candidate| candidate.outcome.ok());
            let taken: Vec<String> = names.map(|inspected| inspected.name).collect();
            plugin_new::run(&args, output, &taken)
        }
        PluginCommand::Inspect { file } => {
            let inspected = busbar_loader::inspect(&file).map_err(|error| HostError::Library {
                path: file.clone(),
                error,
            })?;
            if output.is_json() {
                return output.document(&inspected);
            }
            let mut table = output.table(["", ""]);
            for (what, value) in [
                ("name", inspected.name.clone()),
                ("version", inspected.version.clone()),
                ("abi", inspected.abi.clone()),
                ("language", format!("{:?}", inspected.language)),
                ("sha256", inspected.sha256.clone()),
            ] {
                table.add_row(vec![what.to_owned(), visible(&value)]);
            }
            output.table_lines(&table);
            Ok(())
        }
    }
}

fn list(catalog: &Catalog, output: Output) -> Result<()> {
    let plugins = catalog.plugins().list();
    if output.is_json() {
        return output.document(&json!({ "plugins": plugins }));
    }
    let mut table = output.table(["plugin", "version", "what it is", "ledgers", "state"]);
    for plugin in &plugins {
        let name = plugin
            .name
            .clone()
            .unwrap_or_else(|| plugin.path.display().to_string());
        let state = match plugin.state {
            PluginState::Loaded => "ready".to_owned(),
            PluginState::Refused => "refused".to_owned(),
            PluginState::Shadowed => "shadowed".to_owned(),
            PluginState::SetAside => "set aside".to_owned(),
        };
        table.add_row(vec![
            visible(&name).into(),
            plugin.version.as_deref().unwrap_or("").into(),
            visible(plugin.title.as_deref().unwrap_or("")).into(),
            number(plugin.ledgers.len()),
            match &plugin.reason {
                Some(why) => format!("{state}: {}", visible(why)).into(),
                None => state.into(),
            },
        ]);
    }
    output.table_lines(&table);
    let protection = plugins.iter().find_map(|p| p.protection.as_ref());
    if let Some(protection) = protection {
        output.line(&output.dim(&format!(
            "plugins run in workers of their own, behind {protection}"
        )));
    }
    Ok(())
}
