//! Counters that jump: a device that reboots says 0 for a moment, and whoever adds up what is published would book its
//! whole past twice. So a counter that falls is held back until its next readings say what happened. Pure.

use std::collections::HashMap;

use busbar_ledger::counter::{Counter, Step};
use busbar_ledger::model::{Point, Total};
use busbar_ledger::value::{Quality, Reading};

/// The counters of one device, by their place in its ledger.
#[derive(Debug, Default)]
pub struct Counters(HashMap<usize, Counter>);

impl Counters {
    /// Whether one of them reads 0 and is not believed.
    pub fn any_doubtful_at_zero(&self) -> bool {
        self.0.values().any(Counter::is_doubtful_at_zero)
    }

    /// A reading as it may be published: one that is not to be believed yet is none. Says what happened, where that is
    /// worth a line in the log.
    pub fn judge(&mut self, index: usize, point: &Point, reading: Reading) -> (Reading, Option<String>) {
        let counts = matches!(point.total, Some(Total::Increasing | Total::Wrapping));
        let value = reading.value.as_ref().and_then(|value| value.as_f64());
        let Some(value) = value.filter(|_| counts && reading.quality == Quality::Good) else {
            return (reading, None);
        };
        match self.0.entry(index).or_default().note(value, point.range()) {
            Step::Begins | Step::Runs { .. } => (reading, None),
            Step::Doubtful => (Reading::unavailable(), None),
            Step::Reset { .. } => {
                let note = format!("{} began anew, at {value}", point.label);
                (reading, Some(note))
            }
            Step::Wrapped { .. } => {
                let note = format!("{} was full and began again at 0", point.label);
                (reading, Some(note))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use busbar_ledger::value::Value;

    use super::*;

    fn said(value: f64) -> Reading {
        Reading {
            value: Some(Value::Number(value)),
            quality: Quality::Good,
            ..Reading::unavailable()
        }
    }

    #[test]
    fn only_counters_are_held_back() {
        let text = "ledger = \"test/one\"\ntitle = \"One\"\n[points]\n\
                    energy = { at = 0, type = \"u32\", unit = \"kWh\", class = \"energy\", total = \"increasing\" }\n\
                    power = { at = 2, type = \"u16\", unit = \"W\", class = \"power\" }\n\
                    today = { at = 3, type = \"u16\", unit = \"kWh\", class = \"energy\", total = \"resetting\" }\n";
        let ledger = busbar_ledger::parse("one", text).unwrap();
        let mut counters = Counters::default();
        let mut judge = |i: usize, value| counters.judge(i, &ledger.points[i], said(value));
        for i in [0, 1, 2] {
            assert_eq!(judge(i, 500.0), (said(500.0), None));
        }
        assert_eq!(judge(0, 0.0), (Reading::unavailable(), None));
        assert_eq!(judge(1, 0.0), (said(0.0), None));
        // At midnight it is 0, and stays so until the sun rises.
        assert_eq!(judge(2, 0.0), (said(0.0), None));
        assert_eq!(judge(0, 500.5), (said(500.5), None));
        judge(0, 0.0);
        let (reading, note) = judge(0, 1.0);
        assert_eq!(reading, said(1.0));
        assert!(note.unwrap().contains("began anew"));
    }
}
