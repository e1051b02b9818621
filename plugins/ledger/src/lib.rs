//! What Busbar knows of devices, as pure functions of data: ledgers, the codec, read planning, computed
//! values and scan verdicts.
//!
//! Invariant: no I/O and no clock. Everything here is a function of its arguments, so that every decision of
//! the host can be tested without a device.

#![forbid(unsafe_code)]

pub mod account;
mod classes;
pub mod codec;
mod computed;
pub mod counter;
pub mod describe;
mod diagnostics;
pub mod evidence;
pub mod extent;
mod format;
pub mod identify;
pub mod image;
pub mod map;
pub mod model;
pub mod obis;
mod parse;
pub mod plan;
pub mod presence;
pub mod ranges;
pub mod readings;
mod schema;
pub mod setup;
pub mod span;
pub mod telegram;
#[cfg(test)]
mod testing;
pub mod value;
pub mod write;

pub use classes::{default_label, default_rate};
pub use computed::holds;
pub use diagnostics::{Diagnostic, Diagnostics, MAX_SHOWN, Report};
pub use parse::{MAX_FILE, MAX_POINTS, parse};
pub use schema::json_schema;
