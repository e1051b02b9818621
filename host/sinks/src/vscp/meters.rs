//! Which devices send events, and which events a poll gives. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use busbar_ledger::value::Quality;
use tokio::time::Instant;

use super::encode::{Group, Message, Moment, Settings, Source, part, sources};
use crate::bus::Device;
use crate::telegram::Telegram;

/// The ledger of electricity meters with a P1 port.
const P1: &str = "dsmr/p1";

/// The devices that send, each with its place: its ids begin at 256 times that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meters {
    places: BTreeMap<String, u8>,
    /// What the owner should know of the choice.
    pub remarks: BTreeSet<String>,
}

impl Meters {
    /// Those that `wanted` names, by id or by ledger, in its order; where it names none the P1 meters, and where there are
    /// none of these either every meter.
    pub fn choose(wanted: &[String], devices: &[Arc<Device>]) -> Self {
        let mut meters = Meters::default();
        if wanted.is_empty() {
            let p1 = devices.iter().filter(|d| d.meta.ledger.name == P1);
            let mut chosen: Vec<&Arc<Device>> = p1.collect();
            if chosen.is_empty() {
                chosen = devices.iter().filter(|device| is_meter(device)).collect();
            }
            for device in &chosen {
                meters.put(&device.meta.id, meters.places.len());
            }
            if chosen.len() > 1 {
                let all: Vec<String> = chosen.iter().map(|d| format!("\"{}\"", d.meta.id)).collect();
                meters.remarks.insert(format!(
                    "several meters send VSCP events; so that their ids stay what they are when another one comes, write \
                     vscp.devices = [{}]",
                    all.join(", ")
                ));
            }
            return meters;
        }
        for (place, name) in wanted.iter().enumerate() {
            let mut of_name = devices
                .iter()
                .filter(|d| d.meta.id == *name || d.meta.ledger.name == *name);
            match (of_name.next(), of_name.next()) {
                (None, _) => {
                    meters.remarks.insert(format!(
                        "vscp.devices: there is no device \"{name}\" (yet); `busbar devices` shows their ids"
                    ));
                }
                (Some(device), None) => meters.put(&device.meta.id, place),
                (Some(device), Some(_)) => {
                    meters.put(&device.meta.id, place);
                    meters.remarks.insert(format!(
                        "vscp.devices: there are several devices of \"{name}\", and {} sends; name them by their ids",
                        device.meta.id
                    ));
                }
            }
        }
        meters
    }

    fn put(&mut self, id: &str, place: usize) {
        if let Ok(place) = u8::try_from(place) {
            self.places.entry(id.to_owned()).or_insert(place);
        }
    }

    /// Which place a device has; `None` where it does not send.
    pub fn place(&self, id: &str) -> Option<u8> {
        self.places.get(id).copied()
    }

    /// The device that sends in the first place.
    pub fn first(&self) -> Option<&str> {
        let first = self.places.iter().min_by_key(|(_, place)| **place);
        first.map(|(id, _)| id.as_str())
    }
}

/// Whether a device measures what a meter does: power or energy.
fn is_meter(device: &Device) -> bool {
    of(device)
        .iter()
        .any(|source| matches!(source.measurement.group, Group::Energy | Group::ActiveEffect))
}

fn of(device: &Device) -> Vec<Source> {
    let state = device.state();
    sources(&device.meta.ledger, |index| {
        state.slots.get(index).is_some_and(|slot| slot.is_polled())
    })
}

/// What was told: of each measurement of each device when the device said it.
#[derive(Debug, Default)]
pub struct Told(BTreeMap<String, BTreeMap<u8, Instant>>);

impl Told {
    /// Forgets devices that are gone.
    pub fn retain(&mut self, devices: &[Arc<Device>]) {
        self.0
            .retain(|id, _| devices.iter().any(|device| device.meta.id == *id));
    }

    /// Forgets what was told of a device: its newest is told once more.
    pub fn forget(&mut self, id: &str) {
        self.0.remove(id);
    }

    /// The events of these points, as far as the device said something good that was not told yet: in the order of its
    /// telegram, where there is one. `start` is what relative times count from.
    pub fn events(
        &mut self,
        settings: &Settings,
        (device, place): (&Device, u8),
        points: &BTreeSet<usize>,
        telegram: Option<&Telegram>,
        start: Instant,
    ) -> Vec<Message> {
        let mut due = of(device);
        due.retain(|source| points.contains(&source.index) && settings.sends(source.measurement.group));
        sort(&mut due, telegram);
        let told = self.0.entry(device.meta.id.clone()).or_default();
        let state = device.state();
        let mut events = Vec::new();
        for source in due {
            let (Some(slot), Some(point)) = (
                state.slots.get(source.index),
                device.meta.ledger.points.get(source.index),
            ) else {
                continue;
            };
            let good = slot.since.filter(|_| slot.reading.quality == Quality::Good);
            let Some(said) = good.filter(|said| told.get(&source.measurement.id) != Some(&said.at)) else {
                continue;
            };
            let number = slot
                .reading
                .value
                .as_ref()
                .and_then(busbar_ledger::value::Value::as_f64);
            let power = source.measurement.power(point);
            let number = number
                .zip(power)
                .and_then(|(number, power)| part(number, source.part, power));
            let Some(number) = number else {
                continue;
            };
            told.insert(source.measurement.id, said.at);
            events.push(settings.message(
                source.measurement,
                number,
                place,
                moment(said.wall_ms, said.at, start),
            ));
        }
        events
    }
}

/// A moment on both clocks, as events have it.
pub fn moment(wall_ms: i64, at: Instant, start: Instant) -> Moment {
    let micros = at.saturating_duration_since(start).as_micros() & u128::from(u32::MAX);
    Moment {
        unix_ns: u64::try_from(wall_ms).unwrap_or(0).saturating_mul(1_000_000),
        relative_us: u32::try_from(micros).unwrap_or(0),
    }
}

/// Into the order of the telegram's lines; what is in none of them stays behind, by id.
fn sort(due: &mut [Source], telegram: Option<&Telegram>) {
    let lines = telegram.map(Telegram::lines).unwrap_or_default();
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    for (place, line) in lines.iter().enumerate() {
        if let Some((code, _)) = line.split_once('(') {
            places.entry(code).or_insert(place);
        }
    }
    due.sort_by_key(|source| {
        let place = places.get(source.measurement.obis);
        (place.copied().unwrap_or(usize::MAX), source.measurement.id)
    });
}

#[cfg(test)]
mod tests {
    use super::super::encode::testing::settings;
    use super::*;
    use crate::bus::Bus;
    use crate::telegram::Check;
    use crate::view::testing::{device_of, read};

    const METER: &str = "ledger = \"NAME\"\ntitle = \"One\"\n[points]\n\
        power_import = { at = 0, type = \"f64\", unit = \"W\", class = \"power\" }\n\
        power_export = { at = 4, type = \"f64\", unit = \"W\", class = \"power\" }\n\
        energy_forward = { at = 8, type = \"f64\", unit = \"kWh\", class = \"energy\", total = \"increasing\" }\n\
        volume = { at = 12, type = \"f64\", unit = \"m³\", class = \"gas\", total = \"increasing\" }\n";

    fn meter(id: &str, ledger: &str) -> Arc<Device> {
        device_of(id, &METER.replace("NAME", ledger))
    }

    fn chosen(wanted: &[&str], devices: &[Arc<Device>]) -> (Vec<(String, u8)>, usize) {
        let wanted: Vec<String> = wanted.iter().map(|name| (*name).to_owned()).collect();
        let meters = Meters::choose(&wanted, devices);
        (meters.places.into_iter().collect(), meters.remarks.len())
    }

    #[test]
    fn p1_meters_send_else_all_meters_else_who_is_named() {
        let other = device_of(
            "other",
            "ledger = \"test/one\"\ntitle = \"One\"\n[points]\nx = { at = 0, type = \"u16\" }\n",
        );
        let (p1, vm) = (meter("p1_a", "dsmr/p1"), meter("vm_a", "victron/vm-3p75ct"));
        let all = [other, p1, vm];
        let is = |id: &str, place| (id.to_owned(), place);
        assert_eq!(chosen(&[], &all), (vec![is("p1_a", 0)], 0));
        assert_eq!(chosen(&[], &all[..1]), (vec![], 0));
        assert_eq!(
            chosen(&[], &[Arc::clone(&all[0]), Arc::clone(&all[2])]),
            (vec![is("vm_a", 0)], 0)
        );
        assert_eq!(
            chosen(&["nobody", "vm_a", "dsmr/p1"], &all),
            (vec![is("p1_a", 2), is("vm_a", 1)], 1)
        );
        let two = [meter("b", "dsmr/p1"), meter("a", "dsmr/p1")];
        assert_eq!(chosen(&[], &two), (vec![is("a", 1), is("b", 0)], 1));
        assert_eq!(chosen(&["dsmr/p1"], &two), (vec![is("b", 0)], 1));
    }

    #[tokio::test(start_paused = true)]
    async fn each_reading_is_told_once_in_the_order_of_the_telegram() {
        let bus = Bus::default();
        let device = meter("p1_a", "dsmr/p1");
        bus.put("c", vec![Arc::clone(&device)]);
        let settings = settings("topic = \"{xname}\"");
        let telegram = Telegram {
            device: "p1_a".to_owned(),
            raw: b"/X\r\n1-0:2.7.0(1*kW)\r\n1-0:1.7.0(1*kW)\r\n!\r\n".to_vec(),
            check: Check::Good,
            at_ms: 0,
        };
        let start = Instant::now();
        let mut told = Told::default();
        let all: BTreeSet<usize> = (0..4).collect();
        let mut events = |telegram| {
            let events = told.events(&settings, (&*device, 0), &all, telegram, start);
            events.into_iter().map(|m| m.topic).collect::<Vec<_>>()
        };
        assert!(events(Some(&telegram)).is_empty());
        for (index, value) in [(0, 1.0), (1, 2.0), (2, 3.0), (3, 4.0)] {
            read(&bus, &device, index, value);
        }
        // What is in no line stays behind, and volumes are not sent unless asked for.
        let order = [
            "momentan_active_effect_in",
            "momentan_active_effect_out",
            "sum_active_energy_out",
        ];
        assert_eq!(events(Some(&telegram)), order);
        assert!(events(Some(&telegram)).is_empty());
        tokio::time::advance(std::time::Duration::from_secs(1)).await;
        read(&bus, &device, 0, 1.0);
        assert_eq!(events(None), ["momentan_active_effect_out"]);
        tokio::time::advance(std::time::Duration::from_secs(1)).await;
        read(&bus, &device, 0, 5.0);
        device.state().slots[0].reading.quality = Quality::Stale;
        assert!(events(None).is_empty());
    }

    #[test]
    fn relative_times_begin_anew_after_71_minutes() {
        let start = Instant::now();
        let at = start + std::time::Duration::from_micros((1 << 32) + 5);
        let moment = moment(1_783_084_530_123, at, start);
        assert_eq!(
            (moment.unix_ns, moment.relative_us),
            (1_783_084_530_123_000_000, 5)
        );
    }
}
