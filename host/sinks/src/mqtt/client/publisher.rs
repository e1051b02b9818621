//! What rooms publish with.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, Semaphore, watch};
use tracing::warn;

use super::inbox::{Inbox, Inboxes, SharedInboxes};
use super::session::{Client, Terms};
use super::{Message, Qos};
use crate::health::Health;

/// Publications that may be on their way at once, of all rooms together.
const WINDOW: usize = 64;
/// Reasons of refusals that are remembered so that each is told once.
const REASONS: usize = 32;

/// What became of a publication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The broker has it.
    Taken,
    /// The broker does not take it, for this reason. It would not take it a second time either: nobody repeats it before
    /// there is something else to say.
    Rejected(String),
    /// The session ended before the broker said anything. When the next one begins, the newest is to be said.
    Lost,
}

/// A session that is under way.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) number: u64,
    pub(super) client: Client,
    pub(super) terms: Terms,
}

/// The session that rooms publish in; `None` while the broker is away.
pub(super) type Current = Option<Arc<Session>>;

/// Publishes on a connection. Cheap to clone; every clone is the same.
#[derive(Clone, Debug)]
pub struct Publisher(pub(super) Arc<Shared>);

/// What the connection and all its publishers have in common.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) current: watch::Sender<Current>,
    pub(super) inboxes: SharedInboxes,
    /// Told when an inbox was opened.
    pub(super) opened: Notify,
    pub(super) health: Health,
    /// The largest message that the broker was found to take, in bytes.
    pub(super) largest: AtomicUsize,
    /// The largest message that was lost since somebody asked, in bytes.
    largest_lost: AtomicUsize,
    window: Semaphore,
    on_the_way: Mutex<OnTheWay>,
    told: Mutex<BTreeSet<String>>,
}

#[derive(Debug, Default)]
struct OnTheWay {
    next: u64,
    sizes: BTreeMap<u64, usize>,
}

impl Publisher {
    pub(super) fn new(health: Health) -> Self {
        Publisher(Arc::new(Shared {
            current: watch::channel(None).0,
            inboxes: Arc::new(Inboxes::default()),
            opened: Notify::new(),
            health,
            largest: AtomicUsize::new(usize::MAX),
            largest_lost: AtomicUsize::new(0),
            window: Semaphore::new(WINDOW),
            on_the_way: Mutex::default(),
            told: Mutex::default(),
        }))
    }

    /// Publishes, and waits for what the broker says to it; while there is no session, not even that. Of two messages to
    /// one topic the first has to be answered before the second is sent, or the older may stay.
    pub async fn publish(&self, message: Message) -> Outcome {
        // Whoever waits for room waits no longer than a session lasts: its end answers all that are under way.
        let Ok(_room) = self.0.window.acquire().await else {
            return Outcome::Lost;
        };
        let session = self.0.current.borrow().clone();
        match session {
            Some(session) => self.0.publish_in(&session, message).await,
            None => Outcome::Lost,
        }
    }

    /// Hears of sessions, and of messages to these filters. What this connection publishes itself comes back only from
    /// a broker that speaks MQTT 3.1.1.
    pub fn open(&self, filters: impl IntoIterator<Item = String>) -> Inbox {
        let inbox = self
            .0
            .inboxes
            .open(filters.into_iter().collect(), self.0.current.subscribe());
        self.0.opened.notify_one();
        inbox
    }

    /// Whether a session is under way.
    pub fn is_connected(&self) -> bool {
        self.0.current.borrow().is_some()
    }

    /// How the connection is.
    pub fn health(&self) -> &Health {
        &self.0.health
    }
}

impl Shared {
    /// The same in a session that is not announced yet.
    pub(super) async fn publish_in(&self, session: &Session, mut message: Message) -> Outcome {
        let size = message.size();
        let most = self.largest.load(Relaxed).min(session.terms.max_packet);
        let outcome = if size > most {
            Outcome::Rejected(format!(
                "it is larger than the broker takes, which is {most} bytes"
            ))
        } else {
            if !session.terms.acknowledges {
                message.qos = Qos::Sent;
            }
            let topic = message.topic.clone();
            let flight = Flight::departs(self, size);
            let outcome = session.client.publish(message).await;
            drop(flight);
            if outcome == Outcome::Lost {
                self.largest_lost.fetch_max(size, Relaxed);
            }
            return self.note(&topic, outcome);
        };
        self.note(&message.topic, outcome)
    }

    /// The largest message that the broker had not answered when its last session ended; forgotten by that.
    pub(super) fn take_largest_lost(&self) -> Option<usize> {
        let lost = self.largest_lost.swap(0, Relaxed);
        // Not all may know by now that theirs is lost.
        let on_the_way = self.on_the_way().sizes.values().copied().max();
        on_the_way.into_iter().chain((lost > 0).then_some(lost)).max()
    }

    fn note(&self, topic: &str, outcome: Outcome) -> Outcome {
        match &outcome {
            Outcome::Taken => self.health.sent(1),
            Outcome::Lost => {}
            Outcome::Rejected(reason) => {
                self.health.dropped(1);
                let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
                if told.len() < REASONS && told.insert(reason.clone()) {
                    warn!(
                        "the broker does not take what is published on {topic}: {reason}; nothing is sent there again \
                         before there is something else to say. Look at the rights of Busbar's user at the broker, \
                         and at its limits"
                    );
                }
            }
        }
        outcome
    }

    fn on_the_way(&self) -> std::sync::MutexGuard<'_, OnTheWay> {
        self.on_the_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A message that the broker has not answered, for as long as somebody waits for the answer.
struct Flight<'a> {
    shared: &'a Shared,
    number: u64,
}

impl<'a> Flight<'a> {
    fn departs(shared: &'a Shared, size: usize) -> Self {
        let mut on_the_way = shared.on_the_way();
        on_the_way.next += 1;
        let number = on_the_way.next;
        on_the_way.sizes.insert(number, size);
        shared.health.waiting(on_the_way.sizes.len());
        Flight { shared, number }
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        let mut on_the_way = self.shared.on_the_way();
        on_the_way.sizes.remove(&self.number);
        self.shared.health.waiting(on_the_way.sizes.len());
    }
}
