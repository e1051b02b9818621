//! The personality of a device that was captured: it answers as it answered then, in the time that it took then, and
//! begins again when the capture is over. What was never asked then is put together from what was, where that is known.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use busbar_ledger::span::Function;

use crate::capture::{Capture, Exchange, exchanges, read_span};
use crate::pdu::{self, exception};

/// A device made from a capture.
#[derive(Debug)]
pub(crate) struct Replay {
    /// How long the capture is, in microseconds; at least 1.
    length: u64,
    /// What came of each request, in the order of time.
    asked: HashMap<(u8, Vec<u8>), Vec<Then>>,
    /// What each register held, in the order of time.
    words: BTreeMap<(u8, Function, u16), Vec<(u64, u16)>>,
    /// Registers that were refused when they were asked for by themselves, and by which code.
    refused: HashMap<(u8, Function, u16), u8>,
    /// Units at which everything was refused, and by which code.
    closed: BTreeMap<u8, u8>,
    /// Units that ever answered.
    units: BTreeSet<u8>,
    /// How long an answer usually took.
    usual: Duration,
}

/// What came of a request at one time.
#[derive(Debug)]
struct Then {
    us: u64,
    /// The answer and how long it took; `None` where there was none.
    answer: Option<(Vec<u8>, Duration)>,
}

impl Replay {
    pub(crate) fn new(capture: &Capture) -> Self {
        let mut replay = Replay {
            length: capture.length(),
            asked: HashMap::new(),
            words: BTreeMap::new(),
            refused: HashMap::new(),
            closed: BTreeMap::new(),
            units: BTreeSet::new(),
            usual: Duration::ZERO,
        };
        let mut took = Vec::new();
        for exchange in exchanges(&capture.frames) {
            took.extend(exchange.answer.as_ref().map(|(_, us)| *us));
            replay.take(exchange);
        }
        took.sort_unstable();
        replay.usual = Duration::from_micros(took.get(took.len() / 2).copied().unwrap_or(0));
        let open: BTreeSet<u8> = replay.words.keys().map(|(unit, ..)| *unit).collect();
        replay.closed.retain(|unit, _| !open.contains(unit));
        replay
    }

    fn take(&mut self, exchange: Exchange) {
        let Exchange {
            us,
            unit,
            request,
            answer,
            ..
        } = exchange;
        if let Some((pdu, _)) = &answer {
            self.units.insert(unit);
            self.learn(us, unit, &request, pdu);
        }
        let answer = answer.map(|(pdu, took)| (pdu, Duration::from_micros(took)));
        self.asked
            .entry((unit, request))
            .or_default()
            .push(Then { us, answer });
    }

    /// Notes what an answer says of single registers.
    fn learn(&mut self, us: u64, unit: u8, request: &[u8], answer: &[u8]) {
        let Some(span) = read_span(request) else { return };
        match answer {
            [code, exception] if code & 0x80 != 0 => {
                if span.count == 1 {
                    self.refused.insert((unit, span.function, span.at), *exception);
                }
                self.closed.entry(unit).or_insert(*exception);
            }
            [_, bytes, words @ ..]
                if usize::from(*bytes) == words.len() && words.len() == 2 * usize::from(span.count) =>
            {
                for (at, word) in (span.at..).zip(words.chunks_exact(2)) {
                    let word = u16::from_be_bytes([word[0], word[1]]);
                    self.words
                        .entry((unit, span.function, at))
                        .or_default()
                        .push((us, word));
                }
            }
            _ => {}
        }
    }

    /// Whether anything was ever heard from this unit.
    pub(crate) fn has(&self, unit: u8) -> bool {
        self.units.contains(&unit)
    }

    /// The answer to a request so long after the start, and how long it takes; `None` where the device was silent.
    pub(crate) fn answer(&self, unit: u8, request: &[u8], elapsed: Duration) -> Option<(Vec<u8>, Duration)> {
        let now = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX) % self.length;
        if let Some(then) = self.asked.get(&(unit, request.to_vec())) {
            return latest(then, now, |then| then.us)?.answer.clone();
        }
        if !self.has(unit) {
            return None;
        }
        let pdu = self.compose(unit, request, now);
        Some((pdu.unwrap_or_else(|code| pdu::refusal(request, code)), self.usual))
    }

    /// A block that was never read as such, from what its registers held; an error is an exception code.
    fn compose(&self, unit: u8, request: &[u8], now: u64) -> Result<Vec<u8>, u8> {
        let span = read_span(request).ok_or(exception::FUNCTION)?;
        if span.count > 125 {
            return Err(exception::VALUE);
        }
        let mut words = Vec::with_capacity(span.count.into());
        for at in (u32::from(span.at)..span.end()).filter_map(|at| u16::try_from(at).ok()) {
            let held = self.words.get(&(unit, span.function, at));
            match held.and_then(|held| latest(held, now, |(us, _)| *us)) {
                Some((_, word)) => words.push(*word),
                None => {
                    let refused = self.refused.get(&(unit, span.function, at));
                    let closed = self.closed.get(&unit);
                    return Err(refused.or(closed).copied().unwrap_or(exception::ADDRESS));
                }
            }
        }
        Ok(pdu::words(span.function, &words))
    }
}

/// What was so at this time: the last that was noted until then, or the first of all.
fn latest<T>(all: &[T], now: u64, us: impl Fn(&T) -> u64) -> Option<&T> {
    let until = all.partition_point(|one| us(one) <= now);
    all.get(until.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::{Frame, Head, Hex, Line, Seen};

    fn read(at: u8, count: u8) -> Vec<u8> {
        vec![3, 0, at, 0, count]
    }

    /// A unit, a request, and the answer where there was one.
    type Asked<'a> = (u8, Vec<u8>, Option<&'a [u8]>);

    /// Each request at its second, answered after 2 ms.
    fn replay(exchanges: &[Asked<'_>]) -> Replay {
        let mut frames = Vec::new();
        for (second, (unit, request, answer)) in exchanges.iter().enumerate() {
            let us = second as u64 * 1_000_000;
            let frame = |pdu: &[u8]| Frame {
                id: Some(second as u16),
                unit: *unit,
                pdu: Hex(pdu.to_vec()),
            };
            let seen = Seen::Sent(frame(request));
            frames.push(Line { us, seen });
            if let Some(answer) = answer {
                let seen = Seen::Got(frame(answer));
                frames.push(Line { us: us + 2000, seen });
            }
        }
        Replay::new(&Capture {
            head: Head::new("modbus+tcp", 0, "0"),
            frames,
        })
    }

    fn pdu(replay: &Replay, unit: u8, request: &[u8], second: u64) -> Option<Vec<u8>> {
        let answer = replay.answer(unit, request, Duration::from_secs(second));
        answer.map(|(pdu, _)| pdu)
    }

    #[test]
    fn it_answers_as_it_answered_then_and_begins_again() {
        let replay = replay(&[
            (1, read(10, 2), Some(&[3, 4, 0, 1, 0, 2])),
            (1, read(10, 2), Some(&[3, 4, 0, 3, 0, 4])),
            (1, read(10, 2), None),
            (1, read(50, 1), Some(&[0x83, 2])),
        ]);
        let at = |second| pdu(&replay, 1, &read(10, 2), second);
        assert_eq!(at(0), Some(vec![3, 4, 0, 1, 0, 2]));
        assert_eq!(at(1), Some(vec![3, 4, 0, 3, 0, 4]));
        assert_eq!(at(2), None, "it was silent then");
        let again = replay
            .answer(1, &read(10, 2), Duration::from_millis(4003))
            .unwrap();
        assert_eq!(again, (vec![3, 4, 0, 3, 0, 4], Duration::from_millis(2)));
        assert_eq!(pdu(&replay, 1, &read(50, 1), 0), Some(vec![0x83, 2]));
    }

    #[test]
    fn what_was_never_asked_is_put_together_from_what_was() {
        let replay = replay(&[
            (1, read(10, 2), Some(&[3, 4, 0, 1, 0, 2])),
            (1, read(12, 1), Some(&[3, 2, 0, 7])),
            (1, read(13, 1), Some(&[0x83, 4])),
            (9, read(1, 1), Some(&[0x83, 10])),
            (5, read(1, 1), None),
        ]);
        assert_eq!(pdu(&replay, 1, &read(11, 2), 9), Some(vec![3, 4, 0, 2, 0, 7]));
        assert_eq!(pdu(&replay, 1, &read(12, 2), 9), Some(vec![0x83, 4]));
        assert_eq!(pdu(&replay, 1, &read(77, 1), 9), Some(vec![0x83, 2]));
        assert_eq!(pdu(&replay, 1, &[6, 0, 10, 0, 1], 9), Some(vec![0x86, 1]));
        assert_eq!(pdu(&replay, 9, &read(77, 1), 9), Some(vec![0x83, 10]));
        assert_eq!(pdu(&replay, 5, &read(2, 1), 9), None);
        assert_eq!(pdu(&replay, 4, &read(2, 1), 9), None);
    }
}
