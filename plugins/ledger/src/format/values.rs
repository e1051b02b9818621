//! Values of the file that have more than one form, each with its place in the text.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{
    self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer,
};

use super::Formula;

/// A value and where it stands in the file.
#[derive(Clone, Debug)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) span: Range<usize>,
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for At<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = toml::Spanned::<T>::deserialize(deserializer)?;
        let span = spanned.span();
        Ok(At {
            value: spanned.into_inner(),
            span,
        })
    }
}

impl<T: JsonSchema> JsonSchema for At<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }
    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }
    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// A finite number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Number(pub(crate) f64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = f64::deserialize(deserializer)?;
        if number.is_finite() {
            Ok(Number(number))
        } else {
            Err(de::Error::invalid_value(
                de::Unexpected::Float(number),
                &"a finite number",
            ))
        }
    }
}

impl JsonSchema for Number {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Number".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "number" })
    }
}

/// A factor as it is written: `"1/10"`, `10`, `0.1`. Its text is parsed exactly later.
#[derive(Clone, Debug)]
pub(crate) struct Factor(pub(crate) String);

impl<'de> Deserialize<'de> for Factor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyFactor;
        impl Visitor<'_> for AnyFactor {
            type Value = Factor;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a factor such as \"1/10\", 10 or 0.1")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Factor, E> {
                Ok(Factor(text.to_owned()))
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Factor, E> {
                Ok(Factor(number.to_string()))
            }
            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Factor, E> {
                // The shortest text that reads back as this number is the one that was written, for anything
                // of up to 15 digits.
                Ok(Factor(number.to_string()))
            }
        }
        deserializer.deserialize_any(AnyFactor)
    }
}

impl JsonSchema for Factor {
    fn schema_name() -> Cow<'static, str> {
        "Factor".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "An exact factor: a fraction as text (\"1/10\", \"-1/10\"), a whole number or a decimal. Value = raw * scale + offset.",
            "anyOf": [
                { "type": "string", "pattern": "^[+-]?[0-9]+(\\.[0-9]+|/[0-9]+)?$" },
                { "type": "number" }
            ]
        })
    }
}

/// A table whose keys are numbers, ranges of numbers or texts, in the order of the file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Entries(pub(crate) Vec<(At<String>, At<String>)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyEntries;
        impl<'de> Visitor<'de> for AnyEntries {
            type Value = Entries;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table such as { 0 = \"Off\", 51-54 = \"Other\" }")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_any(AnyEntries)
    }
}

impl JsonSchema for Entries {
    fn schema_name() -> Cow<'static, str> {
        "Entries".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Texts by number; a key may be a range (51-54 is each number of it).",
            "type": "object",
            "additionalProperties": { "type": "string" }
        })
    }
}

/// Labels of an enumeration: a table, or the name of a shared one.
#[derive(Clone, Debug)]
pub(crate) enum Labels {
    Shared(String),
    Own(Entries),
}

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyLabels;
        impl<'de> Visitor<'de> for AnyLabels {
            type Value = Labels;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table such as { 0 = \"Off\", 1 = \"On\" } or the name of one in [labels]")
            }
            fn visit_str<E: de::Error>(self, name: &str) -> Result<Labels, E> {
                Ok(Labels::Shared(name.to_owned()))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Labels, A::Error> {
                Entries::deserialize(MapAccessDeserializer::new(map)).map(Labels::Own)
            }
        }
        deserializer.deserialize_any(AnyLabels)
    }
}

impl JsonSchema for Labels {
    fn schema_name() -> Cow<'static, str> {
        "Labels".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let own = generator.subschema_for::<Entries>();
        json_schema!({ "anyOf": [own, { "type": "string", "description": "The name of a table of [labels]." }] })
    }
}

/// `{ phase = [1, 2, 3], stride = 8 }`
#[derive(Clone, Debug)]
pub(crate) struct ForEach {
    pub(crate) lists: Vec<(At<String>, At<Items>)>,
    pub(crate) stride: Option<At<i64>>,
}

impl<'de> Deserialize<'de> for ForEach {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyForEach;
        impl<'de> Visitor<'de> for AnyForEach {
            type Value = ForEach;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table such as { phase = [1, 2, 3], stride = 8 }")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ForEach, A::Error> {
                let mut all = ForEach {
                    lists: Vec::new(),
                    stride: None,
                };
                while let Some(name) = map.next_key::<At<String>>()? {
                    if name.value == "stride" {
                        all.stride = Some(map.next_value()?);
                    } else {
                        all.lists.push((name, map.next_value()?));
                    }
                }
                Ok(all)
            }
        }
        deserializer.deserialize_any(AnyForEach)
    }
}

impl JsonSchema for ForEach {
    fn schema_name() -> Cow<'static, str> {
        "ForEach".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Repeats the point: { phase = [1, 2, 3], stride = 8 }. {phase} in key, label, group and references becomes each value; the n-th lies n strides further.",
            "type": "object",
            "properties": { "stride": { "type": "integer", "description": "Addresses from one to the next." } },
            "required": ["stride"],
            "minProperties": 2,
            "maxProperties": 2,
            "additionalProperties": { "type": "array", "items": { "type": ["integer", "string"] } }
        })
    }
}

/// The values of a `for_each` list.
pub(crate) type Items = Vec<At<Item>>;

/// One value of a `for_each` list, as text.
#[derive(Clone, Debug)]
pub(crate) struct Item(pub(crate) String);

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyItem;
        impl Visitor<'_> for AnyItem {
            type Value = Item;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number or a short text")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Item, E> {
                Ok(Item(text.to_owned()))
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Item, E> {
                Ok(Item(number.to_string()))
            }
        }
        deserializer.deserialize_any(AnyItem)
    }
}

/// `[122, 8]` or `["input", 10, 2]`: function, address, count.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) function: Option<crate::span::Function>,
    pub(crate) at: i64,
    pub(crate) count: i64,
}

impl<'de> Deserialize<'de> for Run {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        enum Part {
            Name(String),
            Number(i64),
        }
        impl<'de> Deserialize<'de> for Part {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct AnyPart;
                impl Visitor<'_> for AnyPart {
                    type Value = Part;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str("an address, a count or the name of a function")
                    }
                    fn visit_str<E: de::Error>(self, name: &str) -> Result<Part, E> {
                        Ok(Part::Name(name.to_owned()))
                    }
                    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Part, E> {
                        Ok(Part::Number(number))
                    }
                }
                deserializer.deserialize_any(AnyPart)
            }
        }
        struct AnyRun;
        impl<'de> Visitor<'de> for AnyRun {
            type Value = Run;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("[address, count] or [\"function\", address, count]")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Run, A::Error> {
                let wrong = || {
                    de::Error::custom("a reserved run is [address, count] or [\"function\", address, count]")
                };
                let mut parts = Vec::new();
                while let Some(part) = seq.next_element()? {
                    if parts.len() == 3 {
                        return Err(wrong());
                    }
                    parts.push(part);
                }
                match parts.as_slice() {
                    [Part::Number(at), Part::Number(count)] => Ok(Run {
                        function: None,
                        at: *at,
                        count: *count,
                    }),
                    [Part::Name(name), Part::Number(at), Part::Number(count)] => {
                        let name = de::value::StrDeserializer::<A::Error>::new(name);
                        Ok(Run {
                            function: Some(Deserialize::deserialize(name)?),
                            at: *at,
                            count: *count,
                        })
                    }
                    _ => Err(wrong()),
                }
            }
        }
        deserializer.deserialize_any(AnyRun)
    }
}

impl JsonSchema for Run {
    fn schema_name() -> Cow<'static, str> {
        "Run".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A run of registers: [address, count] or [\"function\", address, count].",
            "type": "array",
            "items": { "type": ["integer", "string"] },
            "minItems": 2,
            "maxItems": 3
        })
    }
}

/// What a computed value is made of: a key, a number or a nested formula.
#[derive(Clone, Debug)]
pub(crate) enum Operand {
    Key(String),
    Constant(f64),
    Formula(Box<Formula>),
}

impl<'de> Deserialize<'de> for Operand {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyOperand;
        impl<'de> Visitor<'de> for AnyOperand {
            type Value = Operand;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the key of a point, a number or a formula such as { sum = [\"a\", \"b\"] }")
            }
            fn visit_str<E: de::Error>(self, key: &str) -> Result<Operand, E> {
                Ok(Operand::Key(key.to_owned()))
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Operand, E> {
                Ok(Operand::Constant(number as f64))
            }
            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Operand, E> {
                if number.is_finite() {
                    Ok(Operand::Constant(number))
                } else {
                    Err(E::invalid_value(
                        de::Unexpected::Float(number),
                        &"a finite number",
                    ))
                }
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Operand, A::Error> {
                Formula::deserialize(MapAccessDeserializer::new(map)).map(|f| Operand::Formula(Box::new(f)))
            }
        }
        deserializer.deserialize_any(AnyOperand)
    }
}

impl JsonSchema for Operand {
    fn schema_name() -> Cow<'static, str> {
        "Operand".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let formula = generator.subschema_for::<Formula>();
        json_schema!({
            "description": "The key of a point, a number or a nested formula.",
            "anyOf": [{ "type": "string" }, { "type": "number" }, formula]
        })
    }
}

/// Codes of lines in telegrams: one, or several of which the first that is there counts.
#[derive(Clone, Debug)]
pub(crate) struct Codes(pub(crate) Vec<String>);

impl<'de> Deserialize<'de> for Codes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyCodes;
        impl<'de> Visitor<'de> for AnyCodes {
            type Value = Codes;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a code such as \"1-0:1.8.0\", or a list of them")
            }
            fn visit_str<E: de::Error>(self, code: &str) -> Result<Codes, E> {
                Ok(Codes(vec![code.to_owned()]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Codes, A::Error> {
                let mut codes = Vec::new();
                while let Some(code) = seq.next_element::<String>()? {
                    codes.push(code);
                }
                Ok(Codes(codes))
            }
        }
        deserializer.deserialize_any(AnyCodes)
    }
}

impl JsonSchema for Codes {
    fn schema_name() -> Cow<'static, str> {
        "Codes".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let code = r"^\d{1,3}-(\d{1,3}|n):\d{1,3}\.\d{1,3}\.\d{1,3}(\*\d{1,3})?$";
        json_schema!({
            "description": "One OBIS code, or several of which the first that is there counts.",
            "anyOf": [
                { "type": "string", "pattern": code },
                { "type": "array", "items": { "type": "string", "pattern": code }, "minItems": 1, "maxItems": 8 }
            ]
        })
    }
}

/// One end of a range: a number, or `{ site = "-ac_power" }`.
#[derive(Clone, Debug)]
pub(crate) enum End {
    Number(f64),
    Site(At<String>),
}

impl<'de> Deserialize<'de> for End {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Site {
            site: At<String>,
        }
        struct AnyEnd;
        impl<'de> Visitor<'de> for AnyEnd {
            type Value = End;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number or a limit of the site such as { site = \"-ac_power\" }")
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<End, E> {
                Ok(End::Number(number as f64))
            }
            fn visit_f64<E: de::Error>(self, number: f64) -> Result<End, E> {
                if number.is_finite() {
                    Ok(End::Number(number))
                } else {
                    Err(E::invalid_value(
                        de::Unexpected::Float(number),
                        &"a finite number",
                    ))
                }
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<End, A::Error> {
                Site::deserialize(MapAccessDeserializer::new(map)).map(|s| End::Site(s.site))
            }
        }
        deserializer.deserialize_any(AnyEnd)
    }
}

impl JsonSchema for End {
    fn schema_name() -> Cow<'static, str> {
        "End".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let names = crate::write::SiteLimit::NAMES
            .iter()
            .flat_map(|(name, _)| [(*name).to_owned(), format!("-{name}")]);
        json_schema!({
            "description": "A number in the point's unit, or a limit that the owner gives for the site (unset means: refuse).",
            "anyOf": [
                { "type": "number" },
                {
                    "type": "object",
                    "properties": { "site": { "enum": names.collect::<Vec<_>>() } },
                    "required": ["site"],
                    "additionalProperties": false
                }
            ]
        })
    }
}
