//! MQTT, from the device to the broker and back, with a real mosquitto.

use std::process::Command;
use std::time::Duration;

use busbar_zoo::{Evidence, Judge};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::broker::{Broker, Ear};
use crate::common::host::{Background, Host};
use crate::common::writes::{CURRENT_LIMIT, Known, LIMITS, RELAY, SETPOINT, config, setpoint_leave};
use crate::common::{list, text, until};

const SYSTEM: &str = "busbar/c0ffee_system_u100/state";

/// The lines for a broker, in front of those of a connection.
fn mqtt(url: &str, more: &str) -> String {
    format!("[mqtt]\nurl = \"{url}\"\nhome_assistant = false\n{more}\n")
}

/// A host that publishes, with this below `[connection.writes]`.
async fn host(known: &Known, broker: &Broker, writes: &str) -> Host {
    let config = config(&known.url, LIMITS, writes);
    let host = known
        .home
        .host_with(&format!("{}{config}", mqtt(&broker.url(), "")))
        .await;
    until("every device to be online", async || {
        let health = host.get("/healthz").await;
        (health["devices_online"] == 4).then_some(())
    })
    .await;
    host
}

/// The topic where an entity is set.
fn topic(entity: &str, what: &str) -> String {
    let (device, key) = entity.split_once('.').unwrap();
    format!("busbar/{device}/{key}/{what}")
}

/// Asks by MQTT, and waits for what became of it.
async fn ask(broker: &Broker, ear: &mut Ear, entity: &str, payload: &Value) -> Value {
    let payload = payload.to_string();
    broker
        .publish(&["-t", &topic(entity, "set"), "-m", &payload])
        .await;
    ear.on(&topic(entity, "result")).await.json()
}

#[tokio::test]
async fn what_devices_say_is_published_and_kill_9_leaves_the_will() {
    let (known, broker) = (Known::new().await, Broker::start().await);
    let mut ear = broker.listen(&["-t", "busbar/#"]).await;
    let host = host(&known, &broker, "").await;
    assert_eq!(ear.on("busbar/status").await.payload, "online");
    let state = ear.on(SYSTEM).await.json();
    let entities = host.get("/api/v1/entities?device=c0ffee_system_u100").await;
    for entity in list(&entities, "entities") {
        let key = text(entity, "key");
        let value = match entity["label"].as_str() {
            Some(label) => json!(label),
            None => entity["value"].clone(),
        };
        assert_eq!(state[key], value, "{key}: {state:#}");
    }
    assert_eq!(state["dc_battery_soc"], 77);
    let report = known.home.run(&["doctor", "--json"]).await.json();
    assert_eq!(report["sinks"][0]["state"], "up", "{report:#}");

    host.process.signal(Signal::KILL);
    assert_eq!(ear.on("busbar/status").await.payload, "offline");
}

#[tokio::test]
async fn an_orderly_end_says_goodbye_and_one_run_publishes_once() {
    let (known, broker) = (Known::new().await, Broker::start().await);
    let mut ear = broker.listen(&["-t", "busbar/#"]).await;
    let host = host(&known, &broker, "").await;
    ear.on(SYSTEM).await;
    host.stop().await;
    assert_eq!(ear.on("busbar/status").await.payload, "offline");

    let mut ear = broker.listen(&["-t", SYSTEM, "-R"]).await;
    known.home.run(&["run", "--once", "--json"]).await.json();
    assert_eq!(ear.next().await.json()["dc_battery_soc"], 77);
}

#[tokio::test]
async fn a_password_comes_from_the_environment_and_is_never_shown() {
    let broker = Broker::with(|dir, _| {
        let file = dir.join("users");
        let mut made = Command::new("mosquitto_passwd");
        let made = made
            .args(["-b", "-c"])
            .arg(&file)
            .args(["ann", "hunter2hunter2"])
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        format!("allow_anonymous false\npassword_file {}\n", file.display())
    })
    .await;
    let known = Known::new().await;
    let url = format!("mqtt://ann@127.0.0.1:{}", broker.port());
    let config = config(&known.url, LIMITS, "");
    let lines = format!("[web]\nlisten = \"127.0.0.1:0\"\n{}{config}", mqtt(&url, ""));
    known.home.write("busbar.toml", &lines);
    for (password, says) in [
        ("wrong-and-secret", "refuses the user"),
        ("hunter2hunter2", "connected to"),
    ] {
        let mut command = known.home.command(&["run", "-v"]);
        command.env("BUSBAR_MQTT_PASSWORD", password);
        let process = Background::of(command);
        process.logs(says).await;
        process.signal(Signal::TERM);
        let run = process.end().await;
        assert_eq!(run.code(), 0, "{run:?}");
        assert!(
            !run.stderr.contains(password) && !run.stdout.contains(password),
            "{run:?}"
        );
    }
}

#[tokio::test]
async fn a_broker_that_stands_still_or_dies_delays_no_poll() {
    let (known, mut broker) = (Known::new().await, Broker::start().await);
    let mut ear = broker.listen(&["-t", SYSTEM]).await;
    let host = host(&known, &broker, "").await;
    ear.next().await;
    let polls = || known.running.stats("gx").unwrap().requests;
    // As long as twenty rounds of polling take; how many requests a round has is measured first.
    let rounds = async |requests: u64| {
        let (began, before) = (Instant::now(), polls());
        until("polls to go on", async || {
            (polls() - before >= requests).then_some(())
        })
        .await;
        began.elapsed()
    };
    let usual = rounds(100).await;
    broker.freeze();
    let frozen = rounds(100).await;
    broker.thaw();
    broker.kill().await;
    let gone = rounds(100).await;
    let most = usual.mul_f64(1.5) + Duration::from_secs(1);
    assert!(
        frozen < most && gone < most,
        "{usual:?}, standing still {frozen:?}, gone {gone:?}"
    );
    let report = until("the loss to be seen", async || {
        let report = known.home.run(&["doctor", "--json"]).await.document();
        (report["sinks"][0]["state"] == "down").then_some(report)
    })
    .await;
    assert_eq!(report["healthy"], false);
    broker.restart().await;
    let mut ear = broker.listen(&["-t", "busbar/#"]).await;
    assert_eq!(ear.on(SYSTEM).await.json()["dc_battery_soc"], 77);
    host.stop().await;
}

#[tokio::test]
async fn w1_at_level_0_nothing_is_written_whatever_is_published() {
    let (known, broker) = (Known::new().await, Broker::start().await);
    let host = host(
        &known,
        &broker,
        "level = 0\nallow = [\"victron/gx-hub4:2716\", \"victron/gx-system:806\"]",
    )
    .await;
    let mut ear = broker.listen(&["-t", "busbar/+/+/result"]).await;
    for (entity, payload) in [
        (SETPOINT, json!(-500)),
        (
            SETPOINT,
            json!({ "value": -501, "token": "00", "hold_ms": 60_000 }),
        ),
        (RELAY, json!("on")),
        (CURRENT_LIMIT, json!({ "value": 10, "dry_run": true })),
    ] {
        let result = ask(&broker, &mut ear, entity, &payload).await;
        assert_eq!(result["outcome"], "refused", "{result:#}");
        assert_eq!(result["code"], "level", "{result:#}");
    }
    host.stop().await;
    Judge::strict().acquit(&Evidence::from(&known.running.stats("gx").unwrap()));
    assert!(known.home.audit().await.is_empty());
}

#[tokio::test]
async fn commands_go_the_guarded_way_and_a_risky_one_asks_twice() {
    let (known, broker) = (Known::new().await, Broker::start().await);
    let host = host(&known, &broker, "level = 2\nallow = [\"victron/gx-hub4:2716\"]").await;
    let mut ear = broker.listen(&["-t", "busbar/+/+/result"]).await;

    let dry = ask(
        &broker,
        &mut ear,
        SETPOINT,
        &json!({ "value": -500, "dry_run": true }),
    )
    .await;
    assert_eq!(
        (&dry["outcome"], &dry["words"]),
        (&json!("dry_run"), &json!([0xFFFF, 0xFE0C])),
        "{dry:#}"
    );
    let much = ask(&broker, &mut ear, SETPOINT, &json!(20_000)).await;
    assert_eq!(
        (&much["outcome"], &much["code"]),
        (&json!("refused"), &json!("bounds")),
        "{much:#}"
    );
    let other = ask(&broker, &mut ear, CURRENT_LIMIT, &json!(10)).await;
    assert_eq!(other["outcome"], "refused", "{other:#}");
    assert!(known.frames().is_empty());

    let asked = ask(
        &broker,
        &mut ear,
        SETPOINT,
        &json!({ "value": -500, "hold_ms": 600_000 }),
    )
    .await;
    assert_eq!(asked["outcome"], "confirm", "{asked:#}");
    let token = asked["token"].as_str().unwrap();
    assert!(known.frames().is_empty());
    let confirmed = json!({ "value": -500, "hold_ms": 600_000, "token": token });
    let done = ask(&broker, &mut ear, SETPOINT, &confirmed).await;
    assert_eq!(done["outcome"], "applied", "{done:#}");
    assert_eq!(known.frames()[0], (100, 16, 2716, vec![0xFFFF, 0xFE0C]));
    let rows = known.home.audit().await;
    let intent = rows.iter().find(|row| row["kind"] == "intent").unwrap();
    assert_eq!(intent["through"], "MQTT", "{intent:#}");
    assert!(text(intent, "who").contains("127.0.0.1"), "{intent:#}");
    host.stop().await;
    known.acquit([setpoint_leave()]).await;
}

#[tokio::test]
async fn w23_retained_and_repeated_commands_are_not_carried_out() {
    let (known, broker) = (Known::new().await, Broker::start().await);
    let set = topic(RELAY, "set");
    broker.publish(&["-r", "-t", &set, "-m", "1"]).await;
    let mut ear = broker.listen(&["-t", "busbar/+/+/result"]).await;
    let host = host(&known, &broker, "level = 3\nallow = [\"victron/gx-system:806\"]").await;
    // Kept since before the host came, and sent to be kept while it is there.
    broker.publish(&["-r", "-t", &set, "-m", "0"]).await;
    let kept = ear.until(|m| m.topic == topic(RELAY, "result")).await.json();
    assert_eq!(kept["outcome"], "refused", "{kept:#}");
    assert!(text(&kept, "reason").contains("retained"), "{kept:#}");
    assert!(known.frames().is_empty());
    // The same one three times in a row is one; the next one is another.
    for _ in 0..3 {
        broker
            .publish(&["-t", &set, "-m", r#"{"value": 1, "dry_run": true}"#])
            .await;
    }
    let first = ear.on(&topic(RELAY, "result")).await.json();
    assert_eq!(first["outcome"], "dry_run", "{first:#}");
    let next = ask(&broker, &mut ear, RELAY, &json!({ "value": 0, "dry_run": true })).await;
    assert_eq!(next["requested"], 0, "{next:#}");
    host.stop().await;
    assert!(known.frames().is_empty());
}
