//! How long to wait before the next attempt to connect. Pure.

use std::time::Duration;

/// The shortest and the longest wait.
const BOUNDS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// The waits between failed attempts: each about twice the one before, 1 to 60 s, spread at random, so that a site's
/// hosts do not all come back to their broker in one instant.
#[derive(Clone, Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// One more failure: the wait before the next attempt. `chance` is a random number from 0 to 1.
    pub(super) fn failed(&mut self, chance: f64) -> Duration {
        let (shortest, longest) = BOUNDS;
        self.failures = self.failures.saturating_add(1);
        let most = shortest
            .saturating_mul(2u32.saturating_pow(self.failures.min(16)))
            .min(longest);
        let least = (most / 2).max(shortest);
        least + (most - least).mul_f64(chance.clamp(0.0, 1.0))
    }

    /// It works again.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_from_one_second_to_a_minute_and_spread() {
        let mut backoff = Backoff::default();
        for (least, most) in [(1, 2), (2, 4), (4, 8), (8, 16), (16, 32), (30, 60), (30, 60)] {
            assert_eq!(backoff.clone().failed(0.0), Duration::from_secs(least));
            assert_eq!(backoff.failed(1.0), Duration::from_secs(most));
        }
        for _ in 0..100_000 {
            assert!(backoff.failed(1.0) <= BOUNDS.1);
        }
        backoff.reset();
        assert_eq!(backoff.failed(0.5), Duration::from_millis(1500));
    }
}
