//! Texts of a register list to what they mean, and everything that can be wrong with them.

use std::collections::HashMap;
use std::ops::Range;

use super::cells::{arithmetic, at, function, length, names, order, type_of, whole};
use super::row::{Column, Row, Rows, Setting};
use super::{Endian, Entry, MESSAGE_SIZE, Map, Settings};
use crate::diagnostics::{Diagnostic, Sink};
use crate::format::At;
use crate::model::{Bridge, Order, ReadRules};
use crate::parse::common::{self, MAX_TEXT};
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
            standard_offset: crate::telegram::time::CENTRAL_EUROPE,
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
    let own_order = cell(Column::Order).map(|value| order(value, head.order, sink));
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
