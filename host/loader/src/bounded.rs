//! Lists from a worker, no longer than they may be. A list is counted while it is read: a message of few megabytes could
//! hold millions of empty elements, which would take hundreds of megabytes in this process.

use std::fmt;
use std::marker::PhantomData;

use busbar_plugin_sdk::abi::MAX_PROBES;
use busbar_plugin_sdk::{Forecast, Found, Probe, Step, Verdict};
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::check::MAX_DEVICES;

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
    let verdict = verdict.map(|BoundedVerdict { devices, note }| Verdict { devices, note });
    Ok(Step {
        probes,
        forecast,
        verdict,
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
