//! One device of a telegram: the meter itself, or what hangs on one of its channels.

use std::sync::Arc;
use std::time::Duration;

use busbar_ledger::telegram::{Line, Said, readings_of, time};
use busbar_ledger::value::{Quality, Reading, Value};
use tokio::time::Instant;
use tracing::info;

use super::age::{Channel, sane};
use super::jumps::Jumps;
use crate::bus::{Availability, Bus, Device, Slot, Stamp, Update};
use crate::discover::slug;
use crate::energy::book::{Book, DeviceBook};
use crate::energy::wanted::Wanted;

/// The point that says who it is.
const SERIAL: &str = "serial";

/// A device, and what is remembered of it from telegram to telegram.
pub(super) struct Meter {
    device: Arc<Device>,
    book: Arc<DeviceBook>,
    wanted: Option<Arc<Wanted>>,
    jumps: Jumps,
    channel: Channel,
    /// Until when what its channel read is good.
    good_until: Option<Instant>,
}

impl Meter {
    pub(super) fn new(device: Arc<Device>, book: &Book, wanted: Option<Arc<Wanted>>) -> Self {
        Meter {
            book: book.device(&device.meta.id, device.meta.serial.as_deref()),
            device,
            wanted,
            jumps: Jumps::default(),
            channel: Channel::default(),
            good_until: None,
        }
    }

    pub(super) fn device(&self) -> &Arc<Device> {
        &self.device
    }

    /// Puts what a telegram says of it on the bus.
    pub(super) fn take(
        &mut self,
        lines: &[Line],
        offset: Option<i16>,
        said_ms: Option<i64>,
        now: Stamp,
        bus: &Bus,
    ) {
        let device = Arc::clone(&self.device);
        let ledger = &device.meta.ledger;
        let said = Said::of(ledger, device.meta.unit, lines, offset);
        let offset = offset.unwrap_or(ledger.read.standard_offset);
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
            if let (Some(counted), Some(wanted)) = (point.counted(), &self.wanted) {
                // Its counter stands before it, and is as old.
                let of = state.slots.get(counted.of);
                let of = of.filter(|of| of.reading.quality == Quality::Good);
                let at = of.and_then(|of| of.since).unwrap_or(now);
                let reading = of
                    .and_then(Slot::total)
                    .map_or_else(Reading::unavailable, |total| {
                        let (calendar, stretch) = (&wanted.calendar, &counted.stretch);
                        self.book.count(&point.key, calendar, stretch, total, now.wall_ms)
                    });
                if let Some(slot) = state.slots.get_mut(i).filter(|slot| slot.is_polled()) {
                    slot.take(reading, at, HELD);
                    points.push(i);
                }
                continue;
            }
            let Some(slot) = state.slots.get_mut(i).filter(|slot| slot.is_polled()) else {
                continue;
            };
            let reading = self.jumps.judge(i, point, reading, now.at);
            let judged = self.book.judge(point, reading, now.wall_ms);
            let mut reading = judged.reading;
            if let Some(note) = judged.note {
                info!(device = %device.meta.id, "{note}");
            }
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
            if reading.value.is_some() {
                slot.carried = judged.carried;
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

#[cfg(test)]
mod tests {
    use busbar_ledger::presence::Status;
    use busbar_ledger::ranges::Ranges;
    use busbar_ledger::telegram::lines;

    use super::*;
    use crate::bus::DeviceMeta;

    const METER: &str = "ledger = \"test/p1\"\ntitle = \"Meter\"\n[points]\n\
        power = { obis = \"1-0:1.7.0\", unit = \"W\", class = \"power\" }\n\
        energy = { obis = \"1-0:1.8.0\", unit = \"kWh\", class = \"energy\", total = \"increasing\" }\n\
        serial = { obis = \"0-0:96.1.1\", type = \"octets\", class = \"identity\" }\n";
    const GAS: &str = "ledger = \"test/gas\"\ntitle = \"Gas\"\n[points]\n\
        volume = { obis = \"0-n:24.2.1\", unit = \"m³\", class = \"gas\", total = \"increasing\" }\n\
        serial = { obis = \"0-n:96.1.0\", type = \"octets\", class = \"identity\" }\n";
    /// 2026-07-03T13:15:30Z, as the meter of a country says it that stays on standard time.
    const NOW: (i64, &str) = (1_783_084_530_000, "260703141530W");

    fn meter(text: &str, unit: u8, serial: &str) -> Meter {
        let ledger = Arc::new(busbar_ledger::parse("test", text).unwrap());
        let meta = DeviceMeta {
            id: format!("m{unit}"),
            connection: "c".into(),
            connection_id: "c".into(),
            unit,
            name: "Meter".into(),
            model: None,
            serial: Some(serial.into()),
            firmware: None,
            ledger,
            missing: false,
            unreadable: None,
        };
        let device = Device::new(meta, Ranges::default(), |_| Some(Status::Present));
        Meter::new(Arc::new(device), &Book::default(), None)
    }

    fn now() -> Stamp {
        Stamp {
            wall_ms: NOW.0,
            at: Instant::now(),
        }
    }

    /// What the first point of a device shows: the value, how good it is, and its time.
    fn shown(meter: &Meter) -> (Option<f64>, Quality, Option<i64>) {
        let state = meter.device.state();
        let slot = &state.slots[0];
        let value = slot.reading.value.as_ref().and_then(Value::as_f64);
        (value, slot.reading.quality, slot.since.map(|since| since.wall_ms))
    }

    fn hear(meter: &mut Meter, said: &[&str]) {
        let said_ms = time::parse(NOW.1, 60).map(|seconds| seconds * 1000);
        meter.take(&lines(said), Some(60), said_ms, now(), &Bus::default());
    }

    #[tokio::test(start_paused = true)]
    async fn readings_have_the_time_that_the_meter_says() {
        let mut meter = meter(METER, 0, "E1");
        hear(&mut meter, &["1-0:1.7.0(00.532*kW)", "0-0:96.1.1(4531)"]);
        assert_eq!(shown(&meter), (Some(532.0), Quality::Good, Some(NOW.0)));
        meter.age(now(), false, &Bus::default());
        assert_eq!(shown(&meter).1, Quality::Good);
        meter.age(now(), true, &Bus::default());
        assert_eq!(shown(&meter).1, Quality::Stale);
        meter.silent("nothing comes", &Bus::default());
        assert_eq!(shown(&meter).1, Quality::Unavailable);
        assert_eq!(
            meter.device.state().availability,
            Availability::Offline("nothing comes".into())
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_channel_read_is_as_old_as_it_says() {
        let mut gas = meter(GAS, 1, "G1");
        let said = |time: &str| format!("0-1:24.2.1({time})(01234.567*m3)");
        hear(&mut gas, &[&said("260703140000W"), "0-1:96.1.0(4731)"]);
        assert_eq!(
            shown(&gas),
            (Some(1234.567), Quality::Good, Some(NOW.0 - 15 * 60_000 - 30_000))
        );
        // Telegrams that cease do not make it older than it is.
        gas.age(now(), true, &Bus::default());
        assert_eq!(shown(&gas).1, Quality::Good);
        let due = gas.due().unwrap();
        tokio::time::advance(due - Instant::now()).await;
        gas.age(now(), false, &Bus::default());
        assert_eq!(shown(&gas).1, Quality::Stale);
        // It says the same again, four hours later: that makes it no fresher.
        let mut late = meter(GAS, 1, "G1");
        hear(&mut late, &[&said("260703100000W"), "0-1:96.1.0(4731)"]);
        assert_eq!(shown(&late).1, Quality::Stale);
        // One that was never read has no time and no value.
        let mut never = meter(GAS, 1, "G1");
        hear(
            &mut never,
            &["0-1:24.2.1(700101010000W)(00000000)", "0-1:96.1.0(4731)"],
        );
        assert_eq!((shown(&never).0, shown(&never).1), (None, Quality::Invalid));
    }

    #[tokio::test(start_paused = true)]
    async fn another_meter_is_not_taken_for_the_one_that_is_known() {
        let mut meter = meter(METER, 0, "E1");
        hear(&mut meter, &["1-0:1.7.0(00.532*kW)", "0-0:96.1.1(4532)"]);
        assert_eq!(shown(&meter).0, None);
        let Availability::Offline(why) = meter.device.state().availability.clone() else {
            panic!("it is another")
        };
        assert!(
            why.contains("serial E2") && why.contains("scan \"c\" again"),
            "{why}"
        );
        // A telegram without it says nothing of who it is.
        hear(&mut meter, &["1-0:1.7.0(00.532*kW)"]);
        assert_eq!(shown(&meter).0, Some(532.0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_counter_that_falls_or_jumps_is_held_back() {
        let mut meter = meter(METER, 0, "E1");
        let energy = |meter: &Meter| {
            let state = meter.device.state();
            state.slots[1].reading.value.as_ref().and_then(Value::as_f64)
        };
        let quality = |meter: &Meter| meter.device.state().slots[1].reading.quality;
        hear(&mut meter, &["1-0:1.8.0(001234.567*kWh)"]);
        for doubtful in ["1-0:1.8.0(000000.000*kWh)", "1-0:1.8.0(901234.567*kWh)"] {
            hear(&mut meter, &[doubtful]);
            assert_eq!(
                (energy(&meter), quality(&meter)),
                (Some(1234.567), Quality::Stale)
            );
        }
        hear(&mut meter, &["1-0:1.8.0(001234.568*kWh)"]);
        assert_eq!((energy(&meter), quality(&meter)), (Some(1234.568), Quality::Good));
    }
}
