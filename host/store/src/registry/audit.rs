//! The audit: appended to, read, verified, pruned.

use serde::Serialize;
use sqlx::{Row, SqliteConnection};

use crate::Registry;
use crate::audit::{AuditBreak, AuditHash, AuditKind, AuditProof, AuditRow, NewAudit};
use crate::chain::{Anchor, Chain, Stored, hash, select_audit};
use crate::error::StoreError;

/// The newest rows, which are never pruned. Small enough for a backup a day; and what a day may wear out is counted in
/// these rows, so a host has to stay far below this many in a day.
const KEPT: i64 = 200_000;
/// Rows pruned in one transaction, so that appending never waits long.
const SLICE: i64 = 500;
/// Transactions in one call.
const SLICES: u32 = 20;
/// Rows that are verified at a time.
const PAGE: i64 = 256;
/// The most rows that one question is answered with.
const ROWS_LIMIT: u32 = 10_000;

const GAP: &str = "The registry was replaced by a backup, or begun anew: what was noted after the row before this one is \
                   lost.";

/// What one call of [`Registry::prune_audit`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AuditPruned {
    /// Rows removed.
    pub rows: u64,
    /// There is more to do: call again, after others had their turn.
    pub more: bool,
}

/// Where the next row goes.
struct Head {
    seq: i64,
    hash: AuditHash,
}

impl Registry {
    /// Appends a row. It is on the disk when this returns; after an error nothing of it is stored, and what depends on
    /// it must not be done.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for a row that is too large or contradicts itself; [`StoreError::Unknown`] for the outcome
    /// of an intent that is not there; what the disk says.
    pub async fn audit(&self, row: NewAudit) -> Result<AuditRow, StoreError> {
        let row = row.checked()?;
        let mut tx = self.db.begin().await?;
        if let Some(intent) = row.intent
            && !self.is_intent(&mut tx, intent).await?
        {
            return Err(StoreError::Unknown {
                what: "intent",
                id: intent.to_string(),
            });
        }
        let mut head = self.head(&mut tx).await?;
        // In the same transaction: a gap is noted once, before anything that comes after it.
        let gap = sqlx::query("DELETE FROM meta WHERE key = 'audit_gap'")
            .execute(&mut *tx)
            .await
            .map_err(|e| self.db.error(e))?;
        if gap.rows_affected() > 0 {
            self.append(&mut tx, &mut head, own_note(row.at_ms, GAP.to_owned()))
                .await?;
        }
        let row = self.append(&mut tx, &mut head, row).await?;
        self.db.commit(tx).await?;
        Ok(row)
    }

    /// The rows before `before_seq` (`None`: the newest of all), the newest first; of one entity, or of all. At most
    /// `limit` and 10,000.
    pub async fn audit_rows(
        &self,
        entity: Option<&str>,
        before_seq: Option<i64>,
        limit: u32,
    ) -> Result<Vec<AuditRow>, StoreError> {
        let query = match entity {
            Some(entity) => sqlx::query(select_audit!(
                "WHERE seq < ?1 AND entity = ?3 ORDER BY seq DESC LIMIT ?2"
            ))
            .bind(before_seq.unwrap_or(i64::MAX))
            .bind(limit.min(ROWS_LIMIT))
            .bind(entity),
            None => sqlx::query(select_audit!("WHERE seq < ?1 ORDER BY seq DESC LIMIT ?2"))
                .bind(before_seq.unwrap_or(i64::MAX))
                .bind(limit.min(ROWS_LIMIT)),
        };
        let rows = query.fetch_all(self.db.read()).await;
        self.rows(rows)
    }

    /// The intents without an outcome, the oldest first, at most 10,000: what a host that was killed was about to
    /// write, or wrote. The device knows which.
    pub async fn open_intents(&self) -> Result<Vec<AuditRow>, StoreError> {
        let rows = sqlx::query(select_audit!(
            "WHERE kind = 'intent' AND NOT EXISTS (SELECT 1 FROM audit AS done WHERE done.intent = audit.seq) \
             ORDER BY seq LIMIT ?1"
        ))
        .bind(ROWS_LIMIT)
        .fetch_all(self.db.read())
        .await;
        self.rows(rows)
    }

    /// The intents that began a lease which nobody has ended: the device may still hold what they set.
    pub async fn open_leases(&self) -> Result<Vec<AuditRow>, StoreError> {
        let rows = sqlx::query(select_audit!(
            "WHERE kind = 'intent' AND lease_until_ms IS NOT NULL AND ifnull((SELECT done.outcome FROM audit AS done \
             WHERE done.intent = audit.seq ORDER BY done.seq DESC LIMIT 1), 'unknown') \
             IN ('applied', 'clamped', 'unknown') ORDER BY seq LIMIT ?1"
        ))
        .bind(ROWS_LIMIT)
        .fetch_all(self.db.read())
        .await;
        self.rows(rows)
    }

    /// When these entities were to be written, from `since_ms` on, the oldest first, milliseconds since 1970. An intent
    /// counts whatever came of it: the device may have taken it.
    pub async fn intents_since(&self, entities: &[String], since_ms: i64) -> Result<Vec<i64>, StoreError> {
        sqlx::query_scalar(
            "SELECT at_ms FROM audit WHERE kind = 'intent' AND at_ms >= ?2 \
             AND entity IN (SELECT value FROM json_each(?1)) ORDER BY at_ms",
        )
        .bind(self.db.json(entities)?)
        .bind(since_ms)
        .fetch_all(self.db.read())
        .await
        .map_err(|e| self.db.error(e))
    }

    /// Verifies every row, as of now, a few hundred at a time: whether one was changed, or is missing at the beginning,
    /// in the middle or at the end.
    ///
    /// # Errors
    /// What the disk says. A chain that is broken is no error, but [`AuditProof::broken`].
    pub async fn verify_audit(&self) -> Result<AuditProof, StoreError> {
        self.verify_audit_keeping(KEPT).await
    }

    async fn verify_audit_keeping(&self, kept: i64) -> Result<AuditProof, StoreError> {
        let error = |e| self.db.error(e);
        // One transaction, so that all of it is of one moment while the host goes on.
        let mut tx = self.db.read().begin().await.map_err(error)?;
        let (counted, anchor): (i64, Option<String>) = sqlx::query_as(
            "SELECT ifnull((SELECT seq FROM sqlite_sequence WHERE name = 'audit'), 0), \
             (SELECT value FROM meta WHERE key = 'audit_anchor')",
        )
        .fetch_one(&mut *tx)
        .await
        .map_err(error)?;
        let anchor = Anchor::of(anchor.as_deref());
        let mut chain = Chain::from(anchor);
        let mut proof = AuditProof {
            rows: 0,
            first_ms: None,
            last_ms: None,
            pruned_to: anchor.seq,
            head: anchor.hash,
            broken: None,
        };
        // From the first row that lies there: one at or below the anchor is out of place, too.
        let mut after = i64::MIN;
        'pages: loop {
            let page = sqlx::query(select_audit!("WHERE seq > ?1 ORDER BY seq LIMIT ?2"))
                .bind(after)
                .bind(PAGE)
                .fetch_all(&mut *tx)
                .await
                .map_err(error)?;
            if page.is_empty() {
                break;
            }
            for row in &page {
                let fits = match Stored::of(row) {
                    Ok(stored) => chain.follow(&stored).map(|()| stored),
                    Err(_) => Err(AuditBreak {
                        seq: chain.last().seq + 1,
                        why: "cannot be read".to_owned(),
                    }),
                };
                match fits {
                    Ok(stored) => {
                        proof.rows += 1;
                        proof.first_ms.get_or_insert(stored.at_ms);
                        proof.last_ms = Some(stored.at_ms);
                        after = stored.seq;
                    }
                    Err(broken) => {
                        proof.broken = Some(broken);
                        break 'pages;
                    }
                }
            }
        }
        let last = chain.last();
        proof.head = last.hash;
        let end = |why: &str| {
            Some(AuditBreak {
                seq: last.seq + 1,
                why: why.to_owned(),
            })
        };
        if proof.broken.is_none() && last.seq < counted {
            proof.broken = end("is missing");
        } else if proof.broken.is_none() && last.seq > counted {
            proof.broken = end("was never counted: the counter was set back");
        } else if proof.broken.is_none() && anchor.seq > 0 && last.seq - anchor.seq < kept {
            proof.broken = Some(AuditBreak {
                seq: anchor.seq,
                why: format!("is said to be pruned, but that keeps the newest {kept} rows"),
            });
        }
        Ok(proof)
    }

    /// Removes the oldest rows beyond the newest 200,000, a little at a time; the chain is verified from there on. What
    /// does not fit in the rows that go is noted in a row of its own, at `now_ms`. Ask every hour, and again at once
    /// while [`AuditPruned::more`].
    pub async fn prune_audit(&self, now_ms: i64) -> Result<AuditPruned, StoreError> {
        self.prune_audit_keeping(KEPT, now_ms).await
    }

    async fn prune_audit_keeping(&self, kept: i64, now_ms: i64) -> Result<AuditPruned, StoreError> {
        let mut pruned = AuditPruned::default();
        for slice in 1..=SLICES {
            let rows = self.prune_slice(kept, now_ms).await?;
            pruned.rows += rows;
            if rows == 0 {
                break;
            }
            pruned.more = slice == SLICES;
        }
        Ok(pruned)
    }

    async fn prune_slice(&self, kept: i64, now_ms: i64) -> Result<u64, StoreError> {
        let error = |e| self.db.error(e);
        let mut tx = self.db.begin().await?;
        let mut head = self.head(&mut tx).await?;
        let anchor: Option<String> = sqlx::query_scalar("SELECT value FROM meta WHERE key = 'audit_anchor'")
            .fetch_optional(&mut *tx)
            .await
            .map_err(error)?;
        let mut chain = Chain::from(Anchor::of(anchor.as_deref()));
        let rows = sqlx::query(select_audit!("WHERE seq <= ?1 ORDER BY seq LIMIT ?2"))
            .bind(head.seq.saturating_sub(kept))
            .bind(SLICE)
            .fetch_all(&mut *tx)
            .await
            .map_err(error)?;
        let mut misfit = None;
        for row in &rows {
            let fits = match Stored::of(row) {
                Ok(stored) => chain.follow(&stored),
                Err(_) => Err(AuditBreak {
                    seq: chain.last().seq + 1,
                    why: "cannot be read".to_owned(),
                }),
            };
            if let Err(broken) = fits {
                misfit = Some(broken);
                break;
            }
        }
        let Some(last) = rows.last() else { return Ok(0) };
        let bytes: &[u8] = last.try_get("hash").map_err(error)?;
        let anchor = Anchor {
            seq: last.try_get("seq").map_err(error)?,
            hash: hash(bytes).map_err(error)?,
        };
        sqlx::query("INSERT OR REPLACE INTO meta (key, value) VALUES ('audit_anchor', ?1)")
            .bind(self.db.json(&anchor)?)
            .execute(&mut *tx)
            .await
            .map_err(error)?;
        let done = sqlx::query("DELETE FROM audit WHERE seq <= ?1")
            .bind(anchor.seq)
            .execute(&mut *tx)
            .await
            .map_err(error)?;
        if let Some(AuditBreak { seq, why }) = misfit {
            let note = format!(
                "Rows up to {} were pruned; before that, row {seq} {why}.",
                anchor.seq
            );
            self.append(&mut tx, &mut head, own_note(now_ms, note)).await?;
        }
        self.db.commit(tx).await?;
        Ok(done.rows_affected())
    }

    async fn is_intent(&self, tx: &mut SqliteConnection, seq: i64) -> Result<bool, StoreError> {
        sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM audit WHERE seq = ?1 AND kind = 'intent')")
            .bind(seq)
            .fetch_one(tx)
            .await
            .map_err(|e| self.db.error(e))
    }

    /// The end of the chain. Numbers go on from the counter, not from the last row: what was taken from the end stays
    /// a gap.
    async fn head(&self, tx: &mut SqliteConnection) -> Result<Head, StoreError> {
        let (counted, last, hash_of_last, anchor): (i64, i64, Option<Vec<u8>>, Option<String>) =
            sqlx::query_as(
                "SELECT ifnull((SELECT seq FROM sqlite_sequence WHERE name = 'audit'), 0), \
             ifnull((SELECT max(seq) FROM audit), 0), (SELECT hash FROM audit ORDER BY seq DESC LIMIT 1), \
             (SELECT value FROM meta WHERE key = 'audit_anchor')",
            )
            .fetch_one(tx)
            .await
            .map_err(|e| self.db.error(e))?;
        let anchor = Anchor::of(anchor.as_deref());
        let hash = match hash_of_last {
            Some(bytes) => hash(&bytes).map_err(|e| self.db.error(e))?,
            None => anchor.hash,
        };
        Ok(Head {
            seq: counted.max(last).max(anchor.seq),
            hash,
        })
    }

    async fn append(
        &self,
        tx: &mut SqliteConnection,
        head: &mut Head,
        new: NewAudit,
    ) -> Result<AuditRow, StoreError> {
        let row = Stored::new(head.seq + 1, &new, head.hash);
        sqlx::query(PUT_AUDIT)
            .bind(row.seq)
            .bind(row.at_ms)
            .bind(&row.kind)
            .bind(row.intent)
            .bind(&row.who)
            .bind(&row.through)
            .bind(&row.entity)
            .bind(&row.device)
            .bind(row.unit_id)
            .bind(row.function)
            .bind(row.at)
            .bind(&row.old)
            .bind(&row.wanted)
            .bind(&row.words)
            .bind(&row.safe_words)
            .bind(row.lease_until_ms)
            .bind(&row.outcome)
            .bind(&row.reason)
            .bind(&row.prev_hash)
            .bind(&row.hash)
            .execute(tx)
            .await
            .map_err(|e| self.db.error(e))?;
        let row = row.row().map_err(|e| self.db.error(e))?;
        *head = Head {
            seq: row.seq,
            hash: row.hash,
        };
        Ok(row)
    }

    fn rows(&self, rows: sqlx::Result<Vec<sqlx::sqlite::SqliteRow>>) -> Result<Vec<AuditRow>, StoreError> {
        let rows = rows.and_then(|rows| rows.iter().map(|r| Stored::of(r)?.row()).collect());
        rows.map_err(|e| self.db.error(e))
    }
}

/// What the store itself has to say.
fn own_note(at_ms: i64, reason: String) -> NewAudit {
    NewAudit {
        reason: Some(reason),
        ..NewAudit::new(AuditKind::Note, at_ms, "busbar", "store")
    }
}

const PUT_AUDIT: &str = "
    INSERT INTO audit (seq, at_ms, kind, intent, who, through, entity, device, unit_id, function, at, old, wanted, words,
                       safe_words, lease_until_ms, outcome, reason, prev_hash, hash)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20)";

#[cfg(test)]
mod tests;
