//! Sparkplug B with a real mosquitto and a host application that is not Busbar's own.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "what cannot be set up fails the test, loudly"
)]

#[path = "../common/broker.rs"]
mod broker;
#[path = "../common/house.rs"]
mod house;
#[path = "../peers/mod.rs"]
mod peers;

use broker::{Broker, PATIENCE};
use busbar_sinks::bus::Availability;
use busbar_sinks::sinks::{Config, Sinks};
use house::House;
use peers::Peer;
use serde_json::{Value, json};

async fn host(broker: &Broker) -> Option<Peer> {
    let port = broker.port().to_string();
    let mut peer = Peer::start("sparkplug.py", "pysparkplug, paho.mqtt.client", &[&port, "house"]).await?;
    assert_eq!(peer.says().await["kind"], "ready");
    Some(peer)
}

fn config(broker: &Broker, more: &str) -> Config {
    let text = format!(
        "group = \"house\"\nnode = \"n1\"\n{more}\n[broker]\nurl = \"{}\"",
        broker.url()
    );
    let config = Config {
        sparkplug: Some(toml::from_str(&text).unwrap()),
        ..Config::default()
    };
    config.check().unwrap();
    config
}

/// The next message of this kind; every message of the node before it is counted without a gap.
async fn next(host: &mut Peer, kind: &str, seq: &mut u64) -> Value {
    loop {
        let said = host.says().await;
        assert_eq!(said.get("fault"), None, "{said}");
        assert_eq!(said["retain"], false, "{said}");
        if let Some(number) = said["seq"].as_u64() {
            let expected = if said["kind"] == "NBIRTH" {
                0
            } else {
                (*seq + 1) % 256
            };
            assert_eq!(number, expected, "{said}");
            *seq = number;
        }
        if said["kind"] == kind {
            return said;
        }
    }
}

#[tokio::test]
async fn a_host_application_sees_births_data_and_deaths() {
    let broker = Broker::start().await;
    let Some(mut peer) = host(&broker).await else {
        return;
    };
    let (house, devices) = House::with(&["one", "two"]);
    let sinks = Sinks::start(&config(&broker, ""), &house.site());
    let mut seq = 0;
    let born = next(&mut peer, "NBIRTH", &mut seq).await;
    assert_eq!(
        (&born["of"], &born["metrics"]["Node Control/Rebirth"]["value"]),
        (&json!("n1"), &json!(false))
    );
    let first = born["metrics"]["bdSeq"]["value"].clone();
    let one = next(&mut peer, "DBIRTH", &mut seq).await;
    assert_eq!(one["of"], "n1/one");
    assert_eq!(
        one["metrics"]["power"],
        json!({"value": 100.0, "type": "DOUBLE", "alias": 100, "null": false})
    );
    assert_eq!(
        one["metrics"]["state"],
        json!({"value": null, "type": "INT64", "alias": 102, "null": true})
    );
    assert_eq!(next(&mut peer, "DBIRTH", &mut seq).await["of"], "n1/two");

    // Data goes by its alias; what nobody could tell from before is not said again.
    house.read(&devices[0], 0, 100.2);
    house.read(&devices[0], 2, 1.0);
    let data = next(&mut peer, "DDATA", &mut seq).await;
    assert_eq!(
        data["metrics"],
        json!({"state": {"value": 1, "type": "INT64", "alias": 102, "null": false}})
    );

    house.availability(
        &devices[1],
        Availability::Offline("it does not answer".to_owned()),
    );
    assert_eq!(next(&mut peer, "DDEATH", &mut seq).await["of"], "n1/two");
    house.availability(&devices[1], Availability::Online);
    assert_eq!(next(&mut peer, "DBIRTH", &mut seq).await["of"], "n1/two");

    peer.tell("ncmd n1").await;
    let again = next(&mut peer, "NBIRTH", &mut seq).await;
    assert_eq!(again["metrics"]["bdSeq"]["value"], first);
    assert_eq!(
        next(&mut peer, "DBIRTH", &mut seq).await["metrics"]["power"]["alias"],
        100
    );

    sinks.stop().await;
    assert_eq!(next(&mut peer, "NDEATH", &mut seq).await["bd_seq"], first);
}

#[tokio::test]
async fn the_broker_tells_of_a_death_that_the_node_could_not_tell() {
    let broker = Broker::start().await;
    let Some(mut peer) = host(&broker).await else {
        return;
    };
    let (house, _devices) = House::with(&["one"]);
    let config = config(&broker, "");
    let site = house.site();
    // A runtime that ends takes the connection with it, without a goodbye.
    let (born, is_born) = std::sync::mpsc::channel::<()>();
    let host = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .unwrap();
        let sinks = runtime.block_on(async { Sinks::start(&config, &site) });
        is_born.recv().unwrap();
        runtime.shutdown_background();
        drop(sinks);
    });
    let mut seq = 0;
    let birth = next(&mut peer, "NBIRTH", &mut seq).await;
    born.send(()).unwrap();
    let death = next(&mut peer, "NDEATH", &mut seq).await;
    assert_eq!(death["bd_seq"], birth["metrics"]["bdSeq"]["value"]);
    host.join().unwrap();
}

#[tokio::test]
async fn orders_go_through_the_door() {
    let broker = Broker::start().await;
    let Some(mut peer) = host(&broker).await else {
        return;
    };
    let (house, _devices) = House::with(&["one"]);
    let sinks = Sinks::start(&config(&broker, ""), &house.site());
    let mut seq = 0;
    next(&mut peer, "DBIRTH", &mut seq).await;
    // Whatever is nothing here is passed over.
    for line in [
        "dcmd n1 nobody power 1",
        "dcmd n1 one nothing 1",
        "dcmd n1 one power -42.5",
    ] {
        peer.tell(line).await;
    }
    let asked = async {
        loop {
            if let Some(command) = house.door.0.lock().unwrap().first().cloned() {
                return command;
            }
            tokio::task::yield_now().await;
        }
    };
    let command = tokio::time::timeout(PATIENCE, asked).await.unwrap();
    assert_eq!((command.device.as_str(), command.key.as_str()), ("one", "power"));
    assert_eq!((command.value, command.through), (json!(-42.5), "Sparkplug B"));
    sinks.stop().await;
    assert_eq!(house.door.0.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn without_its_primary_host_nothing_is_published() {
    let broker = Broker::start().await;
    let Some(mut peer) = host(&broker).await else {
        return;
    };
    let (house, _devices) = House::with(&["one"]);
    peer.tell("state scada false").await;
    let sinks = Sinks::start(&config(&broker, "primary_host = \"scada\""), &house.site());
    let mut seq = 0;
    peer.tell("state scada true").await;
    // The birth is the first that is heard, and comes only now.
    let first = next(&mut peer, "NBIRTH", &mut seq).await;
    next(&mut peer, "DBIRTH", &mut seq).await;
    peer.tell("state scada false").await;
    let death = next(&mut peer, "NDEATH", &mut seq).await;
    assert_eq!(death["bd_seq"], first["metrics"]["bdSeq"]["value"]);
    peer.tell("state scada true").await;
    next(&mut peer, "NBIRTH", &mut seq).await;
    sinks.stop().await;
}
