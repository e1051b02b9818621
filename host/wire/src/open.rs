//! How what an endpoint's frames go through comes to be: the seam between the engine and each kind of wire.

use std::future::Future;
use std::io;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::datagrams::{Datagrams, MbapDatagrams};
use crate::frames::Frames;

/// A way to make connections to one endpoint.
pub trait Connect: Send + 'static {
    /// What is made.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Makes one connection. The owner task bounds its time and decides when to try again.
    fn connect(&mut self) -> impl Future<Output = Result<Self::Stream, ConnectError>> + Send;
}

/// A way to make sockets that exchange datagrams with one endpoint.
pub trait Bind: Send + 'static {
    /// What is made.
    type Socket: Datagrams;

    /// Makes one socket. The owner task bounds its time and decides when to try again.
    fn bind(&mut self) -> impl Future<Output = Result<Self::Socket, ConnectError>> + Send;
}

/// A way to open what an endpoint's frames go through.
pub(crate) trait Open: Send + 'static {
    /// What is opened.
    type Frames: Frames + Send;

    /// Opens it once. The owner task bounds its time and decides when to try again.
    fn open(&mut self) -> impl Future<Output = Result<Self::Frames, ConnectError>> + Send;
}

/// Frames over a byte stream.
pub(crate) struct Framed<C: Connect, F> {
    connect: C,
    frames: fn(C::Stream) -> F,
}

impl<C: Connect, F> Framed<C, F> {
    pub(crate) fn new(connect: C, frames: fn(C::Stream) -> F) -> Self {
        Framed { connect, frames }
    }
}

impl<C: Connect, F: Frames + Send + 'static> Open for Framed<C, F> {
    type Frames = F;

    async fn open(&mut self) -> Result<F, ConnectError> {
        self.connect.connect().await.map(self.frames)
    }
}

/// Frames in datagrams.
pub(crate) struct Sockets<B>(B);

impl<B: Bind> Sockets<B> {
    pub(crate) fn new(bind: B) -> Self {
        Sockets(bind)
    }
}

impl<B: Bind> Open for Sockets<B> {
    type Frames = MbapDatagrams<B::Socket>;

    async fn open(&mut self) -> Result<Self::Frames, ConnectError> {
        self.0.bind().await.map(MbapDatagrams::new)
    }
}

/// Why a connection could not be made.
#[derive(Debug)]
pub enum ConnectError {
    /// The host's name is not known.
    UnknownHost(io::Error),
    /// The host is known.
    Failed(io::Error),
}
