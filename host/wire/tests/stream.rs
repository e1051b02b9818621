//! Meters that speak by themselves: what is handed on, and what becomes of a connection that ends or is silent.

// Helpers of tests fail a test as its body does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex};

use busbar_wire::{
    Connect, ConnectError, Endpoint, Link, LinkState, Listener, Options, Piece, Priority, ReadPlan, Stream,
    StreamOptions, WireError,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::TcpListener;
use tokio::time::Instant;

/// Each attempt to connect gets the next stream; where there is none, it is refused.
#[derive(Clone, Default)]
struct Streams(Arc<Mutex<VecDeque<DuplexStream>>>);

impl Streams {
    fn add(&self) -> DuplexStream {
        let (near, far) = duplex(1024 * 1024);
        self.0.lock().unwrap().push_back(near);
        far
    }
}

impl Connect for Streams {
    type Stream = DuplexStream;

    async fn connect(&mut self) -> Result<DuplexStream, ConnectError> {
        let next = self.0.lock().unwrap().pop_front();
        next.ok_or_else(|| ConnectError::Failed(io::ErrorKind::ConnectionRefused.into()))
    }
}

fn open(streams: &Streams) -> (Stream, Listener) {
    let stream = Stream::over("p1+tcp://meter:23", StreamOptions::default(), streams.clone());
    let listener = stream.listen();
    (stream, listener)
}

async fn bytes(listener: &mut Listener) -> (Vec<u8>, bool) {
    match listener.next().await {
        Some(Piece::Bytes(chunk)) => {
            listener.stream().good(&chunk);
            (chunk.bytes.to_vec(), chunk.first)
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn bytes_are_handed_on_as_they_came_to_everybody() {
    let streams = Streams::default();
    let mut meter = streams.add();
    let (stream, mut one) = open(&streams);
    let mut two = stream.listen();
    for _ in 0..3 {
        meter.write_all(b"/XXX5\r\n").await.unwrap();
        meter.write_all(b"!\r\n\xFF\xFB\x00").await.unwrap();
        assert_eq!(bytes(&mut one).await.0, b"/XXX5\r\n!\r\n\xFF\xFB\x00");
    }
    let firsts: Vec<bool> = [
        bytes(&mut two).await,
        bytes(&mut two).await,
        bytes(&mut two).await,
    ]
    .map(|(_, first)| first)
    .into();
    assert_eq!(firsts, [true, false, false]);
    stream.close().await;
    assert!(one.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn commands_of_a_telnet_gateway_are_taken_out() {
    let streams = Streams::default();
    let mut meter = streams.add();
    let (_stream, mut listener) = open(&streams);
    meter.write_all(b"\xFF\xFB\x01\xFF\xFB").await.unwrap();
    tokio::task::yield_now().await;
    meter.write_all(b"\x03/XXX5\xFF\xFF").await.unwrap();
    assert_eq!(bytes(&mut listener).await, (b"/XXX5\xFF".to_vec(), true));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_ends_is_made_anew_and_what_came_is_handed_on() {
    let streams = Streams::default();
    let mut meter = streams.add();
    let (stream, mut listener) = open(&streams);
    meter.write_all(b"whole").await.unwrap();
    assert_eq!(bytes(&mut listener).await, (b"whole".to_vec(), true));
    let mut state = stream.state();
    state.wait_for(|state| *state == LinkState::Up).await.unwrap();
    meter.write_all(b"half").await.unwrap();
    drop(meter);
    assert_eq!(bytes(&mut listener).await, (b"half".to_vec(), false));
    let down = |state: &LinkState| {
        matches!(
            state,
            LinkState::Down {
                cause: WireError::ConnectionLost { .. },
                ..
            }
        )
    };
    state.wait_for(down).await.unwrap();
    let refused = |state: &LinkState| {
        matches!(
            state,
            LinkState::Down {
                cause: WireError::Refused { .. },
                ..
            }
        )
    };
    state.wait_for(refused).await.unwrap();
    let mut meter = streams.add();
    meter.write_all(b"again").await.unwrap();
    assert_eq!(bytes(&mut listener).await, (b"again".to_vec(), true));
    state.wait_for(|state| *state == LinkState::Up).await.unwrap();
    let stats = stream.stats();
    assert_eq!((stats.connects, stats.lost, stats.bytes), (2, 1, 14));
    assert!(stats.failed_connects >= 1);
}

#[tokio::test(start_paused = true)]
async fn thirty_silent_seconds_are_a_dead_connection() {
    let streams = Streams::default();
    let mut meter = streams.add();
    let (stream, mut listener) = open(&streams);
    meter.write_all(b"x").await.unwrap();
    bytes(&mut listener).await;
    let began = Instant::now();
    let mut state = stream.state();
    let quiet = |state: &LinkState| {
        matches!(
            state,
            LinkState::Down {
                cause: WireError::Quiet { .. },
                ..
            }
        )
    };
    let told = state.wait_for(quiet).await.unwrap().clone();
    assert!(
        (29..=31).contains(&began.elapsed().as_secs()),
        "{:?}",
        began.elapsed()
    );
    let LinkState::Down { cause, .. } = told else {
        panic!()
    };
    assert!(
        cause.to_string().contains("nothing was said for 30.0 s"),
        "{cause}"
    );
    assert!(cause.hint().contains("gateway"), "{}", cause.hint());
    let mut meter = streams.add();
    meter.write_all(b"y").await.unwrap();
    assert_eq!(bytes(&mut listener).await, (b"y".to_vec(), true));
}

#[tokio::test(start_paused = true)]
async fn who_is_slow_loses_the_oldest_whole_chunks_and_is_told_how_many() {
    let streams = Streams::default();
    let mut meter = streams.add();
    let (stream, mut slow) = open(&streams);
    let mut quick = stream.listen();
    for n in 0..100u8 {
        meter.write_all(&[n; 4096]).await.unwrap();
        assert_eq!(bytes(&mut quick).await.0, [n; 4096]);
    }
    let lost = match slow.next().await {
        Some(Piece::Lost(lost)) => lost,
        other => panic!("{other:?}"),
    };
    assert_eq!(lost, 100 - 64);
    assert_eq!(bytes(&mut slow).await.0, [36; 4096]);
}

#[tokio::test]
async fn a_telegram_is_fetched_by_http_and_a_refusal_is_told() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = server.local_addr().unwrap().port();
    let endpoint: Endpoint = format!("p1+http://127.0.0.1:{port}").parse().unwrap();
    let stream = Stream::open(
        endpoint,
        StreamOptions {
            quick: true,
            ..StreamOptions::default()
        },
    )
    .unwrap();
    let mut listener = stream.listen();
    let answers = [
        "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n/XXX5\r\n\r\n!\r\n".to_owned(),
    ];
    let mut asked = Vec::new();
    let serving = async {
        for answer in answers {
            let (mut client, _) = server.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(client.read_u8().await.unwrap());
            }
            asked.push(String::from_utf8(request).unwrap());
            client.write_all(answer.as_bytes()).await.unwrap();
        }
    };
    let (piece, ()) = tokio::join!(listener.next(), serving);
    let Some(Piece::Bytes(chunk)) = piece else {
        panic!("{piece:?}")
    };
    assert!(chunk.whole);
    assert_eq!(&*chunk.bytes, b"/XXX5\r\n\r\n!\r\n");
    assert!(
        asked[0].starts_with("GET /api/v1/telegram HTTP/1.1\r\n"),
        "{}",
        asked[0]
    );
    let LinkState::Down { cause, .. } = stream.state().borrow().clone() else {
        panic!("nobody has called it good yet")
    };
    assert!(
        cause.to_string().contains("403") && cause.hint().contains("local API"),
        "{cause}"
    );
    stream.good(&chunk);
    stream
        .state()
        .wait_for(|state| *state == LinkState::Up)
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn such_a_meter_cannot_be_asked_and_a_modbus_device_not_be_heard() {
    let link = Link::open("p1+tcp://127.0.0.1:9".parse().unwrap(), Options::one_shot());
    let plan = ReadPlan {
        unit: 1,
        span: busbar_ledger::span::Span::holding(0, 1),
        priority: Priority::Scan,
    };
    let error = link.read(plan).await.unwrap_err();
    assert_eq!(error.code(), "only_heard", "{error}");
    let modbus: Endpoint = "modbus+tcp://127.0.0.1:9".parse().unwrap();
    assert!(Stream::open(modbus, StreamOptions::default()).is_err());
}
