//! Modbus/UDP: one request a datagram, one answer a datagram.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep, sleep_until};

use super::{Place, mbap, pause};

/// Requests that wait for their answer; more are left in the socket.
const MAX_IN_FLIGHT: usize = 128;
/// Longer than any request: what fills it is none.
const MAX_DATAGRAM: usize = 512;

/// An answer, when it is due and where it goes; the number keeps those due together in order.
type Answer = Reverse<(Instant, u64, SocketAddr, Vec<u8>)>;

/// Serves the devices of one place until told to stop.
pub(crate) async fn serve(socket: UdpSocket, mut place: Place) {
    let mut buffer = [0; MAX_DATAGRAM];
    let mut answers: BinaryHeap<Answer> = BinaryHeap::new();
    let mut count = 0;
    loop {
        while let Some(Reverse((due, ..))) = answers.peek()
            && *due <= Instant::now()
        {
            let Some(Reverse((_, _, client, answer))) = answers.pop() else {
                break;
            };
            // A client that is gone misses nothing, and a full socket loses datagrams as a network does.
            let _ = socket.try_send_to(&answer, client);
        }
        let due = answers.peek().map(|Reverse((due, ..))| *due);
        tokio::select! {
            _ = place.stop.changed() => return,
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
            received = socket.recv_from(&mut buffer), if answers.len() < MAX_IN_FLIGHT => match received {
                Ok((length, client)) => {
                    let datagram = &buffer[..length];
                    // Exactly one frame, or it is none of ours.
                    if mbap::next_frame(datagram) != Ok(Some(length)) {
                        continue;
                    }
                    count += 1;
                    if let Some((answer, took, device)) = mbap::answer(datagram, &place) {
                        let due = Instant::now() + took + pause(device, count);
                        answers.push(Reverse((due, count, client, answer)));
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot receive a datagram");
                    sleep(Duration::from_millis(100)).await;
                }
            },
        }
    }
}
