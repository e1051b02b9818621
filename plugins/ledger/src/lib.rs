//! What Busbar knows of devices, as pure functions of data: ledgers, the codec, read planning, computed
//! values and scan verdicts.
//!
//! Invariant: no I/O and no clock. Everything here is a function of its arguments, so that every decision of
//! the host can be tested without a device.

#![forbid(unsafe_code)]

pub mod codec;
mod computed;
pub mod evidence;
pub mod extent;
pub mod identify;
pub mod image;
pub mod model;
pub mod plan;
pub mod presence;
pub mod ranges;
pub mod readings;
pub mod span;
pub mod value;
pub mod write;
