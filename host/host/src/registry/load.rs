//! What the registry holds, as devices to poll and as views to show.

use std::collections::HashMap;
use std::sync::Arc;

use busbar_ledger::model::Ledger;
use busbar_ledger::presence;
use busbar_ledger::span::{Function, Span};
use busbar_plugin_sdk::Found;
use busbar_store::{Entity, Lifecycle, Registry};
use tracing::warn;

use super::words::{ranges, status};
use crate::bus::{Bus, Device, DeviceMeta, OwnersWord};
use crate::catalog::Catalog;
use crate::discover;
use crate::doctor::UNREADABLE;
use crate::energy::wanted::Wanted;
use crate::error::Result;
use crate::profile;
use crate::settings::ConnectionOptions;

/// Takes in the ledgers that the registry keeps: the owner's own, and those made for one device.
///
/// # Errors
/// The store's. A ledger that is no longer accepted is told of, and its devices are not polled.
pub async fn adopt_ledgers(registry: &Registry, catalog: &Catalog) -> Result<()> {
    let devices = registry.devices().await?;
    for connection in registry.connections().await? {
        let options = ConnectionOptions::of(&connection);
        // A device that was here once may be on another connection now, with a ledger that was made for it there.
        let is_here = |id: &String| {
            devices
                .iter()
                .any(|d| d.id == *id && d.connection_id == connection.id)
        };
        let own = options
            .ledgers
            .iter()
            .map(|(name, text)| catalog.adopt(name, text));
        let composed = options
            .device_ledgers
            .iter()
            .filter(|(device, _)| is_here(device))
            .map(|(device, text)| catalog.adopt_composed(device, text));
        for error in own.chain(composed).filter_map(Result::err) {
            warn!("\"{}\": {error}", connection.name);
        }
    }
    Ok(())
}

/// The devices of one connection: all but those put away by their owner, none of them read yet. A device whose ledger
/// is not there (its plugin is missing) is shown with that as the reason, and not polled. `wanted` are the counters of days,
/// months and tariffs that a running host adds.
///
/// # Errors
/// The store's.
pub async fn devices_of(
    registry: &Registry,
    catalog: &Catalog,
    connection_id: &str,
    connection_name: &str,
    wanted: Option<&Wanted>,
) -> Result<Vec<Arc<Device>>> {
    let mut devices = Vec::new();
    for stored in registry.devices_of(connection_id).await? {
        if stored.lifecycle == Lifecycle::Retired {
            continue;
        }
        let (ledger, unreadable) = match catalog.ledger_of(&stored.id, &stored.ledger) {
            Ok(ledger) => (ledger, None),
            Err(error) => {
                let Some(nothing) = nothing_described(&stored.ledger) else {
                    warn!(device = %stored.id, "not polled: {error}");
                    continue;
                };
                let why = format!(
                    "{UNREADABLE}{error}; is the plugin that brings it there (`busbar plugin list`, --plugin-dir)?"
                );
                (nothing, Some(why))
            }
        };
        let entities = registry.entities(Some(&stored.id)).await?;
        let readable = ranges(&registry.readable(&stored.id).await?);
        // A device that was learned by function 3 is read by it.
        let by_holding = ledger
            .in_holding()
            .filter(|_| readable.iter().all(|s| s.function != Function::Input));
        let ledger = by_holding.map_or(ledger, Arc::new);
        let ledger = wanted.map_or_else(|| Arc::clone(&ledger), |wanted| wanted.added_to(&ledger));
        let device_is_missing = stored.lifecycle == Lifecycle::Missing;
        let known = by_key(&entities, device_is_missing);
        let meta = DeviceMeta {
            name: stored
                .own_name
                .or(stored.name)
                .unwrap_or_else(|| ledger.title.clone()),
            id: stored.id,
            connection: connection_name.to_owned(),
            connection_id: connection_id.to_owned(),
            unit: stored.unit_id,
            model: stored.model,
            serial: stored.serial,
            firmware: stored.firmware,
            ledger,
            missing: device_is_missing,
            unreadable,
        };
        let names = entities
            .iter()
            .filter_map(|e| Some((e.key.clone(), e.name.clone()?)));
        let put_away = entities.iter().filter(|e| e.lifecycle == Lifecycle::Retired);
        let owner = OwnersWord {
            names: names.collect(),
            put_away: put_away.map(|e| e.key.clone()).collect(),
        };
        let described = meta.unreadable.is_none();
        let ledger = Arc::clone(&meta.ledger);
        let device = Device::new(meta, readable, |key| {
            // What is counted of a counter is there where that is.
            let of = ledger
                .point(key)
                .and_then(|point| ledger.points.get(point.counted()?.of));
            let key = of.map_or(key, |of| of.key.as_str());
            let known = known.get(key).copied();
            let known = known.or_else(|| added_up(&ledger, key, &entities));
            known.filter(|_| described)
        });
        devices.push(Arc::new(device.of_owner(owner)));
    }
    Ok(devices)
}

/// Stands for a ledger that is not there: it has the name, and describes nothing that anybody has.
fn nothing_described(name: &str) -> Option<Arc<Ledger>> {
    let name = toml::Value::String(name.to_owned());
    let text = format!("ledger = {name}\ntitle = {name}\n[points]\nnothing = {{ at = 0, type = \"u16\" }}\n");
    busbar_ledger::parse("a ledger that is not there", &text)
        .ok()
        .map(Arc::new)
}

/// What an earlier scan of a connection found, for the next one to look at again.
///
/// # Errors
/// The store's.
pub async fn known_devices(registry: &Registry, connection_id: &str) -> Result<Vec<discover::FoundBefore>> {
    let mut known = Vec::new();
    let replaced = registry.replacements().await?;
    for stored in registry.devices_of(connection_id).await? {
        if stored.lifecycle == Lifecycle::Retired {
            continue;
        }
        let also = replaced.iter().filter(|(_, old)| **old == stored.id);
        let also = also.map(|(found, _)| found.clone()).collect();
        let readable = ranges(&registry.readable(&stored.id).await?);
        let Some(first) = readable.iter().next() else {
            continue;
        };
        known.push(discover::FoundBefore {
            found: Found {
                unit: stored.unit_id,
                ledger: stored.ledger,
                id: stored.id,
                name: None,
                model: stored.model,
                serial: stored.serial,
                firmware: stored.firmware,
                ledger_text: None,
            },
            register: Span { count: 1, ..first },
            also,
        });
    }
    Ok(known)
}

/// Whether an energy is added up that no scan has stored: one that the ledger got since.
fn added_up(ledger: &Ledger, key: &str, entities: &[Entity]) -> Option<presence::Status> {
    let integrated = ledger.point(key)?.integrated()?;
    if entities.iter().any(|entity| entity.key == key) {
        return None;
    }
    let known = by_key(entities, true);
    Some(presence::is_added_up(integrated, &|key| {
        known.get(key).copied().unwrap_or(presence::Status::Absent)
    }))
}

/// What exists on a device. One that is there may have lost some of its entities; of one that is missing as a whole,
/// what it had is shown.
fn by_key(entities: &[Entity], device_is_missing: bool) -> HashMap<&str, busbar_ledger::presence::Status> {
    entities
        .iter()
        .filter(|e| e.lifecycle != Lifecycle::Retired)
        .filter(|e| device_is_missing || e.lifecycle != Lifecycle::Missing)
        .map(|e| (e.key.as_str(), status(e.status)))
        .collect()
}

/// Everything that the registry holds, on a bus that nobody polls: for showing while no host runs.
///
/// # Errors
/// The store's.
pub async fn stored_views(registry: &Registry, catalog: &Catalog) -> Result<Bus> {
    adopt_ledgers(registry, catalog).await?;
    let bus = Bus::default();
    for connection in registry.connections().await? {
        let devices = devices_of(registry, catalog, &connection.id, &connection.name, None).await?;
        bus.put(&connection.name, devices);
        bus.put_profile(&connection.name, profile::load(registry, &connection).await);
    }
    Ok(bus)
}
