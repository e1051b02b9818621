//! What an owner changes while something is held, or may be written: nobody gets a leave by a name, and what is held comes
//! back.

use busbar_zoo::gx;
use rustix::process::Signal;
use serde_json::json;

use crate::common::host::Host;
use crate::common::writes::{Control, GX, Known, SETPOINT};
use crate::common::{Run, list, text, until};

/// The ledger's name: whatever device of it is on the connection may be written.
const ANY: &str = "victron/gx-hub4:2716";
/// The same setting of another GX.
const OTHER: &str = "beefed_hub4_u100.overrides_setpoint";

/// A host whose registry says that the setpoint of any hub4 on `home` may be written.
async fn allowed(known: &Known) -> Host {
    let host = known.home.host().await;
    host.device_is("c0ffee_hub4_u100", "online").await;
    let mut control = Control::of(&known.home);
    let site = json!({ "ac_voltage": 230.0, "phases": 3, "ac_current": 24.0, "dc_current": 100.0,
        "battery": "lifepo4-16s" });
    for change in [
        json!({ "change": "site", "site": site }),
        json!({ "change": "writes", "connection": "home", "writes": { "level": 2, "allow": [ANY] } }),
    ] {
        let (status, said) = control.post("/control/change", &change).await;
        assert_eq!(status, 200, "{said:#}");
    }
    host.stop().await;
    let host = known.home.host().await;
    host.device_is("c0ffee_hub4_u100", "online").await;
    host
}

async fn change(known: &Known, args: &[&str]) -> Run {
    known.home.run(&[&["change"], args, &["--json"]].concat()).await
}

#[tokio::test]
async fn a_value_that_is_held_comes_back_under_any_name_of_its_connection() {
    let known = Known::new().await;
    let host = allowed(&known).await;
    let held = known.home.set(&[SETPOINT, "500", "--for", "30m", "--yes"]).await;
    held.is("applied");
    change(&known, &["name", "home", "Main house"]).await.json();
    host.device_is("c0ffee_hub4_u100", "online").await;
    // It is still the one that may be written.
    known
        .home
        .set(&[SETPOINT, "400", "--for", "30m", "--yes"])
        .await
        .is("applied");

    // What is held can neither be put away nor be replaced, nor replace another.
    let away = change(&known, &["put-away", SETPOINT]).await.failure(1);
    assert_eq!(away.code, "lease_open", "{away:?}");

    change(&known, &["name", "Main house", "Cellar"]).await.json();
    let ended = known.home.run(&["lease", "end", SETPOINT, "--json"]).await.json();
    assert_eq!(
        text(&list(&ended, "ended")[0], "outcome"),
        "released",
        "{ended:#}"
    );
    assert_eq!(known.frames().last().unwrap().3, [0, 0]);
    host.stop().await;
}

#[tokio::test]
async fn a_leave_that_is_taken_back_ends_at_once() {
    let known = Known::new().await;
    let host = allowed(&known).await;
    known
        .home
        .set(&[SETPOINT, "500", "--for", "30m", "--yes"])
        .await
        .is("applied");
    let none = json!({ "change": "writes", "connection": "home", "writes": { "level": 0 } });
    let (status, said) = Control::of(&known.home).post("/control/change", &none).await;
    assert_eq!(status, 200, "{said:#}");
    known
        .home
        .set(&[SETPOINT, "400", "--yes"])
        .await
        .refused("level", &["lowered", "Restart"]);
    // What is held comes back to what is safe.
    let ended = known.home.run(&["lease", "end", SETPOINT, "--json"]).await.json();
    assert_eq!(
        text(&list(&ended, "ended")[0], "outcome"),
        "released",
        "{ended:#}"
    );
    assert_eq!(known.frames().last().unwrap().3, [0, 0]);
    host.stop().await;
}

#[tokio::test]
async fn a_name_gives_nobody_a_leave() {
    let known = Known::new().await;
    let other = gx(&GX.replace("c0ffee", "beefed")).await;
    let url = other.url("gx").unwrap();
    let scan = |name: &'static str| {
        let url = url.clone();
        let home = &known.home;
        async move {
            let args = [
                "scan", &url, "--units", "100,227", "--save", "--name", name, "--yes", "--json",
            ];
            home.run(&args).await.json()
        }
    };
    scan("other").await;
    let host = allowed(&known).await;
    host.device_is("beefed_hub4_u100", "online").await;
    known
        .home
        .set(&[OTHER, "500", "--yes"])
        .await
        .refused("level", &["read-only"]);

    // The other one gets the name of the one that may be written.
    change(&known, &["name", "home", "old"]).await.json();
    change(&known, &["name", "other", "home"]).await.json();
    host.device_is("beefed_hub4_u100", "online").await;
    known
        .home
        .set(&[OTHER, "500", "--yes"])
        .await
        .refused("level", &["read-only"]);
    known.home.set(&[SETPOINT, "500", "--yes"]).await.is("applied");
    let replaced = change(
        &known,
        &["replace", "beefed_hub4_u100", "c0ffee_hub4_u100", "--yes"],
    )
    .await;
    assert_eq!(replaced.failure(1).code, "lease_open");

    // The leave goes with the connection, whatever is called so later.
    known.home.run(&["lease", "end", SETPOINT, "--json"]).await.json();
    change(&known, &["remove", "old", "--yes"]).await.json();
    change(&known, &["name", "home", "third"]).await.json();
    change(&known, &["remove", "third", "--yes"]).await.json();
    scan("home").await;
    until("the other GX", async || {
        let device = host.device("beefed_hub4_u100").await;
        (device["availability"] == "online").then_some(())
    })
    .await;
    known
        .home
        .set(&[OTHER, "500", "--yes"])
        .await
        .refused("level", &["read-only"]);
    assert!(other.stats("gx").unwrap().writes.is_empty());
    host.stop().await;

    // A name of the file's leads to the file's address.
    known.configure("level = 2");
    let taken = change(&known, &["name", "home", "x"]).await;
    taken.json();
    let clash = change(&known, &["name", "x", "home"]).await.failure(2);
    assert!(clash.message.contains("busbar.toml"), "{clash:?}");
}

#[tokio::test]
async fn what_a_restored_registry_says_is_held_is_not_written_before_its_owner_has_looked() {
    let known = Known::new().await;
    let host = known.host("level = 2\nallow = [\"victron/gx-hub4:2716\"]").await;
    known
        .home
        .set(&[SETPOINT, "500", "--for", "30m", "--yes"])
        .await
        .is("applied");
    known.home.run(&["backup", "held.db", "--json"]).await.json();
    host.process.signal(Signal::KILL);
    host.process.end().await;
    known
        .home
        .run(&["restore", "held.db", "--yes", "--json"])
        .await
        .json();
    let before = known.frames();
    let host = known.host("level = 2\nallow = [\"victron/gx-hub4:2716\"]").await;
    until("it to be looked into", async || {
        let rows = known.home.audit().await;
        rows.iter().any(|row| row["outcome"] == "unknown").then_some(())
    })
    .await;
    host.stop().await;
    assert_eq!(known.frames(), before, "nothing was written");
}
