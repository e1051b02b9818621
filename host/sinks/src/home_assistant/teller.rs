//! What is to be told to Home Assistant now, by what it was told, what came in and what time it is. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use tokio::time::Instant;

use super::announced::{Announced, Discovery, Publication, Told};
use super::encode::Announcement;

/// How long the broker is given to bring what it kept.
const SETTLE: Duration = Duration::from_secs(2);
/// A device that is not there for so long is gone: one that is scanned anew is away for a moment.
const GONE_AFTER: Duration = Duration::from_secs(30);
/// An empty message within this time of one of our own is that one, come back.
const ECHO: Duration = Duration::from_secs(10);

/// Where more topics than this were kept, some of what the broker brings at once may be missed, and what was missed must
/// not be taken for deleted.
const MOST_AT_ONCE: usize = 200;

/// What came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Nothing of interest.
    Nothing,
    /// Home Assistant started.
    Born,
    /// Somebody deleted this device there.
    Deleted(String),
}

/// What is to be published of one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// The device.
    pub id: String,
    /// One after the other.
    pub publications: Vec<Publication>,
    /// What was told when all of them are taken; `None`: nothing any more.
    pub then: Option<Told>,
    hash: u64,
}

/// What was told, in this session and before.
#[derive(Debug)]
pub struct Teller {
    /// What was told until now.
    pub announced: Announced,
    discovery: Discovery,
    marker: String,
    /// What was told in this session, by a hash of it.
    sent: BTreeMap<String, u64>,
    /// Since when a device that was told of is not there.
    absent: BTreeMap<String, Instant>,
    /// Where we took something back, and when.
    emptied: BTreeMap<String, Instant>,
    /// What the broker kept from before.
    kept: BTreeSet<String>,
    marked: bool,
    /// Whether the broker knows what it was told before this session; `None`: not known yet.
    remembers: Option<bool>,
    /// The devices of which was asked in this session whether they are still wanted.
    asked: BTreeSet<String>,
    settles: Option<Instant>,
}

impl Teller {
    /// Goes on from what was told before, at this broker.
    pub fn new(mut announced: Announced, discovery: Discovery, broker: &str, marker: String) -> Self {
        if announced.broker != broker {
            // Another one was told nothing. What was deleted stays so.
            announced.devices.retain(|_, told| told.deleted);
            announced.prefix.clone_from(&discovery.prefix);
            announced.form = discovery.form;
            announced.broker = broker.to_owned();
        }
        Teller {
            announced,
            discovery,
            marker,
            sent: BTreeMap::new(),
            absent: BTreeMap::new(),
            emptied: BTreeMap::new(),
            kept: BTreeSet::new(),
            marked: false,
            remembers: None,
            asked: BTreeSet::new(),
            settles: None,
        }
    }

    /// What is to be heard, to know what becomes of these devices.
    pub fn filters<'a>(&self, devices: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
        let each = devices.into_iter().map(|id| self.discovery.filter(id));
        each.chain([self.discovery.status(), self.marker.clone()])
            .collect()
    }

    /// A session begins, or what is heard of it does: the broker brings what it kept.
    pub fn begins(&mut self, now: Instant) {
        self.sent.clear();
        self.kept.clear();
        self.settles = Some(now + SETTLE);
    }

    /// The session is over.
    pub fn lost(&mut self) {
        self.settles = None;
        self.remembers = None;
        self.asked.clear();
        self.marked = false;
        self.emptied.clear();
    }

    /// When the broker has brought what it kept; `None` without a session.
    pub fn settles(&self) -> Option<Instant> {
        self.settles
    }

    /// When a device counts as gone, if one may be.
    pub fn next_gone(&self) -> Option<Instant> {
        self.absent.values().min().map(|since| *since + GONE_AFTER)
    }

    /// Something came in.
    pub fn hear(&mut self, topic: &str, payload: &[u8], now: Instant) -> Heard {
        if topic == self.discovery.status() {
            if payload == b"online" {
                self.sent.clear();
                return Heard::Born;
            }
            return Heard::Nothing;
        }
        if !payload.is_empty() {
            if topic == self.marker {
                self.marked = true;
            }
            self.kept.insert(topic.to_owned());
            return Heard::Nothing;
        }
        self.kept.remove(topic);
        self.emptied.retain(|_, at| now.duration_since(*at) < ECHO);
        let of = |told: &Told, id: &str| {
            !told.deleted && self.discovery.topics(id, told).iter().any(|t| t == topic)
        };
        let device = self
            .announced
            .devices
            .iter()
            .find(|(id, told)| of(told, id))
            .map(|(id, _)| id.clone());
        match device {
            Some(id) if self.emptied.remove(topic).is_none() => {
                self.deleted(&id);
                Heard::Deleted(id)
            }
            _ => Heard::Nothing,
        }
    }

    /// Devices that were deleted while nobody listened: the broker remembers what it was told, but not these. Each is asked
    /// for once in a session, after it settled.
    pub fn deleted_meanwhile<'a>(&mut self, devices: impl IntoIterator<Item = &'a str>) -> Vec<String> {
        let devices_told = self.announced.devices.iter();
        let topics: usize = devices_told
            .map(|(id, told)| self.discovery.topics(id, told).len())
            .sum();
        let remembers = *self.remembers.get_or_insert(self.marked) && topics <= MOST_AT_ONCE;
        let mut deleted = Vec::new();
        for id in devices {
            if !self.asked.insert(id.to_owned()) || !remembers || self.moved() {
                continue;
            }
            let Some(told) = self.announced.devices.get(id) else {
                continue;
            };
            let topics = self.discovery.topics(id, told);
            if !told.deleted && !topics.is_empty() && topics.iter().all(|topic| !self.kept.contains(topic)) {
                deleted.push(id.to_owned());
            }
        }
        for id in &deleted {
            self.deleted(id);
        }
        deleted
    }

    /// Whether a device is not told of, because somebody deleted it.
    pub fn is_deleted(&self, id: &str) -> bool {
        self.announced.devices.get(id).is_some_and(|told| told.deleted)
    }

    /// Whether any is.
    pub fn any_deleted(&self) -> bool {
        self.announced.devices.values().any(|told| told.deleted)
    }

    /// All of them are wanted again.
    pub fn tell_again(&mut self) {
        self.announced.devices.retain(|_, told| !told.deleted);
    }

    /// What was told where it is not told any more, because discovery moved to another prefix.
    pub fn of_old_prefix(&self) -> Vec<Publication> {
        if self.announced.prefix.is_empty() || self.announced.prefix == self.discovery.prefix {
            return Vec::new();
        }
        let old = Discovery {
            prefix: self.announced.prefix.clone(),
            form: self.announced.form,
        };
        let devices = self.announced.devices.iter();
        devices.flat_map(|(id, told)| old.withdrawn(id, told)).collect()
    }

    /// That was taken back.
    pub fn left_old_prefix(&mut self) {
        if self.announced.prefix != self.discovery.prefix {
            self.announced.devices.retain(|_, told| told.deleted);
            self.announced.prefix.clone_from(&self.discovery.prefix);
            self.announced.form = self.discovery.form;
        }
    }

    /// What is to be published, so that all of these and nothing else is told. `there` are the devices that
    /// exist.
    pub fn tasks(
        &mut self,
        wanted: &[(String, Announcement)],
        there: &BTreeSet<String>,
        now: Instant,
    ) -> Vec<Task> {
        let mut tasks = Vec::new();
        for (id, announcement) in wanted {
            self.absent.remove(id);
            let hash = hash(announcement);
            if self.sent.get(id) == Some(&hash) {
                continue;
            }
            let before = self.announced.devices.get(id).cloned().unwrap_or_default();
            tasks.push(Task {
                publications: self
                    .discovery
                    .told(id, &before, self.announced.form, announcement),
                then: Some(Told::of(announcement)),
                id: id.clone(),
                hash,
            });
        }
        let is_wanted = |id: &str| wanted.iter().any(|(wanted, _)| wanted == id);
        for (id, told) in &self.announced.devices {
            if is_wanted(id) || (there.contains(id) && told.deleted) {
                self.absent.remove(id);
                continue;
            }
            let since = *self.absent.entry(id.clone()).or_insert(now);
            if now.duration_since(since) >= GONE_AFTER {
                let old = Discovery {
                    form: self.announced.form,
                    ..self.discovery.clone()
                };
                // Of what was deleted there is nothing left to take back.
                let publications = match told.deleted {
                    true => Vec::new(),
                    false => old.withdrawn(id, told),
                };
                tasks.push(Task {
                    publications,
                    then: None,
                    id: id.clone(),
                    hash: 0,
                });
            }
        }
        tasks
    }

    /// These are about to be published: whatever becomes of it, it may have been told.
    pub fn about_to(&mut self, tasks: &[Task]) {
        for task in tasks {
            if let Some(then) = &task.then {
                let told = self.announced.devices.entry(task.id.clone()).or_default();
                *told = told.or(then);
            }
        }
    }

    /// Something empty of ours is about to be published.
    pub fn empties(&mut self, topic: &str, now: Instant) {
        self.emptied.insert(topic.to_owned(), now);
    }

    /// All of a task was answered by the broker.
    pub fn done(&mut self, task: &Task) {
        self.absent.remove(&task.id);
        match &task.then {
            Some(told) => {
                self.sent.insert(task.id.clone(), task.hash);
                self.announced.devices.insert(task.id.clone(), told.clone());
            }
            None => {
                self.sent.remove(&task.id);
                self.announced.devices.remove(&task.id);
            }
        }
    }

    /// All tasks are done: what was told is in today's form.
    pub fn all_done(&mut self) {
        self.announced.form = self.discovery.form;
    }

    fn deleted(&mut self, id: &str) {
        self.sent.remove(id);
        if let Some(told) = self.announced.devices.get_mut(id) {
            told.deleted = true;
            told.parts.clear();
        }
    }

    fn moved(&self) -> bool {
        self.announced.form != self.discovery.form || self.announced.prefix != self.discovery.prefix
    }
}

fn hash(announcement: &Announcement) -> u64 {
    let mut hasher = DefaultHasher::new();
    announcement.document().to_string().hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests;
