//! Devices and values as sinks show them.

use std::sync::Arc;

use busbar_ledger::model::Point;
use busbar_ledger::value::{Quality, Reading, Value};

use crate::bus::{Device, Slot};

/// One entity with its newest reading.
#[derive(Clone, Debug)]
pub struct Entity<'a> {
    /// The point's place in the ledger.
    pub index: usize,
    /// What describes it.
    pub point: &'a Point,
    /// What its owner, else its ledger calls it.
    pub name: &'a str,
    /// The newest that is known of it. The reading of a counter is its total, over all resets and exchanges.
    pub slot: Slot,
}

impl Entity<'_> {
    /// Its newest reading.
    pub fn reading(&self) -> &Reading {
        &self.slot.reading
    }

    /// The value for a reader that knows nothing of qualities: what the device said, also when it is somewhat old, and
    /// nothing where it is not known. Never NaN, never infinite.
    pub fn value(&self) -> Option<&Value> {
        known(self.reading())
    }

    /// The same as a number.
    pub fn number(&self) -> Option<f64> {
        self.value()?.as_f64().filter(|number| number.is_finite())
    }

    /// What a number of an enumeration means.
    pub fn meaning(&self) -> Option<String> {
        self.point.meaning(self.value()?)
    }
}

/// What is known of a value, whether it is new or somewhat old.
pub fn known(reading: &Reading) -> Option<&Value> {
    let known = matches!(reading.quality, Quality::Good | Quality::Stale);
    reading.value.as_ref().filter(|_| known)
}

/// The entities of a device: what exists and is not put away, in the order of its ledger.
pub fn entities(device: &Device) -> Vec<Entity<'_>> {
    let state = device.state();
    let each = device.meta.ledger.points.iter().zip(&state.slots).enumerate();
    each.filter(|(_, (point, slot))| slot.is_polled() && !point.internal)
        .map(|(index, (point, slot))| Entity {
            index,
            point,
            name: name(device, point),
            slot: slot.clone().totalled(),
        })
        .collect()
}

/// What an entity is called: by its owner, else by its ledger.
pub fn name<'a>(device: &'a Device, point: &'a Point) -> &'a str {
    device.owner.names.get(&point.key).unwrap_or(&point.label)
}

/// Which devices stand behind a gateway, and which one that is: the device of the ledger by which theirs says that they
/// are identified, on the same connection.
pub fn gateway(device: &Device, all: &[Arc<Device>]) -> Option<Arc<Device>> {
    let ledger = device.meta.ledger.identified_by.as_deref()?;
    let here = |other: &&Arc<Device>| {
        other.meta.ledger.name == ledger
            && other.meta.connection_id == device.meta.connection_id
            && other.meta.id != device.meta.id
    };
    all.iter().find(here).cloned()
}

#[cfg(test)]
pub(crate) mod testing {
    //! Devices for the tests of sinks.

    use busbar_ledger::presence::Status;
    use busbar_ledger::ranges::Ranges;

    use super::*;
    use crate::bus::{Availability, Bus, DeviceMeta, Stamp, Update};

    const LEDGER: &str = "ledger = \"test/one\"\ntitle = \"One\"\n[points]\n\
        power = { at = 0, type = \"i16\", unit = \"W\", class = \"power\" }\n\
        energy = { at = 1, type = \"u32\", scale = \"1/100\", unit = \"kWh\", class = \"energy\", total = \"increasing\" }\n\
        state = { at = 3, type = \"u16\", class = \"enum\", labels = { 0 = \"Off\", 1 = \"On\" } }\n";

    /// A device that is online and has said nothing yet.
    pub fn device(id: &str) -> Arc<Device> {
        device_of(id, LEDGER)
    }

    /// The same with another ledger.
    pub fn device_of(id: &str, ledger: &str) -> Arc<Device> {
        let ledger = Arc::new(busbar_ledger::parse("test", ledger).unwrap());
        let meta = DeviceMeta {
            id: id.to_owned(),
            connection: "c".to_owned(),
            connection_id: "c1".to_owned(),
            unit: 1,
            name: format!("Device {id}"),
            model: Some("One".to_owned()),
            serial: Some(format!("S-{id}")),
            firmware: Some("1.0".to_owned()),
            ledger,
            missing: false,
            unreadable: None,
        };
        let device = Device::new(meta, Ranges::default(), |_| Some(Status::Present));
        device.state().availability = Availability::Online;
        Arc::new(device)
    }

    /// Puts a good reading on the bus.
    pub fn read(bus: &Bus, device: &Arc<Device>, index: usize, value: f64) {
        let reading = Reading {
            value: Some(Value::Number(value)),
            quality: Quality::Good,
            ..Reading::unavailable()
        };
        {
            let mut state = device.state();
            state.slots[index].reading = reading;
            state.slots[index].since = Some(Stamp::now());
        }
        bus.publish(Update {
            device: Arc::clone(device),
            points: vec![index],
            at_ms: crate::clock::now_ms(),
        });
    }
}
