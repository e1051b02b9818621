//! Reads one section of the file into its type, and finds every fault in it.
//!
//! Serde stops at the first fault. So the entry at fault is struck out and the section read again, until it
//! reads: what is left is checked further, and nothing is reported that only follows from a struck entry.

use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue, ValueDeserializer};

use super::explain::explain;
use crate::diagnostics::Sink;

/// More faults than this in one section are not looked for: each costs a reading of the section.
const MAX_STRUCK: usize = 20;

/// A section that was read.
pub(crate) struct Section<T> {
    /// What it says; `None` when too little of it could be read.
    pub(crate) value: Option<T>,
    /// Keys that were struck out, and what unknown ones were probably meant to be; what depends on one of them
    /// cannot be judged.
    pub(crate) struck: Vec<String>,
}

impl<T> Section<T> {
    /// Whether an entry with this key stood here but was at fault.
    pub(crate) fn lost(&self, key: &str) -> bool {
        self.struck.iter().any(|struck| struck == key)
    }
}

/// Reads `value`, which people know as `what` (for example: point `soc`).
pub(crate) fn read<'i, T: Deserialize<'i>>(
    mut value: Spanned<DeValue<'i>>,
    what: &str,
    sink: &mut Sink,
) -> Section<T> {
    let mut struck = Vec::new();
    loop {
        let error = match T::deserialize(ValueDeserializer::from(value.clone())) {
            Ok(read) => {
                return Section {
                    value: Some(read),
                    struck,
                };
            }
            Err(error) => error,
        };
        let span = error.span().unwrap_or_else(|| value.span());
        let path = strike(value.get_mut(), &span);
        // A key that is missing only because it was struck out has been reported already.
        let follows = error
            .message()
            .strip_prefix("missing field `")
            .is_some_and(|rest| {
                struck
                    .iter()
                    .any(|key: &String| rest.strip_suffix('`') == Some(key.as_str()))
            });
        if !follows {
            let (fault, meant) = explain(&error, &span, path.as_deref(), what);
            sink.push(fault);
            struck.extend(meant);
        }
        match path {
            Some(path) if struck.len() < MAX_STRUCK && !sink.is_flooded() => {
                struck.extend(path.into_iter().last())
            }
            _ => return Section { value: None, struck },
        }
    }
}

/// Removes the innermost entry or list item around `span` and returns the keys that lead to it.
fn strike(value: &mut DeValue<'_>, span: &Range<usize>) -> Option<Vec<String>> {
    match value {
        DeValue::Table(table) => strike_entry(table, span),
        DeValue::Array(items) => {
            if let Some(path) = items.iter_mut().find_map(|item| strike(item.get_mut(), span)) {
                return Some(path);
            }
            let at = items.iter().position(|item| encloses(&item.span(), span))?;
            let kept = std::mem::replace(items, DeArray::new())
                .into_iter()
                .enumerate()
                .filter(|(i, _)| *i != at);
            *items = kept.map(|(_, item)| item).collect();
            Some(Vec::new())
        }
        _ => None,
    }
}

fn strike_entry(table: &mut DeTable<'_>, span: &Range<usize>) -> Option<Vec<String>> {
    let mut found = None;
    for (key, value) in table.iter_mut() {
        // The span of a `[table]` is its header, so what lies in it has to be looked at by itself.
        if let Some(mut path) = strike(value.get_mut(), span) {
            path.insert(0, key.get_ref().to_string());
            return Some(path);
        }
        if encloses(&key.span(), span) || encloses(&value.span(), span) {
            found = Some(key.get_ref().to_string());
            break;
        }
    }
    let key = found?;
    table.remove(key.as_str());
    Some(vec![key])
}

fn encloses(outer: &Range<usize>, inner: &Range<usize>) -> bool {
    outer.start <= inner.start && inner.end <= outer.end
}
