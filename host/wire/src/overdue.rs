//! What happens when an answer does not come: a datagram is sent again, a request ends, and with enough of them
//! a unit rests or the link counts as down.

use std::time::Duration;

use tokio::time::Instant;

use crate::breaker::Tripped;
use crate::check::BadAnswer;
use crate::error::{Framing, RTU_OVER_TCP, WireError};
use crate::frame;
use crate::frames::{Frames, Kind, Missing};
use crate::inbox::Job;
use crate::inflight::Sent;
use crate::queue::Priority;
use crate::serve::End;
use crate::task::Engine;

/// How often a datagram is sent again within a read's patience.
const RESENDS: u8 = 3;
/// Requests in a row without a valid answer after which a link on which no unit is well counts as down.
const MISSES: u32 = 3;
/// After how long a connection on which every unit is silent is made anew.
const SILENCE: Duration = Duration::from_secs(10);

impl Engine {
    /// Ends the requests whose time has run out.
    pub(crate) fn expire<F: Frames>(&mut self, frames: &mut F, now: Instant) -> Result<(), End> {
        let mut trouble = false;
        let mut last = None;
        while let Some(sent) = self.wire.take_expired(now) {
            if sent.item.write.is_some() {
                last = self.write_expired(frames, sent, now).or(last);
                continue;
            }
            // Where others were answered meanwhile, one of several may be missing because the device takes only
            // one.
            let overtaken = sent.depth > 1 && self.session.proven && self.session.heard >= sent.at;
            if self.may_resend(&sent, now) {
                trouble |= overtaken;
                self.resend(frames, sent, now);
                continue;
            }
            self.inbox.stats().timeouts += 1;
            let missing = frames.gave_up(sent.id);
            let error = self.silent(&sent, &missing);
            let held = now - sent.since;
            let mut job = sent.item;
            let well = self.breakers.is_well(job.unit);
            if well {
                self.latency.timed_out();
            }
            // A datagram is lost on its way at any pace.
            let counts = well || self.pauses.is_fresh();
            if sent.depth == 1 && counts && self.session.kind != Kind::Datagrams {
                self.pauses.lost();
            }
            // That says nothing of the unit, so it is asked once more, alone.
            if overtaken && !job.alone && (well || !self.window.proven()) {
                trouble = true;
                job.alone = true;
                self.again(job);
                continue;
            }
            // A line loses or spoils an answer now and then; a unit that was well gets a second chance at once.
            let on_a_line = self.session.kind == Kind::Line;
            if on_a_line
                && well
                && !job.again
                && (missing != Missing::Silent || job.priority != Priority::Scan)
            {
                job.again = true;
                self.again(job);
                continue;
            }
            self.unit_failed(&job, "no answer in time", now);
            if on_a_line {
                self.breakers.line_held(held, now);
            }
            if job.priority != Priority::Scan || !self.ever {
                self.missed(&error);
            }
            job.finish(Err(error.clone()));
            last = Some(error);
        }
        if trouble {
            self.window.trouble();
        }
        self.gauges();
        let Some(error) = last else { return Ok(()) };
        if !self.spacing().is_zero() {
            self.session.hold_until(now + self.spacing());
        }
        if self.options.fixed_transaction_id {
            let reason = "no answer in time, and a late one could not be told from the next".to_owned();
            return Err(self.connection_lost(reason));
        }
        let silent = !self.up && self.session.misses >= MISSES && now - self.session.heard >= SILENCE;
        // Nothing is given up before everybody on it, or behind it, was asked: else the dead that come first are asked
        // again and again, and the living never.
        if silent && self.inbox.is_empty() {
            Err(End::Lost(error))
        } else {
            Ok(())
        }
    }

    /// How long a request is waited for when it is sent for the first time.
    pub(crate) fn first_wait(&self) -> Duration {
        match self.session.kind {
            Kind::Stream | Kind::Line => self.latency.timeout(),
            Kind::Datagrams => self.overdue(),
        }
    }

    /// After how long a datagram is sent again. A device that wants a pause between requests gets it.
    fn overdue(&self) -> Duration {
        self.latency.overdue(RESENDS).max(self.spacing())
    }

    /// Whether a datagram may have been lost, and there is time to send it again.
    fn may_resend(&self, sent: &Sent<Job>, now: Instant) -> bool {
        self.session.kind == Kind::Datagrams
            && sent.again < RESENDS
            && now < sent.since + self.options.patience()
            && !sent.item.reply.is_closed()
    }

    /// Sends a read once more while its answer is waited for, under a new id: the answer to either transmission
    /// is an answer to it. A write never comes here: the first one may have been done, and only its acknowledgement
    /// lost.
    fn resend<F: Frames>(&mut self, frames: &mut F, sent: Sent<Job>, now: Instant) {
        let rest = (sent.since + self.options.patience()).saturating_duration_since(now);
        let wait = if sent.again + 1 < RESENDS {
            self.overdue()
        } else {
            self.latency.timeout()
        };
        let Job { unit, asked, .. } = sent.item;
        let id = self.wire.resend(sent, now, wait.min(rest));
        self.put(frames, id, unit, asked);
        let mut stats = self.inbox.stats();
        stats.requests += 1;
        stats.resent += 1;
    }

    /// Why a request has no answer. What came while it waited, and was no answer to it, is the likelier cause.
    pub(crate) fn silent(&self, sent: &Sent<Job>, missing: &Missing) -> WireError {
        let Job { unit, asked, .. } = sent.item;
        let endpoint = self.inbox.endpoint.clone();
        match missing {
            Missing::Silent => {}
            Missing::Wrong(reason) => {
                let reason = *reason;
                return WireError::BadAnswer {
                    endpoint,
                    unit,
                    asked,
                    reason,
                };
            }
            Missing::Noise(bytes) => {
                self.inbox.tap.noise(bytes);
                let seen = frame::shown(bytes);
                return if endpoint.starts_with(RTU_OVER_TCP) && matches!(frame::decode(bytes), Ok(Some(_))) {
                    WireError::OtherFraming {
                        endpoint,
                        seen,
                        speaks: Framing::Tcp,
                    }
                } else {
                    WireError::NoFrame { endpoint, unit, seen }
                };
            }
        }
        let (foreign, skipped) = (&self.session.last_foreign, &self.session.last_skipped);
        if let Some((_, got)) = foreign.filter(|(when, _)| *when >= sent.since) {
            let reason = BadAnswer::Transaction {
                expected: sent.id,
                got,
            };
            return WireError::BadAnswer {
                endpoint,
                unit,
                asked,
                reason,
            };
        }
        match skipped {
            // Where a valid answer ever came, a broken datagram says nothing of what speaks there.
            Some((when, seen)) if *when >= sent.since && !self.ever => WireError::NotModbus {
                endpoint,
                seen: seen.clone(),
            },
            _ => WireError::Silent {
                endpoint,
                unit,
                asked,
                after: sent.deadline - sent.since,
            },
        }
    }

    /// A unit failed. A scan asks units that may not exist: that is not held against them.
    pub(crate) fn unit_failed(&mut self, job: &Job, cause: &'static str, now: Instant) {
        if job.priority == Priority::Scan {
            self.breakers.undecided(job.unit);
        } else if self.breakers.failed(job.unit, cause, now) == Tripped::First {
            tracing::warn!(
                "{}: unit {} is left alone for a while: {cause}",
                self.inbox.endpoint,
                job.unit
            );
        }
    }

    /// One more request without a valid answer: with enough of them, and no unit that is well, the link is down.
    pub(crate) fn missed(&mut self, error: &WireError) {
        self.session.misses = self.session.misses.saturating_add(1);
        if self.session.misses >= MISSES && !self.breakers.any_well() {
            self.down(error.clone());
        }
    }
}
