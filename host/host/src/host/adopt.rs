//! Connections that the configuration names and the registry does not know yet are scanned, until that succeeds once.

use std::sync::Arc;
use std::time::Duration;

use busbar_store::Connection;
use busbar_wire::{Endpoint, EndpointError, Options};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::Host;
use crate::config::{ConnectionConfig, ScanModeValue};
use crate::discover::progress::Quiet;
use crate::discover::{self, Request};
use crate::error::{HostError, Result};
use crate::profile::{self, Profile};
use crate::registry::{self, Saved};
use crate::telegrams::way::Way;

/// A connection of the configuration that could not be scanned is tried again after this long, then after twice that.
const RETRY_FROM: Duration = Duration::from_secs(30);
/// And never more rarely than this.
const RETRY_TO: Duration = Duration::from_secs(600);

impl Host {
    /// Takes over what the configuration names: connections that were never scanned are scanned now, and again later
    /// where that fails, until it succeeds once.
    ///
    /// # Errors
    /// A URL that is none; the store's.
    pub async fn adopt_config(self: &Arc<Self>, cancel: &CancellationToken) -> Result<()> {
        let mut pause = RETRY_FROM;
        loop {
            let (scanned, failed) = self.scan_unscanned(cancel).await?;
            for saved in &scanned {
                self.take_up(saved).await?;
            }
            if failed == 0 {
                return Ok(());
            }
            tokio::select! {
                () = cancel.cancelled() => return Ok(()),
                () = tokio::time::sleep(pause) => {}
            }
            pause = (pause * 2).min(RETRY_TO);
        }
    }

    /// Scans every connection of the configuration that was never scanned, once; returns what was saved, and how many
    /// failed.
    ///
    /// # Errors
    /// A URL that is none; the store's.
    pub async fn scan_unscanned(self: &Arc<Self>, cancel: &CancellationToken) -> Result<(Vec<Saved>, usize)> {
        let (mut scanned, mut failed) = (Vec::new(), 0);
        for (wanted, connection) in self.unscanned().await? {
            if cancel.is_cancelled() {
                break;
            }
            info!(
                "\"{}\" was never scanned: scanning {}",
                wanted.name, connection.url
            );
            match self.first_scan(&wanted, connection, cancel).await {
                Ok(saved) => scanned.extend(saved),
                Err(error) => {
                    warn!(
                        "\"{}\" could not be scanned: {error}. {}",
                        wanted.name,
                        error.hint()
                    );
                    failed += 1;
                }
            }
        }
        Ok((scanned, failed))
    }

    /// The connections of the configuration that have no devices yet, made in the registry where they are new.
    async fn unscanned(&self) -> Result<Vec<(ConnectionConfig, Connection)>> {
        let mut unscanned = Vec::new();
        let devices = self.registry.devices().await?;
        for wanted in &self.config.connections {
            let url = match wanted.url.parse::<Endpoint>() {
                Ok(endpoint) => endpoint.to_string(),
                Err(error @ EndpointError::NotYet { .. }) => {
                    warn!("\"{}\" is left out: {error}", wanted.name);
                    continue;
                }
                Err(error) => {
                    return Err(HostError::usage(
                        format!("\"{}\": {error}", wanted.name),
                        error.hint(),
                    ));
                }
            };
            let name = Some(wanted.name.as_str());
            let connection =
                registry::connection(&self.registry, &url, name, wanted.plugin.as_deref()).await?;
            if devices.iter().all(|d| d.connection_id != connection.id) {
                unscanned.push((wanted.clone(), connection));
            }
        }
        Ok(unscanned)
    }

    /// `None` when it was stopped: half a scan would pass for a whole one at the next start.
    async fn first_scan(
        &self,
        wanted: &ConnectionConfig,
        connection: Connection,
        cancel: &CancellationToken,
    ) -> Result<Option<Saved>> {
        let endpoint: Endpoint = connection
            .url
            .parse()
            .map_err(|e: EndpointError| HostError::usage(e.to_string(), e.hint()))?;
        let units = match &wanted.units {
            Some(units) => {
                units
                    .units()
                    .map_err(|e| HostError::usage(e, "Write units as \"1,3-9\"."))?
                    .0
            }
            None => Vec::new(),
        };
        let mode = match (&units[..], wanted.mode) {
            ([], Some(ScanModeValue::Full)) => busbar_plugin_sdk::Mode::Full,
            ([], _) => busbar_plugin_sdk::Mode::Quick,
            _ => busbar_plugin_sdk::Mode::Listed,
        };
        let ledger = wanted
            .ledger
            .as_deref()
            .map(|l| self.catalog.ledger_or_file(l))
            .transpose()?;
        let request = Request {
            connection: connection.name.clone(),
            connection_id: connection.id.clone(),
            plugin: wanted.plugin.clone(),
            ledger,
            mode,
            units,
            known: Vec::new(),
        };
        let options = Options {
            one_shot: true,
            ..self.settings(&connection, &Profile::default()).options
        };
        let keys = self.keys_for(&connection.url, Some(&connection.name))?;
        let link = Way::open(endpoint, request.considerate(options), keys, &Profile::default());
        let mut scan = discover::scan(&link, &self.catalog, &request, &Quiet, cancel).await?;
        if scan.cancelled {
            return Ok(None);
        }
        for warning in &scan.report.warnings {
            info!("\"{}\": {warning}", connection.name);
        }
        let saved = registry::save(&self.registry, &self.catalog, connection, &mut scan).await?;
        profile::keep(&self.registry, &saved.connection.id, |p| link.teach(p)).await;
        link.close().await;
        info!(
            "\"{}\": {} devices, {} entities",
            saved.connection.name,
            saved.diff.new.devices.len(),
            saved.diff.new.entities.len()
        );
        Ok(Some(saved))
    }
}
