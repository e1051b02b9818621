//! The room that tells Home Assistant what there is, and hears what becomes of it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::announced::{Discovery, Publication};
use super::config::HomeAssistantConfig;
use super::encode::{self, Announcement};
use super::memory::Memory;
use super::teller::{Heard, Task, Teller};
use crate::bus::Device;
use crate::mqtt::Room;
use crate::mqtt::client::{Event, Inbox, Message, Outcome, Received};
use crate::mqtt::run::target;
use crate::view;

/// How long changes are gathered.
const GATHER: Duration = Duration::from_secs(1);
/// How often is looked whether what may be written has other limits, of which nobody tells.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// When Home Assistant starts, all that it knows publish at once, unless each waits for a time of its own.
const AFTER_BIRTH: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5));

/// Tells until it is cancelled, then once more what is due. Where Home Assistant is not to be told any more, takes back
/// what it was told.
pub async fn run(room: Room, cancel: CancellationToken) {
    let memory = Memory::within(&room.site.data_dir);
    match room.config.home_assistant() {
        Some(config) => Telling::new(room, &config, memory).run(cancel).await,
        None => withdraw(&room, &memory, cancel).await,
    }
}

struct Telling {
    room: Room,
    memory: Memory,
    teller: Teller,
    inbox: Inbox,
    filters: BTreeSet<String>,
    due: Instant,
}

impl Telling {
    fn new(room: Room, config: &HomeAssistantConfig, memory: Memory) -> Self {
        let discovery = Discovery {
            prefix: config.prefix.clone(),
            form: config.form,
        };
        let marker = room.topics.told_home_assistant();
        let teller = Teller::new(memory.load(), discovery, &target(&room.config), marker);
        Telling {
            inbox: room.publisher.open([]),
            filters: BTreeSet::new(),
            due: Instant::now(),
            room,
            memory,
            teller,
        }
    }

    async fn run(mut self, cancel: CancellationToken) {
        let mut layout = self.room.site.bus.layout();
        self.listen();
        loop {
            let wake = self.wake();
            tokio::select! {
                biased;
                () = cancel.cancelled() => break,
                event = self.inbox.next() => match event {
                    Some(Event::Connected) => {
                        let now = Instant::now();
                        self.teller.begins(now);
                        self.due = now;
                    }
                    Some(Event::Lost) => self.teller.lost(),
                    Some(Event::Message(message)) => self.hear(&message),
                    None => return,
                },
                changed = layout.changed() => match changed {
                    Ok(()) => self.due = self.due.min(Instant::now() + GATHER),
                    Err(_) => return,
                },
                () = sleep_until(wake) => self.turn().await,
            }
        }
        if self.teller.settles().is_some() {
            self.tell().await;
        }
    }

    /// When there is something to do; `None` while the broker is away.
    fn wake(&self) -> Option<Instant> {
        let settles = self.teller.settles()?;
        let gone = self.teller.next_gone();
        let due = gone.map_or(self.due, |gone| gone.min(self.due));
        Some(due.max(settles))
    }

    /// Listens to what becomes of the devices that exist now. Whether that is something new.
    fn listen(&mut self) -> bool {
        let mut ids: Vec<String> = self
            .devices()
            .iter()
            .map(|device| device.meta.id.clone())
            .collect();
        ids.push(self.host_id());
        let mut filters = self.teller.filters(ids.iter().map(String::as_str));
        filters.insert(self.room.topics.tell_again());
        if filters == self.filters {
            return false;
        }
        self.filters.clone_from(&filters);
        let mut before = std::mem::replace(&mut self.inbox, self.room.publisher.open(filters));
        // What had come in by now is heard.
        while let Some(Some(event)) = before.next().now_or_never() {
            if let Event::Message(message) = event {
                self.hear(&message);
            }
        }
        true
    }

    fn hear(&mut self, message: &Received) {
        let now = Instant::now();
        if message.topic == self.room.topics.tell_again() {
            // One that the broker kept was meant once, long ago.
            if !message.retain && !message.payload.is_empty() && self.teller.any_deleted() {
                info!("Home Assistant is told again of the devices that were deleted there");
                self.teller.tell_again();
                self.memory.keep(&self.teller.announced);
                self.due = now;
            }
            return;
        }
        match self.teller.hear(&message.topic, &message.payload, now) {
            Heard::Nothing => {}
            Heard::Born => {
                let (least, most) = AFTER_BIRTH;
                self.due = now + least + (most - least).mul_f64(rand::random());
            }
            Heard::Deleted(id) => self.deleted(&id),
        }
    }

    fn deleted(&mut self, id: &str) {
        info!(
            "{id} was deleted in Home Assistant, which is not told of it again before the button \"Announce deleted \
             devices\" of its device Busbar is pressed"
        );
        if id != self.host_id() {
            // The way back is shown, also where it was deleted before.
            self.teller.announced.devices.remove(&self.host_id());
        }
        self.memory.keep(&self.teller.announced);
        self.due = self.due.min(Instant::now() + GATHER);
    }

    async fn turn(&mut self) {
        self.due = Instant::now() + LOOK_AGAIN;
        // What is heard anew begins with what the broker kept.
        if self.listen() {
            return;
        }
        let devices = self.devices();
        let ids = devices.iter().map(|device| device.meta.id.as_str());
        for id in self.teller.deleted_meanwhile(ids) {
            self.deleted(&id);
        }
        self.tell().await;
    }

    /// Tells what is to be told now.
    async fn tell(&mut self) {
        let old = self.teller.of_old_prefix();
        if !self.publish(&old).await {
            return;
        }
        self.teller.left_old_prefix();

        let devices = self.devices();
        let ids = devices.iter().map(|device| device.meta.id.clone());
        let there = ids.chain([self.host_id()]).collect();
        let wanted = self.wanted(&devices).await;
        let tasks = self.teller.tasks(&wanted, &there, Instant::now());
        if !tasks.is_empty() {
            self.teller.about_to(&tasks);
            self.memory.keep(&self.teller.announced);
        }
        for task in &tasks {
            if !self.carry_out(task).await {
                return;
            }
        }
        self.teller.all_done();
        if tasks.is_empty() {
            return;
        }
        self.memory.keep(&self.teller.announced);
        if !wanted.is_empty() {
            let marker = Publication {
                topic: self.room.topics.told_home_assistant(),
                payload: self.room.site.host_id.clone(),
            };
            self.publish(&[marker]).await;
        }
    }

    async fn carry_out(&mut self, task: &Task) -> bool {
        let taken = self.publish(&task.publications).await;
        if taken {
            self.teller.done(task);
        }
        taken
    }

    /// Publishes one after the other; `false` when the session ended meanwhile.
    async fn publish(&mut self, publications: &[Publication]) -> bool {
        for Publication { topic, payload } in publications {
            if payload.is_empty() {
                self.teller.empties(topic, Instant::now());
            }
            let message = Message::retained(topic.as_str(), payload.as_bytes());
            // What the broker does not take is told by its connection, and not said again before it is different.
            if self.room.publisher.publish(message).await == Outcome::Lost {
                self.teller.lost();
                return false;
            }
        }
        true
    }

    /// The devices, gateways first: Home Assistant wants to know the one before it hears what is behind it.
    fn devices(&self) -> Vec<Arc<Device>> {
        let mut devices = self.room.site.bus.devices();
        devices.sort_by_key(|device| device.meta.ledger.identified_by.is_some());
        devices
    }

    /// What is to be told of each.
    async fn wanted(&self, devices: &[Arc<Device>]) -> Vec<(String, Announcement)> {
        let writable = self.room.site.door.writable().await;
        let (topics, version) = (&self.room.topics, self.room.site.version);
        let mut wanted: Vec<(String, Announcement)> = Vec::new();
        for device in devices
            .iter()
            .filter(|device| !self.teller.is_deleted(&device.meta.id))
        {
            let via = view::gateway(device, devices).map(|gateway| gateway.meta.id.clone());
            let via = via.filter(|via| !self.teller.is_deleted(via));
            let announcement = encode::announcement(device, &writable, via.as_deref(), topics, version);
            if !announcement.components.is_empty() {
                wanted.push((device.meta.id.clone(), announcement));
            }
        }
        let host = self.host_id();
        if self.teller.any_deleted() && !self.teller.is_deleted(&host) {
            wanted.push((host.clone(), encode::host(&host, topics, version)));
        }
        wanted
    }

    /// This host as a device: there while something can be told again.
    fn host_id(&self) -> String {
        format!("busbar_{}", self.room.site.host_id)
    }
}

/// Takes back what Home Assistant was told, once.
async fn withdraw(room: &Room, memory: &Memory, cancel: CancellationToken) {
    let announced = memory.load();
    if announced.devices.is_empty() {
        return;
    }
    let discovery = Discovery {
        prefix: announced.prefix.clone(),
        form: announced.form,
    };
    let devices = announced.devices.iter().filter(|(_, told)| !told.deleted);
    let all: Vec<Publication> = devices
        .flat_map(|(id, told)| discovery.withdrawn(id, told))
        .collect();
    let marker = Publication {
        topic: room.topics.told_home_assistant(),
        payload: String::new(),
    };
    let mut inbox = room.publisher.open([]);
    loop {
        tokio::select! {
            biased;
            () = cancel.cancelled() => return,
            event = inbox.next() => match event {
                Some(Event::Connected) => {}
                Some(_) => continue,
                None => return,
            },
        }
        let mut lost = announced.broker != target(&room.config);
        for Publication { topic, .. } in all.iter().chain([&marker]) {
            let message = Message::retained(topic.as_str(), Vec::new());
            lost = lost || room.publisher.publish(message).await == Outcome::Lost;
        }
        if !lost {
            memory.forget();
            return;
        }
    }
}

async fn sleep_until(wake: Option<Instant>) {
    match wake {
        Some(wake) => tokio::time::sleep_until(wake).await,
        None => std::future::pending().await,
    }
}
