//! What Busbar takes over from the tools that it replaces: their configurations, read by pattern. Pure; nothing of
//! them is executed.

pub mod energy_meter;
pub mod ini;
pub mod python;
pub mod vscp_p1;
