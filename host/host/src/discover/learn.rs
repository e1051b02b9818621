//! Learns which registers a device that was found really answers.

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
