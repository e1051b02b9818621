//! What a scan changes, as a pure function of what is known and what was found.
//!
//! The rules: a scan deletes nothing and renames nothing. What it asked for and did not find is `missing`; what it
//! finds again is `active`; what the owner has `retired` stays so. What was once proven stays `present`, with the
//! first proof. A device is its id, wherever it is found.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Serialize;

use crate::model::{Device, Entity, Lifecycle, Readable, Status};

/// What a scan found, and what it asked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// The devices. Of several with one id the first counts.
    pub devices: Vec<FoundDevice>,
    /// Every probe and read that was **answered**, with words or with an exception. A known device none of whose
    /// addresses is among them was not asked for, and stays as it is: a quick scan does not lose what a full one
    /// found, and a time-out says nothing.
    pub asked: Vec<Asked>,
}

/// One device as a scan found it.
#[derive(Clone, Debug, PartialEq)]
pub struct FoundDevice {
    /// From its identity, `[a-z0-9_]+`.
    pub id: String,
    /// Its Modbus unit id.
    pub unit_id: u8,
    /// The ledger that describes it.
    pub ledger: String,
    /// The name that it gives itself. What is `None` here and in the next three stays as it is known.
    pub name: Option<String>,
    /// The maker's name of the model.
    pub model: Option<String>,
    /// The serial number.
    pub serial: Option<String>,
    /// The firmware, as the device writes it.
    pub firmware: Option<String>,
    /// Its entities.
    pub entities: Vec<FoundEntity>,
    /// The addresses that it answered.
    pub readable: Vec<Readable>,
    /// Whether its extent was learned to the end. If not, no entity of it is missing, and what was known to be
    /// readable stays known.
    pub complete: bool,
}

/// One entity as a scan found it.
#[derive(Clone, Debug, PartialEq)]
pub struct FoundEntity {
    /// Its key in the ledger.
    pub key: String,
    /// The zero-based protocol address; `None` for a computed one.
    pub at: Option<u16>,
    /// The Modbus function that reads it, 1 to 4; `None` for a computed one.
    pub function: Option<u8>,
    /// The bit, for one bit of a word.
    pub bit: Option<u8>,
    /// Whether it exists.
    pub status: Status,
    /// Why, one sentence for people.
    pub proof: Option<String>,
}

/// One answered read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The Modbus unit id.
    pub unit_id: u8,
    /// The Modbus function, 1 to 4.
    pub function: u8,
    /// The first address.
    pub at: u16,
    /// How many.
    pub count: u16,
}

/// A device as the registry knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct KnownDevice {
    /// The device.
    pub device: Device,
    /// Its entities.
    pub entities: Vec<Entity>,
    /// What it answers.
    pub readable: Vec<Readable>,
}

/// What a scan changes. Applied as a whole, or dropped.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Diff {
    /// Found for the first time.
    pub new: Ids,
    /// Asked for and no longer found.
    pub gone: Ids,
    /// Found, and not as it was.
    pub changed: Vec<Change>,
    #[serde(skip)]
    pub(crate) rows: Rows,
}

impl Diff {
    /// Whether the scan found everything as it was.
    pub fn is_empty(&self) -> bool {
        self.new.is_empty() && self.gone.is_empty() && self.changed.is_empty()
    }
}

/// Devices and entities by their ids.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Ids {
    /// Device ids.
    pub devices: Vec<String>,
    /// Entity ids, those of the devices above included.
    pub entities: Vec<String>,
}

impl Ids {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.devices.is_empty() && self.entities.is_empty()
    }
}

/// One property of a device or an entity that changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The device or entity.
    pub id: String,
    /// The property, by its name in [`Device`] or [`Entity`].
    pub field: &'static str,
    /// What it was.
    pub from: Option<String>,
    /// What it is.
    pub to: Option<String>,
}

/// The rows as they are to stand, whole.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Rows {
    pub(crate) devices: Vec<Device>,
    pub(crate) entities: Vec<Entity>,
    pub(crate) readable: BTreeMap<String, Vec<Readable>>,
}

/// Compares. `known` are the devices of this connection, and those elsewhere whose ids were found.
pub fn diff(connection_id: &str, known: &[KnownDevice], found: &Found, now_ms: i64) -> Diff {
    let mut diff = Diff::default();
    let known_by_id: HashMap<&str, &KnownDevice> = known.iter().map(|k| (k.device.id.as_str(), k)).collect();
    let mut seen = HashSet::new();
    for device in &found.devices {
        if !seen.insert(device.id.as_str()) {
            continue;
        }
        match known_by_id.get(device.id.as_str()) {
            Some(known) => diff.found_again(connection_id, known, device, now_ms),
            None => diff.found_first(connection_id, device, now_ms),
        }
    }
    let asked = AskedByUnit::new(&found.asked);
    for known in known {
        let ours = known.device.connection_id == connection_id;
        if ours && !seen.contains(known.device.id.as_str()) && asked.covers(known) {
            diff.not_found(known);
        }
    }
    diff
}

impl Diff {
    fn found_first(&mut self, connection_id: &str, found: &FoundDevice, now_ms: i64) {
        self.new.devices.push(found.id.clone());
        self.rows.devices.push(Device {
            id: found.id.clone(),
            connection_id: connection_id.to_owned(),
            unit_id: found.unit_id,
            ledger: found.ledger.clone(),
            name: found.name.clone(),
            own_name: None,
            model: found.model.clone(),
            serial: found.serial.clone(),
            firmware: found.firmware.clone(),
            lifecycle: Lifecycle::New,
            first_seen_ms: now_ms,
            last_seen_ms: now_ms,
        });
        self.rows
            .readable
            .insert(found.id.clone(), normalised(&found.readable));
        self.entities(&[], found, now_ms);
    }

    fn found_again(&mut self, connection_id: &str, known: &KnownDevice, found: &FoundDevice, now_ms: i64) {
        let old = &known.device;
        let keep = |new: &Option<String>, old: &Option<String>| new.clone().or_else(|| old.clone());
        let new = Device {
            connection_id: connection_id.to_owned(),
            unit_id: found.unit_id,
            ledger: found.ledger.clone(),
            name: keep(&found.name, &old.name),
            model: keep(&found.model, &old.model),
            serial: keep(&found.serial, &old.serial),
            firmware: keep(&found.firmware, &old.firmware),
            lifecycle: seen_again(old.lifecycle),
            last_seen_ms: now_ms,
            ..old.clone()
        };
        let mut note = |field, from, to| self.changed.extend(change(&old.id, field, from, to));
        note(
            "connection_id",
            some(&old.connection_id),
            some(&new.connection_id),
        );
        note("unit_id", some(old.unit_id), some(new.unit_id));
        note("ledger", some(&old.ledger), some(&new.ledger));
        note("name", old.name.clone(), new.name.clone());
        note("model", old.model.clone(), new.model.clone());
        note("serial", old.serial.clone(), new.serial.clone());
        note("firmware", old.firmware.clone(), new.firmware.clone());
        note("lifecycle", reported(old.lifecycle), reported(new.lifecycle));
        self.rows.devices.push(new);
        if found.complete || known.readable.is_empty() {
            self.rows
                .readable
                .insert(old.id.clone(), normalised(&found.readable));
        }
        self.entities(&known.entities, found, now_ms);
    }

    fn entities(&mut self, known: &[Entity], device: &FoundDevice, now_ms: i64) {
        let known_by_key: HashMap<&str, &Entity> = known.iter().map(|e| (e.key.as_str(), e)).collect();
        let mut seen = HashSet::new();
        for found in &device.entities {
            if !seen.insert(found.key.as_str()) {
                continue;
            }
            let entity = match known_by_key.get(found.key.as_str()) {
                // It is known that the device has it no more: it stays, as missing.
                Some(known) if device.complete && is_lost(known, found) => {
                    self.entity_not_found(known);
                    continue;
                }
                Some(known) => self.entity_again(known, found, now_ms),
                None => {
                    let entity = first_entity(&device.id, found, now_ms);
                    self.new.entities.push(entity.id());
                    entity
                }
            };
            self.rows.entities.push(entity);
        }
        if device.complete {
            for entity in known {
                if !seen.contains(entity.key.as_str()) {
                    self.entity_not_found(entity);
                }
            }
        }
    }

    fn entity_again(&mut self, old: &Entity, found: &FoundEntity, now_ms: i64) -> Entity {
        let proven = old.status == Status::Present;
        let new = Entity {
            at: found.at,
            function: found.function,
            bit: found.bit,
            status: if proven { Status::Present } else { found.status },
            proof: if proven {
                old.proof.clone()
            } else {
                found.proof.clone()
            },
            lifecycle: seen_again(old.lifecycle),
            last_seen_ms: now_ms,
            ..old.clone()
        };
        let id = old.id();
        let mut note = |field, from, to| self.changed.extend(change(&id, field, from, to));
        note("at", old.at.map(text), new.at.map(text));
        note("function", old.function.map(text), new.function.map(text));
        note("bit", old.bit.map(text), new.bit.map(text));
        note("status", some(old.status), some(new.status));
        note("lifecycle", reported(old.lifecycle), reported(new.lifecycle));
        new
    }

    fn not_found(&mut self, known: &KnownDevice) {
        let device = &known.device;
        if matches!(device.lifecycle, Lifecycle::New | Lifecycle::Active) {
            self.gone.devices.push(device.id.clone());
            self.rows.devices.push(Device {
                lifecycle: Lifecycle::Missing,
                ..device.clone()
            });
        }
        for entity in &known.entities {
            self.entity_not_found(entity);
        }
    }

    fn entity_not_found(&mut self, entity: &Entity) {
        if matches!(entity.lifecycle, Lifecycle::New | Lifecycle::Active) {
            self.gone.entities.push(entity.id());
            self.rows.entities.push(Entity {
                lifecycle: Lifecycle::Missing,
                ..entity.clone()
            });
        }
    }
}

fn first_entity(device_id: &str, found: &FoundEntity, now_ms: i64) -> Entity {
    Entity {
        device_id: device_id.to_owned(),
        key: found.key.clone(),
        at: found.at,
        function: found.function,
        bit: found.bit,
        status: found.status,
        lifecycle: Lifecycle::New,
        proof: found.proof.clone(),
        name: None,
        first_seen_ms: now_ms,
        last_seen_ms: now_ms,
    }
}

/// Whether an entity that was there is known to be there no more.
fn is_lost(known: &Entity, found: &FoundEntity) -> bool {
    found.status == Status::Absent && known.status != Status::Absent
}

fn seen_again(old: Lifecycle) -> Lifecycle {
    match old {
        Lifecycle::Retired => Lifecycle::Retired,
        Lifecycle::New | Lifecycle::Active | Lifecycle::Missing => Lifecycle::Active,
    }
}

/// A `new` one that is found again is no news.
fn reported(lifecycle: Lifecycle) -> Option<String> {
    some(if lifecycle == Lifecycle::New {
        Lifecycle::Active
    } else {
        lifecycle
    })
}

fn change(id: &str, field: &'static str, from: Option<String>, to: Option<String>) -> Option<Change> {
    (from != to).then(|| Change {
        id: id.to_owned(),
        field,
        from,
        to,
    })
}

fn text(value: impl ToString) -> String {
    value.to_string()
}

fn some(value: impl ToString) -> Option<String> {
    Some(value.to_string())
}

/// Sorted, without empty runs, overlaps merged: the form that the table can hold.
fn normalised(readable: &[Readable]) -> Vec<Readable> {
    let mut runs: Vec<Readable> = readable.iter().copied().filter(|r| r.count > 0).collect();
    runs.sort_unstable();
    let mut merged: Vec<Readable> = Vec::with_capacity(runs.len());
    for run in runs {
        let end = (u32::from(run.at).saturating_add(run.count)).min(0x1_0000);
        match merged.last_mut() {
            Some(last)
                if last.function == run.function && u32::from(run.at) <= u32::from(last.at) + last.count =>
            {
                last.count = last.count.max(end - u32::from(last.at));
            }
            _ => merged.push(Readable {
                count: end - u32::from(run.at),
                ..run
            }),
        }
    }
    merged
}

/// The answered reads of each (unit, function).
struct AskedByUnit(HashMap<(u8, u8), Vec<(u32, u32)>>);

impl AskedByUnit {
    fn new(asked: &[Asked]) -> Self {
        let mut by_unit: HashMap<_, Vec<_>> = HashMap::new();
        for a in asked {
            let start = u32::from(a.at);
            by_unit
                .entry((a.unit_id, a.function))
                .or_default()
                .push((start, start + u32::from(a.count)));
        }
        Self(by_unit)
    }

    /// Whether any address that this device is known by was asked.
    fn covers(&self, known: &KnownDevice) -> bool {
        let unit = known.device.unit_id;
        let by_entities = known
            .entities
            .iter()
            .filter_map(|e| Some((e.function?, u32::from(e.at?), 1)));
        let by_readable = known
            .readable
            .iter()
            .map(|r| (r.function, u32::from(r.at), r.count));
        by_readable.chain(by_entities).any(|(function, at, count)| {
            let spans = self.0.get(&(unit, function));
            spans.is_some_and(|spans| spans.iter().any(|&(start, end)| at < end && start < at + count))
        })
    }
}

#[cfg(test)]
mod tests;
