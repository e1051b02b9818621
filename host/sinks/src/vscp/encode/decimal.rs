//! Numbers as people write them: whole digits and a place for the point, so that kilowatts become watts without a digit
//! too many.

use std::fmt;

/// The most digits that a number keeps: more than any double has.
const DIGITS: usize = 17;
/// A single-precision number that is written with more digits than this has others behind those that were meant.
const NOISE: usize = 9;
/// How far from the point digits may lie. What is smaller is 0, what is larger is no measurement.
const FARTHEST: i32 = 60;

/// `mantissa / 10^places`; without zeros at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decimal {
    mantissa: i128,
    /// Digits behind the point; below 0: zeros before it.
    places: i32,
}

impl Decimal {
    /// The shortest number that is this one. A number that was a single-precision one is taken as such: 230.1, not
    /// 230.10000610351562. `None` for what is infinite, no number, or beyond measure.
    pub fn of(number: f64) -> Option<Self> {
        if !number.is_finite() {
            return None;
        }
        #[allow(clippy::cast_possible_truncation, reason = "only taken where nothing is lost")]
        let single = number as f32;
        let mut text = format!("{number:e}");
        let digits = text
            .bytes()
            .take_while(|b| *b != b'e')
            .filter(u8::is_ascii_digit)
            .count();
        #[allow(clippy::float_cmp, reason = "the very same number, bit by bit")]
        if digits > NOISE && f64::from(single) == number {
            text = format!("{single:e}");
        }
        let (digits, exponent) = text.split_once('e')?;
        let exponent: i32 = exponent.parse().ok()?;
        let behind = digits.split_once('.').map_or(0, |(_, behind)| behind.len());
        let all: String = digits.chars().filter(|c| *c != '.').collect();
        if all.trim_start_matches('-').len() > DIGITS {
            return None;
        }
        let places = i32::try_from(behind).ok()? - exponent;
        Decimal {
            mantissa: all.parse().ok()?,
            places,
        }
        .trimmed()
    }

    /// The same number times 10 to this power.
    pub fn shifted(self, power: i32) -> Option<Self> {
        Decimal {
            places: self.places.checked_sub(power)?,
            ..self
        }
        .trimmed()
    }

    /// The same number times a whole one.
    pub fn times(self, factor: i64) -> Option<Self> {
        Decimal {
            mantissa: self.mantissa.checked_mul(i128::from(factor))?,
            ..self
        }
        .trimmed()
    }

    /// The digits without the point.
    pub fn mantissa(self) -> i128 {
        self.mantissa
    }

    /// Digits behind the point; below 0: zeros before it that are no digits of the mantissa.
    pub fn places(self) -> i32 {
        self.places
    }

    /// As a double, the nearest one.
    pub fn as_f64(self) -> f64 {
        // The text is a number for certain, and the one way that rounds once.
        self.to_string().parse().unwrap_or(f64::NAN)
    }

    fn trimmed(mut self) -> Option<Self> {
        if self.mantissa == 0 {
            self.places = 0;
            return Some(self);
        }
        while self.mantissa % 10 == 0 {
            self.mantissa /= 10;
            self.places -= 1;
        }
        (self.places.abs() <= FARTHEST).then_some(self)
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.mantissa.unsigned_abs().to_string();
        if self.mantissa < 0 {
            f.write_str("-")?;
        }
        let places = usize::try_from(self.places).unwrap_or(0);
        if places == 0 {
            let zeros = usize::try_from(-self.places).unwrap_or(0);
            return write!(f, "{digits}{}", "0".repeat(zeros));
        }
        let digits = format!("{digits:0>width$}", width = places + 1);
        let (before, behind) = digits.split_at(digits.len() - places);
        write!(f, "{before}.{behind}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(number: f64, shift: i32) -> String {
        Decimal::of(number).unwrap().shifted(shift).unwrap().to_string()
    }

    #[test]
    fn digits_are_moved_not_reckoned() {
        for (number, shift, expected) in [
            (12345.678, 0, "12345.678"),
            (0.29, 3, "290"),
            (0.057, 3, "57"),
            (1.25, 3, "1250"),
            (-0.085, 3, "-85"),
            (0.0, 3, "0"),
            (-0.0, 3, "0"),
            (1500.0, -3, "1.5"),
            (5.0, -3, "0.005"),
            (f64::from(230.1f32), 0, "230.1"),
            (1e16, 0, "10000000000000000"),
            // A single, too, and nothing of it may be lost.
            (1_942_390.75, 0, "1942390.75"),
        ] {
            assert_eq!(text(number, shift), expected, "{number}");
        }
        assert_eq!(Decimal::of(f64::NAN), None);
        assert_eq!(Decimal::of(f64::INFINITY), None);
        assert_eq!(Decimal::of(1e300), None);
    }

    proptest! {
        #[test]
        fn a_number_comes_back(number in -1e12..1e12f64) {
            let decimal = Decimal::of(number).unwrap();
            prop_assert_eq!(decimal.as_f64(), number);
        }

        #[test]
        fn a_single_comes_back(number in any::<f32>().prop_filter("near", |n| n.is_finite() && (*n == 0.0 || n.abs() > 1e-30))) {
            if let Some(decimal) = Decimal::of(f64::from(number)) {
                let back = decimal.as_f64() as f32;
                prop_assert_eq!(back, number);
            }
        }
    }
}
