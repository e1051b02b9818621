//! Whether a value may be written, and the only maker of a [`Permit`], without which the wire sends no write.
//!
//! [`effective`] works out what may be written to a point, [`check`] whether one value may and as which words, [`pace`]
//! whether it may be now, [`Tokens`] whether it was confirmed, [`judge`] what became of it.
//!
//! Invariant: every word that a permit carries decodes to a value within the effective limits. Everything here is a
//! function of its arguments: no I/O, no clock.

#![forbid(unsafe_code)]

mod check;
mod limits;
mod outcome;
mod pace;
mod permit;
mod refusal;
mod site;
mod tokens;

pub use check::{check, understand};
pub use limits::{Context, Effective, End, Owner, each, effective, unset};
pub use outcome::{Outcome, Sent, Verdict, judge, same};
pub use pace::{DAY_MS, Pace, budget_of, pace};
pub use permit::{Checked, Latch, Noted, Order, Permit, Purpose};
pub use refusal::{Amount, Cause, Refusal};
pub use site::{Battery, Derived, Phases, Side, Site, Voltage};
pub use tokens::{GOOD_FOR, Prepared, Tokens};
