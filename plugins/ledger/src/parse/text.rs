//! The small languages inside texts: factors, numbers, ranges, durations, keys.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::model::Scale;

/// The longest key of a point, group or table.
pub(crate) const MAX_KEY: usize = 64;

/// `[a-z][a-z0-9_]*`, at most 64 characters.
pub(crate) fn is_key(text: &str) -> bool {
    text.len() <= MAX_KEY
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// A text as a key: the nearest one that would be accepted.
pub(crate) fn as_key(text: &str) -> String {
    let mut key = String::new();
    for c in text.chars().take(MAX_KEY) {
        let c = if c.is_ascii_alphanumeric() {
            c.to_ascii_lowercase()
        } else {
            '_'
        };
        if key.is_empty() && !c.is_ascii_lowercase() {
            continue;
        }
        key.push(c);
    }
    if key.is_empty() {
        "some_name".to_owned()
    } else {
        key
    }
}

/// `<maker>/<model>`: lower-case letters, digits, `-` and `.` on both sides.
pub(crate) fn is_ledger_name(text: &str) -> bool {
    let part = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            && part
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.')
    };
    text.len() <= 2 * MAX_KEY
        && text
            .split_once('/')
            .is_some_and(|(maker, model)| part(maker) && part(model))
}

/// Why a factor was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FactorFault {
    /// It is 0, or divides by 0.
    Zero,
    /// It is no number at all.
    NoNumber,
    /// It has more digits than can be kept exactly.
    NotExact,
}

/// `1/10`, `-1/10`, `10`, `0.1`: exact, in lowest terms.
pub(crate) fn parse_factor(text: &str) -> Result<Scale, FactorFault> {
    let text = text.trim();
    let (num, den) = match text.split_once('/') {
        Some((num, den)) => (parse_decimal(num.trim_end())?, parse_decimal(den.trim_start())?),
        None => (parse_decimal(text)?, (1, 1)),
    };
    // (a / b) / (c / d) = a * d / (b * c)
    let over = num.0.checked_mul(den.1).ok_or(FactorFault::NotExact)?;
    let under = num.1.checked_mul(den.0).ok_or(FactorFault::NotExact)?;
    if over == 0 || under == 0 {
        return Err(FactorFault::Zero);
    }
    let common = gcd(over.unsigned_abs(), under.unsigned_abs()).cast_signed() * under.signum();
    let narrow = |n: i128| {
        i64::try_from(n)
            .ok()
            .filter(|n| n.unsigned_abs() < 1 << 53)
            .ok_or(FactorFault::NotExact)
    };
    Ok(Scale {
        num: narrow(over / common)?,
        den: narrow(under / common)?,
    })
}

/// A decimal as a fraction.
fn parse_decimal(text: &str) -> Result<(i128, i128), FactorFault> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) {
        return Err(FactorFault::NoNumber);
    }
    let fraction = fraction.trim_end_matches('0');
    if whole.trim_start_matches('0').len() + fraction.len() > 18 {
        return Err(FactorFault::NotExact);
    }
    let den = (0..fraction.len()).fold(1_i128, |den, _| den * 10);
    let num = whole
        .bytes()
        .chain(fraction.bytes())
        .fold(0_i128, |n, b| n * 10 + i128::from(b - b'0'));
    Ok((if negative { -num } else { num }, den))
}

fn gcd(a: u128, b: u128) -> u128 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Decimals that a value needs to show every step of the factor; three where no number of them would do.
pub(crate) fn decimals_of(scale: Scale) -> u8 {
    let (mut den, mut decimals) = (scale.den, 0_u8);
    // Each decimal takes one 2 and one 5 out of the denominator.
    while den > 1 && decimals < 9 {
        let rest = den / gcd(den.unsigned_abs().into(), 10) as i64;
        if rest == den {
            return 3;
        }
        (den, decimals) = (rest, decimals + 1);
    }
    decimals
}

/// `5`, `-1`, `0x1F`, `0b101`.
pub(crate) fn parse_integer(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let radix = |prefix: &str, radix| digits.strip_prefix(prefix).map(|rest| (rest, radix));
    let (digits, radix) = radix("0x", 16).or_else(|| radix("0b", 2)).unwrap_or((digits, 10));
    if !digits.starts_with(|c: char| c.is_ascii_hexdigit()) {
        return None;
    }
    let number = i64::from_str_radix(digits, radix).ok()?;
    Some(if negative { -number } else { number })
}

/// A number, or a range of them such as `51-54` or `-3--1`.
pub(crate) fn parse_range(text: &str) -> Option<RangeInclusive<i64>> {
    if let Some(single) = parse_integer(text) {
        return Some(single..=single);
    }
    let dash = text.get(1..)?.find('-')? + 1;
    let (from, to) = (
        parse_integer(text.get(..dash)?)?,
        parse_integer(text.get(dash + 1..)?)?,
    );
    (from <= to).then_some(from..=to)
}

/// `500ms`, `1s`, `10m`, `1h`; at most a day.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    let duration = Duration::from_millis(number.checked_mul(millis)?);
    (duration <= Duration::from_secs(86_400)).then_some(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn factor(text: &str) -> Result<(i64, i64), FactorFault> {
        parse_factor(text).map(|s| (s.num, s.den))
    }

    #[test]
    fn factors_are_exact_and_reduced() {
        assert_eq!(factor("1/10"), Ok((1, 10)));
        assert_eq!(factor("-1/10"), Ok((-1, 10)));
        assert_eq!(factor("1/-10"), Ok((-1, 10)));
        assert_eq!(factor("10"), Ok((10, 1)));
        assert_eq!(factor("0.1"), Ok((1, 10)));
        assert_eq!(factor("0.50"), Ok((1, 2)));
        assert_eq!(factor("2/4"), Ok((1, 2)));
        assert_eq!(factor("1/0.25"), Ok((4, 1)));
        assert_eq!(factor(&0.001_f64.to_string()), Ok((1, 1000)));
    }

    #[test]
    fn factors_that_are_none_are_refused() {
        assert_eq!(factor("0"), Err(FactorFault::Zero));
        assert_eq!(factor("1/0"), Err(FactorFault::Zero));
        for text in ["", "-", "x", "1/", "/2", "1//2", "1e3", ".5", "NaN", "inf"] {
            assert_eq!(factor(text), Err(FactorFault::NoNumber), "{text}");
        }
        assert_eq!(factor("0.1234567890123456789"), Err(FactorFault::NotExact));
        assert_eq!(factor("9007199254740993"), Err(FactorFault::NotExact));
        assert_eq!(factor(&1e-300_f64.to_string()), Err(FactorFault::NotExact));
    }

    #[test]
    fn decimals_show_every_step() {
        let decimals = |text| decimals_of(parse_factor(text).unwrap());
        assert_eq!(decimals("1"), 0);
        assert_eq!(decimals("10"), 0);
        assert_eq!(decimals("1/10"), 1);
        assert_eq!(decimals("1/100"), 2);
        assert_eq!(decimals("1/4"), 2);
        assert_eq!(decimals("1/3"), 3);
        assert_eq!(decimals("1/10000000"), 7);
    }

    #[test]
    fn ranges_count_both_ends() {
        assert_eq!(parse_range("7"), Some(7..=7));
        assert_eq!(parse_range("-1"), Some(-1..=-1));
        assert_eq!(parse_range("51-54"), Some(51..=54));
        assert_eq!(parse_range("-3--1"), Some(-3..=-1));
        assert_eq!(parse_range("0x10-0x1F"), Some(16..=31));
        for text in ["", "-", "5-", "-5-", "9-1", "a", "1-2-3", "ä-1", "+1"] {
            assert_eq!(parse_range(text), None, "{text}");
        }
    }

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(parse_duration("1500ms"), Some(Duration::from_millis(1500)));
        assert_eq!(parse_duration("60s"), Some(Duration::from_secs(60)));
        assert_eq!(parse_duration("10m"), Some(Duration::from_secs(600)));
        for text in ["", "5", "s", "-1s", "1.5s", "25h", "99999999999999999999s", "1ß"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    #[test]
    fn keys_and_names() {
        assert!(is_key("ac_out_l1_p") && is_ledger_name("victron/gx-vebus"));
        for text in ["", "1a", "_a", "Ab", "a-b", "ä", "a b"] {
            assert!(!is_key(text), "{text}");
        }
        for text in ["", "victron", "a/b/c", "/b", "a/", "A/b", "a/b c"] {
            assert!(!is_ledger_name(text), "{text}");
        }
        assert_eq!(as_key("Ac/Out L1"), "ac_out_l1");
    }
}
