//! `busbar plugin list | inspect`, and the way to `check` and `new`

use std::path::{Path, PathBuf};

use busbar_loader::{PluginInfo, PluginState, plugin_dirs, search};
use comfy_table::Cell;
use serde::{Deserialize, Serialize};

use super::args::PluginCommand;
use super::output::{Output, number};
use super::{plugin_check, plugin_new};
use crate::catalog::Catalog;
use crate::config::PluginsConfig;
use crate::control::Client;
use crate::error::{HostError, Result};
use crate::format::visible;

/// The widest names, versions and titles that a line of 80 characters has room for.
const WIDTHS: [usize; 3] = [20, 10, 24];

/// All plugins, as `plugin list --json` shows them, and as a running host tells them.
#[derive(Debug, Serialize, Deserialize)]
pub struct PluginReport {
    /// Everything that was found, used or not.
    pub plugins: Vec<PluginInfo>,
    /// What is wrong with what they bring or with how they are set up, a line for each.
    pub notes: Vec<String>,
}

impl PluginReport {
    /// As it stands.
    pub fn of(catalog: &Catalog) -> Self {
        PluginReport {
            plugins: catalog.plugins().list(),
            notes: catalog.notes().to_vec(),
        }
    }
}

/// Runs the subcommand. A running host is asked, for it knows which plugins it has set aside; not where other directories
/// are named than its own.
pub async fn run(
    command: PluginCommand,
    data_dir: &Path,
    dirs: &[PathBuf],
    config: &PluginsConfig,
    output: Output,
    catalog: impl AsyncFnOnce() -> Result<Catalog>,
) -> Result<()> {
    match command {
        PluginCommand::List => {
            let host = match dirs.is_empty() {
                true => Client::connect(data_dir).await?,
                false => None,
            };
            let report = match host {
                Some(mut host) => host.get("/control/plugins").await?,
                None => PluginReport::of(&catalog().await?),
            };
            list(&report, output)
        }
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

fn list(report: &PluginReport, output: Output) -> Result<()> {
    if output.is_json() {
        return output.document(report);
    }
    let mut table = output.table(["plugin", "version", "what it is", "ledgers", "state"]);
    for plugin in &report.plugins {
        table.add_row(row(plugin));
    }
    output.table_lines(&table);
    for line in reasons(report) {
        output.line(&line);
    }
    for line in workers(&report.plugins) {
        output.line(&output.dim(&line));
    }
    Ok(())
}

fn row(plugin: &PluginInfo) -> Vec<Cell> {
    let [name, version, title] = WIDTHS;
    vec![
        cut(&called(plugin), name).into(),
        cut(plugin.version.as_deref().unwrap_or(""), version).into(),
        cut(plugin.title.as_deref().unwrap_or(""), title).into(),
        number(plugin.ledgers.len()),
        state(plugin).into(),
    ]
}

/// Its name, or its file's where it has none.
fn called(plugin: &PluginInfo) -> String {
    let file = || plugin.path.file_name().unwrap_or(plugin.path.as_os_str());
    let name = plugin.name.clone();
    name.unwrap_or_else(|| file().to_string_lossy().into_owned())
}

fn state(plugin: &PluginInfo) -> &'static str {
    match plugin.state {
        PluginState::Loaded => "ready",
        PluginState::Refused => "refused",
        PluginState::Shadowed => "shadowed",
        PluginState::SetAside => "set aside",
    }
}

fn cut(text: &str, width: usize) -> String {
    let text = visible(text);
    match text.chars().count() > width {
        true => text.chars().take(width - 1).chain(['…']).collect(),
        false => text,
    }
}

/// Why plugins are not used, and what else is wrong, a line for each.
fn reasons(report: &PluginReport) -> Vec<String> {
    let not_used = report.plugins.iter().filter_map(|plugin| {
        let why = plugin.reason.as_deref()?;
        Some(visible(&format!(
            "{} is {}: {why}",
            plugin.path.display(),
            state(plugin)
        )))
    });
    not_used
        .chain(report.notes.iter().map(|note| visible(note)))
        .collect()
}

/// Which plugins share a worker, which have their own, and what these are kept from, as this kernel really does it.
fn workers(plugins: &[PluginInfo]) -> Vec<String> {
    let ran: Vec<&PluginInfo> = plugins
        .iter()
        .filter(|plugin| plugin.protection.is_some())
        .collect();
    let (shared, own): (Vec<_>, Vec<_>) = ran.iter().copied().partition(|plugin| plugin.ships);
    let mut lines = Vec::new();
    if !shared.is_empty() {
        let share = if shared.len() == 1 {
            "ships, with a worker of its own"
        } else {
            "ship, and share one worker"
        };
        lines.push(format!("{} {share}", names(&shared)));
    }
    if !own.is_empty() {
        let have = if own.len() == 1 {
            "has a worker of its own"
        } else {
            "have a worker each"
        };
        lines.push(format!("{} {have}", names(&own)));
    }
    // One kernel, but who knows: each kind of protection is told once, with whom it holds for where they differ.
    let mut kinds: Vec<(String, Vec<&PluginInfo>)> = Vec::new();
    for plugin in ran {
        let behind = plugin
            .protection
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default();
        match kinds.iter_mut().find(|(kind, _)| *kind == behind) {
            Some((_, all)) => all.push(plugin),
            None => kinds.push((behind, vec![plugin])),
        }
    }
    let one = kinds.len() == 1;
    lines.extend(kinds.into_iter().map(|(behind, all)| match one {
        true => format!("behind {}", visible(&behind)),
        false => format!("{} behind {}", names(&all), visible(&behind)),
    }));
    lines
}

fn names(plugins: &[&PluginInfo]) -> String {
    let mut names: Vec<String> = plugins.iter().map(|plugin| visible(&called(plugin))).collect();
    match names.pop() {
        Some(last) if !names.is_empty() => format!("{} and {last}", names.join(", ")),
        last => last.unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use busbar_loader::{Protection, Shield};

    use super::*;

    fn plugin(name: &str, ships: bool, seccomp: Shield) -> PluginInfo {
        PluginInfo {
            path: format!("/plugins/libbusbar_plugin_{name}.so").into(),
            name: Some(name.into()),
            version: Some("1.0".into()),
            abi: None,
            language: None,
            sha256: None,
            state: PluginState::Loaded,
            reason: None,
            ships,
            title: Some("A title".into()),
            summary: None,
            licence: None,
            ledgers: Vec::new(),
            discovers: true,
            telegrams: false,
            protection: Some(Protection {
                limits: Shield::On,
                landlock: Shield::Partly("old".into()),
                seccomp,
            }),
            worker: None,
            failures: 0,
        }
    }

    #[test]
    fn the_table_fits_a_terminal_whatever_plugins_are_called() {
        let mut long = plugin(&"x".repeat(32), false, Shield::On);
        long.version = Some("1.2.3-4567890123".into());
        long.title = Some("ä".repeat(1000));
        long.state = PluginState::SetAside;
        let mut table = Output::new(false).table(["plugin", "version", "what it is", "ledgers", "state"]);
        table.add_row(row(&long));
        for line in table.trim_fmt().lines() {
            assert!(line.chars().count() <= 80, "{}: {line}", line.chars().count());
        }
    }

    #[test]
    fn workers_are_told_as_they_are() {
        let shipped = |name| plugin(name, true, Shield::On);
        let all = [
            shipped("generic"),
            shipped("sunspec"),
            plugin("acme", false, Shield::On),
        ];
        assert_eq!(
            workers(&all),
            [
                "generic and sunspec ship, and share one worker",
                "acme has a worker of its own",
                "behind limits, Landlock in part (old), seccomp",
            ]
        );
        let off = Shield::Off("not available for this processor".into());
        let differ = [shipped("generic"), plugin("acme", false, off)];
        assert_eq!(
            workers(&differ)[2..],
            [
                "generic behind limits, Landlock in part (old), seccomp",
                "acme behind limits, Landlock in part (old), no seccomp (not available for this processor)",
            ]
        );
        assert!(workers(&[]).is_empty());
    }

    #[test]
    fn every_reason_is_a_line_that_names_its_file() {
        let mut refused = plugin("bad", false, Shield::On);
        refused.state = PluginState::SetAside;
        refused.reason = Some("it aborted\u{1b}[2J".into());
        let report = PluginReport {
            plugins: vec![plugin("good", true, Shield::On), refused],
            notes: vec!["a note".into()],
        };
        assert_eq!(
            reasons(&report),
            [
                "/plugins/libbusbar_plugin_bad.so is set aside: it aborted\\u{1b}[2J",
                "a note",
            ]
        );
    }
}
