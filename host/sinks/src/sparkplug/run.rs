//! The sink: a connection of its own, whose will is the death of the node.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::config::{PASSWORD_VARIABLE, SparkplugConfig};
use super::encode::topics::Topics;
use super::encode::{self};
use super::node::Node;
use crate::clock;
use crate::health::Health;
use crate::mqtt::MqttConfig;
use crate::mqtt::client::{Connection, Message, Options, Presence};
use crate::sinks::Site;

/// How long the node has, when the host ends, to say what it still holds.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// Of what a host is known by for good, so much goes into the client id: MQTT 3.1.1 promises 23 characters.
const ID_CHARS: usize = 13;

/// Publishes until it is cancelled; then dies in an orderly way.
pub async fn run(
    config: SparkplugConfig,
    broker: MqttConfig,
    site: Site,
    health: Health,
    cancel: CancellationToken,
) {
    let id: String = site.host_id.chars().take(ID_CHARS).collect();
    let presence = Arc::new(Born {
        topics: Topics::new(config.group(), &config.node(&id)),
        bd_seq: AtomicU8::new(0),
    });
    let client_id = format!("busbar-{id}-sp");
    let mut options = match Options::of(
        &broker,
        client_id.clone(),
        Arc::clone(&presence) as Arc<dyn Presence>,
    ) {
        Ok(options) => options,
        // The configuration was checked when it was read; what slipped through is said here.
        Err(fault) => return health.down(fault),
    };
    if config.broker.is_some() {
        // The password of one broker is nobody else's business.
        options.password_variable = PASSWORD_VARIABLE;
    }
    if options.client_id != client_id {
        // A name of the owner's own is that of the other connection to this broker.
        options.client_id.push_str("-sp");
    }
    let who = options.who();
    let connection = Connection::new(options, health);
    let node = Node::new(connection.publisher(), config, Arc::clone(&presence), site, who);

    let close = CancellationToken::new();
    let connection = tokio::spawn(connection.run(close.clone()));
    let leave = cancel.clone();
    let mut node = tokio::spawn(node.run(leave));
    cancel.cancelled().await;
    match tokio::time::timeout(LAST_WORDS, &mut node).await {
        Ok(Err(fault)) => error!("the Sparkplug node ended by a fault of Busbar: {fault}"),
        Ok(Ok(())) => {}
        // What cannot be said in time is not said.
        Err(_) => {
            warn!(
                "the broker could not be told in time what the Sparkplug node had still to say: that is dropped"
            );
            node.abort();
        }
    }
    close.cancel();
    if let Err(fault) = connection.await {
        error!("the connection to the broker ended by a fault of Busbar: {fault}");
    }
}

/// The node as its broker knows it: its death lies with the broker before it is born.
#[derive(Debug)]
pub(super) struct Born {
    pub(super) topics: Topics,
    /// The number that ties this session's death to its birth.
    bd_seq: AtomicU8,
}

impl Born {
    /// The number of the session that is under way.
    pub(super) fn bd_seq(&self) -> u8 {
        self.bd_seq.load(Relaxed)
    }

    fn number(attempt: u64) -> u8 {
        let [number, ..] = attempt.wrapping_sub(1).to_le_bytes();
        number
    }

    /// The node's death in this session.
    pub(super) fn death(&self, bd_seq: u8) -> Message {
        let now = u64::try_from(clock::now_ms()).unwrap_or(0);
        Message::passing(self.topics.node("NDEATH"), encode::node_death(bd_seq, now))
    }
}

impl Presence for Born {
    fn will(&self, attempt: u64) -> Option<Message> {
        let number = Born::number(attempt);
        self.bd_seq.store(number, Relaxed);
        Some(self.death(number))
    }

    fn birth(&self, _attempt: u64) -> Vec<Message> {
        // The node itself is born when it has subscribed, and, where it waits for one, its host is there.
        Vec::new()
    }

    fn farewell(&self, attempt: u64) -> Vec<Message> {
        vec![self.death(Born::number(attempt))]
    }
}
