//! Energy that adds up: what counters have counted over resets, reboots, full registers and exchanged meters, in a day, a
//! month or a tariff; and what is added up where nothing counts.

pub mod book;
pub mod evidence;
pub mod period;
pub mod wanted;
