//! MBAP frames in datagrams: one request in each, and in what comes any number of messages.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use crate::frame::{self, Broken, Frame};
use crate::frames::{Frames, Kind, Missing, Outgoing};
use crate::write::Writing;

/// Enough for 15 of the longest frames. A datagram that is longer is none of a Modbus device's, however it begins.
const INPUT: usize = 4096;

/// A socket that exchanges datagrams with one peer, and hands out none that came from elsewhere.
pub trait Datagrams: Send + 'static {
    /// Sends one datagram.
    fn poll_send(&mut self, cx: &mut Context<'_>, datagram: &[u8]) -> Poll<io::Result<()>>;

    /// Receives one datagram, cut to the length of `buffer`; its length may be 0.
    fn poll_recv(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>>;
}

/// MBAP frames in datagrams.
#[derive(Debug)]
pub(crate) struct MbapDatagrams<S> {
    socket: S,
    input: Box<[u8]>,
    taken: usize,
    filled: usize,
    /// Whether a datagram has come that is not yet walked to its end.
    open: bool,
    /// Whether it is too long.
    oversize: bool,
    /// Whole frames, each to go for itself.
    output: Vec<u8>,
    write: Option<Outgoing>,
}

impl<S> MbapDatagrams<S> {
    pub(crate) fn new(socket: S) -> Self {
        MbapDatagrams {
            socket,
            input: vec![0; INPUT].into(),
            taken: 0,
            filled: 0,
            open: false,
            oversize: false,
            output: Vec::with_capacity(frame::MAX_FRAME),
            write: None,
        }
    }
}

impl<S: Datagrams> Frames for MbapDatagrams<S> {
    const KIND: Kind = Kind::Datagrams;

    fn put(&mut self, id: u16, unit: u8, pdu: &[u8]) {
        frame::encode(id, unit, pdu, &mut self.output);
    }

    fn put_write(&mut self, id: u16, writing: Arc<Writing>) {
        self.write = Some(Outgoing::mbap(id, writing));
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Ok(Some(first)) = frame::decode(&self.output) {
            let length = first.len();
            ready!(self.socket.poll_send(cx, &self.output[..length]))?;
            self.output.drain(..length);
        }
        if let Some(out) = self.write.as_ref().filter(|out| out.may_go()) {
            ready!(self.socket.poll_send(cx, &out.frame))?;
            out.writing.went();
            self.write = None;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let length = ready!(self.socket.poll_recv(cx, &mut self.input))?;
        (self.taken, self.filled) = (0, length.min(self.input.len()));
        self.open = true;
        self.oversize = length >= self.input.len();
        Poll::Ready(Ok(true))
    }

    /// A message that the datagram's end cuts off will not be completed by another: it is broken.
    fn get(&self) -> Result<Option<Frame<'_>>, Broken> {
        if !self.open {
            return Ok(None);
        }
        if self.oversize {
            return Err(Broken);
        }
        frame::decode(self.rest())?.map(Some).ok_or(Broken)
    }

    fn done(&mut self, bytes: usize) {
        self.taken = (self.taken + bytes).min(self.filled);
        self.open = self.taken < self.filled;
    }

    /// The rest of the datagram goes; the next one begins with a frame.
    fn skip(&mut self) -> bool {
        self.taken = self.filled;
        self.open = false;
        true
    }

    fn rest(&self) -> &[u8] {
        &self.input[self.taken..self.filled]
    }

    fn gave_up(&mut self, id: u16) -> Missing {
        self.write.take_if(|out| out.id == id);
        Missing::Silent
    }
}
