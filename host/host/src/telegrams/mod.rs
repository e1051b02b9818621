//! Meters that speak by themselves: from the bytes of a stream to whole telegrams, by a plugin that knows them.

pub mod device;
pub mod hear;
pub mod keys;
mod raw;
pub mod serve;
pub mod way;
