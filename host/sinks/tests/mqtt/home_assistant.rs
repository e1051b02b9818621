//! What Home Assistant is told, and what becomes of it there. That Home Assistant itself is content is seen with a real
//! one: .ci/home-assistant.

use serde_json::json;

use crate::broker::{Broker, Ear};
use crate::house::{House, METER, device};
use crate::sink::{Sink, VERSIONS};

const ONE: &str = "homeassistant/device/one/config";
const TWO: &str = "homeassistant/device/two/config";
/// The device with which what was deleted is brought back.
const WAY_BACK: &str = "homeassistant/device/busbar_test/config";

fn lines(broker: &Broker, version: &str) -> String {
    format!("url = \"{}\"\n{version}", broker.url())
}

async fn listen(broker: &Broker) -> Ear {
    broker.listen(&["-t", "homeassistant/#"]).await
}

#[tokio::test]
async fn each_device_is_told_and_kept_and_told_again_when_home_assistant_starts() {
    for version in VERSIONS {
        let broker = Broker::start().await;
        let (house, _devices) = House::with(&["one"]);
        let mut ear = listen(&broker).await;
        let sink = Sink::start(&house, &lines(&broker, version));
        let told = ear.on(ONE).await.json();
        assert_eq!(told["dev"]["identifiers"], json!(["one"]));
        assert_eq!(told["cmps"]["energy"]["state_class"], "total_increasing");
        assert_eq!(told["state_topic"], "busbar/one/state");
        assert!(listen(&broker).await.on(ONE).await.retained);

        broker
            .publish(&["-t", "homeassistant/status", "-m", "online"])
            .await;
        assert_eq!(ear.on(ONE).await.json(), told);

        // One that comes is told of as well.
        house.bus.put("d", vec![device("two", METER)]);
        assert_eq!(ear.on(TWO).await.json()["dev"]["name"], "Device two");
        sink.stop().await;
    }
}

#[tokio::test]
async fn what_is_deleted_there_stays_deleted_until_the_button_is_pressed() {
    for version in VERSIONS {
        let broker = Broker::start().await;
        let (house, _devices) = House::with(&["one", "two"]);
        let mut ear = listen(&broker).await;
        let sink = Sink::start(&house, &lines(&broker, version));
        ear.on(ONE).await;
        ear.on(TWO).await;
        broker.publish(&["-t", ONE, "-n", "-r"]).await;
        let way_back = ear.until(|m| m.topic == WAY_BACK && !m.payload.is_empty()).await;
        sink.stop().await;

        // A restart does not bring it back, nor a birth of Home Assistant: all that is told then has the other.
        let sink = Sink::start(&house, &lines(&broker, version));
        let mut told = Vec::new();
        while !told.iter().any(|topic| topic == TWO) {
            told.push(ear.until(|m| !m.payload.is_empty()).await.topic);
        }
        assert!(!told.iter().any(|topic| topic == ONE), "{version}: {told:?}");
        let button = &way_back.json()["cmps"]["tell-again"];
        broker
            .publish(&["-t", button["command_topic"].as_str().unwrap(), "-m", "PRESS"])
            .await;
        ear.until(|m| m.topic == ONE && !m.payload.is_empty()).await;
        sink.stop().await;
    }
}

#[tokio::test]
async fn what_is_deleted_while_busbar_is_away_stays_deleted_but_a_broker_that_forgot_is_told_all() {
    let mut broker = Broker::start().await;
    let (house, _devices) = House::with(&["one", "two"]);
    let mut ear = broker
        .listen(&["-t", "homeassistant/#", "-t", "busbar/home_assistant"])
        .await;
    let sink = Sink::start(&house, &lines(&broker, ""));
    ear.on("busbar/home_assistant").await;
    sink.stop().await;
    broker.publish(&["-t", ONE, "-n", "-r"]).await;

    let sink = Sink::start(&house, &lines(&broker, ""));
    ear.until(|m| m.topic == WAY_BACK && !m.payload.is_empty()).await;
    broker
        .publish(&["-t", "busbar/home_assistant/again", "-m", "PRESS"])
        .await;
    ear.until(|m| m.topic == ONE && !m.payload.is_empty()).await;

    // It keeps nothing over a restart.
    broker.kill().await;
    broker.restart().await;
    let mut ear = listen(&broker).await;
    ear.until(|m| m.topic == ONE && !m.payload.is_empty()).await;
    ear.until(|m| m.topic == TWO && !m.payload.is_empty()).await;
    sink.stop().await;
}

#[tokio::test]
async fn switched_off_it_takes_back_all_that_was_told() {
    let broker = Broker::start().await;
    let (house, _devices) = House::with(&["one"]);
    let mut ear = broker
        .listen(&["-t", "homeassistant/#", "-t", "busbar/home_assistant"])
        .await;
    let sink = Sink::start(&house, &lines(&broker, ""));
    ear.on("busbar/home_assistant").await;
    sink.stop().await;
    let sink = Sink::start(&house, &lines(&broker, "home_assistant = false"));
    assert_eq!(ear.on(ONE).await.payload, "");
    assert_eq!(ear.on("busbar/home_assistant").await.payload, "");
    sink.stop().await;
}

#[tokio::test]
async fn a_move_from_one_document_for_each_entity_says_that_it_is_one() {
    let broker = Broker::start().await;
    let (house, _devices) = House::with(&["one"]);
    let mut ear = listen(&broker).await;
    let sink = Sink::start(
        &house,
        &lines(&broker, "home_assistant = { form = \"entities\" }"),
    );
    let power = "homeassistant/sensor/one/power/config";
    assert_eq!(ear.on(power).await.json()["unique_id"], "one_power");
    ear.on("homeassistant/sensor/one/state/config").await;
    sink.stop().await;
    let sink = Sink::start(&house, &lines(&broker, ""));
    assert_eq!(ear.on(power).await.json(), json!({ "migrate_discovery": true }));
    assert_eq!(
        ear.on(ONE).await.json()["cmps"]["power"]["unique_id"],
        "one_power"
    );
    assert_eq!(ear.on(power).await.payload, "");
    sink.stop().await;
}
