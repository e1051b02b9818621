//! The command line. [`main`] reads as the story of a run: parse, configure, do it, say how it went.

mod again;
pub mod args;
mod ask;
pub mod backup;
pub(crate) mod capture;
pub mod change;
mod discover;
pub(crate) mod discover_report;
pub mod doctor;
mod doctor_archive;
mod endpoint;
mod grid;
pub mod import;
mod import_vscp_p1;
mod ledger;
pub mod ledger_new;
mod live;
mod man;
pub mod map;
pub(crate) mod output;
pub(crate) mod plugin;
mod plugin_check;
pub mod plugin_new;
mod progress;
pub mod raw;
mod read;
mod registry;
pub mod restore;
pub(crate) mod run;
mod scan;
pub(crate) mod scan_report;
pub mod select;
pub mod setup;
pub(crate) mod simulate;
pub(crate) mod writes;

use std::env::ArgsOs;
use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use crate::catalog::Catalog;
use crate::config::{self, Config};
use crate::demo;
use crate::error::{Exit, HostError, Result};
use args::{Cli, Command, Global, RunArgs};
use output::Output;

/// Runs the program with these arguments, the program's name first.
///
/// Not generic, on purpose: a generic one would compile the whole program a second time, in the crate that calls it.
pub fn main(args: ArgsOs) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let output = Output::new(cli.global.json);
    again::remember(
        &cli.global,
        std::env::args_os().filter_map(|arg| arg.into_string().ok()),
    );
    log_to_stderr(&cli);
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => {
            let hint = "Check the limits of this machine (open files, memory).";
            return output.failure(&HostError::io("cannot start", &e, hint));
        }
    };
    // Polls, plugins and the web share one thread: at these rates wake-ups cost more than work.
    let done = runtime.block_on(dispatch(cli, output));
    runtime.shutdown_background();
    match done {
        Ok(()) => Exit::Done.into(),
        Err(error) => output.failure(&error),
    }
}

/// Tells a usage error or prints help; with `--json` the error is a document too.
fn usage(error: &clap::Error) -> ExitCode {
    // A closed standard stream leaves nobody to tell.
    let _ = error.print();
    if !error.use_stderr() {
        return Exit::Done.into();
    }
    if std::env::args_os().any(|a| a == "--json") {
        let message = error.render().to_string();
        let first = message
            .lines()
            .next()
            .unwrap_or_default()
            .trim_start_matches("error: ")
            .to_owned();
        let error = HostError::usage(first, "busbar --help shows what can be typed.");
        Output::new(true).line(&error.to_json().to_string());
    }
    Exit::Usage.into()
}

/// Logs go to standard error. A host tells what happens; other commands only what is wrong.
fn log_to_stderr(cli: &Cli) {
    let runs = matches!(
        cli.command,
        None | Some(Command::Run(_) | Command::Demo(_) | Command::Simulate(_) | Command::Scan(_))
    );
    let level = match (cli.global.verbose, runs) {
        (0, false) => LevelFilter::WARN,
        (0, true) => LevelFilter::INFO,
        (1, _) => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    // A command that ends tells in its result what was wrong with the wire; only a host needs it in its log.
    let is_host = matches!(cli.command, None | Some(Command::Run(_) | Command::Demo(_)));
    let wire = if is_host || cli.global.verbose > 0 {
        level
    } else {
        LevelFilter::OFF
    };
    let filter = Targets::new()
        .with_default(level)
        .with_target("busbar_wire", wire);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .init();
}

async fn dispatch(cli: Cli, output: Output) -> Result<()> {
    let global = cli.global;
    let config = configure(&global)?;
    let data_dir = global.data_dir.as_path();
    let catalog = async || Ok(Catalog::load(&global.plugin_dir, &config.plugins).await);
    match cli.command.unwrap_or(Command::Run(RunArgs::default())) {
        Command::Run(args) => run::run(&args, data_dir, config.clone(), catalog().await?, output).await,
        Command::Demo(args) => demo::run(&args, catalog().await?, output).await,
        Command::Setup(args) => setup::run(&args, data_dir, config.clone(), output, catalog).await,
        Command::Scan(args) => scan::run(&args, data_dir, output, catalog).await,
        Command::Discover(args) => {
            discover::run(
                &args,
                data_dir,
                &config.discover,
                global.verbose > 0,
                output,
                catalog,
            )
            .await
        }
        Command::Read(args) => read::run(&args, data_dir, output, catalog).await,
        Command::Raw(args) => raw::run(&args, data_dir, output).await,
        Command::Devices(args) => registry::devices(&args, data_dir, output, catalog).await,
        Command::Entities(args) => registry::entities(&args, data_dir, output, catalog).await,
        Command::Explain(args) => registry::explain(&args, data_dir, &config, output, catalog).await,
        Command::Change(command) => change::run(command, data_dir, &config, output).await,
        Command::Set(args) => writes::set::run(&args, data_dir, config.clone(), output, catalog).await,
        Command::Lease(command) => writes::lease::run(command, data_dir, output).await,
        Command::Limits(args) => writes::limits::run(&args, data_dir, &config, output, catalog).await,
        Command::Audit(args) => writes::audit::run(&args, data_dir, output, catalog).await,
        Command::KillSwitch(command) => writes::kill_switch::run(command, data_dir, output).await,
        Command::Doctor(args) => {
            let file = config::file(global.config.as_deref());
            doctor::run(&args, data_dir, file.as_deref(), output, catalog).await
        }
        Command::Backup(args) => backup::run(&args, data_dir, output).await,
        Command::Restore(args) => restore::run(&args, data_dir, output).await,
        Command::Import(args) => import::run(&args, output),
        Command::Ledger(command) => ledger::run(command, output, catalog).await,
        Command::Plugin(command) => {
            plugin::run(
                command,
                data_dir,
                &global.plugin_dir,
                &config.plugins,
                output,
                catalog,
            )
            .await
        }
        Command::Capture(args) => capture::run(&args, data_dir, output, catalog).await,
        Command::Replay(args) => capture::replay(&args, output).await,
        Command::Simulate(args) => simulate::run(&args, output, catalog).await,
        Command::Man { dir } => man::run(dir.as_deref(), output),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "busbar", &mut std::io::stdout());
            Ok(())
        }
    }
}

fn configure(global: &Global) -> Result<Config> {
    let loaded = config::load(global.config.as_deref())?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    Ok(loaded.config)
}
