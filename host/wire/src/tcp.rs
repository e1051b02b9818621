//! Connections over TCP.

use std::future::Future;
use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use crate::url::Endpoint;

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
        let url = format!("modbus+tcp://{}", listener.local_addr().unwrap());
        let stream = Tcp::new(url.parse().unwrap()).connect().await.unwrap();
        let socket = SockRef::from(&stream);
        assert!(socket.tcp_nodelay().unwrap());
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(UNACKNOWLEDGED));
        assert_eq!(socket.tcp_keepalive_time().unwrap(), KEEP_ALIVE.0);
    }
}
