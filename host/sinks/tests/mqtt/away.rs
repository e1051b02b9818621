//! A broker that goes away and comes back.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::broker::Broker;
use crate::house::House;
use crate::sink::{Sink, VERSIONS};

#[tokio::test]
async fn after_the_return_the_newest_is_said_and_nothing_else() {
    for version in VERSIONS {
        let mut broker = Broker::start().await;
        let (house, devices) = House::with(&["one", "two"]);
        let mut ear = broker.listen(&["-t", "busbar/#"]).await;
        let sink = Sink::start(&house, &format!("url = \"{}\"\n{version}", broker.url()));
        ear.on("busbar/two/availability").await;
        broker.kill().await;
        sink.cause().await;
        // An hour of ten readings a second.
        for second in 0..36_000 {
            house.read(&devices[0], 0, f64::from(second));
        }
        assert_eq!(
            sink.health.report().waiting,
            0,
            "nothing is kept for a broker that is away"
        );
        broker.restart().await;
        let mut ear = broker.listen(&["-t", "busbar/#"]).await;
        let states = async {
            let mut states = Vec::new();
            while states.len() < 2 {
                let heard = ear.until(|m| m.topic.ends_with("/state")).await;
                states.push((heard.topic.clone(), heard.json()["power"].clone()));
            }
            states.sort_by(|a, b| a.0.cmp(&b.0));
            states
        };
        let expected = [
            ("busbar/one/state".to_owned(), json!(35_999.0)),
            ("busbar/two/state".to_owned(), json!(100.0)),
        ];
        assert_eq!(states.await, expected);
        sink.stop().await;
    }
}

#[tokio::test]
async fn a_broker_that_stands_still_delays_nobody() {
    let broker = Broker::start().await;
    let (house, devices) = House::with(&["one"]);
    let mut ear = broker.listen(&["-t", "busbar/one/state"]).await;
    let lines = format!("url = \"{}\"\nat_most_every = \"50ms\"", broker.url());
    let sink = Sink::start(&house, &lines);
    ear.next().await;
    broker.freeze();
    house.read(&devices[0], 0, 0.0);
    // One message hangs; everybody else goes on.
    sink.report(|report| report.waiting == 1).await;
    let began = Instant::now();
    for value in 0..100_000 {
        house.read(&devices[0], 0, f64::from(value));
    }
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!(sink.health.report().waiting, 1);
    broker.thaw();
    ear.until(|m| m.json()["power"] == 99_999.0).await;
    sink.stop().await;
}

#[tokio::test]
async fn a_host_that_dies_leaves_its_will() {
    for version in VERSIONS {
        let broker = Broker::start().await;
        let (house, _devices) = House::with(&["one"]);
        let mut ear = broker.listen(&["-t", "busbar/status"]).await;
        let sink = Sink::start(&house, &format!("url = \"{}\"\n{version}", broker.url()));
        assert_eq!(ear.next().await.payload, "online");
        // What holds the line ends with its task, without a word.
        sink.abort();
        assert_eq!(ear.next().await.payload, "offline");
    }
}
