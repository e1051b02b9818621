//! One SQLite file: its header, its settings, its schema, its soundness. The same for registry and history.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::sqlite::{
    SqliteAutoVacuum, SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool,
    SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection, SqlSafeStr};

use crate::db::OpenFlag;
use crate::dir::{self, with_suffix};
use crate::error::StoreError;

/// What tells the registry's file from the history's.
pub(crate) struct Kind {
    pub(crate) file: &'static str,
    /// As the first migration sets it, and as it stands in the header.
    pub(crate) application_id: u32,
    pub(crate) migrations: &'static [(i64, &'static str, &'static str)],
    pub(crate) synchronous: SqliteSynchronous,
    pub(crate) auto_vacuum: SqliteAutoVacuum,
    /// Done in a file that takes the place of a lost or damaged one, before it has its name; and in each backup, so
    /// that one which the owner puts in place by hand is known as such.
    pub(crate) replaced: &'static str,
    /// How many damaged files are kept.
    pub(crate) keep_damaged: usize,
}

pub(crate) static REGISTRY: Kind = Kind {
    file: "registry.db",
    application_id: 1_114_853_991,
    migrations: &[
        (
            1,
            "begin",
            include_str!("../../../migrations/registry/0001_begin.sql"),
        ),
        (
            2,
            "writes",
            include_str!("../../../migrations/registry/0002_writes.sql"),
        ),
        (
            3,
            "owner",
            include_str!("../../../migrations/registry/0003_owner.sql"),
        ),
        (
            4,
            "energy",
            include_str!("../../../migrations/registry/0004_energy.sql"),
        ),
    ],
    // After a power cut NORMAL may lose what was acknowledged; FULL does not.
    synchronous: SqliteSynchronous::Full,
    auto_vacuum: SqliteAutoVacuum::None,
    replaced: "INSERT OR REPLACE INTO meta (key, value) VALUES ('unconfirmed', 'replaced'), \
               ('audit_gap', 'replaced')",
    keep_damaged: 5,
};

pub(crate) static HISTORY: Kind = Kind {
    file: "history.db",
    application_id: 1_114_851_433,
    migrations: &[(
        1,
        "begin",
        include_str!("../../../migrations/history/0001_begin.sql"),
    )],
    synchronous: SqliteSynchronous::Normal,
    auto_vacuum: SqliteAutoVacuum::Incremental,
    replaced: "",
    // It may be large.
    keep_damaged: 1,
};

/// Page cache of one connection in KiB; two files with a writer and a reader each stay below 2 MiB.
const CACHE_KIB: u32 = 400;
/// What the WAL is cut back to after a checkpoint.
const WAL_LIMIT: u32 = 4 << 20;
const BUSY: Duration = Duration::from_secs(5);
/// A reader's connection (and its thread) ends after this long without work.
const READER_IDLE: Duration = Duration::from_secs(30);

impl Kind {
    pub(crate) fn newest_schema(&self) -> i64 {
        self.migrations.iter().map(|m| m.0).max().unwrap_or(0)
    }

    pub(crate) fn migrator(&self) -> Migrator {
        let one = |&(version, name, sql): &(i64, &'static str, &'static str)| {
            Migration::new(
                version,
                name.into(),
                MigrationType::Simple,
                sql.into_sql_str(),
                false,
            )
        };
        Migrator::with_migrations(self.migrations.iter().map(one).collect())
    }

    fn options(&self, path: &Path) -> SqliteConnectOptions {
        SqliteConnectOptions::new()
            .filename(path)
            .busy_timeout(BUSY)
            .statement_cache_capacity(32)
            .pragma("cache_size", format!("-{CACHE_KIB}"))
            .pragma("mmap_size", "0")
            .pragma("trusted_schema", "OFF")
            .thread_name(|_| "busbar-sql".into())
            .disable_statement_logging()
    }

    fn writer_options(&self, path: &Path) -> SqliteConnectOptions {
        self.options(path)
            .auto_vacuum(self.auto_vacuum)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(self.synchronous)
            .pragma("journal_size_limit", WAL_LIMIT.to_string())
    }

    /// The one connection that writes.
    pub(crate) async fn writer(&self, path: &Path, open: OpenFlag) -> Result<SqlitePool, StoreError> {
        let options = pool(1).idle_timeout(None);
        let options =
            options.after_release(move |connection, _| Box::pin(open.clone().roll_back(connection)));
        options
            .connect_with(self.writer_options(path))
            .await
            .map_err(|e| StoreError::sqlx(path, e))
    }

    /// Connections that cannot write, made when one is needed.
    pub(crate) fn readers(&self, path: &Path) -> SqlitePool {
        pool(2)
            .idle_timeout(READER_IDLE)
            .connect_lazy_with(self.options(path).read_only(true))
    }

    /// A connection that cannot write, for a command beside a host or without one.
    ///
    /// A host that runs, or was killed, left a WAL: then it is read too, through the shared memory beside it. A
    /// host that stopped left none: the file is all there is, and reading it as it lies makes no file and takes
    /// no lock, so that it works on a full disk or a read-only file system, too. It is for a command that reads and
    /// ends: what a host that starts in the meantime writes is not seen.
    pub(crate) async fn read_only(&self, path: &Path) -> Result<SqlitePool, StoreError> {
        check_header(path, self.application_id)?;
        let whole = std::fs::metadata(with_suffix(path, "-wal")).map_or(0, |m| m.len()) == 0;
        let options = self.options(path).read_only(true).immutable(whole);
        let reader = pool(1)
            .idle_timeout(None)
            .connect_with(options)
            .await
            .map_err(|e| StoreError::sqlx(path, e))?;
        let mut connection = reader.acquire().await.map_err(|e| StoreError::sqlx(path, e))?;
        let found = self.schema(&mut connection, path).await?;
        let known = self.newest_schema();
        match found.cmp(&known) {
            std::cmp::Ordering::Equal => Ok(reader),
            std::cmp::Ordering::Less => Err(StoreError::SchemaOlder {
                path: path.to_owned(),
                found,
                known,
            }),
            std::cmp::Ordering::Greater => Err(StoreError::SchemaNewer {
                path: path.to_owned(),
                found,
                known,
            }),
        }
    }

    /// Looks at a file that is there: whether it is ours, sound as far as `check` looks, and not too new.
    pub(crate) async fn inspect(&self, path: &Path, check: Check) -> Result<(), StoreError> {
        check_header(path, self.application_id)?;
        let options = self.options(path);
        let mut connection = options.connect().await.map_err(|e| StoreError::sqlx(path, e))?;
        let checked = self.inspect_open(&mut connection, path, check).await;
        // Nothing was written: what closing says is of no interest.
        let _ = connection.close().await;
        checked
    }

    async fn inspect_open(
        &self,
        db: &mut SqliteConnection,
        path: &Path,
        check: Check,
    ) -> Result<(), StoreError> {
        check.run(db, path).await?;
        let (found, known) = (self.schema(db, path).await?, self.newest_schema());
        if found > known {
            return Err(StoreError::SchemaNewer {
                path: path.to_owned(),
                found,
                known,
            });
        }
        Ok(())
    }

    async fn schema(&self, db: &mut SqliteConnection, path: &Path) -> Result<i64, StoreError> {
        let version: Option<i64> = sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations")
            .fetch_one(db)
            .await
            .map_err(|e| match StoreError::sqlx(path, e) {
                StoreError::Database { path, detail } => StoreError::Damaged { path, detail },
                other => other,
            })?;
        version.ok_or_else(|| StoreError::Damaged {
            path: path.to_owned(),
            detail: "it has no schema".into(),
        })
    }

    /// Makes a new database at `path`, which is not its name yet, with `first` done in it.
    pub(crate) async fn create(&self, path: &Path, first: Option<&'static str>) -> Result<(), StoreError> {
        dir::create_private(path)?;
        let sqlx = |e| StoreError::sqlx(path, e);
        let mut db = self.writer_options(path).connect().await.map_err(sqlx)?;
        migrate(&self.migrator(), &mut db, path).await?;
        if let Some(sql) = first {
            sqlx::raw_sql(sql).execute(&mut db).await.map_err(sqlx)?;
        }
        // The last connection to close moves the WAL into the file and removes it.
        db.close().await.map_err(sqlx)
    }

    /// Makes the file at `path`, which is not its name yet, from a backup, marked as replaced.
    pub(crate) async fn restore(&self, backup: &Path, path: &Path) -> Result<(), StoreError> {
        dir::copy_private(backup, path)?;
        self.inspect(path, Check::Full).await?;
        self.mark_replaced(path).await
    }

    /// Looks through a copy that is to become the file, brings it up to date, and marks it as replaced.
    pub(crate) async fn take_over(&self, path: &Path) -> Result<(), StoreError> {
        self.inspect(path, Check::Full).await?;
        let sqlx = |e| StoreError::sqlx(path, e);
        let mut db = self.options(path).connect().await.map_err(sqlx)?;
        migrate(&self.migrator(), &mut db, path).await?;
        let made = self.made_of(&mut db).await.map_err(sqlx)?;
        db.close().await.map_err(sqlx)?;
        // A trigger that nobody here wrote could take the mark away again that is made next.
        let empty = SqliteConnectOptions::new().in_memory(true);
        let mut fresh = empty.connect().await.map_err(sqlx)?;
        migrate(&self.migrator(), &mut fresh, path).await?;
        if made != self.made_of(&mut fresh).await.map_err(sqlx)? {
            return Err(StoreError::Damaged {
                path: path.to_owned(),
                detail: "its tables are not those that Busbar makes".into(),
            });
        }
        self.mark_replaced(path).await?;
        self.fold_wal(path).await
    }

    /// The tables, indexes and triggers of a file, as they were written.
    async fn made_of(
        &self,
        db: &mut SqliteConnection,
    ) -> sqlx::Result<Vec<(String, String, Option<String>)>> {
        // All but what SQLite may note of its own about indexes. A name alone proves nothing: a trigger may have any.
        let all = "SELECT type, name, sql FROM sqlite_schema \
                   WHERE NOT (type = 'table' AND name IN ('sqlite_stat1', 'sqlite_stat4', '_sqlx_migrations')) \
                   ORDER BY type, name";
        sqlx::query_as(all).fetch_all(db).await
    }

    /// Moves what the WAL of a file holds into it, so that the file alone is all of it. Nothing where there is no file.
    pub(crate) async fn fold_wal(&self, path: &Path) -> Result<(), StoreError> {
        if !path.exists() {
            return Ok(());
        }
        self.check_header(path)?;
        let sqlx = |e| StoreError::sqlx(path, e);
        let mut db = self.options(path).connect().await.map_err(sqlx)?;
        let folded = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
            .execute(&mut db)
            .await;
        db.close().await.map_err(sqlx)?;
        folded.map_err(sqlx)?;
        // Somebody who reads it keeps the WAL from being emptied.
        match std::fs::metadata(with_suffix(path, "-wal")).map_or(0, |m| m.len()) {
            0 => Ok(()),
            _ => Err(StoreError::Busy {
                path: path.to_owned(),
            }),
        }
    }

    /// Notes in the copy at `path`, which is not its name yet, when it was made.
    pub(crate) async fn note_copied(&self, path: &Path, now_ms: i64) -> Result<(), StoreError> {
        let sqlx = |e| StoreError::sqlx(path, e);
        let mut db = self.options(path).connect().await.map_err(sqlx)?;
        sqlx::query("INSERT OR REPLACE INTO meta (key, value) VALUES ('copied_ms', ?1)")
            .bind(now_ms.to_string())
            .execute(&mut db)
            .await
            .map_err(sqlx)?;
        db.close().await.map_err(sqlx)
    }

    /// Looks through a registry that nobody uses, every page, and tells what is in it.
    pub(crate) async fn contents(&self, path: &Path) -> Result<Contents, StoreError> {
        self.check_header(path)?;
        let sqlx = |e| StoreError::sqlx(path, e);
        let options = self.options(path).read_only(true).immutable(true);
        let mut db = options.connect().await.map_err(sqlx)?;
        self.inspect_open(&mut db, path, Check::Full).await?;
        let schema = self.schema(&mut db, path).await?;
        let counts = "SELECT (SELECT count(*) FROM connection), (SELECT count(*) FROM device), \
                      (SELECT count(*) FROM entity WHERE status <> 'absent' AND lifecycle <> 'retired'), \
                      (SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'copied_ms')";
        let (connections, devices, entities, copied_ms): (i64, i64, i64, Option<i64>) =
            sqlx::query_as(counts).fetch_one(&mut db).await.map_err(sqlx)?;
        let count = |n: i64| u64::try_from(n).unwrap_or_default();
        // Nothing was written: what closing says is of no interest.
        let _ = db.close().await;
        Ok(Contents {
            schema,
            connections: count(connections),
            devices: count(devices),
            entities: count(entities),
            copied_ms,
        })
    }

    /// Whether a file is one of these, by its header.
    pub(crate) fn check_header(&self, path: &Path) -> Result<(), StoreError> {
        check_header(path, self.application_id)
    }

    /// Does in the file at `path`, which is not its name yet, what is done in every one that takes another's place.
    pub(crate) async fn mark_replaced(&self, path: &Path) -> Result<(), StoreError> {
        let sqlx = |e| StoreError::sqlx(path, e);
        let mut db = self.options(path).connect().await.map_err(sqlx)?;
        sqlx::raw_sql(self.replaced)
            .execute(&mut db)
            .await
            .map_err(sqlx)?;
        db.close().await.map_err(sqlx)
    }
}

/// What is in a copy of a registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Contents {
    /// The schema; this program brings an older one up to date.
    pub schema: i64,
    /// Connections.
    pub connections: u64,
    /// Devices.
    pub devices: u64,
    /// Entities that exist, as far as is known.
    pub entities: u64,
    /// When it was copied, in milliseconds since 1970, where it says so.
    #[serde(skip)]
    pub copied_ms: Option<i64>,
}

fn pool(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(Duration::from_secs(30))
        .max_lifetime(None)
        .test_before_acquire(false)
}

/// Applies what is missing, each migration whole or not at all.
pub(crate) async fn migrate(
    migrator: &Migrator,
    db: &mut SqliteConnection,
    path: &Path,
) -> Result<(), StoreError> {
    let failed = |detail: String| StoreError::Migration {
        path: path.to_owned(),
        detail,
    };
    // Not `run`: its future is not `Send` for every lifetime, and hosts open histories from tasks of their own.
    migrator.run_direct(None, db, false).await.map_err(|e| match e {
        MigrateError::Execute(e) | MigrateError::ExecuteMigration(e, _) => match StoreError::sqlx(path, e) {
            StoreError::Database { detail, .. } => failed(detail),
            other => other,
        },
        other => failed(other.to_string()),
    })
}

/// How thoroughly a file is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    /// The header and the schema: no time.
    Header,
    /// Every page, without comparing indexes with their tables.
    Quick,
    /// Every page and every index. After a page was overwritten inserts still succeed: only this finds it.
    Full,
}

impl Check {
    pub(crate) async fn run(self, db: &mut SqliteConnection, path: &Path) -> Result<(), StoreError> {
        let pragma = match self {
            Self::Header => return Ok(()),
            Self::Quick => "PRAGMA quick_check(1)",
            Self::Full => "PRAGMA integrity_check(1)",
        };
        let found: String = sqlx::query_scalar(pragma)
            .fetch_one(db)
            .await
            .map_err(|e| StoreError::sqlx(path, e))?;
        if found == "ok" {
            return Ok(());
        }
        let detail = found.lines().next_back().unwrap_or(&found).to_owned();
        Err(StoreError::Damaged {
            path: path.to_owned(),
            detail,
        })
    }
}

/// Reads the header before SQLite does: whose file it is, and whether it is one at all.
/// Layout: <https://www.sqlite.org/fileformat2.html#the_database_header>
fn check_header(path: &Path, application_id: u32) -> Result<(), StoreError> {
    let io = |e: &std::io::Error| StoreError::io(path, e);
    // Before it is opened: to open a pipe is to wait for who writes into it.
    if !std::fs::metadata(path).map_err(|e| io(&e))?.is_file() {
        return Err(StoreError::Io {
            path: path.to_owned(),
            detail: "this is no file".into(),
        });
    }
    let file = File::open(path).map_err(|e| io(&e))?;
    let mut header = Vec::with_capacity(100);
    match file.take(100).read_to_end(&mut header) {
        Err(e) if e.kind() != ErrorKind::UnexpectedEof => return Err(io(&e)),
        _ => {}
    }
    if header.is_empty() {
        return Err(StoreError::Damaged {
            path: path.to_owned(),
            detail: "the file is empty".into(),
        });
    }
    if header.len() < 100 || !header.starts_with(b"SQLite format 3\0") {
        return Err(StoreError::NotADatabase {
            path: path.to_owned(),
        });
    }
    let found = u32::from_be_bytes([header[68], header[69], header[70], header[71]]);
    if found != application_id {
        return Err(StoreError::Foreign {
            path: path.to_owned(),
            application_id: found,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
