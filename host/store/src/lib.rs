//! Busbar's registry and history in SQLite: the only SQL of the project.
//!
//! Two files in the data directory. `registry.db` holds what was set up and what was found; it is small, and what it
//! acknowledged survives a power cut. `history.db` holds what entities said; what it acknowledged survives the end of
//! the process, and a power cut may cost the last seconds. Beside them: `busbar.lock`, held by the one host of the
//! directory, and `backups/`.

#![forbid(unsafe_code)]

mod db;
mod diff;
mod dir;
mod error;
mod file;
mod history;
mod model;
mod recover;
mod registry;

pub use diff::{Asked, Change, Diff, Found, FoundDevice, FoundEntity, Ids, KnownDevice, diff};
pub use error::StoreError;
pub use history::{History, Pruned, Quality, Retention, Sample, Stored};
pub use model::{
    Connection, Device, Entity, Evidence, Lifecycle, NewConnection, Outcome, Readable, Scan, ScanState,
    Status, Tally,
};
pub use recover::{Opening, Origin};
pub use registry::{Promotion, Registry, backups};
