//! What a simulated device was asked.

use std::collections::BTreeMap;
use std::time::Duration;

use busbar_ledger::span::Span;

use crate::pdu::Request;

/// Different reads that are counted one by one; beyond that only `requests` grows.
const MAX_READS: usize = 16_384;
/// Writes that are remembered.
const MAX_WRITES: usize = 200_000;

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
    /// Requests of every function but 1 to 4, 17 and 43, in the order in which they came: the refused ones too, the
    /// broken ones, and those that were for nobody here. The first 200,000 are kept.
    pub writes: Vec<Write>,
    /// How many of them there were: more than are kept, when somebody writes without end.
    pub writes_total: u64,
}

/// A request that may change something, as it arrived.
#[derive(Clone, Debug, PartialEq)]
pub struct Write {
    /// Time since the site started.
    pub after: Duration,
    /// The unit; 0 on a serial line is everybody.
    pub unit: u8,
    /// The function.
    pub function: u8,
    /// The first address.
    pub at: u16,
    /// The words; a coil is 0 or 1.
    pub words: Vec<u16>,
    /// Whether it was well-formed. Of one that was not, `words` are the bytes behind the address.
    pub sound: bool,
    /// The exception it got; `None` when it was taken, and on a serial line when nobody was there.
    pub exception: Option<u8>,
}

impl Write {
    /// What a request may change, whoever saw it; `None` for functions 1 to 4, 17 and 43, and for no request at all.
    pub fn of(after: Duration, unit: u8, pdu: &[u8], exception: Option<u8>) -> Option<Write> {
        let (at, words, sound) = Request::writes(pdu)?;
        Some(Write {
            after,
            unit,
            function: *pdu.first()?,
            at,
            words,
            sound,
            exception,
        })
    }
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
        self.writes_total += 1;
        if self.writes.len() < MAX_WRITES {
            self.writes.push(write);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_writes_is_counted_and_kept_in_bounds() {
        let mut stats = Stats::default();
        for second in 0..MAX_WRITES as u64 + 3 {
            stats.write(Write {
                after: Duration::from_secs(second),
                unit: 1,
                function: 6,
                at: 0,
                words: Vec::new(),
                sound: true,
                exception: None,
            });
        }
        assert_eq!((stats.writes.len(), stats.writes_total), (200_000, 200_003));
        assert_eq!(stats.writes[0].after, Duration::ZERO);
    }
}
