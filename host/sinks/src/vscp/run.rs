//! The room that publishes events: from readings, or, where the old tool's output is meant, from the lines of telegrams.
//!
//! An event is no state: it is not retained, and told once. While the broker is away the newest reading of each
//! measurement is kept, and what it replaces is counted as dropped.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, trace, warn};

use super::config::VscpConfig;
use super::encode::{self, Message, Settings};
use super::mac;
use super::meters::{Meters, Told, moment};
use crate::feed::{Changes, Feed};
use crate::mqtt::Room;
use crate::mqtt::client::{self, Event, Inbox, Outcome, Qos};
use crate::telegram::Telegram;

/// How long readings are gathered: those of one telegram come together.
const GATHER: Duration = Duration::from_millis(20);
/// Events that are on their way at once; they leave in their order.
const AT_ONCE: usize = 26;

/// Publishes until it is cancelled; then what is due, as soon as the broker is there.
pub async fn run(room: Room, config: VscpConfig, cancel: CancellationToken) {
    let settings = match config.settings(mac::of_this_machine(&room.site.host_id)) {
        Ok(settings) => settings,
        // The configuration was checked when it was read; what slipped through is said here.
        Err(fault) => return error!("no VSCP events: {fault}"),
    };
    let sender = Sender {
        meters: Meters::default(),
        wanted: config.devices,
        qos: if config.qos == 0 {
            Qos::Sent
        } else {
            Qos::Acknowledged
        },
        start: Instant::now(),
        settings,
        room,
    };
    let inbox = sender.room.publisher.open([]);
    if sender.settings.compat {
        sender.lines(inbox, cancel).await;
    } else {
        sender.readings(inbox, cancel).await;
    }
}

struct Sender {
    room: Room,
    settings: Settings,
    wanted: Vec<String>,
    qos: Qos,
    /// What relative times count from.
    start: Instant,
    meters: Meters,
}

impl Sender {
    async fn readings(mut self, mut inbox: Inbox, cancel: CancellationToken) {
        let mut feed = Feed::new(&self.room.site.bus);
        let mut told = Told::default();
        // What could not be told, and is told anew.
        let mut held = Changes::default();
        let mut connected = false;
        loop {
            tokio::select! {
                biased;
                () = cancel.cancelled() => break,
                event = inbox.next() => match event {
                    Some(Event::Connected) => {
                        connected = true;
                        self.tell(std::mem::take(&mut held), &mut told, &mut held).await;
                    }
                    Some(Event::Lost) => connected = false,
                    Some(Event::Message(_)) => {}
                    None => return,
                },
                changes = feed.changed(GATHER) => match changes {
                    Some(changes) if connected => self.tell(changes, &mut told, &mut held).await,
                    Some(changes) => self.hold(changes, &mut held),
                    None => return,
                },
            }
        }
        // A host that reads once may be done before the broker said anything at all.
        if !connected && !reached(&mut inbox).await {
            return;
        }
        let last = feed.now();
        self.hold(last, &mut held);
        self.tell(std::mem::take(&mut held), &mut told, &mut held).await;
    }

    /// Keeps the names of what changed; what it replaces is dropped.
    fn hold(&self, changes: Changes, held: &mut Changes) {
        held.layout |= changes.layout;
        for (id, points) in changes.points {
            let known = held.points.entry(id).or_default();
            let replaced = points.intersection(known).count();
            self.room.publisher.health().dropped(replaced);
            known.extend(points);
        }
    }

    async fn tell(&mut self, changes: Changes, told: &mut Told, held: &mut Changes) {
        let devices = self.room.site.bus.devices();
        if changes.layout {
            told.retain(&devices);
            self.choose();
        }
        for device in devices {
            let id = &device.meta.id;
            let (Some(place), Some(points)) = (self.meters.place(id), changes.points.get(id)) else {
                continue;
            };
            let telegram = self.room.site.bus.telegram(id);
            let events = told.events(
                &self.settings,
                (&device, place),
                points,
                telegram.as_deref(),
                self.start,
            );
            if !self.publish(events).await {
                // The newest is told when the next session begins.
                told.forget(id);
                held.points.entry(id.clone()).or_default().extend(points);
            }
        }
    }

    async fn lines(mut self, mut inbox: Inbox, cancel: CancellationToken) {
        let mut telegrams = self.room.site.bus.telegrams();
        let mut layout = self.room.site.bus.layout();
        let mut held: Option<Arc<Telegram>> = None;
        let mut connected = false;
        self.choose();
        loop {
            tokio::select! {
                biased;
                () = cancel.cancelled() => break,
                event = inbox.next() => match event {
                    Some(Event::Connected) => connected = true,
                    Some(Event::Lost) => connected = false,
                    Some(Event::Message(_)) => {}
                    None => return,
                },
                changed = layout.changed() => match changed {
                    Ok(()) => self.choose(),
                    Err(_) => return,
                },
                heard = telegrams.recv() => match heard {
                    Ok(telegram) => self.keep(telegram, &mut held),
                    Err(RecvError::Lagged(count)) => self.dropped(usize::try_from(count).unwrap_or(usize::MAX)),
                    Err(RecvError::Closed) => return,
                },
            }
            if connected && let Some(telegram) = held.take() {
                self.repeat(telegram, &mut held).await;
            }
        }
        if !connected && !reached(&mut inbox).await {
            return;
        }
        self.choose();
        loop {
            match telegrams.try_recv() {
                Ok(telegram) => {
                    if let Some(earlier) = held.take() {
                        self.repeat(earlier, &mut held).await;
                    }
                    self.keep(telegram, &mut held);
                }
                Err(TryRecvError::Lagged(_)) => {}
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        if let Some(telegram) = held.take() {
            self.repeat(telegram, &mut held).await;
        }
    }

    /// Keeps the newest telegram of the one meter that the old tool had.
    fn keep(&self, telegram: Arc<Telegram>, held: &mut Option<Arc<Telegram>>) {
        if self.meters.first() == Some(telegram.device.as_str())
            && let Some(earlier) = held.replace(telegram)
        {
            let at = moment(earlier.at_ms, Instant::now(), self.start);
            let lines = earlier.lines();
            let events = lines
                .iter()
                .filter_map(|line| encode::compat::message(&self.settings, line, at));
            self.dropped(events.count());
        }
    }

    async fn repeat(&self, telegram: Arc<Telegram>, held: &mut Option<Arc<Telegram>>) {
        let at = moment(telegram.at_ms, Instant::now(), self.start);
        let lines = telegram.lines();
        let events = lines
            .iter()
            .filter_map(|line| encode::compat::message(&self.settings, line, at));
        if !self.publish(events.collect()).await {
            *held = Some(telegram);
        }
    }

    /// Publishes in this order. `false` where the broker went away meanwhile.
    async fn publish(&self, events: Vec<Message>) -> bool {
        let publish = |event: Message| {
            debug!("VSCP: {} on {}", event.key, event.topic);
            trace!("VSCP: {}", String::from_utf8_lossy(&event.payload));
            let message = client::Message {
                topic: event.topic,
                payload: event.payload,
                qos: self.qos,
                retain: false,
                correlation: None,
            };
            self.room.publisher.publish(message)
        };
        let mut outcomes = stream::iter(events).map(publish).buffered(AT_ONCE);
        let mut all = true;
        while let Some(outcome) = outcomes.next().await {
            all &= outcome != Outcome::Lost;
        }
        all
    }

    fn choose(&mut self) {
        let meters = Meters::choose(&self.wanted, &self.room.site.bus.devices());
        let new: BTreeSet<&String> = meters.remarks.difference(&self.meters.remarks).collect();
        for remark in new {
            warn!("{remark}");
        }
        self.meters = meters;
    }

    fn dropped(&self, count: usize) {
        self.room.publisher.health().dropped(count);
    }
}

/// Waits until a session begins; `false` where none does. Whoever waits for this room ends it in time.
async fn reached(inbox: &mut Inbox) -> bool {
    loop {
        match inbox.next().await {
            Some(Event::Connected) => return true,
            Some(_) => {}
            None => return false,
        }
    }
}
