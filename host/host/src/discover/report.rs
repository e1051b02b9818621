//! What a scan found, in the words of the outward contract.

use std::collections::BTreeMap;

use busbar_ledger::model::{Ledger, Point, PointSource, ValueType};
use busbar_ledger::presence::{Status, Verdict};
use busbar_ledger::span::Function;
use busbar_ledger::value::{Quality, Reading, Value};
use serde::{Deserialize, Serialize};

/// The document that `busbar scan --json` prints.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ScanReport {
    /// The connection's name when it is known, else its URL.
    pub connection: String,
    /// The plugin that recognised the devices; `None` when a ledger did by itself.
    pub plugin: Option<String>,
    /// `quick`, `full` or `listed`.
    pub mode: String,
    /// What was found.
    pub devices: Vec<DeviceReport>,
    /// Small reads made to find devices.
    pub probes: u32,
    /// Requests that were answered with an exception.
    pub exceptions: u32,
    /// All requests of the scan.
    pub requests: u32,
    /// The same exceptions by their Modbus code.
    pub exceptions_by_code: BTreeMap<String, u32>,
    /// How much of what is possible was looked at.
    pub coverage: Coverage,
    /// How long it took.
    pub elapsed_ms: u64,
    /// What the owner should know about the result.
    pub warnings: Vec<String>,
}

/// How much of what is possible was looked at, in probes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// Made.
    pub probed: u32,
    /// Thinkable: every kind of device at every unit of this mode.
    pub possible: u32,
}

/// One device.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeviceReport {
    /// The id that never changes.
    pub id: String,
    /// The ledger that describes it.
    pub ledger: String,
    /// The Modbus unit.
    pub unit_id: u8,
    /// What its owner or its maker calls it.
    pub name: String,
    /// Model, where the device tells it.
    pub model: Option<String>,
    /// Serial number, where the device tells it.
    pub serial: Option<String>,
    /// Firmware, where the device tells it.
    pub firmware: Option<String>,
    /// Its entities, one for each point of the ledger.
    pub entities: Vec<EntityReport>,
    /// The entities that it has for a running host only, which adds them up: no scan reports them.
    #[serde(skip)]
    pub added_up: Vec<EntityReport>,
}

impl DeviceReport {
    /// All that it has once a host runs.
    pub fn all_entities(&self) -> impl Iterator<Item = &EntityReport> {
        self.entities.iter().chain(&self.added_up)
    }
}

/// One entity.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EntityReport {
    /// The id that never changes: `<device>.<key>`.
    pub id: String,
    /// The point's key.
    pub key: String,
    /// A name for people.
    pub name: String,
    /// Zero-based protocol address that delivered the value; `None` for a computed one.
    pub at: Option<u16>,
    /// The lowest bit, for a field of bits.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub bit: Option<u8>,
    /// The address space, where it is not the holding registers.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub function: Option<String>,
    /// The value; `None` when it is not known.
    pub value: Option<Value>,
    /// What the number of an enumeration means.
    pub label: Option<String>,
    /// Unit of measurement.
    pub unit: Option<String>,
    /// How far the value can be trusted.
    pub quality: Quality,
    /// Whether it exists.
    pub status: Status,
    /// Whether the device accepts writes to it.
    pub writable: bool,
    /// Why Busbar believes in the status.
    #[serde(skip)]
    pub proof: String,
}

/// The entities of one device from its readings and the verdicts on them: those that it says itself, and those that a
/// running host adds up. What is only there for others to lean on is none. Pure.
pub fn entities(
    device_id: &str,
    ledger: &Ledger,
    readings: &[Reading],
    verdicts: Vec<Verdict>,
) -> (Vec<EntityReport>, Vec<EntityReport>) {
    let (mut said, mut added_up) = (Vec::new(), Vec::new());
    let each = ledger.points.iter().zip(readings).zip(verdicts);
    for ((point, reading), verdict) in each.filter(|((point, _), _)| !point.internal) {
        let entity = EntityReport {
            proof: verdict.proof,
            ..entity(device_id, point, reading, verdict.status)
        };
        match point.integrated() {
            None => said.push(entity),
            Some(_) => added_up.push(entity),
        }
    }
    (said, added_up)
}

/// One entity from its newest reading. Pure.
pub fn entity(device_id: &str, point: &Point, reading: &Reading, status: Status) -> EntityReport {
    let place = Place::of(point, reading.at);
    EntityReport {
        id: entity_id(device_id, &point.key),
        key: point.key.clone(),
        name: point.label.clone(),
        at: place.at,
        bit: place.bit,
        function: place.function,
        value: reading.value.clone(),
        label: reading.value.as_ref().and_then(|v| point.meaning(v)),
        unit: point.unit.clone(),
        quality: reading.quality,
        status,
        writable: point.writable,
        proof: String::new(),
    }
}

/// The id of an entity. It never changes.
pub fn entity_id(device_id: &str, key: &str) -> String {
    format!("{device_id}.{key}")
}

/// Where an entity's value lies, as the contract writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Address; `None` for a computed value.
    pub at: Option<u16>,
    /// Lowest bit of a field of bits.
    pub bit: Option<u8>,
    /// Address space, unless it is the holding registers.
    pub function: Option<String>,
}

impl Place {
    /// The place of a point, given the address that its last reading really came from.
    pub fn of(point: &Point, read_at: Option<u16>) -> Self {
        let PointSource::Registers(all) = &point.source else {
            return Place {
                at: None,
                bit: None,
                function: None,
            };
        };
        let read = all.iter().find(|r| Some(r.span.at) == read_at);
        // One that may be computed has its own register only where it was read from it.
        let used = read.or(all.first().filter(|_| point.otherwise.is_none()));
        Place {
            at: used.map(|r| r.span.at),
            bit: used.and_then(|r| match r.ty {
                ValueType::Bits { shift, .. } => Some(shift),
                _ => None,
            }),
            function: used
                .map(|r| r.span.function)
                .filter(|f| *f != Function::Holding)
                .map(|f| f.name().to_owned()),
        }
    }
}
