//! What a listener sees of a link's traffic.

// Helpers of tests fail a test as its body does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod common;

use std::collections::BTreeSet;

use busbar_ledger::span::{Function, Span};
use busbar_wire::{Direction, EngineClient, Link, Options, Priority, ReadPlan, Seen, Traffic};
use common::line::*;
use common::post::*;
use common::*;
use tokio::io::AsyncReadExt;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::time::Instant;
use tokio_modbus::Request;
use tokio_modbus::client::Client;

fn frame_of(traffic: &Traffic) -> (Direction, u16, u8, Vec<u8>) {
    match &traffic.seen {
        Seen::Frame { id, unit, pdu } => (traffic.direction, *id, *unit, pdu.to_vec()),
        Seen::Noise(noise) => panic!("a frame is expected: {noise:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_tap_sees_each_frame_and_what_was_none() {
    let link = meter(Options::default(), |mut meter| async move {
        let first = meter.asked().await;
        meter.send(b"noise");
        let second = meter.asked().await;
        meter.send([second.answer(), vec![7]].concat());
        meter.send(first.answer());
        meter.silent().await;
    });
    let begun = Instant::now();
    let mut tap = link.tap();
    assert!(read(&link, 9, 5, 1).await.is_ok());
    let mut seen = vec![];
    while seen.len() < 6 {
        seen.push(tap.recv().await.unwrap());
    }
    let answer = vec![3, 2, 9005u16.to_be_bytes()[0], 9005u16.to_be_bytes()[1]];
    let (first, second) = (frame_of(&seen[0]), frame_of(&seen[2]));
    assert_eq!(first, (Direction::Sent, first.1, 9, vec![3, 0, 5, 0, 1]));
    assert_eq!((seen[0].at - begun, seen[2].at - begun), (ms(0), ms(250)));
    assert_eq!(seen[1].seen, Seen::Noise((*b"noise").into()));
    assert_eq!(seen[1].direction, Direction::Received);
    assert_eq!(second, (Direction::Sent, second.1, 9, vec![3, 0, 5, 0, 1]));
    assert_eq!(
        frame_of(&seen[3]),
        (Direction::Received, second.1, 9, answer.clone())
    );
    assert_eq!(seen[4].seen, Seen::Noise([7].into()));
    assert_eq!(
        frame_of(&seen[5]),
        (Direction::Received, first.1, 9, answer),
        "also late"
    );
    assert_eq!(tap.try_recv(), Err(TryRecvError::Empty));
}

/// A slow listener loses the oldest, learns how many, and delays nobody.
#[tokio::test(start_paused = true)]
async fn a_slow_listener_loses_the_oldest_and_is_told() {
    let link = meter(Options::default(), Meter::serve);
    let mut tap = link.tap();
    for at in 0..1000 {
        assert!(read(&link, 1, at, 1).await.is_ok());
    }
    assert_eq!(tap.recv().await, Err(RecvError::Lagged(2000 - 1024)));
    assert_eq!(frame_of(&tap.recv().await.unwrap()).3, [3, 1, 232, 0, 1], "488");
}

/// What stands at the end of a stream and is no whole frame is shown too.
#[tokio::test(start_paused = true)]
async fn what_a_broken_stream_leaves_is_shown() {
    let link = device(Options::default(), |mut peer| async move {
        let asked = peer.asked().await;
        peer.send([&asked.answer()[..], b"HTTP/1.1"].concat()).await;
    });
    let mut tap = link.tap();
    assert!(read(&link, 1, 0, 1).await.is_ok());
    assert_eq!(frame_of(&tap.recv().await.unwrap()).0, Direction::Sent);
    assert_eq!(frame_of(&tap.recv().await.unwrap()).0, Direction::Received);
    assert_eq!(tap.recv().await.unwrap().seen, Seen::Noise((*b"HTTP/1.1").into()));
}

/// A line has no ids, but the link knows whose answer came late: whoever listens cannot.
#[tokio::test(start_paused = true)]
async fn on_a_line_a_late_answer_has_the_number_of_its_request() {
    let link = line(Options::default(), &baud(19_200), |mut peer| async move {
        let first = peer.heard().await;
        let next = peer.heard().await;
        peer.send(first.answer()).await;
        tokio::time::sleep(ms(20)).await;
        peer.send(next.answer()).await;
        peer.serve_line().await;
    });
    let mut tap = link.tap();
    assert!(read(&link, 1, 100, 6).await.is_err());
    assert!(read(&link, 1, 200, 6).await.is_ok());
    let mut seen = vec![];
    while let Ok(traffic) = tap.try_recv() {
        let (direction, id, _, pdu) = frame_of(&traffic);
        seen.push((direction, id, pdu.len()));
    }
    let (first, next) = (seen[0].1, seen[1].1);
    assert_ne!(first, next);
    assert_eq!(
        seen,
        [
            (Direction::Sent, first, 5),
            (Direction::Sent, next, 5),
            (Direction::Received, first, 14),
            (Direction::Received, next, 14),
        ]
    );
}

/// The functions of all that went out.
fn sent(tap: &mut tokio::sync::broadcast::Receiver<Traffic>) -> BTreeSet<u8> {
    std::iter::from_fn(|| tap.try_recv().ok())
        .filter(|traffic| traffic.direction == Direction::Sent)
        .map(|traffic| frame_of(&traffic).3[0])
        .collect()
}

/// W22: whatever is read or asked, on whatever wire and however it is answered, only functions that read go out.
#[tokio::test(start_paused = true)]
async fn w22_reading_sends_no_function_but_1_to_4_17_and_43() {
    // Refuses what it does not know, and says nothing to unit 9.
    async fn tcp(mut peer: Peer) {
        let mut header = [0; 7];
        while peer.0.read_exact(&mut header).await.is_ok() {
            let mut pdu = vec![0; usize::from(header[5]) - 1];
            peer.0.read_exact(&mut pdu).await.unwrap();
            let id = u16::from_be_bytes([header[0], header[1]]);
            if header[6] != 9 {
                peer.send(frame(
                    id,
                    header[6],
                    &[pdu[0] | 0x80, [6, 2, 11][usize::from(header[6]) % 3]],
                ))
                .await;
            }
        }
    }
    // These have nothing of what is asked for.
    async fn udp(mut meter: Meter) {
        while let Some(asked) = meter.try_asked().await {
            meter.send(asked.exception(2));
        }
    }
    async fn rtu(mut peer: Peer) {
        while let Some(asked) = peer.try_heard().await {
            peer.send(asked.exception(2)).await;
        }
    }
    let links: [(Link, &[u8]); 3] = [
        (device(Options::default(), tcp), &[1, 2, 3, 4, 17, 43]),
        (meter(Options::default(), udp), &[1, 2, 3, 4]),
        (line(Options::default(), &baud(19_200), rtu), &[1, 2, 3, 4]),
    ];
    for (link, expected) in links {
        let mut tap = link.tap();
        let mut seen = BTreeSet::new();
        for function in [
            Function::Coils,
            Function::Discrete,
            Function::Holding,
            Function::Input,
        ] {
            for priority in [Priority::Write, Priority::Poll, Priority::Scan] {
                for unit in [1, 2, 3, 9] {
                    let span = Span {
                        function,
                        at: 5,
                        count: 8,
                    };
                    let _ = link.read(ReadPlan { unit, span, priority }).await;
                }
            }
            seen.extend(sent(&mut tap));
        }
        if expected.contains(&17) {
            let _ = link.identify(1).await;
        }
        let mut client = EngineClient::new(link.clone(), Priority::Poll);
        for request in [
            Request::WriteSingleCoil(1, true),
            Request::WriteMultipleCoils(1, vec![true].into()),
            Request::WriteSingleRegister(1, 1),
            Request::WriteMultipleRegisters(1, vec![1].into()),
            Request::MaskWriteRegister(1, 1, 1),
            Request::ReadWriteMultipleRegisters(1, 1, 1, vec![1].into()),
            Request::Custom(6, vec![0, 1, 0, 1].into()),
            Request::Custom(8, vec![0, 1].into()),
        ] {
            let refused = client.call(request.clone()).await.unwrap_err().to_string();
            assert!(
                refused.contains("is refused: this client only reads"),
                "{request:?}: {refused}"
            );
        }
        seen.extend(sent(&mut tap));
        assert_eq!(seen, expected.iter().copied().collect());
        assert_eq!((link.stats().writes, link.stats().unconfirmed), (0, 0));
    }
}
