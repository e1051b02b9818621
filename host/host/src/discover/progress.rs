//! What a scan tells while it runs. Showing it is somebody else's business.

use serde::{Deserialize, Serialize};

/// Something worth telling during a scan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// Before anything is asked in earnest: what the scan will cost the device.
    Forecast {
        /// Requests that it will take.
        requests: u32,
        /// How many of them the device will probably refuse, each one an entry in its log.
        exceptions: u32,
    },
    /// The search for devices goes on.
    Probing {
        /// Probes made so far.
        done: u32,
        /// Probes still expected; the number shrinks and grows with what is found.
        remaining: u32,
    },
    /// A device is being learned: which of its registers can be read.
    Learning {
        /// Devices learned so far.
        done: u32,
        /// Devices found.
        of: u32,
    },
    /// Something that the owner should read.
    Note {
        /// A sentence.
        text: String,
    },
}

/// Takes the events of a scan. It must not block.
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
