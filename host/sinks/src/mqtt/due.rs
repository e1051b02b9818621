//! Whether a device's state is to be published: when one of its values left its dead band, when its quality changed, and
//! at least once a minute. What the broker did not take is not sent again before there is something else to say, and not
//! within that minute. Pure.

use std::collections::BTreeSet;
use std::time::Duration;

use busbar_ledger::value::Reading;
use tokio::time::Instant;

use super::config::MqttConfig;
use crate::bus::Device;
use crate::pace::Told;

/// What was last published of one device.
#[derive(Debug)]
pub struct DeviceTold {
    points: Vec<Told>,
    bands: Vec<f64>,
    /// When, and whether the broker took it.
    at: Option<(Instant, bool)>,
}

/// The readings that a state was made of, point by point.
pub type Snapshot = Vec<Reading>;

impl DeviceTold {
    /// Nothing was.
    pub fn nothing(device: &Device, config: &MqttConfig) -> Self {
        let points = &device.meta.ledger.points;
        DeviceTold {
            points: vec![Told::default(); points.len()],
            bands: points
                .iter()
                .map(|point| config.dead_band(device, point))
                .collect(),
            at: None,
        }
    }

    /// Whether it is time, given the points that were read.
    pub fn is_due(&self, device: &Device, read: &BTreeSet<usize>, now: Instant, every: Duration) -> bool {
        let Some((at, taken)) = self.at else {
            return true;
        };
        let passed = now.duration_since(at) >= every;
        if taken && passed {
            return true;
        }
        if !taken && !passed {
            return false;
        }
        let ledger = &device.meta.ledger.points;
        let state = device.state();
        read.iter().any(|&i| {
            let (Some(slot), Some(point), Some(told)) =
                (state.slots.get(i), ledger.get(i), self.points.get(i))
            else {
                return false;
            };
            // As of the moment when it was told: only what it says counts here.
            slot.is_polled() && !point.internal && told.is_due(&slot.reading, self.bands[i], at)
        })
    }

    /// When it is time in any case.
    pub fn next(&self, every: Duration) -> Option<Instant> {
        match self.at {
            Some((at, true)) => Some(at + every),
            _ => None,
        }
    }

    /// The readings as they are now.
    pub fn snapshot(device: &Device) -> Snapshot {
        device
            .state()
            .slots
            .iter()
            .map(|slot| slot.reading.clone())
            .collect()
    }

    /// Notes what was published.
    pub fn told(&mut self, snapshot: &Snapshot, now: Instant, taken: bool) {
        for (told, reading) in self.points.iter_mut().zip(snapshot) {
            told.told(reading, now);
        }
        self.at = Some((now, taken));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::Bus;
    use crate::view::testing::{device, read};

    const MINUTE: Duration = Duration::from_secs(60);

    fn config() -> MqttConfig {
        toml::from_str("url = \"mqtt://b\"").unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_state_is_due_by_its_values_and_once_a_minute() {
        let (bus, one) = (Bus::default(), device("one"));
        let mut told = DeviceTold::nothing(&one, &config());
        let power = BTreeSet::from([0]);
        let now = Instant::now();
        assert!(told.is_due(&one, &power, now, MINUTE));
        read(&bus, &one, 0, 100.0);
        told.told(&DeviceTold::snapshot(&one), now, true);
        assert!(!told.is_due(&one, &power, now, MINUTE));
        read(&bus, &one, 0, 100.4);
        assert!(!told.is_due(&one, &power, now, MINUTE), "within the dead band");
        read(&bus, &one, 0, 100.6);
        assert!(told.is_due(&one, &power, now, MINUTE));
        assert!(
            !told.is_due(&one, &BTreeSet::from([1]), now, MINUTE),
            "another point"
        );
        told.told(&DeviceTold::snapshot(&one), now, true);
        let almost = now + MINUTE - Duration::from_millis(1);
        assert!(!told.is_due(&one, &power, almost, MINUTE));
        assert!(told.is_due(&one, &BTreeSet::new(), now + MINUTE, MINUTE));
        assert_eq!(told.next(MINUTE), Some(now + MINUTE));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_rejected_waits_for_something_else_to_say() {
        let (bus, one) = (Bus::default(), device("one"));
        let mut told = DeviceTold::nothing(&one, &config());
        let power = BTreeSet::from([0]);
        let now = Instant::now();
        read(&bus, &one, 0, 100.0);
        told.told(&DeviceTold::snapshot(&one), now, false);
        for later in [0, 1, 60, 3600] {
            let later = now + Duration::from_secs(later);
            assert!(!told.is_due(&one, &power, later, MINUTE), "it says the same");
        }
        assert_eq!(told.next(MINUTE), None);
        read(&bus, &one, 0, 200.0);
        assert!(!told.is_due(&one, &power, now + Duration::from_secs(59), MINUTE));
        assert!(told.is_due(&one, &power, now + MINUTE, MINUTE));
    }

    #[test]
    fn a_quality_that_changes_is_told_at_once() {
        let (bus, one) = (Bus::default(), device("one"));
        let mut told = DeviceTold::nothing(&one, &config());
        read(&bus, &one, 0, 1.0);
        let now = Instant::now();
        told.told(&DeviceTold::snapshot(&one), now, true);
        one.state().slots[0].reading = Reading::unavailable();
        assert!(told.is_due(&one, &BTreeSet::from([0]), now, MINUTE));
    }
}
