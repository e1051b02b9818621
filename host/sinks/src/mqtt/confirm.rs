//! Writes that ask twice, and wait for the second time: a message on the `confirm` topic stands for the same command with
//! the token that its first answer gave. Whoever sends it, a button, need not know the token. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::client::Received;
use super::commands::{Ignored, Order};
use super::topics::Topics;
use crate::door::Command;

/// Commands that wait to be confirmed.
const MOST: usize = 64;

/// What waits to be confirmed, by device and key.
#[derive(Debug, Default)]
pub struct Unconfirmed {
    waits: BTreeMap<(String, String), (Command, Instant)>,
    /// The newest command of each entity that has one under way.
    newest: BTreeMap<(String, String), u64>,
    count: u64,
}

impl Unconfirmed {
    /// A command came in: what waited before it can no longer be confirmed, whatever becomes of this one. Gives its number,
    /// for [`Unconfirmed::note`].
    pub fn asked(&mut self, command: &Command) -> u64 {
        let entity = (command.device.clone(), command.key.clone());
        self.waits.remove(&entity);
        self.count += 1;
        self.newest.insert(entity, self.count);
        self.count
    }

    /// Notes what a command was answered, unless another one for the same entity came in since: only the last one of an
    /// entity can be confirmed.
    pub fn note(&mut self, number: u64, command: Command, answer: &Value, now: Instant) {
        self.waits.retain(|_, (_, until)| *until > now);
        let entity = (command.device.clone(), command.key.clone());
        if self.newest.get(&entity) != Some(&number) {
            return;
        }
        self.newest.remove(&entity);
        let token = answer.get("token").and_then(Value::as_str);
        let good_for = answer.get("expires_ms").and_then(Value::as_u64);
        match (token, good_for) {
            (Some(token), Some(good_for)) if self.waits.len() < MOST => {
                let command = Command {
                    token: Some(token.to_owned()),
                    ..command
                };
                self.waits
                    .insert(entity, (command, now + Duration::from_millis(good_for)));
            }
            _ => {}
        }
    }

    /// The command that a message on a `confirm` topic confirms. It can be confirmed once.
    ///
    /// # Errors
    /// Why it confirms nothing.
    pub fn confirmed(&mut self, message: &Received, topics: &Topics, now: Instant) -> Result<Order, Ignored> {
        let entity = topics.of_confirm(&message.topic).ok_or(Ignored::Unknown)?;
        if message.payload.is_empty() {
            return Err(Ignored::Empty);
        }
        if message.retain {
            return Err(Ignored::Retained);
        }
        if message.dup {
            return Err(Ignored::Repeated);
        }
        match self.waits.remove(&entity) {
            Some((command, until)) if until > now => Ok(Order {
                command,
                correlation: message.correlation.clone(),
            }),
            _ => Err(Ignored::Nonsense(
                "there is nothing to confirm, or it was asked too long ago: set the value again".to_owned(),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn command() -> Command {
        Command {
            device: "d".to_owned(),
            key: "k".to_owned(),
            value: json!(5),
            dry_run: false,
            token: None,
            hold_ms: None,
            who: "user a on b".to_owned(),
            through: "MQTT",
        }
    }

    fn press(retain: bool) -> Received {
        Received {
            topic: "busbar/d/k/confirm".to_owned(),
            payload: b"PRESS".to_vec(),
            retain,
            dup: false,
            correlation: None,
        }
    }

    #[test]
    fn what_was_asked_is_confirmed_once_and_in_time() {
        let (topics, now) = (Topics::new("busbar"), Instant::now());
        let mut all = Unconfirmed::default();
        let ask = |all: &mut Unconfirmed, command: Command, answer: &Value| {
            let number = all.asked(&command);
            all.note(number, command, answer, now);
        };
        let nothing = |order: Result<Order, Ignored>| matches!(order, Err(Ignored::Nonsense(_)));
        assert!(nothing(all.confirmed(&press(false), &topics, now)));
        let answer = json!({ "outcome": "confirm", "token": "t", "expires_ms": 1000 });
        ask(&mut all, command(), &answer);
        assert_eq!(all.confirmed(&press(true), &topics, now), Err(Ignored::Retained));
        let order = all.confirmed(&press(false), &topics, now).unwrap();
        assert_eq!(order.command.token.as_deref(), Some("t"));
        assert_eq!(order.command.value, json!(5));
        assert!(nothing(all.confirmed(&press(false), &topics, now)));
        ask(&mut all, command(), &answer);
        let late = now + Duration::from_secs(1);
        assert!(nothing(all.confirmed(&press(false), &topics, late)));
    }

    #[test]
    fn another_answer_leaves_nothing_to_confirm_and_there_is_an_end_to_them() {
        let (topics, now) = (Topics::new("busbar"), Instant::now());
        let answer = json!({ "outcome": "confirm", "token": "t", "expires_ms": 1000 });
        let mut all = Unconfirmed::default();
        let mut ask = |command: Command, answer: &Value| {
            let number = all.asked(&command);
            all.note(number, command, answer, now);
        };
        ask(command(), &answer);
        ask(command(), &json!({ "outcome": "refused" }));
        for n in 0..2 * MOST {
            let key = format!("k{n}");
            ask(Command { key, ..command() }, &answer);
        }
        assert!(all.confirmed(&press(false), &topics, now).is_err());
        assert_eq!((all.waits.len(), all.newest.len()), (MOST, 0));
    }

    #[test]
    fn what_was_replaced_is_not_confirmed_while_its_successor_is_under_way() {
        let (topics, now) = (Topics::new("busbar"), Instant::now());
        let answer = json!({ "outcome": "confirm", "token": "t", "expires_ms": 1000 });
        let mut all = Unconfirmed::default();
        let first = all.asked(&command());
        all.note(first, command(), &answer, now);
        let second = all.asked(&command());
        assert!(all.confirmed(&press(false), &topics, now).is_err());
        // Nor where the first is answered only after the second came in.
        let third = all.asked(&command());
        all.note(second, command(), &answer, now);
        assert!(all.confirmed(&press(false), &topics, now).is_err());
        all.note(third, command(), &answer, now);
        assert!(all.confirmed(&press(false), &topics, now).is_ok());
    }
}
