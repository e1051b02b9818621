//! What a counter has counted over resets, full registers and exchanged meters: a total that never falls. Pure.

use crate::counter::{Counter, STANDS, Step};

/// The account of one counter. Values are in the point's unit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Account {
    counter: Counter,
    carried: f64,
    /// Another meter counts, and this many of its first readings were 0: what one also says that starts.
    unseen: Option<u32>,
}

/// What became of a reading.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Entry {
    /// The counter ran on, or is seen for the first time.
    Booked,
    /// It is not to be believed yet, and nothing is booked.
    Doubtful,
    /// The counter began anew, and its account went on.
    Stitched(Stitch),
}

/// Where an account went on over a counter that began anew.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stitch {
    /// What the counter read last before.
    pub from: f64,
    /// What it read when that was believed.
    pub to: f64,
    /// What is carried from then on.
    pub carried: f64,
    /// What happened.
    pub why: Why,
}

/// Why a counter reads less than it did, or something else altogether.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It was reset. What it counted unseen is not known, and not booked.
    Reset,
    /// Its register was full: all of it is booked.
    Wrap,
    /// Another meter counts. What that one had counted before is not booked.
    Replaced,
}

impl Account {
    /// An account as it was kept: what the counter read last, and what is carried.
    pub fn resume(last: f64, carried: f64) -> Self {
        Account {
            counter: Counter::at(last),
            carried,
            unseen: None,
        }
    }

    /// Another meter counts from now on; whatever it says, the account goes on from where it is.
    pub fn replaced(&mut self) {
        self.unseen = Some(0);
    }

    /// What was counted before the counter's last new beginning: added to what it says, it makes the total. Less than 0
    /// where a meter took over that had counted more before than its account.
    pub fn carried(&self) -> f64 {
        self.carried
    }

    /// What the counter read last.
    pub fn last(&self) -> Option<f64> {
        self.counter.last()
    }

    /// What was counted in all.
    pub fn total(&self) -> Option<f64> {
        self.last().map(|last| total(last, self.carried))
    }

    /// Whether it reads 0 since it stood higher, and that is not believed.
    pub fn is_doubtful_at_zero(&self) -> bool {
        self.counter.is_doubtful_at_zero()
    }

    /// Books a reading. `range` is where the counter's register is full, for one that is known to begin again there.
    pub fn note(&mut self, value: f64, range: Option<f64>) -> Entry {
        if !value.is_finite() {
            return Entry::Doubtful;
        }
        if let (Some(zeros), Some(from)) = (self.unseen, self.last()) {
            if value == 0.0 && zeros + 1 < STANDS {
                self.unseen = Some(zeros + 1);
                return Entry::Doubtful;
            }
            self.counter = Counter::at(value);
            return self.stitch(from, value, 0.0, Why::Replaced);
        }
        let from = self.last().unwrap_or(value);
        match self.counter.note(value, range) {
            Step::Begins | Step::Runs { .. } => {
                self.unseen = None;
                Entry::Booked
            }
            Step::Doubtful => Entry::Doubtful,
            Step::Reset { by } => self.stitch(from, value, by, Why::Reset),
            Step::Wrapped { by } => self.stitch(from, value, by, Why::Wrap),
        }
    }

    /// Goes on from where the account was, by what was counted since.
    fn stitch(&mut self, from: f64, value: f64, by: f64, why: Why) -> Entry {
        self.unseen = None;
        let before = total(from, self.carried);
        self.carried = before + by - value;
        // What a sum of large and small numbers loses must not let the total fall.
        let mut step = (before - total(value, self.carried)).max(0.0);
        while total(value, self.carried) < before && step.is_finite() {
            self.carried += step;
            step *= 2.0;
        }
        Entry::Stitched(Stitch {
            from,
            to: value,
            carried: self.carried,
            why,
        })
    }
}

/// What a counter that says so has counted in all, given what is carried: without the digits that only come of adding.
/// Where nothing is carried, it is what the counter says.
pub fn total(value: f64, carried: f64) -> f64 {
    if carried == 0.0 {
        return value;
    }
    rounded(value + carried)
}

/// To a millionth, as far as the number has digits for it.
pub fn rounded(value: f64) -> f64 {
    const DIGITS: f64 = 1e6;
    let scaled = value * DIGITS;
    // Above this, neighbouring numbers are further apart than that.
    if scaled.abs() < 9.0e15 {
        scaled.round() / DIGITS
    } else {
        value
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What each reading makes of the total; `None` where it is not believed.
    fn totals(account: &mut Account, range: Option<f64>, values: &[f64]) -> Vec<Option<f64>> {
        let book = |value: &f64| match account.note(*value, range) {
            Entry::Doubtful => None,
            _ => account.total(),
        };
        values.iter().map(book).collect()
    }

    #[test]
    fn a_reset_is_carried_and_told() {
        let mut account = Account::default();
        let read = totals(&mut account, None, &[100.0, 101.5, 0.0, 0.0]);
        assert_eq!(read, [Some(100.0), Some(101.5), None, None]);
        let Entry::Stitched(stitch) = account.note(0.25, None) else {
            panic!()
        };
        assert_eq!((stitch.from, stitch.to, stitch.why), (101.5, 0.25, Why::Reset));
        assert_eq!((account.carried(), account.total()), (101.5, Some(101.75)));
        assert_eq!(totals(&mut account, None, &[1.0]), [Some(102.5)]);
    }

    #[test]
    fn what_a_reboot_shows_for_a_moment_changes_nothing() {
        let mut account = Account::resume(101.5, 50.0);
        let read = totals(&mut account, None, &[0.0, 0.0, 101.5, 101.6]);
        assert_eq!(read, [None, None, Some(151.5), Some(151.6)]);
        assert_eq!(account.carried(), 50.0);
    }

    #[test]
    fn a_full_register_is_booked_whole() {
        let mut account = Account::default();
        let read = totals(&mut account, Some(65_536.0), &[65_530.0, 4.0, 10.0, 11.0]);
        assert_eq!(read, [Some(65_530.0), None, Some(65_546.0), Some(65_547.0)]);
        assert_eq!(account.carried(), 65_536.0);
    }

    #[test]
    fn another_meter_goes_on_from_the_total_whatever_it_has_counted() {
        for (first, next) in [(12_000.0, 12_000.5), (3.0, 3.5)] {
            let mut account = Account::resume(100.0, 20.0);
            account.replaced();
            assert_eq!(
                totals(&mut account, None, &[first, next]),
                [Some(120.0), Some(120.5)]
            );
        }
    }

    #[test]
    fn a_meter_that_starts_at_0_is_waited_for_but_not_for_ever() {
        let mut starts = Account::resume(100.0, 0.0);
        starts.replaced();
        let read = totals(&mut starts, None, &[0.0, 0.0, 12_000.0, 12_001.0]);
        assert_eq!(read, [None, None, Some(100.0), Some(101.0)]);
        let mut new = Account::resume(100.0, 0.0);
        new.replaced();
        let read = totals(&mut new, None, &[0.0; 12]);
        assert_eq!(read[8..], [None, Some(100.0), Some(100.0), Some(100.0)]);
        assert_eq!(totals(&mut new, None, &[0.5]), [Some(100.5)]);
    }

    proptest! {
        #[test]
        fn whatever_is_read_the_total_never_falls(
            readings in proptest::collection::vec((-1.0e7f64..1.0e12, 0u8..12), 1..300),
            wraps: bool,
        ) {
            let range = wraps.then_some(65_536.0);
            let (mut account, mut highest) = (Account::default(), f64::NEG_INFINITY);
            for (value, kind) in readings {
                let value = match kind {
                    0 | 1 => 0.0,
                    2 => f64::NAN,
                    3 => { account.replaced(); value }
                    4..7 => value % 65_536.0,
                    7..10 => account.last().unwrap_or(0.0) + value % 10.0,
                    _ => value,
                };
                let told = account.note(value, range);
                if told == Entry::Doubtful { continue; }
                let total = account.total().unwrap_or(f64::NEG_INFINITY);
                prop_assert!(total >= highest, "{total} after {highest}");
                highest = total;
            }
        }

        #[test]
        fn all_that_is_seen_counted_is_booked(
            runs in proptest::collection::vec(proptest::collection::vec(1u32..1000, 2..20), 1..10),
            start in 0u32..100_000,
        ) {
            let mut account = Account::default();
            let mut counted = 0u64;
            account.note(f64::from(start), None);
            let mut value = u64::from(start);
            for run in runs {
                // It is seen at work before it is past what it read last.
                for step in [1, 2].into_iter().chain(run) {
                    value += u64::from(step);
                    counted += u64::from(step);
                    account.note(value as f64, None);
                }
                // A reset: what it reads at first is not booked, what it counts from then on is.
                value = 0;
                account.note(0.0, None);
            }
            let booked = account.total().unwrap_or(0.0) - f64::from(start);
            prop_assert_eq!(booked, counted as f64);
        }
    }
}
