//! What is behind an endpoint, found out with as few reads as will tell: the first part of a scan.

use std::sync::Arc;

use busbar_ledger::model::Ledger;
use busbar_plugin_sdk::{Found, Mode};
use busbar_wire::Link;
use tokio_util::sync::CancellationToken;

use super::progress::Quiet;
use super::{Request, Search, Tally, candidates, converse, recognise, scheme};
use crate::catalog::Catalog;
use crate::error::Result;

/// So many requests without any answer, at the usual units of several kinds of device, are enough.
const MUTE: u32 = 4;
/// Units that one plugin is asked about; where its ledgers name more, it looks where it would in a quick scan.
const FEW_UNITS: usize = 4;

/// What a glance showed.
#[derive(Debug, Default)]
pub struct Glance {
    /// Whether anything answered in Modbus, be it with an exception.
    pub answered: bool,
    /// What was recognised, of a plugin's devices the first.
    pub seen: Vec<Seen>,
}

/// Something recognised.
#[derive(Clone, Debug)]
pub struct Seen {
    /// What it is.
    pub found: Found,
    /// Its ledger.
    pub ledger: Arc<Ledger>,
    /// The plugin that recognised it by a conversation.
    pub plugin: Option<String>,
    /// The ids of everything that was recognised with it.
    pub ids: Vec<String>,
    /// Whether a register of its own said what it is, and not only that something is there.
    pub identified: bool,
}

/// Looks, at these units where some are given, else where such devices usually are. Devices without a serial number get
/// an id that begins with `connection_id`.
///
/// # Errors
/// The wire's when the endpoint cannot be talked to, a plugin's.
pub async fn glance(
    link: &Link,
    catalog: &Catalog,
    connection_id: &str,
    units: &[u8],
    cancel: &CancellationToken,
) -> Result<Glance> {
    let tally = Tally::default();
    let mut request = Request {
        connection: link.endpoint().to_owned(),
        connection_id: connection_id.to_owned(),
        plugin: None,
        ledger: None,
        mode: Mode::Quick,
        units: Vec::new(),
        known: Vec::new(),
    };
    for plugin in catalog.discovering_plugins() {
        let ledgers = catalog.ledgers_of(&plugin).unwrap_or_default();
        if !ledgers.is_empty() && !ledgers.iter().any(|l| is_reached_by(l, scheme(link))) {
            continue;
        }
        (request.mode, request.units) = match units {
            [] => where_to_look(&ledgers, scheme(link)),
            units => (Mode::Listed, units.to_vec()),
        };
        let search = Search {
            link,
            catalog,
            request: &request,
            tally: &tally,
            progress: &Quiet,
            cancel,
        };
        let talk = match converse::converse(&search, &plugin).await {
            Err(fault) if candidates::may_do_without(&search, &plugin, &fault) => {
                tracing::warn!("{fault}; the others are asked without it");
                continue;
            }
            talk => talk?,
        };
        let ids: Vec<String> = talk.verdict.devices.iter().map(|d| d.id.clone()).collect();
        if let Some(found) = talk.verdict.devices.into_iter().next() {
            let identified = found.serial.is_some();
            let ledger = catalog.ledger_found(&plugin, &found).await?;
            return Ok(Glance {
                answered: true,
                seen: vec![Seen {
                    found,
                    ledger,
                    plugin: Some(plugin),
                    ids,
                    identified,
                }],
            });
        }
    }
    // Whoever was silent at the units of all these has nothing to say to ledgers either: each would cost a time-out.
    if units.is_empty() && !tally.anything_answered() && tally.requests() >= MUTE {
        return Ok(Glance {
            answered: false,
            seen: Vec::new(),
        });
    }
    (request.mode, request.units) = match units {
        [] => (Mode::Quick, Vec::new()),
        units => (Mode::Listed, units.to_vec()),
    };
    let search = Search {
        link,
        catalog,
        request: &request,
        tally: &tally,
        progress: &Quiet,
        cancel,
    };
    let ledgers = catalog.identifying_ledgers(scheme(link))?;
    let (recognised, _) = recognise::recognise(&search, &ledgers).await?;
    let mut seen: Vec<Seen> = Vec::new();
    for one in recognised {
        // The first that fits a unit is what it is taken for; a scan tells of the others.
        if seen.iter().any(|s| s.found.unit == one.unit) {
            continue;
        }
        let probe = one.ledger.identify.as_ref().and_then(|i| i.probe.as_ref());
        let identified = probe.is_some_and(|p| !(p.equals.is_empty() && p.starts_with.is_empty()));
        let candidate = candidates::candidate(&request, one.unit, one.ledger, one.identity);
        seen.push(Seen {
            ids: vec![candidate.found.id.clone()],
            found: candidate.found,
            ledger: candidate.ledger,
            plugin: None,
            identified,
        });
    }
    Ok(Glance {
        answered: tally.anything_answered(),
        seen,
    })
}

fn is_reached_by(ledger: &Ledger, scheme: &str) -> bool {
    ledger.transports.iter().any(|t| t.scheme == scheme)
}

/// Where a plugin is sent: to the units that are the only ones of some of its ledgers, for there it stands or falls.
fn where_to_look(ledgers: &[Arc<Ledger>], scheme: &str) -> (Mode, Vec<u8>) {
    let mut units: Vec<u8> = Vec::new();
    for transport in ledgers.iter().flat_map(|l| &l.transports) {
        if let ([unit], true) = (&transport.units[..], transport.scheme == scheme)
            && !units.contains(unit)
        {
            units.push(*unit);
        }
    }
    match units.len() {
        1..=FEW_UNITS => (Mode::Listed, units),
        _ => (Mode::Quick, Vec::new()),
    }
}
