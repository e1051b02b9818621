//! Writes over a connection: what was acknowledged, refused, not sent or is not known, and that nothing goes out twice.
//! The clock stands still but for what the engine itself waits for.

// Helpers of tests fail a test as its body does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod common;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use busbar_guard::{Latch, Noted, Purpose};
use busbar_wire::{
    BadAnswer, Connect, ConnectError, Direction, Link, LinkState, Options, Seen, Traffic, WireError,
    WriteAnswer, WriteError,
};
use common::line::{note, notes};
use common::permit::*;
use common::*;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::sync::broadcast;
use tokio::time::{Instant, sleep};

/// A request as the device sees it, of any function.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Request {
    id: u16,
    unit: u8,
    pdu: Vec<u8>,
}

impl Request {
    /// What confirms it; for a read the right words.
    fn confirm(&self) -> Vec<u8> {
        match self.pdu[..] {
            [5 | 6, ..] => frame(self.id, self.unit, &self.pdu),
            [15 | 16, ..] => frame(self.id, self.unit, &self.pdu[..5]),
            [23, _, _, 0, count, ..] => {
                let data = [&[23, count * 2][..], &vec![0; usize::from(count) * 2]].concat();
                frame(self.id, self.unit, &data)
            }
            [function, a, b, c, d] => Asked {
                id: self.id,
                unit: self.unit,
                function,
                at: u16::from_be_bytes([a, b]),
                count: u16::from_be_bytes([c, d]),
            }
            .answer(),
            _ => panic!("{:?}", self.pdu),
        }
    }

    fn refuse(&self, code: u8) -> Vec<u8> {
        frame(self.id, self.unit, &[self.pdu[0] | 0x80, code])
    }
}

impl Peer {
    async fn try_request(&mut self) -> Option<Request> {
        let mut header = [0; 7];
        self.0.read_exact(&mut header).await.ok()?;
        let mut pdu = vec![0; usize::from(header[5]) - 1];
        self.0.read_exact(&mut pdu).await.ok()?;
        Some(Request {
            id: u16::from_be_bytes([header[0], header[1]]),
            unit: header[6],
            pdu,
        })
    }

    async fn request(&mut self) -> Request {
        self.try_request()
            .await
            .expect("the client closed the connection")
    }

    /// Confirms and answers everything, to the end.
    async fn serve_all(mut self) {
        while let Some(request) = self.try_request().await {
            self.send(request.confirm()).await;
        }
    }
}

/// The functions of the requests that went out, as a listener saw them.
fn sent(tap: &mut broadcast::Receiver<Traffic>) -> Vec<u8> {
    std::iter::from_fn(|| tap.try_recv().ok())
        .filter(|traffic| traffic.direction == Direction::Sent)
        .map(|traffic| match traffic.seen {
            Seen::Frame { pdu, .. } => pdu[0],
            Seen::Noise(noise) => panic!("{noise:?}"),
        })
        .collect()
}

fn unconfirmed(result: Result<WriteAnswer, WriteError>) -> WireError {
    match result {
        Err(WriteError::Unconfirmed(error)) => error,
        other => panic!("expected that it is not known: {other:?}"),
    }
}

fn not_sent(result: Result<WriteAnswer, WriteError>) -> WireError {
    match result {
        Err(WriteError::NotSent(error)) => error,
        other => panic!("expected that nothing was sent: {other:?}"),
    }
}

/// A write that is asked for when the first read is on the wire.
async fn write_behind(link: &Link, permit: busbar_guard::Permit) -> Result<WriteAnswer, WriteError> {
    while link.stats().in_flight == 0 {
        tokio::task::yield_now().await;
    }
    link.write(permit).await
}

/// Each function, in the bytes that the standard gives it.
#[tokio::test(start_paused = true)]
async fn a_write_is_one_request_and_its_exact_echo() {
    for (target, value, pdu, words) in [
        (coil(5, 7), 1, vec![5, 0, 7, 0xff, 0], 0),
        (coil(5, 7), 0, vec![5, 0, 7, 0, 0], 0),
        (coil(15, 7), 1, vec![15, 0, 7, 0, 1, 1, 1], 0),
        (one(0x0a01), 0x1234, vec![6, 0x0a, 1, 0x12, 0x34], 0),
        (
            two(0x0a01),
            0x0001_0002,
            vec![16, 0x0a, 1, 0, 2, 4, 0, 1, 0, 2],
            0,
        ),
        (
            linked(0x4000),
            9,
            vec![23, 0x40, 0, 0, 35, 0x40, 0, 0, 3, 6, 1, 0x12, 0, 2, 0, 9],
            35,
        ),
    ] {
        let heard = notes();
        let noted = heard.clone();
        let link = device(Options::default(), move |mut peer| {
            let noted = noted.clone();
            async move {
                while let Some(request) = peer.try_request().await {
                    peer.send(request.confirm()).await;
                    note(&noted, (request.unit, request.pdu));
                }
            }
        });
        let mut tap = link.tap();
        let answer = link.write(permit_for(100, target, value)).await.unwrap();
        assert_eq!(answer.words, vec![0; words]);
        assert_eq!(sent(&mut tap), [pdu[0]]);
        assert_eq!(*heard.lock().unwrap(), [(100, pdu)]);
        let stats = link.stats();
        assert_eq!((stats.requests, stats.writes, stats.unconfirmed), (1, 1, 0));
        assert_eq!(*link.state().borrow(), LinkState::Up);
    }
}

/// A refusal is one, whatever may be said to a read twice: also "busy" is asked once.
#[tokio::test(start_paused = true)]
async fn a_refusal_is_told_with_its_code() {
    for code in [1, 2, 3, 4, 6, 8, 10, 77] {
        let (link, mut listener) = link(Options::default());
        let peer = async {
            let mut peer = listener.accept().await;
            let request = peer.request().await;
            peer.send(request.refuse(code)).await;
            peer
        };
        let (result, mut peer) = tokio::join!(link.write(permit_for(100, two(2716), 5)), peer);
        let Err(WriteError::Refused(error)) = result else {
            panic!("{code}: {result:?}")
        };
        assert!(
            error.to_string().contains(&format!(
                "unit 100 answers write of holding 2716-2717 with exception {code}"
            )),
            "{error}"
        );
        sleep(ms(20_000)).await;
        assert_eq!((link.stats().writes, link.stats().repeated), (1, 0));
        link.close().await;
        assert_eq!(peer.try_request().await, None, "it was sent once");
    }
}

/// "Accepted, takes a while" and a gateway's time-out say that perhaps it is done.
#[tokio::test(start_paused = true)]
async fn what_may_still_be_done_is_no_refusal() {
    for code in [5, 11] {
        let (link, mut listener) = link(Options::default());
        let peer = async {
            let mut peer = listener.accept().await;
            let request = peer.request().await;
            peer.send(request.refuse(code)).await;
            peer
        };
        let (result, mut peer) = tokio::join!(link.write(permit_for(1, one(5), 5)), peer);
        let error = unconfirmed(result);
        assert!(
            matches!(error, WireError::Exception { code: got, .. } if got == code),
            "{error}"
        );
        assert_eq!(link.stats().unconfirmed, 1);
        sleep(ms(20_000)).await;
        link.close().await;
        assert_eq!(peer.try_request().await, None, "it was sent once");
    }
}

/// W11: the device did it, and its acknowledgement is lost. Nothing is sent again, and a late one confirms nothing.
#[tokio::test(start_paused = true)]
async fn w11_a_lost_acknowledgement_is_not_known_and_nothing_goes_out_again() {
    let (link, mut listener) = link(Options::default());
    let begun = Instant::now();
    let peer = async {
        let mut peer = listener.accept().await;
        let first = peer.request().await;
        (peer, first)
    };
    let (result, (mut peer, first)) = tokio::join!(link.write(permit_for(1, one(5), 5)), peer);
    let error = unconfirmed(result);
    assert_eq!(
        error.to_string(),
        "modbus+tcp://peer:502: unit 1 did not answer write of holding 5 within 1.0 s"
    );
    assert_eq!(begun.elapsed(), ms(1000));
    let stats = link.stats();
    assert_eq!((stats.writes, stats.unconfirmed, stats.timeouts), (1, 1, 1));
    // The very same once more: the late echo of the first is not its own.
    let again = async {
        let second = peer.request().await;
        assert_eq!(first.pdu, second.pdu);
        assert_ne!(first.id, second.id);
        peer.send(first.confirm()).await;
        sleep(ms(2_000)).await;
        peer
    };
    let (result, mut peer) = tokio::join!(link.write(permit_for(1, one(5), 5)), again);
    assert_eq!(unconfirmed(result).code(), "silent");
    assert_eq!(link.stats().late, 1);
    sleep(ms(20_000)).await;
    link.close().await;
    assert_eq!(peer.try_request().await, None, "two writes, two requests");
}

/// W12 and fault 19: an echo that differs in whatever place proves nothing.
#[tokio::test(start_paused = true)]
async fn w12_fault_19_a_wrong_echo_is_not_known() {
    type Case = (&'static str, fn() -> Target, u8, Vec<u8>, BadAnswer);
    let cases: Vec<Case> = vec![
        (
            "address",
            || one(5),
            1,
            vec![6, 0, 6, 0, 9],
            BadAnswer::EchoAddress { expected: 5, got: 6 },
        ),
        (
            "value",
            || one(5),
            1,
            vec![6, 0, 5, 0, 8],
            BadAnswer::EchoValue { expected: 9, got: 8 },
        ),
        (
            "address of several",
            || two(5),
            1,
            vec![16, 0, 4, 0, 2],
            BadAnswer::EchoAddress { expected: 5, got: 4 },
        ),
        (
            "count",
            || two(5),
            1,
            vec![16, 0, 5, 0, 1],
            BadAnswer::EchoCount { expected: 2, got: 1 },
        ),
        (
            "unit",
            || one(5),
            2,
            vec![6, 0, 5, 0, 9],
            BadAnswer::Unit { got: 2 },
        ),
        (
            "function",
            || one(5),
            1,
            vec![16, 0, 5, 0, 1],
            BadAnswer::Function { expected: 6, got: 16 },
        ),
        (
            "a read's answer",
            || one(5),
            1,
            vec![3, 2, 0, 9],
            BadAnswer::Function { expected: 6, got: 3 },
        ),
        (
            "exception of another function",
            || one(5),
            1,
            vec![0x90, 2],
            BadAnswer::Function { expected: 6, got: 16 },
        ),
        (
            "long exception",
            || one(5),
            1,
            vec![0x86, 2, 2],
            BadAnswer::Length { expected: 2, got: 3 },
        ),
        (
            "short",
            || one(5),
            1,
            vec![6, 0, 5, 0],
            BadAnswer::Length { expected: 5, got: 4 },
        ),
        (
            "long",
            || two(5),
            1,
            vec![16, 0, 5, 0, 2, 0],
            BadAnswer::Length { expected: 5, got: 6 },
        ),
        (
            "fewer read back",
            || linked(5),
            1,
            vec![23, 4, 0, 0, 0, 0],
            BadAnswer::ByteCount { expected: 70, got: 4 },
        ),
        (
            "cut off",
            || linked(5),
            1,
            vec![23, 70, 0, 0, 0, 0],
            BadAnswer::Length { expected: 72, got: 6 },
        ),
    ];
    for (name, target, unit, wrong, why) in cases {
        let (link, mut listener) = link(Options::default());
        let peer = async {
            let mut peer = listener.accept().await;
            let request = peer.request().await;
            peer.send(frame(request.id, unit, &wrong)).await;
            peer
        };
        let (result, mut peer) = tokio::join!(link.write(permit_for(1, target(), 9)), peer);
        match unconfirmed(result) {
            WireError::BadAnswer { reason, .. } => assert_eq!(reason, why, "{name}"),
            other => panic!("{name}: {other}"),
        }
        let stats = link.stats();
        assert_eq!(
            (stats.writes, stats.unconfirmed, stats.bad_answers),
            (1, 1, 1),
            "{name}"
        );
        link.close().await;
        assert_eq!(peer.try_request().await, None, "{name}: it was sent once");
    }
}

/// W17: the kill switch stops what waits in the queue.
#[tokio::test(start_paused = true)]
async fn w17_the_kill_switch_stops_what_is_queued() {
    let (link, mut listener) = link(Options::default());
    let latch = Latch::default();
    let queued = permit_until(1, one(5), 5, ms(60_000), &latch);
    let safe = {
        let until = (Instant::now() + ms(60_000)).into_std();
        checked(one(5), 0).permit(1, Noted(2), until, &latch, Purpose::Safe)
    };
    let script = async {
        let mut peer = listener.accept().await;
        let first = peer.request().await;
        assert_eq!(first.pdu[0], 3);
        // The write waits behind this read.
        sleep(ms(100)).await;
        latch.set();
        peer.send(first.confirm()).await;
        peer
    };
    let (read, result, mut peer) = tokio::join!(read(&link, 1, 0, 1), write_behind(&link, queued), script);
    assert!(read.is_ok());
    let error = not_sent(result);
    assert_eq!(error.code(), "void");
    assert!(error.to_string().contains("the kill switch is on"), "{error}");
    assert_eq!(link.stats().writes, 0);
    // What ends a lease with the safe value passes.
    let (result, ()) = tokio::join!(link.write(safe), async {
        let request = peer.request().await;
        assert_eq!(request.pdu, [6, 0, 5, 0, 0], "the first write on this wire");
        peer.send(request.confirm()).await;
    });
    assert!(result.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_permit_that_runs_out_in_the_queue_is_not_sent() {
    let (link, mut listener) = link(Options::default());
    let mut tap = link.tap();
    let short = permit_until(1, one(5), 5, ms(50), &Latch::default());
    let script = async {
        let mut peer = listener.accept().await;
        let first = peer.request().await;
        sleep(ms(100)).await;
        peer.send(first.confirm()).await;
        peer
    };
    let (read, result, peer) = tokio::join!(read(&link, 1, 0, 1), write_behind(&link, short), script);
    assert!(read.is_ok());
    let error = not_sent(result);
    assert!(
        error.to_string().contains("it waited too long for its turn"),
        "{error}"
    );
    assert_eq!((link.stats().writes, sent(&mut tap)), (0, vec![3]));
    drop(peer);
}

/// A permit that runs out while the connection is made.
#[tokio::test(start_paused = true)]
async fn a_permit_that_runs_out_before_there_is_a_connection_is_not_sent() {
    struct Slow;
    impl Connect for Slow {
        type Stream = tokio::io::DuplexStream;
        async fn connect(&mut self) -> Result<Self::Stream, ConnectError> {
            sleep(ms(500)).await;
            let (ours, theirs) = tokio::io::duplex(1024);
            tokio::spawn(Peer(theirs).serve_all());
            Ok(ours)
        }
    }
    let link = Link::over("modbus+tcp://peer:502", Options::default(), Slow);
    let error = not_sent(
        link.write(permit_until(1, one(5), 5, ms(400), &Latch::default()))
            .await,
    );
    assert_eq!(error.code(), "void");
    assert!(link.write(permit_for(1, one(5), 5)).await.is_ok());
    assert_eq!(link.stats().writes, 1);
}

/// A wire that takes nothing until it is told to: a peer whose window is full.
struct Stuck {
    open: Arc<AtomicBool>,
    stream: tokio::io::DuplexStream,
}

impl AsyncRead for Stuck {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Stuck {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if !self.open.load(Ordering::SeqCst) {
            return Poll::Pending;
        }
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

struct StuckOnce(Option<Stuck>);

impl Connect for StuckOnce {
    type Stream = Stuck;
    async fn connect(&mut self) -> Result<Stuck, ConnectError> {
        let refused = || ConnectError::Failed(io::ErrorKind::ConnectionRefused.into());
        self.0.take().ok_or_else(refused)
    }
}

/// W17 to the last moment: what waits for a socket that takes nothing is not on the wire either.
#[tokio::test(start_paused = true)]
async fn w17_what_a_full_socket_has_not_taken_is_stopped_and_never_follows() {
    let (ours, theirs) = tokio::io::duplex(1024);
    let mut peer = Peer(theirs);
    let open = Arc::new(AtomicBool::new(false));
    let stuck = Stuck {
        open: open.clone(),
        stream: ours,
    };
    let link = Link::over(
        "modbus+tcp://peer:502",
        Options::default(),
        StuckOnce(Some(stuck)),
    );
    let latch = Latch::default();
    let write = link.write(permit_until(1, one(5), 5, ms(60_000), &latch));
    let (result, ()) = tokio::join!(write, async {
        sleep(ms(100)).await;
        latch.set();
        // Bytes from nowhere make the task look at its wire.
        peer.send(frame(1, 1, &[6, 0, 5, 0, 5])).await;
    });
    assert!(not_sent(result).to_string().contains("the kill switch is on"));
    latch.release();
    // The same without the switch: its time runs out.
    let error = not_sent(link.write(permit_for(1, one(5), 6)).await);
    assert_eq!(error.code(), "void");
    open.store(true, Ordering::SeqCst);
    let (result, request) = tokio::join!(link.write(permit_for(1, one(5), 7)), async {
        let request = peer.request().await;
        peer.send(request.confirm()).await;
        request
    });
    assert!(result.is_ok());
    assert_eq!(request.pdu, [6, 0, 5, 0, 7], "the others never came");
    assert_eq!(link.stats().writes, 1);
}

/// A write of which the socket takes a part and no more: the connection ends, so that nothing completes it later.
#[tokio::test(start_paused = true)]
async fn a_write_that_went_out_in_part_is_never_completed() {
    // As much as fits.
    let (ours, theirs) = tokio::io::duplex(9);
    let open = Arc::new(AtomicBool::new(true));
    let stuck = Stuck { open, stream: ours };
    let link = Link::over(
        "modbus+tcp://peer:502",
        Options::default(),
        StuckOnce(Some(stuck)),
    );
    let error = unconfirmed(link.write(permit_for(1, two(5), 5)).await);
    assert_eq!(error.code(), "silent");
    let mut bytes = vec![];
    let mut peer = Peer(theirs);
    let end = tokio::time::timeout(ms(60_000), peer.0.read_to_end(&mut bytes)).await;
    end.expect("the connection stays").unwrap();
    assert_eq!((bytes.len(), link.stats().writes), (9, 1));
}

/// An answer that comes before its question answers nothing, also where a gateway has but one transaction id.
#[tokio::test(start_paused = true)]
async fn an_echo_that_comes_before_the_write_goes_out_confirms_nothing() {
    for fixed_transaction_id in [true, false] {
        let (ours, theirs) = tokio::io::duplex(1024);
        let mut peer = Peer(theirs);
        let stuck = Stuck {
            open: Arc::new(AtomicBool::new(false)),
            stream: ours,
        };
        let options = Options {
            fixed_transaction_id,
            ..Options::default()
        };
        let link = Link::over("modbus+tcp://peer:502", options, StuckOnce(Some(stuck)));
        let (result, ()) = tokio::join!(link.write(permit_for(1, one(5), 5)), async {
            for id in 0..20 {
                peer.send(frame(id, 1, &[6, 0, 5, 0, 5])).await;
            }
        });
        assert_eq!(not_sent(result).code(), "void");
    }
}

#[tokio::test(start_paused = true)]
async fn a_link_that_is_lost_after_the_write_leaves_it_unknown() {
    let (link, mut listener) = link(Options::default());
    let script = async {
        let mut peer = listener.accept().await;
        // Proven: a read would be asked again.
        let first = peer.request().await;
        peer.send(first.confirm()).await;
        assert_eq!(peer.request().await.pdu[0], 16);
        drop(peer);
        // Whatever is asked later comes on the next connection.
        let mut next = listener.accept().await;
        let request = next.request().await;
        next.send(request.confirm()).await;
        request.pdu[0]
    };
    let asks = async {
        assert!(read(&link, 1, 0, 1).await.is_ok());
        let error = unconfirmed(link.write(permit_for(1, two(5), 5)).await);
        assert_eq!(error.code(), "connection_lost");
        sleep(ms(20_000)).await;
        assert!(read(&link, 1, 0, 1).await.is_ok());
    };
    let ((), function) = tokio::join!(asks, script);
    assert_eq!(function, 3, "the write did not come again");
    let stats = link.stats();
    assert_eq!((stats.writes, stats.unconfirmed, stats.repeated), (1, 1, 0));
}

/// One-shot links ask again by themselves: not what was written.
#[tokio::test(start_paused = true)]
async fn a_command_that_ends_writes_once_too() {
    let heard = notes();
    let noted = heard.clone();
    let link = device(Options::one_shot(), move |mut peer| {
        let noted = noted.clone();
        async move {
            if let Some(request) = peer.try_request().await {
                note(&noted, request.pdu[0]);
            }
        }
    });
    let error = unconfirmed(link.write(permit_for(1, two(5), 5)).await);
    assert_eq!(error.code(), "connection_lost");
    sleep(ms(20_000)).await;
    assert_eq!(*heard.lock().unwrap(), [16]);
}

#[tokio::test(start_paused = true)]
async fn a_link_that_is_down_sends_nothing() {
    let (link, listener) = link(Options::default());
    drop(listener);
    assert_eq!(
        not_sent(link.write(permit_for(1, one(5), 5)).await).code(),
        "refused"
    );
    let error = not_sent(link.write(permit_for(1, one(5), 5)).await);
    assert!(matches!(error, WireError::Down { .. }), "{error}");
    link.close().await;
    assert_eq!(
        not_sent(link.write(permit_for(1, one(5), 5)).await).code(),
        "closed"
    );
    assert_eq!((link.stats().writes, link.stats().unconfirmed), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_link_that_is_closed_sends_nothing_of_what_waits() {
    let (link, mut listener) = link(Options::default());
    let script = async {
        let mut peer = listener.accept().await;
        peer.request().await;
        sleep(ms(20)).await;
        link.close().await;
        assert_eq!(peer.try_request().await, None);
    };
    let (read, result, ()) = tokio::join!(
        read(&link, 1, 0, 1),
        write_behind(&link, permit_for(1, one(5), 5)),
        script
    );
    assert_eq!(read.unwrap_err().code(), "closed");
    assert_eq!(not_sent(result).code(), "closed");
}

#[tokio::test(start_paused = true)]
async fn a_resting_unit_is_not_written_to() {
    let (link, mut listener) = link(Options::default());
    tokio::spawn(async move {
        let mut peer = listener.accept().await;
        while let Some(request) = peer.try_request().await {
            if request.unit == 2 {
                peer.send(request.confirm()).await;
            }
        }
    });
    assert!(read(&link, 2, 0, 1).await.is_ok());
    for _ in 0..3 {
        assert!(read(&link, 1, 0, 1).await.is_err());
    }
    let error = not_sent(link.write(permit_for(1, one(5), 5)).await);
    assert_eq!(error.code(), "unit_resting");
    assert_eq!(link.stats().writes, 0);
}

/// Dropping a write while it waits withdraws it.
#[tokio::test(start_paused = true)]
async fn a_write_that_is_dropped_in_the_queue_is_not_sent() {
    let (link, mut listener) = link(Options::default());
    let script = async {
        let mut peer = listener.accept().await;
        let first = peer.request().await;
        sleep(ms(100)).await;
        peer.send(first.confirm()).await;
        peer
    };
    let write = tokio::time::timeout(ms(50), write_behind(&link, permit_for(1, one(5), 5)));
    let (read, dropped, mut peer) = tokio::join!(read(&link, 1, 0, 1), write, script);
    assert!(read.is_ok() && dropped.is_err());
    sleep(ms(1000)).await;
    link.close().await;
    assert_eq!(peer.try_request().await, None);
    assert_eq!((link.stats().writes, link.stats().unconfirmed), (0, 0));
}

/// Dropping it later calls nothing back, and it is counted as what it is.
#[tokio::test(start_paused = true)]
async fn a_write_that_is_dropped_on_the_wire_is_unconfirmed() {
    let link = device(Options::default(), |mut peer| async move {
        let request = peer.request().await;
        sleep(ms(100)).await;
        peer.send(request.confirm()).await;
        peer.serve_all().await;
    });
    let write = link.write(permit_for(1, one(5), 5));
    assert!(tokio::time::timeout(ms(50), write).await.is_err());
    assert_eq!((link.stats().writes, link.stats().unconfirmed), (1, 1));
    assert!(read(&link, 1, 0, 1).await.is_ok());
}

/// A write goes before polls, and has the wire for itself.
#[tokio::test(start_paused = true)]
async fn a_write_goes_first_and_alone() {
    let options = Options {
        in_flight: busbar_wire::InFlight { start: 8, max: 8 },
        ..Options::default()
    };
    let (link, mut listener) = link(options);
    let script = async {
        let mut peer = listener.accept().await;
        let mut seen = vec![];
        let first = [peer.request().await, peer.request().await];
        // Both reads are on the wire; nothing joins them once a write waits.
        sleep(ms(50)).await;
        for request in &first {
            peer.send(request.confirm()).await;
        }
        while seen.len() < 4 {
            let request = peer.request().await;
            if request.pdu[0] == 6 {
                let more = tokio::time::timeout(ms(20), peer.try_request()).await;
                assert!(more.is_err(), "nothing else is on the wire: {more:?}");
            }
            peer.send(request.confirm()).await;
            seen.push(request.pdu[0]);
        }
        seen
    };
    let later = async {
        sleep(ms(10)).await;
        tokio::join!(
            read(&link, 1, 20, 1),
            read(&link, 1, 30, 1),
            link.write(permit_for(1, one(5), 5)),
            link.write(permit_for(2, one(5), 5)),
        )
    };
    let (a, b, (c, d, e, f), seen) = tokio::join!(read(&link, 1, 0, 1), read(&link, 1, 10, 1), later, script);
    assert!(a.is_ok() && b.is_ok() && c.is_ok() && d.is_ok() && e.is_ok() && f.is_ok());
    assert_eq!(seen, [6, 6, 3, 3]);
}

/// A slow write does not make reads wait longer, and a fast link does not cut a slow write short.
#[tokio::test(start_paused = true)]
async fn a_write_has_the_whole_time_and_teaches_reads_nothing() {
    let link = device(Options::default(), |mut peer| async move {
        while let Some(request) = peer.try_request().await {
            if request.pdu[0] == 6 {
                sleep(ms(900)).await;
            }
            peer.send(request.confirm()).await;
        }
    });
    for at in 0..20 {
        assert!(read(&link, 1, at, 1).await.is_ok());
    }
    let before = link.stats();
    assert!(before.timeout < ms(900));
    assert!(link.write(permit_for(1, one(5), 5)).await.is_ok());
    assert_eq!(link.stats().timeout, before.timeout);
}

/// What no frame can carry never reaches the queue.
#[tokio::test(start_paused = true)]
async fn a_write_past_the_last_address_is_refused_before_all() {
    let link = device(Options::default(), Peer::serve_all);
    let error = not_sent(link.write(permit_for(1, linked(65534), 5)).await);
    assert!(matches!(error, WireError::BadRequest { .. }), "{error}");
    assert_eq!((link.stats().requests, link.stats().connects), (0, 0));
}
