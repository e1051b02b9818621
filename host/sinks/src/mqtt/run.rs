//! The sink: one connection, and the rooms that publish on it.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::error;

use super::client::{Connection, Message, Options, Presence};
use super::config::MqttConfig;
use super::encode::{OFFLINE, ONLINE};
use super::topics::Topics;
use super::{Room, orders, states};
use crate::health::Health;
use crate::home_assistant;
use crate::sinks::Site;
use crate::vscp::{self, VscpConfig};

/// How long the rooms have, when the host ends, to publish what they still hold.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// Of what a host is known by for good, so much goes into the client id: MQTT 3.1.1 promises 23 characters.
const ID_CHARS: usize = 16;

/// How this sink is named for people: its broker, without credentials.
pub fn target(config: &MqttConfig) -> String {
    config
        .server()
        .map(|server| server.to_string())
        .unwrap_or_default()
}

/// Publishes until it is cancelled; then says goodbye.
pub async fn run(
    config: MqttConfig,
    vscp: Option<VscpConfig>,
    site: Site,
    health: Health,
    cancel: CancellationToken,
) {
    let topics = Topics::new(&config.prefix);
    let id: String = site.host_id.chars().take(ID_CHARS).collect();
    let presence = Arc::new(HostPresence(topics.clone()));
    let options = match Options::of(&config, format!("busbar-{id}"), presence) {
        Ok(options) => options,
        // The configuration was checked when it was read; what slipped through is said here.
        Err(fault) => return health.down(fault),
    };
    let who = options.who();
    let connection = Connection::new(options, health);
    let room = Room {
        publisher: connection.publisher(),
        topics,
        config: Arc::new(config),
        site,
        who,
    };

    let leave = CancellationToken::new();
    let mut rooms = JoinSet::new();
    rooms.spawn(states::run(room.clone(), leave.clone()));
    rooms.spawn(orders::run(room.clone(), leave.clone()));
    if let Some(config) = vscp {
        rooms.spawn(vscp::run::run(room.clone(), config, leave.clone()));
    }
    rooms.spawn(home_assistant::run::run(room, leave.clone()));

    let close = CancellationToken::new();
    // A sink that is dropped takes its connection with it.
    let connection = AbortOnDropHandle::new(tokio::spawn(connection.run(close.clone())));
    cancel.cancelled().await;
    leave.cancel();
    let ended = async {
        while let Some(ended) = rooms.join_next().await {
            if let Err(fault) = ended {
                error!("a part of the MQTT sink ended by a fault of Busbar: {fault}");
            }
        }
    };
    // What cannot be said in time is not said.
    let _ = tokio::time::timeout(LAST_WORDS, ended).await;
    close.cancel();
    if let Err(fault) = connection.await {
        error!("the connection to the broker ended by a fault of Busbar: {fault}");
    }
}

/// This host is there, or not: the last will says the latter when the host cannot.
struct HostPresence(Topics);

impl Presence for HostPresence {
    fn will(&self, _attempt: u64) -> Option<Message> {
        Some(Message::retained(self.0.status(), OFFLINE))
    }

    fn birth(&self, _attempt: u64) -> Vec<Message> {
        vec![Message::retained(self.0.status(), ONLINE)]
    }

    fn farewell(&self, _attempt: u64) -> Vec<Message> {
        vec![Message::retained(self.0.status(), OFFLINE)]
    }
}
