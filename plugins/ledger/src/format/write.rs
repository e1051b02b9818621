//! The write table of a point, as it is written.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{At, End, Number};
use crate::write::{Risk, Storage};

/// Bounds and manner of writes: min and max, or choices (or both: choices are allowed besides the range).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Write {
    /// Function code of the write: 5, 6, 15 or 16; the one that fits the point when left out.
    pub(crate) function: Option<At<i64>>,
    /// The lowest value, in the point's unit, or a limit of the site: { site = "-ac_power" }.
    pub(crate) min: Option<At<End>>,
    /// The highest value.
    pub(crate) max: Option<At<End>>,
    /// Single values that are allowed, for example -1 for "no limit".
    #[serde(default)]
    pub(crate) choices: Vec<At<Number>>,
    /// Values are multiples of this.
    pub(crate) step: Option<At<Number>>,
    /// Where the device keeps it; unknown counts as stored.
    #[serde(default)]
    pub(crate) storage: Storage,
    /// The shortest time between two writes: "500ms", "1s", "10m".
    pub(crate) min_interval: Option<At<String>>,
    /// The value lapses unless it is written again.
    pub(crate) lease: Option<Lease>,
    /// How a write is proven.
    pub(crate) verify: Option<Verify>,
    /// What a wrong value can do; high asks twice.
    #[serde(default)]
    pub(crate) risk: Risk,
}

/// A written value that lapses.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Lease {
    /// After how long the device drops the value; left out where the maker does not say.
    pub(crate) device_timeout: Option<At<String>>,
    /// What is written when the lease ends.
    pub(crate) safe: Option<At<Number>>,
}

/// How a write is read back.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Verify {
    /// When to read back: "1500ms".
    pub(crate) after: At<String>,
    /// How far the value read may lie from the one written.
    pub(crate) tolerance: Option<At<Number>>,
}
