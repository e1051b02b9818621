//! The life of the node: births, data, deaths, and what hosts ask for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::config::SparkplugConfig;
use super::encode::metrics::{Aliases, Shape, born, said};
use super::encode::topics::Heard;
use super::encode::{self, Sequence, orders};
use super::run::Born;
use crate::bus::{Availability, Device};
use crate::door::Command;
use crate::feed::{Changes, Feed};
use crate::mqtt::client::{Event, Inbox, Message, Outcome, Publisher, Qos, Received};
use crate::pace::{self, Told};
use crate::sinks::Site;
use crate::{clock, view};

/// How long changes are gathered.
const GATHER: Duration = Duration::from_millis(200);
/// The shortest time between two births that hosts ask for.
const BIRTHS_APART: Duration = Duration::from_secs(1);
/// Orders that are carried out at once.
const ORDERS: usize = 16;

/// This host as an edge node.
pub(super) struct Node {
    publisher: Publisher,
    config: SparkplugConfig,
    born: Arc<Born>,
    site: Site,
    who: String,
    sequence: Sequence,
    aliases: Aliases,
    devices: BTreeMap<String, Alive>,
    connected: bool,
    /// Whether the host that is waited for is there.
    host: bool,
    /// Whether this node is born, as far as hosts know.
    alive: bool,
    last_birth: Option<Instant>,
    /// When a birth that was asked for is due.
    asked: Option<Instant>,
    orders: JoinSet<()>,
}

/// A device that was born.
struct Alive {
    device: Arc<Device>,
    shapes: BTreeMap<String, Shape>,
    told: BTreeMap<usize, Told>,
}

/// The broker went away while something was said.
struct Gone;

impl Node {
    pub(super) fn new(
        publisher: Publisher,
        config: SparkplugConfig,
        born: Arc<Born>,
        site: Site,
        who: String,
    ) -> Self {
        Node {
            host: config.primary_host.is_none(),
            publisher,
            config,
            born,
            site,
            who,
            sequence: Sequence::default(),
            aliases: Aliases::default(),
            devices: BTreeMap::new(),
            connected: false,
            alive: false,
            last_birth: None,
            asked: None,
            orders: JoinSet::new(),
        }
    }

    /// Lives until it is cancelled; then says what is due.
    pub(super) async fn run(mut self, cancel: CancellationToken) {
        let filters = self.born.topics.filters(self.config.primary_host.as_deref());
        let mut inbox = self.publisher.open(filters);
        let mut feed = Feed::new(&self.site.bus);
        loop {
            let alive = self.alive;
            let asked = self.asked;
            tokio::select! {
                biased;
                () = cancel.cancelled() => break,
                event = inbox.next() => match event {
                    Some(event) => self.hear(event, &mut feed).await,
                    None => return,
                },
                Some(_) = self.orders.join_next(), if !self.orders.is_empty() => {}
                () = until(asked), if alive && asked.is_some() => self.birth(&mut feed).await,
                changes = feed.changed(GATHER), if alive => match changes {
                    Some(changes) => self.tell(&changes).await,
                    None => return,
                },
            }
        }
        self.last_words(&mut inbox, &mut feed).await;
    }

    /// A host that reads once may be done before the broker said anything at all.
    async fn last_words(&mut self, inbox: &mut Inbox, feed: &mut Feed) {
        while !self.alive {
            match inbox.next().await {
                Some(event) => self.hear(event, feed).await,
                None => return,
            }
        }
        let last = feed.now();
        self.tell(&last).await;
    }

    async fn hear(&mut self, event: Event, feed: &mut Feed) {
        match event {
            Event::Connected => {
                self.connected = true;
                self.alive = false;
                if self.host {
                    self.birth(feed).await;
                }
            }
            Event::Lost => {
                self.connected = false;
                self.alive = false;
                // Whether the host is there is said anew when the next session begins.
                self.host = self.config.primary_host.is_none();
            }
            Event::Message(message) => match self.born.topics.heard(&message.topic) {
                Some(Heard::State(host)) if self.config.primary_host.as_ref() == Some(&host) => {
                    self.host_said(&message.payload, feed).await;
                }
                Some(Heard::Node) if !message.retain => self.node_order(&message),
                Some(Heard::Device(id)) if !message.retain => self.device_order(&id, &message),
                _ => debug!("a message on {:?} is ignored", message.topic),
            },
        }
    }

    async fn host_said(&mut self, payload: &[u8], feed: &mut Feed) {
        let Some(online) = orders::is_online(payload) else {
            return;
        };
        let before = std::mem::replace(&mut self.host, online);
        if online && !before && self.connected {
            info!("the primary host is there");
            self.birth(feed).await;
        } else if !online && self.alive {
            info!("the primary host went away: nothing is published until it is back");
            self.alive = false;
            let death = self.born.death(self.born.bd_seq());
            // Should it be lost, the broker says it.
            let _ = self.publisher.publish(death).await;
        }
    }

    fn node_order(&mut self, message: &Received) {
        match orders::asks_for_birth(&message.payload) {
            // Whoever asks again and again gets one birth a second.
            Ok(true) => {
                let now = Instant::now();
                let next = self.last_birth.map_or(now, |last| (last + BIRTHS_APART).max(now));
                self.asked.get_or_insert(next);
            }
            Ok(false) => {}
            Err(why) => warn!("a message on {} is no order: {why}", message.topic),
        }
    }

    fn device_order(&mut self, id: &str, message: &Received) {
        let Some(device) = self.devices.get(id).filter(|_| self.alive) else {
            return debug!("an order to {id:?}, which is no device here, is ignored");
        };
        let wishes = match orders::wishes(&message.payload, id, &self.aliases) {
            Ok(wishes) => wishes,
            Err(why) => return warn!("a message on {} is no order: {why}", message.topic),
        };
        for (key, value) in wishes {
            if device.device.meta.ledger.point(&key).is_none() {
                warn!("{id} has no {key:?} that could be set");
                continue;
            }
            if self.orders.len() >= ORDERS {
                return warn!("too many orders at once: {key} of {id} is not set");
            }
            let command = Command {
                device: id.to_owned(),
                key: key.clone(),
                value,
                dry_run: false,
                token: None,
                hold_ms: None,
                who: self.who.clone(),
                through: "Sparkplug B",
            };
            let write = self.site.door.write(command);
            let entity = format!("{id}.{key}");
            self.orders.spawn(async move {
                // A write that has begun goes on to its end, whatever becomes of the node.
                let Ok(reply) = tokio::spawn(write).await else {
                    return;
                };
                if reply.applied {
                    info!("{entity} is set");
                } else {
                    let said = |field: &str| {
                        reply
                            .document
                            .get(field)
                            .map(ToString::to_string)
                            .unwrap_or_default()
                    };
                    let twice = if reply.document.get("token").is_some() {
                        "; it asks twice, which Sparkplug B cannot: set it in another way"
                    } else {
                        ""
                    };
                    warn!(
                        "{entity} is not set: {} {}{twice}",
                        said("outcome"),
                        said("reason")
                    );
                }
            });
        }
    }

    /// The node and every device that is there are born anew.
    async fn birth(&mut self, feed: &mut Feed) {
        self.asked = None;
        self.last_birth = Some(Instant::now());
        self.devices.clear();
        self.alive = true;
        let payload = encode::node_birth(
            &mut self.sequence,
            self.born.bd_seq(),
            self.site.version,
            now_ms(),
        );
        let topic = self.born.topics.node("NBIRTH");
        if self.say(topic, payload).await.is_ok() {
            // What is new by now is in the births.
            feed.now();
            self.tell(&Changes::default()).await;
        }
    }

    async fn tell(&mut self, changes: &Changes) {
        // Whatever is lost is said anew when the next session begins.
        if self.say_all(changes).await.is_err() {
            self.alive = false;
        }
    }

    async fn say_all(&mut self, changes: &Changes) -> Result<(), Gone> {
        let none = BTreeSet::new();
        let devices = self.site.bus.devices();
        let there = |id: &String| {
            let device = devices.iter().find(|device| device.meta.id == *id);
            device.is_some_and(|device| device.state().availability == Availability::Online)
        };
        let dead: Vec<String> = self.devices.keys().filter(|id| !there(id)).cloned().collect();
        for id in dead {
            self.devices.remove(&id);
            let payload = encode::device(Vec::new(), &mut self.sequence, now_ms());
            self.say(self.born.topics.device("DDEATH", &id), payload).await?;
        }
        for device in devices {
            if device.state().availability != Availability::Online {
                continue;
            }
            let points = changes.points.get(&device.meta.id).unwrap_or(&none);
            self.say_device(device, points).await?;
        }
        Ok(())
    }

    /// What is due of a device that is there: its birth, or what changed.
    async fn say_device(&mut self, device: Arc<Device>, points: &BTreeSet<usize>) -> Result<(), Gone> {
        let id = device.meta.id.clone();
        let entities = view::entities(&device);
        let before = self.devices.get(&id).map(|alive| &alive.shapes);
        let shapes: BTreeMap<String, Shape> = entities
            .iter()
            .map(|entity| {
                let key = &entity.point.key;
                let shape = Shape::of(entity, before.and_then(|shapes| shapes.get(key)));
                (key.clone(), shape)
            })
            .collect();
        let now = Instant::now();
        let mut metrics = Vec::new();
        if before == Some(&shapes) {
            let Some(alive) = self.devices.get_mut(&id) else {
                return Ok(());
            };
            alive.device = Arc::clone(&device);
            for entity in entities.iter().filter(|entity| points.contains(&entity.index)) {
                let told = alive.told.entry(entity.index).or_default();
                let shape = alive.shapes.get(&entity.point.key);
                if let Some(shape) = shape
                    && told.is_due(entity.reading(), pace::dead_band(entity.point), now)
                {
                    told.told(entity.reading(), now);
                    metrics.push(said(entity, self.aliases.of(&id, &entity.point.key), shape));
                }
            }
            if metrics.is_empty() {
                return Ok(());
            }
            let payload = encode::device(metrics, &mut self.sequence, now_ms());
            return self.say(self.born.topics.device("DDATA", &id), payload).await;
        }
        let mut told = BTreeMap::new();
        for entity in &entities {
            if let Some(shape) = shapes.get(&entity.point.key) {
                metrics.push(born(entity, self.aliases.of(&id, &entity.point.key), shape));
                let mut first = Told::default();
                first.told(entity.reading(), now);
                told.insert(entity.index, first);
            }
        }
        drop(entities);
        self.devices.insert(id.clone(), Alive { device, shapes, told });
        let payload = encode::device(metrics, &mut self.sequence, now_ms());
        self.say(self.born.topics.device("DBIRTH", &id), payload).await
    }

    async fn say(&self, topic: String, payload: Vec<u8>) -> Result<(), Gone> {
        let message = Message {
            qos: Qos::Sent,
            ..Message::passing(topic, payload)
        };
        match self.publisher.publish(message).await {
            Outcome::Lost => Err(Gone),
            Outcome::Taken | Outcome::Rejected(_) => Ok(()),
        }
    }
}

async fn until(at: Option<Instant>) {
    if let Some(at) = at {
        tokio::time::sleep_until(at).await;
    }
}

fn now_ms() -> u64 {
    u64::try_from(clock::now_ms()).unwrap_or(0)
}
