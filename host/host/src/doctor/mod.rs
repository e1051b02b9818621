//! A health report: what is well, what is not, why, and what to do next.
//!
//! [`gather`] looks, [`findings`] judges what it saw, and the command line shows both.

pub mod archive;
mod files;
mod findings;
mod gather;
mod link;
mod rights;
mod sinks;
mod time;

use serde::Serialize;

pub use findings::{UNREADABLE, findings};
pub use gather::{Evidence, gather};
pub use link::LinkReport;
pub use sinks::SinkReport;

/// What `busbar doctor` says.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Whether nothing is wrong. Warnings do not count.
    pub healthy: bool,
    /// The program's version.
    pub version: &'static str,
    /// Whether a host runs on the data directory.
    pub host_runs: bool,
    /// One line each, in the order in which a person would look.
    pub findings: Vec<Finding>,
    /// How each connection stands, and what was learned about talking to it.
    pub connections: Vec<LinkReport>,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Where: `data directory`, `registry`, `connection "home"`, …
    pub area: String,
    /// How bad it is.
    pub level: Level,
    /// What was seen.
    pub message: String,
    /// What to do; empty where nothing is to be done.
    pub hint: String,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Well.
    Ok,
    /// Nothing is lost yet, but somebody should look.
    Warning,
    /// Something does not work.
    Error,
}

impl Report {
    /// The report on what was seen.
    pub fn of(evidence: Evidence) -> Self {
        let findings = findings(&evidence);
        Report {
            healthy: findings.iter().all(|f| f.level < Level::Error),
            version: env!("CARGO_PKG_VERSION"),
            host_runs: evidence.host_runs,
            findings,
            connections: evidence.links,
        }
    }
}
