//! Devices and entities as every interface shows them: the command line, the HTTP interface, the live page.

use busbar_ledger::model::{Ledger, Point};
use busbar_ledger::value::Value;
use serde::{Deserialize, Serialize};

use crate::bus::{Availability, Bus, Device, Slot};
use crate::clock;
use crate::discover::report::{self, EntityReport};
use crate::profile::DeviceProfile;

/// `{"devices": […]}`
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Devices {
    /// By id.
    pub devices: Vec<DeviceView>,
}

/// `{"entities": […]}`
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Entities {
    /// By device, in the order of its ledger.
    pub entities: Vec<EntityView>,
}

/// A device.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeviceView {
    /// The id that never changes.
    pub id: String,
    /// The ledger that describes it.
    pub ledger: String,
    /// The Modbus unit.
    pub unit_id: u8,
    /// What its owner or its maker calls it.
    pub name: String,
    /// Model, where known.
    pub model: Option<String>,
    /// Serial number, where known.
    pub serial: Option<String>,
    /// Firmware, where known.
    pub firmware: Option<String>,
    /// The connection it is on.
    pub connection: String,
    /// `online`, `offline` or `unknown` (no host runs, or not asked yet).
    pub availability: String,
    /// Why it is offline.
    pub reason: Option<String>,
    /// What was learned about talking to it.
    pub profile: Option<DeviceProfile>,
    /// Its entities.
    pub entities: Vec<EntityView>,
}

/// An entity.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EntityView {
    /// What a scan says of it too, with its newest value.
    #[serde(flatten)]
    pub entity: EntityReport,
    /// The device it is of.
    pub device: String,
    /// The ledger that describes it.
    pub ledger: String,
    /// The Modbus unit.
    pub unit_id: u8,
    /// When the device said so, in milliseconds since 1970.
    pub time_ms: Option<i64>,
    /// How old that is.
    pub age_ms: Option<i64>,
    /// Of a counter that began anew: all that was counted, which is what sinks are told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<f64>,
    /// How much of that was counted before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carried: Option<f64>,
}

impl EntityView {
    /// The value to show: the total of a counter, what the device said of anything else.
    pub fn shown(&self) -> Option<Value> {
        self.total
            .map(Value::Number)
            .or_else(|| self.entity.value.clone())
    }
}

/// All devices of a bus.
pub fn devices(bus: &Bus) -> Devices {
    Devices {
        devices: bus.devices().iter().map(|d| device(bus, d)).collect(),
    }
}

/// All entities of a bus, or those of one device.
pub fn entities(bus: &Bus, of: Option<&str>) -> Entities {
    let devices = bus.devices();
    let wanted = devices.iter().filter(|d| of.is_none_or(|id| d.meta.id == id));
    Entities {
        entities: wanted.flat_map(|d| entities_of(d)).collect(),
    }
}

/// One device.
pub fn device(bus: &Bus, device: &Device) -> DeviceView {
    let meta = &device.meta;
    let availability = device.state().availability.clone();
    DeviceView {
        id: meta.id.clone(),
        ledger: meta.ledger.name.clone(),
        unit_id: meta.unit,
        name: meta.name.clone(),
        model: meta.model.clone(),
        serial: meta.serial.clone(),
        firmware: meta.firmware.clone(),
        connection: meta.connection.clone(),
        availability: availability.name().to_owned(),
        reason: match availability {
            Availability::Offline(reason) => Some(reason),
            _ => None,
        },
        profile: bus.profile(device),
        entities: entities_of(device),
    }
}

/// The entities of one device; what is absent is no entity.
pub fn entities_of(device: &Device) -> Vec<EntityView> {
    let ledger = &device.meta.ledger;
    let state = device.state();
    ledger
        .points
        .iter()
        .zip(&state.slots)
        .filter(|(_, slot)| slot.is_polled())
        .map(|(point, slot)| {
            let mut view = entity(&device.meta.id, device.meta.unit, ledger, point, slot);
            if let Some(name) = device.owner.names.get(&point.key) {
                view.entity.name.clone_from(name);
            }
            view
        })
        .collect()
}

/// One entity from its newest reading.
fn entity(device: &str, unit: u8, ledger: &Ledger, point: &Point, slot: &Slot) -> EntityView {
    let time_ms = slot.since.map(|s| s.wall_ms);
    EntityView {
        entity: report::entity(device, point, &slot.reading, slot.status),
        device: device.to_owned(),
        ledger: ledger.name.clone(),
        unit_id: unit,
        time_ms,
        age_ms: time_ms.map(|t| (clock::now_ms() - t).max(0)),
        total: slot.total().filter(|_| slot.carried != 0.0),
        carried: Some(slot.carried).filter(|carried| *carried != 0.0),
    }
}
