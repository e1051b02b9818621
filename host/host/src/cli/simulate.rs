//! `busbar simulate`

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use busbar_ledger::model::Ledger;
use busbar_simulate::Site;
use serde_json::json;

use super::args::SimulateArgs;
use super::output::Output;
use super::run::stop_on_signal;
use crate::catalog::Catalog;
use crate::error::{HostError, Result};

/// Where a single ledger is served when nobody says: any free port.
const ANY_PORT: &str = "modbus+tcp://127.0.0.1:0";

/// Runs the command.
pub async fn run(
    args: &SimulateArgs,
    output: Output,
    catalog: impl AsyncFnOnce() -> Result<Catalog>,
) -> Result<()> {
    let catalog = catalog().await?;
    let (site, ledgers) = site(args, &catalog)?;
    serve(&site, &ledgers, args.duration, output).await
}

/// Serves a site until told to stop, or for a while.
pub async fn serve(
    site: &Site,
    ledgers: &[Arc<Ledger>],
    duration: Option<Duration>,
    output: Output,
) -> Result<()> {
    let running = busbar_simulate::start(site, ledgers)
        .await
        .map_err(|e| simulate_error(&e))?;
    for (name, url) in running.devices() {
        if output.is_json() {
            output.json_line(&json!({ "device": name, "url": url }))?;
        } else {
            output.line(&format!("{name} is at {url}"));
        }
    }
    output.say("Ctrl-C stops it.");
    let stop = stop_on_signal();
    match duration {
        Some(time) => {
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(time) => {}
            }
        }
        None => stop.cancelled().await,
    }
    running.stop().await;
    Ok(())
}

/// What to serve: a ledger with likely values, the registers of a sample file, or a site file.
fn site(args: &SimulateArgs, catalog: &Catalog) -> Result<(Site, Vec<Arc<Ledger>>)> {
    let fault = |e: &busbar_simulate::SiteError| {
        HostError::usage(e.to_string(), "Correct what is named and start again.")
    };
    let mut all = all_ledgers(catalog)?;
    let listen = args.listen.as_deref().unwrap_or(ANY_PORT);
    if args.what.ends_with(".sample.toml")
        && let Some(text) = text_of(Path::new(&args.what))?
    {
        let (site, ledger) = Site::of_sample(&args.what, &text, listen).map_err(|e| fault(&e))?;
        return Ok((site, vec![ledger]));
    }
    if let Some(text) = site_text(Path::new(&args.what))? {
        let mut site = Site::parse(&args.what, &text).map_err(|e| fault(&e))?;
        if let Some(url) = &args.listen {
            site.listen_on(url).map_err(|e| fault(&e))?;
        }
        return Ok((site, all));
    }
    let ledger = catalog.ledger_or_file(&args.what)?;
    let site = Site::of_ledger(&ledger, listen).map_err(|e| fault(&e))?;
    if !all.iter().any(|l| l.name == ledger.name) {
        all.push(ledger);
    }
    Ok((site, all))
}

/// Every ledger that the plugins bring: a simulated GX refuses a service that it lacks differently from an address that
/// no service has.
pub fn all_ledgers(catalog: &Catalog) -> Result<Vec<Arc<Ledger>>> {
    catalog
        .ledger_names()
        .iter()
        .map(|name| catalog.ledger(name))
        .collect()
}

/// The text of a site file; `None` for what is no file, or a ledger, which says so by its first key.
fn site_text(path: &Path) -> Result<Option<String>> {
    let is_ledger =
        |text: &String| toml::from_str::<toml::Table>(text).is_ok_and(|t| t.contains_key("ledger"));
    Ok(text_of(path)?.filter(|text| !is_ledger(text)))
}

/// What a file holds; `None` for what is no file.
fn text_of(path: &Path) -> Result<Option<String>> {
    if !path.is_file() {
        return Ok(None);
    }
    std::fs::read_to_string(path).map(Some).map_err(|e| {
        HostError::io(
            format_args!("cannot read {}", path.display()),
            &e,
            "Check the path.",
        )
    })
}

/// A site that cannot be served.
pub fn simulate_error(error: &busbar_simulate::SimulateError) -> HostError {
    HostError::failed(
        "simulate",
        error.to_string(),
        "Correct what is named, or listen on another address.",
    )
}
