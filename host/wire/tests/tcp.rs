//! The same over real sockets: each wrong host has its own clear error, and a right one is read.

// Helpers of tests fail a test as its body does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod common;

use std::future::Future;
use std::time::Duration;

use busbar_wire::{EngineClient, Link, Options, Priority, WireError};
use common::{frame, read, words};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_modbus::client::{Client, Context, Reader, Writer};
use tokio_modbus::slave::{Slave, SlaveContext};

/// A link to a server on a port of its own.
async fn server<F>(options: Options, script: impl Fn(TcpStream) -> F + Send + 'static) -> Link
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(script(stream));
        }
    });
    Link::open(format!("modbus+tcp://127.0.0.1:{port}").parse().unwrap(), options)
}

async fn device(mut stream: TcpStream) {
    let mut bytes = [0; 12];
    while stream.read_exact(&mut bytes).await.is_ok() {
        let word = |i: usize| u16::from_be_bytes([bytes[i], bytes[i + 1]]);
        let (unit, function, at, count) = (bytes[6], bytes[7], word(8), word(10));
        let data: Vec<u8> = match function {
            1 | 2 => vec![0b0101_0101; usize::from(count.div_ceil(8))],
            _ => words(unit, at, count)
                .iter()
                .flat_map(|word| word.to_be_bytes())
                .collect(),
        };
        let pdu = [vec![function, data.len() as u8], data].concat();
        stream.write_all(&frame(word(0), unit, &pdu)).await.unwrap();
    }
}

fn quick() -> Options {
    Options {
        timeout: Some(Duration::from_millis(100)),
        ..Options::one_shot()
    }
}

#[tokio::test]
async fn a_device_is_read() {
    let link = server(Options::default(), device).await;
    assert_eq!(read(&link, 7, 800, 125).await.unwrap(), words(7, 800, 125));
    assert!(link.stats().latency.is_some());
    link.close().await;
}

#[tokio::test]
async fn fault_1_a_closed_port_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("modbus+tcp://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = read(&Link::open(url.parse().unwrap(), quick()), 1, 0, 1)
        .await
        .unwrap_err();
    assert_eq!(error, WireError::Refused { endpoint: url.into() });
}

#[tokio::test]
async fn an_unknown_host_is_told() {
    // A label beyond 63 letters is refused by the resolver itself, so the test asks no name server.
    let url = format!("modbus+tcp://{}.invalid", "a".repeat(64));
    let link = Link::open(url.parse().unwrap(), quick());
    let error = read(&link, 1, 0, 1).await.unwrap_err();
    assert_eq!(error.code(), "unknown_host", "{error}");
}

#[tokio::test]
async fn fault_9_accepting_and_closing_is_a_lost_connection() {
    let link = server(quick(), |stream| async move { drop(stream) }).await;
    assert_eq!(read(&link, 1, 0, 1).await.unwrap_err().code(), "connection_lost");
    assert_eq!(link.stats().connects, 3);
}

#[tokio::test]
async fn fault_6_a_reset_in_mid_frame_is_a_lost_connection() {
    let link = server(quick(), |mut stream| async move {
        let mut bytes = [0; 12];
        let _ = stream.read_exact(&mut bytes).await;
        let _ = stream.write_all(&[bytes[0], bytes[1], 0, 0, 0]).await;
        stream.set_zero_linger().unwrap();
    })
    .await;
    assert_eq!(read(&link, 1, 0, 1).await.unwrap_err().code(), "connection_lost");
}

#[tokio::test]
async fn fault_4_a_silent_host_is_silent() {
    let link = server(quick(), |mut stream| async move {
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    assert!(matches!(
        read(&link, 1, 0, 1).await,
        Err(WireError::Silent { unit: 1, .. })
    ));
}

#[tokio::test]
async fn fault_16_a_web_server_is_not_modbus() {
    let link = server(quick(), |mut stream| async move {
        let mut bytes = [0; 12];
        let _ = stream.read_exact(&mut bytes).await;
        let _ = stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n")
            .await;
    })
    .await;
    let error = read(&link, 1, 0, 1).await.unwrap_err();
    assert_eq!(error.code(), "not_modbus");
    assert!(error.to_string().contains("HTTP/1.1 400 Bad Request"), "{error}");
}

#[tokio::test]
async fn fault_18_random_bytes_are_not_modbus() {
    let link = server(quick(), |mut stream| async move {
        while stream.write_all(&rand::random::<[u8; 32]>()).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(read(&link, 1, 0, 1).await.unwrap_err().code(), "not_modbus");
}

#[tokio::test]
async fn the_adapter_reads_and_refuses_to_write() {
    let link = server(Options::default(), device).await;
    let client: Box<dyn Client> = Box::new(EngineClient::new(link.clone(), Priority::Poll));
    let mut context = Context::from(client);
    context.set_slave(Slave(4));
    assert_eq!(
        context.read_holding_registers(10, 3).await.unwrap().unwrap(),
        words(4, 10, 3)
    );
    assert_eq!(
        context.read_input_registers(0, 1).await.unwrap().unwrap(),
        words(4, 0, 1)
    );
    assert_eq!(
        context.read_coils(0, 3).await.unwrap().unwrap(),
        [true, false, true]
    );
    assert_eq!(
        context.read_discrete_inputs(0, 2).await.unwrap().unwrap(),
        [true, false]
    );
    let sent = link.stats().requests;
    let refused = [
        context.write_single_register(0, 1).await.unwrap_err().to_string(),
        context
            .write_multiple_registers(0, &[1, 2])
            .await
            .unwrap_err()
            .to_string(),
        context.write_single_coil(0, true).await.unwrap_err().to_string(),
        context
            .write_multiple_coils(0, &[true])
            .await
            .unwrap_err()
            .to_string(),
        context
            .masked_write_register(0, 1, 1)
            .await
            .unwrap_err()
            .to_string(),
        context
            .read_write_multiple_registers(0, 1, 0, &[1])
            .await
            .unwrap_err()
            .to_string(),
    ];
    for (function, message) in [6, 16, 5, 15, 22, 23].into_iter().zip(refused) {
        assert!(
            message.starts_with(&format!("function {function} is refused")),
            "{message}"
        );
    }
    assert_eq!(link.stats().requests, sent, "nothing was sent");
    context.disconnect().await.unwrap();
    assert!(context.read_coils(0, 1).await.is_err());
}
