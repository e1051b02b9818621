//! The file as it is written: serde types that refuse what they do not know. The comments here are what an
//! editor shows, through the JSON Schema. Nothing is checked against anything else yet; [`crate::parse()`] does
//! that.

mod types;
mod values;
mod write;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::model::{Bridge, Class, IdentityFormat, Order, Rate, Total};
use crate::span::Function;

pub(crate) use types::{PointType, TypeName};
pub(crate) use values::{At, Codes, End, Entries, Factor, ForEach, Labels, Number, Operand, Run};
pub(crate) use write::{Absent, Interlock, Lease, Link, Verification, Write};

/// A Busbar ledger: one kind of device or service, how to recognise it, its points.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    /// The ledger's name, `<maker>/<model>`, for example `victron/vm-3p75ct`.
    #[schemars(required, regex(pattern = r"^[a-z0-9][a-z0-9.-]*/[a-z0-9][a-z0-9.-]*$"))]
    pub(crate) ledger: Option<At<String>>,
    /// A name for people.
    #[schemars(required)]
    pub(crate) title: Option<At<String>>,
    /// Where the facts come from.
    pub(crate) source: Option<At<String>>,
    /// A short model name for device ids, `[a-z0-9_]+`; made from the ledger's name when left out.
    pub(crate) model: Option<At<String>>,
    /// The ledger of the gateway that says who this one is: without it nothing is written.
    pub(crate) identified_by: Option<At<String>>,
    /// How such a device is reached.
    #[serde(default)]
    pub(crate) transport: Vec<At<Transport>>,
    /// How it is recognised.
    pub(crate) identify: Option<At<Identify>>,
    /// How it wants to be read.
    pub(crate) read: Option<Read>,
    /// Runs of registers that can be read but carry nothing: they bridge holes between points.
    #[serde(default)]
    pub(crate) reserved: Vec<At<Run>>,
    /// Tables of labels that several points share, by name.
    #[serde(default)]
    #[expect(
        dead_code,
        reason = "for the schema and its type; the content is read section by section"
    )]
    pub(crate) labels: Section<Entries>,
    /// Presence groups: points that exist together.
    #[serde(default)]
    #[expect(dead_code, reason = "see `labels`")]
    pub(crate) groups: Section<Group>,
    /// The measured points, by key.
    #[serde(default)]
    #[expect(dead_code, reason = "see `labels`")]
    pub(crate) points: Section<Point>,
    /// Points that are worked out from others, by key.
    #[serde(default)]
    #[expect(dead_code, reason = "see `labels`")]
    pub(crate) computed: Section<Computed>,
}

/// A table of named things. Each is read by itself, so that one fault does not hide the others; here only the
/// shape counts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Section<T>(PhantomData<T>);

impl<T> Default for Section<T> {
    fn default() -> Self {
        Section(PhantomData)
    }
}

impl<'de, T> Deserialize<'de> for Section<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyTable<T>(PhantomData<T>);
        impl<'de, T> Visitor<'de> for AnyTable<T> {
            type Value = Section<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table of named entries")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Section<T>, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Section::default())
            }
        }
        deserializer.deserialize_any(AnyTable(PhantomData))
    }
}

impl<T: JsonSchema> JsonSchema for Section<T> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        format!("SectionOf{}", T::schema_name()).into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        BTreeMap::<String, T>::json_schema(generator)
    }
}

/// One way to reach a device.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Transport {
    /// URL scheme.
    #[schemars(required)]
    pub(crate) scheme: Option<At<Scheme>>,
    /// The usual port, for network schemes.
    #[schemars(range(min = 1, max = 65535))]
    pub(crate) port: Option<At<i64>>,
    /// The units at which the maker puts it, likeliest first; `[1]` when left out.
    pub(crate) units: Option<At<Vec<At<i64>>>>,
    /// mDNS service type, where the device announces itself.
    pub(crate) mdns: Option<At<String>>,
}

/// URL schemes of a transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub(crate) enum Scheme {
    #[serde(rename = "modbus+tcp")]
    Tcp,
    #[serde(rename = "modbus+udp")]
    Udp,
    #[serde(rename = "modbus+rtu")]
    Rtu,
    #[serde(rename = "modbus+rtu+tcp")]
    RtuOverTcp,
}

/// How a device says what it is. Every read is harmless.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Identify {
    /// The register that decides, and what it must hold.
    pub(crate) probe: Option<At<Probe>>,
    /// Where the serial number lies.
    pub(crate) serial: Option<At<IdentityField>>,
    /// Where the firmware version lies; `since` of a point is compared in its format.
    pub(crate) firmware: Option<At<IdentityField>>,
    /// Where the model's name lies, where the device tells it.
    pub(crate) model: Option<At<IdentityField>>,
    /// Keys of points whose change means that the device must be recognised anew.
    #[serde(default)]
    pub(crate) rescan_when_changed: Vec<At<String>>,
}

/// The register that decides whether a device is of this kind.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Probe {
    /// Zero-based address.
    pub(crate) at: At<i64>,
    /// The type.
    #[serde(rename = "type")]
    pub(crate) ty: At<TypeName>,
    /// Registers, for text and bcd.
    pub(crate) words: Option<At<i64>>,
    /// Where the bytes A B C D of the value lie on the wire.
    #[serde(default)]
    pub(crate) order: Order,
    /// The function, where it differs from that of `[read]`.
    pub(crate) function: Option<Function>,
    /// Accepted values and the model name of each: `{ 0xA1B1 = "VM-3P75CT" }`. Left out: any answer will do.
    #[serde(default)]
    pub(crate) equals: Entries,
    /// For text, instead of `equals`: how it may begin; the model's name is then the whole text.
    #[serde(default)]
    pub(crate) starts_with: Vec<At<String>>,
}

/// A piece of identity on the device.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct IdentityField {
    /// Zero-based address.
    pub(crate) at: At<i64>,
    /// Registers; known for u16, u32, u64, bytes2, bytes4 and gx.
    pub(crate) words: Option<At<i64>>,
    /// How it lies there: text, u16, u32 or u64. Either this or `format`.
    #[serde(rename = "type")]
    pub(crate) ty: Option<At<TypeName>>,
    /// How it becomes text: text, number, bytes2, bytes4 or gx. Either this or `type`.
    pub(crate) format: Option<At<IdentityFormat>>,
    /// Where the bytes A B C D of a text lie on the wire; ABCD when left out.
    #[serde(default)]
    pub(crate) order: Order,
    /// The function, where it differs from that of `[read]`.
    pub(crate) function: Option<Function>,
}

/// How a device wants to be read.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Read {
    /// The function of every point that names none; holding when left out.
    pub(crate) function: Option<ReadFunction>,
    /// The longest read, in registers; 125 when left out.
    #[schemars(range(min = 1, max = 125))]
    pub(crate) max_words: Option<At<i64>>,
    /// Which holes between points a read may span; declared when left out.
    pub(crate) bridge: Option<Bridge>,
    /// Added to every address of the file; -1 for a list that counts from 1.
    pub(crate) index_shift: Option<At<i64>>,
    /// What a 0 says: a value, or nothing (the device answers 0 for what it does not have).
    pub(crate) zero_is: Option<ZeroIs>,
    /// Standard time where the device stands, for times in telegrams: "+01:00" when left out, "+00:00" for Ireland.
    #[schemars(regex(pattern = r"^[+-]\d{2}:\d{2}$"))]
    pub(crate) standard_offset: Option<At<String>>,
    /// Requests that the device takes at once; found out when left out.
    #[schemars(range(min = 1, max = 64))]
    pub(crate) in_flight: Option<At<i64>>,
    /// Pause between an answer and the next request: "50ms".
    pub(crate) spacing: Option<At<String>>,
    /// Pause between connecting and the first request: "1s".
    pub(crate) pause_after_connect: Option<At<String>>,
}

/// The function of points.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ReadFunction {
    Coils,
    Discrete,
    Holding,
    Input,
    /// Function 4 is tried once; 3 is kept when the device refuses it.
    InputThenHolding,
}

/// What a 0 says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ZeroIs {
    Value,
    Unproven,
}

/// Points that exist together. At least one of when, requires and proven_by.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Group {
    /// What the group is, for people.
    pub(crate) title: Option<At<String>>,
    /// Proves every member once it was ever true.
    pub(crate) when: Option<At<Condition>>,
    /// While this is known to be false, the members are absent.
    pub(crate) requires: Option<At<Condition>>,
    /// A member that was ever non-zero proves the others.
    pub(crate) proven_by: Option<ProvenBy>,
}

/// What proves the members of a group.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ProvenBy {
    Sibling,
}

/// A question about another point's value: `point` and exactly one test.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Condition {
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
}

/// One value of a device.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("anyOf" = [{ "required": ["at"] }, { "required": ["obis"] }]))]
pub(crate) struct Point {
    /// Zero-based address. Either this or `obis`.
    pub(crate) at: Option<At<i64>>,
    /// The code of its line in the telegrams that the device sends by itself, instead of an address: "1-0:1.8.0". `n`
    /// stands for the channel of the device. Of several codes the first that is there counts.
    pub(crate) obis: Option<At<Codes>>,
    /// With `obis`: the bracket, from 1, or from -1 for the last; the last one with a value when left out.
    #[schemars(range(min = -64, max = 64))]
    pub(crate) bracket: Option<At<i64>>,
    /// With `obis`: the lowest and the highest value that is one, [low, high].
    #[schemars(length(min = 2, max = 2))]
    pub(crate) within: Option<At<Vec<Number>>>,
    /// The type on the wire; may be left out with `bit` or `bits`, for coils and discrete inputs, and with `obis`, where
    /// it is number.
    #[serde(rename = "type")]
    pub(crate) ty: Option<At<PointType>>,
    /// Where the bytes A B C D of the value lie on the wire, for any width; ABCD when left out.
    pub(crate) order: Option<Order>,
    /// Value = raw * scale + offset.
    pub(crate) scale: Option<At<Factor>>,
    /// Added after scaling, in the point's unit.
    pub(crate) offset: Option<At<Number>>,
    /// The key of a point that holds a power of ten for this one (SunSpec).
    pub(crate) scale_point: Option<At<String>>,
    /// Unit of measurement as Home Assistant writes it: V, A, W, kWh, °C, %, …
    pub(crate) unit: Option<At<String>>,
    /// What kind of quantity it is.
    pub(crate) class: Option<At<Class>>,
    /// For counters: how it runs.
    pub(crate) total: Option<At<Total>>,
    /// Decimals worth showing; worked out from the scale when left out.
    #[schemars(range(min = 0, max = 9))]
    pub(crate) decimals: Option<At<i64>>,
    /// For enumerations: what each number means.
    pub(crate) labels: Option<At<Labels>>,
    /// What a number without a label is called; {} stands for the number.
    pub(crate) unlisted: Option<At<String>>,
    /// Raw patterns that mean "no value".
    #[serde(default)]
    pub(crate) invalid: Vec<At<i128>>,
    /// When the value is one at all.
    pub(crate) valid_when: Option<At<Condition>>,
    /// The presence group it belongs to.
    pub(crate) group: Option<At<String>>,
    /// The first firmware that has it, in the format of `[identify] firmware`.
    pub(crate) since: Option<At<String>>,
    /// The models that have it at this address, as `[identify]` names them; all when left out.
    #[serde(default)]
    pub(crate) models: Vec<At<String>>,
    /// "computed": where the device has no register for it, the formula of the same key in `[computed]` is used.
    #[serde(rename = "else")]
    pub(crate) otherwise: Option<At<Otherwise>>,
    /// How often it is polled; by class when left out.
    pub(crate) rate: Option<Rate>,
    /// "rw" when the device accepts writes to it.
    pub(crate) access: Option<At<Access>>,
    /// Registers, for text, bcd and bits.
    pub(crate) words: Option<At<i64>>,
    /// The bit, counted from the least significant one.
    pub(crate) bit: Option<At<i64>>,
    /// A field of bits: [shift, width].
    #[schemars(length(min = 2, max = 2))]
    pub(crate) bits: Option<At<Vec<i64>>>,
    /// The function, where it differs from that of `[read]`.
    pub(crate) function: Option<Function>,
    /// A name for people, in sentence case; made from the key when left out.
    pub(crate) label: Option<At<String>>,
    /// What people of the maker call it: a D-Bus path, a register name.
    pub(crate) origin: Option<At<String>>,
    /// Anything a reader should know.
    pub(crate) note: Option<At<String>>,
    /// Says that it shares addresses with another point on purpose.
    #[serde(default)]
    pub(crate) overlap: bool,
    /// Only for other points to lean on (a scale register): it is read, but it is no entity.
    #[serde(default)]
    pub(crate) internal: bool,
    /// Why this very device does not have it, where that is known: it is listed as absent and never read.
    pub(crate) absent: Option<At<String>>,
    /// Other registers that hold the same value, best first.
    #[serde(default)]
    pub(crate) fallback: Vec<At<Fallback>>,
    /// Repeats the point.
    pub(crate) for_each: Option<At<ForEach>>,
    /// Bounds and manner of writes.
    pub(crate) write: Option<At<Write>>,
    /// Why Busbar never writes it, though the device accepts that; instead of `write`.
    pub(crate) not_written: Option<At<String>>,
}

/// Where a value comes from on devices that have no register for it.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Otherwise {
    Computed,
}

/// Whether a device accepts writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Access {
    R,
    Rw,
}

/// Another register that holds the same value. What is left out is as in the point.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fallback {
    /// Zero-based address.
    pub(crate) at: At<i64>,
    /// The type on the wire.
    #[serde(rename = "type")]
    pub(crate) ty: Option<At<TypeName>>,
    /// Where the bytes A B C D of the value lie on the wire.
    pub(crate) order: Option<Order>,
    /// Value = raw * scale + offset.
    pub(crate) scale: Option<At<Factor>>,
    /// Registers, for text and bcd.
    pub(crate) words: Option<At<i64>>,
    /// Raw patterns that mean "no value"; as in the point only when the type is the same.
    pub(crate) invalid: Option<Vec<At<i128>>>,
    /// The models that have it, as `[identify]` names them; all when left out.
    #[serde(default)]
    pub(crate) models: Vec<At<String>>,
    /// The first firmware that has it; any when left out.
    pub(crate) since: Option<At<String>>,
    /// "when-it-fits": preferred whenever its range holds the value, because it is the finer of the two.
    pub(crate) prefer: Option<Prefer>,
}

/// When a fall-back is preferred.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Prefer {
    WhenItFits,
}

/// A point that is worked out from others: exactly one formula, and what a point says of itself.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Computed {
    /// a + b + …
    pub(crate) sum: Option<Vec<At<Operand>>>,
    /// [a, b]: a - b
    pub(crate) difference: Option<Vec<At<Operand>>>,
    /// a * b * …
    pub(crate) product: Option<Vec<At<Operand>>>,
    /// [a, b]: a / b, unknown where |b| is below min_denominator.
    pub(crate) ratio: Option<Vec<At<Operand>>>,
    /// [[a, b], [c, d]]: |a * b| + |c * d|
    pub(crate) sum_abs_products: Option<Vec<Vec<At<Operand>>>>,
    /// |a|
    pub(crate) absolute: Option<At<Operand>>,
    /// -1 where a is below 0, else 1.
    pub(crate) sign: Option<At<Operand>>,
    /// a + b + … of those that the device has.
    pub(crate) sum_present: Option<Vec<At<Operand>>>,
    /// The first that is known.
    pub(crate) first_valid: Option<Vec<At<Operand>>>,
    /// Keeps the result within [low, high].
    #[schemars(length(min = 2, max = 2))]
    pub(crate) clamp: Option<At<Vec<Number>>>,
    /// For ratio: the smallest magnitude of the divisor that still gives a value; 1e-9 when left out.
    pub(crate) min_denominator: Option<At<Number>>,
    /// Unit of measurement as Home Assistant writes it.
    pub(crate) unit: Option<At<String>>,
    /// What kind of quantity it is.
    pub(crate) class: Option<At<Class>>,
    /// For counters: how it runs.
    pub(crate) total: Option<At<Total>>,
    /// Decimals worth showing.
    #[schemars(range(min = 0, max = 9))]
    pub(crate) decimals: Option<At<i64>>,
    /// When the value is one at all.
    pub(crate) valid_when: Option<At<Condition>>,
    /// The presence group it belongs to.
    pub(crate) group: Option<At<String>>,
    /// How often it is polled; by class when left out.
    pub(crate) rate: Option<Rate>,
    /// A name for people, in sentence case.
    pub(crate) label: Option<At<String>>,
    /// What people of the maker call it.
    pub(crate) origin: Option<At<String>>,
    /// Anything a reader should know.
    pub(crate) note: Option<At<String>>,
}

/// A nested formula: exactly one of these, and perhaps clamp.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Formula {
    /// a + b + …
    pub(crate) sum: Option<Vec<At<Operand>>>,
    /// [a, b]: a - b
    pub(crate) difference: Option<Vec<At<Operand>>>,
    /// a * b * …
    pub(crate) product: Option<Vec<At<Operand>>>,
    /// [a, b]: a / b
    pub(crate) ratio: Option<Vec<At<Operand>>>,
    /// [[a, b], [c, d]]: |a * b| + |c * d|
    pub(crate) sum_abs_products: Option<Vec<Vec<At<Operand>>>>,
    /// |a|
    pub(crate) absolute: Option<At<Operand>>,
    /// -1 where a is below 0, else 1.
    pub(crate) sign: Option<At<Operand>>,
    /// a + b + … of those that the device has.
    pub(crate) sum_present: Option<Vec<At<Operand>>>,
    /// The first that is known.
    pub(crate) first_valid: Option<Vec<At<Operand>>>,
    /// Keeps the result within [low, high].
    #[schemars(length(min = 2, max = 2))]
    pub(crate) clamp: Option<At<Vec<Number>>>,
    /// For ratio: the smallest magnitude of the divisor that still gives a value.
    pub(crate) min_denominator: Option<At<Number>>,
}
