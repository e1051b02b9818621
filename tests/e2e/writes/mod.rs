//! Writes to devices, by the numbers of what proves them.

mod levels;
