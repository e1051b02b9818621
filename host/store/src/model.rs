//! What the registry holds, as plain rows: the store knows no ledger and no protocol.

use std::fmt;

use serde::{Deserialize, Serialize};
use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, Row};

/// An enum that is stored and shown as a word.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "lowercase")]
        pub enum $name { $($(#[$vmeta])* $variant,)+ }

        impl $name {
            /// The word that is stored and shown.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }

            fn column(row: &SqliteRow, column: &str) -> sqlx::Result<Self> {
                match row.try_get::<&str, _>(column)? {
                    $($word => Ok(Self::$variant),)+
                    other => Err(sqlx::Error::Decode(
                        format!("{other:?} is no {}", stringify!($name).to_lowercase()).into(),
                    )),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

words! {
    /// Whether an entity exists on its device.
    Status {
        /// Proven; it stays so.
        Present = "present",
        /// Readable, but never a value that proves it.
        Unproven = "unproven",
        /// The device says that it is not there.
        Absent = "absent",
    }
}

words! {
    /// Where a device or an entity is in its life. A scan never deletes one.
    Lifecycle {
        /// Found for the first time by the last scan.
        New = "new",
        /// Found again.
        Active = "active",
        /// Asked for by the last scan, and not found.
        Missing = "missing",
        /// Put away by the owner; a scan leaves it so.
        Retired = "retired",
    }
}

words! {
    /// How a scan ended, if it did.
    ScanState {
        /// It goes on.
        Running = "running",
        /// It did what it planned.
        Complete = "complete",
        /// Somebody ended it; what it had found counts.
        Cancelled = "cancelled",
        /// It could not go on.
        Failed = "failed",
    }
}

words! {
    /// What came of a probe.
    Outcome {
        /// The device answered with words.
        Words = "words",
        /// The device answered with an exception.
        Exception = "exception",
        /// No answer in time.
        Silent = "silent",
        /// An answer that breaks the protocol, or a broken link.
        Broken = "broken",
    }
}

/// One endpoint and how to talk to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Connection {
    /// Made once at random, `c` and seven letters or digits; never changes.
    pub id: String,
    /// The owner's name for it; unique.
    pub name: String,
    /// Where it is.
    pub url: String,
    /// The plugin that scans it; `None`: recognised anew by each scan.
    pub plugin: Option<String>,
    /// Further options, as the host understands them.
    pub options: serde_json::Value,
    /// When it was set up, milliseconds since 1970.
    pub created_ms: i64,
}

/// A connection to be set up.
#[derive(Clone, Debug, PartialEq)]
pub struct NewConnection {
    /// 1 to 64 characters, no `/`, no control characters; unique.
    pub name: String,
    /// Where it is.
    pub url: String,
    /// The plugin that scans it.
    pub plugin: Option<String>,
    /// Further options, as the host understands them.
    pub options: serde_json::Value,
}

/// Something found behind a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// From the device's identity; `[a-z0-9_]+`; never changes.
    pub id: String,
    /// The connection that reaches it.
    pub connection_id: String,
    /// Its Modbus unit id.
    pub unit_id: u8,
    /// The ledger that describes it.
    pub ledger: String,
    /// The name that the device gives itself.
    pub name: Option<String>,
    /// The owner's name for it, where it has one.
    pub own_name: Option<String>,
    /// The maker's name of the model.
    pub model: Option<String>,
    /// The serial number.
    pub serial: Option<String>,
    /// The firmware, as the device writes it.
    pub firmware: Option<String>,
    /// Where it is in its life.
    pub lifecycle: Lifecycle,
    /// When a scan first found it, milliseconds since 1970.
    pub first_seen_ms: i64,
    /// When it last answered, as far as was recorded, milliseconds since 1970.
    pub last_seen_ms: i64,
}

/// A point that exists on a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entity {
    /// The device that it is of.
    pub device_id: String,
    /// Its key in the ledger.
    pub key: String,
    /// The zero-based protocol address; `None` for a computed one.
    pub at: Option<u16>,
    /// The Modbus function that reads it, 1 to 4; `None` for a computed one.
    pub function: Option<u8>,
    /// The bit, for one bit of a word.
    pub bit: Option<u8>,
    /// Whether it exists.
    pub status: Status,
    /// Where it is in its life.
    pub lifecycle: Lifecycle,
    /// Why it has this status, one sentence for people.
    pub proof: Option<String>,
    /// The owner's name for it, where it has one.
    pub name: Option<String>,
    /// When a scan first found it, milliseconds since 1970.
    pub first_seen_ms: i64,
    /// When a scan last found it, milliseconds since 1970.
    pub last_seen_ms: i64,
}

impl Entity {
    /// The id that never changes: `<device id>.<key>`.
    pub fn id(&self) -> String {
        format!("{}.{}", self.device_id, self.key)
    }
}

/// The owner's consent that an entity is written, given for the device as it was then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// The entity, `<device id>.<key>`.
    pub entity: String,
    /// The device's serial number when it was approved.
    pub serial: Option<String>,
    /// Its firmware when it was approved.
    pub firmware: Option<String>,
    /// What else must still be the same for the approval to hold, as the host writes it.
    pub fingerprint: String,
    /// When, milliseconds since 1970.
    pub approved_ms: i64,
}

impl Approval {
    /// The fingerprint of what was approved for a device in whose place another one was put since: it fits nothing.
    pub const OF_ANOTHER: &str = "";
}

/// A run of addresses that a device answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Readable {
    /// The Modbus function, 1 to 4.
    pub function: u8,
    /// The first address.
    pub at: u16,
    /// How many, 1 to 65536.
    pub count: u32,
}

/// One scan of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scan {
    /// Ascending.
    pub id: i64,
    /// What was scanned.
    pub connection_id: String,
    /// `quick`, `full` or `listed`.
    pub mode: String,
    /// The units, as the owner wrote them; empty when the mode decides.
    pub units: String,
    /// When it began, milliseconds since 1970.
    pub started_ms: i64,
    /// When it ended.
    pub ended_ms: Option<i64>,
    /// Where it stands, or how it ended.
    pub state: ScanState,
    /// What it took.
    #[serde(flatten)]
    pub tally: Tally,
    /// What is to be said about it.
    pub note: Option<String>,
}

/// What a scan took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Requests sent.
    pub requests: u32,
    /// Exceptions received.
    pub exceptions: u32,
    /// Probes made.
    pub probed: u32,
    /// Probes that covering everything would have taken.
    pub possible: u32,
}

/// One probe and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// The Modbus unit id that was asked.
    pub unit_id: u8,
    /// The Modbus function.
    pub function: u8,
    /// The first address.
    pub at: u16,
    /// How many.
    pub count: u16,
    /// What came of it.
    pub outcome: Outcome,
    /// The exception code, where it was one.
    pub exception: Option<u8>,
    /// The words as read; empty unless the outcome is `words`.
    pub words: Vec<u16>,
    /// When, milliseconds since 1970.
    pub at_ms: i64,
}

impl<'r> FromRow<'r, SqliteRow> for Connection {
    fn from_row(row: &'r SqliteRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.try_get("id")?,
            name: row.try_get("name")?,
            url: row.try_get("url")?,
            plugin: row.try_get("plugin")?,
            options: json_column(row, "options")?,
            created_ms: row.try_get("created_ms")?,
        })
    }
}

impl<'r> FromRow<'r, SqliteRow> for Device {
    fn from_row(row: &'r SqliteRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.try_get("id")?,
            connection_id: row.try_get("connection_id")?,
            unit_id: row.try_get("unit_id")?,
            ledger: row.try_get("ledger")?,
            name: row.try_get("name")?,
            own_name: row.try_get("own_name")?,
            model: row.try_get("model")?,
            serial: row.try_get("serial")?,
            firmware: row.try_get("firmware")?,
            lifecycle: Lifecycle::column(row, "lifecycle")?,
            first_seen_ms: row.try_get("first_seen_ms")?,
            last_seen_ms: row.try_get("last_seen_ms")?,
        })
    }
}

impl<'r> FromRow<'r, SqliteRow> for Entity {
    fn from_row(row: &'r SqliteRow) -> sqlx::Result<Self> {
        Ok(Self {
            device_id: row.try_get("device_id")?,
            key: row.try_get("key")?,
            at: row.try_get("at")?,
            function: row.try_get("function")?,
            bit: row.try_get("bit")?,
            status: Status::column(row, "status")?,
            lifecycle: Lifecycle::column(row, "lifecycle")?,
            proof: row.try_get("proof")?,
            name: row.try_get("name")?,
            first_seen_ms: row.try_get("first_seen_ms")?,
            last_seen_ms: row.try_get("last_seen_ms")?,
        })
    }
}

impl<'r> FromRow<'r, SqliteRow> for Approval {
    fn from_row(row: &'r SqliteRow) -> sqlx::Result<Self> {
        let (device, key): (&str, &str) = (row.try_get("device_id")?, row.try_get("key")?);
        Ok(Self {
            entity: format!("{device}.{key}"),
            serial: row.try_get("serial")?,
            firmware: row.try_get("firmware")?,
            fingerprint: row.try_get("fingerprint")?,
            approved_ms: row.try_get("approved_ms")?,
        })
    }
}

impl<'r> FromRow<'r, SqliteRow> for Readable {
    fn from_row(row: &'r SqliteRow) -> sqlx::Result<Self> {
        Ok(Self {
            function: row.try_get("function")?,
            at: row.try_get("at")?,
            count: row.try_get("count")?,
        })
    }
}

impl<'r> FromRow<'r, SqliteRow> for Scan {
    fn from_row(row: &'r SqliteRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.try_get("id")?,
            connection_id: row.try_get("connection_id")?,
            mode: row.try_get("mode")?,
            units: row.try_get("units")?,
            started_ms: row.try_get("started_ms")?,
            ended_ms: row.try_get("ended_ms")?,
            state: ScanState::column(row, "state")?,
            tally: Tally {
                requests: row.try_get("requests")?,
                exceptions: row.try_get("exceptions")?,
                probed: row.try_get("probed")?,
                possible: row.try_get("possible")?,
            },
            note: row.try_get("note")?,
        })
    }
}

impl<'r> FromRow<'r, SqliteRow> for Evidence {
    fn from_row(row: &'r SqliteRow) -> sqlx::Result<Self> {
        let words: &[u8] = row.try_get("words")?;
        Ok(Self {
            unit_id: row.try_get("unit_id")?,
            function: row.try_get("function")?,
            at: row.try_get("at")?,
            count: row.try_get("count")?,
            outcome: Outcome::column(row, "outcome")?,
            exception: row.try_get("exception")?,
            words: words
                .chunks_exact(2)
                .map(|b| u16::from_be_bytes([b[0], b[1]]))
                .collect(),
            at_ms: row.try_get("at_ms")?,
        })
    }
}

pub(crate) fn json_column(row: &SqliteRow, column: &str) -> sqlx::Result<serde_json::Value> {
    serde_json::from_str(row.try_get(column)?).map_err(|e| sqlx::Error::Decode(e.into()))
}
