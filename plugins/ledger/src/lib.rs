//! What Busbar knows of devices, as pure functions of data: ledgers, the codec, read planning, computed
//! values and scan verdicts.
//!
//! Invariant: no I/O and no clock. Everything here is a function of its arguments, so that every decision of
//! the host can be tested without a device.

#![forbid(unsafe_code)]

pub mod model;
pub mod span;
pub mod value;
pub mod write;
