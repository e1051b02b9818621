//! Whether a value may be written, and the only maker of a [`Permit`], without which the wire sends no write.
//!
//! Invariant: every word that a permit carries decodes to a value within the effective limits. Everything here is a
//! function of its arguments: no I/O, no clock.

#![forbid(unsafe_code)]

mod check;
mod permit;

pub use check::{Context, Effective, Refusal, check, effective};
pub use permit::{Checked, Latch, Noted, Order, Permit, Purpose};
