//! How a simulated device deviates from an ideal one.

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
    /// Whether it knows no function 4, where its ledger leaves open by which function it is read.
    pub holding_only: bool,
    /// Whether registers that the ledger knows and this device lacks read 0; else they are refused.
    pub zeros: bool,
    /// Connections served at once; more are accepted and closed.
    pub connections: usize,
    /// How fast the serial line behind an RTU gateway is; `None` for as fast as its socket. A serial line's own is
    /// in its URL.
    pub baud: Option<u32>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            delay: Duration::ZERO,
            shuffle: false,
            drop: Vec::new(),
            hide: Vec::new(),
            writes: true,
            holding_only: false,
            zeros: false,
            connections: 32,
            baud: None,
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
