//! Counters that run ahead faster than any connection lets them: a digit that was damaged on its way, in a telegram that
//! has no sum. Held back until the next readings say the same. Pure.

use std::collections::HashMap;

use busbar_ledger::model::{Class, Point, Total};
use busbar_ledger::value::{Quality, Reading};
use tokio::time::Instant;

/// More than any connection that has such a meter takes or gives, in kW.
const MOST_KW: f64 = 250.0;
/// What a counter may run ahead at once, in kWh: meters of old count in whole ones.
const SLACK_KWH: f64 = 1.0;
/// So many readings in a row that go with each other are believed.
const AGREE: u32 = 3;

/// The energy counters of one device, by their place in its ledger.
#[derive(Debug, Default)]
pub(super) struct Jumps(HashMap<usize, Seen>);

#[derive(Clone, Copy, Debug)]
struct Seen {
    value: f64,
    at: Instant,
    /// What it jumped to, when, and how many readings went with that.
    ahead: Option<(f64, Instant, u32)>,
}

impl Jumps {
    /// A reading as it may be passed on: one that jumped is none yet.
    pub(super) fn judge(&mut self, index: usize, point: &Point, reading: Reading, now: Instant) -> Reading {
        let counts = point.class == Some(Class::Energy)
            && point.unit.as_deref() == Some("kWh")
            && matches!(point.total, Some(Total::Increasing | Total::Wrapping));
        let value = reading.value.as_ref().and_then(|value| value.as_f64());
        let Some(value) = value.filter(|_| counts && reading.quality == Quality::Good) else {
            return reading;
        };
        let fresh = Seen {
            value,
            at: now,
            ahead: None,
        };
        let seen = self.0.entry(index).or_insert(fresh);
        // One that fell is another's business, and no measure for the next.
        if value < seen.value {
            return reading;
        }
        if is_possible(seen.value, seen.at, value, now) {
            *seen = fresh;
            return reading;
        }
        let agreeing = match seen.ahead {
            Some((before, at, agreeing)) if value >= before && is_possible(before, at, value, now) => {
                agreeing + 1
            }
            _ => 1,
        };
        if agreeing >= AGREE {
            *seen = fresh;
            return reading;
        }
        seen.ahead = Some((value, now, agreeing));
        Reading::unavailable()
    }
}

/// Whether a counter can have run so far.
fn is_possible(before: f64, at: Instant, value: f64, now: Instant) -> bool {
    let hours = now.duration_since(at).as_secs_f64() / 3600.0;
    value - before <= MOST_KW * hours + SLACK_KWH
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use busbar_ledger::value::Value;

    use super::*;

    const LEDGER: &str = "ledger = \"test/one\"\ntitle = \"One\"\n[points]\n\
        energy = { at = 0, type = \"u32\", unit = \"kWh\", class = \"energy\", total = \"increasing\" }\n\
        gas = { at = 2, type = \"u32\", unit = \"m³\", class = \"gas\", total = \"increasing\" }\n";

    fn said(value: f64) -> Reading {
        Reading {
            value: Some(Value::Number(value)),
            quality: Quality::Good,
            ..Reading::unavailable()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_jump_is_believed_when_the_next_readings_go_with_it() {
        let ledger = busbar_ledger::parse("one", LEDGER).unwrap();
        let mut jumps = Jumps::default();
        let begin = Instant::now();
        let mut judge = |seconds: u64, value: f64| {
            let now = begin + Duration::from_secs(seconds);
            jumps
                .judge(0, &ledger.points[0], said(value), now)
                .value
                .is_some()
        };
        assert!(judge(0, 1234.0));
        assert!(judge(10, 1234.01));
        // A digit was damaged once.
        assert!(!judge(20, 9234.01));
        assert!(judge(30, 1234.02));
        assert!(!judge(40, 9234.0));
        assert!(!judge(50, 5234.0), "they do not go with each other");
        assert!(!judge(60, 5234.01));
        assert!(judge(70, 5234.02));
        assert!(judge(80, 5234.03));
        // After a long silence much may have been counted.
        assert!(judge(80 + 36_000, 5434.03));
    }

    #[tokio::test(start_paused = true)]
    async fn only_energy_is_held_back() {
        let ledger = busbar_ledger::parse("one", LEDGER).unwrap();
        let mut jumps = Jumps::default();
        for value in [1.0, 1000.0] {
            let reading = jumps.judge(1, &ledger.points[1], said(value), Instant::now());
            assert_eq!(reading, said(value));
        }
    }
}
