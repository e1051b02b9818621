//! Where a broker is. Pure.

use std::fmt;

use url::{Host, Url};

/// What the path of a broker's WebSocket usually is.
const USUAL_PATH: &str = "/mqtt";

/// A broker's address, without the password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Whether it is encrypted.
    pub secure: bool,
    /// The path of its WebSocket, where it is one.
    pub websocket: Option<String>,
    /// Name or address of the machine; an IPv6 address without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The user of the URL.
    pub user: Option<String>,
}

/// Which MQTT is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// MQTT 5.
    V5,
    /// MQTT 3.1.1, whose number on the wire is 4.
    V4,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Version::V5 => "MQTT 5",
            Version::V4 => "MQTT 3.1.1",
        })
    }
}

impl Server {
    /// Reads a URL.
    ///
    /// # Errors
    /// Says what is wrong with it, and what to write. The URL itself is not repeated: somebody may have put a password
    /// into it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let usual = "write a broker's URL such as \"mqtt://user@broker:1883\"";
        let (scheme, rest) = text.split_once("://").ok_or_else(|| usual.to_owned())?;
        let (secure, websocket) = match scheme {
            "mqtt" => (false, false),
            "mqtts" => (true, false),
            "ws" => (false, true),
            "wss" => (true, true),
            _ => {
                return Err(
                    "a broker's URL begins with mqtt://, mqtts:// (encrypted), ws:// or wss:// (WebSocket)"
                        .to_owned(),
                );
            }
        };
        // The rules of this scheme: a host must be there, and its name is one of the Internet.
        let http = if secure { "https" } else { "http" };
        let url = Url::parse(&format!("{http}://{rest}")).map_err(|e| format!("{e}; {usual}"))?;
        if url.password().is_some() {
            return Err(
                "a password in the URL would be seen by everyone who reads this file: put it into the environment \
                 (BUSBAR_MQTT_PASSWORD) or into a file of its own (password_file), and change it at the broker"
                    .to_owned(),
            );
        }
        let has_path = !matches!(url.path(), "" | "/");
        if url.query().is_some() || url.fragment().is_some() || (has_path && !websocket) {
            return Err(format!("nothing stands behind host and port; {usual}"));
        }
        let host = match url.host() {
            Some(Host::Domain(name)) => name.to_owned(),
            Some(Host::Ipv4(address)) => address.to_string(),
            Some(Host::Ipv6(address)) => address.to_string(),
            None => return Err(format!("there is no host; {usual}")),
        };
        let user = percent_encoding::percent_decode_str(url.username())
            .decode_utf8()
            .map_err(|_| "the user is not UTF-8".to_owned())?;
        let usual_port = match (websocket, secure) {
            (false, false) => 1883,
            (false, true) => 8883,
            (true, false) => 80,
            (true, true) => 443,
        };
        // `Url` leaves out the port that is usual for HTTP: what was typed tells.
        let typed = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
        let typed = typed.split(['/', '?', '#']).next().unwrap_or_default();
        let named = typed.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        let port = url
            .port()
            .or(named.filter(|_| !typed.ends_with(']')))
            .unwrap_or(usual_port);
        if port == 0 {
            return Err(format!("port 0 is none; {usual}"));
        }
        Ok(Server {
            secure,
            websocket: websocket.then(|| if has_path { url.path() } else { USUAL_PATH }.to_owned()),
            host,
            port,
            user: (!user.is_empty()).then(|| user.into_owned()),
        })
    }

    /// What its URL begins with.
    pub fn scheme(&self) -> &'static str {
        match (self.websocket.is_some(), self.secure) {
            (false, false) => "mqtt",
            (false, true) => "mqtts",
            (true, false) => "ws",
            (true, true) => "wss",
        }
    }

    /// The host as URLs have it.
    fn shown_host(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]", self.host),
            false => self.host.clone(),
        }
    }
}

impl fmt::Display for Server {
    /// The URL, without user and password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", self.scheme(), self.shown_host(), self.port)?;
        f.write_str(self.websocket.as_deref().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scheme_has_its_port() {
        for (text, shown) in [
            ("mqtt://broker", "mqtt://broker:1883"),
            ("mqtt://broker:80", "mqtt://broker:80"),
            ("mqtt://broker/", "mqtt://broker:1883"),
            ("mqtts://broker", "mqtts://broker:8883"),
            ("mqtts://broker:443", "mqtts://broker:443"),
            ("ws://broker", "ws://broker:80/mqtt"),
            ("wss://broker:9001/x", "wss://broker:9001/x"),
            ("mqtt://me@[::1]", "mqtt://[::1]:1883"),
            ("mqtt://[::1]:1884", "mqtt://[::1]:1884"),
        ] {
            assert_eq!(Server::parse(text).unwrap().to_string(), shown, "{text}");
        }
        assert_eq!(
            Server::parse("mqtt://m%40e@b").unwrap().user.as_deref(),
            Some("m@e")
        );
        assert_eq!(Server::parse("mqtt://[::1]").unwrap().host, "::1");
    }

    #[test]
    fn what_is_wrong_is_said_without_a_password() {
        for text in [
            "broker",
            "tcp://b",
            "mqtt://",
            "mqtt://b/x",
            "mqtt://b?x",
            "mqtt://b:0",
            "mqtt://b:99999",
            "mqtt://me:secret@b",
        ] {
            let fault = Server::parse(text).unwrap_err();
            assert!(!fault.contains("secret"), "{fault}");
        }
    }
}
