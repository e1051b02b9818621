//! Every way to a device: other types, coils, frames of RTU, a register link over UDP; with a host and without one.

use std::sync::Arc;

use busbar_ledger::model::Ledger;
use busbar_zoo::simulate::{Running, Site, Write, start};
use busbar_zoo::{Evidence, Judge, Leave};

use crate::common::site::ledger;
use crate::common::writes::{Known, MODE, Report, SETPOINT, config, intents};
use crate::common::{Home, list, text, until};

/// A device of nobody's make with every kind of setting.
const BOX: &str = r#"
ledger = "own/box"
title  = "A box of switches"
[points]
power    = { at = 0, type = "i16", unit = "W", class = "power" }
current  = { at = 10, type = "u16", scale = "1/10", unit = "A", class = "current", write = { min = 0, max = 32, storage = "volatile", verify = { after = "100ms" }, risk = "low" } }
setpoint = { at = 12, type = "i32", order = "CDAB", unit = "W", class = "power", write = { min = -100000, max = 100000, storage = "stored", min_interval = "1s", daily_budget = 2, verify = { after = "100ms" }, risk = "low" } }
coarse   = { at = 16, type = "i16", scale = 10, unit = "W", class = "power", write = { min = -100000, max = 100000, storage = "stored", min_interval = "1s", daily_budget = 2, verify = { after = "100ms" }, risk = "low", alias_of = "setpoint" } }
factor   = { at = 14, type = "f32", write = { min = 0, max = 2, storage = "volatile", verify = { after = "100ms" }, risk = "low" } }
held     = { at = 18, type = "i16", unit = "W", class = "power", write = { min = -1000, max = 1000, storage = "volatile", lease = { device_timeout = "3s", safe = 0 }, verify = { after = "100ms" }, risk = "low" } }
relay    = { at = 20, function = "coils", write = { choices = [0, 1], storage = "volatile", verify = { after = "100ms" }, risk = "low" } }
"#;

const ALLOW: &str = r#"level = 3
    allow = ["own/box:current", "own/box:setpoint", "own/box:coarse", "own/box:factor", "own/box:relay"]"#;

pub fn own() -> Arc<Ledger> {
    Arc::new(busbar_ledger::parse("box.toml", BOX).unwrap_or_else(|faults| panic!("{faults}")))
}

/// A box at the end of a wire of this kind, scanned and saved as `home`.
pub async fn a_box(scheme: &str) -> (Home, Running, String) {
    let site = format!(
        "[[device]]\nname = \"box\"\nkind = \"ledger\"\nlisten = \"{scheme}://127.0.0.1:0\"\n\
         [[device.unit]]\nunit = 1\nledger = \"own/box\"\n\
         values = {{ power = 5, current = 6.0, setpoint = 0, coarse = 0, factor = 1.0, held = 0, relay = 0 }}\n"
    );
    let site = Site::parse("test", &site).unwrap_or_else(|error| panic!("{error}"));
    let running = start(&site, &[own()]).await.unwrap();
    let (home, url) = (Home::new(), running.url("box").unwrap());
    home.write("box.toml", BOX);
    let scan = [
        "scan", &url, "--ledger", "box.toml", "--units", "1", "--save", "--name", "home", "--json",
    ];
    assert_eq!(list(&home.run(&scan).await.json(), "devices").len(), 1);
    (home, running, url)
}

fn frame(write: &Write) -> (u8, u8, u16, Vec<u16>) {
    (write.unit, write.function, write.at, write.words.clone())
}

async fn every_kind_of_setting(scheme: &str) {
    let (home, running, url) = a_box(scheme).await;
    let host = home.host_with(&config(&url, "", ALLOW)).await;
    let sent = || running.stats("box").unwrap().writes;
    let cases = [
        ("own/box:current", "12.5", (1, 6, 10, vec![125])),
        ("own/box:setpoint", "-70000", (1, 16, 12, vec![0xEE90, 0xFFFE])),
        ("own/box:factor", "1.5", (1, 16, 14, vec![0x3FC0, 0])),
        ("own/box:relay", "on", (1, 5, 20, vec![1])),
    ];
    for (n, (entity, value, right)) in cases.into_iter().enumerate() {
        let dry = home.set(&[entity, value, "--dry-run"]).await.is("dry_run");
        assert_eq!(dry.words(), right.3, "{entity}");
        let report = home.set(&[entity, value]).await.is("applied");
        assert_eq!(report.words(), right.3, "{entity}");
        assert_eq!(frame(&sent()[n]), right);
        assert_eq!(sent().len(), n + 1);
    }
    for (entity, value, code) in [
        ("own/box:current", "32.1", "bounds"),
        ("own/box:current", "-0.1", "bounds"),
        ("own/box:current", "1.25", "step"),
        ("own/box:factor", "2.0001", "bounds"),
        ("own/box:factor", "NaN", "value"),
        ("own/box:relay", "2", "bounds"),
        ("own/box:power", "1", "no_rule"),
    ] {
        home.set(&[entity, value]).await.refused(code, &[]);
    }
    host.stop().await;
    let own = own();
    let judge = ["current", "setpoint", "factor", "relay"]
        .into_iter()
        .fold(Judge::strict(), |judge, key| judge.allow(Leave::of(1, &own, key)));
    let judge = judge.intents(intents(&home.audit().await), running.began());
    judge.acquit(&Evidence::from(&running.stats("box").unwrap()));
}

#[tokio::test]
async fn every_kind_of_setting_over_tcp() {
    every_kind_of_setting("modbus+tcp").await;
}

#[tokio::test]
async fn every_kind_of_setting_in_rtu_frames_over_tcp() {
    every_kind_of_setting("modbus+rtu+tcp").await;
}

#[tokio::test]
async fn the_days_budget_of_what_wears_out_is_for_all_registers_of_a_setting_and_outlives_the_host() {
    let (home, running, url) = a_box("modbus+tcp").await;
    let host = home.host_with(&config(&url, "", ALLOW)).await;
    // Asks until the interval is over.
    let set = async |entity: &'static str, value: &'static str| -> Report {
        until("the interval to be over", async || {
            let report = home.set(&[entity, value]).await;
            (report.document["code"] != "rate").then_some(report)
        })
        .await
    };
    set("own/box:setpoint", "100").await.is("applied");
    let report = home.set(&["own/box:coarse", "200"]).await;
    report.refused("rate", &["1.0 s"]);
    set("own/box:coarse", "200").await.is("applied");
    for entity in ["own/box:setpoint", "own/box:coarse"] {
        set(entity, "300")
            .await
            .refused("budget", &["wears out", "2 writes of 24 hours"]);
    }
    host.process.signal(rustix::process::Signal::KILL);
    host.process.end().await;
    let host = home.host_with(&config(&url, "", ALLOW)).await;
    set("own/box:setpoint", "300").await.refused("budget", &[]);
    // What wears nothing out has none.
    set("own/box:relay", "on").await.is("applied");
    host.stop().await;
    let addresses: Vec<u16> = running
        .stats("box")
        .unwrap()
        .writes
        .iter()
        .map(|w| w.at)
        .collect();
    assert_eq!(addresses, [12, 16, 20]);
}

const METER: &str = "victron/vm-3p75ct";

#[tokio::test]
async fn the_vm_3p75ct_takes_its_name_and_instance_through_the_register_link_and_nothing_else() {
    let running = busbar_zoo::site(
        "[[device]]\nname = \"meter\"\nkind = \"ledger\"\nlisten = \"modbus+udp://127.0.0.1:0\"\n\
         [[device.unit]]\nunit = 1\nledger = \"victron/vm-3p75ct\"\nfirmware = \"0.1.9.255\"\n\
         values = { phase_config = 3, role = 0, power_total = 812, voltage_l1 = 230.5, custom_name = \"Meter\", n2k_system_instance = 0 }\n",
    )
    .await;
    let (home, url) = (Home::new(), running.url("meter").unwrap());
    let scan = [
        "scan", &url, "--ledger", METER, "--units", "1", "--save", "--name", "home", "--json",
    ];
    let report = home.run(&scan).await.json();
    let device = text(&list(&report, "devices")[0], "id").to_owned();
    let allow = r#"level = 3
        allow = ["victron/vm-3p75ct:custom_name", "victron/vm-3p75ct:n2k_system_instance"]"#;
    let host = home.host_with(&config(&url, "", allow)).await;
    let name = [0x010C, 12, 0x5A77, 0x6569, 0x7465, 0x7220, 0x5A2E, 0x2034];
    for (key, value, words) in [
        ("custom_name", "Zweiter Z. 4", &name[..]),
        ("n2k_system_instance", "7", &[0x0112, 1, 0x0700]),
    ] {
        let entity = format!("{device}.{key}");
        let dry = home.set(&[&entity, value, "--dry-run"]).await.is("dry_run");
        assert_eq!(dry.words(), words);
        let report = home.set(&[&entity, value, "--yes"]).await.is("applied");
        assert_eq!(
            (report.words(), &report.document["function"]),
            (words.to_vec(), &23.into())
        );
        let shown = host.get(&format!("/api/v1/entities/{entity}")).await["value"].clone();
        assert_eq!(shown.as_str().map_or(shown.to_string(), str::to_owned), value);
    }
    for (key, value, code) in [
        ("custom_name", "a name that is longer than 32 bytes", "bounds"),
        ("custom_name", "two\nlines", "value"),
        ("n2k_system_instance", "256", "bounds"),
        ("n2k_system_instance", "-1", "bounds"),
        ("phase_config", "1", "no_rule"),
        ("role", "1", "no_rule"),
        ("power_total", "1", "no_rule"),
    ] {
        let report = home.set(&[&format!("{device}.{key}"), value, "--yes"]).await;
        report.refused(code, &[]);
    }
    host.stop().await;
    let judge = Judge::strict()
        .allow(Leave::of(1, ledger(METER), "custom_name"))
        .allow(Leave::of(1, ledger(METER), "n2k_system_instance"))
        .intents(intents(&home.audit().await), running.began());
    let stats = running.stats("meter").unwrap();
    judge.acquit(&Evidence::from(&stats));
    let set = stats.writes.iter().filter(|write| write.words.len() > 1).count();
    assert_eq!(set, 2);
}

#[tokio::test]
async fn without_a_host_a_command_is_the_host_for_one_write() {
    let known = Known::new().await;
    known.configure("level = 3\nallow = [\"victron/gx-hub4:2716\", \"victron/gx-settings:2701\", \"victron/gx-vebus:33\"]");
    let percentage = "victron/gx-settings:2701";
    let report = known
        .home
        .set(&[percentage, "80", "--dry-run"])
        .await
        .is("dry_run");
    assert_eq!(report.words(), [80]);
    assert!(known.writes().is_empty());
    known.home.set(&[percentage, "80"]).await.is("applied");
    assert_eq!(known.frames(), [(100, 6, 2701, vec![80])]);
    // The next command knows of it.
    known.home.set(&[percentage, "70"]).await.refused("rate", &[]);
    // What lapses needs somebody who stays; to look at it needs nobody.
    let report = known.home.set(&[SETPOINT, "500", "--yes"]).await;
    report.refused("needs_host", &["no host runs", "Start the host"]);
    known
        .home
        .set(&[SETPOINT, "500", "--dry-run"])
        .await
        .is("dry_run");
    // What is risky is not done without a word.
    let report = known.home.set(&[MODE, "Off"]).await;
    report.refused("confirm", &["--yes"]);
    assert_eq!(known.writes().len(), 1);
    known
        .acquit([Leave::of(
            100,
            ledger("victron/gx-settings"),
            "settings_cgwacs_max_charge_percentage",
        )])
        .await;
    known.home.verify_audit().await.json();
}

#[tokio::test]
async fn with_a_host_a_command_goes_through_it_and_its_configuration_counts() {
    let known = Known::new().await;
    let host = known.host("level = 2\nallow = [\"victron/gx-hub4:2716\"]").await;
    // The file says something else by now; the host was started with what it said then.
    known.configure("level = 0");
    known
        .home
        .set(&[SETPOINT, "500", "--yes", "--for", "1m"])
        .await
        .is("applied");
    let leases = known.home.run(&["lease", "list", "--json"]).await.json();
    assert_eq!(text(&list(&leases, "leases")[0], "entity"), SETPOINT);
    let ended = known.home.run(&["lease", "end", SETPOINT, "--json"]).await.json();
    assert_eq!(text(&list(&ended, "ended")[0], "outcome"), "released");
    let words: Vec<_> = known.frames().into_iter().map(|frame| frame.3).collect();
    assert_eq!(words, [[0, 500], [0, 0]]);
    host.stop().await;
    let rows = known.home.audit().await;
    let intent = rows.iter().find(|row| row["kind"] == "intent").unwrap();
    let uid = format!("user {}", rustix::process::getuid().as_raw());
    assert_eq!(
        (text(intent, "who"), text(intent, "through")),
        (uid.as_str(), "command line")
    );
}
