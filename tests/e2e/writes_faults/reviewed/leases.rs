//! Leases whose device is away, busy, or taken by somebody else.

use std::time::Duration;

use busbar_ledger::value::Value as Content;
use busbar_zoo::Fault;
use busbar_zoo::simulate::OnWrite;

use super::{
    LEDGER, NAME, OVERRIDE, Rig, SAFE, Set, asked_again, being_let_go, intents, lease, noted, wants_pauses,
    with_firmware,
};
use crate::common::{finish, list, text, until};
use crate::writes_faults::ALL;

#[tokio::test]
async fn a_lease_whose_device_is_away_at_its_end_is_let_go_when_it_is_back() {
    let rig = Rig::new().await;
    let host = rig.host().await;
    rig.set("override", "300", &["--for", "2s"]).await.applied();
    rig.peer().turn(Fault::Refuse).await;
    being_let_go(&rig).await;
    // More than one attempt has failed, and it is still on the list.
    host.process.logs("is not at its safe value of 7 W yet").await;
    let failed = || {
        let log = host.process.stderr();
        log.matches("is not at its safe value of 7 W yet").count()
    };
    until("another attempt", async || (failed() >= 3).then_some(())).await;
    assert_eq!(lease(&rig).await["safe"], SAFE);
    assert_eq!(
        (rig.written(OVERRIDE), rig.holds(OVERRIDE, 2).await),
        (vec![300], 300)
    );
    rig.peer().turn(Fault::None).await;
    rig.noted("released").await;
    assert_eq!(
        (rig.written(OVERRIDE), rig.holds(OVERRIDE, 2).await),
        (vec![300, SAFE], SAFE)
    );
    until("the list to be empty", async || {
        rig.held().await.is_empty().then_some(())
    })
    .await;
    rig.audit_holds().await;
    host.stop().await;
}

/// A gateway that is busy when it is asked for its firmware is still the one that it was.
#[tokio::test]
async fn a_device_that_is_busy_for_a_moment_keeps_its_lease() {
    let rig = Rig::with("tcp", &with_firmware(), ALL).await;
    let host = rig.host().await;
    // However busy this machine is, the device does not let it go.
    rig.takes(
        "setpoint",
        OnWrite {
            lapse: Some(Duration::from_secs(120)),
            ..OnWrite::default()
        },
    );
    rig.set("setpoint", "500", &[]).await.applied();
    for (at, code) in [(20, 6), (20, 4), (10, 6)] {
        let had = rig.written(100).len();
        rig.peer().turn(Fault::ExceptionAt(at, code)).await;
        asked_again(&rig, at).await;
        until("the trouble to be told", async || {
            let trouble = lease(&rig).await["trouble"].as_str()?.to_owned();
            trouble.contains("does not say who it is").then_some(())
        })
        .await;
        rig.peer().turn(Fault::None).await;
        until("it to be kept alive", async || {
            (rig.written(100).len() > had).then_some(())
        })
        .await;
    }
    assert!(
        rig.written(100).iter().all(|value| *value == 500),
        "{:?}",
        rig.written(100)
    );
    assert_eq!(lease(&rig).await["value"], 500);
    host.stop().await;
    assert_eq!(rig.written(100).last(), Some(&SAFE));
    rig.audit_holds().await;
}

/// Ends the lease of `override` by command; gives how it ended, which is a failure unless it is at its safe value.
async fn end(rig: &Rig) -> serde_json::Value {
    let end = ["lease", "end", &format!("{NAME}:override"), "--json"];
    let run = rig.home.run(&end).await;
    let ended = list(&run.document(), "ended")[0].clone();
    assert_eq!(run.code() == 0, ended["outcome"] == "released", "{ended:#}");
    ended
}

#[tokio::test]
async fn another_master_at_the_end_of_a_lease_is_written_over_once_and_then_left_alone() {
    let rig = Rig::new().await;
    let host = rig.host().await;
    rig.set("override", "300", &[]).await.applied();
    let other = Some((Content::Integer(50), Duration::ZERO));
    rig.takes(
        "override",
        OnWrite {
            other,
            ..OnWrite::default()
        },
    );
    let ended = end(&rig).await;
    assert_eq!(text(&ended, "outcome"), "reverted", "{ended:#}");
    assert!(text(&ended, "reason").contains("another master"), "{ended:#}");
    assert_eq!(rig.written(OVERRIDE), [300, SAFE]);
    assert!(rig.held().await.is_empty());
    rig.polled(OVERRIDE, 5).await;
    rig.audit_holds().await;
    host.stop().await;
    assert_eq!(
        (rig.written(OVERRIDE), rig.holds(OVERRIDE, 2).await),
        (vec![300, SAFE], 50)
    );
}

/// The other master was there before the lease ended: then not even the safe value is written.
#[tokio::test]
async fn another_master_before_the_end_of_a_lease_is_not_written_over() {
    let rig = Rig::new().await;
    let host = rig.host().await;
    rig.set("override", "300", &[]).await.applied();
    rig.put("override", 50);
    let ended = end(&rig).await;
    assert_eq!(text(&ended, "outcome"), "reverted", "{ended:#}");
    host.stop().await;
    assert_eq!(
        (rig.written(OVERRIDE), rig.holds(OVERRIDE, 2).await),
        (vec![300], 50)
    );
    rig.audit_holds().await;
}

#[tokio::test]
async fn a_device_that_refuses_the_safe_value_is_asked_once() {
    let rig = Rig::new().await;
    let host = rig.host().await;
    rig.set("override", "300", &[]).await.applied();
    rig.takes(
        "override",
        OnWrite {
            refuse: Some(3),
            ..OnWrite::default()
        },
    );
    let ended = end(&rig).await;
    assert_eq!(text(&ended, "outcome"), "unknown", "{ended:#}");
    assert!(
        text(&ended, "reason").contains("the device refused it"),
        "{ended:#}"
    );
    assert!(rig.held().await.is_empty());
    host.process.logs("look at the device").await;
    rig.polled(OVERRIDE, 5).await;
    host.stop().await;
    assert_eq!(rig.written(OVERRIDE), [300, SAFE]);
    rig.audit_holds().await;
}

/// Busy is no answer for good; but who says so again and again is left alone in the end.
#[tokio::test]
async fn a_device_that_is_busy_at_the_end_of_a_lease_is_asked_again_a_few_times() {
    let rig = Rig::new().await;
    let host = rig.host().await;
    rig.set("override", "300", &[]).await.applied();
    rig.takes(
        "override",
        OnWrite {
            refuse: Some(6),
            ..OnWrite::default()
        },
    );
    let ending = end(&rig);
    let takes_it_then = async {
        until("two refusals", async || {
            (rig.written(OVERRIDE).len() >= 3).then_some(())
        })
        .await;
        rig.takes("override", OnWrite::default());
    };
    let (ended, ()) = tokio::join!(ending, takes_it_then);
    assert_eq!(text(&ended, "outcome"), "released", "{ended:#}");
    assert_eq!(rig.holds(OVERRIDE, 2).await, SAFE);

    rig.set("override", "300", &[]).await.applied();
    let before = rig.written(OVERRIDE).len();
    rig.takes(
        "override",
        OnWrite {
            refuse: Some(4),
            ..OnWrite::default()
        },
    );
    end(&rig).await;
    host.process.logs("look at the device").await;
    until("the list to be empty", async || {
        rig.held().await.is_empty().then_some(())
    })
    .await;
    rig.polled(OVERRIDE, 3).await;
    assert_eq!(rig.written(OVERRIDE)[before..], [SAFE; 5]);
    host.stop().await;
    rig.audit_holds().await;
}

/// A new value that the device refuses has not ended the old one.
#[tokio::test]
async fn a_lease_goes_on_where_the_device_refuses_its_successor() {
    // Often enough for a test, and with room for a write between two times.
    let ledger = LEDGER.replace("device_timeout = \"4s\"", "device_timeout = \"12s\"");
    let rig = Rig::with("tcp", &ledger, ALL).await;
    let host = rig.host().await;
    rig.set("setpoint", "500", &[]).await.applied();
    rig.takes(
        "setpoint",
        OnWrite {
            refuse: Some(3),
            ..OnWrite::default()
        },
    );
    let set = rig.set("setpoint", "400", &[]).await;
    assert_eq!((set.exit, set.outcome()), (1, "rejected"), "{set:#?}");
    rig.takes("setpoint", OnWrite::default());
    let held = lease(&rig).await;
    assert_eq!(
        (&held["value"], &held["requested"]),
        (&500.into(), &500.into()),
        "{held:#}"
    );
    until("it to be kept alive", async || {
        (rig.written(100) == [500, 400, 500]).then_some(())
    })
    .await;
    assert_eq!(rig.holds(100, 2).await, 500);
    host.stop().await;
    assert_eq!(rig.written(100), [500, 400, 500, SAFE]);
    rig.audit_holds().await;
}

/// Nor has one that never went out.
#[tokio::test]
async fn a_lease_goes_on_where_its_successor_could_not_be_sent() {
    let rig = Rig::new().await;
    // A device that wants its pauses: between an intent and its frame there is time to lose the way.
    wants_pauses(&rig, Some("2s"));
    let host = rig.host().await;
    rig.set("override", "300", &[]).await.applied();
    let had = intents(&rig).await;
    let set = noted(&rig, "override", had).await;
    rig.peer().turn(Fault::Refuse).await;
    let set = Set::of(&finish(set).await).refused("stale");
    assert!(set.reason().contains("nothing was sent"), "{set:#?}");
    let held = lease(&rig).await;
    assert_eq!(
        (&held["value"], &held["requested"]),
        (&300.into(), &300.into()),
        "{held:#}"
    );
    rig.peer().turn(Fault::None).await;
    assert_eq!(rig.written(OVERRIDE), [300]);
    end(&rig).await;
    rig.noted("released").await;
    assert_eq!(
        (rig.written(OVERRIDE), rig.holds(OVERRIDE, 2).await),
        (vec![300, SAFE], SAFE)
    );
    host.stop().await;
    rig.audit_holds().await;
}
