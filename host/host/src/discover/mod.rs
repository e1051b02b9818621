//! Finding out what is really there.
//!
//! A scan recognises (a plugin's conversation, or the ledgers' own identification), then learns which registers each
//! device answers, then judges which entities exist. It only reads, and it keeps the evidence for everything it says.

mod again;
mod ask;
mod candidates;
mod caps;
mod converse;
mod dialect;
mod forecast;
mod glance;
mod identity;
mod judge;
mod learn;
mod pause;
mod places;
pub mod progress;
mod recognise;
mod rehearse;
pub mod report;
mod tally;
mod telegrams;
mod who;

use std::sync::Arc;

use busbar_ledger::model::Ledger;
use busbar_ledger::ranges::Ranges;
use busbar_plugin_sdk::{Found, Mode};
use busbar_wire::{Endpoint, Link, Options};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::catalog::Catalog;
use crate::error::{HostError, Result};
use crate::settings::with_manners;
use crate::telegrams::way::Way;
use progress::Progress;
use report::{Coverage, DeviceReport, ScanReport};

pub use again::FoundBefore;
pub use dialect::dialect;
pub use forecast::forecast;
pub use glance::{Glance, Seen, glance};
pub use identity::{device_id, own_name, slug};
pub use judge::relearn;
pub use learn::{Known, learn, learn_either};
pub use pause::Pause;
pub use places::in_place;
pub use recognise::{Identity, identity};
pub use rehearse::{Answer, Heard, rehearse};
pub use tally::{Asked, Tally};
pub use telegrams::{first_telegram, glance_by_ear};
pub use who::{Who, who};

/// What to scan for.
#[derive(Clone, Debug)]
pub struct Request {
    /// What the connection is called in the report.
    pub connection: String,
    /// The connection's id, part of the ids of devices without a serial number.
    pub connection_id: String,
    /// Ask only this plugin.
    pub plugin: Option<String>,
    /// Look only for this ledger.
    pub ledger: Option<Arc<Ledger>>,
    /// How far to look.
    pub mode: Mode,
    /// With [`Mode::Listed`]: where.
    pub units: Vec<u8>,
    /// What earlier scans of this connection found.
    pub known: Vec<FoundBefore>,
}

impl Request {
    /// The same options, with the pauses and the restraint that the ledger which is looked for asks for.
    pub fn considerate(&self, options: Options) -> Options {
        match &self.ledger {
            Some(ledger) => with_manners(options, ledger.read.manners),
            None => options,
        }
    }
}

/// A device that a scan found, with what polling needs to know.
#[derive(Clone, Debug)]
pub struct FoundDevice {
    /// What the contract shows of it.
    pub report: DeviceReport,
    /// Its ledger.
    pub ledger: Arc<Ledger>,
    /// The ledger's text, where a plugin made it for this device.
    pub ledger_text: Option<String>,
    /// The registers that it answers.
    pub readable: Ranges,
    /// The longest read that it takes, in registers, as far as is known.
    pub max_words: u16,
    /// Whether it was learned to the end.
    pub complete: bool,
}

/// Everything that a scan brings home.
pub struct Scan {
    /// What the contract shows of it; its devices are those of `devices`.
    pub report: ScanReport,
    /// The devices.
    pub devices: Vec<FoundDevice>,
    /// The evidence, in the order in which it was gathered.
    pub evidence: Vec<Asked>,
    /// Whether the owner stopped it.
    pub cancelled: bool,
    /// The units that it was about, when only some.
    pub units: Option<Vec<u8>>,
    /// Units where something was found that then did not let itself be read: what is there is as it was.
    pub unread: Vec<u8>,
    /// It looked for less than what is known here: what it did not find, it did not look for.
    pub narrow: bool,
}

impl Scan {
    /// Whether this scan can say anything about what is at a unit.
    pub fn is_about(&self, unit: u8) -> bool {
        let units = self.units.as_ref();
        !self.narrow
            && !self.unread.contains(&unit)
            && units.is_none_or(|units| again::is_in_scope(Mode::Listed, units, unit))
    }
}

/// The scheme of a link's URL.
pub fn scheme(link: &Link) -> &str {
    link.endpoint().split("://").next().unwrap_or_default()
}

/// What a scan works with.
pub struct Search<'a> {
    /// The wire.
    pub link: &'a Link,
    /// What devices look like.
    pub catalog: &'a Catalog,
    /// What to look for.
    pub request: &'a Request,
    /// The count of what it costs.
    pub tally: &'a Tally,
    /// Who is told.
    pub progress: &'a dyn Progress,
    /// Who may stop it.
    pub cancel: &'a CancellationToken,
}

/// Scans one endpoint.
///
/// # Errors
/// The wire's when the endpoint cannot be talked to, a plugin's, and [`HostError::NothingFound`] when it speaks Modbus
/// but nothing was recognised.
pub async fn scan(
    way: &Way,
    catalog: &Catalog,
    request: &Request,
    progress: &dyn Progress,
    cancel: &CancellationToken,
) -> Result<Scan> {
    scan_with_pauses(way, catalog, request, progress, cancel, &Pause::default()).await
}

/// The same for somebody who may hold it up for a while.
///
/// # Errors
/// As [`scan`].
pub async fn scan_with_pauses(
    way: &Way,
    catalog: &Catalog,
    request: &Request,
    progress: &dyn Progress,
    cancel: &CancellationToken,
    pause: &Pause,
) -> Result<Scan> {
    match way {
        Way::Asked(link) => scan_by_asking(link, catalog, request, progress, cancel, pause).await,
        // Whoever only listens costs the meter nothing: there is nothing to hold up.
        Way::Heard(ear) => telegrams::scan(ear, catalog, request, progress, cancel).await,
    }
}

async fn scan_by_asking(
    link: &Link,
    catalog: &Catalog,
    request: &Request,
    progress: &dyn Progress,
    cancel: &CancellationToken,
    pause: &Pause,
) -> Result<Scan> {
    let started = Instant::now();
    let tally = Tally::held_by(pause.clone());
    let search = Search {
        link,
        catalog,
        request,
        tally: &tally,
        progress,
        cancel,
    };
    let mut recognition = candidates::recognise(&search).await?;
    again::put_in_place(&request.known, &mut recognition);
    again::look_again(&search, &mut recognition).await?;
    // A plugin may have to ask elsewhere to recognise anything; a list is a list all the same.
    let listed = |candidate: &candidates::Candidate| {
        again::is_in_scope(request.mode, &request.units, candidate.found.unit)
    };
    let before = recognition.candidates.len();
    recognition.candidates.retain(listed);
    // The device is the right one, and what was known at the listed units is not there any more: that is a result.
    let only_gone = before > 0
        && request
            .known
            .iter()
            .any(|k| request.units.contains(&k.found.unit));
    let learned = learn::learn_all(&search, &recognition.candidates).await?;
    recognition.cancelled |= learned.cancelled;
    let learn::Learnt {
        mut devices,
        unread,
        refused,
        ..
    } = learned;
    // What a ledger without `[identify]` was only taken at its word for was not found anywhere.
    let refused: Vec<String> = match &request.ledger {
        None => refused
            .into_iter()
            .map(|what| who_found(&recognition.plugin, &what))
            .collect(),
        Some(_) => Vec::new(),
    };
    let mut warnings = recognition.notes;
    warnings.extend(learned.warnings);
    warnings.extend(identity::one_of_each(&mut devices));
    warnings.extend(passing_name(&request.connection));
    if recognition.cancelled {
        warnings.push(
            "The scan was stopped before its end: what it had found is kept, more may be there.".into(),
        );
    }
    if devices.is_empty() && !recognition.cancelled && !only_gone {
        return Err(match &refused[..] {
            [] => nothing_found(link, request, &tally),
            refused => HostError::nothing_found(
                format!("{}: {}", link.endpoint(), refused.join("; ")),
                "Look at `function` and the addresses in the ledger: it may ask by another function than the device \
                 knows. `busbar raw` shows what a register answers, `busbar scan -v` what the plugin was answered.",
            ),
        });
    }
    warnings.extend(refused);
    let report = ScanReport {
        connection: request.connection.clone(),
        plugin: recognition.plugin,
        mode: mode_name(request.mode).to_owned(),
        devices: devices.iter().map(|d| d.report.clone()).collect(),
        probes: recognition.probes,
        exceptions: tally.exceptions(),
        requests: tally.requests(),
        exceptions_by_code: tally.by_code(),
        coverage: Coverage {
            probed: recognition.probes,
            possible: recognition.possible.max(recognition.probes),
        },
        elapsed_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        warnings,
    };
    Ok(Scan {
        report,
        devices,
        evidence: tally.take_asked(),
        cancelled: recognition.cancelled,
        units: (request.mode == Mode::Listed).then(|| request.units.clone()),
        unread,
        narrow: is_narrow(catalog, request),
    })
}

/// What one plugin finds, at one unit or where it looks first, without learning any of it.
///
/// # Errors
/// As [`scan`], but for nothing found.
pub async fn by_plugin(
    link: &Link,
    catalog: &Catalog,
    plugin: &str,
    unit: Option<u8>,
) -> Result<Vec<(Found, Arc<Ledger>)>> {
    let request = Request {
        connection: String::new(),
        connection_id: "unsaved".to_owned(),
        plugin: Some(plugin.to_owned()),
        ledger: None,
        mode: unit.map_or(Mode::Quick, |_| Mode::Listed),
        units: unit.into_iter().collect(),
        known: Vec::new(),
    };
    let search = Search {
        link,
        catalog,
        request: &request,
        tally: &Tally::default(),
        progress: &progress::Quiet,
        cancel: &CancellationToken::new(),
    };
    let found = candidates::recognise(&search).await?;
    Ok(found
        .candidates
        .into_iter()
        .map(|c| (c.found, c.ledger))
        .collect())
}

/// Whether something is known here that this scan does not look for.
fn is_narrow(catalog: &Catalog, request: &Request) -> bool {
    request.known.iter().any(|known| {
        let ledger = &known.found.ledger;
        request.ledger.as_ref().is_some_and(|l| l.name != *ledger)
            || (request.plugin.is_some() && catalog.plugin_of(ledger) != request.plugin)
    })
}

/// A word on a serial port that has a name that lasts, and was given by another.
fn passing_name(url: &str) -> Option<String> {
    let endpoint: Endpoint = url.parse().ok()?;
    let port = endpoint.port()?;
    let given = port.display();
    let lasting = endpoint.at_port(busbar_wire::stable_path(port)?);
    Some(format!(
        "{given} may be another adapter after a replug or a restart; this one is always {lasting}"
    ))
}

/// `quick`, `full` or `listed`.
pub fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Quick => "quick",
        Mode::Full => "full",
        Mode::Listed => "listed",
    }
}

fn who_found(plugin: &Option<String>, what: &str) -> String {
    match plugin {
        Some(plugin) => format!("plugin {plugin} found {what}"),
        None => format!("found {what}"),
    }
}

fn nothing_found(link: &Link, request: &Request, tally: &Tally) -> HostError {
    let endpoint = link.endpoint();
    if tally.requests() == 0 {
        return HostError::failed(
            "no_plugins",
            format!(
                "{endpoint} was not asked: no plugin and no ledger that could recognise a device is loaded"
            ),
            "See what is refused and why with `busbar plugin list`; plugins lie beside the program or in --plugin-dir.",
        );
    }
    if !tally.anything_answered() && tally.anything_broken() {
        return HostError::failed(
            "bad_answer",
            format!(
                "{endpoint} answers, but with nothing that fits what it was asked (other units, functions or lengths)"
            ),
            "A gateway or another client may mix up answers: end other Modbus clients of it; `busbar raw` shows what is \
             wrong with a single answer.",
        );
    }
    if !tally.anything_answered() {
        let units = if request.units.is_empty() {
            "none of the units tried".to_owned()
        } else {
            format!(
                "unit {}",
                request
                    .units
                    .iter()
                    .map(u8::to_string)
                    .collect::<Vec<_>>()
                    .join(", ")
            )
        };
        return HostError::no_answer(
            endpoint,
            &format!("{units} answered"),
            "Check that Modbus is switched on in the device and that the unit id is right (--units), or try --mode full.",
        );
    }
    let what = match (&request.ledger, &request.plugin) {
        (Some(l), _) => format!("nothing there fits the ledger {}", l.name),
        (None, Some(p)) => format!("plugin {p} recognises nothing there"),
        (None, None) => "nothing there is known to any plugin or ledger".to_owned(),
    };
    HostError::nothing_found(
        format!(
            "{endpoint} speaks Modbus, but {what} (asked {} times)",
            tally.requests()
        ),
        "Some meters do not tell what they are (Eastron, Janitza, Siemens PAC): name theirs with --ledger, \
         `busbar ledger list` shows all. Else try --mode full or --units, look at its registers with `busbar raw`, or \
         describe it in a ledger of your own and pass --ledger FILE.",
    )
}
