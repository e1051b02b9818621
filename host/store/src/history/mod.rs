//! The history: what entities said, appended in the order of time.

mod frame;
mod retention;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use sqlx::{Row, SqliteConnection};
use tokio::sync::Mutex;

pub use frame::Quality;
pub use retention::{Pruned, Retention};

use crate::Registry;
use crate::db::Db;
use crate::dir;
use crate::error::StoreError;
use crate::file::{Check, HISTORY};
use crate::recover::{Opening, begin_anew, recover};
use frame::Entry;

/// One value to be stored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample<'a> {
    /// The entity's id.
    pub entity: &'a str,
    /// The value; `None` where there was none.
    pub value: Option<f64>,
    /// How far it could be trusted.
    pub quality: Quality,
}

/// One value as it was stored.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Stored {
    /// When, milliseconds since 1970.
    pub ts_ms: i64,
    /// The value; `None` where there was none.
    pub value: Option<f64>,
    /// How far it could be trusted.
    pub quality: Quality,
}

/// An open history.
///
/// What [`append`](History::append) acknowledged survives the end of the process, however it ends; a power cut may
/// cost what came after the last checkpoint (about 4 MiB of samples). Damage costs the old history, never the host:
/// the file is set aside and a new one begun.
#[derive(Debug)]
pub struct History {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    db: Arc<Db>,
    /// The file's numbers for entities, as far as they were used.
    series: HashMap<String, i64>,
}

/// Frames read at once; one of 50,000 entities takes half a MiB.
const PAGE: i64 = 16;
/// Room below a millisecond, see the schema.
const MILLISECOND: i64 = 1 << 16;
/// About the year 4200.
const LAST_MS: i64 = (1 << 46) - 1;

/// Whether the history of a data directory opens, and, where `every_page`, whether each page of it is whole. Nothing is
/// changed.
///
/// # Errors
/// [`StoreError::Missing`] when there is none; what is wrong with it.
pub async fn check_history(dir: &Path, every_page: bool) -> Result<(), StoreError> {
    let history = History::open_read_only(dir).await?;
    match every_page {
        true => history.look_through().await,
        false => Ok(()),
    }
}

impl History {
    /// Opens it for the host that holds `registry`. When [`Opening::unclean`], call [`check`](History::check) in
    /// the background.
    ///
    /// # Errors
    /// [`StoreError::SchemaNewer`] when a newer Busbar wrote it; what the disk says.
    pub async fn open(registry: &Registry) -> Result<(Self, Opening), StoreError> {
        let lock = registry.lock()?;
        let path = lock.dir().join(HISTORY.file);
        let mut opening = recover(&HISTORY, &path, Check::Header, &[]).await?;
        let (db, unclean) = open_marked(&path, lock).await?;
        opening.unclean = unclean;
        Ok((
            Self {
                inner: Mutex::new(Inner {
                    db,
                    series: HashMap::new(),
                }),
            },
            opening,
        ))
    }

    /// Opens it for a command, beside a running host or without one: makes, migrates and locks nothing.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is none; [`StoreError::SchemaOlder`] when a host has to migrate it first.
    pub async fn open_read_only(dir: &Path) -> Result<Self, StoreError> {
        let db = Arc::new(Db::open_read_only(&HISTORY, dir).await?);
        Ok(Self {
            inner: Mutex::new(Inner {
                db,
                series: HashMap::new(),
            }),
        })
    }

    /// Looks at every page of it without changing anything, for a health report.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when something is wrong with one.
    async fn look_through(&self) -> Result<(), StoreError> {
        let db = Arc::clone(&self.inner.lock().await.db);
        let mut connection = db.read().acquire().await.map_err(|e| db.error(e))?;
        Check::Quick.run(&mut connection, db.path()).await
    }

    /// Stores the samples of one moment: all of a tick in one call, which costs one statement.
    ///
    /// # Errors
    /// What the disk says; then none of these samples is stored, and the next call tries again by itself.
    pub async fn append(&self, ts_ms: i64, samples: &[Sample<'_>]) -> Result<(), StoreError> {
        if !(0..=LAST_MS).contains(&ts_ms) {
            return Err(StoreError::Invalid {
                what: "time",
                value: ts_ms.to_string(),
                expected: "milliseconds since 1970",
            });
        }
        if samples.is_empty() {
            return Ok(());
        }
        let mut inner = self.inner.lock().await;
        match inner.append(ts_ms, samples).await {
            Err(why) if is_lost(&why) => {
                inner.begin_anew(&why).await?;
                inner.append(ts_ms, samples).await
            }
            done => done,
        }
    }

    /// The samples of one entity from `from_ms` on and before `to_ms`, oldest first, at most `limit`.
    pub async fn samples(
        &self,
        entity: &str,
        from_ms: i64,
        to_ms: i64,
        limit: usize,
    ) -> Result<Vec<Stored>, StoreError> {
        let db = self.db().await;
        let error = |e| db.error(e);
        let series: Option<i64> = sqlx::query_scalar("SELECT id FROM series WHERE entity = ?1")
            .bind(entity)
            .fetch_optional(db.read())
            .await
            .map_err(error)?;
        let Some(series) = series else {
            return Ok(Vec::new());
        };
        let mut stored = Vec::new();
        let mut from = from_ms.clamp(0, LAST_MS + 1) * MILLISECOND;
        let to = to_ms.clamp(0, LAST_MS + 1) * MILLISECOND;
        while stored.len() < limit {
            let rows =
                sqlx::query("SELECT at, body FROM frame WHERE at >= ?1 AND at < ?2 ORDER BY at LIMIT ?3")
                    .bind(from)
                    .bind(to)
                    .bind(PAGE)
                    .fetch_all(db.read())
                    .await
                    .map_err(error)?;
            let Some(last) = rows.last() else { break };
            from = last.try_get::<i64, _>("at").map_err(error)? + 1;
            for row in &rows {
                let at: i64 = row.try_get("at").map_err(error)?;
                let body: &[u8] = row.try_get("body").map_err(error)?;
                let found = frame::find(body, series).ok_or_else(|| StoreError::Damaged {
                    path: db.path().to_owned(),
                    detail: format!("the samples of {} ms are not readable", at / MILLISECOND),
                })?;
                let ts_ms = at / MILLISECOND;
                stored.extend(found.iter().map(|e| Stored {
                    ts_ms,
                    value: e.value,
                    quality: e.quality,
                }));
            }
        }
        stored.truncate(limit);
        Ok(stored)
    }

    /// Looks at every page, while others go on; a damaged file is set aside and a new one begun. Returns where the
    /// damaged one is now.
    pub async fn check(&self) -> Result<Option<PathBuf>, StoreError> {
        let db = self.db().await;
        let mut connection = db.read().acquire().await.map_err(|e| db.error(e))?;
        let found = Check::Quick.run(&mut connection, db.path()).await;
        drop(connection);
        match found {
            Err(why) if why.is_unusable_file() => {
                let mut inner = self.inner.lock().await;
                // Somebody else may have begun anew in the meantime.
                if Arc::ptr_eq(&inner.db, &db) {
                    inner.begin_anew(&why).await
                } else {
                    Ok(None)
                }
            }
            other => other.map(|()| None),
        }
    }

    /// Lets go of the file, cleanly; everything later answers [`StoreError::Closed`].
    pub async fn close(&self) -> Result<(), StoreError> {
        let inner = self.inner.lock().await;
        if inner.db.lock().is_some() {
            let mut tx = inner.db.begin().await?;
            sqlx::query("DELETE FROM meta WHERE key = 'running'")
                .execute(&mut *tx)
                .await
                .map_err(|e| inner.db.error(e))?;
            inner.db.commit(tx).await?;
        }
        inner.db.close().await
    }

    async fn db(&self) -> Arc<Db> {
        self.inner.lock().await.db.clone()
    }
}

impl Inner {
    async fn append(&mut self, ts_ms: i64, samples: &[Sample<'_>]) -> Result<(), StoreError> {
        let mut tx = self.db.begin().await?;
        let new = self.new_series(&mut tx, samples).await?;
        let series = |name: &str| self.series.get(name).or_else(|| new.get(name)).copied();
        let mut entries: Vec<Entry> = samples
            .iter()
            .filter_map(|s| {
                Some(Entry {
                    series: series(s.entity)?,
                    value: s.value,
                    quality: s.quality,
                })
            })
            .collect();
        sqlx::query(
            "INSERT INTO frame (at, body) SELECT ifnull(max(at) + 1, ?1), ?2 FROM frame \
             WHERE at >= ?1 AND at < ?1 + 65536",
        )
        .bind(ts_ms * MILLISECOND)
        .bind(frame::encode(&mut entries))
        .execute(&mut *tx)
        .await
        .map_err(|e| self.db.error(e))?;
        self.db.commit(tx).await?;
        // Not before: what is rolled back has no number.
        self.series.extend(new);
        Ok(())
    }

    /// Numbers for entities that were not stored before, at least not by this process.
    async fn new_series(
        &self,
        tx: &mut SqliteConnection,
        samples: &[Sample<'_>],
    ) -> Result<HashMap<String, i64>, StoreError> {
        let names: Vec<&str> = samples
            .iter()
            .map(|s| s.entity)
            .filter(|e| !self.series.contains_key(*e))
            .collect();
        if names.is_empty() {
            return Ok(HashMap::new());
        }
        let names = self.db.json(&names)?;
        let error = |e| self.db.error(e);
        sqlx::query(
            "INSERT INTO series (entity) SELECT value FROM json_each(?1) WHERE true ON CONFLICT DO NOTHING",
        )
        .bind(&names)
        .execute(&mut *tx)
        .await
        .map_err(error)?;
        let rows: Vec<(String, i64)> =
            sqlx::query_as("SELECT entity, id FROM series WHERE entity IN (SELECT value FROM json_each(?1))")
                .bind(&names)
                .fetch_all(&mut *tx)
                .await
                .map_err(error)?;
        Ok(rows.into_iter().collect())
    }

    async fn begin_anew(&mut self, why: &StoreError) -> Result<Option<PathBuf>, StoreError> {
        let path = self.db.path().to_owned();
        let Some(lock) = self.db.lock().cloned() else {
            return Err(StoreError::ReadOnly { path });
        };
        // Of a damaged file nothing good can be said at the end either.
        let _ = self.db.close().await;
        let set_aside = begin_anew(&HISTORY, &path).await?;
        let now = set_aside
            .as_ref()
            .map(|p| p.display().to_string())
            .unwrap_or_default();
        tracing::warn!(%why, set_aside = now, "the history was begun anew");
        self.series.clear();
        self.db = open_marked(&path, lock).await?.0;
        Ok(set_aside)
    }
}

/// What can only be mended by a new file.
fn is_lost(why: &StoreError) -> bool {
    why.is_unusable_file() || matches!(why, StoreError::Replaced { .. })
}

/// Opens the file and marks it as open; returns whether it was so marked before.
async fn open_marked(path: &Path, lock: Arc<dir::HostLock>) -> Result<(Arc<Db>, bool), StoreError> {
    let db = Db::open(&HISTORY, path, lock).await?;
    let mut tx = db.begin().await?;
    let done = sqlx::query("INSERT INTO meta (key, value) VALUES ('running', '') ON CONFLICT DO NOTHING")
        .execute(&mut *tx)
        .await
        .map_err(|e| db.error(e))?;
    db.commit(tx).await?;
    Ok((Arc::new(db), done.rows_affected() == 0))
}
