//! What a search tells while it runs. Showing it is somebody else's business.

use super::Found;

/// Something worth telling during a search.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// It listens for announcements.
    Listening,
    /// Addresses and ports are tried.
    Knocking {
        /// Tried so far.
        done: u32,
        /// To try.
        of: u32,
    },
    /// What answered is asked what it is.
    Asking {
        /// Asked so far.
        done: u32,
        /// To ask.
        of: u32,
    },
    /// A serial port is tried with one setting after the other.
    Trying {
        /// The port.
        port: String,
        /// Trials so far.
        done: u32,
        /// Trials planned.
        of: u32,
    },
    /// Something was found.
    Found(Box<Found>),
    /// Something that the owner should read.
    Note(String),
}

/// Takes the events of a search. It must not block.
pub trait Progress: Send + Sync {
    /// One event.
    fn event(&self, event: Event);
}

/// Nobody listens.
pub struct Quiet;

impl Progress for Quiet {
    fn event(&self, _: Event) {}
}

impl<F: Fn(Event) + Send + Sync> Progress for F {
    fn event(&self, event: Event) {
        self(event);
    }
}
