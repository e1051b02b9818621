//! Modbus/UDP over real sockets: a meter is read, strangers are not heard, and what is wrong has its own clear error.

// Helpers of tests fail a test as its body does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod common;

use std::net::SocketAddr;
use std::time::Duration;

use busbar_wire::{Link, LinkState, Options, WireError};
use common::{Asked, read, words};
use tokio::net::UdpSocket;

async fn socket() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").await.unwrap()
}

async fn asked(socket: &UdpSocket) -> (Asked, SocketAddr) {
    let mut buffer = [0; 300];
    let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
    (Asked::parse(&buffer[..length]), from)
}

fn link(host: &str, socket: &UdpSocket, options: Options) -> Link {
    let port = socket.local_addr().unwrap().port();
    Link::open(format!("modbus+udp://{host}:{port}").parse().unwrap(), options)
}

#[tokio::test]
async fn a_meter_is_read() {
    let meter = socket().await;
    // A name that may well resolve to IPv6 first, where this meter does not answer.
    let link = link("localhost", &meter, Options::default());
    tokio::spawn(async move {
        loop {
            let (asked, from) = asked(&meter).await;
            meter.send_to(&asked.answer(), from).await.unwrap();
        }
    });
    assert_eq!(read(&link, 1, 0x3032, 90).await.unwrap(), words(1, 0x3032, 90));
    assert_eq!(*link.state().borrow(), LinkState::Up);
    let stats = link.stats();
    assert_eq!((stats.requests, stats.foreign, stats.skipped), (1, 0, 0));
    link.close().await;
}

/// Fault 27: an answer that is right in everything, from a port that was not asked.
#[tokio::test]
async fn fault_27_a_strangers_answer_is_not_heard() {
    let (meter, stranger) = (socket().await, socket().await);
    let link = link("127.0.0.1", &meter, Options::default());
    let script = async {
        let (asked, from) = asked(&meter).await;
        let lie = Asked {
            at: asked.at + 1,
            ..asked
        }
        .answer();
        stranger.send_to(&lie, from).await.unwrap();
        meter.send_to(&asked.answer(), from).await.unwrap();
    };
    let (result, ()) = tokio::join!(read(&link, 1, 40, 2), script);
    assert_eq!(result.unwrap(), words(1, 40, 2));
    assert_eq!(link.stats().answers, 1);
}

/// Fault 28: nobody listens on the port, and then somebody does.
#[tokio::test]
async fn fault_28_a_closed_port_is_refused() {
    let meter = socket().await;
    let address = meter.local_addr().unwrap();
    let options = Options {
        timeout: Some(Duration::from_secs(5)),
        ..Options::default()
    };
    let link = link("127.0.0.1", &meter, options);
    drop(meter);
    let error = read(&link, 1, 0, 1).await.unwrap_err();
    assert_eq!(error.code(), "refused", "{error}");
    assert_eq!(read(&link, 1, 0, 1).await.unwrap_err().code(), "refused");
    assert_eq!(link.stats().requests, 1, "nothing is sent while the link is down");

    let meter = UdpSocket::bind(address).await.unwrap();
    let mut state = link.state();
    tokio::spawn(async move {
        loop {
            let (asked, from) = asked(&meter).await;
            meter.send_to(&asked.answer(), from).await.unwrap();
        }
    });
    let back = async {
        while let Err(WireError::Down { retry_in, .. }) = read(&link, 1, 0, 1).await {
            // Until it is due, or something else becomes known.
            let _ = tokio::time::timeout(retry_in, state.changed()).await;
        }
        assert_eq!(*state.borrow(), LinkState::Up);
    };
    tokio::time::timeout(Duration::from_secs(35), back).await.unwrap();
}

#[tokio::test]
async fn a_one_shot_link_says_that_a_closed_port_is_refused() {
    let meter = socket().await;
    let link = link("127.0.0.1", &meter, Options::one_shot());
    drop(meter);
    let error = read(&link, 1, 0, 1).await.unwrap_err();
    assert!(matches!(error, WireError::Refused { .. }), "{error}");
}

#[tokio::test]
async fn an_unknown_host_is_told() {
    // A label beyond 63 letters is refused by the resolver itself, so the test asks no name server.
    let url = format!("modbus+udp://{}.invalid", "a".repeat(64));
    let link = Link::open(url.parse().unwrap(), Options::one_shot());
    let error = read(&link, 1, 0, 1).await.unwrap_err();
    assert_eq!(error.code(), "unknown_host", "{error}");
}
