//! Answers that may still come: without ids, a late one looks like the answer to the next request.
//!
//! The rule: a unit that owes an answer is first asked for something that cannot be mistaken, a read of another length.
//! A write is preceded by one where the unit owes an answer to a write: the echo of the older may be the very same bytes.
//! A device answers in the order in which it was asked, so with that answer the older ones are out of the way. Waiting
//! would only help against delays that are shorter than the wait, and so would a reconnect: a plain gateway hands what
//! comes late from its line to whoever is connected then.

use std::time::Duration;

use busbar_ledger::span::Span;
use tokio::time::Instant;

use super::frame::{Body, Expected, expected};

/// For how long an answer may be late. A GX takes 25 s for its slowest.
const LATE: Duration = Duration::from_secs(60);
/// How many are remembered; a line of 247 silent units asked at once stays below.
const MOST: usize = 256;

/// Who waits for an answer, or gave it up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Creditor {
    /// We, with the request of this id.
    Us(u16),
    /// Another master, whose request was heard.
    Another,
}

/// An answer that did not come yet.
#[derive(Clone, Copy, Debug)]
struct Debt {
    expected: Expected,
    to: Creditor,
    asked: Instant,
}

/// The answers that are owed on one line, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Debts(Vec<Debt>);

impl Debts {
    /// An answer did not come in time, or is another's.
    pub(crate) fn add(&mut self, expected: Expected, to: Creditor, asked: Instant) {
        self.forget(asked);
        if self.0.len() == MOST {
            self.0.remove(0);
        }
        self.0.push(Debt { expected, to, asked });
    }

    fn forget(&mut self, now: Instant) {
        self.0
            .retain(|debt| now.saturating_duration_since(debt.asked) < LATE);
    }

    /// A late answer came, of so many bytes: whose it is. All that the unit owed before it is paid too.
    pub(crate) fn paid(&mut self, came: Expected, now: Instant) -> Option<Creditor> {
        self.forget(now);
        let last = self.0.iter().position(|debt| debt.expected == came)?;
        let to = self.0.get(last)?.to;
        self.settled_up_to(came.unit, last);
        Some(to)
    }

    /// A refusal came: it may be the answer to the oldest. Whose that is.
    pub(crate) fn refused(&mut self, unit: u8, function: u8) -> Option<Creditor> {
        let of = |debt: &Debt| debt.expected.unit == unit && debt.expected.function == function;
        let first = self.0.iter().position(of)?;
        Some(self.0.remove(first).to)
    }

    /// An answer came that can only be to the newest request: what the unit owed is paid.
    pub(crate) fn settled(&mut self, unit: u8) {
        self.settled_up_to(unit, self.0.len());
    }

    fn settled_up_to(&mut self, unit: u8, last: usize) {
        let mut index = 0;
        self.0.retain(|debt| {
            index += 1;
            debt.expected.unit != unit || index - 1 > last
        });
    }

    /// What to ask before `span`, so that its answer cannot be mistaken: a read of a length that is owed by nobody and
    /// not wanted next. `None` where the unit owes nothing that could be taken for it.
    pub(crate) fn settle(&mut self, unit: u8, span: Span, now: Instant) -> Option<Span> {
        self.owes(unit, span.function.code(), now)
            .then(|| self.another_length(unit, span, Some(expected(unit, span).body)))
            .flatten()
    }

    /// Whether a unit owes an answer to this function: a refusal, or the echo of a write like the next, could be that.
    pub(crate) fn owes(&mut self, unit: u8, function: u8, now: Instant) -> bool {
        self.forget(now);
        self.owed(unit, function).next().is_some()
    }

    fn owed(&self, unit: u8, function: u8) -> impl Iterator<Item = Body> {
        self.0
            .iter()
            .map(|debt| debt.expected)
            .filter(move |owed| owed.unit == unit && owed.function == function)
            .map(|owed| owed.body)
    }

    /// A read near `span` of a length that is owed by nobody, and is not the one that is wanted next.
    pub(crate) fn another_length(&self, unit: u8, span: Span, wanted: Option<Body>) -> Option<Span> {
        let owed: Vec<Body> = self.owed(unit, span.function.code()).chain(wanted).collect();
        let step = if span.function.is_bit() { 8 } else { 1 };
        (1..=125)
            .map(|length| {
                let count = length * step;
                let at = span.at.min(u16::MAX - count + 1);
                Span { at, count, ..span }
            })
            .find(|settle| !owed.contains(&expected(unit, *settle).body))
    }
}

#[cfg(test)]
mod tests {
    use busbar_ledger::span::Function;
    use proptest::prelude::*;

    use super::*;

    fn span(at: u16, count: u16) -> Span {
        Span::holding(at, count)
    }

    #[test]
    fn a_unit_that_owes_an_answer_is_asked_for_another_length_first() {
        let now = Instant::now();
        let mut debts = Debts::default();
        assert_eq!(debts.settle(1, span(200, 6), now), None);
        debts.add(expected(1, span(100, 6)), Creditor::Us(7), now);
        assert_eq!(debts.settle(1, span(200, 6), now), Some(span(200, 1)));
        assert_eq!(debts.settle(1, span(200, 1), now), Some(span(200, 2)));
        assert_eq!(debts.settle(1, span(65535, 1), now), Some(span(65534, 2)));
        assert_eq!(
            debts.settle(2, span(200, 6), now),
            None,
            "another unit owes nothing"
        );
        let input = Span {
            function: Function::Input,
            ..span(200, 6)
        };
        assert_eq!(
            debts.settle(1, input, now),
            None,
            "another function tells itself apart"
        );
        debts.add(expected(1, span(200, 1)), Creditor::Us(8), now);
        assert_eq!(debts.settle(1, span(200, 6), now), Some(span(200, 2)));
        assert_eq!(
            debts.settle(1, span(200, 6), now + LATE),
            None,
            "nothing is that late"
        );
    }

    #[test]
    fn an_answer_pays_what_was_owed_before_it_and_no_more() {
        let now = Instant::now();
        let mut debts = Debts::default();
        for (count, id) in [(6, 1), (1, 2), (2, 3)] {
            debts.add(expected(1, span(0, count)), Creditor::Us(id), now);
        }
        debts.add(expected(2, span(0, 1)), Creditor::Us(9), now);
        assert_eq!(debts.paid(expected(1, span(50, 1)), now), Some(Creditor::Us(2)));
        assert_eq!(
            debts.paid(expected(1, span(0, 6)), now),
            None,
            "it can come no more"
        );
        assert_eq!(
            debts.0.iter().map(|debt| debt.to).collect::<Vec<_>>(),
            [3, 9].map(Creditor::Us)
        );
        debts.settled(1);
        assert_eq!(debts.settle(1, span(0, 6), now), None);
        assert!(debts.settle(2, span(0, 6), now).is_some());
    }

    #[test]
    fn a_unit_that_owes_the_echo_of_a_write_is_asked_to_tell_something_first() {
        let now = Instant::now();
        let echo = super::super::frame::confirms(1, &[6, 0, 9, 0, 1]).unwrap();
        let mut debts = Debts::default();
        debts.add(echo, Creditor::Us(7), now);
        assert!(debts.owes(1, 6, now) && !debts.owes(1, 16, now) && !debts.owes(2, 6, now));
        assert_eq!(
            debts.settle(1, span(9, 1), now),
            None,
            "a read tells itself apart"
        );
        assert_eq!(debts.another_length(1, span(9, 1), None), Some(span(9, 1)));
        debts.add(expected(1, span(0, 1)), Creditor::Us(8), now);
        assert_eq!(debts.another_length(1, span(9, 1), None), Some(span(9, 2)));
        assert_eq!(debts.paid(echo, now), Some(Creditor::Us(7)));
        assert!(!debts.owes(1, 6, now) && debts.owes(1, 3, now));
    }

    #[test]
    fn a_refusal_pays_one() {
        let now = Instant::now();
        let mut debts = Debts::default();
        debts.add(expected(1, span(0, 6)), Creditor::Us(1), now);
        debts.add(expected(1, span(0, 1)), Creditor::Us(2), now);
        assert_eq!(debts.refused(1, 4), None);
        assert_eq!(debts.refused(1, 3), Some(Creditor::Us(1)));
        assert!(debts.settle(1, span(0, 6), now).is_some());
        assert_eq!(debts.refused(1, 3), Some(Creditor::Us(2)));
        assert_eq!(debts.settle(1, span(0, 6), now), None);
    }

    #[test]
    fn memory_is_bounded() {
        let now = Instant::now();
        let mut debts = Debts::default();
        for id in 0..10_000 {
            debts.add(expected(id as u8, span(0, 6)), Creditor::Us(id), now);
        }
        assert_eq!(debts.0.len(), MOST);
    }

    proptest! {
        /// A device answers in order, each request at most once, as late as it likes; requests are given up at random.
        /// Whatever is then taken for an answer is one to that very request.
        #[test]
        fn fault_11_no_late_answer_is_taken_for_another(
            turns in proptest::collection::vec((0u16..4, 1u16..4, any::<bool>(), 0usize..4), 1..60)
        ) {
            let now = Instant::now();
            let mut debts = Debts::default();
            let mut owed: std::collections::VecDeque<Span> = Default::default();
            for (id, (at, count, lost, arrive)) in turns.into_iter().enumerate() {
                let wanted = span(at, count);
                let settle = debts.settle(1, wanted, now);
                let asked = settle.unwrap_or(wanted);
                owed.push_back(asked);
                // So many answers come in time; some never come at all.
                let mut answered = false;
                for _ in 0..=arrive {
                    if lost && owed.len() > 1 {
                        owed.pop_front();
                    }
                    let Some(came) = owed.pop_front() else { break };
                    if expected(1, came) == expected(1, asked) {
                        prop_assert_eq!(came, asked, "a late answer was taken");
                        debts.settled(1);
                        prop_assert!(owed.is_empty());
                        answered = true;
                        break;
                    }
                    prop_assert!(debts.paid(expected(1, came), now).is_some());
                }
                if !answered {
                    debts.add(expected(1, asked), Creditor::Us(id as u16), now);
                }
            }
        }
    }
}
