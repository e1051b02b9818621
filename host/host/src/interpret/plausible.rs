//! How likely a number is to be what a device meant by its registers. Pure.

use busbar_ledger::model::ValueType;
use busbar_ledger::value::Value;
use jiff::Timestamp;

/// How likely a meaning is, and what it might be.
#[derive(Clone, Debug, PartialEq)]
pub struct Guess {
    /// 0 (nobody would send this) to 100.
    pub likelihood: u8,
    /// What it might be, in words.
    pub hint: Option<String>,
}

impl Guess {
    fn of(likelihood: u8) -> Self {
        Guess {
            likelihood,
            hint: None,
        }
    }

    fn because(likelihood: u8, hint: impl Into<String>) -> Self {
        Guess {
            likelihood,
            hint: Some(hint.into()),
        }
    }
}

/// 2015-01-01 and 2040-01-01 in Unix seconds: a number in between may be a time.
const TIMES: std::ops::Range<i64> = 1_420_070_400..2_208_988_800;

/// Judges a number as it stands in registers, without a scale.
pub fn guess(value: &Value, ty: ValueType) -> Guess {
    match (ty, value) {
        (ValueType::F32 | ValueType::F64, value) => float(value.as_f64().unwrap_or(0.0)),
        (_, Value::Integer(n)) => whole(*n, ty),
        // A whole number that does not fit 63 bits, or a text that the caller judges.
        (_, _) => Guess::of(1),
    }
}

fn float(n: f64) -> Guess {
    let size = n.abs();
    if n == 0.0 {
        return Guess::of(if n.is_sign_negative() { 5 } else { 20 });
    }
    if let Some(what) = mains(n) {
        return Guess::because(95, what);
    }
    match size {
        0.001..1e7 => Guess::of(80),
        1e-6..0.001 | 1e7..1e10 => Guess::of(25),
        _ => Guess::of(1),
    }
}

fn whole(n: i64, ty: ValueType) -> Guess {
    if n == 0 {
        return Guess::of(20);
    }
    if ty == ValueType::Bcd {
        return Guess::of(15);
    }
    let words = match ty {
        ValueType::I16 | ValueType::U16 => 1,
        ValueType::I64 | ValueType::U64 => 4,
        _ => 2,
    };
    if words == 1 {
        return small(n);
    }
    if ty == ValueType::U32 && TIMES.contains(&n) {
        let time = Timestamp::from_second(n).map(|t| t.strftime("%Y-%m-%d %H:%M UTC").to_string());
        return Guess::because(35, time.unwrap_or_default());
    }
    let size = n.unsigned_abs();
    Guess::of(match (words, size) {
        (2, 1..=99_999_999) => 60,
        (2, 100_000_000..=1_999_999_999) => 12,
        (4, 1..=999_999_999_999) => 55,
        (4, 1_000_000_000_000..=999_999_999_999_999) => 12,
        _ => 2,
    })
}

/// One register: what it would be with the scales that meters use.
fn small(n: i64) -> Guess {
    let scales = [(1.0, ""), (0.1, "×0.1 = "), (0.01, "×0.01 = ")];
    for (scale, text) in scales {
        // Rounded to what the scale can say.
        let scaled = (n as f64 * scale * 100.0).round() / 100.0;
        if let Some(what) = mains(scaled) {
            let hint = if text.is_empty() {
                what
            } else {
                format!("{text}{scaled}: {what}")
            };
            return Guess::because(75, hint);
        }
    }
    Guess::of(match n {
        -32_768 | 32_767 | 65_535 => 10,
        _ => 50,
    })
}

/// What everyone recognises: the voltage and the frequency of the mains.
fn mains(n: f64) -> Option<String> {
    match n {
        207.0..=253.0 => Some("a mains voltage?".to_owned()),
        380.0..=420.0 => Some("a voltage between phases?".to_owned()),
        49.5..=50.5 | 59.5..=60.5 => Some("a mains frequency?".to_owned()),
        _ => None,
    }
}

/// How well a scaled value suits its unit, 0 to 100; as [`guess`] has it where the unit says nothing.
pub fn suits(value: &Value, ty: ValueType, unit: Option<&str>) -> u8 {
    let Some(n) = value.as_f64() else {
        return 0;
    };
    let range = match unit {
        Some("V") => 1.0..1_500.0,
        Some("A") => 0.001..6_000.0,
        Some("Hz") => 40.0..70.0,
        Some("°C") => 0.1..150.0,
        Some("%") => 0.01..100.01,
        Some("W" | "VA" | "var") => 0.01..1e7,
        Some("kW" | "kVA" | "kvar") => 0.001..1e4,
        Some("Wh" | "varh") => 0.1..1e12,
        Some("kWh" | "kvarh") => 0.001..1e9,
        _ => return guess(value, ty).likelihood,
    };
    if n == 0.0 {
        20
    } else if range.contains(&n.abs()) {
        90
    } else {
        1
    }
}

/// How likely words are a text: all of it can be printed, and there is enough of it.
pub fn text(text: &str) -> Guess {
    let wordlike = text.chars().filter(|c| c.is_ascii_alphanumeric()).count();
    let printable = text.chars().all(|c| c.is_ascii_graphic() || c == ' ');
    let n = text.len();
    match n {
        _ if !printable => Guess::of(1),
        // Three letters stand in any two registers.
        0..=4 if wordlike < n => Guess::of(10),
        0..=2 => Guess::of(10),
        _ if 2 * wordlike > n => Guess::of(90),
        _ => Guess::of(30),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_meter_says_is_likelier_than_noise() {
        let f32 =
            |bits: u32| guess(&Value::Number(f64::from(f32::from_bits(bits))), ValueType::F32).likelihood;
        assert!(f32(230.5_f32.to_bits()) > f32(17.25_f32.to_bits()));
        assert!(f32(17.25_f32.to_bits()) > f32(0));
        // 230.5 with its words or bytes swapped.
        for noise in [0x8000_4366_u32, 0x6643_0080, 0x0080_6643] {
            assert!(f32(0) > f32(noise), "{noise:x}");
        }
    }

    #[test]
    fn scales_that_meters_use_are_recognised() {
        let hint = |n: i64| guess(&Value::Integer(n), ValueType::U16).hint;
        assert_eq!(hint(2304).unwrap(), "×0.1 = 230.4: a mains voltage?");
        assert_eq!(hint(5001).unwrap(), "×0.01 = 50.01: a mains frequency?");
        assert_eq!(hint(230).unwrap(), "a mains voltage?");
        assert_eq!(hint(17), None);
    }

    #[test]
    fn seconds_since_1970_are_shown_as_a_time() {
        let time = guess(&Value::Integer(1_790_000_000), ValueType::U32);
        assert_eq!(time.hint.unwrap(), "2026-09-21 14:13 UTC");
        assert!(time.likelihood < guess(&Value::Integer(12_345_678), ValueType::U32).likelihood);
    }

    #[test]
    fn a_unit_decides_what_suits() {
        let volts = |n: f64| suits(&Value::Number(n), ValueType::F32, Some("V"));
        assert!(volts(231.0) > volts(0.0) && volts(0.0) > volts(1e-30));
    }
}
