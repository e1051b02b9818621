//! What changed since a sink last looked. A sink that is slow, or whose other end is away, loses nothing but the values
//! in between: what waits for it is a set of names, and the value is taken from the bus when it is its turn.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::{broadcast, watch};

use crate::bus::{Bus, Device, Update};

/// One sink's view of the bus.
#[derive(Debug)]
pub struct Feed {
    bus: Arc<Bus>,
    updates: broadcast::Receiver<Arc<Update>>,
    layout: watch::Receiver<u64>,
    waiting: Changes,
}

/// What changed.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// Whether devices or entities came, went, or were named otherwise: what was said of them is to be said anew.
    pub layout: bool,
    /// The points that were read, by their place in the ledger, of each device by its id.
    pub points: BTreeMap<String, BTreeSet<usize>>,
}

impl Changes {
    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        !self.layout && self.points.is_empty()
    }

    fn read(&mut self, device: &Device, points: impl IntoIterator<Item = usize>) {
        // Only devices that are on the bus: their number is bounded, and so is this.
        let known = self.points.entry(device.meta.id.clone()).or_default();
        known.extend(points);
    }
}

impl Feed {
    /// Begins to listen; everything that is on the bus by now is new.
    pub fn new(bus: &Arc<Bus>) -> Self {
        let mut feed = Feed {
            updates: bus.subscribe(),
            layout: bus.layout(),
            bus: Arc::clone(bus),
            waiting: Changes::default(),
        };
        feed.everything();
        feed
    }

    /// Makes everything new once more: after a broker lost what it was told, or a sink what it had.
    pub fn everything(&mut self) {
        self.waiting.layout = true;
        for device in self.bus.devices() {
            self.waiting.read(&device, 0..device.meta.ledger.points.len());
        }
    }

    /// Waits until something changed, then for as long as `gather` for more, so that a poll of many devices is told at
    /// once. Nothing is lost when this is dropped while it waits. `None` when the bus is gone.
    pub async fn changed(&mut self, gather: Duration) -> Option<Changes> {
        while self.waiting.is_empty() {
            self.hear().await?;
        }
        let until = tokio::time::Instant::now() + gather;
        loop {
            tokio::select! {
                biased;
                () = tokio::time::sleep_until(until) => break,
                heard = self.hear() => heard?,
            }
        }
        Some(self.now())
    }

    /// What changed until now, without waiting.
    pub fn now(&mut self) -> Changes {
        loop {
            match self.updates.try_recv() {
                Ok(update) => self.take(&update),
                Err(TryRecvError::Lagged(_)) => self.everything(),
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        if self.layout.has_changed().unwrap_or(false) {
            self.layout.mark_unchanged();
            self.everything();
        }
        std::mem::take(&mut self.waiting)
    }

    /// Gives back what could not be told, so that it is told with what comes next.
    pub fn untold(&mut self, changes: Changes) {
        self.waiting.layout |= changes.layout;
        for (device, points) in changes.points {
            if self.bus.device(&device).is_some() {
                self.waiting.points.entry(device).or_default().extend(points);
            }
        }
    }

    async fn hear(&mut self) -> Option<()> {
        tokio::select! {
            update = self.updates.recv() => match update {
                Ok(update) => self.take(&update),
                // Behind by more than the feed holds: the newest of everything is on the bus.
                Err(RecvError::Lagged(_)) => self.everything(),
                Err(RecvError::Closed) => return None,
            },
            changed = self.layout.changed() => {
                changed.ok()?;
                self.everything();
            }
        }
        Some(())
    }

    fn take(&mut self, update: &Update) {
        self.waiting.read(&update.device, update.points.iter().copied());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::testing::{device, read};

    const SOON: Duration = Duration::from_millis(100);

    #[tokio::test(start_paused = true)]
    async fn a_slow_sink_loses_no_device_and_stays_small() {
        let bus = Arc::new(Bus::default());
        let one = device("one");
        bus.put("c", vec![Arc::clone(&one)]);
        let mut feed = Feed::new(&bus);
        assert!(feed.changed(SOON).await.unwrap().layout);
        for value in 0..10_000 {
            read(&bus, &one, 0, f64::from(value));
        }
        let changes = feed.changed(SOON).await.unwrap();
        assert!(changes.points["one"].contains(&0));
        assert!(feed.now().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_read_together_is_told_together() {
        let bus = Arc::new(Bus::default());
        let (one, two) = (device("one"), device("two"));
        bus.put("c", vec![Arc::clone(&one), Arc::clone(&two)]);
        let mut feed = Feed::new(&bus);
        feed.now();
        let (told, ()) = tokio::join!(feed.changed(SOON), async {
            read(&bus, &one, 0, 1.0);
            tokio::time::sleep(SOON / 2).await;
            read(&bus, &two, 1, 2.0);
        });
        let told = told.unwrap();
        assert!(!told.layout);
        assert_eq!(told.points.keys().collect::<Vec<_>>(), ["one", "two"]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_could_not_be_told_waits_but_not_for_devices_that_are_gone() {
        let bus = Arc::new(Bus::default());
        let (one, two) = (device("one"), device("two"));
        bus.put("c", vec![Arc::clone(&one), Arc::clone(&two)]);
        let mut feed = Feed::new(&bus);
        let all = feed.now();
        bus.put("c", vec![one]);
        feed.now();
        feed.untold(all);
        assert_eq!(feed.now().points.keys().collect::<Vec<_>>(), ["one"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_device_that_comes_is_a_change_of_the_layout() {
        let bus = Arc::new(Bus::default());
        let mut feed = Feed::new(&bus);
        feed.now();
        bus.put("c", vec![device("one")]);
        let changes = feed.changed(SOON).await.unwrap();
        assert!(changes.layout && changes.points.contains_key("one"));
    }
}
