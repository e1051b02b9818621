//! Finding devices on the network and on serial lines: who is there, and what it is, with a few small reads.
//!
//! [`find`] is the whole way in: a [`Plan`] that somebody has agreed to, and what was found. What a place really holds is
//! a scan's business ([`crate::discover`]). Everything that decides is pure; everything heard is bounded and only ever a
//! place to ask.

pub mod follow;
pub mod known;
mod line;
pub mod mdns;
pub mod networks;
pub mod places;
pub mod progress;
pub mod serial;
mod subnet;

use std::time::Duration;

use busbar_wire::{Endpoint, Link, Options, WireError};
use futures_util::stream::{self, StreamExt};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::catalog::Catalog;
use crate::discover::{Glance, Seen, glance};
use crate::error::HostError;
use crate::registry::UNSAVED;
use known::Registered;
use networks::Network;
use places::Places;
use progress::{Event, Progress};
use serial::Setting;

pub use subnet::AT_ONCE;

/// Endpoints that are asked what they are at once.
const ASKED_AT_ONCE: usize = 8;
/// The longest that one endpoint may take to say what it is.
const ONE_ENDPOINT: Duration = Duration::from_secs(20);
/// The longest wait for a connection to an address where probably nobody is.
const TCP_PATIENCE: Duration = Duration::from_millis(500);
/// And for an answer to a datagram, as the maker of such meters has it.
const UDP_PATIENCE: Duration = Duration::from_millis(250);

/// What is to be searched. Who makes one has asked the owner.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Where devices are, as the ledgers tell.
    pub places: Places,
    /// Whether to listen for announcements, and on which port.
    pub mdns: Option<u16>,
    /// Networks whose every address is asked.
    pub networks: Vec<Network>,
    /// Serial ports and what is tried on them.
    pub serial: Vec<Setting>,
    /// The longest wait for one answer, where it is not the usual one.
    pub timeout: Option<Duration>,
    /// Endpoints that another host talks to, in canonical form: they are left alone.
    pub taken: Vec<String>,
}

impl Plan {
    /// How long asking the addresses takes, about, when few of them answer.
    pub fn time(&self) -> Duration {
        let addresses: u32 = self.networks.iter().map(|n| n.size()).sum();
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let tcp = addresses.saturating_mul(count(self.places.tcp.len()));
        let udp = addresses.saturating_mul(2 * count(self.places.udp.len()));
        let waits = self.timeout.unwrap_or(TCP_PATIENCE) / count(AT_ONCE);
        tcp * waits.max(subnet::PACE) + udp * subnet::PACE + mdns::PATIENCE
    }
}

/// How sure it is what was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Confidence {
    /// It named itself by a register of its own, with its serial number.
    Certain,
    /// It answers as a ledger says such a device does, but does not tell its serial number.
    Likely,
    /// It speaks Modbus, or announces that it does; no ledger knows it.
    Unknown,
    /// Something accepts connections there.
    Open,
}

/// How something was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Via {
    /// It announced itself.
    Mdns,
    /// Its address was asked.
    Subnet,
    /// It is on a serial line.
    Serial,
}

/// Something found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// What to give to `busbar scan`.
    pub url: String,
    /// The unit that answered, where one was recognised.
    pub unit_id: Option<u8>,
    /// The ledger that describes it.
    pub ledger: Option<String>,
    /// The plugin that recognised it, or brings its ledger.
    pub plugin: Option<String>,
    /// What it is, for people.
    pub title: Option<String>,
    /// What it calls itself on the network.
    pub name: Option<String>,
    /// Model, where the device tells it.
    pub model: Option<String>,
    /// Serial number, where the device tells it.
    pub serial: Option<String>,
    /// Firmware, where the device tells it.
    pub firmware: Option<String>,
    /// How sure that is.
    pub confidence: Confidence,
    /// How it was found.
    pub via: Via,
    /// Whether the registry has this device.
    pub known: bool,
    /// The connection under which the registry has it.
    pub connection: Option<String>,
    /// Where the registry still believes it to be.
    pub moved_from: Option<String>,
    /// Whether the registry was told that it has moved.
    pub adopted: bool,
    /// Anything that the owner should know of it.
    pub note: Option<String>,
    /// The ids of the devices that were recognised there.
    #[serde(skip)]
    pub ids: Vec<String>,
}

/// What a search brought.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// What was found: the surest first.
    pub found: Vec<Found>,
    /// Whether it was stopped before its end.
    pub cancelled: bool,
    /// What went wrong without ending it.
    pub notes: Vec<String>,
}

/// A place to ask.
#[derive(Clone, Debug)]
struct Lead {
    /// Of several the first that answers counts.
    endpoints: Vec<Endpoint>,
    via: Via,
    name: Option<String>,
}

/// Searches. What was found when it is cancelled counts.
pub async fn find(
    plan: &Plan,
    catalog: &Catalog,
    registered: &Registered,
    progress: &dyn Progress,
    cancel: &CancellationToken,
) -> Report {
    let mut report = Report::default();
    let leads = leads(plan, progress, cancel, &mut report.notes).await;
    let of = u32::try_from(leads.len()).unwrap_or(u32::MAX);
    let mut answers = stream::iter(leads)
        .map(|lead| look(lead, plan, catalog, cancel))
        .buffer_unordered(ASKED_AT_ONCE);
    let mut done = 0;
    loop {
        let found = tokio::select! {
            biased;
            () = cancel.cancelled() => break,
            found = answers.next() => match found {
                Some(found) => found,
                None => break,
            },
        };
        for mut one in found {
            registered.recognise(&mut one);
            progress.event(Event::Found(Box::new(one.clone())));
            report.found.push(one);
        }
        done += 1;
        progress.event(Event::Asking { done, of });
    }
    drop(answers);
    for mut one in line::search(plan, catalog, &mut report.notes, progress, cancel).await {
        registered.recognise(&mut one);
        progress.event(Event::Found(Box::new(one.clone())));
        report.found.push(one);
    }
    known::settle(&mut report.found);
    report.found.sort_by(|a, b| {
        (a.confidence, a.moved_from.is_none(), &a.url, a.unit_id).cmp(&(
            b.confidence,
            b.moved_from.is_none(),
            &b.url,
            b.unit_id,
        ))
    });
    report.cancelled = cancel.is_cancelled();
    report
}

/// Everything worth asking, each place once.
async fn leads(
    plan: &Plan,
    progress: &dyn Progress,
    cancel: &CancellationToken,
    notes: &mut Vec<String>,
) -> Vec<Lead> {
    let addresses = networks::addresses(&plan.networks);
    let announced = async {
        match plan.mdns {
            Some(port) => {
                progress.event(Event::Listening);
                mdns::listen(&plan.places.services, port, mdns::PATIENCE, cancel).await
            }
            None => Ok(Vec::new()),
        }
    };
    let knocked = async {
        let timeout = |usual| plan.timeout.unwrap_or(usual);
        let udp = subnet::over_udp(
            &addresses,
            &plan.places.udp,
            timeout(UDP_PATIENCE),
            progress,
            cancel,
        )
        .await;
        let tcp = subnet::over_tcp(
            &addresses,
            &plan.places.tcp,
            timeout(TCP_PATIENCE),
            progress,
            cancel,
        )
        .await;
        (udp, tcp)
    };
    let (announced, (udp, tcp)) = tokio::join!(announced, knocked);
    let announced = announced.unwrap_or_else(|why| {
        notes.push(format!("Announcements (mDNS) could not be heard: {why}."));
        Vec::new()
    });
    for trouble in [&udp.trouble, &tcp.trouble].into_iter().flatten() {
        notes.push(format!("Some addresses could not be asked: {trouble}."));
    }
    let announced = announced.into_iter().map(|a| Lead {
        endpoints: a.endpoints,
        via: Via::Mdns,
        name: Some(a.name).filter(|n| !n.is_empty()),
    });
    let knocked = udp.endpoints.into_iter().chain(tcp.endpoints).map(|e| Lead {
        endpoints: vec![e],
        via: Via::Subnet,
        name: None,
    });
    each_once(announced.chain(knocked))
}

/// Leaves out places that an earlier lead begins with. Pure.
fn each_once(leads: impl Iterator<Item = Lead>) -> Vec<Lead> {
    let mut kept: Vec<Lead> = Vec::new();
    for lead in leads {
        let asked = |e: &Endpoint| kept.iter().any(|k| k.endpoints.contains(e));
        if !lead.endpoints.iter().any(asked) {
            kept.push(lead);
        }
    }
    kept
}

/// Asks one place what it is.
async fn look(lead: Lead, plan: &Plan, catalog: &Catalog, cancel: &CancellationToken) -> Vec<Found> {
    let mut best: Option<Found> = None;
    for endpoint in &lead.endpoints {
        let url = endpoint.to_string();
        if plan.taken.contains(&url) {
            let note = "the running host reads it, so it was not asked".to_owned();
            return vec![Found {
                note: Some(note),
                ..bare(&lead, url, Confidence::Likely)
            }];
        }
        let options = Options {
            timeout: plan.timeout,
            ..Options::one_shot()
        };
        let link = Link::open(endpoint.clone(), options);
        let glanced = timeout(ONE_ENDPOINT, glance(&link, catalog, UNSAVED, &[], cancel)).await;
        // What was asked was answered or given up; nobody waits for the line to be cleared.
        drop(link);
        let seen = match glanced {
            Ok(Ok(glance)) => verdict(&lead, &url, catalog, glance),
            Ok(Err(error)) => unanswered(&lead, &url, &error),
            Err(_) => unanswered(&lead, &url, &slow(&url)),
        };
        match &seen[..] {
            [] => {}
            [one] if one.confidence > Confidence::Unknown || one.note.is_some() => {
                // Another address of it may do better.
                best = best.or_else(|| seen.into_iter().next());
            }
            _ => return seen,
        }
    }
    best.into_iter().collect()
}

fn slow(url: &str) -> HostError {
    HostError::failed(
        "silent",
        format!("{url} answers too slowly to tell what it is"),
        "Scan it by its address.",
    )
}

/// What a glance means. Pure, but for the names of plugins.
fn verdict(lead: &Lead, url: &str, catalog: &Catalog, glance: Glance) -> Vec<Found> {
    if glance.seen.is_empty() {
        let confidence = match glance.answered {
            true => Confidence::Unknown,
            false => Confidence::Open,
        };
        let note = (!glance.answered).then(|| "it accepts connections, and answers nothing".to_owned());
        return vec![Found {
            note: note.filter(|_| lead.via != Via::Mdns).or_else(|| {
                (!glance.answered).then(|| "it announces itself, and does not answer Modbus".to_owned())
            }),
            ..bare(lead, url.to_owned(), confidence)
        }];
    }
    let one = |seen: Seen| {
        let confidence = confidence(&seen);
        let Seen {
            found,
            ledger,
            plugin,
            ids,
            ..
        } = seen;
        let title = match &plugin {
            Some(plugin) => catalog.title_of(plugin),
            None => Some(ledger.title.clone()),
        };
        Found {
            unit_id: Some(found.unit),
            plugin: plugin.or_else(|| catalog.plugin_of(&found.ledger)),
            ledger: Some(found.ledger),
            title,
            model: found.model,
            serial: found.serial,
            firmware: found.firmware,
            ids,
            ..bare(lead, url.to_owned(), confidence)
        }
    };
    glance.seen.into_iter().map(one).collect()
}

/// How sure it is what was recognised. Pure.
fn confidence(seen: &Seen) -> Confidence {
    match seen.identified && seen.found.serial.is_some() {
        true => Confidence::Certain,
        false => Confidence::Likely,
    }
}

/// What a place amounts to that could not be talked to.
fn unanswered(lead: &Lead, url: &str, error: &HostError) -> Vec<Found> {
    let confidence = match (lead.via, error) {
        // It is there for who speaks its language.
        (Via::Mdns, _) => Confidence::Unknown,
        (_, HostError::Wire(WireError::Refused { .. } | WireError::ConnectTimeout { .. })) => {
            return Vec::new();
        }
        _ => Confidence::Open,
    };
    let said = match lead.via {
        Via::Mdns => "it announces itself, but",
        _ => "it accepts connections, but",
    };
    let note = format!("{said} {}", error.to_string().replace(&format!("{url}: "), ""));
    vec![Found {
        note: Some(note),
        ..bare(lead, url.to_owned(), confidence)
    }]
}

fn bare(lead: &Lead, url: String, confidence: Confidence) -> Found {
    Found {
        url,
        unit_id: None,
        ledger: None,
        plugin: None,
        title: None,
        name: lead.name.clone(),
        model: None,
        serial: None,
        firmware: None,
        confidence,
        via: lead.via,
        known: false,
        connection: None,
        moved_from: None,
        adopted: false,
        note: None,
        ids: Vec::new(),
    }
}
