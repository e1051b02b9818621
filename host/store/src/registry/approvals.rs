//! What the owner has approved for writing.

use crate::Registry;
use crate::error::StoreError;
use crate::model::Approval;

impl Registry {
    /// All approvals, by entity. A scan leaves them as they are, wherever it finds the device.
    pub async fn approvals(&self) -> Result<Vec<Approval>, StoreError> {
        sqlx::query_as("SELECT * FROM approval ORDER BY device_id, key")
            .fetch_all(self.db.read())
            .await
            .map_err(|e| self.db.error(e))
    }

    /// Approves an entity, in the place of what was approved for it before.
    ///
    /// # Errors
    /// [`StoreError::Unknown`] for an entity that is not there.
    pub async fn put_approval(&self, approval: &Approval) -> Result<(), StoreError> {
        let (device, key) = parts(&approval.entity);
        let mut tx = self.db.begin().await?;
        sqlx::query(
            "INSERT INTO approval (device_id, key, serial, firmware, fingerprint, approved_ms) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (device_id, key) DO UPDATE SET serial = excluded.serial, \
             firmware = excluded.firmware, fingerprint = excluded.fingerprint, approved_ms = excluded.approved_ms",
        )
        .bind(device)
        .bind(key)
        .bind(&approval.serial)
        .bind(&approval.firmware)
        .bind(&approval.fingerprint)
        .bind(approval.approved_ms)
        .execute(&mut *tx)
        .await
        .map_err(|e| match &e {
            sqlx::Error::Database(d) if d.is_foreign_key_violation() => StoreError::Unknown {
                what: "entity",
                id: approval.entity.clone(),
            },
            _ => self.db.error(e),
        })?;
        self.db.commit(tx).await
    }

    /// Takes an approval back; returns whether there was one.
    pub async fn remove_approval(&self, entity: &str) -> Result<bool, StoreError> {
        let (device, key) = parts(entity);
        let mut tx = self.db.begin().await?;
        let done = sqlx::query("DELETE FROM approval WHERE device_id = ?1 AND key = ?2")
            .bind(device)
            .bind(key)
            .execute(&mut *tx)
            .await
            .map_err(|e| self.db.error(e))?;
        self.db.commit(tx).await?;
        Ok(done.rows_affected() > 0)
    }
}

/// An entity's id is `<device id>.<key>`; a device id holds no dot.
fn parts(entity: &str) -> (&str, &str) {
    entity.split_once('.').unwrap_or((entity, ""))
}
