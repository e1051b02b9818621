//! One read of a scan, and what its outcome means for the scan.

use busbar_ledger::evidence::Outcome;
use busbar_ledger::span::Span;
use busbar_wire::{Link, Priority, ReadPlan, WireError};

use super::tally::Tally;

/// Reads once, and tells what the answer means: evidence about a register, or an error that ends the scan because
/// nothing can be learned from this endpoint now.
///
/// # Errors
/// The wire's, when it is about the endpoint and not about this unit or register.
pub async fn ask(link: &Link, unit: u8, span: Span) -> Result<Outcome, WireError> {
    match link
        .read(ReadPlan {
            unit,
            span,
            priority: Priority::Scan,
        })
        .await
    {
        Ok(words) => Ok(Outcome::Words(words)),
        Err(error) => evidence(error),
    }
}

/// Reads as soon as nothing holds the scan up, and again where a pause came between question and answer: a question
/// that stands for hours would be taken for a silent device.
///
/// # Errors
/// As [`ask`].
pub(super) async fn in_turn(link: &Link, unit: u8, span: Span, tally: &Tally) -> Result<Outcome, WireError> {
    loop {
        tally.pause.is_over().await;
        tokio::select! {
            biased;
            answer = ask(link, unit, span) => return answer,
            () = tally.pause.has_begun() => {}
        }
    }
}

/// Reads, and asks once more for what went unanswered: a lost answer must not cost a device its entities.
///
/// # Errors
/// As [`ask`].
pub(super) async fn patient(link: &Link, unit: u8, span: Span, tally: &Tally) -> Result<Outcome, WireError> {
    let first = in_turn(link, unit, span, tally).await?;
    tally.note(unit, span, &first);
    match first {
        Outcome::Silent | Outcome::Broken => {
            let second = in_turn(link, unit, span, tally).await?;
            tally.note(unit, span, &second);
            Ok(second)
        }
        answer => Ok(answer),
    }
}

fn evidence(error: WireError) -> Result<Outcome, WireError> {
    match error {
        WireError::Exception { code, .. } => Ok(Outcome::Exception(code)),
        WireError::Silent { .. } | WireError::UnitResting { .. } => Ok(Outcome::Silent),
        WireError::BadAnswer { .. } | WireError::BadRequest { .. } => Ok(Outcome::Broken),
        other => Err(other),
    }
}
