//! `busbar read`: every point of one device, once or again and again.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use busbar_ledger::map::{Endian, Settings};
use busbar_ledger::model::Ledger;
use busbar_ledger::value::{Quality, Value};
use busbar_wire::{Endpoint, Link};

use super::args::ReadArgs;
use super::endpoint;
use super::map;
use super::output::{Output, number};
use crate::catalog::Catalog;
use crate::control::{Client, ReadCall};
use crate::error::Result;
use crate::format;
use crate::format::visible;
use crate::one_device::{OneDevice, ReadReport, Snapshot, unit_of};
use crate::settings::with_manners;

/// Runs the command. A single reading goes through the running host where it owns the endpoint; watching opens a
/// connection of its own only where no host does.
pub async fn run(
    args: &ReadArgs,
    data_dir: &Path,
    output: Output,
    catalog: impl AsyncFnOnce() -> Result<Catalog>,
) -> Result<()> {
    let endpoint = endpoint::parse(&args.url)?;
    map::only_with_map(&args.list)?;
    let mut described = match &args.list.map {
        Some(path) => Described::by_list(args, path)?,
        None => {
            let (name, catalog) = (args.ledger.as_deref().unwrap_or_default(), catalog().await?);
            if catalog.discovers(name) {
                return by_plugin(args, endpoint, data_dir, output, &catalog, name).await;
            }
            Described::by_ledger(args, endpoint.scheme(), &catalog, name)?
        }
    };
    let url = endpoint.to_string();
    let mut through = match endpoint::owner(data_dir, &url).await? {
        Some(host) => Through::Host(host),
        None => {
            let manners = described.ledger.read.manners;
            let options = with_manners(endpoint::one_shot(args.timeout), manners);
            Through::Link(Link::open(endpoint, options))
        }
    };
    if args.list.list.is_auto()
        && let Some(listed) = &described.listed
    {
        let report = through.once(&url, &described).await?;
        let orders = map::Orders::of(&listed.map, &described.ledger, &report, &args.list.list.orders());
        if !args.list.pick {
            return map::show(&orders, &report, output);
        }
        described.take_order(args, map::pick(&orders)?)?;
    }
    match through {
        Through::Host(mut host) => {
            let call = described.call(url);
            through_host(&mut host, &call, args.every(), output).await
        }
        Through::Link(link) => {
            let (device, first) = OneDevice::open(link, described.unit, described.ledger).await?;
            watch(device, first, args.every(), output).await
        }
    }
}

/// Reads what a plugin finds, by the ledger that it makes for it.
async fn by_plugin(
    args: &ReadArgs,
    endpoint: Endpoint,
    data_dir: &Path,
    output: Output,
    catalog: &Catalog,
    plugin: &str,
) -> Result<()> {
    let url = endpoint.to_string();
    if let Some(mut host) = endpoint::owner(data_dir, &url).await? {
        let call = ReadCall {
            url,
            ledger: plugin.to_owned(),
            text: None,
            unit: args.unit,
        };
        return through_host(&mut host, &call, args.every(), output).await;
    }
    let link = Link::open(endpoint, endpoint::one_shot(args.timeout));
    let (device, first) = OneDevice::named(link, catalog, plugin, args.unit).await?;
    watch(device, first, args.every(), output).await
}

/// What describes the device: a ledger, or a register list that became one.
struct Described {
    ledger: Arc<Ledger>,
    /// The ledger in a form that means the same to a host.
    name: String,
    listed: Option<map::Listed>,
    unit: u8,
}

impl Described {
    fn by_list(args: &ReadArgs, path: &Path) -> Result<Self> {
        let listed = map::load(path, &args.list.list.settings())?;
        Ok(Described {
            ledger: Arc::clone(&listed.ledger),
            name: listed.ledger.name.clone(),
            unit: args.unit.or(listed.map.unit_id).unwrap_or(1),
            listed: Some(listed),
        })
    }

    fn by_ledger(args: &ReadArgs, scheme: &str, catalog: &Catalog, name: &str) -> Result<Self> {
        let ledger = catalog.ledger_or_file(name)?;
        Ok(Described {
            unit: unit_of(&ledger, scheme, args.unit)?,
            name: endpoint::ledger_for_host(name),
            ledger,
            listed: None,
        })
    }

    /// Goes on with the order that was found.
    fn take_order(&mut self, args: &ReadArgs, (bytes, words): (Endian, Endian)) -> Result<()> {
        if let Some(path) = &args.list.map {
            let settings = Settings {
                byteorder: Some(bytes),
                wordorder: Some(words),
                ..args.list.list.settings()
            };
            let listed = map::load(path, &settings)?;
            self.ledger = Arc::clone(&listed.ledger);
            self.listed = Some(listed);
        }
        Ok(())
    }

    fn call(&self, url: String) -> ReadCall {
        ReadCall {
            url,
            ledger: self.name.clone(),
            text: self.listed.as_ref().map(|listed| listed.text.clone()),
            unit: Some(self.unit),
        }
    }
}

/// Who reads: the host that owns the endpoint, or this command.
enum Through {
    Host(Client),
    Link(Link),
}

impl Through {
    /// One reading of everything.
    async fn once(&mut self, url: &str, described: &Described) -> Result<ReadReport> {
        match self {
            Through::Host(host) => host.post("/control/read", &described.call(url.to_owned())).await,
            Through::Link(link) => {
                let ledger = Arc::clone(&described.ledger);
                let (device, first) = OneDevice::open(link.clone(), described.unit, ledger).await?;
                Ok(device.report(&first))
            }
        }
    }
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
