//! Texts of a register list to what they mean, and everything that can be wrong with them.

use std::collections::HashMap;
use std::ops::Range;

use super::row::{Column, Row, Rows, Setting};
use super::{Endian, Entry, MESSAGE_SIZE, Map, Settings, key_of};
use crate::diagnostics::{Diagnostic, Sink};
use crate::format::{At, TypeName};
use crate::model::{Bridge, Order, ReadRules};
use crate::parse::common::{self, MAX_TEXT, fixed_words};
use crate::parse::explain::choice;
use crate::parse::text::{FactorFault, is_key, parse_factor};
use crate::span::{Function, Span};

pub(super) fn check(rows: Rows, given: &Settings, sink: &mut Sink) -> Map {
    let head = head(&rows.settings, given, sink);
    let mut known: HashMap<String, Range<usize>> = HashMap::new();
    let mut placed: Vec<(Span, Range<usize>, usize)> = Vec::new();
    let mut entries = Vec::with_capacity(rows.rows.len());
    if rows.rows.is_empty() && sink.is_empty() {
        sink.push(Diagnostic {
            code: "no-points",
            message: "the list has no registers".to_owned(),
            help: Some("write one a line: name,address,length,type".to_owned()),
            span: None,
            related: None,
        });
    }
    for row in &rows.rows {
        let before = sink.len();
        let Some((entry, span, places)) = entry(row, &head, rows.decimal_comma, sink) else {
            debug_assert!(sink.len() > before, "what is left out was reported");
            continue;
        };
        if let Some(first) = known.get(&entry.key) {
            sink.push(Diagnostic {
                code: "duplicate-key",
                message: format!("a second register with the key `{}`", entry.key),
                help: Some("give each register a name of its own".to_owned()),
                span: Some(places.name.clone()),
                related: Some((first.clone(), "the first is here".to_owned())),
            });
            continue;
        }
        known.insert(entry.key.clone(), places.name);
        if !entry.overlap {
            placed.push((span, places.address, entries.len()));
        }
        entries.push(entry);
    }
    overlaps(placed, &entries, sink);
    Map {
        title: head.title,
        unit_id: head.unit_id,
        message_size: Some(head.read.max_words),
        index_shift: head.read.index_shift,
        entries,
    }
}

/// What holds for all registers.
struct Head {
    title: Option<String>,
    unit_id: Option<u8>,
    order: Order,
    read: ReadRules,
}

fn head(settings: &[(Setting, At<String>)], given: &Settings, sink: &mut Sink) -> Head {
    let find = |wanted: Setting| {
        settings
            .iter()
            .find(|(setting, _)| *setting == wanted)
            .map(|(_, value)| value)
    };
    let mut number = |setting: Setting, range: std::ops::RangeInclusive<i64>, help: &str| {
        let value = find(setting)?;
        let read = whole(&value.value).filter(|n| range.contains(n));
        if read.is_none() {
            let message = format!("`{}` is out of range here", value.value);
            sink.add("setting", value.span.clone(), message, help);
        }
        read
    };
    let unit_id = number(Setting::UnitId, 0..=247, "write the unit id, 0 to 247");
    let shift = number(
        Setting::IndexShift,
        -65_535..=65_535,
        "write -1 for a list that counts from 1",
    );
    let size = number(Setting::MessageSize, 1..=125, "write 1 to 125 registers");
    let mut endian = |setting: Setting| {
        let value = find(setting)?;
        let read = match value.value.to_ascii_lowercase().as_str() {
            "big" => Some(Endian::Big),
            "little" => Some(Endian::Little),
            _ => None,
        };
        if read.is_none() {
            let message = format!("`{}` is no order", value.value);
            sink.add("setting", value.span.clone(), message, "write big or little");
        }
        read
    };
    let bytes = given.byteorder.or_else(|| endian(Setting::ByteOrder));
    let words = given.wordorder.or_else(|| endian(Setting::WordOrder));
    let function = find(Setting::Function).and_then(|value| function(value, sink));
    let narrow = |n: i64| i32::try_from(n).ok();
    Head {
        title: common::text(find(Setting::Title).cloned(), "title", MAX_TEXT, sink),
        unit_id: unit_id.and_then(|n| u8::try_from(n).ok()),
        order: Order::of(bytes.unwrap_or_default(), words.unwrap_or_default()),
        read: ReadRules {
            function: function.unwrap_or(Function::Holding),
            fall_back_to_holding: false,
            max_words: given
                .message_size
                .or(size.and_then(|n| u16::try_from(n).ok()))
                .unwrap_or(MESSAGE_SIZE),
            bridge: Bridge::Learned,
            index_shift: given.index_shift.or(shift.and_then(narrow)).unwrap_or(0),
            zero_is_unproven: false,
            manners: crate::model::Manners::default(),
        },
    }
}

/// Where the parts stand that later faults underline.
struct Places {
    name: Range<usize>,
    address: Range<usize>,
}

fn entry(row: &Row, head: &Head, comma: bool, sink: &mut Sink) -> Option<(Entry, Span, Places)> {
    let cell = |wanted: Column| {
        row.cells
            .iter()
            .find(|(column, _)| *column == wanted)
            .map(|(_, value)| value)
    };
    let mut required = |column: Column, help: &str| {
        let cell = cell(column);
        if cell.is_none() {
            let message = format!("the register has no {}", column.name());
            sink.add("missing", row.place.clone(), message, help);
        }
        cell
    };
    let name = required(Column::Name, "give it one: a to z, 0 to 9 and _ make a key");
    let address = required(Column::Address, "write its address, decimal or 0x…");
    let function = match cell(Column::Function) {
        Some(value) => function(value, sink)?,
        None => head.read.function,
    };
    let bit = function.is_bit();
    let ty = match cell(Column::Type) {
        Some(value) => type_of(value, bit, sink),
        None if bit => Some(None),
        None => {
            let help = "write one: INT16, UINT16, INT32, UINT32, INT64, UINT64, FLOAT32, FLOAT64";
            sink.add("missing", row.place.clone(), "the register has no type", help);
            None
        }
    };
    let (name, address, ty) = (name?, address?, ty?);
    let words = length(
        cell(Column::Length),
        (ty.as_ref(), cell(Column::Type)),
        &head.read,
        &row.place,
        sink,
    )?;
    let at = at(address, sink)?;
    let span = common::span(
        function,
        &At {
            value: at,
            span: address.span.clone(),
        },
        words,
        0,
        &head.read,
        sink,
    )?;
    let (key, label) = names(name, cell(Column::Label).cloned(), sink)?;
    let own_order = cell(Column::Order).map(|value| order(value, sink));
    let unit = common::unit(cell(Column::Unit).cloned(), None, false, sink);
    let (scale, offset) = arithmetic(&cell, ty.as_ref(), bit, comma, sink);
    let overlap = match cell(Column::Overlap).map(|value| (value, value.value.to_ascii_lowercase())) {
        None => false,
        Some((_, word)) if matches!(word.as_str(), "true" | "yes" | "1") => true,
        Some((_, word)) if matches!(word.as_str(), "false" | "no" | "0") => false,
        Some((value, _)) => {
            sink.add(
                "overlap",
                value.span.clone(),
                "that is neither yes nor no",
                "write yes or no",
            );
            false
        }
    };
    Some((
        Entry {
            key,
            label,
            at,
            words,
            ty: ty.map_or("bits", |ty| ty.value.name()),
            order: own_order.flatten().unwrap_or(head.order),
            own_order: own_order.is_some(),
            unit,
            scale,
            offset,
            function,
            overlap,
        },
        span,
        Places {
            name: name.span.clone(),
            address: address.span.clone(),
        },
    ))
}

/// A whole number, decimal or 0x….
fn whole(text: &str) -> Option<i64> {
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

fn at(address: &At<String>, sink: &mut Sink) -> Option<i64> {
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
fn type_of(value: &At<String>, bit: bool, sink: &mut Sink) -> Option<Option<At<TypeName>>> {
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
                choice(&value.value, &known, "write one of"),
            );
            None
        }
    }
}

fn length(
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

fn function(value: &At<String>, sink: &mut Sink) -> Option<Function> {
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

fn order(value: &At<String>, sink: &mut Sink) -> Option<Order> {
    let all = [Order::Abcd, Order::Cdab, Order::Badc, Order::Dcba];
    let order = all
        .into_iter()
        .find(|order| order.name().eq_ignore_ascii_case(&value.value));
    if order.is_none() {
        let help = choice(
            &value.value.to_ascii_uppercase(),
            &["ABCD", "CDAB", "BADC", "DCBA"],
            "write one of",
        );
        let message = format!("`{}` is not a known order", value.value);
        sink.add("unknown-value", value.span.clone(), message, help);
    }
    order
}

/// The key, and the name for people where it says more.
fn names(name: &At<String>, label: Option<At<String>>, sink: &mut Sink) -> Option<(String, Option<String>)> {
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

fn arithmetic<'a>(
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

/// Registers that share addresses without saying so.
fn overlaps(mut placed: Vec<(Span, Range<usize>, usize)>, entries: &[Entry], sink: &mut Sink) {
    placed.sort_by_key(|(span, place, _)| (*span, place.start));
    let mut furthest: Option<&(Span, Range<usize>, usize)> = None;
    for one in &placed {
        if let Some(other) = furthest.filter(|other| other.0.overlaps(one.0)) {
            let (first, second) = if other.1.start <= one.1.start {
                (other, one)
            } else {
                (one, other)
            };
            let key = |of: &(Span, Range<usize>, usize)| entries.get(of.2).map_or("", |e| e.key.as_str());
            sink.push(Diagnostic {
                code: "overlap",
                message: format!(
                    "`{}` at {} shares addresses with `{}` at {}",
                    key(second), second.0, key(first), first.0
                ),
                help: Some(
                    "check address and length; say `overlap` (yes) for one of them if they share them on purpose".to_owned(),
                ),
                span: Some(second.1.clone()),
                related: Some((first.1.clone(), format!("`{}` is here", key(first)))),
            });
        }
        if furthest.is_none_or(|f| f.0.function != one.0.function || f.0.end() < one.0.end()) {
            furthest = Some(one);
        }
    }
}
