//! Labels of enumerations, and the values that a probe accepts.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

use toml::de::DeTable;

use super::common::{self, MAX_TEXT};
use super::explain::nearest;
use super::section;
use super::text::{parse_integer, parse_range};
use crate::diagnostics::Sink;
use crate::format::{At, Entries, Labels, TypeName};
use crate::model::ProbeValue;

/// The most labels in one file, ranges counted number by number.
const MAX_LABELS: usize = 100_000;

/// A table of labels as points hold it.
pub(super) type Table = Arc<BTreeMap<i64, String>>;

/// The shared tables of a file, and how many labels it may still add.
pub(super) struct Shared {
    /// `None` for one that is at fault: who names it is not.
    tables: HashMap<String, Option<Table>>,
    none: Table,
    left: usize,
}

/// Reads `[labels]`.
pub(super) fn read_shared(section: DeTable<'_>, sink: &mut Sink) -> Shared {
    let mut shared = Shared {
        tables: HashMap::new(),
        none: Arc::default(),
        left: MAX_LABELS,
    };
    for (key, value) in section {
        common::key(key.get_ref(), key.span(), "table of labels", sink);
        let read = section::read::<Entries>(value, "labels", sink);
        let complete = read.struck.is_empty();
        let table = read
            .value
            .and_then(|entries| shared.table(entries, sink))
            .filter(|_| complete);
        shared.tables.insert(key.into_inner().into_owned(), table);
    }
    shared
}

impl Shared {
    /// The labels that a point asks for.
    pub(super) fn of_point(&mut self, labels: Option<At<Labels>>, sink: &mut Sink) -> Table {
        let table = match labels {
            None => None,
            Some(At {
                value: Labels::Own(entries),
                ..
            }) => self.table(entries, sink),
            Some(At {
                value: Labels::Shared(name),
                span,
            }) => self.named(&name, span, sink),
        };
        table.unwrap_or_else(|| Arc::clone(&self.none))
    }

    fn named(&self, name: &str, span: Range<usize>, sink: &mut Sink) -> Option<Table> {
        if let Some(table) = self.tables.get(name) {
            return table.clone();
        }
        let near = nearest(name, self.tables.keys().map(String::as_str));
        sink.add(
            "unknown-labels",
            span,
            format!(
                "there is no table of labels `{}`",
                name.chars().take(40).collect::<String>()
            ),
            match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => "add it as [labels.NAME], or write the labels here: { 0 = \"Off\", 1 = \"On\" }"
                    .to_owned(),
            },
        );
        None
    }

    fn table(&mut self, entries: Entries, sink: &mut Sink) -> Option<Table> {
        let mut singles = BTreeMap::new();
        let mut ranges = BTreeMap::new();
        let before = sink.len();
        for (key, label) in entries.0 {
            let Some(range) = parse_range(&key.value) else {
                sink.add(
                    "labels",
                    key.span,
                    format!(
                        "`{}` is not a number",
                        key.value.chars().take(40).collect::<String>()
                    ),
                    "write the raw number (5, -1, 0x10) or a range of them, the lower first (51-54)",
                );
                continue;
            };
            let numbers = range.end().abs_diff(*range.start());
            if usize::try_from(numbers).map_or(true, |numbers| numbers >= self.left) {
                sink.add(
                    "labels",
                    key.span,
                    format!("more than {MAX_LABELS} labels in one file"),
                    "label only what the maker lists; `unlisted` names the rest",
                );
                return None;
            }
            let Some(label) = common::text(Some(label), "label", MAX_TEXT, sink) else {
                continue;
            };
            let table = if numbers == 0 { &mut singles } else { &mut ranges };
            for number in range {
                self.left = self.left.saturating_sub(1);
                if table.insert(number, label.clone()).is_some() {
                    sink.add(
                        "labels",
                        key.span.clone(),
                        format!("{number} has two labels"),
                        "give each number one label; ranges count both ends",
                    );
                    break;
                }
            }
        }
        // A number's own label is meant more exactly than that of a range around it.
        ranges.append(&mut singles);
        (sink.len() == before).then(|| Arc::new(ranges))
    }
}

/// What a probe may find, and the model's name for each.
pub(super) fn probe_values(entries: Entries, ty: TypeName, sink: &mut Sink) -> Vec<(ProbeValue, String)> {
    let mut values = Vec::new();
    for (key, model) in entries.0 {
        let value = match (ty, parse_integer(&key.value)) {
            (TypeName::Text, _) => ProbeValue::Text(key.value),
            (_, Some(number)) => ProbeValue::Integer(number),
            (_, None) => {
                sink.add(
                    "equals",
                    key.span,
                    format!(
                        "`{}` is not a number",
                        key.value.chars().take(40).collect::<String>()
                    ),
                    "write what the register must hold (0xA1B1 = \"model\"), or type = \"text\"",
                );
                continue;
            }
        };
        if let Some(model) = common::text(Some(model), "model", MAX_TEXT, sink) {
            values.push((value, model));
        }
    }
    values
}
