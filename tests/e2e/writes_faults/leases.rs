//! Values that lapse: kept alive, brought back, and left alone when somebody else has set them.

use std::time::Duration;

use busbar_ledger::value::Value as Content;
use busbar_zoo::simulate::OnWrite;
use rustix::process::Signal;
use tokio::time::Instant;

use super::{NAME, Rig, kill};
use crate::common::{list, text, until};

/// The safe value of the ledger; the device's own is 0.
const SAFE: i32 = 7;

#[tokio::test]
async fn w14_a_lease_is_kept_alive_at_half_the_time_out_and_ends_with_the_safe_value() {
    let rig = Rig::new().await;
    let host = rig.host().await;
    let set = rig.set("setpoint", "500", &["--for", "7s"]).await.applied();
    assert!(set.report["lease_until_ms"].is_i64(), "{set:#?}");
    let held = rig.held().await;
    assert_eq!(
        (
            held.len(),
            held[0]["value"].as_i64(),
            held[0]["every_ms"].as_i64()
        ),
        (1, Some(500), Some(2000))
    );
    until("the safe value", async || {
        (rig.written(100).last() == Some(&SAFE)).then_some(())
    })
    .await;
    let frames = rig.frames();
    let (safe, kept) = frames.split_last().unwrap();
    assert!(
        kept.iter().all(|frame| super::number(&frame.words) == 500),
        "{frames:#?}"
    );
    // After 0, 2, 4 and 6 s; a machine that is busy may be late, but never so late that the device lets go.
    assert!((3..=4).contains(&kept.len()), "{frames:#?}");
    let between = kept.windows(2).map(|pair| pair[1].after - pair[0].after);
    let (half, whole) = (Duration::from_millis(1900), Duration::from_secs(4));
    assert!(
        between.clone().all(|gap| (half..whole).contains(&gap)),
        "{frames:#?}"
    );
    assert!(
        safe.after - kept[0].after >= Duration::from_millis(6500),
        "{frames:#?}"
    );
    rig.noted("released").await;
    assert!(rig.held().await.is_empty());
    rig.audit_holds().await;
    host.stop().await;
}

#[tokio::test]
async fn w14_a_lease_is_ended_by_command_one_or_all() {
    let rig = Rig::new().await;
    let host = rig.host().await;
    rig.set("setpoint", "500", &[]).await.applied();
    rig.set("override", "300", &[]).await.applied();
    let end = ["lease", "end", &format!("{NAME}:override"), "--json"];
    let ended = rig.home.run(&end).await.json();
    assert_eq!(
        text(&list(&ended, "ended")[0], "outcome"),
        "released",
        "{ended:#}"
    );
    assert_eq!(rig.holds(104, 2).await, SAFE);
    assert_eq!(rig.held().await.len(), 1);
    rig.home.run(&end).await.failure(3);
    let ended = rig.home.run(&["lease", "end", "--all", "--json"]).await.json();
    assert_eq!(list(&ended, "ended").len(), 1, "{ended:#}");
    assert_eq!(rig.written(100).last(), Some(&SAFE));
    assert_eq!(rig.written(104), [300, SAFE]);
    rig.audit_holds().await;
    host.stop().await;
    assert_eq!(rig.written(104), [300, SAFE], "a lease ends once");
}

#[tokio::test]
async fn w14_a_host_that_ends_leaves_the_safe_value_behind() {
    let rig = Rig::new().await;
    let host = rig.host().await;
    rig.set("setpoint", "500", &[]).await.applied();
    rig.set("override", "300", &[]).await.applied();
    let told = Instant::now();
    host.process.signal(Signal::TERM);
    until("the safe values", async || {
        let last = |at| rig.written(at).last().copied();
        ((last(100), last(104)) == (Some(SAFE), Some(SAFE))).then_some(())
    })
    .await;
    assert!(told.elapsed() < Duration::from_secs(5), "{:?}", told.elapsed());
    let run = host.process.end().await;
    assert_eq!(run.code(), 0, "{run:#?}");
    assert_eq!(rig.holds(104, 2).await, SAFE);
    rig.audit_holds().await;
}

#[tokio::test]
async fn w14_w10_a_host_that_is_killed_in_a_lease() {
    let rig = Rig::new().await;
    let host = rig.host().await;
    rig.set("setpoint", "500", &[]).await.applied();
    rig.set("override", "300", &[]).await.applied();
    kill(host).await;
    let killed = Instant::now();
    let last = rig.frames().iter().rfind(|frame| frame.at == 100).unwrap().after;
    // Nobody keeps it alive any more: the device lets it go by itself. The other one has no time-out.
    until("the device to let go", async || {
        (rig.holds(100, 2).await == 0).then_some(())
    })
    .await;
    assert!(
        killed.elapsed() < Duration::from_secs(5),
        "{:?} after {last:?}",
        killed.elapsed()
    );
    assert_eq!(rig.holds(104, 2).await, 300);
    let before = rig.written(100);

    let host = rig.host().await;
    let reverted = rig.noted("reverted").await;
    assert!(text(&reverted, "entity").ends_with(".setpoint"), "{reverted:#}");
    assert!(
        text(&reverted, "reason").contains("the device has let it go"),
        "{reverted:#}"
    );
    let released = rig.noted("released").await;
    assert!(text(&released, "entity").ends_with(".override"), "{released:#}");
    assert_eq!(
        rig.holds(104, 2).await,
        SAFE,
        "nobody holds it, so it must not stay"
    );
    assert_eq!(
        (rig.written(100), rig.written(104)),
        (before, vec![300, SAFE]),
        "nothing is sent again"
    );
    assert!(rig.held().await.is_empty());
    rig.audit_holds().await;
    host.stop().await;
}

/// Whoever loses the value wins: the lease is over, that is told, and nothing is written any more, not the safe value
/// either.
async fn given_up(rig: &Rig, says: &str) {
    let reverted = rig.noted("reverted").await;
    assert!(text(&reverted, "reason").contains(says), "{reverted:#}");
    assert!(rig.held().await.is_empty());
    // Longer than until the next time that it would have been kept alive.
    rig.polled(100, 10).await;
    assert_eq!(rig.written(100), [500]);
}

#[tokio::test]
async fn w15_a_device_that_restarts_in_a_lease_is_left_alone() {
    let rig = Rig::new().await;
    let host = rig.host().await;
    rig.set("setpoint", "500", &[]).await.applied();
    rig.put("setpoint", 0);
    given_up(&rig, "reads 0 W instead of 500 W").await;
    rig.audit_holds().await;
    host.stop().await;
    assert_eq!(rig.written(100), [500]);
}

#[tokio::test]
async fn w15_a_device_that_drops_every_write_is_not_written_again_and_again() {
    let rig = Rig::new().await;
    let host = rig.host().await;
    rig.takes(
        "setpoint",
        OnWrite {
            drop: Some(Duration::from_secs(1)),
            ..OnWrite::default()
        },
    );
    rig.set("setpoint", "500", &[]).await.applied();
    given_up(&rig, "the device has let it go").await;
    rig.audit_holds().await;
    host.stop().await;
}

#[tokio::test]
async fn w24_a_second_master_is_told_of_and_not_fought() {
    let rig = Rig::new().await;
    let host = rig.host().await;
    let other = Some((Content::Integer(50), Duration::from_secs(1)));
    rig.takes(
        "setpoint",
        OnWrite {
            other,
            lapse: Some(Duration::from_secs(60)),
            ..OnWrite::default()
        },
    );
    rig.set("setpoint", "500", &[]).await.applied();
    given_up(&rig, "another master").await;
    assert_eq!(rig.holds(100, 2).await, 50, "the other one's value stays");
    rig.audit_holds().await;
    host.stop().await;
    assert_eq!((rig.written(100), rig.holds(100, 2).await), (vec![500], 50));
}

/// What is not leased is watched for a while, too.
#[tokio::test]
async fn w24_a_second_master_beside_a_plain_setting() {
    let rig = Rig::new().await;
    let host = rig.host().await;
    rig.set("limit", "60", &[]).await.applied();
    rig.put("limit", 30);
    let reverted = rig.noted("reverted").await;
    assert!(
        text(&reverted, "reason").contains("another master"),
        "{reverted:#}"
    );
    rig.polled(110, 3).await;
    assert_eq!(rig.written(110), [60]);
    rig.audit_holds().await;
    host.stop().await;
}
