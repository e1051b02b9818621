//! One client and the device behind it, over a stream that misbehaves: a connection, or a serial line.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serial2_tokio::SerialPort;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::fault::{Ending, Fault, Noise, Script, script};
use crate::frame::{Frame, Sender, Wire};
use crate::record::{Exchange, Record};

const BANNER: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\nServer: nginx\r\nConnection: close\r\n\r\n<html></html>\r\n";
/// Bytes taken at once.
const PIECE: usize = 512;

/// What all conversations of a peer have in common.
#[derive(Debug)]
pub(crate) struct Setting {
    pub(crate) wire: Wire,
    pub(crate) device: Option<SocketAddr>,
    pub(crate) switch: watch::Sender<Fault>,
    pub(crate) record: Record,
    pub(crate) began: Instant,
}

impl Setting {
    pub(crate) fn new(wire: Wire, device: Option<SocketAddr>, fault: Fault, record: &Record) -> Self {
        Setting {
            wire,
            device,
            switch: watch::channel(fault).0,
            record: record.clone(),
            began: Instant::now(),
        }
    }

    /// The next conversation; conversations are numbered from 1.
    pub(crate) fn conversation(&self) -> Conversation {
        Conversation {
            wire: self.wire,
            number: self.record.connection(),
            device: self.device,
            fault: self.switch.subscribe(),
            record: self.record.clone(),
            began: self.began,
        }
    }
}

/// The way to hear a client.
enum Ear {
    Tcp(OwnedReadHalf),
    Line(Arc<SerialPort>),
}

impl Ear {
    async fn read(&mut self, into: &mut Vec<u8>) -> io::Result<usize> {
        let mut piece = [0; PIECE];
        let length = match self {
            Ear::Tcp(reader) => reader.read(&mut piece).await?,
            Ear::Line(port) => port.read(&mut piece).await?,
        };
        into.extend(&piece[..length]);
        Ok(length)
    }
}

/// The way to speak to a client.
#[derive(Clone)]
enum Mouth {
    Tcp(Arc<Mutex<OwnedWriteHalf>>),
    Line(Arc<Mutex<Arc<SerialPort>>>),
}

impl Mouth {
    /// Sends pieces, with nobody's bytes in between, and a pause before each.
    async fn say(&self, pieces: &[Vec<u8>], gap: Duration) -> io::Result<()> {
        match self {
            Mouth::Tcp(writer) => {
                let mut writer = writer.lock().await;
                for piece in pieces {
                    pause(gap).await;
                    writer.write_all(piece).await?;
                }
            }
            Mouth::Line(port) => {
                let port = port.lock().await;
                for piece in pieces {
                    pause(gap).await;
                    port.write_all(piece).await?;
                }
            }
        }
        Ok(())
    }

    async fn reset(&self) {
        if let Mouth::Tcp(writer) = self {
            let _ = writer.lock().await.as_ref().set_zero_linger();
        }
    }
}

async fn pause(time: Duration) {
    if !time.is_zero() {
        sleep(time).await;
    }
}

/// A client, seen from a peer.
pub(crate) struct Conversation {
    wire: Wire,
    number: u64,
    device: Option<SocketAddr>,
    fault: watch::Receiver<Fault>,
    record: Record,
    began: Instant,
}

/// A request that the device has not answered yet.
struct Open {
    request: Frame,
    number: Option<usize>,
}

impl Conversation {
    pub(crate) async fn over_tcp(self, client: TcpStream) {
        let _ = client.set_nodelay(true);
        let (reader, writer) = client.into_split();
        self.hold(Ear::Tcp(reader), Mouth::Tcp(Arc::new(Mutex::new(writer))))
            .await;
    }

    pub(crate) async fn over_line(self, port: SerialPort) {
        let port = Arc::new(port);
        self.hold(
            Ear::Line(Arc::clone(&port)),
            Mouth::Line(Arc::new(Mutex::new(port))),
        )
        .await;
    }

    async fn hold(mut self, mut from_client: Ear, to_client: Mouth) {
        let (mut device_reader, mut device_writer) = match self.device {
            Some(device) => match TcpStream::connect(device).await {
                Ok(stream) => {
                    let _ = stream.set_nodelay(true);
                    let (reader, writer) = stream.into_split();
                    (Some(reader), Some(writer))
                }
                Err(_) => return,
            },
            None => (None, None),
        };
        let mut sending: JoinSet<Ending> = JoinSet::new();
        let (mut requests, mut answers) = (Vec::new(), Vec::new());
        let mut open = VecDeque::new();
        let mut count = 0;
        if *self.fault.borrow_and_update() == Fault::RandomBytes {
            sending.spawn(babble(to_client.clone(), self.fault.clone()));
        }
        loop {
            tokio::select! {
                read = from_client.read(&mut requests) => {
                    if !matches!(read, Ok(1..)) { return }
                    loop {
                        let frame = match self.wire.take(Sender::Client, &mut requests) {
                            Ok(Some(frame)) => frame,
                            Ok(None) => break,
                            Err(()) if self.wire == Wire::Mbap => return,
                            // No device hears a request with a wrong check sum.
                            Err(()) => { requests.clear(); break }
                        };
                        let fault = self.fault.borrow().clone();
                        count += 1;
                        let frame = self.numbered(frame, count);
                        let number = self.note(&frame);
                        match fault {
                            Fault::CloseAfterRequest => return,
                            Fault::HttpBanner => {
                                let _ = to_client.say(&[BANNER.to_vec()], Duration::ZERO).await;
                                return;
                            }
                            Fault::Refuse | Fault::AcceptThenClose | Fault::BlackHole | Fault::RandomBytes => continue,
                            Fault::DeadUnit(unit) if unit == frame.unit => continue,
                            _ => {}
                        }
                        let Some(device) = &mut device_writer else { continue };
                        if device.write_all(&frame.bytes(self.wire)).await.is_err() { return }
                        open.push_back(Open { request: frame, number });
                    }
                }
                read = read(device_reader.as_mut(), &mut answers) => {
                    if !matches!(read, Ok(1..)) { return }
                    while let Ok(Some(mut answer)) = self.wire.take(Sender::Device, &mut answers) {
                        let of = |open: &Open| {
                            let ours = self.wire == Wire::Rtu || open.request.transaction == answer.transaction;
                            ours && open.request.unit == answer.unit
                        };
                        let Some(place) = open.iter().position(of) else { continue };
                        // On a serial line, what was asked before it will not be answered any more.
                        let first = if self.wire == Wire::Rtu { 0 } else { place };
                        let Some(Open { request, number }) = open.drain(first..=place).next_back() else { continue };
                        answer.transaction = request.transaction;
                        let script = script(&self.fault.borrow(), self.wire, &request, &answer);
                        sending.spawn(send(to_client.clone(), script, self.record.clone(), number));
                    }
                }
                Some(ended) = sending.join_next() => match ended {
                    Ok(Ending::Keep) => {}
                    Ok(Ending::Close) | Err(_) => return,
                    Ok(Ending::Reset) => {
                        to_client.reset().await;
                        return;
                    }
                },
                changed = self.fault.changed() => {
                    if changed.is_err() { return }
                    if *self.fault.borrow_and_update() == Fault::RandomBytes {
                        sending.spawn(babble(to_client.clone(), self.fault.clone()));
                    }
                }
            }
        }
    }

    /// RTU requests have no number of their own.
    fn numbered(&self, mut frame: Frame, count: u16) -> Frame {
        if self.wire == Wire::Rtu {
            frame.transaction = count;
        }
        frame
    }

    fn note(&self, frame: &Frame) -> Option<usize> {
        self.record.request(Exchange {
            after: self.began.elapsed(),
            connection: self.number,
            transaction: frame.transaction,
            unit: frame.unit,
            request: frame.pdu.clone(),
            answer: None,
        })
    }
}

async fn read(reader: Option<&mut OwnedReadHalf>, into: &mut Vec<u8>) -> io::Result<usize> {
    match reader {
        Some(reader) => reader.read_buf(into).await,
        None => std::future::pending().await,
    }
}

/// Sends an answer as the script has it, and notes it when it was one.
async fn send(to: Mouth, script: Script, record: Record, number: Option<usize>) -> Ending {
    pause(script.wait).await;
    if to.say(&script.pieces, script.gap).await.is_err() {
        return Ending::Close;
    }
    if let Some(answer) = script.honest {
        record.answer(number, answer);
    }
    script.ending
}

/// Random bytes until the fault changes.
async fn babble(to: Mouth, fault: watch::Receiver<Fault>) -> Ending {
    let mut noise = Noise::new(0);
    while *fault.borrow() == Fault::RandomBytes {
        let bytes = noise.by_ref().take(64).collect();
        if to.say(&[bytes], Duration::ZERO).await.is_err() {
            return Ending::Close;
        }
        sleep(Duration::from_millis(10)).await;
    }
    Ending::Keep
}
