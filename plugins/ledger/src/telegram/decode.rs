//! From brackets to a value.

use super::line::{Group, Line};
use super::{time, units};
use crate::model::{Scale, Spoken, SpokenType};
use crate::value::Value;

/// The most digits of a number: more than any meter has.
const MAX_DIGITS: usize = 30;
/// Up to here every whole number is itself as a floating-point number.
const EXACT: u128 = 1 << 53;

/// The value that a line gives a point in this unit; none where it is no value.
pub(super) fn value(point: &Spoken, unit: Option<&str>, line: &Line, standard_offset: i16) -> Option<Value> {
    if point.ty == SpokenType::Raw {
        let all = line.groups.iter().map(Group::to_string).collect();
        return Some(Value::Text(all));
    }
    let group = bracket(point, line)?;
    let value = match point.ty {
        SpokenType::Text => return Some(Value::Text(group.value.clone())),
        SpokenType::Octets => return Some(Value::Text(octets(&group.value))),
        SpokenType::Timestamp => Value::Integer(time::parse(&group.value, standard_offset)?),
        SpokenType::Number => Value::Number(number(&group.value, factor(group, unit)?)?),
        SpokenType::Integer => Value::Integer(integer(&group.value, factor(group, unit)?)?),
        SpokenType::Raw => return None,
    };
    match (point.within, value.as_f64()) {
        (Some((low, high)), Some(number)) if !(low..=high).contains(&number) => None,
        _ => Some(value),
    }
}

/// Whether a line can be what a point with this unit measures: only one that measures something else cannot.
pub(super) fn measures(point: &Spoken, unit: Option<&str>, line: &Line) -> bool {
    let said = bracket(point, line).and_then(|group| group.unit.as_deref());
    match (said, unit) {
        (Some(said), Some(unit)) if units::is_known(said) => units::factor(said, unit).is_some(),
        _ => true,
    }
}

/// The bracket that the point names, else the last one with a value; the last one of all where none has.
fn bracket<'a>(point: &Spoken, line: &'a Line) -> Option<&'a Group> {
    let groups = &line.groups;
    match point.bracket {
        None => groups
            .iter()
            .rfind(|group| !group.value.is_empty())
            .or(groups.last()),
        Some(n) if n > 0 => groups.get(usize::from(n.unsigned_abs()) - 1),
        Some(n) => {
            let from_end = usize::from(n.unsigned_abs());
            groups.len().checked_sub(from_end).and_then(|at| groups.get(at))
        }
    }
}

/// From the meter's unit to the point's. A number that should have a unit and has none could be anything.
fn factor(group: &Group, unit: Option<&str>) -> Option<Scale> {
    match (group.unit.as_deref(), unit) {
        (Some(from), Some(to)) => units::factor(from, to),
        (None, None) => Some(Scale::ONE),
        (Some(_), None) | (None, Some(_)) => None,
    }
}

/// A decimal number as whole digits and the number of decimals among them.
fn digits(text: &str) -> Option<(i128, u32)> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, decimals) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !all_digits(whole) || !all_digits(decimals) {
        return None;
    }
    if whole.len() + decimals.len() > MAX_DIGITS {
        return None;
    }
    let number = whole
        .bytes()
        .chain(decimals.bytes())
        .fold(0_i128, |n, b| n * 10 + i128::from(b - b'0'));
    let decimals = u32::try_from(decimals.len()).ok()?;
    Some((if negative { -number } else { number }, decimals))
}

/// The number times the factor, over one divisor, so that it is rounded once.
fn fraction(text: &str, factor: Scale) -> Option<(i128, i128)> {
    let (number, decimals) = digits(text)?;
    let over = number.checked_mul(factor.num.into())?;
    let under = 10_i128.checked_pow(decimals)?.checked_mul(factor.den.into())?;
    Some((over, under))
}

fn number(text: &str, factor: Scale) -> Option<f64> {
    let (mut over, mut under) = fraction(text, factor)?;
    // Trailing zeros would only push both beyond what is exact.
    while (over.unsigned_abs() > EXACT || under.unsigned_abs() > EXACT) && over % 10 == 0 && under % 10 == 0 {
        (over, under) = (over / 10, under / 10);
    }
    Some(over as f64 / under as f64)
}

fn integer(text: &str, factor: Scale) -> Option<i64> {
    let (over, under) = fraction(text, factor)?;
    (over % under == 0)
        .then(|| i64::try_from(over / under).ok())
        .flatten()
}

/// A text from pairs of hexadecimal digits where these are the codes of characters, else as it stands.
pub fn octets(raw: &str) -> String {
    let printable = |pair: &[u8]| {
        let digit = |byte: u8| char::from(byte).to_digit(16);
        match pair {
            &[high, low] => u8::try_from(digit(high)? * 16 + digit(low)?)
                .ok()
                .filter(|byte| (0x20..0x7F).contains(byte)),
            _ => None,
        }
    };
    let decoded: Option<Vec<u8>> = raw.as_bytes().chunks(2).map(printable).collect();
    match decoded.map(String::from_utf8) {
        Some(Ok(text)) => text.trim().to_owned(),
        _ => raw.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(ty: SpokenType, bracket: Option<i8>, unit: Option<&str>, line: &str) -> Option<Value> {
        let point = Spoken {
            codes: Vec::new(),
            bracket,
            ty,
            within: None,
        };
        let line = Line::parse(line).unwrap();
        value(&point, unit, &line, time::CENTRAL_EUROPE)
    }

    fn number_of(unit: &str, line: &str) -> Option<f64> {
        match read(SpokenType::Number, None, Some(unit), line)? {
            Value::Number(number) => Some(number),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn numbers_are_taken_by_their_unit() {
        assert_eq!(number_of("W", "1-0:1.7.0(00.532*kW)"), Some(532.0));
        assert_eq!(number_of("W", "1-0:1.7.0(532*W)"), Some(532.0));
        assert_eq!(number_of("W", "1-0:2.7.0(-0.5*kW)"), Some(-500.0));
        assert_eq!(number_of("kWh", "1-0:1.8.0(00000119.841*kWh)"), Some(119.841));
        assert_eq!(number_of("kWh", "1-0:1.8.0(0000119841*Wh)"), Some(119.841));
        assert_eq!(
            number_of("m³", "0-1:24.2.1(101209112500W)(12785.123*M3)"),
            Some(12785.123)
        );
        assert_eq!(
            number_of("GJ", "0-1:24.2.1(101209112500W)(12785.000*MJ)"),
            Some(12.785)
        );
    }

    #[test]
    fn what_could_be_anything_is_no_value() {
        for line in [
            "1-0:1.7.0(0.532)",
            "1-0:1.7.0(*kW)",
            "1-0:1.7.0()",
            "1-0:1.7.0(0.532*kWh)",
            "1-0:1.7.0(0,532*kW)",
            "1-0:1.7.0(1.2.3*kW)",
            "1-0:1.7.0(--1*kW)",
            "1-0:1.7.0(.5*kW)",
            "1-0:1.7.0(1e3*kW)",
            "1-0:1.7.0(1111111111111111111111111111111*kW)",
            "1-0:1.7.0(NaN*kW)",
        ] {
            assert_eq!(number_of("W", line), None, "{line}");
        }
        let never_read = "0-1:24.2.1(700101010000W)(00000000)";
        assert_eq!(number_of("m³", never_read), None);
        assert_eq!(read(SpokenType::Integer, None, None, "0-0:96.7.21(1.5)"), None);
        assert_eq!(read(SpokenType::Integer, None, None, "0-0:96.7.21(15*kWh)"), None);
    }

    #[test]
    fn whole_numbers_stay_whole() {
        let whole = |line| read(SpokenType::Integer, None, None, line);
        assert_eq!(whole("0-0:96.14.0(0002)"), Some(Value::Integer(2)));
        assert_eq!(whole("0-0:96.7.21(00004.0)"), Some(Value::Integer(4)));
        assert_eq!(whole("0-0:96.7.21(99999999999999999999)"), None);
    }

    #[test]
    fn a_bracket_can_be_named_from_either_end() {
        let log = "1-0:99.97.0(2)(0-0:96.7.19)(250801101500S)(0000000240*s)(260110033000W)(0000003600*s)";
        let at = |bracket, ty, unit| read(ty, Some(bracket), unit, log);
        assert_eq!(at(1, SpokenType::Integer, None), Some(Value::Integer(2)));
        assert_eq!(at(-1, SpokenType::Number, Some("s")), Some(Value::Number(3600.0)));
        assert_eq!(
            at(-2, SpokenType::Timestamp, None),
            Some(Value::Integer(1_768_012_200))
        );
        assert_eq!(at(-7, SpokenType::Integer, None), None);
        assert_eq!(at(7, SpokenType::Integer, None), None);
    }

    #[test]
    fn texts_are_decoded_where_they_are_codes_of_characters() {
        let read = |line| read(SpokenType::Octets, None, None, line);
        let text = |text: &str| Some(Value::Text(text.into()));
        assert_eq!(read("0-0:96.1.1(4B414C37303035)"), text("KAL7005"));
        assert_eq!(read("0-0:96.1.1(00000000000000)"), text("00000000000000"));
        assert_eq!(read("0-0:96.1.1(98109485)"), text("98109485"));
        assert_eq!(read("0-0:96.1.1(123)"), text("123"));
        assert_eq!(read("0-0:96.13.0()"), text(""));
        let plain = super::tests::read(SpokenType::Text, None, None, "1-3:0.2.8(50)");
        assert_eq!(plain, text("50"));
    }

    #[test]
    fn a_value_out_of_its_range_is_none() {
        let point = Spoken {
            codes: Vec::new(),
            bracket: None,
            ty: SpokenType::Number,
            within: Some((-1.0, 1.0)),
        };
        let read = |line| value(&point, None, &Line::parse(line).unwrap(), 60);
        assert_eq!(read("1-0:13.7.0(4.500)"), None);
        assert_eq!(read("1-0:13.7.0(-1.000)"), Some(Value::Number(-1.0)));
    }
}
