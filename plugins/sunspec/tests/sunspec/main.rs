//! What the plugin finds, from register images and from devices that lie.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may fail by panicking"
)]

mod hostile;
mod image;
mod samples;
mod walk;
