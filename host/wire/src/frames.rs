//! The seam between the engine and a way to a device: whole frames in, whole frames out.
//!
//! The engine matches, checks, times and queues; it knows nothing of streams, datagrams or serial lines.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::check::BadAnswer;
use crate::frame::{self, Broken, Frame};
use crate::write::Writing;

/// Enough for 15 of the longest frames: what a device sends at once is read at once.
const INPUT: usize = 4096;

/// What a kind of wire is like, where that makes a difference to the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A connection: nothing is lost on the way while it stands, and what breaks its framing ends it.
    Stream,
    /// Each datagram for itself: any may be lost, doubled, late or broken, and the next one may be right.
    Datagrams,
    /// A line that all share: one request at a time, no ids, and each one's silence is everybody's.
    Line,
}

/// What came instead of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// Nothing.
    Silent,
    /// Bytes in which there is no frame; the first of them.
    Noise(Vec<u8>),
    /// A frame that was no answer.
    Wrong(BadAnswer),
}

/// What a way does and sees beside requests and answers, since it was last asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Aside {
    /// Frames that were nobody's answer.
    pub(crate) foreign: u64,
    /// Requests of its own.
    pub(crate) settled: u64,
}

/// A way to send and receive frames.
pub(crate) trait Frames {
    /// What it goes over.
    const KIND: Kind;

    /// Puts a request to read into what is sent next.
    fn put(&mut self, id: u16, unit: u8, pdu: &[u8]);
    /// Puts a write behind all that was put before. Before its first byte goes out it is asked whether it
    /// [may](Writing::may_go), and it is told when that [went](Writing::went). The wire is free of other requests.
    fn put_write(&mut self, id: u16, writing: Arc<Writing>);
    /// Sends what was put; ready when nothing is left.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
    /// Waits for more to come; ready with false when no more will. To be called when `get` has nothing left.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>>;
    /// The next whole frame, which `done` then takes away.
    fn get(&self) -> Result<Option<Frame<'_>>, Broken>;
    /// Takes away the first `bytes`.
    fn done(&mut self, bytes: usize);
    /// Takes away what is broken, up to where a frame may begin again; false where there is no such place.
    fn skip(&mut self) -> bool;
    /// What has come and is not taken away.
    fn rest(&self) -> &[u8];

    /// How long the way itself takes for a request and its answer, beside what the device needs.
    fn takes(&self, _unit: u8, _pdu: &[u8]) -> Duration {
        Duration::ZERO
    }
    /// A request is waited for no longer: what came instead.
    fn gave_up(&mut self, _id: u16) -> Missing {
        Missing::Silent
    }
    /// What happened beside.
    fn aside(&mut self) -> Aside {
        Aside::default()
    }
}

/// A write's frame, as far as it is not handed over.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) id: u16,
    pub(crate) frame: Vec<u8>,
    pub(crate) writing: Arc<Writing>,
}

impl Outgoing {
    /// The frame of MBAP.
    pub(crate) fn mbap(id: u16, writing: Arc<Writing>) -> Self {
        let mut frame = Vec::with_capacity(frame::MAX_FRAME);
        frame::encode(id, writing.unit(), writing.pdu(), &mut frame);
        Outgoing { id, frame, writing }
    }

    /// Whether the next byte may go out: the first with leave, those behind it always.
    pub(crate) fn may_go(&self) -> bool {
        self.writing.is_gone() || self.writing.may_go(Instant::now())
    }
}

/// MBAP frames over a byte stream.
#[derive(Debug)]
pub(crate) struct MbapStream<S> {
    stream: S,
    input: Box<[u8]>,
    taken: usize,
    filled: usize,
    output: Vec<u8>,
    write: Option<Outgoing>,
    /// Part of a write went out, and the rest will not: what follows would be taken for the rest.
    torn: bool,
}

impl<S> MbapStream<S> {
    pub(crate) fn new(stream: S) -> Self {
        MbapStream {
            stream,
            input: vec![0; INPUT].into(),
            taken: 0,
            filled: 0,
            output: Vec::with_capacity(frame::MAX_FRAME),
            write: None,
            torn: false,
        }
    }
}

impl<S: AsyncWrite + Unpin> MbapStream<S> {
    /// Sends a write, once it may go.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.torn {
            return Poll::Ready(Err(io::Error::other("a write could be handed over only in part")));
        }
        while let Some(out) = self.write.as_mut().filter(|out| out.may_go()) {
            let sent = ready!(Pin::new(&mut self.stream).poll_write(cx, &out.frame))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            out.writing.went();
            out.frame.drain(..sent);
            if out.frame.is_empty() {
                self.write = None;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Frames for MbapStream<S> {
    const KIND: Kind = Kind::Stream;

    fn put(&mut self, id: u16, unit: u8, pdu: &[u8]) {
        frame::encode(id, unit, pdu, &mut self.output);
    }

    fn put_write(&mut self, id: u16, writing: Arc<Writing>) {
        self.write = Some(Outgoing::mbap(id, writing));
    }

    /// One write for all frames that are due: a frame in two writes may cost a delayed acknowledgement, and
    /// system calls are what a read mostly costs.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.output.is_empty() {
            let sent = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.output))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.output.drain(..sent);
        }
        if self.write.is_some() || self.torn {
            return self.poll_write(cx);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        // What is left is less than one frame, so there is always room behind it.
        self.input.copy_within(self.taken..self.filled, 0);
        self.filled -= self.taken;
        self.taken = 0;
        let mut buffer = ReadBuf::new(&mut self.input[self.filled..]);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
        let read = buffer.filled().len();
        self.filled += read;
        Poll::Ready(Ok(read > 0))
    }

    fn get(&self) -> Result<Option<Frame<'_>>, Broken> {
        frame::decode(self.rest())
    }

    fn done(&mut self, bytes: usize) {
        self.taken = (self.taken + bytes).min(self.filled);
    }

    fn skip(&mut self) -> bool {
        false
    }

    fn rest(&self) -> &[u8] {
        &self.input[self.taken..self.filled]
    }

    fn gave_up(&mut self, id: u16) -> Missing {
        let out = self.write.take_if(|out| out.id == id);
        self.torn |= out.is_some_and(|out| out.writing.is_gone());
        Missing::Silent
    }
}
