//! `busbar scan`: by the running host where there is one, else right here.

use std::path::Path;
use std::sync::Arc;

use busbar_plugin_sdk::Mode;
use busbar_store::{Connection, Registry};
use busbar_wire::{InFlight, Options};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::args::{ModeArg, ScanArgs};
use super::ask;
use super::endpoint;
use super::output::Output;
use super::progress::Shown;
use super::scan_report::{SavedAs, diff_lines, show, show_saved};
use crate::catalog::Catalog;
use crate::config::Config;
use crate::control::{Client, ScanCall};
use crate::discover::{self, Request};
use crate::error::{HostError, Result};
use crate::format::visible;
use crate::profile::Profile;
use crate::registry::{self, Home};
use crate::telegrams::keys::Keys;
use crate::telegrams::way::Way;

/// What a shell makes of a program that SIGINT has ended.
const INTERRUPTED: i32 = 130;

/// Runs the command.
pub async fn run(
    args: &ScanArgs,
    data_dir: &Path,
    config: &Config,
    output: Output,
    catalog: impl AsyncFnOnce() -> Result<Catalog>,
) -> Result<()> {
    let endpoint = endpoint::parse(&args.url)?;
    let url = endpoint.to_string();
    let host = if args.save {
        Client::connect(data_dir).await?
    } else {
        endpoint::owner(data_dir, &url).await?
    };
    match host {
        Some(host) => by_host(host, args, url, data_dir, output).await,
        None => here(args, &endpoint, data_dir, config, output, catalog().await?).await,
    }
}

fn mode(args: &ScanArgs) -> (Mode, Vec<u8>) {
    match (&args.units, args.mode) {
        (Some(list), _) => (Mode::Listed, list.0.clone()),
        (None, ModeArg::Quick) => (Mode::Quick, Vec::new()),
        (None, ModeArg::Full) => (Mode::Full, Vec::new()),
    }
}

/// The host owns the wire and the registry: it scans, this shows.
async fn by_host(
    mut host: Client,
    args: &ScanArgs,
    url: String,
    data_dir: &Path,
    output: Output,
) -> Result<()> {
    let (mode, units) = mode(args);
    let call = ScanCall {
        url,
        name: args.name.clone(),
        save: args.save,
        plugin: args.plugin.clone(),
        ledger: args.ledger.as_deref().map(endpoint::ledger_for_host),
        mode,
        units,
    };
    let progress = Shown::default();
    let scanned = {
        let scan = host.scan(&call, &progress);
        tokio::pin!(scan);
        tokio::select! {
            scanned = &mut scan => scanned?,
            _ = tokio::signal::ctrl_c() => {
                if let Some(mut second) = Client::connect(data_dir).await? {
                    second.stop_scan().await?;
                }
                scan.await?
            }
        }
    };
    drop(progress);
    let Some(saved) = scanned.saved else {
        return show(&scanned.report, output);
    };
    if !output.is_json() {
        show(&scanned.report, output)?;
    }
    show_saved(&scanned.report, &saved, output)
}

async fn here(
    args: &ScanArgs,
    endpoint: &busbar_wire::Endpoint,
    data_dir: &Path,
    config: &Config,
    output: Output,
    catalog: Catalog,
) -> Result<()> {
    let url = endpoint.to_string();
    // The registry is opened before the scan: nobody waits for a scan that cannot be saved.
    let store = if args.save {
        Some(open_registry(data_dir).await?)
    } else {
        None
    };
    let known = match &store {
        Some(registry) => registry::known(registry, &url, args.name.as_deref()).await?,
        None => None,
    };
    let found_before = match (&store, &known) {
        (Some(registry), Some(connection)) => registry::known_devices(registry, &connection.id).await?,
        _ => Vec::new(),
    };
    let (mode, units) = mode(args);
    let request = Request {
        connection: known.as_ref().map_or_else(|| url.clone(), |c| c.name.clone()),
        connection_id: known.map_or_else(|| registry::UNSAVED.to_owned(), |c| c.id),
        plugin: args.plugin.clone(),
        ledger: args
            .ledger
            .as_deref()
            .map(|l| catalog.ledger_or_file(l))
            .transpose()?,
        mode,
        units,
        known: found_before,
    };
    let options = endpoint::one_shot(args.timeout);
    // Four at once is what every GX copes with; the engine falls back by itself where a device does not.
    let in_flight = InFlight {
        start: 4,
        ..options.in_flight
    };
    let options = request.considerate(Options { in_flight, ..options });
    let keys = Keys::find(config, &url, args.name.as_deref())?;
    let link = Way::open(endpoint.clone(), options, keys, &Profile::default());
    let cancel = CancellationToken::new();
    let progress = Arc::new(Shown::default());
    let on_interrupt = cancel.clone();
    let interrupt = tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            on_interrupt.cancel();
        }
        // Whoever asks twice does not want to wait for what was found.
        if tokio::signal::ctrl_c().await.is_ok() {
            std::process::exit(INTERRUPTED);
        }
    });
    let scanned = discover::scan(&link, &catalog, &request, &*progress, &cancel).await;
    interrupt.abort();
    drop(progress);
    let mut scan = scanned?;
    link.close().await;
    let nothing = scan.cancelled && scan.devices.is_empty();
    let Some(store) = store.filter(|_| !nothing) else {
        return show(&scan.report, output);
    };
    let saved = save(&store, &catalog, args, &url, &mut scan, output).await;
    // What was saved is saved; closing only tidies up.
    if let Err(error) = store.close().await {
        warn!("the registry could not be tidied up: {error}. {}", error.hint());
    }
    saved
}

async fn save(
    store: &Registry,
    catalog: &Catalog,
    args: &ScanArgs,
    url: &str,
    scan: &mut discover::Scan,
    output: Output,
) -> Result<()> {
    let plugin = scan.report.plugin.clone();
    // What was found is shown before anything is asked about it. The document is one, and comes when all is done.
    if !output.is_json() {
        show(&scan.report, output)?;
    }
    let asks = !args.yes && ask::can_ask(output);
    let name = args.name.as_deref();
    let (connection, old) = match registry::home(store, url, name, scan).await? {
        Home::Usual => (
            registry::connection(store, url, name, plugin.as_deref()).await?,
            None,
        ),
        Home::Moved(old) => (old.clone(), Some(old)),
    };
    let preview = registry::preview(store, catalog, &connection, scan).await?;
    let rescan = !preview.gone.is_empty() || !preview.changed.is_empty();
    if (rescan || old.is_some()) && asks && !confirmed(old.as_ref(), url, &preview)? {
        output.line("Nothing was changed.");
        return Ok(());
    }
    let connection = match &old {
        Some(old) => registry::relocate(store, &old.id, url).await?,
        None => connection,
    };
    let saved = registry::save(store, catalog, connection, scan).await?;
    let diff = serde_json::to_value(&saved.diff)
        .map_err(|e| HostError::failed("internal", e.to_string(), "Please report this."))?;
    let saved = SavedAs {
        name: saved.connection.name,
        moved_from: old.map(|old| old.url),
        diff,
        ledgers: saved.ledgers,
    };
    show_saved(&scan.report, &saved, output)
}

async fn open_registry(data_dir: &Path) -> Result<Registry> {
    let (registry, opening) = Registry::open(data_dir).await?;
    for note in opening.notes() {
        warn!("{note}");
    }
    Ok(registry)
}

/// Asks before a rescan changes what is known, or moves a connection. It deletes nothing either way.
fn confirmed(old: Option<&Connection>, url: &str, diff: &busbar_store::Diff) -> Result<bool> {
    let diff = serde_json::to_value(diff)
        .map_err(|e| HostError::failed("internal", e.to_string(), "Please report this."))?;
    let lines = diff_lines(&diff).join("\n");
    ask::confirmed(&match old {
        None => format!("Against what is known:\n{lines}\nTake this over?"),
        Some(old) => format!(
            "These are the devices of \"{}\". The registry has them at\n  {}\nand now they are at\n  {url}\n{lines}{}\
             Move the connection? Ids and history stay.",
            visible(&old.name),
            visible(&old.url),
            if lines.is_empty() { "" } else { "\n" },
        ),
    })
}
