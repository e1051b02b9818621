//! What there is to begin from: this machine, what is set up, what is known.

use std::time::Duration;

use busbar_ledger::presence::Status;
use busbar_store::{Lifecycle, Registry};

use super::super::work::{ConnectionBrief, DeviceBrief, EntityBrief, Ground, LedgerBrief};
use super::{Hands, find};
use crate::bus::Device;
use crate::cli::discover_report::doors;
use crate::config::parse_duration;
use crate::error::Result;
use crate::find::{Plan, serial};
use crate::format;
use crate::registry::change::{stored_site, stored_writes};
use crate::registry::stored_views;
use crate::settings::ConnectionOptions;
use crate::view::{self, Devices};

impl Hands {
    pub(super) async fn ground(&self) -> Result<Ground> {
        let plan = self.plan().await?;
        let own = find::own_networks();
        let network = |own: &crate::find::networks::Own| {
            (own.network.to_string(), own.interface.clone(), own.network.size())
        };
        let ports = find::ports();
        let settings = serial::settings(&ports, &plan.places.units, false);
        let on_one_port = serial::by_port(&settings).map(serial::time).max();
        let searched = Plan {
            networks: own.iter().map(|own| own.network).collect(),
            ..plan.clone()
        };
        let mut ground = Ground {
            networks: own.iter().map(network).collect(),
            search: (searched.time().as_secs(), doors(&searched)),
            ports: ports.iter().map(|port| port.display().to_string()).collect(),
            ports_seconds: on_one_port.unwrap_or(Duration::ZERO).as_secs(),
            data_dir: self.data_dir.display().to_string(),
            ledgers: self.ledgers(),
            site_of_file: self.config.site.clone(),
            ..Ground::default()
        };
        let mut live = Devices::default();
        if let Some(mut host) = self.host().await? {
            ground.host_runs = true;
            live = host.get("/api/v1/devices").await?;
        }
        if let Some(stored) = self.stored().await? {
            ground.connections = self.connections(stored.get(), &live).await?;
            ground.site = stored_site(stored.get()).await?;
        }
        Ok(ground)
    }

    fn ledgers(&self) -> Vec<LedgerBrief> {
        let names = self.catalog.ledger_names();
        // One with a fault is told of by whoever wants to use it.
        let ledgers = names.iter().filter_map(|name| self.catalog.ledger(name).ok());
        let brief = |ledger: std::sync::Arc<busbar_ledger::model::Ledger>| LedgerBrief {
            name: ledger.name.clone(),
            title: ledger.title.clone(),
            recognises: ledger.identify.as_ref().is_some_and(|i| i.probe.is_some())
                || self
                    .catalog
                    .plugin_of(&ledger.name)
                    .is_some_and(|plugin| self.catalog.discovers(&plugin)),
            schemes: ledger.transports.iter().map(|t| t.scheme.clone()).collect(),
        };
        ledgers.map(brief).collect()
    }

    async fn connections(&self, registry: &Registry, live: &Devices) -> Result<Vec<ConnectionBrief>> {
        let bus = stored_views(registry, &self.catalog).await?;
        let devices = bus.devices();
        let mut all = Vec::new();
        for connection in registry.connections().await? {
            let options = ConnectionOptions::of(&connection);
            let interval = options
                .interval
                .as_deref()
                .and_then(|text| parse_duration(text).ok());
            let in_file = self.config.connections.iter().find(|c| c.name == connection.name);
            let mut briefs = Vec::new();
            for stored in registry.devices_of(&connection.id).await? {
                if stored.lifecycle == Lifecycle::Retired {
                    continue;
                }
                let device = devices.iter().find(|device| device.meta.id == stored.id);
                let now = live.devices.iter().find(|device| device.id == stored.id);
                briefs.push(DeviceBrief {
                    name: stored
                        .own_name
                        .or(stored.name)
                        .unwrap_or_else(|| stored.id.clone()),
                    unit_id: stored.unit_id,
                    ledger: stored.ledger,
                    model: stored.model,
                    serial: stored.serial,
                    missing: stored.lifecycle == Lifecycle::Missing,
                    state: now.map(|device| device.availability.clone()).unwrap_or_default(),
                    entities: device.map(|device| entities(device)).unwrap_or_default(),
                    id: stored.id,
                });
            }
            all.push(ConnectionBrief {
                by_file: in_file.is_some(),
                writes_by_file: in_file.is_some_and(|c| c.writes.is_some()),
                interval_ms: interval.and_then(|interval| u64::try_from(interval.as_millis()).ok()),
                writes: stored_writes(&connection),
                devices: briefs,
                id: connection.id,
                name: connection.name,
                url: connection.url,
            });
        }
        Ok(all)
    }
}

/// What is known of a value that is not: its unit.
fn in_unit(unit: Option<&str>) -> String {
    unit.map(|unit| format!("in {unit}")).unwrap_or_default()
}

/// What a device has, and what its owner has put away of it.
fn entities(device: &Device) -> Vec<EntityBrief> {
    let shown = view::entities_of(device);
    let mut all: Vec<EntityBrief> = shown
        .into_iter()
        .map(|view| EntityBrief {
            proven: view.entity.status == Status::Present,
            key: view.entity.key,
            name: view.entity.name,
            hint: match &view.entity.value {
                Some(value) => format::value(
                    Some(value),
                    view.entity.label.as_deref(),
                    view.entity.unit.as_deref(),
                    view.entity.quality,
                ),
                None => in_unit(view.entity.unit.as_deref()),
            },
            put_away: false,
        })
        .collect();
    let away = device
        .meta
        .ledger
        .points
        .iter()
        .filter(|point| device.owner.put_away.contains(&point.key));
    all.extend(away.map(|point| EntityBrief {
        key: point.key.clone(),
        name: device.owner.names.get(&point.key).unwrap_or(&point.label).clone(),
        hint: in_unit(point.unit.as_deref()),
        proven: true,
        put_away: true,
    }));
    all
}
