//! A running host follows devices that moved: when a connection has been silent for a while and its device announces
//! itself at another address, it is polled there. Who it is, its serial number says, before anything is published.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use busbar_wire::{Endpoint, Link, Options};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::mdns::{self, Announced};
use super::places::{Places, Service};
use crate::bus::{Availability, Device};
use crate::config::DiscoverConfig;
use crate::discover::{Who, who};
use crate::host::Host;

/// How often it is looked whether a connection is lost, at most.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Announced places that are asked in one round.
const MOST_ASKED: usize = 32;

/// A connection whose devices are all away.
struct Lost {
    connection: String,
    url: String,
    /// Those of its devices that announce themselves and tell who they are.
    devices: Vec<Arc<Device>>,
}

/// Follows until cancelled.
pub async fn follow(host: Arc<Host>, config: DiscoverConfig, cancel: CancellationToken) {
    let Some(after) = config.follow_after() else {
        return;
    };
    let mut since: HashMap<String, Instant> = HashMap::new();
    let mut pause = LOOK_EVERY.min(after);
    loop {
        tokio::select! {
            biased;
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        let lost = lost(&host);
        since.retain(|name, _| lost.iter().any(|l| l.connection == *name));
        let now = Instant::now();
        let due: Vec<&Lost> = lost
            .iter()
            .filter(|l| now.duration_since(*since.entry(l.connection.clone()).or_insert(now)) >= after)
            .collect();
        pause = match due.is_empty() {
            true => LOOK_EVERY.min(after),
            // It may be away for days: asking the network more often than once in a while brings nothing.
            false => after,
        };
        if !due.is_empty() {
            look_around(&host, &due, config.mdns_port, &cancel).await;
        }
    }
}

/// Connections whose devices are all offline, with those devices that could be followed.
fn lost(host: &Host) -> Vec<Lost> {
    let devices = host.bus.devices();
    let mut lost = Vec::new();
    for (connection, url) in host.at_work() {
        let of: Vec<&Arc<Device>> = devices
            .iter()
            .filter(|d| d.meta.connection == connection && !d.meta.missing)
            .collect();
        let away = |d: &&Arc<Device>| matches!(d.state().availability, Availability::Offline(_));
        if of.is_empty() || !of.iter().all(away) {
            continue;
        }
        let tells = |d: &&Arc<Device>| {
            let identify = d.meta.ledger.identify.as_ref();
            d.meta.serial.is_some() && identify.is_some_and(|i| i.serial.is_some())
        };
        let devices: Vec<_> = of.into_iter().filter(tells).cloned().collect();
        if !services(&devices, &url).is_empty() {
            lost.push(Lost {
                connection,
                url,
                devices,
            });
        }
    }
    lost
}

/// The services under which these devices announce what is spoken at this URL.
fn services(devices: &[Arc<Device>], url: &str) -> Vec<Service> {
    let ledgers: Vec<_> = devices.iter().map(|d| Arc::clone(&d.meta.ledger)).collect();
    let mut services = Places::of_ledgers(&ledgers).services;
    let announced = |s: &Service| {
        ledgers.iter().any(|l| {
            l.transports
                .iter()
                .any(|t| t.scheme == s.scheme && t.mdns.as_deref().is_some_and(|m| m.starts_with(&s.kind)))
        })
    };
    services.retain(|s| url.starts_with(&format!("{}://", s.scheme)) && announced(s));
    services
}

/// Listens once, asks who announces itself, and moves the connections whose devices are found.
async fn look_around(host: &Arc<Host>, lost: &[&Lost], port: u16, cancel: &CancellationToken) {
    let mut kinds: Vec<Service> = Vec::new();
    for service in lost.iter().flat_map(|l| services(&l.devices, &l.url)) {
        if !kinds.contains(&service) {
            kinds.push(service);
        }
    }
    let heard = match mdns::listen(&kinds, port, mdns::PATIENCE, cancel).await {
        Ok(heard) => heard,
        Err(why) => return debug!("announcements cannot be heard: {why}"),
    };
    let taken: Vec<String> = host.at_work().into_iter().map(|(_, url)| url).collect();
    let places = heard.iter().flat_map(|Announced { endpoints, .. }| endpoints);
    let places: Vec<&Endpoint> = places.filter(|e| !taken.contains(&e.to_string())).collect();
    for place in places.into_iter().take(MOST_ASKED) {
        if cancel.is_cancelled() {
            return;
        }
        let link = Link::open(place.clone(), Options::one_shot());
        for lost in lost {
            let Some(device) = same(&link, lost).await else {
                continue;
            };
            let to = place.to_string();
            let (name, serial) = (
                &lost.connection,
                device.meta.serial.as_deref().unwrap_or_default(),
            );
            match host.relocate(name, &to).await {
                Ok(()) => info!(
                    "\"{name}\" has moved from {} to {to} (serial number {serial}) and is polled there",
                    lost.url
                ),
                Err(error) => warn!("\"{name}\" is found again at {to}, but cannot be moved there: {error}"),
            }
            break;
        }
        link.close().await;
    }
}

/// The device of a lost connection that answers there, if one does.
async fn same<'a>(link: &Link, lost: &'a Lost) -> Option<&'a Arc<Device>> {
    for device in &lost.devices {
        let meta = &device.meta;
        let serial = meta.serial.as_deref()?;
        match who(link, meta.unit, &meta.ledger, serial).await {
            Ok(Who::Same) => return Some(device),
            Ok(Who::Other(_) | Who::Unknown) => {}
            // Nobody is there.
            Err(_) => return None,
        }
    }
    None
}
