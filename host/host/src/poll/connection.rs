//! One connection, polled for years.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use busbar_ledger::presence::{Status, verdicts};
use busbar_ledger::readings::Facts;
use busbar_wire::Link;
use futures_util::future::join_all;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::blocks::Limits;
use super::identity::{Gateways, Identities};
use super::news::{News, Promotion};
use super::schedule::Schedule;
use super::trust::Trust;
use super::unit::Unit;
use crate::bus::{Bus, Device, Update};
use crate::clock;
use crate::discover::{self, FoundDevice};
use crate::energy::book::Book;
use crate::profile::{Profile, UnitProfile};

/// A connection as the poller sees it.
pub struct Polled {
    /// Its name, for logs.
    pub name: String,
    /// The wire.
    pub link: Link,
    /// Its devices; those that are missing are not asked.
    pub devices: Vec<Arc<Device>>,
    /// How often it is polled.
    pub interval: Duration,
    /// The longest read that the configuration allows.
    pub max_words: u16,
    /// What was learned about its units.
    pub profile: Profile,
    /// The accounts of its counters.
    pub book: Arc<Book>,
}

/// Polls until cancelled. `epoch` is the moment that all connections share.
///
/// Each unit takes its turns by itself: one that does not answer keeps nobody waiting but itself.
pub async fn run(
    polled: Polled,
    bus: Arc<Bus>,
    news: mpsc::Sender<News>,
    epoch: Instant,
    cancel: CancellationToken,
) {
    let schedule = Schedule::new(polled.interval, spread(&polled.name));
    let (lane, mut idle) = lane(polled, bus, news, schedule.interval());
    let mut busy = JoinSet::new();
    loop {
        // The first poll does not wait for its slot: someone is looking at an empty screen.
        for turn in idle.drain(..) {
            busy.spawn(turn.take(Arc::clone(&lane)));
        }
        let next = schedule.next(epoch.elapsed());
        let due = tokio::time::sleep_until(epoch + next.at);
        tokio::pin!(due);
        loop {
            tokio::select! {
                biased;
                () = cancel.cancelled() => return,
                () = &mut due => break,
                Some(done) = busy.join_next() => match done {
                    Ok(turn) => idle.push(turn),
                    Err(fault) => error!(connection = %lane.name, "a unit is no longer polled: {fault}"),
                },
            }
        }
    }
}

/// Polls everything once, all rates.
pub async fn once(polled: Polled, bus: Arc<Bus>, news: mpsc::Sender<News>) {
    let interval = polled.interval;
    let (lane, turns) = lane(polled, bus, news, interval);
    join_all(turns.into_iter().map(|turn| turn.take(Arc::clone(&lane)))).await;
}

/// Spreads connections over the slots; the same connection always gets the same place.
fn spread(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| {
        (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// What the units of a connection share.
struct Lane {
    link: Link,
    name: String,
    interval: Duration,
    bus: Arc<Bus>,
    news: mpsc::Sender<News>,
}

/// A unit that waits for its turn.
struct Turn {
    unit: Unit,
    trust: Trust,
}

fn lane(
    polled: Polled,
    bus: Arc<Bus>,
    news: mpsc::Sender<News>,
    interval: Duration,
) -> (Arc<Lane>, Vec<Turn>) {
    let mut by_unit: BTreeMap<u8, Vec<Arc<Device>>> = BTreeMap::new();
    for device in polled.devices.into_iter().filter(|d| d.meta.is_polled()) {
        by_unit.entry(device.meta.unit).or_default().push(device);
    }
    let gateways = Gateways::default();
    let all: Vec<Arc<Device>> = by_unit.values().flatten().cloned().collect();
    let turns = by_unit.into_iter().map(|(id, devices)| Turn {
        unit: Unit::new(
            id,
            devices.clone(),
            limits(polled.max_words, polled.profile.unit(id)),
            (Identities::of(&devices, &all), gateways.clone()),
            &polled.book,
        ),
        trust: Trust::default(),
    });
    let lane = Lane {
        link: polled.link,
        name: polled.name,
        interval,
        bus,
        news,
    };
    (Arc::new(lane), turns.collect())
}

/// What bounds the blocks of a unit: the configuration, and what was learned before.
fn limits(max_words: u16, learned: UnitProfile) -> Limits {
    Limits {
        max_words: learned.max_words.unwrap_or(max_words).min(max_words),
        spans_holes: learned.spans_holes != Some(false),
    }
}

impl Turn {
    /// Polls once, and keeps what that taught.
    async fn take(mut self, lane: Arc<Lane>) -> Self {
        let nth = self.unit.poll(&lane.link, &lane.bus, lane.interval).await;
        lane.promote(&self.unit);
        lane.relearn(&mut self.unit).await;
        if nth > 0 {
            let judged = self.trust.check(&lane.link, &mut self.unit).await;
            if let Some(spans_holes) = judged {
                let (connection, unit) = (lane.name.clone(), self.unit.id);
                lane.tell(News::Compared {
                    connection,
                    unit,
                    spans_holes,
                });
            }
        }
        self
    }
}

impl Lane {
    /// Entities that showed a value for the first time exist from now on.
    fn promote(&self, unit: &Unit) {
        let promoted: Vec<Promotion> = unit.devices().iter().flat_map(|device| promote(device)).collect();
        if !promoted.is_empty() {
            debug!(connection = %self.name, count = promoted.len(), "entities were proven by their values");
            self.bus.laid_out_anew();
            self.tell(News::Promoted(promoted));
        }
    }

    /// A device that does not answer any more as it was learned (new firmware, another setting of its phases) is
    /// learned again. Its entities appear and go with it; their ids stay.
    async fn relearn(&self, unit: &mut Unit) {
        for (index, device) in unit.take_relearn() {
            let meta = &device.meta;
            info!(device = %meta.id, "{} answers otherwise than it was learned; learning it again", meta.name);
            match discover::relearn(&self.link, &device).await {
                Ok(Some(found)) => {
                    let anew = Arc::new(anew(&device, &found));
                    self.bus.replace(&anew);
                    self.bus.publish(Update {
                        points: (0..meta.ledger.points.len()).collect(),
                        device: Arc::clone(&anew),
                        at_ms: clock::now_ms(),
                    });
                    unit.take_anew(index, anew);
                    let connection = meta.connection.clone();
                    let device = Box::new(found);
                    self.tell(News::Learned { connection, device });
                }
                Ok(None) => unit.not_relearned(index),
                Err(error) => {
                    warn!(device = %meta.id, "could not learn it again: {error}");
                    unit.not_relearned(index);
                }
            }
        }
    }

    /// The registry keeps what was learned. When it is slow, it learns the same again from the next poll.
    fn tell(&self, news: News) {
        if self.news.try_send(news).is_err() {
            debug!(connection = %self.name, "the registry is busy; what was learned waits for the next start");
        }
    }
}

/// The device as it was found anew.
fn anew(device: &Device, found: &FoundDevice) -> Device {
    let entities = &found.report.entities;
    let status: HashMap<&str, Status> = entities.iter().map(|e| (e.key.as_str(), e.status)).collect();
    device.anew(found.report.firmware.clone(), found.readable.clone(), |key| {
        status.get(key).copied().unwrap_or(Status::Absent)
    })
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
        model: device.meta.model.as_deref(),
        readable: None,
        ..Facts::default()
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
