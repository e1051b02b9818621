//! One device of a telegram: the meter itself, or what hangs on one of its channels.

use std::sync::Arc;
use std::time::Duration;

use busbar_ledger::telegram::{Line, Said, readings_of, time};
use busbar_ledger::value::{Quality, Reading, Value};
use tokio::time::Instant;
use tracing::info;

use super::age::{Channel, sane};
use super::jumps::Jumps;
use crate::bus::{Availability, Bus, Device, Stamp, Update};
use crate::discover::slug;
use crate::poll::counters::Counters;

/// The point that says who it is.
const SERIAL: &str = "serial";

/// A device, and what is remembered of it from telegram to telegram.
pub(super) struct Meter {
    device: Arc<Device>,
    counters: Counters,
    jumps: Jumps,
    channel: Channel,
    /// Until when what its channel read is good.
    good_until: Option<Instant>,
}

impl Meter {
    pub(super) fn new(device: Arc<Device>) -> Self {
        Meter {
            device,
            counters: Counters::default(),
            jumps: Jumps::default(),
            channel: Channel::default(),
            good_until: None,
        }
    }

    pub(super) fn device(&self) -> &Arc<Device> {
        &self.device
    }

    /// Puts what a telegram says of it on the bus.
    pub(super) fn take(&mut self, lines: &[Line], offset: i16, said_ms: Option<i64>, now: Stamp, bus: &Bus) {
        let device = Arc::clone(&self.device);
        let ledger = &device.meta.ledger;
        let said = Said::new(device.meta.unit, lines, offset);
        let all = readings_of(ledger, &said);
        if all.iter().all(|reading| reading.value.is_none()) {
            return self.silent("the telegrams do not speak of it any more", bus);
        }
        if let Some(other) = self.other(&all) {
            let why = format!(
                "another device speaks in its place (serial {other}): scan \"{}\" again",
                device.meta.connection
            );
            return self.silent(&why, bus);
        }
        let is_channel = device.meta.unit > 0;
        let mut state = device.state();
        let before = std::mem::replace(&mut state.availability, Availability::Online);
        let mut points = Vec::new();
        for (i, (reading, point)) in all.into_iter().zip(&ledger.points).enumerate() {
            let Some(slot) = state.slots.get_mut(i).filter(|slot| slot.is_polled()) else {
                continue;
            };
            let (reading, note) = self.counters.judge(i, point, reading);
            if let Some(note) = note {
                info!(device = %device.meta.id, "{note}");
            }
            let mut reading = self.jumps.judge(i, point, reading, now.at);
            let own = point
                .spoken()
                .and_then(|spoken| said.line(spoken, point.unit.as_deref()));
            let own_ms = own.filter(|_| is_channel).and_then(|line| time_of(line, offset));
            let at = match sane(own_ms.or(said_ms), now.wall_ms, own_ms.is_some()) {
                Some(ms) => earlier(now, ms),
                None => now,
            };
            if let Some(own_ms) = own_ms {
                self.channel.heard(own_ms);
                let left = self.channel.patience_ms() - (now.wall_ms - at.wall_ms);
                match u64::try_from(left) {
                    Ok(left) => self.good_until = Some(now.at + Duration::from_millis(left)),
                    Err(_) if reading.quality == Quality::Good => reading.quality = Quality::Stale,
                    Err(_) => {}
                }
            }
            // What is held back keeps its last value for a while, as for any device.
            slot.take(reading, at, HELD);
            points.push(i);
        }
        drop(state);
        tell(&device, &before);
        publish(&device, points, now, bus);
    }

    /// Another serial number than it is known by; nothing where it says none, or zeros.
    fn other(&self, all: &[Reading]) -> Option<String> {
        let known = self.device.meta.serial.as_deref()?;
        let index = *self.device.meta.ledger.index.get(SERIAL)?;
        let Some(Value::Text(now)) = all.get(index)?.value.as_ref() else {
            return None;
        };
        let says_nothing = now.bytes().all(|b| b == b'0' || !b.is_ascii_alphanumeric());
        (!says_nothing && slug(now) != slug(known)).then(|| now.clone())
    }

    /// When what its channel read is not good any more.
    pub(super) fn due(&self) -> Option<Instant> {
        self.good_until
    }

    /// Makes good readings stale: all of them, or those that its channel has read.
    pub(super) fn age(&mut self, now: Stamp, all: bool, bus: &Bus) {
        let of_channel = self.good_until.is_some_and(|until| until <= now.at);
        if of_channel {
            self.good_until = None;
        }
        if !(all || of_channel) {
            return;
        }
        let mut points = Vec::new();
        let mut state = self.device.state();
        for (i, slot) in state.slots.iter_mut().enumerate() {
            // What a channel has read is as old as it says, whenever the last telegram came.
            let by_itself = self.device.meta.unit > 0 && self.good_until.is_some();
            if slot.reading.quality == Quality::Good && !by_itself {
                slot.reading.quality = Quality::Stale;
                points.push(i);
            }
        }
        drop(state);
        publish(&self.device, points, now, bus);
    }

    /// Nothing is known of it any more.
    pub(super) fn silent(&self, why: &str, bus: &Bus) {
        let device = &self.device;
        let mut state = device.state();
        let before = std::mem::replace(&mut state.availability, Availability::Offline(why.to_owned()));
        let mut points = Vec::new();
        for (i, slot) in state.slots.iter_mut().enumerate() {
            if slot.is_polled() && slot.reading.quality != Quality::Unavailable {
                points.push(i);
            }
            slot.reading = Reading::unavailable();
        }
        drop(state);
        if !matches!(before, Availability::Offline(_)) {
            info!(device = %device.meta.id, "{} is offline: {why}", device.meta.name);
            // Whoever shows the device hears of it even where it never had a value.
            let all = (0..device.meta.ledger.points.len()).collect();
            publish(device, all, Stamp::now(), bus);
        } else {
            publish(device, points, Stamp::now(), bus);
        }
    }
}

/// How long the last value stands for one that is not believed.
const HELD: Duration = Duration::from_secs(600);

/// The time in a line's first bracket.
fn time_of(line: &Line, offset: i16) -> Option<i64> {
    let seconds = time::parse(&line.groups.first()?.value, offset)?;
    seconds.checked_mul(1000)
}

/// The same moment on both clocks.
fn earlier(now: Stamp, wall_ms: i64) -> Stamp {
    let age = u64::try_from(now.wall_ms - wall_ms).unwrap_or(0);
    Stamp {
        wall_ms,
        at: now.at.checked_sub(Duration::from_millis(age)).unwrap_or(now.at),
    }
}

fn tell(device: &Device, before: &Availability) {
    if let Availability::Offline(_) = before {
        info!(device = %device.meta.id, "{} is back online", device.meta.name);
    }
}

fn publish(device: &Arc<Device>, points: Vec<usize>, now: Stamp, bus: &Bus) {
    if !points.is_empty() {
        bus.publish(Update {
            device: Arc::clone(device),
            points,
            at_ms: now.wall_ms,
        });
    }
}
