//! VSCP events over MQTT: each reading of a meter is told once, as the event of a VSCP node.
//!
//! | file | what |
//! |---|---|
//! | `config` | `[vscp]`, checked |
//! | `encode` | readings, or the lines of a telegram, become events |
//! | `meters` | which devices send, and what is due |
//! | `mac` | who sends, unless the owner says |
//! | `run` | the room on the connection to the broker |

pub mod config;
pub mod encode;
mod mac;
mod meters;
pub mod run;

pub use config::VscpConfig;
