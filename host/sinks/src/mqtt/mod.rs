//! MQTT: what everything that is published on a broker has in common.
//!
//! One [`client::Connection`] has the line to the broker. Whoever publishes is a **room**: a task with a [`Room`], begun
//! by [`run`]. A room publishes with [`client::Publisher::publish`] and hears what happens from the
//! [`client::Inbox`] that [`client::Publisher::open`] gives it for its topic filters:
//!
//! - `Connected`: a session begins, also the first. Its subscriptions stand and `<prefix>/status` says `online`. The
//!   broker may know nothing of what was published before: publish the newest of everything.
//! - `Message`: something came in on one of the room's filters. It is whatever somebody sent; at most 256 KiB.
//! - `Lost`: the session is over. Publish nothing before the next `Connected`.
//!
//! A publication is answered: `Taken`, `Rejected` (the broker would not take it a second time either: do not repeat it
//! before there is something else to say; it is counted and told already) or `Lost` (say the newest when the next session
//! begins). Nothing is kept for a broker that is away, and only a bounded number of publications is on its way at once:
//! `publish` waits for its turn. Of two messages to one topic await the first before sending the second. To publish many,
//! use `buffer_unordered` over an iterator that makes each message when it is its turn; a [`crate::feed::Feed`] keeps the
//! names of what changed meanwhile.
//!
//! Who needs a last will of its own makes a connection of its own: [`client::Options::of`] with another client id and a
//! [`client::Presence`], then [`client::Connection::new`] and `run`.
//!
//! | file | what |
//! |---|---|
//! | `config` | `[mqtt]`, checked |
//! | `topics` | names of topics; [`topics::level`] makes any text one safe level |
//! | `client` | the connection |
//! | `encode`, `due` | what is published of a device, and when |
//! | `states` | the room that publishes states and availability |
//! | `commands`, `orders` | what a message asks for; the room that has it carried out |
//! | `confirm` | what asks twice, and waits for the second time |
//! | `run` | the task that holds all of it |

pub mod client;
pub mod commands;
pub mod config;
pub mod confirm;
pub mod due;
pub mod encode;
mod orders;
pub mod run;
mod states;
pub mod topics;

use std::sync::Arc;

pub use config::MqttConfig;

use crate::sinks::Site;

/// What a room is given. Cheap to clone.
#[derive(Clone)]
pub struct Room {
    /// What it publishes with, and hears from.
    pub publisher: client::Publisher,
    /// The topics of this host.
    pub topics: topics::Topics,
    /// The configuration.
    pub config: Arc<MqttConfig>,
    /// The host: its bus, its door, its id and version.
    pub site: Site,
    /// Who asks, when something is written: for the audit.
    pub who: String,
}
