//! Publishes what is known of each device, and whether it is there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Room;
use super::client::{Event, Message, Outcome, Publisher};
use super::due::{DeviceTold, Snapshot};
use super::encode;
use super::topics::Topics;
use crate::bus::Device;
use crate::feed::{Changes, Feed};
use crate::health::Link;

/// Devices whose messages are on their way at once.
const AT_ONCE: usize = 48;

/// Publishes until it is cancelled; then once more what is due.
pub async fn run(room: Room, cancel: CancellationToken) {
    let mut feed = Feed::new(&room.site.bus);
    let mut inbox = room.publisher.open([]);
    let mut states = States::new(room);
    loop {
        let connected = states.connected;
        let next = states.next();
        tokio::select! {
            biased;
            () = cancel.cancelled() => break,
            event = inbox.next() => match event {
                Some(Event::Connected) => states.begin(&mut feed),
                Some(Event::Lost) => states.connected = false,
                Some(Event::Message(_)) => {}
                None => return,
            },
            changes = feed.changed(states.gather), if connected => match changes {
                Some(changes) => states.tell(changes, &mut feed).await,
                None => return,
            },
            () = tokio::time::sleep_until(next), if connected => states.tell(Changes::default(), &mut feed).await,
        }
    }
    // A host that reads everything once and ends may be quicker than its broker.
    while !states.connected && states.room.publisher.health().report().link == Link::Begins {
        match inbox.next().await {
            Some(Event::Connected) => states.begin(&mut feed),
            Some(_) => {}
            None => return,
        }
    }
    if states.connected {
        let last = feed.now();
        states.tell(last, &mut feed).await;
    }
}

/// What of each device was published.
struct States {
    room: Room,
    /// How long changes are gathered.
    gather: Duration,
    /// The longest silence about a device.
    every: Duration,
    connected: bool,
    devices: BTreeMap<String, Published>,
    /// Devices that are gone, whose messages the broker still keeps.
    gone: BTreeSet<String>,
}

struct Published {
    device: Arc<Device>,
    told: DeviceTold,
    availability: Option<&'static str>,
}

/// What is to be published of one device.
struct Task {
    id: String,
    availability: Option<&'static str>,
    state: bool,
    device: Arc<Device>,
}

/// What became of that.
struct Done {
    id: String,
    availability: Option<(&'static str, Outcome)>,
    state: Option<(Snapshot, Outcome)>,
}

impl States {
    fn new(room: Room) -> Self {
        States {
            gather: room.config.at_most_every(),
            every: room.config.at_least_every(),
            connected: false,
            devices: BTreeMap::new(),
            gone: BTreeSet::new(),
            room,
        }
    }

    /// A session begins: the broker may know nothing.
    fn begin(&mut self, feed: &mut Feed) {
        self.connected = true;
        for published in self.devices.values_mut() {
            published.told = DeviceTold::nothing(&published.device, &self.room.config);
            published.availability = None;
        }
        feed.everything();
    }

    /// When something is due in any case.
    fn next(&self) -> Instant {
        let each = self
            .devices
            .values()
            .filter_map(|published| published.told.next(self.every));
        let latest = Instant::now() + self.every;
        each.min().map_or(latest, |next| next.min(latest))
    }

    async fn tell(&mut self, changes: Changes, feed: &mut Feed) {
        if changes.layout {
            self.lay_out();
        }
        let now = Instant::now();
        let none = BTreeSet::new();
        let mut tasks = Vec::new();
        for (id, published) in &self.devices {
            let read = changes.points.get(id).unwrap_or(&none);
            let availability = encode::availability(&published.device.state().availability);
            // A device that was not asked yet says nothing: what the broker kept of it is newer.
            let Some(availability) = availability else {
                continue;
            };
            let new = published.availability != Some(availability);
            let state = published.told.is_due(&published.device, read, now, self.every);
            if new || state {
                tasks.push(Task {
                    id: id.clone(),
                    availability: new.then_some(availability),
                    state,
                    device: Arc::clone(&published.device),
                });
            }
        }
        let (publisher, topics) = (&self.room.publisher, &self.room.topics);
        let mut all = stream::iter(tasks)
            .map(|task| publish(publisher, topics, task))
            .buffer_unordered(AT_ONCE);
        let mut untold = Changes::default();
        let mut lost = false;
        while let Some(done) = all.next().await {
            let Some(published) = self.devices.get_mut(&done.id) else {
                continue;
            };
            match done.availability {
                Some((_, Outcome::Lost)) => lost = true,
                None => {}
                // Also where the broker did not take it: it would not take it a second time.
                Some((word, _)) => published.availability = Some(word),
            }
            match done.state {
                Some((_, Outcome::Lost)) => {
                    lost = true;
                    let points = changes.points.get(&done.id).cloned().unwrap_or_default();
                    untold.points.insert(done.id, points);
                }
                Some((snapshot, outcome)) => published.told.told(&snapshot, now, outcome == Outcome::Taken),
                None => {}
            }
        }
        drop(all);
        // A session that lost one message loses all: the next one begins with everything.
        self.connected &= !lost;
        feed.untold(untold);
        self.forget_gone().await;
    }

    /// Takes up the devices that are on the bus now.
    fn lay_out(&mut self) {
        let mut before = std::mem::take(&mut self.devices);
        for device in self.room.site.bus.devices() {
            let id = device.meta.id.clone();
            self.gone.remove(&id);
            let published = match before.remove(&id) {
                Some(published) if Arc::ptr_eq(&published.device, &device) => published,
                // What is described anew has another state, even where its values are the same.
                other => Published {
                    told: DeviceTold::nothing(&device, &self.room.config),
                    availability: other.and_then(|published| published.availability),
                    device,
                },
            };
            self.devices.insert(id, published);
        }
        self.gone.extend(before.into_keys());
    }

    /// Takes back what the broker keeps of devices that are gone.
    async fn forget_gone(&mut self) {
        for id in std::mem::take(&mut self.gone) {
            let topics = &self.room.topics;
            for topic in [topics.availability(&id), topics.state(&id)] {
                let message = Message::retained(topic, Vec::new());
                if self.room.publisher.publish(message).await == Outcome::Lost {
                    self.gone.insert(id.clone());
                }
            }
        }
    }
}

/// Publishes what is due of one device. The state is made when it is its turn, so that few are in memory at once.
async fn publish(publisher: &Publisher, topics: &Topics, task: Task) -> Done {
    let mut done = Done {
        availability: None,
        state: None,
        id: task.id,
    };
    if task.state {
        let snapshot = DeviceTold::snapshot(&task.device);
        let message = Message::retained(topics.state(&done.id), encode::state(&task.device));
        done.state = Some((snapshot, publisher.publish(message).await));
    }
    // Behind the state, so that who hears that it is there finds its values.
    if let Some(word) = task.availability {
        let message = Message::retained(topics.availability(&done.id), word);
        done.availability = Some((word, publisher.publish(message).await));
    }
    done
}
