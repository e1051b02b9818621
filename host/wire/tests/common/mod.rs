//! A scripted device on the other end of an in-memory stream, under a clock that a test owns.
#![allow(dead_code, unreachable_pub, reason = "each test program uses a part")]

pub mod line;
pub mod permit;
pub mod post;

use std::future::Future;
use std::io;
use std::time::Duration;

use busbar_ledger::span::Span;
use busbar_wire::{Connect, ConnectError, Link, Options, Priority, ReadPlan, WireError};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc;

pub const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// The client's end: each attempt to connect hands the other end to the script.
pub struct Dial(pub mpsc::UnboundedSender<DuplexStream>);

impl Connect for Dial {
    type Stream = DuplexStream;

    async fn connect(&mut self) -> Result<DuplexStream, ConnectError> {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let refused = |_| ConnectError::Failed(io::ErrorKind::ConnectionRefused.into());
        self.0.send(theirs).map(|()| ours).map_err(refused)
    }
}

/// Where connections arrive. Dropping it means that the port is closed.
pub struct Listener(mpsc::UnboundedReceiver<DuplexStream>);

impl Listener {
    pub async fn accept(&mut self) -> Peer {
        Peer(self.0.recv().await.expect("the link is gone"))
    }

    /// Connections that were made and not accepted.
    pub fn pending(&self) -> usize {
        self.0.len()
    }
}

/// A link and the place where its connections arrive.
pub fn link(options: Options) -> (Link, Listener) {
    let (tx, rx) = mpsc::unbounded_channel();
    (
        Link::over("modbus+tcp://peer:502", options, Dial(tx)),
        Listener(rx),
    )
}

/// A link to a device that runs the same script on each connection.
pub fn device<F>(options: Options, script: impl Fn(Peer) -> F + Send + 'static) -> Link
where
    F: Future<Output = ()> + Send + 'static,
{
    let (link, mut listener) = link(options);
    tokio::spawn(async move {
        while let Some(stream) = listener.0.recv().await {
            tokio::spawn(script(Peer(stream)));
        }
    });
    link
}

/// A request as the device sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    pub id: u16,
    pub unit: u8,
    pub function: u8,
    pub at: u16,
    pub count: u16,
}

impl Asked {
    /// A whole read request.
    pub fn parse(bytes: &[u8]) -> Asked {
        let word = |i: usize| u16::from_be_bytes([bytes[i], bytes[i + 1]]);
        assert_eq!(
            (bytes.len(), word(2), word(4)),
            (12, 0, 6),
            "a client's frame is whole and right"
        );
        Asked {
            id: word(0),
            unit: bytes[6],
            function: bytes[7],
            at: word(8),
            count: word(10),
        }
    }

    /// The right answer: each register holds its address plus 1000 times its unit.
    pub fn answer(self) -> Vec<u8> {
        let mut pdu = vec![self.function, (self.count * 2) as u8];
        pdu.extend(
            words(self.unit, self.at, self.count)
                .iter()
                .flat_map(|word| word.to_be_bytes()),
        );
        frame(self.id, self.unit, &pdu)
    }

    pub fn exception(self, code: u8) -> Vec<u8> {
        frame(self.id, self.unit, &[self.function | 0x80, code])
    }
}

pub fn words(unit: u8, at: u16, count: u16) -> Vec<u16> {
    (at..at + count)
        .map(|at| at.wrapping_add(u16::from(unit).wrapping_mul(1000)))
        .collect()
}

pub fn frame(id: u16, unit: u8, pdu: &[u8]) -> Vec<u8> {
    let mut bytes = [id.to_be_bytes(), [0, 0], (pdu.len() as u16 + 1).to_be_bytes()].concat();
    bytes.push(unit);
    bytes.extend(pdu);
    bytes
}

/// The device's end of one connection.
pub struct Peer(pub DuplexStream);

impl Peer {
    /// The next request; `None` when the client has closed.
    pub async fn try_asked(&mut self) -> Option<Asked> {
        let mut bytes = [0; 12];
        self.0.read_exact(&mut bytes).await.ok()?;
        Some(Asked::parse(&bytes))
    }

    pub async fn asked(&mut self) -> Asked {
        self.try_asked().await.expect("the client closed the connection")
    }

    /// Sends bytes; that the client has gone is no matter.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.0.write_all(bytes.as_ref()).await;
    }

    /// Answers everything rightly, to the end.
    pub async fn serve(mut self) {
        while let Some(asked) = self.try_asked().await {
            self.send(asked.answer()).await;
        }
    }

    /// Waits until the client closes.
    pub async fn closed(mut self) {
        while self.try_asked().await.is_some() {}
    }
}

pub fn plan(unit: u8, at: u16, count: u16) -> ReadPlan {
    ReadPlan {
        unit,
        span: Span::holding(at, count),
        priority: Priority::Poll,
    }
}

/// A poll of holding registers.
pub async fn read(link: &Link, unit: u8, at: u16, count: u16) -> Result<Vec<u16>, WireError> {
    link.read(plan(unit, at, count)).await
}

/// Polls until it works; fails the test where it takes longer than `within`.
pub async fn read_within(link: &Link, unit: u8, within: Duration) {
    let work = async {
        while read(link, unit, 0, 1).await.is_err() {
            tokio::time::sleep(ms(500)).await;
        }
    };
    tokio::time::timeout(within, work)
        .await
        .expect("it did not come back in time");
}

thread_local! {
    static LINES: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// Counts the lines of the log, for each thread its own. It is there for all of them: what a thread without any hears
/// first, no other would be shown later.
struct Lines;

impl tracing::Subscriber for Lines {
    fn enabled(&self, of: &tracing::Metadata<'_>) -> bool {
        of.target().starts_with("busbar_wire")
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, _: &tracing::Event<'_>) {
        LINES.set(LINES.get() + 1);
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

/// How many lines this crate has logged since, on this thread.
pub fn count_lines() -> impl Fn() -> u64 {
    // Another test of this program may have been first.
    let _ = tracing::subscriber::set_global_default(Lines);
    let before = LINES.get();
    move || LINES.get() - before
}
