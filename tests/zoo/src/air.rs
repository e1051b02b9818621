//! A peer between a client and a simulated device over UDP: a network that loses, doubles, delays and mixes.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use crate::fault::{Fault, Noise, script};
use crate::frame::{Frame, Sender, Wire};
use crate::record::{Exchange, Record};

/// The longest datagram that IPv4 carries.
const HUGE: usize = 65_507;
/// Longer than any message: the rest of a datagram is cut off.
const BUFFER: usize = 2048;
/// Answers that are under way at once; more are lost, as on a full network.
const MOST: usize = 10_000;

/// What a network does to datagrams. Chances are from 0 to 1; which datagrams they hit depends on `seed` and on the
/// number of the request alone.
#[derive(Clone, Debug, PartialEq)]
pub struct Air {
    /// Another seed, other datagrams.
    pub seed: u64,
    /// What the device's answers are made into, before the network gets them.
    pub fault: Fault,
    /// Requests that never arrive at the device.
    pub lose_requests: f64,
    /// Answers that never arrive at the client: the device has done what was asked.
    pub lose_answers: f64,
    /// Answers that arrive twice.
    pub double: f64,
    /// Answers that arrive later by `lateness`.
    pub late: f64,
    /// By how much.
    pub lateness: Duration,
    /// Answers that arrive behind the next one.
    pub reorder: f64,
    /// Answers that arrive in one datagram with the next one, behind it.
    pub merge: f64,
    /// Answers before which one with another transaction id comes, with other data.
    pub foreign: f64,
    /// Answers before which another with the right transaction id comes from another port, with other data.
    pub stranger: f64,
    /// Answers that are cut off in the middle.
    pub truncate: f64,
    /// Answers before which a datagram of 64 kB comes.
    pub oversize: f64,
    /// Answers before which a datagram of random bytes comes.
    pub garbage: f64,
    /// Nobody listens: the system says that the port is unreachable.
    pub closed: bool,
}

impl Default for Air {
    fn default() -> Self {
        Air {
            seed: 1,
            fault: Fault::None,
            lose_requests: 0.0,
            lose_answers: 0.0,
            double: 0.0,
            late: 0.0,
            lateness: Duration::ZERO,
            reorder: 0.0,
            merge: 0.0,
            foreign: 0.0,
            stranger: 0.0,
            truncate: 0.0,
            oversize: 0.0,
            garbage: 0.0,
            closed: false,
        }
    }
}

impl Air {
    /// Loses this part of all datagrams, requests and answers alike.
    pub fn lossy(part: f64) -> Air {
        Air {
            lose_requests: part,
            lose_answers: part,
            ..Air::default()
        }
    }
}

/// An order to behave like this, and whom to tell when that is done.
type Order = (Air, oneshot::Sender<()>);

/// Stands in front of a device that speaks Modbus/UDP and notes every exchange. It ends when it is dropped.
#[derive(Debug)]
pub struct UdpPeer {
    address: SocketAddr,
    orders: mpsc::Sender<Order>,
    record: Record,
    task: JoinHandle<()>,
}

impl UdpPeer {
    /// A peer in front of a device, faithful at first.
    ///
    /// # Errors
    /// No port on loopback could be had.
    pub async fn before(device: SocketAddr) -> io::Result<UdpPeer> {
        let front = UdpSocket::bind(("127.0.0.1", 0)).await?;
        let address = front.local_addr()?;
        let back = UdpSocket::bind(("127.0.0.1", 0)).await?;
        back.connect(device).await?;
        let (orders, inbox) = mpsc::channel(1);
        let record = Record::default();
        let network = Network {
            address,
            front: Some(front),
            back,
            stranger: UdpSocket::bind(("127.0.0.1", 0)).await?,
            air: Air::default(),
            record: record.clone(),
            began: Instant::now(),
            clients: BTreeMap::new(),
            count: 0,
            open: HashMap::new(),
            held: None,
            under_way: BinaryHeap::new(),
            sent: 0,
        };
        let task = tokio::spawn(network.run(inbox));
        Ok(UdpPeer {
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
        format!("modbus+udp://{}", self.address)
    }

    /// Everything that went over it. Clients are numbered in place of connections.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Behaves like this from now on; returns when it does.
    pub async fn turn(&self, air: Air) {
        let (done, applied) = oneshot::channel();
        if self.orders.send((air, done)).await.is_ok() {
            // Fails only when the peer is gone, and then it behaves like nothing at all.
            let _ = applied.await;
        }
    }
}

impl Drop for UdpPeer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A request that the device has not answered yet.
struct Open {
    client: SocketAddr,
    request: Frame,
    number: Option<usize>,
    /// Decides what becomes of the answer.
    noise: Noise,
}

/// Something on its way to a client.
#[derive(Clone)]
struct Datagram {
    client: SocketAddr,
    bytes: Vec<u8>,
    /// From another port.
    strange: bool,
    /// The answers in it that the client may believe, with the numbers of their exchanges.
    honest: Vec<(Option<usize>, Vec<u8>)>,
}

/// Orders what is under way by when it arrives, then by when it was sent.
struct Due(Instant, u64, Datagram);

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.1 == other.1
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0, self.1).cmp(&(other.0, other.1))
    }
}

struct Network {
    address: SocketAddr,
    front: Option<UdpSocket>,
    back: UdpSocket,
    stranger: UdpSocket,
    air: Air,
    record: Record,
    began: Instant,
    clients: BTreeMap<SocketAddr, u64>,
    /// Requests so far; also the transaction id towards the device.
    count: u64,
    open: HashMap<u16, Open>,
    /// An answer that waits for the next one, and whether it joins it in its datagram.
    held: Option<(Datagram, bool)>,
    under_way: BinaryHeap<Reverse<Due>>,
    sent: u64,
}

impl Network {
    async fn run(mut self, mut inbox: mpsc::Receiver<Order>) {
        let (mut from_client, mut from_device) = ([0; BUFFER], [0; BUFFER]);
        loop {
            self.arrive();
            let due = self.under_way.peek().map(|Reverse(due)| due.0);
            tokio::select! {
                order = inbox.recv() => {
                    let Some((air, done)) = order else { return };
                    if air.closed {
                        self.front = None;
                    } else if self.front.is_none() {
                        // Its own port is free again, unless a stranger took it meanwhile.
                        self.front = UdpSocket::bind(self.address).await.ok();
                    }
                    self.air = air;
                    let _: Result<(), ()> = done.send(());
                }
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
                heard = hear(self.front.as_ref(), &mut from_client) => {
                    if let Ok((length, client)) = heard {
                        self.request(&from_client[..length], client);
                    }
                }
                heard = self.back.recv(&mut from_device) => {
                    if let Ok(length) = heard {
                        self.answer(&from_device[..length]);
                    }
                }
            }
        }
    }

    /// Hands over what has arrived.
    fn arrive(&mut self) {
        while self
            .under_way
            .peek()
            .is_some_and(|Reverse(due)| due.0 <= Instant::now())
        {
            let Some(Reverse(Due(_, _, datagram))) = self.under_way.pop() else {
                return;
            };
            let socket = if datagram.strange {
                Some(&self.stranger)
            } else {
                self.front.as_ref()
            };
            let sent = socket.map(|socket| socket.try_send_to(&datagram.bytes, datagram.client));
            if matches!(sent, Some(Ok(_))) {
                for (number, answer) in datagram.honest {
                    self.record.answer(number, answer);
                }
            }
        }
    }

    fn request(&mut self, bytes: &[u8], client: SocketAddr) {
        let Ok(Some(request)) = Wire::Mbap.take(Sender::Client, &mut bytes.to_vec()) else {
            return;
        };
        let record = &self.record;
        let connection = *self.clients.entry(client).or_insert_with(|| record.connection());
        self.count += 1;
        let number = self.record.request(Exchange {
            after: self.began.elapsed(),
            connection,
            transaction: request.transaction,
            unit: request.unit,
            request: request.pdu.clone(),
            answer: None,
        });
        let mut noise = Noise::new(self.air.seed.wrapping_mul(0x1_0000_0001) ^ self.count);
        let dead = match self.air.fault {
            Fault::DeadUnit(unit) => unit == request.unit,
            Fault::BlackHole => true,
            _ => false,
        };
        if noise.chance(self.air.lose_requests) || dead {
            return;
        }
        let id = self.count as u16;
        let mut forwarded = request.clone();
        forwarded.transaction = id;
        self.open.insert(
            id,
            Open {
                client,
                request,
                number,
                noise,
            },
        );
        // A device that is gone does not answer, and that is all that a client sees of it.
        let _ = self.back.try_send(&forwarded.bytes(Wire::Mbap));
    }

    fn answer(&mut self, bytes: &[u8]) {
        let Ok(Some(mut answer)) = Wire::Mbap.take(Sender::Device, &mut bytes.to_vec()) else {
            return;
        };
        let Some(Open {
            client,
            request,
            number,
            mut noise,
        }) = self.open.remove(&answer.transaction)
        else {
            return;
        };
        answer.transaction = request.transaction;
        let air = self.air.clone();
        let poison = |change: u16| {
            let mut bad = answer.poisoned();
            bad.transaction ^= change;
            bad.bytes(Wire::Mbap)
        };
        let stray = |bytes: Vec<u8>, strange: bool| Datagram {
            client,
            bytes,
            strange,
            honest: Vec::new(),
        };
        if noise.chance(air.lose_answers) {
            return;
        }
        if noise.chance(air.foreign) {
            self.send(stray(poison(0x4000), false), Duration::ZERO);
        }
        if noise.chance(air.stranger) {
            self.send(stray(poison(0), true), Duration::ZERO);
        }
        if noise.chance(air.oversize) {
            let mut bytes = poison(0);
            bytes.resize(HUGE, 0xEE);
            self.send(stray(bytes, false), Duration::ZERO);
        }
        if noise.chance(air.garbage) {
            self.send(stray(noise.clone().take(40).collect(), false), Duration::ZERO);
        }
        let script = script(&air.fault, Wire::Mbap, &request, &answer);
        let mut datagram = stray(script.pieces.concat(), false);
        datagram.honest = script.honest.map(|pdu| (number, pdu)).into_iter().collect();
        if noise.chance(air.truncate) {
            datagram.bytes.truncate(datagram.bytes.len() / 2);
            datagram.honest.clear();
        }
        if datagram.bytes.is_empty() {
            return;
        }
        let late = script.wait
            + if noise.chance(air.late) {
                air.lateness
            } else {
                Duration::ZERO
            };
        let double = noise.chance(air.double);
        let joins = noise.chance(air.merge);
        if joins || noise.chance(air.reorder) {
            if let Some((before, _)) = self.held.replace((datagram, joins)) {
                self.send(before, Duration::ZERO);
            }
            return;
        }
        let mut behind = None;
        match self.held.take() {
            Some((held, true)) if held.client == client => {
                datagram.bytes.extend(held.bytes);
                datagram.honest.extend(held.honest);
            }
            Some((held, _)) => behind = Some(held),
            None => {}
        }
        if double {
            self.send(datagram.clone(), late);
        }
        self.send(datagram, late);
        if let Some(held) = behind {
            self.send(held, late);
        }
    }

    fn send(&mut self, datagram: Datagram, late: Duration) {
        if self.under_way.len() < MOST {
            self.sent += 1;
            let due = Due(Instant::now() + late, self.sent, datagram);
            self.under_way.push(Reverse(due));
        }
    }
}

async fn hear(socket: Option<&UdpSocket>, into: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
    match socket {
        Some(socket) => socket.recv_from(into).await,
        None => std::future::pending().await,
    }
}
