//! Writes on a line, whose answers carry no ids: late echoes, other masters, adapters that echo. The clock stands still
//! but for what the engine itself waits for.

// Helpers of tests fail a test as its body does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod common;

use std::future::Future;

use busbar_guard::Latch;
use busbar_wire::{BadAnswer, Direction, Link, Options, Seen, WireError, WriteAnswer, WriteError};
use common::line::*;
use common::permit::*;
use common::*;
use tokio::io::AsyncReadExt;
use tokio::time::sleep;

/// A request of any function on a line.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Request {
    unit: u8,
    pdu: Vec<u8>,
}

impl Request {
    fn is_read(&self) -> bool {
        self.pdu[0] <= 4
    }

    fn bytes(&self) -> Vec<u8> {
        rtu(self.unit, &self.pdu)
    }

    /// What confirms or answers it.
    fn confirm(&self) -> Vec<u8> {
        match self.pdu[..] {
            [1, _, _, _, count] => rtu(
                self.unit,
                &[
                    &[1, count.div_ceil(8)][..],
                    &vec![0; usize::from(count.div_ceil(8))],
                ]
                .concat(),
            ),
            [3, at, low, high, count] => OnLine {
                unit: self.unit,
                function: 3,
                at: u16::from_be_bytes([at, low]),
                count: u16::from_be_bytes([high, count]),
            }
            .answer(),
            [23, _, _, _, count, ..] => rtu(
                self.unit,
                &[&[23, count * 2][..], &vec![0; usize::from(count) * 2]].concat(),
            ),
            _ => rtu(self.unit, &self.pdu[..5]),
        }
    }

    fn refuse(&self, code: u8) -> Vec<u8> {
        rtu(self.unit, &[self.pdu[0] | 0x80, code])
    }
}

impl Peer {
    async fn try_request(&mut self) -> Option<Request> {
        let mut bytes = vec![0; 8];
        self.0.read_exact(&mut bytes).await.ok()?;
        let length = match bytes[1] {
            15 | 16 => 9 + usize::from(bytes[6]),
            23 => {
                bytes.resize(11, 0);
                self.0.read_exact(&mut bytes[8..]).await.ok()?;
                13 + usize::from(bytes[10])
            }
            _ => 8,
        };
        let have = bytes.len();
        bytes.resize(length, 0);
        self.0.read_exact(&mut bytes[have..]).await.ok()?;
        assert_eq!(
            rtu(bytes[0], &bytes[1..length - 2]),
            bytes,
            "a request is whole and right"
        );
        Some(Request {
            unit: bytes[0],
            pdu: bytes[1..length - 2].to_vec(),
        })
    }

    async fn request(&mut self) -> Request {
        self.try_request().await.expect("the client closed the line")
    }

    /// The next request, where it is a write; a read before it is answered.
    async fn write_request(&mut self) -> Request {
        loop {
            let request = self.request().await;
            if !request.is_read() {
                return request;
            }
            self.send(request.confirm()).await;
        }
    }

    /// Confirms and answers everything, to the end.
    async fn serve_all(mut self) {
        while let Some(request) = self.try_request().await {
            self.send(request.confirm()).await;
        }
    }
}

fn on_line<F>(script: impl Fn(Peer) -> F + Send + 'static) -> Link
where
    F: Future<Output = ()> + Send + 'static,
{
    line(Options::default(), &baud(19_200), script)
}

fn unconfirmed(result: Result<WriteAnswer, WriteError>) -> WireError {
    match result {
        Err(WriteError::Unconfirmed(error)) => error,
        other => panic!("expected that it is not known: {other:?}"),
    }
}

fn reason(error: WireError) -> BadAnswer {
    match error {
        WireError::BadAnswer { reason, .. } => reason,
        other => panic!("expected a bad answer: {other}"),
    }
}

/// Each function. Those that are their own echo are preceded by one small read, which shows whether the adapter echoes.
#[tokio::test(start_paused = true)]
async fn each_function_is_confirmed_on_a_line() {
    for (target, value, requests) in [
        (coil(5, 7), 1, vec![vec![1, 0, 7, 0, 8], vec![5, 0, 7, 0xff, 0]]),
        (one(7), 9, vec![vec![3, 0, 7, 0, 1], vec![6, 0, 7, 0, 9]]),
        (coil(15, 7), 1, vec![vec![15, 0, 7, 0, 1, 1, 1]]),
        (two(7), 9, vec![vec![16, 0, 7, 0, 2, 4, 0, 0, 0, 9]]),
        (
            linked(7),
            9,
            vec![vec![23, 0, 7, 0, 35, 0, 7, 0, 3, 6, 1, 0x12, 0, 2, 0, 9]],
        ),
    ] {
        let heard = notes();
        let noted = heard.clone();
        let link = on_line(move |mut peer| {
            let noted = noted.clone();
            async move {
                while let Some(request) = peer.try_request().await {
                    note(&noted, request.pdu.clone());
                    peer.send(request.confirm()).await;
                }
            }
        });
        link.write(permit_for(1, target, value)).await.unwrap();
        assert_eq!(*heard.lock().unwrap(), requests);
        let stats = link.stats();
        assert_eq!((stats.writes, stats.requests), (1, requests.len() as u64));
    }
}

/// After a read on the same connection it is known that nothing echoes: nothing is asked before.
#[tokio::test(start_paused = true)]
async fn what_a_read_has_shown_is_not_asked_again() {
    let link = on_line(Peer::serve_all);
    assert!(read(&link, 1, 0, 1).await.is_ok());
    for value in 0..5 {
        link.write(permit_for(1, one(7), value)).await.unwrap();
        link.write(permit_for(1, one(7), value)).await.unwrap();
    }
    let stats = link.stats();
    assert_eq!((stats.requests, stats.settled, stats.writes), (11, 0, 10));
}

/// An adapter that echoes: the echo of a write is not its acknowledgement, also where both are the same bytes.
#[tokio::test(start_paused = true)]
async fn an_adapters_echo_confirms_nothing() {
    type Make = fn() -> Target;
    let targets: [Make; 5] = [|| coil(5, 7), || one(7), || coil(15, 7), || two(7), || linked(7)];
    for target in targets {
        for known in [true, false] {
            for (answers, expected) in [(true, "done"), (false, "silent")] {
                let link = on_line(move |mut peer| async move {
                    while let Some(request) = peer.try_request().await {
                        peer.send(request.bytes()).await;
                        sleep(ms(5)).await;
                        if request.is_read() || answers {
                            peer.send(request.confirm()).await;
                        }
                    }
                });
                if known {
                    assert!(read(&link, 1, 0, 1).await.is_ok());
                }
                let code = match link.write(permit_for(1, target(), 1)).await {
                    Ok(_) => "done",
                    other => unconfirmed(other).code(),
                };
                assert_eq!(code, expected, "known {known}, answers {answers}");
                assert_eq!(link.stats().writes, 1);
            }
        }
    }
}

/// A refusal behind an echo is one.
#[tokio::test(start_paused = true)]
async fn a_refusal_is_told_with_and_without_an_echo() {
    for echo in [true, false] {
        let link = on_line(move |mut peer| async move {
            while let Some(request) = peer.try_request().await {
                if echo {
                    peer.send(request.bytes()).await;
                }
                peer.send(if request.is_read() {
                    request.confirm()
                } else {
                    request.refuse(3)
                })
                .await;
            }
        });
        for target in [one(7), two(7), coil(5, 1)] {
            let result = link.write(permit_for(1, target, 1)).await;
            assert!(
                matches!(
                    result,
                    Err(WriteError::Refused(WireError::Exception { code: 3, .. }))
                ),
                "{result:?}"
            );
        }
        assert_eq!(link.stats().writes, 3);
    }
}

/// Where noise hides whether the adapter echoes, a single copy proves nothing, and it is said why.
#[tokio::test(start_paused = true)]
async fn where_it_is_not_known_whether_the_adapter_echoes_one_copy_is_not_enough() {
    let link = on_line(|mut peer| async move {
        while let Some(request) = peer.try_request().await {
            if request.is_read() {
                peer.send([0xff, 0xfe]).await;
            }
            peer.send(request.confirm()).await;
        }
    });
    assert!(read(&link, 1, 0, 1).await.is_ok());
    let error = unconfirmed(link.write(permit_for(1, one(7), 1)).await);
    assert_eq!(reason(error), BadAnswer::OwnEcho);
    assert_eq!((link.stats().writes, link.stats().settled), (1, 1));
}

/// W11 and fault 11: a late echo of a write that was given up is not taken for the echo of the next, though it is the
/// very same bytes.
#[tokio::test(start_paused = true)]
async fn w11_fault_11_a_late_echo_never_confirms_the_next_write() {
    type Make = fn() -> Target;
    let targets: [Make; 3] = [|| one(7), || two(7), || linked(7)];
    for target in targets {
        for late in (1100..4000).step_by(100) {
            let done = notes();
            let noted = done.clone();
            let link = on_line(move |mut peer| {
                let noted = noted.clone();
                async move {
                    // The first is late, and all behind it wait for it, as they do in a device. The second is lost.
                    let mut writes = 0;
                    while let Some(request) = peer.try_request().await {
                        writes += u32::from(!request.is_read());
                        match writes {
                            1 if !request.is_read() => sleep(ms(late)).await,
                            2 if !request.is_read() => continue,
                            _ => {}
                        }
                        note(&noted, request.pdu.clone());
                        peer.send(request.confirm()).await;
                        sleep(ms(20)).await;
                    }
                }
            });
            assert!(read(&link, 1, 0, 1).await.is_ok());
            unconfirmed(link.write(permit_for(1, target(), 5)).await);
            // Until the second has gone out, at most not sent; when it has, it is lost.
            let mut tries = 0;
            while link.stats().writes < 2 {
                let result = link.write(permit_for(1, target(), 5)).await;
                assert!(result.is_err(), "late by {late}: it was never done");
                tries += 1;
                assert!(tries < 20, "late by {late}");
                sleep(ms(500)).await;
            }
            sleep(ms(3000)).await;
            link.write(permit_for(1, target(), 5)).await.unwrap();
            assert_eq!(link.stats().writes, 3);
            let writes = done.lock().unwrap().iter().filter(|pdu| pdu[0] > 4).count();
            assert_eq!(writes, 2, "late by {late}");
        }
    }
}

/// A unit that owes an echo and stays silent: the next write is not sent before it has said something.
#[tokio::test(start_paused = true)]
async fn a_write_behind_a_lost_one_waits_for_a_word_of_the_unit() {
    let heard = notes();
    let noted = heard.clone();
    let link = on_line(move |mut peer| {
        let noted = noted.clone();
        async move {
            let first = peer.write_request().await;
            note(&noted, first.pdu[0]);
            // Deaf for a while, then well.
            let read = peer.request().await;
            note(&noted, read.pdu[0]);
            while let Some(request) = peer.try_request().await {
                note(&noted, request.pdu[0]);
                peer.send(request.confirm()).await;
            }
        }
    });
    unconfirmed(link.write(permit_for(1, two(7), 5)).await);
    let Err(WriteError::NotSent(error)) = link.write(permit_for(1, two(7), 5)).await else {
        panic!("it must not go out")
    };
    assert!(error.to_string().contains("owes an answer"), "{error}");
    link.write(permit_for(1, two(7), 5)).await.unwrap();
    assert_eq!(*heard.lock().unwrap(), [16, 3, 3, 16]);
    assert_eq!((link.stats().writes, link.stats().unconfirmed), (2, 1));
}

/// A register that can only be written: the refusal to tell is a word of the unit, too.
#[tokio::test(start_paused = true)]
async fn a_unit_that_refuses_to_tell_is_written_to_all_the_same() {
    let link = on_line(|mut peer| async move {
        let mut writes = 0;
        while let Some(request) = peer.try_request().await {
            if request.is_read() {
                peer.send(request.refuse(2)).await;
                continue;
            }
            writes += 1;
            if writes != 1 {
                peer.send(request.confirm()).await;
            }
        }
    });
    unconfirmed(link.write(permit_for(1, one(7), 5)).await);
    link.write(permit_for(1, one(7), 5)).await.unwrap();
    assert_eq!(link.stats().settled, 2, "once for the adapter, once for the debt");
}

/// W12: an echo with a right CRC that says something else.
#[tokio::test(start_paused = true)]
async fn w12_fault_19_a_wrong_echo_on_a_line_is_not_known() {
    type Make = fn() -> Target;
    let cases: [(Make, u8, &[u8], BadAnswer); 7] = [
        (
            || one(5),
            1,
            &[6, 0, 6, 0, 9],
            BadAnswer::EchoAddress { expected: 5, got: 6 },
        ),
        (
            || one(5),
            1,
            &[6, 0, 5, 0, 8],
            BadAnswer::EchoValue { expected: 9, got: 8 },
        ),
        (
            || two(5),
            1,
            &[16, 0, 5, 0, 1],
            BadAnswer::EchoCount { expected: 2, got: 1 },
        ),
        (
            || two(5),
            1,
            &[6, 0, 5, 0, 9],
            BadAnswer::Function { expected: 16, got: 6 },
        ),
        (
            || one(5),
            1,
            &[3, 2, 0, 9],
            BadAnswer::Function { expected: 6, got: 3 },
        ),
        (
            || one(5),
            1,
            &[0x90, 2],
            BadAnswer::Function { expected: 6, got: 16 },
        ),
        (|| two(5), 2, &[0x90, 2], BadAnswer::Unit { got: 2 }),
    ];
    for (target, unit, wrong, why) in cases {
        let link = on_line(move |mut peer| async move {
            peer.write_request().await;
            peer.send(rtu(unit, wrong)).await;
            peer.serve_all().await;
        });
        assert_eq!(
            reason(unconfirmed(link.write(permit_for(1, target(), 9)).await)),
            why
        );
        assert_eq!((link.stats().writes, link.stats().unconfirmed), (1, 1));
        assert!(read(&link, 1, 0, 1).await.is_ok(), "{why}");
    }
}

/// An echo that noise has spoiled.
#[tokio::test(start_paused = true)]
async fn a_spoiled_echo_is_not_known_and_not_asked_for_again() {
    let link = on_line(|mut peer| async move {
        let request = peer.write_request().await;
        let mut echo = request.confirm();
        echo[4] ^= 1;
        peer.send(echo).await;
        peer.serve_all().await;
    });
    assert_eq!(
        unconfirmed(link.write(permit_for(1, two(7), 5)).await).code(),
        "no_frame"
    );
    sleep(ms(20_000)).await;
    assert_eq!((link.stats().writes, link.stats().repeated), (1, 0));
}

/// What another master writes, before ours is confirmed, is neither our echo nor in its way.
#[tokio::test(start_paused = true)]
async fn another_masters_write_is_not_taken_for_ours() {
    for theirs in [&[6, 0, 9, 0, 5][..], &[6, 0, 7, 0, 6], &[16, 0, 7, 0, 1, 2, 0, 5]] {
        let link = on_line(move |mut peer| async move {
            let ours = peer.write_request().await;
            // Their request and its answer; then ours.
            peer.send(rtu(1, theirs)).await;
            sleep(ms(20)).await;
            peer.send(rtu(1, &theirs[..5])).await;
            sleep(ms(20)).await;
            peer.send(ours.confirm()).await;
            peer.serve_all().await;
        });
        link.write(permit_for(1, one(7), 5)).await.unwrap();
        assert_eq!(link.stats().foreign, 2, "{theirs:?}");
    }
}

/// A refusal after another master's write may be theirs; so may the echo of as many registers at the same place.
#[tokio::test(start_paused = true)]
async fn an_answer_that_may_be_another_masters_is_not_known() {
    for (theirs, answer) in [
        (vec![16, 0, 9, 0, 1, 2, 0, 5], vec![0x90, 2]),
        (vec![16, 0, 7, 0, 2, 4, 0, 5, 0, 6], vec![16, 0, 7, 0, 2]),
    ] {
        for noise in [&[][..], &[0], &[0xff, 1, 16]] {
            let (theirs, answer) = (theirs.clone(), answer.clone());
            let link = on_line(move |mut peer| {
                let (theirs, answer) = (theirs.clone(), answer.clone());
                async move {
                    peer.write_request().await;
                    peer.send([noise, &rtu(1, &theirs)].concat()).await;
                    sleep(ms(20)).await;
                    peer.send(rtu(1, &answer)).await;
                    peer.serve_all().await;
                }
            });
            let error = unconfirmed(link.write(permit_for(1, two(7), 5)).await);
            assert_eq!(reason(error), BadAnswer::OtherMaster, "{noise:?}");
        }
    }
}

/// Nobody answers a broadcast, so it cannot be known: it is not sent.
#[tokio::test(start_paused = true)]
async fn a_broadcast_is_not_sent() {
    let link = on_line(|mut peer| async move {
        assert_eq!(peer.try_request().await, None);
    });
    let result = link.write(permit_for(0, one(7), 5)).await;
    assert!(
        matches!(
            result,
            Err(WriteError::NotSent(WireError::BadRequest { unit: 0, .. }))
        ),
        "{result:?}"
    );
    assert_eq!(link.stats().requests, 0);
}

/// W17: the line was not silent yet, or the unit was asked something before, when the kill switch was set.
#[tokio::test(start_paused = true)]
async fn w17_the_kill_switch_stops_what_waits_for_the_line() {
    for babble in [true, false] {
        let latch = Latch::default();
        let switch = latch.clone();
        let link = on_line(move |mut peer| {
            let switch = switch.clone();
            async move {
                let read = peer.request().await;
                assert!(read.is_read());
                if !babble {
                    // This one is asked only because of the write.
                    switch.set();
                }
                peer.send(read.confirm()).await;
                for _ in 0..100 {
                    if babble {
                        peer.send([0x55]).await;
                        sleep(ms(1)).await;
                        switch.set();
                    }
                }
                assert_eq!(peer.try_request().await, None, "nothing more is sent");
            }
        });
        if babble {
            assert!(read(&link, 1, 0, 1).await.is_ok());
        }
        let result = link.write(permit_until(1, one(7), 5, ms(60_000), &latch)).await;
        let Err(WriteError::NotSent(error)) = result else {
            panic!("{result:?}")
        };
        assert!(error.to_string().contains("the kill switch is on"), "{error}");
        link.close().await;
        assert_eq!(link.stats().writes, 0);
    }
}

/// Dropped while the line is not silent yet.
#[tokio::test(start_paused = true)]
async fn a_write_that_is_dropped_while_it_waits_for_the_line_is_not_sent() {
    let link = on_line(|mut peer| async move {
        let first = peer.request().await;
        peer.send(first.confirm()).await;
        for _ in 0..100 {
            peer.send([0x55]).await;
            sleep(ms(1)).await;
        }
        assert_eq!(
            peer.request().await.pdu,
            [3, 0, 9, 0, 1],
            "the read, not the write"
        );
    });
    assert!(read(&link, 1, 0, 1).await.is_ok());
    let write = link.write(permit_for(1, two(7), 5));
    assert!(tokio::time::timeout(ms(50), write).await.is_err());
    let _ = read(&link, 1, 9, 1).await;
    assert_eq!((link.stats().writes, link.stats().unconfirmed), (0, 0));
}

/// The connection to a gateway is lost under a write, and the gateway hands its echo to the next.
#[tokio::test(start_paused = true)]
async fn fault_11_a_late_echo_is_not_taken_on_the_next_connection() {
    let (tx, mut rx) = tokio::sync::mpsc::unbounded_channel();
    let link = Link::over_line(
        "modbus+rtu+tcp://peer:4001",
        Options::default(),
        &baud(9600),
        Dial(tx),
    );
    let script = tokio::spawn(async move {
        // It has brought an answer, so it is made anew at once.
        let mut first = Peer(rx.recv().await.unwrap());
        let owed = first.write_request().await;
        drop(first);
        let mut second = Peer(rx.recv().await.unwrap());
        let settle = second.request().await;
        assert!(settle.is_read());
        second.send(owed.confirm()).await;
        second.send(settle.confirm()).await;
        // Deaf to the write that follows.
        assert_eq!(second.request().await.pdu, owed.pdu);
        assert_eq!(second.try_request().await, None, "and it is not sent again");
    });
    assert!(read(&link, 1, 0, 1).await.is_ok());
    unconfirmed(link.write(permit_for(1, two(7), 5)).await);
    unconfirmed(link.write(permit_for(1, two(7), 5)).await);
    sleep(ms(20_000)).await;
    link.close().await;
    script.await.unwrap();
}

/// A tap shows a write once, when it goes out, and its echo under the same number.
#[tokio::test(start_paused = true)]
async fn a_tap_shows_the_write_and_its_echo() {
    let link = on_line(Peer::serve_all);
    let mut tap = link.tap();
    link.write(permit_for(1, two(7), 5)).await.unwrap();
    let seen: Vec<_> = std::iter::from_fn(|| tap.try_recv().ok())
        .map(|traffic| match traffic.seen {
            Seen::Frame { id, unit, pdu } => (traffic.direction, id, unit, pdu.to_vec()),
            Seen::Noise(noise) => panic!("{noise:?}"),
        })
        .collect();
    let id = seen[0].1;
    assert_eq!(
        seen,
        [
            (Direction::Sent, id, 1, vec![16, 0, 7, 0, 2, 4, 0, 0, 0, 5]),
            (Direction::Received, id, 1, vec![16, 0, 7, 0, 2]),
        ]
    );
}
