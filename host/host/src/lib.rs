//! Busbar: an energy-device host. It finds the energy devices of a site, learns which registers each one really has,
//! keeps them in a registry, and polls them for years without losing a value or inventing one.
//!
//! Reads flow one way: wire bytes, words, ledger decode, readings, bus, sinks. `ARCHITECTURE.md` has the map.

#![forbid(unsafe_code)]

pub use busbar_sinks::bus;
mod capture;
pub mod catalog;
pub mod cli;
use busbar_sinks::clock;
pub mod config;
mod control;
mod demo;
mod diagnostics;
pub mod discover;
pub mod doctor;
mod door;
mod energy;
pub mod error;
mod explain;
pub mod find;
mod format;
mod host;
pub mod import;
pub mod interpret;
mod keeper;
mod one_device;
mod poll;
mod profile;
mod registry;
mod settings;
pub mod setup;
mod units;
mod view;
mod web;
mod write;

#[doc(hidden)]
pub use write::rehearse;
