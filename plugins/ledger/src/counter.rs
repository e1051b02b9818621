//! Counters that run upwards, and what it means when one does not: a device that reboots says 0 for a moment, a
//! meter is reset or exchanged, a register is full and begins again.

/// What is known of one counter, from reading to reading. Values are in the point's unit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counter {
    last: Option<f64>,
    low: Option<Low>,
}

/// Readings below the last one that was believed.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Low {
    first: f64,
    now: f64,
    readings: u32,
}

/// What one reading means.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step {
    /// The first one: nothing can be said of what was before.
    Begins,
    /// It ran on by so much, which may be nothing.
    Runs {
        /// How much was counted.
        by: f64,
    },
    /// It is lower than it was, and that may be a moment's error: not to be believed yet.
    Doubtful,
    /// It began anew, and has counted so much since that was first seen. What it counted unseen is not known.
    Reset {
        /// How much was counted.
        by: f64,
    },
    /// Its register was full and began again at 0; it has counted exactly so much meanwhile.
    Wrapped {
        /// How much was counted.
        by: f64,
    },
}

/// A dip of less than this part is a device's rounding, and no reset.
const DIP: f64 = 0.01;
/// So many readings in a row that do not rise are believed, too, unless they are 0: a meter that was exchanged may stand
/// still, but 0 is also what is read of one that is away.
pub(crate) const STANDS: u32 = 10;
/// A counter that wraps has counted less than this part of its range since the last reading.
const STRIDE: f64 = 0.1;

impl Counter {
    /// One that last read this, as far as is known.
    pub fn at(last: f64) -> Self {
        Counter {
            last: Some(last),
            low: None,
        }
    }

    /// The last reading that was believed.
    pub fn last(&self) -> Option<f64> {
        self.last
    }

    /// Judges a reading. `range` is where the counter's register is full, for one that is known to begin again there.
    pub fn note(&mut self, value: f64, range: Option<f64>) -> Step {
        let Some(last) = self.last else {
            self.last = Some(value);
            return Step::Begins;
        };
        if value >= last {
            self.believe(value);
            return Step::Runs { by: value - last };
        }
        let low = match self.low {
            Some(low) if value >= low.now => Low {
                now: value,
                readings: low.readings.saturating_add(1),
                ..low
            },
            _ => Low {
                first: value,
                now: value,
                readings: 1,
            },
        };
        self.low = Some(low);
        let rises = low.now > low.first && last - value > last.abs() * DIP;
        let stands = low.readings >= STANDS && value != 0.0;
        if !rises && !stands {
            return Step::Doubtful;
        }
        self.believe(value);
        match range.map(|range| range - last + value) {
            Some(by) if range.is_some_and(|range| by <= range * STRIDE) => Step::Wrapped { by },
            _ => Step::Reset {
                by: value - low.first,
            },
        }
    }

    /// Whether it reads 0 since it stood higher, and that is not believed.
    pub fn is_doubtful_at_zero(&self) -> bool {
        self.low.is_some_and(|low| low.now == 0.0)
    }

    fn believe(&mut self, value: f64) {
        self.last = Some(value);
        self.low = None;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn steps(range: Option<f64>, values: &[f64]) -> Vec<Step> {
        let mut counter = Counter::default();
        values.iter().map(|value| counter.note(*value, range)).collect()
    }

    /// What is booked over all readings.
    fn booked(steps: &[Step]) -> f64 {
        let each = steps.iter().map(|step| match step {
            Step::Runs { by } | Step::Reset { by } | Step::Wrapped { by } => *by,
            Step::Begins | Step::Doubtful => 0.0,
        });
        each.sum()
    }

    #[test]
    fn fault_29_a_moment_at_zero_books_nothing_twice() {
        let steps = steps(None, &[100.0, 101.0, 0.0, 0.0, 101.5, 102.0]);
        assert_eq!(steps[2..4], [Step::Doubtful, Step::Doubtful]);
        assert_eq!(steps[4], Step::Runs { by: 0.5 });
        assert_eq!(booked(&steps), 2.0);
    }

    #[test]
    fn fault_29_a_reset_is_believed_after_a_second_rising_reading() {
        let steps = steps(None, &[100.0, 0.0, 0.0, 0.2, 0.5]);
        assert_eq!(steps[1..3], [Step::Doubtful, Step::Doubtful]);
        assert_eq!(steps[3], Step::Reset { by: 0.2 });
        assert_eq!(booked(&steps), 0.5);
    }

    #[test]
    fn a_meter_that_was_exchanged_brings_its_past_to_nobody() {
        let steps = steps(None, &[90_000.0, 12_000.0, 12_000.5]);
        assert_eq!(steps[2], Step::Reset { by: 0.5 });
    }

    #[test]
    fn a_meter_that_was_exchanged_and_stands_still_is_believed_in_the_end_but_not_at_zero() {
        let standing = |at: f64| {
            let mut values = vec![100.0];
            values.extend([at; 100]);
            steps(None, &values)
        };
        let exchanged = standing(12.0);
        assert_eq!(exchanged[9], Step::Doubtful);
        assert_eq!(exchanged[10], Step::Reset { by: 0.0 });
        assert!(standing(0.0)[1..].iter().all(|step| *step == Step::Doubtful));
    }

    #[test]
    fn a_dip_of_rounding_is_waited_out() {
        let steps = steps(None, &[100.0, 99.99, 99.995, 99.998, 100.01]);
        assert_eq!(steps[1..4], [Step::Doubtful; 3]);
        assert!((booked(&steps) - 0.01).abs() < 1e-9);
    }

    #[test]
    fn fault_30_a_wrap_is_exact_where_it_is_declared() {
        let declared = steps(Some(65_536.0), &[65_530.0, 4.0, 10.0]);
        assert_eq!(declared[1], Step::Doubtful);
        assert_eq!(declared[2], Step::Wrapped { by: 16.0 });
        let undeclared = steps(None, &[65_530.0, 4.0, 10.0]);
        assert_eq!(undeclared[2], Step::Reset { by: 6.0 });
        // Half way up it is a reset, whatever the register holds.
        let reset = steps(Some(65_536.0), &[30_000.0, 0.0, 1.0]);
        assert_eq!(reset[2], Step::Reset { by: 1.0 });
    }

    proptest! {
        #[test]
        fn a_counter_that_only_runs_books_exactly_what_it_counted(
            steps in proptest::collection::vec(0u32..100_000, 1..200), zeros in proptest::collection::vec(any::<bool>(), 200)
        ) {
            let (mut counter, mut value, mut booked) = (Counter::default(), 1.0e6, 0.0);
            let begin = value;
            for (step, zero) in steps.iter().zip(zeros) {
                value += f64::from(*step);
                // A reboot in between shows 0 once.
                if zero && counter.last.is_some() {
                    prop_assert_eq!(counter.note(0.0, None), Step::Doubtful);
                }
                match counter.note(value, None) {
                    Step::Begins => booked = value - begin,
                    Step::Runs { by } => booked += by,
                    other => prop_assert!(false, "{:?}", other),
                }
            }
            prop_assert_eq!(booked, value - begin);
        }
    }
}
