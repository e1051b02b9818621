//! What a ledger says about writing a point. It narrows what the site and the owner allow, never widens it.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The bounds of a writable point and how the device takes a write.
#[derive(Clone, Debug, PartialEq)]
pub struct WriteRule {
    /// Function code of the write: 5, 6, 15 or 16.
    pub function: u8,
    /// The range of values, in the point's unit; `None` where only `choices` are allowed.
    pub range: Option<(Bound, Bound)>,
    /// Values allowed besides the range (or instead of one), in the point's unit.
    pub choices: Vec<f64>,
    /// Values are multiples of this, counted from 0, in the point's unit.
    pub step: Option<f64>,
    /// Where the device keeps what is written.
    pub storage: Storage,
    /// The shortest time between two writes.
    pub min_interval: Option<Duration>,
    /// The written value lapses unless it is written again.
    pub lease: Option<Lease>,
    /// How a write is proven.
    pub verify: Option<Verify>,
    /// What a wrong value can do.
    pub risk: Risk,
}

/// One end of a range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// A number in the point's unit.
    Number(f64),
    /// A limit that the owner gave for the site; unset means that the write is refused.
    Site {
        /// Which one.
        limit: SiteLimit,
        /// Whether its negative counts (`-ac_power`).
        negative: bool,
    },
}

/// Limits of a site that the owner gives, or that follow from those.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SiteLimit {
    /// Volts x amps x phases, in W.
    AcPower,
    /// Volts x amps, in W.
    AcPowerPhase,
    /// Amps of one phase.
    AcCurrent,
    /// Nominal battery volts x DC amps, in W.
    DcPower,
    /// DC amps.
    DcCurrent,
    /// The battery's lowest voltage as a `min`, its highest as a `max`.
    BatteryVoltage,
}

impl SiteLimit {
    /// All limits, as a ledger names them.
    pub const NAMES: [(&'static str, SiteLimit); 6] = [
        ("ac_power", SiteLimit::AcPower),
        ("ac_power_phase", SiteLimit::AcPowerPhase),
        ("ac_current", SiteLimit::AcCurrent),
        ("dc_power", SiteLimit::DcPower),
        ("dc_current", SiteLimit::DcCurrent),
        ("battery_voltage", SiteLimit::BatteryVoltage),
    ];
}

/// Where the device keeps a written value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Storage {
    /// In memory: writing often wears nothing out.
    Volatile,
    /// In flash or EEPROM: each write wears it.
    Stored,
    /// Not documented; counts as stored.
    #[default]
    Unknown,
}

/// A written value that lapses.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lease {
    /// After how long the device drops the value; `None` where the maker does not say.
    pub device_timeout: Option<Duration>,
    /// What is written when the lease ends, in the point's unit.
    pub safe: Option<f64>,
}

/// How a write is read back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verify {
    /// When to read back.
    pub after: Duration,
    /// How far the value read may lie from the one written, in the point's unit.
    pub tolerance: f64,
}

/// What a wrong value can do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Risk {
    /// Nothing that the next write does not mend.
    Low,
    /// Comfort or cost.
    #[default]
    Medium,
    /// People, devices or the law: asks twice.
    High,
}
