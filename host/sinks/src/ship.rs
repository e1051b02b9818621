//! Brings samples to a server in batches, and keeps on the disk what it does not take. The same for every sink of this
//! kind; what a batch is and how it is sent is its [`Carrier`]'s.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::bus::Bus;
use crate::feed::Feed;
use crate::health::Health;
use crate::queue::Queue;
use crate::samples::{Gatherer, Sample};
use crate::spool::{Batch, LONGEST, Spool};

/// Samples that wait in memory.
const WAITING: usize = 20_000;
/// Batches that are held in memory where the disk does not take them.
const HELD: usize = 16;
/// The pauses between attempts: each about twice the one before.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How long sending may go on after the host has begun to end.
const FAREWELL: Duration = Duration::from_secs(2);

/// How a batch is made and sent.
pub trait Carrier: Send + Sync + 'static {
    /// A batch, and how many values are in it; samples that say nothing here are left out. Pure.
    fn pack(&self, samples: &[Sample]) -> (Vec<u8>, u64);

    /// Sends a batch that [`Carrier::pack`] made, perhaps long ago, perhaps for the second time.
    fn deliver(&self, body: &[u8]) -> impl Future<Output = Delivered> + Send;
}

/// What became of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivered {
    /// It is dealt with; so many of its values will never be taken, for this reason.
    Done {
        /// How many.
        refused: u64,
        /// Why; empty where all were taken.
        cause: String,
    },
    /// It could not be sent now, for this reason.
    Later {
        /// Why, for people.
        cause: String,
        /// How long the other end wants to be left alone.
        after: Option<Duration>,
    },
}

impl Delivered {
    /// All was taken.
    pub fn all() -> Self {
        Delivered::Done {
            refused: 0,
            cause: String::new(),
        }
    }
}

/// How batches are made and kept.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The most samples of a batch.
    pub batch: usize,
    /// How long a batch waits to be full.
    pub linger: Duration,
    /// Where the spool lies.
    pub spool_dir: PathBuf,
    /// The room of the spool, in bytes.
    pub spool_room: u64,
}

/// Listens to the bus and ships what it says, until the host ends.
pub async fn run(
    bus: Arc<Bus>,
    gatherer: Gatherer,
    carrier: impl Carrier,
    plan: Plan,
    health: Health,
    cancel: CancellationToken,
) {
    let queue = Queue::new(WAITING);
    let collecting = collect(bus, gatherer, queue.clone(), health.clone(), cancel.clone());
    let shipping = Shipper {
        backlog: Backlog::open(&plan, &health).await,
        carrier,
        queue,
        plan,
        health,
        pause: FIRST_PAUSE,
        away_until: None,
        told_refusal: String::new(),
        cancel,
        ends_at: None,
    };
    tokio::join!(collecting, shipping.run());
}

/// Puts samples into a queue until the host ends, and closes it. Never waits for anything but the bus.
pub async fn collect(
    bus: Arc<Bus>,
    mut gatherer: Gatherer,
    queue: Queue<Sample>,
    health: Health,
    cancel: CancellationToken,
) {
    let mut feed = Feed::new(&bus);
    loop {
        let changes = tokio::select! {
            biased;
            () = cancel.cancelled() => None,
            changes = feed.changed(Duration::ZERO) => changes,
        };
        let ends = changes.is_none();
        let changes = changes.unwrap_or_else(|| feed.now());
        let samples = gatherer.gather(&bus, &changes, Instant::now());
        health.dropped(queue.push(samples));
        if ends {
            break;
        }
    }
    queue.close();
}

struct Shipper<C> {
    carrier: C,
    queue: Queue<Sample>,
    backlog: Backlog,
    plan: Plan,
    health: Health,
    pause: Duration,
    /// When the next attempt is made, while the other end is away.
    away_until: Option<Instant>,
    told_refusal: String,
    cancel: CancellationToken,
    /// When sending ends, once the host does.
    ends_at: Option<Instant>,
}

enum Step {
    Live(Vec<Sample>),
    Backlog,
    End,
}

impl<C: Carrier> Shipper<C> {
    async fn run(mut self) {
        let mut last_live = Instant::now();
        loop {
            let waiting = self.queue.len() as u64 + self.backlog.values();
            self.health
                .waiting(usize::try_from(waiting).unwrap_or(usize::MAX));
            if self.ends_at.is_none() && self.cancel.is_cancelled() {
                self.ends_at = Some(Instant::now() + FAREWELL);
            }
            match self.step(last_live).await {
                Step::Live(samples) => {
                    last_live = Instant::now();
                    let (body, values) = self.carrier.pack(&samples);
                    if values > 0 && (self.is_away() || !self.send(&body, values).await) {
                        self.keep(body, values).await;
                    }
                }
                Step::Backlog => {
                    let Some(batch) = self.backlog.oldest().await else {
                        continue;
                    };
                    if self.send(&batch.body, batch.values).await {
                        self.backlog.took(batch).await;
                    } else {
                        self.backlog.put_back(batch);
                    }
                }
                Step::End => break,
            }
        }
        self.health.dropped(self.backlog.close().await);
    }

    /// What to do next. The newest come first whenever they have waited for long enough, so that a backlog that is sent
    /// delays them by one batch at most.
    async fn step(&self, last_live: Instant) -> Step {
        let backlog = !self.backlog.is_empty();
        let waited = last_live.elapsed() >= self.plan.linger;
        let take = |linger: Duration| self.queue.take(self.plan.batch, linger);
        if !self.queue.is_empty() && (waited || self.cancel.is_cancelled()) {
            return take(Duration::ZERO).await.map_or(Step::End, Step::Live);
        }
        if backlog && !self.is_away() {
            let over = self
                .ends_at
                .is_some_and(|end| self.away_until.is_some() || Instant::now() >= end);
            return if over { Step::End } else { Step::Backlog };
        }
        tokio::select! {
            biased;
            batch = take(self.plan.linger) => batch.map_or(Step::End, Step::Live),
            () = until(self.away_until), if backlog => Step::Backlog,
        }
    }

    fn is_away(&self) -> bool {
        self.away_until.is_some_and(|until| Instant::now() < until)
    }

    /// Whether a batch is dealt with. What fills the queue meanwhile goes to the backlog.
    async fn send(&mut self, body: &[u8], values: u64) -> bool {
        let delivered = {
            let (carrier, queue, cancel) = (&self.carrier, &self.queue, &self.cancel);
            let mut sending = pin!(carrier.deliver(body));
            let mut farewell = pin!(async {
                cancel.cancelled().await;
                tokio::time::sleep(FAREWELL).await;
            });
            let mut fills = true;
            loop {
                tokio::select! {
                    biased;
                    delivered = &mut sending => break delivered,
                    () = &mut farewell => break Delivered::Later {
                        cause: "the host ended before there was an answer".to_owned(),
                        after: None,
                    },
                    full = queue.reaches(self.plan.batch), if fills => {
                        fills = full;
                        let more = queue.take(self.plan.batch, Duration::ZERO).await.filter(|_| full);
                        let (body, values) = carrier.pack(&more.unwrap_or_default());
                        if values > 0 {
                            self.health.dropped(self.backlog.put(body, values).await);
                        }
                    }
                }
            }
        };
        match delivered {
            Delivered::Done { refused, cause } => {
                self.health.up();
                self.health
                    .sent(usize::try_from(values.saturating_sub(refused)).unwrap_or(usize::MAX));
                self.health
                    .dropped(usize::try_from(refused).unwrap_or(usize::MAX));
                if refused > 0 && cause != self.told_refusal {
                    let target = self.health.report().target;
                    warn!("{target} refused {refused} values, which are dropped; that is told once: {cause}");
                    self.told_refusal = cause;
                }
                (self.pause, self.away_until) = (FIRST_PAUSE, None);
                true
            }
            Delivered::Later { cause, after } => {
                self.health.down(cause);
                let spread = self.pause.mul_f64(0.75 + 0.5 * rand::random::<f64>());
                self.away_until = Some(Instant::now() + after.unwrap_or_default().max(spread));
                self.pause = (self.pause * 2).min(LONGEST_PAUSE);
                false
            }
        }
    }

    async fn keep(&mut self, body: Vec<u8>, values: u64) {
        self.health.dropped(self.backlog.put(body, values).await);
    }
}

async fn until(moment: Option<Instant>) {
    if let Some(moment) = moment {
        tokio::time::sleep_until(moment).await;
    }
}

/// What could not be sent: on the disk, and where that takes nothing, a little in memory.
struct Backlog {
    spool: Option<Spool>,
    held: VecDeque<(Vec<u8>, u64)>,
    told: bool,
}

/// A batch of the backlog.
struct Old {
    body: Vec<u8>,
    values: u64,
    spooled: Option<Batch>,
}

impl Backlog {
    async fn open(plan: &Plan, health: &Health) -> Self {
        let (dir, room) = (plan.spool_dir.clone(), plan.spool_room);
        let opened = tokio::task::spawn_blocking(move || Spool::open(&dir, room)).await;
        let opened = opened.unwrap_or_else(|e| Err(io::Error::other(e)));
        if let Err(error) = &opened {
            let (place, target) = (plan.spool_dir.display(), health.report().target);
            warn!(
                "{place} cannot be used ({error}): what {target} does not take is held in memory, and only a little of it"
            );
        }
        Backlog {
            spool: opened.ok(),
            held: VecDeque::new(),
            told: false,
        }
    }

    fn values(&self) -> u64 {
        let held: u64 = self.held.iter().map(|(_, values)| values).sum();
        held + self.spool.as_ref().map_or(0, Spool::values)
    }

    fn is_empty(&self) -> bool {
        self.values() == 0
    }

    /// Puts a batch behind all others, and gives how many values had to go for it.
    async fn put(&mut self, body: Vec<u8>, values: u64) -> usize {
        let body = Arc::new(body);
        let again = Arc::clone(&body);
        let gone = match self.on_disk(move |spool| spool.put(&pack(&again), values)).await {
            Some(Ok(gone)) => {
                self.told = false;
                gone
            }
            failed => {
                if let Some(Err(error)) = failed
                    && !std::mem::replace(&mut self.told, true)
                {
                    warn!(
                        "what waits to be sent cannot be kept on the disk, and only a little of it in memory: {error}"
                    );
                }
                self.held.push_back((Arc::unwrap_or_clone(body), values));
                match self.held.len() > HELD {
                    true => self.held.pop_front().map_or(0, |(_, values)| values),
                    false => 0,
                }
            }
        };
        usize::try_from(gone).unwrap_or(usize::MAX)
    }

    async fn oldest(&mut self) -> Option<Old> {
        let stored = self.on_disk(|spool| spool.oldest()).await;
        match stored {
            Some(Ok(Some(batch))) => match unpack(&batch.body) {
                Ok(body) => {
                    return Some(Old {
                        body,
                        values: batch.values,
                        spooled: Some(batch),
                    });
                }
                // Its checksum fits, so another version of this program wrote it in another way.
                Err(_) => drop(self.on_disk(move |spool| spool.took(&batch)).await),
            },
            Some(Err(error)) => {
                warn!("what waits to be sent cannot be read, and is given up: {error}");
                self.spool = None;
            }
            _ => {}
        }
        let (body, values) = self.held.pop_front()?;
        Some(Old {
            body,
            values,
            spooled: None,
        })
    }

    async fn took(&mut self, old: Old) {
        if let Some(batch) = old.spooled
            && let Some(Err(error)) = self.on_disk(move |spool| spool.took(&batch)).await
        {
            warn!("what was sent may be sent again: {error}");
        }
    }

    fn put_back(&mut self, old: Old) {
        if old.spooled.is_none() {
            self.held.push_front((old.body, old.values));
        }
    }

    /// Leaves everything on the disk, and gives how many values are lost with the memory.
    async fn close(mut self) -> usize {
        let mut lost = 0;
        for (body, values) in std::mem::take(&mut self.held) {
            let put = self.on_disk(move |spool| spool.put(&pack(&body), values)).await;
            lost += if matches!(put, Some(Ok(_))) { 0 } else { values };
        }
        let _ = self.on_disk(Spool::sync).await;
        usize::try_from(lost).unwrap_or(usize::MAX)
    }

    /// Does something with the spool where waiting hinders nobody. Without a spool, on one that refuses everything.
    async fn on_disk<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Spool) -> T + Send + 'static,
    ) -> Option<T> {
        let mut spool = self.spool.take()?;
        let done = tokio::task::spawn_blocking(move || {
            let done = work(&mut spool);
            (spool, done)
        });
        let (spool, done) = done.await.ok()?;
        self.spool = Some(spool);
        Some(done)
    }
}

/// Values are alike: packed they take a tenth.
fn pack(body: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let packed = packer.write_all(body).and_then(|()| packer.finish());
    // Into memory nothing can fail.
    packed.unwrap_or_default()
}

fn unpack(packed: &[u8]) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    let most = 8 * LONGEST as u64;
    flate2::read::GzDecoder::new(packed)
        .take(most)
        .read_to_end(&mut body)?;
    Ok(body)
}
