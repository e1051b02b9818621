//! Writes in datagrams, where a request, its acknowledgement or both may be lost, doubled or late. In memory, under a
//! clock that stands still but for what the engine itself waits for.

// Helpers of tests fail a test as its body does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod common;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use busbar_guard::Latch;
use busbar_wire::{Options, WriteAnswer, WriteError};
use common::line::{note, notes};
use common::permit::*;
use common::post::*;
use common::*;
use tokio::time::{Instant, sleep};

fn unconfirmed(result: Result<WriteAnswer, WriteError>) -> busbar_wire::WireError {
    match result {
        Err(WriteError::Unconfirmed(error)) => error,
        other => panic!("expected that it is not known: {other:?}"),
    }
}

/// Function 6, which is its own echo and looks to `Asked` like a read.
#[tokio::test(start_paused = true)]
async fn w11_fault_25_a_lost_request_or_answer_is_not_sent_again() {
    let heard = notes();
    let noted = heard.clone();
    let link = meter(Options::default(), move |mut meter| {
        let noted = noted.clone();
        async move {
            while let Some(asked) = meter.try_asked().await {
                note(&noted, (asked.function, asked.at));
                if asked.function == 3 {
                    meter.send(asked.answer());
                }
            }
        }
    });
    for at in 0..20 {
        assert!(read(&link, 1, at, 1).await.is_ok());
    }
    let begun = Instant::now();
    let error = unconfirmed(link.write(permit_for(1, one(500), 5)).await);
    assert_eq!(error.code(), "silent");
    assert_eq!(begun.elapsed(), ms(1000), "the whole patience, in one go");
    sleep(ms(20_000)).await;
    assert_eq!(
        heard
            .lock()
            .unwrap()
            .iter()
            .filter(|(function, _)| *function == 6)
            .count(),
        1
    );
    let stats = link.stats();
    assert_eq!(
        (stats.writes, stats.unconfirmed, stats.resent, stats.repeated),
        (1, 1, 0, 0)
    );
}

/// A late or doubled echo of one write never confirms the next, though it says the very same.
#[tokio::test(start_paused = true)]
async fn fault_27_a_late_or_doubled_echo_confirms_no_later_write() {
    let echo = |asked: Asked| {
        let [at, value] = [asked.at, asked.count].map(u16::to_be_bytes);
        frame(asked.id, asked.unit, &[6, at[0], at[1], value[0], value[1]])
    };
    let link = meter(Options::default(), move |mut meter| async move {
        // Late: it comes while the second waits. Doubled: two more of it.
        let first = meter.asked().await;
        let _second = meter.asked().await;
        for _ in 0..3 {
            meter.send(echo(first));
        }
        let third = meter.asked().await;
        meter.send(echo(third));
        meter.send(echo(third));
        let _fourth = meter.asked().await;
        meter.send(echo(third));
        meter.silent().await;
    });
    unconfirmed(link.write(permit_for(1, one(7), 5)).await);
    unconfirmed(link.write(permit_for(1, one(7), 5)).await);
    assert!(link.write(permit_for(1, one(7), 5)).await.is_ok());
    unconfirmed(link.write(permit_for(1, one(7), 5)).await);
    let stats = link.stats();
    assert_eq!((stats.writes, stats.unconfirmed), (4, 3));
}

/// In a storm each write reaches the meter at most once, and what is confirmed has reached it.
#[tokio::test(start_paused = true)]
async fn faults_25_to_27_a_storm_confirms_nothing_that_was_not_done() {
    let done: Arc<Mutex<BTreeMap<u16, u32>>> = Arc::default();
    let noted = done.clone();
    let link = meter(Options::default(), move |mut meter| {
        let noted = noted.clone();
        async move {
            let mut dice = Dice(0x2545_f491_4f6c_dd1d);
            let mut last: Option<Vec<u8>> = None;
            while let Some(asked) = meter.try_asked().await {
                if dice.chance(30) {
                    continue;
                }
                let [at, value] = [asked.at, asked.count].map(u16::to_be_bytes);
                let echo = frame(asked.id, asked.unit, &[6, at[0], at[1], value[0], value[1]]);
                *noted.lock().unwrap().entry(asked.count).or_default() += 1;
                if let Some(last) = last.replace(echo.clone()).filter(|_| dice.chance(40)) {
                    meter.send(last);
                }
                match dice.roll() % 4 {
                    0 => {}
                    1 => meter.later(ms(1500), echo),
                    2 => {
                        meter.send(&echo);
                        meter.send(&echo);
                    }
                    _ => meter.send(echo),
                }
            }
        }
    });
    let (mut confirmed, mut unknown) = (0, 0);
    for value in 0..400 {
        // Many units, so that none of them is silent so often that it rests.
        let unit = 1 + (value % 200) as u8;
        match link.write(permit_for(unit, one(7), value)).await {
            Ok(_) => {
                confirmed += 1;
                assert!(
                    done.lock().unwrap().contains_key(&(value as u16)),
                    "{value} was never done"
                );
            }
            Err(WriteError::Unconfirmed(_)) => unknown += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert!(confirmed > 80 && unknown > 80, "{confirmed} and {unknown}");
    assert!(done.lock().unwrap().values().all(|times| *times == 1));
    let stats = link.stats();
    assert_eq!((stats.unconfirmed, stats.resent), (unknown, 0));
}

/// The system says that nobody listens: if that is before the write it is not sent, else it is not known.
#[tokio::test(start_paused = true)]
async fn a_port_that_closes_after_the_write_leaves_it_unknown() {
    let link = meter(Options::default(), |mut meter| async move {
        let _ = meter.try_asked().await;
        meter.refuse();
    });
    let error = unconfirmed(link.write(permit_for(1, one(7), 5)).await);
    assert_eq!(error.code(), "refused");
    let result = link
        .write(permit_until(1, one(7), 5, ms(0), &Latch::default()))
        .await;
    assert!(matches!(result, Err(WriteError::NotSent(_))), "{result:?}");
    assert_eq!(link.stats().writes, 1);
}
