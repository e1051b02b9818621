//! `busbar set`, `lease`, `limits`, `audit`, `kill-switch`: what has to do with writing to devices.

pub mod args;
pub mod audit;
pub mod kill_switch;
pub mod lease;
pub mod limits;
pub mod set;
