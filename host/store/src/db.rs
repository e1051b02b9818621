//! An open file: one connection that writes, a few that only read.

use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{SqliteConnection, SqlitePool};
use sqlx::{Executor, Sqlite};

use crate::dir::{FileId, HostLock};
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
    open: OpenFlag,
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
        let open = OpenFlag::default();
        let pool = kind.writer(path, open.clone()).await?;
        let mut connection = pool.acquire().await.map_err(|e| StoreError::sqlx(path, e))?;
        migrate(&kind.migrator(), &mut connection, path).await?;
        drop(connection);
        let writing = Writing {
            pool,
            open,
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
    pub(crate) async fn begin(&self) -> Result<Tx, StoreError> {
        let writing = self.writing()?;
        // A file that was removed still takes writes, and forgets them when it is closed.
        if FileId::of(&self.path).ok() != Some(writing.id) {
            return Err(StoreError::Replaced {
                path: self.path.clone(),
            });
        }
        let mut connection = writing.pool.acquire().await.map_err(|e| self.error(e))?;
        writing.open.0.store(true, Ordering::Release);
        connection
            .execute("BEGIN IMMEDIATE")
            .await
            .map_err(|e| self.error(e))?;
        Ok(Tx {
            connection,
            open: writing.open.clone(),
        })
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
    pub(crate) async fn commit(&self, mut tx: Tx) -> Result<(), StoreError> {
        tx.connection.execute("COMMIT").await.map_err(|e| self.error(e))?;
        tx.open.0.store(false, Ordering::Release);
        Ok(())
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

/// A transaction on the one connection that writes.
///
/// Not sqlx's own: that counts begins and ends itself, and when SQLite has rolled back by itself, as it does when the
/// disk is full, the count is wrong for ever and the connection never writes again.
pub(crate) struct Tx {
    connection: PoolConnection<Sqlite>,
    open: OpenFlag,
}

impl Deref for Tx {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.connection
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.connection
    }
}

/// Whether a transaction of the writing connection may be open.
#[derive(Clone, Debug, Default)]
pub(crate) struct OpenFlag(Arc<AtomicBool>);

impl OpenFlag {
    /// For a connection that comes back to its pool: an error or a cancelled task left a transaction in it.
    pub(crate) async fn roll_back(self, connection: &mut SqliteConnection) -> sqlx::Result<bool> {
        if self.0.swap(false, Ordering::AcqRel) {
            // It fails when SQLite has done so by itself; then all is well, too.
            let _ = connection.execute("ROLLBACK").await;
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dir::HostLock;
    use crate::file::{HISTORY, REGISTRY};

    async fn db(kind: &'static Kind, dir: &Path) -> Db {
        let lock = Arc::new(HostLock::take(dir).unwrap());
        let path = dir.join(kind.file);
        kind.create(&path, None).await.unwrap();
        Db::open(kind, &path, lock).await.unwrap()
    }

    async fn pragma(db: &Db, name: &str) -> String {
        let sql = sqlx::AssertSqlSafe(format!("SELECT CAST({name} AS TEXT) FROM pragma_{name}"));
        sqlx::query_scalar(sql)
            .fetch_one(db.writer().unwrap())
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn each_file_has_its_settings() {
        let dir = tempfile::tempdir().unwrap();
        let registry = db(&REGISTRY, dir.path()).await;
        assert_eq!(pragma(&registry, "journal_mode").await, "wal");
        assert_eq!(pragma(&registry, "synchronous").await, "2", "FULL");
        assert_eq!(pragma(&registry, "foreign_keys").await, "1");
        drop(registry);
        let history = db(&HISTORY, tempfile::tempdir().unwrap().path()).await;
        assert_eq!(pragma(&history, "journal_mode").await, "wal");
        assert_eq!(pragma(&history, "synchronous").await, "1", "NORMAL");
        assert_eq!(pragma(&history, "auto_vacuum").await, "2", "incremental");
    }

    async fn put(db: &Db, key: &str, value: &str) -> Result<(), StoreError> {
        let mut tx = db.begin().await?;
        let query = sqlx::query("INSERT INTO meta (key, value) VALUES (?1, ?2)")
            .bind(key)
            .bind(value);
        query.execute(&mut *tx).await.map_err(|e| db.error(e))?;
        db.commit(tx).await
    }

    async fn keys(db: &Db) -> Vec<String> {
        sqlx::query_scalar("SELECT key FROM meta ORDER BY key")
            .fetch_all(db.read())
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn a_full_file_is_a_full_disk_and_writing_resumes() {
        let dir = tempfile::tempdir().unwrap();
        let db = db(&REGISTRY, dir.path()).await;
        let large = "x".repeat(100_000);
        let pages: i64 = pragma(&db, "page_count").await.parse().unwrap();
        let limit = |pages: i64| {
            let sql = sqlx::AssertSqlSafe(format!("PRAGMA max_page_count = {pages}"));
            sqlx::query(sql).execute(db.writer().unwrap())
        };
        limit(pages + 2).await.unwrap();
        for _ in 0..3 {
            let error = put(&db, "large", &large).await.unwrap_err();
            assert!(matches!(error, StoreError::DiskFull { .. }), "{error}");
        }
        put(&db, "small", "fits").await.unwrap();
        limit(pages + 200).await.unwrap();
        put(&db, "large", &large).await.unwrap();
        assert_eq!(keys(&db).await, ["large", "small"]);
    }

    #[tokio::test]
    async fn what_fails_or_is_dropped_is_rolled_back() {
        let dir = tempfile::tempdir().unwrap();
        let db = db(&REGISTRY, dir.path()).await;
        put(&db, "a", "1").await.unwrap();
        assert!(put(&db, "a", "2").await.is_err(), "the key is there");
        let mut tx = db.begin().await.unwrap();
        sqlx::query("INSERT INTO meta VALUES ('b', '1')")
            .execute(&mut *tx)
            .await
            .unwrap();
        drop(tx);
        put(&db, "c", "1").await.unwrap();
        assert_eq!(keys(&db).await, ["a", "c"]);
    }

    #[tokio::test]
    async fn another_program_that_holds_the_file_is_named_as_the_cause() {
        let dir = tempfile::tempdir().unwrap();
        let db = db(&REGISTRY, dir.path()).await;
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(db.path());
        let mut other = sqlx::ConnectOptions::connect(&options).await.unwrap();
        sqlx::query("PRAGMA busy_timeout = 0")
            .execute(db.writer().unwrap())
            .await
            .unwrap();
        sqlx::raw_sql("BEGIN IMMEDIATE")
            .execute(&mut other)
            .await
            .unwrap();
        let error = put(&db, "a", "1").await.unwrap_err();
        assert!(matches!(error, StoreError::Busy { .. }), "{error}");
        sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
        put(&db, "a", "1").await.unwrap();
    }
}
