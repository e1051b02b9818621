//! The checks of a value against its limits. For now the words only: the path and its limits follow.

use busbar_ledger::codec::{self, Decoded};
use busbar_ledger::model::Point;
use busbar_ledger::span::Function;
use busbar_ledger::value::Value;
use busbar_ledger::write::{Bound, By};

use crate::permit::{Checked, Order};

/// What bounds a value beside its ledger.
#[derive(Clone, Debug, Default)]
pub struct Context {}

/// The limits that hold for a point.
#[derive(Clone, Debug)]
pub struct Effective {
    min: f64,
    max: f64,
}

/// Why a value is not written.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(String);

/// The limits of a point.
///
/// # Errors
/// Where it has none.
pub fn effective(point: &Point, _context: &Context) -> Result<Effective, Refusal> {
    match point.write.as_ref().and_then(|rule| rule.range) {
        Some((Bound::Number(min), Bound::Number(max))) => Ok(Effective { min, max }),
        _ => Err(Refusal(format!("{} has no range of numbers", point.key))),
    }
}

/// Checks a value, and makes the words that are sent.
///
/// # Errors
/// Where the value, or what its words mean, is outside the limits.
pub fn check(
    point: &Point,
    effective: &Effective,
    wanted: &Value,
    _old: Option<&Value>,
) -> Result<Checked, Refusal> {
    let none = || Refusal(format!("{} cannot be written", point.key));
    let (rule, register) = point.write.as_ref().zip(point.register()).ok_or_else(none)?;
    let words = codec::encode(register, wanted, None).map_err(|error| Refusal(error.to_string()))?;
    let Decoded::Value(value) = codec::decode(register, &words, None) else {
        return Err(none());
    };
    let number = match value {
        Value::Integer(n) => n as f64,
        Value::Number(n) => n,
        Value::Text(_) => return Err(none()),
    };
    if !(effective.min..=effective.max).contains(&number) {
        return Err(Refusal(format!(
            "{number} is outside the limits of {}",
            point.key
        )));
    }
    let at = register.span.at;
    let order = match (rule.by, register.span.function) {
        (By::Function(function @ (5 | 15)), Function::Coils) => Order::Coils {
            function,
            at,
            values: words.iter().map(|word| *word != 0).collect(),
        },
        (By::Function(function @ (6 | 16)), Function::Holding) => Order::Registers { function, at, words },
        (By::RegisterLink { at, id, .. }, _) => Order::Link {
            at,
            words: [&[id, words.len() as u16 * 2], &words[..]].concat(),
            answer: 3,
        },
        _ => return Err(none()),
    };
    Ok(Checked::new(order, value))
}
