//! What a link has done so far, for people and metrics.

use std::collections::BTreeMap;
use std::time::Duration;

/// Counters and gauges of one link since it was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Requests that were sent, repeated ones included.
    pub requests: u64,
    /// Answers that held the words asked for.
    pub answers: u64,
    /// Valid answers that refused, by exception code.
    pub exceptions: BTreeMap<u8, u64>,
    /// Requests whose time ran out.
    pub timeouts: u64,
    /// Answers that came after their request had ended, because its time had run out or another answer to it had
    /// come; skipped.
    pub late: u64,
    /// Answers that no request of this link asked for; skipped.
    pub foreign: u64,
    /// Answers that did not fit their request; refused.
    pub bad_answers: u64,
    /// Broken datagrams; skipped.
    pub skipped: u64,
    /// Requests that were sent once more: after a busy answer, a lost connection, or several in flight.
    pub repeated: u64,
    /// Datagrams that were sent once more while their answer was waited for.
    pub resent: u64,
    /// Writes that were sent, each once; counted among the requests too.
    pub writes: u64,
    /// Writes that were sent and of which nobody knows whether they were done.
    pub unconfirmed: u64,
    /// Small reads that a line's unit was asked because it still owed an answer, which could have been taken for the
    /// next, or to learn before a write whether the adapter echoes; counted among the requests too.
    pub settled: u64,
    /// Connections made, or sockets opened where a wire knows no connections.
    pub connects: u64,
    /// Attempts to connect that failed.
    pub failed_connects: u64,
    /// Connections that were lost or dropped.
    pub lost: u64,
    /// The smoothed time from request to answer; `None` before the first answer.
    pub latency: Option<Duration>,
    /// The time that the next request is given.
    pub timeout: Duration,
    /// The pause between an answer and the next request, as learned so far.
    pub spacing: Duration,
    /// The pause between connecting and the first request, as learned so far.
    pub settle: Duration,
    /// Requests on the wire now.
    pub in_flight: u16,
    /// Requests that may be on the wire at once, as learned so far. A later link to the same device may
    /// start with it.
    pub window: u16,
}
