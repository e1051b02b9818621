//! Writes to devices, by the numbers of what proves them.

mod flood;
mod identity;
mod levels;
mod record;
mod reviewed;
mod ways;
mod words;
