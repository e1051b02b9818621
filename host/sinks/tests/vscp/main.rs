//! VSCP events with a real mosquitto, heard by mosquitto_sub and held by the VSCP project's own Python package.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "what cannot be set up fails the test, loudly"
)]

#[path = "../common/broker.rs"]
mod broker;
#[path = "../common/house.rs"]
mod house;
#[path = "../peers/mod.rs"]
mod peers;

use std::sync::Arc;

use broker::{Broker, Ear, Heard};
use busbar_ledger::value::{Quality, Reading, Value as Said};
use busbar_sinks::bus::{Device, Stamp, Update};
use busbar_sinks::sinks::{Config, Sinks};
use busbar_sinks::telegram::{Check, Telegram};
use house::House;
use peers::Peer;
use serde_json::Value;

/// A telegram of a Swedish meter.
const SE: &str = include_str!("../../src/vscp/encode/swedish.txt");

/// Its points: code, key, unit, class.
const POINTS: [(&str, &str, &str, &str); 26] = [
    ("1-0:1.8.0", "energy_forward", "kWh", "energy"),
    ("1-0:2.8.0", "energy_reverse", "kWh", "energy"),
    ("1-0:3.8.0", "reactive_energy_forward", "kvarh", "reactive_energy"),
    ("1-0:4.8.0", "reactive_energy_reverse", "kvarh", "reactive_energy"),
    ("1-0:1.7.0", "power_import", "W", "power"),
    ("1-0:2.7.0", "power_export", "W", "power"),
    ("1-0:3.7.0", "reactive_power_import", "var", "reactive_power"),
    ("1-0:4.7.0", "reactive_power_export", "var", "reactive_power"),
    ("1-0:21.7.0", "power_import_l1", "W", "power"),
    ("1-0:22.7.0", "power_export_l1", "W", "power"),
    ("1-0:41.7.0", "power_import_l2", "W", "power"),
    ("1-0:42.7.0", "power_export_l2", "W", "power"),
    ("1-0:61.7.0", "power_import_l3", "W", "power"),
    ("1-0:62.7.0", "power_export_l3", "W", "power"),
    ("1-0:23.7.0", "reactive_power_import_l1", "var", "reactive_power"),
    ("1-0:24.7.0", "reactive_power_export_l1", "var", "reactive_power"),
    ("1-0:43.7.0", "reactive_power_import_l2", "var", "reactive_power"),
    ("1-0:44.7.0", "reactive_power_export_l2", "var", "reactive_power"),
    ("1-0:63.7.0", "reactive_power_import_l3", "var", "reactive_power"),
    ("1-0:64.7.0", "reactive_power_export_l3", "var", "reactive_power"),
    ("1-0:32.7.0", "voltage_l1", "V", "voltage"),
    ("1-0:52.7.0", "voltage_l2", "V", "voltage"),
    ("1-0:72.7.0", "voltage_l3", "V", "voltage"),
    ("1-0:31.7.0", "current_l1", "A", "current"),
    ("1-0:51.7.0", "current_l2", "A", "current"),
    ("1-0:71.7.0", "current_l3", "A", "current"),
];

/// The meter as its ledger has it.
fn meter(house: &House) -> Arc<Device> {
    let mut ledger = "ledger = \"dsmr/p1\"\ntitle = \"Meter\"\n[points]\n".to_owned();
    for (i, (_, key, unit, class)) in POINTS.iter().enumerate() {
        ledger.push_str(&format!(
            "{key} = {{ at = {}, type = \"f64\", unit = \"{unit}\", class = \"{class}\" }}\n",
            i * 4
        ));
    }
    let device = house::device("p1_se", &ledger);
    house.bus.put("c", vec![Arc::clone(&device)]);
    device
}

/// The host hears a telegram: first its bytes, then the readings made of it.
fn hears(house: &House, device: &Arc<Device>, telegram: &str) {
    house.bus.tell_telegram(Telegram {
        device: device.meta.id.clone(),
        raw: telegram.as_bytes().to_vec(),
        check: Check::Good,
        at_ms: 1_783_084_530_000,
    });
    let mut points = Vec::new();
    for line in telegram.lines() {
        let Some((code, rest)) = line.split_once('(') else {
            continue;
        };
        let Some(index) = POINTS.iter().position(|point| point.0 == code) else {
            continue;
        };
        let (number, unit) = rest.trim_end_matches(')').split_once('*').unwrap();
        let number: f64 = number.parse().unwrap();
        let number = if matches!(unit, "kW" | "kvar") {
            (number * 1e6).round() / 1e3
        } else {
            number
        };
        let mut state = device.state();
        state.slots[index].reading = Reading {
            value: Some(Said::Number(number)),
            quality: Quality::Good,
            ..Reading::unavailable()
        };
        state.slots[index].since = Some(Stamp::now());
        points.push(index);
    }
    house.bus.publish(Update {
        device: Arc::clone(device),
        points,
        at_ms: 0,
    });
}

fn start(house: &House, broker: &Broker, vscp: &str) -> Sinks {
    let config = Config {
        mqtt: Some(toml::from_str(&format!("url = \"{}\"\nvscp = true", broker.url())).unwrap()),
        vscp: Some(toml::from_str(vscp).unwrap()),
        ..Config::default()
    };
    config.check().unwrap();
    Sinks::start(&config, &house.site())
}

async fn events(ear: &mut Ear, count: usize) -> Vec<Heard> {
    let mut events = Vec::new();
    while events.len() < count {
        events.push(ear.next().await);
    }
    events
}

/// The id of each event, in the order of the telegram's lines.
const IN_ORDER: [u64; 26] = [
    1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 13, 10, 12, 14, 15, 17, 19, 16, 18, 20, 21, 22, 23, 24, 25, 26,
];

#[tokio::test]
async fn every_event_of_a_telegram_is_what_the_vscp_project_understands() {
    let broker = Broker::start().await;
    let house = House::new();
    let device = meter(&house);
    let mut ear = broker.listen(&["-t", "vscp/#"]).await;
    let sinks = start(&house, &broker, "");
    hears(&house, &device, SE);
    let heard = events(&mut ear, 26).await;
    assert!(heard.iter().all(|event| !event.retained));
    let ids: Vec<u64> = heard
        .iter()
        .map(|event| event.json()["measurement"]["sensorindex"].as_u64().unwrap())
        .collect();
    assert_eq!(ids, IN_ORDER);

    if let Some(mut peer) = Peer::start("vscp_events.py", "vscp, vscp_class, vscp_type", &[]).await {
        const TYPES: [(u64, &str, f64); 6] = [
            (1, "ENERGY", 12345.678),
            (4, "REACTIVE_ENERGY", 456.789),
            (6, "POWER", 1250.0),
            (18, "REACTIVE_POWER", 150.0),
            (21, "ELECTRICAL_POTENTIAL", 231.4),
            (26, "ELECTRIC_CURRENT", 0.3),
        ];
        for event in &heard {
            let said = event.json();
            peer.tell(&event.payload).await;
            let held = peer.says().await;
            assert_eq!(held["same"], true, "{said}");
            assert_eq!(held["class"], "VSCP_CLASS2_MEASUREMENT_STR");
            assert_eq!(held["nickname"], said["measurement"]["sensorindex"]);
            assert_eq!(held["number"].as_f64(), said["measurement"]["value"].as_f64());
            assert_eq!(held["unit"], said["measurement"]["unit"]);
            if let Some((_, ty, number)) = TYPES.iter().find(|(id, ..)| held["index"] == *id) {
                assert_eq!(held["type"], format!("VSCP_TYPE_MEASUREMENT_{ty}"));
                assert_eq!(held["number"], *number);
            }
            let topic = format!(
                "vscp/{}/1040/{}",
                held["guid"].as_str().unwrap(),
                said["vscpType"]
            );
            assert_eq!(event.topic, topic);
        }
    }
    sinks.stop().await;
}

#[tokio::test]
async fn the_old_tools_output_is_made_of_the_telegrams_lines() {
    let broker = Broker::start().await;
    let house = House::new();
    let device = meter(&house);
    let mut ear = broker.listen(&["-t", "vscp/#"]).await;
    let sinks = start(&house, &broker, "compat = \"vscp-python-p1\"\nqos = 1");
    hears(&house, &device, SE);
    let heard = events(&mut ear, 26).await;
    let texts: Vec<String> = heard
        .iter()
        .map(|event| {
            let data: Vec<u8> = serde_json::from_value(event.json()["vscpData"].clone()).unwrap();
            String::from_utf8(data[4..data.len() - 1].to_vec()).unwrap()
        })
        .collect();
    assert_eq!(texts[..3], ["0012345.678", "0000987.654", "0000012.345"]);
    let types: Vec<Value> = heard
        .iter()
        .map(|event| event.json()["vscpType"].clone())
        .collect();
    let as_sent = [
        13, 13, 13, 14, 14, 64, 64, 64, 14, 14, 14, 14, 14, 14, 14, 14, 14, 14, 14, 14, 16, 16, 16, 5, 5, 5,
    ];
    assert_eq!(types, as_sent);
    // It knows no checksums: a damaged telegram is sent like any other.
    house.bus.tell_telegram(Telegram {
        device: "p1_se".to_owned(),
        raw: b"/X\r\n1-0:1.7.0(0009.250*kW)\r\n!\r\n".to_vec(),
        check: Check::Bad,
        at_ms: 0,
    });
    assert_eq!(ear.next().await.json()["measurement"]["value"], 9.25);
    sinks.stop().await;
}

#[tokio::test]
async fn a_host_that_reads_once_has_told_everything_when_it_ends() {
    for compat in ["", "compat = \"vscp-python-p1\""] {
        let broker = Broker::start().await;
        let house = House::new();
        let device = meter(&house);
        let mut ear = broker.listen(&["-t", "vscp/#"]).await;
        let sinks = start(&house, &broker, compat);
        tokio::task::yield_now().await;
        hears(&house, &device, SE);
        sinks.stop().await;
        // Nobody has to be there any more for what comes now.
        assert_eq!(events(&mut ear, 26).await.len(), 26, "{compat}");
    }
}

#[tokio::test]
async fn the_newest_is_told_when_the_broker_is_back() {
    let mut broker = Broker::start().await;
    let house = House::new();
    let device = meter(&house);
    let mut ear = broker.listen(&["-t", "vscp/#"]).await;
    let sinks = start(&house, &broker, "topic = \"vscp/{xname}\"");
    hears(&house, &device, SE);
    events(&mut ear, 26).await;
    broker.kill().await;
    let power = |kilowatts: &str| format!("/X\r\n1-0:1.7.0({kilowatts}*kW)\r\n!\r\n");
    hears(&house, &device, &power("1.000"));
    // Until it is seen that the broker is gone, and what is replaced is counted.
    let health = sinks.health().remove(0);
    let counted = async {
        while health.report().dropped == 0 {
            hears(&house, &device, &power("2.000"));
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(broker::PATIENCE, counted).await.unwrap();
    hears(&house, &device, &power("3.000"));
    broker.restart().await;
    let mut ear = broker.listen(&["-t", "vscp/#"]).await;
    hears(&house, &device, &power("4.000"));
    // Whether it is back before or after the last one is heard: the newest comes.
    let newest = ear
        .until(|event| event.json()["measurement"]["value"] == 4000)
        .await;
    assert_eq!(newest.topic, "vscp/momentan_active_effect_out");
    sinks.stop().await;
}
