//! What a simulated device was asked.

use std::collections::BTreeMap;
use std::time::Duration;

use busbar_ledger::span::Span;

/// Different reads that are counted one by one; beyond that only `requests` grows.
const MAX_READS: usize = 16_384;
/// Writes that are remembered.
const MAX_WRITES: usize = 4096;

/// Counts since the device started.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stats {
    /// Connections accepted.
    pub connections: u64,
    /// Connections closed at once, because too many were open.
    pub turned_away: u64,
    /// Requests with a sound frame, whatever the answer.
    pub requests: u64,
    /// Exceptions given, by code.
    pub exceptions: BTreeMap<u8, u64>,
    /// Reads that were answered with values, by unit and span.
    pub reads: BTreeMap<(u8, Span), u64>,
    /// Writes, the refused ones too, in their order.
    pub writes: Vec<Write>,
}

/// A write request as it arrived.
#[derive(Clone, Debug, PartialEq)]
pub struct Write {
    /// Time since the site started.
    pub after: Duration,
    /// The unit.
    pub unit: u8,
    /// The first address.
    pub at: u16,
    /// The words.
    pub words: Vec<u16>,
    /// The exception it got; `None` when it was taken.
    pub exception: Option<u8>,
}

impl Stats {
    pub(crate) fn exception(&mut self, code: u8) {
        *self.exceptions.entry(code).or_default() += 1;
    }

    pub(crate) fn read(&mut self, unit: u8, span: Span) {
        if self.reads.len() < MAX_READS || self.reads.contains_key(&(unit, span)) {
            *self.reads.entry((unit, span)).or_default() += 1;
        }
    }

    pub(crate) fn write(&mut self, write: Write) {
        if self.writes.len() < MAX_WRITES {
            self.writes.push(write);
        }
    }
}
