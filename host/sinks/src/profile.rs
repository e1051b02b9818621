//! What was learned about talking to an endpoint and to each unit behind it: plain data, for whoever shows it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The profile of one endpoint. Times are whole milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Profile {
    /// Requests that it copes with at once.
    pub in_flight: Option<u16>,
    /// From request to answer, smoothed, in steps of a quarter: what is kept does not change with every packet.
    pub latency_ms: Option<u64>,
    /// What an answer is given before it counts as missing, in the same steps.
    pub timeout_ms: Option<u64>,
    /// The pause that it needs between an answer and the next request.
    pub spacing_ms: Option<u64>,
    /// The pause that it needs between connecting and the first request.
    pub settle_ms: Option<u64>,
    /// How the line is set on which a meter speaks, as in a URL: `baud=115200&parity=none&bits=8`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub setting: Option<String>,
    /// What of each unit behind it is known.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub units: BTreeMap<u8, UnitProfile>,
}

/// What one unit copes with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UnitProfile {
    /// The longest read that it takes, in registers.
    pub max_words: Option<u16>,
    /// Whether a read may run across a hole. `false` where it was caught answering such a read with other values than
    /// single reads of the same registers.
    pub spans_holes: Option<bool>,
}

/// What is shown of a device's profile: its unit's, and its endpoint's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceProfile {
    /// The longest read that it takes, in registers.
    pub max_words: Option<u16>,
    /// Whether a read may run across a hole.
    pub spans_holes: Option<bool>,
    /// Requests that its endpoint copes with at once.
    pub in_flight: Option<u16>,
    /// From request to answer, in milliseconds.
    pub latency_ms: Option<u64>,
    /// What an answer is given, in milliseconds.
    pub timeout_ms: Option<u64>,
    /// The pause that it needs between an answer and the next request, in milliseconds.
    pub spacing_ms: Option<u64>,
    /// The pause that it needs between connecting and the first request, in milliseconds.
    pub settle_ms: Option<u64>,
}

impl Profile {
    /// What is known of one unit.
    pub fn unit(&self, unit: u8) -> UnitProfile {
        self.units.get(&unit).copied().unwrap_or_default()
    }

    /// What is shown for a device at this unit; `None` where nothing is known.
    pub fn device(&self, unit: u8) -> Option<DeviceProfile> {
        let UnitProfile {
            max_words,
            spans_holes,
        } = self.unit(unit);
        let known = DeviceProfile {
            max_words,
            spans_holes,
            in_flight: self.in_flight,
            latency_ms: self.latency_ms,
            timeout_ms: self.timeout_ms,
            spacing_ms: self.spacing_ms,
            settle_ms: self.settle_ms,
        };
        let nothing = max_words.is_none() && spans_holes.is_none() && self.latency_ms.is_none();
        (!nothing).then_some(known)
    }
}
