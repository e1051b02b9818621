//! What became of a write, judged by what the device says afterwards. What it acknowledged proves nothing.

use busbar_ledger::value::Value;
use serde::{Deserialize, Serialize};

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The device reads the value back.
    Applied,
    /// The device made another value of it.
    Clamped,
    /// The device refused it, or keeps the old value.
    Rejected,
    /// Nobody knows.
    Unknown,
    /// The device had it, and has dropped it since.
    Reverted,
    /// A guard said no; nothing was sent.
    Refused,
    /// Everything was checked, and nothing sent.
    DryRun,
}

impl Outcome {
    /// The word of the outward contract.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Applied => "applied",
            Outcome::Clamped => "clamped",
            Outcome::Rejected => "rejected",
            Outcome::Unknown => "unknown",
            Outcome::Reverted => "reverted",
            Outcome::Refused => "refused",
            Outcome::DryRun => "dry_run",
        }
    }
}

/// How the request itself ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// With the right echo.
    Acknowledged,
    /// Without an answer that could be believed: perhaps it was done.
    Unconfirmed,
}

/// What is known after so many looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Look once more.
    Wait,
    /// That became of it.
    Decided(Outcome),
}

/// Whether a value that was read is the one that is meant.
pub fn same(read: &Value, meant: &Value, tolerance: f64) -> bool {
    match (read, meant) {
        (Value::Text(read), Value::Text(meant)) => read == meant,
        _ => match (read.as_f64(), meant.as_f64()) {
            (Some(read), Some(meant)) => {
                (read - meant).abs() <= tolerance + 4.0 * f64::EPSILON * read.abs().max(meant.abs())
            }
            _ => false,
        },
    }
}

/// Judges the looks at a point after a write, oldest first; `None` is a look without an answer. `last` tells that no other
/// look will follow.
pub fn judge(
    sent: Sent,
    old: Option<&Value>,
    wanted: &Value,
    tolerance: f64,
    looks: &[Option<Value>],
    last: bool,
) -> Verdict {
    let Some(Some(now)) = looks.last() else {
        return if last {
            Verdict::Decided(Outcome::Unknown)
        } else {
            Verdict::Wait
        };
    };
    if same(now, wanted, tolerance) {
        return Verdict::Decided(Outcome::Applied);
    }
    if old.is_some_and(|old| same(now, old, 0.0)) {
        return match (last, sent) {
            (false, _) => Verdict::Wait,
            (true, Sent::Acknowledged) => Verdict::Decided(Outcome::Rejected),
            // It may still take it: a request that was lost and one that waits somewhere look the same.
            (true, Sent::Unconfirmed) => Verdict::Decided(Outcome::Unknown),
        };
    }
    // Another value: on its way to the wanted one, or what the device made of it.
    let settled = looks
        .iter()
        .rev()
        .nth(1)
        .is_some_and(|before| before.as_ref() == Some(now));
    match settled || last {
        true if sent == Sent::Unconfirmed => Verdict::Decided(Outcome::Unknown),
        true => Verdict::Decided(Outcome::Clamped),
        false => Verdict::Wait,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decided(sent: Sent, looks: &[Option<i64>], last: bool) -> Option<Outcome> {
        let looks: Vec<_> = looks.iter().map(|look| look.map(Value::Integer)).collect();
        match judge(
            sent,
            Some(&Value::Integer(10)),
            &Value::Integer(50),
            1.0,
            &looks,
            last,
        ) {
            Verdict::Wait => None,
            Verdict::Decided(outcome) => Some(outcome),
        }
    }

    #[test]
    fn w13_the_device_decides_what_became_of_a_write() {
        use Outcome::{Applied, Clamped, Rejected, Unknown};
        use Sent::{Acknowledged, Unconfirmed};
        for (sent, looks, last, outcome) in [
            (Acknowledged, &[Some(50)][..], false, Some(Applied)),
            (Acknowledged, &[Some(51)], false, Some(Applied)),
            (Acknowledged, &[Some(10)], false, None),
            (
                Acknowledged,
                &[Some(10), Some(10), Some(10)],
                true,
                Some(Rejected),
            ),
            (Acknowledged, &[Some(10), Some(50)], false, Some(Applied)),
            (Acknowledged, &[Some(30)], false, None),
            (Acknowledged, &[Some(30), Some(30)], false, Some(Clamped)),
            (Acknowledged, &[Some(30), Some(40)], false, None),
            (Acknowledged, &[None], false, None),
            (Acknowledged, &[None, None], true, Some(Unknown)),
            (Acknowledged, &[], true, Some(Unknown)),
            (Unconfirmed, &[Some(50)], false, Some(Applied)),
            (Unconfirmed, &[Some(10), Some(10)], true, Some(Unknown)),
            (Unconfirmed, &[Some(30), Some(30)], true, Some(Unknown)),
        ] {
            assert_eq!(decided(sent, looks, last), outcome, "{sent:?} {looks:?}");
        }
    }
}
