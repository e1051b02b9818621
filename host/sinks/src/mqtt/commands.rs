//! What a message to a `set` topic asks for, or why it is ignored. Pure.
//!
//! A broker may bring a message twice, and keeps retained ones for whoever comes: a command that was meant once must not
//! be carried out again. So a retained message is never a command, and neither is one that came just before.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;

use super::client::Received;
use super::topics::Topics;
use crate::door::Command;

/// The longest command, in bytes.
pub const MAX_BYTES: usize = 4096;
/// The same message on the same topic within this time is the same command.
const SAME_WITHIN: Duration = Duration::from_secs(2);
/// A command that bears a mark of its own (MQTT 5's correlation data) is known by it for so long.
const MARKED_WITHIN: Duration = Duration::from_secs(300);
/// Commands that are remembered.
const REMEMBERED: usize = 256;

/// A command as it is written where more than a value is meant.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    value: Value,
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    dry_run: bool,
    #[serde(default)]
    hold_ms: Option<u64>,
}

/// A command, and where its answer belongs.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// What is asked for.
    pub command: Command,
    /// What ties the answer to it (MQTT 5).
    pub correlation: Option<Vec<u8>>,
}

/// Why a message is no command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ignored {
    /// Its topic is none where something could be set.
    Unknown,
    /// It is empty: how a retained message is removed.
    Empty,
    /// It was kept by the broker, or sent to be kept.
    Retained,
    /// It came before.
    Repeated,
    /// It cannot be understood, for this reason.
    Nonsense(String),
}

impl fmt::Display for Ignored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ignored::Unknown => f.write_str("there is nothing that could be set"),
            Ignored::Empty => f.write_str("it is empty"),
            Ignored::Retained => f.write_str(
                "it is retained, and a command that the broker keeps would be carried out again and again: send it \
                 without the retain flag",
            ),
            Ignored::Repeated => f.write_str("it came before"),
            Ignored::Nonsense(why) => f.write_str(why),
        }
    }
}

/// The commands that came lately.
#[derive(Debug, Default)]
pub struct Lately(VecDeque<Seen>);

#[derive(Debug)]
struct Seen {
    topic: String,
    payload: Vec<u8>,
    correlation: Option<Vec<u8>>,
    at: Instant,
}

impl Lately {
    /// Whether this message came before; from now on it did.
    fn had(&mut self, message: &Received, now: Instant) -> bool {
        self.0.retain(|seen| now.duration_since(seen.at) < MARKED_WITHIN);
        let here = || self.0.iter().filter(|seen| seen.topic == message.topic);
        let marked = here().any(|seen| seen.correlation.is_some() && seen.correlation == message.correlation);
        // A value, another one and the first again are three wishes: only the latest can have come twice.
        let twice = here().next_back().is_some_and(|seen| {
            (seen.correlation.is_none() || message.correlation.is_none())
                && seen.payload == message.payload
                && now.duration_since(seen.at) < SAME_WITHIN
        });
        if marked || twice {
            return true;
        }
        if self.0.len() == REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back(Seen {
            topic: message.topic.clone(),
            payload: message.payload.clone(),
            correlation: message.correlation.clone(),
            at: now,
        });
        false
    }
}

/// What a message asks for. `exists` says whether there is such an entity.
///
/// # Errors
/// Why it is ignored.
pub fn understand(
    message: &Received,
    topics: &Topics,
    exists: impl Fn(&str, &str) -> bool,
    lately: &mut Lately,
    who: &str,
    now: Instant,
) -> Result<Order, Ignored> {
    let (device, key) = topics.of_set(&message.topic).ok_or(Ignored::Unknown)?;
    if !exists(&device, &key) {
        return Err(Ignored::Unknown);
    }
    if message.payload.is_empty() {
        return Err(Ignored::Empty);
    }
    if message.retain {
        return Err(Ignored::Retained);
    }
    let longest = message
        .payload
        .len()
        .max(message.correlation.as_ref().map_or(0, Vec::len));
    if longest > MAX_BYTES {
        return Err(Ignored::Nonsense(format!("it is longer than {MAX_BYTES} bytes")));
    }
    if message.dup || lately.had(message, now) {
        return Err(Ignored::Repeated);
    }
    let written = written(&message.payload)?;
    Ok(Order {
        command: Command {
            device,
            key,
            value: written.value,
            dry_run: written.dry_run,
            token: written.token,
            hold_ms: written.hold_ms,
            who: who.to_owned(),
            through: "MQTT",
        },
        correlation: message.correlation.clone(),
    })
}

/// A payload: an object with the value and more, a JSON value, or a text as it is.
fn written(payload: &[u8]) -> Result<Written, Ignored> {
    let text = std::str::from_utf8(payload).map_err(|_| Ignored::Nonsense("it is not UTF-8".to_owned()))?;
    let text = text.trim();
    let plain = |value| Written {
        value,
        token: None,
        dry_run: false,
        hold_ms: None,
    };
    if text.starts_with('{') {
        let written: Written = serde_json::from_str(text).map_err(|e| {
            Ignored::Nonsense(format!(
                "{e}; write a value, or {{\"value\": …, \"token\": …, \"dry_run\": …, \"hold_ms\": …}}"
            ))
        })?;
        return match written.value {
            Value::Number(_) | Value::String(_) | Value::Bool(_) => Ok(written),
            _ => Err(Ignored::Nonsense(
                "its value is neither a number, a text, true nor false".to_owned(),
            )),
        };
    }
    match serde_json::from_str(text) {
        Ok(value @ (Value::Number(_) | Value::String(_) | Value::Bool(_))) => Ok(plain(value)),
        _ => Ok(plain(Value::String(text.to_owned()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn message(payload: &str) -> Received {
        Received {
            topic: "busbar/dev/key/set".to_owned(),
            payload: payload.as_bytes().to_vec(),
            retain: false,
            dup: false,
            correlation: None,
        }
    }

    fn ask(message: &Received, lately: &mut Lately, now: Instant) -> Result<Order, Ignored> {
        let exists = |device: &str, key: &str| (device, key) == ("dev", "key");
        understand(message, &Topics::new("busbar"), exists, lately, "me", now)
    }

    fn asked(payload: &str) -> Result<Command, Ignored> {
        ask(&message(payload), &mut Lately::default(), Instant::now()).map(|order| order.command)
    }

    #[test]
    fn a_value_may_be_plain_or_written_out() {
        for (payload, value) in [
            ("500", json!(500)),
            (" -12.5\n", json!(-12.5)),
            ("true", json!(true)),
            ("\"On\"", json!("On")),
            ("ON", json!("ON")),
            ("Keep batteries charged", json!("Keep batteries charged")),
            ("1e999", json!("1e999")),
            ("null", json!("null")),
            ("[1]", json!("[1]")),
        ] {
            let command = asked(payload).unwrap();
            assert_eq!(command.value, value, "{payload}");
            assert!(!command.dry_run && command.token.is_none() && command.hold_ms.is_none());
        }
        let command = asked(r#"{"value": 5, "token": "t", "dry_run": true, "hold_ms": 60000}"#).unwrap();
        assert_eq!(command.value, json!(5));
        assert_eq!(
            (command.token.as_deref(), command.dry_run, command.hold_ms),
            (Some("t"), true, Some(60000))
        );
        assert_eq!((command.device.as_str(), command.key.as_str()), ("dev", "key"));
        assert_eq!((command.who.as_str(), command.through), ("me", "MQTT"));
    }

    #[test]
    fn what_cannot_be_understood_says_why() {
        for payload in [
            r#"{"value": 5, "force": true}"#,
            r#"{"token": "t"}"#,
            r#"{"value": [5]}"#,
            r#"{"value": 5, "hold_ms": -1}"#,
            r#"{"value""#,
            &"9".repeat(MAX_BYTES + 1),
        ] {
            assert!(matches!(asked(payload), Err(Ignored::Nonsense(_))), "{payload}");
        }
        let mut bytes = message("");
        bytes.payload = vec![0xff, 0xfe];
        let answer = ask(&bytes, &mut Lately::default(), Instant::now());
        assert!(matches!(answer, Err(Ignored::Nonsense(_))));
    }

    #[test]
    fn w23_a_retained_message_is_no_command() {
        let mut kept = message("500");
        kept.retain = true;
        assert_eq!(
            ask(&kept, &mut Lately::default(), Instant::now()),
            Err(Ignored::Retained)
        );
        assert_eq!(asked(""), Err(Ignored::Empty));
    }

    #[test]
    fn w23_a_message_that_came_before_is_no_command() {
        let (mut lately, now) = (Lately::default(), Instant::now());
        let mut again = message("500");
        again.dup = true;
        assert_eq!(ask(&again, &mut lately, now), Err(Ignored::Repeated));
        assert!(ask(&message("500"), &mut lately, now).is_ok());
        assert_eq!(ask(&message("500"), &mut lately, now), Err(Ignored::Repeated));
        assert!(ask(&message("600"), &mut lately, now).is_ok());
        assert!(
            ask(&message("500"), &mut lately, now).is_ok(),
            "back to what was meant first"
        );
        assert_eq!(ask(&message("500"), &mut lately, now), Err(Ignored::Repeated));
        // Meant again, a while later.
        let later = now + SAME_WITHIN;
        assert!(ask(&message("500"), &mut lately, later).is_ok());
    }

    #[test]
    fn w23_a_command_with_a_mark_of_its_own_is_known_by_it() {
        let (mut lately, now) = (Lately::default(), Instant::now());
        let marked = |mark: u8, payload| Received {
            correlation: Some(vec![mark]),
            ..message(payload)
        };
        assert!(ask(&marked(1, "500"), &mut lately, now).is_ok());
        assert!(ask(&marked(2, "500"), &mut lately, now).is_ok());
        let later = now + Duration::from_secs(60);
        assert_eq!(ask(&marked(1, "500"), &mut lately, later), Err(Ignored::Repeated));
        assert_eq!(
            ask(&marked(1, "500"), &mut lately, later).err(),
            Some(Ignored::Repeated)
        );
        assert_eq!(
            ask(&marked(2, "500"), &mut lately, later)
                .map(|o| o.correlation)
                .err(),
            Some(Ignored::Repeated)
        );
    }

    #[test]
    fn other_topics_are_nobodys() {
        for topic in [
            "busbar/dev/key",
            "busbar/dev/other/set",
            "busbar/else/key/set",
            "x/dev/key/set",
            "busbar/../key/set",
        ] {
            let mut stray = message("500");
            stray.topic = topic.to_owned();
            let answer = ask(&stray, &mut Lately::default(), Instant::now());
            assert_eq!(answer, Err(Ignored::Unknown), "{topic}");
        }
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (mut lately, now) = (Lately::default(), Instant::now());
        for n in 0..10 * REMEMBERED {
            assert!(ask(&message(&n.to_string()), &mut lately, now).is_ok());
        }
        assert_eq!(lately.0.len(), REMEMBERED);
    }

    proptest! {
        #[test]
        fn no_payload_is_more_than_a_value(payload in proptest::collection::vec(any::<u8>(), 0..200)) {
            let message = Received { payload, ..message("") };
            if let Ok(order) = ask(&message, &mut Lately::default(), Instant::now()) {
                prop_assert!(!order.command.value.is_object() && !order.command.value.is_array());
            }
        }
    }
}
