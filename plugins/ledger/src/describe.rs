//! Registers and expressions in words, for those who want to see how a value comes about.

use std::fmt;

use crate::model::{Expression, Order, Register, Spoken, SpokenType, Test, ValueType};

/// How a register holds its value: `i32, words swapped`, `text of 8 words`, `bits 2 to 3 of a word`.
pub fn register(register: &Register) -> String {
    let words = register.span.count;
    let ty = match register.ty {
        ValueType::I16 => "i16".to_owned(),
        ValueType::U16 => "u16".to_owned(),
        ValueType::I32 => "i32".to_owned(),
        ValueType::U32 => "u32".to_owned(),
        ValueType::U24 => "u24".to_owned(),
        ValueType::I64 => "i64".to_owned(),
        ValueType::U64 => "u64".to_owned(),
        ValueType::F32 => "f32".to_owned(),
        ValueType::F64 => "f64".to_owned(),
        ValueType::Bcd => format!("bcd of {words} words"),
        ValueType::Bits { shift, width: 1 } => format!("bit {shift}"),
        ValueType::Bits { shift, width } => {
            format!("bits {shift} to {}", u16::from(shift) + u16::from(width) - 1)
        }
        ValueType::Text => format!("text of {words} words"),
    };
    match register.order {
        Order::Abcd => ty,
        Order::Cdab if words < 2 => ty,
        Order::Cdab => format!("{ty}, words swapped"),
        Order::Badc => format!("{ty}, bytes swapped"),
        Order::Dcba => format!("{ty}, words and bytes swapped"),
    }
}

/// How a line of a telegram holds a value: `number`, `timestamp in bracket 1`.
pub fn spoken(spoken: &Spoken) -> String {
    let ty = spoken.ty.name();
    match (spoken.ty, spoken.bracket) {
        (SpokenType::Raw, _) => "all brackets as they stand".to_owned(),
        (_, None) => ty.to_owned(),
        (_, Some(-1)) => format!("{ty} in the last bracket"),
        (_, Some(n)) if n < 0 => format!("{ty} in bracket {} from the last", n.unsigned_abs()),
        (_, Some(n)) => format!("{ty} in bracket {n}"),
    }
}

/// The codes of a point that lies in telegrams: `1-0:1.8.0`, `0-n:24.2.1 or 0-n:24.3.0`.
pub fn codes(spoken: &Spoken) -> String {
    let codes: Vec<String> = spoken.codes.iter().map(ToString::to_string).collect();
    codes.join(" or ")
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let joined = |f: &mut fmt::Formatter<'_>, all: &[Expression], sign: &str| {
            f.write_str("(")?;
            for (i, one) in all.iter().enumerate() {
                if i > 0 {
                    f.write_str(sign)?;
                }
                write!(f, "{one}")?;
            }
            f.write_str(")")
        };
        match self {
            Expression::Point(key) => f.write_str(key),
            Expression::Constant(n) => write!(f, "{n}"),
            Expression::Sum(all) => joined(f, all, " + "),
            Expression::Difference(a, b) => write!(f, "({a} - {b})"),
            Expression::Product(all) => joined(f, all, " × "),
            Expression::Ratio { over, under, .. } => write!(f, "{over} / {under}"),
            Expression::SumAbsProducts(products) => {
                f.write_str("(")?;
                for (i, product) in products.iter().enumerate() {
                    f.write_str(if i > 0 { " + |" } else { "|" })?;
                    joined(f, product, " × ")?;
                    f.write_str("|")?;
                }
                f.write_str(")")
            }
            Expression::Clamp(a, low, high) => write!(f, "{a}, kept within {low} and {high}"),
            Expression::Absolute(a) => write!(f, "|{a}|"),
            Expression::Sign(a) => write!(f, "the sign of {a}"),
            Expression::SumPresent(all) => {
                f.write_str("the sum of what there is of ")?;
                joined(f, all, ", ")
            }
            Expression::FirstValid(all) => {
                f.write_str("the first that is known of ")?;
                joined(f, all, ", ")
            }
        }
    }
}

impl fmt::Display for Test {
    /// What a condition asks for: `above 50`, `one of 1, 2`, `not 0`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Test::Above(n) => write!(f, "above {n}"),
            Test::Below(n) => write!(f, "below {n}"),
            Test::AtLeast(n) => write!(f, "at least {n}"),
            Test::Between(from, below) => write!(f, "at least {from} and below {below}"),
            Test::In(list) => {
                let list: Vec<String> = list.iter().map(i64::to_string).collect();
                write!(f, "one of {}", list.join(", "))
            }
            Test::NotIn(list) => {
                let list: Vec<String> = list.iter().map(i64::to_string).collect();
                write!(f, "none of {}", list.join(", "))
            }
            Test::NonZero => f.write_str("not 0"),
            Test::Bits(bits) => write!(f, "with the bits {bits:#x} set"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_reads_like_a_formula() {
        let point = |key: &str| Expression::Point(key.to_owned());
        let ratio = Expression::Ratio {
            over: Box::new(point("power")),
            under: Box::new(Expression::SumAbsProducts(vec![
                vec![point("u1"), point("i1")],
                vec![point("u2"), point("i2")],
            ])),
            min_denominator: 1.0,
        };
        assert_eq!(ratio.to_string(), "power / (|(u1 × i1)| + |(u2 × i2)|)");
    }
}
