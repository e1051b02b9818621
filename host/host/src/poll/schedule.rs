//! When to poll, as arithmetic: slots, rates, and no catching up. Time is passed in.

use std::time::Duration;

use busbar_ledger::model::Rate;

/// Due polls are gathered in slots this long: timers and wake-ups, not Modbus, are the price of a fleet.
pub const SLOT: Duration = Duration::from_millis(50);
/// A `normal` point is read each sixth poll.
const NORMAL_EVERY: u64 = 6;
/// A `slow` point is read each sixtieth poll.
const SLOW_EVERY: u64 = 60;

/// The polls of one connection, counted from a moment that all connections share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    interval: Duration,
    phase: Duration,
}

/// One poll to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tick {
    /// Its number, from 0.
    pub number: u64,
    /// When, since the shared moment.
    pub at: Duration,
}

impl Schedule {
    /// Polls each `interval`, `spread` telling this connection from others so that not all begin in one slot.
    pub fn new(interval: Duration, spread: u64) -> Self {
        let interval = interval.max(SLOT);
        let slots = (interval.as_millis() / SLOT.as_millis()).max(1);
        let slot = u128::from(spread) % slots;
        let phase = SLOT * u32::try_from(slot).unwrap_or(0);
        Schedule { interval, phase }
    }

    /// The interval.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// When poll `number` is due: exact over the years, but snapped to a slot.
    pub fn at(&self, number: u64) -> Duration {
        let exact = self.phase.as_millis() + self.interval.as_millis() * u128::from(number);
        let slot = SLOT.as_millis();
        Duration::from_millis(u64::try_from(exact / slot * slot).unwrap_or(u64::MAX))
    }

    /// The first poll that is due after `now`. Polls that were missed meanwhile are not made up for.
    pub fn next(&self, now: Duration) -> Tick {
        let passed = now.saturating_sub(self.phase).as_millis() / self.interval.as_millis();
        let mut number = u64::try_from(passed).unwrap_or(u64::MAX - 2);
        while self.at(number) <= now {
            number += 1;
        }
        Tick {
            number,
            at: self.at(number),
        }
    }
}

/// Which rates are due in the `nth` poll since the connection was (re)established.
pub fn due(nth: u64) -> Due {
    Due {
        normal: nth.is_multiple_of(NORMAL_EVERY),
        slow: nth.is_multiple_of(SLOW_EVERY),
        once: nth == 0,
    }
}

/// The rates that a poll reads; `fast` always is among them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Due {
    normal: bool,
    slow: bool,
    once: bool,
}

impl Due {
    /// Everything.
    pub const ALL: Due = Due {
        normal: true,
        slow: true,
        once: true,
    };

    /// What either of them reads.
    pub fn and(self, other: Due) -> Due {
        Due {
            normal: self.normal || other.normal,
            slow: self.slow || other.slow,
            once: self.once || other.once,
        }
    }

    /// Whether points of this rate are read.
    pub fn includes(self, rate: Rate) -> bool {
        match rate {
            Rate::Fast => true,
            Rate::Normal => self.normal,
            Rate::Slow => self.slow,
            Rate::Once => self.once,
        }
    }
}

/// How long a reading of this rate stays good: three of its own intervals.
pub fn patience(rate: Rate, interval: Duration) -> Duration {
    let every = match rate {
        Rate::Fast => 1,
        Rate::Normal => NORMAL_EVERY,
        Rate::Slow | Rate::Once => SLOW_EVERY,
    };
    interval
        .saturating_mul(u32::try_from(every).unwrap_or(1))
        .saturating_mul(3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_late_poll_is_not_made_up_for() {
        let schedule = Schedule::new(Duration::from_secs(5), 0);
        let next = schedule.next(Duration::from_secs(307));
        assert_eq!(
            next,
            Tick {
                number: 62,
                at: Duration::from_secs(310)
            }
        );
    }

    #[test]
    fn an_odd_interval_keeps_its_average() {
        let schedule = Schedule::new(Duration::from_millis(1234), 0);
        assert_eq!(schedule.at(1_000_000), Duration::from_millis(1_234_000_000));
    }

    #[test]
    fn the_first_poll_reads_everything_and_the_sixth_the_normal_ones() {
        assert_eq!(due(0), Due::ALL);
        assert!(!due(1).includes(Rate::Normal) && due(1).includes(Rate::Fast));
        assert!(due(6).includes(Rate::Normal) && !due(6).includes(Rate::Slow));
        assert!(due(60).includes(Rate::Slow) && !due(60).includes(Rate::Once));
    }

    proptest! {
        #[test]
        fn the_next_poll_lies_ahead_within_an_interval_and_a_slot(
            interval in 50u64..3_600_000, spread: u64, now in 0u64..10_000_000_000,
        ) {
            let schedule = Schedule::new(Duration::from_millis(interval), spread);
            let now = Duration::from_millis(now).max(schedule.at(0));
            let next = schedule.next(now);
            prop_assert!(next.at > now);
            prop_assert!(next.at <= now + schedule.interval() + SLOT);
            prop_assert_eq!(next.at.as_millis() % SLOT.as_millis(), 0);
        }
    }
}
