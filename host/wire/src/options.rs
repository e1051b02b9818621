//! How a link talks to its endpoint.

use std::time::Duration;

/// The longest that an answer may take, where nothing else is said.
const TIMEOUT: Duration = Duration::from_secs(1);

/// What a caller may choose; the defaults suit an unknown device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The longest that an answer may take, from the request's first byte to the answer's last. The time-out in
    /// use adapts to the latency and never passes it. Over UDP a read is sent again meanwhile, at most 3 times.
    /// Default 1 s.
    pub timeout: Option<Duration>,
    /// The longest that connecting may take, name resolution included. Default 3 s.
    pub connect_timeout: Duration,
    /// How many requests may be on the wire at once.
    pub in_flight: InFlight,
    /// Pause between an answer and the next request, for devices that need one; then one request is on the wire
    /// at a time. Default none.
    pub spacing: Duration,
    /// Pause between connecting and the first request: some devices are deaf until then. Default none.
    pub pause_after_connect: Duration,
    /// What an earlier link to the same endpoint has learned ([`Stats::spacing`](crate::Stats::spacing),
    /// [`Stats::settle`](crate::Stats::settle)). Default nothing.
    pub learned: Learned,
    /// For commands that end: reads wait for the link instead of failing while it is down, and the link gives
    /// up for good after 3 failed attempts to connect, or after 10 s without one valid answer. Default off.
    pub one_shot: bool,
    /// Quirk of some gateways: they answer under a fixed transaction id. Then one request is on the wire at a
    /// time, and each time-out reopens the connection, because a late answer cannot be told from the next.
    /// Without effect over UDP, where a doubled answer could not be told from the next either. Default off.
    pub fixed_transaction_id: bool,
}

/// Pauses that a device was found to need. They are given up again when it turns out that it does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Learned {
    /// Between an answer and the next request.
    pub spacing: Duration,
    /// Between connecting and the first request.
    pub settle: Duration,
}

/// How many requests may be on the wire at once: it begins with `start` and doubles up to `max` while the
/// device copes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InFlight {
    /// To begin with; 1 for an unknown device, 4 for a GX, or what was learned before
    /// ([`Stats::window`](crate::Stats::window)).
    pub start: u16,
    /// At most; never more than 64.
    pub max: u16,
}

impl Default for InFlight {
    fn default() -> Self {
        InFlight {
            start: 1,
            max: crate::inflight::MOST,
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Options {
            timeout: None,
            connect_timeout: Duration::from_secs(3),
            in_flight: InFlight::default(),
            spacing: Duration::ZERO,
            pause_after_connect: Duration::ZERO,
            learned: Learned::default(),
            one_shot: false,
            fixed_transaction_id: false,
        }
    }
}

impl Options {
    /// The options of a command that ends: see [`Options::one_shot`].
    pub fn one_shot() -> Self {
        Options {
            one_shot: true,
            ..Options::default()
        }
    }

    /// The longest that an answer may take.
    pub(crate) fn patience(&self) -> Duration {
        self.timeout.unwrap_or(TIMEOUT)
    }

    /// How many requests may be on the wire, after what the other options allow.
    pub(crate) fn window(&self) -> InFlight {
        if self.fixed_transaction_id || !self.spacing.is_zero() {
            InFlight { start: 1, max: 1 }
        } else {
            self.in_flight
        }
    }
}
