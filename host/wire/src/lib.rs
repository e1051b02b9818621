//! One owner task for each endpoint: Modbus devices that are asked, and meters that speak by themselves.
//!
//! [`Stream`] is the way to hear what a meter says without being asked.
//!
//! [`Link::read`] is the way to ask: a span of registers of one unit, and what comes back is exactly what the device
//! answered to that request, or a [`WireError`] that says where, what and why. [`Link::write`] is the only way to change
//! something: it takes a [`Permit`](busbar_guard::Permit), which only the guard makes, and sends what that says once. The
//! owner task behind a link has the only connection to its endpoint; writes, polls and scans share it by [`Priority`].
//!
//! Invariants: nothing is handed out that was not sent in answer to that very request; nothing grows without a
//! bound; every wait ends; one silent unit never delays the others. A write goes out at most once, never without leave,
//! and whether it was confirmed, refused or never sent is not guessed: what is not known is
//! [unconfirmed](WriteError::Unconfirmed).

#![forbid(unsafe_code)]

mod backoff;
mod breaker;
mod check;
mod client;
mod datagrams;
mod endpoint;
mod error;
mod frame;
mod frames;
mod hint;
mod identity;
mod inbox;
mod inflight;
mod latency;
mod link;
mod open;
mod options;
mod overdue;
mod pauses;
mod queue;
mod rtu;
mod serial;
mod serve;
mod session;
mod stats;
mod stream;
mod sweep;
mod tap;
mod task;
mod tcp;
mod udp;
mod window;
mod write;
mod writes;

pub use crate::check::BadAnswer;
pub use crate::client::EngineClient;
pub use crate::datagrams::Datagrams;
pub use crate::endpoint::{
    Endpoint, EndpointError, Host, HttpPlace, Parity, SerialLine, Setting, TelegramLine,
};
pub use crate::error::{Framing, WireError, exception_name};
pub use crate::identity::{Asked, Identity};
pub use crate::link::{Link, LinkState, ReadPlan};
pub use crate::open::{Bind, Connect, ConnectError};
pub use crate::options::{InFlight, Learned, Options};
pub use crate::queue::Priority;
pub use crate::serial::{PortError, stable_path};
pub use crate::stats::Stats;
pub use crate::stream::{Chunk, Listener, Piece, Stream, StreamOptions, StreamStats};
pub use crate::sweep::{Sweep, sweep};
pub use crate::tap::{Direction, Seen, Traffic};
pub use crate::write::{WriteAnswer, WriteError};
