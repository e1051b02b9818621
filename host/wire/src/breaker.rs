//! A circuit breaker for each unit: one that is dead may not delay the others. Pure, time is passed in.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

/// Failures in a row after which a unit rests.
const FAILURES: u8 = 3;
/// The first rest.
const FIRST_REST: Duration = Duration::from_secs(2);
/// The longest rest: with a poll each 5 s a unit is back well within 35 s.
const LONGEST_REST: Duration = Duration::from_secs(20);

/// What a breaker says to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leave {
    /// Go on.
    Granted,
    /// The unit rests: for how long, and for which reason.
    Resting(Duration, &'static str),
}

/// What a failure did to a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tripped {
    /// The unit begins to rest; the first of its rests.
    First,
    /// It rests on, or has a chance left.
    No,
}

#[derive(Clone, Copy, Debug, Default)]
struct Breaker {
    failures: u8,
    rests: u8,
    until: Option<Instant>,
    probing: bool,
    cause: &'static str,
    answered: bool,
}

/// So many times as long as a silent unit held a line, the line is free of such units.
const LINE_SHARE: u32 = 4;

/// The breakers of all units of one link that were ever asked.
#[derive(Debug, Default)]
pub(crate) struct Breakers {
    units: BTreeMap<u8, Breaker>,
    /// On a line that all share: no unit that failed before is asked until then.
    line_free_until: Option<Instant>,
}

impl Breakers {
    /// Asks for leave to send to a unit. After its rest one request goes as a probe, the others wait for it.
    pub(crate) fn ask(&mut self, unit: u8, now: Instant) -> Leave {
        // Where no unit is well, nobody waits for the line.
        let reserved = self.line_free_until.filter(|free| now < *free && self.any_well());
        let breaker = self.units.entry(unit).or_default();
        if let Some(free) = reserved.filter(|_| breaker.failures > 0) {
            let until = breaker.until.unwrap_or(now).max(free);
            return Leave::Resting(until - now, breaker.cause);
        }
        match breaker.until {
            None => Leave::Granted,
            Some(until) if now < until => Leave::Resting(until - now, breaker.cause),
            Some(_) if breaker.probing => Leave::Resting(Duration::ZERO, breaker.cause),
            Some(_) => {
                breaker.probing = true;
                Leave::Granted
            }
        }
    }

    /// The unit gave a valid answer. True when that ends its rest.
    pub(crate) fn answered(&mut self, unit: u8) -> bool {
        let breaker = self.units.entry(unit).or_default();
        let rested = breaker.until.is_some();
        *breaker = Breaker {
            answered: true,
            ..Breaker::default()
        };
        rested
    }

    /// The unit did not answer, or a gateway said so for it.
    pub(crate) fn failed(&mut self, unit: u8, cause: &'static str, now: Instant) -> Tripped {
        let breaker = self.units.entry(unit).or_default();
        breaker.probing = false;
        breaker.cause = cause;
        breaker.failures = breaker.failures.saturating_add(1);
        if breaker.failures < FAILURES {
            return Tripped::No;
        }
        let rest = (FIRST_REST * 2u32.pow(u32::from(breaker.rests.min(8)))).min(LONGEST_REST);
        breaker.until = Some(now + rest);
        breaker.rests = breaker.rests.saturating_add(1);
        if breaker.rests == 1 {
            Tripped::First
        } else {
            Tripped::No
        }
    }

    /// A silent unit held the line for so long, and nobody else could be asked: for a while no such unit is, so that
    /// however many are dead, they take a fifth of the line together.
    pub(crate) fn line_held(&mut self, held: Duration, now: Instant) {
        self.line_free_until = Some(now + held * LINE_SHARE);
    }

    /// A probe came to nothing for another reason than the unit.
    pub(crate) fn undecided(&mut self, unit: u8) {
        if let Some(breaker) = self.units.get_mut(&unit) {
            breaker.probing = false;
        }
    }

    /// The link was down: what a unit did before says little, each gets one probe now.
    pub(crate) fn link_lost(&mut self, now: Instant) {
        for breaker in self.units.values_mut().filter(|breaker| breaker.until.is_some()) {
            breaker.until = Some(now);
            breaker.probing = false;
        }
    }

    /// Whether the unit answered when it was last asked.
    pub(crate) fn is_well(&self, unit: u8) -> bool {
        self.units.get(&unit).is_some_and(Breaker::is_well)
    }

    /// Whether any unit did.
    pub(crate) fn any_well(&self) -> bool {
        self.units.values().any(Breaker::is_well)
    }
}

impl Breaker {
    fn is_well(&self) -> bool {
        self.answered && self.failures == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tripped(now: Instant) -> Breakers {
        let mut breakers = Breakers::default();
        for n in 1..=3 {
            assert_eq!(breakers.ask(9, now), Leave::Granted);
            let tripped = breakers.failed(9, "time-out", now);
            assert_eq!(tripped == Tripped::First, n == 3);
        }
        breakers
    }

    #[test]
    fn a_dead_unit_rests_and_the_others_go_on() {
        let now = Instant::now();
        let mut breakers = tripped(now);
        assert_eq!(breakers.ask(9, now), Leave::Resting(FIRST_REST, "time-out"));
        assert_eq!(breakers.ask(8, now), Leave::Granted);
    }

    #[test]
    fn after_its_rest_one_probe_decides() {
        let now = Instant::now();
        let mut breakers = tripped(now);
        let later = now + FIRST_REST;
        assert_eq!(breakers.ask(9, later), Leave::Granted);
        assert_eq!(breakers.ask(9, later), Leave::Resting(Duration::ZERO, "time-out"));
        assert!(breakers.answered(9));
        assert_eq!(breakers.ask(9, later), Leave::Granted);
        assert_eq!(breakers.ask(9, later), Leave::Granted);
        assert!(!breakers.answered(9), "it did not rest");
    }

    #[test]
    fn rests_grow_to_their_bound() {
        let mut now = Instant::now();
        let mut breakers = tripped(now);
        let mut rests = vec![];
        for _ in 0..300 {
            let Leave::Resting(rest, _) = breakers.ask(9, now) else {
                panic!("it should rest")
            };
            rests.push(rest.as_secs());
            now += rest;
            assert_eq!(breakers.ask(9, now), Leave::Granted);
            assert_eq!(breakers.failed(9, "time-out", now), Tripped::No);
        }
        assert_eq!(rests[..6], [2, 4, 8, 16, 20, 20]);
        assert_eq!(rests[299], 20);
    }

    #[test]
    fn a_lost_link_gives_each_unit_its_probe() {
        let now = Instant::now();
        let mut breakers = tripped(now);
        breakers.link_lost(now);
        assert_eq!(breakers.ask(9, now), Leave::Granted);
        breakers.undecided(9);
        assert_eq!(breakers.ask(9, now), Leave::Granted);
    }
}
