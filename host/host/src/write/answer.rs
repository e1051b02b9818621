//! What comes back from a request to write: the document of `set --json`, and the question that a risky write asks first.

use busbar_guard::{Amount, Cause, Outcome, Refusal};
use busbar_ledger::value::Value;
use serde::{Deserialize, Serialize};

use super::target::Target;

/// What became of a request. The first eight keys are the outward contract's.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SetReport {
    /// The entity's id.
    pub entity: String,
    /// What was asked for.
    pub requested: Value,
    /// What became of it.
    pub outcome: Outcome,
    /// Why, in words.
    pub reason: Option<String>,
    /// What binds, where a limit does.
    pub binding_limit: Option<String>,
    /// The words that were sent, or would be.
    pub words: Option<Vec<u16>>,
    /// The function code.
    pub function: Option<u8>,
    /// The zero-based protocol address.
    pub at: Option<u16>,
    /// The Modbus unit.
    pub unit_id: Option<u8>,
    /// A stable word for what is in the way.
    pub code: Option<Cause>,
    /// What to do next.
    pub hint: Option<String>,
    /// The value that the device read before.
    pub old: Option<Value>,
    /// The value that the device reads now.
    pub value: Option<Value>,
    /// The unit of measurement.
    pub unit: Option<String>,
    /// Until when the host keeps a leased value alive, in milliseconds since 1970.
    pub lease_until_ms: Option<i64>,
}

impl SetReport {
    /// A report about an entity of which nothing is known but its name.
    pub fn refused(entity: &str, requested: Value, refusal: &Refusal) -> Self {
        SetReport {
            entity: entity.to_owned(),
            requested,
            outcome: Outcome::Refused,
            reason: Some(refusal.reason.clone()),
            binding_limit: refusal.binding_limit.clone(),
            words: None,
            function: None,
            at: None,
            unit_id: None,
            code: Some(refusal.code),
            hint: Some(refusal.hint.clone()),
            old: None,
            value: None,
            unit: None,
            lease_until_ms: None,
        }
    }

    /// Where it would have gone.
    #[must_use]
    pub fn of(mut self, target: &Target) -> Self {
        let point = target.point();
        self.at = point.register().map(|register| register.span.at);
        self.unit_id = Some(target.device.meta.unit);
        self.unit = point.unit.clone();
        self
    }
}

/// A risky write asks first: the answer of the first of two steps.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Confirm {
    /// Good once, for exactly this write.
    pub token: String,
    /// The words that would be sent.
    pub words: Vec<u16>,
    /// For how long the token is good, in milliseconds from now.
    pub expires_ms: u64,
    /// The entity's id.
    pub entity: String,
    /// What was asked for.
    pub requested: Value,
    /// The function code.
    pub function: u8,
    /// The zero-based protocol address.
    pub at: u16,
    /// The Modbus unit.
    pub unit_id: u8,
    /// What would happen, in a sentence.
    pub question: String,
    /// The value that the device reads now.
    pub old: Option<Value>,
}

/// An answer to a request to write.
#[derive(Clone, Debug)]
pub enum Answer {
    /// It is over.
    Done(Box<SetReport>),
    /// It has to be confirmed.
    Confirm(Box<Confirm>),
}

/// A value of a point as people read it.
pub fn shown(target: &Target, value: &Value) -> String {
    let point = target.point();
    match (point.meaning(value), value) {
        (Some(label), value) => format!("{value} ({label})"),
        (None, Value::Text(text)) => format!("\"{}\"", crate::format::visible(text)),
        (None, value) => Amount(value.as_f64().unwrap_or(f64::NAN), point.unit.as_deref()).to_string(),
    }
}
