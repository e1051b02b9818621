//! What the engine does when a device is busy, dead or away, and when it comes back.

// Helpers of tests fail a test as its body does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod common;

use busbar_ledger::span::{Function, Span};
use busbar_wire::{InFlight, LinkState, Options, Priority, ReadPlan, WireError};
use common::*;
use tokio::time::{Instant, sleep};

fn several(start: u16) -> Options {
    Options {
        in_flight: InFlight { start, max: 64 },
        ..Options::default()
    }
}

/// Fault 21: a device that is busy is asked less and less, and its answer is waited for.
#[tokio::test(start_paused = true)]
async fn fault_21_a_busy_device_is_asked_less() {
    let link = device(several(4), |mut peer| async move {
        let begun = Instant::now();
        while let Some(asked) = peer.try_asked().await {
            let busy = (ms(5_000)..ms(35_000)).contains(&begun.elapsed());
            peer.send(if busy { asked.exception(6) } else { asked.answer() })
                .await;
        }
    });
    assert!(read(&link, 1, 0, 1).await.is_ok());
    sleep(ms(5_000)).await;
    let before = link.stats().requests;
    let begun = Instant::now();
    while begun.elapsed() < ms(20_000) {
        let error = read(&link, 1, 0, 1).await.unwrap_err();
        assert!(matches!(error, WireError::Exception { code: 6, .. }), "{error}");
    }
    let asked = link.stats().requests - before;
    assert!(asked <= 30, "{asked} requests in 20 s of being told to wait");
    read_within(&link, 1, ms(35_000)).await;
    assert_eq!(link.stats().connects, 1);
}

/// Fault 21 for a moment only: the reader does not notice.
#[tokio::test(start_paused = true)]
async fn fault_21_a_read_outlives_two_busy_answers() {
    let link = device(Options::default(), |mut peer| async move {
        for code in [6, 5] {
            let asked = peer.asked().await;
            peer.send(asked.exception(code)).await;
        }
        peer.serve().await;
    });
    assert_eq!(read(&link, 1, 9, 1).await.unwrap(), words(1, 9, 1));
    assert_eq!(link.stats().repeated, 2);
}

/// Faults 22 to 24: exceptions are valid answers, told apart by their code.
#[tokio::test(start_paused = true)]
async fn faults_22_to_24_exceptions_are_typed_and_prove_the_link() {
    let link = device(Options::default(), |mut peer| async move {
        while let Some(asked) = peer.try_asked().await {
            peer.send(asked.exception(asked.at as u8)).await;
        }
    });
    for code in [1, 2, 3, 4, 10, 11, 77] {
        match read(&link, 100, u16::from(code), 3).await.unwrap_err() {
            WireError::Exception {
                code: got,
                unit: 100,
                asked,
                ..
            } => {
                assert_eq!((got, asked), (code, Span::holding(u16::from(code), 3).into()));
            }
            other => panic!("expected an exception: {other}"),
        }
        assert_eq!(*link.state().borrow(), LinkState::Up);
    }
    assert_eq!(link.stats().exceptions[&10], 1);
}

/// Fault 8: one dead unit beside 20 healthy ones.
#[tokio::test(start_paused = true)]
async fn fault_8_a_dead_unit_does_not_delay_twenty_others() {
    let link = device(Options::default(), |mut peer| async move {
        while let Some(asked) = peer.try_asked().await {
            // A serial gateway: it waits for the dead unit and answers nobody meanwhile.
            if asked.unit != 13 {
                sleep(ms(10)).await;
                peer.send(asked.answer()).await;
            }
        }
    });
    let mut resting = 0;
    for _ in 0..24 {
        let round = Instant::now();
        let polls = (1..=21).map(|unit| {
            let link = link.clone();
            tokio::spawn(async move { (unit, read(&link, unit, 0, 2).await) })
        });
        for poll in polls.collect::<Vec<_>>() {
            let (unit, result) = poll.await.unwrap();
            match result {
                Ok(got) => assert_eq!(got, words(unit, 0, 2)),
                Err(error) => {
                    assert_eq!(unit, 13, "{error}");
                    resting += u32::from(error.code() == "unit_resting");
                }
            }
        }
        assert!(round.elapsed() < ms(2_500), "{:?}", round.elapsed());
        assert_eq!(*link.state().borrow(), LinkState::Up);
        tokio::time::sleep_until(round + ms(5_000)).await;
    }
    assert!(resting >= 10, "it rested {resting} times");
}

/// Fault 4: a stopped device still accepts connections; it is up only after a valid answer.
#[tokio::test(start_paused = true)]
async fn fault_4_a_stopped_device_is_down_and_comes_back() {
    let begun = Instant::now();
    let stopped = move || (ms(10_000)..ms(100_000)).contains(&begun.elapsed());
    let link = device(Options::default(), move |mut peer| async move {
        while let Some(asked) = peer.try_asked().await {
            if !stopped() {
                peer.send(asked.answer()).await;
            }
        }
    });
    let mut down_at = None;
    while begun.elapsed() < ms(100_000) {
        let result = read(&link, 1, 0, 1).await;
        assert_eq!(result.is_ok(), begun.elapsed() < ms(10_000), "{result:?}");
        if let LinkState::Down { cause, .. } = &*link.state().borrow() {
            down_at.get_or_insert(begun.elapsed());
            assert_eq!(cause.code(), "silent");
        }
        sleep(ms(5_000)).await;
    }
    assert!(down_at.unwrap() <= ms(25_000), "{down_at:?}");
    read_within(&link, 1, ms(35_000)).await;
    assert_eq!(*link.state().borrow(), LinkState::Up);
}

/// Fault 1 on an in-memory port: while the link is down, reads fail at once and say why.
#[tokio::test(start_paused = true)]
async fn fault_1_reads_fail_fast_while_the_link_is_down() {
    let (link, listener) = link(Options::default());
    drop(listener);
    assert!(matches!(
        read(&link, 1, 0, 1).await,
        Err(WireError::Refused { .. })
    ));
    let error = read(&link, 1, 0, 1).await.unwrap_err();
    assert!(matches!(error, WireError::Down { .. }), "{error}");
    assert_eq!(error.code(), "refused");
    assert_eq!(link.stats().failed_connects, 1);
}

/// Fault 2: an attempt to connect has an end, and only one is under way.
#[tokio::test(start_paused = true)]
async fn fault_2_a_black_hole_is_a_connect_timeout() {
    struct Hole;
    impl busbar_wire::Connect for Hole {
        type Stream = tokio::io::DuplexStream;
        async fn connect(&mut self) -> Result<Self::Stream, busbar_wire::ConnectError> {
            std::future::pending().await
        }
    }
    let link = busbar_wire::Link::over("hole", Options::default(), Hole);
    let begun = Instant::now();
    let (a, b) = tokio::join!(read(&link, 1, 0, 1), read(&link, 2, 0, 1));
    assert_eq!(
        (a.unwrap_err().code(), b.unwrap_err().code()),
        ("connect_timeout", "connect_timeout")
    );
    assert_eq!(begun.elapsed(), ms(3_000));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_cannot_be_asked_never_leaves() {
    let (link, listener) = link(Options::default());
    let span = Span {
        function: Function::Input,
        at: 65_535,
        count: 2,
    };
    let error = link
        .read(ReadPlan {
            unit: 1,
            span,
            priority: Priority::Scan,
        })
        .await
        .unwrap_err();
    assert_eq!(error.code(), "bad_request");
    assert_eq!(read(&link, 1, 0, 126).await.unwrap_err().code(), "bad_request");
    assert_eq!(listener.pending(), 0);
}

/// One log line when a fault begins and one when it ends, however long it lasts.
#[tokio::test(start_paused = true)]
async fn a_fault_is_logged_when_it_begins_and_when_it_ends() {
    let logged = count_lines();

    let begun = Instant::now();
    let link = device(Options::default(), move |mut peer| async move {
        if begun.elapsed() < ms(300_000) {
            peer.send(b"SSH-2.0-OpenSSH_9.6\r\n").await;
            peer.closed().await;
        } else {
            peer.serve().await;
        }
    });
    while begun.elapsed() < ms(300_000) {
        assert!(read(&link, 1, 0, 1).await.is_err());
        assert_eq!(logged(), 1, "the fault began");
        sleep(ms(1_000)).await;
    }
    read_within(&link, 1, ms(35_000)).await;
    assert_eq!(logged(), 2, "the fault ended");
}
