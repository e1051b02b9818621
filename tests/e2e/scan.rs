//! What a scan finds is what is there.

use std::collections::BTreeSet;
use std::fmt::Write;

use busbar_zoo::{gx, peer, site};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::common::host::Background;
use crate::common::site::{self, BOAT, HOUSE, check, pairs, true_pairs, truths};
use crate::common::{Home, keys, list, text};

/// Fields of the contract; others may stand beside them.
const REPORT: [&str; 11] = [
    "connection",
    "plugin",
    "mode",
    "devices",
    "probes",
    "exceptions",
    "requests",
    "exceptions_by_code",
    "coverage",
    "elapsed_ms",
    "warnings",
];
const DEVICE: [&str; 8] = [
    "id", "ledger", "unit_id", "name", "model", "serial", "firmware", "entities",
];
const ENTITY: [&str; 8] = [
    "id", "key", "at", "value", "unit", "quality", "status", "writable",
];

#[tokio::test]
async fn a_quick_scan_finds_exactly_what_is_there_and_every_value_is_right() {
    for (name, held) in [("house", HOUSE), ("boat", BOAT)] {
        let (home, running, truths) = (Home::new(), site(held).await, truths(held));
        let report = home
            .run(&["scan", &running.url("gx").unwrap(), "--json"])
            .await
            .json();
        // Nothing is missing, nothing is there twice, nothing is a phantom; unit 0 is a copy of unit 100.
        assert_eq!(pairs(&report), true_pairs(&truths), "{name}");

        let score = check(&report, &truths);
        assert!(score.shown > 200, "{name}: {score:#?}");
        assert!(score.phantoms.len() * 50 <= score.present, "{name}: {score:#?}");
        assert!(score.missed.len() * 8 <= score.present, "{name}: {score:#?}");

        let number = |key: &str| report[key].as_u64().unwrap();
        assert!(number("requests") <= 900, "{name}: {}", number("requests"));
        assert!(number("exceptions") <= 600, "{name}: {}", number("exceptions"));
        // What it says it cost is what it cost.
        let stats = running.stats("gx").unwrap();
        assert_eq!(
            (number("requests"), number("exceptions")),
            (stats.requests, stats.exceptions.values().sum())
        );
        let by_code: u64 = report["exceptions_by_code"]
            .as_object()
            .unwrap()
            .values()
            .filter_map(Value::as_u64)
            .sum();
        assert_eq!(by_code, number("exceptions"));
        assert!(report["coverage"]["probed"].as_u64() < report["coverage"]["possible"].as_u64());
        assert!(stats.writes.is_empty());
    }
}

#[tokio::test]
async fn the_report_has_every_field_of_the_contract() {
    let (home, running) = (Home::new(), gx("[[device.service]]\nservice = \"system\"\nvalues = { serial = \"c0ffee\", dc_battery_soc = 50.5 }\n").await);
    let url = running.url("gx").unwrap();
    let report = home.run(&["scan", &url, "--json", "--units", "100"]).await.json();
    assert!(keys(&report).is_superset(&REPORT.into()), "{:?}", keys(&report));
    assert_eq!(report["connection"], url.as_str());
    assert_eq!(
        (text(&report, "plugin"), text(&report, "mode")),
        ("victron-gx", "listed")
    );
    let device = &list(&report, "devices")[0];
    assert!(keys(device).is_superset(&DEVICE.into()), "{:?}", keys(device));
    assert_eq!(text(device, "id"), "c0ffee_system_u100");
    for entity in list(device, "entities") {
        assert!(keys(entity).is_superset(&ENTITY.into()), "{entity:#}");
        assert_eq!(
            text(entity, "id"),
            format!("c0ffee_system_u100.{}", text(entity, "key"))
        );
        assert!(["present", "unproven", "absent"].contains(&text(entity, "status")));
    }
    let soc = entity(device, "dc_battery_soc");
    let expected = json!({ "value": 51, "at": 843, "unit": "%", "status": "present", "quality": "good", "writable": false });
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(soc[key].as_f64(), value.as_f64(), "{key}");
        assert!(value.is_number() || soc[key] == *value, "{soc:#}");
    }
}

fn entity<'a>(device: &'a Value, key: &str) -> &'a Value {
    let found = list(device, "entities").iter().find(|e| e["key"] == key);
    found.unwrap_or_else(|| panic!("no {key} on {}", device["id"]))
}

#[tokio::test]
async fn a_meter_of_another_maker_is_recognised_by_its_ledger() {
    let (home, running) = (Home::new(), site(METER).await);
    let report = home
        .run(&["scan", &running.url("meter").unwrap(), "--json"])
        .await
        .json();
    assert_eq!(pairs(&report), [(1, "generic/demo-meter".to_owned())]);
    let device = &list(&report, "devices")[0];
    assert_eq!(text(device, "id"), "demo_meter_dm24070042");
    assert_eq!(
        (text(device, "model"), text(device, "serial")),
        ("DEM-3P", "DM24070042")
    );
    for (key, value) in [
        ("voltage_l1", json!(230.5)),
        ("current_l1", json!(2.5)),
        ("power", json!(-576.25)),
        ("power_factor", json!(0.991)),
        ("energy_forward", json!(1234.56)),
        ("wiring", json!(0)),
        ("phase_sequence_ok", json!(1)),
        ("temperature", json!(-12.5)),
        ("current", json!(2.5)),
        ("energy", json!(1234.56)),
    ] {
        let entity = entity(device, key);
        assert_eq!(entity["value"].as_f64(), value.as_f64(), "{entity:#}");
        assert_eq!(
            (text(entity, "quality"), text(entity, "status")),
            ("good", "present"),
            "{entity:#}"
        );
    }
    assert_eq!(entity(device, "wiring")["label"], "Single phase");
    // A computed value lies nowhere; a bit and another address space are said.
    assert!(entity(device, "current")["at"].is_null());
    assert_eq!(entity(device, "overload")["bit"], 1);
    assert_eq!(entity(device, "power")["function"], "input");
    for absent in ["voltage_l2", "power_l3"] {
        assert_eq!(entity(device, absent)["status"], "absent");
    }
}

const METER: &str = r#"
[[device]]
name   = "meter"
kind   = "ledger"
listen = "modbus+tcp://127.0.0.1:0"
[[device.unit]]
unit   = 1
ledger = "generic/demo-meter"
values = { model_number = 0xB5BA, serial = "DM24070042", firmware = 104, wiring = 0, state = 1, phase_sequence_ok = 1, overload = 0, average_time = 10, energy_scale = -2, energy_forward = 1234.56, energy_reverse = 0, voltage_l1 = 230.5, current_l1 = 2.5, power_l1 = -576.25, power = -576.25, reactive_power = 12.0, power_factor = 0.991, frequency = 49.98, temperature = -12.5 }
"#;

#[tokio::test]
async fn a_full_scan_finds_services_where_no_table_looks() {
    let mut services =
        "[[device.service]]\nservice = \"system\"\nvalues = { serial = \"c0ffee\", dc_battery_soc = 50 }\n"
            .to_owned();
    let odd = [
        (51, "grid"),
        (61, "pvinverter"),
        (150, "battery"),
        (203, "tank"),
        (10, "charger"),
    ];
    for (instance, service) in odd {
        write!(
            services,
            "[[device.service]]\nservice = \"{service}\"\ninstance = {instance}\n[device.service.values]\n"
        )
        .unwrap();
        let name = format!("victron/gx-{service}");
        writeln!(
            services,
            "{}",
            if site::ledger(&name).point("custom_name").is_some() {
                "custom_name = \"odd\""
            } else {
                "state = 1"
            }
        )
        .unwrap();
    }
    let (home, running) = (Home::new(), gx(&services).await);
    let report = home
        .run(&["scan", &running.url("gx").unwrap(), "--json", "--mode", "full"])
        .await
        .json();
    let mut expected: Vec<_> = odd
        .map(|(unit, service)| (unit, format!("victron/gx-{service}")))
        .into();
    expected.push((100, "victron/gx-system".to_owned()));
    expected.sort();
    assert_eq!(pairs(&report), expected);
    assert_eq!(text(&report, "mode"), "full");
}

#[tokio::test]
async fn a_listed_scan_asks_only_where_it_is_told_to() {
    let (home, running) = (Home::new(), site(HOUSE).await);
    let peer = peer(&running, "gx").await;
    let report = home
        .run(&["scan", &peer.url(), "--json", "--units", "30,223-226"])
        .await
        .json();
    let expected: Vec<_> = true_pairs(&truths(HOUSE))
        .into_iter()
        .filter(|(unit, _)| [30, 223, 224, 225, 226].contains(unit))
        .collect();
    assert_eq!(pairs(&report), expected);
    // 100 tells the serial number, without which nothing has an id.
    let asked: BTreeSet<u8> = peer.record().exchanges().iter().map(|e| e.unit).collect();
    assert!(
        asked.is_subset(&[30, 100, 223, 224, 225, 226].into()),
        "{asked:?}"
    );
}

#[tokio::test]
async fn answers_in_another_order_and_a_slow_device_change_nothing() {
    let (home, running) = (Home::new(), site(HOUSE).await);
    running.change("gx", |options| {
        options.shuffle = true;
        options.delay = std::time::Duration::from_millis(20);
    });
    let report = home
        .run(&["scan", &running.url("gx").unwrap(), "--json"])
        .await
        .json();
    let truths = truths(HOUSE);
    assert_eq!(pairs(&report), true_pairs(&truths));
    check(&report, &truths);
    // One after the other it would take 12 s; a release build takes 1.
    assert!(
        report["elapsed_ms"].as_u64() < Some(5000),
        "{} ms",
        report["elapsed_ms"]
    );
}

#[tokio::test]
async fn registers_that_the_firmware_lacks_cost_only_their_own_points() {
    // Single registers, a range, and probe registers of services among them.
    let drop = [
        800..=800,
        817..=819,
        3..=3,
        31..=31,
        266..=266,
        1290..=1310,
        2716..=2716,
        3000..=3000,
        4503..=4503,
    ];
    let (home, running) = (Home::new(), site(HOUSE).await);
    let url = running.url("gx").unwrap();
    let whole = home.run(&["scan", &url, "--json"]).await.json();
    running.change("gx", |options| options.drop = drop[1..].to_vec());
    let less = home.run(&["scan", &url, "--json"]).await.json();
    assert_eq!(pairs(&less), pairs(&whole));
    let mut lost = 0;
    for (before, after) in list(&whole, "devices").iter().zip(list(&less, "devices")) {
        assert_eq!(before["id"], after["id"]);
        let ledger = site::ledger(text(before, "ledger"));
        for (before, after) in list(before, "entities").iter().zip(list(after, "entities")) {
            let point = ledger.point(text(before, "key")).unwrap();
            let dropped = |at: u16| drop[1..].iter().any(|range| range.contains(&at));
            let lacks = |r: &busbar_ledger::model::Register| dropped(r.span.at);
            if !point.registers().iter().any(lacks) {
                // The clock goes on; everything else is as it was.
                let same = ["id", "at", "unit", "writable"]
                    .iter()
                    .all(|key| before[key] == after[key]);
                assert!(
                    same && (before["at"] == 830 || before["value"] == after["value"]),
                    "{before:#} {after:#}"
                );
            } else if point.registers().iter().all(lacks) {
                assert!(
                    after["value"].is_null() && after["status"] == "absent",
                    "{after:#}"
                );
                lost += 1;
            } else {
                assert!(
                    !dropped(after["at"].as_u64().unwrap() as u16),
                    "a fall-back stands in: {after:#}"
                );
            }
        }
    }
    assert!(lost >= 8, "{lost}");
}

#[tokio::test]
async fn a_value_too_large_for_the_old_register_is_taken_from_the_wide_one() {
    let held = r#"
[[device.service]]
service = "system"
values = { serial = "c0ffee", ac_grid_l1_power = -40000.0, dc_battery_soc = 50 }
"#;
    let (home, running) = (Home::new(), gx(held).await);
    let url = running.url("gx").unwrap();
    let report = home.run(&["scan", &url, "--json", "--units", "100"]).await.json();
    // In 16 bits the device would say 25,536 W.
    let shown = entity(&list(&report, "devices")[0], "ac_grid_l1_power");
    assert_eq!(shown["value"].as_f64(), Some(-40_000.0), "{shown:#}");
}

#[tokio::test]
async fn an_interrupted_scan_keeps_what_it_found() {
    let (home, running) = (Home::new(), site(HOUSE).await);
    running.change("gx", |options| {
        options.delay = std::time::Duration::from_millis(20)
    });
    let peer = peer(&running, "gx").await;
    let scan = Background::start(&home, &["scan", &peer.url(), "--save", "--json"]);
    crate::common::until("the scan to be well under way", async || {
        (peer.record().requests() > 250).then_some(())
    })
    .await;
    scan.signal(Signal::INT);
    let run = scan.end().await;
    let report = run.json();
    let (found, all) = (pairs(&report), true_pairs(&truths(HOUSE)));
    assert!(
        !found.is_empty() && found.len() < all.len() && found.iter().all(|pair| all.contains(pair)),
        "{found:?}"
    );
    assert!(
        report["warnings"].to_string().contains("stopped before its end"),
        "{}",
        report["warnings"]
    );
    let kept = home.run(&["devices", "--json"]).await.json();
    assert_eq!(pairs(&kept), found);
}

#[tokio::test]
async fn a_rescan_is_a_difference_and_ids_survive_another_address() {
    let home = Home::new();
    let first = site(HOUSE).await;
    home.run(&[
        "scan",
        &first.url("gx").unwrap(),
        "--save",
        "--name",
        "home",
        "--json",
    ])
    .await
    .json();
    let before = home.run(&["entities", "--json"]).await.json();
    first.stop().await;

    // The same house with another address, without its grid meter and with another tank.
    let changed = HOUSE.replace(
        "service = \"tank\"\ninstance = 21",
        "service = \"tank\"\ninstance = 25",
    );
    let second = site(&changed).await;
    second.change("gx", |options| options.hide = vec![(Some("grid".to_owned()), 30)]);
    let url = second.url("gx").unwrap();
    let again = home.run(&["scan", &url, "--save", "--name", "home"]).await;
    assert_eq!(again.code(), 0, "{again:#?}");
    let lines = again.lines().join("\n");
    for line in ["Saved as \"home\":", "1 new device", "2 devices no longer found"] {
        assert!(lines.contains(line), "{line}\n{lines}");
    }
    let ids = |entities: &Value| -> BTreeSet<String> {
        list(entities, "entities")
            .iter()
            .map(|e| text(e, "id").to_owned())
            .collect()
    };
    let after = home.run(&["entities", "--json"]).await.json();
    // What is gone is kept, what is new is added, and nothing has another name.
    let (before, after) = (ids(&before), ids(&after));
    assert!(before.is_subset(&after), "{:?}", before.difference(&after));
    assert!(
        after
            .iter()
            .all(|id| before.contains(id) || id.contains("tank_u25"))
    );

    let third = home
        .run(&["scan", &url, "--save", "--name", "home", "--json"])
        .await
        .json();
    assert_eq!(third["saved"]["name"], "home");
    let diff = &third["saved"]["diff"];
    let nothing = json!({ "devices": [], "entities": [] });
    assert_eq!(
        (&diff["new"], &diff["gone"], &diff["changed"]),
        (&nothing, &nothing, &json!([]))
    );
}

#[tokio::test]
async fn a_meter_that_cannot_be_recognised_is_scanned_with_a_ledger_of_ones_own() {
    let home = Home::new();
    let ledger = home.write("mine.toml", MINE);
    let simulated = Background::start(&home, &["simulate", "mine.toml", "--json"]);
    let line: Value = serde_json::from_str(&simulated.says("url").await).unwrap();
    let report = home
        .run(&[
            "scan",
            text(&line, "url"),
            "--ledger",
            ledger.to_str().unwrap(),
            "--json",
        ])
        .await
        .json();
    assert_eq!(pairs(&report), [(7, "generic/mine".to_owned())]);
    let power = entity(&list(&report, "devices")[0], "power");
    assert_eq!(
        (text(power, "quality"), text(power, "unit")),
        ("good", "W"),
        "{power:#}"
    );
}

#[tokio::test]
async fn a_ledger_of_ones_own_is_kept_with_its_devices() {
    let home = Home::new();
    let ledger = home.write("mine.toml", MINE);
    let simulated = Background::start(&home, &["simulate", "mine.toml", "--json"]);
    let line: Value = serde_json::from_str(&simulated.says("url").await).unwrap();
    let file = ledger.to_str().unwrap();
    let saved = home
        .run(&[
            "scan",
            text(&line, "url"),
            "--ledger",
            file,
            "--save",
            "--name",
            "mine",
        ])
        .await;
    assert_eq!(saved.code(), 0, "{saved:#?}");
    // The registry knows the device by itself from now on.
    std::fs::remove_file(&ledger).unwrap();
    let devices = home.run(&["run", "--once", "--json"]).await.json();
    assert_eq!(pairs(&devices), [(7, "generic/mine".to_owned())]);
    let power = entity(&list(&devices, "devices")[0], "power");
    assert_eq!(text(power, "quality"), "good", "{power:#}");
    let explained = home.run(&["explain", text(power, "id"), "--json"]).await.json();
    assert_eq!(text(&explained, "ledger"), "generic/mine");
}

const MINE: &str = r#"
ledger = "generic/mine"
title  = "A meter that says nothing of itself"
[[transport]]
scheme = "modbus+tcp"
units  = [7]
[points]
power   = { at = 10, type = "i32", order = "CDAB", unit = "W", class = "power" }
voltage = { at = 20, type = "u16", scale = "1/10", unit = "V", class = "voltage" }
"#;
