//! The history keeps its size.

use serde::Serialize;

use super::{History, LAST_MS, MILLISECOND};
use crate::db::Db;
use crate::error::StoreError;

/// How much is kept; both bounds hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// The oldest sample to be kept, milliseconds since 1970. Whoever computes it from a clock makes sure that the
    /// clock is sane: a clock in 2038 would cost everything.
    pub keep_from_ms: i64,
    /// The most that the samples may take on the disk.
    pub max_bytes: u64,
}

/// What one call of [`History::prune`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Pruned {
    /// Rows removed; each holds the samples of one moment.
    pub frames: u64,
    /// There is more to do: call again, after others had their turn.
    pub more: bool,
}

/// Rows removed in one transaction, so that appending never waits long, and little more than too much is removed.
const SLICE: i64 = 64;
/// Transactions in one call.
const SLICES: u32 = 64;
/// Pages given back to the file system in one call: 8 MiB.
const GIVEN_BACK: u32 = 2000;

impl History {
    /// Removes what is too old or too much, oldest first, and gives space back to the file system; a little at a
    /// time. Ask every few minutes, and again at once while [`Pruned::more`].
    pub async fn prune(&self, retention: Retention) -> Result<Pruned, StoreError> {
        let db = self.db().await;
        let oldest = retention.keep_from_ms.clamp(0, LAST_MS) * MILLISECOND;
        let mut pruned = Pruned::default();
        for slice in 1..=SLICES {
            let before = if used(&db).await? > retention.max_bytes {
                i64::MAX
            } else {
                oldest
            };
            let frames = remove(&db, before).await?;
            pruned.frames += frames;
            if frames == 0 {
                break;
            }
            pruned.more = slice == SLICES;
        }
        let writer = db.writer()?;
        sqlx::query(sqlx::AssertSqlSafe(format!(
            "PRAGMA incremental_vacuum({GIVEN_BACK})"
        )))
        .execute(writer)
        .await
        .map_err(|e| db.error(e))?;
        pruned.more |= pages(&db, "SELECT freelist_count FROM pragma_freelist_count").await? > 0;
        Ok(pruned)
    }

    /// Bytes that the samples take on the disk, without space that is about to be given back.
    pub async fn size(&self) -> Result<u64, StoreError> {
        let db = self.db().await;
        used(&db).await
    }
}

async fn remove(db: &Db, before: i64) -> Result<u64, StoreError> {
    let mut tx = db.begin().await?;
    let done = sqlx::query(
        "DELETE FROM frame WHERE at IN (SELECT at FROM frame WHERE at < ?1 ORDER BY at LIMIT ?2)",
    )
    .bind(before)
    .bind(SLICE)
    .execute(&mut *tx)
    .await
    .map_err(|e| db.error(e))?;
    db.commit(tx).await?;
    Ok(done.rows_affected())
}

async fn used(db: &Db) -> Result<u64, StoreError> {
    pages(
        db,
        "SELECT (page_count - freelist_count) * page_size \
         FROM pragma_page_count, pragma_freelist_count, pragma_page_size",
    )
    .await
}

async fn pages(db: &Db, sql: &'static str) -> Result<u64, StoreError> {
    let count: i64 = sqlx::query_scalar(sql)
        .fetch_one(db.read())
        .await
        .map_err(|e| db.error(e))?;
    Ok(count.unsigned_abs())
}
