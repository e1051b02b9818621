//! What can go wrong between a request and its answer.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use busbar_ledger::span::Span;

use crate::check::BadAnswer;

/// Why a read gave no words. Cheap to clone: one failure of a link is told to all who wait for it.
///
/// The message says where, what was expected and what came; [`WireError::hint`] says what to do next.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The host is there, and nothing listens on that port.
    #[error("{endpoint}: connection refused")]
    Refused {
        /// The endpoint.
        endpoint: Arc<str>,
    },
    /// Nothing answered the attempt to connect.
    #[error("{endpoint}: no answer to the connection attempt within {}", human(*after))]
    ConnectTimeout {
        /// The endpoint.
        endpoint: Arc<str>,
        /// How long was waited.
        after: Duration,
    },
    /// The network knows no way to the host.
    #[error("{endpoint}: unreachable: {reason}")]
    Unreachable {
        /// The endpoint.
        endpoint: Arc<str>,
        /// What the system said.
        reason: String,
    },
    /// The host's name is not known.
    #[error("{endpoint}: the host name cannot be resolved: {reason}")]
    UnknownHost {
        /// The endpoint.
        endpoint: Arc<str>,
        /// What the system said.
        reason: String,
    },
    /// Connecting failed on this machine, for want of descriptors for example.
    #[error("{endpoint}: cannot connect: {reason}")]
    ConnectFailed {
        /// The endpoint.
        endpoint: Arc<str>,
        /// What the system said.
        reason: String,
    },
    /// The other side ended the connection.
    #[error("{endpoint}: connection lost: {reason}")]
    ConnectionLost {
        /// The endpoint.
        endpoint: Arc<str>,
        /// How it ended.
        reason: String,
    },
    /// What came cannot be Modbus.
    #[error("{endpoint}: what answers there is not Modbus; it sent {seen}")]
    NotModbus {
        /// The endpoint.
        endpoint: Arc<str>,
        /// The first bytes, as plain ASCII.
        seen: String,
    },
    /// A one-shot link heard nothing valid for its whole patience, though nothing refused to connect.
    #[error("{endpoint}: no valid Modbus answer within {}", human(*after))]
    NothingHeard {
        /// The endpoint.
        endpoint: Arc<str>,
        /// How long was waited.
        after: Duration,
    },
    /// A unit did not answer in time. Neither "absent" nor "present": nothing is known.
    #[error("{endpoint}: unit {unit} did not answer {span} within {}", human(*after))]
    Silent {
        /// The endpoint.
        endpoint: Arc<str>,
        /// The unit asked.
        unit: u8,
        /// What was asked.
        span: Span,
        /// How long was waited.
        after: Duration,
    },
    /// A valid answer that refuses.
    #[error("{endpoint}: unit {unit} answers {span} with exception {code} ({})", exception_name(*code))]
    Exception {
        /// The endpoint.
        endpoint: Arc<str>,
        /// The unit asked.
        unit: u8,
        /// What was asked.
        span: Span,
        /// The exception code.
        code: u8,
    },
    /// An answer came, and it does not fit the request. None of it is used.
    #[error("{endpoint}: the answer of unit {unit} to {span} is wrong: {reason}")]
    BadAnswer {
        /// The endpoint.
        endpoint: Arc<str>,
        /// The unit asked.
        unit: u8,
        /// What was asked.
        span: Span,
        /// What does not fit.
        reason: BadAnswer,
    },
    /// The unit failed too often; it is left alone for a while, so that it does not delay the others.
    #[error("{endpoint}: unit {unit} does not answer ({cause}); it is tried again in {}", human(*retry_in))]
    UnitResting {
        /// The endpoint.
        endpoint: Arc<str>,
        /// The unit asked.
        unit: u8,
        /// What it did last.
        cause: &'static str,
        /// Until when it rests, from now.
        retry_in: Duration,
    },
    /// The link is down; the next attempt is due later.
    #[error("{cause}; next attempt in {}", human(*retry_in))]
    Down {
        /// Why it is down.
        cause: Box<WireError>,
        /// When the next attempt is due, from now.
        retry_in: Duration,
    },
    /// No frame can carry the request.
    #[error("{endpoint}: unit {unit}, {span}: cannot be asked: {reason}")]
    BadRequest {
        /// The endpoint.
        endpoint: Arc<str>,
        /// The unit meant.
        unit: u8,
        /// What was to be asked.
        span: Span,
        /// Why not.
        reason: &'static str,
    },
    /// The link was closed by its owner.
    #[error("{endpoint}: the link was closed")]
    Closed {
        /// The endpoint.
        endpoint: Arc<str>,
    },
}

impl WireError {
    /// What the system said of a wire, after so long.
    pub(crate) fn from_io(endpoint: Arc<str>, error: &io::Error, after: Duration) -> Self {
        let reason = error.to_string();
        match error.kind() {
            io::ErrorKind::ConnectionRefused => WireError::Refused { endpoint },
            io::ErrorKind::TimedOut => WireError::ConnectTimeout { endpoint, after },
            io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown
            | io::ErrorKind::AddrNotAvailable => WireError::Unreachable { endpoint, reason },
            io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => {
                WireError::ConnectionLost { endpoint, reason }
            }
            _ => WireError::ConnectFailed { endpoint, reason },
        }
    }

    /// A stable word for programs. A link that is down tells the word of its cause.
    pub fn code(&self) -> &'static str {
        match self {
            WireError::Refused { .. } => "refused",
            WireError::ConnectTimeout { .. } => "connect_timeout",
            WireError::Unreachable { .. } => "unreachable",
            WireError::UnknownHost { .. } => "unknown_host",
            WireError::ConnectFailed { .. } => "connect_failed",
            WireError::ConnectionLost { .. } => "connection_lost",
            WireError::NotModbus { .. } => "not_modbus",
            WireError::NothingHeard { .. } | WireError::Silent { .. } => "silent",
            WireError::Exception { .. } => "exception",
            WireError::BadAnswer { .. } => "bad_answer",
            WireError::UnitResting { .. } => "unit_resting",
            WireError::Down { cause, .. } => cause.code(),
            WireError::BadRequest { .. } => "bad_request",
            WireError::Closed { .. } => "closed",
        }
    }

    /// The next step for a person.
    pub fn hint(&self) -> String {
        let hint = match self {
            WireError::Refused { endpoint } if over_udp(endpoint) => {
                "nothing listens on that UDP port: check the port (502 as a rule); many devices speak Modbus TCP only (modbus+tcp://)"
            }
            WireError::Silent { endpoint, .. } | WireError::NothingHeard { endpoint, .. }
                if over_udp(endpoint) =>
            {
                "check the address and the UDP port (502 as a rule), the unit id (1 as a rule), that no other client such as the maker's app is connected, and that no firewall drops UDP"
            }
            WireError::BadAnswer {
                endpoint,
                reason: BadAnswer::Transaction { .. },
                ..
            } if over_udp(endpoint) => {
                "what came answers somebody else: end other clients of the device, such as the maker's app"
            }
            WireError::Refused { .. } => {
                "check the port, and that Modbus TCP is switched on at the device (on a GX: Settings, Modbus TCP server)"
            }
            WireError::ConnectTimeout { .. } | WireError::Unreachable { .. } => {
                "check the address, that the device is on, and that no firewall stands between"
            }
            WireError::UnknownHost { .. } => "check the spelling, or give the IP address",
            WireError::ConnectFailed { .. } => "check this machine's limits and network",
            WireError::ConnectionLost { .. } => {
                "the device may allow few connections at a time: end other Modbus clients of it, and try again"
            }
            WireError::NotModbus { .. } => "another service uses this port: check address and port",
            WireError::NothingHeard { .. } => {
                "check that Modbus TCP is switched on, that the unit is right, and that no other client holds the device"
            }
            WireError::Silent { .. } | WireError::UnitResting { .. } => {
                "check the unit id, and the wiring behind a gateway"
            }
            WireError::Exception { code, .. } => match code {
                1 => "the device does not know this function: try another of 1 to 4",
                2 => "the device lacks one of these registers: read fewer, or check the address",
                3 => "the device refuses this many registers in one read: read fewer",
                5 | 6 => "the device is busy: ask less often",
                10 | 11 => "the unit is not there: check the unit id, and the wiring behind a gateway",
                _ => "see the device's manual for this exception",
            },
            WireError::BadAnswer {
                reason: BadAnswer::Transaction { .. },
                ..
            } => "some gateways answer with a fixed transaction id: set that quirk for this connection",
            WireError::BadAnswer { .. } => {
                "a gateway between may mix up answers: read fewer registers, or ask slower"
            }
            WireError::Down { cause, .. } => return cause.hint(),
            WireError::BadRequest { .. } => "split the read",
            WireError::Closed { .. } => "open the link again",
        };
        hint.to_owned()
    }
}

/// The meaning of an exception code, after Modbus Application Protocol V1.1b3, section 7.
fn exception_name(code: u8) -> &'static str {
    match code {
        1 => "function not known",
        2 => "address not known",
        3 => "value not allowed",
        4 => "device failure",
        5 => "accepted, takes a while",
        6 => "busy",
        8 => "memory parity error",
        10 => "no path to this unit",
        11 => "the unit behind the gateway is silent",
        _ => "not a code of the standard",
    }
}

/// Whether an endpoint's URL says UDP.
fn over_udp(endpoint: &str) -> bool {
    endpoint.starts_with("modbus+udp:")
}

/// A duration as people say it.
fn human(duration: Duration) -> String {
    if duration < Duration::from_secs(1) {
        format!("{} ms", duration.as_millis())
    } else {
        format!("{:.1} s", duration.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_names_endpoint_unit_and_registers() {
        let error = WireError::Silent {
            endpoint: "modbus+tcp://gx.local:502".into(),
            unit: 100,
            span: Span::holding(800, 6),
            after: Duration::from_millis(300),
        };
        assert_eq!(
            error.to_string(),
            "modbus+tcp://gx.local:502: unit 100 did not answer holding 800-805 within 300 ms"
        );
        let down = WireError::Down {
            cause: Box::new(error),
            retry_in: Duration::from_millis(1500),
        };
        assert_eq!(down.code(), "silent");
        assert!(
            down.to_string().ends_with("within 300 ms; next attempt in 1.5 s"),
            "{down}"
        );
    }

    #[test]
    fn an_error_is_small_enough_to_hand_around() {
        assert!(size_of::<WireError>() <= 64, "{} bytes", size_of::<WireError>());
    }
}
