//! What a site file looks like, as `toml` checks it key by key. What the keys mean together is checked in
//! [`crate::site`].

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use busbar_ledger::value::Value;
use serde::Deserialize;
use serde::de::{self, MapAccess, Visitor, value::MapAccessDeserializer};
use toml::Spanned;

use crate::expression::{Form, Seconds, Term, TimeOfDay};
use crate::onwrite::OnWrite;
use crate::site::Kind;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    #[serde(default)]
    pub(crate) seed: u64,
    pub(crate) begins: Option<TimeOfDay>,
    pub(crate) day: Option<Spanned<Seconds>>,
    #[serde(default)]
    pub(crate) signals: BTreeMap<Spanned<String>, Term>,
    #[serde(default)]
    pub(crate) device: Vec<Spanned<DeviceFile>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeviceFile {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) listen: Spanned<String>,
    pub(crate) delay: Option<Seconds>,
    #[serde(default)]
    pub(crate) shuffle: bool,
    #[serde(default)]
    pub(crate) zeros: bool,
    #[serde(default)]
    pub(crate) drop: Vec<Spanned<String>>,
    #[serde(default)]
    pub(crate) hide: Vec<Spanned<String>>,
    pub(crate) writes: Option<bool>,
    #[serde(default)]
    pub(crate) holding_only: bool,
    pub(crate) connections: Option<usize>,
    pub(crate) baud: Option<Spanned<u32>>,
    #[serde(default)]
    pub(crate) service: Vec<Spanned<ServiceFile>>,
    #[serde(default)]
    pub(crate) unit: Vec<Spanned<UnitFile>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServiceFile {
    pub(crate) service: String,
    #[serde(default)]
    pub(crate) instance: u16,
    #[serde(default)]
    pub(crate) invalid: Vec<Spanned<String>>,
    #[serde(default)]
    pub(crate) values: BTreeMap<Spanned<String>, Given>,
    #[serde(default)]
    pub(crate) on_write: BTreeMap<Spanned<String>, OnWriteFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UnitFile {
    pub(crate) unit: u8,
    pub(crate) ledger: String,
    pub(crate) model: Option<String>,
    pub(crate) firmware: Option<String>,
    #[serde(default)]
    pub(crate) invalid: Vec<Spanned<String>>,
    #[serde(default)]
    pub(crate) values: BTreeMap<Spanned<String>, Given>,
    #[serde(default)]
    pub(crate) on_write: BTreeMap<Spanned<String>, OnWriteFile>,
}

/// How a point takes writes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OnWriteFile {
    refuse: Option<u8>,
    #[serde(default)]
    keep: bool,
    clamp: Option<[f64; 2]>,
    settle: Option<Seconds>,
    drop: Option<Seconds>,
    other: Option<OtherFile>,
    lapse: Option<Seconds>,
    fallback: Option<Value>,
}

/// What another master writes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OtherFile {
    value: Value,
    #[serde(default)]
    after: Seconds,
}

impl From<OnWriteFile> for OnWrite {
    fn from(file: OnWriteFile) -> Self {
        let time = |seconds: Seconds| Duration::from_secs_f64(seconds.0);
        OnWrite {
            refuse: file.refuse,
            keep: file.keep,
            clamp: file.clamp.map(|[low, high]| (low, high)),
            settle: file.settle.map(time).unwrap_or_default(),
            drop: file.drop.map(time),
            other: file.other.map(|other| (other.value, time(other.after))),
            lapse: file.lapse.map(time),
            fallback: file.fallback,
        }
    }
}

/// A value of a point: a number, a text, or a form.
pub(crate) enum Given {
    Fixed(Value),
    Form(Form),
}

impl<'de> Deserialize<'de> for Given {
    fn deserialize<D: de::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct GivenVisitor;
        impl<'de> Visitor<'de> for GivenVisitor {
            type Value = Given;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, a text, or a form such as { signal = \"pv\" }")
            }
            fn visit_bool<E: de::Error>(self, bit: bool) -> Result<Given, E> {
                Ok(Given::Fixed(Value::Integer(bit.into())))
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Given, E> {
                Ok(Given::Fixed(Value::Integer(number)))
            }
            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Given, E> {
                Ok(Given::Fixed(Value::Number(number)))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Given, E> {
                Ok(Given::Fixed(Value::Text(text.to_owned())))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Given, A::Error> {
                Form::deserialize(MapAccessDeserializer::new(map)).map(Given::Form)
            }
        }
        from.deserialize_any(GivenVisitor)
    }
}
