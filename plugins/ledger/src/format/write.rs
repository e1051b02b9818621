//! The write table of a point, as it is written.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor, value::MapAccessDeserializer};

use super::{At, Condition, End, Number};
use crate::write::{Kind, Risk, Storage};

/// Bounds and manner of writes: min and max, or choices (or both: choices are allowed besides the range). A text needs
/// neither: its bound is its length.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Write {
    /// What kind of control it is; the one that the bounds make when left out.
    pub(crate) kind: Option<At<Kind>>,
    /// Function code of the write: 5, 6, 15 or 16; the one that fits the point when left out.
    pub(crate) function: Option<At<i64>>,
    /// Instead of a function: a register link (VM-3P75CT).
    pub(crate) link: Option<At<Link>>,
    /// The lowest value, in the point's unit, or a limit of the site: { site = "-ac_power" }.
    pub(crate) min: Option<At<End>>,
    /// The highest value.
    pub(crate) max: Option<At<End>>,
    /// Single values that are allowed, besides the range or instead of one.
    #[serde(default)]
    pub(crate) choices: Vec<At<Number>>,
    /// The value that lifts the setting's own bound, for example -1: never part of the range, and written only where the
    /// owner has allowed just that.
    pub(crate) no_limit: Option<At<Number>>,
    /// Values are multiples of this.
    pub(crate) step: Option<At<Number>>,
    /// The largest difference between the present value and the one written.
    pub(crate) max_change: Option<At<Number>>,
    /// The key of a point in which the device says its own lowest value; 0 there, or no value, bounds nothing.
    pub(crate) device_min: Option<At<String>>,
    /// The same for the highest value.
    pub(crate) device_max: Option<At<String>>,
    /// Where the device keeps it; unknown counts as stored.
    #[serde(default)]
    pub(crate) storage: At<Storage>,
    /// The shortest time between two writes: "500ms", "1s", "10m"; 1 s when left out for what is volatile, else 60 s.
    pub(crate) min_interval: Option<At<String>>,
    /// The most writes in 24 hours; 24 when left out, none for what is volatile.
    #[schemars(range(min = 1, max = 86400))]
    pub(crate) daily_budget: Option<At<i64>>,
    /// The value lapses unless it is written again.
    pub(crate) lease: Option<At<Lease>>,
    /// How a write is proven; false for what cannot be read back.
    pub(crate) verify: Option<At<Verification>>,
    /// What a wrong value can do; high asks twice.
    #[serde(default)]
    pub(crate) risk: Risk,
    /// The key of another writable point that is the same setting in another register.
    pub(crate) alias_of: Option<At<String>>,
    /// What must be so, read from the device just before the write.
    #[serde(default)]
    pub(crate) interlocks: Vec<At<Interlock>>,
    /// Where the bounds and the manner come from.
    pub(crate) source: Option<At<String>>,
}

impl<T: Default> Default for At<T> {
    fn default() -> Self {
        At {
            value: T::default(),
            span: 0..0,
        }
    }
}

/// A register link: function 23 writes an id, a length in bytes and the data.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Link {
    /// Zero-based address of the link.
    pub(crate) at: At<i64>,
    /// What is set.
    #[schemars(range(min = 1, max = 65535))]
    pub(crate) id: At<i64>,
    /// The most bytes of data; a number has exactly these.
    #[schemars(range(min = 1, max = 238))]
    pub(crate) bytes: At<i64>,
}

/// A written value that lapses.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Lease {
    /// After how long the device drops the value; left out where the maker does not say.
    pub(crate) device_timeout: Option<At<String>>,
    /// What is written when the lease ends; left out where the device falls back by itself.
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

/// `false`, or how a write is read back.
#[derive(Debug)]
pub(crate) enum Verification {
    Never,
    By(Verify),
}

impl<'de> Deserialize<'de> for Verification {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyVerification;
        impl<'de> Visitor<'de> for AnyVerification {
            type Value = Verification;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("false, or a table such as { after = \"1500ms\", tolerance = 10 }")
            }
            fn visit_bool<E: de::Error>(self, verify: bool) -> Result<Verification, E> {
                if verify {
                    Err(E::invalid_value(de::Unexpected::Bool(true), &self))
                } else {
                    Ok(Verification::Never)
                }
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Verification, A::Error> {
                Verify::deserialize(MapAccessDeserializer::new(map)).map(Verification::By)
            }
        }
        deserializer.deserialize_any(AnyVerification)
    }
}

impl JsonSchema for Verification {
    fn schema_name() -> Cow<'static, str> {
        "Verification".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let table = generator.subschema_for::<Verify>();
        json_schema!({ "anyOf": [table, { "const": false, "description": "It cannot be read back." }] })
    }
}

/// Whether a device that cannot be asked passes an interlock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Absent {
    #[default]
    Refuse,
    Pass,
}

/// Something that must be so before a write: a condition, and what is said when it is not met.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Interlock {
    /// The ledger of the device that is asked, another one on the same connection; the point's own device when left out.
    pub(crate) ledger: Option<At<String>>,
    /// The key of the point that is asked.
    pub(crate) point: At<String>,
    /// It is greater than this.
    pub(crate) above: Option<Number>,
    /// It is less than this.
    pub(crate) below: Option<Number>,
    /// It is at least this.
    pub(crate) at_least: Option<Number>,
    /// It is one of these.
    #[serde(rename = "in")]
    pub(crate) one_of: Option<Vec<i64>>,
    /// It is none of these.
    pub(crate) not_in: Option<Vec<i64>>,
    /// It is anything but 0.
    pub(crate) non_zero: Option<bool>,
    /// All bits of this number are set in it.
    pub(crate) bits: Option<u64>,
    /// Whether a connection that lacks that device, or a device that lacks that point, passes; refuse when left out.
    #[serde(default)]
    pub(crate) absent: Absent,
    /// It only holds for values below this, in the written point's unit.
    pub(crate) only_below: Option<Number>,
    /// It only holds for values above this, in the written point's unit.
    pub(crate) only_above: Option<Number>,
    /// What is said when it is not so, in words of an owner.
    pub(crate) say: At<String>,
}

impl Interlock {
    /// What must be so.
    pub(crate) fn condition(&self) -> Condition {
        Condition {
            point: self.point.clone(),
            above: self.above,
            below: self.below,
            at_least: self.at_least,
            one_of: self.one_of.clone(),
            not_in: self.not_in.clone(),
            non_zero: self.non_zero,
            bits: self.bits,
        }
    }
}
