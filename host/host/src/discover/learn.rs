//! Learns which registers the devices that were found really answer.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use busbar_ledger::extent::{Extent, Learned};
use busbar_ledger::model::Ledger;
use busbar_ledger::readings::Facts;
use busbar_ledger::span::Function;
use busbar_wire::{Link, WireError};
use futures_util::future::join_all;

use super::ask::patient;
use super::candidates::Candidate;
use super::judge::judge;
use super::progress::Event;
use super::tally::Tally;
use super::{FoundDevice, Search};

/// When a scan is stopped, a device that is being read may take this long to its end.
const GRACE: Duration = Duration::from_secs(2);

/// Reads all that the ledger describes, in as few blocks as the device allows, bisecting where it refuses.
///
/// # Errors
/// The wire's, when the endpoint itself is lost.
pub async fn learn(
    link: &Link,
    unit: u8,
    ledger: &Ledger,
    facts: &Facts<'_>,
    tally: &Tally,
) -> Result<Learned, WireError> {
    let mut extent = Extent::new(ledger, facts);
    while !extent.is_done() {
        let spans = extent.next();
        if spans.is_empty() {
            break;
        }
        let answers = join_all(spans.iter().map(|span| patient(link, unit, *span, tally))).await;
        for (span, answer) in spans.into_iter().zip(answers) {
            extent.answer(span, answer?);
        }
    }
    Ok(extent.finish())
}

/// What was learned, and the ledger in the form that the device answers to.
pub struct Known {
    /// Which registers it answers, and their words.
    pub learned: Learned,
    /// The ledger, or the same by function 3 where the device does not know function 4.
    pub ledger: Arc<Ledger>,
}

/// Learns a device, by the ledger's function and, where the ledger allows it, by function 3 when that brings nothing.
///
/// # Errors
/// The wire's, when the endpoint itself is lost.
pub async fn learn_either(
    link: &Link,
    unit: u8,
    ledger: &Arc<Ledger>,
    facts: &Facts<'_>,
    tally: &Tally,
) -> Result<Known, WireError> {
    let learned = learn(link, unit, ledger, facts, tally).await?;
    if learned.readable.is_empty()
        && let Some(holding) = ledger.in_holding()
    {
        let learned = learn(link, unit, &holding, facts, tally).await?;
        return Ok(Known {
            learned,
            ledger: Arc::new(holding),
        });
    }
    Ok(Known {
        learned,
        ledger: Arc::clone(ledger),
    })
}

/// By which exceptions a unit refused the registers of a ledger, for each function; `None` where it refused none.
fn refusals(ledger: &Ledger, unit: u8, tally: &Tally) -> Option<String> {
    let spans = ledger.points.iter().flat_map(|point| point.registers());
    let codes: BTreeSet<(u8, u8)> = spans
        .filter_map(|register| {
            let code = tally.refused(unit, register.span)?;
            Some((register.span.function.code(), code))
        })
        .collect();
    let codes: Vec<String> = codes
        .into_iter()
        .map(|(function, code)| {
            let name = Function::from_code(function).map_or("", Function::name);
            format!("function {function} ({name}) exception {code}")
        })
        .collect();
    (!codes.is_empty()).then(|| codes.join(", "))
}

/// What learning the candidates brought.
#[derive(Default)]
pub(super) struct Learnt {
    /// Those that could be read.
    pub(super) devices: Vec<FoundDevice>,
    /// Units of candidates that could not be read.
    pub(super) unread: Vec<u8>,
    /// Candidates that answered, and refused every register of their ledger: a sentence for each.
    pub(super) refused: Vec<String>,
    /// What the owner should know.
    pub(super) warnings: Vec<String>,
    /// Whether the owner stopped it.
    pub(super) cancelled: bool,
}

/// Learns every candidate, several at a time; the wire keeps the order and the pace. When the owner stops the scan,
/// what is nearly done may still come to its end.
pub(super) async fn learn_all(search: &Search<'_>, candidates: &[Candidate]) -> Result<Learnt, WireError> {
    let &Search {
        link,
        tally,
        progress,
        cancel,
        ..
    } = search;
    let of = u32::try_from(candidates.len()).unwrap_or(u32::MAX);
    let done = AtomicU32::new(0);
    let stopped = async || {
        cancel.cancelled().await;
        tokio::time::sleep(GRACE).await;
    };
    let tasks = candidates.iter().map(|candidate| {
        let (done, stopped) = (&done, &stopped);
        async move {
            let found = &candidate.found;
            let facts = Facts {
                firmware: found.firmware.as_deref(),
                model: found.model.as_deref(),
                readable: None,
                ..Facts::default()
            };
            let learned = tokio::select! {
                biased;
                learned = learn_either(link, found.unit, &candidate.ledger, &facts, tally) => learned?,
                () = stopped() => return Ok(None),
            };
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            progress.event(Event::Learning { done, of });
            Ok(Some(learned))
        }
    });
    let mut all = Learnt::default();
    for (candidate, learned) in candidates.iter().zip(join_all(tasks).await) {
        let (title, unit) = (&candidate.ledger.title, candidate.found.unit);
        let Some(Known { learned, ledger }) = learned? else {
            all.cancelled = true;
            all.unread.push(unit);
            all.warnings.push(format!(
                "{title} at unit {unit} was not read to the end: scan again."
            ));
            continue;
        };
        if learned.lost {
            all.warnings.push(format!(
                "{title} at unit {unit} stopped answering while it was read: scan again to complete it."
            ));
        }
        if !learned.readable.is_empty() {
            all.devices.push(judge(&candidate.found, ledger, learned));
        } else if learned.lost {
            all.unread.push(unit);
        } else if let Some(codes) = refusals(&ledger, unit, tally) {
            all.refused.push(format!(
                "{} ({title}) at unit {unit}, but none of its registers answered by the ledger {}: {codes}",
                candidate.found.id, ledger.name
            ));
        }
    }
    Ok(all)
}
