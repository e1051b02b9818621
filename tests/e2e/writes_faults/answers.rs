//! Devices whose answer to a write is lost, is wrong, or is not true. What counts is what they read afterwards.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use busbar_zoo::simulate::OnWrite;
use busbar_zoo::{Air, Fault, Part};
use futures_util::future::join_all;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Rig, Set, Way, shown};
use crate::common::host::Host;
use crate::common::{list, text, until};

/// The way misbehaves from now on.
async fn turn(rig: &Rig, fault: Fault) {
    match &rig.way {
        Way::Tcp(peer) => peer.turn(fault).await,
        Way::Udp(peer) => {
            let air = Air {
                fault,
                ..Air::default()
            };
            peer.turn(air).await;
        }
    }
}

/// Sets the limit to 60 and to 61 while answers to writes are spoiled so: once the device takes it, once it keeps what it
/// has.
async fn spoiled(rig: &Rig, fault: Fault) -> (Set, Set) {
    let host = rig.host().await;
    turn(rig, fault.clone()).await;
    let taken = rig.set("limit", "60", &[]).await.applied();
    assert!(
        taken.reason().contains("not acknowledged"),
        "{fault:?}: {taken:#?}"
    );
    assert_eq!(shown(&host, taken.entity()).await, 60, "{fault:?}");

    rig.takes(
        "limit",
        OnWrite {
            keep: true,
            ..OnWrite::default()
        },
    );
    let kept = rig.set("limit", "61", &[]).await;
    assert_eq!(
        (kept.exit, kept.outcome()),
        (1, "unknown"),
        "{fault:?}: {kept:#?}"
    );
    assert_eq!(
        shown(&host, kept.entity()).await,
        60,
        "{fault:?}: only what was read is shown"
    );

    // Whatever else is polled and written meanwhile: each went out once.
    turn(rig, Fault::None).await;
    rig.set("kept", "70", &[]).await.applied();
    assert_eq!(rig.written(110), [60, 61], "{fault:?}: never sent again");
    rig.audit_holds().await;
    host.stop().await;
    assert_eq!(rig.written(110), [60, 61], "{fault:?}: never sent again");
    (taken, kept)
}

#[tokio::test]
async fn w11_a_lost_acknowledgement_over_tcp_is_never_sent_again() {
    let rig = Rig::new().await;
    let (_, kept) = spoiled(&rig, Fault::LoseAcknowledgement).await;
    assert!(
        kept.reason()
            .contains("it is not known whether the device took it"),
        "{kept:#?}"
    );
}

#[tokio::test]
async fn w11_a_connection_that_closes_before_the_acknowledgement_is_no_reason_to_send_again() {
    let rig = Rig::new().await;
    spoiled(&rig, Fault::CloseBeforeAcknowledgement).await;
}

#[tokio::test]
async fn w11_a_lost_acknowledgement_over_udp_is_never_sent_again() {
    let rig = Rig::over_udp().await;
    spoiled(&rig, Fault::LoseAcknowledgement).await;
}

/// An acknowledgement that comes after the time-out is nobody's any more, and no answer to what is asked later.
#[tokio::test]
async fn w11_a_late_acknowledgement_is_no_answer_to_what_is_asked_next() {
    for rig in [Rig::new().await, Rig::over_udp().await] {
        let host = rig.host().await;
        turn(&rig, Fault::LateAcknowledgement(Duration::from_secs(4))).await;
        rig.set("limit", "60", &[]).await.applied();
        rig.set("kept", "70", &[]).await.applied();
        turn(&rig, Fault::None).await;
        assert_eq!((rig.written(110), rig.written(112)), (vec![60], vec![70]));
        rig.audit_holds().await;
        host.stop().await;
    }
}

#[tokio::test]
async fn w12_a_wrong_echo_proves_nothing() {
    // One word goes by function 6, whose echo has address and value; two go by function 16: address and count.
    let cases = [
        ("limit", 110, 50, Part::Address),
        ("limit", 110, 50, Part::Value),
        ("override", 104, 0, Part::Address),
        ("override", 104, 0, Part::Count),
    ];
    join_all(cases.map(wrong_echo)).await;
}

async fn wrong_echo((key, at, old, part): (&str, u16, i64, Part)) {
    let rig = Rig::new().await;
    let host = rig.host().await;
    turn(&rig, Fault::WrongEcho(part)).await;
    let taken = rig.set(key, "60", &[]).await.applied();
    assert!(
        taken.reason().contains("not acknowledged"),
        "{part:?}: {taken:#?}"
    );
    assert_eq!(rig.written(at), [60], "{part:?}");
    turn(&rig, Fault::None).await;
    host.stop().await;

    let rig = Rig::new().await;
    let host = rig.host().await;
    turn(&rig, Fault::WrongEcho(part)).await;
    rig.takes(
        key,
        OnWrite {
            keep: true,
            ..OnWrite::default()
        },
    );
    let kept = rig.set(key, "60", &[]).await;
    assert_eq!((kept.exit, kept.outcome()), (1, "unknown"), "{part:?}: {kept:#?}");
    assert_eq!(shown(&host, kept.entity()).await, old, "{part:?}");
    assert_eq!(rig.written(at), [60], "{part:?}");
    turn(&rig, Fault::None).await;
    host.stop().await;
    rig.audit_holds().await;
}

/// A device that refuses is believed, and what it reads is what is shown: also when it has done it all the same.
#[tokio::test]
async fn w13_a_refusal_is_told_as_one() {
    let rig = Rig::new().await;
    let host = rig.host().await;
    rig.takes(
        "limit",
        OnWrite {
            refuse: Some(3),
            ..OnWrite::default()
        },
    );
    let set = rig.set("limit", "60", &[]).await;
    assert_eq!((set.exit, set.outcome()), (1, "rejected"), "{set:#?}");
    assert!(set.reason().contains("refused"), "{set:#?}");
    assert_eq!(shown(&host, set.entity()).await, 50);
    rig.takes("limit", OnWrite::default());
    turn(&rig, Fault::RefuseAcknowledgement(2)).await;
    let set = rig.set("limit", "61", &[]).await;
    assert_eq!((set.exit, set.outcome()), (1, "rejected"), "{set:#?}");
    shows(&host, set.entity(), 61).await;
    // One that failed on the way may have done it: that is looked into.
    turn(&rig, Fault::RefuseAcknowledgement(4)).await;
    let set = rig.set("limit", "62", &[]).await.applied();
    assert!(set.reason().contains("not acknowledged"), "{set:#?}");
    turn(&rig, Fault::None).await;
    assert_eq!(rig.written(110), [60, 61, 62]);
    rig.audit_holds().await;
    host.stop().await;
}

async fn shows(host: &Host, entity: &str, value: i64) {
    until(&format!("{entity} to be {value}"), async || {
        (shown(host, entity).await == value).then_some(())
    })
    .await;
}

#[tokio::test]
async fn w13_what_the_device_clamps_is_told_and_shown() {
    let rig = Rig::new().await;
    let host = rig.host().await;
    rig.takes(
        "limit",
        OnWrite {
            clamp: Some((0.0, 80.0)),
            ..OnWrite::default()
        },
    );
    let set = rig.set("limit", "95", &[]).await;
    assert_eq!((set.exit, set.outcome()), (1, "clamped"), "{set:#?}");
    assert_eq!(set.report["value"], 80, "{set:#?}");
    assert_eq!(shown(&host, set.entity()).await, 80);
    assert_eq!(rig.written(110), [95]);
    rig.audit_holds().await;
    host.stop().await;
}

#[tokio::test]
async fn w13_what_the_device_drops_later_is_told_and_shown() {
    let rig = Rig::new().await;
    let host = rig.host().await;
    rig.takes(
        "limit",
        OnWrite {
            drop: Some(Duration::from_secs(2)),
            ..OnWrite::default()
        },
    );
    let set = rig.set("limit", "60", &[]).await.applied();
    shows(&host, set.entity(), 50).await;
    let row = rig.noted("reverted").await;
    assert!(text(&row, "reason").contains("dropped"), "{row:#}");
    assert_eq!(rig.written(110), [60], "it is told, and not fought");
    rig.audit_holds().await;
    host.stop().await;
}

/// Every value of an entity that a host publishes as an event.
struct Published(Arc<Mutex<Vec<Value>>>);

impl Published {
    async fn of(host: &Host, entity: &str) -> Published {
        let mut stream = TcpStream::connect(host.address).await.unwrap();
        let request = format!("GET /api/v1/events HTTP/1.1\r\nHost: {}\r\n\r\n", host.address);
        stream.write_all(request.as_bytes()).await.unwrap();
        let (all, entity) = (Arc::new(Mutex::new(Vec::new())), entity.to_owned());
        let values = Arc::clone(&all);
        tokio::spawn(async move {
            let (mut heard, mut bytes) = (Vec::new(), [0; 16 * 1024]);
            while let Ok(count @ 1..) = stream.read(&mut bytes).await {
                heard.extend_from_slice(&bytes[..count]);
                while let Some(end) = heard.iter().position(|&byte| byte == b'\n') {
                    let line: Vec<u8> = heard.drain(..=end).collect();
                    let line = String::from_utf8_lossy(&line);
                    let Some(event) = line.strip_prefix("data: ") else {
                        continue;
                    };
                    let event: Value = serde_json::from_str(event).unwrap();
                    let mine = list(&event, "entities").iter().filter(|e| e["id"] == *entity);
                    values.lock().unwrap().extend(mine.map(|e| e["value"].clone()));
                }
            }
        });
        let published = Published(all);
        published.more(1).await;
        published
    }

    fn values(&self) -> Vec<Value> {
        self.0.lock().unwrap().clone()
    }

    /// Waits for so many further ones.
    async fn more(&self, count: usize) {
        let had = self.values().len();
        until("events", async || {
            (self.values().len() >= had + count).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn w13_a_success_that_changes_nothing_is_rejected_and_never_shown() {
    let rig = Rig::new().await;
    let host = rig.host().await;
    rig.takes(
        "limit",
        OnWrite {
            keep: true,
            ..OnWrite::default()
        },
    );
    let id = rig.set("limit", "50", &["--dry-run"]).await.entity().to_owned();
    let published = Published::of(&host, &id).await;
    let set = rig.set("limit", "60", &[]).await;
    assert_eq!((set.exit, set.outcome()), (1, "rejected"), "{set:#?}");
    published.more(2).await;
    let values = published.values();
    assert!(values.iter().all(|value| *value == 50), "{values:?}");
    assert_eq!(rig.written(110), [60]);
    rig.audit_holds().await;
    host.stop().await;
}
