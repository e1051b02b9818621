//! Sockets for Modbus over UDP.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio::io::{Interest, ReadBuf};
use tokio::net::{UdpSocket, lookup_host};

use crate::datagrams::Datagrams;
use crate::endpoint::Host;
use crate::open::{Bind, ConnectError};

/// UDP to a host and port.
///
/// Whether an address is the right one, only its answers tell. So a name is resolved anew for each socket, IPv4
/// first (small devices rarely have more, and a name ending in `.local` often resolves to an IPv6 address that
/// they do not answer at), and while nothing is heard, each socket takes the next address.
#[derive(Debug)]
pub(crate) struct Udp {
    host: Host,
    /// The address of the last socket, and whether anything came from it.
    last: Option<(SocketAddr, Arc<AtomicBool>)>,
}

impl Udp {
    pub(crate) fn new(host: Host) -> Self {
        Udp { host, last: None }
    }

    /// The addresses, in the order in which they are to be tried.
    fn order(&self, mut addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
        addresses.sort_by_key(SocketAddr::is_ipv6);
        if let Some((last, heard)) = &self.last
            && let Some(position) = addresses.iter().position(|address| address == last)
        {
            let heard = heard.load(Ordering::Relaxed);
            addresses.rotate_left(if heard { position } else { position + 1 });
        }
        addresses
    }
}

impl Bind for Udp {
    type Socket = Connected;

    async fn bind(&mut self) -> Result<Connected, ConnectError> {
        let host = (self.host.name.as_str(), self.host.port);
        let addresses = lookup_host(host).await.map_err(ConnectError::UnknownHost)?;
        let nameless = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        let mut failure = ConnectError::UnknownHost(nameless);
        for address in self.order(addresses.collect()) {
            match connect(address).await {
                Ok(socket) => {
                    let heard = Arc::new(AtomicBool::new(false));
                    self.last = Some((address, heard.clone()));
                    return Ok(Connected::new(socket, heard));
                }
                Err(error) => failure = ConnectError::Failed(error),
            }
        }
        Err(failure)
    }
}

/// A connected socket: the system hands out only what came from the very address and port that was asked, and
/// tells when that port is closed. A stranger's datagrams cost nothing, and an answer that a router sends from
/// another address is a stranger's too.
pub(crate) struct Connected {
    socket: Arc<UdpSocket>,
    /// Ends with what the system says of the socket, that nobody listens on the port for example: it would not
    /// wake a reader for that.
    fault: Pin<Box<dyn Future<Output = io::Error> + Send>>,
    heard: Arc<AtomicBool>,
}

impl Connected {
    fn new(socket: UdpSocket, heard: Arc<AtomicBool>) -> Self {
        let socket = Arc::new(socket);
        Connected {
            fault: Box::pin(fault(socket.clone())),
            socket,
            heard,
        }
    }
}

/// Waits until the system says what is wrong with a socket.
async fn fault(socket: Arc<UdpSocket>) -> io::Error {
    let ask = || socket.take_error()?.ok_or(io::ErrorKind::WouldBlock.into());
    socket
        .async_io(Interest::ERROR, ask)
        .await
        .unwrap_or_else(|error| error)
}

impl Datagrams for Connected {
    fn poll_send(&mut self, cx: &mut Context<'_>, datagram: &[u8]) -> Poll<io::Result<()>> {
        self.socket.poll_send(cx, datagram).map_ok(|_| ())
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        if self.socket.poll_recv(cx, &mut buffer)?.is_pending() {
            return self.fault.as_mut().poll(cx).map(Err);
        }
        self.heard.store(true, Ordering::Relaxed);
        Poll::Ready(Ok(buffer.filled().len()))
    }
}

/// A socket on a port of its own, which hears one address.
async fn connect(address: SocketAddr) -> io::Result<UdpSocket> {
    let any: IpAddr = match address {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(address).await?;
    // Whatever came between these two steps may be anybody's.
    while socket.try_recv(&mut []).is_ok() {}
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn udp(last: Option<(&str, bool)>) -> Udp {
        Udp {
            host: Host {
                name: "meter.local".to_owned(),
                port: 502,
            },
            last: last.map(|(address, heard)| (address.parse().unwrap(), Arc::new(heard.into()))),
        }
    }

    #[test]
    fn silence_moves_on_to_the_next_address_and_an_answer_stays() {
        let resolved = || addresses(&["[fe80::1]:502", "10.0.0.2:502", "10.0.0.3:502"]);
        for (last, expected) in [
            (None, ["10.0.0.2:502", "10.0.0.3:502", "[fe80::1]:502"]),
            (
                Some(("10.0.0.2:502", false)),
                ["10.0.0.3:502", "[fe80::1]:502", "10.0.0.2:502"],
            ),
            (
                Some(("[fe80::1]:502", false)),
                ["10.0.0.2:502", "10.0.0.3:502", "[fe80::1]:502"],
            ),
            (
                Some(("10.0.0.3:502", true)),
                ["10.0.0.3:502", "[fe80::1]:502", "10.0.0.2:502"],
            ),
            (
                Some(("10.9.9.9:502", true)),
                ["10.0.0.2:502", "10.0.0.3:502", "[fe80::1]:502"],
            ),
        ] {
            assert_eq!(udp(last).order(resolved()), addresses(&expected), "{last:?}");
        }
        assert!(udp(None).order(vec![]).is_empty());
    }
}
