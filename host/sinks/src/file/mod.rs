//! Readings in files, or on standard output: JSON lines or CSV.

pub mod config;
pub mod encode;
pub mod output;
pub mod run;

pub use config::FileConfig;
