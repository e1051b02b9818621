//! What a listener sees of a link's traffic.

// Helpers of tests fail a test as its body does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod common;

use busbar_wire::{Direction, Options, Seen, Traffic};
use common::line::*;
use common::post::*;
use common::*;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::time::Instant;

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
