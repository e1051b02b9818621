//! Energy from power: what a device does not count, added up from reading to reading. Pure; time is passed in.

use std::time::Duration;

use crate::account::rounded;
use crate::model::Part;

/// Watts times seconds of a kilowatt-hour.
const WATT_SECONDS: f64 = 3_600_000.0;

/// An energy that is added up. It never falls.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Integral {
    /// In kWh.
    total: f64,
    last: Option<(Duration, f64)>,
    left_out: Duration,
}

impl Integral {
    /// One as it was kept: its total in kWh, and for how long nothing could be added up. What was between then and the next
    /// reading is left out.
    pub fn resume(total: f64, left_out: Duration) -> Self {
        Integral {
            total,
            last: None,
            left_out,
        }
    }

    /// What was added up, in kWh, without the digits that only come of adding.
    pub fn total(&self) -> f64 {
        rounded(self.total)
    }

    /// The same to the last digit, for keeping.
    pub fn exact(&self) -> f64 {
        self.total
    }

    /// For how long nothing could be added up.
    pub fn left_out(&self) -> Duration {
        self.left_out
    }

    /// Notes that nothing could be added up for so long.
    pub fn leave_out(&mut self, gap: Duration) {
        self.left_out = self.left_out.saturating_add(gap);
    }

    /// Adds what lies between the reading before and this one: a power in watts at a time of a clock that only runs
    /// forwards. In between it is taken to have changed evenly; where more than `limit` lies between the two, nothing is
    /// known of it, and it is left out.
    pub fn note(&mut self, part: Part, at: Duration, watts: f64, limit: Duration) {
        if !watts.is_finite() {
            return;
        }
        let Some((before, from)) = self.last else {
            self.last = Some((at, watts));
            return;
        };
        if at <= before {
            return;
        }
        self.last = Some((at, watts));
        let gap = at - before;
        if gap > limit {
            self.leave_out(gap);
            return;
        }
        let sign = match part {
            Part::Positive => 1.0,
            Part::Negative => -1.0,
        };
        let added = above_zero(sign * from, sign * watts) * gap.as_secs_f64() / WATT_SECONDS;
        if added.is_finite() {
            self.total += added;
        }
    }
}

/// The mean, over a stretch on which a value runs evenly from one to another, of how far it is above 0.
fn above_zero(from: f64, to: f64) -> f64 {
    match (from > 0.0, to > 0.0) {
        (true, true) => from / 2.0 + to / 2.0,
        (false, false) => 0.0,
        // A triangle: as high as the end that is above 0, as long as its part of the stretch.
        (true, false) => from / 2.0 * (from / (from - to)),
        (false, true) => to / 2.0 * (to / (to - from)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NO_LIMIT: Duration = Duration::MAX;

    fn energy(part: Part, readings: &[(u64, f64)], limit: Duration) -> Integral {
        let mut integral = Integral::default();
        for (ms, watts) in readings {
            integral.note(part, Duration::from_millis(*ms), *watts, limit);
        }
        integral
    }

    #[test]
    fn a_steady_kilowatt_for_an_hour_is_a_kilowatt_hour() {
        let hour: Vec<(u64, f64)> = (0..=720).map(|n| (n * 5000, 1000.0)).collect();
        assert_eq!(energy(Part::Positive, &hour, NO_LIMIT).total(), 1.0);
        assert_eq!(energy(Part::Negative, &hour, NO_LIMIT).total(), 0.0);
    }

    #[test]
    fn what_changes_sides_is_split_where_it_is_0() {
        // From 3 kW delivered to 1 kW drawn within an hour: 45 minutes are above 0, 15 below.
        let swing = [(0, 3000.0), (3_600_000, -1000.0)];
        assert_eq!(energy(Part::Positive, &swing, NO_LIMIT).total(), 1.125);
        assert_eq!(energy(Part::Negative, &swing, NO_LIMIT).total(), 0.125);
    }

    #[test]
    fn a_long_gap_is_left_out_and_told() {
        let readings = [(0, 1000.0), (30_000, 1000.0), (61_000, 1000.0), (91_000, 1000.0)];
        let integral = energy(Part::Positive, &readings, Duration::from_secs(30));
        assert_eq!(integral.left_out(), Duration::from_secs(31));
        assert_eq!(integral.total(), rounded(60.0 / 3600.0));
    }

    #[test]
    fn a_clock_that_stands_still_or_a_value_that_is_none_adds_nothing() {
        let readings = [
            (1000, 5.0),
            (1000, 1e9),
            (500, 1e9),
            (900, f64::NAN),
            (1001, f64::INFINITY),
        ];
        assert_eq!(energy(Part::Positive, &readings, NO_LIMIT).exact(), 0.0);
    }

    /// A power that runs evenly from corner to corner: milliseconds since the one before, and watts.
    fn corners() -> impl Strategy<Value = Vec<(u64, f64)>> {
        proptest::collection::vec((1u64..100_000, -2.0e4f64..2.0e4), 2..60).prop_map(|steps| {
            let mut at = 0;
            let each = steps.into_iter().map(|(step, watts)| {
                at += step;
                (at, watts)
            });
            each.collect()
        })
    }

    /// What the power is at a time between two corners.
    fn between(a: (u64, f64), b: (u64, f64), at: u64) -> f64 {
        a.1 + (b.1 - a.1) * (at - a.0) as f64 / (b.0 - a.0) as f64
    }

    proptest! {
        #[test]
        fn both_ways_together_are_the_exact_integral(corners in corners()) {
            let exact: f64 = corners.windows(2)
                .map(|pair| (pair[0].1 + pair[1].1) / 2.0 * (pair[1].0 - pair[0].0) as f64 / 3.6e9)
                .sum();
            let net = energy(Part::Positive, &corners, NO_LIMIT).exact() - energy(Part::Negative, &corners, NO_LIMIT).exact();
            prop_assert!((net - exact).abs() < 1e-9, "{net} {exact}");
        }

        #[test]
        fn one_more_reading_in_between_changes_nothing(corners in corners(), part: bool, places in proptest::collection::vec(0.0f64..1.0, 60)) {
            let part = if part { Part::Positive } else { Part::Negative };
            let mut finer = vec![corners[0]];
            for (pair, place) in corners.windows(2).zip(places) {
                let at = pair[0].0 + ((pair[1].0 - pair[0].0) as f64 * place) as u64;
                finer.push((at, between(pair[0], pair[1], at)));
                finer.push(pair[1]);
            }
            let (coarse, fine) = (energy(part, &corners, NO_LIMIT).exact(), energy(part, &finer, NO_LIMIT).exact());
            prop_assert!((coarse - fine).abs() < 1e-9, "{coarse} {fine}");
        }

        #[test]
        fn it_never_falls_whatever_comes(readings in proptest::collection::vec((any::<u32>(), any::<f64>()), 1..100), limit in 0u64..1_000_000) {
            let mut integral = Integral::default();
            let mut highest = 0.0;
            for (ms, watts) in readings {
                integral.note(Part::Positive, Duration::from_millis(ms.into()), watts, Duration::from_millis(limit));
                prop_assert!(integral.total() >= highest);
                highest = integral.total();
            }
        }
    }
}
