//! What the owner task does with a write: it has the wire for itself, passes the gate once, and ends with what is known.

use std::sync::Arc;

use tokio::time::Instant;

use crate::error::WireError;
use crate::frame::Frame;
use crate::frames::{Frames, Kind};
use crate::inbox::Job;
use crate::inflight::Sent;
use crate::session::{Gate, OnWire};
use crate::tap::Direction;
use crate::task::Engine;
use crate::write::Writing;

/// Why a write that was put on the wire did not get through the gate in its time.
const NO_TURN: &str =
    "the line was not free in time, or the unit owes an answer to an earlier request and stays silent";

impl Engine {
    /// Whether a write may be put on the wire; else why not.
    pub(crate) fn may_be_put(&self, writing: &Writing, kind: Kind, now: Instant) -> Result<(), WireError> {
        let endpoint = self.inbox.endpoint.clone();
        let (unit, asked) = (writing.unit(), writing.asked());
        if kind == Kind::Line && unit == 0 {
            return Err(WireError::BadRequest {
                endpoint,
                unit,
                asked,
                reason: "unit 0 means every unit on the line, and none of them would answer: name one",
            });
        }
        match writing.void(now) {
            Some(reason) => Err(self.void(writing, reason)),
            None => Ok(()),
        }
    }

    fn void(&self, writing: &Writing, reason: &'static str) -> WireError {
        WireError::Void {
            endpoint: self.inbox.endpoint.clone(),
            unit: writing.unit(),
            asked: writing.asked(),
            reason,
        }
    }

    /// Hands a write over to be sent. It is waited for as long as anything is: it cannot be asked again.
    pub(crate) fn put_write<F: Frames>(
        &mut self,
        frames: &mut F,
        mut job: Job,
        writing: Arc<Writing>,
        now: Instant,
    ) {
        let line = frames.takes(job.unit, writing.pdu());
        job.line = line;
        let timeout = self.options.patience() + line;
        let id = self.wire.send(job, now, timeout);
        frames.put_write(id, writing.clone());
        self.session.write = Some(OnWire {
            id,
            writing,
            line,
            noted: false,
        });
        self.session.look_at(now + timeout);
        self.inbox.stats().in_flight = self.wire.len();
    }

    /// A write has gone out, or was stopped in the moment before.
    pub(crate) fn gate<F: Frames>(&mut self, frames: &mut F, gate: Gate) {
        let now = Instant::now();
        let Some(on_wire) = &mut self.session.write else {
            return;
        };
        on_wire.noted = true;
        let (id, writing) = (on_wire.id, on_wire.writing.clone());
        match gate {
            Gate::Went => {
                let deadline = now + self.options.patience() + on_wire.line;
                // Until now it may have waited for a silence, or for a read before it.
                self.wire.delay(id, now, deadline);
                self.session.look_at(deadline);
                let (unit, pdu) = (writing.unit(), writing.pdu());
                self.inbox.tap.frame(Direction::Sent, Frame { id, unit, pdu });
                let mut stats = self.inbox.stats();
                stats.requests += 1;
                stats.writes += 1;
            }
            Gate::Stopped(reason) => {
                frames.gave_up(id);
                self.breakers.undecided(writing.unit());
                // It has the wire for itself.
                if let Some(sent) = self.wire.take_only() {
                    sent.item.finish(Err(self.void(&writing, reason)));
                }
                self.gauges();
            }
        }
    }

    /// A write's time is over: it ends, as what it is. What is missing, where it was sent.
    pub(crate) fn write_expired<F: Frames>(
        &mut self,
        frames: &mut F,
        sent: Sent<Job>,
        now: Instant,
    ) -> Option<WireError> {
        let missing = frames.gave_up(sent.id);
        if let Some(writing) = sent.item.write.as_ref().filter(|writing| !writing.is_gone()) {
            let error = self.void(writing, NO_TURN);
            self.breakers.undecided(sent.item.unit);
            sent.item.finish(Err(error));
            return None;
        }
        self.inbox.stats().timeouts += 1;
        let error = self.silent(&sent, &missing);
        self.unit_failed(&sent.item, "no answer in time", now);
        if self.session.kind == Kind::Line {
            self.breakers.line_held(now - sent.since, now);
        }
        self.missed(&error);
        sent.item.finish(Err(error.clone()));
        Some(error)
    }
}
