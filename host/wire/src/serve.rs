//! What happens on an open connection: what is due is sent, what comes is matched and checked. One loop, one
//! wait. What does not come is the matter of [`crate::overdue`].

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use crate::breaker::Leave;
use crate::check::{self, Answer};
use crate::error::{Framing, WireError};
use crate::frame::{self, Frame};
use crate::frames::{Aside, Frames, Kind};
use crate::identity::Asked;
use crate::inbox::{Call, Job};
use crate::inflight::{Owner, Sent};
use crate::queue::Priority;
use crate::rtu;
use crate::session::{Gate, OnWire, Session};
use crate::tap::Direction;
use crate::task::Engine;

/// Answers in a row that belong to nobody, after which a connection is dropped. A socket is not: a stranger's
/// datagrams say nothing of those that come next.
const FOREIGN: u32 = 32;
/// After so many pieces in a row that were there at once, everything else has its turn: what never ends may not keep
/// a request from running out of time, or the task from ending.
const FLOOD: u32 = 32;
/// How often a request is sent again to a device that says it is busy.
const BUSY_REPEATS: u8 = 2;
/// The first pause after a busy answer; each further one doubles it, each right answer halves it.
const BUSY_PAUSE: Duration = Duration::from_millis(50);
/// The longest of these pauses.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How an open connection ended.
pub(crate) enum End {
    /// Its handles are gone.
    Closed,
    /// It is of no use any more.
    Lost(WireError),
    /// One-shot: the patience is over.
    GaveUp,
}

/// What the one wait brings.
enum Event {
    Call(Call),
    Bytes,
    Alarm,
    /// A write was at the gate.
    Write(Gate),
    /// No more will come: the stream ended, or broke.
    Over(Option<io::Error>),
}

/// What has come.
fn come<F: Frames>(frames: &mut F, cx: &mut Context<'_>) -> Poll<Event> {
    frames.poll_fill(cx).map(|come| match come {
        Ok(true) => Event::Bytes,
        Ok(false) => Event::Over(None),
        Err(error) => Event::Over(Some(error)),
    })
}

impl Engine {
    /// Serves a connection from its beginning to its end.
    pub(crate) async fn serve<F: Frames>(&mut self, mut frames: F) -> End {
        let now = Instant::now();
        self.inbox.stats().connects += 1;
        self.session = Session::new(F::KIND, now);
        if F::KIND == Kind::Stream {
            self.pauses.connected(now);
        }
        let settle = self.options.pause_after_connect.max(self.pauses.settle());
        if !settle.is_zero() {
            self.session.hold_until(now + settle);
        }
        if let Some(give_up_at) = self.give_up_at {
            self.session.look_at(give_up_at);
        }
        let mut alarm = std::pin::pin!(sleep_until(now));
        let mut armed = None;
        let mut pieces = 0;
        loop {
            self.fill(&mut frames);
            let flood = pieces >= FLOOD;
            let event = self.event(&mut frames, alarm.as_mut(), &mut armed, flood).await;
            pieces = match event {
                Event::Bytes if !flood => pieces + 1,
                _ => 0,
            };
            let step = match event {
                Event::Call(Call::Work) => Ok(()),
                Event::Call(Call::Closed) => Err(End::Closed),
                Event::Bytes => self.receive(&mut frames),
                Event::Alarm => self.look(&mut frames),
                Event::Write(gate) => {
                    self.gate(&mut frames, gate);
                    Ok(())
                }
                Event::Over(error) => {
                    self.inbox.tap.noise(frames.rest());
                    Err(self.over(error, frames.rest().len()))
                }
            };
            if let Err(end) = step {
                return end;
            }
        }
    }

    /// How many requests may be on the wire now.
    fn room(&self) -> u16 {
        match self.spacing().is_zero() {
            true => self.window.size(),
            false => 1,
        }
    }

    /// The pause between an answer and the next request.
    pub(crate) fn spacing(&self) -> Duration {
        self.options.spacing.max(self.pauses.spacing())
    }

    /// Sends what is due, as far as there is room on the wire.
    fn fill<F: Frames>(&mut self, frames: &mut F) {
        let mut now = None;
        while self.wire.len() < self.room() {
            if let Some(not_before) = self.session.not_before {
                if *now.get_or_insert_with(Instant::now) < not_before {
                    return;
                }
                self.session.not_before = None;
            }
            if self.session.alone {
                if self.wire.len() > 0 {
                    return;
                }
                self.session.alone = false;
                self.session.write = None;
            }
            let Some(mut job) = self.inbox.pop() else { return };
            if job.reply.is_closed() {
                continue;
            }
            if job.alone {
                self.session.alone = true;
                if self.wire.len() > 0 {
                    return self.inbox.put_back(job);
                }
            }
            let now = *now.get_or_insert_with(Instant::now);
            if let Some(writing) = &job.write
                && let Err(error) = self.may_be_put(writing, F::KIND, now)
            {
                job.finish(Err(error));
                continue;
            }
            if job.priority != Priority::Scan
                && let Leave::Resting(retry_in, cause) = self.breakers.ask(job.unit, now)
            {
                let endpoint = self.inbox.endpoint.clone();
                let error = WireError::UnitResting {
                    endpoint,
                    unit: job.unit,
                    cause,
                    retry_in,
                };
                job.finish(Err(error));
                continue;
            }
            if let Some(writing) = job.write.clone() {
                self.put_write(frames, job, writing, now);
                continue;
            }
            let (unit, asked, timeout) = (job.unit, job.asked, self.first_wait());
            job.line = asked
                .pdu(&mut [0; 5])
                .map_or(Duration::ZERO, |pdu| frames.takes(unit, pdu));
            let timeout = timeout + job.line;
            let id = self.wire.send(job, now, timeout);
            self.put(frames, id, unit, asked);
            self.session.look_at(now + timeout);
            let mut stats = self.inbox.stats();
            stats.requests += 1;
            stats.in_flight = self.wire.len();
        }
    }

    /// Hands a read over to be sent.
    pub(crate) fn put<F: Frames>(&self, frames: &mut F, id: u16, unit: u8, asked: Asked) {
        let mut buffer = [0; 5];
        let Some(pdu) = asked.pdu(&mut buffer) else { return };
        frames.put(id, unit, pdu);
        let frame = Frame { id, unit, pdu };
        self.inbox.tap.frame(Direction::Sent, frame);
    }

    /// Waits for whatever comes first, and sends meanwhile.
    async fn event<F: Frames>(
        &mut self,
        frames: &mut F,
        mut alarm: Pin<&mut Sleep>,
        armed: &mut Option<Instant>,
        flood: bool,
    ) -> Event {
        if let Some(soonest) = self.session.soonest
            && armed.is_none_or(|armed| soonest < armed)
        {
            // Only ever set to an earlier time: an answer in time leaves the alarm alone, which then finds
            // nothing to do. So a timer is touched a few times a second, not with each request.
            alarm.as_mut().reset(soonest);
            *armed = Some(soonest);
        }
        let full = self.wire.len() >= self.room() || (self.session.alone && self.wire.len() > 0);
        let room = !full && self.session.not_before.is_none();
        poll_fn(|cx| {
            // First what has come: answers may stand before the end of a stream that takes no more.
            if !flood && let Poll::Ready(event) = come(frames, cx) {
                return Poll::Ready(event);
            }
            if let Poll::Ready(Err(error)) = frames.poll_flush(cx) {
                return Poll::Ready(Event::Over(Some(error)));
            }
            if let Some(gate) = self.session.write.as_ref().and_then(OnWire::news) {
                return Poll::Ready(Event::Write(gate));
            }
            if let Poll::Ready(call) = self.inbox.poll_call(cx, room) {
                return Poll::Ready(Event::Call(call));
            }
            if armed.is_some() && alarm.as_mut().poll(cx).is_ready() {
                *armed = None;
                return Poll::Ready(Event::Alarm);
            }
            if flood { come(frames, cx) } else { Poll::Pending }
        })
        .await
    }

    /// Takes every whole frame that has come.
    fn receive<F: Frames>(&mut self, frames: &mut F) -> Result<(), End> {
        let now = Instant::now();
        loop {
            match frames.get() {
                Ok(None) => {
                    self.aside(frames);
                    return Ok(());
                }
                Ok(Some(frame)) => {
                    let length = frame.len();
                    self.inbox.tap.frame(Direction::Received, frame);
                    self.frame(frame, now)?;
                    frames.done(length);
                }
                Err(frame::Broken) => {
                    let seen = frame::shown(frames.rest());
                    self.inbox.tap.noise(frames.rest());
                    if frames.skip() {
                        self.inbox.stats().skipped += 1;
                        self.session.last_skipped = Some((now, seen));
                        continue;
                    }
                    let endpoint = self.inbox.endpoint.clone();
                    return Err(End::Lost(if rtu::is_whole(frames.rest()) {
                        WireError::OtherFraming {
                            endpoint,
                            seen,
                            speaks: Framing::Rtu,
                        }
                    } else {
                        WireError::NotModbus { endpoint, seen }
                    }));
                }
            }
        }
    }

    /// Counts what a line is used for beside requests and answers.
    fn aside<F: Frames>(&self, frames: &mut F) {
        let Aside { foreign, settled } = frames.aside();
        if foreign + settled > 0 {
            let mut stats = self.inbox.stats();
            stats.foreign += foreign;
            stats.settled += settled;
            stats.requests += settled;
        }
    }

    /// Gives a frame to the request that it answers, if there is one.
    fn frame(&mut self, frame: Frame<'_>, now: Instant) -> Result<(), End> {
        let fixed = self.options.fixed_transaction_id;
        let early = self
            .session
            .write
            .as_ref()
            .is_some_and(|on_wire| on_wire.awaits(frame.id, fixed));
        let owner = if early {
            Owner::Nobody
        } else if fixed {
            self.wire.take_only().map_or(Owner::Nobody, Owner::Request)
        } else {
            self.wire.take(frame.id, now)
        };
        match owner {
            Owner::Request(sent) => {
                self.answer(sent, frame, now);
                if !self.spacing().is_zero() {
                    self.session.hold_until(now + self.spacing());
                }
            }
            Owner::Late(took) => {
                self.inbox.stats().late += 1;
                self.latency.answered(took, u16::MAX);
            }
            Owner::Doubled if self.session.kind == Kind::Datagrams => self.inbox.stats().late += 1,
            Owner::Doubled | Owner::Nobody => {
                self.inbox.stats().foreign += 1;
                self.session.foreign += 1;
                self.session.last_foreign = Some((now, frame.id));
                if self.session.foreign >= FOREIGN && self.session.kind == Kind::Stream {
                    return Err(self.connection_lost("it sends answers that nobody asked for".to_owned()));
                }
            }
        }
        Ok(())
    }

    /// Judges the answer to a request.
    fn answer(&mut self, sent: Sent<Job>, frame: Frame<'_>, now: Instant) {
        let Job { unit, asked, .. } = sent.item;
        let judged = match &sent.item.write {
            None => check::answer(unit, asked, frame.unit, frame.pdu),
            Some(writing) => writing.judge(frame.unit, frame.pdu),
        };
        let endpoint = || self.inbox.endpoint.clone();
        let result = match judged {
            Ok(Answer::Words(words)) => {
                self.heard(&sent, true, now);
                self.session.pause /= 2;
                self.inbox.stats().answers += 1;
                Ok(words)
            }
            Ok(Answer::Exception(code)) => {
                let error = WireError::Exception {
                    endpoint: endpoint(),
                    unit,
                    asked,
                    code,
                };
                self.heard(&sent, code != 11, now);
                *self.inbox.stats().exceptions.entry(code).or_default() += 1;
                match code {
                    5 | 6 => return self.busy(sent, error, now),
                    11 => self.unit_failed(&sent.item, "the gateway says that it is silent", now),
                    _ => {}
                }
                Err(error)
            }
            Err(reason) => {
                let error = WireError::BadAnswer {
                    endpoint: endpoint(),
                    unit,
                    asked,
                    reason,
                };
                self.inbox.stats().bad_answers += 1;
                self.breakers.undecided(unit);
                if !self.ever {
                    self.missed(&error);
                }
                Err(error)
            }
        };
        self.gauges();
        sent.item.finish(result);
    }

    /// A valid answer came, perhaps a refusal: the link works, and so does the unit unless a gateway answers
    /// for it.
    fn heard(&mut self, sent: &Sent<Job>, well: bool, now: Instant) {
        let unit = sent.item.unit;
        self.session.proven = true;
        self.session.heard = now;
        self.session.misses = 0;
        self.session.foreign = 0;
        if well && self.breakers.answered(unit) {
            tracing::info!("{}: unit {unit} answers again", self.inbox.endpoint);
        }
        if !self.up {
            self.back();
        }
        // How long a device takes to write says nothing of how long it takes to read.
        if sent.item.write.is_some() {
            return;
        }
        self.latency
            .answered((now - sent.at).saturating_sub(sent.item.line), sent.depth);
        if sent.depth == 1 && self.session.kind != Kind::Datagrams {
            self.pauses.answered(sent.at);
        }
        let size = self.window.size();
        if self.latency.forbids_as_many() && sent.depth == size {
            self.window.shrink();
        } else {
            let oldest = || self.wire.oldest().map_or(Duration::ZERO, |at| now - at);
            self.window
                .answered(sent.depth, || self.latency.invites_more(size, oldest()));
        }
    }

    /// The device says "later": fewer at once, a pause for all, and a read again.
    fn busy(&mut self, sent: Sent<Job>, error: WireError, now: Instant) {
        if sent.depth == 1 {
            self.pauses.lost();
        }
        self.window.trouble();
        self.session.pause = (self.session.pause * 2).clamp(BUSY_PAUSE, LONGEST_PAUSE);
        self.session.hold_until(now + self.session.pause);
        self.gauges();
        let mut job = sent.item;
        if job.write.is_none() && job.busy < BUSY_REPEATS {
            job.busy += 1;
            self.again(job);
        } else {
            job.finish(Err(error));
        }
    }

    /// Sends a read once more. A write never comes here: whether it was done is found out by reading. Should one, the
    /// gate that it has passed would not open again.
    pub(crate) fn again(&mut self, job: Job) {
        self.inbox.stats().repeated += 1;
        self.breakers.undecided(job.unit);
        self.inbox.put_back(job);
    }

    /// The alarm rang: looks for what is over, and for when to look next.
    fn look<F: Frames>(&mut self, frames: &mut F) -> Result<(), End> {
        let now = Instant::now();
        self.session.soonest = None;
        self.expire(frames, now)?;
        if self.give_up_at.is_some_and(|at| at <= now) {
            return Err(End::GaveUp);
        }
        let next = [
            self.wire.next_deadline(),
            self.session.not_before,
            self.give_up_at,
        ];
        self.session.soonest = next.into_iter().flatten().filter(|when| *when > now).min();
        if self.session.not_before.is_some_and(|when| when <= now) {
            self.session.not_before = None;
        }
        Ok(())
    }

    /// No more will come, with so many bytes of an unfinished frame.
    fn over(&self, error: Option<io::Error>, unfinished: usize) -> End {
        if let (Kind::Datagrams, Some(error)) = (self.session.kind, &error) {
            let waited = self.session.heard.elapsed();
            return End::Lost(WireError::from_io(self.inbox.endpoint.clone(), error, waited));
        }
        let by = error.map_or_else(
            || "the other side closed it".to_owned(),
            |error| error.to_string(),
        );
        self.connection_lost(match (unfinished, self.wire.len()) {
            (0, 0) => by,
            (0, _) => format!("{by}, before the answer"),
            (bytes, _) => format!("{by}, {bytes} bytes into a frame"),
        })
    }

    pub(crate) fn connection_lost(&self, reason: String) -> End {
        End::Lost(WireError::ConnectionLost {
            endpoint: self.inbox.endpoint.clone(),
            reason,
        })
    }
}
