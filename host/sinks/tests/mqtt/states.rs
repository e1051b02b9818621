//! What is published of devices.

use busbar_ledger::value::{Quality, Reading, Value};
use busbar_sinks::bus::Availability;
use serde_json::json;

use crate::broker::Broker;
use crate::house::{House, METER, device};
use crate::sink::{Sink, VERSIONS};

#[tokio::test]
async fn states_and_availability_are_retained_in_both_versions() {
    for version in VERSIONS {
        let broker = Broker::start().await;
        let (house, devices) = House::with(&["one", "two"]);
        let mut ear = broker.listen(&["-t", "busbar/#"]).await;
        let lines = format!("url = \"{}\"\nhome_assistant = false\n{version}", broker.url());
        let sink = Sink::start(&house, &lines);
        assert_eq!(ear.on("busbar/status").await.payload, "online", "{version}");
        let state = ear.on("busbar/one/state").await;
        assert_eq!(
            state.json(),
            json!({ "power": 100.0, "energy": null, "state": null })
        );
        ear.on("busbar/two/availability").await;

        // Who comes later finds all of it.
        let mut late = broker.listen(&["-t", "busbar/#"]).await;
        let mut kept = Vec::new();
        for _ in 0..5 {
            let heard = late.next().await;
            assert!(heard.retained, "{heard:?}");
            kept.push((heard.topic, heard.payload));
        }
        kept.sort();
        let state = r#"{"power":100.0,"energy":null,"state":null}"#;
        let expected = [
            ("busbar/one/availability", "online"),
            ("busbar/one/state", state),
            ("busbar/status", "online"),
            ("busbar/two/availability", "online"),
            ("busbar/two/state", state),
        ];
        assert!(
            kept.iter().map(|(t, p)| (t.as_str(), p.as_str())).eq(expected),
            "{kept:?}"
        );

        // What changes is said, and that a device is lost.
        house.read(&devices[0], 0, 250.0);
        assert_eq!(
            ear.until(|m| m.topic == "busbar/one/state").await.json()["power"],
            250.0
        );
        house.availability(&devices[1], Availability::Offline("no answer".to_owned()));
        let lost = ear.until(|m| m.topic == "busbar/two/availability").await;
        assert_eq!(lost.payload, "offline");

        sink.stop().await;
        assert_eq!(ear.on("busbar/status").await.payload, "offline");
    }
}

#[tokio::test]
async fn a_change_within_the_dead_band_is_not_said() {
    let broker = Broker::start().await;
    let (house, devices) = House::with(&["one", "two"]);
    let mut ear = broker.listen(&["-t", "busbar/+/state"]).await;
    let lines = format!(
        "url = \"{}\"\nat_most_every = \"50ms\"\ndead_band = {{ power = 10 }}",
        broker.url()
    );
    let sink = Sink::start(&house, &lines);
    ear.on("busbar/one/state").await;
    // The other device shows that a round has gone by in which this one could have said something.
    for value in [500.0, 600.0] {
        house.read(&devices[0], 0, 109.0);
        house.read(&devices[1], 0, value);
        ear.until(|m| m.topic == "busbar/two/state" && m.json()["power"] == value)
            .await;
    }
    house.read(&devices[0], 0, 111.0);
    assert_eq!(ear.on("busbar/one/state").await.json()["power"], 111.0);
    sink.stop().await;
}

#[tokio::test]
async fn a_device_that_is_quiet_is_said_again_and_again() {
    let broker = Broker::start().await;
    let (house, _devices) = House::with(&["one"]);
    let mut ear = broker.listen(&["-t", "busbar/one/state"]).await;
    let lines = format!(
        "url = \"{}\"\nat_most_every = \"50ms\"\nat_least_every = \"200ms\"",
        broker.url()
    );
    let sink = Sink::start(&house, &lines);
    for _ in 0..4 {
        assert_eq!(ear.next().await.json()["power"], 100.0);
    }
    sink.stop().await;
}

#[tokio::test]
async fn what_devices_call_themselves_is_one_level_of_a_topic() {
    let broker = Broker::start().await;
    let house = House::new();
    let hostile = ["a/b", "+", "#", "$SYS", "x\u{0}y", "é\n", "", "%"];
    let devices: Vec<_> = hostile.iter().map(|id| device(id, METER)).collect();
    house.bus.put("c", devices.clone());
    let text = Reading {
        value: Some(Value::Text("\"}\u{0}\u{1b}[31m".to_owned())),
        quality: Quality::Good,
        ..Reading::unavailable()
    };
    for device in &devices {
        house.say(device, 0, text.clone());
    }
    let mut ear = broker.listen(&["-t", "busbar/+/state", "-t", "$SYS/state"]).await;
    let sink = Sink::start(&house, &format!("url = \"{}\"", broker.url()));
    let mut topics = Vec::new();
    for _ in hostile {
        let heard = ear.next().await;
        assert_eq!(heard.json()["power"], "\"}\u{0}\u{1b}[31m");
        topics.push(heard.topic);
    }
    topics.sort();
    let expected = [
        "busbar/%/state",
        "busbar/%23/state",
        "busbar/%24SYS/state",
        "busbar/%25/state",
        "busbar/%2B/state",
        "busbar/%C3%A9%0A/state",
        "busbar/a%2Fb/state",
        "busbar/x%00y/state",
    ];
    assert_eq!(topics, expected);
    sink.stop().await;
}

#[tokio::test]
async fn what_is_kept_of_a_device_that_is_removed_is_taken_back() {
    let broker = Broker::start().await;
    let (house, devices) = House::with(&["one", "two"]);
    let mut ear = broker.listen(&["-t", "busbar/#"]).await;
    let sink = Sink::start(&house, &format!("url = \"{}\"", broker.url()));
    ear.on("busbar/one/availability").await;
    ear.on("busbar/two/availability").await;
    house.bus.put("c", vec![devices[0].clone()]);
    assert_eq!(ear.on("busbar/two/availability").await.payload, "");
    assert_eq!(ear.on("busbar/two/state").await.payload, "");
    sink.stop().await;
    let mut late = broker.listen(&["-t", "busbar/#"]).await;
    for _ in 0..3 {
        assert!(!late.next().await.topic.contains("two"));
    }
}
