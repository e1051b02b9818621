//! What is sent when: how many at once, who goes first, how fast, and until when.

// Helpers of tests fail a test as its body does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use busbar_ledger::span::Span;
use busbar_wire::{InFlight, LinkState, Options, Priority, ReadPlan, WireError};
use common::*;
use tokio::time::{Instant, sleep};

fn several(start: u16) -> Options {
    Options {
        in_flight: InFlight { start, max: 64 },
        ..Options::default()
    }
}

/// Many reads at once, each with its own words.
async fn read_all(link: &busbar_wire::Link, unit: u8, count: u16) {
    let reads = (0..count).map(|at| {
        let link = link.clone();
        tokio::spawn(async move { (at, read(&link, unit, at, 1).await) })
    });
    for task in reads.collect::<Vec<_>>() {
        let (at, result) = task.await.unwrap();
        assert_eq!(result.unwrap(), words(unit, at, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn answers_out_of_order_find_their_requests_with_64_in_flight() {
    let link = device(several(64), |mut peer| async move {
        loop {
            let mut asked = vec![];
            for _ in 0..64 {
                match peer.try_asked().await {
                    Some(request) => asked.push(request),
                    None => return,
                }
            }
            asked.sort_by_key(|request| request.at.wrapping_mul(40_503));
            let answers: Vec<u8> = asked.iter().rev().flat_map(|request| request.answer()).collect();
            sleep(ms(20)).await;
            peer.send(answers).await;
        }
    });
    let begun = Instant::now();
    read_all(&link, 3, 640).await;
    assert_eq!(begun.elapsed(), ms(200));
}

/// A long wire: each answer takes 20 ms, however many are under way.
#[tokio::test(start_paused = true)]
async fn the_window_opens_while_the_device_copes() {
    let most = Arc::new(AtomicUsize::new(0));
    let seen = most.clone();
    let link = device(several(1), move |peer| {
        let most = seen.clone();
        async move {
            let (mut input, mut output) = tokio::io::split(peer.0);
            let (tx, mut rx) = tokio::sync::mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
            let waiting = Arc::new(AtomicUsize::new(0));
            let counted = waiting.clone();
            tokio::spawn(async move {
                while let Some((due, answer)) = rx.recv().await {
                    tokio::time::sleep_until(due).await;
                    counted.fetch_sub(1, Ordering::Relaxed);
                    let _ = tokio::io::AsyncWriteExt::write_all(&mut output, &answer).await;
                }
            });
            let mut bytes = [0; 12];
            while tokio::io::AsyncReadExt::read_exact(&mut input, &mut bytes)
                .await
                .is_ok()
            {
                let asked = Asked {
                    id: u16::from_be_bytes([bytes[0], bytes[1]]),
                    unit: bytes[6],
                    function: bytes[7],
                    at: u16::from_be_bytes([bytes[8], bytes[9]]),
                    count: 1,
                };
                most.fetch_max(waiting.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
                let _ = tx.send((Instant::now() + ms(20), asked.answer()));
            }
        }
    });
    let begun = Instant::now();
    read_all(&link, 1, 770).await;
    assert_eq!(most.load(Ordering::Relaxed), 64);
    assert!(begun.elapsed() < ms(500), "{:?}", begun.elapsed());
    assert_eq!(link.stats().window, 64);
}

/// A device that works on one request at a time gains nothing from a deep queue.
#[tokio::test(start_paused = true)]
async fn the_window_stays_small_at_a_serial_device() {
    let link = device(several(1), |mut peer| async move {
        while let Some(asked) = peer.try_asked().await {
            sleep(ms(100)).await;
            peer.send(asked.answer()).await;
        }
    });
    read_all(&link, 1, 250).await;
    assert!(link.stats().window <= 4, "{:?}", link.stats());
    assert_eq!(link.stats().timeouts, 0);
}

/// A wire of 64 kbit/s, each way with a queue of its own: what is asked takes longer, and nothing piles up.
#[tokio::test(start_paused = true)]
async fn fault_7_a_slow_wire_makes_polls_slower_and_nothing_piles_up() {
    // With the headers of TCP and IP.
    let on_the_wire = |bytes: usize| Duration::from_micros((bytes as u64 + 40) * 125);
    let link = device(several(1), move |peer| async move {
        let (mut input, mut output) = tokio::io::split(peer.0);
        let (tx, mut answers) = tokio::sync::mpsc::unbounded_channel::<Vec<u8>>();
        tokio::spawn(async move {
            while let Some(answer) = answers.recv().await {
                sleep(on_the_wire(answer.len())).await;
                let _ = tokio::io::AsyncWriteExt::write_all(&mut output, &answer).await;
            }
        });
        let mut bytes = [0; 12];
        while tokio::io::AsyncReadExt::read_exact(&mut input, &mut bytes)
            .await
            .is_ok()
        {
            sleep(on_the_wire(12)).await;
            let _ = tx.send(Asked::parse(&bytes).answer());
        }
    });
    // More than fits into 5 s, three times over.
    for _ in 0..3 {
        let begun = Instant::now();
        let reads = (0..200u16).map(|n| {
            let link = link.clone();
            tokio::spawn(async move {
                let at = n * 125;
                assert_eq!(read(&link, 1, at, 125).await.unwrap(), words(1, at, 125));
            })
        });
        for task in reads.collect::<Vec<_>>() {
            task.await.unwrap();
        }
        let least = on_the_wire(259) * 200;
        assert!(
            begun.elapsed() >= least && begun.elapsed() < least * 5 / 4,
            "{:?}",
            begun.elapsed()
        );
    }
    let stats = link.stats();
    assert_eq!(
        (stats.timeouts, stats.late, stats.repeated, stats.requests),
        (0, 0, 0, 600)
    );
    assert!(stats.window <= 8, "{stats:?}");
}

/// Devices that only take one request at a time, and what each does with a second.
#[derive(Clone, Copy, Debug)]
enum Second {
    Dropped,
    Busy,
    Closes,
}

async fn one_at_a_time(mut peer: Peer, second: Second, takes: Duration) {
    use tokio::time::timeout;
    while let Some(asked) = peer.try_asked().await {
        let ready = Instant::now() + takes;
        while let Ok(next) = timeout(ready - Instant::now(), peer.try_asked()).await {
            match (second, next) {
                (Second::Closes, _) | (_, None) => return,
                (Second::Dropped, _) => {}
                (Second::Busy, Some(next)) => peer.send(next.exception(6)).await,
            }
        }
        peer.send(asked.answer()).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_device_that_takes_one_at_a_time_loses_nothing() {
    for second in [Second::Dropped, Second::Busy, Second::Closes] {
        for (start, takes) in [(1, ms(5)), (1, ms(1)), (4, ms(2)), (64, ms(20))] {
            let link = device(several(start), move |peer| one_at_a_time(peer, second, takes));
            read_all(&link, 1, 400).await;
            // After many good answers it dares a second one now and then.
            assert!(
                link.stats().window <= 2,
                "{second:?} from {start}: {:?}",
                link.stats()
            );
            assert!(
                link.stats().repeated < 2 * u64::from(start) + 20,
                "{second:?} from {start}: {:?}",
                link.stats()
            );
        }
    }
}

/// A device that closes after a few answers is read all the same.
#[tokio::test(start_paused = true)]
async fn a_device_that_closes_after_five_answers_loses_nothing() {
    let link = device(several(4), |mut peer| async move {
        for _ in 0..5 {
            let Some(asked) = peer.try_asked().await else {
                return;
            };
            peer.send(asked.answer()).await;
        }
    });
    read_all(&link, 1, 400).await;
}

#[tokio::test(start_paused = true)]
async fn writes_go_before_polls_before_scans() {
    let (link, mut listener) = link(Options::default());
    let read = |priority, at| {
        let link = link.clone();
        tokio::spawn(async move {
            link.read(ReadPlan {
                unit: 1,
                span: Span::holding(at, 1),
                priority,
            })
            .await
            .unwrap();
        })
    };
    let tasks = [
        read(Priority::Scan, 30),
        read(Priority::Scan, 31),
        read(Priority::Poll, 20),
        read(Priority::Write, 10),
    ];
    let mut peer = listener.accept().await;
    let mut order = vec![];
    for _ in 0..4 {
        let asked = peer.asked().await;
        order.push(asked.at);
        peer.send(asked.answer()).await;
    }
    assert_eq!(order, [10, 20, 30, 31]);
    for task in tasks {
        task.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn requests_keep_their_distance() {
    let options = Options {
        spacing: ms(50),
        pause_after_connect: ms(1000),
        ..several(8)
    };
    let (link, mut listener) = link(options);
    let task = tokio::spawn({
        let link = link.clone();
        async move { read_all(&link, 1, 4).await }
    });
    let begun = Instant::now();
    let mut peer = listener.accept().await;
    for n in 0..4 {
        let asked = peer.asked().await;
        assert_eq!(begun.elapsed(), ms(1000 + 60 * n));
        sleep(ms(10)).await;
        peer.send(asked.answer()).await;
    }
    task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_read_that_nobody_waits_for_is_not_sent() {
    let (link, mut listener) = link(Options {
        pause_after_connect: ms(100),
        ..Options::default()
    });
    let unwanted = tokio::spawn({
        let link = link.clone();
        async move { read(&link, 1, 1, 1).await }
    });
    tokio::task::yield_now().await;
    unwanted.abort();
    assert!(unwanted.await.unwrap_err().is_cancelled());
    let wanted = tokio::spawn({
        let link = link.clone();
        async move { read(&link, 1, 2, 1).await }
    });
    let mut peer = listener.accept().await;
    let asked = peer.asked().await;
    assert_eq!(asked.at, 2);
    peer.send(asked.answer()).await;
    assert!(wanted.await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn closing_ends_every_read() {
    let (link, mut listener) = link(Options::default());
    let reads: Vec<_> = (0..3)
        .map(|at| {
            let link = link.clone();
            tokio::spawn(async move { read(&link, 1, at, 1).await })
        })
        .collect();
    let mut peer = listener.accept().await;
    peer.asked().await;
    link.close().await;
    for read in reads {
        assert!(matches!(read.await.unwrap(), Err(WireError::Closed { .. })));
    }
    assert!(matches!(
        read(&link, 1, 0, 1).await,
        Err(WireError::Closed { .. })
    ));
    assert_eq!(peer.try_asked().await, None, "the connection is closed");
}

#[tokio::test(start_paused = true)]
async fn the_last_handle_closes_the_connection() {
    let (link, mut listener) = link(Options::default());
    let other = link.clone();
    let (result, mut peer) = tokio::join!(read(&link, 1, 0, 1), async {
        let mut peer = listener.accept().await;
        let asked = peer.asked().await;
        peer.send(asked.answer()).await;
        peer
    });
    assert!(result.is_ok());
    drop(link);
    tokio::task::yield_now().await;
    assert_eq!(*other.state().borrow(), LinkState::Up);
    drop(other);
    assert_eq!(peer.try_asked().await, None);
}

/// One-shot: three refused attempts, and the whole takes less than a person's patience.
#[tokio::test(start_paused = true)]
async fn a_one_shot_link_gives_up_after_three_refused_connects() {
    let (link, listener) = link(Options::one_shot());
    drop(listener);
    let begun = Instant::now();
    let (a, b) = tokio::join!(read(&link, 1, 0, 1), read(&link, 2, 0, 1));
    assert!(matches!(a, Err(WireError::Refused { .. })), "{a:?}");
    assert_eq!(a, b);
    assert!(begun.elapsed() < ms(3_000), "{:?}", begun.elapsed());
    assert_eq!(link.stats().failed_connects, 3);
    assert_eq!(read(&link, 1, 0, 1).await, a, "it gave up for good");
    assert_eq!(link.stats().failed_connects, 3);
}

/// One-shot: a silent unit is told at once, a silent host after 10 s.
#[tokio::test(start_paused = true)]
async fn a_one_shot_link_gives_up_on_a_silent_host() {
    let link = device(Options::one_shot(), Peer::closed);
    let begun = Instant::now();
    let mut errors = vec![];
    for unit in 1..=247 {
        errors.push(read(&link, unit, 0, 1).await.unwrap_err());
    }
    assert!(
        matches!(errors[0], WireError::Silent { unit: 1, .. }),
        "{}",
        errors[0]
    );
    assert!(errors.iter().all(|error| error.code() == "silent"));
    assert_eq!(begun.elapsed(), ms(10_000));
}

/// One-shot: a host that is not Modbus is told as such, soon.
#[tokio::test(start_paused = true)]
async fn a_one_shot_link_gives_up_on_a_stranger() {
    let link = device(Options::one_shot(), |mut peer| async move {
        peer.asked().await;
        peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    });
    let begun = Instant::now();
    let error = read(&link, 1, 0, 1).await.unwrap_err();
    assert_eq!(error.code(), "not_modbus");
    assert!(error.to_string().contains("HTTP/1.1 400"), "{error}");
    assert!(begun.elapsed() < ms(3_000), "{:?}", begun.elapsed());
}

/// One-shot: a scan over silent units goes on for as long as it takes, once the host has proven itself.
#[tokio::test(start_paused = true)]
async fn a_one_shot_link_that_heard_something_does_not_give_up() {
    let link = device(Options::one_shot(), |mut peer| async move {
        while let Some(asked) = peer.try_asked().await {
            if matches!(asked.unit, 1 | 247) {
                peer.send(asked.answer()).await;
            }
        }
    });
    for unit in 1..=247 {
        let plan = ReadPlan {
            unit,
            span: Span::holding(0, 1),
            priority: Priority::Scan,
        };
        assert_eq!(
            link.read(plan).await.is_ok(),
            matches!(unit, 1 | 247),
            "unit {unit}"
        );
    }
    assert_eq!(link.stats().connects, 1);
}

/// One-shot: a link that drops in the middle is waited for.
#[tokio::test(start_paused = true)]
async fn a_one_shot_link_waits_for_a_reconnect() {
    let (link, mut listener) = link(Options::one_shot());
    tokio::spawn(async move {
        let mut peer = listener.accept().await;
        let asked = peer.asked().await;
        peer.send(asked.answer()).await;
        drop(peer);
        drop(listener.accept().await);
        listener.accept().await.serve().await;
    });
    assert!(read(&link, 1, 0, 1).await.is_ok());
    assert_eq!(read(&link, 1, 1, 1).await.unwrap(), words(1, 1, 1));
}

/// Fault 8 behind a gateway that asks one at a time and waits a second for each dead unit, then says so or says
/// nothing. The dead are asked first, and there are more of them than fit into the time after which a silent connection
/// is given up.
#[tokio::test(start_paused = true)]
async fn fault_8_the_dead_behind_a_gateway_do_not_hide_the_living() {
    for (tells, max) in [(true, 64), (false, 1)] {
        let options = Options {
            in_flight: InFlight { start: 1, max },
            ..Options::default()
        };
        let link = device(options, move |mut peer| async move {
            while let Some(asked) = peer.try_asked().await {
                if asked.unit > 16 {
                    sleep(ms(60)).await;
                    peer.send(asked.answer()).await;
                } else {
                    sleep(ms(1000)).await;
                    if tells {
                        peer.send(asked.exception(11)).await;
                    }
                }
            }
        });
        let polls = (1..=32u8).map(|unit| {
            let link = link.clone();
            tokio::spawn(async move {
                let mut ticks = tokio::time::interval(Duration::from_secs(5));
                let mut right = 0;
                for _ in 0..60 {
                    ticks.tick().await;
                    if let Ok(got) = read(&link, unit, 100, 40).await {
                        assert_eq!(got, words(unit, 100, 40));
                        right += 1;
                    }
                }
                (unit, right)
            })
        });
        for poll in polls.collect::<Vec<_>>() {
            let (unit, right) = poll.await.unwrap();
            assert!(
                unit <= 16 || right >= 20,
                "unit {unit}: {right} of 60, {:?}",
                link.stats()
            );
        }
    }
}
