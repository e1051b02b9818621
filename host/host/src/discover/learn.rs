//! Learns which registers a device that was found really answers.

use std::sync::Arc;

use busbar_ledger::evidence::Outcome;
use busbar_ledger::extent::{Extent, Learned};
use busbar_ledger::model::Ledger;
use busbar_ledger::span::Span;
use busbar_wire::{Link, WireError};
use futures_util::future::join_all;

use super::ask::ask;
use super::tally::Tally;

/// Reads all that the ledger describes, in as few blocks as the device allows, bisecting where it refuses.
///
/// # Errors
/// The wire's, when the endpoint itself is lost.
pub async fn learn(
    link: &Link,
    unit: u8,
    ledger: &Ledger,
    firmware: Option<&str>,
    tally: &Tally,
) -> Result<Learned, WireError> {
    let mut extent = Extent::new(ledger, firmware);
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
    firmware: Option<&str>,
    tally: &Tally,
) -> Result<Known, WireError> {
    let learned = learn(link, unit, ledger, firmware, tally).await?;
    if learned.readable.is_empty()
        && let Some(holding) = ledger.in_holding()
    {
        let learned = learn(link, unit, &holding, firmware, tally).await?;
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

/// A block that went unanswered is asked for once more: a lost answer must not cost a device its entities.
async fn patient(link: &Link, unit: u8, span: Span, tally: &Tally) -> Result<Outcome, WireError> {
    let first = ask(link, unit, span).await?;
    tally.note(unit, span, &first);
    match first {
        Outcome::Silent | Outcome::Broken => {
            let second = ask(link, unit, span).await?;
            tally.note(unit, span, &second);
            Ok(second)
        }
        answer => Ok(answer),
    }
}
