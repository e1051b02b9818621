//! Devices that are not the one that the owner has allowed, and what `limits --confirm` makes of them.

use std::fs;

use busbar_store::{Approval, Registry};
use busbar_zoo::{Fault, Peer};

use super::{LEDGER, Rig, online, until, with_firmware};
use crate::common::{list, text};
use crate::writes_faults::ALL;

/// What the registry says of the devices that may be written to.
async fn approvals(rig: &Rig) -> Vec<Approval> {
    let registry = Registry::open_read_only(&rig.home.data()).await.unwrap();
    let mut approvals = registry.approvals().await.unwrap();
    approvals.sort_by(|a, b| a.entity.cmp(&b.entity));
    approvals
}

/// Every entity that may be written is approved for the device that was found, and for no other.
async fn approved_for_the_first(rig: &Rig) {
    let approvals = approvals(rig).await;
    assert_eq!(approvals.len(), 5, "{approvals:#?}");
    let first = |approval: &Approval| approval.serial.as_deref() == Some("INV00001");
    assert!(approvals.iter().all(first), "{approvals:#?}");
}

/// The inverter is exchanged for another one of its kind.
fn exchange(rig: &Rig) {
    rig.device
        .set_serial("inverter", super::UNIT, "INV00002")
        .unwrap();
}

/// Nothing is written to the stranger, whatever is tried.
async fn is_refused(rig: &Rig) {
    for key in ["limit", "kept"] {
        let refused = rig.set(key, "60", &[]).await.refused("identity");
        let both = ["INV00001", "INV00002"];
        assert!(
            both.iter().all(|serial| refused.reason().contains(serial)),
            "{refused:#?}"
        );
    }
    assert!(rig.frames().is_empty(), "{:?}", rig.frames());
    approved_for_the_first(rig).await;
}

#[tokio::test]
async fn a_device_that_was_exchanged_before_its_first_write_is_not_taken_for_the_allowed_one() {
    let rig = Rig::new().await;
    rig.home.write("busbar.toml", &rig.config);
    exchange(&rig);
    // Alone, then through a host, which finds out by itself, too.
    is_refused(&rig).await;
    let host = rig.home.host_with(&rig.config).await;
    host.device_is("inverter_inv00001", "offline").await;
    is_refused(&rig).await;
    host.stop().await;
}

#[tokio::test]
async fn a_device_that_is_exchanged_while_the_host_runs_is_not_approved_by_its_first_write() {
    let rig = Rig::new().await;
    let host = rig.host().await;
    exchange(&rig);
    is_refused(&rig).await;
    host.stop().await;
}

#[tokio::test]
async fn a_connection_that_the_host_adopted_is_approved_for_the_device_that_it_found() {
    let rig = Rig::new().await;
    fs::remove_dir_all(rig.home.data()).unwrap();
    // Only the configuration knows of it.
    let host = rig.host().await;
    until("the approvals", async || {
        (approvals(&rig).await.len() == 5).then_some(())
    })
    .await;
    exchange(&rig);
    is_refused(&rig).await;
    host.stop().await;
}

#[tokio::test]
async fn to_confirm_takes_no_stranger_for_the_allowed_one() {
    let rig = Rig::new().await;
    let host = rig.host().await;
    exchange(&rig);
    let refused = rig.home.run(&["limits", "--confirm", "--json"]).await.failure(4);
    assert!(refused.message.contains("INV00002"), "{refused:#?}");
    assert!(refused.hint.contains("Scan again"), "{refused:#?}");
    is_refused(&rig).await;
    host.stop().await;
}

#[tokio::test]
async fn to_confirm_tells_of_new_firmware_and_changes_nothing_while_a_device_is_away() {
    let rig = Rig::with("tcp", &with_firmware(), ALL).await;
    // A second inverter, on a connection of its own.
    let other = Rig::with("tcp", &with_firmware(), ALL).await;
    other
        .device
        .set_serial("inverter", super::UNIT, "INV00002")
        .unwrap();
    let url = other.way.url();
    let scan = [
        "scan",
        &url,
        "--ledger",
        "inverter.toml",
        "--save",
        "--name",
        "other",
        "--json",
    ];
    let report = rig.home.run(&scan).await.json();
    assert_eq!(list(&report, "devices").len(), 1, "{report:#}");
    let beside = other.config.replace("name = \"home\"", "name = \"other\"");
    let host = rig.home.host_with(&format!("{}{beside}", rig.config)).await;
    online(&host).await;
    let before = approvals(&rig).await;
    assert_eq!(before.len(), 10, "{before:#?}");
    let limit = "inverter_inv00001.limit";
    let set = async || super::Set::of(&rig.home.run(&["set", limit, "60", "--json"]).await);

    rig.device
        .set_firmware("inverter", super::UNIT, "2.5.0.0")
        .unwrap();
    set().await.refused("identity");
    other.peer().turn(Fault::Refuse).await;
    rig.home.run(&["limits", "--confirm", "--json"]).await.failure(4);
    let after = approvals(&rig).await;
    assert_eq!(after, before, "one of the devices was not asked");
    set().await.refused("identity");
    assert!(rig.frames().is_empty());

    other.peer().turn(Fault::None).await;
    let confirmed = until("both to answer", async || {
        let run = rig.home.run(&["limits", "--confirm", "--json"]).await;
        (run.code() == 0).then(|| run.json())
    })
    .await;
    assert_eq!(confirmed["confirmed"], 10, "{confirmed:#}");
    let changes = list(&confirmed, "changes");
    let told = |change: &serde_json::Value| {
        change
            .as_str()
            .is_some_and(|c| c.contains(limit) && c.contains("2.5"))
    };
    assert!(changes.iter().any(told), "{confirmed:#}");
    let of_the_other = |change: &serde_json::Value| change.as_str().is_some_and(|c| c.contains("inv00002"));
    assert!(!changes.iter().any(of_the_other), "{confirmed:#}");
    let notes = rig.rows("note").await;
    let noted = |row: &serde_json::Value| text(row, "reason").contains(limit);
    assert!(notes.iter().any(noted), "{notes:#?}");
    set().await.applied();
    host.stop().await;
    assert!(other.frames().is_empty());
}

/// What the configuration says of an address counts for a single write, too: at the old one may be another device by now.
#[tokio::test]
async fn a_single_write_goes_where_the_configuration_says() {
    let mut rig = Rig::new().await;
    let address = rig.device.address("inverter").unwrap();
    let moved = Peer::before(address).await.unwrap();
    rig.config = rig.config.replace(&rig.way.url(), &moved.url());
    rig.home.write("busbar.toml", &rig.config);
    let had = rig.peer().record().requests();
    rig.set("limit", "60", &[]).await.applied();
    assert_eq!(rig.peer().record().requests(), had, "the old address was asked");
    assert_eq!(rig.written(110), [60]);
    rig.audit_holds().await;
}

#[tokio::test]
async fn the_owners_choices_within_a_range_can_be_set_and_nothing_between_them() {
    let allow = "{ entity = \"test/inverter:limit\", choices = [20, 60, 400] }";
    let rig = Rig::with("tcp", LEDGER, allow).await;
    let host = rig.host().await;
    for value in ["60", "20"] {
        rig.set("limit", value, &[]).await.applied();
    }
    // 400 is no percentage, whatever the owner says.
    for value in ["40", "59", "0", "100", "400"] {
        rig.set("limit", value, &[]).await.refused("bounds");
    }
    assert_eq!(rig.written(110), [60, 20]);
    let limits = rig
        .home
        .run(&["limits", "test/inverter:limit", "--json"])
        .await
        .json();
    let limits = &list(&limits, "entities")[0]["limits"];
    assert_eq!(limits["choices"], serde_json::json!([20.0, 60.0]), "{limits:#}");
    assert!(limits["range"].is_null(), "{limits:#}");
    rig.audit_holds().await;
    host.stop().await;
}
