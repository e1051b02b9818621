//! What the engine does on a line: pauses, late answers, noise, echoes, others who speak. The clock stands still but
//! for what the engine itself waits for. Numbers of faults are those of the list that all wires share.

// Helpers of tests fail a test as its body does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod common;

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use busbar_wire::{BadAnswer, Connect, ConnectError, Link, Options, WireError};
use common::line::*;
use common::*;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, sleep};

fn reason(error: WireError) -> BadAnswer {
    match error {
        WireError::BadAnswer { reason, .. } => reason,
        other => panic!("expected a bad answer: {other}"),
    }
}

/// Right words or an error, never other words.
async fn honest(link: &Link, unit: u8, at: u16, count: u16) -> bool {
    match read(link, unit, at, count).await {
        Ok(got) => {
            assert_eq!(got, words(unit, at, count));
            true
        }
        Err(_) => false,
    }
}

#[tokio::test(start_paused = true)]
async fn between_frames_the_line_is_silent() {
    for (settings, gap) in [
        (baud(9600), Duration::from_micros(3_645)),
        (baud(115_200), Duration::from_micros(1_750)),
    ] {
        let times = notes();
        let noted = times.clone();
        let link = line(Options::default(), &settings, move |mut peer| {
            let noted = noted.clone();
            async move {
                while let Some(asked) = peer.try_heard().await {
                    note(&noted, Instant::now());
                    sleep(ms(10)).await;
                    peer.send(asked.answer()).await;
                    note(&noted, Instant::now());
                }
            }
        });
        for at in 0..20 {
            assert!(honest(&link, 1, at, 2).await);
        }
        for pair in times.lock().unwrap()[1..].chunks_exact(2) {
            assert!(pair[1] - pair[0] >= gap, "{:?}", pair[1] - pair[0]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_turnaround_is_kept() {
    let mut settings = baud(19_200);
    settings.turnaround = ms(40);
    let link = line(Options::default(), &settings, Peer::serve_line);
    let begun = Instant::now();
    for at in 0..10 {
        assert!(honest(&link, 1, at, 2).await);
    }
    assert!(begun.elapsed() >= ms(9 * 41), "{:?}", begun.elapsed());
}

/// 125 registers at 1,200 baud take 2.2 s: the deadline counts what the line needs.
#[tokio::test(start_paused = true)]
async fn fault_7_a_slow_line_is_no_silence() {
    let settings = baud(1200);
    let own = settings.clone();
    let link = line(Options::default(), &settings, move |mut peer| {
        let settings = own.clone();
        async move {
            while let Some(asked) = peer.try_heard().await {
                sleep(settings.character() * 8 + ms(100)).await;
                peer.send_paced(&settings, asked.answer()).await;
            }
        }
    });
    for at in [0, 200, 400] {
        assert_eq!(read(&link, 1, at, 125).await.unwrap(), words(1, at, 125));
    }
    assert_eq!(link.stats().timeouts, 0);
    let latency = link.stats().latency.unwrap();
    assert!(latency < ms(400), "the device's share only: {latency:?}");
}

/// Fault 11: however late an answer is, it is not taken for the next one, though it looks just like it.
#[tokio::test(start_paused = true)]
async fn fault_11_a_late_answer_is_never_taken_for_the_next_one() {
    for late in (950..4000).step_by(50) {
        let link = line(Options::default(), &baud(19_200), move |mut peer| async move {
            // One answer is late; those behind it wait for it, as they do in a device.
            let mut first = true;
            while let Some(asked) = peer.try_heard().await {
                if std::mem::take(&mut first) {
                    sleep(ms(late)).await;
                }
                peer.send(asked.answer()).await;
                sleep(ms(20)).await;
            }
        });
        honest(&link, 1, 100, 6).await;
        let mut right = 0;
        for at in [200, 300, 400, 500, 600, 700, 800] {
            sleep(ms(500)).await;
            right += u32::from(honest(&link, 1, at, 6).await);
        }
        assert!(right >= 3, "late by {late} ms: {right} of 7");
    }
}

/// The same, where the answer is lost and nothing late ever comes.
#[tokio::test(start_paused = true)]
async fn fault_11_a_lost_answer_costs_one_small_read() {
    let heard = notes();
    let noted = heard.clone();
    let link = line(Options::default(), &baud(19_200), move |mut peer| {
        let noted = noted.clone();
        async move {
            let mut first = true;
            while let Some(asked) = peer.try_heard().await {
                note(&noted, (asked.at, asked.count));
                if !std::mem::take(&mut first) {
                    peer.send(asked.answer()).await;
                }
            }
        }
    });
    assert_eq!(read(&link, 1, 100, 6).await.unwrap_err().code(), "silent");
    for at in [200, 300] {
        assert!(honest(&link, 1, at, 6).await);
    }
    assert_eq!(*heard.lock().unwrap(), [(100, 6), (200, 1), (200, 6), (300, 6)]);
    assert_eq!(link.stats().settled, 1);
}

/// The same over a gateway whose connection is lost meanwhile: it hands late bytes to the next connection.
#[tokio::test(start_paused = true)]
async fn fault_11_a_late_answer_is_not_taken_on_the_next_connection() {
    let (listener, mut rx) = {
        let (tx, rx) = tokio::sync::mpsc::unbounded_channel();
        (Dial(tx), rx)
    };
    let link = Link::over_line(
        "modbus+rtu+tcp://peer:4001",
        Options::default(),
        &baud(9600),
        listener,
    );
    let script = tokio::spawn(async move {
        let mut first = Peer(rx.recv().await.unwrap());
        let asked = first.heard().await;
        first.send(asked.answer()).await;
        let owed = first.heard().await;
        drop(first);
        let mut second = Peer(rx.recv().await.unwrap());
        let asked = second.heard().await;
        assert_ne!((asked.at, asked.count), (owed.at, owed.count));
        second.send(owed.answer()).await;
        second.send(asked.answer()).await;
        second.serve_line().await;
    });
    assert!(honest(&link, 1, 0, 6).await);
    assert!(honest(&link, 1, 100, 6).await);
    assert!(honest(&link, 1, 200, 6).await);
    drop(link);
    script.await.unwrap();
}

/// Faults 12 to 15: a frame with a right CRC that does not fit the request gives no words.
#[tokio::test(start_paused = true)]
async fn fault_12_to_15_what_does_not_fit_the_request_is_refused() {
    type Wrong = fn(OnLine) -> Vec<u8>;
    let cases: [(&str, Wrong, BadAnswer); 6] = [
        (
            "another unit",
            |asked| OnLine { unit: 9, ..asked }.answer(),
            BadAnswer::Unit { got: 9 },
        ),
        (
            "another function",
            |asked| OnLine { function: 4, ..asked }.answer(),
            BadAnswer::Function { expected: 3, got: 4 },
        ),
        (
            "an exception of another function",
            |asked| OnLine { function: 4, ..asked }.exception(2),
            BadAnswer::Function { expected: 3, got: 4 },
        ),
        (
            "too short",
            |asked| OnLine { count: 1, ..asked }.answer(),
            BadAnswer::ByteCount { expected: 4, got: 2 },
        ),
        (
            "too long",
            |asked| OnLine { count: 3, ..asked }.answer(),
            BadAnswer::ByteCount { expected: 4, got: 6 },
        ),
        (
            "odd",
            |asked| rtu(asked.unit, &[3, 5, 1, 2, 3, 4, 5]),
            BadAnswer::ByteCount { expected: 4, got: 5 },
        ),
    ];
    for (name, wrong, expected) in cases {
        let link = line(Options::default(), &baud(19_200), move |mut peer| async move {
            let asked = peer.heard().await;
            peer.send(wrong(asked)).await;
            peer.serve_line().await;
        });
        assert_eq!(
            reason(read(&link, 1, 10, 2).await.unwrap_err()),
            expected,
            "{name}"
        );
        assert!(honest(&link, 1, 20, 2).await, "{name}");
        assert!(honest(&link, 1, 30, 2).await, "{name}");
    }
}

/// Fault 15, where the byte count lies about what follows: no CRC is right then.
#[tokio::test(start_paused = true)]
async fn fault_15_and_16_a_lying_byte_count_gives_nothing() {
    for count in [0, 1, 3, 5, 250, 255] {
        let link = line(Options::default(), &baud(19_200), move |mut peer| async move {
            while let Some(asked) = peer.try_heard().await {
                let mut bytes = asked.answer();
                bytes[2] = count;
                peer.send(bytes).await;
            }
        });
        let error = read(&link, 1, 10, 2).await.unwrap_err();
        assert_eq!(error.code(), "no_frame", "{count}: {error}");
    }
}

/// Fault 17: one byte at a time, something behind the answer, the answer twice.
#[tokio::test(start_paused = true)]
async fn fault_17_frames_are_found_however_they_are_cut() {
    let link = line(Options::default(), &baud(19_200), |mut peer| async move {
        let mut turn = 0;
        while let Some(asked) = peer.try_heard().await {
            let answer = asked.answer();
            match turn % 4 {
                0 => {
                    for byte in answer {
                        peer.send([byte]).await;
                        sleep(ms(2)).await;
                    }
                }
                1 => peer.send([&answer[..], &[0xff, 0, 1]].concat()).await,
                2 => peer.send([&answer[..], &answer].concat()).await,
                _ => {
                    let (head, tail) = answer.split_at(7);
                    peer.send(head).await;
                    sleep(ms(30)).await;
                    peer.send(tail).await;
                }
            }
            turn += 1;
        }
    });
    for at in 0..40 {
        assert!(honest(&link, 1, at * 10, 5).await, "{at}");
    }
    assert_eq!(link.stats().timeouts, 0);
}

/// Fault 18 in small: noise before, in and behind an answer, and broken answers.
#[tokio::test(start_paused = true)]
async fn fault_18_noise_around_an_answer_is_passed_over() {
    let link = line(Options::default(), &baud(19_200), |mut peer| async move {
        let mut turn = 0u8;
        while let Some(asked) = peer.try_heard().await {
            let mut answer = asked.answer();
            turn = (turn + 1) % 6;
            match turn {
                1 => peer.send([&[0, 0xff, asked.unit, 3][..], &answer].concat()).await,
                2 => {
                    answer[5] ^= 0x10;
                    peer.send(answer).await;
                }
                4 => {
                    answer.remove(4);
                    peer.send(answer).await;
                }
                _ => peer.send([&answer[..], &[0x55; 40]].concat()).await,
            }
        }
    });
    for at in 0..40 {
        assert!(honest(&link, 1, at * 10, 5).await, "{at}");
    }
}

/// Fault 18: random bytes for 60 s end nothing for good, and nothing grows.
#[tokio::test(start_paused = true)]
async fn fault_18_a_babbling_line_is_told_and_survived() {
    let end = Instant::now() + Duration::from_secs(60);
    let link = line(Options::default(), &baud(19_200), move |mut peer| async move {
        let mut seed = 1u32;
        while Instant::now() < end {
            let mut bytes = [0; 16];
            for byte in &mut bytes {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                *byte = (seed >> 24) as u8;
            }
            peer.send(bytes).await;
            sleep(ms(1)).await;
        }
        // What was asked meanwhile was not heard.
        peer.forget().await;
        peer.serve_line().await;
    });
    let begun = Instant::now();
    let mut codes = std::collections::BTreeSet::new();
    while begun.elapsed() < Duration::from_secs(60) {
        if let Err(error) = read(&link, 1, 0, 4).await {
            codes.insert(error.code());
        }
        sleep(ms(1000)).await;
    }
    assert!(codes.contains("no_frame"), "{codes:?}");
    read_within(&link, 1, Duration::from_secs(35)).await;
}

#[tokio::test(start_paused = true)]
async fn bytes_without_a_frame_have_a_name() {
    let link = line(Options::default(), &baud(19_200), |mut peer| async move {
        while peer.try_heard().await.is_some() {
            peer.send([0x00, 0xf8, 0x1b, 0x80, 0xfe]).await;
        }
    });
    let error = read(&link, 1, 0, 4).await.unwrap_err();
    assert_eq!(error.code(), "no_frame");
    let text = error.to_string();
    assert!(
        text.contains("bytes arrive, but no frame: check baud, parity, wiring (A/B swapped)"),
        "{text}"
    );
    assert!(text.contains("00 f8 1b 80 fe"), "{text}");
}

/// A gateway that speaks Modbus TCP, spoken to as one that hands bytes through, and the other way round.
#[tokio::test(start_paused = true)]
async fn the_other_framing_is_recognised_and_named() {
    let (tx, mut rx) = tokio::sync::mpsc::unbounded_channel();
    let link = Link::over_line(
        "modbus+rtu+tcp://gw:4001",
        Options::default(),
        &baud(9600),
        Dial(tx),
    );
    tokio::spawn(async move {
        let mut peer = Peer(rx.recv().await.unwrap());
        peer.heard().await;
        peer.send(frame(0x0103, 1, &[0x83, 1])).await;
        peer.heard().await;
    });
    let error = read(&link, 1, 0, 4).await.unwrap_err();
    assert_eq!(error.code(), "not_modbus", "{error}");
    assert!(error.to_string().contains("Modbus TCP"), "{error}");
    assert!(error.hint().contains("modbus+tcp://gw:4001"), "{}", error.hint());

    let link = device(Options::default(), |mut peer| async move {
        peer.asked().await;
        peer.send(rtu(1, &[3, 8, 0, 1, 0, 2, 0, 3, 0, 4])).await;
        peer.asked().await;
    });
    let error = read(&link, 1, 0, 4).await.unwrap_err();
    assert_eq!(error.code(), "not_modbus", "{error}");
    assert!(error.to_string().contains("RTU"), "{error}");
    assert!(
        error.hint().contains("modbus+rtu+tcp://peer:502"),
        "{}",
        error.hint()
    );
}

/// An RS485 adapter with local echo sends back what it is to send.
#[tokio::test(start_paused = true)]
async fn an_echo_of_the_request_is_passed_over() {
    let link = line(Options::default(), &baud(19_200), |mut peer| async move {
        let mut turn = 0;
        while let Some(asked) = peer.try_heard().await {
            turn += 1;
            for byte in asked.request() {
                peer.send([byte]).await;
            }
            sleep(ms(5)).await;
            peer.send(if turn % 5 == 0 {
                asked.exception(2)
            } else {
                asked.answer()
            })
            .await;
        }
    });
    for at in 1..=20 {
        match read(&link, 1, at, 5).await {
            Ok(got) => assert_eq!(got, words(1, at, 5)),
            Err(error) => assert_eq!(error.code(), "exception", "{error}"),
        }
    }
    assert_eq!(link.stats().exceptions.get(&2), Some(&4));
    assert_eq!((link.stats().timeouts, link.stats().foreign), (0, 0));
}

/// Two masters on a line: what the other asks and is answered is not ours, and it is said that there is one.
#[tokio::test(start_paused = true)]
async fn another_master_is_told() {
    let link = line(Options::default(), &baud(19_200), |mut peer| async move {
        let theirs = OnLine {
            unit: 5,
            function: 3,
            at: 40,
            count: 4,
        };
        let asked = peer.heard().await;
        peer.send(theirs.request()).await;
        sleep(ms(30)).await;
        peer.send(theirs.answer()).await;
        sleep(ms(30)).await;
        peer.send(asked.answer()).await;
        peer.heard().await;
        peer.send(theirs.request()).await;
        peer.heard().await;
    });
    assert!(honest(&link, 1, 0, 4).await);
    assert_eq!(link.stats().foreign, 2);
    assert_eq!(
        reason(read(&link, 1, 0, 4).await.unwrap_err()),
        BadAnswer::OtherMaster
    );
}

/// A wrong frame ends a request, and its right answer still comes: it is not taken for the next one's.
#[tokio::test(start_paused = true)]
async fn fault_11_the_right_answer_behind_a_wrong_one_is_late() {
    let link = line(Options::default(), &baud(19_200), |mut peer| async move {
        let first = peer.heard().await;
        peer.send(OnLine { function: 4, ..first }.answer()).await;
        // Slow: it answers in order, and so the first answer comes when the next request has been sent.
        let next = peer.heard().await;
        peer.send(first.answer()).await;
        sleep(ms(20)).await;
        peer.send(next.answer()).await;
        peer.serve_line().await;
    });
    assert!(read(&link, 1, 100, 6).await.is_err());
    for at in [200, 300] {
        assert!(honest(&link, 1, at, 6).await, "{at}");
    }
}

/// Another master asks the same unit for as many registers, before we do or after: its answer is none of ours.
#[tokio::test(start_paused = true)]
async fn another_masters_answer_is_never_taken() {
    let theirs = OnLine {
        unit: 1,
        function: 3,
        at: 700,
        count: 4,
    };
    for noise in [&[][..], &[0], &[0xff, 1, 3]] {
        // While ours is waited for.
        let link = line(Options::default(), &baud(19_200), move |mut peer| async move {
            peer.heard().await;
            peer.send([noise, &theirs.request()].concat()).await;
            sleep(ms(30)).await;
            peer.send(theirs.answer()).await;
            peer.serve_line().await;
        });
        for at in [0, 10, 20] {
            honest(&link, 1, at, 4).await;
        }
        assert!(honest(&link, 1, 30, 4).await);
    }
    // Heard on a quiet line, and answered when ours has been sent.
    let link = line(Options::default(), &baud(19_200), move |mut peer| async move {
        let asked = peer.heard().await;
        peer.send(asked.answer()).await;
        sleep(ms(10)).await;
        peer.send(theirs.request()).await;
        let asked = peer.heard().await;
        peer.send(theirs.answer()).await;
        sleep(ms(20)).await;
        peer.send(asked.answer()).await;
        peer.serve_line().await;
    });
    assert!(honest(&link, 1, 0, 4).await);
    sleep(ms(30)).await;
    assert!(honest(&link, 1, 10, 4).await);
    assert!(honest(&link, 1, 20, 4).await);
}

/// A refusal that another master got says nothing of our registers.
#[tokio::test(start_paused = true)]
async fn another_masters_refusal_is_not_ours() {
    let link = line(Options::default(), &baud(19_200), |mut peer| async move {
        let theirs = OnLine {
            unit: 1,
            function: 3,
            at: 700,
            count: 9,
        };
        peer.heard().await;
        peer.send(theirs.request()).await;
        sleep(ms(30)).await;
        peer.send(theirs.exception(2)).await;
        peer.serve_line().await;
    });
    assert_eq!(
        reason(read(&link, 1, 0, 4).await.unwrap_err()),
        BadAnswer::OtherMaster
    );
    assert!(honest(&link, 1, 0, 4).await);
    assert!(link.stats().exceptions.is_empty());
}

/// One answer spoiled by noise costs a second try, not the reading.
#[tokio::test(start_paused = true)]
async fn a_broken_answer_is_asked_for_once_more() {
    let link = line(Options::default(), &baud(19_200), |mut peer| async move {
        let mut turn = 0;
        while let Some(asked) = peer.try_heard().await {
            let mut answer = asked.answer();
            turn += 1;
            if turn == 2 {
                answer[4] ^= 1;
            }
            peer.send(answer).await;
        }
    });
    assert!(honest(&link, 1, 0, 4).await);
    assert!(honest(&link, 1, 10, 4).await);
    assert_eq!(link.stats().repeated, 1);
    assert_eq!(link.stats().settled, 0, "the answer came, so none is owed");
}

/// Thirty-two meters on one line of 19,200 baud, 40 registers each, every 5 s. `dead` of them are.
async fn thirty_two_meters(dead: u8) -> (Vec<Duration>, busbar_wire::Stats) {
    let settings = baud(19_200);
    let own = settings.clone();
    let link = line(Options::default(), &settings, move |mut peer| {
        let settings = own.clone();
        async move {
            while let Some(asked) = peer.try_heard().await {
                sleep(settings.character() * 8).await;
                if asked.unit > dead {
                    sleep(ms(8)).await;
                    peer.send_paced(&settings, asked.answer()).await;
                }
            }
        }
    });
    let every = Duration::from_secs(5);
    let polls = (1..=32u8).map(|unit| {
        let link = link.clone();
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(every);
            let (mut worst, mut last) = (Duration::ZERO, None);
            for _ in 0..30 {
                ticks.tick().await;
                if honest(&link, unit, 100, 40).await {
                    let now = Instant::now();
                    worst = worst.max(last.map_or(Duration::ZERO, |last| now - last));
                    last = Some(now);
                } else {
                    assert!(unit <= dead, "unit {unit} failed");
                }
            }
            worst
        })
    });
    let mut worst = vec![];
    for poll in polls.collect::<Vec<_>>() {
        worst.push(poll.await.unwrap());
    }
    (worst.split_off(usize::from(dead)), link.stats())
}

/// Fault 8 on a line, where each request to a dead unit keeps all others waiting.
#[tokio::test(start_paused = true)]
async fn fault_8_one_dead_meter_of_32_takes_nothing_from_the_others() {
    let (worst, stats) = thirty_two_meters(1).await;
    for gap in &worst {
        assert!(*gap <= Duration::from_millis(6500), "{worst:?}");
    }
    assert_eq!(stats.answers, 31 * 30);
    assert!(stats.timeouts <= 14, "{stats:?}");
}

/// Half of the line dead: what may be spent on the dead has a limit.
#[tokio::test(start_paused = true)]
async fn fault_8_many_dead_meters_share_a_bounded_part_of_the_line() {
    let (worst, stats) = thirty_two_meters(16).await;
    // Once, when they die, each has to be found out.
    for gap in &worst {
        assert!(*gap <= Duration::from_secs(10), "{worst:?}");
    }
    assert!(stats.timeouts <= 100, "{stats:?}");
}

/// What never stops to come, faster than it can be judged.
struct Flood;

impl Connect for Flood {
    type Stream = Flood;

    async fn connect(&mut self) -> Result<Flood, ConnectError> {
        Ok(Flood)
    }
}

impl AsyncRead for Flood {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // As a socket does: a task that never waits is interrupted, and goes on at once.
        ready!(pin!(tokio::task::consume_budget()).poll(cx));
        buffer.put_slice(&[0x55; 64]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Flood {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(pin!(tokio::task::consume_budget()).poll(cx));
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Fault 18: a flood does not keep a request from running out of time, nor a link alive that nobody needs.
#[tokio::test]
async fn fault_18_a_flood_does_not_hold_up_everything_else() {
    let options = Options {
        timeout: Some(ms(100)),
        ..Options::default()
    };
    let link = Link::over_line("modbus+rtu:///dev/ttyUSB0", options, &baud(115_200), Flood);
    let ends = async {
        let error = read(&link, 1, 0, 4).await.unwrap_err();
        assert_eq!(error.code(), "no_frame", "{error}");
        link.close().await;
    };
    tokio::time::timeout(Duration::from_secs(5), ends).await.unwrap();
}
