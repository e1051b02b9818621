//! Which values may be written, and which of them a register can hold.

use std::ops::Range;

use crate::diagnostics::Sink;
use crate::format::{self, At, End, Number};
use crate::model::{Scale, ValueType};
use crate::parse::explain::choice;
use crate::parse::registers::Shape;
use crate::write::{Bound, By, SiteLimit};

/// The most single values that a point may list.
const MAX_CHOICES: usize = 256;

/// The values that a register can hold.
pub(super) struct Values<'a> {
    range: (f64, f64),
    /// The size of one raw step and what is added to it; `None` for what has no steps.
    grid: Option<(Scale, f64)>,
    /// The point's unit, empty where it has none; `None` where it was at fault already.
    unit: Option<&'a str>,
}

impl<'a> Values<'a> {
    pub(super) fn of(own: &Shape, by: &By, unit: Option<&'a str>) -> Self {
        let register = &own.register;
        let power = |bits: i32| 2_f64.powi(bits);
        let (low, high) = match register.ty {
            ValueType::I16 => (-power(15), power(15) - 1.0),
            ValueType::U16 => (0.0, power(16) - 1.0),
            ValueType::I32 => (-power(31), power(31) - 1.0),
            ValueType::U32 => (0.0, power(32) - 1.0),
            ValueType::U24 => (0.0, power(24) - 1.0),
            ValueType::I64 => (-power(63), power(63) - 1.0),
            ValueType::U64 => (0.0, power(64) - 1.0),
            ValueType::F32 => (f64::from(f32::MIN), f64::from(f32::MAX)),
            ValueType::F64 | ValueType::Text => (f64::MIN, f64::MAX),
            ValueType::Bcd => (0.0, 10_f64.powi(4 * i32::from(own.count)) - 1.0),
            ValueType::Bits { width, .. } => (0.0, power(i32::from(width)) - 1.0),
        };
        let (low, high) = match *by {
            // Fewer bytes than the register has: an unsigned number.
            By::RegisterLink { bytes, .. } if u16::from(bytes) < 2 * own.count => {
                (low.max(0.0), high.min(power(8 * i32::from(bytes)) - 1.0))
            }
            _ => (low, high),
        };
        // Divided last, as a fraction is meant: 32767 * 1 / 10 is 3276.7, and not one bit more.
        let value = |raw: f64| raw * register.scale.num as f64 / register.scale.den as f64 + register.offset;
        let (a, b) = (value(low), value(high));
        Values {
            range: (a.min(b), a.max(b)),
            grid: has_steps(register.ty).then_some((register.scale, register.offset)),
            unit,
        }
    }

    /// Whether the value lies within what the register can hold; says so when it does not.
    fn reach(&self, value: f64, span: &Range<usize>, sink: &mut Sink) -> bool {
        let (low, high) = self.range;
        if (low..=high).contains(&value) {
            return true;
        }
        sink.add(
            "bounds",
            span.clone(),
            format!("{value} is more than the register can hold"),
            format!("write {low} to {high}: raw * scale + offset"),
        );
        false
    }

    /// Whether the register can hold just this value, which is to be sent as it is; says so when it cannot.
    pub(super) fn hold(&self, value: f64, span: &Range<usize>, sink: &mut Sink) -> bool {
        if !self.reach(value, span, sink) {
            return false;
        }
        let Some((scale, _)) = self
            .grid
            .filter(|(scale, offset)| !is_whole(value - offset, *scale))
        else {
            return true;
        };
        sink.add(
            "bounds",
            span.clone(),
            format!("{value} lies between two steps of the register"),
            format!(
                "write a multiple of {}: the register's scale",
                scale.as_f64().abs()
            ),
        );
        false
    }
}

/// Whether a register of this type counts in steps of its scale.
fn has_steps(ty: ValueType) -> bool {
    !matches!(ty, ValueType::F32 | ValueType::F64 | ValueType::Text)
}

/// Whether `value` is a whole number of raw steps, but for what floating-point numbers lose.
fn is_whole(value: f64, scale: Scale) -> bool {
    let steps = value * scale.den as f64 / scale.num as f64;
    (steps - steps.round()).abs() <= 1e-9 * steps.abs().max(1.0)
}

/// One end of a range.
pub(super) fn bound(end: At<End>, values: &Values<'_>, sink: &mut Sink) -> Option<At<Bound>> {
    let At { value: end, span } = end;
    let bound = match end {
        End::Number(number) => values
            .reach(number, &span, sink)
            .then_some(Bound::Number(number))?,
        End::Site(At { value: name, span }) => {
            let (negative, limit) = name
                .strip_prefix('-')
                .map_or((false, name.as_str()), |rest| (true, rest));
            let Some((limit_name, limit)) = SiteLimit::NAMES.iter().find(|(known, _)| *known == limit) else {
                let known = SiteLimit::NAMES.map(|(name, _)| name);
                sink.add(
                    "site",
                    span,
                    format!(
                        "the site has no limit `{}`",
                        name.chars().take(40).collect::<String>()
                    ),
                    choice(limit, &known, "write one of"),
                );
                return None;
            };
            if let Some(unit) = values.unit.filter(|unit| *unit != limit.unit()) {
                sink.add(
                    "site",
                    span,
                    format!(
                        "`{limit_name}` counts in {}, this point in {}",
                        limit.unit(),
                        if unit.is_empty() { "no unit" } else { unit }
                    ),
                    "write a limit of the point's own unit, or a number",
                );
                return None;
            }
            if negative && values.range.0 >= 0.0 {
                sink.add(
                    "site",
                    span,
                    "the register holds no value below 0",
                    "write 0, or a signed type where the device has one",
                );
                return None;
            }
            Bound::Site {
                limit: *limit,
                negative,
            }
        }
    };
    Some(At { value: bound, span })
}

/// Both ends of a range, or none. `told`: something about the bounds was at fault already.
pub(super) fn range(
    min: Option<At<Bound>>,
    max: Option<At<Bound>>,
    place: &Range<usize>,
    told: bool,
    sink: &mut Sink,
) -> Option<(Bound, Bound)> {
    match (min, max) {
        (Some(min), Some(max)) => {
            if let (Bound::Number(low), Bound::Number(high)) = (min.value, max.value)
                && low > high
            {
                sink.add(
                    "bounds",
                    min.span,
                    format!("min {low} is above max {high}"),
                    "swap them",
                );
            }
            Some((min.value, max.value))
        }
        (None, None) => None,
        (min, max) => {
            if !told {
                let known = min.or(max).map_or_else(|| place.clone(), |end| end.span);
                sink.add(
                    "bounds",
                    known,
                    "a range needs both ends",
                    "write `min` and `max`",
                );
            }
            None
        }
    }
}

/// Single values.
pub(super) fn choices(given: Vec<At<Number>>, values: &Values<'_>, sink: &mut Sink) -> Vec<f64> {
    let mut choices = Vec::new();
    for At { value, span } in given {
        if choices.len() == MAX_CHOICES {
            sink.add(
                "bounds",
                span,
                format!("more than {MAX_CHOICES} choices"),
                "write `min` and `max`",
            );
            break;
        }
        if choices.contains(&value.0) {
            sink.add(
                "bounds",
                span,
                format!("the choice {} for the second time", value.0),
                "name each choice once",
            );
        } else if values.hold(value.0, &span, sink) {
            choices.push(value.0);
        }
    }
    choices
}

/// The value that lifts the setting's own bound: one that cannot be mistaken for an ordinary one.
pub(super) fn no_limit(
    given: At<Number>,
    range: Option<(Bound, Bound)>,
    choices: &[f64],
    values: &Values<'_>,
    sink: &mut Sink,
) -> Option<f64> {
    let At {
        value: Number(value),
        span,
    } = given;
    if !values.hold(value, &span, sink) {
        return None;
    }
    let outside = range.is_none_or(|(min, max)| {
        let below = match min {
            Bound::Number(low) => value < low,
            Bound::Site { negative, .. } => !negative && value < 0.0,
        };
        below || matches!(max, Bound::Number(high) if value > high)
    });
    if outside && !choices.contains(&value) {
        return Some(value);
    }
    sink.add(
        "bounds",
        span,
        format!("{value} is an ordinary value here, so it cannot mean \"no limit\""),
        "name a value outside of `min` to `max` that is none of `choices`, or leave `no_limit` out",
    );
    None
}

/// What values are multiples of.
pub(super) fn step(
    step: At<format::Number>,
    range: Option<(Bound, Bound)>,
    own: &Shape,
    sink: &mut Sink,
) -> Option<f64> {
    let At {
        value: Number(step),
        span,
    } = step;
    let register = &own.register;
    let raw = register.scale.as_f64().abs();
    let (message, help) = if step <= 0.0 {
        (
            format!("a step of {step}"),
            "write a step above 0, or leave it out".to_owned(),
        )
    } else if let Some((Bound::Number(low), Bound::Number(high))) = range
        && step > high - low
        && low <= high
    {
        (
            format!("a step of {step} is wider than the range of {low} to {high}"),
            "write a smaller one".to_owned(),
        )
    } else if has_steps(register.ty)
        && !(is_whole(step, register.scale) && is_whole(register.offset, register.scale))
    {
        (
            format!("a step of {step} cannot be sent: the register counts in steps of {raw}"),
            format!("write a multiple of {raw}, or leave `step` out"),
        )
    } else {
        return Some(step);
    };
    sink.add("step", span, message, help);
    None
}

/// A whole number from 1 to `most`.
pub(super) fn at_most(
    given: At<i64>,
    most: i64,
    code: &'static str,
    help: &str,
    sink: &mut Sink,
) -> Option<i64> {
    if (1..=most).contains(&given.value) {
        return Some(given.value);
    }
    sink.add(code, given.span, format!("{} is out of range", given.value), help);
    None
}
