//! The bus: the newest reading of every entity, and a feed of what changed. Sinks read it; none of them can slow a
//! poll.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use busbar_ledger::account;
use busbar_ledger::model::Ledger;
use busbar_ledger::presence::Status;
use busbar_ledger::ranges::Ranges;
use busbar_ledger::value::{Quality, Reading, Value};
use tokio::sync::{broadcast, watch};
use tokio::time::Instant;

use crate::profile::{DeviceProfile, Profile};
use crate::telegram::{Check, LONGEST, Telegram, Telegrams};

/// Updates that a slow sink may lag behind before it loses the oldest; it can always read the newest state.
const FEED: usize = 1024;

/// A device as it is polled: what does not change from poll to poll.
#[derive(Clone, Debug)]
pub struct DeviceMeta {
    /// Its id.
    pub id: String,
    /// The connection it is on, by the name that it had when the device was taken up.
    pub connection: String,
    /// That connection's id, which stays what it is.
    pub connection_id: String,
    /// Its unit.
    pub unit: u8,
    /// Its name.
    pub name: String,
    /// Model, where known.
    pub model: Option<String>,
    /// Serial number, where known.
    pub serial: Option<String>,
    /// Firmware, where known.
    pub firmware: Option<String>,
    /// What describes it.
    pub ledger: Arc<Ledger>,
    /// Whether a scan asked for it and did not find it: it is shown, and not polled until a scan finds it again.
    pub missing: bool,
    /// Why it cannot be read, where nothing describes it any more: it is shown with that, and not polled.
    pub unreadable: Option<String>,
}

impl DeviceMeta {
    /// Whether it is asked for its values.
    pub fn is_polled(&self) -> bool {
        !self.missing && self.unreadable.is_none()
    }
}

/// A device on the bus.
#[derive(Debug)]
pub struct Device {
    /// What does not change.
    pub meta: DeviceMeta,
    /// What the owner says of its entities.
    pub owner: OwnersWord,
    state: Mutex<DeviceState>,
}

/// What the owner says of a device's entities.
#[derive(Clone, Debug, Default)]
pub struct OwnersWord {
    /// Names of his own, by key.
    pub names: BTreeMap<String, String>,
    /// The keys of what he has put away: neither polled nor shown.
    pub put_away: BTreeSet<String>,
}

/// What changes from poll to poll.
#[derive(Debug)]
pub struct DeviceState {
    /// Whether it answers, and if not, why.
    pub availability: Availability,
    /// One slot for each point of the ledger, in its order.
    pub slots: Vec<Slot>,
    /// The registers that it is known to answer.
    pub readable: Ranges,
    /// Points that are read with every poll, whatever their rate, by their place in the ledger: those that may be written.
    pub watched: BTreeSet<usize>,
}

/// The newest that is known of one entity.
#[derive(Clone, Debug)]
pub struct Slot {
    /// The reading.
    pub reading: Reading,
    /// When the device said so; `None` before the first answer.
    pub since: Option<Stamp>,
    /// Whether it exists.
    pub status: Status,
    /// For a counter: what was counted before it began anew, in the point's unit. Added to the reading, it makes the total;
    /// 0 where nothing is carried.
    pub carried: f64,
}

/// A moment on both clocks: one to show, one to measure with.
#[derive(Clone, Copy, Debug)]
pub struct Stamp {
    /// Milliseconds since 1970.
    pub wall_ms: i64,
    /// For ages.
    pub at: Instant,
}

impl Stamp {
    /// Now.
    pub fn now() -> Self {
        Stamp {
            wall_ms: crate::clock::now_ms(),
            at: Instant::now(),
        }
    }
}

/// Whether a device answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Availability {
    /// Not asked yet.
    Unknown,
    /// It gave a valid answer.
    Online,
    /// It does not; with the cause for people.
    Offline(String),
}

impl Availability {
    /// The word that interfaces show.
    pub fn name(&self) -> &'static str {
        match self {
            Availability::Unknown => "unknown",
            Availability::Online => "online",
            Availability::Offline(_) => "offline",
        }
    }
}

impl Device {
    /// A device about which nothing is known yet but what exists on it: for each point its status.
    pub fn new(meta: DeviceMeta, readable: Ranges, known: impl Fn(&str) -> Option<Status>) -> Self {
        let slots = meta
            .ledger
            .points
            .iter()
            .map(|p| {
                let status = known(&p.key).unwrap_or(Status::Absent);
                Slot {
                    reading: Reading::unavailable(),
                    since: None,
                    status,
                    carried: 0.0,
                }
            })
            .collect();
        let availability = match (&meta.unreadable, meta.missing) {
            (Some(why), _) => Availability::Offline(why.clone()),
            (None, true) => {
                Availability::Offline("the last scan did not find it; scan again when it is back".to_owned())
            }
            (None, false) => Availability::Unknown,
        };
        let state = DeviceState {
            availability,
            slots,
            readable,
            watched: BTreeSet::new(),
        };
        Device {
            meta,
            owner: OwnersWord::default(),
            state: Mutex::new(state),
        }
    }

    /// The same device with what its owner says of it.
    pub fn of_owner(self, owner: OwnersWord) -> Self {
        Device { owner, ..self }
    }

    /// The same device as it was recognised anew: what is gone says nothing any more, what stays keeps its readings.
    pub fn anew(&self, firmware: Option<String>, readable: Ranges, found: impl Fn(&str) -> Status) -> Self {
        let meta = DeviceMeta {
            firmware,
            ..self.meta.clone()
        };
        let old = self.state();
        let slots = self.meta.ledger.points.iter().zip(&old.slots);
        let slots = slots.map(|(point, slot)| match found(&point.key) {
            status if status == Status::Absent || self.owner.put_away.contains(&point.key) => Slot {
                reading: Reading::unavailable(),
                since: None,
                status: Status::Absent,
                carried: 0.0,
            },
            // What was proven once stays so.
            status => Slot {
                status: status.max(slot.status),
                ..slot.clone()
            },
        });
        let state = DeviceState {
            availability: old.availability.clone(),
            slots: slots.collect(),
            readable,
            watched: old.watched.clone(),
        };
        Device {
            meta,
            owner: self.owner.clone(),
            state: Mutex::new(state),
        }
    }

    /// The changing part. Held for moments only, never across a wait.
    pub fn state(&self) -> MutexGuard<'_, DeviceState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one poll changed on one device.
#[derive(Clone, Debug)]
pub struct Update {
    /// The device.
    pub device: Arc<Device>,
    /// The points that were read, by their place in the ledger.
    pub points: Vec<usize>,
    /// When.
    pub at_ms: i64,
}

/// All devices and the feed.
#[derive(Debug)]
pub struct Bus {
    devices: RwLock<BTreeMap<String, Arc<Device>>>,
    /// By the connection's name.
    profiles: RwLock<BTreeMap<String, Profile>>,
    feed: broadcast::Sender<Arc<Update>>,
    telegrams: Telegrams,
    /// The newest telegram of each device that sends such, by its id.
    newest: RwLock<BTreeMap<String, Arc<Telegram>>>,
    /// How often devices came, went or were described anew.
    layout: watch::Sender<u64>,
}

impl Default for Bus {
    fn default() -> Self {
        Bus {
            devices: RwLock::default(),
            profiles: RwLock::default(),
            feed: broadcast::channel(FEED).0,
            telegrams: Telegrams::default(),
            newest: RwLock::default(),
            layout: watch::channel(0).0,
        }
    }
}

impl Bus {
    /// Puts the devices of a connection on the bus: in place of those with the same ids, and of all others that this
    /// connection had, for nobody reads those any more.
    pub fn put(&self, connection: &str, of_connection: Vec<Arc<Device>>) {
        let mut devices = self.devices.write().unwrap_or_else(PoisonError::into_inner);
        devices.retain(|_, device| device.meta.connection != connection);
        devices.extend(of_connection.into_iter().map(|d| (d.meta.id.clone(), d)));
        let mut newest = self.newest.write().unwrap_or_else(PoisonError::into_inner);
        newest.retain(|id, _| devices.contains_key(id));
        drop(newest);
        drop(devices);
        self.laid_out_anew();
    }

    /// Puts what was learned about talking to a connection's endpoint in the place of what was known.
    pub fn put_profile(&self, connection: &str, profile: Profile) {
        let mut profiles = self.profiles.write().unwrap_or_else(PoisonError::into_inner);
        profiles.insert(connection.to_owned(), profile);
    }

    /// What was learned about talking to a device.
    pub fn profile(&self, device: &Device) -> Option<DeviceProfile> {
        let profiles = self.profiles.read().unwrap_or_else(PoisonError::into_inner);
        profiles.get(&device.meta.connection)?.device(device.meta.unit)
    }

    /// Puts a device in the place of the one that has its id.
    pub fn replace(&self, device: &Arc<Device>) {
        let mut devices = self.devices.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(old) = devices.get_mut(&device.meta.id) {
            *old = Arc::clone(device);
        }
        drop(devices);
        self.laid_out_anew();
    }

    /// Tells that devices, their entities or names are others than before: also when an entity showed that it exists.
    pub fn laid_out_anew(&self) {
        self.layout.send_modify(|times| *times = times.wrapping_add(1));
    }

    /// Told whenever devices came, went or were described anew.
    pub fn layout(&self) -> watch::Receiver<u64> {
        self.layout.subscribe()
    }

    /// All devices, by id.
    pub fn devices(&self) -> Vec<Arc<Device>> {
        self.devices
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .cloned()
            .collect()
    }

    /// One device.
    pub fn device(&self, id: &str) -> Option<Arc<Device>> {
        self.devices
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(id)
            .cloned()
    }

    /// Tells the sinks. Nobody listening is no fault.
    pub fn publish(&self, update: Update) {
        let _ = self.feed.send(Arc::new(update));
    }

    /// Listens from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Update>> {
        self.feed.subscribe()
    }

    /// Tells of a telegram. To be called before the readings that were made of it are published, so that whoever is told
    /// of those finds it. One that is longer than [`LONGEST`] is none, and is dropped.
    pub fn tell_telegram(&self, telegram: Telegram) {
        if telegram.raw.len() > LONGEST {
            return;
        }
        let telegram = self.telegrams.tell(telegram);
        let devices = self.devices.read().unwrap_or_else(PoisonError::into_inner);
        if telegram.check != Check::Bad && devices.contains_key(&telegram.device) {
            let mut newest = self.newest.write().unwrap_or_else(PoisonError::into_inner);
            newest.insert(telegram.device.clone(), telegram);
        }
    }

    /// Listens to telegrams from now on, damaged ones too.
    pub fn telegrams(&self) -> broadcast::Receiver<Arc<Telegram>> {
        self.telegrams.listen()
    }

    /// The newest telegram of a device that was not damaged.
    pub fn telegram(&self, device: &str) -> Option<Arc<Telegram>> {
        let newest = self.newest.read().unwrap_or_else(PoisonError::into_inner);
        newest.get(device).cloned()
    }
}

impl Slot {
    /// The number to add up with: of a counter, what was counted over all its resets and exchanges; of anything else, what
    /// the device said.
    pub fn total(&self) -> Option<f64> {
        let value = self.reading.value.as_ref()?.as_f64()?;
        Some(account::total(value, self.carried))
    }

    /// The same slot with the total in the place of what the device said.
    pub fn totalled(mut self) -> Self {
        if self.carried != 0.0
            && let Some(total) = self.total()
        {
            self.reading.value = Some(Value::Number(total));
        }
        self
    }

    /// Whether this point is worth asking for: a pair that is known to be absent is never polled.
    pub fn is_polled(&self) -> bool {
        self.status != Status::Absent
    }

    /// Takes a new reading. A device that did not answer leaves the last value standing as `stale` for as long as
    /// `patience` says; after that it is not known.
    pub fn take(&mut self, reading: Reading, now: Stamp, patience: std::time::Duration) {
        if reading.quality != Quality::Unavailable {
            self.reading = reading;
            self.since = Some(now);
            return;
        }
        let fresh = self.since.is_some_and(|s| now.at.duration_since(s.at) < patience);
        if fresh && self.reading.value.is_some() {
            self.reading.quality = Quality::Stale;
        } else {
            self.reading = reading;
        }
    }
}
