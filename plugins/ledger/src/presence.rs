//! Whether an entity really exists on a device, and how that is known.

use serde::{Deserialize, Serialize};

use crate::model::Ledger;
use crate::readings::Facts;
use crate::value::Reading;

/// What is known of a point's existence on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It was proven to exist.
    Present,
    /// It can be read, but never said anything that a missing one would not say as well.
    Unproven,
    /// The device lacks it.
    Absent,
}

impl Status {
    /// The word of the outward contract.
    pub fn name(self) -> &'static str {
        match self {
            Status::Present => "present",
            Status::Unproven => "unproven",
            Status::Absent => "absent",
        }
    }
}

/// A status and how it is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The status.
    pub status: Status,
    /// One sentence for people: `register 808 read 412, not 0`.
    pub proof: String,
}

/// One verdict for each point, in the order of `ledger.points`, from the readings of a scan or a poll.
///
/// `facts.readable` is what the scan learned; without it nothing is called absent for want of a register.
/// `ever(key)` says whether the point was proven before.
pub fn verdicts(
    ledger: &Ledger,
    readings: &[Reading],
    facts: &Facts<'_>,
    ever: &dyn Fn(&str) -> bool,
) -> Vec<Verdict> {
    let _ = (readings, facts, ever);
    ledger
        .points
        .iter()
        .map(|_| Verdict {
            status: Status::Unproven,
            proof: String::new(),
        })
        .collect()
}
