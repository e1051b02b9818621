//! What an owner changes in what was set up, by himself: names, intervals, addresses, what is put away, what takes another's
//! place, what is removed, and what may be written. One description of each, whether a host runs or not.

use std::collections::BTreeSet;
use std::time::Duration;

use busbar_store::{AuditRow, Connection, Device, Registry};
use busbar_wire::{Endpoint, EndpointError};
use serde::{Deserialize, Serialize};

use crate::config::{Config, SHORTEST_INTERVAL, SiteConfig, WritesConfig, format_duration};
use crate::error::{HostError, Result};
use crate::settings::ConnectionOptions;
use crate::write::policy::Kept;

/// The longest name of a device or an entity, in characters.
const LONGEST_NAME: usize = 64;

/// A change. Connections are named by their name or id, devices and entities by their id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum Change {
    /// Gives a connection another name.
    RenameConnection {
        /// Which.
        connection: String,
        /// Its new name.
        name: String,
    },
    /// How often a connection is polled; `None`: as usual.
    Interval {
        /// Which.
        connection: String,
        /// At least 100 ms.
        interval: Option<Duration>,
    },
    /// Gives a connection another address. That its devices are there is for the caller to know.
    Move {
        /// Which.
        connection: String,
        /// Its new URL.
        url: String,
    },
    /// Gives a device the owner's name, or takes it away.
    NameDevice {
        /// Which.
        device: String,
        /// 1 to 64 characters.
        name: Option<String>,
    },
    /// Gives an entity the owner's name, or takes it away.
    NameEntity {
        /// Which.
        entity: String,
        /// 1 to 64 characters.
        name: Option<String>,
    },
    /// Which entities of a device are put away: neither polled nor shown. All others of it are taken back.
    Choose {
        /// Which device.
        device: String,
        /// The keys of what is put away.
        put_away: BTreeSet<String>,
    },
    /// Puts one device in the place of another: what is found as `new` from now on is `old`, whose ids, names and history go
    /// on.
    Replace {
        /// The device that was there.
        old: String,
        /// The id under which a scan finds, or has found, the one in its place.
        new: String,
    },
    /// Removes a device.
    RemoveDevice {
        /// Which.
        device: String,
    },
    /// Removes a connection with all its devices.
    RemoveConnection {
        /// Which.
        connection: String,
    },
    /// How the site is made: the limits of writes.
    Site {
        /// All of it.
        site: SiteConfig,
    },
    /// What may be written on a connection.
    Writes {
        /// Which.
        connection: String,
        /// All of it.
        writes: WritesConfig,
    },
}

impl Change {
    /// The connection that it names, where it names one.
    pub fn connection(&self) -> Option<&str> {
        match self {
            Change::RenameConnection { connection, .. }
            | Change::Interval { connection, .. }
            | Change::Move { connection, .. }
            | Change::RemoveConnection { connection }
            | Change::Writes { connection, .. } => Some(connection),
            _ => None,
        }
    }

    /// Whether a running host carries it out only after it is started again: how far writing goes is read once.
    pub fn needs_restart(&self) -> bool {
        matches!(self, Change::Site { .. } | Change::Writes { .. })
    }
}

/// Why a change will not last as it is: the file says otherwise, and wins. `connection` is the one that it is about. Pure.
pub fn overruled(change: &Change, connection: Option<&Connection>, config: &Config) -> Option<String> {
    let named = connection.and_then(|known| config.connections.iter().find(|c| c.name == known.name));
    let says = |what: &str| Some(format!("busbar.toml says {what}, and wins: change it there, too"));
    match change {
        Change::Site { site } if config.site.or(site) != *site => says("otherwise of [site]"),
        Change::Interval { .. } if named?.interval.is_some() => says("another interval"),
        Change::Writes { .. } if named?.writes.is_some() => says("what may be written there"),
        Change::Move { url, .. } => {
            let endpoint = |url: &str| url.parse::<Endpoint>().ok();
            let same = endpoint(&named?.url).is_some_and(|of| Some(of) == endpoint(url));
            if same { None } else { says("another address") }
        }
        Change::RenameConnection { .. } if named.is_some() => Some(
            "busbar.toml has this connection by its old name, and would make it again: rename it there, too".to_owned(),
        ),
        Change::RemoveConnection { .. } if named.is_some() => Some(
            "busbar.toml names this connection, so that the next start would scan it again: remove it there, too"
                .to_owned(),
        ),
        _ => None,
    }
}

/// Whether a change goes together with the file. `connection` is the one that it is about. Pure.
///
/// # Errors
/// A usage error for a name that the file has for another address: the connection would be moved there at the next start,
/// with what the file lets one write there.
pub fn fits(change: &Change, connection: Option<&Connection>, config: &Config) -> Result<()> {
    let (Change::RenameConnection { name, .. }, Some(known)) = (change, connection) else {
        return Ok(());
    };
    let same = |url: &str| {
        url.parse::<Endpoint>()
            .is_ok_and(|of| of.to_string() == known.url)
    };
    match config.connections.iter().find(|c| c.name == *name) {
        Some(named) if known.name != *name && !same(&named.url) => Err(HostError::usage(
            format!("busbar.toml has a connection {name:?} already, at another address"),
            "Choose another name, or change it there first.",
        )),
        _ => Ok(()),
    }
}

/// What goes or changes with a change, a line each, for the owner to agree to. Nothing where nothing is lost.
///
/// # Errors
/// The store's; [`HostError::NothingFound`] for what is not there.
pub async fn consequences(registry: &Registry, change: &Change) -> Result<Vec<String>> {
    match change {
        Change::RemoveDevice { device } => removal(registry, &[known_device(registry, device).await?]).await,
        Change::RemoveConnection { connection } => {
            let connection = known_connection(registry, connection).await?;
            let mut lines = removal(registry, &registry.devices_of(&connection.id).await?).await?;
            lines.push(
                "What was learned about talking to its devices, and the evidence of its scans.".to_owned(),
            );
            Ok(lines)
        }
        Change::Replace { old, new } => {
            let old = known_device(registry, old).await?;
            its_like(registry, &old, new).await?;
            let mut lines = vec![format!(
                "\"{}\" keeps its ids, names and history, and is from now on what is found as {new}.",
                name_of(&old)
            )];
            if registry.devices().await?.iter().any(|device| device.id == *new) {
                lines.push(format!(
                    "The entry {new} goes: with its names, and what was allowed to be written to it."
                ));
            }
            if allowed(registry, std::slice::from_ref(&old)).await? > 0 {
                lines.push(
                    "What may be written was allowed for the old one: it is refused until you say \
                     `busbar limits --confirm`."
                        .to_owned(),
                );
            }
            Ok(lines)
        }
        _ => Ok(Vec::new()),
    }
}

async fn removal(registry: &Registry, devices: &[Device]) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for device in devices {
        let entities = registry.entities(Some(&device.id)).await?;
        let named = entities.iter().filter(|entity| entity.name.is_some()).count();
        let names = match named {
            0 => String::new(),
            1 => ", one with a name of yours".to_owned(),
            n => format!(", {n} with names of yours"),
        };
        lines.push(format!(
            "\"{}\" ({}) with its {} entities{names}.",
            name_of(device),
            device.id,
            entities.len()
        ));
    }
    match allowed(registry, devices).await? {
        0 => {}
        1 => lines.push("Your leave to write one entity.".to_owned()),
        n => lines.push(format!("Your leave to write {n} entities.")),
    }
    lines.push(
        "Its history stays until it is old, and the audit stays; a scan would find it again, as new."
            .to_owned(),
    );
    Ok(lines)
}

async fn allowed(registry: &Registry, devices: &[Device]) -> Result<usize> {
    let approvals = registry.approvals().await?;
    let of = |entity: &str| {
        let id = entity.split_once('.').map_or("", |(device, _)| device);
        devices.iter().any(|device| device.id == id)
    };
    Ok(approvals.iter().filter(|approval| of(&approval.entity)).count())
}

/// The name of a device for people.
fn name_of(device: &Device) -> &str {
    let own = device.own_name.as_deref().or(device.name.as_deref());
    own.unwrap_or(&device.id)
}

/// Carries a change out in the registry. A running host does this by [`Host::change`](crate::host::Host::change).
///
/// # Errors
/// The store's; a usage error for what cannot be; [`HostError::NothingFound`] for what is not there; a refusal where a held
/// value still hangs on what is to go.
pub async fn apply(registry: &Registry, change: &Change) -> Result<()> {
    match change {
        Change::RenameConnection { connection, name } => {
            edit(registry, connection, |connection| {
                connection.name.clone_from(name);
                Ok(())
            })
            .await
        }
        Change::Interval { connection, interval } => {
            if interval.is_some_and(|interval| interval < SHORTEST_INTERVAL) {
                return Err(HostError::usage(
                    "the interval is below 100ms, the shortest that is polled",
                    "Write 1s, 5s or 1m.",
                ));
            }
            let text = interval.map(format_duration);
            set_options(registry, connection, |options| options.interval = text).await
        }
        Change::Move { connection, url } => {
            let endpoint: Endpoint = url
                .parse()
                .map_err(|e: EndpointError| HostError::usage(e.to_string(), e.hint()))?;
            let url = endpoint.to_string();
            let known = known_connection(registry, connection).await?;
            let others = registry.connections().await?;
            if let Some(other) = others
                .iter()
                .find(|other| other.url == url && other.id != known.id)
            {
                return Err(HostError::usage(
                    format!("{url} is the address of \"{}\"", other.name),
                    "Two connections to one address would only be in each other's way: remove one of them first.",
                ));
            }
            super::relocate(registry, &known.id, &url).await.map(drop)
        }
        Change::NameDevice { device, name } => {
            known_device(registry, device).await?;
            let name = name.as_deref().map(checked_name).transpose()?;
            Ok(registry.name_device(device, name).await?)
        }
        Change::NameEntity { entity, name } => {
            let name = name.as_deref().map(checked_name).transpose()?;
            if registry.entity(entity).await?.is_none() {
                return Err(not_there("entity", entity, "`busbar entities` lists them."));
            }
            Ok(registry.name_entity(entity, name).await?)
        }
        Change::Choose { device, put_away } => {
            known_device(registry, device).await?;
            refuse_held(registry, |of, key| of == device && put_away.contains(key)).await?;
            Ok(registry.choose_entities(device, put_away).await?)
        }
        Change::Replace { old, new } => {
            let old = known_device(registry, old).await?;
            let there = its_like(registry, &old, new).await?;
            let both: Vec<Device> = there.iter().cloned().chain([old.clone()]).collect();
            refuse_while_held(registry, &both).await?;
            registry.replace_device(&old.id, new).await?;
            match there {
                Some(there) => hand_over_ledger(registry, &there, &old.id).await,
                None => Ok(()),
            }
        }
        Change::RemoveDevice { device } => {
            let device = known_device(registry, device).await?;
            refuse_while_held(registry, std::slice::from_ref(&device)).await?;
            Ok(registry.remove_device(&device.id).await?)
        }
        Change::RemoveConnection { connection } => {
            let connection = known_connection(registry, connection).await?;
            refuse_while_held(registry, &registry.devices_of(&connection.id).await?).await?;
            Ok(registry.remove_connection(&connection.id).await?)
        }
        Change::Site { site } => {
            site.site().map_err(|fault| {
                HostError::usage(fault, "Say it again; `busbar limits` shows what follows from it.")
            })?;
            Ok(registry.put_site(&to_value(site)?).await?)
        }
        Change::Writes { connection, writes } => {
            writes.check().map_err(|fault| {
                HostError::usage(
                    fault,
                    "`busbar limits --all` lists what can be written, and within which limits.",
                )
            })?;
            let kept = to_value(writes)?;
            set_options(registry, connection, |options| options.writes = Some(kept)).await
        }
    }
}

/// A ledger that a plugin made for one device describes it, and not the one whose id it has from now on.
async fn hand_over_ledger(registry: &Registry, from: &Device, to: &str) -> Result<()> {
    set_options(registry, &from.connection_id, |options| {
        let made = options.device_ledgers.remove(&from.id);
        options.device_ledgers.remove(to);
        options
            .device_ledgers
            .extend(made.map(|text| (to.to_owned(), text)));
    })
    .await
}

/// The device of this id, where the registry has it: then it has to be of the kind that it replaces.
async fn its_like(registry: &Registry, old: &Device, new: &str) -> Result<Option<Device>> {
    let there = registry
        .devices()
        .await?
        .into_iter()
        .find(|device| device.id == new);
    match there {
        Some(there) if there.ledger != old.ledger => Err(HostError::usage(
            format!(
                "{new} is a {}, and {} a {}: only its like can take a device's place",
                there.ledger, old.id, old.ledger
            ),
            "Keep both, and remove the one that is gone.",
        )),
        there => Ok(there),
    }
}

/// A value that is held for one of these devices has to come back to what is safe first.
async fn refuse_while_held(registry: &Registry, devices: &[Device]) -> Result<()> {
    refuse_held(registry, |of, _| devices.iter().any(|device| device.id == of)).await
}

/// The same for what the device and the key of an entity tell.
async fn refuse_held(registry: &Registry, concerns: impl Fn(&str, &str) -> bool) -> Result<()> {
    let leases = registry.open_leases().await?;
    let held = leases.iter().find_map(|row: &AuditRow| {
        let entity = row.entry.entity.as_deref()?;
        let (of, key) = entity.split_once('.')?;
        concerns(of, key).then_some(entity)
    });
    match held {
        None => Ok(()),
        Some(entity) => Err(HostError::failed(
            "lease_open",
            format!("{entity} is held at a value of yours"),
            format!("End that first: busbar lease end {entity}"),
        )),
    }
}

/// A name for people: what stands between blanks, without control characters.
fn checked_name(name: &str) -> Result<&str> {
    let name = name.trim();
    let length = name.chars().count();
    if (1..=LONGEST_NAME).contains(&length) && !name.chars().any(char::is_control) {
        return Ok(name);
    }
    Err(HostError::usage(
        "that is no name: 1 to 64 characters, none of them a control character",
        "Write a shorter one, or leave it out to take the device's own.",
    ))
}

async fn set_options(
    registry: &Registry,
    connection: &str,
    set: impl FnOnce(&mut ConnectionOptions),
) -> Result<()> {
    edit(registry, connection, |connection| {
        let mut options = ConnectionOptions::of(connection);
        set(&mut options);
        connection.options = to_value(&options)?;
        Ok(())
    })
    .await
}

async fn edit(
    registry: &Registry,
    connection: &str,
    edit: impl FnOnce(&mut Connection) -> Result<()>,
) -> Result<()> {
    let connection = known_connection(registry, connection).await?;
    registry.edit_connection(&connection.id, edit).await.map(drop)
}

fn to_value(what: &impl Serialize) -> Result<serde_json::Value> {
    serde_json::to_value(what)
        .map_err(|e| HostError::failed("internal", e.to_string(), "Please report this."))
}

async fn known_connection(registry: &Registry, connection: &str) -> Result<Connection> {
    let known = registry.connection(connection).await?;
    known.ok_or_else(|| not_there("connection", connection, "`busbar doctor` lists them."))
}

async fn known_device(registry: &Registry, id: &str) -> Result<Device> {
    let known = registry
        .devices()
        .await?
        .into_iter()
        .find(|device| device.id == id);
    known.ok_or_else(|| not_there("device", id, "`busbar devices` lists them."))
}

fn not_there(what: &str, id: &str, hint: &str) -> HostError {
    HostError::nothing_found(format!("there is no {what} {id:?} in the registry"), hint)
}

/// How the site is made, as far as the registry has it. What cannot be read says nothing.
///
/// # Errors
/// The store's.
pub async fn stored_site(registry: &Registry) -> Result<SiteConfig> {
    let kept = registry.site().await?;
    Ok(kept
        .and_then(|site| serde_json::from_value(site).ok())
        .unwrap_or_default())
}

/// What may be written on a connection, as far as the registry says.
pub fn stored_writes(connection: &Connection) -> WritesConfig {
    ConnectionOptions::of(connection).writes().unwrap_or_default()
}

/// All that the registry keeps of the owner's word about writing.
///
/// # Errors
/// The store's.
pub async fn kept(registry: &Registry) -> Result<Kept> {
    Ok(Kept {
        site: stored_site(registry).await?,
        connections: registry.connections().await?,
    })
}

#[cfg(test)]
mod tests {
    use busbar_store::{Found, FoundDevice, NewConnection};
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn a_device_in_anothers_place_is_read_by_its_own_ledger() {
        let dir = tempfile::tempdir().unwrap();
        let (registry, _) = Registry::open(dir.path()).await.unwrap();
        let mut ids = Vec::new();
        for name in ["old", "new"] {
            let connection = NewConnection {
                name: name.into(),
                url: "modbus+tcp://h:502".into(),
                plugin: None,
                options: json!({ "interval": "7s", "device_ledgers": { (name): format!("made for {name}") } }),
            };
            let connection = registry.add_connection(connection, 1).await.unwrap();
            let device = FoundDevice {
                id: name.into(),
                unit_id: 1,
                ledger: "a/b".into(),
                name: None,
                model: None,
                serial: None,
                firmware: None,
                entities: Vec::new(),
                readable: Vec::new(),
                complete: true,
            };
            let found = Found {
                devices: vec![device],
                asked: Vec::new(),
            };
            registry.apply_scan(&connection.id, &found, 1).await.unwrap();
            ids.push(connection.id);
        }
        let change = Change::Replace {
            old: "old".into(),
            new: "new".into(),
        };
        apply(&registry, &change).await.unwrap();
        let merged = known_device(&registry, "old").await.unwrap();
        assert_eq!(merged.connection_id, ids[1]);
        let there = known_connection(&registry, &ids[1]).await.unwrap();
        let options = ConnectionOptions::of(&there);
        assert_eq!(options.interval.as_deref(), Some("7s"));
        let made = [("old".to_owned(), "made for new".to_owned())];
        assert_eq!(options.device_ledgers, made.into());
    }

    /// A registry with these connections, and where it lies.
    async fn registry(names: [&str; 2]) -> (Registry, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let (registry, _) = Registry::open(dir.path()).await.unwrap();
        for name in names {
            let new = NewConnection {
                name: name.to_owned(),
                url: format!("modbus+tcp://{name}:502"),
                plugin: None,
                options: json!({}),
            };
            registry.add_connection(new, 1).await.unwrap();
        }
        (registry, dir)
    }

    #[tokio::test]
    async fn an_address_is_for_one_connection() {
        let (registry, _dir) = registry(["home", "shed"]).await;
        let to = |url: &str| Change::Move {
            connection: "shed".to_owned(),
            url: url.to_owned(),
        };
        let taken = apply(&registry, &to("modbus+tcp://home")).await.unwrap_err();
        assert!(taken.to_string().contains("\"home\""), "{taken}");
        for free in ["modbus+tcp://shed", "modbus+tcp://elsewhere"] {
            apply(&registry, &to(free)).await.unwrap();
        }
        assert!(apply(&registry, &to("nonsense")).await.is_err());
    }

    #[test]
    fn a_name_is_for_people() {
        assert_eq!(checked_name("  Cellar ").unwrap(), "Cellar");
        for bad in ["", "  ", "a\nb", &"x".repeat(65)] {
            assert!(checked_name(bad).is_err(), "{bad:?}");
        }
    }
}
