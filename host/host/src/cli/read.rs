//! `busbar read`: every point of one device, once or again and again.

use std::path::Path;
use std::time::Duration;

use busbar_ledger::value::{Quality, Value};
use busbar_wire::Link;

use super::args::ReadArgs;
use super::endpoint;
use super::output::{Output, number};
use crate::catalog::Catalog;
use crate::control::{Client, ReadCall};
use crate::error::Result;
use crate::format;
use crate::format::visible;
use crate::one_device::{OneDevice, ReadReport, Snapshot, unit_of};

/// Runs the command. A single reading goes through the running host where it owns the endpoint; watching opens a
/// connection of its own only where no host does.
pub async fn run(
    args: &ReadArgs,
    data_dir: &Path,
    output: Output,
    catalog: impl AsyncFnOnce() -> Result<Catalog>,
) -> Result<()> {
    let endpoint = endpoint::parse(&args.url)?;
    let catalog = catalog().await?;
    let ledger = catalog.ledger_or_file(&args.ledger)?;
    let unit = unit_of(&ledger, endpoint.scheme(), args.unit)?;
    let url = endpoint.to_string();
    let link = match endpoint::owner(data_dir, &url).await? {
        Some(mut host) => {
            let call = ReadCall {
                url,
                ledger: endpoint::ledger_for_host(&args.ledger),
                unit,
            };
            return through_host(&mut host, &call, args.watch, output).await;
        }
        None => Link::open(endpoint, endpoint::one_shot(args.timeout)),
    };
    let (device, first) = OneDevice::open(link, unit, ledger).await?;
    watch(device, first, args.watch, output).await
}

/// The host reads; this only shows.
async fn through_host(
    host: &mut Client,
    call: &ReadCall,
    watch: Option<Duration>,
    output: Output,
) -> Result<()> {
    loop {
        let report: ReadReport = host.post("/control/read", call).await?;
        match (output.is_json(), watch) {
            (true, None) => output.document(&report)?,
            (true, Some(_)) => output.json_line(&report)?,
            (false, _) => report_table(&report, output),
        }
        let Some(interval) = watch else { return Ok(()) };
        tokio::select! {
            _ = tokio::signal::ctrl_c() => return Ok(()),
            () = tokio::time::sleep(interval) => {}
        }
    }
}

/// Shows one reading, and with `watch` one after the other until stopped.
async fn watch(device: OneDevice, first: Snapshot, watch: Option<Duration>, output: Output) -> Result<()> {
    let Some(interval) = watch else {
        return if output.is_json() {
            output.document(&device.report(&first))
        } else {
            table(&device, &first, output)
        };
    };
    show(&device, &first, output)?;
    let mut timer = tokio::time::interval(interval);
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    timer.tick().await;
    loop {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => return Ok(()),
            _ = timer.tick() => {}
        }
        show(&device, &device.read().await, output)?;
    }
}

/// One round of `--watch`: a line of JSON, or the table drawn over the last one.
fn show(device: &OneDevice, snapshot: &Snapshot, output: Output) -> Result<()> {
    if output.is_json() {
        return output.json_line(&device.report(snapshot));
    }
    if output.colour() {
        output.line("\x1b[H\x1b[J");
    }
    table(device, snapshot, output)
}

fn table(device: &OneDevice, snapshot: &Snapshot, output: Output) -> Result<()> {
    if let Some(cause) = &snapshot.failed {
        output.line(&output.yellow(&format!("some values are missing: {}", visible(cause))));
    }
    report_table(&device.report(snapshot), output);
    Ok(())
}

fn report_table(report: &ReadReport, output: Output) {
    let about = |key: &str| report.device[key].as_str().map(visible);
    let facts: Vec<String> = ["ledger", "model", "serial", "firmware"]
        .iter()
        .filter_map(|key| about(key))
        .collect();
    output.line(&format!(
        "{}  {}",
        output.bold(&about("name").unwrap_or_default()),
        output.dim(&facts.join(" · "))
    ));
    let is_unproven = |point: &serde_json::Value| point["status"] == "unproven";
    let (unproven, present): (Vec<_>, Vec<_>) =
        report.points.iter().partition(|(_, point)| is_unproven(point));
    let mut table = output.table(["point", "value", "registers"]);
    for (key, point) in present.into_iter().chain(unproven.iter().copied()) {
        let value: Option<Value> = serde_json::from_value(point["value"].clone()).ok().flatten();
        let quality = serde_json::from_value(point["quality"].clone()).unwrap_or(Quality::Unavailable);
        let shown = format::value(
            value.as_ref(),
            point["label"].as_str(),
            point["unit"].as_str(),
            quality,
        );
        table.add_row(vec![
            key.as_str().into(),
            number(if is_unproven(point) {
                format!("{shown} ?")
            } else {
                shown
            }),
            output.dim_cell(&words(point)),
        ]);
    }
    output.table_lines(&table);
    if !unproven.is_empty() {
        output.line(&output.dim("?  readable, but never a value that proves that the device has it"));
    }
}

/// The first words as they were sent.
fn words(point: &serde_json::Value) -> String {
    let raw: Vec<u16> = serde_json::from_value(point["raw"].clone()).unwrap_or_default();
    let mut words: Vec<String> = raw.iter().take(4).map(|w| format!("{w:04X}")).collect();
    if raw.len() > words.len() {
        words.push("…".to_owned());
    }
    words.join(" ")
}
