//! Scans that the host makes for a wizard and holds until their owner has decided.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::discover::progress::Progress;
use crate::discover::{self, Pause};
use crate::error::{HostError, Result};
use crate::host::Host;
use crate::setup::findings::Findings;
use crate::setup::hands::held::{self, Held};
use crate::setup::work::{Keep, Kept, Order};

/// So many scans are held at once: each is some megabytes at most, and each is for one person.
const MOST: usize = 4;
/// Nobody thinks about one longer.
const LONGEST: Duration = Duration::from_secs(3600);

/// What a scan found, and under which number it is held.
#[derive(Debug, Serialize, Deserialize)]
pub struct HeldScan {
    /// The number.
    pub held: u64,
    /// What was found.
    pub findings: Box<Findings>,
}

/// `POST /control/setup/keep`
#[derive(Debug, Serialize, Deserialize)]
pub struct KeepCall {
    /// The number that the scan is held under.
    pub held: u64,
    /// How it is to be saved.
    pub keep: Keep,
}

/// The scans that are held.
#[derive(Clone, Default)]
pub struct HeldScans(Arc<Mutex<Shelf>>);

#[derive(Default)]
struct Shelf {
    next: u64,
    held: BTreeMap<u64, (Instant, Held)>,
}

impl Shelf {
    fn put(&mut self, held: Held) -> u64 {
        self.tidy();
        while self.held.len() >= MOST {
            // The oldest is the one that is most likely forgotten.
            self.held.pop_first();
        }
        self.next += 1;
        self.held.insert(self.next, (Instant::now(), held));
        self.next
    }

    fn tidy(&mut self) {
        self.held.retain(|_, (since, _)| since.elapsed() < LONGEST);
    }
}

impl HeldScans {
    /// Scans, with the host's own link where it has one, and holds what was found.
    ///
    /// # Errors
    /// As [`discover::scan`].
    pub async fn scan(
        &self,
        host: &Arc<Host>,
        order: &Order,
        progress: &dyn Progress,
        cancel: &tokio_util::sync::CancellationToken,
        pause: &Pause,
    ) -> Result<HeldScan> {
        let request = held::request(Some(&host.registry), &host.catalog, order).await?;
        let (link, own) = match host.way(&order.url) {
            Some(way) => (way, false),
            None => {
                let keys = host.keys_for(&order.url, order.connection.as_deref())?;
                (held::way(&request, &order.url, keys)?, true)
            }
        };
        let scanned =
            discover::scan_with_pauses(&link, &host.catalog, &request, progress, cancel, pause).await;
        if own {
            link.close().await;
        }
        let (held, findings) = Held::of(Some(&host.registry), &host.catalog, scanned?, order).await?;
        let held = self.0.lock().await.put(held);
        Ok(HeldScan {
            held,
            findings: Box::new(findings),
        })
    }

    /// Saves what is held, and polls it from now on.
    ///
    /// # Errors
    /// The store's; that nothing is held under this number any more.
    pub async fn keep(&self, host: &Arc<Host>, call: KeepCall) -> Result<Kept> {
        let mut shelf = self.0.lock().await;
        shelf.tidy();
        let Some((_, held)) = shelf.held.remove(&call.held) else {
            return Err(HostError::failed(
                "nothing_held",
                "this scan is not held any more",
                "Scan again: the host holds the last four, for an hour.",
            ));
        };
        drop(shelf);
        let turn = host.turn().await;
        let saved = held.save(&host.registry, &host.catalog, &call.keep).await;
        drop(turn);
        let (saved, lines) = saved?;
        host.take_up(&saved).await?;
        Ok(Kept {
            connection: saved.connection.name,
            lines,
            ground: None,
        })
    }

    /// Forgets what is held.
    pub async fn forget(&self, held: u64) {
        self.0.lock().await.held.remove(&held);
    }
}
