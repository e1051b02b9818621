//! Home Assistant, told by its MQTT discovery: one device for each of Busbar's, behind its gateway, with everything that
//! may be written. The states themselves are those of the MQTT sink, whose connection this room shares.
//!
//! | file | what |
//! |---|---|
//! | `config` | `home_assistant = { … }` in `[mqtt]` |
//! | `encode` | what is told of a device, pure |
//! | `announced` | what was told before, and what follows from it, pure |
//! | `memory` | the same, kept over restarts |
//! | `teller` | what is to be told now, pure |
//! | `run` | the room that tells it |

pub mod announced;
pub mod config;
pub mod encode;
mod memory;
pub mod run;
mod teller;
