//! What the owner has allowed: which entities, on which connection, how far, until when. Pure.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use busbar_guard::{Cause, Refusal, Site};
use busbar_ledger::model::{Ledger, Point};
use busbar_ledger::write::{Storage, WriteRule};
use busbar_store::Connection;
use busbar_wire::Endpoint;
use sha2::{Digest, Sha256};

use super::target::{Target, all_targets, is_named, leads_to, targets};
use crate::bus::{Device, DeviceMeta};
use crate::clock;
use crate::config::names::Name;
use crate::config::{AllowEntry, Config, ConnectionConfig, SiteConfig, WritesConfig, moment};
use crate::error::HostError;
use crate::settings::ConnectionOptions;

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
    /// What tells two configurations apart.
    print: String,
    /// The ids of connections on which the owner has taken his leave back since.
    taken_back: Arc<Mutex<BTreeSet<String>>>,
}

#[derive(Clone, Debug)]
struct OnConnection {
    /// The connection's id, where the registry has it. It holds where a name may become another connection's, and where the
    /// connection gets another name.
    id: Option<String>,
    name: String,
    level: u8,
    until_ms: Option<i64>,
    entries: Vec<(Name, AllowEntry)>,
}

/// What the registry keeps of the owner's word: what was said in the wizard, and not in the file.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    /// How the site is made.
    pub site: SiteConfig,
    /// The connections, with what may be written on each.
    pub connections: Vec<Connection>,
}

impl OnConnection {
    fn new(name: &str, writes: &WritesConfig) -> Self {
        let until = |date: &Option<toml::value::Datetime>| date.as_ref().and_then(|date| moment(date).ok());
        let entries = writes.allow.iter().filter_map(|allow| {
            let entry = allow.entry();
            Some((Name::parse(&entry.entity).ok()?, entry))
        });
        OnConnection {
            id: None,
            name: name.to_owned(),
            level: writes.level,
            until_ms: until(&writes.until),
            entries: entries.collect(),
        }
    }

    fn of(self, connection: &Connection) -> Self {
        OnConnection {
            id: Some(connection.id.clone()),
            ..self
        }
    }

    /// Whether this is said of the connection that a device is on.
    fn is_of(&self, meta: &DeviceMeta) -> bool {
        match &self.id {
            Some(id) => *id == meta.connection_id,
            None => self.name == meta.connection,
        }
    }
}

impl Policy {
    /// What a configuration that was checked says, and where it says nothing, what the registry keeps. A connection of the
    /// registry that the file knows by another name is the same endpoint, and gets the file's name when the host takes it up.
    pub fn of(config: &Config, kept: &Kept) -> Self {
        let said = |c: &ConnectionConfig| Some(OnConnection::new(&c.name, c.writes.as_ref()?));
        let mut connections: Vec<_> = config.connections.iter().filter_map(said).collect();
        let mut words = format!("{connections:?}");
        for on in &mut connections {
            on.id = kept
                .connections
                .iter()
                .find(|c| c.name == on.name)
                .map(|c| c.id.clone());
        }
        for connection in &kept.connections {
            let named = config.connections.iter().find(|c| c.name == connection.name);
            let same = |c: &&ConnectionConfig| {
                c.url
                    .parse::<Endpoint>()
                    .is_ok_and(|url| url.to_string() == connection.url)
            };
            let configured = named.or_else(|| config.connections.iter().find(same));
            let in_file = configured.and_then(|c| c.writes.as_ref());
            connections.extend(match in_file {
                Some(_) if named.is_some() => None,
                Some(writes) => Some(OnConnection::new(&connection.name, writes).of(connection)),
                None => ConnectionOptions::of(connection).writes().map(|writes| {
                    // Whatever the connection is called.
                    words.push_str(&format!("{}: {writes:?}", connection.id));
                    OnConnection::new(&connection.name, &writes).of(connection)
                }),
            });
        }
        let site = config.site.or(&kept.site).site().unwrap_or_default();
        let digest = Sha256::digest(format!("{site:?} {words}"));
        Policy {
            site,
            print: digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect(),
            connections,
            taken_back: Arc::default(),
        }
    }

    /// From now on nothing is written on a connection, whose id this is, where `now` goes less far than this: a leave ends at
    /// once, and one is only given at a start.
    pub fn take_back(&self, connection: &str, now: &Policy) {
        let level = |policy: &Policy| {
            let here = |on: &&OnConnection| on.id.as_deref() == Some(connection);
            policy.connections.iter().find(here).map_or(0, |on| on.level)
        };
        if level(now) < level(self) {
            let mut taken_back = self.taken_back.lock().unwrap_or_else(PoisonError::into_inner);
            taken_back.insert(connection.to_owned());
        }
    }

    /// Whether an entry of the configuration names this entity, be it of use or not.
    pub fn names(&self, target: &Target) -> bool {
        let here = |on: &&OnConnection| on.is_of(&target.device.meta);
        let mut entries = self.connections.iter().filter(here).flat_map(|on| &on.entries);
        entries.any(|(name, _)| leads_to(name, target))
    }

    /// What tells two configurations apart, as far as writing is concerned.
    pub fn fingerprint(&self) -> &str {
        &self.print
    }

    /// Whether anything can be written at all: else the path is not even built.
    pub fn writes(&self) -> bool {
        self.connections.iter().any(|c| c.level > 0)
    }

    /// How far writing goes on the connection of a device.
    pub fn level(&self, meta: &DeviceMeta) -> u8 {
        self.connections
            .iter()
            .find(|on| on.is_of(meta))
            .map_or(0, |on| on.level)
    }

    /// The leave to write an entity.
    ///
    /// # Errors
    /// [`Cause::Level`], [`Cause::NotAllowed`], [`Cause::Expired`], [`Cause::NoRule`].
    pub fn allowed(&self, target: &Target, now_ms: i64) -> Result<Allowed, Refusal> {
        let meta = &target.device.meta;
        let point = target.point();
        let taken_back = self.taken_back.lock().unwrap_or_else(PoisonError::into_inner);
        if taken_back.contains(&meta.connection_id) {
            return Err(Refusal::new(
                Cause::Level,
                format!(
                    "you have lowered the level of \"{}\" since the host started",
                    meta.connection
                ),
                "Restart the host; `busbar limits` shows what may be written then.",
            ));
        }
        drop(taken_back);
        let Some(on) = self.connections.iter().find(|on| on.is_of(meta) && on.level > 0) else {
            return Err(Refusal::new(
                Cause::Level,
                format!(
                    "\"{}\" is read-only (level 0), which is the default",
                    meta.connection
                ),
                format!(
                    "To allow writing: `busbar setup`, or [connection.writes] with level = {} and allow = [\"{}:{}\"] \
                     below that connection in busbar.toml; then restart the host, also where you have allowed it already.",
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
                    "If that is what you want, allow it in `busbar setup`, or add \"{}:{}\" to allow in [connection.writes] of \"{}\" (level {}), and restart \
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
            let here: Vec<_> = devices.iter().filter(|d| on.is_of(&d.meta)).cloned().collect();
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
