//! How a sink is: for `/metrics`, the doctor and whoever asks why nothing arrives.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// How one sink is. Cheap to clone; every clone is the same.
#[derive(Clone, Debug)]
pub struct Health(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: &'static str,
    target: String,
    link: Mutex<Link>,
    sent: AtomicU64,
    dropped: AtomicU64,
    waiting: AtomicU64,
}

/// Whether the other end is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link {
    /// Not tried yet.
    Begins,
    /// It takes what it is sent.
    Up,
    /// It does not; with the cause for people.
    Down(String),
}

/// How a sink is, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// `mqtt`, `influxdb`, …
    pub name: &'static str,
    /// Where it sends to, for people and without credentials.
    pub target: String,
    /// Whether the other end is there.
    pub link: Link,
    /// Messages, lines or rows that were taken.
    pub sent: u64,
    /// Those that were given up.
    pub dropped: u64,
    /// Those that wait.
    pub waiting: u64,
}

impl Health {
    /// Of a sink that begins. `target` has no credentials in it.
    pub fn new(name: &'static str, target: impl Into<String>) -> Self {
        Health(Arc::new(Inner {
            name,
            target: target.into(),
            link: Mutex::new(Link::Begins),
            sent: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            waiting: AtomicU64::new(0),
        }))
    }

    /// The other end is there. One log line for each return.
    pub fn up(&self) {
        if std::mem::replace(&mut *self.link(), Link::Up) != Link::Up {
            tracing::info!(sink = self.0.name, "connected to {}", self.0.target);
        }
    }

    /// The other end is away, for this reason. One log line for each loss, and one for each new reason.
    pub fn down(&self, cause: impl Into<String>) {
        let cause = cause.into();
        let before = std::mem::replace(&mut *self.link(), Link::Down(cause.clone()));
        if before != Link::Down(cause.clone()) {
            tracing::warn!(sink = self.0.name, "{}: {cause}; trying again", self.0.target);
        }
    }

    /// So many were taken.
    pub fn sent(&self, count: usize) {
        self.0.sent.fetch_add(count as u64, Relaxed);
    }

    /// So many were given up.
    pub fn dropped(&self, count: usize) {
        self.0.dropped.fetch_add(count as u64, Relaxed);
    }

    /// So many wait now.
    pub fn waiting(&self, count: usize) {
        self.0.waiting.store(count as u64, Relaxed);
    }

    /// All of it.
    pub fn report(&self) -> Report {
        let inner = &self.0;
        Report {
            name: inner.name,
            target: inner.target.clone(),
            link: self.link().clone(),
            sent: inner.sent.load(Relaxed),
            dropped: inner.dropped.load(Relaxed),
            waiting: inner.waiting.load(Relaxed),
        }
    }

    fn link(&self) -> std::sync::MutexGuard<'_, Link> {
        self.0.link.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
