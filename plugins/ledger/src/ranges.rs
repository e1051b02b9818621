//! Sets of addresses: what a device was seen to answer.

use serde::{Deserialize, Serialize};

use crate::span::{Function, Span};

/// A set of addresses over all four address spaces, kept as runs that neither overlap nor touch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<Span>", into = "Vec<Span>")]
pub struct Ranges {
    runs: Vec<Run>,
}

/// Addresses `from..to` of one space; numbers that can hold 65,536.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    function: Function,
    from: u32,
    to: u32,
}

/// The most addresses that one [`Span`] can hold.
const SPAN_MAX: u32 = u16::MAX as u32;

impl Run {
    fn of(span: Span) -> Self {
        Run {
            function: span.function,
            from: u32::from(span.at),
            to: span.end(),
        }
    }

    /// The run as spans: one, but for a whole address space, which is one address too long for one.
    fn spans(self) -> impl Iterator<Item = Span> {
        [
            (self.from, self.to.min(self.from + SPAN_MAX)),
            (self.from + SPAN_MAX, self.to),
        ]
        .into_iter()
        .filter(|(from, to)| from < to)
        .filter_map(move |(from, to)| {
            let at = u16::try_from(from).ok()?;
            Some(Span {
                function: self.function,
                at,
                count: u16::try_from(to - from).ok()?,
            })
        })
    }
}

impl Ranges {
    /// Every address of one space.
    pub fn all(function: Function) -> Self {
        Ranges {
            runs: vec![Run {
                function,
                from: 0,
                to: SPAN_MAX + 1,
            }],
        }
    }

    /// Adds the addresses of `span`.
    pub fn insert(&mut self, span: Span) {
        self.add(Run::of(span));
    }

    fn add(&mut self, new: Run) {
        if new.from >= new.to {
            return;
        }
        // Touching runs are joined too, so the comparisons leave equality out.
        let first = self
            .runs
            .partition_point(|r| (r.function, r.to) < (new.function, new.from));
        let touching = self.runs[first..]
            .iter()
            .take_while(|r| r.function == new.function && r.from <= new.to)
            .count();
        let joined = self.runs[first..first + touching]
            .iter()
            .fold(new, |all, run| Run {
                from: all.from.min(run.from),
                to: all.to.max(run.to),
                ..all
            });
        self.runs.splice(first..first + touching, [joined]);
    }

    /// Takes the addresses of `span` away.
    pub fn remove(&mut self, span: Span) {
        let gone = Run::of(span);
        self.runs = std::mem::take(&mut self.runs)
            .into_iter()
            .flat_map(|run| {
                let (before, after) = if run.function == gone.function {
                    (
                        Run {
                            to: run.to.min(gone.from),
                            ..run
                        },
                        Run {
                            from: run.from.max(gone.to),
                            ..run
                        },
                    )
                } else {
                    (run, Run { from: run.to, ..run })
                };
                [before, after]
            })
            .filter(|run| run.from < run.to)
            .collect();
    }

    /// Adds all addresses of another set.
    pub fn union(&mut self, other: &Ranges) {
        for &run in &other.runs {
            self.add(run);
        }
    }

    /// The addresses that both sets hold.
    #[must_use]
    pub fn intersection(&self, other: &Ranges) -> Ranges {
        let mut runs = Vec::new();
        let (mut mine, mut theirs) = (self.runs.iter().peekable(), other.runs.iter().peekable());
        while let (Some(a), Some(b)) = (mine.peek(), theirs.peek()) {
            if a.function == b.function {
                let both = Run {
                    function: a.function,
                    from: a.from.max(b.from),
                    to: a.to.min(b.to),
                };
                if both.from < both.to {
                    runs.push(both);
                }
            }
            if (a.function, a.to) <= (b.function, b.to) {
                mine.next();
            } else {
                theirs.next();
            }
        }
        Ranges { runs }
    }

    /// Whether all addresses of `span` are in the set.
    pub fn contains(&self, span: Span) -> bool {
        self.run_end(span.function, u32::from(span.at))
            .is_some_and(|end| span.end() <= end)
    }

    /// Where the run that holds this address ends (the first address behind it); `None` when none does.
    pub(crate) fn run_end(&self, function: Function, at: u32) -> Option<u32> {
        let after = self
            .runs
            .partition_point(|r| (r.function, r.from) <= (function, at));
        let run = self.runs.get(after.checked_sub(1)?)?;
        (run.function == function && at < run.to).then_some(run.to)
    }

    /// The maximal runs in ascending order. (A whole address space is two spans: it is one address too long.)
    pub fn iter(&self) -> impl Iterator<Item = Span> + '_ {
        self.runs.iter().flat_map(|run| run.spans())
    }

    /// Whether no address is in the set.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }
}

impl Extend<Span> for Ranges {
    fn extend<I: IntoIterator<Item = Span>>(&mut self, spans: I) {
        spans.into_iter().for_each(|span| self.insert(span));
    }
}

impl FromIterator<Span> for Ranges {
    fn from_iter<I: IntoIterator<Item = Span>>(spans: I) -> Self {
        let mut all = Ranges::default();
        all.extend(spans);
        all
    }
}

impl From<Vec<Span>> for Ranges {
    fn from(spans: Vec<Span>) -> Self {
        spans.into_iter().collect()
    }
}

impl From<Ranges> for Vec<Span> {
    fn from(ranges: Ranges) -> Self {
        ranges.iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn span() -> impl Strategy<Value = Span> {
        let function = prop_oneof![Just(Function::Holding), Just(Function::Input)];
        (function, 0u16..40, 1u16..8).prop_map(|(function, at, count)| Span { function, at, count })
    }

    fn addresses(span: Span) -> impl Iterator<Item = (Function, u32)> {
        (u32::from(span.at)..span.end()).map(move |at| (span.function, at))
    }

    proptest! {
        #[test]
        fn it_is_the_set_of_its_addresses(edits in prop::collection::vec((any::<bool>(), span()), 0..30), asked in span()) {
            let mut ranges = Ranges::default();
            let mut model = BTreeSet::new();
            for (add, span) in edits {
                if add {
                    ranges.insert(span);
                    model.extend(addresses(span));
                } else {
                    ranges.remove(span);
                    for address in addresses(span) {
                        model.remove(&address);
                    }
                }
            }
            prop_assert_eq!(ranges.iter().flat_map(addresses).collect::<Vec<_>>(), model.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(ranges.contains(asked), addresses(asked).all(|a| model.contains(&a)));
            let runs: Vec<Span> = ranges.iter().collect();
            prop_assert!(runs.windows(2).all(|w| w[0].function != w[1].function || w[0].end() < u32::from(w[1].at)), "maximal runs");
            prop_assert_eq!(Ranges::from(runs), ranges);
        }

        #[test]
        fn set_operations(a in prop::collection::vec(span(), 0..10), b in prop::collection::vec(span(), 0..10)) {
            let set = |spans: &[Span]| spans.iter().copied().flat_map(addresses).collect::<BTreeSet<_>>();
            let of = |ranges: &Ranges| ranges.iter().flat_map(addresses).collect::<BTreeSet<_>>();
            let (ra, rb): (Ranges, Ranges) = (a.iter().copied().collect(), b.iter().copied().collect());
            prop_assert_eq!(of(&ra.intersection(&rb)), &set(&a) & &set(&b));
            let mut both = ra;
            both.union(&rb);
            prop_assert_eq!(of(&both), &set(&a) | &set(&b));
        }
    }

    #[test]
    fn a_whole_address_space() {
        let all = Ranges::all(Function::Holding);
        assert!(all.contains(Span::holding(0, 65_535)) && all.contains(Span::holding(65_535, 1)));
        assert!(!all.contains(Span {
            function: Function::Coils,
            at: 0,
            count: 1
        }));
        assert_eq!(Ranges::from(Vec::from(all.clone())), all);
    }
}
