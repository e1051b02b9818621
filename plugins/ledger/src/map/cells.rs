//! What single cells of a register list say: numbers, types, lengths, functions, orders, names.

use std::ops::Range;

use super::row::Column;
use super::{Endian, key_of};
use crate::diagnostics::Sink;
use crate::format::{At, TypeName};
use crate::model::{Order, ReadRules};
use crate::parse::common::{self, MAX_TEXT, fixed_words};
use crate::parse::explain::choice;
use crate::parse::text::{FactorFault, is_key, parse_factor};
use crate::span::Function;

/// A whole number, decimal or 0x….
pub(super) fn whole(text: &str) -> Option<i64> {
    let text = text.trim();
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let number = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(hex) if !hex.starts_with(['+', '-']) => i64::from_str_radix(hex, 16).ok()?,
        None if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse().ok()?,
        _ => return None,
    };
    Some(if negative { -number } else { number })
}

pub(super) fn at(address: &At<String>, sink: &mut Sink) -> Option<i64> {
    let Some(at) = whole(&address.value) else {
        sink.add(
            "address",
            address.span.clone(),
            format!("`{}` is no address", address.value),
            "write a whole number, decimal or 0x…",
        );
        return None;
    };
    // Six digits name the function too: 400001 is the first holding register.
    let by_number = match at {
        400_001..=465_536 => Some(("holding", at - 400_001)),
        300_001..=365_536 => Some(("input", at - 300_001)),
        _ => None,
    };
    if let Some((function, zero_based)) = by_number {
        sink.add(
            "address",
            address.span.clone(),
            format!("{at} is a register number, not an address"),
            format!("write {zero_based}, with function {function}"),
        );
        return None;
    }
    Some(at)
}

/// The type; `None` inside for a single bit.
pub(super) fn type_of(value: &At<String>, bit: bool, sink: &mut Sink) -> Option<Option<At<TypeName>>> {
    let lower = value.value.to_ascii_lowercase();
    let named = TypeName::of(&value.value);
    if bit {
        if matches!(lower.as_str(), "bit" | "bool" | "boolean") || named == Some(TypeName::Bits) {
            return Some(None);
        }
        sink.add(
            "type",
            value.span.clone(),
            format!("coils and discrete inputs are bits, not {}", value.value),
            "leave the type empty, or read it with function holding or input",
        );
        return None;
    }
    match named.filter(|ty| *ty != TypeName::Bits) {
        Some(ty) => Some(Some(At {
            value: ty,
            span: value.span.clone(),
        })),
        None => {
            let known = [
                "INT16", "UINT16", "INT32", "UINT32", "INT64", "UINT64", "FLOAT32", "FLOAT64", "u24", "bcd",
                "text",
            ];
            sink.add(
                "unknown-value",
                value.span.clone(),
                format!(
                    "`{}` is not a known type",
                    value.value.chars().take(40).collect::<String>()
                ),
                if ["string", "str", "char", "ascii"]
                    .iter()
                    .any(|word| lower.starts_with(word))
                {
                    "write text, with its number of registers as the length".to_owned()
                } else {
                    choice(&value.value, &known, "write one of")
                },
            );
            None
        }
    }
}

pub(super) fn length(
    given: Option<&At<String>>,
    (ty, written): (Option<&At<TypeName>>, Option<&At<String>>),
    read: &ReadRules,
    row: &Range<usize>,
    sink: &mut Sink,
) -> Option<u16> {
    let most = read.max_words;
    let number = match given {
        None => None,
        Some(given) => match whole(&given.value) {
            Some(n) => Some((n, given.span.clone())),
            None => {
                let message = format!("`{}` is no length", given.value);
                sink.add(
                    "length",
                    given.span.clone(),
                    message,
                    "write the number of registers",
                );
                return None;
            }
        },
    };
    let fixed = ty.map_or(Some(1), |ty| fixed_words(ty.value));
    let name = ty.and(written).map_or("a bit", |written| written.value.as_str());
    let (count, span) = match (fixed, number) {
        (Some(fixed), None) => (i64::from(fixed), row.clone()),
        (Some(fixed), Some((n, span))) if n == i64::from(fixed) => (n, span),
        (Some(fixed), Some((n, span))) => {
            let help = match n {
                1 => format!("write {fixed}, or a type of 1 register: INT16, UINT16"),
                2 => format!("write {fixed}, or a type of 2 registers: INT32, UINT32, FLOAT32"),
                4 => format!("write {fixed}, or a type of 4 registers: INT64, UINT64, FLOAT64"),
                _ => format!("write {fixed}, or leave the length out"),
            };
            let registers = if fixed == 1 { "register" } else { "registers" };
            sink.add(
                "length",
                span,
                format!("{name} has {fixed} {registers}, not {n}"),
                help,
            );
            return None;
        }
        (None, Some(given)) => given,
        (None, None) => {
            let message = format!("type {name} needs a length");
            sink.add(
                "length",
                row.clone(),
                message,
                "write its number of registers as the length",
            );
            return None;
        }
    };
    let longest = match ty.map(|ty| ty.value) {
        Some(TypeName::Bcd) => 4.min(most),
        _ => most,
    };
    match u16::try_from(count) {
        Ok(count) if (1..=longest).contains(&count) => Some(count),
        _ => {
            let message = format!("{name} of {count} registers does not fit into one read of {most}");
            let help = format!("write 1 to {longest}, or raise the message size");
            sink.add("length", span, message, help);
            None
        }
    }
}

pub(super) fn function(value: &At<String>, sink: &mut Sink) -> Option<Function> {
    let word = value.value.trim().to_ascii_lowercase();
    let word = word.trim_start_matches("fc").trim_start_matches('0');
    let word = word.split([' ', '_', '-']).next().unwrap_or_default();
    let function = match word {
        "1" | "coil" | "coils" => Function::Coils,
        "2" | "discrete" => Function::Discrete,
        "3" | "holding" => Function::Holding,
        "4" | "input" => Function::Input,
        _ => {
            sink.add(
                "unknown-value",
                value.span.clone(),
                format!("`{}` is no function that reads", value.value),
                "write holding (3), input (4), coils (1) or discrete (2)",
            );
            return None;
        }
    };
    Some(function)
}

/// The order of one register; `big` and `little` are its word order, with the bytes as in the whole list.
pub(super) fn order(value: &At<String>, whole: Order, sink: &mut Sink) -> Option<Order> {
    let bytes = match whole {
        Order::Abcd | Order::Cdab => Endian::Big,
        Order::Badc | Order::Dcba => Endian::Little,
    };
    match value.value.to_ascii_lowercase().as_str() {
        "big" => return Some(Order::of(bytes, Endian::Big)),
        "little" => return Some(Order::of(bytes, Endian::Little)),
        _ => {}
    }
    let all = [Order::Abcd, Order::Cdab, Order::Badc, Order::Dcba];
    let order = all
        .into_iter()
        .find(|order| order.name().eq_ignore_ascii_case(&value.value));
    if order.is_none() {
        let help = choice(
            &value.value.to_ascii_uppercase(),
            &["ABCD", "CDAB", "BADC", "DCBA"],
            "write big or little (the word order), or one of",
        );
        let message = format!("`{}` is not a known order", value.value);
        sink.add("unknown-value", value.span.clone(), message, help);
    }
    order
}

/// The key, and the name for people where it says more.
pub(super) fn names(
    name: &At<String>,
    label: Option<At<String>>,
    sink: &mut Sink,
) -> Option<(String, Option<String>)> {
    let label = common::text(label, "label", MAX_TEXT, sink);
    if is_key(&name.value) {
        return Some((name.value.clone(), label));
    }
    let name_text = common::text(Some(name.clone()), "name", MAX_TEXT, sink)?;
    if !name.value.chars().any(|c| c.is_ascii_alphabetic()) {
        sink.add(
            "key",
            name.span.clone(),
            format!("`{}` has no letter a to z to make a key of", name.value),
            "give it a name such as voltage_l1, and this one as its label",
        );
        return None;
    }
    Some((key_of(&name.value), label.or(Some(name_text))))
}

pub(super) fn arithmetic<'a>(
    cell: &impl Fn(Column) -> Option<&'a At<String>>,
    ty: Option<&At<TypeName>>,
    bit: bool,
    comma: bool,
    sink: &mut Sink,
) -> (Option<String>, Option<f64>) {
    let plain = |value: &At<String>| {
        if comma {
            value.value.replace(',', ".")
        } else {
            value.value.clone()
        }
    };
    let (scale, offset) = (cell(Column::Scale), cell(Column::Offset));
    let is_text = ty.is_some_and(|ty| ty.value == TypeName::Text);
    if is_text || bit {
        for value in [scale, offset].into_iter().flatten() {
            let message = "a text or a bit has no scale and no offset";
            sink.add(
                "scale",
                value.span.clone(),
                message,
                "leave it out, or choose a number type",
            );
        }
        return (None, None);
    }
    let scale = scale.and_then(|value| {
        let text = plain(value);
        let (message, help) = match parse_factor(&text) {
            Ok(_) => return Some(text),
            Err(FactorFault::Zero) => (
                "a scale of 0, or over 0",
                "write value = raw * scale: 1/10, 10, 0.1",
            ),
            Err(FactorFault::NoNumber) => (
                "that is no factor",
                "write a fraction (1/10), a whole number or a decimal (0.1)",
            ),
            Err(FactorFault::NotExact) => (
                "that factor cannot be kept exactly",
                "write it as a fraction of whole numbers: 1/3",
            ),
        };
        sink.add("scale", value.span.clone(), message, help);
        None
    });
    let offset = offset.and_then(|value| {
        let number = plain(value).trim().parse::<f64>().ok().filter(|n| n.is_finite());
        if number.is_none() {
            sink.add(
                "offset",
                value.span.clone(),
                "that is no number",
                "write what is added after scaling: -40",
            );
        }
        number
    });
    (scale, offset)
}
