//! The door between the command line and a running host: the same HTTP interface over a socket in the data directory
//! that only its owner can open, and with it what only the owner of the wire can do.

mod backup;
mod client;
mod place;
mod server;
mod setup;
mod writes;

pub use backup::{BackupCall, Copied};
pub use client::Client;
pub use server::{CaptureCall, MoveCall, RawCall, ReadCall, ScanCall, listen};
pub use setup::{HeldScan, KeepCall};
pub use writes::{EndCall, KillCall, KillState, SetCall, WriteCall, wanted};
