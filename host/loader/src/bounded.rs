//! Lists from a worker, no longer than they may be. A list is counted while it is read: a message of few megabytes could
//! hold millions of empty elements, which would take hundreds of megabytes in this process.

use std::fmt;
use std::marker::PhantomData;

use busbar_plugin_sdk::abi::MAX_PROBES;
use busbar_plugin_sdk::{Checked, Forecast, Found, Heard, Probe, Step, Telegram, Verdict};
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::check::{MAX_DEVICES, MAX_LINES, MAX_TELEGRAMS};

/// Reads a list of at most `MOST` elements.
pub(crate) fn list<'de, D, T, const MOST: usize>(from: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct Counted<T, const MOST: usize>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>, const MOST: usize> Visitor<'de> for Counted<T, MOST> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a list of at most {MOST}")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
            let mut all = Vec::new();
            while let Some(each) = seq.next_element()? {
                if all.len() == MOST {
                    return Err(A::Error::invalid_length(MOST + 1, &self));
                }
                all.push(each);
            }
            Ok(all)
        }
    }

    from.deserialize_seq(Counted::<T, MOST>(PhantomData))
}

/// A step as it crosses, field by field as the SDK has it.
#[derive(Deserialize)]
struct BoundedStep {
    #[serde(deserialize_with = "list::<_, _, MAX_PROBES>")]
    probes: Vec<Probe>,
    forecast: Forecast,
    verdict: Option<BoundedVerdict>,
}

#[derive(Deserialize)]
struct BoundedVerdict {
    #[serde(deserialize_with = "list::<_, _, MAX_DEVICES>")]
    devices: Vec<Found>,
    note: String,
}

/// Reads a step.
pub(crate) fn step<'de, D: Deserializer<'de>>(from: D) -> Result<Step, D::Error> {
    let BoundedStep {
        probes,
        forecast,
        verdict,
    } = BoundedStep::deserialize(from)?;
    Ok(Step {
        probes,
        forecast,
        verdict: verdict.map(BoundedVerdict::free),
    })
}

impl BoundedVerdict {
    fn free(self) -> Verdict {
        let BoundedVerdict { devices, note } = self;
        Verdict { devices, note }
    }
}

/// Reads a verdict.
pub(crate) fn verdict<'de, D: Deserializer<'de>>(from: D) -> Result<Verdict, D::Error> {
    BoundedVerdict::deserialize(from).map(BoundedVerdict::free)
}

/// What was heard as it crosses, field by field as the SDK has it.
#[derive(Deserialize)]
struct BoundedHeard {
    consumed: usize,
    #[serde(deserialize_with = "list::<_, _, MAX_TELEGRAMS>")]
    telegrams: Vec<BoundedTelegram>,
    damaged: u32,
    unchecked: u32,
    repeated: u32,
    dropped: u32,
    note: Option<String>,
}

#[derive(Deserialize)]
struct BoundedTelegram {
    checked: Checked,
    time_ms: Option<i64>,
    #[serde(deserialize_with = "list::<_, _, MAX_LINES>")]
    lines: Vec<String>,
    variant: String,
    ident: String,
}

/// Reads what was heard.
pub(crate) fn heard<'de, D: Deserializer<'de>>(from: D) -> Result<Heard, D::Error> {
    let heard = BoundedHeard::deserialize(from)?;
    let telegrams = heard.telegrams.into_iter().map(|telegram| Telegram {
        checked: telegram.checked,
        time_ms: telegram.time_ms,
        lines: telegram.lines,
        variant: telegram.variant,
        ident: telegram.ident,
    });
    Ok(Heard {
        consumed: heard.consumed,
        telegrams: telegrams.collect(),
        damaged: heard.damaged,
        unchecked: heard.unchecked,
        repeated: heard.repeated,
        dropped: heard.dropped,
        note: heard.note,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Reply;

    fn arrives(step: &Step) -> Option<Step> {
        let bytes = postcard::to_allocvec(&Reply::Stepped(step.clone())).unwrap();
        match postcard::from_bytes(&bytes) {
            Ok(Reply::Stepped(step)) => Some(step),
            _ => None,
        }
    }

    #[test]
    fn a_step_arrives_as_it_was_sent() {
        let probe = Probe {
            unit: 1,
            function: 3,
            at: 800,
            count: 2,
        };
        let device = Found {
            unit: 9,
            id: "a".into(),
            model: Some("b".into()),
            ..Found::default()
        };
        let step = Step {
            probes: vec![probe; MAX_PROBES],
            forecast: Forecast {
                remaining: 1,
                expected_exceptions: 2,
                possible: 3,
            },
            verdict: Some(Verdict {
                devices: vec![device],
                note: "c".into(),
            }),
        };
        assert_eq!(arrives(&step), Some(step));
    }

    #[test]
    fn what_was_heard_arrives_as_it_was_sent_and_no_longer_list() {
        let arrives = |heard: &Heard| {
            let bytes = postcard::to_allocvec(&Reply::Heard(heard.clone())).unwrap();
            match postcard::from_bytes(&bytes) {
                Ok(Reply::Heard(heard)) => Some(heard),
                _ => None,
            }
        };
        let telegram = Telegram {
            checked: Checked::Restored,
            time_ms: Some(5),
            lines: vec!["a".into(); MAX_LINES],
            variant: "b".into(),
            ident: "c".into(),
        };
        let mut heard = Heard {
            consumed: 1,
            telegrams: vec![telegram],
            damaged: 2,
            unchecked: 3,
            dropped: 4,
            repeated: 5,
            note: Some("d".into()),
        };
        assert_eq!(arrives(&heard).as_ref(), Some(&heard));
        heard.telegrams[0].lines.push(String::new());
        assert_eq!(arrives(&heard), None);
        heard.telegrams = vec![Telegram::default(); MAX_TELEGRAMS + 1];
        assert_eq!(arrives(&heard), None);
    }

    #[test]
    fn a_longer_list_does_not_arrive() {
        let probes = vec![
            Probe {
                unit: 1,
                function: 3,
                at: 0,
                count: 1
            };
            MAX_PROBES + 1
        ];
        let many = Step {
            probes,
            ..Step::default()
        };
        assert_eq!(arrives(&many), None);
        let devices = vec![Found::default(); MAX_DEVICES + 1];
        let crowd = Step {
            verdict: Some(Verdict {
                devices,
                ..Verdict::default()
            }),
            ..Step::default()
        };
        assert_eq!(arrives(&crowd), None);
    }
}
