//! What the engine does when a device, or what stands between, sends what it should not. The clock stands still but for
//! what the engine itself waits for.

// Helpers of tests fail a test as its body does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod common;

use busbar_wire::{BadAnswer, InFlight, LinkState, Options, WireError};
use common::*;
use tokio::time::{Instant, sleep};

fn several(start: u16) -> Options {
    Options {
        in_flight: InFlight { start, max: 64 },
        ..Options::default()
    }
}

fn reason(error: WireError) -> BadAnswer {
    match error {
        WireError::BadAnswer { reason, .. } => reason,
        other => panic!("expected a bad answer: {other}"),
    }
}

/// Fault 5: the deadline is for the whole answer, so a dripping peer cannot hold a read.
#[tokio::test(start_paused = true)]
async fn fault_5_a_dripped_answer_does_not_outlive_the_deadline() {
    let link = device(Options::default(), |mut peer| async move {
        let asked = peer.asked().await;
        for byte in asked.answer() {
            sleep(ms(150)).await;
            peer.send([byte]).await;
        }
        peer.serve().await;
    });
    let begun = Instant::now();
    let error = read(&link, 1, 0, 2).await.unwrap_err();
    assert!(matches!(error, WireError::Silent { unit: 1, .. }), "{error}");
    assert_eq!(begun.elapsed(), ms(1000));
    sleep(ms(5000)).await;
    assert_eq!(read(&link, 1, 10, 2).await.unwrap(), words(1, 10, 2));
    assert_eq!(
        link.stats().late,
        1,
        "the dripped answer came to its end, and nobody took it"
    );
}

/// Fault 6, on a connection that never brought an answer.
#[tokio::test(start_paused = true)]
async fn fault_6_a_connection_closed_in_mid_frame_has_a_clear_cause() {
    let (link, mut listener) = link(Options::default());
    let script = async {
        let mut peer = listener.accept().await;
        let asked = peer.asked().await;
        peer.send(&asked.answer()[..9]).await;
    };
    let (result, ()) = tokio::join!(read(&link, 1, 0, 2), script);
    let error = result.unwrap_err();
    assert_eq!(error.code(), "connection_lost");
    assert!(error.to_string().contains("9 bytes into a frame"), "{error}");
    assert!(matches!(
        *link.state().borrow(),
        LinkState::Down { attempts: 1, .. }
    ));
}

/// Fault 6 and 10: a connection that worked and then turns out dead costs no reading.
#[tokio::test(start_paused = true)]
async fn faults_6_and_10_a_read_on_a_connection_that_went_dead_is_asked_once_more() {
    let (link, mut listener) = link(Options::default());
    tokio::spawn(async move {
        let mut peer = listener.accept().await;
        let asked = peer.asked().await;
        peer.send(asked.answer()).await;
        peer.asked().await;
        drop(peer);
        listener.accept().await.serve().await;
    });
    assert!(read(&link, 1, 0, 1).await.is_ok());
    let begun = Instant::now();
    assert_eq!(read(&link, 1, 5, 2).await.unwrap(), words(1, 5, 2));
    assert_eq!(begun.elapsed(), ms(0), "a proven connection is made anew at once");
    assert_eq!(link.stats().repeated, 1);
}

#[tokio::test(start_paused = true)]
async fn a_read_is_not_asked_for_ever() {
    let (link, mut listener) = link(Options::default());
    tokio::spawn(async move {
        let mut peer = listener.accept().await;
        let asked = peer.asked().await;
        peer.send(asked.answer()).await;
        peer.asked().await;
        drop(peer);
        loop {
            listener.accept().await.asked().await;
        }
    });
    assert!(read(&link, 1, 0, 1).await.is_ok());
    assert_eq!(read(&link, 1, 0, 1).await.unwrap_err().code(), "connection_lost");
    assert_eq!(link.stats().requests, 3);
}

/// A device that hangs up when nothing is asked is no fault.
#[tokio::test(start_paused = true)]
async fn an_idle_connection_may_end_without_any_harm() {
    let link = device(Options::default(), |mut peer| async move {
        let asked = peer.asked().await;
        peer.send(asked.answer()).await;
    });
    let mut state = link.state();
    for _ in 0..3 {
        assert!(read(&link, 1, 0, 1).await.is_ok());
        state.wait_for(|state| *state == LinkState::Idle).await.unwrap();
    }
    assert_eq!((link.stats().connects, link.stats().repeated), (3, 0));
}

/// Fault 9: no storm against a device that is full.
#[tokio::test(start_paused = true)]
async fn fault_9_accepting_and_closing_is_met_with_backoff() {
    let link = device(Options::default(), |peer| async move { drop(peer) });
    let begun = Instant::now();
    while begun.elapsed() < ms(120_000) {
        let error = read(&link, 1, 0, 1).await.unwrap_err();
        assert_eq!(error.code(), "connection_lost");
        sleep(ms(100)).await;
    }
    let connects = link.stats().connects;
    assert!(
        (4..=13).contains(&connects),
        "{connects} connections in two minutes"
    );
}

/// Fault 11: a late answer is counted, and never taken for the next.
#[tokio::test(start_paused = true)]
async fn fault_11_a_late_answer_is_never_taken_for_the_next() {
    let link = device(Options::default(), |mut peer| async move {
        let first = peer.asked().await;
        let second = peer.asked().await;
        peer.send(first.answer()).await;
        sleep(ms(10)).await;
        peer.send(second.answer()).await;
        peer.serve().await;
    });
    assert_eq!(read(&link, 1, 100, 1).await.unwrap_err().code(), "silent");
    assert_eq!(read(&link, 1, 200, 1).await.unwrap(), words(1, 200, 1));
    assert_eq!((link.stats().late, link.stats().timeouts), (1, 1));
}

/// The comparison of the performance reference: 50 ms time-out, one stall of 60 ms in 50 requests.
#[tokio::test(start_paused = true)]
async fn stalls_cost_only_the_reads_that_they_hit() {
    let options = Options {
        timeout: Some(ms(50)),
        ..Options::default()
    };
    let link = device(options, |mut peer| async move {
        let mut served = 0;
        while let Some(asked) = peer.try_asked().await {
            served += 1;
            if served % 50 == 0 {
                sleep(ms(60)).await;
            }
            peer.send(asked.answer()).await;
        }
    });
    let mut right = 0;
    for at in 0..200 {
        match read(&link, 1, at, 2).await {
            Ok(got) => {
                assert_eq!(got, words(1, at, 2));
                right += 1;
            }
            Err(error) => assert_eq!(error.code(), "silent"),
        }
    }
    assert!(right >= 196, "{right} of 200");
    assert!(link.stats().late >= 3);
}

/// Fault 12: an answer under another transaction id is no answer; the reason is told when time runs out.
#[tokio::test(start_paused = true)]
async fn fault_12_a_wrong_transaction_id_is_skipped_and_named() {
    let link = device(Options::default(), |mut peer| async move {
        let asked = peer.asked().await;
        peer.send(frame(asked.id ^ 0x5555, 1, &[3, 2, 0, 7])).await;
        peer.serve().await;
    });
    let error = read(&link, 1, 0, 1).await.unwrap_err();
    assert!(error.hint().contains("fixed transaction id"), "{error}");
    assert!(matches!(reason(error), BadAnswer::Transaction { .. }));
    assert_eq!(link.stats().foreign, 1);
    assert!(read(&link, 1, 0, 1).await.is_ok(), "the stream is still good");
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_foreign_answers_ends_the_connection() {
    let (link, mut listener) = link(Options::default());
    let script = async {
        let mut peer = listener.accept().await;
        let asked = peer.asked().await;
        for n in 1..=40 {
            peer.send(frame(asked.id.wrapping_add(n), 1, &[3, 2, 0, 7])).await;
        }
        peer.closed().await;
    };
    let (result, ()) = tokio::join!(read(&link, 1, 0, 1), script);
    assert_eq!(result.unwrap_err().code(), "connection_lost");
}

/// The stated quirk: one fixed id, one request on the wire, and a time-out reopens the connection.
#[tokio::test(start_paused = true)]
async fn fault_12_a_fixed_transaction_id_is_accepted_on_request() {
    let options = Options {
        fixed_transaction_id: true,
        ..several(8)
    };
    let link = device(options, |mut peer| async move {
        while let Some(asked) = peer.try_asked().await {
            if asked.at == 666 {
                sleep(ms(1500)).await;
            }
            peer.send([&[0, 0], &asked.answer()[2..]].concat()).await;
        }
    });
    let (a, b) = tokio::join!(read(&link, 1, 1, 1), read(&link, 1, 2, 1));
    assert_eq!((a.unwrap(), b.unwrap()), (words(1, 1, 1), words(1, 2, 1)));
    assert_eq!(link.stats().window, 1);
    assert_eq!(read(&link, 1, 666, 1).await.unwrap_err().code(), "silent");
    assert_eq!(read(&link, 1, 3, 1).await.unwrap(), words(1, 3, 1));
    assert_eq!(
        link.stats().connects,
        2,
        "a late answer could not be told from the next"
    );
}

/// Faults 13 to 15: each wrong answer is refused with its reason, and costs only its own read.
#[tokio::test(start_paused = true)]
async fn faults_13_to_15_answers_that_do_not_fit_are_refused() {
    let wrong: Vec<(u8, Vec<u8>, BadAnswer)> = vec![
        (2, vec![3, 4, 0, 1, 0, 2], BadAnswer::Unit { got: 2 }),
        (
            1,
            vec![4, 4, 0, 1, 0, 2],
            BadAnswer::Function { expected: 3, got: 4 },
        ),
        (1, vec![0x84, 2], BadAnswer::Function { expected: 3, got: 4 }),
        (1, vec![0x83, 2, 2], BadAnswer::Length { expected: 2, got: 3 }),
        (1, vec![3, 2, 0, 1], BadAnswer::ByteCount { expected: 4, got: 2 }),
        (
            1,
            vec![3, 6, 0, 1, 0, 2, 0, 3],
            BadAnswer::ByteCount { expected: 4, got: 6 },
        ),
        (
            1,
            vec![3, 3, 0, 1, 0],
            BadAnswer::ByteCount { expected: 4, got: 3 },
        ),
        (1, vec![3, 4, 0, 1, 0], BadAnswer::Length { expected: 6, got: 5 }),
        (
            1,
            vec![3, 4, 0, 1, 0, 2, 0],
            BadAnswer::Length { expected: 6, got: 7 },
        ),
    ];
    let script = wrong.clone();
    let link = device(Options::default(), move |mut peer| {
        let script = script.clone();
        async move {
            for (unit, pdu, _) in script {
                let asked = peer.asked().await;
                peer.send(frame(asked.id, unit, &pdu)).await;
                let asked = peer.asked().await;
                peer.send(asked.answer()).await;
            }
        }
    });
    for (_, pdu, why) in &wrong {
        assert_eq!(reason(read(&link, 1, 0, 2).await.unwrap_err()), *why, "{pdu:?}");
        assert_eq!(read(&link, 1, 4, 2).await.unwrap(), words(1, 4, 2));
    }
    assert_eq!(link.stats().bad_answers, wrong.len() as u64);
    assert_eq!(link.stats().connects, 1);
}

/// Fault 16: refused within the header, and the bytes are shown.
#[tokio::test(start_paused = true)]
async fn fault_16_a_broken_header_drops_the_connection_at_once() {
    for header in [
        [0, 1, 0, 0, 0, 0],
        [0, 1, 0, 0, 0, 1],
        [0, 1, 0, 0, 0, 255],
        [0, 1, 0, 0, 255, 255],
        [0, 1, 0, 1, 0, 3],
        *b"HTTP/1",
    ] {
        let (link, mut listener) = link(Options::default());
        let begun = Instant::now();
        let script = async {
            let mut peer = listener.accept().await;
            peer.asked().await;
            peer.send(header).await;
            peer.closed().await;
        };
        let (result, ()) = tokio::join!(read(&link, 1, 0, 1), script);
        let error = result.unwrap_err();
        assert_eq!(error.code(), "not_modbus", "{error}");
        assert_eq!(begun.elapsed(), ms(0));
        if header == *b"HTTP/1" {
            assert!(error.to_string().contains("HTTP/1"), "{error}");
        }
    }
}

/// Fault 17: frames come in pieces and together, and what trails is parsed or ends the connection.
#[tokio::test(start_paused = true)]
async fn fault_17_frames_may_come_in_pieces_or_together() {
    let link = device(several(2), |mut peer| async move {
        let asked = peer.asked().await;
        for byte in asked.answer() {
            peer.send([byte]).await;
            tokio::task::yield_now().await;
        }
        let (a, b) = (peer.asked().await, peer.asked().await);
        peer.send([a.answer(), b.answer()].concat()).await;
        let asked = peer.asked().await;
        peer.send([asked.answer(), b"junk".to_vec()].concat()).await;
        peer.closed().await;
    });
    assert_eq!(read(&link, 1, 0, 3).await.unwrap(), words(1, 0, 3));
    let (a, b) = tokio::join!(read(&link, 1, 1, 1), read(&link, 1, 2, 1));
    assert_eq!((a.unwrap(), b.unwrap()), (words(1, 1, 1), words(1, 2, 1)));
    assert_eq!(read(&link, 1, 7, 1).await.unwrap(), words(1, 7, 1));
    let mut state = link.state();
    state
        .wait_for(|state| matches!(state, LinkState::Down { .. }))
        .await
        .unwrap();
}

/// Fault 18: random bytes for a minute give a bounded number of connections, and no reading.
#[tokio::test(start_paused = true)]
async fn fault_18_random_bytes_are_never_a_reading() {
    let link = device(Options::default(), |mut peer| async move {
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        loop {
            let mut noise = [0; 64];
            for byte in &mut noise {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                *byte = state as u8;
            }
            if tokio::io::AsyncWriteExt::write_all(&mut peer.0, &noise)
                .await
                .is_err()
            {
                return;
            }
            sleep(ms(5)).await;
        }
    });
    let begun = Instant::now();
    while begun.elapsed() < ms(60_000) {
        assert_eq!(read(&link, 1, 0, 4).await.unwrap_err().code(), "not_modbus");
        sleep(ms(50)).await;
    }
    assert!(link.stats().connects <= 10, "{:?}", link.stats());
}

/// Fault 20: ids wrap, with many on the wire.
#[tokio::test(start_paused = true)]
async fn fault_20_transaction_ids_wrap() {
    let link = device(several(8), |peer| peer.serve());
    let reads = (0..8).map(|n| {
        let link = link.clone();
        tokio::spawn(async move {
            for i in 0..8_250u32 {
                let at = (i * 8 + n) as u16 % 60_000;
                assert_eq!(read(&link, 1, at, 1).await.unwrap(), words(1, at, 1));
            }
        })
    });
    for task in reads.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    assert_eq!(link.stats().answers, 66_000);
}
