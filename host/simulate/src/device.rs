//! A simulated device: its personality, its options, and what it was asked.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use busbar_ledger::model::Ledger;
use busbar_ledger::span::Span;

use crate::error::SiteError;
use crate::gx::Gx;
use crate::house::{House, Now};
use crate::identity::Identity;
use crate::onwrite::OnWrite;
use crate::options::Options;
use crate::pdu::{self, Request, exception};
use crate::plain::Plain;
use crate::replay::Replay;
use crate::sheet::Put;
use crate::site::{DeviceSpec, Kind};
use crate::stats::{Stats, Write};

/// A point in time, handed in so that nothing below the server has a clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// Since the site started.
    pub(crate) elapsed: Duration,
    /// Seconds since 1970.
    pub(crate) unix: u64,
}

#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) name: String,
    personality: Personality,
    house: Arc<House>,
    options: Mutex<Options>,
    stats: Mutex<Stats>,
}

#[derive(Debug)]
enum Personality {
    Gx(Gx),
    Plain(Plain),
    Replay(Replay),
}

impl Device {
    pub(crate) fn new(
        file: &str,
        spec: &DeviceSpec,
        house: Arc<House>,
        ledgers: &[Arc<Ledger>],
    ) -> Result<Device, SiteError> {
        let personality = match spec.kind {
            Kind::Gx => Personality::Gx(Gx::new(file, &spec.parts, ledgers)?),
            Kind::Ledger => Personality::Plain(Plain::new(file, &spec.parts, ledgers)?),
            Kind::Replay(ref capture) => Personality::Replay(Replay::new(capture)),
        };
        Ok(Device {
            name: spec.name.clone(),
            personality,
            house,
            options: Mutex::new(spec.options.clone()),
            stats: Mutex::default(),
        })
    }

    /// Whether something answers at this unit. A GX answers for all of them.
    pub(crate) fn has(&self, unit: u8) -> bool {
        self.reaches(unit, &self.options())
    }

    fn reaches(&self, unit: u8, options: &Options) -> bool {
        match &self.personality {
            Personality::Gx(_) => true,
            Personality::Plain(plain) => plain.has(unit) && !options.hides("", unit),
            Personality::Replay(replay) => replay.has(unit) && !options.hides("", unit),
        }
    }

    /// The answer to one request and how long it takes by itself; `None` where there is none.
    pub(crate) fn reply(&self, unit: u8, request: &[u8], moment: Moment) -> Option<(Vec<u8>, Duration)> {
        let answer = match &self.personality {
            Personality::Replay(replay) => replay.answer(unit, request, moment.elapsed),
            Personality::Gx(_) | Personality::Plain(_) => {
                Some((self.answer(unit, request, moment), Duration::ZERO))
            }
        };
        let exception = match answer.as_ref().map(|(pdu, _)| pdu.as_slice()) {
            Some(&[code, exception]) if code & 0x80 != 0 => Some(exception),
            _ => None,
        };
        let mut stats = self.stats();
        stats.requests += 1;
        if let Some(code) = exception {
            stats.exception(code);
        }
        drop(stats);
        self.note(unit, request, exception, moment);
        answer
    }

    /// Notes a write that is on the line for somebody else, or for everybody.
    pub(crate) fn overhear(&self, unit: u8, request: &[u8], moment: Moment) {
        self.note(unit, request, None, moment);
    }

    fn note(&self, unit: u8, request: &[u8], exception: Option<u8>, moment: Moment) {
        if let Some(write) = Write::of(moment.elapsed, unit, request, exception) {
            self.stats().write(write);
        }
    }

    /// The answer of a device that always gives one, an exception at worst.
    fn answer(&self, unit: u8, request: &[u8], moment: Moment) -> Vec<u8> {
        let mut now = self.house.at(moment.elapsed);
        now.request = self.stats().requests;
        let options = self.options();
        let answer = match Request::parse(request) {
            _ if !self.speaks(unit, request) => Err(exception::FUNCTION),
            Ok(_) if !self.reaches(unit, &options) => Err(exception::TARGET),
            Ok(Request::Read(span)) => self.read(unit, span, &options, &now, moment),
            Ok(Request::Write { function, at, words }) => {
                let taken = match &self.personality {
                    Personality::Gx(gx) => gx.write(unit, at, &words, &options, &now, moment),
                    Personality::Plain(plain) => {
                        plain.write(unit, (function, at), &words, &options, &now, moment)
                    }
                    Personality::Replay(_) => Err(exception::FUNCTION),
                };
                // The answer to each of these functions is the head of the request.
                taken.map(|()| request[..5].to_vec())
            }
            Ok(Request::Exchange { answer, at, words }) => match &self.personality {
                Personality::Plain(plain) => plain
                    .exchange(unit, answer, (at, &words), &options, &now, moment)
                    .map(|words| pdu::exchanged(&words)),
                Personality::Gx(_) | Personality::Replay(_) => Err(exception::FUNCTION),
            },
            Err(code) => Err(code),
        };
        answer.unwrap_or_else(|code| pdu::refusal(request, code))
    }

    /// Whether the device knows the request's function at all.
    fn speaks(&self, unit: u8, request: &[u8]) -> bool {
        let code = request.first().copied().unwrap_or(0);
        match &self.personality {
            Personality::Gx(_) => !matches!(code, 5 | 15 | 23),
            Personality::Plain(plain) => plain.speaks(unit, code),
            Personality::Replay(_) => true,
        }
    }

    fn read(
        &self,
        unit: u8,
        span: Span,
        options: &Options,
        now: &Now<'_>,
        moment: Moment,
    ) -> Result<Vec<u8>, u8> {
        let words = match &self.personality {
            Personality::Gx(gx) => gx.read(unit, span, options, now, moment)?,
            Personality::Plain(plain) => plain.read(unit, span, options, now, moment)?,
            Personality::Replay(_) => return Err(exception::ADDRESS),
        };
        self.stats().read(unit, span);
        Ok(pdu::words(span.function, &words))
    }

    /// What it says by itself; nothing where it only answers.
    pub(crate) fn telegram(&self, moment: Moment) -> Option<String> {
        let Personality::Plain(plain) = &self.personality else {
            return None;
        };
        let now = self.house.at(moment.elapsed);
        self.stats().requests += 1;
        plain.telegram(&now, moment)
    }

    /// Gives a point another content; `false` where this unit has no such ledger.
    pub(crate) fn set(&self, unit: u8, ledger: &str, point: usize, put: Put) -> bool {
        match &self.personality {
            Personality::Gx(gx) => gx.set(unit, ledger, point, put),
            Personality::Plain(plain) => plain.set(unit, ledger, point, put),
            Personality::Replay(_) => false,
        }
    }

    /// How a point takes writes from now on; `false` where this unit has no such ledger.
    pub(crate) fn on_write(&self, unit: u8, ledger: &str, point: usize, on: OnWrite) -> bool {
        match &self.personality {
            Personality::Gx(gx) => gx.on_write(unit, ledger, point, on),
            Personality::Plain(plain) => plain.on_write(unit, ledger, point, on),
            Personality::Replay(_) => false,
        }
    }

    /// Changes what a unit says of itself; an error is a sentence.
    pub(crate) fn identify(&self, unit: u8, what: Identity<'_>) -> Result<(), String> {
        match &self.personality {
            Personality::Gx(_) => Err(format!(
                "`{}` is a GX: its points say what it is, `serial` and `firmware_version` of its system",
                self.name
            )),
            Personality::Plain(plain) => plain.identify(unit, what),
            Personality::Replay(_) => Err(format!("`{}` is a capture: it says what it said then", self.name)),
        }
    }

    pub(crate) fn options(&self) -> MutexGuard<'_, Options> {
        self.options.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn stats(&self) -> MutexGuard<'_, Stats> {
        self.stats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
