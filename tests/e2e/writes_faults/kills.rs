//! Hosts that are killed while they write. What was under way is looked at on the device and told; nothing is sent again.

use std::time::Duration;

use busbar_store::{AuditKind, Registry};
use busbar_zoo::Fault;
use busbar_zoo::simulate::OnWrite;
use futures_util::future::join_all;
use tokio::process::Child;

use super::{LEDGER, NAME, Rig, Set, kill};
use crate::common::{finish, text, until};

#[tokio::test]
async fn w8_the_wear_budget_survives_a_kill() {
    let allow = format!("{{ entity = \"{NAME}:kept\", daily_budget = 2 }}");
    let rig = Rig::with("tcp", LEDGER, &allow).await;
    let host = rig.host().await;
    rig.set("kept", "60", &[]).await.applied();
    // The second one is cut off by the kill; it may have worn the device, so it counts.
    let second = rig.begin("kept", "61", &[]);
    until("the second frame", async || {
        (rig.frames().len() == 2).then_some(())
    })
    .await;
    kill(host).await;
    assert_ne!(finish(second).await.code(), 4);

    let host = rig.host().await;
    rig.noted("applied").await;
    let third = rig.set("kept", "62", &[]).await.refused("budget");
    assert!(
        third.reason().contains("the 2 writes of 24 hours are used up"),
        "{third:#?}"
    );
    host.stop().await;
    // Without a host, too.
    rig.set("kept", "62", &[]).await.refused("budget");
    assert_eq!(rig.written(112), [60, 61]);
    rig.audit_holds().await;
}

/// How many intents there are, asked of the file itself: that is quicker than a command.
pub(super) async fn intents(rig: &Rig) -> usize {
    let registry = Registry::open_read_only(&rig.home.data()).await.unwrap();
    let rows = registry.audit_rows(None, None, 1000).await.unwrap();
    rows.iter()
        .filter(|row| row.entry.kind == AuditKind::Intent)
        .count()
}

#[tokio::test]
async fn w10_killed_before_the_intent() {
    let rig = Rig::new().await;
    let host = rig.host().await;
    // Each answer takes its time, and the device is asked who it is before anything else.
    rig.peer().turn(Fault::Late(Duration::from_millis(500))).await;
    let asked = || {
        let exchanges = rig.peer().record().exchanges();
        exchanges
            .iter()
            .filter(|e| e.span().is_some_and(|span| span.at == 10))
            .count()
    };
    let had = asked();
    let set = rig.begin("limit", "60", &[]);
    until("the question before the write", async || {
        (asked() > had).then_some(())
    })
    .await;
    kill(host).await;
    finish(set).await;
    rig.peer().turn(Fault::None).await;
    assert_eq!((intents(&rig).await, rig.frames().len()), (0, 0));

    let host = rig.host().await;
    rig.polled(110, 3).await;
    assert_eq!((intents(&rig).await, rig.frames().len()), (0, 0));
    // And all goes on as if it had never been.
    rig.set("limit", "60", &[]).await.applied();
    rig.audit_holds().await;
    host.stop().await;
}

/// Begins to set a point, and waits until its intent is on the disk, where there were so many.
pub(super) async fn noted(rig: &Rig, key: &str, had: usize) -> Child {
    let mut set = rig.begin(key, "60", &[]);
    until(&format!("the intent to set {key}"), async || {
        if set.try_wait().unwrap().is_some() {
            // Where the machine is so busy that the device answers too late, it has to be asked for again.
            let again = rig.begin(key, "60", &[]);
            let over = Set::of(&finish(std::mem::replace(&mut set, again)).await);
            assert_eq!((over.exit, over.outcome()), (4, "refused"), "{over:#?}");
        }
        (intents(rig).await > had).then_some(())
    })
    .await;
    set
}

/// From the next start on the inverter wants so long a pause before each request, which leaves time between an intent and
/// its frame; or none.
pub(super) fn wants_pauses(rig: &Rig, pause: Option<&str>) {
    // In few reads, so that it does not take all day to see that the device is there.
    let spaced = |pause| {
        LEDGER.replace(
            "bridge   = \"never\"",
            &format!("bridge = \"any\"\nspacing = \"{pause}\""),
        )
    };
    let ledger = pause.map_or(LEDGER.to_owned(), spaced);
    rig.home.write("inverter.toml", &ledger);
}

/// A plain setting, and one that is leased.
#[tokio::test]
async fn w10_killed_after_the_intent_and_before_the_frame() {
    let cases = [("limit", "unknown"), ("override", "reverted")];
    join_all(cases.map(between)).await;
}

async fn between((key, outcome): (&str, &str)) {
    let rig = Rig::new().await;
    wants_pauses(&rig, Some("1s"));
    let host = rig.host().await;
    let set = noted(&rig, key, 0).await;
    kill(host).await;
    finish(set).await;
    assert!(
        rig.frames().is_empty(),
        "it was killed too late: {:?}",
        rig.frames()
    );

    wants_pauses(&rig, None);
    let host = rig.host().await;
    let row = rig.noted(outcome).await;
    assert!(text(&row, "reason").contains("the host ended"), "{row:#}");
    rig.polled(110, 3).await;
    assert!(rig.frames().is_empty(), "{key}: it is not sent late");
    rig.audit_holds().await;
    host.stop().await;
}

#[tokio::test]
async fn w10_killed_after_the_frame_and_before_the_outcome() {
    for (keeps, outcome, says) in [
        (false, "applied", "after the restart the device reads 60 %"),
        (true, "unknown", "it is not sent again"),
    ] {
        let rig = Rig::new().await;
        let host = rig.host().await;
        rig.takes(
            "sluggish",
            OnWrite {
                keep: keeps,
                ..OnWrite::default()
            },
        );
        let set = rig.begin("sluggish", "60", &[]);
        until("the frame", async || (rig.frames().len() == 1).then_some(())).await;
        kill(host).await;
        finish(set).await;
        assert!(rig.rows("outcome").await.is_empty(), "it was killed too late");

        let host = rig.host().await;
        let row = rig.noted(outcome).await;
        assert!(text(&row, "reason").contains(says), "{row:#}");
        rig.polled(114, 3).await;
        assert_eq!(rig.written(114), [60]);
        rig.audit_holds().await;
        host.stop().await;

        // Once is enough: the next start has nothing to look into.
        let host = rig.host().await;
        rig.polled(114, 3).await;
        assert_eq!(rig.rows("outcome").await.len(), 1);
        host.stop().await;
    }
}
