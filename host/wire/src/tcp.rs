//! Connections over TCP.

use std::future::Future;
use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use crate::endpoint::Host;
use crate::frames::Frames;

/// How long sent bytes may stay unacknowledged: so soon a half-open connection is found.
const UNACKNOWLEDGED: Duration = Duration::from_secs(5);
/// After how much quiet the connection is probed, and how often.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(1));

/// How long one address of several may take, so that a dead one (IPv6, often) does not use up the time of the
/// others.
const ONE_OF_SEVERAL: Duration = Duration::from_secs(1);

/// A way to make connections to one endpoint.
pub trait Connect: Send + 'static {
    /// What is made.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Makes one connection. The owner task bounds its time and decides when to try again.
    fn connect(&mut self) -> impl Future<Output = Result<Self::Stream, ConnectError>> + Send;
}

/// A way to open what an endpoint's frames go through: the seam between the engine and each kind of wire.
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

/// Why a connection could not be made.
#[derive(Debug)]
pub enum ConnectError {
    /// The host's name is not known.
    UnknownHost(io::Error),
    /// The host is known.
    Failed(io::Error),
}

/// TCP to a host and port.
#[derive(Debug)]
pub(crate) struct Tcp(Host);

impl Tcp {
    pub(crate) fn new(host: Host) -> Self {
        Tcp(host)
    }
}

impl Connect for Tcp {
    type Stream = TcpStream;

    async fn connect(&mut self) -> Result<TcpStream, ConnectError> {
        let host = (self.0.name.as_str(), self.0.port);
        let mut addresses = lookup_host(host)
            .await
            .map_err(ConnectError::UnknownHost)?
            .peekable();
        let nameless = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        let mut failure = ConnectError::UnknownHost(nameless);
        while let Some(address) = addresses.next() {
            let attempt = TcpStream::connect(address);
            let result = match addresses.peek() {
                None => attempt.await,
                Some(_) => match timeout(ONE_OF_SEVERAL, attempt).await {
                    Ok(result) => result,
                    Err(_) => Err(io::ErrorKind::TimedOut.into()),
                },
            };
            match result.and_then(prepare) {
                Ok(stream) => return Ok(stream),
                Err(error) => failure = ConnectError::Failed(error),
            }
        }
        Err(failure)
    }
}

/// Sets what makes a connection prompt, and a dead one noticed.
fn prepare(stream: TcpStream) -> io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(&stream);
    let (quiet, interval) = KEEP_ALIVE;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(quiet).with_interval(interval))?;
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED))?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_connection_is_prompt_and_notices_a_dead_peer() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let host = Host {
            name: address.ip().to_string(),
            port: address.port(),
        };
        let stream = Tcp::new(host).connect().await.unwrap();
        let socket = SockRef::from(&stream);
        assert!(socket.tcp_nodelay().unwrap());
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(UNACKNOWLEDGED));
        assert_eq!(socket.tcp_keepalive_time().unwrap(), KEEP_ALIVE.0);
    }
}
