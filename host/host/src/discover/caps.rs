//! How far a plugin's conversation may go. A plugin sees the device through the host's eyes, and has the host ask what it
//! likes: what it may cost in questions, answers and time is counted here.

use std::collections::HashSet;
use std::time::Duration;

use busbar_plugin_sdk::Probe;
use tokio::time::Instant;

/// Batches that a plugin may ask for in one scan.
const MAX_ROUNDS: usize = 400;
/// Probes in one scan: every service of a GX at every unit, twice.
const MAX_PROBES: usize = 40_000;
/// Registers that a plugin is told in one scan. All of it is handed over at each step.
const MAX_WORDS: usize = 400_000;
/// Batches in a row that hold nothing new. An answer may have been lost, so that to ask twice is no fault yet.
const MAX_IDLE: usize = 3;
/// Probes that were asked already.
const MAX_REPEATED: usize = 2_000;
/// How long a conversation may take. A whole GX, asked at every unit, takes a few minutes.
const MAX_TIME: Duration = Duration::from_secs(30 * 60);

/// What one conversation has cost so far.
pub(super) struct Caps {
    began: Instant,
    rounds: usize,
    idle: usize,
    asked: HashSet<Probe>,
    repeated: usize,
    words: usize,
}

impl Caps {
    /// At the beginning of a conversation.
    pub(super) fn new() -> Caps {
        Caps {
            began: Instant::now(),
            rounds: 0,
            idle: 0,
            asked: HashSet::new(),
            repeated: 0,
            words: 0,
        }
    }

    /// Takes a batch into account.
    ///
    /// # Errors
    /// What the plugin does that it may not, as the end of a sentence about its discovery.
    pub(super) fn batch(&mut self, probes: &[Probe]) -> Result<(), String> {
        self.in_time()?;
        self.rounds += 1;
        if self.rounds > MAX_ROUNDS {
            return Err(format!(
                "does not come to an end: it has asked {MAX_ROUNDS} times"
            ));
        }
        if self.asked.len() + self.repeated + probes.len() > MAX_PROBES {
            return Err(format!(
                "asks for more probes than a scan may take ({MAX_PROBES})"
            ));
        }
        let known = self.asked.len();
        self.asked.extend(probes);
        let new = self.asked.len() - known;
        self.repeated += probes.len() - new;
        self.idle = if new == 0 { self.idle + 1 } else { 0 };
        if self.idle > MAX_IDLE || self.repeated > MAX_REPEATED {
            return Err("asks again and again for what it was told already".to_owned());
        }
        Ok(())
    }

    /// Takes an answer of so many registers into account.
    ///
    /// # Errors
    /// As [`Caps::batch`].
    pub(super) fn answer(&mut self, words: usize) -> Result<(), String> {
        self.words += words;
        if self.words > MAX_WORDS {
            return Err(format!("reads more registers than a scan may take ({MAX_WORDS})"));
        }
        self.in_time()
    }

    fn in_time(&self) -> Result<(), String> {
        match self.began.elapsed() > MAX_TIME {
            true => Err(format!("takes more than {} minutes", MAX_TIME.as_secs() / 60)),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(at: u16) -> Probe {
        Probe {
            unit: 1,
            function: 3,
            at,
            count: 1,
        }
    }

    /// How many batches are taken before the cap, and what it says.
    fn until_refused(batch: impl Fn(u16) -> Vec<Probe>) -> (u16, String) {
        let mut caps = Caps::new();
        for round in 0.. {
            if let Err(cause) = caps.batch(&batch(round)) {
                return (round, cause);
            }
        }
        unreachable!("every number was tried");
    }

    #[test]
    fn who_never_ends_is_ended() {
        let (rounds, cause) = until_refused(|round| vec![probe(round)]);
        assert_eq!(rounds, 400);
        assert!(cause.contains("does not come to an end"), "{cause}");
    }

    #[test]
    fn who_asks_the_same_again_is_ended_soon() {
        let (rounds, cause) = until_refused(|_| vec![probe(7), probe(8)]);
        assert_eq!(rounds, 4, "the first batch was new");
        assert!(cause.contains("again and again"), "{cause}");
        // Also where it hides that behind something new each time.
        let hidden = |round| (0..1_000).map(probe).chain([probe(30_000 + round)]).collect();
        let (rounds, cause) = until_refused(hidden);
        assert_eq!(rounds, 3);
        assert!(cause.contains("again and again"), "{cause}");
    }

    #[test]
    fn who_asks_for_too_much_is_ended() {
        let new = |round: u16| {
            (0..16_000)
                .map(|at| Probe {
                    unit: round as u8,
                    ..probe(at)
                })
                .collect()
        };
        let (rounds, cause) = until_refused(new);
        assert_eq!(rounds, 2);
        assert!(
            cause.contains("more probes than a scan may take (40000)"),
            "{cause}"
        );
    }

    #[test]
    fn an_answer_that_was_lost_may_be_asked_for_again() {
        let mut caps = Caps::new();
        for round in 0..100 {
            caps.batch(&[probe(round), probe(round + 1)]).unwrap();
            caps.batch(&[probe(round)]).unwrap();
        }
    }

    #[test]
    fn what_it_is_told_is_counted() {
        let mut caps = Caps::new();
        for _ in 0..3_200 {
            caps.answer(125).unwrap();
        }
        assert!(caps.answer(1).unwrap_err().contains("more registers"));
    }

    #[tokio::test(start_paused = true)]
    async fn so_is_its_time() {
        let mut caps = Caps::new();
        tokio::time::advance(Duration::from_secs(1_800)).await;
        caps.batch(&[probe(0)]).unwrap();
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(caps.answer(1).unwrap_err(), "takes more than 30 minutes");
        assert_eq!(caps.batch(&[probe(1)]).unwrap_err(), "takes more than 30 minutes");
    }
}
