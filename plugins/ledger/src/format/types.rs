//! The names of types: the short ones, and those that meter lists and other tools use.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, Visitor};

use crate::model::SpokenType;

/// Types on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TypeName {
    I16,
    U16,
    I32,
    U32,
    U24,
    I64,
    U64,
    F32,
    F64,
    /// Binary-coded decimal, one to four words.
    Bcd,
    /// One bit (`bit`) or a field of bits (`bits`).
    Bits,
    /// Two characters a word.
    Text,
}

/// Every type by its short name and, where it has one, by its long name.
const NAMES: [(TypeName, &str, Option<&str>); 12] = [
    (TypeName::I16, "i16", Some("INT16")),
    (TypeName::U16, "u16", Some("UINT16")),
    (TypeName::I32, "i32", Some("INT32")),
    (TypeName::U32, "u32", Some("UINT32")),
    (TypeName::U24, "u24", None),
    (TypeName::I64, "i64", Some("INT64")),
    (TypeName::U64, "u64", Some("UINT64")),
    (TypeName::F32, "f32", Some("FLOAT32")),
    (TypeName::F64, "f64", Some("FLOAT64")),
    (TypeName::Bcd, "bcd", None),
    (TypeName::Bits, "bits", None),
    (TypeName::Text, "text", None),
];

impl TypeName {
    /// The names that are offered to somebody who wrote another one.
    pub(crate) const KNOWN: &'static [&'static str] = &[
        "i16", "u16", "i32", "u32", "u24", "i64", "u64", "f32", "f64", "bcd", "bits", "text",
    ];

    /// A type by either of its names, in capitals or not.
    pub(crate) fn of(name: &str) -> Option<Self> {
        let is = |known: &str| known.eq_ignore_ascii_case(name);
        NAMES
            .iter()
            .find(|(_, short, long)| is(short) || long.is_some_and(is))
            .map(|(ty, _, _)| *ty)
    }

    /// The short name.
    pub(crate) fn name(self) -> &'static str {
        NAMES
            .iter()
            .find(|(ty, _, _)| *ty == self)
            .map_or("", |(_, short, _)| short)
    }
}

impl<'de> Deserialize<'de> for TypeName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyName;
        impl Visitor<'_> for AnyName {
            type Value = TypeName;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a type such as \"u16\" or \"FLOAT32\"")
            }
            fn visit_str<E: de::Error>(self, name: &str) -> Result<TypeName, E> {
                TypeName::of(name).ok_or_else(|| E::unknown_variant(name, TypeName::KNOWN))
            }
        }
        deserializer.deserialize_str(AnyName)
    }
}

impl JsonSchema for TypeName {
    fn schema_name() -> Cow<'static, str> {
        "TypeName".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let long: Vec<&str> = NAMES.iter().filter_map(|(_, _, long)| *long).collect();
        json_schema!({
            "description": "Types on the wire: i16 is INT16, u32 is UINT32, f32 is FLOAT32 and so on; capitals make no difference.",
            "anyOf": [
                { "enum": TypeName::KNOWN },
                { "enum": long },
                { "type": "string", "pattern": "^([IiUu](16|32|64)|[Uu]24|[Ff](32|64)|[Uu]?[Ii][Nn][Tt](16|32|64)|[Ff][Ll][Oo][Aa][Tt](32|64)|[Bb][Cc][Dd]|[Bb][Ii][Tt][Ss]|[Tt][Ee][Xx][Tt])$" }
            ]
        })
    }
}

/// Types of a point: those on the wire, and those in telegrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PointType {
    /// In registers; `text` also in telegrams.
    Wire(TypeName),
    /// In telegrams only.
    Spoken(SpokenType),
}

/// The types that only points with `obis` have.
const SPOKEN: [SpokenType; 5] = [
    SpokenType::Number,
    SpokenType::Integer,
    SpokenType::Octets,
    SpokenType::Timestamp,
    SpokenType::Raw,
];

impl<'de> Deserialize<'de> for PointType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyName;
        impl Visitor<'_> for AnyName {
            type Value = PointType;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a type such as \"u16\" or \"FLOAT32\"")
            }
            fn visit_str<E: de::Error>(self, name: &str) -> Result<PointType, E> {
                let spoken = SPOKEN.into_iter().find(|ty| ty.name() == name);
                let wire = || TypeName::of(name).map(PointType::Wire);
                spoken
                    .map(PointType::Spoken)
                    .or_else(wire)
                    .ok_or_else(|| E::unknown_variant(name, TypeName::KNOWN))
            }
        }
        deserializer.deserialize_str(AnyName)
    }
}

impl JsonSchema for PointType {
    fn schema_name() -> Cow<'static, str> {
        "PointType".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let wire = generator.subschema_for::<TypeName>();
        json_schema!({
            "description": "A type on the wire; for a point with `obis` number, integer, text, octets, timestamp or raw.",
            "anyOf": [wire, { "enum": SPOKEN.map(SpokenType::name) }]
        })
    }
}
