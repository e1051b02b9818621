//! What the owner says of what was found: names, what is put away, what takes another's place, what is removed, and how
//! the site is made.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::SqliteConnection;

use crate::error::StoreError;
use crate::model::{Approval, Device};
use crate::{KeptAccount, Registry};

/// Where the site's limits lie among the facts about this registry.
const SITE: &str = "site";

/// What putting one device in the place of another did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replaced {
    /// What is found under the new id from now on is the old device.
    WhenFound,
    /// The new device was in the registry already: it is merged into the old one.
    Merged,
}

impl Registry {
    /// Gives a device the owner's name, or takes it away. A scan leaves it as it is.
    ///
    /// # Errors
    /// [`StoreError::Unknown`].
    pub async fn name_device(&self, id: &str, name: Option<&str>) -> Result<(), StoreError> {
        let mut tx = self.db.begin().await?;
        let done = sqlx::query("UPDATE device SET own_name = ?2 WHERE id = ?1")
            .bind(id)
            .bind(name)
            .execute(&mut *tx)
            .await
            .map_err(|e| self.db.error(e))?;
        if done.rows_affected() == 0 {
            return Err(unknown("device", id));
        }
        self.db.commit(tx).await
    }

    /// Puts the entities of a device with these keys away, and takes all others of it back that were put away.
    ///
    /// # Errors
    /// [`StoreError::Unknown`] for a device that is not there.
    pub async fn choose_entities(
        &self,
        device_id: &str,
        put_away: &BTreeSet<String>,
    ) -> Result<(), StoreError> {
        let mut tx = self.db.begin().await?;
        self.known_device(&mut tx, device_id).await?;
        let keys = self.db.json(put_away)?;
        for query in [
            "UPDATE entity SET lifecycle = 'retired' WHERE device_id = ?1 AND lifecycle <> 'retired' \
             AND key IN (SELECT value FROM json_each(?2))",
            "UPDATE entity SET lifecycle = 'active' WHERE device_id = ?1 AND lifecycle = 'retired' \
             AND key NOT IN (SELECT value FROM json_each(?2))",
        ] {
            sqlx::query(query)
                .bind(device_id)
                .bind(&keys)
                .execute(&mut *tx)
                .await
                .map_err(|e| self.db.error(e))?;
        }
        self.db.commit(tx).await
    }

    /// The devices that were put in the place of others: the id that they are found by, and the id that they have.
    pub async fn replacements(&self) -> Result<BTreeMap<String, String>, StoreError> {
        let rows: Vec<(String, String)> = sqlx::query_as("SELECT found_id, device_id FROM replacement")
            .fetch_all(self.db.read())
            .await
            .map_err(|e| self.db.error(e))?;
        Ok(rows.into_iter().collect())
    }

    /// Puts one device in the place of another: what is found as `new` is `old` from now on, whose id, names, approvals and
    /// history go on. Where the registry has `new` as a device of its own, it is merged into the old one, which takes its
    /// connection, unit, serial number and firmware; what was named or approved for `new` goes.
    ///
    /// # Errors
    /// [`StoreError::Unknown`] for an old device that is not there, [`StoreError::Invalid`] when both are the same.
    pub async fn replace_device(&self, old: &str, new: &str) -> Result<Replaced, StoreError> {
        if old == new || new.is_empty() {
            return Err(StoreError::Invalid {
                what: "device to take the other's place",
                value: new.to_owned(),
                expected: "another device than the one that it replaces",
            });
        }
        let mut tx = self.db.begin().await?;
        self.known_device(&mut tx, old).await?;
        let error = |e| self.db.error(e);
        let there: Option<Device> = sqlx::query_as("SELECT * FROM device WHERE id = ?1")
            .bind(new)
            .fetch_optional(&mut *tx)
            .await
            .map_err(error)?;
        let merges = there.is_some();
        // What was allowed was allowed for the one that was there. Neither need have a serial number that tells them apart.
        sqlx::query("UPDATE approval SET fingerprint = ?2 WHERE device_id = ?1")
            .bind(old)
            .bind(Approval::OF_ANOTHER)
            .execute(&mut *tx)
            .await
            .map_err(error)?;
        // Its counters are another's from now on, also where neither tells its serial number.
        sqlx::query("UPDATE account SET serial = ?2 WHERE device_id = ?1")
            .bind(old)
            .bind(KeptAccount::OF_ANOTHER)
            .execute(&mut *tx)
            .await
            .map_err(error)?;
        // The old id is no longer looked for by that name, and what stood for the new one stands for the old.
        for query in [
            "DELETE FROM replacement WHERE found_id = ?1",
            "UPDATE replacement SET device_id = ?1 WHERE device_id = ?2",
            "INSERT INTO replacement (found_id, device_id) VALUES (?2, ?1) \
             ON CONFLICT (found_id) DO UPDATE SET device_id = excluded.device_id",
        ] {
            sqlx::query(query)
                .bind(old)
                .bind(new)
                .execute(&mut *tx)
                .await
                .map_err(error)?;
        }
        if merges {
            for query in [
                "UPDATE device SET (connection_id, unit_id, name, model, serial, firmware, last_seen_ms) = \
                 (SELECT connection_id, unit_id, name, model, serial, firmware, last_seen_ms FROM device WHERE id = ?2), \
                 lifecycle = 'active' WHERE id = ?1",
                "UPDATE entity SET lifecycle = 'active' WHERE device_id = ?1 AND lifecycle = 'missing' \
                 AND key IN (SELECT key FROM entity WHERE device_id = ?2 AND lifecycle <> 'missing')",
                "INSERT INTO entity (device_id, key, at, function, bit, status, lifecycle, proof, name, first_seen_ms, \
                 last_seen_ms) SELECT ?1, key, at, function, bit, status, lifecycle, proof, name, first_seen_ms, \
                 last_seen_ms FROM entity WHERE device_id = ?2 ON CONFLICT (device_id, key) DO NOTHING",
                "DELETE FROM readable WHERE device_id = ?1",
                "UPDATE readable SET device_id = ?1 WHERE device_id = ?2",
            ] {
                sqlx::query(query)
                    .bind(old)
                    .bind(new)
                    .execute(&mut *tx)
                    .await
                    .map_err(error)?;
            }
            self.delete_device(&mut tx, new).await?;
        }
        self.db.commit(tx).await?;
        Ok(if merges {
            Replaced::Merged
        } else {
            Replaced::WhenFound
        })
    }

    /// Removes a device: its entities with their names, and what was approved. The audit stays, and so does the history
    /// until it is old.
    ///
    /// # Errors
    /// [`StoreError::Unknown`].
    pub async fn remove_device(&self, id: &str) -> Result<(), StoreError> {
        let mut tx = self.db.begin().await?;
        self.known_device(&mut tx, id).await?;
        self.delete_device(&mut tx, id).await?;
        self.db.commit(tx).await
    }

    /// Removes a connection by its id, with all its devices, scans and what was learned of it.
    ///
    /// # Errors
    /// [`StoreError::Unknown`].
    pub async fn remove_connection(&self, id: &str) -> Result<(), StoreError> {
        let mut tx = self.db.begin().await?;
        let devices: Vec<String> = sqlx::query_scalar("SELECT id FROM device WHERE connection_id = ?1")
            .bind(id)
            .fetch_all(&mut *tx)
            .await
            .map_err(|e| self.db.error(e))?;
        for device in &devices {
            self.delete_device(&mut tx, device).await?;
        }
        let done = sqlx::query("DELETE FROM connection WHERE id = ?1")
            .bind(id)
            .execute(&mut *tx)
            .await
            .map_err(|e| self.db.error(e))?;
        if done.rows_affected() == 0 {
            return Err(unknown("connection", id));
        }
        self.db.commit(tx).await
    }

    /// How the owner says that the site is made, as the host wrote it.
    pub async fn site(&self) -> Result<Option<serde_json::Value>, StoreError> {
        let text: Option<String> = sqlx::query_scalar("SELECT value FROM meta WHERE key = ?1")
            .bind(SITE)
            .fetch_optional(self.db.read())
            .await
            .map_err(|e| self.db.error(e))?;
        let parse =
            |t: String| serde_json::from_str(&t).map_err(|e| self.db.error(sqlx::Error::Decode(e.into())));
        text.map(parse).transpose()
    }

    /// Keeps how the site is made, in the place of what was there.
    pub async fn put_site(&self, site: &serde_json::Value) -> Result<(), StoreError> {
        let mut tx = self.db.begin().await?;
        sqlx::query(
            "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        )
        .bind(SITE)
        .bind(self.db.json(site)?)
        .execute(&mut *tx)
        .await
        .map_err(|e| self.db.error(e))?;
        self.db.commit(tx).await
    }

    async fn known_device(&self, db: &mut SqliteConnection, id: &str) -> Result<(), StoreError> {
        let there: bool = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM device WHERE id = ?1)")
            .bind(id)
            .fetch_one(db)
            .await
            .map_err(|e| self.db.error(e))?;
        there.then_some(()).ok_or_else(|| unknown("device", id))
    }

    async fn delete_device(&self, db: &mut SqliteConnection, id: &str) -> Result<(), StoreError> {
        for query in [
            "DELETE FROM approval WHERE device_id = ?1",
            "DELETE FROM entity WHERE device_id = ?1",
            // With what it answers, and what was put in its place.
            "DELETE FROM device WHERE id = ?1",
        ] {
            sqlx::query(query)
                .bind(id)
                .execute(&mut *db)
                .await
                .map_err(|e| self.db.error(e))?;
        }
        Ok(())
    }
}

fn unknown(what: &'static str, id: &str) -> StoreError {
    StoreError::Unknown {
        what,
        id: id.to_owned(),
    }
}
