//! Bounds of writable points.

use std::time::Duration;

use super::registers::Shape;
use super::text::parse_duration;
use crate::diagnostics::Sink;
use crate::format::{self, At, End};
use crate::model::ValueType;
use crate::span::Function;
use crate::write::{
    Bound, By, Kind, Lease, SETTLE, STORED_BUDGET, STORED_INTERVAL, SiteLimit, Storage, VOLATILE_INTERVAL,
    Verify, WriteRule,
};

/// The most single values that a point may list.
const MAX_CHOICES: usize = 256;

/// Checks a write table against the point's own register. `lost` tells which keys were at fault already.
pub(super) fn check(
    write: At<format::Write>,
    own: &Shape,
    lost: &dyn Fn(&str) -> bool,
    sink: &mut Sink,
) -> Option<WriteRule> {
    let At {
        value: write,
        span: place,
    } = write;
    let before = sink.len();
    if own.register.ty == ValueType::Text {
        sink.add(
            "write",
            place,
            "texts cannot be written by Busbar",
            "leave `write` out",
        );
        return None;
    }
    let function = function(write.function, own, sink);
    let values = Values::of(own);
    let min = write.min.and_then(|end| bound(end, &values, sink));
    let max = write.max.and_then(|end| bound(end, &values, sink));
    let mut choices = Vec::new();
    for At { value, span } in write.choices {
        if choices.len() == MAX_CHOICES {
            sink.add(
                "bounds",
                span,
                format!("more than {MAX_CHOICES} choices"),
                "write `min` and `max`",
            );
            break;
        }
        if values.hold(value.0, &span, sink) {
            choices.push(value.0);
        }
    }
    let range = match (min, max) {
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
            let known = min.or(max).map_or_else(|| place.clone(), |end| end.span);
            if sink.len() == before && !lost("min") && !lost("max") {
                sink.add(
                    "bounds",
                    known,
                    "a range needs both ends",
                    "write `min` and `max`",
                );
            }
            return None;
        }
    };
    let any_lost = ["min", "max", "choices", "site"].iter().any(|key| lost(key));
    if range.is_none() && choices.is_empty() && sink.len() == before && !any_lost {
        sink.add(
            "bounds",
            place,
            "a write without bounds",
            "add `min` and `max` (a number or { site = \"ac_power\" }), or `choices = [0, 1]`",
        );
    }
    let step = write.step.and_then(|step| self::step(step, range, sink));
    let wears = write.storage != Storage::Volatile;
    let usual = if wears { STORED_INTERVAL } else { VOLATILE_INTERVAL };
    let rule = WriteRule {
        kind: kind(range.is_some(), &choices),
        by: By::Function(function),
        range,
        choices,
        no_limit: None,
        step,
        max_change: None,
        device_min: None,
        device_max: None,
        storage: write.storage,
        min_interval: write
            .min_interval
            .and_then(|text| duration(text, sink))
            .unwrap_or(usual),
        daily_budget: wears.then_some(STORED_BUDGET),
        lease: write.lease.map(|lease| Lease {
            device_timeout: lease.device_timeout.and_then(|text| duration(text, sink)),
            safe: lease
                .safe
                .filter(|safe| values.hold(safe.value.0, &safe.span, sink))
                .map(|safe| safe.value.0),
        }),
        verify: verify(write.verify, sink),
        risk: write.risk,
        alias_of: None,
        interlocks: Vec::new(),
        source: None,
    };
    (sink.len() == before).then_some(rule)
}

/// How a write is read back: as the file says, or as usual.
fn verify(given: Option<format::Verify>, sink: &mut Sink) -> Option<Verify> {
    let Some(verify) = given else {
        return Some(Verify {
            after: SETTLE,
            tolerance: 0.0,
        });
    };
    let tolerance = verify.tolerance.map_or(0.0, |tolerance| {
        if tolerance.value.0 < 0.0 {
            sink.add(
                "verify",
                tolerance.span,
                "a negative tolerance",
                "write 0 or more",
            );
        }
        tolerance.value.0
    });
    Some(Verify {
        after: duration(verify.after, sink)?,
        tolerance,
    })
}

/// The kind of control that bounds make.
fn kind(has_range: bool, choices: &[f64]) -> Kind {
    match choices {
        _ if has_range => Kind::Number,
        [_] => Kind::Button,
        [_, _] if choices.iter().all(|choice| [0.0, 1.0].contains(choice)) => Kind::Switch,
        _ => Kind::Select,
    }
}

fn function(given: Option<At<i64>>, own: &Shape, sink: &mut Sink) -> u8 {
    let allowed: &[u8] = match (own.register.span.function, own.count) {
        (Function::Coils, _) => &[5, 15],
        (_, 1) => &[6, 16],
        _ => &[16],
    };
    let usual = allowed.first().copied().unwrap_or(16);
    let Some(At { value, span }) = given else {
        return usual;
    };
    if let Some(function) = allowed.iter().find(|&&function| i64::from(function) == value) {
        return *function;
    }
    let list = allowed.iter().map(u8::to_string).collect::<Vec<_>>().join(" or ");
    sink.add(
        "write",
        span,
        format!("function {value} cannot write this point whole"),
        format!("write {list}, or leave `function` out"),
    );
    usual
}

/// The values that a register can hold.
struct Values {
    /// `None` where another register decides the scale.
    range: Option<(f64, f64)>,
}

impl Values {
    fn of(own: &Shape) -> Self {
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
        // Divided last, as a fraction is meant: 32767 * 1 / 10 is 3276.7, and not one bit more.
        let value = |raw: f64| raw * register.scale.num as f64 / register.scale.den as f64 + register.offset;
        let (a, b) = (value(low), value(high));
        Values {
            range: register.scale_point.is_none().then(|| (a.min(b), a.max(b))),
        }
    }

    /// Whether the register can hold the value; says so when it cannot.
    fn hold(&self, value: f64, span: &std::ops::Range<usize>, sink: &mut Sink) -> bool {
        let Some((low, high)) = self.range.filter(|(low, high)| !(*low..=*high).contains(&value)) else {
            return true;
        };
        sink.add(
            "bounds",
            span.clone(),
            format!("{value} is more than the register can hold"),
            format!("write {low} to {high}: raw * scale + offset"),
        );
        false
    }
}

fn bound(end: At<End>, values: &Values, sink: &mut Sink) -> Option<At<Bound>> {
    let At { value: end, span } = end;
    let bound = match end {
        End::Number(number) => values
            .hold(number, &span, sink)
            .then_some(Bound::Number(number))?,
        End::Site(At { value: name, span }) => {
            let (negative, limit) = name
                .strip_prefix('-')
                .map_or((false, name.as_str()), |rest| (true, rest));
            let Some((_, limit)) = SiteLimit::NAMES.iter().find(|(known, _)| *known == limit) else {
                let known = SiteLimit::NAMES.map(|(name, _)| name);
                sink.add(
                    "site",
                    span,
                    format!(
                        "the site has no limit `{}`",
                        name.chars().take(40).collect::<String>()
                    ),
                    super::explain::choice(limit, &known, "write one of"),
                );
                return None;
            };
            Bound::Site {
                limit: *limit,
                negative,
            }
        }
    };
    Some(At { value: bound, span })
}

fn step(step: At<format::Number>, range: Option<(Bound, Bound)>, sink: &mut Sink) -> Option<f64> {
    let At {
        value: format::Number(step),
        span,
    } = step;
    if step <= 0.0 {
        sink.add(
            "step",
            span,
            format!("a step of {step}"),
            "write a step above 0, or leave it out",
        );
        return None;
    }
    if let Some((Bound::Number(low), Bound::Number(high))) = range
        && step > high - low
        && low <= high
    {
        sink.add(
            "step",
            span,
            format!("a step of {step} is wider than the range of {low} to {high}"),
            "write a smaller one",
        );
        return None;
    }
    Some(step)
}

/// A time such as `500ms`.
pub(super) fn duration(text: At<String>, sink: &mut Sink) -> Option<Duration> {
    let duration = parse_duration(&text.value);
    if duration.is_none() {
        sink.add(
            "duration",
            text.span,
            format!(
                "`{}` is not a time",
                text.value.chars().take(40).collect::<String>()
            ),
            "write a whole number with its unit, at most a day: \"500ms\", \"1s\", \"10m\", \"1h\"",
        );
    }
    duration
}
