//! How one device has answered of late, and what that means for the next polls. Pure.

use busbar_ledger::span::Span;

/// Polls without any answer after which a device counts as offline.
const MISSED_UNTIL_OFFLINE: u32 = 2;
/// The longest that a device which refuses everything is left alone, in polls.
const LONGEST_REST: u32 = 60;
/// How long a device that was learned again is not learned once more, in polls; it doubles.
const LEARN_PAUSE: u32 = 12;
/// The longest of these pauses.
const LONGEST_LEARN_PAUSE: u32 = 720;
/// Once the pause is longer than this, a device was set up anew too often to be learned at once.
const MANY_PAUSES: u32 = 2 * LEARN_PAUSE;

/// One device at its unit.
#[derive(Debug, Default)]
pub struct Member {
    missed: u32,
    away: Option<Away>,
    relearn: bool,
    /// It says of itself that it is set up otherwise than it was.
    changed: bool,
    /// Polls until it may be learned again, and the pause behind that.
    learn: (u32, u32),
    /// The same for one that is set up anew.
    again: (u32, u32),
}

/// A device that refuses all that it used to answer: its service has left, or what was behind the gateway has.
/// Every refusal is an entry in somebody's log, so it is asked for one value only, and ever more rarely.
#[derive(Debug)]
struct Away {
    probe: Span,
    cause: String,
    rest: u32,
    pause: u32,
}

/// What one poll of a device brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Values, and nothing was missing.
    All,
    /// Some values; others were refused, or went without an answer.
    Part {
        /// Whether registers were refused that it once answered.
        refused: bool,
    },
    /// Nothing but refusals.
    Refused {
        /// What they said.
        cause: String,
    },
    /// Another device, in its place.
    Stranger {
        /// Which.
        cause: String,
    },
    /// Nothing.
    Nothing {
        /// Why.
        cause: String,
    },
}

impl Member {
    /// Notes what a poll brought; `probe` is a register that it used to answer.
    pub fn note(&mut self, heard: &Heard, probe: Option<Span>) {
        self.learn.0 = self.learn.0.saturating_sub(1);
        self.again.0 = self.again.0.saturating_sub(1);
        match heard {
            Heard::All => self.missed = 0,
            Heard::Part { refused } => {
                self.missed = 0;
                self.relearn |= refused;
            }
            Heard::Nothing { .. } => self.missed = self.missed.saturating_add(1),
            Heard::Stranger { .. } => self.missed = self.missed.saturating_add(1).max(MISSED_UNTIL_OFFLINE),
            Heard::Refused { cause } => {
                self.missed = self.missed.saturating_add(1);
                if let (None, Some(probe)) = (&self.away, probe) {
                    let cause = cause.clone();
                    self.away = Some(Away {
                        probe,
                        cause,
                        rest: 1,
                        pause: 1,
                    });
                }
            }
        }
    }

    /// Whether it did not answer for so long that it counts as offline.
    pub fn is_offline(&self) -> bool {
        self.missed >= MISSED_UNTIL_OFFLINE
    }

    /// Whether it refuses everything, and why.
    pub fn away(&self) -> Option<&str> {
        self.away.as_ref().map(|away| away.cause.as_str())
    }

    /// What to ask a device that is away in this poll, when it is time.
    pub fn probe(&mut self) -> Option<Span> {
        let away = self.away.as_mut()?;
        if away.rest > 0 {
            away.rest -= 1;
            return None;
        }
        away.pause = away.pause.saturating_mul(2).min(LONGEST_REST);
        away.rest = away.pause;
        Some(away.probe)
    }

    /// It answers again.
    pub fn is_back(&mut self) {
        self.away = None;
    }

    /// What it says does not go with what is known of it.
    pub fn contradicts(&mut self) {
        self.relearn = true;
    }

    /// It was set up anew.
    pub fn changed(&mut self) {
        self.changed = true;
    }

    /// Whether it should be learned again now: it was set up anew, or something does not fit what is known of it and it
    /// was not learned a moment ago. One that is set up anew again and again waits, too. Asking counts.
    pub fn take_relearn(&mut self) -> bool {
        let (wait, pause) = self.again;
        if self.changed && (wait == 0 || pause <= MANY_PAUSES) {
            self.changed = false;
            self.again = longer(pause);
            return true;
        }
        let (wait, pause) = self.learn;
        if !self.relearn || wait > 0 {
            return false;
        }
        self.relearn = false;
        self.learn = longer(pause);
        true
    }
}

/// Twice the pause, to wait for and to remember.
fn longer(pause: u32) -> (u32, u32) {
    let pause = pause.saturating_mul(2).clamp(LEARN_PAUSE, LONGEST_LEARN_PAUSE);
    (pause, pause)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe() -> Option<Span> {
        Some(Span::holding(3000, 1))
    }

    fn refused() -> Heard {
        Heard::Refused {
            cause: "exception 10".to_owned(),
        }
    }

    #[test]
    fn a_device_that_refuses_everything_is_asked_ever_more_rarely() {
        let mut member = Member::default();
        member.note(&refused(), probe());
        let probes: Vec<usize> = (0..400).filter(|_| member.probe().is_some()).collect();
        assert!(probes.len() < 14, "{probes:?}");
        assert!(
            probes.windows(2).all(|pair| pair[1] - pair[0] <= 61),
            "{probes:?}"
        );
        member.is_back();
        assert_eq!(member.away(), None);
    }

    #[test]
    fn two_polls_without_an_answer_are_offline_and_one_value_is_online() {
        let mut member = Member::default();
        let nothing = Heard::Nothing { cause: String::new() };
        member.note(&nothing, None);
        assert!(!member.is_offline());
        member.note(&nothing, None);
        assert!(member.is_offline());
        member.note(&Heard::Part { refused: false }, None);
        assert!(!member.is_offline());
    }

    #[test]
    fn a_device_is_not_learned_again_and_again() {
        let mut member = Member::default();
        let part = Heard::Part { refused: true };
        let times = (0..1000).filter(|_| {
            member.note(&part, None);
            member.take_relearn()
        });
        assert!(times.count() < 9);
    }

    #[test]
    fn a_device_that_is_set_up_anew_without_end_is_not_learned_without_end() {
        let mut member = Member::default();
        let mut polled = |changes: bool| {
            member.note(&Heard::All, None);
            if changes {
                member.changed();
            }
            member.take_relearn()
        };
        // An owner who tries two settings sees both at once.
        assert!(polled(true) && polled(true));
        assert!((0..1000).filter(|_| polled(true)).count() < 9);
        assert!((0..2 * LONGEST_LEARN_PAUSE).filter(|_| polled(false)).count() < 2);
        assert!(polled(true));
    }
}
