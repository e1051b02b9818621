//! Where a device is reached, written as a URL.

use std::fmt;
use std::str::FromStr;

use percent_encoding::percent_decode_str;
use url::{Host, Url};

/// Every scheme that Busbar's contract names, and whether this version speaks it.
const SCHEMES: [(&str, bool); 7] = [
    ("modbus+tcp", true),
    ("modbus+udp", false),
    ("modbus+rtu", false),
    ("modbus+rtu+tcp", false),
    ("p1", false),
    ("p1+tcp", false),
    ("openhab+http", false),
];

/// The port of Modbus TCP, assigned by IANA.
const MODBUS_PORT: u16 = 502;

/// One place where devices are reached: `modbus+tcp://HOST[:502]`.
///
/// Two spellings of one place compare equal; `Display` gives the one canonical spelling, port included.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    host: String,
    port: u16,
}

/// Why a text is not an endpoint. The message says what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// No scheme at all, so it is not known what is spoken there.
    #[error("`{text}` does not say what is spoken there; write modbus+tcp://{text}")]
    NoScheme {
        /// What was given.
        text: String,
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
    #[error("{scheme} is not supported by this version yet; modbus+tcp is")]
    NotYet {
        /// The scheme.
        scheme: &'static str,
    },
    /// The rest of the URL does not name a host and a port.
    #[error("`{text}`: {reason}; write modbus+tcp://HOST or modbus+tcp://HOST:PORT")]
    Malformed {
        /// What was given.
        text: String,
        /// What is wrong with it.
        reason: String,
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
            EndpointError::NoScheme { text } => format!("try modbus+tcp://{text}"),
            EndpointError::UnknownScheme { nearest, .. } => format!("try {nearest}://HOST"),
            EndpointError::NotYet { .. } => {
                "if the device also speaks Modbus TCP, give modbus+tcp://HOST".to_owned()
            }
            EndpointError::Malformed { .. } => "an example: modbus+tcp://192.168.1.20:502".to_owned(),
        }
    }
}

impl Endpoint {
    /// The scheme of its URL.
    pub fn scheme(&self) -> &'static str {
        "modbus+tcp"
    }

    /// The host: a name, an IPv4 address, or an IPv6 address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The TCP port; never 0.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "modbus+tcp://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "modbus+tcp://{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let text = text.trim();
        let malformed = |reason: &str| EndpointError::Malformed {
            text: text.to_owned(),
            reason: reason.to_owned(),
        };
        if text.is_empty() {
            return Err(malformed("an empty URL"));
        }
        let Some((scheme, _)) = text.split_once("://") else {
            return Err(EndpointError::NoScheme {
                text: text.to_owned(),
            });
        };
        let scheme = scheme.to_ascii_lowercase();
        match SCHEMES.iter().find(|(known, _)| *known == scheme) {
            Some((_, true)) => {}
            Some((scheme, false)) => return Err(EndpointError::NotYet { scheme }),
            None => {
                return Err(EndpointError::UnknownScheme {
                    nearest: nearest(&scheme),
                    scheme,
                });
            }
        }

        let url = Url::parse(text).map_err(|error| malformed(&error.to_string()))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(malformed("Modbus TCP has no user name or password"));
        }
        if !matches!(url.path(), "" | "/") {
            return Err(malformed(
                "a path has no meaning here (choose units with an option)",
            ));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(malformed("`?` and `#` have no meaning here"));
        }
        let host = match url.host() {
            None => return Err(malformed("the host is missing")),
            Some(Host::Ipv4(address)) => address.to_string(),
            Some(Host::Ipv6(address)) => address.to_string(),
            Some(Host::Domain(name)) => {
                host_name(name).ok_or_else(|| malformed("this is not a host name"))?
            }
        };
        let port = url.port().unwrap_or(MODBUS_PORT);
        if port == 0 {
            return Err(malformed("port 0 cannot be reached"));
        }
        Ok(Endpoint { host, port })
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
    let mut best = ("modbus+tcp", 0.0);
    for (known, _) in SCHEMES {
        // `tcp`, `modbus-tcp` and `mbtcp` all mean the scheme whose last part they name.
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
        assert_eq!((endpoint.host(), endpoint.port()), ("::1", 5020));
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
    }

    #[test]
    fn an_unknown_scheme_is_told_the_nearest() {
        for (given, meant) in [
            ("modbus-tcp", "modbus+tcp"),
            ("tcp", "modbus+tcp"),
            ("modbus", "modbus+tcp"),
            ("udp", "modbus+udp"),
            ("modbus+rtus", "modbus+rtu"),
            ("http", "openhab+http"),
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
        for text in [
            "modbus+udp://meter:502",
            "modbus+rtu:///dev/ttyUSB0?baud=9600&parity=none",
            "modbus+rtu+tcp://host:4001",
            "p1:///dev/ttyUSB0",
            "p1+tcp://host:23",
            "openhab+http://host:8080",
        ] {
            let error = parse(text).unwrap_err();
            assert!(
                error.to_string().contains("not supported by this version yet"),
                "{error}"
            );
            assert_eq!(error.code(), "not_supported");
        }
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
        ] {
            assert!(
                matches!(parse(text), Err(EndpointError::Malformed { .. })),
                "{text}: {:?}",
                parse(text)
            );
        }
    }
}
