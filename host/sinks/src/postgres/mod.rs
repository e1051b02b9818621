//! PostgreSQL or TimescaleDB as a history, for those who outgrow one machine. The SQL is the store's.

pub mod config;
pub mod encode;
pub mod run;

pub use config::PostgresConfig;
