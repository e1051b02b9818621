//! Prometheus: what `/metrics` says of readings and of the host.

pub mod config;
pub mod encode;
pub mod family;
pub mod text;
pub mod units;

pub use config::MetricsConfig;
