//! What is told of devices, against what Home Assistant does with it.

mod controls;
mod ledgers;
mod names;

use std::sync::Arc;

use busbar_ledger::model::Ledger;
use busbar_ledger::presence::Status;
use busbar_ledger::ranges::Ranges;
use serde_json::Value;

use super::*;
use crate::bus::DeviceMeta;

/// What is told of a device behind nothing.
pub fn told(device: &Device, writable: &[Writable]) -> Announcement {
    announcement(device, writable, None, &Topics::new("busbar"), "1.0")
}

/// A device of a ledger, everything on it with this status.
pub fn device(ledger: Ledger, status: Status) -> Device {
    let meta = DeviceMeta {
        id: "dev".to_owned(),
        connection: "c".to_owned(),
        connection_id: "c1".to_owned(),
        unit: 1,
        name: "Cellar".to_owned(),
        model: None,
        serial: Some("S1".to_owned()),
        firmware: Some("1.2".to_owned()),
        ledger: Arc::new(ledger),
        missing: false,
        unreadable: None,
    };
    Device::new(meta, Ranges::default(), |_| Some(status))
}

/// A ledger with these points.
pub fn of_points(points: &str) -> Ledger {
    let text = format!("ledger = \"test/one\"\ntitle = \"One\"\n[points]\n{points}\n");
    busbar_ledger::parse("test", &text).unwrap()
}

/// A field of a part, as text.
pub fn field<'a>(component: &'a Component, key: &str) -> Option<&'a str> {
    component.get(key).and_then(Value::as_str)
}

#[test]
fn a_device_stands_behind_its_gateway_and_hangs_on_two_availabilities() {
    let device = device(of_points("p = { at = 0, type = \"i16\" }"), Status::Present);
    let document = announcement(
        &device,
        &[],
        Some("gx1_system_u100"),
        &Topics::new("busbar"),
        "1.0",
    )
    .document();
    assert_eq!(
        document["dev"],
        json!({ "identifiers": ["dev"], "name": "Cellar", "model": "One", "serial_number": "S1",
                "sw_version": "1.2", "via_device": "gx1_system_u100" })
    );
    assert_eq!(document["o"]["name"], "Busbar");
    assert_eq!(document["availability_mode"], "all");
    let topics: Vec<&Value> = document["availability"]
        .as_array()
        .unwrap()
        .iter()
        .map(|a| &a["topic"])
        .collect();
    assert_eq!(topics, ["busbar/status", "busbar/dev/availability"]);
    assert_eq!(document["state_topic"], "busbar/dev/state");
    // Home Assistant refuses the whole device for any other key up here.
    let known = [
        "availability",
        "availability_mode",
        "cmps",
        "dev",
        "o",
        "state_topic",
    ];
    let keys: Vec<&str> = document.as_object().unwrap().keys().map(String::as_str).collect();
    assert!(keys.iter().all(|key| known.contains(key)), "{keys:?}");
}

#[test]
fn the_same_can_be_told_one_by_one() {
    let device = device(of_points("p = { at = 0, type = \"i16\" }"), Status::Present);
    let all = told(&device, &[]);
    let (platform, single) = &all.documents()["p"];
    assert_eq!(*platform, "sensor");
    assert_eq!(single["dev"]["name"], "Cellar");
    assert_eq!(single["state_topic"], "busbar/dev/state");
    assert_eq!(single["unique_id"], "dev_p");
    assert!(single.get("p").is_none());
}
