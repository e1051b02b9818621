//! Busbar's registry and history in SQLite: the only SQL of the project.
//!
//! Two files in the data directory. `registry.db` holds what was set up and what was found; it is small, and what it
//! acknowledged survives a power cut. It also holds the audit of what was written to devices: rows that are only ever
//! appended, each with the hash of the one before. `history.db` holds what entities said; what it acknowledged survives the end of
//! the process, and a power cut may cost the last seconds. Beside them: `busbar.lock`, held by the one host of the
//! directory, `backups/`, and the kill switch, a file that stops all writing to devices.

#![forbid(unsafe_code)]

mod audit;
mod chain;
mod db;
mod diff;
mod dir;
mod error;
mod file;
mod history;
mod kill;
mod model;
mod recover;
mod registry;
mod restore;

pub use audit::{AuditBreak, AuditHash, AuditKind, AuditProof, AuditRow, NewAudit};
pub use diff::{Asked, Change, Diff, Found, FoundDevice, FoundEntity, Ids, KnownDevice, diff};
pub use error::StoreError;
pub use file::Contents;
pub use history::{History, Pruned, Quality, Retention, Sample, Stored, check_history};
pub use kill::KillSwitch;
pub use model::{
    Approval, Connection, Device, Entity, Evidence, Lifecycle, NewConnection, Outcome, Readable, Scan,
    ScanState, Status, Tally,
};
pub use recover::{Opening, Origin};
pub use registry::{
    AuditPruned, Copy, KeptAccount, KeptStitch, Made, Promotion, Registry, Replaced, STITCHES, StitchWhy,
    backup, backups, contents, copies, is_free,
};
pub use restore::{Restored, restore};
