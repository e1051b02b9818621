//! What is asked on a line, and what that makes of the bytes that come.

use std::sync::Arc;

use busbar_ledger::span::{Function, Span};
use tokio::time::Instant;

use super::frame::{self, Body, Expected};
use crate::check::{self, BadAnswer};
use crate::write::Writing;

/// What is asked.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) id: u16,
    pub(super) unit: u8,
    pub(super) what: What,
    /// What is asked before, because the unit still owes an answer.
    pub(super) settle: Option<Span>,
    /// Whether such a read was answered.
    pub(super) settled: bool,
    pub(super) stage: Stage,
    /// When the last byte of the request was handed over.
    pub(super) at: Instant,
    /// Whether the request itself was heard: adapters for RS485 may echo it.
    pub(super) echoed: bool,
    /// The last frame that came and was none of ours.
    pub(super) wrong: Option<BadAnswer>,
    /// Another master asked the same unit something since, with the same function: what that brings.
    pub(super) rival: Option<Body>,
}

/// What is wanted of a unit.
#[derive(Clone, Debug)]
pub(super) enum What {
    /// To tell.
    Read(Span),
    /// To take something.
    Write {
        writing: Arc<Writing>,
        /// What confirms it.
        confirms: Expected,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The line is not silent yet.
    Waiting,
    Sending,
    Sent,
}

impl Asked {
    pub(super) fn new(id: u16, unit: u8, what: What) -> Self {
        Asked {
            id,
            unit,
            what,
            settle: None,
            settled: false,
            stage: Stage::Waiting,
            at: Instant::now(),
            echoed: false,
            wrong: None,
            rival: None,
        }
    }

    /// The write, where it is that which is on the line now, or goes there next.
    pub(super) fn writing(&self) -> Option<&Arc<Writing>> {
        match &self.what {
            What::Write { writing, .. } if self.settle.is_none() => Some(writing),
            _ => None,
        }
    }

    /// The read that is on the line now, or goes there next.
    fn reads(&self) -> Option<Span> {
        match (&self.what, self.settle) {
            (_, Some(span)) => Some(span),
            (What::Read(span), None) => Some(*span),
            (What::Write { .. }, None) => None,
        }
    }

    /// The answer to what is on the line now, or goes there next.
    pub(super) fn expected(&self) -> Expected {
        match (&self.what, self.reads()) {
            (What::Write { confirms, .. }, None) => *confirms,
            (_, Some(span)) => frame::expected(self.unit, span),
            (What::Read(span), None) => frame::expected(self.unit, *span),
        }
    }

    /// What is on the line now, or goes there next.
    pub(super) fn request(&self) -> Vec<u8> {
        let mut request = Vec::with_capacity(frame::REQUEST);
        match (&self.what, self.reads()) {
            (What::Write { writing, .. }, None) => frame::encode(self.unit, writing.pdu(), &mut request),
            (_, Some(span)) => frame::encode(self.unit, &check::read_pdu(span), &mut request),
            (What::Read(span), None) => frame::encode(self.unit, &check::read_pdu(*span), &mut request),
        }
        request
    }

    /// Whether anything of it is on the line.
    pub(super) fn is_on_the_line(&self) -> bool {
        self.stage != Stage::Waiting && self.writing().is_none_or(|writing| writing.is_gone())
    }

    /// Whether it is answered by the very bytes that ask it: functions 5 and 6.
    pub(super) fn is_its_own_echo(&self) -> bool {
        self.writing().is_some() && matches!(self.expected().function, 5 | 6)
    }
}

/// Where a unit is asked something before a write: where it is written to.
pub(super) fn near(confirms: Expected, pdu: &[u8]) -> Span {
    let at = match pdu {
        [_, high, low, ..] => u16::from_be_bytes([*high, *low]),
        _ => 0,
    };
    let function = match confirms.function {
        5 | 15 => Function::Coils,
        _ => Function::Holding,
    };
    let count = 1;
    Span { function, at, count }
}
