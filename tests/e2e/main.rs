//! End to end: the program as its users run it, against simulated devices over real sockets.
//!
//! Every test owns its directory and its ports, and waits for what it sees, never for a while.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "what cannot be set up fails the test, loudly"
)]

mod abuse;
mod archive;
mod backup;
#[path = "../../host/sinks/tests/common/broker.rs"]
mod broker;
mod capture;
mod change;
mod change_writes;
mod choose;
mod commands;
mod common;

mod devices;
mod discover;
mod doctor;
mod energy;
mod errors;
mod examples;
#[path = "../fuzz/properties.rs"]
mod hostile;
mod http;
mod import;
mod lossy;
mod maps;
mod meter;
mod mqtt;
mod p1;
mod peers;
mod plugins;
mod poll;
mod registry;
mod rs485;
mod scan;
mod serial;
mod setup;
mod shipped;
mod sinks;
mod strangers;
mod sunspec;
mod terminal;
mod vscp;
mod writes;
mod writes_faults;
