//! Readings from telegrams: what a meter says by itself, line by line, each line found by its code.
//!
//! The meter itself is unit 0; what hangs on its channels (gas, water, heat) has the channel as its unit, and a ledger of
//! its own, in which `n` in a code stands for the channel.

mod decode;
mod line;
pub mod time;
pub(crate) mod units;

use std::collections::HashMap;

pub use decode::octets;
pub use line::{Group, Line};

use crate::image::Image;
use crate::model::{Ledger, Spoken};
use crate::obis::Obis;
use crate::presence::{self, Verdict};
use crate::readings::{self, Facts};
use crate::value::{Quality, Reading};

/// What a telegram says, for one unit.
#[derive(Clone, Debug)]
pub struct Said<'a> {
    unit: u8,
    standard_offset: i16,
    lines: HashMap<Obis, &'a Line>,
}

impl<'a> Said<'a> {
    /// To the unit of this number. Of two lines with one code the last counts. `standard_offset` is standard time where
    /// the meter stands, in minutes east of Greenwich: that of its ledger ([`crate::model::ReadRules`]), unless the owner
    /// set another.
    pub fn new(unit: u8, lines: &'a [Line], standard_offset: i16) -> Self {
        Said {
            unit,
            standard_offset,
            lines: lines.iter().map(|line| (line.code, line)).collect(),
        }
    }

    /// To a device that is read by this ledger: times are told by the standard time that its owner has set, else by the
    /// ledger's own.
    pub fn of(ledger: &Ledger, unit: u8, lines: &'a [Line], set: Option<i16>) -> Self {
        Said::new(unit, lines, set.unwrap_or(ledger.read.standard_offset))
    }

    /// The line that a point with this unit of measurement is read from: that of its first code that is there. One that
    /// says another kind of quantity under the code (amperes instead of kilowatts) is not it.
    pub fn line(&self, point: &Spoken, unit: Option<&str>) -> Option<&'a Line> {
        let codes = point.codes.iter().map(|code| code.at(self.unit));
        let mut lines = codes.filter_map(|code| self.lines.get(&code).copied());
        lines.find(|line| decode::measures(point, unit, line))
    }

    /// What a point reads, which has this unit of measurement.
    pub(crate) fn reading(&self, point: &Spoken, unit: Option<&str>) -> Reading {
        let Some(line) = self.line(point, unit) else {
            return Reading::unavailable();
        };
        let value = decode::value(point, unit, line, self.standard_offset);
        Reading {
            quality: if value.is_some() {
                Quality::Good
            } else {
                Quality::Invalid
            },
            value,
            ..Reading::unavailable()
        }
    }
}

/// The lines of a telegram, those left out that are none.
pub fn lines<T: AsRef<str>>(texts: &[T]) -> Vec<Line> {
    texts
        .iter()
        .filter_map(|text| Line::parse(text.as_ref()))
        .collect()
}

/// One reading for each point, in the order of `ledger.points`, computed ones included: `unavailable` where the telegram
/// has no line for it, `invalid` where it has one without a value. Times are those of the ledger's standard
/// time.
pub fn readings(ledger: &Ledger, unit: u8, lines: &[Line]) -> Vec<Reading> {
    readings_of(ledger, &Said::of(ledger, unit, lines, None))
}

/// The same where another standard time was set, or where verdicts are asked for, too.
pub fn readings_of(ledger: &Ledger, said: &Said<'_>) -> Vec<Reading> {
    let facts = Facts {
        said: Some(said),
        ..Facts::default()
    };
    readings::readings(ledger, &Image::default(), &facts)
}

/// One verdict for each point, in the order of `ledger.points`: present where the telegram has a line for it, else absent.
pub fn verdicts(ledger: &Ledger, said: &Said<'_>) -> Vec<Verdict> {
    let facts = Facts {
        said: Some(said),
        ..Facts::default()
    };
    presence::verdicts(ledger, &readings_of(ledger, said), &facts, &|_| false)
}

#[cfg(test)]
mod tests;
