//! Whether the device that answers is the one that is meant: by its serial number, which nothing else decides.

use busbar_ledger::evidence::Outcome;
use busbar_ledger::identify;
use busbar_ledger::model::Ledger;
use busbar_wire::{Link, WireError};

use super::ask::ask;

/// Who answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// The device that is meant.
    Same,
    /// Another one, with its serial number.
    Other(String),
    /// It does not tell: its ledger names no register for it, or the device refused or was silent.
    Unknown,
}

/// Asks a unit for its serial number, as the ledger says where it lies, and compares it.
///
/// # Errors
/// The wire's, when the endpoint itself is lost.
pub async fn who(link: &Link, unit: u8, ledger: &Ledger, serial: &str) -> Result<Who, WireError> {
    let Some(field) = ledger.identify.as_ref().and_then(|i| i.serial.as_ref()) else {
        return Ok(Who::Unknown);
    };
    let outcome = ask(link, unit, field.span).await?;
    let Outcome::Words(words) = outcome else {
        return Ok(Who::Unknown);
    };
    Ok(match identify::serial_text(field, &words) {
        Some(told) if told == serial => Who::Same,
        Some(told) => Who::Other(told),
        None => Who::Unknown,
    })
}
