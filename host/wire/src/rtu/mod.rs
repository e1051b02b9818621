//! Modbus RTU: frames without ids, on a line that all share.
//!
//! tokio-modbus has RTU framing too; ours can be given up and taken up again in the middle of a frame, which is what
//! a time-out, noise and a late answer ask for.

mod asked;
mod debts;
mod frame;
mod pace;
mod stream;

pub(crate) use debts::Debts;
pub(crate) use frame::is_whole;
pub(crate) use pace::Pace;
pub(crate) use stream::RtuStream;
