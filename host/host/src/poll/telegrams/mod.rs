//! A meter that speaks by itself, heard for years: each telegram becomes readings, and silence makes them stale.

mod age;
mod jumps;
mod meter;

use std::sync::Arc;
use std::time::Duration;

use busbar_ledger::telegram;
use busbar_sinks::telegram::{Check, Telegram};
use busbar_wire::LinkState;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::age::Rhythm;
use self::meter::Meter;
use crate::bus::{Bus, Device, Stamp};
use crate::catalog::Catalog;
use crate::energy::book::Book;
use crate::energy::wanted::Wanted;
use crate::error::Result;
use crate::telegrams::hear::{Batch, Hearing, Whole};
use crate::telegrams::way::Ear;

/// How often it is looked whether somebody speaks who is not known.
const LOOK_EVERY: Duration = Duration::from_secs(300);
/// How long `busbar run --once` waits for a telegram.
const ONCE: Duration = Duration::from_secs(30);
/// The same on a line whose setting has to be found.
const ONCE_ON_A_LINE: Duration = Duration::from_secs(90);
/// Telegrams come at their own pace; what comes this much early is in time for the interval.
const EARLY: f64 = 0.9;

/// A connection as its listener sees it.
pub struct Listened {
    /// Its name, for logs.
    pub name: String,
    /// The stream.
    pub ear: Ear,
    /// Its devices; those that are missing are not spoken for.
    pub devices: Vec<Arc<Device>>,
    /// How often readings are taken; `None`: from every telegram.
    pub interval: Option<Duration>,
    /// The accounts of its counters.
    pub book: Arc<Book>,
    /// Counters of stretches of time, where the owner wants them.
    pub wanted: Option<Arc<Wanted>>,
}

/// Listens until cancelled.
pub async fn run(listened: Listened, catalog: Arc<Catalog>, bus: Arc<Bus>, cancel: CancellationToken) {
    let name = listened.name.clone();
    let mut lane = Lane::new(listened, &bus);
    let mut hearing = match Hearing::new(&lane.ear, &catalog, None) {
        Ok(hearing) => hearing.counting(),
        Err(error) => {
            warn!("\"{name}\" is not heard: {error}. {}", error.hint());
            return lane.silent(&error.to_string());
        }
    };
    let mut state = lane.ear.stream.state();
    loop {
        // Once begun it is heard to its end: what was taken from the stream and shown to a plugin must not be forgotten
        // because something else happened meanwhile.
        let next = hearing.next(&catalog);
        tokio::pin!(next);
        let batch = loop {
            let due = lane.due();
            tokio::select! {
                biased;
                () = cancel.cancelled() => return,
                batch = &mut next => break batch,
                changed = state.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    lane.note_state(&state.borrow_and_update());
                }
                () = sleep_until(due) => lane.pass(&state.borrow()),
            }
        };
        match batch {
            Ok(Some(batch)) => lane.take(batch, &catalog).await,
            Ok(None) => return,
            Err(error) => lane.fault(&error.to_string()),
        }
    }
}

/// Listens until one telegram was whole, or for as long as that may take.
pub async fn once(listened: Listened, catalog: &Catalog, bus: &Arc<Bus>) {
    let mut lane = Lane::new(listened, bus);
    match lane.first(catalog).await {
        Ok(true) => {}
        Ok(false) => lane.silent(&lane.why(&lane.ear.stream.state().borrow())),
        Err(error) => lane.silent(&error.to_string()),
    }
}

struct Lane {
    ear: Ear,
    bus: Arc<Bus>,
    meters: Vec<Meter>,
    interval: Option<Duration>,
    rhythm: Rhythm,
    /// When readings were taken last.
    taken: Option<Instant>,
    looked: Option<Instant>,
    /// What the stream seems to be, as it was told last.
    note: Option<String>,
    /// Standard time where the meters stand, as their owner says it.
    offset: Option<i16>,
}

impl Lane {
    fn new(listened: Listened, bus: &Arc<Bus>) -> Self {
        let Listened {
            name: _,
            ear,
            devices,
            interval,
            book,
            wanted,
        } = listened;
        let spoken_for = devices.into_iter().filter(|d| d.meta.is_polled());
        Lane {
            offset: ear.keys.standard_offset,
            ear,
            bus: Arc::clone(bus),
            meters: spoken_for
                .map(|device| Meter::new(device, &book, wanted.clone()))
                .collect(),
            interval,
            rhythm: Rhythm::begin(Instant::now()),
            taken: None,
            looked: None,
            note: None,
        }
    }

    /// Waits for the first telegram.
    async fn first(&mut self, catalog: &Catalog) -> Result<bool> {
        let mut hearing = Hearing::new(&self.ear, catalog, None)?.counting();
        let patience = match self.ear.stream.setting() {
            Some(_) => ONCE_ON_A_LINE,
            None => ONCE,
        };
        let until = Instant::now() + patience;
        loop {
            let batch = tokio::select! {
                batch = hearing.next(catalog) => batch?,
                () = sleep_until(until) => return Ok(false),
            };
            let Some(batch) = batch else { return Ok(false) };
            let whole = !batch.telegrams.is_empty();
            self.take(batch, catalog).await;
            if whole {
                return Ok(true);
            }
        }
    }

    /// Takes what came. Of several telegrams at once each is passed on, and the newest read.
    async fn take(&mut self, batch: Batch, catalog: &Catalog) {
        let now = Stamp::now();
        if batch.note.is_some() && batch.note != self.note {
            if let Some(note) = &batch.note {
                warn!("{}: {note}", self.ear.stream.endpoint());
            }
            self.note = batch.note;
        }
        let meter = self.meters.iter().map(Meter::device).min_by_key(|d| d.meta.unit);
        let id = meter.map(|device| device.meta.id.clone()).unwrap_or_default();
        for (raw, check) in batch.spoiled.into_iter().map(|raw| (raw, Check::Bad)) {
            self.tell(&id, raw, check, now);
        }
        let last = batch.telegrams.len();
        for (n, whole) in batch.telegrams.into_iter().enumerate() {
            self.note = None;
            self.tell(&id, whole.raw.clone(), whole.check, now);
            // What came in one piece came at one moment, for whoever learns how often.
            if n + 1 < last {
                continue;
            }
            self.rhythm.heard(now.at);
            if self.is_in_time(now.at) {
                self.taken = Some(now.at);
                self.read(&whole, now);
            }
            self.look(&whole, catalog).await;
        }
    }

    fn tell(&self, device: &str, raw: Vec<u8>, check: Check, now: Stamp) {
        if !device.is_empty() {
            self.bus.tell_telegram(Telegram {
                device: device.to_owned(),
                raw,
                check,
                at_ms: now.wall_ms,
            });
        }
    }

    /// Whether the interval has passed since readings were taken.
    fn is_in_time(&self, now: Instant) -> bool {
        match (self.interval, self.taken) {
            (Some(interval), Some(taken)) => now.duration_since(taken) >= interval.mul_f64(EARLY),
            _ => true,
        }
    }

    fn read(&mut self, whole: &Whole, now: Stamp) {
        let lines = telegram::lines(&whole.telegram.lines);
        for meter in &mut self.meters {
            meter.take(&lines, self.offset, whole.telegram.time_ms, now, &self.bus);
        }
    }

    /// Says so where somebody speaks who is not known.
    async fn look(&mut self, whole: &Whole, catalog: &Catalog) {
        if self.looked.is_some_and(|looked| looked.elapsed() < LOOK_EVERY) {
            return;
        }
        self.looked = Some(Instant::now());
        let Ok(verdict) = catalog.recognise(&whole.plugin, &whole.telegram).await else {
            return;
        };
        for found in verdict.devices {
            let known = |meter: &&Meter| meter.device().meta.unit == found.unit;
            if self.meters.iter().find(known).is_none() {
                let what = match found.unit {
                    0 => "the meter".to_owned(),
                    channel => format!("a device on channel {channel}"),
                };
                info!(
                    "{}: {what} speaks, too ({}): `busbar scan {} --save` takes it up",
                    self.ear.stream.endpoint(),
                    found.ledger,
                    self.ear.stream.endpoint()
                );
            }
        }
    }

    /// When something is to be done though nothing comes.
    fn due(&self) -> Instant {
        let of_meters = self.meters.iter().filter_map(Meter::due);
        of_meters.chain(self.rhythm.due()).min().unwrap_or_else(far)
    }

    /// Time passed without a telegram.
    fn pass(&mut self, state: &LinkState) {
        let now = Stamp::now();
        if self.rhythm.passed(now.at) {
            if self.rhythm.is_gone() {
                let why = self.why(state);
                self.silent(&why);
            } else {
                for meter in &mut self.meters {
                    meter.age(now, true, &self.bus);
                }
            }
        }
        for meter in &mut self.meters {
            if meter.due().is_some_and(|due| due <= now.at) {
                meter.age(now, false, &self.bus);
            }
        }
    }

    /// A connection that is lost before anything was heard need not be waited for.
    fn note_state(&mut self, state: &LinkState) {
        if matches!(state, LinkState::Down { .. }) && !self.rhythm.ever() {
            let why = self.why(state);
            self.silent(&why);
        }
    }

    /// Why nothing comes.
    fn why(&self, state: &LinkState) -> String {
        match (&self.note, state) {
            (Some(note), _) => note.clone(),
            (None, LinkState::Down { cause, .. }) => cause.to_string(),
            (None, _) => format!(
                "no whole telegram came for {} s",
                self.rhythm.silence(Instant::now()).as_secs()
            ),
        }
    }

    fn silent(&self, why: &str) {
        for meter in &self.meters {
            meter.silent(why, &self.bus);
        }
    }

    fn fault(&mut self, why: &str) {
        if self.note.as_deref() != Some(why) {
            warn!("{}: {why}", self.ear.stream.endpoint());
            self.note = Some(why.to_owned());
        }
    }
}

/// So late that it never comes.
fn far() -> Instant {
    Instant::now() + Duration::from_secs(86_400)
}
