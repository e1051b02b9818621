//! RTU: requests one by one, over a serial line or a gateway's socket, in the time that their characters take.
//!
//! Source: MODBUS over Serial Line, Specification and Implementation Guide V1.02, sections 2.4 and 2.5.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use serial2_tokio::{CharSize, FlowControl, SerialPort, Settings, StopBits};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::{Place, pause, stream};
use crate::crc::{self, crc};
use crate::listen::{Line, Parity, character};

/// Unit, PDU and check sum at most.
const MAX_FRAME: usize = 256;
/// Characters that an UART hands on at once.
const FIFO: usize = 16;
/// However fast the line: how long a sender that is no real-time system may stop within a frame.
const LEAST_SILENCE: Duration = Duration::from_millis(20);
/// How often a line that is gone is looked for.
const LOOK: Duration = Duration::from_millis(100);
/// A client that does not take its answer for so long loses it.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// A line, as fast as it is.
#[derive(Debug)]
struct Pace {
    /// What a character takes, where the simulator has to wait it out: neither a pseudo terminal nor a socket does.
    character: Option<Duration>,
    /// What ends a frame.
    silence: Duration,
    /// When the last answer's last character had passed; held while the line is in use.
    free: Mutex<Instant>,
}

impl Pace {
    fn new(real: Duration, simulated: bool) -> Self {
        Pace {
            character: simulated.then_some(real),
            silence: (real * 7 / 2).max(LEAST_SILENCE),
            free: Mutex::new(Instant::now()),
        }
    }

    fn of(&self, characters: usize) -> Duration {
        self.character.unwrap_or_default() * characters as u32
    }
}

/// Opens a serial port as the line is set.
pub(crate) fn open(line: &Line) -> io::Result<SerialPort> {
    SerialPort::open(&line.path, |mut settings: Settings| {
        settings.set_raw();
        settings.set_baud_rate(line.baud)?;
        settings.set_char_size(CharSize::Bits8);
        settings.set_flow_control(FlowControl::None);
        settings.set_stop_bits(match line.stop_bits {
            2 => StopBits::Two,
            _ => StopBits::One,
        });
        settings.set_parity(match line.parity {
            // A pseudo terminal knows no parity, and says so.
            _ if line.is_pseudo() => serial2_tokio::Parity::None,
            Parity::None => serial2_tokio::Parity::None,
            Parity::Even => serial2_tokio::Parity::Even,
            Parity::Odd => serial2_tokio::Parity::Odd,
        });
        Ok(settings)
    })
}

/// Serves the devices on a serial line until told to stop. A port that goes away is waited for.
pub(crate) async fn serve_line(line: Line, port: SerialPort, mut place: Place) {
    let pace = Pace::new(line.character(), line.is_pseudo());
    let mut port = Some(port);
    loop {
        if let Some(port) = port.take() {
            match converse(port, &mut place, &pace).await {
                Ok(()) => return,
                Err(error) => {
                    tracing::info!(port = %line.path.display(), %error, "the serial port went away")
                }
            }
        }
        tokio::select! {
            _ = place.stop.changed() => return,
            () = sleep(LOOK) => port = open(&line).ok(),
        }
    }
}

/// Serves the devices behind a gateway that carries RTU frames over TCP until told to stop.
pub(crate) async fn serve_gateway(listener: TcpListener, mut place: Place) {
    let baud = place.first().options().baud;
    let pace = Arc::new(match baud {
        Some(baud) => Pace::new(character(baud), true),
        None => Pace::new(Duration::ZERO, false),
    });
    let mut connections = JoinSet::new();
    while let Some(stream) = stream::accept(&listener, &mut place, &mut connections).await {
        let (mut place, pace) = (place.clone(), Arc::clone(&pace));
        connections.spawn(async move {
            // However it ended, there may be a next one.
            let _ = converse(stream, &mut place, &pace).await;
        });
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Answers what comes; ends well when told to stop, with an error when the way to the client is gone.
async fn converse<S>(mut stream: S, place: &mut Place, pace: &Pace) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut bytes: Vec<u8> = Vec::with_capacity(2 * MAX_FRAME);
    let mut count = 0;
    loop {
        let silent = tokio::select! {
            _ = place.stop.changed() => return Ok(()),
            read = stream.read_buf(&mut bytes) => {
                if read? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                false
            }
            () = sleep(pace.silence), if !bytes.is_empty() => true,
        };
        let begun = Instant::now();
        while let Some(length) = frame(&bytes, silent) {
            count += 1;
            let request: Vec<u8> = bytes.drain(..length).collect();
            let mut stop = place.stop.clone();
            tokio::select! {
                _ = stop.changed() => return Ok(()),
                done = exchange(&mut stream, &request, begun, count, place, pace) => done?,
            }
        }
        if silent {
            bytes.clear();
        }
        // Too long for a frame: nothing until the next silence.
        bytes.truncate(MAX_FRAME + 1);
    }
}

/// One request and its answer, if somebody has one.
async fn exchange<S: AsyncWrite + Unpin>(
    stream: &mut S,
    request: &[u8],
    begun: Instant,
    count: u64,
    place: &Place,
    pace: &Pace,
) -> io::Result<()> {
    let mut free = pace.free.lock().await;
    let heard = begun.max(*free) + pace.of(request.len());
    *free = heard;
    let (unit, pdu) = (request[0], &request[1..request.len() - 2]);
    // Nobody answers a broadcast, or for a unit that is not there; a write is noted all the same.
    let Some(device) = place.owner(unit).filter(|_| unit != 0) else {
        place.first().overhear(unit, pdu, place.clock.moment());
        sleep_until(heard).await;
        return Ok(());
    };
    let silence = pace.of(7) / 2;
    let Some((reply, took)) = device.reply(unit, pdu, place.clock.moment()) else {
        sleep_until(heard).await;
        return Ok(());
    };
    let mut passed = heard + silence + took + pause(device, count);
    sleep_until(passed).await;
    let mut answer = vec![unit];
    answer.extend(reply);
    crc::append(&mut answer);
    for piece in answer.chunks(if pace.character.is_some() { FIFO } else { MAX_FRAME }) {
        passed += pace.of(piece.len());
        sleep_until(passed).await;
        timeout(WRITE_TIMEOUT, stream.write_all(piece)).await??;
    }
    *free = passed;
    Ok(())
}

/// The length of the first request, once it is whole: as long as its function says, or until the silence.
fn frame(bytes: &[u8], silent: bool) -> Option<usize> {
    let sound = |length: &usize| {
        let frame = bytes.get(..*length);
        (4..=MAX_FRAME).contains(length) && frame.is_some_and(|frame| crc(frame) == 0)
    };
    let said = request_length(bytes).filter(sound);
    said.or_else(|| Some(bytes.len()).filter(|length| silent && sound(length)))
}

/// How long a request of this function is; `None` where that is not known, or not yet.
fn request_length(bytes: &[u8]) -> Option<usize> {
    match *bytes.get(1)? {
        1..=6 => Some(8),
        15 | 16 => Some(9 + usize::from(*bytes.get(6)?)),
        17 => Some(4),
        23 => Some(13 + usize::from(*bytes.get(10)?)),
        43 => Some(7),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_end_by_their_length_or_by_silence() {
        let with_crc = |bytes: &[u8]| {
            let mut frame = bytes.to_vec();
            crc::append(&mut frame);
            frame
        };
        // The specification's own example of a check sum: 0x1241 for 02 07.
        assert_eq!(with_crc(&[2, 7]), [2, 7, 0x41, 0x12]);
        let read = with_crc(&[1, 3, 0, 10, 0, 1]);
        assert_eq!(frame(&read, false), Some(8));
        assert_eq!(frame(&[&read[..], &[0xFF]].concat(), false), Some(8));
        assert_eq!(frame(&read[..7], true), None);
        assert_eq!(frame(&[&[0xFF], &read[..]].concat(), true), None);
        let write = with_crc(&[1, 16, 0, 10, 0, 1, 2, 0, 7]);
        assert_eq!(frame(&write, false), Some(11));
        assert_eq!(frame(&write[..6], false), None);
        let link = with_crc(&[1, 23, 0x40, 0, 0, 35, 0x40, 0, 0, 1, 2, 1, 12]);
        assert_eq!(frame(&link, false), Some(15));
        assert_eq!(frame(&link[..10], false), None);
        let unknown = with_crc(&[1, 0x41, 1, 2, 3]);
        assert_eq!(frame(&unknown, false), None);
        assert_eq!(frame(&unknown, true), Some(7));
        assert_eq!(frame(&with_crc(&[1; 300]), true), None);
    }
}
