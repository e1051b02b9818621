//! Where a simulated device listens.
//!
//! Not the endpoint of Busbar's own wire: a counterpart that shares code with what it is there to test would share
//! its mistakes. And it may listen on port 0, which no endpoint can have.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use percent_encoding::percent_decode_str;

/// Bits of a character on a line whose settings nobody has told: start, eight data, stop.
const USUAL_BITS: u32 = 10;

/// Where a device listens, and what is spoken there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Listen {
    Tcp(Socket),
    Udp(Socket),
    RtuOverTcp(Socket),
    Rtu(Line),
    /// Telegrams of a smart meter, to whoever connects.
    P1OverTcp(Socket),
}

/// A host and a port; 0 for any free one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Socket {
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// A serial port and how it is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) path: PathBuf,
    pub(crate) baud: u32,
    pub(crate) parity: Parity,
    pub(crate) stop_bits: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parity {
    None,
    Even,
    Odd,
}

impl Line {
    /// How long a character takes.
    pub(crate) fn character(&self) -> Duration {
        let parity = u32::from(self.parity != Parity::None);
        Duration::from_secs(1) * (9 + parity + u32::from(self.stop_bits)) / self.baud
    }

    /// Whether the port is a pseudo terminal, which takes any baud rate and follows none.
    pub(crate) fn is_pseudo(&self) -> bool {
        let real = std::fs::canonicalize(&self.path);
        real.is_ok_and(|path| path.starts_with(Path::new("/dev/pts")))
    }

    fn parse(text: &str) -> Option<Line> {
        let (path, settings) = text.split_once('?').unwrap_or((text, ""));
        let path = percent_decode_str(path).decode_utf8().ok()?;
        let mut line = Line {
            path: PathBuf::from(path.as_ref()),
            baud: 9600,
            parity: Parity::None,
            stop_bits: 1,
        };
        for setting in settings.split('&').filter(|setting| !setting.is_empty()) {
            match setting.split_once('=')? {
                ("baud", baud) => {
                    line.baud = baud.parse().ok().filter(|baud| BAUD.contains(baud))?;
                }
                ("parity", "none") => line.parity = Parity::None,
                ("parity", "even") => line.parity = Parity::Even,
                ("parity", "odd") => line.parity = Parity::Odd,
                ("stop", "1") => line.stop_bits = 1,
                ("stop", "2") => line.stop_bits = 2,
                _ => return None,
            }
        }
        (path.starts_with('/') && path.len() > 1).then_some(line)
    }
}

/// Baud rates that a line can have.
pub(crate) const BAUD: std::ops::RangeInclusive<u32> = 1_200..=921_600;

/// How long a character takes at this baud rate.
pub(crate) fn character(baud: u32) -> Duration {
    Duration::from_secs(1) * USUAL_BITS / baud
}

impl Socket {
    fn parse(text: &str) -> Option<Socket> {
        let text = text.trim_end_matches('/');
        // The last colon of an IPv6 address is none of a port's.
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
            _ => (text, 502),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        (!host.is_empty()).then(|| Socket {
            host: host.to_owned(),
            port,
        })
    }
}

impl Listen {
    pub(crate) fn parse(url: &str) -> Result<Self, String> {
        let parsed = match url.split_once("://") {
            Some(("modbus+tcp", rest)) => Socket::parse(rest).map(Listen::Tcp),
            Some(("modbus+udp", rest)) => Socket::parse(rest).map(Listen::Udp),
            Some(("modbus+rtu+tcp", rest)) => Socket::parse(rest).map(Listen::RtuOverTcp),
            Some(("modbus+rtu", rest)) => Line::parse(rest).map(Listen::Rtu),
            Some(("p1+tcp", rest)) => Socket::parse(rest).map(Listen::P1OverTcp),
            _ => None,
        };
        parsed.ok_or_else(|| {
            format!(
                "cannot listen on `{url}`; write modbus+tcp://127.0.0.1:1502 (or modbus+udp, or modbus+rtu+tcp; \
                 port 0 for any free one), p1+tcp://127.0.0.1:2001 for a smart meter, or \
                 modbus+rtu:///dev/ttyUSB0?baud=9600&parity=none&stop=1"
            )
        })
    }

    pub(crate) fn socket(&self) -> Option<&Socket> {
        match self {
            Listen::Tcp(socket)
            | Listen::Udp(socket)
            | Listen::RtuOverTcp(socket)
            | Listen::P1OverTcp(socket) => Some(socket),
            Listen::Rtu(_) => None,
        }
    }

    pub(crate) fn socket_mut(&mut self) -> Option<&mut Socket> {
        match self {
            Listen::Tcp(socket)
            | Listen::Udp(socket)
            | Listen::RtuOverTcp(socket)
            | Listen::P1OverTcp(socket) => Some(socket),
            Listen::Rtu(_) => None,
        }
    }

    /// Whether a second device here is another one on the same line; on any free port each is alone.
    pub(crate) fn is_shared_with(&self, other: &Listen) -> bool {
        self == other && self.socket().is_none_or(|socket| socket.port != 0)
    }
}

impl fmt::Display for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parity = match self.parity {
            Parity::None => "none",
            Parity::Even => "even",
            Parity::Odd => "odd",
        };
        write!(f, "{}?baud={}&parity={parity}", self.path.display(), self.baud)?;
        match self.stop_bits {
            1 => Ok(()),
            several => write!(f, "&stop={several}"),
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Listen::Tcp(socket) => write!(f, "modbus+tcp://{socket}"),
            Listen::Udp(socket) => write!(f, "modbus+udp://{socket}"),
            Listen::RtuOverTcp(socket) => write!(f, "modbus+rtu+tcp://{socket}"),
            Listen::Rtu(line) => write!(f, "modbus+rtu://{line}"),
            Listen::P1OverTcp(socket) => write!(f, "p1+tcp://{socket}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wire_has_its_url() {
        for url in [
            "modbus+tcp://127.0.0.1:0",
            "modbus+udp://[::1]:502",
            "modbus+rtu+tcp://gateway:4001",
            "p1+tcp://127.0.0.1:0",
            "modbus+rtu:///dev/pts/3?baud=19200&parity=even",
            "modbus+rtu:///dev/ttyUSB0?baud=9600&parity=none&stop=2",
        ] {
            assert_eq!(Listen::parse(url).unwrap().to_string(), url);
        }
        assert_eq!(
            Listen::parse("modbus+udp://[::1]").unwrap().to_string(),
            "modbus+udp://[::1]:502"
        );
        for url in [
            "127.0.0.1:502",
            "http://127.0.0.1",
            "modbus+tcp://:0",
            "modbus+tcp://x:y",
            "modbus+rtu://dev/ttyUSB0",
            "modbus+rtu:///",
            "modbus+rtu:///dev/x?baud=0",
            "modbus+rtu:///dev/x?parity=mark",
            "modbus+rtu:///dev/x?baud",
        ] {
            let said = Listen::parse(url).unwrap_err();
            assert!(
                said.contains(url) && said.contains("modbus+rtu:///dev/ttyUSB0"),
                "{said}"
            );
        }
    }

    #[test]
    fn a_character_takes_its_bits() {
        let Ok(Listen::Rtu(line)) = Listen::parse("modbus+rtu:///dev/x?baud=9600&parity=even") else {
            panic!("a line")
        };
        assert_eq!(line.character(), Duration::from_nanos(1_145_833));
        assert_eq!(character(1200).as_micros(), 8_333);
    }

    #[test]
    fn only_the_same_place_is_shared() {
        let listen = |url: &str| Listen::parse(url).unwrap();
        let line = listen("modbus+rtu:///dev/x?baud=9600");
        assert!(line.is_shared_with(&listen("modbus+rtu:///dev/x")));
        assert!(!line.is_shared_with(&listen("modbus+rtu:///dev/y")));
        let port = listen("modbus+rtu+tcp://127.0.0.1:7");
        assert!(port.is_shared_with(&port) && !port.is_shared_with(&listen("modbus+tcp://127.0.0.1:7")));
        let any = listen("modbus+tcp://127.0.0.1:0");
        assert!(!any.is_shared_with(&any));
    }
}
