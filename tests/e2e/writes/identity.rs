//! Only the device that the owner has approved is written to.

use busbar_zoo::device::{exchange, target, upgrade};
use serde_json::json;

use crate::common::until;
use crate::common::writes::{Control, Known, SETPOINT, setpoint_leave};

const WRITES: &str = "level = 2\nallow = [\"victron/gx-hub4:2716\"]";
const HALF: fn() -> serde_json::Value = || json!({ "value": -500, "hold_ms": 60_000 });

#[tokio::test]
async fn w6_another_device_between_the_two_steps_gets_nothing() {
    let known = Known::new().await;
    let host = known.host(WRITES).await;
    let mut control = Control::of(&known.home);
    let (status, prepared) = control.set(SETPOINT, HALF()).await;
    assert_eq!(status, 202, "{prepared:#}");
    assert_eq!(prepared["words"], json!([0xFFFF, 0xFE0C]));

    let gx = target(&known.running, "gx", 100, "victron/gx-system");
    exchange(gx, "0ther1");
    let mut commit = HALF();
    commit["token"] = prepared["token"].clone();
    let (status, report) = control.set(SETPOINT, commit).await;
    assert_eq!((status, &report["code"]), (200, &json!("identity")), "{report:#}");
    let reason = report["reason"].as_str().unwrap();
    assert!(reason.contains("0ther1") && reason.contains("c0ffee"), "{reason}");
    // Nor afterwards, by the command line.
    known.home.set(&[SETPOINT, "-500", "--yes"]).await.is("refused");
    assert!(known.writes().is_empty());

    // The one that was allowed comes back.
    exchange(gx, "c0ffee");
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
    let (status, prepared) = control.set(SETPOINT, HALF()).await;
    assert_eq!(status, 202, "{prepared:#}");

    upgrade(target(&known.running, "gx", 100, "victron/gx-system"), "v3.70");
    let mut commit = HALF();
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
