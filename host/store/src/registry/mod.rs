//! The registry: what was set up and what was found. Small, and safe from power cuts.

mod accounts;
mod approvals;
mod audit;
mod backup;
mod connections;
mod copies;
mod devices;
mod owner;
mod scans;

pub use accounts::{KeptAccount, KeptStitch, STITCHES, StitchWhy};
pub use audit::AuditPruned;
pub use backup::{all as backups, backup};
pub use copies::{Copy, Made, contents, copies};
pub use devices::Promotion;
pub use owner::Replaced;

use std::path::Path;
use std::sync::Arc;

use crate::db::Db;
use crate::dir::HostLock;
use crate::error::StoreError;
use crate::file::{Check, REGISTRY};
use crate::recover::{Opening, recover};

/// An open registry.
///
/// Every method that changes something returns when it is on the disk, or with an error and nothing changed. Times
/// are milliseconds since 1970, and the caller's: the store reads no clock.
#[derive(Debug)]
pub struct Registry {
    db: Db,
    /// One copy at a time.
    copying: tokio::sync::Mutex<()>,
}

/// Whether no host holds a data directory. Nothing is made where there is none.
///
/// # Errors
/// [`StoreError::Locked`] when one does; what the disk says.
pub fn is_free(dir: &Path) -> Result<(), StoreError> {
    match dir.is_dir() {
        true => HostLock::take(dir).map(drop),
        false => Ok(()),
    }
}

impl Registry {
    /// Opens it for a host: takes the data directory, makes what is missing, checks every page, sets a damaged
    /// file aside and restores the last backup, brings the schema up to date.
    ///
    /// # Errors
    /// [`StoreError::Locked`] when another host runs; [`StoreError::SchemaNewer`] when a newer Busbar wrote it; what
    /// the disk says.
    pub async fn open(dir: &Path) -> Result<(Self, Opening), StoreError> {
        let lock = Arc::new(HostLock::take(dir)?);
        let path = lock.dir().join(REGISTRY.file);
        let backups = backup::all(lock.dir());
        let mut opening = recover(&REGISTRY, &path, Check::Full, &backups).await?;
        let registry = Self {
            db: Db::open(&REGISTRY, &path, lock).await?,
            copying: tokio::sync::Mutex::default(),
        };
        opening.interrupted_scans = registry.fail_running_scans().await?;
        opening.needs_owner_confirmation = registry.needs_owner_confirmation().await?;
        Ok((registry, opening))
    }

    /// Opens it for a command, beside a running host or without one: makes, migrates and locks nothing.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is none; [`StoreError::SchemaOlder`] when a host has to migrate it first.
    /// Methods that change something answer [`StoreError::ReadOnly`].
    pub async fn open_read_only(dir: &Path) -> Result<Self, StoreError> {
        Ok(Self {
            db: Db::open_read_only(&REGISTRY, dir).await?,
            copying: tokio::sync::Mutex::default(),
        })
    }

    /// Whether the registry was replaced and the owner has not confirmed it since. Until then nothing may be
    /// written to a device.
    pub async fn needs_owner_confirmation(&self) -> Result<bool, StoreError> {
        sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM meta WHERE key = 'unconfirmed')")
            .fetch_one(self.db.read())
            .await
            .map_err(|e| self.db.error(e))
    }

    /// The owner has seen what the replaced registry holds, and says that it is right.
    pub async fn confirm(&self) -> Result<(), StoreError> {
        let mut tx = self.db.begin().await?;
        sqlx::query("DELETE FROM meta WHERE key = 'unconfirmed'")
            .execute(&mut *tx)
            .await
            .map_err(|e| self.db.error(e))?;
        self.db.commit(tx).await
    }

    /// What tells this host from others for as long as its registry lives: made once, at random.
    pub async fn host_id(&self) -> Result<String, StoreError> {
        let mut tx = self.db.begin().await?;
        sqlx::query("INSERT INTO meta (key, value) VALUES ('host', ?1) ON CONFLICT (key) DO NOTHING")
            .bind(connections::random_id())
            .execute(&mut *tx)
            .await
            .map_err(|e| self.db.error(e))?;
        let id = sqlx::query_scalar("SELECT value FROM meta WHERE key = 'host'")
            .fetch_one(&mut *tx)
            .await
            .map_err(|e| self.db.error(e))?;
        self.db.commit(tx).await?;
        Ok(id)
    }

    /// The latest moment that the registry knows of, in milliseconds since 1970: a scan, an answer, a write. A clock that
    /// is far behind it was set back.
    pub async fn latest_ms(&self) -> Result<Option<i64>, StoreError> {
        let latest = "SELECT max(at) FROM (SELECT max(last_seen_ms) AS at FROM device \
                      UNION ALL SELECT max(started_ms) FROM scan UNION ALL SELECT max(at_ms) FROM audit \
                      UNION ALL SELECT max(created_ms) FROM connection)";
        sqlx::query_scalar(latest)
            .fetch_one(self.db.read())
            .await
            .map_err(|e| self.db.error(e))
    }

    /// Looks at every page, as at the start; for a health report.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when something is wrong with one.
    pub async fn check(&self) -> Result<(), StoreError> {
        let mut connection = self.db.read().acquire().await.map_err(|e| self.db.error(e))?;
        Check::Full.run(&mut connection, self.db.path()).await
    }

    /// Lets go of the file; everything later answers [`StoreError::Closed`]. The data directory is free when this
    /// and the history are dropped.
    pub async fn close(&self) -> Result<(), StoreError> {
        self.db.close().await
    }

    pub(crate) fn lock(&self) -> Result<Arc<HostLock>, StoreError> {
        let lock = self.db.lock().cloned();
        lock.ok_or_else(|| StoreError::ReadOnly {
            path: self.db.path().to_owned(),
        })
    }
}
