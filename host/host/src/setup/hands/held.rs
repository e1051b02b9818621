//! A scan that is held until its owner has decided: what it found, what it would change, and how it is saved.

use std::collections::BTreeMap;
use std::sync::Arc;

use busbar_ledger::evidence::Outcome;
use busbar_store::{Connection, Diff, Registry};
use busbar_wire::{Endpoint, InFlight, Options};

use super::super::findings::{Changes, Findings};
use super::super::work::{Keep, Order};
use crate::bus::{Device, DeviceMeta};
use crate::catalog::Catalog;
use crate::cli::scan_report::{change_line, diff_lines};
use crate::discover::{Request, Scan};
use crate::error::{HostError, Result};
use crate::poll::blocks::reads;
use crate::profile::Profile;
use crate::registry::change::{self, Change};
use crate::registry::{self, Home, Saved};
use crate::telegrams::keys::Keys;
use crate::telegrams::way::Way;

/// A scan that was made and not saved.
pub struct Held {
    scan: Scan,
    url: String,
    /// The connection that it belongs to, as it is now.
    connection: Option<Connection>,
}

/// What a scan is asked for, as discovery takes it.
///
/// # Errors
/// The store's, an unknown ledger.
pub async fn request(registry: Option<&Registry>, catalog: &Catalog, order: &Order) -> Result<Request> {
    let known = match registry {
        Some(registry) => connection_of(registry, order).await?,
        None => None,
    };
    let found_before = match (registry, &known) {
        (Some(registry), Some(connection)) => registry::known_devices(registry, &connection.id).await?,
        _ => Vec::new(),
    };
    Ok(Request {
        connection: known
            .as_ref()
            .map_or_else(|| order.url.clone(), |c| c.name.clone()),
        connection_id: known.map_or_else(|| registry::UNSAVED.to_owned(), |c| c.id),
        plugin: order.plugin.clone(),
        ledger: order
            .ledger
            .as_deref()
            .map(|l| catalog.ledger_or_file(l))
            .transpose()?,
        mode: order.mode,
        units: order.units.clone(),
        known: found_before,
    })
}

/// A way of its own for a scan.
///
/// # Errors
/// A URL that is none.
pub fn way(request: &Request, url: &str, keys: Keys) -> Result<Way> {
    let endpoint: Endpoint = url
        .parse()
        .map_err(|e: busbar_wire::EndpointError| HostError::usage(e.to_string(), e.hint()))?;
    let options = Options::one_shot();
    // Four at once is what every GX copes with; the engine falls back by itself where a device does not.
    let in_flight = InFlight {
        start: 4,
        ..options.in_flight
    };
    let options = request.considerate(Options { in_flight, ..options });
    Ok(Way::open(endpoint, options, keys, &Profile::default()))
}

async fn connection_of(registry: &Registry, order: &Order) -> Result<Option<Connection>> {
    match &order.connection {
        Some(name) => match registry.connection(name).await? {
            Some(connection) => Ok(Some(connection)),
            // Renamed or removed meanwhile: whatever was meant, a new one was not.
            None => Err(HostError::failed(
                "connection_gone",
                format!(
                    "the connection \"{}\" is not there any more",
                    crate::format::visible(name)
                ),
                "It was renamed or removed meanwhile: begin again with `busbar setup`.",
            )),
        },
        None => registry::known(registry, &order.url, None).await,
    }
}

impl Held {
    /// Takes a scan in, and says what it found and what saving it would change.
    ///
    /// # Errors
    /// The store's.
    pub async fn of(
        registry: Option<&Registry>,
        catalog: &Catalog,
        mut scan: Scan,
        order: &Order,
    ) -> Result<(Self, Findings)> {
        let mut connection = None;
        let mut changes = None;
        if let Some(registry) = registry {
            connection = connection_of(registry, order).await?;
            if connection.is_none()
                && let Home::Moved(old) = registry::home(registry, &order.url, None, &scan).await?
            {
                connection = Some(old);
            }
            if let Some(connection) = &connection {
                changes = Some(told(
                    &registry::preview(registry, catalog, connection, &mut scan).await?,
                )?);
            }
        }
        let moved = connection
            .as_ref()
            .filter(|connection| connection.url != order.url);
        let findings = Findings {
            report: scan.report.clone(),
            url: order.url.clone(),
            connection: connection.as_ref().map(|connection| connection.name.clone()),
            proposed: proposed(registry, &order.url, &scan).await?,
            moved_from: moved.map(|connection| connection.url.clone()),
            changes,
            silent: silent(&scan),
            reads: u32::try_from(reads(&devices(&scan))).unwrap_or(u32::MAX),
            cancelled: scan.cancelled,
        };
        let held = Held {
            scan,
            url: order.url.clone(),
            connection,
        };
        Ok((held, findings))
    }

    /// Saves it as its owner has decided, and says what is different now.
    ///
    /// # Errors
    /// The store's; then what was not saved is as it was.
    pub async fn save(
        mut self,
        registry: &Registry,
        catalog: &Catalog,
        keep: &Keep,
    ) -> Result<(Saved, Vec<String>)> {
        let plugin = self.scan.report.plugin.clone();
        let connection = match &self.connection {
            Some(known) if known.url != self.url => {
                registry::relocate(registry, &known.id, &self.url).await?
            }
            Some(known) => known.clone(),
            None => {
                registry::connection(registry, &self.url, keep.name.as_deref(), plugin.as_deref()).await?
            }
        };
        if let Some((old, new)) = &keep.replace {
            let (old, new) = (old.clone(), new.clone());
            change::apply(registry, &Change::Replace { old, new }).await?;
            registry::adopt_ledgers(registry, catalog).await?;
        }
        let before = ids(&self.scan);
        let saved = registry::save(registry, catalog, connection, &mut self.scan).await?;
        // Only now does a device without a serial number have its id.
        let now: BTreeMap<String, String> = before.into_iter().zip(ids(&self.scan)).collect();
        for one in changes(keep, &saved.connection, &now) {
            change::apply(registry, &one).await?;
        }
        let told = told(&saved.diff)?;
        let lines = told.lines;
        let connection = registry.connection(&saved.connection.id).await?;
        let connection = connection.unwrap_or_else(|| saved.connection.clone());
        Ok((Saved { connection, ..saved }, lines))
    }
}

/// A name for a connection that nobody has named: the host's, where it has one; else what is there.
async fn proposed(registry: Option<&Registry>, url: &str, scan: &Scan) -> Result<String> {
    let by_url = registry::connection_name(url);
    let is_number = |c: char| c.is_ascii_digit() || ".:[]".contains(c);
    let name = match (&scan.report.plugin, &scan.report.devices[..]) {
        _ if !by_url.chars().all(is_number) => return Ok(by_url),
        (Some(plugin), _) if plugin == "victron-gx" => "gx".to_owned(),
        (_, [only]) => only.ledger.rsplit('/').next().unwrap_or_default().to_owned(),
        _ => return Ok(by_url),
    };
    let taken: Vec<String> = match registry {
        Some(registry) => registry
            .connections()
            .await?
            .into_iter()
            .map(|c| c.name)
            .collect(),
        None => Vec::new(),
    };
    let numbered = (2..).map(|n| format!("{name}-{n}"));
    let mut names = std::iter::once(name.clone()).chain(numbered);
    Ok(names.find(|name| !taken.contains(name)).unwrap_or(by_url))
}

/// What its owner wants beside what was found.
fn changes(keep: &Keep, connection: &Connection, now: &BTreeMap<String, String>) -> Vec<Change> {
    let mut all = Vec::new();
    if let Some(ms) = keep.interval_ms {
        all.push(Change::Interval {
            connection: connection.id.clone(),
            interval: Some(std::time::Duration::from_millis(ms)),
        });
    }
    let id = |id: &String| now.get(id).cloned();
    let names = keep.names.iter().filter_map(|(device, name)| {
        Some(Change::NameDevice {
            device: id(device)?,
            name: Some(name.clone()),
        })
    });
    all.extend(names);
    let chosen = keep.put_away.iter().filter_map(|(device, put_away)| {
        Some(Change::Choose {
            device: id(device)?,
            put_away: put_away.clone(),
        })
    });
    all.extend(chosen);
    all
}

fn ids(scan: &Scan) -> Vec<String> {
    scan.devices
        .iter()
        .map(|device| device.report.id.clone())
        .collect()
}

fn told(diff: &Diff) -> Result<Changes> {
    let value = serde_json::to_value(diff)
        .map_err(|e| HostError::failed("internal", e.to_string(), "Please report this."))?;
    let of_others = |ids: &[String], devices: &[String]| -> Vec<String> {
        let is_of = |id: &str| {
            devices
                .iter()
                .any(|device| id.split_once('.').is_some_and(|(of, _)| of == device))
        };
        ids.iter().filter(|id| !is_of(id)).cloned().collect()
    };
    let empty = Vec::new();
    let changed = value["changed"]
        .as_array()
        .unwrap_or(&empty)
        .iter()
        .map(change_line);
    Ok(Changes {
        new_values: of_others(&diff.new.entities, &diff.new.devices),
        gone_values: of_others(&diff.gone.entities, &diff.gone.devices),
        changed: changed.collect(),
        lines: diff_lines(&value),
        new: diff.new.devices.clone(),
        gone: diff.gone.devices.clone(),
    })
}

/// The units that were asked and never answered, in order.
fn silent(scan: &Scan) -> Vec<u8> {
    let answered = |outcome: &Outcome| !matches!(outcome, Outcome::Silent);
    let mut units: BTreeMap<u8, bool> = BTreeMap::new();
    for asked in &scan.evidence {
        *units.entry(asked.unit).or_default() |= answered(&asked.outcome);
    }
    units
        .into_iter()
        .filter(|(_, answered)| !answered)
        .map(|(unit, _)| unit)
        .collect()
}

/// What was found, as polling would have it.
fn devices(scan: &Scan) -> Vec<Arc<Device>> {
    let device = |found: &crate::discover::FoundDevice| {
        let report = &found.report;
        let meta = DeviceMeta {
            id: report.id.clone(),
            connection: String::new(),
            connection_id: String::new(),
            unit: report.unit_id,
            name: report.name.clone(),
            model: report.model.clone(),
            serial: report.serial.clone(),
            firmware: report.firmware.clone(),
            ledger: Arc::clone(&found.ledger),
            unreadable: None,
            missing: false,
        };
        let status = |key: &str| report.entities.iter().find(|e| e.key == key).map(|e| e.status);
        Arc::new(Device::new(meta, found.readable.clone(), status))
    };
    scan.devices.iter().map(device).collect()
}
