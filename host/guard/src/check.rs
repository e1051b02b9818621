//! Whether one value may be written to one point: bounds, step, largest change; then the words, decoded again and compared
//! with what was asked.

use busbar_ledger::codec::{self, Decoded};
use busbar_ledger::model::{Point, Register, ValueType};
use busbar_ledger::span::Function;
use busbar_ledger::value::Value;
use busbar_ledger::write::{By, Kind};

use crate::limits::{Effective, rule_of, steps_in, tidy};
use crate::permit::{Checked, Order};
use crate::refusal::{Amount, Cause, Refusal};

/// Registers of a register link's answer: id, status, length, and the 32 of the longest value (VM-3P75CT).
const LINK_ANSWER: u16 = 35;

/// Checks a value against the effective limits, and makes the words of it. `old` is the present value, where it is known.
///
/// # Errors
/// What is in the way, in words of an owner.
pub fn check(
    point: &Point,
    effective: &Effective,
    wanted: &Value,
    old: Option<&Value>,
) -> Result<Checked, Refusal> {
    let (rule, register) = rule_of(point)?;
    match wanted {
        Value::Text(text) => self::text(point, effective, text)?,
        _ => number(point, effective, wanted, old)?,
    }
    let order = match rule.by {
        By::RegisterLink { at, id, bytes } => Order::Link {
            at,
            words: link_words(point, register, effective, (id, bytes), wanted)?,
            answer: LINK_ANSWER,
        },
        By::Function(function) => {
            let words = encoded(point, register, effective, wanted)?;
            let at = register.span.at;
            match register.span.function {
                Function::Coils => Order::Coils {
                    function,
                    at,
                    values: words.iter().map(|word| *word != 0).collect(),
                },
                Function::Holding => Order::Registers { function, at, words },
                Function::Discrete | Function::Input => {
                    return Err(Refusal::new(
                        Cause::NoRule,
                        "its register can only be read",
                        "Correct the ledger: holding registers and coils can be written.",
                    ));
                }
            }
        }
    };
    Ok(Checked::new(order, wanted.clone()))
}

/// The words of a value, which decode to just that.
fn encoded(
    point: &Point,
    register: &Register,
    effective: &Effective,
    wanted: &Value,
) -> Result<Vec<u16>, Refusal> {
    let words = codec::encode(register, wanted, None).map_err(|error| {
        Refusal::new(
            Cause::Value,
            error.to_string(),
            "`busbar limits` shows what can be written.",
        )
    })?;
    decodes(point, register, effective, &words, wanted).map(|()| words)
}

/// The words decode to exactly what was asked, or nothing is sent: what is written is never merely near.
fn decodes(
    point: &Point,
    register: &Register,
    effective: &Effective,
    words: &[u16],
    wanted: &Value,
) -> Result<(), Refusal> {
    let back = codec::decode(register, words, None);
    let same = match (&back, wanted) {
        (Decoded::Value(Value::Text(back)), Value::Text(wanted)) => back == wanted,
        (Decoded::Value(back), wanted) => {
            let single = register.ty == ValueType::F32;
            back.as_f64()
                .zip(wanted.as_f64())
                .is_some_and(|(back, wanted)| near(back, wanted, single))
        }
        (Decoded::Invalid(_), _) => false,
    };
    if same && back_within(&back, wanted, effective) {
        return Ok(());
    }
    let came = match back {
        Decoded::Value(value) => match value.as_f64() {
            Some(number) => Amount(number, point.unit.as_deref()).to_string(),
            None => format!("\"{value}\""),
        },
        Decoded::Invalid(why) => format!("no value ({why})"),
    };
    Err(Refusal::new(
        Cause::Step,
        format!("the register cannot hold exactly that: the nearest is {came}"),
        "Write a value that it can hold.",
    )
    .bound_by("register"))
}

/// Whether what the words mean lies within the bounds: a single-precision float may come out just above what was asked.
fn back_within(back: &Decoded, wanted: &Value, effective: &Effective) -> bool {
    let (Decoded::Value(back), Some((low, high)), Some(wanted)) = (back, &effective.range, wanted.as_f64())
    else {
        return true;
    };
    if effective.choices.contains(&wanted) || effective.no_limit == Some(wanted) {
        return true;
    }
    // The bound itself, in the arithmetic of the register, is within.
    let slack = |bound: f64| 4.0 * f64::EPSILON * bound.abs();
    back.as_f64()
        .is_none_or(|back| back <= high.value + slack(high.value) && back >= low.value - slack(low.value))
}

/// Equal, but for the noise of the arithmetic, or of a single-precision float.
fn near(a: f64, b: f64, single: bool) -> bool {
    let slack = if single {
        f64::from(f32::EPSILON)
    } else {
        4.0 * f64::EPSILON
    };
    (a - b).abs() <= slack * a.abs().max(b.abs())
}

fn text(point: &Point, effective: &Effective, text: &str) -> Result<(), Refusal> {
    let Some(room) = effective.max_bytes.filter(|_| effective.kind == Kind::Text) else {
        return Err(Refusal::new(
            Cause::Value,
            format!("\"{}\" is a text, but {} is a number", shown(text), point.label),
            "Write a number, or one of the choices that `busbar limits` shows.",
        ));
    };
    if text.chars().any(char::is_control) {
        return Err(Refusal::new(
            Cause::Value,
            "the text has control characters in it",
            "Leave them out; letters, digits, signs and spaces are fine.",
        ));
    }
    if text.len() > room {
        return Err(Refusal::new(
            Cause::Bounds,
            format!("the text takes {} bytes, and the device keeps {room}", text.len()),
            "Shorten it; letters with accents take two bytes or more.",
        )
        .bound_by("register"));
    }
    Ok(())
}

fn number(point: &Point, effective: &Effective, wanted: &Value, old: Option<&Value>) -> Result<(), Refusal> {
    let unit = point.unit.as_deref();
    let value = wanted.as_f64().unwrap_or(f64::NAN);
    if effective.kind == Kind::Text {
        return Err(Refusal::new(
            Cause::Value,
            format!(
                "{} is a number, but {} is a text",
                Amount(value, None),
                point.label
            ),
            "Put the text in quotes.",
        ));
    }
    if !value.is_finite() {
        return Err(Refusal::new(
            Cause::Value,
            format!("{value} is no number"),
            "Write a finite number.",
        ));
    }
    // A whole number that a float cannot tell from its neighbour cannot be compared with a bound.
    if matches!(wanted, Value::Integer(n) if n.unsigned_abs() > 1 << 53) {
        return Err(Refusal::new(
            Cause::Bounds,
            format!("{value} is larger than any setting"),
            "`busbar limits` shows what can be written.",
        )
        .bound_by("register"));
    }
    let lifts = point.write.as_ref().and_then(|rule| rule.no_limit) == Some(value);
    if lifts {
        return match effective.no_limit {
            Some(_) => Ok(()),
            None => Err(Refusal::new(
                Cause::Bounds,
                format!("{} lifts the device's own limit, which you have not allowed", Amount(value, unit)),
                "If that is safe, allow it by itself: { entity = \"…\", no_limit = true } in connection.writes.",
            )
            .bound_by("owner")),
        };
    }
    if effective.choices.contains(&value) {
        // The ledger's own choices stand beside the range; the owner's are values of it.
        let beside = point
            .write
            .as_ref()
            .is_some_and(|rule| rule.choices.contains(&value));
        return if beside {
            Ok(())
        } else {
            change(point, effective, value, old)
        };
    }
    let Some((low, high)) = &effective.range else {
        return Err(Refusal::new(
            Cause::Bounds,
            format!(
                "{} is none of its choices: {}",
                Amount(value, unit),
                choices(point, effective)
            ),
            "Write one of these; their names do, too.",
        )
        .bound_by("ledger"));
    };
    let outside = |end: &crate::limits::End, side: &str| {
        Err(Refusal::new(
            Cause::Bounds,
            format!(
                "{} is {side} {} ({})",
                Amount(value, unit),
                Amount(end.value, unit),
                end.because()
            ),
            "`busbar limits` shows what can be written, and what binds it.",
        )
        .bound_by(end.by.clone()))
    };
    if value > high.value {
        return outside(high, "above");
    }
    if value < low.value {
        return outside(low, "below");
    }
    if let Some(step) = effective.step.filter(|step| steps_in(value, *step).is_none()) {
        let below = tidy((value / step).floor(), step).max(low.value);
        let above = tidy((value / step).ceil(), step).min(high.value);
        return Err(Refusal::new(
            Cause::Step,
            format!(
                "{} lies between two steps of {}",
                Amount(value, unit),
                Amount(step, unit)
            ),
            format!("Write {} or {}.", Amount(below, unit), Amount(above, unit)),
        )
        .bound_by("ledger"));
    }
    change(point, effective, value, old)
}

/// Whether a value is near enough to the present one.
fn change(point: &Point, effective: &Effective, value: f64, old: Option<&Value>) -> Result<(), Refusal> {
    let unit = point.unit.as_deref();
    let Some(most) = effective.max_change else {
        return Ok(());
    };
    match old.and_then(Value::as_f64) {
        None => Err(Refusal::new(
            Cause::Change,
            format!(
                "at most {} at a time may be changed, and the present value is not known",
                Amount(most, unit)
            ),
            "Wait until the value can be read.",
        )),
        Some(old) if (value - old).abs() > most * (1.0 + f64::EPSILON) => {
            let next = if value > old { old + most } else { old - most };
            Err(Refusal::new(
                Cause::Change,
                format!(
                    "from {} to {} is more than {} at a time",
                    Amount(old, unit),
                    Amount(value, unit),
                    Amount(most, unit)
                ),
                format!("Go in steps: {} first.", Amount(next, unit)),
            ))
        }
        Some(_) => Ok(()),
    }
}

/// The choices of a point, with their names.
pub(crate) fn choices(point: &Point, effective: &Effective) -> String {
    let one = |choice: &f64| {
        let label = (choice.fract() == 0.0)
            .then(|| point.labels.get(&(*choice as i64)))
            .flatten();
        match label {
            Some(label) => format!("{} ({label})", Amount(*choice, None)),
            None => Amount(*choice, None).to_string(),
        }
    };
    effective.choices.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// Id, length in bytes, data with the high byte first.
fn link_words(
    point: &Point,
    register: &Register,
    effective: &Effective,
    (id, room): (u16, u8),
    wanted: &Value,
) -> Result<Vec<u16>, Refusal> {
    let too_large = || {
        Refusal::new(
            Cause::Bounds,
            format!("it does not fit into {room} bytes of {}", point.label),
            "`busbar limits` shows what can be written.",
        )
        .bound_by("register")
    };
    let data: Vec<u8> = match wanted {
        Value::Text(text) => text.as_bytes().to_vec(),
        // Raw steps, as the register will show them; a link has the high byte first in any case.
        _ => {
            let plain = Register {
                order: busbar_ledger::model::Order::Abcd,
                ..register.clone()
            };
            let words = encoded(point, &plain, effective, wanted)?;
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
            let (unused, data) = bytes.split_at(bytes.len().saturating_sub(usize::from(room)));
            if unused.iter().any(|byte| *byte != 0) {
                return Err(too_large());
            }
            data.to_vec()
        }
    };
    if data.len() > usize::from(room) {
        return Err(too_large());
    }
    let mut words = vec![id, data.len() as u16];
    words.extend(
        data.chunks(2)
            .map(|pair| u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or_default()])),
    );
    Ok(words)
}

/// The value that an owner has typed: a number, a choice by its name, `on` and `off`, `no limit`, or a text.
///
/// # Errors
/// [`Cause::Value`] where it cannot be understood.
pub fn understand(point: &Point, typed: &str) -> Result<Value, Refusal> {
    let (rule, _) = rule_of(point)?;
    if rule.kind == Kind::Text {
        return Ok(Value::Text(typed.to_owned()));
    }
    let text = typed.trim();
    if let Ok(whole) = text.parse::<i64>() {
        return Ok(Value::Integer(whole));
    }
    let looks_like_a_number = text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.'));
    if let Ok(number) = text.parse::<f64>()
        && looks_like_a_number
    {
        return Ok(match number.fract() == 0.0 && number.abs() < 9e15 {
            true => Value::Integer(number as i64),
            false => Value::Number(number),
        });
    }
    let same = |label: &str| label.eq_ignore_ascii_case(text);
    if let Some((number, _)) = point.labels.iter().find(|(_, label)| same(label)) {
        return Ok(Value::Integer(*number));
    }
    if let Some(lifts) = rule.no_limit
        && ["no limit", "no-limit", "none", "unlimited"]
            .iter()
            .any(|word| same(word))
    {
        return Ok(Value::Integer(lifts as i64));
    }
    if rule.kind == Kind::Switch {
        if ["on", "true", "yes"].iter().any(|word| same(word)) {
            return Ok(Value::Integer(1));
        }
        if ["off", "false", "no"].iter().any(|word| same(word)) {
            return Ok(Value::Integer(0));
        }
    }
    if let ([only], true) = (rule.choices.as_slice(), rule.kind == Kind::Button)
        && ["press", "go"].iter().any(|word| same(word))
    {
        return Ok(Value::Integer(*only as i64));
    }
    let names: Vec<&str> = point.labels.values().map(String::as_str).collect();
    Err(Refusal::new(
        Cause::Value,
        format!("\"{}\" is no value of {}", shown(text), point.label),
        match names.as_slice() {
            [] => "Write a number without its unit, with a point for decimals: 2.5".to_owned(),
            names => format!("Write a number or one of: {}.", names.join(", ")),
        },
    ))
}

/// What somebody typed, fit for a message.
fn shown(text: &str) -> String {
    let cut: String = text.chars().take(40).collect();
    let mark = if cut.len() < text.len() { "…" } else { "" };
    format!("{}{mark}", cut.escape_debug())
}
