//! Energy that adds up: what counters have counted over resets, reboots, full registers and exchanged meters.

pub mod book;
pub mod evidence;
