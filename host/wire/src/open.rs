//! How what an endpoint's frames go through comes to be: the seam between the engine and each kind of wire.

use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncWrite};

use crate::datagrams::{Datagrams, MbapDatagrams};
use crate::frames::Frames;
use crate::rtu::{Debts, Pace, RtuStream};
use crate::serial::PortError;

/// A way to make connections to one endpoint.
pub trait Connect: Send + 'static {
    /// What is made.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Makes one connection. The owner task bounds its time and decides when to try again.
    fn connect(&mut self) -> impl Future<Output = Result<Self::Stream, ConnectError>> + Send;

    /// Whether what was missing at the last attempt is there again, so that the next one need not wait. Cheap.
    fn came_back(&mut self) -> bool {
        false
    }
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

    /// See [`Connect::came_back`].
    fn came_back(&mut self) -> bool {
        false
    }
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

/// RTU frames over a byte stream.
pub(crate) struct Lines<C> {
    connect: C,
    pace: Pace,
    /// Outlives a connection: what comes late is handed to the next.
    debts: Arc<Mutex<Debts>>,
}

impl<C: Connect> Lines<C> {
    pub(crate) fn new(connect: C, pace: Pace) -> Self {
        Lines {
            connect,
            pace,
            debts: Arc::default(),
        }
    }
}

impl<C: Connect> Open for Lines<C> {
    type Frames = RtuStream<C::Stream>;

    async fn open(&mut self) -> Result<Self::Frames, ConnectError> {
        let stream = self.connect.connect().await?;
        Ok(RtuStream::new(stream, self.pace, self.debts.clone()))
    }

    fn came_back(&mut self) -> bool {
        self.connect.came_back()
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
    /// A serial port cannot be used.
    Port(PortError),
    /// A meter speaks there by itself: it cannot be asked.
    OnlyHeard,
}

/// Stands for an endpoint where nobody can be asked.
pub(crate) struct OnlyHeard;

impl Connect for OnlyHeard {
    type Stream = tokio::net::TcpStream;

    async fn connect(&mut self) -> Result<Self::Stream, ConnectError> {
        Err(ConnectError::OnlyHeard)
    }
}
