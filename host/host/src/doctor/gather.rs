//! Looks at everything that a health report is about. Looking changes nothing: the registry is opened read-only, and
//! no device is asked.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use busbar_loader::PluginState;
use busbar_store::{Made, Registry, StoreError, check_history, copies};

use super::link::LinkReport;
use super::rights::{self, Rights};
use super::sinks::SinkReport;
use super::time;
use crate::catalog::Catalog;
use crate::clock;
use crate::control::Client;
use crate::error::{HostError, Result};
use crate::profile;
use crate::registry::stored_views;
use crate::view::{self, Devices};

/// What was seen.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// The data directory.
    pub data_dir: String,
    /// Whether a host runs on it.
    pub host_runs: bool,
    /// Its permission bits; `None` where it is not there.
    pub mode: Option<u32>,
    /// Bytes that are free where it lies.
    pub free_bytes: Option<u64>,
    /// The registry.
    pub registry: RegistryEvidence,
    /// Whether the disk is mounted read-only.
    pub read_only: bool,
    /// Who may do what.
    pub rights: Rights,
    /// The history.
    pub history: HistoryEvidence,
    /// Bytes that the history takes; `None` where there is none.
    pub history_bytes: Option<u64>,
    /// When the newest backup was made, in milliseconds since 1970.
    pub newest_backup_ms: Option<i64>,
    /// Backups that could not be restored.
    pub bad_backups: Vec<String>,
    /// How many backups there are that could be.
    pub backups: usize,
    /// The latest moment that the registry knows of, in milliseconds since 1970.
    pub latest_ms: Option<i64>,
    /// Whether the system says that its clock is kept right.
    pub synchronised: Option<bool>,
    /// The wall clock, in milliseconds since 1970.
    pub now_ms: i64,
    /// The plugins.
    pub plugins: Vec<PluginEvidence>,
    /// What the plugins' workers are not kept from here.
    pub unprotected: Vec<String>,
    /// Names of ledgers.
    pub ledgers: usize,
    /// The connections.
    pub links: Vec<LinkReport>,
    /// The devices.
    pub devices: Devices,
    /// What reads along.
    pub sinks: Vec<SinkReport>,
    /// What has to do with writing.
    pub writes: WritesEvidence,
}

/// What was seen of writing.
#[derive(Clone, Debug, Default)]
pub struct WritesEvidence {
    /// Whether the kill switch is on.
    pub killed: bool,
    /// Rows of the audit that fit.
    pub rows: u64,
    /// Why the audit is not whole.
    pub broken: Option<String>,
    /// Writes of which it is not known what became of them.
    pub open: usize,
}

/// What was seen of the registry.
#[derive(Clone, Debug, Default)]
pub enum RegistryEvidence {
    /// There is none.
    #[default]
    Missing,
    /// It could not be opened, or is damaged: what happened, and what to do.
    Failed {
        /// What happened.
        message: String,
        /// What to do.
        hint: String,
    },
    /// Every page of it is whole.
    Whole {
        /// Whether it was restored, and its owner has not confirmed it yet.
        unconfirmed: bool,
    },
}

/// What was seen of the history.
#[derive(Clone, Debug, Default)]
pub enum HistoryEvidence {
    /// There is none.
    #[default]
    Missing,
    /// It could not be opened, or is damaged: what happened, and what to do.
    Failed {
        /// What happened.
        message: String,
        /// What to do.
        hint: String,
    },
    /// It opens.
    Whole {
        /// Whether every page was looked at.
        every_page: bool,
    },
}

/// What was seen of a plugin.
#[derive(Clone, Debug)]
pub struct PluginEvidence {
    /// Its name, or its file.
    pub name: String,
    /// Whether it can be used.
    pub usable: bool,
    /// Whether it failed until it was not tried any more.
    pub set_aside: bool,
    /// Why not.
    pub reason: Option<String>,
}

/// Looks.
///
/// # Errors
/// A host that runs but does not answer properly.
pub async fn gather(data_dir: &Path, config: Option<&Path>, catalog: &Catalog) -> Result<Evidence> {
    let mut evidence = Evidence {
        data_dir: data_dir.display().to_string(),
        mode: std::fs::metadata(data_dir).ok().map(|m| m.mode() & 0o777),
        synchronised: time::synchronised().await,
        history_bytes: std::fs::metadata(data_dir.join("history.db"))
            .ok()
            .map(|m| m.len()),
        now_ms: clock::now_ms(),
        plugins: plugins(catalog),
        unprotected: unprotected(catalog),
        ledgers: catalog.ledger_names().len(),
        ..Evidence::default()
    };
    evidence.writes.killed = data_dir.join("kill-switch").symlink_metadata().is_ok();
    if let Some((free, read_only)) = disk(data_dir) {
        evidence.free_bytes = Some(free);
        evidence.read_only = read_only && data_dir.is_dir();
    }
    evidence.history = history(data_dir).await;
    look_at_backups(data_dir, &mut evidence).await;
    if let Some(mut host) = Client::connect(data_dir).await? {
        evidence.host_runs = true;
        evidence.links = host.get("/control/links").await?;
        evidence.devices = host.get("/api/v1/devices").await?;
        evidence.sinks = host.get("/control/sinks").await?;
    }
    evidence.registry = match Registry::open_read_only(data_dir).await {
        Ok(registry) => match look_into(&registry, catalog, &mut evidence).await {
            Ok(unconfirmed) => RegistryEvidence::Whole { unconfirmed },
            Err(error) => failed(&error),
        },
        Err(StoreError::Missing { .. }) => RegistryEvidence::Missing,
        Err(error) => failed(&error.into()),
    };
    let connections = evidence
        .links
        .iter()
        .map(|link| (link.connection.as_str(), link.url.as_str()));
    evidence.rights = rights::look(data_dir, config, connections);
    Ok(evidence)
}

/// A larger history is not looked through while somebody waits.
const LARGE: u64 = 64 << 20;

async fn history(data_dir: &Path) -> HistoryEvidence {
    let large = std::fs::metadata(data_dir.join("history.db")).is_ok_and(|m| m.len() > LARGE);
    match check_history(data_dir, !large).await {
        Ok(()) => HistoryEvidence::Whole { every_page: !large },
        Err(StoreError::Missing { .. }) => HistoryEvidence::Missing,
        Err(error) => {
            let hint = match error {
                StoreError::Damaged { .. } | StoreError::NotADatabase { .. } | StoreError::Foreign { .. } => {
                    "Start the host: it sets the file aside and begins a new one. The registry is not touched.".to_owned()
                }
                _ => error.hint(),
            };
            HistoryEvidence::Failed {
                message: error.to_string(),
                hint,
            }
        }
    }
}

async fn look_at_backups(data_dir: &Path, evidence: &mut Evidence) {
    let copies = copies(data_dir).await;
    let backups = copies.iter().filter(|copy| copy.made != Made::SetAside);
    let (whole, bad): (Vec<_>, Vec<_>) = backups.partition(|copy| copy.fault.is_none());
    evidence.backups = whole.len();
    evidence.newest_backup_ms = whole.iter().filter_map(|copy| copy.made_ms).max();
    let name = |path: &Path| {
        path.file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    };
    evidence.bad_backups = bad.iter().map(|copy| name(&copy.path)).collect();
}

fn failed(error: &HostError) -> RegistryEvidence {
    RegistryEvidence::Failed {
        message: error.to_string(),
        hint: error.hint(),
    }
}

/// Checks every page, and adds what the registry knows: the profiles, and, where no host runs, connections and devices.
/// Tells whether it was restored and is not confirmed.
async fn look_into(registry: &Registry, catalog: &Catalog, evidence: &mut Evidence) -> Result<bool> {
    registry.check().await?;
    for connection in registry.connections().await? {
        let known = |link: &&mut LinkReport| link.connection == connection.name;
        let link = match evidence.links.iter_mut().find(known) {
            Some(link) => link,
            None => {
                let link = LinkReport::at_rest(&connection.name, &connection.url);
                evidence.links.push(link);
                let Some(link) = evidence.links.last_mut() else {
                    continue;
                };
                link
            }
        };
        link.profile = profile::load(registry, &connection).await;
    }
    if !evidence.host_runs {
        evidence.devices = view::devices(&stored_views(registry, catalog).await?);
    }
    evidence.latest_ms = registry.latest_ms().await?;
    let audit = registry.verify_audit().await?;
    evidence.writes.rows = audit.rows;
    evidence.writes.broken = audit
        .broken
        .map(|broken| format!("row {} {}", broken.seq, broken.why));
    // While a host runs, a write may just be under way.
    if !evidence.host_runs {
        evidence.writes.open = registry.open_intents().await?.len();
    }
    Ok(registry.needs_owner_confirmation().await?)
}

fn unprotected(catalog: &Catalog) -> Vec<String> {
    let all = catalog.plugins().list();
    let protection = all.iter().find_map(|plugin| plugin.protection.as_ref());
    protection
        .map(|protection| protection.lacks())
        .unwrap_or_default()
}

fn plugins(catalog: &Catalog) -> Vec<PluginEvidence> {
    let all = catalog.plugins().list().into_iter();
    all.filter(|plugin| plugin.state != PluginState::Shadowed)
        .map(|plugin| PluginEvidence {
            name: plugin.name.unwrap_or_else(|| plugin.path.display().to_string()),
            usable: plugin.state == PluginState::Loaded,
            set_aside: plugin.state == PluginState::SetAside,
            reason: plugin.reason,
        })
        .collect()
}

/// Bytes that are free where a directory lies, and whether that is read-only.
fn disk(dir: &Path) -> Option<(u64, bool)> {
    let place = dir.ancestors().find(|place| place.is_dir())?;
    // The empty path is the working directory.
    let place = if place.as_os_str().is_empty() {
        Path::new(".")
    } else {
        place
    };
    let found = rustix::fs::statvfs(place).ok()?;
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    Some((free, found.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY)))
}
