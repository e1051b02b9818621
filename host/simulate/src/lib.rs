//! Serves Busbar ledgers as simulated devices over real sockets.
//!
//! A [`Site`] says which devices there are and what their values do; [`start`] serves them. The devices are
//! described by the same ledgers that read them, and a Victron GX follows the rules that were measured on the
//! vendor's own server.
//!
//! Invariant: values depend on the site file and the time alone, and nothing is worked out before it is asked.

#![forbid(unsafe_code)]

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use busbar_ledger::model::Ledger;
use busbar_ledger::value::Value;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::watch;
use tokio::task::JoinSet;

pub mod capture;
pub mod crc;
mod device;
mod error;
mod expression;
mod file;
mod gx;
mod house;
mod identity;
mod image;
mod link;
mod listen;
mod onwrite;
mod options;
mod pdu;
mod plain;
mod replay;
mod sample;
mod serve;
mod sheet;
mod site;
mod stats;
mod telegram;
mod words;

pub use error::{SimulateError, SiteError};
pub use onwrite::OnWrite;
pub use options::Options;
pub use site::Site;
pub use stats::{Stats, Write};

use device::Device;
use house::House;
use identity::Identity;
use listen::{Listen, Socket};
use serve::{Clock, Place};
use sheet::Put;
use site::Cell;

/// The site of the demo: a house with a GX and a meter.
pub const DEMO: &str = include_str!("../sites/demo.toml");

/// What a point holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// This value, from now on.
    Value(Value),
    /// This pattern of bits, whatever it means, from now on.
    Raw(u64),
    /// Another of these patterns at each request, in turn: never two requests alike.
    Turns(Vec<u64>),
    /// The device has the point and knows no value for it.
    Invalid,
    /// The device does not have the point.
    Absent,
    /// What the site file says.
    Given,
}

/// A site that is being served. It ends when this is dropped; [`Running::stop`] waits for that.
#[derive(Debug)]
pub struct Running {
    devices: Vec<Served>,
    ledgers: Vec<Arc<Ledger>>,
    clock: Clock,
    stop: watch::Sender<()>,
    tasks: JoinSet<()>,
}

/// A device and where it really is.
#[derive(Debug)]
struct Served {
    device: Arc<Device>,
    url: String,
    /// `None` on a serial line.
    address: Option<SocketAddr>,
}

/// Serves a site. `ledgers` are all that are known: a GX refuses addresses of services that it lacks and
/// addresses that no service has differently.
///
/// # Errors
/// The site names a ledger or a point that does not exist or cannot hold its value, or an address is taken.
pub async fn start(site: &Site, ledgers: &[Arc<Ledger>]) -> Result<Running, SimulateError> {
    let house = Arc::new(House::new(site.plan.clone()));
    let (stop, stopped) = watch::channel(());
    let clock = Clock::start();
    let mut devices = Vec::with_capacity(site.devices.len());
    for spec in &site.devices {
        devices.push(Arc::new(Device::new(
            &site.file,
            spec,
            Arc::clone(&house),
            ledgers,
        )?));
    }
    let mut tasks = JoinSet::new();
    let mut served: Vec<Served> = Vec::with_capacity(devices.len());
    for (spec, device) in site.devices.iter().zip(&devices) {
        // The first device of a place serves it for all.
        if let Some(first) = served.get(spec.place) {
            let (url, address) = (first.url.clone(), first.address);
            served.push(Served {
                device: Arc::clone(device),
                url,
                address,
            });
            continue;
        }
        let together = site.devices.iter().zip(&devices);
        let place = Place {
            devices: together
                .filter(|(other, _)| other.place == spec.place)
                .map(|(_, device)| Arc::clone(device))
                .collect(),
            clock,
            stop: stopped.clone(),
        };
        let bound = bind(&spec.listen, place, &mut tasks).await;
        let (listen, address) = bound.map_err(|source| SimulateError::Listen {
            url: spec.listen.to_string(),
            source,
        })?;
        served.push(Served {
            device: Arc::clone(device),
            url: listen.to_string(),
            address,
        });
    }
    Ok(Running {
        devices: served,
        ledgers: ledgers.to_vec(),
        clock,
        stop,
        tasks,
    })
}

/// Listens, and says where that really is.
async fn bind(
    listen: &Listen,
    place: Place,
    tasks: &mut JoinSet<()>,
) -> io::Result<(Listen, Option<SocketAddr>)> {
    let here = |address: SocketAddr| Socket {
        host: address.ip().to_string(),
        port: address.port(),
    };
    match listen {
        Listen::Tcp(socket) => {
            let listener = TcpListener::bind((socket.host.as_str(), socket.port)).await?;
            let address = listener.local_addr()?;
            tasks.spawn(serve::stream::serve(listener, place));
            Ok((Listen::Tcp(here(address)), Some(address)))
        }
        Listen::Udp(socket) => {
            let socket = UdpSocket::bind((socket.host.as_str(), socket.port)).await?;
            let address = socket.local_addr()?;
            tasks.spawn(serve::datagram::serve(socket, place));
            Ok((Listen::Udp(here(address)), Some(address)))
        }
        Listen::RtuOverTcp(socket) => {
            let listener = TcpListener::bind((socket.host.as_str(), socket.port)).await?;
            let address = listener.local_addr()?;
            tasks.spawn(serve::rtu::serve_gateway(listener, place));
            Ok((Listen::RtuOverTcp(here(address)), Some(address)))
        }
        Listen::Rtu(line) => {
            let port = serve::rtu::open(line)?;
            tasks.spawn(serve::rtu::serve_line(line.clone(), port, place));
            Ok((listen.clone(), None))
        }
        Listen::P1OverTcp(socket) => {
            let listener = TcpListener::bind((socket.host.as_str(), socket.port)).await?;
            let address = listener.local_addr()?;
            tasks.spawn(serve::telegrams::serve(listener, place));
            Ok((Listen::P1OverTcp(here(address)), Some(address)))
        }
    }
}

/// Patterns as the registers of a point.
fn raw(ledger: &Ledger, point: usize, patterns: &[u64]) -> Result<Cell, String> {
    let point = &ledger.points[point];
    let (Some(register), false) = (point.register(), patterns.is_empty()) else {
        return Err(format!("`{}` has no register, or was given nothing", point.key));
    };
    let words = |&pattern: &u64| {
        let words = words::spread(pattern.into(), register.span.count.into());
        words::in_order(words, register.order)
    };
    Ok(Cell::Words(patterns.iter().map(words).collect()))
}

impl Running {
    /// The devices' names and URLs, in the order of the file.
    pub fn devices(&self) -> impl Iterator<Item = (&str, &str)> {
        self.devices
            .iter()
            .map(|served| (served.device.name.as_str(), served.url.as_str()))
    }

    /// Where a device on a network listens; `None` also for one on a serial line.
    pub fn address(&self, device: &str) -> Option<SocketAddr> {
        self.served(device)?.address
    }

    /// A device's URL, as Busbar takes it.
    pub fn url(&self, device: &str) -> Option<String> {
        self.served(device).map(|served| served.url.clone())
    }

    /// When the site started, from which [`Write::after`] counts.
    pub fn began(&self) -> SystemTime {
        self.clock.began()
    }

    /// What a device was asked so far.
    pub fn stats(&self, device: &str) -> Option<Stats> {
        self.device(device).map(|device| device.stats().clone())
    }

    /// Changes a device's options from the next request on; `false` where there is no such device.
    pub fn change(&self, device: &str, change: impl FnOnce(&mut Options)) -> bool {
        self.device(device)
            .map(|device| change(&mut device.options()))
            .is_some()
    }

    /// Gives a point another content from the next request on.
    ///
    /// # Errors
    /// A sentence that says what does not exist, or why the point cannot hold the value.
    pub fn set(
        &self,
        device: &str,
        unit: u8,
        ledger: &str,
        key: &str,
        content: Content,
    ) -> Result<(), String> {
        let target = self
            .device(device)
            .ok_or_else(|| format!("there is no device `{device}`"))?;
        let (known, point) = self.point(ledger, key)?;
        let put = match content {
            Content::Value(value) => Put::Cell(Cell::Fixed(value)),
            Content::Raw(pattern) => Put::Cell(raw(known, point, &[pattern])?),
            Content::Turns(patterns) => Put::Cell(raw(known, point, &patterns)?),
            Content::Invalid => Put::Cell(Cell::Invalid),
            Content::Absent => Put::Nothing,
            Content::Given => Put::Given,
        };
        if let Put::Cell(cell) = &put {
            sheet::fits(known, point, cell)?;
        }
        if target.set(unit, ledger, point, put) {
            Ok(())
        } else {
            Err(format!("`{device}` has no {ledger} at unit {unit}"))
        }
    }

    /// Says how a point takes writes from the next one on; the default is what its ledger says.
    ///
    /// # Errors
    /// A sentence that says what does not exist, or why the point cannot take writes in this way.
    pub fn on_write(
        &self,
        device: &str,
        unit: u8,
        ledger: &str,
        key: &str,
        on: OnWrite,
    ) -> Result<(), String> {
        let target = self
            .device(device)
            .ok_or_else(|| format!("there is no device `{device}`"))?;
        let (known, point) = self.point(ledger, key)?;
        sheet::can_be(known, point, &on)?;
        if target.on_write(unit, ledger, point, on) {
            Ok(())
        } else {
            Err(format!("`{device}` has no {ledger} at unit {unit}"))
        }
    }

    fn point(&self, ledger: &str, key: &str) -> Result<(&Ledger, usize), String> {
        let known = self.ledgers.iter().find(|known| known.name == ledger);
        let known = known.ok_or_else(|| format!("there is no ledger `{ledger}`"))?;
        let point = known.index.get(key);
        let point = point.ok_or_else(|| format!("{ledger} has no point `{key}`"))?;
        Ok((known, *point))
    }

    /// Gives the device at a unit another serial number.
    ///
    /// # Errors
    /// A sentence that says what does not exist, or why this cannot be one.
    pub fn set_serial(&self, device: &str, unit: u8, serial: &str) -> Result<(), String> {
        self.identify(device, unit, Identity::Serial(serial))
    }

    /// Gives the device at a unit another firmware: what came `since` a later one is gone.
    ///
    /// # Errors
    /// A sentence that says what does not exist, or why this cannot be one.
    pub fn set_firmware(&self, device: &str, unit: u8, version: &str) -> Result<(), String> {
        self.identify(device, unit, Identity::Firmware(version))
    }

    fn identify(&self, device: &str, unit: u8, what: Identity<'_>) -> Result<(), String> {
        let target = self.device(device);
        target
            .ok_or_else(|| format!("there is no device `{device}`"))?
            .identify(unit, what)
    }

    /// Stops listening, closes every connection and waits until that is done.
    pub async fn stop(mut self) {
        drop(self.stop);
        while self.tasks.join_next().await.is_some() {}
    }

    fn device(&self, name: &str) -> Option<&Device> {
        self.served(name).map(|served| served.device.as_ref())
    }

    fn served(&self, name: &str) -> Option<&Served> {
        self.devices.iter().find(|served| served.device.name == name)
    }
}
