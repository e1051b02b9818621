//! Counts what a scan costs the device.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use busbar_ledger::evidence::Outcome;
use busbar_ledger::ranges::Ranges;
use busbar_ledger::span::Span;

use super::pause::Pause;

/// One request of a scan and what came of it: what the registry keeps as evidence.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// The unit.
    pub unit: u8,
    /// What was read.
    pub span: Span,
    /// What came of it.
    pub outcome: Outcome,
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
}

/// The running count, shared by everything that a scan does at once.
#[derive(Debug, Default)]
pub struct Tally {
    asked: Mutex<Vec<Asked>>,
    /// What holds all of it up.
    pub(super) pause: Pause,
}

impl Tally {
    /// A count of nothing yet, for a scan that may be held up.
    pub(super) fn held_by(pause: Pause) -> Self {
        Tally {
            asked: Mutex::default(),
            pause,
        }
    }

    fn asked(&self) -> MutexGuard<'_, Vec<Asked>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes one request.
    pub fn note(&self, unit: u8, span: Span, outcome: &Outcome) {
        let asked = Asked {
            unit,
            span,
            outcome: outcome.clone(),
            at_ms: crate::clock::now_ms(),
        };
        self.asked().push(asked);
    }

    /// All requests so far.
    pub fn requests(&self) -> u32 {
        u32::try_from(self.asked().len()).unwrap_or(u32::MAX)
    }

    /// Exceptions so far.
    pub fn exceptions(&self) -> u32 {
        self.by_code().values().sum()
    }

    /// Exceptions by code, as the contract writes them.
    pub fn by_code(&self) -> BTreeMap<String, u32> {
        let mut codes = BTreeMap::new();
        for asked in self.asked().iter() {
            if let Outcome::Exception(code) = asked.outcome {
                *codes.entry(code.to_string()).or_default() += 1;
            }
        }
        codes
    }

    /// Whether anything answered at all, be it with an exception.
    pub fn anything_answered(&self) -> bool {
        self.asked()
            .iter()
            .any(|a| matches!(a.outcome, Outcome::Words(_) | Outcome::Exception(_)))
    }

    /// Whether something came back that was no answer to what was asked.
    pub fn anything_broken(&self) -> bool {
        self.asked().iter().any(|a| matches!(a.outcome, Outcome::Broken))
    }

    /// Whether a unit answered anything about some of these registers, be it with an exception.
    pub fn was_answered(&self, unit: u8, span: Span) -> bool {
        self.asked().iter().any(|a| {
            let answered = matches!(a.outcome, Outcome::Words(_) | Outcome::Exception(_));
            answered && a.unit == unit && a.span.overlaps(span)
        })
    }

    /// The exception by which a unit last refused some of these registers.
    pub fn refused(&self, unit: u8, span: Span) -> Option<u8> {
        let asked = self.asked();
        let of_these = |a: &&Asked| a.unit == unit && a.span.overlaps(span);
        asked.iter().rev().filter(of_these).find_map(|a| match a.outcome {
            Outcome::Exception(code) => Some(code),
            _ => None,
        })
    }

    /// Whether every answer says what the device has and what it lacks: none that may pass (busy, failing, silent).
    pub fn is_certain(&self) -> bool {
        self.asked()
            .iter()
            .all(|a| matches!(a.outcome, Outcome::Words(_) | Outcome::Exception(1..=3)))
    }

    /// Whether something was asked that went without an answer to the end, in pieces too.
    pub fn anything_unanswered(&self) -> bool {
        let asked = self.asked();
        let is_answer = |a: &&Asked| matches!(a.outcome, Outcome::Words(_) | Outcome::Exception(_));
        let answered: Ranges = asked.iter().filter(is_answer).map(|a| a.span).collect();
        let mut silent = asked.iter().filter(|a| !is_answer(a));
        silent.any(|a| !answered.contains(a.span))
    }

    /// Everything asked, in order; the tally is empty afterwards.
    pub fn take_asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.asked())
    }
}
