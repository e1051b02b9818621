//! Holding a scan up for a while: nothing is asked while it is paused, and nothing of what was learned is lost.

use tokio::sync::watch;

/// Whether a scan is held up. Clones mean the same scan; what never was paused never holds anything up.
#[derive(Clone, Debug)]
pub struct Pause(watch::Sender<bool>);

impl Default for Pause {
    fn default() -> Self {
        Pause(watch::Sender::new(false))
    }
}

impl Pause {
    /// Holds the scan up. What waits for its turn on the wire is withdrawn at once; what is on the way is asked again
    /// later.
    pub fn begin(&self) {
        self.0.send_replace(true);
    }

    /// Lets it go on.
    pub fn end(&self) {
        self.0.send_replace(false);
    }

    /// Whether it is held up.
    pub fn is_on(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until nothing holds it up.
    pub(super) async fn is_over(&self) {
        self.is(false).await;
    }

    /// Waits until something holds it up.
    pub(super) async fn has_begun(&self) {
        self.is(true).await;
    }

    /// Waits until it is held up, or until it is not.
    pub async fn is(&self, wanted: bool) {
        // The sender is this very value: it cannot be gone.
        let _ = self.0.subscribe().wait_for(|on| *on == wanted).await;
    }
}
