//! InfluxDB, or whatever takes its line protocol over HTTP (VictoriaMetrics, Telegraf, QuestDB).

pub mod config;
pub mod encode;
pub mod run;
#[cfg(test)]
mod tests;

pub use config::InfluxConfig;
