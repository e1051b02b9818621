//! `busbar setup`: the wizard in the terminal. It shows the screens of the flow and hands on what is typed; it decides
//! nothing.

mod page;
mod serve;
mod talk;
mod terminal;
mod unattended;

use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use busbar_plugin_sdk::Mode;
use clap::Args;

use super::args::ModeArg;
use super::output::Output;
use crate::catalog::Catalog;
use crate::config::{Config, parse_duration};
use crate::error::{HostError, Result};
use crate::setup::Wish;
use crate::setup::hands::Hands;
use crate::units::UnitList;

/// `busbar setup`
#[derive(Clone, Debug, Default, Args)]
#[command(after_help = "Examples:\n  \
    busbar setup\n  \
    busbar setup modbus+tcp://192.168.1.20 --name home --interval 5s --yes\n\n\
    The first asks, step by step; the second takes what is found, without a question, and says what it has saved. Run\n\
    again, it shows what is set up and changes it. It only reads from devices.")]
pub struct SetupArgs {
    /// Where the device is: an address, or a URL as `busbar scan` takes it
    #[arg(value_name = "URL")]
    pub address: Option<String>,
    /// The same as a flag
    #[arg(long, value_name = "URL", conflicts_with = "address")]
    pub url: Option<String>,
    /// Ask only this plugin
    #[arg(long, value_name = "NAME")]
    pub plugin: Option<String>,
    /// Look only for this ledger: a name, or a file
    #[arg(long, value_name = "NAME|FILE", conflicts_with = "plugin")]
    pub ledger: Option<String>,
    /// How far to look
    #[arg(long, value_enum, default_value_t, conflicts_with = "units")]
    pub mode: ModeArg,
    /// Look only at these units: 1,3-9
    #[arg(long, value_name = "LIST")]
    pub units: Option<UnitList>,
    /// The connection's name (default: the host's name, or what is there)
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// How often it is polled (default: 5s)
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub interval: Option<Duration>,
    /// Ask nothing: take what is proposed, and save it
    #[arg(long)]
    pub yes: bool,
}

impl SetupArgs {
    fn wish(&self) -> Result<Wish> {
        let (mode, units) = match (&self.units, self.mode) {
            (Some(list), _) => (Mode::Listed, list.0.clone()),
            (None, ModeArg::Quick) => (Mode::Quick, Vec::new()),
            (None, ModeArg::Full) => (Mode::Full, Vec::new()),
        };
        if self
            .interval
            .is_some_and(|interval| interval < crate::config::SHORTEST_INTERVAL)
        {
            return Err(HostError::usage(
                "--interval is below 100ms, the shortest that is polled",
                "Write 1s, 5s or 1m.",
            ));
        }
        Ok(Wish {
            url: self.address.clone().or_else(|| self.url.clone()),
            plugin: self.plugin.clone(),
            ledger: self.ledger.as_deref().map(super::endpoint::ledger_for_host),
            mode,
            units,
            name: self.name.clone(),
            interval_ms: self
                .interval
                .and_then(|interval| u64::try_from(interval.as_millis()).ok()),
        })
    }
}

/// Runs the command.
///
/// # Errors
/// A usage error where there is nobody to ask and the flags do not say all; whatever ends the host, where it is started.
pub async fn run(
    args: &SetupArgs,
    data_dir: &Path,
    config: Config,
    output: Output,
    catalog: impl AsyncFnOnce() -> Result<Catalog>,
) -> Result<()> {
    let wish = args.wish()?;
    let asks = std::io::stdin().is_terminal() && std::io::stdout().is_terminal() && !output.is_json();
    if !args.yes && !asks {
        return Err(HostError::usage(
            "there is no terminal to ask on",
            "Say all of it with flags: `busbar setup URL --yes` (also --name, --interval, --mode, --units, --plugin, \
             --ledger). In steps: `busbar discover` finds devices, `busbar scan URL --save --name NAME` keeps one, \
             `busbar` polls it.",
        ));
    }
    if args.yes && wish.url.is_none() {
        return Err(HostError::usage(
            "--yes takes what is proposed, and nobody has said for which device",
            "Name it: `busbar setup URL --yes`; `busbar discover` finds addresses.",
        ));
    }
    let catalog = Arc::new(catalog().await?);
    let mut hands = Hands::new(data_dir.to_owned(), config.clone(), Arc::clone(&catalog));
    if args.yes {
        let done = unattended::run(wish, &mut hands, output).await;
        hands.close().await;
        return done;
    }
    let end = talk::run(wish, &mut hands, output).await;
    hands.close().await;
    drop(hands);
    match end? {
        Some(connection) => serve::run(&connection, data_dir, config, catalog, output).await,
        None => Ok(()),
    }
}
