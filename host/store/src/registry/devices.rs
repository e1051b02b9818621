//! Devices, their entities, and what a scan changes about them.

use std::collections::BTreeMap;

use serde::Serialize;
use sqlx::{Row, SqliteConnection};

use crate::Registry;
use crate::db::{BATCH, Tx};
use crate::diff::{Diff, Found, KnownDevice, Rows, diff};
use crate::error::StoreError;
use crate::model::{Device, Entity, Readable};

/// Longest id or key; a ledger or a device that makes longer ones is at fault.
const ID_LIMIT: usize = 200;

/// A proof that an entity exists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Promotion {
    /// The device.
    pub device_id: String,
    /// The entity's key.
    pub key: String,
    /// Why it is now known to exist, one sentence for people.
    pub proof: String,
}

impl Registry {
    /// All devices, by connection and unit.
    pub async fn devices(&self) -> Result<Vec<Device>, StoreError> {
        sqlx::query_as("SELECT * FROM device ORDER BY connection_id, unit_id, id")
            .fetch_all(self.db.read())
            .await
            .map_err(|e| self.db.error(e))
    }

    /// The devices of one connection, by unit.
    pub async fn devices_of(&self, connection_id: &str) -> Result<Vec<Device>, StoreError> {
        sqlx::query_as("SELECT * FROM device WHERE connection_id = ?1 ORDER BY unit_id, id")
            .bind(connection_id)
            .fetch_all(self.db.read())
            .await
            .map_err(|e| self.db.error(e))
    }

    /// The entities of one device, or of all; by device and key.
    pub async fn entities(&self, device_id: Option<&str>) -> Result<Vec<Entity>, StoreError> {
        let query = match device_id {
            Some(id) => sqlx::query_as("SELECT * FROM entity WHERE device_id = ?1 ORDER BY key").bind(id),
            None => sqlx::query_as("SELECT * FROM entity ORDER BY device_id, key"),
        };
        query
            .fetch_all(self.db.read())
            .await
            .map_err(|e| self.db.error(e))
    }

    /// The entity with this id, `<device id>.<key>`.
    pub async fn entity(&self, id: &str) -> Result<Option<Entity>, StoreError> {
        let Some((device, key)) = id.split_once('.') else {
            return Ok(None);
        };
        sqlx::query_as("SELECT * FROM entity WHERE device_id = ?1 AND key = ?2")
            .bind(device)
            .bind(key)
            .fetch_optional(self.db.read())
            .await
            .map_err(|e| self.db.error(e))
    }

    /// The addresses that a device was seen to answer.
    pub async fn readable(&self, device_id: &str) -> Result<Vec<Readable>, StoreError> {
        sqlx::query_as("SELECT function, at, count FROM readable WHERE device_id = ?1 ORDER BY function, at")
            .bind(device_id)
            .fetch_all(self.db.read())
            .await
            .map_err(|e| self.db.error(e))
    }

    /// What a scan would change, without changing it.
    pub async fn preview_scan(
        &self,
        connection_id: &str,
        found: &Found,
        now_ms: i64,
    ) -> Result<Diff, StoreError> {
        check(found)?;
        let mut connection = self.db.read().acquire().await.map_err(|e| self.db.error(e))?;
        let known = self.known(&mut connection, connection_id, found).await?;
        Ok(diff(connection_id, &known, found, now_ms))
    }

    /// Takes over what a scan found, as a whole, and says what changed by it.
    ///
    /// # Errors
    /// [`StoreError::Unknown`] for a connection that is not there; [`StoreError::Invalid`] for an id that is none.
    pub async fn apply_scan(
        &self,
        connection_id: &str,
        found: &Found,
        now_ms: i64,
    ) -> Result<Diff, StoreError> {
        check(found)?;
        let mut tx = self.db.begin().await?;
        let known = self.known(&mut tx, connection_id, found).await?;
        let diff = diff(connection_id, &known, found, now_ms);
        self.put_rows(&mut tx, connection_id, &diff.rows).await?;
        self.db.commit(tx).await?;
        Ok(diff)
    }

    /// Records what polling has proven; returns how many entities became `present` by it.
    pub async fn promote(&self, proven: &[Promotion]) -> Result<u64, StoreError> {
        let changed = self
            .batches(
                "UPDATE entity SET status = 'present', proof = row.value ->> 'proof' FROM json_each(?1) AS row \
                 WHERE entity.device_id = row.value ->> 'device_id' AND entity.key = row.value ->> 'key' \
                 AND entity.status <> 'present'",
                proven,
                0,
            )
            .await?;
        Ok(changed)
    }

    /// Records that these devices answered at `at_ms`. For every few minutes, not for every poll.
    pub async fn touch(&self, device_ids: &[String], at_ms: i64) -> Result<(), StoreError> {
        self.batches(
            "UPDATE device SET last_seen_ms = max(last_seen_ms, ?2) WHERE id IN (SELECT value FROM json_each(?1))",
            device_ids,
            at_ms,
        )
        .await
        .map(drop)
    }

    /// Gives an entity the owner's name, or takes it away.
    pub async fn name_entity(&self, id: &str, name: Option<&str>) -> Result<(), StoreError> {
        let (device, key) = id.split_once('.').unwrap_or((id, ""));
        let mut tx = self.db.begin().await?;
        let done = sqlx::query("UPDATE entity SET name = ?3 WHERE device_id = ?1 AND key = ?2")
            .bind(device)
            .bind(key)
            .bind(name)
            .execute(&mut *tx)
            .await
            .map_err(|e| self.db.error(e))?;
        self.done(tx, done.rows_affected(), "entity", id).await
    }

    /// Puts a device (`id` without a dot) or an entity away, or takes it back.
    pub async fn set_retired(&self, id: &str, retired: bool) -> Result<(), StoreError> {
        let lifecycle = if retired { "retired" } else { "active" };
        let mut tx = self.db.begin().await?;
        let (query, what) = match id.split_once('.') {
            Some((device, key)) => (
                sqlx::query("UPDATE entity SET lifecycle = ?1 WHERE device_id = ?2 AND key = ?3")
                    .bind(lifecycle)
                    .bind(device)
                    .bind(key),
                "entity",
            ),
            None => (
                sqlx::query("UPDATE device SET lifecycle = ?1 WHERE id = ?2")
                    .bind(lifecycle)
                    .bind(id),
                "device",
            ),
        };
        let done = query.execute(&mut *tx).await.map_err(|e| self.db.error(e))?;
        self.done(tx, done.rows_affected(), what, id).await
    }

    async fn done(&self, tx: Tx, rows: u64, what: &'static str, id: &str) -> Result<(), StoreError> {
        if rows == 0 {
            return Err(StoreError::Unknown {
                what,
                id: id.to_owned(),
            });
        }
        self.db.commit(tx).await
    }

    /// One transaction, one statement for each batch of rows.
    async fn batches<T: Serialize>(
        &self,
        sql: &'static str,
        rows: &[T],
        second: i64,
    ) -> Result<u64, StoreError> {
        let mut tx = self.db.begin().await?;
        let mut changed = 0;
        for batch in rows.chunks(BATCH) {
            let query = sqlx::query(sql).bind(self.db.json(batch)?).bind(second);
            changed += query
                .execute(&mut *tx)
                .await
                .map_err(|e| self.db.error(e))?
                .rows_affected();
        }
        self.db.commit(tx).await?;
        Ok(changed)
    }

    /// The devices of a connection, and those elsewhere that were found: three statements, however many.
    async fn known(
        &self,
        db: &mut SqliteConnection,
        connection_id: &str,
        found: &Found,
    ) -> Result<Vec<KnownDevice>, StoreError> {
        let error = |e| self.db.error(e);
        let ids: Vec<&str> = found.devices.iter().map(|d| d.id.as_str()).collect();
        let devices: Vec<Device> = sqlx::query_as(
            "SELECT * FROM device WHERE connection_id = ?1 OR id IN (SELECT value FROM json_each(?2)) ORDER BY id",
        )
        .bind(connection_id)
        .bind(self.db.json(&ids)?)
        .fetch_all(&mut *db)
        .await
        .map_err(error)?;
        let ids: Vec<&str> = devices.iter().map(|d| d.id.as_str()).collect();
        let ids = self.db.json(&ids)?;
        let entities: Vec<Entity> =
            sqlx::query_as("SELECT * FROM entity WHERE device_id IN (SELECT value FROM json_each(?1))")
                .bind(&ids)
                .fetch_all(&mut *db)
                .await
                .map_err(error)?;
        let readable =
            sqlx::query("SELECT * FROM readable WHERE device_id IN (SELECT value FROM json_each(?1))")
                .bind(&ids)
                .fetch_all(&mut *db)
                .await
                .map_err(error)?;

        let mut known: BTreeMap<String, KnownDevice> = devices
            .into_iter()
            .map(|device| {
                (
                    device.id.clone(),
                    KnownDevice {
                        device,
                        entities: Vec::new(),
                        readable: Vec::new(),
                    },
                )
            })
            .collect();
        for entity in entities {
            if let Some(device) = known.get_mut(&entity.device_id) {
                device.entities.push(entity);
            }
        }
        for row in readable {
            let id: &str = row.try_get("device_id").map_err(error)?;
            if let Some(device) = known.get_mut(id) {
                device
                    .readable
                    .push(sqlx::FromRow::from_row(&row).map_err(error)?);
            }
        }
        Ok(known.into_values().collect())
    }

    async fn put_rows(
        &self,
        tx: &mut SqliteConnection,
        connection_id: &str,
        rows: &Rows,
    ) -> Result<(), StoreError> {
        for batch in rows.devices.chunks(BATCH) {
            sqlx::query(PUT_DEVICES)
                .bind(self.db.json(batch)?)
                .execute(&mut *tx)
                .await
                .map_err(|e| self.unknown_connection(connection_id, e))?;
        }
        for batch in rows.entities.chunks(BATCH) {
            let query = sqlx::query(PUT_ENTITIES).bind(self.db.json(batch)?);
            query.execute(&mut *tx).await.map_err(|e| self.db.error(e))?;
        }
        let ids: Vec<&String> = rows.readable.keys().collect();
        sqlx::query("DELETE FROM readable WHERE device_id IN (SELECT value FROM json_each(?1))")
            .bind(self.db.json(&ids)?)
            .execute(&mut *tx)
            .await
            .map_err(|e| self.db.error(e))?;
        let runs: Vec<(&String, u8, u16, u32)> = rows
            .readable
            .iter()
            .flat_map(|(id, runs)| runs.iter().map(move |r| (id, r.function, r.at, r.count)))
            .collect();
        for batch in runs.chunks(BATCH) {
            let query = sqlx::query(PUT_READABLE).bind(self.db.json(batch)?);
            query.execute(&mut *tx).await.map_err(|e| self.db.error(e))?;
        }
        Ok(())
    }
}

const PUT_DEVICES: &str = "
    INSERT INTO device (id, connection_id, unit_id, ledger, name, model, serial, firmware, lifecycle,
                        first_seen_ms, last_seen_ms)
    SELECT value ->> 'id', value ->> 'connection_id', value ->> 'unit_id', value ->> 'ledger', value ->> 'name',
           value ->> 'model', value ->> 'serial', value ->> 'firmware', value ->> 'lifecycle',
           value ->> 'first_seen_ms', value ->> 'last_seen_ms'
    FROM json_each(?1) WHERE true
    ON CONFLICT (id) DO UPDATE SET
        connection_id = excluded.connection_id, unit_id = excluded.unit_id, ledger = excluded.ledger,
        name = excluded.name, model = excluded.model, serial = excluded.serial, firmware = excluded.firmware,
        lifecycle = excluded.lifecycle, last_seen_ms = max(last_seen_ms, excluded.last_seen_ms)";

const PUT_ENTITIES: &str = "
    INSERT INTO entity (device_id, key, at, function, bit, status, lifecycle, proof, name,
                        first_seen_ms, last_seen_ms)
    SELECT value ->> 'device_id', value ->> 'key', value ->> 'at', value ->> 'function', value ->> 'bit',
           value ->> 'status', value ->> 'lifecycle', value ->> 'proof', value ->> 'name',
           value ->> 'first_seen_ms', value ->> 'last_seen_ms'
    FROM json_each(?1) WHERE true
    ON CONFLICT (device_id, key) DO UPDATE SET
        at = excluded.at, function = excluded.function, bit = excluded.bit, status = excluded.status,
        lifecycle = excluded.lifecycle, proof = excluded.proof, last_seen_ms = excluded.last_seen_ms";

const PUT_READABLE: &str = "
    INSERT INTO readable (device_id, function, at, count)
    SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each(?1)";

/// What comes from a device or a plugin is checked before it becomes an id that never changes.
fn check(found: &Found) -> Result<(), StoreError> {
    for device in &found.devices {
        let id = &device.id;
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        if id.is_empty() || id.len() > ID_LIMIT || !id.bytes().all(allowed) {
            return Err(StoreError::Invalid {
                what: "device id",
                value: id.chars().take(ID_LIMIT).collect(),
                expected: "1 to 200 of a-z, 0-9 and _",
            });
        }
        let bad = |key: &&str| key.is_empty() || key.len() > ID_LIMIT || key.chars().any(char::is_control);
        if let Some(key) = device.entities.iter().map(|e| e.key.as_str()).find(bad) {
            return Err(StoreError::Invalid {
                what: "entity key",
                value: key.chars().take(ID_LIMIT).collect(),
                expected: "1 to 200 bytes without control characters",
            });
        }
    }
    Ok(())
}
