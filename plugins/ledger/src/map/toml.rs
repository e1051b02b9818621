//! A register list as TOML: settings at the top, then `[[register]]` tables or `registers = [[name, address, …]]`.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::row::{COLUMNS, Column, Row, Rows, SETTINGS};
use crate::diagnostics::{Diagnostic, Sink};
use crate::format::At;
use crate::parse::MAX_POINTS;
use crate::parse::explain::choice;

pub(super) fn rows(text: &str, sink: &mut Sink) -> Rows {
    let (root, faults) = DeTable::parse_recoverable(text);
    for fault in &faults {
        sink.push(Diagnostic {
            code: "syntax",
            message: fault.message().to_owned(),
            help: Some("this is not valid TOML; see https://toml.io".to_owned()),
            span: fault.span().or(Some(0..0)),
            related: None,
        });
    }
    let mut rows = Rows::default();
    if !faults.is_empty() {
        return rows;
    }
    for (key, value) in root.get_ref() {
        let (name, place) = (key.get_ref().as_ref(), key.span());
        if matches!(name, "register" | "registers") {
            registers(value, text, &mut rows, sink);
        } else if let Some((setting, _)) = SETTINGS.iter().find(|(_, known)| *known == name) {
            match as_text(value, text) {
                Some(value) => rows.settings.push((*setting, value)),
                None => wrong_value(name, value.span(), sink),
            }
        } else if matches!(name, "ledger" | "points") {
            sink.add(
                "ledger",
                place,
                "this is a ledger, not a register list",
                "read it with --ledger FILE",
            );
            break;
        } else {
            let mut known: Vec<&str> = SETTINGS.iter().map(|(_, name)| *name).collect();
            known.push("register");
            sink.add(
                "unknown-key",
                place,
                format!("unknown key `{name}`"),
                choice(name, &known, "the keys here are"),
            );
        }
    }
    rows
}

fn registers(value: &Spanned<DeValue<'_>>, text: &str, rows: &mut Rows, sink: &mut Sink) {
    let DeValue::Array(items) = value.get_ref() else {
        sink.add(
            "wrong-type",
            value.span(),
            "`register` must be a list",
            "write [[register]] above each register",
        );
        return;
    };
    for item in items.iter() {
        if rows.rows.len() >= MAX_POINTS {
            crate::parse::common::too_many_points(item.span(), sink);
            return;
        }
        let before = sink.len();
        let mut row = Row {
            place: item.span(),
            cells: Vec::new(),
        };
        match item.get_ref() {
            DeValue::Table(table) => {
                for (key, value) in table {
                    let name = key.get_ref().as_ref();
                    match Column::of(name) {
                        Some(column) => cell(column, value, text, &mut row, sink),
                        None => sink.add(
                            "unknown-key",
                            key.span(),
                            format!("unknown key `{name}`"),
                            choice(name, &Column::known(), "the keys of a register are"),
                        ),
                    }
                }
            }
            DeValue::Array(cells) => {
                for ((column, _), value) in COLUMNS.iter().zip(cells.iter()) {
                    cell(*column, value, text, &mut row, sink);
                }
            }
            _ => sink.add(
                "wrong-type",
                item.span(),
                "that is no register",
                "write a table { name = \"voltage\", address = 0, type = \"FLOAT32\" } or a list [\"voltage\", 0, 2, \"FLOAT32\"]",
            ),
        }
        // What follows from a value that cannot be read is not worth a word of its own.
        if sink.len() == before {
            rows.rows.push(row);
        }
    }
}

fn cell(column: Column, value: &Spanned<DeValue<'_>>, text: &str, row: &mut Row, sink: &mut Sink) {
    match as_text(value, text) {
        Some(given) if given.value.trim().is_empty() && column != Column::Name => {}
        Some(given) => row.cells.push((column, given)),
        None => wrong_value(column.name(), value.span(), sink),
    }
}

/// A number, a word or a truth as text; the check decides what it may be.
fn as_text(value: &Spanned<DeValue<'_>>, text: &str) -> Option<At<String>> {
    let span = value.span();
    let value = match value.get_ref() {
        DeValue::String(s) => s.to_string(),
        DeValue::Integer(_) | DeValue::Float(_) => text.get(span.clone())?.replace('_', ""),
        DeValue::Boolean(b) => b.to_string(),
        DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => return None,
    };
    Some(At { value, span })
}

fn wrong_value(name: &str, span: Range<usize>, sink: &mut Sink) {
    sink.add(
        "wrong-type",
        span,
        format!("`{name}` must be a number or a text"),
        "write one value, a text in quotes",
    );
}
