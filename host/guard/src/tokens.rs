//! Two steps for what is risky: preparing gives a token for exactly one write, which is good once and for seconds.
//!
//! Time is the monotonic clock's, and passed in; randomness is passed in, too.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::refusal::{Cause, Refusal};

/// How long a token is good.
pub const GOOD_FOR: Duration = Duration::from_secs(30);
/// Tokens that are remembered; the oldest gives way.
const MOST: usize = 64;

/// What a token was given for. All of it must be the same when it is used.
#[derive(Clone, Debug, PartialEq)]
pub struct Prepared {
    /// The entity.
    pub entity: String,
    /// Who asked.
    pub who: String,
    /// The words, as they were shown.
    pub words: Vec<u16>,
    /// The serial number and firmware of the device that was looked at.
    pub device: String,
    /// For how long a leased value is held, in milliseconds.
    pub hold_ms: Option<u64>,
}

/// Tokens that are waited for.
#[derive(Debug, Default)]
pub struct Tokens(VecDeque<(String, Prepared, Instant)>);

impl Tokens {
    /// Gives a token. `secret` must be new and hard to guess.
    pub fn prepare(&mut self, prepared: Prepared, secret: String, now: Instant) -> String {
        self.0.retain(|(_, _, until)| now < *until);
        if self.0.len() == MOST {
            self.0.pop_front();
        }
        self.0.push_back((secret.clone(), prepared, now + GOOD_FOR));
        secret
    }

    /// Takes a token back, whatever becomes of it.
    ///
    /// # Errors
    /// [`Cause::Token`]: it is not known (any more), or was given for something else.
    pub fn redeem(&mut self, token: &str, wanted: &Prepared, now: Instant) -> Result<(), Refusal> {
        let again = "Prepare the write once more, look at it, and confirm within 30 seconds.";
        let refuse = |why: &str| Err(Refusal::new(Cause::Token, why, again));
        let Some(place) = self.0.iter().position(|(known, ..)| known == token) else {
            return refuse("this confirmation is not known: it was used already, or has run out");
        };
        let Some((_, prepared, until)) = self.0.remove(place) else {
            return refuse("this confirmation is not known");
        };
        if now >= until {
            return refuse("this confirmation has run out");
        }
        if prepared.who != wanted.who {
            return refuse("this confirmation was given to somebody else");
        }
        if prepared.device != wanted.device {
            return refuse("the device is not the one any more that was looked at");
        }
        if prepared != *wanted {
            return refuse("this confirmation was given for another write");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(value: u16) -> Prepared {
        Prepared {
            entity: "gx_hub4_u100.overrides_setpoint".into(),
            who: "uid 1000".into(),
            words: vec![0, value],
            device: "C0FF v3.65".into(),
            hold_ms: Some(600_000),
        }
    }

    #[test]
    fn w5_a_token_is_good_once_for_seconds_and_for_exactly_its_write() {
        let now = Instant::now();
        let mut tokens = Tokens::default();
        let given = |tokens: &mut Tokens| tokens.prepare(write(5), "secret".into(), now);
        let redeem = |tokens: &mut Tokens, token: &str, wanted: &Prepared, now| {
            tokens
                .redeem(token, wanted, now)
                .map_err(|refusal| refusal.reason)
        };
        let token = given(&mut tokens);
        assert_eq!(redeem(&mut tokens, &token, &write(5), now), Ok(()));
        assert!(
            redeem(&mut tokens, &token, &write(5), now)
                .unwrap_err()
                .contains("used already")
        );
        for (wanted, later, why) in [
            (write(6), Duration::ZERO, "another write"),
            (
                Prepared {
                    who: "uid 7".into(),
                    ..write(5)
                },
                Duration::ZERO,
                "somebody else",
            ),
            (
                Prepared {
                    device: "C0FE v3.65".into(),
                    ..write(5)
                },
                Duration::ZERO,
                "not the one any more",
            ),
            (
                Prepared {
                    hold_ms: None,
                    ..write(5)
                },
                Duration::ZERO,
                "another write",
            ),
            (write(5), GOOD_FOR, "run out"),
        ] {
            let token = given(&mut tokens);
            assert!(
                redeem(&mut tokens, &token, &wanted, now + later)
                    .unwrap_err()
                    .contains(why),
                "{why}"
            );
            // Whatever was wrong with it, it is used up.
            assert!(redeem(&mut tokens, &token, &write(5), now).is_err());
        }
        assert!(redeem(&mut tokens, "guessed", &write(5), now).is_err());
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let now = Instant::now();
        let mut tokens = Tokens::default();
        for n in 0..1000 {
            tokens.prepare(write(n), format!("{n}"), now);
        }
        assert_eq!(tokens.0.len(), MOST);
        assert!(tokens.redeem("999", &write(999), now).is_ok());
        assert!(tokens.redeem("0", &write(0), now).is_err());
    }
}
