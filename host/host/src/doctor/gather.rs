//! Looks at everything that a health report is about. Looking changes nothing: the registry is opened read-only, and
//! no device is asked.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::UNIX_EPOCH;

use busbar_loader::PluginState;
use busbar_store::{Registry, StoreError, backups};

use super::link::LinkReport;
use crate::catalog::Catalog;
use crate::clock;
use crate::control::Client;
use crate::error::{HostError, Result};
use crate::profile::Profile;
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
    /// Bytes that the history takes; `None` where there is none.
    pub history_bytes: Option<u64>,
    /// When the newest backup was made, in milliseconds since 1970.
    pub newest_backup_ms: Option<i64>,
    /// How many backups there are.
    pub backups: usize,
    /// The wall clock, in milliseconds since 1970.
    pub now_ms: i64,
    /// The plugins.
    pub plugins: Vec<PluginEvidence>,
    /// Names of ledgers.
    pub ledgers: usize,
    /// The connections.
    pub links: Vec<LinkReport>,
    /// The devices.
    pub devices: Devices,
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

/// What was seen of a plugin.
#[derive(Clone, Debug)]
pub struct PluginEvidence {
    /// Its name, or its file.
    pub name: String,
    /// Whether it can be used.
    pub usable: bool,
    /// Why not.
    pub reason: Option<String>,
}

/// Looks.
///
/// # Errors
/// A host that runs but does not answer properly.
pub async fn gather(data_dir: &Path, catalog: &Catalog) -> Result<Evidence> {
    let mut evidence = Evidence {
        data_dir: data_dir.display().to_string(),
        mode: std::fs::metadata(data_dir).ok().map(|m| m.mode() & 0o777),
        free_bytes: free_bytes(data_dir),
        history_bytes: std::fs::metadata(data_dir.join("history.db"))
            .ok()
            .map(|m| m.len()),
        now_ms: clock::now_ms(),
        plugins: plugins(catalog),
        ledgers: catalog.ledger_names().len(),
        ..Evidence::default()
    };
    evidence.writes.killed = data_dir.join("kill-switch").symlink_metadata().is_ok();
    let all = backups(data_dir);
    evidence.backups = all.len();
    evidence.newest_backup_ms = all.last().and_then(|path| modified_ms(path));
    if let Some(mut host) = Client::connect(data_dir).await? {
        evidence.host_runs = true;
        evidence.links = host.get("/control/links").await?;
        evidence.devices = host.get("/api/v1/devices").await?;
    }
    evidence.registry = match Registry::open_read_only(data_dir).await {
        Ok(registry) => match look_into(&registry, catalog, &mut evidence).await {
            Ok(unconfirmed) => RegistryEvidence::Whole { unconfirmed },
            Err(error) => failed(&error),
        },
        Err(StoreError::Missing { .. }) => RegistryEvidence::Missing,
        Err(error) => failed(&error.into()),
    };
    Ok(evidence)
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
        link.profile = Profile::load(registry, &connection).await;
    }
    if !evidence.host_runs {
        evidence.devices = view::devices(&stored_views(registry, catalog).await?);
    }
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

fn plugins(catalog: &Catalog) -> Vec<PluginEvidence> {
    let all = catalog.plugins().list().into_iter();
    all.filter(|plugin| plugin.state != PluginState::Shadowed)
        .map(|plugin| PluginEvidence {
            name: plugin.name.unwrap_or_else(|| plugin.path.display().to_string()),
            usable: plugin.state == PluginState::Loaded,
            reason: plugin.reason,
        })
        .collect()
}

fn free_bytes(dir: &Path) -> Option<u64> {
    let place = dir.ancestors().find(|place| place.is_dir())?;
    // The empty path is the working directory.
    let place = if place.as_os_str().is_empty() {
        Path::new(".")
    } else {
        place
    };
    let found = rustix::fs::statvfs(place).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

fn modified_ms(path: &Path) -> Option<i64> {
    let modified = std::fs::metadata(path).ok()?.modified().ok()?;
    let since = modified.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_millis()).ok()
}
