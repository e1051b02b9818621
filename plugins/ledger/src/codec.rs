//! One codec for both directions: words to value, value to words.
//!
//! Invariants: `decode` answers any words, also hostile ones, without a panic; `encode` gives words that decode
//! to within half a step of what was asked, or refuses and says why. It never wraps and never clamps.

use thiserror::Error;

use crate::model::{Order, Register, ValueType};
use crate::value::Value;

/// What words turned out to be.
#[derive(Clone, Debug, PartialEq)]
pub enum Decoded {
    /// A value.
    Value(Value),
    /// The device answered, but this is no value; the text says why, for people.
    Invalid(&'static str),
}

/// Why a value cannot be put into a register.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum CodecError {
    /// Outside what the register can hold.
    #[error("{asked} does not fit: the register holds {min} to {max}")]
    OutOfRange {
        /// What was asked for.
        asked: f64,
        /// The smallest value that fits.
        min: f64,
        /// The largest value that fits.
        max: f64,
    },
    /// NaN or infinite.
    #[error("{0} is no number that a device understands; give a finite one")]
    NotFinite(f64),
    /// A text for a number.
    #[error("`{0}` is a text, but the register holds a number")]
    NotANumber(String),
    /// A number for a text.
    #[error("{0} is a number, but the register holds a text")]
    NotAText(f64),
    /// The words that this value would become mean "no value" to the device.
    #[error("{asked} would be sent as {raw:#x}, which means \"no value\" on this device")]
    Sentinel {
        /// What was asked for.
        asked: f64,
        /// The raw pattern.
        raw: u64,
    },
    /// The text needs more room.
    #[error("the text takes {have} bytes, the register holds {max}; shorten it")]
    TooLong {
        /// Bytes of the text.
        have: usize,
        /// Bytes of the register.
        max: usize,
    },
    /// The text would not come back as it is.
    #[error("a text with NUL characters or with white space at its end would not be kept; leave them out")]
    TextNotKept,
    /// The register's own scale is not known or cannot be used.
    #[error(
        "the scale of this value is not known (power of ten {0:?}, expected -10 to 10); read its scale register first"
    )]
    NoScale(Option<i32>),
    /// No raw step comes near enough to the value.
    #[error("{asked} cannot be told apart from its neighbours in this register")]
    TooFine {
        /// What was asked for.
        asked: f64,
    },
    /// The type does not go with the number of words.
    #[error("a register of {words} words cannot hold this type; correct the ledger")]
    WrongLength {
        /// Words of the register.
        words: u16,
    },
}

/// The powers of ten that a scale register may hold (SunSpec knows these).
const EXPONENTS: std::ops::RangeInclusive<i32> = -10..=10;

/// `10^n` for 0 to 10: exact as integers, so that a division by one rounds once.
const POWERS: [i64; 11] = [
    1,
    10,
    100,
    1_000,
    10_000,
    100_000,
    1_000_000,
    10_000_000,
    100_000_000,
    1_000_000_000,
    10_000_000_000,
];

/// What the words of `register` mean. `scale_exponent` is what the register named by `scale_point` holds, where
/// there is one.
pub fn decode(register: &Register, words: &[u16], scale_exponent: Option<i32>) -> Decoded {
    if words.len() != usize::from(register.span.count) {
        return Decoded::Invalid("the answer has another length than the register");
    }
    if register.ty == ValueType::Text {
        return Decoded::Value(Value::Text(text(words, register.order)));
    }
    let Some(raw) = join(register, words) else {
        return Decoded::Invalid("the type does not go with the number of words");
    };
    if register.invalid.contains(&pattern(register.ty, raw)) {
        return Decoded::Invalid("the device sent its mark for \"no value\"");
    }
    let Some(factor) = Factor::of(register, scale_exponent) else {
        return Decoded::Invalid("the scale of this value is not known");
    };
    let value = match Number::of(register.ty, raw) {
        None => return Decoded::Invalid("a digit is above 9"),
        Some(Number::Whole(n)) => factor.whole(n),
        Some(Number::Float(n)) => Value::Number(factor.float(n)),
    };
    match value {
        Value::Number(n) if !n.is_finite() => Decoded::Invalid("the device sent no finite number"),
        value => Decoded::Value(value),
    }
}

/// The words that make `register` hold `value`.
///
/// For a field of bits the other bits of its words are 0: who writes to a device keeps them.
pub fn encode(
    register: &Register,
    value: &Value,
    scale_exponent: Option<i32>,
) -> Result<Vec<u16>, CodecError> {
    let asked = match (register.ty, value) {
        (ValueType::Text, Value::Text(text)) => return encode_text(register, text),
        (ValueType::Text, Value::Integer(n)) => return Err(CodecError::NotAText(*n as f64)),
        (ValueType::Text, Value::Number(n)) => return Err(CodecError::NotAText(*n)),
        (_, Value::Text(text)) => return Err(CodecError::NotANumber(text.clone())),
        (_, Value::Integer(n)) => *n as f64,
        (_, Value::Number(n)) => *n,
    };
    if !asked.is_finite() {
        return Err(CodecError::NotFinite(asked));
    }
    let factor = Factor::of(register, scale_exponent).ok_or(CodecError::NoScale(scale_exponent))?;
    let wrong_length = CodecError::WrongLength {
        words: register.span.count,
    };
    let raw = match (register.ty, whole_range(register.ty, register.span.count)) {
        (ValueType::F32 | ValueType::F64, _) => factor.raw_float(register.ty, asked)?,
        (_, None) => return Err(wrong_length),
        (ty, Some(range)) => pack(ty, factor.raw_whole(value, asked, range)?),
    };
    let pattern = pattern(register.ty, raw);
    if register.invalid.contains(&pattern) {
        return Err(CodecError::Sentinel { asked, raw: pattern });
    }
    split(register, raw).ok_or(wrong_length)
}

/// A text as it stands in registers: cut at the first NUL, without white space at its end. What is not UTF-8 is
/// taken as Latin-1; a character that the end of the register cut off is left out.
pub fn text(words: &[u16], order: Order) -> String {
    let mut bytes: Vec<u8> = ordered(words, order).flat_map(u16::to_be_bytes).collect();
    let full = bytes.len();
    bytes.truncate(bytes.iter().position(|&b| b == 0).unwrap_or(full));
    let mut text = match std::str::from_utf8(&bytes) {
        Ok(text) => text.to_owned(),
        Err(error) if error.error_len().is_none() && bytes.len() == full && error.valid_up_to() > 0 => {
            String::from_utf8_lossy(&bytes[..error.valid_up_to()]).into_owned()
        }
        Err(_) => bytes.iter().map(|&b| char::from(b)).collect(),
    };
    text.truncate(text.trim_end().len());
    text
}

fn encode_text(register: &Register, text: &str) -> Result<Vec<u16>, CodecError> {
    let max = 2 * usize::from(register.span.count);
    if text.contains('\0') || text.trim_end().len() != text.len() {
        return Err(CodecError::TextNotKept);
    }
    if text.len() > max {
        return Err(CodecError::TooLong {
            have: text.len(),
            max,
        });
    }
    let mut bytes = text.as_bytes().to_vec();
    bytes.resize(max, 0);
    let words: Vec<u16> = bytes
        .chunks_exact(2)
        .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
        .collect();
    Ok(ordered(&words, register.order).collect())
}

/// The smallest and the largest number that a type holds, before scaling; `None` for floating point, for text
/// and where the type does not go with the number of words.
pub(crate) fn whole_range(ty: ValueType, words: u16) -> Option<(i128, i128)> {
    let signed = |bits: u32| (-(1i128 << (bits - 1)), (1i128 << (bits - 1)) - 1);
    let unsigned = |bits: u32| (0, (1i128 << bits) - 1);
    let (range, allowed) = match ty {
        ValueType::I16 => (signed(16), words == 1),
        ValueType::U16 => (unsigned(16), words == 1),
        ValueType::I32 => (signed(32), words == 2),
        ValueType::U32 => (unsigned(32), words == 2),
        ValueType::U24 => (unsigned(24), words == 2),
        ValueType::I64 => (signed(64), words == 4),
        ValueType::U64 => (unsigned(64), words == 4),
        ValueType::Bcd => (
            (0, 10i128.pow(4 * u32::from(words.min(4))) - 1),
            (1..=4).contains(&words),
        ),
        ValueType::Bits { shift, width } => (
            unsigned(u32::from(width.min(64))),
            (1..=4).contains(&words) && width >= 1 && u16::from(shift) + u16::from(width) <= 16 * words,
        ),
        ValueType::F32 | ValueType::F64 | ValueType::Text => return None,
    };
    allowed.then_some(range)
}

/// The lowest and the highest value that a register can hold, in the point's unit; `None` for texts, and where another
/// register decides the scale.
pub fn value_range(register: &Register) -> Option<(f64, f64)> {
    let (low, high) = match register.ty {
        ValueType::F32 => (f64::from(f32::MIN), f64::from(f32::MAX)),
        ValueType::F64 => (f64::MIN, f64::MAX),
        ty => {
            let (low, high) = whole_range(ty, register.span.count)?;
            (low as f64, high as f64)
        }
    };
    let factor = Factor::of(register, None)?;
    let (a, b) = (factor.float(low), factor.float(high));
    Some((a.min(b), a.max(b)))
}

/// The words in the order in which a value has them: high word first, high byte first. The same for the way
/// back, since each order undoes itself.
fn ordered(words: &[u16], order: Order) -> impl Iterator<Item = u16> + '_ {
    let (reversed, swapped) = match order {
        Order::Abcd => (false, false),
        Order::Cdab => (true, false),
        Order::Badc => (false, true),
        Order::Dcba => (true, true),
    };
    (0..words.len()).map(move |i| {
        let word = words[if reversed { words.len() - 1 - i } else { i }];
        if swapped { word.swap_bytes() } else { word }
    })
}

/// The raw pattern as an unsigned number of the type's width (for bits: of all the words they lie in); `None`
/// where the type does not go with the number of words.
fn join(register: &Register, words: &[u16]) -> Option<u64> {
    let fits = match register.ty {
        ValueType::F32 => words.len() == 2,
        ValueType::F64 => words.len() == 4,
        ty => whole_range(ty, register.span.count).is_some(),
    };
    let all = || ordered(words, register.order).fold(0u64, |raw, word| raw << 16 | u64::from(word));
    fits.then(|| {
        if register.ty == ValueType::U24 {
            all() & 0xFF_FFFF
        } else {
            all()
        }
    })
}

/// The other way of [`join`].
fn split(register: &Register, raw: u64) -> Option<Vec<u16>> {
    let count = register.span.count;
    let words: Vec<u16> = (0..count)
        .rev()
        .map(|i| raw.checked_shr(16 * u32::from(i)).map(|w| w as u16))
        .collect::<Option<_>>()?;
    Some(ordered(&words, register.order).collect())
}

/// The part of the raw pattern that is the value's own: the field, for bits.
fn pattern(ty: ValueType, raw: u64) -> u64 {
    match ty {
        ValueType::Bits { shift, width } => {
            let mask = u64::MAX
                .checked_shr(64 - u32::from(width.min(64)))
                .unwrap_or_default();
            raw.checked_shr(shift.into()).unwrap_or_default() & mask
        }
        _ => raw,
    }
}

/// A raw pattern as a number, before scaling.
enum Number {
    Whole(i128),
    Float(f64),
}

impl Number {
    fn of(ty: ValueType, raw: u64) -> Option<Self> {
        Some(Number::Whole(match ty {
            ValueType::I16 => i128::from(raw as u16 as i16),
            ValueType::I32 => i128::from(raw as u32 as i32),
            ValueType::I64 => i128::from(raw as i64),
            ValueType::U16 | ValueType::U24 | ValueType::U32 | ValueType::U64 => i128::from(raw),
            ValueType::Bits { .. } => i128::from(pattern(ty, raw)),
            ValueType::Bcd => (0..16).rev().try_fold(0i128, |n, digit| {
                let digit = (raw >> (4 * digit)) & 0xF;
                (digit <= 9).then(|| 10 * n + i128::from(digit))
            })?,
            ValueType::F32 => return Some(Number::Float(f64::from(f32::from_bits(raw as u32)))),
            ValueType::F64 => return Some(Number::Float(f64::from_bits(raw))),
            ValueType::Text => return None,
        }))
    }
}

/// A number that is known to be in the range of its type, as a raw pattern.
fn pack(ty: ValueType, number: i128) -> u64 {
    match ty {
        ValueType::I16 => u64::from(number as u16),
        ValueType::I32 => u64::from(number as u32),
        ValueType::Bits { shift, .. } => (number as u64) << shift,
        ValueType::Bcd => {
            let digits = (0..16).map(|digit| (number as u64 / 10u64.pow(digit) % 10) << (4 * digit));
            digits.fold(0, |raw, digit| raw | digit)
        }
        _ => number as u64,
    }
}

/// `value = number * num / den + offset`, with the power of ten of a scale register worked in.
struct Factor {
    num: i128,
    den: i128,
    offset: f64,
    /// Whether whole numbers stay whole.
    whole: bool,
}

impl Factor {
    fn of(register: &Register, exponent: Option<i32>) -> Option<Self> {
        let (mut num, mut den) = (i128::from(register.scale.num), i128::from(register.scale.den));
        match exponent {
            None if register.scale_point.is_some() => return None,
            None => {}
            Some(e) if EXPONENTS.contains(&e) => {
                let power = i128::from(*POWERS.get(e.unsigned_abs() as usize)?);
                if e < 0 { den *= power } else { num *= power }
            }
            Some(_) => return None,
        }
        let whole = exponent.is_none() && den == 1 && register.offset == 0.0;
        (num != 0 && den > 0).then_some(Factor {
            num,
            den,
            offset: register.offset,
            whole,
        })
    }

    fn whole(&self, number: i128) -> Value {
        // Both fit: a number has at most 64 bits, the numerator at most 98; where not, the f64 way is as good.
        let product = number.checked_mul(self.num);
        match product.map(i64::try_from) {
            Some(Ok(product)) if self.whole => Value::Integer(product),
            _ => {
                let product = product.map_or(number as f64 * self.num as f64, |p| p as f64);
                Value::Number(product / self.den as f64 + self.offset)
            }
        }
    }

    fn float(&self, number: f64) -> f64 {
        number * self.num as f64 / self.den as f64 + self.offset
    }

    /// The whole number nearest to a value.
    fn raw_whole(&self, value: &Value, asked: f64, (low, high): (i128, i128)) -> Result<i128, CodecError> {
        let exact = match value {
            Value::Integer(n) if self.offset == 0.0 => i128::from(*n).checked_mul(self.den),
            _ => None,
        };
        let raw = match exact {
            Some(product) => divide_to_nearest(product, self.num),
            None => {
                let raw = (asked - self.offset) * self.den as f64 / self.num as f64;
                // What a decimal fraction loses in binary must not push a bound out of its own range.
                let slack = 4.0 * f64::EPSILON * raw.abs().max(1.0);
                if raw < low as f64 - slack || raw > high as f64 + slack {
                    None
                } else {
                    Some(raw.round() as i128)
                }
            }
        };
        let negative_into_unsigned = low == 0 && raw == Some(0) && self.below_zero(asked);
        match raw {
            // `high as f64` may lie above `high`, so a number that just passed may still be one too large.
            Some(raw) if raw >= low && (raw <= high || exact.is_none()) && !negative_into_unsigned => {
                let raw = raw.min(high);
                self.near_enough(asked, raw)
                    .then_some(raw)
                    .ok_or(CodecError::TooFine { asked })
            }
            _ => {
                let (a, b) = (self.float(low as f64), self.float(high as f64));
                Err(CodecError::OutOfRange {
                    asked,
                    min: a.min(b),
                    max: a.max(b),
                })
            }
        }
    }

    /// Whether a value lies below the raw number 0 by more than rounding noise.
    fn below_zero(&self, asked: f64) -> bool {
        (asked - self.offset) * self.den as f64 / self.num as f64 <= -1e-6
    }

    /// Whether a raw number gives the value back: within half a step, or as near as an f64 can tell.
    fn near_enough(&self, asked: f64, raw: i128) -> bool {
        let back = self.float(raw as f64);
        let half = 0.5 * (self.num as f64 / self.den as f64).abs();
        let noise = 4.0 * f64::EPSILON * asked.abs().max(self.offset.abs()).max(half);
        (back - asked).abs() <= half + noise
    }

    /// The pattern of a floating-point type.
    fn raw_float(&self, ty: ValueType, asked: f64) -> Result<u64, CodecError> {
        let number = (asked - self.offset) * self.den as f64 / self.num as f64;
        let (raw, back, largest) = match ty {
            ValueType::F32 => {
                let single = number as f32;
                (
                    u64::from(single.to_bits()),
                    f64::from(single),
                    f64::from(f32::MAX),
                )
            }
            _ => (number.to_bits(), number, f64::MAX),
        };
        if back.is_finite() && self.float(back).is_finite() {
            Ok(raw)
        } else {
            let max = (self.float(largest) - self.offset).abs().min(f64::MAX);
            Err(CodecError::OutOfRange {
                asked,
                min: self.offset - max,
                max: self.offset + max,
            })
        }
    }
}

/// `a / b` rounded to the nearest whole number, halves away from zero.
fn divide_to_nearest(a: i128, b: i128) -> Option<i128> {
    let (quotient, rest) = (a.checked_div(b)?, a.checked_rem(b)?);
    let up = 2 * rest.abs() >= b.abs();
    Some(if up {
        quotient + if (a < 0) == (b < 0) { 1 } else { -1 }
    } else {
        quotient
    })
}

#[cfg(test)]
mod tests;
