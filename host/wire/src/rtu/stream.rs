//! RTU over a byte stream: a serial port, or a connection to a gateway that hands its bytes through.
//!
//! One request at a time. A line carries no ids, so only order and silence tell what belongs together: before each
//! request the line has to be silent, and what came before is thrown away. What a silent unit still owes is in
//! [`super::debts`].

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use busbar_ledger::span::Span;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::debts::{Creditor, Debts, expected};
use super::frame::{self, Expected, MAX_FRAME};
use super::pace::Pace;
use crate::check::{self, BadAnswer};
use crate::frame::{Broken, Frame};
use crate::frames::{Aside, Frames, Kind, Missing};

/// How much is read at once.
const INPUT: usize = 512;
/// How much noise is kept, behind which a frame is looked for.
const NOISE: usize = 2 * MAX_FRAME;
/// How much noise is kept to be shown.
const SAMPLE: usize = 64;

/// What is asked.
#[derive(Clone, Copy, Debug)]
struct Asked {
    id: u16,
    unit: u8,
    span: Span,
    /// What is asked before, because the unit still owes an answer.
    settle: Option<Span>,
    stage: Stage,
    /// When the last byte of the request was handed over.
    at: Instant,
    /// Whether the request itself was heard: adapters for RS485 may echo it.
    echoed: bool,
    /// The last frame that came and was none of ours.
    wrong: Option<BadAnswer>,
    /// Another master asked the same unit something since, with the same function: how many bytes that brings.
    rival: Option<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The line is not silent yet.
    Waiting,
    Sending,
    Sent,
}

impl Asked {
    /// What is on the line now, or goes there next.
    fn now(&self) -> Span {
        self.settle.unwrap_or(self.span)
    }

    fn expected(&self) -> Expected {
        expected(self.unit, self.now())
    }

    fn request(&self) -> Vec<u8> {
        let mut request = Vec::with_capacity(frame::REQUEST);
        frame::encode(self.unit, &check::read_pdu(self.now()), &mut request);
        request
    }
}

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
    /// The line counts as silent from then on.
    quiet_at: Instant,
    alarm: Pin<Box<Sleep>>,
    /// The first noise since the request was put.
    sample: Vec<u8>,
    aside: Aside,
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
            quiet_at,
            alarm: Box::pin(sleep_until(quiet_at)),
            sample: Vec::with_capacity(SAMPLE),
            aside: Aside::default(),
        }
    }

    fn debts(&self) -> MutexGuard<'_, Debts> {
        self.debts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is on the line.
    fn on_the_line(&self) -> Option<Asked> {
        self.asked.filter(|asked| asked.stage != Stage::Waiting)
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
        let Some(asked) = self.on_the_line() else {
            return self.stranger(now);
        };
        if !asked.echoed {
            let request = asked.request();
            if self.input.starts_with(&request) {
                self.input.drain(..request.len());
                self.note(|asked| asked.echoed = true);
                return true;
            }
            if request.starts_with(&self.input) {
                return false;
            }
        }
        let expected = asked.expected();
        if !expected.may_be(&self.input) && self.stranger(now) {
            return true;
        }
        let Some(range) = expected.find(&self.input) else {
            return false;
        };
        // Behind noise, too, another master's question is one.
        let before = self.input[..range.start].windows(frame::REQUEST);
        let rivals: Vec<_> = before
            .filter_map(|bytes| Some((bytes[0], frame::asks(bytes)?)))
            .collect();
        for (unit, span) in rivals {
            self.rival(unit, span, now);
        }
        self.noise(range.start);
        if self
            .asked
            .and_then(|asked| asked.rival)
            .is_some_and(|bytes| range.len() == frame::EXCEPTION || bytes == expected.bytes)
        {
            // Whose answer this is, nobody can tell.
            self.foreign(range.len(), BadAnswer::OtherMaster);
        } else if asked.settle.is_some() {
            self.settled(asked, range.len());
        } else {
            self.found = Some(Found {
                length: range.len(),
                id: asked.id,
                right: true,
            });
        }
        true
    }

    fn note(&mut self, change: impl FnOnce(&mut Asked)) {
        if let Some(asked) = &mut self.asked {
            change(asked);
        }
    }

    /// The unit has answered what was asked only to tell its answers apart. Next comes what is wanted, unless it was a
    /// refusal and more is owed.
    fn settled(&mut self, asked: Asked, length: usize) {
        self.input.drain(..length);
        if length == frame::EXCEPTION {
            self.debts().refused(asked.unit, asked.span.function.code());
        } else {
            self.debts().settled(asked.unit);
        }
        self.note(|asked| {
            asked.stage = Stage::Waiting;
            asked.echoed = false;
        });
    }

    /// Throws away a frame that is for none of us.
    fn foreign(&mut self, length: usize, reason: BadAnswer) {
        self.input.drain(..length);
        self.aside.foreign += 1;
        self.note(|asked| asked.wrong = Some(reason));
    }

    /// Another master asks: its answer will be none of ours, though it may look just like it.
    fn rival(&mut self, unit: u8, span: Span, now: Instant) {
        let theirs = expected(unit, span);
        let same = self
            .on_the_line()
            .filter(|asked| asked.unit == unit && asked.span.function == span.function);
        // Who asks the same gets the same; it may as well be a second echo.
        if same.is_some_and(|asked| asked.now() == span) {
            return;
        }
        self.debts().add(theirs, Creditor::Another, now);
        if same.is_some() {
            self.note(|asked| asked.rival = Some(theirs.bytes));
        }
    }

    /// Takes a whole frame that is not what is waited for: a late answer, a wrong one, or what others say.
    fn stranger(&mut self, now: Instant) -> bool {
        let Some(length) = frame::whole(&self.input) else {
            return false;
        };
        let (unit, function, count) = (self.input[0], self.input[1], self.input[2]);
        if let Some(span) = frame::asks(&self.input[..length]) {
            self.rival(unit, span, now);
            self.foreign(length, BadAnswer::OtherMaster);
            return true;
        }
        let came = Expected {
            unit,
            function,
            bytes: count,
        };
        let refusal = length == frame::EXCEPTION;
        let answer = refusal || (function <= 4 && came.len() == length);
        let asked = self.on_the_line();
        let late = if refusal {
            self.debts().refused(unit, function & 0x7f)
        } else if answer {
            self.debts().paid(came, now)
        } else {
            None
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
        if let Some(asked) = asked.filter(|asked| answer && asked.unit == unit && asked.settle.is_none()) {
            // The engine refuses it and ends the request; should the right one still come, it will be late.
            self.debts()
                .add(asked.expected(), Creditor::Us(asked.id), asked.at);
            self.found = Some(Found {
                length,
                id: asked.id,
                right: false,
            });
            return true;
        }
        let reason = if answer {
            BadAnswer::Unit { got: unit }
        } else {
            BadAnswer::OtherMaster
        };
        self.foreign(length, reason);
        true
    }

    /// What was asked has no answer: remembers that one may still come.
    fn give_up(&mut self) -> Option<Asked> {
        let asked = self.asked.take()?;
        self.output.clear();
        let broken = asked.expected().came_broken(&self.input);
        if asked.stage != Stage::Waiting && !broken {
            self.debts()
                .add(asked.expected(), Creditor::Us(asked.id), asked.at);
        }
        Some(asked)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Frames for RtuStream<S> {
    const KIND: Kind = Kind::Line;

    fn put(&mut self, id: u16, unit: u8, pdu: &[u8]) {
        let Some(span) = check::asked(pdu) else { return };
        self.sample.clear();
        self.asked = Some(Asked {
            id,
            unit,
            span,
            settle: None,
            stage: Stage::Waiting,
            at: Instant::now(),
            echoed: false,
            wrong: None,
            rival: None,
        });
    }

    fn takes(&self, unit: u8, pdu: &[u8]) -> Duration {
        let Some(span) = check::asked(pdu) else {
            return Duration::ZERO;
        };
        let now = Instant::now();
        let one = |span: Span| {
            let bytes = frame::REQUEST + expected(unit, span).len();
            self.pace.airtime(bytes) + self.pace.gap()
        };
        let settle = self.debts().settle(unit, span, now);
        let wait = self.quiet_at.saturating_duration_since(now);
        wait + one(span) + settle.map_or(Duration::ZERO, one)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(asked) = &mut self.asked else {
            return Poll::Ready(Ok(()));
        };
        if asked.stage == Stage::Waiting {
            while Instant::now() < self.quiet_at {
                if self.alarm.deadline() != self.quiet_at {
                    self.alarm.as_mut().reset(self.quiet_at);
                }
                ready!(self.alarm.as_mut().poll(cx));
            }
            asked.stage = Stage::Sending;
            asked.rival = None;
            // Only now: what is owed may have been paid, or another master may have asked, while the line was in use.
            asked.settle = self.debts.lock().unwrap_or_else(PoisonError::into_inner).settle(
                asked.unit,
                asked.span,
                Instant::now(),
            );
            self.aside.settled += u64::from(asked.settle.is_some());
            self.output = asked.request();
            // Whatever came until now is no answer to this.
            let room = SAMPLE.saturating_sub(self.sample.len());
            self.sample.extend(self.input.drain(..).take(room));
            self.found = None;
        }
        while !self.output.is_empty() {
            let sent = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.output))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.output.drain(..sent);
        }
        if asked.stage == Stage::Sending {
            asked.stage = Stage::Sent;
            asked.at = Instant::now();
            // The system has it; the line takes longer.
            self.quiet_at = asked.at + self.pace.airtime(frame::REQUEST) + self.pace.gap();
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
        if self.asked.is_none_or(|asked| asked.id != id) {
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
