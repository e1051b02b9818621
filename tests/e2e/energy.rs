//! Energy that adds up: what sinks are told of a counter never falls, whatever becomes of the meter and of the host.

use std::cell::Cell;

use busbar_zoo::device::{Target, exchange, reboot, recover, reset, target};
use busbar_zoo::simulate::Running;
use busbar_zoo::{gx, site};
use rustix::process::Signal;
use serde_json::Value;

use crate::common::host::Host;
use crate::common::{Home, list, text, until};

const METER: &str = "victron/vm-3p75ct";
const SITE: &str = r#"
[[device]]
name = "meter"
kind = "ledger"
listen = "modbus+tcp://127.0.0.1:0"

[[device.unit]]
unit = 1
ledger = "victron/vm-3p75ct"
firmware = "0.1.9.255"
values = { phase_config = 3, power_total = 812, power_l1 = 300, power_l2 = 300, power_l3 = 212, voltage_l1 = 230.5, voltage_l2 = 231.0, voltage_l3 = 229.5, current_l1 = 1.3, current_l2 = 1.3, current_l3 = 0.9, frequency = 50.02, energy_forward = 31.0, energy_reverse = 4.0 }
"#;

/// A saved meter, and the highest total that was ever seen of it.
struct Counted {
    home: Home,
    running: Running,
    url: String,
    device: String,
    highest: Cell<f64>,
}

impl Counted {
    async fn new() -> Self {
        let (home, running) = (Home::new(), site(SITE).await);
        let url = running.url("meter").unwrap();
        let scan = ["scan", &url, "--ledger", METER, "--save", "--name", "m", "--json"];
        let report = home.run(&scan).await.json();
        let device = text(&list(&report, "devices")[0], "id").to_owned();
        Counted {
            home,
            running,
            url,
            device,
            highest: Cell::new(0.0),
        }
    }

    async fn host(&self) -> Host {
        let url = &self.url;
        let config = format!("[[connection]]\nname = \"m\"\nurl = \"{url}\"\ninterval = \"100ms\"\n");
        self.home.host_with(&config).await
    }

    fn meter(&self) -> Target<'_> {
        target(&self.running, "meter", 1, METER)
    }

    /// Waits until this is true of the counter; what it adds up to never falls meanwhile.
    async fn is(&self, host: &Host, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let path = format!("/api/v1/entities/{}.energy_forward", self.device);
        until(what, async || {
            let entity = host.get(&path).await;
            if let Some(total) = total(&entity) {
                assert!(
                    total >= self.highest.get(),
                    "{total} after {}: {entity}",
                    self.highest.get()
                );
                self.highest.set(total);
            }
            fits(&entity).then_some(entity)
        })
        .await
    }

    async fn adds_up_to(&self, host: &Host, wanted: f64) -> Value {
        self.is(host, &format!("a total of {wanted}"), |entity| {
            entity["quality"] == "good" && total(entity) == Some(wanted)
        })
        .await
    }

    /// Waits until the counters are read: the one beside it was not reset.
    async fn is_read(&self, host: &Host) {
        let beside = format!("/api/v1/entities/{}.energy_reverse", self.device);
        until("the counters to be read", async || {
            (host.get(&beside).await["quality"] == "good").then_some(())
        })
        .await;
    }

    async fn is_doubted(&self, host: &Host) {
        self.is(host, "the counter to be held back", |entity| {
            entity["quality"] != "good"
        })
        .await;
    }
}

/// What sinks are told.
fn total(entity: &Value) -> Option<f64> {
    entity["total"].as_f64().or_else(|| entity["value"].as_f64())
}

#[tokio::test]
async fn a_counter_adds_up_over_reboots_resets_kills_and_another_meter() {
    let counted = Counted::new().await;
    let host = counted.host().await;
    counted.adds_up_to(&host, 31.0).await;

    // A reboot shows 0 for a moment.
    reboot(counted.meter());
    counted.is_doubted(&host).await;
    recover(counted.meter());
    counted.adds_up_to(&host, 31.0).await;

    // A reset while the host runs.
    reset(counted.meter(), "energy_forward", 0.0);
    counted.is_doubted(&host).await;
    reset(counted.meter(), "energy_forward", 0.5);
    let entity = counted.adds_up_to(&host, 31.5).await;
    assert_eq!(
        (&entity["value"], &entity["carried"]),
        (&0.5.into(), &31.0.into()),
        "what it says itself stays"
    );

    // Killed once that is kept, and the meter counts on.
    let id = format!("{}.energy_forward", counted.device);
    let explain = ["explain", &id, "--json"];
    until("the stitch to be kept", async || {
        let told = counted.home.run(&explain).await.json();
        told["stitches"].is_array().then_some(())
    })
    .await;
    host.process.signal(Signal::KILL);
    host.process.end().await;
    reset(counted.meter(), "energy_forward", 1.5);
    let host = counted.host().await;
    counted.adds_up_to(&host, 32.5).await;

    // A reset while no host runs.
    host.stop().await;
    reset(counted.meter(), "energy_forward", 0.2);
    let host = counted.host().await;
    counted.is_read(&host).await;
    counted.is_doubted(&host).await;
    reset(counted.meter(), "energy_forward", 0.3);
    counted.adds_up_to(&host, 32.6).await;

    // Another meter, with a past of its own.
    host.stop().await;
    exchange(counted.meter(), "OTHER99");
    reset(counted.meter(), "energy_forward", 9000.0);
    let host = counted.host().await;
    host.device_is(&counted.device, "offline").await;
    let other = counted.device.replace("sim0001", "other99");
    counted
        .home
        .run(&["change", "replace", &counted.device, &other, "--yes", "--json"])
        .await
        .json();
    let again = [
        "scan",
        &counted.url,
        "--ledger",
        METER,
        "--save",
        "--name",
        "m",
        "--yes",
        "--json",
    ];
    counted.home.run(&again).await.json();
    counted.adds_up_to(&host, 32.6).await;
    reset(counted.meter(), "energy_forward", 9001.0);
    counted.adds_up_to(&host, 33.6).await;

    // Each stitch is evidence, with a host and without.
    let told = counted.home.run(&explain).await.json();
    let why: Vec<&str> = list(&told, "stitches")
        .iter()
        .map(|stitch| text(stitch, "why"))
        .collect();
    assert_eq!(why, ["replaced", "reset", "reset"], "{told:#}");
    assert_eq!(told["total"], 33.6);
    host.stop().await;
    let told = counted.home.run(&explain).await.json();
    assert_eq!(list(&told, "stitches").len(), 3);
    assert!(
        told["steps"].to_string().contains("another meter counts"),
        "{told:#}"
    );
}

/// What a house draws and gives is added up where nothing counts it, is no part of a scan, and goes on over a restart.
#[tokio::test]
async fn what_nothing_counts_is_added_up_and_no_part_of_a_scan() {
    let (home, running) = (
        Home::new(),
        gx("[[device.service]]\nservice = \"system\"\nvalues = { serial = \"c0ffee\", ac_grid_l1_power = 30000, \
            dc_battery_power = -20000, dc_battery_voltage = 52.0, dc_battery_soc = 60 }\n")
        .await,
    );
    let url = running.url("gx").unwrap();
    let scan = home
        .run(&[
            "scan", &url, "--units", "100", "--save", "--name", "home", "--json",
        ])
        .await
        .json();
    let scanned = list(&list(&scan, "devices")[0], "entities");
    assert!(
        scanned.iter().all(|entity| entity["key"] != "grid_energy_import"),
        "{scan:#}"
    );
    let config = format!("[[connection]]\nname = \"home\"\nurl = \"{url}\"\ninterval = \"100ms\"\n");
    let host = home.host_with(&config).await;
    let more = async |host: &Host, key: &str, than: f64| {
        let path = format!("/api/v1/entities/c0ffee_system_u100.{key}");
        until(key, async || {
            let entity = host.get(&path).await;
            assert_eq!(entity["status"], "present", "{entity}");
            entity["value"].as_f64().filter(|value| *value > than)
        })
        .await
    };
    let imported = more(&host, "grid_energy_import", 0.005).await;
    let out = more(&host, "battery_energy_out", 0.003).await;
    for key in ["grid_energy_export", "battery_energy_in"] {
        let other = host
            .get(&format!("/api/v1/entities/c0ffee_system_u100.{key}"))
            .await;
        assert_eq!(
            (&other["value"], &other["unit"]),
            (&0.0.into(), &"kWh".into()),
            "{other}"
        );
    }
    host.stop().await;
    let explain = ["explain", "c0ffee_system_u100.grid_energy_import", "--json"];
    let told = home.run(&explain).await.json();
    assert!(told["steps"].to_string().contains("added up"), "{told:#}");
    // From where it was, not from 0, and without what nobody saw.
    let host = home.host_with(&config).await;
    assert!(more(&host, "grid_energy_import", 0.0).await >= imported);
    assert!(more(&host, "battery_energy_out", 0.0).await >= out);
    host.stop().await;
    let told = home.run(&explain).await.json();
    assert!(
        told["steps"].to_string().contains("could not be added up"),
        "{told:#}"
    );
}
