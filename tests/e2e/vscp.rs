//! VSCP events as cron would have them sent: the program reads once, and a broker has heard all of it when it ends.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::broker::{Broker, free_port};
use crate::common::Home;

const METER: &str = r#"
    [[device]]
    name = "meter"
    kind = "ledger"
    listen = "modbus+udp://127.0.0.1:0"
    zeros = true
    [[device.unit]]
    unit = 1
    ledger = "victron/vm-3p75ct"
    [device.unit.values]
    product_id = 0xA1B1
    serial = "HQ7"
    phase_config = 3
    power_total = -614
    power_l1 = -688
    power_l2 = 74
    power_l3 = 0
    energy_forward = 31.25
    energy_reverse = 0.13
    frequency = 50.02
    power_factor = -0.962
    voltage_l1 = 230.5
"#;

#[tokio::test]
async fn a_run_for_cron_sends_every_event_before_it_ends() {
    let broker = Broker::start().await;
    let (home, running) = (Home::new(), busbar_zoo::site(METER).await);
    let url = running.url("meter").unwrap();
    home.run(&["scan", &url, "--save", "--name", "meter", "--json"])
        .await
        .json();
    home.write(
        "busbar.toml",
        &format!(
            "[mqtt]\nurl = \"{}\"\nvscp = true\nhome_assistant = false\n[vscp]\nqos = 1\ntopic = \"vscp/{{xname}}\"\n\
             zone = 3\ngroups = {{ power_factor = true, frequency = true, current = false }}\n",
            broker.url()
        ),
    );
    let mut ear = broker.listen(&["-t", "vscp/#"]).await;
    let run = home.run(&["run", "--once", "-vv"]).await;
    assert_eq!(run.code(), 0, "{run:#?}");
    // What was sent is printed for whoever asks.
    assert!(
        run.stderr.contains("VSCP: voltage_l1 on vscp/voltage_l1"),
        "{}",
        run.stderr
    );
    assert!(
        run.stderr.contains("\"vscpNote\": \"Voltage L1\""),
        "{}",
        run.stderr
    );

    let mut heard: BTreeMap<String, Value> = BTreeMap::new();
    while !heard.contains_key("vscp/frequency") {
        let event = ear.next().await;
        assert!(!event.retained);
        heard.insert(event.topic.clone(), event.json());
    }
    let of = |name: &str| {
        let event = heard
            .get(&format!("vscp/{name}"))
            .unwrap_or_else(|| panic!("no {name}: {heard:#?}"));
        (
            event["vscpType"].as_u64().unwrap(),
            event["measurement"]["value"].as_f64().unwrap(),
        )
    };
    for (name, expected) in [
        ("sum_active_energy_out", (13, 31.25)),
        ("sum_active_energy_in", (13, 0.13)),
        ("momentan_active_effect_out", (14, 0.0)),
        ("momentan_active_effect_in", (14, 614.0)),
        ("momentan_active_effect_l1_in", (14, 688.0)),
        ("momentan_active_effect_l2_out", (14, 74.0)),
        ("voltage_l1", (16, 230.5)),
        ("power_factor", (63, -0.962)),
        ("frequency", (9, 50.02)),
    ] {
        assert_eq!(of(name), expected, "{name}");
    }
    assert!(!heard.keys().any(|topic| topic.contains("current")), "{heard:#?}");
    assert_eq!(heard["vscp/voltage_l1"]["measurement"]["zone"], 3);
}

#[tokio::test]
async fn a_broker_that_is_away_does_not_hold_cron_up_and_is_told_of() {
    let (home, running) = (Home::new(), busbar_zoo::site(METER).await);
    let url = running.url("meter").unwrap();
    home.run(&["scan", &url, "--save", "--name", "meter", "--json"])
        .await
        .json();
    home.write(
        "busbar.toml",
        &format!(
            "[mqtt]\nurl = \"mqtt://127.0.0.1:{}\"\nvscp = true\n",
            free_port()
        ),
    );
    let run = home.run(&["run", "--once"]).await;
    assert_eq!(run.code(), 0, "{run:#?}");
    assert!(run.stderr.contains("that is dropped"), "{}", run.stderr);
}
