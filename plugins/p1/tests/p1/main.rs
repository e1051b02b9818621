//! What the plugin hears in streams and finds in telegrams: published ones, made ones, and streams that lie.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may fail by panicking"
)]

mod common;
mod found;
mod hostile;
mod peer;
mod stream;
mod values;
