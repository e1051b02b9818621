//! How a simulated device deviates from an ideal one, and where it listens.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

/// How a device deviates from an ideal one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// How long an answer takes.
    pub delay: Duration,
    /// Whether answers to pipelined requests come in another order than asked; `delay` then varies around itself.
    pub shuffle: bool,
    /// Registers that this device's firmware lacks, by their first address.
    pub drop: Vec<RangeInclusive<u16>>,
    /// Services that do not answer at a unit; without a name all of them.
    pub hide: Vec<(Option<String>, u8)>,
    /// Whether writes are switched on.
    pub writes: bool,
    /// Connections served at once; more are accepted and closed.
    pub connections: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            delay: Duration::ZERO,
            shuffle: false,
            drop: Vec::new(),
            hide: Vec::new(),
            writes: true,
            connections: 32,
        }
    }
}

impl Options {
    /// Whether the firmware lacks the register that begins at `at`.
    pub(crate) fn drops(&self, at: u16) -> bool {
        self.drop.iter().any(|range| range.contains(&at))
    }

    /// Whether this service does not answer at this unit.
    pub(crate) fn hides(&self, service: &str, unit: u8) -> bool {
        self.hide
            .iter()
            .any(|(name, at)| *at == unit && name.as_deref().is_none_or(|name| name == service))
    }
}

/// A range of addresses, from `"1320-1330"` or `"830"`.
pub(crate) fn range(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    (first <= last).then_some(first..=last)
}

/// A service at a unit, from `"vebus@227"` or `"@227"`.
pub(crate) fn hidden(text: &str) -> Option<(Option<String>, u8)> {
    let (service, unit) = text.split_once('@')?;
    Some((
        (!service.is_empty()).then(|| service.to_owned()),
        unit.parse().ok()?,
    ))
}

/// Where a device listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listen {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Listen {
    pub(crate) fn parse(url: &str) -> Result<Self, String> {
        let wrong = || {
            format!("cannot listen on `{url}`; write modbus+tcp://127.0.0.1:1502, or port 0 for any free one")
        };
        let rest = url.strip_prefix("modbus+tcp://").ok_or_else(wrong)?;
        let (host, port) = match rest.trim_end_matches('/').rsplit_once(':') {
            Some((host, port)) => (host, port.parse().map_err(|_| wrong())?),
            None => (rest.trim_end_matches('/'), 502),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return Err(wrong());
        }
        Ok(Listen {
            host: host.to_owned(),
            port,
        })
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "modbus+tcp://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "modbus+tcp://{}:{}", self.host, self.port)
        }
    }
}
