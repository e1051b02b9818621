//! The only way from a sink back to a device: it asks, the host decides. Behind the door is the guarded path of writes,
//! with its limits, its record and its kill switch.

use std::future::Future;
use std::pin::Pin;

use busbar_ledger::write::Kind;
use serde_json::Value;

/// What the door gives back, some time later.
pub type Later<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The host as a sink sees it.
pub trait Door: Send + Sync {
    /// Every entity that its owner has opened for writing, with what may be written to it now. Empty where nothing may be
    /// written. What is listed here can still be refused.
    fn writable(&self) -> Later<Vec<Writable>>;

    /// Asks for a write, by the guarded path. Whatever happens, there is an answer.
    fn write(&self, command: Command) -> Later<Reply>;
}

/// What may be written to one entity: the narrowest of the limits of its type, ledger, device, site and owner.
#[derive(Clone, Debug, PartialEq)]
pub struct Writable {
    /// The device's id.
    pub device: String,
    /// The point's key.
    pub key: String,
    /// What kind of setting it is.
    pub kind: Kind,
    /// The lowest and the highest number, in the point's unit.
    pub range: Option<(f64, f64)>,
    /// The smallest step between two numbers, in the point's unit.
    pub step: Option<f64>,
    /// The only numbers that are taken, where there are such, with their names.
    pub choices: Vec<(f64, String)>,
    /// The number that means "no limit", where there is one; it lies outside of the range.
    pub no_limit: Option<f64>,
    /// The longest text, in bytes.
    pub max_bytes: Option<usize>,
    /// Whether a write asks twice: its first answer has a token, and the same command with that token carries it out.
    pub risky: bool,
}

/// A wish.
#[derive(Clone, Debug, PartialEq)]
pub struct Command {
    /// The device's id.
    pub device: String,
    /// The point's key.
    pub key: String,
    /// A number, a text (a number in words, or a choice's name), true or false.
    pub value: Value,
    /// Only say what would be sent.
    pub dry_run: bool,
    /// What the first of two steps gave.
    pub token: Option<String>,
    /// For how long a value that lapses is held, in milliseconds.
    pub hold_ms: Option<u64>,
    /// Who asks, for the audit: `user NAME on BROKER`. Nobody's proof of anything.
    pub who: String,
    /// Through what: `MQTT`, `Sparkplug B`.
    pub through: &'static str,
}

/// What became of a wish.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// The document of `busbar set --json`; for the first of two steps, with `token` and `expires_ms`.
    pub document: Value,
    /// Whether the device has the value now, by its own word.
    pub applied: bool,
}

/// A door behind which nothing can be written.
#[derive(Clone, Copy, Debug, Default)]
pub struct Closed;

impl Door for Closed {
    fn writable(&self) -> Later<Vec<Writable>> {
        Box::pin(std::future::ready(Vec::new()))
    }

    fn write(&self, command: Command) -> Later<Reply> {
        let document = serde_json::json!({
            "entity": format!("{}.{}", command.device, command.key),
            "requested": command.value,
            "outcome": "refused",
            "reason": "nothing may be written here",
        });
        Box::pin(std::future::ready(Reply {
            document,
            applied: false,
        }))
    }
}
