//! What is known of one connection, from its beginning to its end.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::frames::Kind;
use crate::write::Writing;

/// What is known of one connection.
#[derive(Debug)]
pub(crate) struct Session {
    /// What it goes over.
    pub(crate) kind: Kind,
    /// Whether it has brought a valid answer.
    pub(crate) proven: bool,
    /// When it was made, or brought its last valid answer.
    pub(crate) heard: Instant,
    /// Requests in a row without a valid answer.
    pub(crate) misses: u32,
    /// Answers in a row that belong to nobody.
    pub(crate) foreign: u32,
    /// The last such answer: when it came, and its id.
    pub(crate) last_foreign: Option<(Instant, u16)>,
    /// The last bytes that were broken and skipped: when they came, and how they began.
    pub(crate) last_skipped: Option<(Instant, String)>,
    /// No request before this.
    pub(crate) not_before: Option<Instant>,
    /// No request before the wire is empty: one has it for itself, or waits for that.
    pub(crate) alone: bool,
    /// The write that has the wire for itself, or had it last.
    pub(crate) write: Option<OnWire>,
    /// The pause after the last busy answer.
    pub(crate) pause: Duration,
    /// Nothing needs a look before this.
    pub(crate) soonest: Option<Instant>,
}

/// A write that was put on the wire.
#[derive(Debug)]
pub(crate) struct OnWire {
    pub(crate) id: u16,
    pub(crate) writing: Arc<Writing>,
    /// How long the way itself takes for it.
    pub(crate) line: Duration,
    /// Whether the task has taken note of what became of it at the gate.
    pub(crate) noted: bool,
}

/// What becomes of a write at the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    /// It has gone out.
    Went,
    /// It was stopped, for this reason.
    Stopped(&'static str),
}

impl OnWire {
    /// What became of it since it was put, once.
    pub(crate) fn news(&self) -> Option<Gate> {
        if self.noted {
            return None;
        }
        if self.writing.is_gone() {
            return Some(Gate::Went);
        }
        self.writing.stopped().map(Gate::Stopped)
    }

    /// Whether an answer under this id would come before its question.
    pub(crate) fn awaits(&self, id: u16, any: bool) -> bool {
        (any || self.id == id) && !self.writing.is_gone()
    }
}

impl Session {
    pub(crate) fn new(kind: Kind, now: Instant) -> Self {
        Session {
            kind,
            proven: false,
            heard: now,
            misses: 0,
            foreign: 0,
            last_foreign: None,
            last_skipped: None,
            not_before: None,
            alone: false,
            write: None,
            pause: Duration::ZERO,
            soonest: None,
        }
    }

    /// Wakes the task at that time, or before.
    pub(crate) fn look_at(&mut self, when: Instant) {
        if self.soonest.is_none_or(|soonest| when < soonest) {
            self.soonest = Some(when);
        }
    }

    /// Sends nothing before that time.
    pub(crate) fn hold_until(&mut self, when: Instant) {
        if self.not_before.is_none_or(|not_before| not_before < when) {
            self.not_before = Some(when);
            self.look_at(when);
        }
    }
}
