//! How long to wait before the next attempt to connect. Pure.

use std::time::Duration;

/// The waits between failed attempts: each about twice the one before, spread at random, so that a site's
/// links do not all come back in one instant.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    least: Duration,
    most: Duration,
    failures: u32,
}

impl Backoff {
    /// Waits of a host that runs for years: 1 to 30 s.
    pub(crate) fn patient() -> Self {
        Backoff {
            least: Duration::from_secs(1),
            most: Duration::from_secs(30),
            failures: 0,
        }
    }

    /// Waits while a person looks at a terminal: 0.25 to 1 s.
    pub(crate) fn quick() -> Self {
        Backoff {
            least: Duration::from_millis(250),
            most: Duration::from_secs(1),
            failures: 0,
        }
    }

    /// One more failure: the wait before the next attempt. `chance` is a random number from 0 to 1.
    pub(crate) fn failed(&mut self, chance: f64) -> Duration {
        self.failures = self.failures.saturating_add(1);
        let doubled = 2u32.saturating_pow(self.failures.min(16));
        let most = self.least.saturating_mul(doubled).min(self.most);
        let least = (most / 2).max(self.least);
        least + (most - least).mul_f64(chance.clamp(0.0, 1.0))
    }

    /// How many attempts failed in a row.
    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }

    /// It works again.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_from_one_to_thirty_seconds_and_spread() {
        let mut backoff = Backoff::patient();
        let bounds = [(1, 2), (2, 4), (4, 8), (8, 16), (15, 30), (15, 30), (15, 30)];
        for (failures, (least, most)) in bounds.into_iter().enumerate() {
            let mut low = backoff.clone();
            assert_eq!(low.failed(0.0), Duration::from_secs(least), "after {failures}");
            assert_eq!(backoff.failed(1.0), Duration::from_secs(most), "after {failures}");
        }
        assert_eq!(backoff.failures(), 7);
        backoff.reset();
        assert_eq!(backoff.failed(0.5), Duration::from_millis(1500));
    }

    #[test]
    fn no_number_of_failures_overflows() {
        let mut backoff = Backoff::quick();
        for _ in 0..100_000 {
            assert!(backoff.failed(1.0) <= Duration::from_secs(1));
        }
    }
}
