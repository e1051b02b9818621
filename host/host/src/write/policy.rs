//! What the owner has allowed: which entities, on which connection, how far, until when. Pure.

use std::sync::Arc;

use busbar_guard::{Cause, Refusal, Site};
use busbar_ledger::model::{Ledger, Point};
use busbar_ledger::write::{Storage, WriteRule};
use sha2::{Digest, Sha256};

use crate::bus::Device;
use crate::clock;
use crate::config::names::{Name, PointName};
use crate::config::{AllowEntry, Config, moment};
use crate::error::HostError;

/// A point of a device on the bus.
#[derive(Clone, Debug)]
pub struct Target {
    /// The device.
    pub device: Arc<Device>,
    /// The point's place in its ledger.
    pub index: usize,
}

impl Target {
    /// The point.
    pub fn point(&self) -> &Point {
        &self.device.meta.ledger.points[self.index]
    }

    /// The entity's id.
    pub fn id(&self) -> String {
        format!("{}.{}", self.device.meta.id, self.point().key)
    }

    /// The entities that are the same setting, this one first: they share rate, budget and lease.
    pub fn shared(&self) -> Vec<String> {
        let ledger = &self.device.meta.ledger;
        let group = |point: &Point| {
            let alias = point.write.as_ref().and_then(|rule| rule.alias_of.clone());
            alias.unwrap_or_else(|| point.key.clone())
        };
        let own = group(self.point());
        let others = ledger
            .points
            .iter()
            .filter(|point| point.write.is_some() && group(point) == own && point.key != self.point().key);
        std::iter::once(self.id())
            .chain(others.map(|point| format!("{}.{}", self.device.meta.id, point.key)))
            .collect()
    }

    /// The other registers of the same setting.
    pub fn siblings(&self) -> Vec<Target> {
        let ids = self.shared();
        let index = |id: &String| {
            let (_, key) = id.split_once('.')?;
            self.device.meta.ledger.index.get(key).copied()
        };
        let of = |index| Target {
            device: Arc::clone(&self.device),
            index,
        };
        ids.iter().skip(1).filter_map(index).map(of).collect()
    }

    /// What all of [`Target::shared`] have in common.
    pub fn setting(&self) -> String {
        let alias = self
            .point()
            .write
            .as_ref()
            .and_then(|rule| rule.alias_of.as_deref());
        format!("{}.{}", self.device.meta.id, alias.unwrap_or(&self.point().key))
    }

    /// The point that this one is another register of.
    pub fn alias(&self) -> Option<&Point> {
        let alias = self.point().write.as_ref()?.alias_of.as_deref()?;
        self.device.meta.ledger.point(alias)
    }
}

/// An entity that may be written, and how.
#[derive(Clone, Debug)]
pub struct Allowed {
    /// Which.
    pub target: Target,
    /// How far writing goes on its connection.
    pub level: u8,
    /// The owner's own limits.
    pub entry: AllowEntry,
    /// When the leave ends, in milliseconds since 1970.
    pub until_ms: Option<i64>,
}

impl Allowed {
    /// Its rule: only points with one can be allowed.
    pub fn rule(&self) -> Option<&WriteRule> {
        self.target.point().write.as_ref()
    }
}

/// An entry of `allow` that leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stray {
    /// The connection.
    pub connection: String,
    /// What it says.
    pub entry: String,
    /// Why it leads nowhere.
    pub why: String,
}

impl std::fmt::Display for Stray {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "connection \"{}\": writes.allow \"{}\": {}",
            self.connection,
            crate::format::visible(&self.entry),
            self.why
        )
    }
}

impl Stray {
    /// The same as the error of a configuration that cannot be carried out.
    pub fn into_error(self) -> HostError {
        HostError::failed(
            "config",
            self.to_string(),
            "Correct the entry in busbar.toml; `busbar limits --all` lists what can be written.",
        )
    }
}

/// What the configuration says of writing.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// The limits of the site.
    pub site: Site,
    connections: Vec<OnConnection>,
}

#[derive(Clone, Debug)]
struct OnConnection {
    name: String,
    level: u8,
    until_ms: Option<i64>,
    entries: Vec<(Name, AllowEntry)>,
}

impl Policy {
    /// What a configuration that was checked says.
    pub fn of(config: &Config) -> Self {
        let until = |date: &Option<toml::value::Datetime>| date.as_ref().and_then(|date| moment(date).ok());
        let connections = config.connections.iter().map(|connection| OnConnection {
            name: connection.name.clone(),
            level: connection.writes.level,
            until_ms: until(&connection.writes.until),
            entries: connection
                .writes
                .allow
                .iter()
                .filter_map(|allow| {
                    let entry = allow.entry();
                    Some((Name::parse(&entry.entity).ok()?, entry))
                })
                .collect(),
        });
        Policy {
            site: config.site.site().unwrap_or_default(),
            connections: connections.collect(),
        }
    }

    /// A connection of the registry that the configuration knows by another name, because it is the same endpoint.
    pub fn also_known(&mut self, name: &str, configured: &str) {
        if let Some(on) = self.connections.iter().find(|on| on.name == configured) {
            let name = name.to_owned();
            let on = OnConnection { name, ..on.clone() };
            self.connections.push(on);
        }
    }

    /// Whether an entry of the configuration names this entity, be it of use or not.
    pub fn names(&self, target: &Target) -> bool {
        let here = |on: &&OnConnection| on.name == target.device.meta.connection;
        let mut entries = self.connections.iter().filter(here).flat_map(|on| &on.entries);
        entries.any(|(name, _)| leads_to(name, target))
    }

    /// What tells two configurations apart, as far as writing is concerned.
    pub fn fingerprint(&self) -> String {
        let digest = Sha256::digest(format!("{self:?}"));
        digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    /// Whether anything can be written at all: else the path is not even built.
    pub fn writes(&self) -> bool {
        self.connections.iter().any(|c| c.level > 0)
    }

    /// How far writing goes on a connection.
    pub fn level(&self, connection: &str) -> u8 {
        self.connections
            .iter()
            .find(|c| c.name == connection)
            .map_or(0, |c| c.level)
    }

    /// The leave to write an entity.
    ///
    /// # Errors
    /// [`Cause::Level`], [`Cause::NotAllowed`], [`Cause::Expired`], [`Cause::NoRule`].
    pub fn allowed(&self, target: &Target, now_ms: i64) -> Result<Allowed, Refusal> {
        let meta = &target.device.meta;
        let point = target.point();
        let Some(on) = self
            .connections
            .iter()
            .find(|c| c.name == meta.connection && c.level > 0)
        else {
            return Err(Refusal::new(
                Cause::Level,
                format!(
                    "\"{}\" is read-only (level 0), which is the default",
                    meta.connection
                ),
                format!(
                    "To allow writing, put [connection.writes] with level = {} and allow = [\"{}:{}\"] below that \
                     connection in busbar.toml, and restart the host.",
                    point.write.as_ref().map_or(2, needed),
                    meta.ledger.name,
                    point.key
                ),
            ));
        };
        let Some(rule) = &point.write else {
            return Err(no_rule(point));
        };
        // Whatever names it narrows it, and so does what names another register of the same setting.
        let own = |(name, _): &&(Name, AllowEntry)| leads_to(name, target);
        if !on.entries.iter().any(|entry| own(&entry)) {
            return Err(Refusal::new(
                Cause::NotAllowed,
                "it is not among the entities that you allow to be written",
                format!(
                    "If that is what you want, add \"{}:{}\" to allow in [connection.writes] of \"{}\" (level {}), and restart \
                     the host; `busbar limits` shows what it could then be set to.",
                    meta.ledger.name,
                    point.key,
                    meta.connection,
                    needed(rule)
                ),
            ));
        }
        let siblings = target.siblings();
        let sibling = |(name, _): &&(Name, AllowEntry)| siblings.iter().any(|other| leads_to(name, other));
        let entry = on.entries.iter().filter(own).map(|(_, entry)| entry.clone());
        let beside = on.entries.iter().filter(|entry| !own(entry) && sibling(entry));
        let beside = beside.map(|(_, entry)| AllowEntry {
            // That a limit may be lifted is said of one register alone.
            no_limit: true,
            ..entry.clone()
        });
        let lifts = on.entries.iter().filter(own).any(|(_, entry)| entry.no_limit);
        let mut entry = entry.chain(beside).reduce(AllowEntry::and).unwrap_or_default();
        entry.no_limit = lifts;
        let until_ms = entry.until_ms.into_iter().chain(on.until_ms).min();
        if let Some(until) = until_ms.filter(|until| *until <= now_ms) {
            return Err(Refusal::new(
                Cause::Expired,
                format!("your leave to write it ended at {}", clock::show(until)),
                "Set another `until` in [connection.writes], or remove it, and restart the host.",
            ));
        }
        if on.level > 1 && on.level < needed(rule) {
            return Err(Refusal::new(
                Cause::Level,
                format!(
                    "it is {}, which needs level 3, and \"{}\" has level {}",
                    match rule.storage {
                        Storage::Unknown => "perhaps stored in memory that wears out",
                        _ => "stored in memory that wears out",
                    },
                    meta.connection,
                    on.level
                ),
                "Set level = 3 in [connection.writes], if such settings shall be written, and restart the host.",
            ));
        }
        Ok(Allowed {
            target: target.clone(),
            level: on.level,
            entry,
            until_ms,
        })
    }

    /// Everything that may be written among these devices, by entity.
    pub fn all(&self, devices: &[Arc<Device>], now_ms: i64) -> Vec<Allowed> {
        targets(devices)
            .filter_map(|target| self.allowed(&target, now_ms).ok())
            .collect()
    }

    /// Entries that lead to no entity among these devices. A connection of which nothing is known yet has none.
    pub fn strays(&self, devices: &[Arc<Device>]) -> Vec<Stray> {
        let mut strays = Vec::new();
        for on in &self.connections {
            let here: Vec<_> = devices
                .iter()
                .filter(|d| d.meta.connection == on.name)
                .cloned()
                .collect();
            if here.is_empty() {
                continue;
            }
            for (name, entry) in &on.entries {
                let led: Vec<Target> = all_targets(&here)
                    .filter(|target| leads_to(name, target))
                    .collect();
                let why = match led.as_slice() {
                    [] => "it leads to no entity of this connection".to_owned(),
                    [one, ..] if led.iter().all(|target| target.point().write.is_none()) => {
                        no_rule(one.point()).reason
                    }
                    _ => continue,
                };
                strays.push(Stray {
                    connection: on.name.clone(),
                    entry: entry.entity.clone(),
                    why,
                });
            }
        }
        strays
    }

    /// What is wrong with the entries whatever devices there are: a ledger that has no such point, or one that Busbar
    /// never writes. `ledger` gives a ledger by its name, where it is known.
    ///
    /// # Errors
    /// The first fault: connection, entry, and why.
    pub fn check(&self, ledger: impl Fn(&str) -> Option<Arc<Ledger>>) -> Result<(), Stray> {
        for on in &self.connections {
            for (name, entry) in &on.entries {
                let Name::Point {
                    ledger: name,
                    point,
                    place,
                } = name
                else {
                    continue;
                };
                let stray = |why| {
                    Err(Stray {
                        connection: on.name.clone(),
                        entry: entry.entity.clone(),
                        why,
                    })
                };
                if let Some((connection, _)) = place.as_ref().filter(|(connection, _)| *connection != on.name)
                {
                    return stray(format!(
                        "it stands below \"{}\", but names \"{connection}\"",
                        on.name
                    ));
                }
                let Some(ledger) = ledger(name) else { continue };
                let Some(found) = ledger.points.iter().find(|p| is_named(point, p)) else {
                    return stray(format!("the ledger {name} has no writable point {point}"));
                };
                if found.write.is_none() {
                    return stray(no_rule(found).reason);
                }
            }
        }
        Ok(())
    }
}

/// The level that a rule needs.
pub fn needed(rule: &WriteRule) -> u8 {
    match rule.storage {
        Storage::Volatile => 2,
        Storage::Stored | Storage::Unknown => 3,
    }
}

/// Why a point without a rule is not written.
fn no_rule(point: &Point) -> Refusal {
    let why = match (&point.not_written, point.writable) {
        (Some(why), _) => format!("Busbar does not write it: {}", why.trim_end_matches('.')),
        (None, true) => "Busbar does not write it: its ledger gives no rule for that".to_owned(),
        (None, false) => "it is a value that the device only tells".to_owned(),
    };
    Refusal::new(
        Cause::NoRule,
        why,
        "`busbar limits --all` lists what can be written and what cannot, and why.",
    )
}

/// Whether a name means this point of this device.
pub fn leads_to(name: &Name, target: &Target) -> bool {
    let (meta, point) = (&target.device.meta, target.point());
    match name {
        Name::Id { device, key } => *device == meta.id && *key == point.key,
        Name::Point {
            place,
            ledger,
            point: named,
        } => {
            let here = place
                .as_ref()
                .is_none_or(|(connection, unit)| *connection == meta.connection && *unit == meta.unit);
            here && *ledger == meta.ledger.name && is_named(named, point)
        }
    }
}

fn is_named(name: &PointName, point: &Point) -> bool {
    match name {
        PointName::Key(key) => *key == point.key,
        // A read-only value at the same address (a bit of it) is not meant.
        PointName::At(at) => {
            point.writable && point.register().is_some_and(|register| register.span.at == *at)
        }
    }
}

/// The entity that a name means, whether it can be written or not.
///
/// # Errors
/// A name that is none, leads nowhere, or leads to several.
pub fn find(devices: &[Arc<Device>], text: &str) -> Result<Target, HostError> {
    let list = "`busbar entities` lists the ids, `busbar limits` those that can be written.";
    let parsed = Name::parse(text);
    // A key alone is what people remember; where one entity has it, that is meant.
    let by_key = |target: &Target| target.point().key == text;
    let mut led: Vec<Target> = match &parsed {
        Ok(name) => all_targets(devices)
            .filter(|target| leads_to(name, target))
            .collect(),
        Err(_) => all_targets(devices).filter(by_key).collect(),
    };
    if led.is_empty()
        && let Ok(Name::Point {
            place,
            ledger,
            point: PointName::At(at),
        }) = &parsed
    {
        // What can only be read is told so, not that it is not there.
        led.extend(all_targets(devices).find(|target| {
            let meta = &target.device.meta;
            let here = place
                .as_ref()
                .is_none_or(|(connection, unit)| *connection == meta.connection && *unit == meta.unit);
            here && meta.ledger.name == *ledger
                && target
                    .point()
                    .register()
                    .is_some_and(|register| register.span.at == *at)
        }));
    }
    if led.len() > 1 {
        let some: Vec<String> = led.iter().take(3).map(Target::id).collect();
        return Err(HostError::usage(
            format!("`{}` means several entities", crate::format::visible(text)),
            format!("Name one by its id: {}.", some.join(", ")),
        ));
    }
    if let Some(target) = led.pop() {
        return Ok(target);
    }
    let hint = match likely(devices, text) {
        Some(name) => format!("Did you mean {name}? {list}"),
        None => list.to_owned(),
    };
    match parsed {
        Ok(_) => Err(HostError::nothing_found(
            format!("there is no entity `{}`", crate::format::visible(text)),
            hint,
        )),
        Err(fault) => Err(HostError::usage(fault, hint)),
    }
}

/// The longest wrong name for which a right one is looked for: whoever sends more means no harm to themselves alone.
const MOST_NAME: usize = 80;

/// The name that comes nearest to a wrong one, of those that can be written.
fn likely(devices: &[Arc<Device>], text: &str) -> Option<String> {
    if text.len() > MOST_NAME {
        return None;
    }
    let wanted = text.rsplit(['.', ':']).next().unwrap_or_default();
    let mut best: (f64, Option<Target>) = (0.9, None);
    for target in targets(devices).filter(|target| target.point().write.is_some()) {
        let likeness = strsim::jaro_winkler(&target.point().key, wanted);
        if likeness > best.0 {
            best = (likeness, Some(target));
        }
    }
    best.1
        .map(|target| format!("{}:{}", target.device.meta.ledger.name, target.point().key))
}

/// The entities of devices that the maker lets one set, as far as they exist.
pub fn targets(devices: &[Arc<Device>]) -> impl Iterator<Item = Target> + '_ {
    all_targets(devices).filter(|target| target.point().writable)
}

/// All entities of devices.
pub fn all_targets(devices: &[Arc<Device>]) -> impl Iterator<Item = Target> + '_ {
    devices.iter().flat_map(|device| {
        let there: Vec<bool> = device
            .state()
            .slots
            .iter()
            .map(crate::bus::Slot::is_polled)
            .collect();
        let there = there
            .into_iter()
            .enumerate()
            .filter_map(|(index, there)| there.then_some(index));
        there.map(|index| Target {
            device: Arc::clone(device),
            index,
        })
    })
}
