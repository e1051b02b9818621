//! A simulated device answers on every wire, and as that wire wants it.

#![allow(clippy::unwrap_used, reason = "what cannot be set up fails the test")]

use std::time::{Duration, Instant};

use busbar_zoo::simulate::Running;
use busbar_zoo::site;
use tokio::net::UdpSocket;
use tokio::time::timeout;

const METER: &str = "unit = [{ unit = 7, ledger = \"generic/demo-meter\", values = { power = 1234.0 } }]\n";
/// Long enough for an answer on loopback that is not going to come.
const A_WHILE: Duration = Duration::from_millis(150);
const POWER: [u8; 12] = [0, 9, 0, 0, 0, 6, 7, 3, 0x01, 0x00, 0, 1];

fn head(name: &str, listen: &str) -> String {
    format!("[[device]]\nname = \"{name}\"\nkind = \"ledger\"\nlisten = \"{listen}\"\n")
}

async fn over_udp() -> (Running, UdpSocket) {
    let running = site(&format!("{}{METER}", head("meter", "modbus+udp://127.0.0.1:0"))).await;
    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.connect(running.address("meter").unwrap()).await.unwrap();
    (running, client)
}

async fn receive(client: &UdpSocket) -> Option<Vec<u8>> {
    let mut buffer = [0; 512];
    let length = timeout(A_WHILE, client.recv(&mut buffer)).await.ok()?.unwrap();
    Some(buffer[..length].to_vec())
}

#[tokio::test]
async fn one_datagram_in_one_answer_out() {
    let (running, client) = over_udp().await;
    assert!(
        running
            .url("meter")
            .unwrap()
            .starts_with("modbus+udp://127.0.0.1:")
    );
    client.send(&POWER).await.unwrap();
    assert_eq!(
        receive(&client).await.unwrap(),
        [0, 9, 0, 0, 0, 5, 7, 3, 2, 0xB5, 0xBA]
    );
    // Half a request, two in one, a wrong protocol: no answer, and no harm.
    for datagram in [
        &POWER[..11],
        &POWER.repeat(2),
        &[0, 9, 0, 1, 0, 6, 7, 3, 1, 0, 0, 1],
        &[0; 400],
        &[],
    ] {
        client.send(datagram).await.unwrap();
    }
    assert_eq!(receive(&client).await, None);
    client.send(&POWER).await.unwrap();
    assert!(receive(&client).await.is_some());
    assert_eq!(running.stats("meter").unwrap().requests, 2);
}

#[tokio::test]
async fn datagrams_are_answered_at_once_after_a_delay_and_in_another_order() {
    let (running, client) = over_udp().await;
    running.change("meter", |options| {
        options.delay = Duration::from_millis(60);
        options.shuffle = true;
    });
    let began = Instant::now();
    for id in 0..40 {
        let mut request = POWER;
        request[1] = id;
        client.send(&request).await.unwrap();
    }
    let mut ids = Vec::new();
    for _ in 0..40 {
        ids.push(receive(&client).await.unwrap()[1]);
    }
    let took = began.elapsed();
    assert!(
        took >= Duration::from_millis(60) && took < Duration::from_millis(1000),
        "{took:?}"
    );
    let asked: Vec<u8> = (0..40).collect();
    assert_ne!(ids, asked);
    ids.sort_unstable();
    assert_eq!(ids, asked);
}
