//! RTU over a byte stream: a serial port, or a connection to a gateway that hands its bytes through.
//!
//! One request at a time. A line carries no ids, so only order and silence tell what belongs together: before each
//! request the line has to be silent, and what came before is thrown away. What a silent unit still owes is in
//! [`super::debts`].
//!
//! Functions 5 and 6 are answered by the very bytes that ask, and an adapter for RS485 may send back what it is to send.
//! So what confirms such a write depends on the adapter: with one that was heard to echo a read, the second copy does;
//! with one that was heard not to, the first. Where neither was heard on this connection, the unit is asked to tell
//! something first. Should that leave it open, a single copy confirms nothing.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use busbar_ledger::span::Span;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::asked::{self, Asked, Stage, What};
use super::debts::{Creditor, Debts};
use super::frame::{self, Expected, MAX_FRAME, expected};
use super::pace::Pace;
use crate::check::{self, BadAnswer};
use crate::frame::{Broken, Frame};
use crate::frames::{Aside, Frames, Kind, Missing};
use crate::write::Writing;

/// How much is read at once.
const INPUT: usize = 512;
/// How much noise is kept, behind which a frame is looked for.
const NOISE: usize = 2 * MAX_FRAME;
/// How much noise is kept to be shown.
const SAMPLE: usize = 64;

/// A frame at the beginning of the input that is for the engine.
#[derive(Clone, Copy, Debug)]
struct Found {
    length: usize,
    /// The request that it answers, perhaps too late.
    id: u16,
    /// Whether it is what that request waits for: then the unit owes nothing any more.
    right: bool,
}

/// RTU frames over a byte stream.
#[derive(Debug)]
pub(crate) struct RtuStream<S> {
    stream: S,
    pace: Pace,
    debts: Arc<Mutex<Debts>>,
    /// What came and is not judged yet.
    input: Vec<u8>,
    /// What of the request is not sent yet.
    output: Vec<u8>,
    asked: Option<Asked>,
    found: Option<Found>,
    /// Whether the adapter was heard to send back what it is to send; `None` while that is not known.
    echoes: Option<bool>,
    /// The line counts as silent from then on.
    quiet_at: Instant,
    alarm: Pin<Box<Sleep>>,
    /// The first noise since the request was put.
    sample: Vec<u8>,
    aside: Aside,
    /// How long the last request takes on the line.
    airtime: Duration,
}

impl<S> RtuStream<S> {
    pub(crate) fn new(stream: S, pace: Pace, debts: Arc<Mutex<Debts>>) -> Self {
        let quiet_at = Instant::now() + pace.gap();
        RtuStream {
            stream,
            pace,
            debts,
            input: Vec::with_capacity(NOISE + INPUT),
            output: Vec::with_capacity(frame::REQUEST),
            asked: None,
            found: None,
            echoes: None,
            quiet_at,
            alarm: Box::pin(sleep_until(quiet_at)),
            sample: Vec::with_capacity(SAMPLE),
            aside: Aside::default(),
            airtime: Duration::ZERO,
        }
    }

    fn debts(&self) -> MutexGuard<'_, Debts> {
        self.debts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is on the line.
    fn on_the_line(&self) -> Option<&Asked> {
        self.asked.as_ref().filter(|asked| asked.is_on_the_line())
    }

    /// Throws away the first bytes; a few of them are kept to be shown.
    fn noise(&mut self, bytes: usize) {
        let room = SAMPLE.saturating_sub(self.sample.len());
        self.sample.extend(self.input.drain(..bytes).take(room));
    }

    /// Judges what has come, until there is a frame for the engine or nothing more can be told.
    fn judge(&mut self, now: Instant) {
        while self.found.is_none() && self.step(now) {}
        // An answer begins in the last frame's length, or it has not begun.
        if self.found.is_none() && self.input.len() > NOISE {
            self.noise(self.input.len() - MAX_FRAME);
        }
    }

    /// One step; false where it takes more bytes.
    fn step(&mut self, now: Instant) -> bool {
        let Some(asked) = self.on_the_line().cloned() else {
            return self.stranger(now);
        };
        if let Some(taken) = self.echo(&asked) {
            return taken;
        }
        let expected = asked.expected();
        if !expected.may_be(&self.input) && self.stranger(now) {
            return true;
        }
        let Some(range) = expected.find(&self.input) else {
            return false;
        };
        self.rivals_in(range.start, now);
        self.noise(range.start);
        // Noise could be what is left of an echo.
        if !asked.echoed && self.sample.is_empty() {
            self.echoes.get_or_insert(false);
        }
        if self
            .asked
            .as_ref()
            .and_then(|asked| asked.rival)
            .is_some_and(|body| range.len() == frame::EXCEPTION || body == expected.body)
        {
            // Whose answer this is, nobody can tell.
            self.foreign(range.len(), BadAnswer::OtherMaster);
        } else if asked.settle.is_some() {
            self.settled(&asked, range.len());
        } else {
            self.found = Some(Found {
                length: range.len(),
                id: asked.id,
                right: true,
            });
        }
        true
    }

    /// Takes the request away that an adapter has echoed. `None` where what came is not that; false where it may become
    /// it.
    fn echo(&mut self, asked: &Asked) -> Option<bool> {
        let own = asked.is_its_own_echo();
        if asked.echoed || (own && self.echoes == Some(false)) {
            return None;
        }
        let request = asked.request();
        if self.input.starts_with(&request) {
            self.input.drain(..request.len());
            let unclear = own && self.echoes.is_none();
            self.note(|asked| {
                asked.echoed = true;
                asked.wrong = unclear.then_some(BadAnswer::OwnEcho).or(asked.wrong);
            });
            if !own {
                self.echoes = Some(true);
            }
            return Some(true);
        }
        request.starts_with(&self.input).then_some(false)
    }

    fn note(&mut self, change: impl FnOnce(&mut Asked)) {
        if let Some(asked) = &mut self.asked {
            change(asked);
        }
    }

    /// The unit has answered what was asked only to tell its answers apart. Next comes what is wanted, unless it was a
    /// refusal and more is owed.
    fn settled(&mut self, asked: &Asked, length: usize) {
        self.input.drain(..length);
        let function = asked.expected().function;
        // It answers in the order in which it was asked: a refusal that is nothing older is of this very read.
        if length != frame::EXCEPTION || self.debts().refused(asked.unit, function).is_none() {
            self.debts().settled(asked.unit);
        }
        self.note(|asked| {
            asked.stage = Stage::Waiting;
            asked.echoed = false;
            asked.settled = true;
        });
    }

    /// Throws away a frame that is for none of us.
    fn foreign(&mut self, length: usize, reason: BadAnswer) {
        self.input.drain(..length);
        self.aside.foreign += 1;
        self.note(|asked| asked.wrong = Some(reason));
    }

    /// Another master asks: its answer will be none of ours, though it may look just like it.
    fn rival(&mut self, request: &[u8], theirs: Expected, now: Instant) {
        let same = self.on_the_line().filter(|asked| {
            let ours = asked.expected();
            (ours.unit, ours.function) == (theirs.unit, theirs.function)
        });
        // Who asks the same gets the same; it may as well be a second echo.
        if same.is_some_and(|asked| asked.request() == request) {
            return;
        }
        let is_rival = same.is_some();
        self.debts().add(theirs, Creditor::Another, now);
        if is_rival {
            self.note(|asked| asked.rival = Some(theirs.body));
        }
    }

    /// Behind noise, too, another master's question is one: looks for them in the first bytes.
    fn rivals_in(&mut self, bytes: usize, now: Instant) {
        let noise = self.input[..bytes].to_vec();
        for start in 0..noise.len() {
            let rest = &noise[start..];
            if let Some(span) = rest.get(..frame::REQUEST).and_then(frame::asks) {
                self.rival(&rest[..frame::REQUEST], expected(rest[0], span), now);
            } else if let Some(request) = frame::whole(rest).map(|length| &rest[..length])
                && let Some(theirs) = frame::asks_to_write(request)
            {
                self.rival(request, theirs, now);
            }
        }
    }

    /// Takes a whole frame that is not what is waited for: a late answer, a wrong one, or what others say.
    fn stranger(&mut self, now: Instant) -> bool {
        let Some(length) = frame::whole(&self.input) else {
            return false;
        };
        let whole = self.input[..length].to_vec();
        let (unit, function) = (whole[0], whole[1]);
        if let Some(span) = frame::asks(&whole) {
            self.rival(&whole, expected(unit, span), now);
            self.foreign(length, BadAnswer::OtherMaster);
            return true;
        }
        let came = frame::came(&whole);
        let late = if length == frame::EXCEPTION {
            self.debts().refused(unit, function & 0x7f)
        } else {
            came.and_then(|came| self.debts().paid(came, now))
        };
        match late {
            Some(Creditor::Us(id)) => {
                let right = false;
                self.found = Some(Found { length, id, right });
                return true;
            }
            Some(Creditor::Another) => {
                self.foreign(length, BadAnswer::OtherMaster);
                return true;
            }
            None => {}
        }
        let answer = length == frame::EXCEPTION || (came.is_some() && function <= 4);
        let mut reason = if answer {
            BadAnswer::Unit { got: unit }
        } else {
            BadAnswer::OtherMaster
        };
        if let Some(asked) = self.on_the_line().filter(|asked| asked.unit == unit) {
            if let Some(writing) = asked.writing() {
                // It may be another master's, and the right one may still come: it is the reason should it not.
                if came.is_some() || answer {
                    reason = writing.judge(unit, &whole[1..length - 2]).err().unwrap_or(reason);
                }
            } else if answer && asked.settle.is_none() {
                // The engine refuses it and ends the request; should the right one still come, it will be late.
                let (expected, id, at) = (asked.expected(), asked.id, asked.at);
                self.debts().add(expected, Creditor::Us(id), at);
                let right = false;
                self.found = Some(Found { length, id, right });
                return true;
            }
        }
        if let Some(theirs) = frame::asks_to_write(&whole) {
            self.rival(&whole, theirs, now);
        }
        self.foreign(length, reason);
        true
    }

    /// What the unit is asked to tell before a write: where it owes an answer that could be taken for this one's, and
    /// once where it is not known whether the adapter echoes.
    fn before(&self, confirms: Expected, pdu: &[u8], settled: bool, now: Instant) -> Option<Span> {
        let Expected { unit, function, .. } = confirms;
        let unclear = matches!(function, 5 | 6) && self.echoes.is_none() && !settled;
        let mut debts = self.debts();
        (debts.owes(unit, function, now) || unclear)
            .then(|| debts.another_length(unit, asked::near(confirms, pdu), None))
            .flatten()
    }

    /// What was asked has no answer: remembers that one may still come.
    fn give_up(&mut self) -> Option<Asked> {
        let asked = self.asked.take()?;
        self.output.clear();
        let broken = asked.expected().came_broken(&self.input);
        if asked.is_on_the_line() && !broken {
            self.debts()
                .add(asked.expected(), Creditor::Us(asked.id), asked.at);
        }
        Some(asked)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Frames for RtuStream<S> {
    const KIND: Kind = Kind::Line;

    fn put(&mut self, id: u16, unit: u8, pdu: &[u8]) {
        if let Some(span) = check::asked(pdu) {
            self.sample.clear();
            self.asked = Some(Asked::new(id, unit, What::Read(span)));
        }
    }

    fn put_write(&mut self, id: u16, writing: Arc<Writing>) {
        let unit = writing.unit();
        if let Some(confirms) = frame::confirms(unit, writing.pdu()) {
            self.sample.clear();
            self.asked = Some(Asked::new(id, unit, What::Write { writing, confirms }));
        }
    }

    fn takes(&self, unit: u8, pdu: &[u8]) -> Duration {
        let now = Instant::now();
        let takes =
            |request: usize, answer: Expected| self.pace.airtime(request + answer.len()) + self.pace.gap();
        let (one, settle) = if let Some(span) = check::asked(pdu) {
            let one = takes(frame::REQUEST, expected(unit, span));
            (one, self.debts().settle(unit, span, now))
        } else if let Some(confirms) = frame::confirms(unit, pdu) {
            let one = takes(frame::around(pdu), confirms);
            (one, self.before(confirms, pdu, false, now))
        } else {
            return Duration::ZERO;
        };
        let wait = self.quiet_at.saturating_duration_since(now);
        let settle = settle.map(|span| takes(frame::REQUEST, expected(unit, span)));
        wait + one + settle.unwrap_or_default()
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(asked) = &self.asked else {
            return Poll::Ready(Ok(()));
        };
        if asked.stage == Stage::Waiting {
            while Instant::now() < self.quiet_at {
                if self.alarm.deadline() != self.quiet_at {
                    self.alarm.as_mut().reset(self.quiet_at);
                }
                ready!(self.alarm.as_mut().poll(cx));
            }
            // Only now: what is owed may have been paid, or another master may have asked, while the line was in use.
            let now = Instant::now();
            let settle = match &asked.what {
                What::Read(span) => self.debts().settle(asked.unit, *span, now),
                What::Write { writing, confirms } => {
                    self.before(*confirms, writing.pdu(), asked.settled, now)
                }
            };
            self.aside.settled += u64::from(settle.is_some());
            self.note(|asked| {
                asked.stage = Stage::Sending;
                asked.rival = None;
                asked.settle = settle;
            });
            self.output = self.asked.as_ref().map(Asked::request).unwrap_or_default();
            // Whatever came until now is no answer to this.
            let room = SAMPLE.saturating_sub(self.sample.len());
            self.sample.extend(self.input.drain(..).take(room));
            self.found = None;
            self.airtime = self.pace.airtime(self.output.len());
        }
        while !self.output.is_empty() {
            let writing = self.asked.as_ref().and_then(Asked::writing);
            if writing.is_some_and(|writing| !writing.is_gone() && !writing.may_go(Instant::now())) {
                self.output.clear();
                return Poll::Ready(Ok(()));
            }
            let sent = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.output))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            if let Some(writing) = writing {
                writing.went();
            }
            self.output.drain(..sent);
        }
        if let Some(asked) = &mut self.asked
            && asked.stage == Stage::Sending
        {
            asked.stage = Stage::Sent;
            asked.at = Instant::now();
            // The system has it; the line takes longer.
            self.quiet_at = asked.at + self.airtime + self.pace.gap();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut bytes = [0; INPUT];
        let mut buffer = ReadBuf::new(&mut bytes);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
        if buffer.filled().is_empty() {
            return Poll::Ready(Ok(false));
        }
        let now = Instant::now();
        self.quiet_at = self.quiet_at.max(now + self.pace.gap());
        self.input.extend_from_slice(buffer.filled());
        self.judge(now);
        Poll::Ready(Ok(true))
    }

    fn get(&self) -> Result<Option<Frame<'_>>, Broken> {
        Ok(self.found.map(|Found { length, id, .. }| Frame {
            id,
            unit: self.input[0],
            pdu: &self.input[1..length - 2],
        }))
    }

    fn done(&mut self, _bytes: usize) {
        let Some(Found { length, id, right }) = self.found.take() else {
            return;
        };
        self.input.drain(..length);
        if let Some(asked) = self.asked.take_if(|asked| asked.id == id)
            && right
        {
            self.debts().settled(asked.unit);
        }
        self.judge(Instant::now());
    }

    fn skip(&mut self) -> bool {
        false
    }

    fn rest(&self) -> &[u8] {
        &self.input
    }

    fn gave_up(&mut self, id: u16) -> Missing {
        if self.asked.as_ref().is_none_or(|asked| asked.id != id) {
            return Missing::Silent;
        }
        let Some(asked) = self.give_up() else {
            return Missing::Silent;
        };
        if let Some(reason) = asked.wrong {
            return Missing::Wrong(reason);
        }
        // A late answer may still be completed, so what came stays.
        let room = SAMPLE.saturating_sub(self.sample.len());
        self.sample.extend(self.input.iter().take(room));
        if self.sample.is_empty() {
            Missing::Silent
        } else {
            Missing::Noise(std::mem::take(&mut self.sample))
        }
    }

    fn aside(&mut self) -> Aside {
        std::mem::take(&mut self.aside)
    }
}

impl<S> Drop for RtuStream<S> {
    /// What was asked on a lost connection may be answered on the next.
    fn drop(&mut self) {
        self.give_up();
    }
}
