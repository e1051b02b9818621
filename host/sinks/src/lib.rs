//! The bus, and what reads it: MQTT, Home Assistant, metrics, files, databases.
//!
//! A poll puts readings on the [`bus`] and goes on; whoever is slow falls behind by itself. This crate cannot touch a
//! wire: it does not know one. What a sink wants written it asks for at the [`door`], where the host decides.
//!
//! Each sink is a folder with the same files: `config` (its section of `busbar.toml`, checked), `encode` (what it
//! sends, made from readings, pure) and `run` (its task: the only one with sockets or files).

#![forbid(unsafe_code)]

pub mod bus;
pub mod clock;
pub mod door;
pub mod duration;
pub mod feed;
pub mod file;
pub mod health;
pub mod home_assistant;
pub mod http;
pub mod influxdb;
pub mod mqtt;
pub mod pace;
pub mod profile;
pub mod prometheus;
pub mod queue;
pub mod samples;
pub mod secret;
pub mod select;
pub mod ship;
pub mod sinks;
pub mod size;
pub mod span;
pub mod sparkplug;
pub mod spool;
pub mod tags;
pub mod telegram;
#[cfg(test)]
mod testing;
pub mod view;
pub mod vscp;
