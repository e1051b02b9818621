//! TOML text to a checked [`Ledger`], or every fault in it.
//!
//! Three steps: the text is parsed with recovery; each section, point and group is read into its type by itself;
//! what was read is checked against itself. A ledger leaves this module whole or not at all.

pub(crate) mod common;
mod computed;
pub(crate) mod explain;
mod head;
mod labels;
mod obis;
mod overlap;
mod points;
mod references;
mod registers;
mod section;
pub(crate) mod text;
mod write;

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::diagnostics::{Diagnostic, Diagnostics, Sink};
use crate::format;
use crate::model::{Ledger, Point};

/// The largest file that is read, in bytes.
pub const MAX_FILE: usize = 4 * 1024 * 1024;

/// The most points that a ledger may have, repeated ones counted each.
pub const MAX_POINTS: usize = 20_000;

/// Reads a ledger. `file` is the name that diagnostics show.
///
/// # Errors
///
/// Every fault of the file, in one run. Nothing of a faulty file is used.
pub fn parse(file: &str, text: &str) -> Result<Ledger, Diagnostics> {
    let mut sink = Sink::default();
    match read(text, &mut sink) {
        Some(ledger) if sink.is_empty() => Ok(ledger),
        _ => Err(sink.into_diagnostics(file, text)),
    }
}

/// A point on its way into the ledger, with the places that later checks underline.
struct Draft {
    point: Point,
    /// Its key, where the file gives it.
    key: Range<usize>,
    /// Says that it shares addresses on purpose.
    overlap: bool,
    /// Where the file gives the address of each of its registers.
    at: Vec<Range<usize>>,
    /// What it refers to.
    references: Vec<references::Reference>,
    /// The first firmware of its registers, where the file gives one.
    since: Vec<format::At<String>>,
    /// Where the file says that it is computed where no register holds it.
    otherwise: Option<Range<usize>>,
    /// The models that the file names for its registers.
    models: Vec<format::At<String>>,
    /// Whether the file gives its decimals.
    decimals_given: bool,
    /// Where the file says how it is written; `None` for a read-only point.
    write: Option<Range<usize>>,
}

fn read(text: &str, sink: &mut Sink) -> Option<Ledger> {
    if text.len() > MAX_FILE {
        sink.push(Diagnostic {
            code: "too-large",
            message: format!(
                "the file has {} bytes, more than the {MAX_FILE} that a ledger may have",
                text.len()
            ),
            help: Some("describe one kind of device per file".to_owned()),
            span: None,
            related: None,
        });
        return None;
    }
    let (mut root, faults) = DeTable::parse_recoverable(text);
    let mut last_line = None;
    for fault in &faults {
        // What follows on the same line is a guess.
        let line = fault.span().map(|span| line_of(text, &span));
        if line.is_none() || line != last_line {
            sink.push(syntax(fault, text));
        }
        last_line = line;
    }
    let syntax_faults = sink.len();

    let table = root.get_mut();
    let [labels, groups, points, computed] =
        ["labels", "groups", "points", "computed"].map(|name| take_section(table, name));
    if points.len().max(computed.len()) > MAX_POINTS {
        common::too_many_points(0..0, sink);
        return None;
    }
    let no_points = points.is_empty() && computed.is_empty();

    let span = root.span();
    let root = Spanned::new(span, DeValue::Table(root.into_inner()));
    let head = section::read::<format::File>(root, "ledger", sink);
    let head = head::check(head, sink);

    let labels = labels::read_shared(labels, sink);
    let mut known = references::Known::default();
    let mut drafts = points::read_all(points, &head, labels, &mut known, sink);
    computed::read_all(computed, &mut drafts, &mut known, sink);
    let groups = references::read_groups(groups, &mut known, sink);

    if faults.is_empty() {
        if no_points && sink.is_empty() {
            sink.push(Diagnostic {
                code: "no-points",
                message: "the ledger has no points".to_owned(),
                help: Some("add [points] with at least one: power = { at = 0, type = \"u16\" }".to_owned()),
                span: None,
                related: None,
            });
        }
        references::check(&drafts, &groups, &head, &known, sink);
        head::check_since(&drafts, &head, sink);
        head::check_models(&drafts, &head, sink);
        overlap::check(&drafts, &head, sink);
        overlap::check_spoken(&drafts, sink);
        overlap::check_written(&drafts, sink);
    } else {
        // What follows from a line that cannot be parsed is not worth a word of its own.
        let lines: Vec<_> = faults
            .iter()
            .filter_map(|fault| fault.span().map(|span| line_of(text, &span)))
            .collect();
        sink.forget_lines(text, &lines, syntax_faults);
    }
    if !sink.is_empty() {
        return None;
    }
    let order = references::evaluation_order(&drafts, sink)?;
    assemble(head, groups, drafts, &order)
}

/// Puts the checked parts together, points in the order in which they can be evaluated.
fn assemble(
    head: head::Head,
    groups: Vec<references::GroupDraft>,
    drafts: Vec<Draft>,
    order: &[usize],
) -> Option<Ledger> {
    let mut drafts: Vec<_> = drafts.into_iter().map(Some).collect();
    let mut points: Vec<Point> = Vec::with_capacity(drafts.len());
    let mut index = HashMap::with_capacity(drafts.len());
    for &i in order {
        let draft = drafts.get_mut(i)?.take()?;
        let mut point = draft.point;
        if !draft.decimals_given {
            computed::default_decimals(&mut point, &points, &index);
        }
        index.insert(point.key.clone(), points.len());
        points.push(point);
    }
    Some(Ledger {
        name: head.name,
        title: head.title,
        source: head.source,
        model: head.model,
        identified_by: head.identified_by,
        transports: head.transports,
        identify: head.identify,
        read: head.read,
        reserved: head.reserved.into_iter().map(|(span, _)| span).collect(),
        groups: groups
            .into_iter()
            .map(|draft| (draft.name, draft.group))
            .collect::<BTreeMap<_, _>>(),
        points,
        index,
    })
}

/// The entries of a top-level table, which stays behind empty.
fn take_section<'i>(table: &mut DeTable<'i>, name: &str) -> DeTable<'i> {
    match table.get_mut(name).map(Spanned::get_mut) {
        Some(DeValue::Table(section)) => std::mem::take(section),
        _ => DeTable::new(),
    }
}

/// A fault in the TOML itself.
fn syntax(fault: &toml::de::Error, text: &str) -> Diagnostic {
    let span = fault.span().unwrap_or(0..0);
    let duplicate = fault.message() == "duplicate key";
    let word = text.get(span.clone()).unwrap_or_default();
    Diagnostic {
        code: if duplicate { "duplicate-key" } else { "syntax" },
        message: if duplicate {
            format!("duplicate key `{word}`")
        } else {
            fault.message().to_owned()
        },
        help: Some(if duplicate {
            "give each entry of a table its own name, and each table one place".to_owned()
        } else {
            "this is not valid TOML; see https://toml.io".to_owned()
        }),
        span: Some(span),
        related: None,
    }
}

/// The line or lines around a span.
fn line_of(text: &str, span: &Range<usize>) -> Range<usize> {
    let start = text
        .get(..span.start)
        .and_then(|t| t.rfind('\n'))
        .map_or(0, |i| i + 1);
    let end = text
        .get(span.end..)
        .and_then(|t| t.find('\n'))
        .map_or(text.len(), |i| span.end + i);
    start..end
}
