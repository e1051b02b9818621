//! The health report, and what was learned about talking to devices.

use serde_json::Value;

use crate::common::{Home, list, text, until};
use crate::registry::saved;

/// The findings about this area, each as `level: message`.
fn about(report: &Value, area: &str) -> Vec<String> {
    let findings = list(report, "findings").iter();
    findings
        .filter(|finding| text(finding, "area") == area)
        .map(|finding| format!("{}: {}", text(finding, "level"), text(finding, "message")))
        .collect()
}

#[tokio::test]
async fn before_anything_is_set_up_the_next_step_is_said_and_nothing_is_made() {
    let home = Home::new();
    let run = home.run(&["doctor"]).await;
    assert_eq!(run.code(), 0, "{run:?}");
    assert!(run.stdout.contains("busbar scan URL --save"), "{run:?}");
    assert!(run.stdout.contains("Everything works."), "{run:?}");
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn what_is_learned_of_a_device_is_shown_and_kept() {
    let (home, _running) = saved().await;
    // The scan already knows how much the device gives at once.
    let devices = home.run(&["devices", "--json"]).await.json();
    let profile = list(&devices, "devices")[0]["profile"].clone();
    assert_eq!(profile["max_words"], 125, "{devices:#}");

    let host = home.host().await;
    host.device_is("c0ffee_tank_u20", "online").await;
    let report = home.run(&["doctor", "--json"]).await.json();
    assert_eq!(report["healthy"], true, "{report:#}");
    assert_eq!(report["host_runs"], true);
    assert!(
        about(&report, "connection \"home\"")[0].starts_with("ok: up"),
        "{report:#}"
    );
    assert!(
        report["connections"][0]["latency_us"].as_u64().is_some(),
        "{report:#}"
    );
    host.stop().await;

    // What the link learned was written down when the host ended.
    let report = home.run(&["doctor", "--json"]).await.json();
    assert_eq!(report["host_runs"], false);
    let profile = &report["connections"][0]["profile"];
    assert!(profile["in_flight"].as_u64() >= Some(1), "{report:#}");
    assert!(profile["latency_ms"].as_u64() >= Some(1), "{report:#}");
    assert_eq!(profile["units"]["20"]["max_words"], 125, "{report:#}");
    let run = home.run(&["doctor"]).await;
    assert!(run.stdout.contains("125 registers"), "{run:?}");
    let shown = home.run(&["devices"]).await;
    assert!(shown.stdout.contains("at once, 125 registers"), "{shown:?}");
}

#[tokio::test]
async fn a_device_that_is_gone_is_named_with_what_to_do() {
    let (home, running) = saved().await;
    let host = home.host().await;
    host.device_is("c0ffee_tank_u20", "online").await;
    running.stop().await;
    let report = until("the report to see it", async || {
        let run = home.run(&["doctor", "--json"]).await;
        (run.code() == 1).then(|| run.document())
    })
    .await;
    assert_eq!(report["healthy"], false);
    let seen = about(&report, "connection \"home\"");
    assert!(seen[0].starts_with("error: down for"), "{seen:?}");
    let run = home.run(&["doctor"]).await;
    assert_eq!(run.code(), 1, "{run:?}");
    assert!(
        run.stdout.contains("bad") && run.stderr.contains("does not work"),
        "{run:?}"
    );
    host.stop().await;
}

#[tokio::test]
async fn a_damaged_registry_is_bad() {
    let (home, _running) = saved().await;
    let path = home.data().join("registry.db");
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 4096].fill(0xA5);
    std::fs::write(&path, bytes).unwrap();
    let run = home.run(&["doctor", "--json"]).await;
    assert_eq!(run.code(), 1, "{run:?}");
    assert!(
        about(&run.document(), "registry")[0].starts_with("error:"),
        "{run:?}"
    );
}
