//! What a listener sees of a link's traffic, for captures.

use std::sync::{Arc, OnceLock};

use tokio::sync::broadcast;
use tokio::time::Instant;

use crate::frame::Frame;

/// How many frames wait for a listener that is slow; then the oldest go, and it learns how many.
const WAITING: usize = 1024;

/// Which way something went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To the device.
    Sent,
    /// From the device.
    Received,
}

/// One frame, or what was none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// When it was handed over to be sent, or was taken from what came.
    pub at: Instant,
    /// Which way it went.
    pub direction: Direction,
    /// What it was.
    pub seen: Seen,
}

/// What went over the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// A whole frame, whether or not anybody waits for it.
    Frame {
        /// Its transaction id. On a line, which has none: the link's own number of the request, also with the answer
        /// that was found to be its.
        id: u16,
        /// The unit that it comes from or goes to.
        unit: u8,
        /// Function code and data.
        pdu: Arc<[u8]>,
    },
    /// Bytes in which there is no frame.
    Noise(Arc<[u8]>),
}

/// Where listeners listen. It costs a look at one word where nobody ever did.
#[derive(Debug, Default)]
pub(crate) struct Tap(OnceLock<broadcast::Sender<Traffic>>);

impl Tap {
    pub(crate) fn listen(&self) -> broadcast::Receiver<Traffic> {
        self.0.get_or_init(|| broadcast::Sender::new(WAITING)).subscribe()
    }

    /// Shows a frame to whoever listens.
    pub(crate) fn frame(&self, direction: Direction, frame: Frame<'_>) {
        self.show(direction, || Seen::Frame {
            id: frame.id,
            unit: frame.unit,
            pdu: frame.pdu.into(),
        });
    }

    /// Shows bytes that were received and hold no frame.
    pub(crate) fn noise(&self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.show(Direction::Received, || Seen::Noise(bytes.into()));
        }
    }

    fn show(&self, direction: Direction, seen: impl FnOnce() -> Seen) {
        let Some(listeners) = self.0.get().filter(|tap| tap.receiver_count() > 0) else {
            return;
        };
        // That the last one has gone meanwhile is no matter.
        let _ = listeners.send(Traffic {
            at: Instant::now(),
            direction,
            seen: seen(),
        });
    }
}
