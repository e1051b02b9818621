//! Register lists: the few facts about each register that a data sheet or another tool's configuration gives.
//!
//! A list is TOML or CSV. It becomes a ledger by being written as one, so that everything that works with ledgers
//! works with lists, and so that a list that proved itself can be kept as a ledger. Pure: text in, text out.

mod cells;
mod check;
mod csv;
mod row;
#[cfg(test)]
mod tests;
mod toml;
mod write;

use crate::diagnostics::{Diagnostic, Diagnostics, Sink};
use crate::model::{Ledger, Order};
use crate::parse::MAX_FILE;
use crate::parse::text::as_key;
use crate::span::Function;

pub use write::Title;

/// The longest read of a list that says nothing: what the reader that these lists come from used.
pub const MESSAGE_SIZE: u16 = 100;

/// Which end of a value comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Endian {
    /// The high one.
    #[default]
    Big,
    /// The low one.
    Little,
}

impl Order {
    /// The order that results from a byte order (within each word) and a word order: big and big is ABCD, little
    /// words are CDAB, little bytes BADC, both DCBA.
    pub fn of(bytes: Endian, words: Endian) -> Self {
        match (bytes, words) {
            (Endian::Big, Endian::Big) => Order::Abcd,
            (Endian::Big, Endian::Little) => Order::Cdab,
            (Endian::Little, Endian::Big) => Order::Badc,
            (Endian::Little, Endian::Little) => Order::Dcba,
        }
    }

    /// The name, as ledgers write it.
    pub fn name(self) -> &'static str {
        match self {
            Order::Abcd => "ABCD",
            Order::Cdab => "CDAB",
            Order::Badc => "BADC",
            Order::Dcba => "DCBA",
        }
    }
}

/// What holds for a whole list, where it does not say so itself. What is given here wins over the list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Added to every address; -1 for a list that counts from 1.
    pub index_shift: Option<i32>,
    /// The order of the bytes in each word.
    pub byteorder: Option<Endian>,
    /// The order of the words of a value.
    pub wordorder: Option<Endian>,
    /// The longest read, in registers: 1 to 125.
    pub message_size: Option<u16>,
}

/// A list that was checked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Map {
    /// A name for people.
    pub title: Option<String>,
    /// The Modbus unit.
    pub unit_id: Option<u8>,
    /// The longest read, in registers.
    pub message_size: Option<u16>,
    /// Added to every address.
    pub index_shift: i32,
    /// The registers, in the order of the list.
    pub entries: Vec<Entry>,
}

/// One register of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Its key in a ledger.
    pub key: String,
    /// A name for people, where the key does not do.
    pub label: Option<String>,
    /// The address as the list counts.
    pub at: i64,
    /// How many registers.
    pub words: u16,
    /// The short name of the type.
    pub ty: &'static str,
    /// Where the value's bytes lie.
    pub order: Order,
    /// Whether the list itself says so for this register.
    pub own_order: bool,
    /// Unit of measurement.
    pub unit: Option<String>,
    /// Value = raw * scale + offset; as it was written.
    pub scale: Option<String>,
    /// See `scale`.
    pub offset: Option<f64>,
    /// The address space.
    pub function: Function,
    /// Shares addresses with another on purpose.
    pub overlap: bool,
}

impl Map {
    /// Reads a list: TOML where the name ends in `.toml` or the text looks like it, else CSV.
    ///
    /// # Errors
    /// Every fault of the list, in one run.
    pub fn read(file: &str, text: &str, settings: &Settings) -> Result<Map, Diagnostics> {
        // An editor's mark at the beginning of a file is none of its text.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut sink = Sink::default();
        if text.len() > MAX_FILE {
            sink.push(Diagnostic {
                code: "too-large",
                message: format!("the file has {} bytes, more than {MAX_FILE}", text.len()),
                help: Some("list the registers of one device per file".to_owned()),
                span: None,
                related: None,
            });
            return Err(sink.into_diagnostics(file, text));
        }
        let rows = if is_toml(file, text) {
            toml::rows(text, &mut sink)
        } else {
            csv::rows(text, &mut sink)
        };
        let map = check::check(rows, settings, &mut sink);
        if sink.is_empty() {
            Ok(map)
        } else {
            Err(sink.into_diagnostics(file, text))
        }
    }

    /// The list as a ledger. `file` is the name that faults show.
    ///
    /// # Errors
    /// What a ledger may not say although the list was sound, shown in the ledger's text.
    pub fn ledger(&self, file: &str, title: &Title<'_>) -> Result<(String, Ledger), Diagnostics> {
        let text = self.ledger_text(title);
        let ledger = crate::parse(file, &text)?;
        Ok((text, ledger))
    }
}

fn is_toml(file: &str, text: &str) -> bool {
    let ends = |end: &str| file.to_ascii_lowercase().ends_with(end);
    if ends(".toml") {
        return true;
    }
    if ends(".csv") || ends(".tsv") {
        return false;
    }
    text.lines()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.starts_with('#'))
        .is_some_and(|line| line.starts_with('[') || line.contains('='))
}

/// Whether a file is a register list rather than a ledger: CSV by its name, or TOML with registers and no points.
pub fn is_list(file: &str, text: &str) -> bool {
    let lower = file.to_ascii_lowercase();
    if lower.ends_with(".csv") || lower.ends_with(".tsv") {
        return true;
    }
    let (root, _) = ::toml::de::DeTable::parse_recoverable(text);
    let has = |wanted: &[&str]| {
        root.get_ref()
            .keys()
            .any(|key| wanted.contains(&key.get_ref().as_ref()))
    };
    has(&["register", "registers"]) && !has(&["ledger", "points"])
}

/// A name as a key: `Voltage L1 [V]` is `voltage_l1_v`.
pub fn key_of(name: &str) -> String {
    let mut key = String::new();
    for c in as_key(name).chars() {
        if c != '_' || !key.ends_with('_') {
            key.push(c);
        }
    }
    key.trim_end_matches('_').to_owned()
}
