//! What befalls devices and their data while a host polls them, by the numbers of the faults: whatever happens, nothing
//! is shown that the device did not say, and nothing is shown in another's name.

use busbar_zoo::device::{
    appear, exchange, infinity, nan, reboot, recover, renumber, reset, sentinel, target, tear, upgrade,
    vanish, zeros,
};
use busbar_zoo::simulate::Running;
use busbar_zoo::{Fault, Peer, peer, site};
use serde_json::Value;

use crate::common::host::Host;
use crate::common::{Home, list, text, until};

const METER: &str = "victron/vm-3p75ct";

/// Two meters behind one address, one of them hidden at first. Both are the same device when they are not.
const SITE: &str = r#"
[[device]]
name = "meter"
kind = "ledger"
listen = "modbus+tcp://127.0.0.1:0"
hide = ["@2"]

[[device.unit]]
unit = 1
ledger = "victron/vm-3p75ct"
firmware = "0.1.9.255"
values = { phase_config = 3, power_total = 812, power_l1 = 300, power_l2 = 300, power_l3 = 212, voltage_l1 = 230.5, voltage_l2 = 231.0, voltage_l3 = 229.5, current_l1 = 1.3, current_l2 = 1.3, current_l3 = 0.9, frequency = 50.02, energy_forward = 31.0, energy_reverse = 4.0 }

[[device.unit]]
unit = 2
ledger = "victron/vm-3p75ct"
firmware = "0.1.9.255"
values = { phase_config = 3, power_total = 55, voltage_l1 = 230.0, energy_forward = 500.0 }
"#;

/// A polled meter.
struct Polled {
    /// Keeps the registry.
    _home: Home,
    running: Running,
    peer: Peer,
    host: Host,
    device: String,
}

impl Polled {
    async fn new() -> Self {
        let (home, running) = (Home::new(), site(SITE).await);
        let peer = peer(&running, "meter").await;
        let scan = [
            "scan",
            &peer.url(),
            "--ledger",
            METER,
            "--units",
            "1",
            "--save",
            "--name",
            "m",
            "--json",
        ];
        let report = home.run(&scan).await.json();
        let device = text(&list(&report, "devices")[0], "id").to_owned();
        let config = format!(
            "[[connection]]\nname = \"m\"\nurl = \"{}\"\ninterval = \"100ms\"\n",
            peer.url()
        );
        let host = home.host_with(&config).await;
        let polled = Polled {
            _home: home,
            running,
            peer,
            host,
            device,
        };
        polled.is("power_total", |e| e["value"] == 812).await;
        polled.is("energy_forward", |e| e["value"] == 31.0).await;
        polled
    }

    async fn entity(&self, key: &str) -> Value {
        self.host
            .get(&format!("/api/v1/entities/{}.{key}", self.device))
            .await
    }

    /// Waits until this is true of an entity.
    async fn is(&self, key: &str, fits: impl Fn(&Value) -> bool) -> Value {
        until(key, async || {
            let entity = self.entity(key).await;
            fits(&entity).then_some(entity)
        })
        .await
    }

    fn at(&self, unit: u8) -> busbar_zoo::device::Target<'_> {
        target(&self.running, "meter", unit, METER)
    }
}

#[tokio::test]
async fn fault_29_a_counter_at_zero_for_a_moment_is_never_shown() {
    let polled = Polled::new().await;
    reboot(polled.at(1));
    let held = polled
        .is("energy_forward", |e| {
            assert_ne!(e["value"], 0.0, "a moment's 0");
            e["quality"] != "good"
        })
        .await;
    assert!(held["value"] == 31.0 || held["value"].is_null(), "{held}");
    recover(polled.at(1));
    polled
        .is("energy_forward", |e| {
            assert_ne!(e["value"], 0.0);
            e["quality"] == "good" && e["value"] == 31.0
        })
        .await;
    // A counter that runs on from 0 was reset.
    reset(polled.at(1), "energy_forward", 0.0);
    polled.is("energy_forward", |e| e["quality"] != "good").await;
    reset(polled.at(1), "energy_forward", 0.5);
    polled
        .is("energy_forward", |e| e["value"] == 0.5 && e["quality"] == "good")
        .await;
    polled.host.stop().await;
}

#[tokio::test]
async fn fault_31_what_is_no_value_is_null_with_its_quality() {
    let polled = Polled::new().await;
    sentinel(polled.at(1), "energy_forward");
    polled
        .is("energy_forward", |e| {
            e["value"].is_null() && e["quality"] == "invalid"
        })
        .await;
    recover(polled.at(1));
    polled.is("energy_forward", |e| e["value"] == 31.0).await;
    // A meter behind a gateway that is away reads 0 all over.
    zeros(polled.at(1));
    polled
        .is("power_total", |e| {
            assert_ne!(e["value"], 0, "{e}");
            e["value"].is_null() && e["quality"] == "invalid"
        })
        .await;
    polled.is("energy_forward", |e| e["quality"] != "good").await;
    assert_ne!(polled.entity("power_total").await["value"], 0);
    recover(polled.at(1));
    polled.is("power_total", |e| e["value"] == 812).await;
    polled.host.stop().await;
}

#[tokio::test]
async fn fault_31_floating_point_numbers_that_are_none() {
    let home = Home::new();
    let running = site(
        "[[device]]\nname = \"m\"\nkind = \"ledger\"\nlisten = \"modbus+tcp://127.0.0.1:0\"\n[[device.unit]]\nunit = 1\n\
         ledger = \"generic/demo-meter\"\nvalues = { power = 5.5, frequency = 50.0 }\n",
    )
    .await;
    let url = running.url("m").unwrap();
    let meter = target(&running, "m", 1, "generic/demo-meter");
    let floats: Vec<&str> = busbar_zoo::ledgers()
        .iter()
        .find(|ledger| ledger.name == "generic/demo-meter")
        .unwrap()
        .points
        .iter()
        .filter(|p| p.register().is_some_and(|r| format!("{:?}", r.ty) == "F32"))
        .map(|p| p.key.as_str())
        .collect();
    assert!(!floats.is_empty());
    for key in floats {
        for spoil in [nan, infinity] {
            spoil(meter, key);
            let read = ["read", &url, "--ledger", "generic/demo-meter", "--json"];
            let point = home.run(&read).await.json()["points"][key].clone();
            assert!(
                point["value"].is_null() && point["quality"] == "invalid",
                "{key}: {point}"
            );
        }
        recover(meter);
    }
}

#[tokio::test]
async fn fault_32_another_device_at_the_address_is_never_taken_for_the_old_one() {
    let polled = Polled::new().await;
    // Another meter, with other values, answers as soon as the old one has gone.
    polled.peer.turn(Fault::Refuse).await;
    exchange(polled.at(1), "OTHER99");
    reset(polled.at(1), "power_total", 4444.0);
    polled.peer.turn(Fault::None).await;
    let device = until("the stranger to be noticed", async || {
        let device = polled.host.device(&polled.device).await;
        assert!(
            !device.to_string().contains("4444"),
            "a stranger's value: {device}"
        );
        let reason = device["reason"].as_str().unwrap_or_default();
        (device["availability"] == "offline" && reason.contains("OTHER99")).then_some(device)
    })
    .await;
    let entities = list(&device, "entities");
    assert!(entities.iter().all(|e| e["quality"] != "good"), "{device:#}");
    polled.host.process.logs("another device is at its place").await;
    // The old one comes back, and goes on under its id.
    polled.peer.turn(Fault::Refuse).await;
    exchange(polled.at(1), "SIM0001");
    recover(polled.at(1));
    polled.peer.turn(Fault::None).await;
    polled.host.device_is(&polled.device, "online").await;
    polled.is("power_total", |e| e["value"] == 812).await;
    polled.host.stop().await;
}

#[tokio::test]
async fn one_that_ends_each_connection_behind_its_answer_is_still_known_to_be_itself() {
    let polled = Polled::new().await;
    polled.peer.turn(Fault::CloseAfterAnswer).await;
    // What is shown now was read over one connection each.
    reset(polled.at(1), "power_total", 815.0);
    polled
        .is("power_total", |e| e["value"] == 815 && e["quality"] == "good")
        .await;
    reset(polled.at(1), "power_total", 816.0);
    polled
        .is("power_total", |e| e["value"] == 816 && e["quality"] == "good")
        .await;
    polled.host.stop().await;
}

#[tokio::test]
async fn fault_33_a_device_that_moved_to_another_unit_is_offline_until_its_owner_says_so() {
    let polled = Polled::new().await;
    renumber(polled.at(1), polled.at(2));
    let device = polled.host.device_is(&polled.device, "offline").await;
    assert_eq!(device["unit_id"], 1, "nothing is changed by itself");
    let devices = polled.host.get("/api/v1/devices").await;
    assert_eq!(list(&devices, "devices").len(), 1, "{devices:#}");
    appear(polled.at(1));
    vanish(polled.at(2));
    polled.host.device_is(&polled.device, "online").await;
    polled.host.stop().await;
}

#[tokio::test]
async fn fault_33_another_firmware_brings_and_takes_entities_and_no_id_changes() {
    let polled = Polled::new().await;
    polled.is("power_factor", |e| e["quality"] == "good").await;
    let before = polled.host.device(&polled.device).await;
    // The older firmware lacks what came later; what it has goes on.
    polled.peer.turn(Fault::Refuse).await;
    upgrade(polled.at(1), "0.1.5.255");
    polled.peer.turn(Fault::None).await;
    polled
        .is("power_total", |e| e["value"] == 812 && e["quality"] == "good")
        .await;
    let after = polled.host.device(&polled.device).await;
    assert_eq!(after["id"], before["id"]);
    let ids = |device: &Value| -> Vec<String> {
        list(device, "entities")
            .iter()
            .map(|e| text(e, "id").to_owned())
            .collect()
    };
    let known = ids(&before);
    assert!(ids(&after).iter().all(|id| known.contains(id)), "{after:#}");
    polled.host.stop().await;
}

#[tokio::test]
async fn fault_33_a_value_of_two_registers_is_never_shown_torn() {
    let polled = Polled::new().await;
    tear(polled.at(1), "power_total");
    // The value turns with each request: one in between, and each poll sees another half of it.
    let mut other = busbar_zoo::connect(&polled.running, "meter").await;
    let mut seen = std::collections::BTreeSet::new();
    until("both values", async || {
        other.read(1, 0x3032, 1).await.unwrap().unwrap();
        let entity = polled.entity("power_total").await;
        if let Some(value) = entity["value"].as_i64().filter(|v| *v != 812) {
            assert!([0xFFFF, 0x1_0000].contains(&value), "torn: {value:#x}");
            seen.insert(value);
        }
        (seen.len() == 2).then_some(())
    })
    .await;
    polled.host.stop().await;
}
