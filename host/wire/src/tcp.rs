//! Connections over TCP.

use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use crate::endpoint::Host;
use crate::open::{Connect, ConnectError};

/// How long sent bytes may stay unacknowledged: so soon a half-open connection is found.
const UNACKNOWLEDGED: Duration = Duration::from_secs(5);
/// After how much quiet the connection is probed, and how often.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(1));

/// How long one address of several may take, so that a dead one (IPv6, often) does not use up the time of the
/// others.
const ONE_OF_SEVERAL: Duration = Duration::from_secs(1);

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
