//! What was counted over resets, gaps and days.

use std::fmt;

use serde::{Deserialize, Serialize};
use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, Row};

use crate::Registry;
use crate::db::BATCH;
use crate::error::StoreError;

/// So many stitches of each counter are kept, the newest ones.
pub const STITCHES: u32 = 100;

/// The account of one counter, one integrated power, or one period of a counter; values in the entity's unit.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct KeptAccount {
    /// The device.
    pub device_id: String,
    /// The entity's key.
    pub key: String,
    /// What the counter said last; of an integrated power, all that was counted; of a period, the counter's total when this
    /// was booked.
    pub last: f64,
    /// What was counted before the counter's last new beginning; of a period, what was counted in it.
    pub carried: f64,
    /// The serial number of the device that counted, or [`KeptAccount::OF_ANOTHER`].
    pub serial: Option<String>,
    /// Which period it is, for one that has an end.
    pub period: Option<String>,
    /// For how long nothing could be counted, in milliseconds.
    pub left_out_ms: i64,
    /// When that was so, in milliseconds since 1970.
    pub at_ms: i64,
}

impl KeptAccount {
    /// Stands for the serial number of a device in whose place another was put since.
    pub const OF_ANOTHER: &str = "";
}

/// Where an account went on over a counter that began anew.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptStitch {
    /// The device.
    pub device_id: String,
    /// The counter's key.
    pub key: String,
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// What the counter said before.
    pub from_value: f64,
    /// What it said when its new beginning was believed.
    pub to_value: f64,
    /// What is carried from then on.
    pub carried: f64,
    /// What happened.
    pub why: StitchWhy,
}

/// Why a counter began anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StitchWhy {
    /// It was reset.
    Reset,
    /// Its register was full.
    Wrap,
    /// Another meter counts.
    Replaced,
}

impl fmt::Display for StitchWhy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            StitchWhy::Reset => "reset",
            StitchWhy::Wrap => "wrap",
            StitchWhy::Replaced => "replaced",
        })
    }
}

impl Registry {
    /// All accounts, by device and key.
    pub async fn accounts(&self) -> Result<Vec<KeptAccount>, StoreError> {
        sqlx::query_as("SELECT * FROM account ORDER BY device_id, key")
            .fetch_all(self.db.read())
            .await
            .map_err(|e| self.db.error(e))
    }

    /// The stitches of one counter, the newest first.
    pub async fn stitches(&self, device_id: &str, key: &str) -> Result<Vec<KeptStitch>, StoreError> {
        sqlx::query_as("SELECT * FROM stitch WHERE device_id = ?1 AND key = ?2 ORDER BY at_ms DESC")
            .bind(device_id)
            .bind(key)
            .fetch_all(self.db.read())
            .await
            .map_err(|e| self.db.error(e))
    }

    /// Keeps accounts in the place of what was kept of them, together with what was stitched. Those of devices that are not
    /// in the registry are left out.
    pub async fn keep_accounts(
        &self,
        accounts: &[KeptAccount],
        stitches: &[KeptStitch],
    ) -> Result<(), StoreError> {
        let mut tx = self.db.begin().await?;
        for batch in accounts.chunks(BATCH) {
            sqlx::query(
                "INSERT INTO account (device_id, key, last, carried, serial, period, left_out_ms, at_ms) \
                 SELECT device.id, row.value ->> 'key', row.value ->> 'last', row.value ->> 'carried', \
                 row.value ->> 'serial', row.value ->> 'period', row.value ->> 'left_out_ms', row.value ->> 'at_ms' \
                 FROM json_each(?1) AS row JOIN device ON device.id = row.value ->> 'device_id' WHERE true \
                 ON CONFLICT (device_id, key) DO UPDATE SET last = excluded.last, carried = excluded.carried, \
                 serial = excluded.serial, period = excluded.period, left_out_ms = excluded.left_out_ms, \
                 at_ms = excluded.at_ms",
            )
            .bind(self.db.json(batch)?)
            .execute(&mut *tx)
            .await
            .map_err(|e| self.db.error(e))?;
        }
        for batch in stitches.chunks(BATCH) {
            let json = self.db.json(batch)?;
            for query in [
                "INSERT INTO stitch (device_id, key, at_ms, from_value, to_value, carried, why) \
                 SELECT account.device_id, account.key, row.value ->> 'at_ms', row.value ->> 'from_value', \
                 row.value ->> 'to_value', row.value ->> 'carried', row.value ->> 'why' FROM json_each(?1) AS row \
                 JOIN account ON account.device_id = row.value ->> 'device_id' AND account.key = row.value ->> 'key' \
                 WHERE true ON CONFLICT (device_id, key, at_ms) DO UPDATE SET from_value = excluded.from_value, \
                 to_value = excluded.to_value, carried = excluded.carried, why = excluded.why",
                "DELETE FROM stitch WHERE (device_id, key) IN (SELECT row.value ->> 'device_id', row.value ->> 'key' \
                 FROM json_each(?1) AS row) AND at_ms NOT IN (SELECT newer.at_ms FROM stitch AS newer \
                 WHERE newer.device_id = stitch.device_id AND newer.key = stitch.key \
                 ORDER BY newer.at_ms DESC LIMIT ?2)",
            ] {
                sqlx::query(query)
                    .bind(&json)
                    .bind(STITCHES)
                    .execute(&mut *tx)
                    .await
                    .map_err(|e| self.db.error(e))?;
            }
        }
        self.db.commit(tx).await
    }
}

impl<'r> FromRow<'r, SqliteRow> for KeptAccount {
    fn from_row(row: &'r SqliteRow) -> sqlx::Result<Self> {
        Ok(Self {
            device_id: row.try_get("device_id")?,
            key: row.try_get("key")?,
            last: row.try_get("last")?,
            carried: row.try_get("carried")?,
            serial: row.try_get("serial")?,
            period: row.try_get("period")?,
            left_out_ms: row.try_get("left_out_ms")?,
            at_ms: row.try_get("at_ms")?,
        })
    }
}

impl<'r> FromRow<'r, SqliteRow> for KeptStitch {
    fn from_row(row: &'r SqliteRow) -> sqlx::Result<Self> {
        Ok(Self {
            device_id: row.try_get("device_id")?,
            key: row.try_get("key")?,
            at_ms: row.try_get("at_ms")?,
            from_value: row.try_get("from_value")?,
            to_value: row.try_get("to_value")?,
            carried: row.try_get("carried")?,
            why: match row.try_get::<&str, _>("why")? {
                "reset" => StitchWhy::Reset,
                "wrap" => StitchWhy::Wrap,
                "replaced" => StitchWhy::Replaced,
                other => {
                    let fault = format!("{other:?} is no reason of a stitch");
                    return Err(sqlx::Error::Decode(fault.into()));
                }
            },
        })
    }
}
