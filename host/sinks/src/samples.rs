//! What changed, as samples: what a sink that records writes down, one for each moment and entity.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use busbar_ledger::model::{Class, Point};
use busbar_ledger::value::{Quality, Value};
use tokio::time::Instant;

use crate::bus::{Bus, Device};
use crate::feed::Changes;
use crate::pace::{AT_LEAST_EVERY, Told, dead_band};
use crate::select::Select;
use crate::view;

/// What one entity said at one moment.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The device.
    pub of: Arc<Device>,
    /// The point's place in the ledger of the device.
    pub index: usize,
    /// What it said; nothing unless the quality is `good` or `stale`. Never NaN, never infinite.
    pub value: Option<Value>,
    /// How far that can be trusted.
    pub quality: Quality,
    /// When it was so, in milliseconds since 1970: of a good value when the device said it, of anything else when it was
    /// noticed.
    pub time_ms: i64,
    /// When the device said the value, in milliseconds since 1970; `None` where there is no value.
    pub said_ms: Option<i64>,
}

impl Sample {
    /// What describes it. A sample is only ever made for a point that its ledger has.
    pub fn point(&self) -> &Point {
        &self.of.meta.ledger.points[self.index]
    }

    /// The device's id.
    pub fn device(&self) -> &str {
        &self.of.meta.id
    }

    /// The point's key.
    pub fn key(&self) -> &str {
        &self.point().key
    }

    /// The entity's id.
    pub fn entity(&self) -> String {
        format!("{}.{}", self.device(), self.key())
    }

    /// What the owner, else the ledger calls it.
    pub fn name(&self) -> &str {
        view::name(&self.of, self.point())
    }

    /// The unit of measurement.
    pub fn unit(&self) -> Option<&str> {
        self.point().unit.as_deref()
    }

    /// What kind of quantity it is.
    pub fn class(&self) -> Option<Class> {
        self.point().class
    }

    /// What a number of an enumeration means.
    pub fn label(&self) -> Option<String> {
        self.point().meaning(self.value.as_ref()?)
    }
}

/// Which phase a key speaks of: `power_l2` and `ac_out_l2_v` are of `L2`.
pub fn phase(key: &str) -> Option<&'static str> {
    key.split('_').find_map(|part| match part {
        "l1" => Some("L1"),
        "l2" => Some("L2"),
        "l3" => Some("L3"),
        _ => None,
    })
}

/// The name of a class, as ledgers write it.
pub fn class_name(class: Class) -> String {
    match serde_json::to_value(class) {
        Ok(serde_json::Value::String(name)) => name,
        _ => String::new(),
    }
}

/// How often an entity is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rhythm {
    /// The shortest time between two samples of one entity.
    pub interval: Duration,
    /// Whether a value that stands still is not told once a minute all the same.
    pub changes_only: bool,
}

/// Makes samples of changes: of the entities that are wanted, when they are worth it.
#[derive(Debug)]
pub struct Gatherer {
    select: Select,
    rhythm: Rhythm,
    known: HashMap<String, Known>,
}

#[derive(Debug)]
struct Known {
    /// As it was when this was worked out.
    device: Arc<Device>,
    points: Vec<Option<Line>>,
}

#[derive(Clone, Debug, Default)]
struct Line {
    told: Told,
    band: f64,
}

impl Gatherer {
    /// For one sink.
    pub fn new(select: Select, rhythm: Rhythm) -> Self {
        Gatherer {
            select,
            rhythm,
            known: HashMap::new(),
        }
    }

    /// The samples that these changes are worth.
    pub fn gather(&mut self, bus: &Bus, changes: &Changes, now: Instant) -> Vec<Sample> {
        if changes.layout {
            self.known.retain(|id, _| bus.device(id).is_some());
        }
        let mut samples = Vec::new();
        let now_ms = crate::clock::now_ms();
        for (id, points) in &changes.points {
            let Some(device) = bus.device(id) else { continue };
            let known = match self.known.remove(id) {
                Some(known) if Arc::ptr_eq(&known.device, &device) => known,
                old => self.work_out(&device, old),
            };
            let known = self.known.entry(id.clone()).or_insert(known);
            let state = device.state();
            for index in points {
                let (Some(slot), Some(Some(line))) = (state.slots.get(*index), known.points.get_mut(*index))
                else {
                    continue;
                };
                // Before its first answer there is nothing to tell.
                if !slot.is_polled()
                    || (slot.since.is_none() && slot.reading.value.is_none() && line.told.at().is_none())
                {
                    continue;
                }
                if !is_due(line, &self.rhythm, slot, now) {
                    continue;
                }
                line.told.told(&slot.reading, now);
                let said_ms = slot.since.map(|since| since.wall_ms);
                let value = slot.reading.value.clone();
                let value = value.filter(|value| value.as_f64().is_none_or(f64::is_finite));
                samples.push(Sample {
                    of: Arc::clone(&device),
                    index: *index,
                    quality: slot.reading.quality,
                    time_ms: match slot.reading.quality {
                        Quality::Good => said_ms.unwrap_or(now_ms),
                        _ => now_ms,
                    },
                    said_ms: said_ms.filter(|_| value.is_some()),
                    value,
                });
            }
        }
        samples
    }

    fn work_out(&self, device: &Arc<Device>, old: Option<Known>) -> Known {
        // The same points: what was told of them still is.
        let mut before = old
            .filter(|old| Arc::ptr_eq(&old.device.meta.ledger, &device.meta.ledger))
            .map(|old| old.points)
            .unwrap_or_default();
        let points = device.meta.ledger.points.iter().enumerate();
        let points = points.map(|(i, point)| {
            let wanted = !point.internal && self.select.takes(&device.meta, point);
            wanted.then(|| {
                before.get_mut(i).and_then(Option::take).unwrap_or_else(|| Line {
                    told: Told::default(),
                    band: dead_band(point),
                })
            })
        });
        Known {
            points: points.collect(),
            device: Arc::clone(device),
        }
    }
}

fn is_due(line: &Line, rhythm: &Rhythm, slot: &crate::bus::Slot, now: Instant) -> bool {
    let Some(at) = line.told.at() else { return true };
    let age = now.duration_since(at);
    let news = line.told.is_news(&slot.reading, line.band);
    match news {
        true => age >= rhythm.interval,
        false => !rhythm.changes_only && age >= rhythm.interval.max(AT_LEAST_EVERY),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::Feed;
    use crate::view::testing::{device, read};

    fn world() -> (Arc<Bus>, Arc<Device>, Feed) {
        let bus = Arc::new(Bus::default());
        let one = device("one");
        bus.put("c", vec![Arc::clone(&one)]);
        let feed = Feed::new(&bus);
        (bus, one, feed)
    }

    #[tokio::test(start_paused = true)]
    async fn a_sample_says_what_the_device_said_and_nothing_before_it_did() {
        let (bus, one, mut feed) = world();
        let mut gatherer = Gatherer::new(Select::default(), Rhythm::default());
        assert!(gatherer.gather(&bus, &feed.now(), Instant::now()).is_empty());
        read(&bus, &one, 0, 230.0);
        let samples = gatherer.gather(&bus, &feed.now(), Instant::now());
        assert_eq!(samples.len(), 1);
        let sample = &samples[0];
        assert_eq!(
            (sample.entity().as_str(), sample.unit()),
            ("one.power", Some("W"))
        );
        assert_eq!(sample.value, Some(Value::Number(230.0)));
        assert_eq!(sample.said_ms, Some(sample.time_ms));
        // Within the dead band: no news.
        read(&bus, &one, 0, 230.4);
        assert!(gatherer.gather(&bus, &feed.now(), Instant::now()).is_empty());
        one.state().slots[0].reading = busbar_ledger::value::Reading::unavailable();
        feed.everything();
        let samples = gatherer.gather(&bus, &feed.now(), Instant::now());
        assert_eq!((samples.len(), samples[0].said_ms), (1, None));
    }

    #[tokio::test(start_paused = true)]
    async fn an_interval_holds_back_and_the_last_word_is_told_with_the_next_read() {
        let (bus, one, mut feed) = world();
        let rhythm = Rhythm {
            interval: Duration::from_secs(10),
            changes_only: true,
        };
        let mut gatherer = Gatherer::new(Select::of(&["*.power".to_owned()]).unwrap(), rhythm);
        let mut told = async |value: f64, later: u64| {
            tokio::time::advance(Duration::from_secs(later)).await;
            read(&bus, &one, 0, value);
            read(&bus, &one, 1, value);
            gatherer.gather(&bus, &feed.now(), Instant::now()).len()
        };
        assert_eq!(told(1.0, 0).await, 1);
        assert_eq!(told(5.0, 4).await, 0);
        assert_eq!(told(5.0, 6).await, 1);
        assert_eq!(told(5.0, 300).await, 0, "it stands still");
        assert_eq!(told(9.0, 1).await, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_device_that_is_laid_out_anew_is_not_told_twice() {
        let (bus, one, mut feed) = world();
        let mut gatherer = Gatherer::new(Select::default(), Rhythm::default());
        read(&bus, &one, 0, 1.0);
        assert_eq!(gatherer.gather(&bus, &feed.now(), Instant::now()).len(), 1);
        let anew = Arc::new(one.anew(None, Default::default(), |_| {
            busbar_ledger::presence::Status::Present
        }));
        bus.replace(&anew);
        assert!(gatherer.gather(&bus, &feed.now(), Instant::now()).is_empty());
    }

    #[test]
    fn a_phase_is_a_part_of_a_key() {
        assert_eq!(phase("ac_out_l2_v"), Some("L2"));
        assert_eq!(phase("power_l3"), Some("L3"));
        assert_eq!(phase("level1"), None);
        assert_eq!(class_name(Class::PowerFactor), "power_factor");
    }
}
