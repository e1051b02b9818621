//! The keys of encrypted telegrams, and what else of a meter cannot be heard: from the configuration, a file beside it, or
//! the environment. They are never shown.

use std::fmt;
use std::path::Path;

use crate::config::{Config, ConnectionConfig};
use crate::error::{HostError, Result};

/// The environment variable that holds the key, where no connection of the configuration has one.
pub const KEY: &str = "BUSBAR_P1_KEY";
/// And the one that holds the authentication key.
pub const AUTH_KEY: &str = "BUSBAR_P1_AUTH_KEY";
/// A file with a key is short.
const MOST: u64 = 4096;
/// The widest that standard time is from Greenwich, in minutes.
const WIDEST: i16 = 14 * 60;

/// What telegrams are read with.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Keys {
    /// The encryption key: empty or 16 bytes.
    pub key: Vec<u8>,
    /// The authentication key: empty or 16 bytes.
    pub auth_key: Vec<u8>,
    /// Standard time where the meter stands, in minutes east of Greenwich; `None`: that of Central Europe.
    pub standard_offset: Option<i16>,
}

/// Without the keys.
impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys")
            .field("has_key", &!self.key.is_empty())
            .field("has_auth_key", &!self.auth_key.is_empty())
            .field("standard_offset", &self.standard_offset)
            .finish()
    }
}

impl Keys {
    /// Those of the connection that the configuration has for this URL or under this name, else those of the environment.
    ///
    /// # Errors
    /// A key that is none, or a file that cannot be read.
    pub fn find(config: &Config, url: &str, name: Option<&str>) -> Result<Keys> {
        let same = |c: &&ConnectionConfig| {
            name == Some(c.name.as_str())
                || c.url
                    .parse::<busbar_wire::Endpoint>()
                    .is_ok_and(|endpoint| endpoint.to_string() == url)
        };
        Keys::of(config.connections.iter().find(same))
    }

    /// Those of a connection, what it does not name from the environment.
    ///
    /// # Errors
    /// As [`Keys::find`].
    pub fn of(connection: Option<&ConnectionConfig>) -> Result<Keys> {
        let place = connection.map_or(String::new(), |c| format!("connection \"{}\": ", c.name));
        let fault = |what: String| {
            HostError::failed(
                "config",
                format!("{place}{what}"),
                "A key is 32 hexadecimal digits, as the grid operator gives them: key, key_file or BUSBAR_P1_KEY.",
            )
        };
        let key = match connection.map(|c| (c.key.as_ref(), c.key_file.as_deref())) {
            Some((Some(key), _)) => Some(parse(&key.0).map_err(|e| fault(format!("key {e}")))?),
            Some((None, Some(file))) => Some(from_file(file).map_err(fault)?),
            _ => from_env(KEY).map_err(fault)?,
        };
        let auth_key = match connection.and_then(|c| c.auth_key.as_ref()) {
            Some(key) => Some(parse(&key.0).map_err(|e| fault(format!("auth_key {e}")))?),
            None => from_env(AUTH_KEY).map_err(fault)?,
        };
        let offset = connection.and_then(|c| c.standard_utc_offset.as_deref());
        Ok(Keys {
            key: key.unwrap_or_default(),
            auth_key: auth_key.unwrap_or_default(),
            standard_offset: offset
                .map(|text| {
                    offset_of(text).ok_or_else(|| {
                        fault(format!(
                            "standard_utc_offset is \"{text}\"; write it as \"+01:00\""
                        ))
                    })
                })
                .transpose()?,
        })
    }
}

fn from_env(name: &str) -> Result<Option<Vec<u8>>, String> {
    match std::env::var(name) {
        Ok(text) if !text.trim().is_empty() => parse(&text).map(Some).map_err(|e| format!("{name} {e}")),
        _ => Ok(None),
    }
}

fn from_file(path: &Path) -> Result<Vec<u8>, String> {
    let cannot = |e: std::io::Error| format!("key_file {} cannot be read: {e}", path.display());
    if std::fs::metadata(path).map_err(cannot)?.len() > MOST {
        return Err(format!("key_file {} is too long for a key", path.display()));
    }
    let text = std::fs::read_to_string(path).map_err(cannot)?;
    parse(&text).map_err(|e| format!("key_file {} {e}", path.display()))
}

/// Sixteen bytes; the error does not repeat what was given.
pub fn parse(text: &str) -> Result<Vec<u8>, String> {
    let digits: Option<Vec<u8>> = text
        .chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect();
    match digits {
        Some(digits) if digits.len() == 32 => {
            Ok(digits.chunks(2).map(|pair| pair[0] * 16 + pair[1]).collect())
        }
        Some(digits) => Err(format!("has {} hexadecimal digits instead of 32", digits.len())),
        None => Err("holds something else than hexadecimal digits".to_owned()),
    }
}

/// `+01:00` in minutes.
pub fn offset_of(text: &str) -> Option<i16> {
    let (sign, rest) = match text.as_bytes().first()? {
        b'+' => (1, &text[1..]),
        b'-' => (-1, &text[1..]),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':')?;
    let pair = |text: &str| (text.len() == 2).then(|| text.parse::<u8>().ok()).flatten();
    let minutes = i16::from(pair(hours)?) * 60 + i16::from(pair(minutes).filter(|m| *m < 60)?);
    (minutes <= WIDEST).then_some(sign * minutes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_sixteen_bytes_and_never_shown() {
        let key = parse("000102030405060708090A0b0C0D0e0F\n").unwrap();
        assert_eq!(key, (0..16).collect::<Vec<u8>>());
        for (text, word) in [("", "0 hex"), ("00", "2 hex"), ("zz", "something else")] {
            assert!(parse(text).unwrap_err().contains(word), "{text}");
        }
        let keys = Keys {
            key: vec![0xAB; 16],
            auth_key: vec![0xCD; 16],
            standard_offset: None,
        };
        let shown = format!("{keys:?}");
        assert!(
            !shown.contains("171") && !shown.to_lowercase().contains("ab,"),
            "{shown}"
        );
        assert!(!shown.contains("205"), "{shown}");
    }

    #[test]
    fn an_offset_is_written_as_in_times() {
        assert_eq!(offset_of("+01:00"), Some(60));
        assert_eq!(offset_of("-03:30"), Some(-210));
        assert_eq!(offset_of("+00:00"), Some(0));
        for text in ["", "1", "+1:00", "+01:60", "+15:00", "01:00", "+01", "±01:00"] {
            assert_eq!(offset_of(text), None, "{text}");
        }
    }
}
