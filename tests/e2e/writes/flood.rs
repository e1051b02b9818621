//! Commands without number and without sense: what reaches the device is right all the same.

use busbar_ledger::value::Value as Held;
use std::collections::BTreeSet;

use busbar_zoo::simulate::Content;
use busbar_zoo::{Evidence, Judge, Leave};
use futures_util::future::join_all;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use super::ways::{a_box, own};
use crate::common::host::Host;
use crate::common::site::ledger;
use crate::common::writes::{
    AC_POWER, AC_POWER_PHASE, Control, Known, L1_SETPOINT, MODE, SETPOINT, STORED_SETPOINT, config, intents,
    setpoint_leave,
};
use crate::common::{list, until};

/// A setting: its ledger, its key, and what the site allows where the ledger leaves it to the site.
type Setting = (&'static str, &'static str, Option<(f64, f64)>);

/// Settings of every kind, and what may be written to them within the limits of the tests' site: volts x amps (x phases),
/// amps, 16 cells of 2.5 to 3.65 V.
const SETTINGS: &[Setting] = &[
    ("hub4", "overrides_setpoint", Some((-AC_POWER, AC_POWER))),
    (
        "settings",
        "settings_cgwacs_ac_power_set_point",
        Some((-AC_POWER, AC_POWER)),
    ),
    (
        "settings",
        "settings_cgwacs_ac_power_set_point_at_2703",
        Some((-AC_POWER, AC_POWER)),
    ),
    (
        "settings",
        "settings_cgwacs_max_discharge_power_at_2704",
        Some((0.0, AC_POWER)),
    ),
    (
        "settings",
        "settings_cgwacs_max_feed_in_power_at_2706",
        Some((0.0, AC_POWER)),
    ),
    ("settings", "settings_cgwacs_max_charge_percentage", None),
    ("settings", "settings_cgwacs_overvoltage_feed_in", None),
    ("settings", "settings_cgwacs_ac_export_limit", Some((0.0, 24.0))),
    ("settings", "settings_cgwacs_ac_input_limit", Some((0.0, 24.0))),
    (
        "settings",
        "settings_system_setup_max_charge_current",
        Some((0.0, 100.0)),
    ),
    (
        "settings",
        "settings_system_setup_max_charge_voltage",
        Some((40.0, 58.4)),
    ),
    (
        "settings",
        "settings_cgwacs_max_discharge_power",
        Some((0.0, AC_POWER)),
    ),
    (
        "settings",
        "settings_cgwacs_max_feed_in_power",
        Some((0.0, AC_POWER)),
    ),
    ("settings", "settings_cgwacs_battery_life_minimum_soc_limit", None),
    ("settings", "settings_system_setup_system_name", None),
    ("system", "relay_0_state", None),
    ("vebus", "custom_name", None),
    ("vebus", "mode", None),
    ("vebus", "ac_active_in_current_limit", Some((0.0, 24.0))),
    ("vebus", "hub4_disable_charge", None),
    ("vebus", "hub4_disable_feed_in", None),
    (
        "vebus",
        "hub4_l1_ac_power_setpoint_at_37",
        Some((-AC_POWER_PHASE, AC_POWER_PHASE)),
    ),
    (
        "vebus",
        "hub4_l1_ac_power_setpoint",
        Some((-AC_POWER_PHASE, AC_POWER_PHASE)),
    ),
    (
        "vebus",
        "hub4_l2_ac_power_setpoint",
        Some((-AC_POWER_PHASE, AC_POWER_PHASE)),
    ),
    (
        "vebus",
        "hub4_l3_ac_power_setpoint",
        Some((-AC_POWER_PHASE, AC_POWER_PHASE)),
    ),
];

fn unit(service: &str) -> u8 {
    if service == "vebus" { 227 } else { 100 }
}

fn id((service, key, _): &Setting) -> String {
    format!("c0ffee_{service}_u{}.{key}", unit(service))
}

fn leaves() -> Vec<Leave> {
    let leave = |(service, key, site): &Setting| {
        let leave = Leave::of(unit(service), ledger(&format!("victron/gx-{service}")), key);
        match site {
            Some((low, high)) => leave.within(*low, *high),
            None => leave,
        }
    };
    SETTINGS.iter().map(leave).collect()
}

fn allow_all() -> String {
    let all = SETTINGS.iter().map(|setting| format!("\"{}\"", id(setting)));
    format!("level = 3\nallow = [{}]", all.collect::<Vec<_>>().join(", "))
}

/// Any value, most of them near what could be right.
fn any_value(rng: &mut SmallRng, (_, _, site): &Setting) -> Value {
    let (low, high) = site.unwrap_or((0.0, 100.0));
    let near = |end: f64, rng: &mut SmallRng| end + f64::from(rng.random_range(-20..=20i32)) / 10.0;
    match rng.random_range(0..14u8) {
        0..=3 => json!(rng.random_range(low as i64..=high as i64)),
        4 => json!((rng.random_range(low as i64..=high as i64) / 100) * 100),
        5 => json!(rng.random_range(low * 1.5 - 10.0..high * 1.5)),
        6 => json!(near(low, rng)),
        7 => json!(near(high, rng)),
        8 => json!(rng.random_range(-2..6i32)),
        9 => json!(rng.random_range(0..2u8) == 1),
        10 => json!(
            ["On", "Off", "Charger Only", "no limit", "Closed", "press", "-1"][rng.random_range(0..7usize)]
        ),
        11 => json!(rng.random_range(i64::MIN..=i64::MAX)),
        12 => json!(
            "Zähler Küche 123456789"
                .chars()
                .take(rng.random_range(0..22usize))
                .collect::<String>()
        ),
        _ => json!([-65_536, 65_400, 65_535, 65_536_000, i32::MIN, i32::MAX][rng.random_range(0..6usize)]),
    }
}

#[tokio::test]
async fn w3_w4_whatever_is_asked_by_several_clients_only_what_is_right_reaches_the_device() {
    const CLIENTS: u64 = 12;
    const EACH: usize = 30;
    let known = Known::new().await;
    let host = known.host(&allow_all()).await;
    let client = async |seed: u64| {
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut control = Control::of(&known.home);
        let mut outcomes = Vec::new();
        for _ in 0..EACH {
            let setting = &SETTINGS[rng.random_range(0..SETTINGS.len())];
            let mut write = json!({ "value": any_value(&mut rng, setting) });
            if rng.random_range(0..8u8) == 0 {
                write["dry_run"] = json!(true);
            }
            let (status, report) = control.set_and_confirm(&id(setting), write).await;
            assert!([200, 422].contains(&status), "{status}: {report:#}");
            outcomes.push(report["outcome"].as_str().unwrap_or("bad").to_owned());
        }
        outcomes
    };
    let outcomes: Vec<String> = join_all((1..=CLIENTS).map(client)).await.concat();
    let of = |outcome: &str| outcomes.iter().filter(|one| *one == outcome).count();
    // Else this would prove nothing.
    assert!(
        of("applied") >= 15 && of("refused") >= 100 && of("dry_run") >= 3,
        "{outcomes:?}"
    );
    assert!(known.writes().len() >= 15);
    host.stop().await;
    known.acquit(leaves()).await;
    known.home.verify_audit().await.json();
}

#[tokio::test]
async fn w7_of_a_thousand_commands_at_once_one_an_interval_reaches_the_device_and_never_too_far() {
    const CLIENTS: i64 = 20;
    const RAMP: f64 = 5.0;
    let (home, running, url) = a_box("modbus+tcp").await;
    let allow = "level = 2\nallow = [{ entity = \"own/box:current\", max_change = 5 }]";
    let host = home.host_with(&config(&url, "", allow)).await;
    let frames = || running.stats("box").unwrap().writes.len();
    // Each asks fifty times, and goes on until three have come through.
    let client = async |n: i64| {
        let mut control = Control::of(&home);
        let mut causes = BTreeSet::new();
        let mut sent = 0;
        while sent < 50 || frames() < 3 {
            let value = (n * 37 + sent * 101) % 33;
            let (status, report) = control.set("own/box:current", json!({ "value": value })).await;
            assert_eq!(status, 200, "{report:#}");
            match report["outcome"].as_str() {
                Some("applied") => {}
                Some("refused") => {
                    causes.insert(report["code"].as_str().unwrap().to_owned());
                }
                _ => panic!("{report:#}"),
            }
            sent += 1;
        }
        causes
    };
    let causes = join_all((0..CLIENTS).map(client)).await;
    let causes: BTreeSet<String> = causes.into_iter().flatten().collect();
    assert!(
        causes.contains("busy") && causes.contains("rate"),
        "they got in each other's way: {causes:?}"
    );
    assert!(
        causes
            .iter()
            .all(|cause| ["busy", "change", "rate"].contains(&cause.as_str())),
        "{causes:?}"
    );
    host.stop().await;
    let leave = Leave::of(1, &own(), "current").ramp(RAMP);
    let judge = Judge::strict().allow(leave);
    let judge = judge.intents(intents(&home.audit().await), running.began());
    judge.acquit(&Evidence::from(&running.stats("box").unwrap()));
    home.verify_audit().await.json();
}

#[tokio::test]
async fn w7_what_keeps_a_value_alive_counts_as_a_write_too() {
    let (home, running, url) = a_box("modbus+tcp").await;
    let allow = "level = 2\nallow = [\"own/box:held\"]";
    let host = home.host_with(&config(&url, "", allow)).await;
    let frames = || running.stats("box").unwrap().writes.len();
    let mut control = Control::of(&home);
    let (_, report) = control.set("own/box:held", json!({ "value": 1 })).await;
    assert_eq!(report["outcome"], "applied", "{report:#}");
    // Whenever it was written again, somebody wants another value at once.
    let mut applied = 1;
    for value in 2..5 {
        let so_far = frames();
        until("it to be kept alive", async || (frames() > so_far).then_some(())).await;
        let report = until("the setting to be free", async || {
            let (_, report) = control.set("own/box:held", json!({ "value": value })).await;
            (report["code"] != "busy").then_some(report)
        })
        .await;
        applied += usize::from(report["outcome"] == "applied");
    }
    assert!(frames() > applied, "it was kept alive");
    host.stop().await;
    let judge = Judge::strict().allow(Leave::of(1, &own(), "held"));
    judge.acquit(&Evidence::from(&running.stats("box").unwrap()));
}

/// A command that nobody should send: method, path, body.
fn hostile(rng: &mut SmallRng, token: &str, n: usize) -> (&'static str, String, Vec<u8>) {
    let long = "9".repeat(4000);
    let strange = [
        "NaN",
        "-nan",
        "inf",
        "-Infinity",
        "1e308",
        "-1e308",
        "1e999",
        "0x1F4",
        "1_000",
        "١٢٣",
        "500 W",
        "5,5",
        "--500",
        "+-3",
        "",
        " ",
        "\u{0}",
        "\u{1b}[2J",
        "\u{202e}005",
        "😀",
        "'; drop table audit; --",
        "../../etc/passwd",
        "/dev/null",
        "%s%n",
        "On\0",
        "victron/gx-hub4:2716",
        "true",
        "null",
        "no limit",
        "Off; rm -rf /",
        &long,
    ];
    let entities = [
        SETPOINT,
        L1_SETPOINT,
        MODE,
        STORED_SETPOINT,
        "victron/gx-hub4:2716",
        "victron/gx-vebus:96",
        "home/227/victron/gx-vebus:22",
        "home/999/victron/gx-vebus:22",
        "victron/gx-hub4:99999",
        "victron/gx-hub4:-1",
        "c0ffee_hub4_u100.",
        ".",
        "",
        "..",
        "a:b:c",
        "c0ffee_hub4_u100.overrides_setpoint\u{0}",
        "C0FFEE_HUB4_U100.OVERRIDES_SETPOINT",
        "victron/gx-system:serial",
        "c0ffee_system_u100.relay_0_state",
        "victron/gx-vebus:system_reset",
        "😀",
        &long,
    ];
    let entity = entities[rng.random_range(0..entities.len())];
    let number = [
        json!(1e308),
        json!(-1e308),
        json!(i64::MAX),
        json!(i64::MIN),
        json!(u64::MAX),
        json!(16_560.000_1),
        json!(-16_561),
        json!(0.1),
        json!(65_400),
        json!(-0.0),
        json!(5e-324),
        json!(true),
        json!(null),
        json!([500]),
        json!({ "value": 500 }),
    ];
    let value = match rng.random_range(0..2u8) {
        0 => json!(strange[rng.random_range(0..strange.len())]),
        _ => number[rng.random_range(0..number.len())].clone(),
    };
    let mut write = json!({ "value": value });
    match rng.random_range(0..8u8) {
        0 => write["token"] = json!(token),
        1 => write["token"] = json!(format!("{:032x}", rng.random_range(0..u128::MAX))),
        2 => write["token"] = json!(strange[rng.random_range(0..strange.len())]),
        3 => write["dry_run"] = json!(true),
        4 => {
            write["hold_ms"] = json!(
                [json!(-1), json!(u64::MAX), json!(1e30), json!("10m"), json!(0)]
                    [rng.random_range(0..5usize)]
            )
        }
        5 => write["safe"] = json!(65_400),
        _ => {}
    }
    let by_name = json!({ "entity": entity, "write": write }).to_string();
    let set = "/control/set".to_owned();
    match n % 16 {
        // A right value under a token that was used, or was for another value.
        0 => {
            let write = json!({ "value": rng.random_range(-500..500i32), "token": token });
            (
                "POST",
                set,
                json!({ "entity": SETPOINT, "write": write }).to_string().into(),
            )
        }
        1 => (
            "POST",
            set,
            format!("{{\"entity\":\"{SETPOINT}\",\"write\":{{\"value\":1e999}}}}").into(),
        ),
        2 => (
            "POST",
            set,
            format!("{{\"entity\":\"{SETPOINT}\",\"write\":{{\"value\":NaN}}}}").into(),
        ),
        3 => ("POST", set, "[".repeat(rng.random_range(1..20_000usize)).into()),
        4 => ("POST", set, by_name.as_bytes()[..by_name.len() / 2].to_vec()),
        5 => (
            "POST",
            set,
            (0..rng.random_range(0..300u16))
                .map(|_| rng.random_range(0..=255u8))
                .collect(),
        ),
        6 => ("POST", set, vec![b' '; 70_000]),
        7 => ("PUT", set, by_name.into()),
        8 => (
            "POST",
            format!("/api/v1/entities/{SETPOINT}/write"),
            write.to_string().into(),
        ),
        9 => (
            "POST",
            "/api/v1/entities/..%2f..%2fset/write".to_owned(),
            write.to_string().into(),
        ),
        10 => (
            "POST",
            "/control/leases/end".to_owned(),
            json!({ "entity": entity }).to_string().into(),
        ),
        11 => (
            "POST",
            "/control/kill-switch".to_owned(),
            json!({ "on": "perhaps" }).to_string().into(),
        ),
        _ => ("POST", set, by_name.into()),
    }
}

/// The state of charge that a host shows.
async fn soc(host: &Host) -> Value {
    host.get("/api/v1/entities/c0ffee_system_u100.dc_battery_soc")
        .await["value"]
        .clone()
}

#[tokio::test]
async fn ten_thousand_hostile_commands_change_nothing_and_harm_nobody() {
    const CLIENTS: u64 = 4;
    const EACH: usize = 2_500;
    /// Kilobytes that the host may hold more than before: buffers, caches of the store and of the allocator.
    const MARGIN: u64 = 16 * 1024;
    let known = Known::new().await;
    let allow =
        "level = 3\nallow = [\"victron/gx-hub4:2716\", \"victron/gx-vebus:96\", \"victron/gx-vebus:22\"]";
    let host = known.host(allow).await;
    let mut control = Control::of(&known.home);
    // One that is right, so that there is a token that was good once.
    let write = json!({ "value": -500 });
    let (status, prepared) = control.set(SETPOINT, write.clone()).await;
    assert_eq!(status, 202, "{prepared:#}");
    let token = prepared["token"].as_str().unwrap().to_owned();
    let (_, report) = control
        .set(SETPOINT, json!({ "value": -500, "token": token }))
        .await;
    assert_eq!(report["outcome"], "applied", "{report:#}");
    let sent = known.frames();
    assert_eq!(sent, [(100, 16, 2716, vec![0xFFFF, 0xFE0C])]);

    let attack = async |seed: u64, count: usize| {
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut control = Control::of(&known.home);
        for n in 0..count {
            let (method, path, body) = hostile(&mut rng, &token, n);
            let (status, answer) = control.send(method, &path, body.clone()).await;
            let shown = || {
                format!(
                    "{method} {path} {:.300}: {status} {answer}",
                    String::from_utf8_lossy(&body)
                )
            };
            // Each has an answer, and none is a fault of the host's.
            assert!((200..500).contains(&status), "{}", shown());
            assert!(
                ["applied", "clamped", "unknown", "rejected"]
                    .iter()
                    .all(|done| answer["outcome"] != *done),
                "{}",
                shown()
            );
        }
    };
    // What it needs for so many clients it holds from now on.
    join_all((100..100 + CLIENTS).map(|seed| attack(seed, 200))).await;
    let before = host.process.memory();
    let asked = known.running.stats("gx").unwrap().requests;
    join_all((0..CLIENTS).map(|seed| attack(seed, EACH))).await;
    let after = host.process.memory();
    assert!(after < before + MARGIN, "{before} kB before, {after} kB after");

    // A lease that one of them may have ended has its safe value; nothing else was sent.
    let ended = [(100, 16, 2716, vec![0, 0])];
    let new = known.frames()[sent.len()..].to_vec();
    assert!(new.is_empty() || new == ended, "{new:?}");
    assert!(
        known.running.stats("gx").unwrap().requests > asked,
        "polls went on"
    );
    // The host is well: it shows what is new, and writes what is right.
    let fresh = Content::Value(Held::Number(64.0));
    known
        .running
        .set("gx", 100, "victron/gx-system", "dc_battery_soc", fresh)
        .unwrap();
    until("the new state of charge", async || {
        (soc(&host).await == 64.0).then_some(())
    })
    .await;
    assert_eq!(host.get("/healthz").await["status"], "ok");
    until("a right write to be taken", async || {
        let (_, report) = control
            .set_and_confirm(L1_SETPOINT, json!({ "value": 750 }))
            .await;
        (report["outcome"] == "applied").then_some(())
    })
    .await;
    let switch = known.home.run(&["kill-switch", "status", "--json"]).await.json();
    assert_eq!(switch["on"], false);
    host.stop().await;
    let vebus = ledger("victron/gx-vebus");
    let phase = Leave::of(227, vebus, "hub4_l1_ac_power_setpoint").within(-AC_POWER_PHASE, AC_POWER_PHASE);
    known.acquit([setpoint_leave(), phase]).await;
    let proof = known.home.verify_audit().await.json();
    assert!(
        proof["rows"].as_u64().unwrap() < 500,
        "refusals fill no disk: {proof:#}"
    );
    assert!(list(&known.home.run(&["audit", "--json"]).await.json(), "rows").len() <= 50);
}
