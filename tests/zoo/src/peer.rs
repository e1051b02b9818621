//! A peer between a client and a simulated device, that misbehaves when told to: over TCP, and over a serial line.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serial2_tokio::SerialPort;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

use crate::conversation::Setting;
use crate::fault::Fault;
use crate::frame::Wire;
use crate::line::Pair;
use crate::record::Record;

/// How often a line that is unplugged is looked for.
const LOOK: Duration = Duration::from_millis(20);

/// An order to behave like this, and whom to tell when that is done.
type Order = (Fault, oneshot::Sender<()>);

/// Stands in front of a device (or in front of nothing), notes every exchange, and misbehaves by switch. It ends
/// when it is dropped.
#[derive(Debug)]
pub struct Peer {
    address: SocketAddr,
    scheme: &'static str,
    orders: mpsc::Sender<Order>,
    record: Record,
    task: JoinHandle<()>,
}

impl Peer {
    /// A peer in front of a device that speaks Modbus TCP, faithful at first.
    ///
    /// # Errors
    /// No port on loopback could be had.
    pub async fn before(device: SocketAddr) -> io::Result<Peer> {
        Peer::start(Wire::Mbap, Some(device), Fault::None).await
    }

    /// A peer in front of a gateway that carries RTU frames over TCP, faithful at first.
    ///
    /// # Errors
    /// No port on loopback could be had.
    pub async fn before_gateway(gateway: SocketAddr) -> io::Result<Peer> {
        Peer::start(Wire::Rtu, Some(gateway), Fault::None).await
    }

    /// A peer with nothing behind it: it takes requests and never has an answer.
    ///
    /// # Errors
    /// No port on loopback could be had.
    pub async fn alone(fault: Fault) -> io::Result<Peer> {
        Peer::start(Wire::Mbap, None, fault).await
    }

    async fn start(wire: Wire, device: Option<SocketAddr>, fault: Fault) -> io::Result<Peer> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let (orders, inbox) = mpsc::channel(1);
        let record = Record::default();
        let host = Host {
            address,
            setting: Setting::new(wire, device, fault, &record),
        };
        let task = tokio::spawn(host.run(listener, inbox));
        let scheme = match wire {
            Wire::Mbap => "modbus+tcp",
            Wire::Rtu => "modbus+rtu+tcp",
        };
        Ok(Peer {
            address,
            scheme,
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
        format!("{}://{}", self.scheme, self.address)
    }

    /// Everything that went over it.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Behaves like this from now on; returns when it does.
    pub async fn turn(&self, fault: Fault) {
        turn(&self.orders, fault).await;
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The same on a serial line: it holds the device's end and has the device behind it, which is a gateway
/// (`modbus+rtu+tcp`). It ends when it is dropped.
#[derive(Debug)]
pub struct LinePeer {
    orders: mpsc::Sender<Order>,
    record: Record,
    task: JoinHandle<()>,
}

impl LinePeer {
    /// A peer on a line that is plugged in, faithful at first.
    ///
    /// # Errors
    /// The line cannot be opened.
    pub fn on(line: &Pair, gateway: SocketAddr) -> io::Result<LinePeer> {
        let path = line.device();
        let port = open(&path)?;
        let (orders, inbox) = mpsc::channel(1);
        let record = Record::default();
        let setting = Setting::new(Wire::Rtu, Some(gateway), Fault::None, &record);
        let task = tokio::spawn(stay(setting, path, port, inbox));
        Ok(LinePeer { orders, record, task })
    }

    /// Everything that went over it.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Behaves like this from now on; returns when it does. What is about connections is silence here.
    pub async fn turn(&self, fault: Fault) {
        turn(&self.orders, fault).await;
    }
}

impl Drop for LinePeer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn turn(orders: &mpsc::Sender<Order>, fault: Fault) {
    let (done, applied) = oneshot::channel();
    if orders.send((fault, done)).await.is_ok() {
        // Fails only when the peer is gone, and then it behaves like nothing at all.
        let _ = applied.await;
    }
}

fn open(path: &PathBuf) -> io::Result<SerialPort> {
    // A pseudo terminal takes any rate and follows none.
    SerialPort::open(path, 115_200)
}

/// Talks on a line, and waits for it when it is unplugged.
async fn stay(setting: Setting, path: PathBuf, port: SerialPort, mut inbox: mpsc::Receiver<Order>) {
    let mut port = Some(port);
    let mut conversation = JoinSet::new();
    loop {
        if let Some(port) = port.take() {
            conversation.spawn(setting.conversation().over_line(port));
        }
        tokio::select! {
            order = inbox.recv() => {
                let Some((fault, done)) = order else { return };
                setting.switch.send_replace(fault);
                let _: Result<(), ()> = done.send(());
            }
            Some(_) = conversation.join_next() => {}
            () = sleep(LOOK), if conversation.is_empty() => port = open(&path).ok(),
        }
    }
}

struct Host {
    address: SocketAddr,
    setting: Setting,
}

impl Host {
    async fn run(self, listener: TcpListener, mut inbox: mpsc::Receiver<Order>) {
        let mut listener = Some(listener);
        let mut connections = JoinSet::new();
        let mut applied = None;
        loop {
            let fault = self.setting.switch.borrow().clone();
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
                    self.setting.switch.send_replace(fault);
                    applied = Some(done);
                }
                Some(_) = connections.join_next() => {}
                stream = accept(listener.as_ref()) => {
                    let conversation = self.setting.conversation();
                    if fault != Fault::AcceptThenClose {
                        connections.spawn(conversation.over_tcp(stream));
                    }
                }
            }
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
