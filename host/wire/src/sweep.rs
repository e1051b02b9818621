//! One read to each of many addresses over UDP, from one socket: how a network is searched.
//!
//! An answer counts only when it comes from the address that was asked and fits that very request, by the checks that
//! a link makes.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use busbar_ledger::span::Span;
use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep_until};

use crate::check::{self, Answer};
use crate::frame;

/// Datagrams carry at most this much of what is of use: a few answers in one.
const DATAGRAM: usize = 2048;

/// What is asked, and how gently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sweep {
    /// The unit, the same everywhere.
    pub unit: u8,
    /// The registers.
    pub span: Span,
    /// Pause between two datagrams.
    pub pace: Duration,
    /// How long the last one is waited for.
    pub patience: Duration,
}

/// Asks every address once and returns those that answered, be it with an exception, in the order of their answers.
/// `told` is called with the number of addresses asked so far.
///
/// # Errors
/// When the socket cannot be made or breaks; an address that cannot be sent to is passed over. More than 65,536
/// addresses, or a span that no read can ask for, is an invalid input.
pub async fn sweep(
    what: Sweep,
    addresses: &[SocketAddrV4],
    mut told: impl FnMut(usize),
) -> io::Result<Vec<SocketAddrV4>> {
    let fits = check::request(what.span).is_ok() && addresses.len() <= usize::from(u16::MAX) + 1;
    if !fits {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
    let pdu = check::read_pdu(what.span);
    let mut heard = Vec::new();
    let mut input = vec![0; DATAGRAM];
    let mut request = Vec::with_capacity(frame::MAX_FRAME);
    let (mut sent, mut next) = (0, Instant::now());
    loop {
        tokio::select! {
            got = socket.recv_from(&mut input) => {
                let (length, SocketAddr::V4(source)) = got? else { continue };
                if !heard.contains(&source) && is_answer(what, addresses, source, &input[..length]) {
                    heard.push(source);
                }
            }
            () = sleep_until(next) => {
                // The place of an address is its transaction id.
                let (Ok(id), Some(address)) = (u16::try_from(sent), addresses.get(sent)) else {
                    return Ok(heard);
                };
                request.clear();
                frame::encode(id, what.unit, &pdu, &mut request);
                // No route, no permission: nobody is there for us.
                let _ = socket.send_to(&request, address).await;
                sent += 1;
                told(sent);
                next = Instant::now() + if sent == addresses.len() { what.patience } else { what.pace };
            }
        }
    }
}

/// Whether a datagram holds the answer to what its source was asked. All messages in it are looked at. Pure.
fn is_answer(what: Sweep, addresses: &[SocketAddrV4], source: SocketAddrV4, mut bytes: &[u8]) -> bool {
    while let Ok(Some(frame)) = frame::decode(bytes) {
        let asked = addresses.get(usize::from(frame.id)) == Some(&source);
        let answer = check::answer(what.unit, what.span, frame.unit, frame.pdu);
        if asked && matches!(answer, Ok(Answer::Words(_) | Answer::Exception(_))) {
            return true;
        }
        bytes = &bytes[frame.len()..];
    }
    false
}

#[cfg(test)]
mod tests {
    use busbar_ledger::span::Function;

    use super::*;

    const WHAT: Sweep = Sweep {
        unit: 1,
        span: Span {
            function: Function::Holding,
            at: 0x1000,
            count: 1,
        },
        pace: Duration::from_millis(1),
        patience: Duration::from_secs(5),
    };

    fn framed(id: u16, unit: u8, pdu: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        frame::encode(id, unit, pdu, &mut out);
        out
    }

    #[test]
    fn only_the_answer_of_who_was_asked_counts() {
        let address = |n| SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, n), 502);
        let asked = [address(1), address(2)];
        let right = framed(1, 1, &[3, 2, 0xA1, 0xB1]);
        assert!(is_answer(WHAT, &asked, address(2), &right));
        assert!(is_answer(WHAT, &asked, address(2), &framed(1, 1, &[0x83, 2])));
        // Behind a foreign message in the same datagram.
        let merged = [framed(9, 1, &[3, 2, 0, 0]), right.clone()].concat();
        assert!(is_answer(WHAT, &asked, address(2), &merged));
        let port = SocketAddrV4::new(*address(2).ip(), 503);
        for (source, bytes) in [
            (address(1), right.clone()),
            (address(3), right.clone()),
            (port, right.clone()),
            (address(2), framed(0, 1, &[3, 2, 0xA1, 0xB1])),
            (address(2), framed(1, 2, &[3, 2, 0xA1, 0xB1])),
            (address(2), framed(1, 1, &[4, 2, 0xA1, 0xB1])),
            (address(2), framed(1, 1, &[3, 4, 0xA1, 0xB1, 0, 0])),
            (address(2), right[..10].to_vec()),
            (address(2), b"HTTP/1.1 400 Bad Request".to_vec()),
            (address(2), Vec::new()),
        ] {
            assert!(!is_answer(WHAT, &asked, source, &bytes), "{source} {bytes:?}");
        }
    }

    #[tokio::test]
    async fn who_answers_is_found_among_those_who_do_not() {
        let device = UdpSocket::bind((Ipv4Addr::new(127, 0, 7, 2), 0)).await.unwrap();
        let port = device.local_addr().unwrap().port();
        tokio::spawn(async move {
            let mut input = [0; 260];
            while let Ok((length, source)) = device.recv_from(&mut input).await {
                assert_eq!(length, 12);
                let id = u16::from_be_bytes([input[0], input[1]]);
                let answer = framed(id, 1, &[3, 2, 0xA1, 0xB1]);
                device.send_to(&answer, source).await.unwrap();
            }
        });
        let addresses: Vec<_> = (1..=3)
            .map(|n| SocketAddrV4::new(Ipv4Addr::new(127, 0, 7, n), port))
            .collect();
        let mut asked = 0;
        let found = sweep(
            Sweep {
                patience: Duration::from_secs(1),
                ..WHAT
            },
            &addresses,
            |n| asked = n,
        )
        .await
        .unwrap();
        assert_eq!((found, asked), (vec![addresses[1]], 3));
    }
}
