//! What a broker does not take.

use std::sync::Arc;

use crate::broker::Broker;
use crate::house::{House, device};
use crate::sink::{Sink, VERSIONS};

/// Lets everybody publish and listen, but not there.
const ALL_BUT_ONE: &str = "topic readwrite #\ntopic deny busbar/one/state\n";

#[tokio::test]
async fn a_publication_that_is_not_allowed_is_not_tried_again_and_again() {
    let broker = Broker::with(|dir, _| {
        let acl = dir.join("acl");
        std::fs::write(&acl, ALL_BUT_ONE).unwrap();
        format!("allow_anonymous true\nacl_file {}\nlog_type all\n", acl.display())
    })
    .await;
    let (house, devices) = House::with(&["one", "two"]);
    let mut ear = broker
        .listen(&["-t", "busbar/+/availability", "-t", "busbar/two/state"])
        .await;
    let lines = format!("url = \"{}\"\nat_most_every = \"50ms\"", broker.url());
    let sink = Sink::start(&house, &lines);
    sink.report(|report| report.dropped == 1).await;
    // Thirty rounds in which the refused one changes, too.
    for round in 0..30 {
        house.read(&devices[0], 0, f64::from(round) * 100.0);
        house.read(&devices[1], 0, f64::from(round) * 100.0);
        let value = f64::from(round) * 100.0;
        ear.until(|m| m.topic == "busbar/two/state" && m.json()["power"] == value)
            .await;
    }
    assert_eq!(
        sink.health.report().dropped,
        1,
        "within a minute nothing is tried a second time"
    );
    sink.stop().await;
}

#[tokio::test]
async fn a_state_that_is_too_large_hinders_no_other() {
    for version in VERSIONS {
        let broker = Broker::with(|_, _| "allow_anonymous true\nmax_packet_size 4000\n".to_owned()).await;
        let points: String = (0..300)
            .map(|n| format!("a_point_with_a_long_name_{n} = {{ at = {n}, type = \"u16\" }}\n"))
            .collect();
        let large = device(
            "large",
            &format!("ledger = \"t/large\"\ntitle = \"L\"\n[points]\n{points}"),
        );
        let (house, devices) = House::with(&["small"]);
        house.bus.put("d", vec![large.clone()]);
        house.read(&large, 0, 1.0);
        let mut ear = broker.listen(&["-t", "busbar/small/state"]).await;
        let lines = format!("url = \"{}\"\n{version}\nat_most_every = \"50ms\"", broker.url());
        let sink = Sink::start(&house, &lines);
        // A broker that cannot say its limit ends sessions until it is understood.
        sink.report(|report| report.dropped >= 1).await;
        for round in 1..=20 {
            house.read(&large, 0, f64::from(round));
            house.read(&devices[0], 0, f64::from(round) * 100.0);
            ear.until(|m| m.json()["power"] == f64::from(round) * 100.0).await;
        }
        assert!(sink.health.report().dropped <= 2, "{:?}", sink.health.report());
        assert!(Arc::strong_count(&large) > 1);
        sink.stop().await;
    }
}
