//! The bytes of a measurement, in each of the classes that can be chosen.

use serde::Deserialize;
use serde::de::{Deserializer, Error};

use super::decimal::Decimal;

/// A class of events that carries measurements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// 1040, level II: the number as text.
    #[default]
    Text,
    /// 1060, level II: a double.
    Double,
    /// 10, level I: a coding byte says what follows. Seven bytes for the number.
    Coded,
    /// 65, level I: the same behind sensor index, zone and subzone. Four bytes for the number.
    CodedInZone,
    /// 60, level I: a double in the type's default unit, and nothing else.
    BareDouble,
    /// 70, level I: a single in the type's default unit, and nothing else.
    BareSingle,
}

const CLASSES: [(u16, Form); 6] = [
    (1040, Form::Text),
    (1060, Form::Double),
    (10, Form::Coded),
    (65, Form::CodedInZone),
    (60, Form::BareDouble),
    (70, Form::BareSingle),
];

impl Form {
    /// The number of the class.
    pub fn class(self) -> u16 {
        let row = CLASSES.iter().find(|(_, form)| *form == self);
        row.map_or(1040, |(class, _)| *class)
    }

    /// Whether the number is in the type's default unit, whatever the quantity's usual one is.
    pub fn in_default_unit(self) -> bool {
        matches!(self, Form::BareDouble | Form::BareSingle)
    }

    /// The largest sensor index that there is room for.
    pub fn largest_index(self) -> u8 {
        match self {
            Form::Text | Form::Double | Form::CodedInZone => u8::MAX,
            Form::Coded => 7,
            Form::BareDouble | Form::BareSingle => 0,
        }
    }

    /// Whether there is room for zone and subzone.
    pub fn has_zones(self) -> bool {
        matches!(self, Form::Text | Form::Double | Form::CodedInZone)
    }

    /// The bytes of one measurement.
    pub fn data(self, number: Decimal, unit: u8, index: u8, zone: u8, subzone: u8) -> Vec<u8> {
        let place = [index, zone, subzone];
        match self {
            Form::Text => {
                let mut data = place.to_vec();
                data.push(unit);
                // A decimal has 80 digits at most, and 483 would do.
                data.extend(number.to_string().bytes());
                data.push(0);
                data
            }
            Form::Double => {
                let mut data = place.to_vec();
                data.push(unit);
                data.extend(number.as_f64().to_be_bytes());
                data
            }
            Form::Coded => coded(number, unit, index.min(7), 7),
            Form::CodedInZone => {
                let mut data = place.to_vec();
                data.extend(coded(number, unit, 0, 4));
                data
            }
            Form::BareDouble => number.as_f64().to_be_bytes().to_vec(),
            Form::BareSingle => single(number).to_vec(),
        }
    }
}

impl<'de> Deserialize<'de> for Form {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let class = u16::deserialize(deserializer)?;
        let row = CLASSES.iter().find(|(known, _)| *known == class);
        row.map(|(_, form)| *form).ok_or_else(|| {
            D::Error::custom(format!(
                "class {class} carries no measurements here: write 1040 (text), 1060 (double), 10, 60, 65 or 70"
            ))
        })
    }
}

const INTEGER: u8 = 0x60;
const NORMALIZED: u8 = 0x80;
const FLOAT: u8 = 0xA0;
/// In the exponent byte: divide by the power of ten.
const DIVIDE: u8 = 0x80;

/// Coding byte and number in at most `room` bytes behind it: whole, else as whole number and decimal places, else, where
/// there are too many digits, as a single.
fn coded(number: Decimal, unit: u8, index: u8, room: usize) -> Vec<u8> {
    let rest = ((unit & 3) << 3) | (index & 7);
    let zeros = number.shifted(0).filter(|n| n.places() <= 0);
    if let Some(whole) = zeros
        && let Some(value) = 10i128
            .checked_pow(whole.places().unsigned_abs())
            .and_then(|power| whole.mantissa().checked_mul(power))
        && let Some(bytes) = signed(value, room)
    {
        return [vec![INTEGER | rest], bytes].concat();
    }
    let places = number.places();
    if let Some(power) = u8::try_from(places.unsigned_abs())
        .ok()
        .filter(|power| *power < DIVIDE)
        && let Some(bytes) = signed(number.mantissa(), room - 1)
    {
        let exponent = if places > 0 { DIVIDE | power } else { power };
        return [vec![NORMALIZED | rest, exponent], bytes].concat();
    }
    [vec![FLOAT | rest], single(number).to_vec()].concat()
}

fn single(number: Decimal) -> [u8; 4] {
    #[allow(clippy::cast_possible_truncation, reason = "this form has no more digits")]
    let single = number.as_f64() as f32;
    single.to_be_bytes()
}

/// The fewest bytes that hold a signed number, most significant first; `None` where it needs more than there is room for.
fn signed(value: i128, room: usize) -> Option<Vec<u8>> {
    let all = value.to_be_bytes();
    (1..=room).find_map(|count| {
        let bytes = &all[all.len() - count..];
        let bits = u32::try_from(count * 8 - 1).ok()?;
        let fits = (-(1i128 << bits)..(1i128 << bits)).contains(&value);
        fits.then(|| bytes.to_vec())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decimal(number: f64) -> Decimal {
        Decimal::of(number).unwrap()
    }

    /// What a receiver makes of a coding byte and what follows it.
    fn decoded(data: &[u8]) -> f64 {
        let whole = |bytes: &[u8]| {
            let sign = if bytes[0] & 0x80 == 0 { 0i64 } else { -1 };
            bytes.iter().fold(sign, |sum, byte| (sum << 8) | i64::from(*byte))
        };
        match data[0] & 0xE0 {
            0x60 => whole(&data[1..]) as f64,
            0x80 => {
                let power = 10f64.powi(i32::from(data[1] & 0x7F));
                let mantissa = whole(&data[2..]) as f64;
                if data[1] & 0x80 == 0 {
                    mantissa * power
                } else {
                    mantissa / power
                }
            }
            0xA0 => f64::from(f32::from_be_bytes(data[1..].try_into().unwrap())),
            other => panic!("{other:#x}"),
        }
    }

    #[test]
    fn examples_of_the_specification() {
        assert_eq!(coded(decimal(69.46), 1, 1, 7), [0x89, 0x82, 0x1B, 0x22]);
        assert_eq!(
            Form::Coded.data(decimal(69.46), 1, 1, 0, 0),
            [0x89, 0x82, 0x1B, 0x22]
        );
        // 16.4375 with 4 bytes is a number of 3 bytes and 4 places.
        assert_eq!(
            Form::CodedInZone.data(decimal(16.4375), 1, 6, 7, 8),
            [6, 7, 8, 0x88, 0x84, 0x02, 0x82, 0x17]
        );
        assert_eq!(Form::Coded.data(decimal(-300.0), 0, 9, 0, 0), [0x67, 0xFE, 0xD4]);
        assert_eq!(
            Form::CodedInZone.data(decimal(12_345_678.901), 1, 1, 0, 0)[3],
            0xA8
        );
        assert_eq!(
            Form::Text.data(decimal(12345.678), 1, 1, 2, 3),
            b"\x01\x02\x03\x0112345.678\0"
        );
        assert_eq!(
            Form::Double.data(decimal(-1.5), 0, 5, 0, 0),
            [5, 0, 0, 0, 0xBF, 0xF8, 0, 0, 0, 0, 0, 0]
        );
    }

    proptest! {
        #[test]
        fn what_is_coded_is_what_was_read(thousandths in -1_000_000_000_000i64..1_000_000_000_000, unit in 0u8..4, index in 0u8..8) {
            let number = thousandths as f64 / 1000.0;
            let wide = Form::Coded.data(decimal(number), unit, index, 0, 0);
            prop_assert!(wide.len() <= 8);
            prop_assert_eq!(wide[0] & 0x1F, unit << 3 | index);
            prop_assert_eq!(decoded(&wide), number);
            let narrow = Form::CodedInZone.data(decimal(number), unit, 200, 1, 2);
            prop_assert!(narrow.len() <= 8);
            let near = decoded(&narrow[3..]);
            prop_assert!((near - number).abs() <= number.abs() * 6e-8, "{} {}", near, number);
            let text = Form::Text.data(decimal(number), unit, index, 0, 0);
            let digits = std::str::from_utf8(&text[4..text.len() - 1]).unwrap();
            prop_assert_eq!(digits.parse::<f64>().unwrap(), number);
            let double = Form::Double.data(decimal(number), unit, index, 0, 0);
            prop_assert_eq!(f64::from_be_bytes(double[4..].try_into().unwrap()), number);
            let bare = Form::BareDouble.data(decimal(number), unit, index, 0, 0);
            prop_assert_eq!(f64::from_be_bytes(bare.try_into().unwrap()), number);
        }
    }
}
