//! Units of a GX.

/// The unit of the GX itself and of everything with device instance 0. Unit 0 means the same and is never asked.
pub(crate) const GX: u8 = 100;

/// One more than the highest unit that is kept track of.
pub(crate) const UNITS: usize = 256;

/// The highest unit that Modbus knows; a full scan ends here. A list may name those above: a GX answers them.
pub(crate) const LAST: u8 = 247;
