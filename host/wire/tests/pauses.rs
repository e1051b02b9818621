//! Pauses that a device needs are learned from what becomes of requests, and kept by whoever asks the link.

// Helpers of tests fail a test as its body does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod common;

use std::time::Duration;

use busbar_wire::{Learned, Link, Options};
use common::*;
use tokio::time::{Instant, sleep};

/// A device that forgets what comes sooner than `needs` after its last answer.
fn hasty(options: Options, needs: Duration) -> Link {
    device(options, move |mut peer| async move {
        let mut last: Option<Instant> = None;
        while let Some(request) = peer.try_asked().await {
            if last.is_none_or(|last| last.elapsed() >= needs) {
                sleep(ms(5)).await;
                peer.send(request.answer()).await;
                last = Some(Instant::now());
            }
        }
    })
}

/// Reads one after the other; how many came to nothing.
async fn losses(link: &Link, times: u16) -> usize {
    let mut lost = 0;
    for at in 0..times {
        match read(link, 1, at, 1).await {
            Ok(got) => assert_eq!(got, words(1, at, 1)),
            Err(_) => lost += 1,
        }
    }
    lost
}

#[tokio::test(start_paused = true)]
async fn a_device_that_needs_a_pause_between_requests_gets_it() {
    let link = hasty(Options::default(), ms(40));
    assert!(losses(&link, 100).await > 10, "nothing is known at first");
    assert_eq!(losses(&link, 400).await, 0);
    let spacing = link.stats().spacing;
    assert_eq!(spacing, ms(50));
    // The next link begins with what this one has learned.
    let learned = Learned {
        spacing,
        ..Learned::default()
    };
    let next = hasty(
        Options {
            learned,
            ..Options::default()
        },
        ms(40),
    );
    assert_eq!(losses(&next, 400).await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_device_that_needs_none_keeps_its_pace() {
    let link = hasty(Options::default(), Duration::ZERO);
    let begun = Instant::now();
    assert_eq!(losses(&link, 1000).await, 0);
    assert_eq!(
        (begun.elapsed(), link.stats().spacing),
        (ms(5000), Duration::ZERO)
    );
}

#[tokio::test(start_paused = true)]
async fn a_device_that_is_deaf_after_connecting_is_waited_for() {
    // It hears nothing for 900 ms, and hangs up after three answers.
    let link = device(Options::default(), |mut peer| async move {
        let begun = Instant::now();
        let mut answers = 0;
        while answers < 3 {
            let Some(request) = peer.try_asked().await else {
                return;
            };
            if begun.elapsed() >= ms(900) {
                peer.send(request.answer()).await;
                answers += 1;
            }
        }
    });
    // A poll a second: while it is deaf it is left alone for a moment, too.
    let mut first = 0;
    for _ in 0..12 {
        first += losses(&link, 1).await;
        sleep(ms(1000)).await;
    }
    assert!(first > 0, "nothing is known at first");
    let settle = link.stats().settle;
    assert!(settle >= ms(900) && settle <= ms(1500), "{settle:?}");
    assert_eq!(losses(&link, 30).await, 0, "after {settle:?}");
}
