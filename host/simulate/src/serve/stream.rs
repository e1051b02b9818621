//! Modbus TCP: connections, and answers in the device's own time, in another order if it likes.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::{Place, mbap, pause};

/// Requests of one connection that wait for their answer; more are left in the socket.
const MAX_IN_FLIGHT: usize = 128;
/// Bytes taken from the socket before they are looked at.
const MAX_BUFFER: usize = 1024;
/// A client that does not take its answers for so long is dropped.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves the devices of one place until told to stop; ends when the last connection has.
pub(crate) async fn serve(listener: TcpListener, mut place: Place) {
    let mut connections = JoinSet::new();
    while let Some(stream) = accept(&listener, &mut place, &mut connections).await {
        connections.spawn(converse(stream, place.clone()));
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// The next connection that there is room for; `None` when told to stop.
pub(super) async fn accept(
    listener: &TcpListener,
    place: &mut Place,
    connections: &mut JoinSet<()>,
) -> Option<TcpStream> {
    loop {
        tokio::select! {
            _ = place.stop.changed() => return None,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let _ = stream.set_nodelay(true);
                    let device = place.first();
                    let room = connections.len() < device.options().connections;
                    let mut stats = device.stats();
                    stats.connections += 1;
                    if room {
                        return Some(stream);
                    }
                    stats.turned_away += 1;
                }
                Err(error) => {
                    // Out of file descriptors, most likely: they come back when connections end.
                    tracing::warn!(device = place.first().name, %error, "cannot accept a connection");
                    sleep(Duration::from_millis(100)).await;
                }
            },
        }
    }
}

/// An answer and when it is due; the number keeps those due together in order.
type Answer = Reverse<(Instant, u64, Vec<u8>)>;

async fn converse(mut stream: TcpStream, mut place: Place) {
    let (mut reader, mut writer) = stream.split();
    let mut bytes: Vec<u8> = Vec::new();
    let mut answers: BinaryHeap<Answer> = BinaryHeap::new();
    let mut count = 0;
    let mut open = true;
    while open || !answers.is_empty() {
        while answers.len() < MAX_IN_FLIGHT {
            let Ok(frame) = mbap::next_frame(&bytes) else {
                return;
            };
            let Some(frame) = frame else { break };
            count += 1;
            if let Some((answer, took, device)) = mbap::answer(&bytes[..frame], &place) {
                answers.push(Reverse((
                    Instant::now() + took + pause(device, count),
                    count,
                    answer,
                )));
            }
            bytes.drain(..frame);
        }
        while let Some(Reverse((due, ..))) = answers.peek()
            && *due <= Instant::now()
        {
            let Some(Reverse((_, _, answer))) = answers.pop() else {
                break;
            };
            tokio::select! {
                _ = place.stop.changed() => return,
                written = timeout(WRITE_TIMEOUT, writer.write_all(&answer)) => {
                    let Ok(Ok(())) = written else { return };
                }
            }
        }
        let due = answers.peek().map(|Reverse((due, ..))| *due);
        let more = open && answers.len() < MAX_IN_FLIGHT && bytes.len() < MAX_BUFFER;
        tokio::select! {
            _ = place.stop.changed() => return,
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
            read = reader.read_buf(&mut bytes), if more => match read {
                Ok(0) => open = false,
                Ok(_) => {}
                Err(_) => return,
            },
        }
    }
}
