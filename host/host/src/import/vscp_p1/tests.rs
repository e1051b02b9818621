//! Files as people have them, and as nobody should.

use std::path::Path;

use busbar_sinks::vscp::config::VscpConfig;
use busbar_sinks::vscp::encode::{Group, named};

use super::*;

/// Each key once, with another value than the usual one.
fn every_key() -> String {
    let mut text =
        "[GENERAL]\none_shot = untrue\nno_vscp = false:\nsend_energy = true\nsend_active_effect = TRUE\n\
                    send_reactive_effect=  true \nsend_voltage: no\nsend_current = true\n[VSCP]\n\
                    guid = 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:00:05\nzone = 7\nsubzone = 8\n"
            .to_owned();
    for m in ALL.iter().filter(|m| m.group.usually()) {
        text.push_str(&format!(
            "sensorindex_{} = {}\nid_{} = {}\n",
            m.key,
            m.id + 100,
            m.key,
            u16::from(m.id) + 1000
        ));
    }
    text.push_str("[MQTT]\nhost=192.168.1.7\nport=1884\nuser=ann\npassword=hunter%%22 # x\ntopic=home/{xguid}/{xtype}\n");
    for m in ALL.iter().filter(|m| m.group.usually()) {
        text.push_str(&format!("note_{} = Anmärkning \"{}\" #{}\n", m.key, m.key, m.id));
    }
    text.push_str("[SERIAL]\nserial_port=/dev/ttyUSB1\nserial_baudrate=9600\nserial_timeout=20\n");
    text
}

/// The section as the sink reads it.
fn section(found: &Found) -> (toml::Table, VscpConfig) {
    let table: toml::Table = found
        .toml("config.ini", Some(Path::new("mqtt-password")))
        .parse()
        .unwrap();
    let config: VscpConfig = table["vscp"].clone().try_into().unwrap();
    config.check().unwrap();
    (table, config)
}

#[test]
fn every_key_is_taken_over_or_told() {
    let text = every_key();
    let found = read(&text);
    let keys = text.lines().filter(|line| !line.starts_with('[')).count();
    assert_eq!(found.understood.len() + found.not_taken.len(), keys);
    // A one-shot switch, the GUID, and the time-out.
    let left: Vec<&str> = found
        .not_taken
        .iter()
        .map(|(_, why)| why.split(':').next().unwrap())
        .collect();
    assert_eq!(left, ["GENERAL.one_shot", "VSCP.guid", "SERIAL.serial_timeout"]);
    let (table, config) = section(&found);
    assert_eq!(table["mqtt"]["url"].as_str(), Some("mqtt://192.168.1.7:1884"));
    assert_eq!(table["mqtt"]["user"].as_str(), Some("ann"));
    assert_eq!(
        table["connection"][0]["url"].as_str(),
        Some("p1:///dev/ttyUSB1?baud=9600")
    );
    let settings = config.settings([2, 0, 0, 0, 0, 1]).unwrap();
    assert_eq!((settings.zone, settings.subzone, settings.plain), (7, 8, false));
    let sent: Vec<Group> = settings.groups.iter().copied().collect();
    assert_eq!(sent, [Group::Energy, Group::ReactiveEffect, Group::Current]);
    for m in ALL.iter().filter(|m| m.group.usually()) {
        let own = settings.own(named(m.key).unwrap());
        assert_eq!((own.id, own.sensor_index), (u16::from(m.id) + 1000, m.id + 100));
        assert_eq!(own.note, format!("Anmärkning \"{}\" #{}", m.key, m.id));
    }
    assert_eq!(found.password.0, "hunter%22 # x");
}

#[test]
fn nobody_sees_the_password() {
    let found = read(&every_key());
    let shown = format!("{found:?}{}", found.toml("config.ini", Some(Path::new("p"))));
    assert!(!shown.contains("hunter"), "{shown}");
}

#[test]
fn what_is_left_out_is_what_the_old_tool_took() {
    let found = read(
        "[GENERAL]\nno_vscp = x true x\n[VSCP]\nguid=''\nsensorindex_voltage_l1 = 21\n[MQTT]\n[SERIAL]\n",
    );
    assert!(found.plain && found.off.is_empty() && found.guid.is_none());
    // Ids are the usual ones, and sensor indexes that nobody gave are 0.
    let (table, config) = section(&found);
    assert!(found.ids.is_empty());
    assert_eq!(found.sensor_indexes.len(), 25);
    assert_eq!(
        config
            .settings([2, 0, 0, 0, 0, 1])
            .unwrap()
            .own(named("voltage_l1").unwrap())
            .sensor_index,
        21
    );
    assert_eq!(table["mqtt"]["url"].as_str(), Some("mqtt://127.0.0.1:1883"));
    assert_eq!(table["connection"][0]["url"].as_str(), Some("p1:///dev/ttyUSB0"));
    assert_eq!(
        (found.user.as_str(), found.password.0.as_str()),
        ("vscp", "secret")
    );
    assert!(found.not_taken.is_empty(), "{:?}", found.not_taken);
}

#[test]
fn odd_values_are_told_and_the_rest_is_taken() {
    let found = read(
        "[GENERAL]\none_shot = true\nno_vscp = true\nsend_volts = true\n[VSCP]\nguid = 1234\nzone = 256\n\
         sensorindex_current_l1 = -1\nid_current_l1 = 65536\n[MQTT]\nhost = a b\nport = 99999\npassword = 5% of it\n\
         topic = vscp/{guid}\nnote_voltage_l1 = volt/#\n[SERIAL]\nserial_port = COM3\nserial_baudrate = fast\n[EXTRA]\nx = 1\n",
    );
    let told: Vec<&str> = found.not_taken.iter().map(|(_, why)| why.as_str()).collect();
    for (place, word) in [
        ("GENERAL.one_shot", "busbar run --once"),
        ("GENERAL.send_volts", "does not know"),
        ("VSCP.guid", "no GUID"),
        ("VSCP.zone", "0 to 255"),
        ("VSCP.sensorindex_current_l1", "0 to 255"),
        ("VSCP.id_current_l1", "0 to 65535"),
        ("MQTT.host", "no name"),
        ("MQTT.port", "65535"),
        ("MQTT.password", "as it stands"),
        ("MQTT.topic", "{guid} is not known"),
        ("MQTT.note_voltage_l1", "plain mode"),
        ("SERIAL.serial_port", "p1:///dev/ttyUSB0"),
        ("SERIAL.serial_baudrate", "whole number"),
        ("[EXTRA]", "no section"),
    ] {
        let note = told.iter().find(|why| why.starts_with(place));
        assert!(note.is_some_and(|why| why.contains(word)), "{place}: {told:#?}");
    }
    assert_eq!(found.password.0, "5% of it");
    let (table, _) = section(&found);
    assert!(!table.contains_key("connection"));
}

#[test]
fn a_password_without_a_user_is_told() {
    let found = read("[GENERAL]\n[VSCP]\n[SERIAL]\n[MQTT]\nuser =\npassword = hunter22\n");
    assert!(found.password.0.is_empty());
    let told = format!("{:?}", found.not_taken);
    assert!(
        told.contains("without a user") && !told.contains("hunter"),
        "{told}"
    );
}

#[test]
fn anything_at_all_is_no_configuration() {
    for text in ["", "ledger = 1", "\0\u{1}[[", "[OTHER]\nx = 1"] {
        assert!(read(text).is_empty(), "{text:?}");
    }
}
