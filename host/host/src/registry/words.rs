//! The same things in the words of the ledger and in the words of the store, which knows no ledger.

use busbar_ledger::evidence::Outcome;
use busbar_ledger::presence::Status;
use busbar_ledger::ranges::Ranges;
use busbar_ledger::span::{Function, Span};

use crate::discover::Asked;

/// A status, as stored.
pub fn stored_status(status: Status) -> busbar_store::Status {
    match status {
        Status::Present => busbar_store::Status::Present,
        Status::Unproven => busbar_store::Status::Unproven,
        Status::Absent => busbar_store::Status::Absent,
    }
}

/// A status, as worked with.
pub fn status(stored: busbar_store::Status) -> Status {
    match stored {
        busbar_store::Status::Present => Status::Present,
        busbar_store::Status::Unproven => Status::Unproven,
        busbar_store::Status::Absent => Status::Absent,
    }
}

/// Readable runs, as stored.
pub fn stored_ranges(ranges: &Ranges) -> Vec<busbar_store::Readable> {
    ranges
        .iter()
        .map(|span| busbar_store::Readable {
            function: span.function.code(),
            at: span.at,
            count: u32::from(span.count),
        })
        .collect()
}

/// Readable runs, as worked with. A row that no Modbus function reads is left out.
pub fn ranges(stored: &[busbar_store::Readable]) -> Ranges {
    let mut ranges = Ranges::default();
    for run in stored {
        let Some(function) = Function::from_code(run.function) else {
            continue;
        };
        // A run over the whole address space is one longer than a count can say.
        let count = u16::try_from(run.count).unwrap_or(u16::MAX);
        ranges.insert(Span {
            function,
            at: run.at,
            count,
        });
    }
    ranges
}

/// Evidence, as stored.
pub fn stored_evidence(asked: &Asked) -> busbar_store::Evidence {
    let (outcome, exception, words) = match &asked.outcome {
        Outcome::Words(words) => (busbar_store::Outcome::Words, None, words.clone()),
        Outcome::Exception(code) => (busbar_store::Outcome::Exception, Some(*code), Vec::new()),
        Outcome::Silent => (busbar_store::Outcome::Silent, None, Vec::new()),
        Outcome::Broken => (busbar_store::Outcome::Broken, None, Vec::new()),
    };
    busbar_store::Evidence {
        unit_id: asked.unit,
        function: asked.span.function.code(),
        at: asked.span.at,
        count: asked.span.count,
        outcome,
        exception,
        words,
        at_ms: asked.at_ms,
    }
}
