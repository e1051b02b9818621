//! The kill switch: by command, by `touch`, by signal; within a second, for everything, and until somebody takes it back.

use std::fs;
use std::time::Duration;

use busbar_zoo::Fault;
use futures_util::future::join_all;
use rustix::process::Signal;
use serde_json::Value;
use tokio::time::Instant;

use super::kills::{noted, wants_pauses};
use super::{Rig, Set, disk};
use crate::common::host::Host;
use crate::common::{finish, list, until};

const SAFE: i32 = 7;
/// The promise is a second; a busy machine gets another one.
const SOON: Duration = Duration::from_secs(2);

/// A way to throw it.
#[derive(Clone, Copy, Debug)]
enum By {
    Command,
    Touch,
    Signal,
}

async fn throw(rig: &Rig, host: &Host, by: By) {
    match by {
        By::Command => {
            let on = ["kill-switch", "on", "--reason", "it smells of smoke", "--json"];
            assert_eq!(rig.home.run(&on).await.json()["on"], true);
        }
        By::Touch => drop(fs::File::create(rig.home.data().join("kill-switch")).unwrap()),
        By::Signal => host.process.signal(Signal::USR1),
    }
}

async fn status(rig: &Rig) -> Value {
    rig.home.run(&["kill-switch", "status", "--json"]).await.json()
}

/// Whether it is on, as the host knows by now.
async fn is_on(rig: &Rig) -> bool {
    status(rig).await["on"] == true
}

#[tokio::test]
async fn w17_it_stops_everything_within_a_second_and_stays_on_until_it_is_taken_back() {
    for by in [By::Command, By::Touch, By::Signal] {
        let rig = Rig::new().await;
        let host = rig.host().await;
        rig.set("setpoint", "500", &[]).await.applied();
        rig.set("override", "300", &[]).await.applied();
        let thrown = Instant::now();
        throw(&rig, &host, by).await;
        until("the safe values", async || {
            let last = |at| rig.written(at).last().copied();
            ((last(100), last(104)) == (Some(SAFE), Some(SAFE))).then_some(())
        })
        .await;
        assert!(thrown.elapsed() < SOON, "{by:?}: {:?}", thrown.elapsed());
        let before = rig.frames().len();
        rig.set("limit", "60", &[]).await.refused("kill_switch");
        rig.noted("released").await;
        until("the leases to be over", async || {
            rig.held().await.is_empty().then_some(())
        })
        .await;

        // Twice is on, too; and it is not the file alone.
        throw(&rig, &host, by).await;
        if let By::Touch = by {
            fs::remove_file(rig.home.data().join("kill-switch")).unwrap();
            rig.set("limit", "60", &[]).await.refused("kill_switch");
            throw(&rig, &host, by).await;
        }
        assert!(is_on(&rig).await, "{by:?}");
        host.stop().await;
        assert!(is_on(&rig).await, "{by:?}: without a host");
        rig.set("limit", "60", &[]).await.refused("kill_switch");

        let host = rig.host().await;
        assert!(is_on(&rig).await, "{by:?}: over a restart");
        let refused = rig.set("limit", "60", &[]).await.refused("kill_switch");
        if let By::Command = by {
            assert!(refused.reason().contains("it smells of smoke"), "{refused:#?}");
        }
        assert_eq!(rig.frames().len(), before, "{by:?}: {:?}", rig.frames());

        let off = rig.home.run(&["kill-switch", "off", "--json"]).await.json();
        assert_eq!(off["on"], false, "{by:?}");
        rig.set("limit", "60", &[]).await.applied();
        let notes = rig.rows("note").await;
        let says = |what: &str| {
            let rows = notes
                .iter()
                .filter(|row| row["reason"].as_str().is_some_and(|r| r.contains(what)));
            rows.count()
        };
        assert_eq!(says("the kill switch was switched on"), 1, "{by:?}: {notes:#?}");
        assert_eq!(says("the kill switch was switched off"), 1, "{by:?}: {notes:#?}");
        rig.audit_holds().await;
        host.stop().await;
    }
}

/// What was asked for before, and waits for the wire, is stopped as well.
#[tokio::test]
async fn w17_what_waits_is_stopped_too() {
    join_all([By::Command, By::Touch, By::Signal].map(waiting)).await;
}

async fn waiting(by: By) {
    // A device that wants its pauses: what is noted in the audit waits for its turn.
    let rig = Rig::new().await;
    wants_pauses(&rig, Some("1s"));
    let host = rig.host().await;
    let noted = noted(&rig, "limit", 0).await;
    let asked = rig.begin("override", "60", &[]);
    throw(&rig, &host, by).await;
    for child in [noted, asked] {
        Set::of(&finish(child).await).refused("kill_switch");
    }
    assert!(rig.frames().is_empty(), "{by:?}: {:?}", rig.frames());
    rig.audit_holds().await;
    host.stop().await;
    assert!(rig.frames().is_empty(), "{by:?}: {:?}", rig.frames());
}

/// The device cannot be reached when it is thrown: what ended is told as not known, and the device lets go by itself.
#[tokio::test]
async fn w17_without_a_device_it_is_on_all_the_same() {
    let rig = Rig::new().await;
    let host = rig.host().await;
    rig.set("setpoint", "500", &[]).await.applied();
    rig.peer().turn(Fault::Refuse).await;
    host.process.signal(Signal::USR1);
    // Nobody can reach it now: it stays on the list, and is tried again.
    until("the lease to be let go", async || {
        let leases = rig.home.run(&["lease", "list", "--json"]).await.json();
        let trouble = leases["leases"][0]["trouble"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        trouble.starts_with("being let go").then_some(())
    })
    .await;
    assert!(is_on(&rig).await);
    until("the device to let go", async || {
        (rig.holds(100, 2).await == 0).then_some(())
    })
    .await;
    rig.peer().turn(Fault::None).await;
    // It has let go by itself: then nothing is written.
    rig.noted("reverted").await;
    assert_eq!(rig.holds(100, 2).await, 0);
    host.stop().await;
    rig.audit_holds().await;
}

#[tokio::test]
async fn w17_a_full_disk_does_not_stop_it() {
    let test = "writes_faults::kill_switch::w17_a_full_disk_does_not_stop_it";
    let Some(full) = disk::Small::here(test).await else {
        return;
    };
    let rig = &full.rig;
    let host = rig.host().await;
    rig.set("override", "300", &[]).await.applied();
    full.fill();
    let run = rig.home.run(&["kill-switch", "on", "--json"]).await;
    assert_eq!(run.json()["on"], true);
    assert_eq!(rig.written(104), [300, SAFE]);
    rig.set("limit", "60", &[]).await.refused("kill_switch");
    let name = rig.home.data().join("kill-switch");
    assert!(name.exists(), "a restart must know of it");
    // It ends as well as it can: what it still had to keep has no room.
    host.process.signal(Signal::TERM);
    host.process.end().await;

    full.empty();
    let host = rig.host().await;
    assert!(is_on(rig).await);
    rig.set("limit", "60", &[]).await.refused("kill_switch");
    let killed = rig.home.run(&["kill-switch", "off", "--json"]).await.json();
    assert_eq!(killed["on"], false);
    rig.set("limit", "60", &[]).await.applied();
    let leases = rig.home.run(&["lease", "list", "--json"]).await.json();
    assert!(list(&leases, "leases").is_empty());
    // What could not be noted then was looked into at the start.
    rig.audit_holds().await;
    host.stop().await;
}
