//! Scanning, and what becomes of it: here, or in the running host, which then holds what was found.

use super::super::findings::Findings;
use super::super::work::{Event, Keep, Kept, Order};
use super::held::{self, Held};
use super::{Hands, Tell, cancelled};
use crate::control::{Client, HeldScan, KeepCall};
use crate::discover;
use crate::discover::progress;
use crate::error::{HostError, Result};
use crate::telegrams::keys::Keys;

impl Hands {
    pub(super) async fn scan(&mut self, order: &Order, tell: &Tell) -> Result<Findings> {
        self.drop_held().await?;
        let tell = Tell::clone(tell);
        let progress = move |event: progress::Event| tell(Event::Progress(event));
        if let Some(host) = self.host().await? {
            return self.scan_by_host(host, order, &progress).await;
        }
        // The registry is opened before the scan: nobody waits for a scan that cannot be saved.
        self.own().await?;
        let (catalog, switch) = (self.catalog.clone(), self.switch.clone());
        let request = held::request(self.registry.as_ref(), &catalog, order).await?;
        let keys = Keys::find(&self.config, &order.url, order.connection.as_deref())?;
        let link = held::way(&request, &order.url, keys)?;
        let scanned = discover::scan_with_pauses(
            &link,
            &catalog,
            &request,
            &progress,
            &switch.cancel,
            &switch.pause,
        )
        .await;
        link.close().await;
        let scan = scanned?;
        if scan.cancelled && scan.devices.is_empty() {
            return Err(cancelled());
        }
        let (held, findings) = Held::of(self.registry.as_ref(), &catalog, scan, order).await?;
        self.held = Some(held);
        Ok(findings)
    }

    /// The host scans with its own link; a second way to it carries what its owner decides meanwhile.
    async fn scan_by_host(
        &mut self,
        mut host: Client,
        order: &Order,
        progress: &dyn progress::Progress,
    ) -> Result<Findings> {
        let switch = self.switch.clone();
        let scan = host.scan_and_hold(order, progress);
        tokio::pin!(scan);
        let mut paused = false;
        let mut stopped = false;
        let HeldScan { held, findings } = loop {
            tokio::select! {
                done = &mut scan => break done?,
                () = switch.cancel.cancelled(), if !stopped => {
                    stopped = true;
                    if let Some(mut second) = Client::connect(&self.data_dir).await? {
                        second.stop_scan().await?;
                    }
                }
                () = switch.pause.is(!paused), if !stopped => {
                    paused = !paused;
                    if let Some(mut second) = Client::connect(&self.data_dir).await? {
                        second.pause_scan(paused).await?;
                    }
                }
            }
        };
        if findings.cancelled && findings.report.devices.is_empty() {
            return Err(cancelled());
        }
        self.held_by_host = Some(held);
        Ok(*findings)
    }

    pub(super) async fn save(&mut self, keep: &Keep) -> Result<Kept> {
        if let Some(held) = self.held_by_host {
            let Some(mut host) = self.host().await? else {
                return Err(HostError::failed(
                    "host_ended",
                    "the host that has scanned has ended, and what it held is gone",
                    "Scan again.",
                ));
            };
            let keep = keep.clone();
            let kept = host.keep(&KeepCall { held, keep }).await?;
            self.held_by_host = None;
            return Ok(kept);
        }
        let Some(held) = self.held.take() else {
            return Err(HostError::failed(
                "nothing_held",
                "there is nothing to save",
                "Scan first.",
            ));
        };
        let catalog = self.catalog.clone();
        let registry = self.own().await?;
        let (saved, lines) = held.save(registry, &catalog, keep).await?;
        Ok(Kept {
            connection: saved.connection.name,
            lines,
            ground: None,
        })
    }

    pub(super) async fn drop_held(&mut self) -> Result<()> {
        self.held = None;
        if let Some(held) = self.held_by_host.take()
            && let Some(mut host) = self.host().await?
        {
            host.drop_held(held).await?;
        }
        Ok(())
    }
}
