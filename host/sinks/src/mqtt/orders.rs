//! Carries out what is asked for on the `set` topics: through the door, one command of a device at a time, and tells on
//! the `result` topic what became of it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::Room;
use super::client::{Event, Message, Received};
use super::commands::{self, Ignored, Lately, Order};
use super::confirm::Unconfirmed;
use crate::door::Command;

/// Commands that wait or are carried out, of all devices together.
const AT_ONCE: usize = 32;

/// Carries out commands until it is cancelled; those that have begun are ended in any case.
pub async fn run(room: Room, cancel: CancellationToken) {
    let mut inbox = room
        .publisher
        .open([room.topics.all_set(), room.topics.all_confirm()]);
    let mut orders = Orders {
        room,
        lately: Lately::default(),
        unconfirmed: Arc::default(),
        waiting: BTreeMap::new(),
        count: 0,
        refused: 0,
        under_way: JoinSet::new(),
    };
    loop {
        tokio::select! {
            biased;
            () = cancel.cancelled() => break,
            Some(ended) = orders.under_way.join_next() => orders.ended(ended.ok()),
            event = inbox.next() => match event {
                Some(Event::Message(message)) => orders.take(&message).await,
                Some(Event::Connected | Event::Lost) => {}
                None => break,
            },
        }
    }
    while orders.under_way.join_next().await.is_some() {}
}

struct Orders {
    room: Room,
    lately: Lately,
    /// What asks twice, and was asked once.
    unconfirmed: Arc<Mutex<Unconfirmed>>,
    /// What waits, for each device that has something under way.
    waiting: BTreeMap<String, VecDeque<(u64, Order)>>,
    /// Commands that wait or are under way.
    count: usize,
    /// Messages that were no commands.
    refused: u64,
    /// The devices' names, when they are through.
    under_way: JoinSet<String>,
}

impl Orders {
    async fn take(&mut self, message: &Received) {
        let bus = &self.room.site.bus;
        let exists = |device: &str, key: &str| {
            let device = bus.device(device);
            device.is_some_and(|device| device.meta.ledger.point(key).is_some())
        };
        let (topics, who) = (&self.room.topics, &self.room.who);
        let confirms = topics.of_confirm(&message.topic);
        let understood = match confirms {
            Some(_) => unconfirmed(&self.unconfirmed).confirmed(message, topics, Instant::now()),
            None => commands::understand(message, topics, exists, &mut self.lately, who, Instant::now()),
        };
        // Whoever asks for another value no longer wants the one before, also while this one waits.
        let number = |order: &Order| unconfirmed(&self.unconfirmed).asked(&order.command);
        match understood {
            Ok(order) if self.count >= AT_ONCE => {
                let reason = "too many commands at once: wait for their results";
                self.refuse(&order.command, &order.correlation, reason).await;
            }
            Ok(order) => {
                self.count += 1;
                let (device, order) = (order.command.device.clone(), (number(&order), order));
                match self.waiting.get_mut(&device) {
                    Some(waiting) => waiting.push_back(order),
                    None => {
                        self.waiting.insert(device, VecDeque::new());
                        self.begin(order);
                    }
                }
            }
            Err(why @ (Ignored::Retained | Ignored::Nonsense(_))) => {
                self.refused += 1;
                // Once for each power of two: a flood is not answered with a flood.
                if self.refused.is_power_of_two() {
                    warn!("a message on {} is no command: {why}", message.topic);
                }
                if let Some((device, key)) = self.room.topics.of_set(&message.topic).or(confirms) {
                    let command = Command {
                        device,
                        key,
                        value: Value::Null,
                        dry_run: false,
                        token: None,
                        hold_ms: None,
                        who: String::new(),
                        through: "MQTT",
                    };
                    self.refuse(&command, &message.correlation, &why.to_string())
                        .await;
                }
            }
            Err(why) => debug!("a message on {:?} is ignored: {why}", message.topic),
        }
    }

    fn begin(&mut self, (number, order): (u64, Order)) {
        let room = self.room.clone();
        let waits = Arc::clone(&self.unconfirmed);
        self.under_way.spawn(async move {
            let device = order.command.device.clone();
            let topic = room.topics.result(&device, &order.command.key);
            // A write that has begun goes on to its end, whatever becomes of the connection.
            let write = tokio::spawn(room.site.door.write(order.command.clone()));
            if let Ok(reply) = write.await {
                unconfirmed(&waits).note(number, order.command, &reply.document, Instant::now());
                let payload = reply.document.to_string();
                let mut message = Message::passing(topic, payload);
                message.correlation = order.correlation;
                // A result that is lost is in the audit.
                let _ = room.publisher.publish(message).await;
            }
            device
        });
    }

    fn ended(&mut self, device: Option<String>) {
        self.count = self.count.saturating_sub(1);
        let Some(device) = device else {
            return;
        };
        match self.waiting.get_mut(&device).and_then(VecDeque::pop_front) {
            Some(order) => self.begin(order),
            None => drop(self.waiting.remove(&device)),
        }
    }

    async fn refuse(&self, command: &Command, correlation: &Option<Vec<u8>>, reason: &str) {
        let document = json!({
            "entity": format!("{}.{}", command.device, command.key),
            "requested": command.value,
            "outcome": "refused",
            "reason": reason,
        });
        let topic = self.room.topics.result(&command.device, &command.key);
        let mut message = Message::passing(topic, document.to_string());
        message.correlation.clone_from(correlation);
        let _ = self.room.publisher.publish(message).await;
    }
}

fn unconfirmed(shared: &Mutex<Unconfirmed>) -> std::sync::MutexGuard<'_, Unconfirmed> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
