//! A peer between a client and a simulated device, that misbehaves when told to.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep};

use crate::fault::{Ending, Fault, Frame, Script, script};
use crate::record::{Exchange, Record};

const BANNER: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\nServer: nginx\r\nConnection: close\r\n\r\n<html></html>\r\n";

/// Stands in front of a device (or in front of nothing), notes every exchange, and misbehaves by switch. It ends
/// when it is dropped.
#[derive(Debug)]
pub struct Peer {
    address: SocketAddr,
    orders: mpsc::Sender<(Fault, oneshot::Sender<()>)>,
    record: Record,
    task: JoinHandle<()>,
}

impl Peer {
    /// A peer in front of a device, faithful at first.
    ///
    /// # Errors
    /// No port on loopback could be had.
    pub async fn before(device: SocketAddr) -> io::Result<Peer> {
        Peer::start(Some(device), Fault::None).await
    }

    /// A peer with nothing behind it: it takes requests and never has an answer.
    ///
    /// # Errors
    /// No port on loopback could be had.
    pub async fn alone(fault: Fault) -> io::Result<Peer> {
        Peer::start(None, fault).await
    }

    async fn start(device: Option<SocketAddr>, fault: Fault) -> io::Result<Peer> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let (orders, inbox) = mpsc::channel(1);
        let record = Record::default();
        let (switch, _) = watch::channel(fault);
        let host = Host {
            address,
            device,
            switch,
            record: record.clone(),
            began: Instant::now(),
        };
        let task = tokio::spawn(host.run(listener, inbox));
        Ok(Peer {
            address,
            orders,
            record,
            task,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL, as Busbar takes it.
    pub fn url(&self) -> String {
        format!("modbus+tcp://{}", self.address)
    }

    /// Everything that went over it.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Behaves like this from now on; returns when it does.
    pub async fn turn(&self, fault: Fault) {
        let (done, applied) = oneshot::channel();
        if self.orders.send((fault, done)).await.is_ok() {
            // Fails only when the peer is gone, and then it behaves like nothing at all.
            let _ = applied.await;
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Host {
    address: SocketAddr,
    device: Option<SocketAddr>,
    switch: watch::Sender<Fault>,
    record: Record,
    began: Instant,
}

impl Host {
    async fn run(self, listener: TcpListener, mut inbox: mpsc::Receiver<(Fault, oneshot::Sender<()>)>) {
        let mut listener = Some(listener);
        let mut connections = JoinSet::new();
        let mut applied = None;
        loop {
            let fault = self.switch.borrow().clone();
            if matches!(fault, Fault::Refuse | Fault::AcceptThenClose) {
                connections.shutdown().await;
            }
            if fault == Fault::Refuse {
                listener = None;
            } else if listener.is_none() {
                // Its own port is free again, unless a stranger took it meanwhile.
                listener = TcpListener::bind(self.address).await.ok();
            }
            if let Some(applied) = applied.take() {
                let _: Result<(), ()> = oneshot::Sender::send(applied, ());
            }
            tokio::select! {
                order = inbox.recv() => {
                    let Some((fault, done)) = order else { return };
                    self.switch.send_replace(fault);
                    applied = Some(done);
                }
                Some(_) = connections.join_next() => {}
                stream = accept(listener.as_ref()) => {
                    let number = self.record.connection();
                    if fault != Fault::AcceptThenClose {
                        connections.spawn(self.conversation(number).hold(stream));
                    }
                }
            }
        }
    }

    fn conversation(&self, number: u64) -> Conversation {
        Conversation {
            number,
            device: self.device,
            fault: self.switch.subscribe(),
            record: self.record.clone(),
            began: self.began,
        }
    }
}

async fn accept(listener: Option<&TcpListener>) -> TcpStream {
    loop {
        match listener {
            None => std::future::pending().await,
            Some(listener) => match listener.accept().await {
                Ok((stream, _)) => return stream,
                Err(_) => sleep(Duration::from_millis(10)).await,
            },
        }
    }
}

struct Conversation {
    number: u64,
    device: Option<SocketAddr>,
    fault: watch::Receiver<Fault>,
    record: Record,
    began: Instant,
}

/// A request that the device has not answered yet.
struct Open {
    transaction: u16,
    unit: u8,
    number: Option<usize>,
}

impl Conversation {
    async fn hold(mut self, client: TcpStream) {
        let _ = client.set_nodelay(true);
        let (mut from_client, to_client) = client.into_split();
        let to_client = Arc::new(Mutex::new(to_client));
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
        if *self.fault.borrow_and_update() == Fault::RandomBytes {
            sending.spawn(babble(Arc::clone(&to_client), self.fault.clone()));
        }
        loop {
            tokio::select! {
                read = from_client.read_buf(&mut requests) => {
                    if !matches!(read, Ok(1..)) { return }
                    loop {
                        let frame = match Frame::take(&mut requests) {
                            Ok(Some(frame)) => frame,
                            Ok(None) => break,
                            Err(()) => return,
                        };
                        let fault = self.fault.borrow().clone();
                        let number = self.note(&frame);
                        match fault {
                            Fault::CloseAfterRequest => return,
                            Fault::HttpBanner => {
                                let _ = to_client.lock().await.write_all(BANNER).await;
                                return;
                            }
                            Fault::BlackHole | Fault::RandomBytes => continue,
                            Fault::DeadUnit(unit) if unit == frame.unit => continue,
                            _ => {}
                        }
                        let Some(device) = &mut device_writer else { continue };
                        open.push_back(Open { transaction: frame.transaction, unit: frame.unit, number });
                        if device.write_all(&frame.bytes()).await.is_err() { return }
                    }
                }
                read = read(device_reader.as_mut(), &mut answers) => {
                    if !matches!(read, Ok(1..)) { return }
                    while let Ok(Some(answer)) = Frame::take(&mut answers) {
                        let of = |open: &Open| open.transaction == answer.transaction && open.unit == answer.unit;
                        let Some(place) = open.iter().position(of) else { continue };
                        let number = open.remove(place).and_then(|open| open.number);
                        let script = script(&self.fault.borrow(), &answer);
                        sending.spawn(send(Arc::clone(&to_client), script, self.record.clone(), number));
                    }
                }
                Some(ended) = sending.join_next() => match ended {
                    Ok(Ending::Keep) => {}
                    Ok(Ending::Close) | Err(_) => return,
                    Ok(Ending::Reset) => {
                        let _ = to_client.lock().await.as_ref().set_zero_linger();
                        return;
                    }
                },
                changed = self.fault.changed() => {
                    if changed.is_err() { return }
                    if *self.fault.borrow_and_update() == Fault::RandomBytes {
                        sending.spawn(babble(Arc::clone(&to_client), self.fault.clone()));
                    }
                }
            }
        }
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

async fn read(reader: Option<&mut tokio::net::tcp::OwnedReadHalf>, into: &mut Vec<u8>) -> io::Result<usize> {
    match reader {
        Some(reader) => reader.read_buf(into).await,
        None => std::future::pending().await,
    }
}

/// Sends an answer as the script has it, and notes it when it was one.
async fn send(
    to: Arc<Mutex<OwnedWriteHalf>>,
    script: Script,
    record: Record,
    number: Option<usize>,
) -> Ending {
    if !script.wait.is_zero() {
        sleep(script.wait).await;
    }
    let mut to = to.lock().await;
    for piece in &script.pieces {
        if !script.gap.is_zero() {
            sleep(script.gap).await;
        }
        if to.write_all(piece).await.is_err() {
            return Ending::Close;
        }
    }
    if let Some(answer) = script.honest {
        record.answer(number, answer);
    }
    script.ending
}

/// Random bytes until the fault changes.
async fn babble(to: Arc<Mutex<OwnedWriteHalf>>, fault: watch::Receiver<Fault>) -> Ending {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    while *fault.borrow() == Fault::RandomBytes {
        let bytes: [u8; 64] = std::array::from_fn(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        });
        if to.lock().await.write_all(&bytes).await.is_err() {
            return Ending::Close;
        }
        sleep(Duration::from_millis(10)).await;
    }
    Ending::Keep
}
