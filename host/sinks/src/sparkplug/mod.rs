//! Sparkplug B: this host as an edge node, its devices below it, each value by its alias.
//!
//! | file | what |
//! |---|---|
//! | `config` | `[sparkplug]`, checked |
//! | `encode` | entities as metrics, what hosts ask for, topics, the payload |
//! | `node` | births, data, deaths; orders go through the door |
//! | `run` | the connection, whose will is the node's death |

pub mod config;
pub mod encode;
mod node;
pub mod run;

pub use config::SparkplugConfig;
