//! Values that are worked out from other values.

use crate::model::{Condition, Expression, Test};
use crate::value::{Quality, Reading, Value};

/// Why there is no value; the weightier the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lack {
    /// It was read, and is no value.
    Invalid,
    /// The device does not have it.
    Absent,
    /// The device has it, as far as is known, but it was not read.
    Unread,
}

impl Lack {
    /// The quality of a reading without a value.
    pub(crate) fn quality(self) -> Quality {
        match self {
            Lack::Invalid => Quality::Invalid,
            Lack::Absent | Lack::Unread => Quality::Unavailable,
        }
    }
}

/// The value of an expression, or why there is none. `look_up` gives the value of a point.
pub(crate) fn evaluate(
    expression: &Expression,
    look_up: &mut impl FnMut(&str) -> Result<f64, Lack>,
) -> Result<f64, Lack> {
    let value = match expression {
        Expression::Point(key) => look_up(key)?,
        Expression::Constant(n) => *n,
        Expression::Sum(terms) => fold(terms, look_up, 0.0, |a, b| a + b)?,
        Expression::Product(terms) => fold(terms, look_up, 1.0, |a, b| a * b)?,
        Expression::Difference(a, b) => {
            let (a, b) = both(a, b, look_up)?;
            a - b
        }
        Expression::Ratio {
            over,
            under,
            min_denominator,
        } => {
            let (over, under) = both(over, under, look_up)?;
            if under.abs() < *min_denominator {
                return Err(Lack::Invalid);
            }
            over / under
        }
        Expression::SumAbsProducts(products) => {
            let mut sum = Ok(0.0);
            for terms in products {
                let product = fold(terms, look_up, 1.0, |a, b| a * b).map(f64::abs);
                sum = merge(sum, product, |a, b| a + b);
            }
            sum?
        }
        Expression::Clamp(value, low, high) => evaluate(value, look_up)?.max(*low).min(*high),
        Expression::Absolute(value) => evaluate(value, look_up)?.abs(),
        Expression::Sign(value) if evaluate(value, look_up)? < 0.0 => -1.0,
        Expression::Sign(_) => 1.0,
        Expression::SumPresent(terms) => {
            let mut sum = None;
            for term in terms {
                let sum_so_far = sum.unwrap_or(Ok(0.0));
                match evaluate(term, look_up) {
                    Err(Lack::Absent) => {}
                    term => sum = Some(merge(sum_so_far, term, |a, b| a + b)),
                }
            }
            sum.unwrap_or(Err(Lack::Absent))?
        }
        Expression::FirstValid(choices) => {
            let mut worst = Lack::Absent;
            let mut unread = false;
            for choice in choices {
                // A number stands in for what the device does not have, never for what was only not read.
                if unread && matches!(choice, Expression::Constant(_)) {
                    return Err(Lack::Unread);
                }
                match evaluate(choice, look_up) {
                    Ok(value) => return Ok(value),
                    Err(Lack::Unread) => unread = true,
                    Err(Lack::Absent) => {}
                    Err(Lack::Invalid) => worst = Lack::Invalid,
                }
            }
            return Err(worst);
        }
    };
    if value.is_finite() {
        Ok(value)
    } else {
        Err(Lack::Invalid)
    }
}

fn both(
    a: &Expression,
    b: &Expression,
    look_up: &mut impl FnMut(&str) -> Result<f64, Lack>,
) -> Result<(f64, f64), Lack> {
    let a = evaluate(a, look_up);
    merge(a, evaluate(b, look_up), |a, b| (a, b))
}

fn fold(
    terms: &[Expression],
    look_up: &mut impl FnMut(&str) -> Result<f64, Lack>,
    start: f64,
    join: fn(f64, f64) -> f64,
) -> Result<f64, Lack> {
    let mut all = Ok(start);
    for term in terms {
        all = merge(all, evaluate(term, look_up), join);
    }
    all
}

/// Two operands joined. What was not there weighs more than what was no value, whichever stands first.
fn merge<T>(a: Result<f64, Lack>, b: Result<f64, Lack>, join: impl Fn(f64, f64) -> T) -> Result<T, Lack> {
    match (a, b) {
        (Ok(a), Ok(b)) => Ok(join(a, b)),
        (Err(a), Err(b)) => Err(a.max(b)),
        (Err(lack), _) | (_, Err(lack)) => Err(lack),
    }
}

/// The points that an expression names.
pub(crate) fn operands<'a>(expression: &'a Expression, found: &mut impl FnMut(&'a str)) {
    match expression {
        Expression::Point(key) => found(key),
        Expression::Constant(_) => {}
        Expression::Sum(all)
        | Expression::Product(all)
        | Expression::FirstValid(all)
        | Expression::SumPresent(all) => {
            all.iter().for_each(|e| operands(e, found));
        }
        Expression::SumAbsProducts(products) => products.iter().flatten().for_each(|e| operands(e, found)),
        Expression::Difference(a, b)
        | Expression::Ratio {
            over: a, under: b, ..
        } => {
            operands(a, found);
            operands(b, found);
        }
        Expression::Clamp(value, ..) | Expression::Absolute(value) | Expression::Sign(value) => {
            operands(value, found);
        }
    }
}

/// Whether a condition holds for what its point reads; `None` when that is not known.
pub fn holds(condition: &Condition, reading: &Reading) -> Option<bool> {
    let value = reading
        .value
        .as_ref()
        .filter(|_| reading.quality == Quality::Good)?;
    let number = match value {
        Value::Text(text) => return (condition.test == Test::NonZero).then_some(!text.is_empty()),
        value => value.as_f64()?,
    };
    Some(match &condition.test {
        Test::Above(bound) => number > *bound,
        Test::Below(bound) => number < *bound,
        Test::AtLeast(bound) => number >= *bound,
        Test::Between(from, below) => (*from..*below).contains(&number),
        Test::In(list) => list.iter().any(|&n| n as f64 == number),
        Test::NotIn(list) => !list.iter().any(|&n| n as f64 == number),
        Test::NonZero => number != 0.0,
        Test::Bits(bits) => match value {
            Value::Integer(n) => *n as u64 & bits == *bits,
            _ => false,
        },
    })
}
