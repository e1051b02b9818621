//! Serves Busbar ledgers as simulated devices over real sockets.
//!
//! A [`Site`] says which devices there are and what their values do; [`start`] serves them. The devices are
//! described by the same ledgers that read them, and a Victron GX follows the rules that were measured on the
//! vendor's own server.
//!
//! Invariant: values depend on the site file and the time alone, and nothing is worked out before it is asked.

#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::sync::Arc;

use busbar_ledger::model::Ledger;
use busbar_ledger::value::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

mod device;
mod error;
mod expression;
mod file;
mod gx;
mod house;
mod options;
mod pdu;
mod plain;
mod sample;
mod server;
mod sheet;
mod site;
mod stats;
mod words;

pub use error::{SimulateError, SiteError};
pub use options::Options;
pub use site::Site;
pub use stats::{Stats, Write};

use device::Device;
use house::House;
use server::Clock;
use site::Cell;

/// The site of the demo: a house with a GX and a meter.
pub const DEMO: &str = include_str!("../sites/demo.toml");

/// What a point holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// This value, from now on.
    Value(Value),
    /// The device has the point and knows no value for it.
    Invalid,
    /// The device does not have the point.
    Absent,
}

/// A site that is being served. It ends when this is dropped; [`Running::stop`] waits for that.
#[derive(Debug)]
pub struct Running {
    devices: Vec<(Arc<Device>, SocketAddr)>,
    ledgers: Vec<Arc<Ledger>>,
    stop: watch::Sender<()>,
    tasks: JoinSet<()>,
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
    let mut tasks = JoinSet::new();
    for spec in &site.devices {
        let device = Arc::new(Device::new(&site.file, spec, Arc::clone(&house), ledgers)?);
        let failed = |source| SimulateError::Listen {
            url: spec.listen.to_string(),
            source,
        };
        let listener = TcpListener::bind((spec.listen.host.as_str(), spec.listen.port))
            .await
            .map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        tasks.spawn(server::serve(
            listener,
            Arc::clone(&device),
            clock,
            stopped.clone(),
        ));
        devices.push((device, address));
    }
    Ok(Running {
        devices,
        ledgers: ledgers.to_vec(),
        stop,
        tasks,
    })
}

impl Running {
    /// The devices' names and where each really listens, in the order of the file.
    pub fn devices(&self) -> impl Iterator<Item = (&str, SocketAddr)> {
        self.devices
            .iter()
            .map(|(device, address)| (device.name.as_str(), *address))
    }

    /// Where a device listens.
    pub fn address(&self, device: &str) -> Option<SocketAddr> {
        self.devices()
            .find(|(name, _)| *name == device)
            .map(|(_, address)| address)
    }

    /// A device's URL, as Busbar takes it.
    pub fn url(&self, device: &str) -> Option<String> {
        self.address(device)
            .map(|address| format!("modbus+tcp://{address}"))
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
        let known = self.ledgers.iter().find(|known| known.name == ledger);
        let known = known.ok_or_else(|| format!("there is no ledger `{ledger}`"))?;
        let point = *known
            .index
            .get(key)
            .ok_or_else(|| format!("{ledger} has no point `{key}`"))?;
        let cell = match content {
            Content::Value(value) => Some(Cell::Fixed(value)),
            Content::Invalid => Some(Cell::Invalid),
            Content::Absent => None,
        };
        cell.as_ref()
            .map_or(Ok(()), |cell| sheet::fits(known, point, cell))?;
        if target.set(unit, ledger, point, cell) {
            Ok(())
        } else {
            Err(format!("`{device}` has no {ledger} at unit {unit}"))
        }
    }

    /// Stops listening, closes every connection and waits until that is done.
    pub async fn stop(mut self) {
        drop(self.stop);
        while self.tasks.join_next().await.is_some() {}
    }

    fn device(&self, name: &str) -> Option<&Device> {
        self.devices
            .iter()
            .map(|(device, _)| device.as_ref())
            .find(|device| device.name == name)
    }
}
