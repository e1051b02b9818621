//! Why something is not written, in words of an owner, and numbers as people write them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why something is not written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{reason}")]
pub struct Refusal {
    /// A stable word for programs.
    pub code: Cause,
    /// What is in the way, without "refused".
    pub reason: String,
    /// What to do next.
    pub hint: String,
    /// Which limit binds, where one does: `site.ac_current`, `ledger`, `register`, `device`, `owner`.
    pub binding_limit: Option<String>,
}

impl Refusal {
    /// A refusal that no limit binds.
    pub fn new(code: Cause, reason: impl Into<String>, hint: impl Into<String>) -> Self {
        Refusal {
            code,
            reason: reason.into(),
            hint: hint.into(),
            binding_limit: None,
        }
    }

    /// The limit that binds.
    #[must_use]
    pub fn bound_by(mut self, limit: impl Into<String>) -> Self {
        self.binding_limit = Some(limit.into());
        self
    }
}

/// What kind of thing is in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Writes are off: read-only, or the level does not reach.
    Level,
    /// The entity is not opted in.
    NotAllowed,
    /// The owner's leave has run out.
    Expired,
    /// The ledger gives no rule for it.
    NoRule,
    /// A limit that it needs is not set.
    NotSet,
    /// Above, below, or none of the choices.
    Bounds,
    /// Between two steps.
    Step,
    /// Too far from the present value.
    Change,
    /// Too soon after the last write.
    Rate,
    /// The day's budget of a stored setting is used up.
    Budget,
    /// It is the value already.
    Equal,
    /// The text or number cannot be understood.
    Value,
    /// The device is not the one that was approved, or does not say who it is.
    Identity,
    /// What is known of the device is too old, and it could not be read now.
    Stale,
    /// Something else must be so before.
    Interlock,
    /// It has to be confirmed.
    Confirm,
    /// The token is not one for this write.
    Token,
    /// The kill switch is on.
    KillSwitch,
    /// The audit could not be written.
    Audit,
    /// The wall clock is not to be trusted.
    Clock,
    /// It needs a running host that keeps it alive.
    NeedsHost,
    /// Too much is under way.
    Busy,
}

impl Cause {
    /// The word.
    pub fn name(self) -> &'static str {
        match self {
            Cause::Level => "level",
            Cause::NotAllowed => "not_allowed",
            Cause::Expired => "expired",
            Cause::NoRule => "no_rule",
            Cause::NotSet => "not_set",
            Cause::Bounds => "bounds",
            Cause::Step => "step",
            Cause::Change => "change",
            Cause::Rate => "rate",
            Cause::Budget => "budget",
            Cause::Equal => "equal",
            Cause::Value => "value",
            Cause::Identity => "identity",
            Cause::Stale => "stale",
            Cause::Interlock => "interlock",
            Cause::Confirm => "confirm",
            Cause::Token => "token",
            Cause::KillSwitch => "kill_switch",
            Cause::Audit => "audit",
            Cause::Clock => "clock",
            Cause::NeedsHost => "needs_host",
            Cause::Busy => "busy",
        }
    }
}

/// A number with its unit as people write it: `5,520 W`, `-0.5 A`, `55 %`.
#[derive(Clone, Copy, Debug)]
pub struct Amount<'a>(pub f64, pub Option<&'a str>);

impl fmt::Display for Amount<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rounded = (self.0 * 1e6).round() / 1e6;
        let text = if rounded.abs() < 1e15 {
            format!("{rounded}")
        } else {
            format!("{:e}", self.0)
        };
        let (sign, digits) = text
            .strip_prefix('-')
            .map_or(("", text.as_str()), |rest| ("-", rest));
        let (whole, rest) = digits.find('.').map_or((digits, ""), |dot| digits.split_at(dot));
        f.write_str(sign)?;
        for (place, digit) in whole.char_indices() {
            if place > 0 && (whole.len() - place) % 3 == 0 && !text.contains('e') {
                f.write_str(",")?;
            }
            write!(f, "{digit}")?;
        }
        f.write_str(rest)?;
        match self.1 {
            Some(unit) => write!(f, " {unit}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_people_write_them() {
        for (number, unit, text) in [
            (5520.0, Some("W"), "5,520 W"),
            (-1_234_567.5, Some("W"), "-1,234,567.5 W"),
            (0.1 + 0.2, Some("A"), "0.3 A"),
            (100.0, None, "100"),
            (f64::MAX, None, "1.7976931348623157e308"),
        ] {
            assert_eq!(Amount(number, unit).to_string(), text);
        }
    }
}
