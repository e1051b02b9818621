//! An open file: one connection that writes, a few that only read.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use sqlx::sqlite::SqlitePool;
use sqlx::{Sqlite, Transaction};

use crate::dir::{self, FileId, HostLock};
use crate::error::StoreError;
use crate::file::{Kind, migrate};

/// Rows of one statement. They travel as one JSON document in one bind: a statement costs tens of microseconds,
/// however little it does, and there is no limit on binds to mind.
pub(crate) const BATCH: usize = 1000;

#[derive(Debug)]
pub(crate) struct Db {
    path: PathBuf,
    readers: SqlitePool,
    writing: Option<Writing>,
}

#[derive(Debug)]
struct Writing {
    pool: SqlitePool,
    id: FileId,
    lock: Arc<HostLock>,
}

impl Db {
    /// Opens the file, which `recover` has looked at, and brings its schema up to date.
    pub(crate) async fn open(
        kind: &'static Kind,
        path: &Path,
        lock: Arc<HostLock>,
    ) -> Result<Self, StoreError> {
        dir::make_private(path);
        let pool = kind.writer(path).await?;
        let mut connection = pool.acquire().await.map_err(|e| StoreError::sqlx(path, e))?;
        migrate(&kind.migrator(), &mut connection, path).await?;
        drop(connection);
        let writing = Writing {
            pool,
            id: FileId::of(path)?,
            lock,
        };
        Ok(Self {
            path: path.to_owned(),
            readers: kind.readers(path),
            writing: Some(writing),
        })
    }

    pub(crate) async fn open_read_only(kind: &'static Kind, dir: &Path) -> Result<Self, StoreError> {
        let path = std::path::absolute(dir)
            .map_err(|e| StoreError::io(dir, &e))?
            .join(kind.file);
        Ok(Self {
            readers: kind.read_only(&path).await?,
            path,
            writing: None,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The lock of the data directory, where this process holds it.
    pub(crate) fn lock(&self) -> Option<&Arc<HostLock>> {
        self.writing.as_ref().map(|w| &w.lock)
    }

    pub(crate) fn read(&self) -> &SqlitePool {
        &self.readers
    }

    /// Begins to write. What is not committed is rolled back when it is dropped.
    pub(crate) async fn begin(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        let writing = self.writing()?;
        // A file that was removed still takes writes, and forgets them when it is closed.
        if FileId::of(&self.path).ok() != Some(writing.id) {
            return Err(StoreError::Replaced {
                path: self.path.clone(),
            });
        }
        writing
            .pool
            .begin_with("BEGIN IMMEDIATE")
            .await
            .map_err(|e| self.error(e))
    }

    /// The connection that writes, outside a transaction.
    pub(crate) fn writer(&self) -> Result<&SqlitePool, StoreError> {
        self.writing().map(|w| &w.pool)
    }

    fn writing(&self) -> Result<&Writing, StoreError> {
        self.writing.as_ref().ok_or_else(|| StoreError::ReadOnly {
            path: self.path.clone(),
        })
    }

    /// From here on what was done is on the disk (for the history: safe from a kill, not from a power cut).
    pub(crate) async fn commit(&self, transaction: Transaction<'static, Sqlite>) -> Result<(), StoreError> {
        transaction.commit().await.map_err(|e| self.error(e))
    }

    pub(crate) fn error(&self, error: sqlx::Error) -> StoreError {
        StoreError::sqlx(&self.path, error)
    }

    /// One bind for many rows.
    pub(crate) fn json(&self, rows: &(impl Serialize + ?Sized)) -> Result<String, StoreError> {
        serde_json::to_string(rows).map_err(|e| StoreError::Database {
            path: self.path.clone(),
            detail: e.to_string(),
        })
    }

    /// Moves the WAL into the file and lets go of it.
    pub(crate) async fn close(&self) -> Result<(), StoreError> {
        self.readers.close().await;
        let Some(writing) = &self.writing else {
            return Ok(());
        };
        let checkpoint = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
            .execute(&writing.pool)
            .await;
        writing.pool.close().await;
        match checkpoint {
            Ok(_) | Err(sqlx::Error::PoolClosed) => Ok(()),
            Err(e) => Err(self.error(e)),
        }
    }
}
