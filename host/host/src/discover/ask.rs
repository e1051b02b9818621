//! One read of a scan, and what its outcome means for the scan.

use busbar_ledger::evidence::Outcome;
use busbar_ledger::span::Span;
use busbar_wire::{Link, Priority, ReadPlan, WireError};

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

fn evidence(error: WireError) -> Result<Outcome, WireError> {
    match error {
        WireError::Exception { code, .. } => Ok(Outcome::Exception(code)),
        WireError::Silent { .. } | WireError::UnitResting { .. } => Ok(Outcome::Silent),
        WireError::BadAnswer { .. } | WireError::BadRequest { .. } => Ok(Outcome::Broken),
        other => Err(other),
    }
}
