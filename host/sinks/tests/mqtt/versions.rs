//! Brokers that know only MQTT 3.1.1, in the ways in which they say so. Real ones are hard to come by, so these are
//! played, as far as the answer to the greeting.

use std::net::Ipv4Addr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::broker::PATIENCE;
use crate::house::House;
use crate::sink::Sink;

/// A greeting: the number of its protocol.
async fn greeting(stream: &mut TcpStream) -> u8 {
    let mut head = [0; 2];
    stream.read_exact(&mut head).await.unwrap();
    assert_eq!(head[0], 0x10, "a greeting");
    assert!(head[1] < 0x80, "a short one");
    let mut rest = vec![0; usize::from(head[1])];
    stream.read_exact(&mut rest).await.unwrap();
    assert_eq!(&rest[..6], b"\x00\x04MQTT");
    rest[6]
}

#[tokio::test]
async fn a_broker_that_does_not_know_mqtt_5_is_spoken_to_in_3_1_1() {
    // Refused in the words of 5, in those of 3.1.1, and without a word.
    for answer in [
        &[0x20, 0x03, 0x00, 0x84, 0x00][..],
        &[0x20, 0x02, 0x00, 0x01],
        &[],
    ] {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (house, _devices) = House::with(&["one"]);
        let sink = Sink::start(&house, &format!("url = \"mqtt://127.0.0.1:{port}\""));
        let (mut stream, _) = listener.accept().await.unwrap();
        assert_eq!(greeting(&mut stream).await, 5);
        stream.write_all(answer).await.unwrap();
        drop(stream);
        let (mut stream, _) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
        assert_eq!(greeting(&mut stream).await, 4, "after {answer:02x?}");
        drop((stream, listener));
        sink.stop().await;
    }
}

#[tokio::test]
async fn the_version_that_was_asked_for_stays() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (house, _devices) = House::with(&["one"]);
    let sink = Sink::start(&house, &format!("url = \"mqtt://127.0.0.1:{port}\"\nversion = 5"));
    for _ in 0..2 {
        let (mut stream, _) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
        assert_eq!(greeting(&mut stream).await, 5);
        stream.write_all(&[0x20, 0x03, 0x00, 0x84, 0x00]).await.unwrap();
    }
    let cause = sink.cause().await;
    assert!(cause.contains("does not speak MQTT 5"), "{cause}");
    sink.stop().await;
}
