//! What a host that was killed has left behind.

use busbar_zoo::Fault;
use busbar_zoo::simulate::OnWrite;

use super::{OVERRIDE, Rig, SAFE, kill, lease, online, read_back_after};
use crate::common::{finish, text, until};
use crate::writes_faults::ALL;

/// What the device made of a value is as much the host's as the value itself.
#[tokio::test]
async fn a_value_that_the_device_had_clamped_is_let_go_after_a_kill() {
    let rig = Rig::new().await;
    let host = rig.host().await;
    rig.takes(
        "override",
        OnWrite {
            clamp: Some((-200.0, 200.0)),
            ..OnWrite::default()
        },
    );
    let set = rig.set("override", "300", &[]).await;
    assert_eq!((set.exit, set.outcome()), (1, "clamped"), "{set:#?}");
    let held = lease(&rig).await;
    assert_eq!(
        (&held["value"], &held["requested"]),
        (&200.into(), &300.into()),
        "{held:#}"
    );
    kill(host).await;
    assert_eq!(rig.holds(OVERRIDE, 2).await, 200);

    let host = rig.host().await;
    let released = rig.noted("released").await;
    assert!(
        text(&released, "reason").contains("the host had ended"),
        "{released:#}"
    );
    assert_eq!(rig.holds(OVERRIDE, 2).await, SAFE);
    assert_eq!(rig.written(OVERRIDE), [300, SAFE]);
    until("the list to be empty", async || {
        rig.held().await.is_empty().then_some(())
    })
    .await;
    rig.audit_holds().await;
    host.stop().await;
    assert_eq!(rig.written(OVERRIDE), [300, SAFE]);
}

/// Nobody had looked yet at what the device made of it.
#[tokio::test]
async fn a_value_that_the_device_has_clamped_is_let_go_after_a_kill_before_the_read_back() {
    let rig = Rig::with("tcp", &read_back_after("20s"), ALL).await;
    let host = rig.host().await;
    rig.takes(
        "override",
        OnWrite {
            clamp: Some((-200.0, 200.0)),
            ..OnWrite::default()
        },
    );
    let set = rig.begin("override", "300", &[]);
    until("its frame", async || {
        (rig.written(OVERRIDE) == [300]).then_some(())
    })
    .await;
    kill(host).await;
    finish(set).await;
    assert!(rig.rows("outcome").await.is_empty(), "it was killed too late");
    assert_eq!(rig.holds(OVERRIDE, 2).await, 200);

    let host = rig.host().await;
    rig.noted("released").await;
    assert_eq!(
        (rig.written(OVERRIDE), rig.holds(OVERRIDE, 2).await),
        (vec![300, SAFE], SAFE)
    );
    host.stop().await;
    rig.audit_holds().await;
}

/// A host that was killed while it held 300; the next one cannot look at the device at first.
async fn killed_and_away(rig: &Rig) -> super::Host {
    let host = rig.host().await;
    rig.set("override", "300", &[]).await.applied();
    kill(host).await;
    rig.peer().turn(Fault::Refuse).await;
    let host = rig.home.host_with(&rig.config).await;
    host.process.logs("a write was under way").await;
    host.device_is("inverter_inv00001", "offline").await;
    rig.peer().turn(Fault::None).await;
    online(&host).await;
    host
}

#[tokio::test]
async fn what_is_looked_into_after_a_kill_does_not_end_a_new_lease_of_the_same_value() {
    let rig = Rig::new().await;
    let host = killed_and_away(&rig).await;
    rig.set("override", "300", &[]).await.applied();
    let first = rig.rows("intent").await[0]["seq"].clone();
    let ended = until("the first intent to be concluded", async || {
        let rows = rig.rows("outcome").await;
        // `applied` was its first outcome.
        let mut of = rows.into_iter().filter(|row| row["intent"] == first);
        of.nth(1)
    })
    .await;
    assert!(
        ["replaced", "released"].contains(&text(&ended, "outcome")),
        "{ended:#}"
    );
    rig.polled(OVERRIDE, 3).await;
    assert_eq!(lease(&rig).await["value"], 300);
    assert_eq!(rig.holds(OVERRIDE, 2).await, 300);
    assert_eq!(rig.written(OVERRIDE).last(), Some(&300));
    host.stop().await;
    assert_eq!(rig.written(OVERRIDE).last(), Some(&SAFE));
    rig.audit_holds().await;
}

/// A new value that the device would not take leaves the old one where it is: nobody holds that.
#[tokio::test]
async fn what_is_looked_into_after_a_kill_is_let_go_though_another_value_was_refused_since() {
    let rig = Rig::new().await;
    let host = killed_and_away(&rig).await;
    rig.takes(
        "override",
        OnWrite {
            refuse: Some(3),
            ..OnWrite::default()
        },
    );
    let set = rig.set("override", "400", &[]).await;
    assert_eq!((set.exit, set.outcome()), (1, "rejected"), "{set:#?}");
    rig.takes("override", OnWrite::default());
    until("the safe value", async || {
        (rig.holds(OVERRIDE, 2).await == SAFE).then_some(())
    })
    .await;
    rig.noted("released").await;
    host.stop().await;
    rig.audit_holds().await;
}
