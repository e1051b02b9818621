//! What is under way when the kill switch is switched on, or the host ends.

use std::fs;
use std::time::Duration;

use busbar_zoo::Fault;
use busbar_zoo::simulate::OnWrite;
use rustix::process::Signal;
use tokio::process::Child;
use tokio::time::Instant;

use super::{OVERRIDE, Rig, SAFE, Set, asked, read_back_after, wants_pauses};
use crate::common::{finish, text, until};
use crate::writes_faults::ALL;

/// Begins a write of 300 whose read-back takes its time, and waits for its frame.
async fn under_way(rig: &Rig) -> Child {
    let had = rig.written(OVERRIDE).len();
    let set = rig.begin("override", "300", &[]);
    until("its frame", async || {
        (rig.written(OVERRIDE).len() > had).then_some(())
    })
    .await;
    set
}

/// Behind the first so many frames there is the safe value and nothing else, and the device has it.
async fn only_the_safe_value(rig: &Rig, behind: usize) {
    until("the safe value", async || {
        (rig.holds(OVERRIDE, 2).await == SAFE).then_some(())
    })
    .await;
    let written = rig.written(OVERRIDE);
    assert!(
        written.len() > behind && written[behind..].iter().all(|value| *value == SAFE),
        "{written:?}"
    );
}

#[tokio::test]
async fn the_kill_switch_does_not_wait_for_a_read_back() {
    // A device that shows a value at once, and one that takes a while: there it is not known whether it has taken it.
    for (settle, outcome) in [(Duration::ZERO, "applied"), (Duration::from_secs(1), "unknown")] {
        let rig = Rig::with("tcp", &read_back_after("20s"), ALL).await;
        let host = rig.host().await;
        rig.takes(
            "override",
            OnWrite {
                settle,
                ..OnWrite::default()
            },
        );
        let set = under_way(&rig).await;
        let thrown = Instant::now();
        rig.home.run(&["kill-switch", "on", "--json"]).await.json();
        until("the safe frame", async || {
            (rig.written(OVERRIDE).last() == Some(&SAFE)).then_some(())
        })
        .await;
        assert!(
            thrown.elapsed() < Duration::from_secs(5),
            "{:?}",
            thrown.elapsed()
        );
        let set = Set::of(&finish(set).await);
        assert_eq!(set.outcome(), outcome, "{set:#?}");
        only_the_safe_value(&rig, 1).await;
        rig.noted("released").await;
        assert!(rig.held().await.is_empty());
        let frames = rig.frames().len();
        rig.polled(OVERRIDE, 3).await;
        assert_eq!(rig.frames().len(), frames, "nothing follows");
        rig.audit_holds().await;
        host.stop().await;
        assert_eq!(rig.frames().len(), frames, "nothing follows");
    }
}

/// The same where the value was to take the place of another one that was held.
#[tokio::test]
async fn the_kill_switch_ends_a_lease_that_is_just_being_replaced() {
    let rig = Rig::with("tcp", &read_back_after("3s"), ALL).await;
    let host = rig.host().await;
    rig.set("override", "200", &[]).await.applied();
    let settle = Duration::from_secs(1);
    rig.takes(
        "override",
        OnWrite {
            settle,
            ..OnWrite::default()
        },
    );
    let set = under_way(&rig).await;
    rig.home.run(&["kill-switch", "on", "--json"]).await.json();
    finish(set).await;
    only_the_safe_value(&rig, 2).await;
    until("the leases to be over", async || {
        rig.held().await.is_empty().then_some(())
    })
    .await;
    rig.audit_holds().await;
    host.stop().await;
    only_the_safe_value(&rig, 2).await;
}

/// A single write without a host, while the device takes its time.
#[tokio::test]
async fn the_file_of_the_kill_switch_stops_a_single_write_that_waits_for_its_device() {
    let rig = Rig::new().await;
    rig.home.write("busbar.toml", &rig.config);
    rig.peer().turn(Fault::Late(Duration::from_millis(500))).await;
    let had = asked(&rig, 10);
    let set = rig.begin("limit", "60", &[]);
    until("the question before the write", async || {
        (asked(&rig, 10) > had).then_some(())
    })
    .await;
    fs::File::create(rig.home.data().join("kill-switch")).unwrap();
    Set::of(&finish(set).await).refused("kill_switch");
    assert!(rig.frames().is_empty(), "{:?}", rig.frames());
    assert!(rig.rows("intent").await.is_empty());
}

#[tokio::test]
async fn a_host_that_ends_before_the_frame_sends_none() {
    let rig = Rig::new().await;
    // A device that wants its pauses: there is time between the first question and the frame.
    wants_pauses(&rig, Some("500ms"));
    let host = rig.host().await;
    let had = asked(&rig, 10);
    let set = rig.begin("limit", "60", &[]);
    until("the question before the write", async || {
        (asked(&rig, 10) > had).then_some(())
    })
    .await;
    host.process.signal(Signal::TERM);
    let told = finish(set).await.failure(1);
    assert_eq!(told.code, "host_ended", "{told:#?}");
    assert!(told.hint.contains("busbar audit"), "{told:#?}");
    let run = host.process.end().await;
    assert_eq!(run.code(), 0, "{run:#?}");
    assert!(rig.frames().is_empty(), "{:?}", rig.frames());
    // The audit tells it, as was said.
    let refused = rig.rows("refused").await;
    assert!(
        refused
            .iter()
            .any(|row| text(row, "reason").contains("the host is ending")),
        "{refused:#?}"
    );
    assert!(rig.rows("intent").await.is_empty());
}

#[tokio::test]
async fn a_host_that_ends_in_a_read_back_leaves_the_safe_value_behind() {
    let rig = Rig::with("tcp", &read_back_after("20s"), ALL).await;
    let host = rig.host().await;
    let set = under_way(&rig).await;
    host.process.signal(Signal::TERM);
    let told = finish(set).await.failure(1);
    assert_eq!(told.code, "host_ended", "{told:#?}");
    assert!(
        told.message.contains("while the write was under way"),
        "{told:#?}"
    );
    let run = host.process.end().await;
    assert_eq!(run.code(), 0, "{run:#?}");
    assert_eq!(rig.written(OVERRIDE), [300, SAFE]);
    assert_eq!(rig.holds(OVERRIDE, 2).await, SAFE);
    rig.noted("released").await;
    rig.audit_holds().await;
}
