//! Modbus TCP, seen from the device: connections, frames, and answers in the device's own time.
//!
//! Small instead of borrowed: the server of tokio-modbus answers one request at a time, and a GX takes several
//! and may answer them in another order.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::device::{Device, Moment};
use crate::house::mix;

/// Requests of one connection that wait for their answer; more are left in the socket.
const MAX_IN_FLIGHT: usize = 128;
/// Bytes taken from the socket before they are looked at.
const MAX_BUFFER: usize = 1024;
/// A client that does not take its answers for so long is dropped.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// How far answers are spread when they are shuffled and no delay is set.
const SHUFFLE: Duration = Duration::from_millis(3);

/// The site's clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn start() -> Self {
        Clock(Instant::now())
    }

    fn moment(self) -> Moment {
        let unix = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        Moment {
            elapsed: self.0.elapsed(),
            unix,
        }
    }
}

/// Serves one device until told to stop; ends when the last connection has.
pub(crate) async fn serve(
    listener: TcpListener,
    device: Arc<Device>,
    clock: Clock,
    mut stop: watch::Receiver<()>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = stop.changed() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let room = connections.len() < device.options().connections;
                    let mut stats = device.stats();
                    stats.connections += 1;
                    if room {
                        connections.spawn(converse(stream, Arc::clone(&device), clock, stop.clone()));
                    } else {
                        stats.turned_away += 1;
                    }
                }
                Err(error) => {
                    // Out of file descriptors, most likely: they come back when connections end.
                    tracing::warn!(device = device.name, %error, "cannot accept a connection");
                    sleep(Duration::from_millis(100)).await;
                }
            },
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// An answer and when it is due; the number keeps those due together in order.
type Answer = Reverse<(Instant, u64, Vec<u8>)>;

async fn converse(mut stream: TcpStream, device: Arc<Device>, clock: Clock, mut stop: watch::Receiver<()>) {
    let _ = stream.set_nodelay(true);
    let (mut reader, mut writer) = stream.split();
    let mut bytes: Vec<u8> = Vec::new();
    let mut answers: BinaryHeap<Answer> = BinaryHeap::new();
    let mut count = 0;
    let mut open = true;
    while open || !answers.is_empty() {
        while answers.len() < MAX_IN_FLIGHT {
            let Ok(frame) = next_frame(&bytes) else { return };
            let Some(frame) = frame else { break };
            count += 1;
            let answer = answer(&bytes[..frame], &device, clock);
            answers.push(Reverse((Instant::now() + pause(&device, count), count, answer)));
            bytes.drain(..frame);
        }
        while let Some(Reverse((due, ..))) = answers.peek()
            && *due <= Instant::now()
        {
            let Some(Reverse((_, _, answer))) = answers.pop() else {
                break;
            };
            tokio::select! {
                _ = stop.changed() => return,
                written = timeout(WRITE_TIMEOUT, writer.write_all(&answer)) => {
                    let Ok(Ok(())) = written else { return };
                }
            }
        }
        let due = answers.peek().map(|Reverse((due, ..))| *due);
        let more = open && answers.len() < MAX_IN_FLIGHT && bytes.len() < MAX_BUFFER;
        tokio::select! {
            _ = stop.changed() => return,
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
            read = reader.read_buf(&mut bytes), if more => match read {
                Ok(0) => open = false,
                Ok(_) => {}
                Err(_) => return,
            },
        }
    }
}

/// The length of the first frame, once all of it is there; an error when no frame can begin like this.
fn next_frame(bytes: &[u8]) -> Result<Option<usize>, io::ErrorKind> {
    let Some(head) = bytes.get(..6) else {
        return Ok(None);
    };
    let length = usize::from(u16::from_be_bytes([head[4], head[5]]));
    if head[2..4] != [0, 0] || !(2..=254).contains(&length) {
        return Err(io::ErrorKind::InvalidData);
    }
    Ok((bytes.len() >= 6 + length).then_some(6 + length))
}

/// The answer to a whole frame, as a frame.
fn answer(frame: &[u8], device: &Device, clock: Clock) -> Vec<u8> {
    let unit = frame[6];
    let pdu = device.answer(unit, &frame[7..], clock.moment());
    let mut answer = frame[..4].to_vec();
    answer.extend((pdu.len() as u16 + 1).to_be_bytes());
    answer.push(unit);
    answer.extend(pdu);
    answer
}

/// How long this answer takes.
fn pause(device: &Device, count: u64) -> Duration {
    let options = device.options();
    if !options.shuffle {
        return options.delay;
    }
    let part = (mix(count) >> 11) as f64 / (1u64 << 53) as f64;
    if options.delay.is_zero() {
        SHUFFLE.mul_f64(part)
    } else {
        options.delay.mul_f64(0.2 + 1.6 * part)
    }
}
