//! VSCP events over MQTT: each reading of a meter is told once, as the event of a VSCP node.

pub mod config;
pub mod encode;
