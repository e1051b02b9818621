//! Devices on a bus, and a host's door that notes what is asked for.

#![allow(dead_code, reason = "each test takes of this what it needs")]

use std::sync::{Arc, Mutex};

use busbar_ledger::presence::Status;
use busbar_ledger::ranges::Ranges;
use busbar_ledger::value::{Quality, Reading, Value};
use busbar_sinks::bus::{Availability, Bus, Device, DeviceMeta, Stamp, Update};
use busbar_sinks::door::{Command, Door, Later, Reply, Writable};
use busbar_sinks::sinks::Site;
use tempfile::TempDir;

/// A meter with a power, a counter and a state.
pub const METER: &str = "ledger = \"test/meter\"\ntitle = \"Meter\"\n[points]\n\
    power = { at = 0, type = \"i16\", unit = \"W\", class = \"power\" }\n\
    energy = { at = 1, type = \"u32\", scale = \"1/100\", unit = \"kWh\", class = \"energy\", total = \"increasing\" }\n\
    state = { at = 3, type = \"u16\", class = \"enum\", labels = { 0 = \"Off\", 1 = \"On\" } }\n";

/// A host without devices.
pub struct House {
    pub bus: Arc<Bus>,
    pub door: Arc<NotingDoor>,
    dir: TempDir,
}

impl House {
    pub fn new() -> Self {
        House {
            bus: Arc::new(Bus::default()),
            door: Arc::new(NotingDoor::default()),
            dir: TempDir::new().unwrap(),
        }
    }

    /// The same with meters of these ids, which are online and have a reading each.
    pub fn with(ids: &[&str]) -> (Self, Vec<Arc<Device>>) {
        let house = House::new();
        let devices: Vec<_> = ids.iter().map(|id| device(id, METER)).collect();
        house.bus.put("c", devices.clone());
        for device in &devices {
            house.read(device, 0, 100.0);
        }
        (house, devices)
    }

    /// What its sinks are given.
    pub fn site(&self) -> Site {
        Site {
            bus: Arc::clone(&self.bus),
            door: Arc::clone(&self.door) as Arc<dyn Door>,
            data_dir: self.dir.path().to_owned(),
            host_id: "test".to_owned(),
            version: "0",
        }
    }

    /// A good reading of a point.
    pub fn read(&self, device: &Arc<Device>, index: usize, value: f64) {
        let reading = Reading {
            value: Some(Value::Number(value)),
            quality: Quality::Good,
            ..Reading::unavailable()
        };
        self.say(device, index, reading);
    }

    /// Any reading of a point.
    pub fn say(&self, device: &Arc<Device>, index: usize, reading: Reading) {
        {
            let mut state = device.state();
            state.slots[index].reading = reading;
            state.slots[index].since = Some(Stamp::now());
        }
        self.bus.publish(Update {
            device: Arc::clone(device),
            points: vec![index],
            at_ms: 0,
        });
    }

    /// A device is lost, or back.
    pub fn availability(&self, device: &Arc<Device>, availability: Availability) {
        device.state().availability = availability;
        self.bus.publish(Update {
            device: Arc::clone(device),
            points: vec![0],
            at_ms: 0,
        });
    }
}

/// A device that is online and has said nothing yet.
pub fn device(id: &str, ledger: &str) -> Arc<Device> {
    let ledger = Arc::new(busbar_ledger::parse("test", ledger).unwrap());
    let meta = DeviceMeta {
        id: id.to_owned(),
        connection: "c".to_owned(),
        connection_id: "c1".to_owned(),
        unit: 1,
        name: format!("Device {id}"),
        model: None,
        serial: None,
        firmware: None,
        ledger,
        missing: false,
        unreadable: None,
    };
    let device = Device::new(meta, Ranges::default(), |_| Some(Status::Present));
    device.state().availability = Availability::Online;
    Arc::new(device)
}

/// A door that notes what is asked for, and says that it was applied.
#[derive(Default)]
pub struct NotingDoor(pub Mutex<Vec<Command>>);

impl Door for NotingDoor {
    fn writable(&self) -> Later<Vec<Writable>> {
        Box::pin(std::future::ready(Vec::new()))
    }

    fn write(&self, command: Command) -> Later<Reply> {
        let document = serde_json::json!({
            "entity": format!("{}.{}", command.device, command.key),
            "requested": command.value,
            "outcome": "applied",
        });
        self.0.lock().unwrap().push(command);
        Box::pin(std::future::ready(Reply {
            document,
            applied: true,
        }))
    }
}
