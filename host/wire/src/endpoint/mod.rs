//! Where a device is reached, written as a URL.

use std::fmt;
use std::str::FromStr;

use percent_encoding::percent_decode_str;
use url::Url;

mod line;
mod telegrams;

pub use line::{Parity, SerialLine};
pub use telegrams::{HttpPlace, Setting, TelegramLine};

/// Every scheme that Busbar's contract names, and whether this version speaks it.
const SCHEMES: [(&str, bool); 8] = [
    ("modbus+tcp", true),
    ("modbus+udp", true),
    ("modbus+rtu", true),
    ("modbus+rtu+tcp", true),
    ("p1", true),
    ("p1+tcp", true),
    ("p1+http", true),
    ("openhab+http", false),
];

/// The port of Modbus TCP, assigned by IANA; Modbus/UDP has the same.
const MODBUS_PORT: u16 = 502;

/// One place where devices are reached, and what is spoken there.
///
/// Two spellings of one place compare equal; `Display` gives the one canonical spelling, port and line settings
/// included.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// Modbus TCP: `modbus+tcp://HOST[:502]`.
    Tcp(Host),
    /// The same frames in datagrams: `modbus+udp://HOST[:502]`.
    Udp(Host),
    /// RTU frames over a TCP stream, as plain serial gateways carry them: `modbus+rtu+tcp://HOST:PORT`.
    RtuOverTcp(Host),
    /// RTU over a serial line: `modbus+rtu:///dev/ttyUSB0?baud=9600&parity=none`.
    Rtu(SerialLine),
    /// Telegrams of a smart meter, from a serial adapter at its customer port: `p1:///dev/ttyUSB0`.
    P1(TelegramLine),
    /// The same bytes from a gateway: `p1+tcp://HOST:PORT`.
    P1OverTcp(Host),
    /// The newest telegram at each request: `p1+http://HOST[:80][/api/v1/telegram]`.
    P1OverHttp(HttpPlace),
}

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Host {
    /// A name, an IPv4 address, or an IPv6 address without brackets.
    pub name: String,
    /// Never 0.
    pub port: u16,
}

/// Why a text is not an endpoint. The message says what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// No scheme at all, so it is not known what is spoken there.
    #[error("`{text}` does not say what is spoken there; write {suggestion}")]
    NoScheme {
        /// What was given.
        text: String,
        /// What was probably meant.
        suggestion: String,
    },
    /// A scheme that Busbar does not know.
    #[error("unknown scheme `{scheme}`; write {nearest}://… ({})", known())]
    UnknownScheme {
        /// What was given.
        scheme: String,
        /// The known scheme that comes nearest.
        nearest: &'static str,
    },
    /// A scheme of the contract that this version does not speak.
    #[error("{scheme} is not supported by this version yet ({})", known())]
    NotYet {
        /// The scheme.
        scheme: &'static str,
    },
    /// The rest of the URL does not name a place.
    #[error("`{text}`: {reason}; write {form}")]
    Malformed {
        /// What was given.
        text: String,
        /// What is wrong with it.
        reason: String,
        /// What such a URL looks like.
        form: &'static str,
    },
}

impl EndpointError {
    /// A stable word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            EndpointError::NotYet { .. } => "not_supported",
            _ => "bad_url",
        }
    }

    /// The next step for a person.
    pub fn hint(&self) -> String {
        match self {
            EndpointError::NoScheme { suggestion, .. } => format!("try {suggestion}"),
            EndpointError::UnknownScheme { nearest, .. } => format!("try {}", example(nearest)),
            EndpointError::NotYet { .. } => {
                "if the device also speaks Modbus TCP, give modbus+tcp://HOST".to_owned()
            }
            EndpointError::Malformed { form, .. } => {
                let scheme = form.split("://").next().unwrap_or_default();
                format!("an example: {}", example(scheme))
            }
        }
    }
}

impl Endpoint {
    /// The scheme of its URL.
    pub fn scheme(&self) -> &'static str {
        match self {
            Endpoint::Tcp(_) => "modbus+tcp",
            Endpoint::Udp(_) => "modbus+udp",
            Endpoint::RtuOverTcp(_) => "modbus+rtu+tcp",
            Endpoint::Rtu(_) => "modbus+rtu",
            Endpoint::P1(_) => "p1",
            Endpoint::P1OverTcp(_) => "p1+tcp",
            Endpoint::P1OverHttp(_) => "p1+http",
        }
    }

    /// Host and port; `None` for a serial line.
    pub fn host(&self) -> Option<&Host> {
        match self {
            Endpoint::Tcp(host)
            | Endpoint::Udp(host)
            | Endpoint::RtuOverTcp(host)
            | Endpoint::P1OverTcp(host) => Some(host),
            Endpoint::P1OverHttp(place) => Some(&place.host),
            Endpoint::Rtu(_) | Endpoint::P1(_) => None,
        }
    }

    /// The serial port's path; `None` for what is on a network.
    pub fn port(&self) -> Option<&std::path::Path> {
        match self {
            Endpoint::Rtu(line) => Some(&line.path),
            Endpoint::P1(line) => Some(&line.path),
            _ => None,
        }
    }

    /// The same place with another serial port; itself where there is none.
    #[must_use]
    pub fn at_port(&self, path: std::path::PathBuf) -> Self {
        match self {
            Endpoint::Rtu(line) => Endpoint::Rtu(SerialLine { path, ..line.clone() }),
            Endpoint::P1(line) => Endpoint::P1(TelegramLine { path, ..line.clone() }),
            other => other.clone(),
        }
    }

    /// Whether a meter speaks there by itself: nothing can be asked, only heard.
    pub fn is_heard(&self) -> bool {
        matches!(
            self,
            Endpoint::P1(_) | Endpoint::P1OverTcp(_) | Endpoint::P1OverHttp(_)
        )
    }

    /// The serial line of Modbus; `None` for everything else.
    pub fn line(&self) -> Option<&SerialLine> {
        match self {
            Endpoint::Rtu(line) => Some(line),
            _ => None,
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.contains(':') {
            write!(f, "[{}]:{}", self.name, self.port)
        } else {
            write!(f, "{}:{}", self.name, self.port)
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme())?;
        match self {
            Endpoint::Tcp(host)
            | Endpoint::Udp(host)
            | Endpoint::RtuOverTcp(host)
            | Endpoint::P1OverTcp(host) => host.fmt(f),
            Endpoint::Rtu(line) => line.fmt(f),
            Endpoint::P1(line) => line.fmt(f),
            Endpoint::P1OverHttp(place) => place.fmt(f),
        }
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let text = text.trim();
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(no_scheme(text));
        };
        let scheme = scheme.to_ascii_lowercase();
        let scheme = match SCHEMES.iter().find(|(known, _)| *known == scheme) {
            Some((scheme, true)) => *scheme,
            Some((scheme, false)) => return Err(EndpointError::NotYet { scheme }),
            None => {
                return Err(EndpointError::UnknownScheme {
                    nearest: nearest(&scheme),
                    scheme,
                });
            }
        };
        let malformed = |reason: String| EndpointError::Malformed {
            text: text.to_owned(),
            reason,
            form: form(scheme),
        };
        if scheme == "modbus+rtu" {
            return rest.parse().map(Endpoint::Rtu).map_err(malformed);
        }
        if scheme == "p1" {
            return rest.parse().map(Endpoint::P1).map_err(malformed);
        }
        if scheme == "p1+http" {
            return HttpPlace::parse(text)
                .map(Endpoint::P1OverHttp)
                .map_err(malformed);
        }
        let has_usual_port = !matches!(scheme, "modbus+rtu+tcp" | "p1+tcp");
        let host = host(text, has_usual_port.then_some(MODBUS_PORT)).map_err(malformed)?;
        Ok(match scheme {
            "p1+tcp" => Endpoint::P1OverTcp(host),
            "modbus+udp" => Endpoint::Udp(host),
            "modbus+rtu+tcp" => Endpoint::RtuOverTcp(host),
            _ => Endpoint::Tcp(host),
        })
    }
}

/// The host and port of a whole URL. `port` is the one that may be left out.
fn host(text: &str, port: Option<u16>) -> Result<Host, String> {
    let url = Url::parse(text).map_err(|error| error.to_string())?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("there is no user name or password here".to_owned());
    }
    if !matches!(url.path(), "" | "/") {
        return Err("a path has no meaning here (choose units with an option)".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("`?` and `#` have no meaning here".to_owned());
    }
    place(&url, port)
}

/// The host and port of a URL that is taken apart.
fn place(url: &Url, port: Option<u16>) -> Result<Host, String> {
    let name = match url.host() {
        None => return Err("the host is missing".to_owned()),
        Some(url::Host::Ipv4(address)) => address.to_string(),
        Some(url::Host::Ipv6(address)) => address.to_string(),
        Some(url::Host::Domain(name)) => {
            host_name(name).ok_or_else(|| "this is not a host name".to_owned())?
        }
    };
    match url.port().or(port) {
        None => Err("the port is missing, and gateways have no usual one".to_owned()),
        Some(0) => Err("port 0 cannot be reached".to_owned()),
        Some(port) => Ok(Host { name, port }),
    }
}

/// What a text without a scheme most likely is: a serial port, or a host that speaks Modbus TCP.
fn no_scheme(text: &str) -> EndpointError {
    if text.is_empty() {
        return EndpointError::Malformed {
            text: String::new(),
            reason: "an empty URL".to_owned(),
            form: form("modbus+tcp"),
        };
    }
    EndpointError::NoScheme {
        text: text.to_owned(),
        suggestion: if text.starts_with("/dev/") {
            format!("modbus+rtu://{text}?baud=9600&parity=none")
        } else {
            format!("modbus+tcp://{text}")
        },
    }
}

/// What a URL of this scheme looks like.
fn form(scheme: &str) -> &'static str {
    match scheme {
        "modbus+udp" => "modbus+udp://HOST or modbus+udp://HOST:PORT",
        "modbus+rtu" => "modbus+rtu:///dev/ttyUSB0?baud=9600&parity=none",
        "modbus+rtu+tcp" => "modbus+rtu+tcp://HOST:PORT",
        "p1" => "p1:///dev/ttyUSB0",
        "p1+tcp" => "p1+tcp://HOST:PORT",
        "p1+http" => "p1+http://HOST or p1+http://HOST:PORT/PATH",
        _ => "modbus+tcp://HOST or modbus+tcp://HOST:PORT",
    }
}

/// A URL of this scheme that can be typed after changing the place.
fn example(scheme: &str) -> &'static str {
    match scheme {
        "modbus+udp" => "modbus+udp://192.168.1.30",
        "modbus+rtu" => "modbus+rtu:///dev/ttyUSB0?baud=9600&parity=none",
        "modbus+rtu+tcp" => "modbus+rtu+tcp://192.168.1.40:4001",
        "p1" => "p1:///dev/ttyUSB0",
        "p1+tcp" => "p1+tcp://192.168.1.50:23",
        "p1+http" => "p1+http://192.168.1.50",
        "openhab+http" => "openhab+http://192.168.1.60:8080",
        _ => "modbus+tcp://192.168.1.20:502",
    }
}

/// A host name in its one spelling: percent-decoded, lower case; `None` where it cannot be one.
fn host_name(name: &str) -> Option<String> {
    let name = percent_decode_str(name).decode_utf8().ok()?.to_ascii_lowercase();
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (!name.is_empty() && name.len() <= 253 && name.chars().all(fits)).then_some(name)
}

/// The known scheme that a wrong one most likely meant.
fn nearest(scheme: &str) -> &'static str {
    match scheme {
        // What people write who mean Modbus TCP, or a serial port.
        "modbus" | "mb" | "mbtcp" | "tcp" => return "modbus+tcp",
        "serial" | "rtu" | "file" => return "modbus+rtu",
        // And who mean a smart meter.
        "dsmr" | "p1+serial" | "hdlc" => return "p1",
        _ => {}
    }
    let mut best = ("modbus+tcp", 0.0);
    for (known, _) in SCHEMES {
        // `udp` and `modbus-udp` mean the scheme whose last part they name.
        let last = known.rsplit('+').next().unwrap_or(known);
        let likeness = strsim::jaro_winkler(scheme, known).max(strsim::jaro_winkler(scheme, last) * 0.99);
        if likeness > best.1 {
            best = (known, likeness);
        }
    }
    best.0
}

/// The schemes that this version speaks, for messages.
fn known() -> String {
    let spoken: Vec<_> = SCHEMES
        .iter()
        .filter(|(_, spoken)| *spoken)
        .map(|(scheme, _)| *scheme)
        .collect();
    format!("this version speaks {}", spoken.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<String, EndpointError> {
        text.parse::<Endpoint>().map(|endpoint| endpoint.to_string())
    }

    #[test]
    fn spellings_of_one_place_are_one_endpoint() {
        for text in [
            "modbus+tcp://gx.local",
            "modbus+tcp://GX.local:502",
            "MODBUS+TCP://g%78.local:502/",
        ] {
            assert_eq!(parse(text).unwrap(), "modbus+tcp://gx.local:502", "{text}");
        }
        assert_eq!(
            parse("modbus+tcp://10.0.0.7:1502").unwrap(),
            "modbus+tcp://10.0.0.7:1502"
        );
        assert_eq!(
            parse("modbus+tcp://[fe80:0::1]").unwrap(),
            "modbus+tcp://[fe80::1]:502"
        );
        let endpoint: Endpoint = "modbus+tcp://[::1]:5020".parse().unwrap();
        let host = Host {
            name: "::1".to_owned(),
            port: 5020,
        };
        assert_eq!(endpoint, Endpoint::Tcp(host));
        assert_eq!(parse("modbus+udp://Meter").unwrap(), "modbus+udp://meter:502");
        assert_eq!(
            parse("modbus+rtu+tcp://gateway:4001").unwrap(),
            "modbus+rtu+tcp://gateway:4001"
        );
        assert_eq!(
            parse("modbus+rtu:///dev/ttyUSB0").unwrap(),
            "modbus+rtu:///dev/ttyUSB0?baud=9600&parity=none"
        );
        for (text, spelling) in [
            ("p1:///dev/ttyUSB0", "p1:///dev/ttyUSB0"),
            (
                "p1:///dev/ttyUSB0?baud=9600&parity=e&bits=7",
                "p1:///dev/ttyUSB0?baud=9600&parity=even&bits=7",
            ),
            (
                "p1:///dev/ttyUSB0?baud=115200",
                "p1:///dev/ttyUSB0?baud=115200&parity=none&bits=8",
            ),
            ("p1+tcp://Gateway:23", "p1+tcp://gateway:23"),
            ("p1+http://HOST", "p1+http://host:80/api/v1/telegram"),
            ("p1+http://[::1]:8080/a%20b", "p1+http://[::1]:8080/a%20b"),
        ] {
            assert_eq!(parse(text).unwrap(), spelling, "{text}");
            assert_eq!(parse(spelling).unwrap(), spelling);
        }
    }

    #[test]
    fn a_bare_host_is_told_what_to_write() {
        for text in ["gx.local", "192.168.1.5", "gx.local:502"] {
            let error = parse(text).unwrap_err();
            assert!(
                error.to_string().contains(&format!("write modbus+tcp://{text}")),
                "{error}"
            );
        }
        let error = parse("/dev/ttyUSB0").unwrap_err();
        assert!(error.to_string().contains("modbus+rtu:///dev/ttyUSB0"), "{error}");
    }

    #[test]
    fn an_unknown_scheme_is_told_the_nearest() {
        for (given, meant) in [
            ("modbus-tcp", "modbus+tcp"),
            ("tcp", "modbus+tcp"),
            ("modbus", "modbus+tcp"),
            ("serial", "modbus+rtu"),
            ("udp", "modbus+udp"),
            ("modbus+rtus", "modbus+rtu"),
            ("openhab", "openhab+http"),
            ("p1+serial", "p1"),
            ("dsmr", "p1"),
            ("p1-tcp", "p1+tcp"),
        ] {
            let error = parse(&format!("{given}://host")).unwrap_err();
            assert!(
                error.to_string().contains(&format!("write {meant}://")),
                "{given}: {error}"
            );
            assert_eq!(error.code(), "bad_url");
        }
    }

    #[test]
    fn schemes_to_come_are_known_and_refused() {
        let text = "openhab+http://host:8080";
        let error = parse(text).unwrap_err();
        assert!(
            error.to_string().contains("not supported by this version yet"),
            "{error}"
        );
        assert_eq!(error.code(), "not_supported");
    }

    #[test]
    fn what_cannot_be_reached_is_refused() {
        for text in [
            "",
            "modbus+tcp://",
            "modbus+tcp://:502",
            "modbus+tcp://host:0",
            "modbus+tcp://host:70000",
            "modbus+tcp://user@host",
            "modbus+tcp://user:pw@host",
            "modbus+tcp://host/path",
            "modbus+tcp://host?unit=1",
            "modbus+tcp://ho%20st",
            "modbus+tcp://ho%00st",
            "modbus+tcp://[::1",
            "modbus+rtu+tcp://gateway",
            "modbus+rtu://",
            "p1://",
            "p1+tcp://gateway",
            "p1+tcp://gateway:23/path",
            "p1+http://",
            "p1+http://host?x=1",
            "p1+http://user@host",
        ] {
            assert!(
                matches!(parse(text), Err(EndpointError::Malformed { .. })),
                "{text}: {:?}",
                parse(text)
            );
        }
    }
}
