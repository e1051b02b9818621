//! A connection to a broker, and what is published on it.
//!
//! One task owns the connection ([`connection`]); every room has a [`Publisher`] of it. While the broker is away nothing
//! is kept here: a publication is lost, says so, and its room sends the newest anew when a session begins.

mod backoff;
mod connection;
mod fault;
mod inbox;
pub mod options;
mod publisher;
pub mod server;
mod session;
mod tls;
mod v4;
mod v5;

pub use connection::Connection;
pub use inbox::{Event, Inbox};
pub use options::{Options, Presence};
pub use publisher::{Outcome, Publisher};

/// Something to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Where.
    pub topic: String,
    /// What.
    pub payload: Vec<u8>,
    /// How surely.
    pub qos: Qos,
    /// Whether the broker keeps it for whoever comes later.
    pub retain: bool,
    /// What ties an answer to its question, where the question had it (MQTT 5).
    pub correlation: Option<Vec<u8>>,
}

impl Message {
    /// Kept by the broker, acknowledged by it.
    pub fn retained(topic: impl Into<String>, payload: impl Into<Vec<u8>>) -> Self {
        Message {
            retain: true,
            ..Message::passing(topic, payload)
        }
    }

    /// Acknowledged by the broker, seen by whoever listens now.
    pub fn passing(topic: impl Into<String>, payload: impl Into<Vec<u8>>) -> Self {
        Message {
            topic: topic.into(),
            payload: payload.into(),
            qos: Qos::Acknowledged,
            retain: false,
            correlation: None,
        }
    }

    /// What it takes of a packet, in bytes, about: what is added is small.
    fn size(&self) -> usize {
        const ADDED: usize = 32;
        self.topic.len() + self.payload.len() + self.correlation.as_ref().map_or(0, Vec::len) + ADDED
    }
}

/// How surely a message arrives at the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Qos {
    /// It is sent once (QoS 0).
    Sent,
    /// The broker acknowledges it (QoS 1).
    Acknowledged,
}

/// A message that came in. What it holds is whatever somebody sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Where.
    pub topic: String,
    /// What.
    pub payload: Vec<u8>,
    /// Whether it was sent to be kept. A broker that speaks MQTT 3.1.1 says so only of what it had kept.
    pub retain: bool,
    /// Whether the broker says that it may have sent it before.
    pub dup: bool,
    /// What ties an answer to its question (MQTT 5).
    pub correlation: Option<Vec<u8>>,
}
