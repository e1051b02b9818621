//! Connections over TCP.

use std::future::Future;
use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::url::Endpoint;

/// How long sent bytes may stay unacknowledged: so soon a half-open connection is found.
const UNACKNOWLEDGED: Duration = Duration::from_secs(5);
/// After how much quiet the connection is probed, and how often.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(1));

/// A way to make connections to one endpoint.
pub trait Connect: Send + 'static {
    /// What is made.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Makes one connection. The owner task bounds its time and decides when to try again.
    fn connect(&mut self) -> impl Future<Output = Result<Self::Stream, ConnectError>> + Send;
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
pub(crate) struct Tcp(Endpoint);

impl Tcp {
    pub(crate) fn new(endpoint: Endpoint) -> Self {
        Tcp(endpoint)
    }
}

impl Connect for Tcp {
    type Stream = TcpStream;

    async fn connect(&mut self) -> Result<TcpStream, ConnectError> {
        let host = (self.0.host(), self.0.port());
        let addresses = tokio::net::lookup_host(host)
            .await
            .map_err(ConnectError::UnknownHost)?;
        let mut failure =
            ConnectError::UnknownHost(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
        for address in addresses {
            match TcpStream::connect(address).await.and_then(prepare) {
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
