//! What went over a peer, so that a test can ask whether a value was really sent.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use busbar_ledger::span::{Function, Span};

/// Exchanges that are kept; later ones are only counted.
const MOST: usize = 200_000;

/// A request that a peer saw, and the answer that it gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// When the request came, since the peer stands.
    pub after: Duration,
    /// Connections are numbered from 1.
    pub connection: u64,
    /// The client's transaction id.
    pub transaction: u16,
    /// The unit that was asked.
    pub unit: u8,
    /// The request's PDU.
    pub request: Vec<u8>,
    /// The answer's PDU, once the last byte of an answer that the client may believe was sent.
    pub answer: Option<Vec<u8>>,
}

impl Exchange {
    /// What was asked, when it was a read.
    pub fn span(&self) -> Option<Span> {
        let &[function, a0, a1, c0, c1] = self.request.as_slice() else {
            return None;
        };
        let function = Function::from_code(function)?;
        Some(Span {
            function,
            at: u16::from_be_bytes([a0, a1]),
            count: u16::from_be_bytes([c0, c1]),
        })
    }

    /// The registers that were sent in answer to a read of registers.
    pub fn words(&self) -> Option<Vec<u16>> {
        let span = self.span().filter(|span| !span.function.is_bit())?;
        let answer = self
            .answer
            .as_ref()
            .filter(|answer| answer.first() == Some(&span.function.code()))?;
        Some(
            answer
                .get(2..)?
                .chunks_exact(2)
                .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
                .collect(),
        )
    }
}

/// All exchanges of a peer. Cheap to clone; all clones show the same.
#[derive(Clone, Debug, Default)]
pub struct Record {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    began: SystemTime,
    exchanges: Vec<Exchange>,
    requests: u64,
    connections: u64,
}

impl Default for Inner {
    fn default() -> Self {
        Inner {
            began: SystemTime::now(),
            exchanges: Vec::new(),
            requests: 0,
            connections: 0,
        }
    }
}

impl Record {
    /// When it began, from which [`Exchange::after`] counts.
    pub fn began(&self) -> SystemTime {
        self.lock().began
    }

    /// Everything so far, in the order in which the requests came.
    pub fn exchanges(&self) -> Vec<Exchange> {
        self.lock().exchanges.clone()
    }

    /// How many requests came.
    pub fn requests(&self) -> u64 {
        self.lock().requests
    }

    /// How many connections were accepted.
    pub fn connections(&self) -> u64 {
        self.lock().connections
    }

    /// Whether these registers were ever sent for an address of a unit, in an answer to a read of it, whole.
    pub fn was_sent(&self, unit: u8, function: Function, at: u16, words: &[u16]) -> bool {
        self.lock().exchanges.iter().any(|exchange| {
            let (Some(span), Some(sent)) = (exchange.span(), exchange.words()) else {
                return false;
            };
            let start = usize::from(at).checked_sub(span.at.into());
            exchange.unit == unit
                && span.function == function
                && start.and_then(|start| sent.get(start..start + words.len())) == Some(words)
        })
    }

    pub(crate) fn connection(&self) -> u64 {
        let mut inner = self.lock();
        inner.connections += 1;
        inner.connections
    }

    /// Notes a request; the answer to it is noted under the number that this gives.
    pub(crate) fn request(&self, exchange: Exchange) -> Option<usize> {
        let mut inner = self.lock();
        inner.requests += 1;
        (inner.exchanges.len() < MOST).then(|| {
            inner.exchanges.push(exchange);
            inner.exchanges.len() - 1
        })
    }

    pub(crate) fn answer(&self, number: Option<usize>, pdu: Vec<u8>) {
        let mut inner = self.lock();
        if let Some(exchange) = number.and_then(|number| inner.exchanges.get_mut(number)) {
            exchange.answer = Some(pdu);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
