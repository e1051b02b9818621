//! Takes over what a scan found into the registry, as a whole.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use busbar_ledger::evidence::Outcome;
use busbar_ledger::span::Function;
use busbar_store::{Asked, Connection, Diff, Found, FoundEntity, NewConnection, Registry, ScanState, Tally};
use busbar_wire::Endpoint;
use serde_json::json;

use super::words::{stored_evidence, stored_ranges, stored_status};
use crate::catalog::Catalog;
use crate::clock;
use crate::discover::report::{EntityReport, entity_id};
use crate::discover::{self, FoundDevice, Scan};
use crate::error::{HostError, Result};
use crate::profile;
use crate::settings::ConnectionOptions;

/// Stands for the connection in the ids of devices without a serial number, as long as nothing is saved.
pub const UNSAVED: &str = "unsaved";

/// What saving did.
#[derive(Debug)]
pub struct Saved {
    /// The connection, made or found.
    pub connection: Connection,
    /// What became different by it.
    pub diff: Diff,
    /// Ledgers of the owner's own that read otherwise than the ones that were kept: they are kept in their place.
    pub ledgers: Vec<String>,
}

/// The serial port in a URL.
fn port(url: &str) -> Option<PathBuf> {
    let endpoint: Endpoint = url.parse().ok()?;
    endpoint.port().map(Path::to_owned)
}

/// A name for a connection nobody has named: the host in its URL, or the port's file name.
pub fn connection_name(url: &str) -> String {
    if let Some(name) = port(url).as_deref().and_then(Path::file_name) {
        return name.to_string_lossy().into_owned();
    }
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = match rest.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or(v6),
        None => rest.split(['/', '?', ':']).next().unwrap_or(rest),
    };
    let port = rest
        .split('/')
        .next()
        .and_then(|place| place.rsplit_once(':'))
        .map(|(_, p)| p)
        .filter(|p| !["502", "80"].contains(p) && !p.contains(']'));
    match port {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

/// The connection that is meant: by name where one was given, else the one that has this URL. A serial port is one
/// connection, however the line is set.
///
/// # Errors
/// The store's.
pub async fn known(registry: &Registry, url: &str, name: Option<&str>) -> Result<Option<Connection>> {
    Ok(match name {
        Some(name) => registry.connection(name).await?,
        None => {
            let line = port(url);
            let same = |other: &str| other == url || (line.is_some() && port(other) == line);
            registry.connections().await?.into_iter().find(|c| same(&c.url))
        }
    })
}

/// The connection that is meant, made when it is new. One that is known by its name or its port moves to this URL.
///
/// # Errors
/// The store's.
pub async fn connection(
    registry: &Registry,
    url: &str,
    name: Option<&str>,
    plugin: Option<&str>,
) -> Result<Connection> {
    if let Some(connection) = known(registry, url, name).await? {
        return match connection.url == url {
            true => Ok(connection),
            false => move_to(registry, &connection, url).await,
        };
    }
    let new = NewConnection {
        name: name.map_or_else(|| connection_name(url), str::to_owned),
        url: url.to_owned(),
        plugin: plugin.map(str::to_owned),
        options: json!({}),
    };
    Ok(registry.add_connection(new, clock::now_ms()).await?)
}

/// Gives a connection another address, and leaves all else as it is by now.
pub(super) async fn move_to(registry: &Registry, connection: &Connection, url: &str) -> Result<Connection> {
    let moved = registry.edit_connection(&connection.id, |connection| {
        connection.url = url.to_owned();
        Ok(())
    });
    moved.await
}

/// Stores a scan: its evidence, and what it changes.
///
/// # Errors
/// The store's; then nothing of it counts.
pub async fn save(
    registry: &Registry,
    catalog: &Catalog,
    mut connection: Connection,
    scan: &mut Scan,
) -> Result<Saved> {
    settle_ids(registry, scan, &connection.id).await?;
    keep_apart(registry, catalog, scan, &connection.id).await?;
    let ledgers = keep_ledgers(registry, catalog, &mut connection, scan).await?;
    let report = &scan.report;
    let now = clock::now_ms();
    let started = now - i64::try_from(report.elapsed_ms).unwrap_or(0);
    let id = registry
        .begin_scan(&connection.id, &report.mode, "", started)
        .await?;
    let evidence: Vec<_> = scan.evidence.iter().map(stored_evidence).collect();
    registry.record_evidence(id, &evidence).await?;
    let diff = registry.apply_scan(&connection.id, &found(scan), now).await?;
    let state = if scan.cancelled {
        ScanState::Cancelled
    } else {
        ScanState::Complete
    };
    let tally = Tally {
        requests: report.requests,
        exceptions: report.exceptions,
        probed: report.coverage.probed,
        possible: report.coverage.possible,
    };
    profile::keep(registry, &connection.id, |p| {
        profile::learn_scan(p, &scan.devices)
    })
    .await;
    let note = report.warnings.join(" ");
    registry
        .finish_scan(
            id,
            state,
            tally,
            Some(note.as_str()).filter(|n| !n.is_empty()),
            clock::now_ms(),
        )
        .await?;
    Ok(Saved {
        connection,
        diff,
        ledgers,
    })
}

/// Keeps the owner's own ledgers, and those made for one device, beside the connection whose devices they describe.
async fn keep_ledgers(
    registry: &Registry,
    catalog: &Catalog,
    connection: &mut Connection,
    scan: &Scan,
) -> Result<Vec<String>> {
    let mut changed = Vec::new();
    let (mut own, mut composed) = (BTreeMap::new(), BTreeMap::new());
    for device in &scan.devices {
        let FoundDevice { report, ledger, .. } = device;
        if let Some(text) = &device.ledger_text {
            composed.insert(report.id.clone(), text.clone());
            catalog.keep_composed(&report.id, ledger);
        } else if let Some(text) = catalog.own_text(&report.ledger) {
            own.insert(report.ledger.clone(), text);
        }
    }
    if own.is_empty() && composed.is_empty() {
        return Ok(changed);
    }
    // What the owner says of the connection while it is scanned stays as he says it.
    let edited = registry.edit_connection::<HostError>(&connection.id, |connection| {
        let mut options = ConnectionOptions::of(connection);
        for (name, text) in own {
            let kept = options.ledgers.insert(name.clone(), text.clone());
            if kept.is_some_and(|kept| kept != text) {
                changed.push(name);
            }
        }
        options.device_ledgers.extend(composed);
        connection.options = serde_json::to_value(options)
            .map_err(|e| HostError::failed("internal", e.to_string(), "Please report this."))?;
        Ok(())
    });
    *connection = edited.await?;
    Ok(changed)
}

/// What saving a scan would change.
///
/// # Errors
/// The store's.
pub async fn preview(
    registry: &Registry,
    catalog: &Catalog,
    connection: &Connection,
    scan: &mut Scan,
) -> Result<Diff> {
    settle_ids(registry, scan, &connection.id).await?;
    keep_apart(registry, catalog, scan, &connection.id).await?;
    Ok(registry
        .preview_scan(&connection.id, &found(scan), clock::now_ms())
        .await?)
}

/// Devices without a serial number are called after their connection, which only now has an id; and what took another's
/// place is called as that one.
async fn settle_ids(registry: &Registry, scan: &mut Scan, connection_id: &str) -> Result<()> {
    let unsaved = format!("{UNSAVED}_");
    let settled = |id: &str| match id.strip_prefix(&unsaved) {
        Some(rest) => format!("{connection_id}_{rest}"),
        None => id.to_owned(),
    };
    let ids: Vec<String> = scan.devices.iter().map(|d| settled(&d.report.id)).collect();
    let ids = discover::in_place(ids.iter().map(String::as_str), &registry.replacements().await?);
    for ((device, shown), id) in scan.devices.iter_mut().zip(&mut scan.report.devices).zip(ids) {
        if device.report.id == id {
            continue;
        }
        let report = &mut device.report;
        for entity in report.entities.iter_mut().chain(&mut report.added_up) {
            entity.id = entity_id(&id, &entity.key);
        }
        device.report.id = id;
        *shown = device.report.clone();
    }
    Ok(())
}

/// A plugin that does not ship gives devices what ids it likes. One that is known by another's ledger stays as it is known:
/// its names, its history and what may be written to it are not that plugin's to move.
async fn keep_apart(
    registry: &Registry,
    catalog: &Catalog,
    scan: &mut Scan,
    connection_id: &str,
) -> Result<()> {
    let Some(plugin) = scan.report.plugin.clone().filter(|plugin| !catalog.ships(plugin)) else {
        return Ok(());
    };
    let known = registry.devices().await?;
    let replaced = registry.replacements().await?;
    let mut others = Vec::new();
    scan.devices.retain(|FoundDevice { report, .. }| {
        let Some(known) = known.iter().find(|known| known.id == report.id) else {
            return true;
        };
        let its_own = catalog.plugin_of(&known.ledger).as_ref() == Some(&plugin);
        let same = (&*known.connection_id, known.unit_id, &known.ledger)
            == (connection_id, report.unit_id, &report.ledger);
        // That another takes its place is the owner's word.
        let by_owner = known.ledger == report.ledger && replaced.values().any(|old| *old == known.id);
        let keeps = its_own || same || by_owner;
        if !keeps {
            others.push(format!(
                "plugin {plugin} found {} at unit {} as {}, and it is known as {} at unit {}: it is left as it is known. \
                 `busbar change remove {}` forgets it, if the plugin is right.",
                report.id, report.unit_id, report.ledger, known.ledger, known.unit_id, report.id
            ));
        }
        keeps
    });
    scan.report.devices = scan.devices.iter().map(|d| d.report.clone()).collect();
    scan.report.warnings.extend(others);
    Ok(())
}

/// A scan in the words of the store.
pub fn found(scan: &Scan) -> Found {
    let devices = scan.devices.iter().map(found_device).collect();
    let asked = scan
        .evidence
        .iter()
        .filter(|a| scan.is_about(a.unit) && matches!(a.outcome, Outcome::Words(_) | Outcome::Exception(_)))
        .map(|a| Asked {
            unit_id: a.unit,
            function: a.span.function.code(),
            at: a.span.at,
            count: a.span.count,
        })
        .collect();
    Found { devices, asked }
}

/// One device in the words of the store.
pub fn found_device(device: &FoundDevice) -> busbar_store::FoundDevice {
    let report = &device.report;
    busbar_store::FoundDevice {
        id: report.id.clone(),
        unit_id: report.unit_id,
        ledger: report.ledger.clone(),
        name: Some(report.name.clone()),
        model: report.model.clone(),
        serial: report.serial.clone(),
        firmware: report.firmware.clone(),
        entities: report.all_entities().map(found_entity).collect(),
        readable: stored_ranges(&device.readable),
        complete: device.complete,
    }
}

fn found_entity(entity: &EntityReport) -> FoundEntity {
    let function = match entity.function.as_deref() {
        Some("coils") => Function::Coils,
        Some("discrete") => Function::Discrete,
        Some("input") => Function::Input,
        _ => Function::Holding,
    };
    FoundEntity {
        key: entity.key.clone(),
        at: entity.at,
        function: entity.at.map(|_| function.code()),
        bit: entity.bit,
        status: stored_status(entity.status),
        proof: Some(entity.proof.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_named_after_its_host() {
        for (url, name) in [
            ("modbus+tcp://gx.local:502", "gx.local"),
            ("modbus+tcp://192.168.1.20:5020", "192.168.1.20:5020"),
            ("modbus+tcp://[fe80::1]:502", "fe80::1"),
            ("modbus+rtu+tcp://gateway:4001", "gateway:4001"),
            ("modbus+rtu:///dev/ttyUSB0?baud=9600&parity=none", "ttyUSB0"),
            ("p1:///dev/ttyUSB0", "ttyUSB0"),
            ("p1+tcp://gateway:23", "gateway:23"),
            ("p1+http://meter.local:80/api/v1/telegram", "meter.local"),
            ("p1+http://meter.local:8080/x:y", "meter.local:8080"),
            (
                "modbus+rtu:///dev/serial/by-id/usb-FTDI_FT232R%20UART-if00?baud=9600&parity=none",
                "usb-FTDI_FT232R UART-if00",
            ),
        ] {
            assert_eq!(connection_name(url), name);
        }
    }
}
