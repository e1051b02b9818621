//! What a ledger says about writing a point. It narrows what the site and the owner allow, never widens it.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::Condition;

/// The bounds of a writable point and how the device takes a write.
#[derive(Clone, Debug, PartialEq)]
pub struct WriteRule {
    /// What kind of control it is.
    pub kind: Kind,
    /// How the request is made.
    pub by: By,
    /// The range of values, in the point's unit; `None` where only `choices` are allowed, and for texts.
    pub range: Option<(Bound, Bound)>,
    /// Values allowed besides the range (or instead of one), in the point's unit.
    pub choices: Vec<f64>,
    /// The value that lifts the setting's own bound ("no limit"), in the point's unit: never part of the range, and only
    /// written where the owner has allowed just that.
    pub no_limit: Option<f64>,
    /// Values are multiples of this, counted from 0, in the point's unit.
    pub step: Option<f64>,
    /// The largest difference between the present value and the one written, in the point's unit.
    pub max_change: Option<f64>,
    /// What the device itself says of its bounds: keys of points of the same ledger. One that reads 0, or no value,
    /// bounds nothing.
    pub device_min: Option<String>,
    /// The same for the highest value.
    pub device_max: Option<String>,
    /// Where the device keeps what is written.
    pub storage: Storage,
    /// The shortest time between two writes.
    pub min_interval: Duration,
    /// The most writes in 24 hours; `None`: no budget, for what wears nothing out.
    pub daily_budget: Option<u32>,
    /// The written value lapses unless it is written again.
    pub lease: Option<Lease>,
    /// How a write is proven; `None` where the value cannot be read back (a button falls back by itself).
    pub verify: Option<Verify>,
    /// What a wrong value can do.
    pub risk: Risk,
    /// The key of another point of this ledger that is the same setting in another register: both share one limit, one
    /// budget and one interval.
    pub alias_of: Option<String>,
    /// What must be so, read from the device just before the write.
    pub interlocks: Vec<Interlock>,
    /// Where the bounds and the manner come from.
    pub source: Option<String>,
}

/// What kind of control a writable point is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A number within a range.
    Number,
    /// Two choices, off and on.
    Switch,
    /// One of several choices.
    Select,
    /// One choice, which sets something off.
    Button,
    /// A text.
    Text,
}

impl WriteRule {
    /// Replaces each key that it names with what `fill` makes of it.
    pub(crate) fn rename(&mut self, fill: impl Fn(&str) -> String) {
        let keys = [&mut self.device_min, &mut self.device_max, &mut self.alias_of];
        for key in keys.into_iter().flatten() {
            *key = fill(key);
        }
        for interlock in &mut self.interlocks {
            interlock.condition.point = fill(&interlock.condition.point);
            interlock.say = fill(&interlock.say);
        }
    }
}

impl Kind {
    /// The word of the outward contract.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Number => "number",
            Kind::Switch => "switch",
            Kind::Select => "select",
            Kind::Button => "button",
            Kind::Text => "text",
        }
    }
}

/// How a write request is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// With this function: 5, 6, 15 or 16. Several words always go in one request.
    Function(u8),
    /// Through a register link (VM-3P75CT): function 23 writes an id, a length in bytes and the data to `at`, and reads the
    /// answer back from there.
    RegisterLink {
        /// Where the link lies.
        at: u16,
        /// What is set.
        id: u16,
        /// The most bytes of data.
        bytes: u8,
    },
}

/// Something that must be so before a write.
#[derive(Clone, Debug, PartialEq)]
pub struct Interlock {
    /// The ledger of the device that is asked: another one on the same connection (of the same gateway, where there is
    /// one). `None`: the point's own device.
    pub ledger: Option<String>,
    /// The point that is asked, and what it must say.
    pub condition: Condition,
    /// Whether a device that lacks that point, or a connection that lacks that device, passes.
    pub absent_passes: bool,
    /// It only holds for values below this (discharge, feed-in), in the written point's unit.
    pub only_below: Option<f64>,
    /// It only holds for values above this (starting something, which stopping must not wait for).
    pub only_above: Option<f64>,
    /// What is said when it is not so, in words of an owner: "the ESS mode is not External control".
    pub say: String,
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

    /// What it counts in: a point of another unit cannot be bounded by it.
    pub fn unit(self) -> &'static str {
        match self {
            SiteLimit::AcPower | SiteLimit::AcPowerPhase | SiteLimit::DcPower => "W",
            SiteLimit::AcCurrent | SiteLimit::DcCurrent => "A",
            SiteLimit::BatteryVoltage => "V",
        }
    }
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

/// How often a volatile value may be written where its rule says nothing.
pub const VOLATILE_INTERVAL: Duration = Duration::from_secs(1);
/// How often a stored one may be.
pub const STORED_INTERVAL: Duration = Duration::from_secs(60);
/// How often a stored one may be written in 24 hours where its rule says nothing.
pub const STORED_BUDGET: u32 = 24;
/// When a written value is read back where its rule says nothing.
pub const SETTLE: Duration = Duration::from_millis(1500);

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
