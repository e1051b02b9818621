//! What is asked for on `set` topics.

use serde_json::json;

use crate::broker::Broker;
use crate::house::House;
use crate::sink::{Sink, VERSIONS};

const SET: &str = "busbar/one/power/set";
const RESULT: &str = "busbar/one/power/result";

#[tokio::test]
async fn a_command_goes_through_the_door_and_its_result_comes_back() {
    for version in VERSIONS {
        let broker = Broker::start().await;
        let (house, _devices) = House::with(&["one"]);
        let mut ear = broker.listen(&["-t", "busbar/#"]).await;
        let sink = Sink::start(&house, &format!("url = \"{}\"\n{version}", broker.url()));
        ear.on("busbar/one/availability").await;
        broker.publish(&["-t", SET, "-m", "500"]).await;
        let result = ear.on(RESULT).await;
        assert_eq!(result.json()["outcome"], "applied");
        assert_eq!(result.json()["requested"], 500);
        assert!(!result.retained);
        let written = r#"{"value": "Keep", "token": "t", "dry_run": true, "hold_ms": 1000}"#;
        broker.publish(&["-t", SET, "-m", written]).await;
        assert_eq!(ear.on(RESULT).await.json()["requested"], "Keep");
        let asked = house.door.0.lock().unwrap().clone();
        assert_eq!(asked.len(), 2);
        assert_eq!((asked[0].value.clone(), asked[0].through), (json!(500), "MQTT"));
        assert_eq!(asked[0].who, "user nobody on 127.0.0.1");
        assert_eq!(asked[1].token.as_deref(), Some("t"));
        assert_eq!((asked[1].dry_run, asked[1].hold_ms), (true, Some(1000)));
        sink.stop().await;
        let mut late = broker.listen(&["-t", "busbar/#"]).await;
        late.until(|m| {
            assert_ne!(m.topic, RESULT, "results are not retained");
            m.topic == "busbar/status"
        })
        .await;
    }
}

#[tokio::test]
async fn w23_retained_and_repeated_commands_are_ignored() {
    for version in VERSIONS {
        let broker = Broker::start().await;
        let (house, _devices) = House::with(&["one"]);
        // It lies there since before the host came.
        broker.publish(&["-r", "-t", SET, "-m", "500"]).await;
        let mut ear = broker.listen(&["-t", "busbar/+/+/result"]).await;
        let sink = Sink::start(&house, &format!("url = \"{}\"\n{version}", broker.url()));
        let result = ear.next().await.json();
        assert_eq!(result["outcome"], "refused");
        assert!(
            result["reason"].as_str().unwrap().contains("retained"),
            "{result}"
        );
        assert_eq!(house.door.0.lock().unwrap().len(), 0);
        // The same one twice is one.
        broker.publish(&["-t", SET, "-m", "600"]).await;
        broker.publish(&["-t", SET, "-m", "600"]).await;
        broker.publish(&["-t", SET, "-m", "700"]).await;
        ear.until(|m| m.json()["requested"] == 700).await;
        let asked: Vec<_> = house
            .door
            .0
            .lock()
            .unwrap()
            .iter()
            .map(|c| c.value.clone())
            .collect();
        assert_eq!(asked, [json!(600), json!(700)]);
        sink.stop().await;
    }
}

#[tokio::test]
async fn a_message_that_is_no_command_is_answered_where_it_can_be() {
    let broker = Broker::start().await;
    let (house, _devices) = House::with(&["one"]);
    let mut ear = broker.listen(&["-t", "busbar/#"]).await;
    let sink = Sink::start(&house, &format!("url = \"{}\"", broker.url()));
    ear.on("busbar/one/availability").await;
    // Nobody's.
    broker.publish(&["-t", "busbar/other/power/set", "-m", "1"]).await;
    broker.publish(&["-t", "busbar/one/other/set", "-m", "1"]).await;
    // Nothing.
    broker.publish(&["-t", SET, "-n"]).await;
    let long = "9".repeat(5000);
    for nonsense in [r#"{"value": 1, "force": true}"#, r#"{"value": {}}"#, &long] {
        broker.publish(&["-t", SET, "-m", nonsense]).await;
        let result = ear.until(|m| m.topic.ends_with("/result")).await;
        assert_eq!(result.topic, RESULT);
        assert_eq!(result.json()["outcome"], "refused", "{nonsense}");
    }
    assert_eq!(house.door.0.lock().unwrap().len(), 0);
    sink.stop().await;
}
