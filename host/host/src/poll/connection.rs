//! One connection, polled for years.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use busbar_ledger::presence::{Status, verdicts};
use busbar_ledger::readings::Facts;
use busbar_wire::Link;
use futures_util::future::join_all;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::news::{News, Promotion};
use super::schedule::{Due, Schedule, due};
use super::trust::Trust;
use super::unit::Unit;
use crate::bus::{Bus, Device};
use crate::discover;

/// A connection as the poller sees it.
pub struct Polled {
    /// Its name, for logs.
    pub name: String,
    /// The wire.
    pub link: Link,
    /// Its devices.
    pub devices: Vec<Arc<Device>>,
    /// How often it is polled.
    pub interval: Duration,
    /// The longest read that the configuration allows.
    pub max_words: u16,
}

/// Polls until cancelled. `epoch` is the moment that all connections share.
pub async fn run(
    polled: Polled,
    bus: Arc<Bus>,
    news: mpsc::Sender<News>,
    epoch: Instant,
    cancel: CancellationToken,
) {
    let schedule = Schedule::new(polled.interval, spread(&polled.name));
    let mut poller = Poller::new(polled, bus, news);
    // The first poll does not wait for its slot: someone is looking at an empty screen.
    let mut nth = 0u64;
    loop {
        let round = poller.round(due(nth), schedule.interval());
        tokio::select! {
            biased;
            () = cancel.cancelled() => return,
            () = round => {}
        }
        if nth > 0 {
            poller.trust.check(&poller.link, &mut poller.units).await;
        }
        nth += 1;
        let next = schedule.next(epoch.elapsed());
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep_until(epoch + next.at) => {}
        }
    }
}

/// Polls everything once, all rates.
pub async fn once(polled: Polled, bus: Arc<Bus>, news: mpsc::Sender<News>) {
    let interval = polled.interval;
    Poller::new(polled, bus, news).round(Due::ALL, interval).await;
}

/// Spreads connections over the slots; the same connection always gets the same place.
fn spread(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| {
        (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3)
    })
}

struct Poller {
    link: Link,
    name: String,
    units: Vec<Unit>,
    trust: Trust,
    bus: Arc<Bus>,
    news: mpsc::Sender<News>,
}

impl Poller {
    fn new(polled: Polled, bus: Arc<Bus>, news: mpsc::Sender<News>) -> Self {
        let mut by_unit: BTreeMap<u8, Vec<Arc<Device>>> = BTreeMap::new();
        for device in polled.devices {
            by_unit.entry(device.meta.unit).or_default().push(device);
        }
        let units = by_unit
            .into_iter()
            .map(|(id, devices)| Unit::new(id, devices, polled.max_words))
            .collect();
        Poller {
            link: polled.link,
            name: polled.name,
            units,
            trust: Trust::default(),
            bus,
            news,
        }
    }

    async fn round(&mut self, due: Due, interval: Duration) {
        let (link, bus) = (&self.link, &*self.bus);
        join_all(
            self.units
                .iter_mut()
                .map(|unit| unit.poll(link, bus, due, interval)),
        )
        .await;
        self.promote();
        self.relearn().await;
    }

    /// Entities that showed a value for the first time exist from now on.
    fn promote(&mut self) {
        let mut promoted = Vec::new();
        for unit in &mut self.units {
            for device in unit.devices() {
                promoted.extend(promote(device));
            }
        }
        if !promoted.is_empty() {
            debug!(connection = %self.name, count = promoted.len(), "entities were proven by their values");
            self.tell(News::Promoted(promoted));
        }
    }

    /// A device that refuses what it once answered (new firmware, say) is learned again.
    async fn relearn(&mut self) {
        let mut learned = Vec::new();
        for unit in &mut self.units {
            for device in unit.take_relearn() {
                let meta = &device.meta;
                info!(device = %meta.id, "{} refuses registers that it used to answer; learning it again", meta.name);
                match discover::relearn(&self.link, &device).await {
                    Ok(Some(found)) => {
                        device.state().readable = found.readable.clone();
                        unit.replan();
                        let connection = meta.connection.clone();
                        learned.push(News::Learned {
                            connection,
                            device: Box::new(found),
                        });
                    }
                    Ok(None) => {}
                    Err(error) => warn!(device = %meta.id, "could not learn it again: {error}"),
                }
            }
        }
        learned.into_iter().for_each(|news| self.tell(news));
    }

    /// The registry keeps what was learned. When it is slow, it learns the same again from the next poll.
    fn tell(&self, news: News) {
        if self.news.try_send(news).is_err() {
            debug!(connection = %self.name, "the registry is busy; what was learned waits for the next start");
        }
    }
}

/// Marks what the newest readings prove, and says so.
fn promote(device: &Device) -> Vec<Promotion> {
    let mut state = device.state();
    if state.slots.iter().all(|s| s.status != Status::Unproven) {
        return Vec::new();
    }
    let readings: Vec<_> = state.slots.iter().map(|s| s.reading.clone()).collect();
    let known: Vec<bool> = state.slots.iter().map(|s| s.status == Status::Present).collect();
    let ledger = &device.meta.ledger;
    let ever = |key: &str| ledger.index.get(key).is_some_and(|&i| known[i]);
    let facts = Facts {
        firmware: device.meta.firmware.as_deref(),
        readable: None,
    };
    let verdicts = verdicts(ledger, &readings, &facts, &ever);
    let mut promoted = Vec::new();
    for ((slot, verdict), point) in state.slots.iter_mut().zip(verdicts).zip(&ledger.points) {
        if slot.status == Status::Unproven && verdict.status == Status::Present {
            slot.status = Status::Present;
            promoted.push(Promotion {
                device: device.meta.id.clone(),
                key: point.key.clone(),
                proof: verdict.proof,
            });
        }
    }
    promoted
}
