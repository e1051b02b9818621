//! What a room hears of its connection: that sessions begin and end, and the messages it asked for.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, watch};
use tracing::warn;

use super::Received;
use super::publisher::Current;
use crate::mqtt::topics;

/// Messages that wait for a room. What comes beyond is dropped: nobody sends commands that fast.
const ROOM: usize = 256;

/// What happens to a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A session begins. The broker may know nothing of what was published before: publish the newest of everything.
    Connected,
    /// A message came in.
    Message(Received),
    /// The session is over. Whatever is published now is lost.
    Lost,
}

/// Where a room hears it. Dropped, its subscriptions stay until the session ends.
#[derive(Debug)]
pub struct Inbox {
    sessions: watch::Receiver<Current>,
    messages: mpsc::Receiver<Received>,
    /// The session that the room knows of.
    seen: Option<u64>,
}

impl Inbox {
    /// The next event; `None` when the connection has ended. Nothing is lost when this is dropped while it waits.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            let now = self
                .sessions
                .borrow_and_update()
                .as_ref()
                .map(|session| session.number);
            if now != self.seen {
                let before = std::mem::replace(&mut self.seen, now);
                match (before, now) {
                    (_, Some(_)) => return Some(Event::Connected),
                    (Some(_), None) => return Some(Event::Lost),
                    (None, None) => {}
                }
            }
            tokio::select! {
                biased;
                changed = self.sessions.changed() => changed.ok()?,
                // Only what belongs to a session that the room knows of.
                Some(message) = self.messages.recv(), if self.seen.is_some() => return Some(Event::Message(message)),
            }
        }
    }
}

/// The inboxes of a connection, as the connection sees them.
#[derive(Debug, Default)]
pub(super) struct Inboxes {
    slots: Mutex<Vec<Slot>>,
    dropped: AtomicU64,
}

#[derive(Debug)]
struct Slot {
    filters: Vec<String>,
    messages: mpsc::Sender<Received>,
    /// The session that it was last subscribed in.
    subscribed: Option<u64>,
}

impl Inboxes {
    /// One more.
    pub(super) fn open(&self, filters: Vec<String>, sessions: watch::Receiver<Current>) -> Inbox {
        let (sender, messages) = mpsc::channel(ROOM);
        self.slots().push(Slot {
            filters,
            messages: sender,
            subscribed: None,
        });
        Inbox {
            sessions,
            messages,
            seen: None,
        }
    }

    /// The filters that are not subscribed in this session yet; from now on they are.
    pub(super) fn unsubscribed(&self, session: u64) -> Vec<String> {
        let mut slots = self.slots();
        slots.retain(|slot| !slot.messages.is_closed());
        let mut filters = Vec::new();
        for slot in slots.iter_mut().filter(|slot| slot.subscribed != Some(session)) {
            slot.subscribed = Some(session);
            filters.extend(slot.filters.iter().cloned());
        }
        filters.sort_unstable();
        filters.dedup();
        filters
    }

    /// Gives a message to those who asked for it.
    pub(super) fn deliver(&self, message: &Received) {
        for slot in self.slots().iter() {
            let wanted = slot
                .filters
                .iter()
                .any(|filter| topics::matches(filter, &message.topic));
            if wanted && slot.messages.try_send(message.clone()).is_err() && !slot.messages.is_closed() {
                // Once for each power of two: a flood is not answered with a flood.
                let dropped = self.dropped.fetch_add(1, Relaxed) + 1;
                if dropped.is_power_of_two() {
                    warn!("messages come in faster than they can be looked at; dropped until now: {dropped}");
                }
            }
        }
    }

    fn slots(&self) -> std::sync::MutexGuard<'_, Vec<Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// For all clones of one.
pub(super) type SharedInboxes = Arc<Inboxes>;
