//! Pauses that a device needs, learned from what becomes of requests: one after connecting (some devices are deaf until
//! they have settled), and one between an answer and the next request (some forget what comes too soon). Pure.

use std::time::Duration;

use tokio::time::Instant;

use crate::options::Learned;

/// The pauses that are tried between requests, one after the other.
const STEPS: [Duration; 7] = [
    Duration::ZERO,
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
];
/// Requests after which a step is judged.
const SAMPLE: u32 = 24;
/// A step is too short where one request in so many is lost.
const LOST: u32 = 6;
/// And long enough where not more than one in so many is.
const KEPT: u32 = 24;
/// So many requests must go well until a shorter pause is tried; each time that fails, eight times as many.
const CONTENT: u32 = 2048;
/// How long loss that no pause mends is left alone, in requests.
const RESIGNED: u32 = 4096;
/// The longest pause after connecting that is learned.
const LONGEST_SETTLE: Duration = Duration::from_secs(5);
/// The pause after connecting is learned in such steps.
const SETTLE_STEP: Duration = Duration::from_millis(100);

/// What is learned about the pauses of one endpoint.
#[derive(Clone, Debug)]
pub(crate) struct Pauses {
    step: usize,
    sent: u32,
    lost: u32,
    /// What part of the requests was lost, in thousandths, at the step that made pauses look needed.
    before: Option<u32>,
    /// Requests that are not judged.
    rest: u32,
    /// Requests that went well since the step was found.
    well: u32,
    content: u32,

    settle: Duration,
    connected: Option<Instant>,
    /// Whether the first request of this connection was lost.
    deaf: bool,
    /// What the last connection would have needed.
    needed: Option<Duration>,
}

impl Pauses {
    /// To begin with what was learned before.
    pub(crate) fn new(learned: Learned) -> Self {
        let Learned { spacing, settle } = learned;
        let step = STEPS.iter().position(|step| *step >= spacing);
        Pauses {
            step: step.unwrap_or(STEPS.len() - 1),
            sent: 0,
            lost: 0,
            before: None,
            rest: 0,
            well: 0,
            content: CONTENT,
            settle: settle.min(LONGEST_SETTLE),
            connected: None,
            deaf: false,
            needed: None,
        }
    }

    /// The pause between an answer and the next request.
    pub(crate) fn spacing(&self) -> Duration {
        STEPS.get(self.step).copied().unwrap_or_default()
    }

    /// The pause between connecting and the first request.
    pub(crate) fn settle(&self) -> Duration {
        self.settle
    }

    /// A connection was made.
    pub(crate) fn connected(&mut self, now: Instant) {
        self.connected = Some(now);
        self.deaf = false;
    }

    /// Whether a connection was made and has not brought an answer yet.
    pub(crate) fn is_fresh(&self) -> bool {
        self.connected.is_some()
    }

    /// A request that had the wire for itself, sent at `sent`, was answered.
    pub(crate) fn answered(&mut self, sent: Instant) {
        if let Some(connected) = self.connected.take() {
            self.settled(sent.duration_since(connected));
        }
        self.judge(false);
    }

    /// A request that had the wire for itself was not answered, or put off.
    pub(crate) fn lost(&mut self) {
        if self.connected.is_some() {
            // That is what the pause after connecting is for.
            self.deaf = true;
            return;
        }
        self.judge(true);
    }

    /// The first answer of a connection came to a request sent so long after connecting. Twice in a row the first
    /// requests must have been lost.
    fn settled(&mut self, after: Duration) {
        if !self.deaf {
            self.needed = None;
            return;
        }
        let steps = after.as_millis().div_ceil(SETTLE_STEP.as_millis());
        let needed = SETTLE_STEP.saturating_mul(u32::try_from(steps).unwrap_or(u32::MAX));
        if let Some(before) = self.needed.replace(needed) {
            self.settle = before.min(needed).max(self.settle).min(LONGEST_SETTLE);
        }
    }

    fn judge(&mut self, lost: bool) {
        if self.rest > 0 {
            self.rest -= 1;
            return;
        }
        self.sent += 1;
        self.lost += u32::from(lost);
        if self.sent < SAMPLE {
            return;
        }
        let (sent, lost) = (std::mem::take(&mut self.sent), std::mem::take(&mut self.lost));
        if lost * LOST >= sent {
            self.longer(lost * 1000 / sent);
        } else if lost * KEPT <= sent {
            self.before = None;
            self.well = self.well.saturating_add(sent);
            if self.step > 0 && self.well >= self.content {
                self.well = 0;
                self.content = self.content.saturating_mul(8);
                self.step -= 1;
            }
        }
    }

    /// Too much is lost: a longer pause, unless the longest has not helped either.
    fn longer(&mut self, thousandths: u32) {
        self.well = 0;
        let before = *self.before.get_or_insert(thousandths);
        if self.step + 1 < STEPS.len() {
            self.step += 1;
            return;
        }
        if thousandths * 2 > before {
            // It is not the pace: the wire loses this much at any.
            self.step = 0;
            self.rest = RESIGNED;
        }
        self.before = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn learned(spacing: Duration, settle: Duration) -> Learned {
        Learned { spacing, settle }
    }

    /// Asks a device that loses what comes sooner than `needs` after its last answer.
    fn ask(pauses: &mut Pauses, needs: Duration, times: usize) -> usize {
        let now = Instant::now();
        let lost = |pauses: &mut Pauses| {
            let lost = pauses.spacing() < needs;
            if lost {
                pauses.lost();
            } else {
                pauses.answered(now);
            }
            lost
        };
        (0..times).filter(|_| lost(pauses)).count()
    }

    #[test]
    fn a_device_that_needs_a_pause_gets_the_shortest_that_does() {
        let mut pauses = Pauses::new(Learned::default());
        ask(&mut pauses, ms(40), 200);
        assert_eq!(pauses.spacing(), ms(50));
        // It is found again quickly after a shorter one was tried, and that is tried ever more rarely.
        let lost = ask(&mut pauses, ms(40), 100_000);
        assert!(lost < 400, "{lost}");
    }

    #[test]
    fn a_device_that_needs_none_gets_none() {
        let mut pauses = Pauses::new(Learned::default());
        assert_eq!(ask(&mut pauses, Duration::ZERO, 10_000), 0);
        assert_eq!(pauses.spacing(), Duration::ZERO);
        // What was learned before and is not needed any more goes again.
        let mut pauses = Pauses::new(learned(ms(10), Duration::ZERO));
        ask(&mut pauses, Duration::ZERO, 10_000);
        assert_eq!(pauses.spacing(), Duration::ZERO);
    }

    #[test]
    fn loss_that_no_pause_mends_is_not_answered_with_pauses() {
        let mut pauses = Pauses::new(Learned::default());
        let now = Instant::now();
        let mut paused = 0;
        for n in 0..20_000 {
            if n % 3 == 0 {
                pauses.lost();
            } else {
                pauses.answered(now);
            }
            paused += usize::from(!pauses.spacing().is_zero());
        }
        assert!(paused < 1_500, "{paused}");
    }

    #[test]
    fn a_device_that_is_deaf_at_first_is_waited_for() {
        let mut pauses = Pauses::new(Learned::default());
        let start = Instant::now();
        for connection in 1..=3u64 {
            pauses.connected(start);
            if connection < 3 {
                pauses.lost();
                pauses.answered(start + ms(930));
            } else {
                pauses.answered(start + pauses.settle());
            }
        }
        assert_eq!(pauses.settle(), ms(1000));
        assert_eq!(pauses.spacing(), Duration::ZERO, "that was no matter of pace");
    }

    #[test]
    fn one_lost_packet_is_no_deafness() {
        let mut pauses = Pauses::new(Learned::default());
        let start = Instant::now();
        for connection in 0..10 {
            pauses.connected(start);
            if connection % 2 == 0 {
                pauses.lost();
            }
            pauses.answered(start + ms(500));
        }
        assert_eq!(pauses.settle(), Duration::ZERO);
    }

    #[test]
    fn what_is_told_from_outside_is_kept_in_bounds() {
        let pauses = Pauses::new(learned(Duration::from_secs(60), Duration::from_secs(60)));
        assert_eq!((pauses.spacing(), pauses.settle()), (ms(500), LONGEST_SETTLE));
    }
}
