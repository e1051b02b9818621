//! Only the device that the owner has approved is written to.

use busbar_ledger::value::Value;
use busbar_zoo::simulate::Content;
use futures_util::future::join_all;
use serde_json::json;

use crate::common::until;
use crate::common::writes::{Control, Known, L1_SETPOINT, SETPOINT, setpoint_leave};

const WRITES: &str = "level = 2\nallow = [\"victron/gx-hub4:2716\"]";

/// One of two steps.
fn half() -> serde_json::Value {
    json!({ "value": -500, "hold_ms": 60_000 })
}

/// The GX says something else of itself.
fn says(known: &Known, key: &str, value: Value) {
    known
        .running
        .set("gx", 100, "victron/gx-system", key, Content::Value(value))
        .unwrap();
}

#[tokio::test]
async fn w6_another_device_between_the_two_steps_gets_nothing() {
    let known = Known::new().await;
    let host = known.host(WRITES).await;
    let mut control = Control::of(&known.home);
    let (status, prepared) = control.set(SETPOINT, half()).await;
    assert_eq!(status, 202, "{prepared:#}");
    assert_eq!(prepared["words"], json!([0xFFFF, 0xFE0C]));

    says(&known, "serial", Value::Text("0ther1".to_owned()));
    let mut commit = half();
    commit["token"] = prepared["token"].clone();
    let (status, report) = control.set(SETPOINT, commit).await;
    assert_eq!((status, &report["code"]), (200, &json!("identity")), "{report:#}");
    let reason = report["reason"].as_str().unwrap();
    assert!(reason.contains("0ther1") && reason.contains("c0ffee"), "{reason}");
    // Nor afterwards, by the command line.
    known.home.set(&[SETPOINT, "-500", "--yes"]).await.is("refused");
    assert!(known.writes().is_empty());

    // The one that was allowed comes back.
    says(&known, "serial", Value::Text("c0ffee".to_owned()));
    host.device_is("c0ffee_hub4_u100", "online").await;
    until("a write to be taken again", async || {
        let report = known.home.set(&[SETPOINT, "-500", "--yes"]).await;
        (report.outcome() == "applied").then_some(())
    })
    .await;
    host.stop().await;
    known.acquit([setpoint_leave()]).await;
}

#[tokio::test]
async fn w6_new_firmware_is_written_to_when_its_owner_has_looked_and_confirmed() {
    let known = Known::new().await;
    let host = known.host(WRITES).await;
    let mut control = Control::of(&known.home);
    let (status, prepared) = control.set(SETPOINT, half()).await;
    assert_eq!(status, 202, "{prepared:#}");

    says(&known, "firmware_version", Value::Integer(0x0003_7000));
    let mut commit = half();
    commit["token"] = prepared["token"].clone();
    let (_, report) = control.set(SETPOINT, commit).await;
    assert_eq!(report["code"], "identity", "{report:#}");
    let report = known.home.set(&[SETPOINT, "-500", "--yes"]).await;
    report.refused("identity", &["v3.70", "v3.65", "busbar limits --confirm"]);
    assert!(known.writes().is_empty());

    let confirmed = known.home.run(&["limits", "--confirm", "--json"]).await.json();
    assert_eq!(confirmed["confirmed"], 1);
    known.home.set(&[SETPOINT, "-500", "--yes"]).await.is("applied");
    // The leave outlives the host, and is for the new firmware now.
    host.stop().await;
    let host = known.host(WRITES).await;
    known
        .home
        .set(&[SETPOINT, "-600", "--dry-run"])
        .await
        .is("dry_run");
    host.stop().await;
    known.acquit([setpoint_leave()]).await;
}

#[tokio::test]
async fn w5_a_token_is_good_once_and_for_exactly_its_write() {
    let known = Known::new().await;
    let allow = "level = 2\nallow = [\"victron/gx-hub4:2716\", \"victron/gx-vebus:96\"]";
    let host = known.host(allow).await;
    let mut control = Control::of(&known.home);
    let refused = |report: &serde_json::Value| {
        assert_eq!(report["outcome"], "refused", "{report:#}");
        assert_eq!(report["code"], "token", "{report:#}");
    };
    for (entity, wrong) in [
        (SETPOINT, json!({ "value": -501, "hold_ms": 60_000 })),
        (SETPOINT, json!({ "value": -500, "hold_ms": 61_000 })),
        (SETPOINT, json!({ "value": -500 })),
        (L1_SETPOINT, half()),
    ] {
        let (status, prepared) = control.set(SETPOINT, half()).await;
        assert_eq!(status, 202, "{prepared:#}");
        let with_token = |mut write: serde_json::Value| {
            write["token"] = prepared["token"].clone();
            write
        };
        refused(&control.set(entity, with_token(wrong)).await.1);
        // Whoever has tried it for something else has used it up.
        refused(&control.set(SETPOINT, with_token(half())).await.1);
    }
    assert!(known.writes().is_empty());

    let (_, prepared) = control.set(SETPOINT, half()).await;
    let mut commit = half();
    commit["token"] = prepared["token"].clone();
    // Several clients at once: one has it.
    let clients = (0..8).map(|_| {
        let (home, commit) = (&known.home, commit.clone());
        async move { Control::of(home).set(SETPOINT, commit).await.1 }
    });
    let reports = join_all(clients).await;
    let applied = reports
        .iter()
        .filter(|report| report["outcome"] == "applied")
        .count();
    assert_eq!(applied, 1, "{reports:#?}");
    let frames = known.writes().len();
    let again = until("the interval to be over", async || {
        let (_, report) = control.set(SETPOINT, commit.clone()).await;
        (report["code"] != "rate").then_some(report)
    })
    .await;
    refused(&again);
    assert_eq!((frames, known.writes().len()), (1, 1));
    host.stop().await;
    known.acquit([setpoint_leave()]).await;
}
