//! What a point of the definition is in a ledger: type, marks for "not implemented", unit, class.

use crate::models::{Fact, Type};

/// The ledger's type and the raw pattern that means "not implemented".
pub(crate) fn in_ledger(ty: Type) -> (&'static str, Option<&'static str>) {
    match ty {
        Type::Int16 | Type::Sunssf => ("i16", Some("0x8000")),
        Type::Uint16 | Type::Enum16 | Type::Bitfield16 | Type::Count => ("u16", Some("0xFFFF")),
        Type::Int32 => ("i32", Some("0x80000000")),
        Type::Uint32 | Type::Bitfield32 => ("u32", Some("0xFFFFFFFF")),
        Type::Uint64 => ("u64", Some("0xFFFFFFFFFFFFFFFF")),
        // 0 means that nothing is counted, and that nothing was counted yet: see `compose`.
        Type::Acc32 => ("u32", None),
        Type::Acc64 => ("u64", None),
        // NaN is never a value.
        Type::Float32 => ("f32", None),
        Type::Text => ("text", None),
    }
}

/// Whether these words are the mark for "not implemented". A counter's 0 is not judged here.
pub(crate) fn is_mark(ty: Type, words: &[u16]) -> bool {
    match (ty, words) {
        (Type::Int16 | Type::Sunssf, [word]) => *word == 0x8000,
        (Type::Int32, [high, low]) => (*high, *low) == (0x8000, 0),
        (Type::Float32, [high, low]) => f32::from_bits(u32::from(*high) << 16 | u32::from(*low)).is_nan(),
        (Type::Text, words) => words.iter().all(|word| *word == 0),
        (Type::Acc32 | Type::Acc64, _) => false,
        (_, words) => words.iter().all(|word| *word == 0xFFFF),
    }
}

/// Whether this counts.
pub(crate) fn is_counter(ty: Type) -> bool {
    matches!(ty, Type::Acc32 | Type::Acc64)
}

/// What a value means.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Meaning {
    pub(crate) class: Option<&'static str>,
    pub(crate) unit: Option<&'static str>,
    /// The ledger's factor, beside that of a scale register.
    pub(crate) scale: Option<&'static str>,
}

/// Unit and class, as Home Assistant has them, of a point of the definition.
pub(crate) fn meaning(fact: &Fact) -> Meaning {
    let of = |class, unit| Meaning {
        class: Some(class),
        unit: Some(unit),
        scale: None,
    };
    let thousandth = |class, unit| Meaning {
        class,
        unit: Some(unit),
        scale: Some("1/1000"),
    };
    match fact.kind {
        "identity" => {
            return Meaning {
                class: Some("identity"),
                ..Meaning::default()
            };
        }
        "enum" | "enum-slow" => {
            return Meaning {
                class: Some("enum"),
                ..Meaning::default()
            };
        }
        "events" | "number" => return Meaning::default(),
        "battery" => return of("battery", "%"),
        "humidity" => return of("humidity", "%"),
        "place" => return of("location", "°"),
        "storage" | "storage-slow" => return thousandth(Some("energy_storage"), "kWh"),
        _ => {}
    }
    let is_power_factor = fact.key.contains("power_factor");
    match fact.unit {
        "A" => of("current", "A"),
        "V" => of("voltage", "V"),
        "W" => of("power", "W"),
        "VA" => of("apparent_power", "VA"),
        "var" | "Var" => of("reactive_power", "var"),
        "Wh" | "WH" => thousandth(Some("energy"), "kWh"),
        "VAh" => thousandth(None, "kVAh"),
        "varh" | "Varh" => thousandth(Some("reactive_energy"), "kvarh"),
        "Hz" => of("frequency", "Hz"),
        "C" => of("temperature", "°C"),
        "Ah" | "AH" => of("capacity", "Ah"),
        "W/m2" => of("irradiance", "W/m²"),
        "m/s" | "mps" => of("speed", "m/s"),
        "deg" => of("direction", "°"),
        "mm" => of("distance", "mm"),
        "meters" => of("distance", "m"),
        "HPa" => of("atmospheric_pressure", "hPa"),
        "Degrees" => Meaning {
            unit: Some("°"),
            ..Meaning::default()
        },
        "ohms" => Meaning {
            unit: Some("Ω"),
            ..Meaning::default()
        },
        // Some models give it in percent, others as a fraction; here it is a fraction always.
        "Pct" if is_power_factor => Meaning {
            class: Some("power_factor"),
            scale: Some("1/100"),
            ..Meaning::default()
        },
        _ if is_power_factor => Meaning {
            class: Some("power_factor"),
            ..Meaning::default()
        },
        unit if unit.ends_with("/sec") => Meaning {
            unit: Some("%/s"),
            ..Meaning::default()
        },
        unit if unit.starts_with('%') || unit == "Pct" => Meaning {
            unit: Some("%"),
            ..Meaning::default()
        },
        _ => Meaning::default(),
    }
}

/// Whether it changes so seldom that it is read seldom.
pub(crate) fn is_slow(fact: &Fact) -> bool {
    fact.kind.ends_with("slow")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::Models;

    #[test]
    fn every_unit_of_the_definitions_is_known() {
        let layouts = &Models::known().layouts;
        let blocks = layouts.iter().filter_map(|layout| layout.block.as_ref());
        let facts = layouts
            .iter()
            .flat_map(|layout| &layout.points)
            .chain(blocks.flat_map(|block| &block.points));
        for fact in facts.filter(|fact| !fact.key.is_empty() && !fact.unit.is_empty()) {
            assert!(meaning(fact) != Meaning::default(), "{fact:?}");
        }
    }

    #[test]
    fn the_marks_are_those_of_the_specification() {
        for (ty, mark, value) in [
            (Type::Int16, &[0x8000][..], &[0xFFFF][..]),
            (Type::Uint16, &[0xFFFF], &[0x8000]),
            (Type::Sunssf, &[0x8000], &[0xFFFE]),
            (Type::Enum16, &[0xFFFF], &[0]),
            (Type::Int32, &[0x8000, 0], &[0xFFFF, 0xFFFF]),
            (Type::Uint32, &[0xFFFF, 0xFFFF], &[0x8000, 0]),
            (Type::Bitfield32, &[0xFFFF, 0xFFFF], &[0, 0]),
            (Type::Float32, &[0x7FC0, 0], &[0, 0]),
            (Type::Text, &[0, 0], &[0, 0x4100]),
        ] {
            assert!(is_mark(ty, mark), "{ty:?}");
            assert!(!is_mark(ty, value), "{ty:?}");
        }
        assert!(!is_mark(Type::Acc32, &[0, 0]));
    }
}
