//! A register list before it is checked: texts and their places, from TOML or CSV alike.

use std::ops::Range;

use crate::format::At;

/// What a column of a list says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Column {
    Name,
    Address,
    Length,
    Type,
    Unit,
    Scale,
    Label,
    Function,
    Order,
    Offset,
    Overlap,
}

/// The columns in the order of a list without headings, and every name that each may have.
pub(super) const COLUMNS: [(Column, &[&str]); 11] = [
    (Column::Name, &["name", "key"]),
    (Column::Address, &["address", "at", "index", "register", "start"]),
    (Column::Length, &["length", "words", "count", "size", "registers"]),
    (Column::Type, &["type", "data_type", "datatype"]),
    (Column::Unit, &["unit", "units"]),
    (Column::Scale, &["scale", "factor", "multiplier"]),
    (Column::Label, &["label", "description"]),
    (Column::Function, &["function", "fc", "function_code"]),
    (Column::Order, &["order", "byte_order"]),
    (Column::Offset, &["offset"]),
    (Column::Overlap, &["overlap"]),
];

impl Column {
    /// The column of this name; capitals, blanks and dashes make no difference.
    pub(super) fn of(name: &str) -> Option<Self> {
        let name = name.trim().to_ascii_lowercase().replace([' ', '-'], "_");
        COLUMNS
            .iter()
            .find(|(_, names)| names.contains(&name.as_str()))
            .map(|(column, _)| *column)
    }

    /// What it is called where we name it.
    pub(super) fn name(self) -> &'static str {
        COLUMNS
            .iter()
            .find(|(column, _)| *column == self)
            .and_then(|(_, names)| names.first())
            .map_or("", |name| name)
    }

    /// The names that are offered to somebody who wrote another one.
    pub(super) fn known() -> Vec<&'static str> {
        COLUMNS
            .iter()
            .filter_map(|(_, names)| names.first().copied())
            .collect()
    }
}

/// One register as it is written.
#[derive(Debug)]
pub(super) struct Row {
    /// Where it stands.
    pub(super) place: Range<usize>,
    /// What it says; empty texts are left out.
    pub(super) cells: Vec<(Column, At<String>)>,
}

/// A whole list as it is written.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// What holds for all of it.
    pub(super) settings: Vec<(Setting, At<String>)>,
    /// Its registers.
    pub(super) rows: Vec<Row>,
    /// Whether numbers may have a decimal comma.
    pub(super) decimal_comma: bool,
}

/// What a list may say of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Setting {
    Title,
    UnitId,
    Function,
    IndexShift,
    ByteOrder,
    WordOrder,
    MessageSize,
}

/// The settings by name.
pub(super) const SETTINGS: [(Setting, &str); 7] = [
    (Setting::Title, "title"),
    (Setting::UnitId, "unit_id"),
    (Setting::Function, "function"),
    (Setting::IndexShift, "index_shift"),
    (Setting::ByteOrder, "byteorder"),
    (Setting::WordOrder, "wordorder"),
    (Setting::MessageSize, "message_size"),
];
