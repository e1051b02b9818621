//! Who does the work of a conversation: this process where no host runs, else the running one, by its control socket.

mod find;
mod ground;
pub mod held;
mod look;
mod scan;

use std::path::PathBuf;
use std::sync::Arc;

use busbar_store::{Registry, StoreError};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::work::{Event, Failure, Live, Work};
use crate::catalog::Catalog;
use crate::config::Config;
use crate::control::Client;
use crate::discover::Pause;
use crate::error::{HostError, Result};
use crate::registry::change;
use crate::registry::stored_views;
use crate::setup::findings;
use crate::view::Devices;
use crate::write::limits::limits;
use crate::write::policy::Policy;
use held::Held;

/// How often a running host is asked whether first values are there.
const ASK_AGAIN: std::time::Duration = std::time::Duration::from_millis(250);
/// And how often before that is given up.
const ASKED_AT_MOST: u32 = 40;

/// Whoever is told how far work is. It must not block.
pub type Tell = Arc<dyn Fn(Event) + Send + Sync>;

/// The hands of one conversation.
pub struct Hands {
    data_dir: PathBuf,
    config: Config,
    catalog: Arc<Catalog>,
    /// Opened when something is to be kept, where no host runs.
    registry: Option<Registry>,
    held: Option<Held>,
    /// What the host holds.
    held_by_host: Option<u64>,
    switch: Switch,
}

/// Stops work or holds it up, from beside.
#[derive(Clone, Default)]
pub struct Switch {
    pause: Pause,
    cancel: CancellationToken,
}

impl Switch {
    /// Stops the work: what it has found until then counts.
    pub fn cancel(&self) {
        self.cancel.cancel();
        // What waits for the end of a pause would not see that it is stopped.
        self.pause.end();
    }

    /// Holds a scan up, or lets it go on.
    pub fn pause(&self, on: bool) {
        match on {
            true => self.pause.begin(),
            false => self.pause.end(),
        }
    }
}

impl Hands {
    /// Hands that know this directory and this configuration.
    pub fn new(data_dir: PathBuf, config: Config, catalog: Arc<Catalog>) -> Self {
        Hands {
            data_dir,
            config,
            catalog,
            registry: None,
            held: None,
            held_by_host: None,
            switch: Switch::default(),
        }
    }

    /// Gets ready for work; what is returned stops it.
    pub fn ready(&mut self) -> Switch {
        self.switch = Switch::default();
        self.switch.clone()
    }

    /// Does it, and says what came of it. [`Hands::ready`] comes first.
    pub async fn work(&mut self, work: Work, tell: &Tell) -> Event {
        match self.done(work, tell).await {
            Ok(event) => event,
            Err(error) => Event::Failed(failure(&error)),
        }
    }

    async fn done(&mut self, work: Work, tell: &Tell) -> Result<Event> {
        Ok(match work {
            Work::Load => {
                if self.is_of_an_older_version().await {
                    // Whoever writes to it brings it up to date.
                    self.own().await?;
                    self.let_go().await;
                }
                Event::Loaded(Box::new(self.ground().await?))
            }
            Work::Find { places } => self.find(places, tell).await?,
            Work::Look { urls } => Event::Looked(Box::new(self.look(urls).await?)),
            Work::Scan(order) => Event::Scanned(Box::new(self.scan(&order, tell).await?)),
            Work::Save(keep) => {
                let mut kept = self.save(&keep).await?;
                self.let_go().await;
                kept.ground = Some(Box::new(self.ground().await?));
                Event::Saved(Box::new(kept))
            }
            Work::Drop => {
                self.drop_held().await?;
                self.let_go().await;
                Event::Dropped
            }
            Work::Change { changes } => {
                for one in &changes {
                    match self.host().await? {
                        Some(mut host) => host.change(one).await?,
                        None => change::apply(self.own().await?, one).await?,
                    }
                }
                self.let_go().await;
                Event::Changed(Box::new(self.ground().await?))
            }
            Work::Consequences { change } => {
                let mut lines = match self.stored().await? {
                    Some(stored) => change::consequences(stored.get(), &change).await?,
                    None => Vec::new(),
                };
                lines.extend(self.overruled(&change).await?);
                Event::Consequences { lines }
            }
            Work::Limits => {
                let nothing = || HostError::nothing_found("nothing is set up yet", "Set a device up first.");
                let stored = self.stored().await?.ok_or_else(nothing)?;
                Event::Limits(Box::new(self.limits(stored.get()).await?))
            }
            Work::Live { connection } => Event::Live {
                devices: self.live(&connection).await?,
            },
        })
    }

    /// What the file says against a change.
    async fn overruled(&self, one: &change::Change) -> Result<Option<String>> {
        let Some(name) = one.connection() else {
            return Ok(change::overruled(one, None, &self.config));
        };
        let known = match self.stored().await? {
            Some(stored) => stored.get().connection(name).await?,
            None => None,
        };
        Ok(change::overruled(one, known.as_ref(), &self.config))
    }

    async fn limits(&self, registry: &Registry) -> Result<crate::write::limits::Limits> {
        let bus = stored_views(registry, &self.catalog).await?;
        let policy = Policy::of(&self.config, &crate::registry::kept(registry).await?);
        Ok(limits(registry, &policy, &bus.devices(), None, None).await?)
    }

    /// The running host, where one runs.
    async fn host(&self) -> Result<Option<Client>> {
        match self.registry {
            // Whoever holds the directory is the only one there.
            Some(_) => Ok(None),
            None => Client::connect(&self.data_dir).await,
        }
    }

    /// The registry, to be written to: opened once, and then held against everybody else.
    async fn own(&mut self) -> Result<&Registry> {
        if self.registry.is_none() {
            let (registry, opening) = Registry::open(&self.data_dir).await?;
            for note in opening.notes() {
                warn!("{note}");
            }
            crate::registry::adopt_ledgers(&registry, &self.catalog).await?;
            self.registry = Some(registry);
        }
        let gone = || HostError::failed("internal", "the registry is gone", "Please report this.");
        self.registry.as_ref().ok_or_else(gone)
    }

    /// The registry, to be read; `None` where there is none yet.
    async fn stored(&self) -> Result<Option<Stored<'_>>> {
        if let Some(registry) = &self.registry {
            return Ok(Some(Stored::Own(registry)));
        }
        match Registry::open_read_only(&self.data_dir).await {
            Ok(registry) => Ok(Some(Stored::Read(registry))),
            Err(StoreError::Missing { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn is_of_an_older_version(&self) -> bool {
        let read = Registry::open_read_only(&self.data_dir).await;
        self.registry.is_none() && matches!(read, Err(StoreError::SchemaOlder { .. }))
    }

    /// Forgets what is held, and lets go of the registry.
    pub async fn close(&mut self) {
        if let Err(error) = self.drop_held().await {
            // The host forgets it by itself, later.
            tracing::debug!("what was held could not be dropped: {error}");
        }
        self.let_go().await;
    }

    /// Lets go of the registry, so that a host can have it. What a scan holds is still to be saved.
    async fn let_go(&mut self) {
        if let Some(registry) = self.registry.take()
            && let Err(error) = registry.close().await
        {
            // What was saved is saved; closing only tidies up.
            warn!("the registry could not be tidied up: {error}. {}", error.hint());
        }
    }

    /// The first values of a connection, once each of its devices has answered or is known not to.
    async fn live(&self, connection: &str) -> Result<Vec<Live>> {
        let mut asked = 0;
        loop {
            let Some(mut host) = self.host().await? else {
                return Ok(Vec::new());
            };
            let all: Devices = host.get("/api/v1/devices").await?;
            let mut of = all.devices;
            of.retain(|device| device.connection == connection);
            asked += 1;
            let waits = of.iter().any(|device| device.availability == "unknown");
            if !waits || asked >= ASKED_AT_MOST || self.switch.cancel.is_cancelled() {
                return Ok(of.iter().map(live).collect());
            }
            tokio::time::sleep(ASK_AGAIN).await;
        }
    }
}

/// A device with the values that tell most.
pub fn live(device: &crate::view::DeviceView) -> Live {
    let state = match &device.reason {
        Some(reason) => format!("{}: {reason}", device.availability),
        None => device.availability.clone(),
    };
    Live {
        name: device.name.clone(),
        state,
        values: findings::telling(device.entities.iter().map(|entity| &entity.entity)),
    }
}

/// A registry that can be read.
enum Stored<'a> {
    /// The one that is held.
    Own(&'a Registry),
    /// Beside whoever holds it.
    Read(Registry),
}

impl Stored<'_> {
    fn get(&self) -> &Registry {
        match self {
            Stored::Own(registry) => registry,
            Stored::Read(registry) => registry,
        }
    }
}

/// An error on its way into a conversation.
fn failure(error: &HostError) -> Failure {
    Failure {
        message: error.to_string(),
        hint: error.hint(),
        code: error.code().to_owned(),
        exit: error.exit() as u8,
    }
}

/// Work that its owner has stopped.
fn cancelled() -> HostError {
    HostError::failed("cancelled", "stopped", "")
}
