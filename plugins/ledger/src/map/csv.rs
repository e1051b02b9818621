//! A register list as CSV: with or without headings; comma, semicolon or tab; quotes, comments, any line ends.
//!
//! A reader of its own: every fault is shown at its field, and a quote that is not closed costs its line only.

use std::ops::Range;

use super::row::{COLUMNS, Column, Row, Rows};
use crate::diagnostics::Sink;
use crate::format::At;
use crate::parse::MAX_POINTS;
use crate::parse::explain::choice;

pub(super) fn rows(text: &str, sink: &mut Sink) -> Rows {
    let lines = lines(text);
    let delimiter = lines.first().map_or(',', |line| delimiter(&text[line.clone()]));
    let mut rows = Rows {
        decimal_comma: delimiter != ',',
        ..Rows::default()
    };
    let mut columns: Option<Vec<Option<Column>>> = None;
    for line in lines {
        let before = sink.len();
        let fields = fields(text, line.clone(), delimiter, sink);
        if columns.is_none() {
            columns = headings(&fields, sink);
            if sink.len() > before {
                // What a column without a name holds cannot be judged.
                break;
            }
            if columns.is_some() {
                continue;
            }
        }
        let columns = columns.get_or_insert_with(|| COLUMNS.iter().map(|(c, _)| Some(*c)).collect());
        if rows.rows.len() >= MAX_POINTS {
            crate::parse::common::too_many_points(line, sink);
            break;
        }
        let row = row(columns, fields, line, sink);
        // What follows from a field that cannot be read is not worth a word of its own.
        if sink.len() == before {
            rows.rows.push(row);
        }
    }
    rows
}

/// Lines that say something, without their ends.
fn lines(text: &str) -> Vec<Range<usize>> {
    let mut lines = Vec::new();
    let mut at = 0;
    // Old Macs ended lines with CR alone, Windows with CR LF.
    for line in text.split(['\n', '\r']) {
        let content = line.trim();
        if !content.is_empty() && !content.starts_with('#') {
            lines.push(at..at + line.len());
        }
        at += line.len() + 1;
    }
    lines
}

/// The one that stands most often outside quotes.
fn delimiter(line: &str) -> char {
    let mut quoted = false;
    let mut counts = [(',', 0), (';', 0), ('\t', 0)];
    for c in line.chars() {
        quoted ^= c == '"';
        if let Some((_, count)) = counts.iter_mut().find(|(d, _)| !quoted && *d == c) {
            *count += 1;
        }
    }
    // The last of equals wins in `max_by_key`: a decimal comma does not make a comma the delimiter.
    counts
        .into_iter()
        .max_by_key(|(_, count)| *count)
        .filter(|(_, count)| *count > 0)
        .map_or(',', |(delimiter, _)| delimiter)
}

fn fields(text: &str, line: Range<usize>, delimiter: char, sink: &mut Sink) -> Vec<At<String>> {
    let mut fields = Vec::new();
    let mut rest = line.clone();
    loop {
        let content = text.get(rest.clone()).unwrap_or_default();
        let blank = content.len() - content.trim_start_matches(' ').len();
        let (field, next) = if content.trim_start_matches(' ').starts_with('"') {
            quoted(text, rest.start + blank, rest.end, delimiter, sink)
        } else {
            let end = content.find(delimiter).map_or(rest.end, |i| rest.start + i);
            (trimmed(text, rest.start..end), end)
        };
        fields.push(field);
        if next >= rest.end {
            return fields;
        }
        rest = next + delimiter.len_utf8()..rest.end;
        if fields.len() > 64 {
            sink.add(
                "too-many-fields",
                line,
                "more than 64 fields on one line",
                "one register a line: name,address,length,type",
            );
            return fields;
        }
    }
}

/// A field without the blanks around it.
fn trimmed(text: &str, span: Range<usize>) -> At<String> {
    let field = text.get(span.clone()).unwrap_or_default();
    let start = span.start + field.len() - field.trim_start().len();
    let value = field.trim().to_owned();
    At {
        span: start..start + value.len(),
        value,
    }
}

/// A field in quotes from `start`; where the next one begins.
fn quoted(text: &str, start: usize, end: usize, delimiter: char, sink: &mut Sink) -> (At<String>, usize) {
    let content = text.get(start + 1..end).unwrap_or_default();
    let mut value = String::new();
    let mut chars = content.char_indices().peekable();
    while let Some((i, c)) = chars.next() {
        if c != '"' {
            value.push(c);
        } else if chars.next_if(|(_, next)| *next == '"').is_some() {
            value.push('"');
        } else {
            let after = start + 1 + i + 1;
            let tail = text.get(after..end).unwrap_or_default();
            let next = tail.find(delimiter).map_or(end, |i| after + i);
            if !text.get(after..next).unwrap_or_default().trim().is_empty() {
                sink.add(
                    "quotes",
                    after..next,
                    "text behind the closing quote",
                    "write a quote inside a text twice: \"\"",
                );
            }
            return (
                At {
                    value: value.trim().to_owned(),
                    span: start..after,
                },
                next,
            );
        }
    }
    sink.add(
        "quotes",
        start..end,
        "the quote is not closed on this line",
        "close it, or write a quote inside a text twice: \"\"",
    );
    (
        At {
            value,
            span: start..end,
        },
        end,
    )
}

/// The columns, when this line names them: it says where the address stands.
fn headings(fields: &[At<String>], sink: &mut Sink) -> Option<Vec<Option<Column>>> {
    let columns: Vec<_> = fields.iter().map(|field| Column::of(&field.value)).collect();
    let known = columns.iter().flatten().count();
    if known < 2 || !columns.contains(&Some(Column::Address)) && known < 3 {
        return None;
    }
    for (i, (field, column)) in fields.iter().zip(&columns).enumerate() {
        let name = &field.value;
        match column {
            None if name.is_empty() => {}
            None => sink.add(
                "unknown-column",
                field.span.clone(),
                format!("unknown column `{name}`"),
                choice(name, &Column::known(), "the columns are"),
            ),
            Some(column) if columns[..i].contains(&Some(*column)) => sink.add(
                "duplicate-column",
                field.span.clone(),
                format!("a second column `{}`", column.name()),
                "name each column once",
            ),
            Some(_) => {}
        }
    }
    Some(columns)
}

fn row(columns: &[Option<Column>], fields: Vec<At<String>>, line: Range<usize>, sink: &mut Sink) -> Row {
    let mut cells = Vec::with_capacity(fields.len());
    for (i, field) in fields.into_iter().enumerate() {
        if field.value.is_empty() {
            continue;
        }
        match columns.get(i) {
            Some(Some(column)) => cells.push((*column, field)),
            Some(None) => {}
            None => {
                sink.add(
                    "too-many-fields",
                    field.span,
                    format!("field {} of {} columns", i + 1, columns.len()),
                    "put a text with the delimiter in it into quotes",
                );
                break;
            }
        }
    }
    Row { place: line, cells }
}
