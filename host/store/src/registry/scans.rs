//! Scans and their evidence.

use serde::Serialize;

use crate::Registry;
use crate::db::BATCH;
use crate::error::StoreError;
use crate::model::{Evidence, Outcome, Scan, ScanState, Tally};

/// Scans of one connection whose evidence is kept.
const EVIDENCE_KEPT: i64 = 5;
/// Scans of one connection that are kept at all.
const SCANS_KEPT: i64 = 100;

impl Registry {
    /// Begins a scan and returns its id. Old ones are forgotten: the evidence beyond five scans, all beyond 100.
    ///
    /// # Errors
    /// [`StoreError::Unknown`] for a connection that is not there.
    pub async fn begin_scan(
        &self,
        connection_id: &str,
        mode: &str,
        units: &str,
        now_ms: i64,
    ) -> Result<i64, StoreError> {
        let mut tx = self.db.begin().await?;
        let done = sqlx::query(
            "INSERT INTO scan (connection_id, mode, units, started_ms, state) VALUES (?1, ?2, ?3, ?4, 'running')",
        )
        .bind(connection_id)
        .bind(mode)
        .bind(units)
        .bind(now_ms)
        .execute(&mut *tx)
        .await
        .map_err(|e| self.unknown_connection(connection_id, e))?;
        const OLDER: [(&str, i64); 2] = [
            (
                "DELETE FROM evidence WHERE scan_id IN \
                 (SELECT id FROM scan WHERE connection_id = ?1 ORDER BY id DESC LIMIT -1 OFFSET ?2)",
                EVIDENCE_KEPT,
            ),
            (
                "DELETE FROM scan WHERE id IN \
                 (SELECT id FROM scan WHERE connection_id = ?1 ORDER BY id DESC LIMIT -1 OFFSET ?2)",
                SCANS_KEPT,
            ),
        ];
        for (sql, kept) in OLDER {
            let query = sqlx::query(sql).bind(connection_id).bind(kept);
            query.execute(&mut *tx).await.map_err(|e| self.db.error(e))?;
        }
        self.db.commit(tx).await?;
        Ok(done.last_insert_rowid())
    }

    /// Adds evidence to a scan, after what is there. For hundreds at once, not for each probe.
    ///
    /// # Errors
    /// [`StoreError::Unknown`] for a scan that is not there.
    pub async fn record_evidence(&self, scan_id: i64, evidence: &[Evidence]) -> Result<(), StoreError> {
        let mut tx = self.db.begin().await?;
        for batch in evidence.chunks(BATCH) {
            let rows: Vec<EvidenceRow> = batch.iter().map(EvidenceRow::new).collect();
            sqlx::query(PUT_EVIDENCE)
                .bind(self.db.json(&rows)?)
                .bind(scan_id)
                .execute(&mut *tx)
                .await
                .map_err(|e| match &e {
                    sqlx::Error::Database(d) if d.is_foreign_key_violation() => StoreError::Unknown {
                        what: "scan",
                        id: scan_id.to_string(),
                    },
                    _ => self.db.error(e),
                })?;
        }
        self.db.commit(tx).await
    }

    /// Ends a scan.
    ///
    /// # Errors
    /// [`StoreError::Unknown`] for a scan that is not there.
    pub async fn finish_scan(
        &self,
        scan_id: i64,
        state: ScanState,
        tally: Tally,
        note: Option<&str>,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        let mut tx = self.db.begin().await?;
        let done = sqlx::query(
            "UPDATE scan SET state = ?2, ended_ms = ?3, requests = ?4, exceptions = ?5, probed = ?6, \
             possible = ?7, note = ?8 WHERE id = ?1",
        )
        .bind(scan_id)
        .bind(state.name())
        .bind(now_ms)
        .bind(tally.requests)
        .bind(tally.exceptions)
        .bind(tally.probed)
        .bind(tally.possible)
        .bind(note)
        .execute(&mut *tx)
        .await
        .map_err(|e| self.db.error(e))?;
        if done.rows_affected() == 0 {
            return Err(StoreError::Unknown {
                what: "scan",
                id: scan_id.to_string(),
            });
        }
        self.db.commit(tx).await
    }

    /// The scans of a connection, the latest first.
    pub async fn scans(&self, connection_id: &str) -> Result<Vec<Scan>, StoreError> {
        sqlx::query_as("SELECT * FROM scan WHERE connection_id = ?1 ORDER BY id DESC")
            .bind(connection_id)
            .fetch_all(self.db.read())
            .await
            .map_err(|e| self.db.error(e))
    }

    /// The evidence of a scan, in the order of recording; none when it is no longer kept.
    pub async fn evidence(&self, scan_id: i64) -> Result<Vec<Evidence>, StoreError> {
        sqlx::query_as("SELECT * FROM evidence WHERE scan_id = ?1 ORDER BY number")
            .bind(scan_id)
            .fetch_all(self.db.read())
            .await
            .map_err(|e| self.db.error(e))
    }

    /// Scans that run although no host does were cut off by its end.
    pub(super) async fn fail_running_scans(&self) -> Result<u64, StoreError> {
        let mut tx = self.db.begin().await?;
        let done = sqlx::query(
            "UPDATE scan SET state = 'failed', note = 'The host ended while it ran.' WHERE state = 'running'",
        )
        .execute(&mut *tx)
        .await
        .map_err(|e| self.db.error(e))?;
        self.db.commit(tx).await?;
        Ok(done.rows_affected())
    }
}

/// A row of evidence in JSON, which has no blobs.
#[derive(Serialize)]
struct EvidenceRow {
    unit_id: u8,
    function: u8,
    at: u16,
    count: u16,
    outcome: Outcome,
    exception: Option<u8>,
    words: String,
    at_ms: i64,
}

impl EvidenceRow {
    fn new(e: &Evidence) -> Self {
        Self {
            unit_id: e.unit_id,
            function: e.function,
            at: e.at,
            count: e.count,
            outcome: e.outcome,
            exception: e.exception,
            words: e.words.iter().map(|w| format!("{w:04x}")).collect(),
            at_ms: e.at_ms,
        }
    }
}

const PUT_EVIDENCE: &str = "
    INSERT INTO evidence (scan_id, number, unit_id, function, at, count, outcome, exception, words, at_ms)
    SELECT ?2, key + (SELECT ifnull(max(number) + 1, 0) FROM evidence WHERE scan_id = ?2), value ->> 'unit_id',
           value ->> 'function', value ->> 'at', value ->> 'count', value ->> 'outcome', value ->> 'exception',
           unhex(value ->> 'words'), value ->> 'at_ms'
    FROM json_each(?1)";
