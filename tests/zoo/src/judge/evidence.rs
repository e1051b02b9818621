//! What was seen of a device's requests, and what its host said that it was going to write.

use busbar_simulate::{Stats, Write};

use crate::record::Record;

/// Everything that was asked of one device and may have changed something there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evidence {
    /// Requests of every function but 1 to 4, 17 and 43, in the order in which they came.
    pub writes: Vec<Write>,
    /// Requests that came and were not kept: nothing can be said of them.
    pub unseen: u64,
}

impl From<&Stats> for Evidence {
    /// What the device itself saw.
    fn from(stats: &Stats) -> Self {
        Evidence {
            writes: stats.writes.clone(),
            unseen: stats.writes_total - stats.writes.len() as u64,
        }
    }
}

impl From<&Record> for Evidence {
    /// What a peer before the device saw, also when it did not let it through.
    fn from(record: &Record) -> Self {
        let requests = record.requests();
        let exchanges = record.exchanges();
        let writes = exchanges.iter().filter_map(|exchange| {
            let exception = match exchange.answer.as_deref() {
                Some(&[code, exception]) if code & 0x80 != 0 => Some(exception),
                _ => None,
            };
            Write::of(exchange.after, exchange.unit, &exchange.request, exception)
        });
        Evidence {
            writes: writes.collect(),
            unseen: requests.saturating_sub(exchanges.len() as u64),
        }
    }
}

/// One write that was announced before it was made: a row of the audit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// The unit.
    pub unit: u8,
    /// The function.
    pub function: u8,
    /// The first address.
    pub at: u16,
    /// The words, as they go over the wire.
    pub words: Vec<u16>,
    /// From when on the write may be seen, in ms since 1970: when the row was there.
    pub from_ms: i64,
    /// Until when: when the permit ran out, or the outcome was known.
    pub to_ms: i64,
}
