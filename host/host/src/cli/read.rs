//! `busbar read`: every point of one device, once or again and again.

mod heard;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use busbar_ledger::map::{Endian, Settings};
use busbar_ledger::model::Ledger;
use busbar_ledger::value::{Quality, Value};
use busbar_wire::{Endpoint, Link, Options};

use super::args::ReadArgs;
use super::endpoint;
use super::live;
use super::map;
use super::output::{Output, number};
use crate::catalog::Catalog;
use crate::config::Config;
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
    config: &Config,
    output: Output,
    catalog: impl AsyncFnOnce() -> Result<Catalog>,
) -> Result<()> {
    let endpoint = endpoint::parse(&args.url)?;
    map::only_with_map(&args.list)?;
    if endpoint.is_heard() {
        return heard::run(args, endpoint, data_dir, config, output, catalog().await?).await;
    }
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
            let options = with_manners(options(args), manners);
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
        let order = map::pick(&orders)?;
        // On standard error: a document stays one.
        for note in orders.notes(order) {
            tracing::warn!("{}", visible(&note));
        }
        described.take_order(args, order)?;
    }
    match through {
        Through::Host(host) => {
            let call = described.call(url.clone());
            match args.every() {
                None => {
                    let mut host = host;
                    let report = host.post("/control/read", &call).await?;
                    once(&report, output)?;
                    described.doubt(&report, output);
                    Ok(())
                }
                every => through_host(host, call, every, output).await,
            }
        }
        Through::Link(link) => match args.every() {
            None => {
                let (device, first) = described.open(link).await?;
                once(&device.report(&first), output)?;
                described.doubt(&device.report(&first), output);
                Ok(())
            }
            Some(interval) => {
                let described = Arc::new(described);
                let open = move || {
                    let (link, described) = (link.clone(), Arc::clone(&described));
                    async move { described.open(link).await }
                };
                live::run(
                    Again {
                        open,
                        device: None,
                        opened: 0,
                    },
                    &url,
                    interval,
                    output,
                )
                .await
            }
        },
    }
}

/// The options of the link: a command that watches does not give up.
fn options(args: &ReadArgs) -> Options {
    Options {
        one_shot: args.every().is_none(),
        ..endpoint::one_shot(args.timeout)
    }
}

/// A device that is read again and again, and opened when it answers for the first time.
struct Again<O> {
    open: O,
    device: Option<OneDevice>,
    opened: u32,
}

/// Some devices never answer for what they do not have: after so many times, what is silent is not there.
const OPENED_AT_MOST: u32 = 4;

impl<O, F> live::Reader for Again<O>
where
    O: FnMut() -> F + Send + 'static,
    F: Future<Output = Result<(OneDevice, Snapshot)>> + Send,
{
    async fn read(&mut self) -> Result<ReadReport> {
        if let Some(device) = &self.device {
            let report = device.report(&device.read().await);
            if report.is_empty() {
                // Whoever answers next may be another: it is asked anew who it is.
                self.device = None;
                self.opened = 0;
            }
            return Ok(report);
        }
        let (device, _) = (self.open)().await?;
        // Where much is lost, opening takes its time: what was read at its beginning is not what is shown now.
        let report = device.report(&device.read().await);
        self.opened += 1;
        // What was lost on the way must not be missing for as long as somebody watches.
        if device.is_whole() || self.opened >= OPENED_AT_MOST {
            self.device = Some(device);
        }
        Ok(report)
    }
}

/// A device that answered already.
struct Open(OneDevice);

impl live::Reader for Open {
    async fn read(&mut self) -> Result<ReadReport> {
        Ok(self.0.report(&self.0.read().await))
    }
}

/// A host that reads for this command.
struct Asked {
    host: Client,
    call: ReadCall,
}

impl live::Reader for Asked {
    async fn read(&mut self) -> Result<ReadReport> {
        self.host.post("/control/read", &self.call).await
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
    if let Some(host) = endpoint::owner(data_dir, &url).await? {
        let call = ReadCall {
            url,
            ledger: plugin.to_owned(),
            text: None,
            unit: args.unit,
        };
        return through_host(host, call, args.every(), output).await;
    }
    let link = Link::open(endpoint, options(args));
    let (device, first) = OneDevice::named(link, catalog, plugin, args.unit).await?;
    let report = device.report(&first);
    match args.every() {
        None => once(&report, output),
        Some(interval) => live::run(Open(device), &url, interval, output).await,
    }
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

    /// Opens the device; one of a list shows all of the list.
    async fn open(&self, link: Link) -> Result<(OneDevice, Snapshot)> {
        let (device, first) = OneDevice::open(link, self.unit, Arc::clone(&self.ledger)).await?;
        Ok((
            if self.listed.is_some() {
                device.of_list()
            } else {
                device
            },
            first,
        ))
    }

    /// Says so where most values of a list look like nothing that a device means.
    fn doubt(&self, report: &ReadReport, output: Output) {
        if let Some(listed) = &self.listed
            && let Some(doubt) = map::doubt(listed, report)
        {
            output.say(&output.yellow(doubt));
        }
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
                let (device, first) = described.open(link.clone()).await?;
                Ok(device.report(&first))
            }
        }
    }
}

/// The host reads; this only shows.
pub(super) async fn through_host(
    mut host: Client,
    call: ReadCall,
    watch: Option<Duration>,
    output: Output,
) -> Result<()> {
    match watch {
        None => once(&host.post("/control/read", &call).await?, output),
        Some(interval) => {
            let url = call.url.clone();
            live::run(Asked { host, call }, &url, interval, output).await
        }
    }
}

/// Shows one reading.
fn once(report: &ReadReport, output: Output) -> Result<()> {
    if output.is_json() {
        return output.document(report);
    }
    if let Some(cause) = &report.missing {
        output.line(&output.yellow(&format!("some values are missing: {}", visible(cause))));
    }
    report_table(report, output);
    if report.is_all_zero() {
        output.line(&output.yellow(
            "Everything that it said is 0: is this the right ledger, and the right unit? `busbar scan` finds out.",
        ));
    }
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
            match point["why"].as_str() {
                Some(why) => output.yellow_cell(&visible(why)),
                None => output.dim_cell(&words(point)),
            },
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
