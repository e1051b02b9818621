//! Which function a device is read by, where its ledger leaves that open. Chosen once, before anything else is read.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use busbar_ledger::evidence::Outcome;
use busbar_ledger::model::Ledger;
use busbar_ledger::span::Span;
use busbar_wire::{Link, WireError};
use tokio::time::timeout;

use super::ask::in_turn;
use super::tally::Tally;

/// So long function 4 has the word alone. A device that knows only function 3 may be silent instead of refusing: it is
/// asked by function 3 then, and whichever answers first is the one.
const HEAD_START: Duration = Duration::from_millis(300);

/// The ledger in the form that the device answers to, and the words of the register that was asked for: the one that
/// recognises the device, else the first. Where nothing answers, the ledger is as it was.
///
/// # Errors
/// The wire's, when the endpoint itself is lost.
pub async fn dialect(
    link: &Link,
    unit: u8,
    ledger: &Arc<Ledger>,
    tally: &Tally,
) -> Result<(Arc<Ledger>, Option<Vec<u16>>), WireError> {
    let Some(by_input) = first(ledger) else {
        return Ok((Arc::clone(ledger), None));
    };
    let holding = ledger.in_holding().map(Arc::new);
    let Some((holding, by_holding)) = holding.and_then(|h| first(&h).map(|span| (h, span))) else {
        let words = note(unit, by_input, in_turn(link, unit, by_input, tally).await?, tally);
        return Ok((Arc::clone(ledger), words));
    };
    let mut input = pin!(in_turn(link, unit, by_input, tally));
    match timeout(HEAD_START, &mut input).await {
        Ok(outcome) => {
            if let Some(words) = note(unit, by_input, outcome?, tally) {
                return Ok((Arc::clone(ledger), Some(words)));
            }
        }
        Err(_) => {
            let other = in_turn(link, unit, by_holding, tally);
            tokio::select! {
                outcome = &mut input => {
                    if let Some(words) = note(unit, by_input, outcome?, tally) {
                        return Ok((Arc::clone(ledger), Some(words)));
                    }
                }
                outcome = other => {
                    let words = note(unit, by_holding, outcome?, tally);
                    return Ok((holding, words));
                }
            }
        }
    }
    match note(
        unit,
        by_holding,
        in_turn(link, unit, by_holding, tally).await?,
        tally,
    ) {
        Some(words) => Ok((holding, Some(words))),
        None => Ok((Arc::clone(ledger), None)),
    }
}

/// The register to ask for.
fn first(ledger: &Ledger) -> Option<Span> {
    let probe = ledger
        .identify
        .as_ref()
        .and_then(|identify| identify.probe.as_ref());
    let mut registers = ledger.points.iter().filter_map(|point| point.register());
    probe
        .map(|probe| probe.span)
        .or_else(|| registers.next().map(|register| register.span))
}

fn note(unit: u8, span: Span, outcome: Outcome, tally: &Tally) -> Option<Vec<u16>> {
    tally.note(unit, span, &outcome);
    match outcome {
        Outcome::Words(words) => Some(words),
        _ => None,
    }
}
