//! The running host: connections are polled, what is learned is kept, everything is served.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use busbar_store::{Connection, History, Registry};
use busbar_wire::{InFlight, Link, Options};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::bus::Bus;
use crate::catalog::Catalog;
use crate::config::{Config, ConnectionConfig, DEFAULT_INTERVAL, ScanModeValue, parse_duration};
use crate::discover::progress::Quiet;
use crate::discover::{self, Request};
use crate::error::{HostError, Result};
use crate::keeper::Keeper;
use crate::poll::connection::{self, Polled};
use crate::poll::news::News;
use crate::registry;

/// What the pollers may have to tell before they drop it; the registry is faster than that.
const NEWS: usize = 256;

/// A host with everything that it owns.
pub struct Host {
    /// The newest readings.
    pub bus: Arc<Bus>,
    /// What devices look like.
    pub catalog: Arc<Catalog>,
    /// What was set up and found.
    pub registry: Arc<Registry>,
    /// When it started.
    pub started: Instant,
    config: Config,
    history: Option<Arc<History>>,
    lanes: Mutex<HashMap<String, Lane>>,
    news: mpsc::Sender<News>,
    keeper: Mutex<Option<Keeper>>,
}

/// A connection at work.
struct Lane {
    link: Link,
    stop: CancellationToken,
}

/// What the registry keeps of a connection beside its URL.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ConnectionOptions {
    /// How often it is polled, as text.
    pub interval: Option<String>,
    /// The longest wait for one answer, as text.
    pub timeout: Option<String>,
    /// The longest read.
    pub max_words: Option<u16>,
}

impl Host {
    /// Opens the data directory, and takes its lock.
    ///
    /// # Errors
    /// The store's: locked by another host, no permission, no space, a newer schema.
    pub async fn open(data_dir: &Path, config: Config, catalog: Arc<Catalog>) -> Result<Arc<Self>> {
        let (registry, opening) = Registry::open(data_dir).await?;
        for note in opening.notes() {
            warn!("{note}");
        }
        let registry = Arc::new(registry);
        let history = match config.history.days {
            0 => None,
            _ => Some(open_history(&registry).await?),
        };
        let (news, told) = mpsc::channel(NEWS);
        let bus = Arc::new(Bus::default());
        let keeper = Keeper::start(
            Arc::clone(&registry),
            history.clone(),
            Arc::clone(&bus),
            told,
            config.history.days,
        );
        Ok(Arc::new(Host {
            bus,
            catalog,
            registry,
            started: Instant::now(),
            config,
            history,
            lanes: Mutex::default(),
            news,
            keeper: Mutex::new(Some(keeper)),
        }))
    }

    /// Takes over what the configuration names: new connections are scanned, changed ones are changed.
    ///
    /// # Errors
    /// The store's. A connection that cannot be scanned now is told of and left for the next start.
    pub async fn adopt_config(&self, cancel: &CancellationToken) -> Result<()> {
        for wanted in &self.config.connections {
            if cancel.is_cancelled() {
                break;
            }
            let url = endpoint(&wanted.url)?.to_string();
            let known = self.registry.connection(&wanted.name).await?.is_some();
            let connection =
                registry::connection(&self.registry, &url, Some(&wanted.name), wanted.plugin.as_deref())
                    .await?;
            let found_before = self
                .registry
                .devices()
                .await?
                .iter()
                .any(|d| d.connection_id == connection.id);
            if known && found_before {
                continue;
            }
            info!("\"{}\" is new: scanning {url}", wanted.name);
            if let Err(error) = self.first_scan(wanted, connection, cancel).await {
                warn!(
                    "\"{}\" could not be scanned: {error}. {}",
                    wanted.name,
                    error.hint()
                );
            }
        }
        Ok(())
    }

    async fn first_scan(
        &self,
        wanted: &ConnectionConfig,
        connection: Connection,
        cancel: &CancellationToken,
    ) -> Result<()> {
        let link = Link::open(
            endpoint(&connection.url)?,
            Options {
                one_shot: true,
                ..self.options(&connection)
            },
        );
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
        };
        let mut scan = discover::scan(&link, &self.catalog, &request, &Quiet, cancel).await?;
        link.close().await;
        let saved = registry::save(&self.registry, connection, &mut scan).await?;
        info!(
            "\"{}\": {} devices, {} entities",
            saved.connection.name,
            saved.diff.new.devices.len(),
            saved.diff.new.entities.len()
        );
        Ok(())
    }

    /// Begins to poll every connection of the registry.
    ///
    /// # Errors
    /// The store's.
    pub async fn start(self: &Arc<Self>) -> Result<()> {
        for connection in self.registry.connections().await? {
            self.start_connection(&connection).await?;
        }
        Ok(())
    }

    /// Begins to poll one connection, or begins anew after a scan changed what is known of it.
    ///
    /// # Errors
    /// The store's.
    pub async fn start_connection(self: &Arc<Self>, connection: &Connection) -> Result<()> {
        let Some(polled) = self.polled(connection).await? else {
            return Ok(());
        };
        for device in &polled.devices {
            self.bus.add(Arc::clone(device));
        }
        let stop = CancellationToken::new();
        let lane = Lane {
            link: polled.link.clone(),
            stop: stop.clone(),
        };
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(old) = lanes.insert(connection.url.clone(), lane) {
            old.stop.cancel();
        }
        drop(lanes);
        tokio::spawn(connection::run(
            polled,
            Arc::clone(&self.bus),
            self.news.clone(),
            self.started,
            stop,
        ));
        Ok(())
    }

    /// Polls every connection once, all of them at the same time.
    ///
    /// # Errors
    /// The store's.
    pub async fn poll_once(self: &Arc<Self>) -> Result<()> {
        let mut all = JoinSet::new();
        for connection in self.registry.connections().await? {
            let Some(polled) = self.polled(&connection).await? else {
                continue;
            };
            for device in &polled.devices {
                self.bus.add(Arc::clone(device));
            }
            all.spawn(connection::once(polled, Arc::clone(&self.bus), self.news.clone()));
        }
        while all.join_next().await.is_some() {}
        Ok(())
    }

    async fn polled(&self, connection: &Connection) -> Result<Option<Polled>> {
        let endpoint = match connection.url.parse::<busbar_wire::Endpoint>() {
            Ok(endpoint) => endpoint,
            Err(error) => {
                warn!("\"{}\" is not polled: {error}", connection.name);
                return Ok(None);
            }
        };
        let devices =
            registry::devices_to_poll(&self.registry, &self.catalog, &connection.id, &connection.name)
                .await?;
        let options = self.options(connection);
        let link = match self.link(&connection.url) {
            Some(link) => link,
            None => Link::open(endpoint, options),
        };
        let (interval, max_words) = self.pace(connection);
        Ok(Some(Polled {
            name: connection.name.clone(),
            link,
            devices,
            interval,
            max_words,
        }))
    }

    fn configured(&self, connection: &Connection) -> Option<&ConnectionConfig> {
        self.config.connections.iter().find(|c| c.name == connection.name)
    }

    fn options(&self, connection: &Connection) -> Options {
        let stored: ConnectionOptions =
            serde_json::from_value(connection.options.clone()).unwrap_or_default();
        let configured = self.configured(connection).and_then(|c| c.timeout);
        let timeout = configured.or_else(|| stored.timeout.and_then(|t| parse_duration(&t).ok()));
        // A GX copes with several requests at once; the engine raises the number where it goes well.
        let start = if connection.plugin.as_deref() == Some("victron-gx") {
            4
        } else {
            1
        };
        let defaults = Options::default();
        Options {
            timeout,
            in_flight: InFlight {
                start,
                ..defaults.in_flight
            },
            ..defaults
        }
    }

    fn pace(&self, connection: &Connection) -> (Duration, u16) {
        let stored: ConnectionOptions =
            serde_json::from_value(connection.options.clone()).unwrap_or_default();
        let configured = self.configured(connection);
        let interval = configured
            .and_then(|c| c.interval)
            .or_else(|| stored.interval.and_then(|t| parse_duration(&t).ok()))
            .unwrap_or(DEFAULT_INTERVAL);
        let max_words = configured
            .and_then(|c| c.max_words)
            .or(stored.max_words)
            .unwrap_or(125);
        (interval, max_words)
    }

    /// The link that owns an endpoint, by its canonical URL.
    pub fn link(&self, url: &str) -> Option<Link> {
        self.lanes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(url)
            .map(|lane| lane.link.clone())
    }

    /// The URLs of all connections at work.
    pub fn urls(&self) -> Vec<String> {
        self.lanes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .keys()
            .cloned()
            .collect()
    }

    /// Ends polling, writes down what is left, and closes the files.
    ///
    /// # Errors
    /// The store's.
    pub async fn stop(&self) -> Result<()> {
        let lanes = std::mem::take(&mut *self.lanes.lock().unwrap_or_else(PoisonError::into_inner));
        for lane in lanes.values() {
            lane.stop.cancel();
        }
        for lane in lanes.values() {
            lane.link.close().await;
        }
        let keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(keeper) = keeper {
            keeper.stop().await;
        }
        if let Some(history) = &self.history {
            history.close().await?;
        }
        self.registry.close().await?;
        Ok(())
    }
}

async fn open_history(registry: &Registry) -> Result<Arc<History>> {
    let (history, opening) = History::open(registry).await?;
    for note in opening.notes() {
        warn!("{note}");
    }
    let history = Arc::new(history);
    if opening.unclean {
        let history = Arc::clone(&history);
        tokio::spawn(async move {
            match history.check().await {
                Ok(None) => {}
                Ok(Some(aside)) => warn!("the history was damaged and is set aside as {}", aside.display()),
                Err(error) => warn!("the history could not be checked: {error}"),
            }
        });
    }
    Ok(history)
}

fn endpoint(url: &str) -> Result<busbar_wire::Endpoint> {
    url.parse()
        .map_err(|e: busbar_wire::EndpointError| HostError::usage(e.to_string(), e.hint()))
}
