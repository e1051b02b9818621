//! Keeps on disk what polling brings: what was proven, the history, the daily backup. It cannot slow a poll: when the
//! disk is slow or full, the newest readings wait in bounded memory, and polling goes on.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use busbar_ledger::model::Ledger;
use busbar_ledger::value::Quality;
use busbar_store::{Found, History, Promotion, Registry, Retention, Sample};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tracing::{error, info, warn};

use crate::bus::{Availability, Bus, Device, DeviceMeta, Update};
use crate::clock;
use crate::discover::report::entity_id;
use crate::energy::book::Book;
use crate::poll::news::News;
use crate::profile;
use crate::registry;

/// Readings are written this often, all in one statement.
const FLUSH_EVERY: Duration = Duration::from_secs(1);
/// How often devices are noted as seen, the history is shortened, and a backup is looked for.
const CHORES_EVERY: Duration = Duration::from_secs(300);
/// The most that the history may take on the disk.
const MAX_HISTORY_BYTES: u64 = 1 << 30;
/// What counters counted is kept this often; after a kill, so much of it is looked at once more.
const ACCOUNTS_EVERY: Duration = Duration::from_secs(60);
const DAY_MS: i64 = 86_400_000;

/// The task and the way to end it.
pub struct Keeper {
    end: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Keeper {
    /// Starts it.
    pub fn start(
        registry: Arc<Registry>,
        history: Option<Arc<History>>,
        bus: Arc<Bus>,
        book: Arc<Book>,
        news: mpsc::Receiver<News>,
        days: u32,
    ) -> Self {
        let (end, ended) = oneshot::channel();
        let feed = bus.subscribe();
        let work = Work {
            registry,
            history,
            bus,
            book,
            days,
            last: HashMap::new(),
            trouble: Trouble::default(),
        };
        Keeper {
            end,
            task: tokio::spawn(work.run(news, feed, ended)),
        }
    }

    /// Writes down what is left, and ends.
    pub async fn stop(self) {
        let _ = self.end.send(());
        if let Err(error) = self.task.await {
            error!("the keeper ended badly: {error}");
        }
    }
}

struct Work {
    registry: Arc<Registry>,
    history: Option<Arc<History>>,
    bus: Arc<Bus>,
    book: Arc<Book>,
    days: u32,
    /// By device, what was stored last: only what changed is stored again.
    last: HashMap<String, Last>,
    trouble: Trouble,
}

/// What was stored last of a device.
struct Last {
    /// The ledger whose points these are.
    ledger: Arc<Ledger>,
    /// One for each point, in the ledger's order.
    points: Vec<Option<Kept>>,
}

/// A value that is to be stored.
struct Change {
    device: Arc<Device>,
    /// Its place in the ledger.
    point: usize,
    /// The entity's id.
    entity: String,
    kept: Kept,
}

/// What is stored of a reading.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Kept {
    value: Option<f64>,
    quality: Quality,
}

/// One line when the disk begins to fail and one when it works again.
#[derive(Default)]
struct Trouble(bool);

impl Trouble {
    fn note<T>(&mut self, doing: &str, result: Result<T, busbar_store::StoreError>) {
        match result {
            Ok(_) if self.0 => {
                self.0 = false;
                info!("the disk works again");
            }
            Ok(_) => {}
            Err(error) if !self.0 => {
                self.0 = true;
                error!("{doing}: {error}. {} Polling goes on.", error.hint());
            }
            Err(_) => {}
        }
    }
}

impl Work {
    async fn run(
        mut self,
        mut news: mpsc::Receiver<News>,
        mut feed: broadcast::Receiver<Arc<Update>>,
        mut ended: oneshot::Receiver<()>,
    ) {
        let mut flush = tokio::time::interval(FLUSH_EVERY);
        flush.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut chores = tokio::time::interval(CHORES_EVERY);
        chores.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut accounts = tokio::time::interval(ACCOUNTS_EVERY);
        accounts.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let book = Arc::clone(&self.book);
        loop {
            tokio::select! {
                biased;
                _ = &mut ended => break,
                Some(told) = news.recv() => self.keep(told).await,
                () = book.urgent() => self.keep_accounts().await,
                _ = accounts.tick() => self.keep_accounts().await,
                _ = chores.tick() => self.chores().await,
                _ = flush.tick() => self.flush(&mut feed).await,
            }
        }
        while let Ok(told) = news.try_recv() {
            self.keep(told).await;
        }
        self.keep_accounts().await;
        self.flush(&mut feed).await;
    }

    /// Keeps what counters counted since the last time.
    async fn keep_accounts(&mut self) {
        let (accounts, stitches) = self.book.take_changed();
        if accounts.is_empty() && stitches.is_empty() {
            return;
        }
        let result = self.registry.keep_accounts(&accounts, &stitches).await;
        if result.is_err() {
            self.book.not_kept(&accounts, stitches);
        }
        self.trouble
            .note("what counters counted could not be stored", result);
    }

    async fn keep(&mut self, news: News) {
        let result = match news {
            News::Promoted(proven) => {
                let proven: Vec<Promotion> = proven
                    .into_iter()
                    .map(|p| Promotion {
                        device_id: p.device,
                        key: p.key,
                        proof: p.proof,
                    })
                    .collect();
                self.registry.promote(&proven).await.map(|_| ())
            }
            News::Learned { connection, device } => self.learned(&connection, &device).await,
            News::Compared {
                connection,
                unit,
                spans_holes,
            } => self.compared(&connection, unit, spans_holes).await,
        };
        self.trouble
            .note("what polling learned could not be stored", result);
    }

    async fn learned(
        &self,
        connection: &str,
        device: &crate::discover::FoundDevice,
    ) -> Result<(), busbar_store::StoreError> {
        let Some(connection) = self.registry.connection(connection).await? else {
            return Ok(());
        };
        let found = Found {
            devices: vec![registry::found_device(device)],
            asked: Vec::new(),
        };
        self.registry
            .apply_scan(&connection.id, &found, clock::now_ms())
            .await
            .map(|_| ())
    }

    async fn compared(
        &self,
        name: &str,
        unit: u8,
        spans_holes: bool,
    ) -> Result<(), busbar_store::StoreError> {
        let Some(connection) = self.registry.connection(name).await? else {
            return Ok(());
        };
        profile::keep(&self.registry, &connection.id, |profile| {
            profile.units.entry(unit).or_default().spans_holes = Some(spans_holes);
        })
        .await;
        let profile = profile::load(&self.registry, &connection).await;
        self.bus.put_profile(name, profile);
        Ok(())
    }

    /// Stores what changed since the last time.
    async fn flush(&mut self, feed: &mut broadcast::Receiver<Arc<Update>>) {
        let Some(history) = self.history.clone() else {
            // Nobody keeps readings: the feed is only emptied.
            while !matches!(
                feed.try_recv(),
                Err(broadcast::error::TryRecvError::Empty | broadcast::error::TryRecvError::Closed)
            ) {}
            return;
        };
        let mut changed = Vec::new();
        let mut at_ms = clock::now_ms();
        let mut missed = false;
        loop {
            match feed.try_recv() {
                Ok(update) => {
                    at_ms = update.at_ms;
                    self.collect(&update.device, update.points.iter().copied(), &mut changed);
                }
                Err(broadcast::error::TryRecvError::Lagged(_)) => missed = true,
                Err(_) => break,
            }
        }
        if missed {
            // More came than the feed holds: the newest of everything is on the bus.
            for device in self.bus.devices() {
                self.collect(&device, 0..device.meta.ledger.points.len(), &mut changed);
            }
        }
        if changed.is_empty() {
            return;
        }
        let samples: Vec<Sample<'_>> = changed
            .iter()
            .map(|change| Sample {
                entity: &change.entity,
                value: change.kept.value,
                quality: quality(change.kept.quality),
            })
            .collect();
        let result = history.append(at_ms, &samples).await;
        if result.is_err() {
            // Not stored: the next change is compared with what is.
            for change in &changed {
                if let Some(last) = self.last.get_mut(&change.device.meta.id)
                    && let Some(kept) = last.points.get_mut(change.point)
                {
                    *kept = None;
                }
            }
        }
        self.trouble.note("the history could not be written", result);
    }

    /// Notes which of these points changed.
    fn collect(
        &mut self,
        device: &Arc<Device>,
        points: impl Iterator<Item = usize>,
        changed: &mut Vec<Change>,
    ) {
        let DeviceMeta { id, ledger, .. } = &device.meta;
        let known = self
            .last
            .get(id)
            .is_some_and(|last| Arc::ptr_eq(&last.ledger, ledger));
        if !known {
            let points = vec![None; ledger.points.len()];
            let ledger = Arc::clone(ledger);
            self.last.insert(id.clone(), Last { ledger, points });
        }
        let Some(last) = self.last.get_mut(id) else { return };
        let state = device.state();
        for i in points {
            let (Some(point), Some(slot), Some(last)) =
                (ledger.points.get(i), state.slots.get(i), last.points.get_mut(i))
            else {
                continue;
            };
            let value = slot.reading.value.as_ref();
            let kept = Kept {
                // What adds up is kept, over all resets.
                value: slot.total(),
                quality: slot.reading.quality,
            };
            let is_text = value.is_some() && kept.value.is_none();
            if is_text || !slot.is_polled() || *last == Some(kept) {
                continue;
            }
            *last = Some(kept);
            changed.push(Change {
                device: Arc::clone(device),
                point: i,
                entity: entity_id(id, &point.key),
                kept,
            });
        }
    }

    async fn chores(&mut self) {
        let now = clock::now_ms();
        if !clock::is_sane(now) {
            warn!(
                "the clock of this machine says {}; nothing is tidied up until it is right",
                clock::show(now)
            );
            return;
        }
        let online: Vec<String> = self
            .bus
            .devices()
            .iter()
            .filter(|d| d.state().availability == Availability::Online)
            .map(|d| d.meta.id.clone())
            .collect();
        if !online.is_empty() {
            let touched = self.registry.touch(&online, now).await;
            self.trouble.note("the registry could not be written", touched);
        }
        loop {
            match self.registry.prune_audit(now).await {
                Ok(pruned) if pruned.more => tokio::task::yield_now().await,
                result => break self.trouble.note("the audit could not be shortened", result),
            }
        }
        let backup = self.registry.backup_if_due(now).await;
        self.trouble.note("the daily backup could not be made", backup);
        if let Some(history) = self.history.clone() {
            let keep_from_ms = now - i64::from(self.days) * DAY_MS;
            let retention = Retention {
                keep_from_ms,
                max_bytes: MAX_HISTORY_BYTES,
            };
            loop {
                match history.prune(retention).await {
                    Ok(pruned) if pruned.more => tokio::task::yield_now().await,
                    result => break self.trouble.note("the history could not be shortened", result),
                }
            }
        }
    }
}

fn quality(quality: Quality) -> busbar_store::Quality {
    match quality {
        Quality::Good => busbar_store::Quality::Good,
        Quality::Stale => busbar_store::Quality::Stale,
        Quality::Invalid => busbar_store::Quality::Invalid,
        Quality::Unavailable => busbar_store::Quality::Unavailable,
    }
}

#[cfg(test)]
mod tests {
    use busbar_ledger::presence::Status;
    use busbar_ledger::ranges::Ranges;
    use busbar_ledger::value::{Reading, Value};

    use super::*;
    use crate::bus::Stamp;

    const LEDGER: &str = "ledger = \"test/one\"\ntitle = \"One\"\n[points]\na = { at = 0, type = \"u16\" }\n";

    fn device(id: &str) -> Arc<Device> {
        let meta = DeviceMeta {
            id: id.to_owned(),
            connection: "c".to_owned(),
            connection_id: "c".to_owned(),
            unit: 1,
            name: id.to_owned(),
            model: None,
            serial: None,
            firmware: None,
            ledger: Arc::new(busbar_ledger::parse("one", LEDGER).unwrap()),
            missing: false,
            unreadable: None,
        };
        Arc::new(Device::new(meta, Ranges::default(), |_| Some(Status::Present)))
    }

    fn says(bus: &Bus, device: &Arc<Device>, value: i64) {
        let reading = Reading {
            value: Some(Value::Integer(value)),
            quality: Quality::Good,
            ..Reading::unavailable()
        };
        let now = Stamp::now();
        device.state().slots[0].take(reading, now, Duration::ZERO);
        bus.publish(Update {
            device: Arc::clone(device),
            points: vec![0],
            at_ms: now.wall_ms,
        });
    }

    #[tokio::test]
    async fn what_the_feed_cannot_hold_is_stored_all_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let registry = Arc::new(Registry::open(dir.path()).await.unwrap().0);
        let history = Arc::new(History::open(&registry).await.unwrap().0);
        let (bus, (_, news)) = (Arc::new(Bus::default()), mpsc::channel(1));
        let (quiet, busy) = (device("quiet"), device("busy"));
        bus.put("c", vec![Arc::clone(&quiet), Arc::clone(&busy)]);
        let keeper = Keeper::start(
            registry,
            Some(Arc::clone(&history)),
            Arc::clone(&bus),
            Arc::default(),
            news,
            1,
        );
        // The keeper does not run before the first wait.
        says(&bus, &quiet, 7);
        (0..5000).for_each(|n| says(&bus, &busy, n));
        keeper.stop().await;
        let value = async |entity: &str| {
            let stored = history
                .samples(entity, 0, clock::now_ms() + 1000, 10)
                .await
                .unwrap();
            stored.last().and_then(|sample| sample.value)
        };
        assert_eq!(value("quiet.a").await, Some(7.0));
        assert_eq!(value("busy.a").await, Some(4999.0));
    }
}
