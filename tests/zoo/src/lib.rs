//! The device zoo: simulated devices and wires that misbehave on demand, for Busbar's tests.
//!
//! A device comes from a site file ([`site`], [`gx`], [`meter`]); a [`Peer`] stands before it, misbehaves by
//! switch and notes every exchange, so that a test can ask whether what was published was really sent.

#![forbid(unsafe_code)]
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "it is part of tests: what cannot be set up fails the test, loudly"
)]

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use busbar_ledger::model::Ledger;
use busbar_simulate::{DEMO, Running, Site, start};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{Duration, timeout};

mod air;
mod conversation;
pub mod device;
mod fault;
mod frame;
pub mod judge;
pub mod line;
mod peer;
mod raw;
mod record;

pub use air::{Air, UdpPeer};
pub use busbar_simulate as simulate;
pub use fault::{Fault, Part};
pub use judge::{Evidence, Intent, Judge, Leave};
pub use line::Pair;
pub use peer::{LinePeer, Peer};
pub use raw::Raw;
pub use record::{Exchange, Record};

/// Every ledger of the repository, parsed once a process.
pub fn ledgers() -> &'static [Arc<Ledger>] {
    static ALL: OnceLock<Vec<Arc<Ledger>>> = OnceLock::new();
    ALL.get_or_init(|| {
        let mut files = Vec::new();
        find(
            Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../ledgers")),
            &mut files,
        );
        let ledgers = files.iter().filter_map(|file| {
            let name = file.display().to_string();
            let text = std::fs::read_to_string(file).expect("a ledger can be read");
            let is_ledger = text.lines().any(|line| line.starts_with("ledger"));
            let is_ledger = is_ledger && !name.ends_with(".sample.toml");
            let parse = || busbar_ledger::parse(&name, &text).unwrap_or_else(|errors| panic!("{errors}"));
            is_ledger.then(|| Arc::new(parse()))
        });
        ledgers.collect()
    })
}

fn find(dir: &Path, files: &mut Vec<PathBuf>) {
    let entries = std::fs::read_dir(dir).expect("the ledgers' directory can be read");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            find(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "toml") {
            files.push(path);
        }
    }
}

/// Serves a site file, every device on a free port of its own.
pub async fn site(text: &str) -> Running {
    let mut site = Site::parse("test", text).unwrap_or_else(|error| panic!("{error}"));
    site.on_free_ports();
    start(&site, ledgers())
        .await
        .unwrap_or_else(|error| panic!("{error}"))
}

/// Serves the demo's site: devices `gx` and `meter`.
pub async fn demo() -> Running {
    site(DEMO).await
}

/// Serves a GX called `gx` with these `[[device.service]]` tables.
pub async fn gx(services: &str) -> Running {
    let head = "[[device]]\nname = \"gx\"\nkind = \"gx\"\nlisten = \"modbus+tcp://127.0.0.1:0\"\n";
    site(&format!("{head}{services}")).await
}

/// Serves one plain meter called `demo-meter`: `generic/demo-meter` at unit 1.
pub async fn meter() -> Running {
    let site = Site::of_ledger(
        ledgers()
            .iter()
            .find(|ledger| ledger.name == "generic/demo-meter")
            .expect("the demo's meter"),
        "modbus+tcp://127.0.0.1:0",
    );
    start(&site.expect("its sample site is right"), ledgers())
        .await
        .expect("the meter stands")
}

/// A raw client of a device.
pub async fn connect(running: &Running, device: &str) -> Raw {
    let address = running.address(device).expect("a device of this name");
    Raw::connect(address)
        .await
        .expect("the device takes a connection")
}

/// A faithful peer in front of a device over TCP, in frames of Modbus TCP or of RTU as the device has them.
pub async fn peer(running: &Running, device: &str) -> Peer {
    let address = running.address(device).expect("a device of this name");
    let url = running.url(device).expect("its URL");
    let peer = if url.starts_with("modbus+rtu+tcp:") {
        Peer::before_gateway(address).await
    } else {
        Peer::before(address).await
    };
    peer.expect("a peer")
}

/// A faithful peer in front of a device over UDP.
pub async fn udp_peer(running: &Running, device: &str) -> UdpPeer {
    let address = running.address(device).expect("a device of this name");
    UdpPeer::before(address).await.expect("a peer")
}

/// An address on loopback where nobody listens.
pub async fn closed_port() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .expect("a free port");
    listener.local_addr().expect("its address")
}

/// An address that does not even complete a connection, as long as this is held.
#[derive(Debug)]
pub struct Unreachable {
    /// Where nobody answers.
    pub address: SocketAddr,
    _held: (TcpListener, Vec<TcpStream>),
}

/// A listener whose queue is full and that never accepts: the kernel drops what comes.
pub async fn unreachable() -> Unreachable {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).expect("a free port");
    let listener = socket.listen(1).expect("a listener");
    let address = listener.local_addr().expect("its address");
    let mut fillers = Vec::new();
    while let Ok(connected) = timeout(Duration::from_millis(200), TcpStream::connect(address)).await {
        fillers.push(connected.expect("a connection that waits"));
    }
    Unreachable {
        address,
        _held: (listener, fillers),
    }
}
