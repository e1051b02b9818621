//! What can go wrong between a request and its answer.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::check::BadAnswer;
use crate::identity::Asked;
use crate::serial::PortError;

/// How the URL of a gateway begins that hands RTU through.
pub(crate) const RTU_OVER_TCP: &str = "modbus+rtu+tcp:";

/// Why a read gave no words, or a write no acknowledgement. Cheap to clone: one failure of a link is told to all who wait for it.
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
    /// What came is Modbus in the frames of another wire.
    #[error("{endpoint}: what answers there speaks {}; it sent {seen}", speaks.name())]
    OtherFraming {
        /// The endpoint.
        endpoint: Arc<str>,
        /// The first bytes, as plain ASCII.
        seen: String,
        /// What it speaks.
        speaks: Framing,
    },
    /// Bytes came over a line, and no frame is in them.
    #[error(
        "{endpoint}: unit {unit}: bytes arrive, but no frame: check baud, parity, wiring (A/B swapped); they begin {seen}"
    )]
    NoFrame {
        /// The endpoint.
        endpoint: Arc<str>,
        /// The unit asked.
        unit: u8,
        /// The first bytes, as plain ASCII.
        seen: String,
    },
    /// The serial port cannot be used.
    #[error("{endpoint}: {reason}")]
    Port {
        /// The endpoint.
        endpoint: Arc<str>,
        /// Why not.
        reason: PortError,
    },
    /// A one-shot link heard nothing valid for its whole patience, though nothing refused to connect.
    #[error("{endpoint}: no valid Modbus answer within {}", human(*after))]
    NothingHeard {
        /// The endpoint.
        endpoint: Arc<str>,
        /// How long was waited.
        after: Duration,
    },
    /// The connection stands, and the meter that should speak by itself says nothing.
    #[error("{endpoint}: connected, and nothing was said for {}", human(*after))]
    Quiet {
        /// The endpoint.
        endpoint: Arc<str>,
        /// For how long.
        after: Duration,
    },
    /// Telegrams come from there by themselves: nobody can be asked for anything.
    #[error("{endpoint}: a meter speaks there by itself; it can be heard, and not asked or written to")]
    OnlyHeard {
        /// The endpoint.
        endpoint: Arc<str>,
    },
    /// A web server answered, and not with a telegram.
    #[error("{endpoint}: {reason}")]
    NoTelegram {
        /// The endpoint.
        endpoint: Arc<str>,
        /// With what.
        reason: String,
    },
    /// A unit did not answer in time. Neither "absent" nor "present": nothing is known.
    #[error("{endpoint}: unit {unit} did not answer {asked} within {}", human(*after))]
    Silent {
        /// The endpoint.
        endpoint: Arc<str>,
        /// The unit asked.
        unit: u8,
        /// What was asked.
        asked: Asked,
        /// How long was waited.
        after: Duration,
    },
    /// A valid answer that refuses.
    #[error("{endpoint}: unit {unit} answers {asked} with exception {code} ({})", exception_name(*code))]
    Exception {
        /// The endpoint.
        endpoint: Arc<str>,
        /// The unit asked.
        unit: u8,
        /// What was asked.
        asked: Asked,
        /// The exception code.
        code: u8,
    },
    /// An answer came, and it does not fit the request. None of it is used.
    #[error("{endpoint}: the answer of unit {unit} to {asked} is wrong: {reason}")]
    BadAnswer {
        /// The endpoint.
        endpoint: Arc<str>,
        /// The unit asked.
        unit: u8,
        /// What was asked.
        asked: Asked,
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
    #[error("{endpoint}: unit {unit}, {asked}: cannot be asked: {reason}")]
    BadRequest {
        /// The endpoint.
        endpoint: Arc<str>,
        /// The unit meant.
        unit: u8,
        /// What was to be asked.
        asked: Asked,
        /// Why not.
        reason: &'static str,
    },
    /// A write lost its leave before it went out.
    #[error("{endpoint}: unit {unit}, {asked}: not sent, because {reason}")]
    Void {
        /// The endpoint.
        endpoint: Arc<str>,
        /// The unit meant.
        unit: u8,
        /// What was to be written.
        asked: Asked,
        /// Why.
        reason: &'static str,
    },
    /// The link was closed by its owner.
    #[error("{endpoint}: the link was closed")]
    Closed {
        /// The endpoint.
        endpoint: Arc<str>,
    },
}

/// What frames look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// With the header of Modbus TCP.
    Tcp,
    /// Those of a serial line.
    Rtu,
}

impl Framing {
    fn name(self) -> &'static str {
        match self {
            Framing::Tcp => "Modbus TCP, not RTU",
            Framing::Rtu => "Modbus RTU, not Modbus TCP",
        }
    }

    /// The scheme of a URL over TCP.
    pub(crate) fn scheme(self) -> &'static str {
        match self {
            Framing::Tcp => "modbus+tcp",
            Framing::Rtu => "modbus+rtu+tcp",
        }
    }
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
            WireError::NotModbus { .. } | WireError::OtherFraming { .. } => "not_modbus",
            WireError::NoFrame { .. } => "no_frame",
            WireError::Port { reason, .. } => reason.code(),
            WireError::NothingHeard { .. } | WireError::Silent { .. } | WireError::Quiet { .. } => "silent",
            WireError::OnlyHeard { .. } => "only_heard",
            WireError::NoTelegram { .. } => "no_telegram",
            WireError::Exception { .. } => "exception",
            WireError::BadAnswer { .. } => "bad_answer",
            WireError::UnitResting { .. } => "unit_resting",
            WireError::Down { cause, .. } => cause.code(),
            WireError::BadRequest { .. } => "bad_request",
            WireError::Void { .. } => "void",
            WireError::Closed { .. } => "closed",
        }
    }
}

/// The meaning of an exception code, after Modbus Application Protocol V1.1b3, section 7.
pub fn exception_name(code: u8) -> &'static str {
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
    use busbar_ledger::span::Span;

    use super::*;

    #[test]
    fn a_message_names_endpoint_unit_and_registers() {
        let error = WireError::Silent {
            endpoint: "modbus+tcp://gx.local:502".into(),
            unit: 100,
            asked: Span::holding(800, 6).into(),
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
    fn a_message_says_what_was_written() {
        for (function, at, count, message) in [
            (16, 2716, 2, "write of holding 2716-2717"),
            (6, 2703, 1, "write of holding 2703"),
            (5, 7, 1, "write of coils 7"),
            (23, 0x4000, 3, "write to the register link at 16384"),
        ] {
            let error = WireError::Exception {
                endpoint: "modbus+tcp://gx.local:502".into(),
                unit: 100,
                asked: Asked::Write { function, at, count },
                code: 2,
            };
            let expected = format!(
                "modbus+tcp://gx.local:502: unit 100 answers {message} with exception 2 (address not known)"
            );
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn an_error_is_small_enough_to_hand_around() {
        assert!(size_of::<WireError>() <= 64, "{} bytes", size_of::<WireError>());
    }
}
