//! The running host: connections are polled, what is learned is kept, everything is served.

mod adopt;
mod change;

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use busbar_ledger::model::{Ledger, Manners};
use busbar_sinks::prometheus::MetricsConfig;
use busbar_sinks::sinks::{Sinks, Site};
use busbar_store::{Connection, History, KillSwitch, Lifecycle, Registry};
use busbar_wire::{Endpoint, Link};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::bus::Bus;
use crate::catalog::Catalog;
use crate::clock;
use crate::config::{Config, DiscoverConfig};
use crate::doctor::LinkReport;
use crate::door::HostDoor;
use crate::energy::book::Book;
use crate::error::Result;
use crate::keeper::Keeper;
use crate::poll::connection::{self, Polled};
use crate::poll::news::News;
use crate::profile::{self, Profile};
use crate::registry::{self, Saved};
use crate::settings::{Settings, with_manners};
use crate::write::policy::{Kept, Policy};
use crate::write::{self, Writer};

/// What the pollers may have to tell before they drop it; the registry is faster than that.
const NEWS: usize = 256;

/// What a link has learned is kept after this long, then after twice that.
const FIRST_PROFILE: Duration = Duration::from_secs(10);
/// And never more rarely than this.
const PROFILES_EVERY: Duration = Duration::from_secs(600);

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
    data_dir: PathBuf,
    history: Option<Arc<History>>,
    /// By the connection's id.
    lanes: Mutex<HashMap<String, Lane>>,
    /// What is polled is changed by one at a time: what was read from the registry a moment ago may be gone.
    changing: tokio::sync::Mutex<()>,
    news: mpsc::Sender<News>,
    /// What counters have counted over all resets.
    book: Arc<Book>,
    keeper: Mutex<Option<Keeper>>,
    sinks: Mutex<Option<Sinks>>,
    /// What may be written, as it was when the host started.
    policy: Policy,
    /// What writes need, where something may be written.
    writer: Option<Arc<Writer>>,
    /// What a former host has left open of its writes.
    open: Mutex<write::Open>,
}

/// A connection at work. Several may share one endpoint, and then its link.
struct Lane {
    /// The connection's name.
    connection: String,
    url: String,
    link: Link,
    interval: Duration,
    stop: CancellationToken,
}

impl Host {
    /// Opens the data directory, and takes its lock.
    ///
    /// # Errors
    /// The store's: locked by another host, no permission, no space, a newer schema.
    pub async fn open(data_dir: &Path, config: Config, catalog: Arc<Catalog>) -> Result<Arc<Self>> {
        Policy::of(&config, &Kept::default())
            .check(|name| catalog.ledger(name).ok())
            .map_err(|stray| stray.into_error())?;
        let (registry, opening) = Registry::open(data_dir).await?;
        for note in opening.notes() {
            warn!("{note}");
        }
        registry::adopt_ledgers(&registry, &catalog).await?;
        // A file that the configuration names wins over what was kept of it: its owner may have changed it.
        let files = config.connections.iter().filter_map(|c| c.ledger.as_deref());
        for file in files.collect::<BTreeSet<_>>() {
            if let Err(error) = catalog.ledger_or_file(file) {
                warn!("{error}. {}", error.hint());
            }
        }
        let registry = Arc::new(registry);
        let policy = Policy::of(&config, &registry::kept(&registry).await?);
        let writer = Writer::build(policy.clone(), data_dir)?;
        let open = Mutex::new(write::Open::collect(&registry).await?);
        let history = match config.history.days {
            0 => None,
            _ => Some(open_history(&registry).await?),
        };
        let book = Arc::new(Book::of(registry.accounts().await?));
        let (news, told) = mpsc::channel(NEWS);
        let bus = Arc::new(Bus::default());
        let keeper = Keeper::start(
            Arc::clone(&registry),
            history.clone(),
            Arc::clone(&bus),
            Arc::clone(&book),
            told,
            config.history.days,
        );
        Ok(Arc::new(Host {
            bus,
            catalog,
            registry,
            started: Instant::now(),
            config,
            data_dir: data_dir.to_owned(),
            history,
            lanes: Mutex::default(),
            changing: tokio::sync::Mutex::default(),
            news,
            book,
            keeper: Mutex::new(Some(keeper)),
            sinks: Mutex::default(),
            policy,
            writer,
            open,
        }))
    }

    /// Known connections that the configuration has given another URL are polled there.
    async fn follow_config(&self) -> Result<()> {
        for wanted in &self.config.connections {
            let name = Some(wanted.name.as_str());
            let Ok(endpoint) = wanted.url.parse::<Endpoint>() else {
                continue;
            };
            let url = endpoint.to_string();
            if registry::known(&self.registry, &url, name).await?.is_some() {
                registry::connection(&self.registry, &url, name, None).await?;
            }
        }
        Ok(())
    }

    /// Begins to tell others what is read, as far as the configuration says.
    ///
    /// # Errors
    /// The store's.
    pub async fn start_sinks(self: &Arc<Self>) -> Result<()> {
        let site = Site {
            bus: Arc::clone(&self.bus),
            door: Arc::new(HostDoor::of(self)),
            data_dir: self.data_dir.clone(),
            host_id: self.registry.host_id().await?,
            version: env!("CARGO_PKG_VERSION"),
        };
        let sinks = Sinks::start(&self.config.sinks(), &site);
        *self.sinks.lock().unwrap_or_else(PoisonError::into_inner) = Some(sinks);
        Ok(())
    }

    /// What `/metrics` shows of the readings.
    pub fn metrics_config(&self) -> MetricsConfig {
        self.config.metrics.clone()
    }

    /// Where everything is kept.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// How each sink is.
    pub fn sinks(&self) -> Vec<busbar_sinks::health::Report> {
        let sinks = self.sinks.lock().unwrap_or_else(PoisonError::into_inner);
        sinks.as_ref().map(Sinks::reports).unwrap_or_default()
    }

    /// Begins to poll every connection of the registry.
    ///
    /// # Errors
    /// The store's.
    pub async fn start(self: &Arc<Self>) -> Result<()> {
        self.follow_config().await?;
        for connection in self.registry.connections().await? {
            self.start_connection(&connection).await?;
        }
        Ok(())
    }

    /// Begins to poll one connection, or begins anew after a scan changed what is known of it. What counts is what the
    /// registry has of it by now.
    ///
    /// # Errors
    /// The store's.
    pub async fn start_connection(self: &Arc<Self>, connection: &Connection) -> Result<()> {
        let _turn = self.turn().await;
        self.renew(connection).await
    }

    /// As [`Host::start_connection`], for whoever has the turn.
    async fn renew(self: &Arc<Self>, known: &Connection) -> Result<()> {
        let now = self.registry.connection(&known.id).await?;
        if now.as_ref().is_none_or(|now| now.name != known.name) {
            self.bus.put(&known.name, Vec::new());
        }
        match now {
            None => self.forget(&known.id),
            Some(now) => {
                let polled = self.polled(&now).await?;
                self.begin_to_poll(&now, polled);
                self.approve_new().await;
            }
        }
        Ok(())
    }

    /// Polls a connection no more.
    fn forget(&self, id: &str) {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lane) = lanes.remove(id) {
            lane.stop.cancel();
        }
    }

    fn begin_to_poll(self: &Arc<Self>, connection: &Connection, polled: Option<Polled>) {
        let devices = polled.as_ref().map(|p| p.devices.clone()).unwrap_or_default();
        let profile = polled.as_ref().map(|p| p.profile.clone()).unwrap_or_default();
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        // Whatever becomes of it, it is not polled as it was, wherever that was.
        if let Some(old) = lanes.remove(&connection.id) {
            old.stop.cancel();
        }
        self.bus.put(&connection.name, devices);
        self.bus.put_profile(&connection.name, profile);
        let Some(polled) = polled.filter(|p| !p.devices.is_empty()) else {
            return;
        };
        let stop = CancellationToken::new();
        let lane = Lane {
            connection: connection.name.clone(),
            url: connection.url.clone(),
            link: polled.link.clone(),
            interval: polled.interval,
            stop: stop.clone(),
        };
        lanes.insert(connection.id.clone(), lane);
        drop(lanes);
        let (host, connection, link, ended) = (
            Arc::clone(self),
            connection.clone(),
            polled.link.clone(),
            stop.clone(),
        );
        tokio::spawn(connection::run(
            polled,
            Arc::clone(&self.bus),
            self.news.clone(),
            self.started,
            stop,
        ));
        tokio::spawn(async move {
            tokio::select! {
                () = ended.cancelled() => {}
                () = host.keep_profile(&connection, &link) => {}
            }
        });
    }

    /// Keeps what a link learns, soon after its start and then now and again.
    async fn keep_profile(&self, connection: &Connection, link: &Link) {
        let mut pause = FIRST_PROFILE;
        loop {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PROFILES_EVERY);
            profile::keep(&self.registry, &connection.id, |p| {
                profile::learn_link(p, &link.stats())
            })
            .await;
            let profile = profile::load(&self.registry, connection).await;
            self.bus.put_profile(&connection.name, profile);
        }
    }

    /// Begins to poll what a scan has saved. A device that was found here is no longer polled where it was before.
    ///
    /// # Errors
    /// The store's.
    pub async fn take_up(self: &Arc<Self>, saved: &Saved) -> Result<()> {
        self.start_connection(&saved.connection).await?;
        let moved = saved.diff.changed.iter().filter(|c| c.field == "connection_id");
        let left: BTreeSet<&str> = moved.filter_map(|c| c.from.as_deref()).collect();
        if left.is_empty() {
            return Ok(());
        }
        for connection in self.registry.connections().await? {
            if left.contains(connection.id.as_str()) {
                warn!(
                    "devices of \"{}\" were found at \"{}\", and are polled there from now on",
                    connection.name, saved.connection.name
                );
                self.start_connection(&connection).await?;
            }
        }
        Ok(())
    }

    /// Devices of the registry that cannot be read, because no plugin brings their ledger any more.
    ///
    /// # Errors
    /// The store's.
    pub async fn unread(&self) -> Result<Vec<String>> {
        let known = self.registry.devices().await?;
        let unread = known.into_iter().filter(|d| d.lifecycle != Lifecycle::Retired);
        Ok(unread
            .filter(|d| self.bus.device(&d.id).is_none())
            .map(|d| d.id)
            .collect())
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
            self.bus.put(&connection.name, polled.devices.clone());
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
            registry::devices_of(&self.registry, &self.catalog, &connection.id, &connection.name).await?;
        if let Some(writer) = &self.writer {
            // What may be written is read with every poll: what becomes of it shows at once.
            for allowed in writer.policy.all(&devices, clock::now_ms()) {
                let target = &allowed.target;
                target.device.state().watched.insert(target.index);
            }
        }
        let profile = profile::load(&self.registry, connection).await;
        let Settings {
            options,
            interval,
            max_words,
        } = self.settings(connection, &profile);
        let link = match self.link(&connection.url) {
            Some(link) => link,
            None => {
                let each = devices.iter().map(|d| d.meta.ledger.read.manners);
                let manners = each.fold(Manners::default(), Manners::and);
                Link::open(endpoint, with_manners(options, manners))
            }
        };
        Ok(Some(Polled {
            name: connection.name.clone(),
            link,
            devices,
            interval,
            max_words,
            profile,
            book: Arc::clone(&self.book),
        }))
    }

    fn settings(&self, connection: &Connection, profile: &Profile) -> Settings {
        let configured = self.config.connections.iter().find(|c| c.name == connection.name);
        Settings::of(connection, configured, profile)
    }

    /// The link that owns an endpoint, by its canonical URL.
    pub fn link(&self, url: &str) -> Option<Link> {
        self.lanes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .find(|lane| lane.url == url)
            .map(|lane| lane.link.clone())
    }

    /// What writes need; `None` where nothing may be written: then the path is not even built.
    pub fn writer(&self) -> Option<Arc<Writer>> {
        self.writer.clone()
    }

    /// The way to the devices of a connection, by its id.
    pub fn lane(&self, connection: &str) -> Option<write::Lane> {
        let lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let lane = lanes.get(connection)?;
        Some(write::Lane {
            link: lane.link.clone(),
            interval: lane.interval,
        })
    }

    /// The kill switch of the data directory, also where nothing may be written.
    ///
    /// # Errors
    /// The store's.
    pub fn kill_switch(&self) -> Result<KillSwitch> {
        Ok(KillSwitch::prepare(&self.data_dir)?)
    }

    /// What may be written, as it was when the host started.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Opens the way to the devices of every connection without polling them: for a single write.
    ///
    /// # Errors
    /// The store's.
    pub async fn connect_only(self: &Arc<Self>) -> Result<()> {
        self.follow_config().await?;
        for connection in self.registry.connections().await? {
            let Some(polled) = self.polled(&connection).await? else {
                continue;
            };
            self.bus.put(&connection.name, polled.devices);
            let lane = Lane {
                connection: connection.name.clone(),
                url: connection.url.clone(),
                link: polled.link,
                interval: polled.interval,
                stop: CancellationToken::new(),
            };
            let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
            lanes.insert(connection.id, lane);
        }
        self.approve_new().await;
        Ok(())
    }

    /// What may be written for the first time is approved for the devices as the registry knows them.
    async fn approve_new(&self) {
        if let Some(writer) = &self.writer
            && let Err(error) = writer.approve_new(self).await
        {
            warn!("what may be written could not be noted, so it is refused: {error}");
        }
    }

    /// Says which entries of the configuration lead to no entity.
    pub fn tell_strays(&self) {
        for stray in self.policy().strays(&self.bus.devices()) {
            tracing::error!("{stray}; `busbar limits --all` lists what can be written");
        }
    }

    /// Takes up writing, once everything is polled: what is new is approved, what a former host left open is looked into,
    /// and the kill switch is watched.
    ///
    /// # Errors
    /// The store's.
    pub async fn take_up_writing(self: &Arc<Self>, cancel: &CancellationToken) -> Result<()> {
        if let Some(writer) = &self.writer {
            self.tell_strays();
            tokio::spawn(write::kill::watch(
                Arc::clone(self),
                Arc::clone(writer),
                cancel.clone(),
            ));
        }
        if self.writer.is_none() {
            write::kill::ignore_signal(cancel.clone());
        }
        let open = std::mem::take(&mut *self.open.lock().unwrap_or_else(PoisonError::into_inner));
        open.look_into(self);
        Ok(())
    }

    /// What is polled over this endpoint: units and what describes them.
    pub fn on_the_wire(&self, url: &str) -> Vec<(u8, Arc<Ledger>)> {
        let at_work = self.at_work();
        let Some((connection, _)) = at_work.iter().find(|(_, of)| of == url) else {
            return Vec::new();
        };
        let devices = self.bus.devices();
        let here = devices.iter().filter(|d| d.meta.connection == *connection);
        here.map(|d| (d.meta.unit, Arc::clone(&d.meta.ledger))).collect()
    }

    /// How devices are found again.
    pub fn discover_config(&self) -> DiscoverConfig {
        self.config.discover.clone()
    }

    /// The connections at work: name and URL.
    pub fn at_work(&self) -> Vec<(String, String)> {
        let lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let lane = |lane: &Lane| (lane.connection.clone(), lane.url.clone());
        lanes.values().map(lane).collect()
    }

    /// Polls a connection at another address from now on. Who calls this knows that its devices are there.
    ///
    /// # Errors
    /// The store's; a usage error for a connection that is not there.
    pub async fn relocate(self: &Arc<Self>, connection: &str, url: &str) -> Result<()> {
        let moved = registry::relocate(&self.registry, connection, url).await?;
        let named = self.config.connections.iter().find(|c| c.name == moved.name);
        if named.is_some() {
            warn!(
                "\"{}\" has another address in the configuration, which wins at the next start: write {url} there",
                moved.name
            );
        }
        self.start_connection(&moved).await
    }

    /// The URLs of all connections at work.
    pub fn urls(&self) -> Vec<String> {
        self.lanes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .map(|lane| lane.url.clone())
            .collect()
    }

    /// How every connection at work stands.
    pub fn links(&self) -> Vec<LinkReport> {
        let lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut links: Vec<LinkReport> = lanes
            .values()
            .map(|lane| LinkReport::of(&lane.connection, &lane.link))
            .collect();
        links.sort_by(|a, b| a.connection.cmp(&b.connection));
        links
    }

    /// Ends polling, writes down what is left, and closes the files.
    ///
    /// # Errors
    /// The store's.
    pub async fn stop(&self) -> Result<()> {
        if let Some(writer) = &self.writer {
            writer.close().await;
        }
        let lanes = std::mem::take(&mut *self.lanes.lock().unwrap_or_else(PoisonError::into_inner));
        for lane in lanes.values() {
            lane.stop.cancel();
        }
        for (id, lane) in &lanes {
            profile::keep(&self.registry, id, |p| profile::learn_link(p, &lane.link.stats())).await;
            lane.link.close().await;
        }
        let sinks = self.sinks.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(sinks) = sinks {
            sinks.stop().await;
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
