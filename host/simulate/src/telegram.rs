//! What a smart meter says: its points as the lines of a telegram, with the sum behind them.

use std::fmt::Write;

use busbar_ledger::model::{Point, Spoken, SpokenType};
use busbar_ledger::value::Value;

use crate::house::Now;
use crate::sheet::Sheet;
use crate::site::Cell;

/// How the meter calls itself.
const IDENT: &str = "BSB5\\SIMULATED";
/// What hangs on a channel is read by the meter this often, in seconds.
const CHANNEL_EVERY: u64 = 300;

/// Whether a point that lies in telegrams can hold this; an error is a sentence.
pub(crate) fn fits(point: &Point, spoken: &Spoken, cell: &Cell) -> Result<(), String> {
    let key = &point.key;
    match (spoken.ty, cell) {
        (_, Cell::Words(_)) => Err(format!("`{key}` lies in telegrams and has no registers")),
        (SpokenType::Number | SpokenType::Integer, Cell::Fixed(Value::Text(_))) => {
            Err(format!("`{key}` is a number, not a text"))
        }
        (SpokenType::Text | SpokenType::Octets, Cell::Fixed(Value::Text(text))) if !plain(text) => {
            Err(format!("`{key}` takes letters and digits"))
        }
        (SpokenType::Text | SpokenType::Octets, Cell::Living(_) | Cell::Fixed(Value::Number(_))) => {
            Err(format!("`{key}` is a text"))
        }
        (SpokenType::Raw, _) => Err(format!("`{key}` is not simulated; take it out")),
        _ => Ok(()),
    }
}

fn plain(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_graphic() && !b"()*!/".contains(&byte))
}

/// The lines of a telegram, by their codes, in the order in which they were added.
#[derive(Debug, Default)]
pub(crate) struct Lines(Vec<(String, Vec<(i8, String)>)>);

impl Lines {
    /// Adds what one unit says. A time of 0 is the present, on a channel that of its last reading.
    pub(crate) fn add(&mut self, unit: u8, sheet: &Sheet, now: &Now<'_>, unix: u64) {
        for (place, point) in sheet.ledger.points.iter().enumerate() {
            let Some(spoken) = point.spoken() else { continue };
            let Some(code) = spoken.codes.first().map(|code| code.at(unit).to_string()) else {
                continue;
            };
            let text = match (sheet.value(place, now), sheet.cell(place)) {
                (Some(value), _) => written(point, spoken, &value, unit, unix),
                (None, Some(Cell::Invalid)) => String::new(),
                (None, _) => continue,
            };
            // The value itself stands last.
            let bracket = spoken.bracket.unwrap_or(i8::MAX);
            let at = self.0.iter().position(|(known, _)| *known == code);
            let at = at.unwrap_or_else(|| {
                self.0.push((code, Vec::new()));
                self.0.len() - 1
            });
            self.0[at].1.push((bracket, text));
        }
    }

    /// The whole telegram; nothing where it has no line.
    pub(crate) fn telegram(mut self) -> Option<String> {
        if self.0.is_empty() {
            return None;
        }
        let mut text = format!("/{IDENT}\r\n\r\n");
        for (code, groups) in &mut self.0 {
            groups.sort_by_key(|(bracket, _)| *bracket);
            text.push_str(code);
            for (_, group) in groups.iter() {
                let _ = write!(text, "({group})");
            }
            text.push_str("\r\n");
        }
        text.push('!');
        let sum = sum(text.as_bytes());
        let _ = write!(text, "{sum:04X}\r\n");
        Some(text)
    }
}

/// What stands in a bracket.
fn written(point: &Point, spoken: &Spoken, value: &Value, unit: u8, unix: u64) -> String {
    let number = value.as_f64().unwrap_or_default();
    match spoken.ty {
        SpokenType::Timestamp => {
            let now = if unit == 0 {
                unix
            } else {
                unix - unix % CHANNEL_EVERY
            };
            time(if number > 0.0 { number as u64 } else { now })
        }
        SpokenType::Text => value.to_string(),
        SpokenType::Octets => value
            .to_string()
            .bytes()
            .map(|byte| format!("{byte:02X}"))
            .collect(),
        SpokenType::Integer => format!("{:05}", number as i64),
        SpokenType::Number | SpokenType::Raw => match point.unit.as_deref() {
            Some(unit @ ("W" | "var" | "VA")) => format!("{:06.3}*k{unit}", number / 1000.0),
            Some(unit @ ("kWh" | "kvarh")) => format!("{number:010.3}*{unit}"),
            Some("m³") => format!("{number:09.3}*m3"),
            Some(unit) => format!("{number:05.1}*{unit}"),
            None => format!("{number:05.3}"),
        },
    }
}

/// A time as meters in Central Europe write it that stay on standard time.
fn time(unix: u64) -> String {
    let local = unix + 3600;
    let (days, seconds) = (local / 86_400, local % 86_400);
    let (mut year, mut left) = (1970, days);
    let is_leap =
        |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    loop {
        let length = if is_leap(year) { 366 } else { 365 };
        if left < length {
            break;
        }
        left -= length;
        year += 1;
    }
    let february = if is_leap(year) { 29 } else { 28 };
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if left < length {
            break;
        }
        left -= length;
        month += 1;
    }
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!(
        "{:02}{month:02}{:02}{hour:02}{minute:02}{second:02}W",
        year % 100,
        left + 1
    )
}

/// CRC-16/ARC.
fn sum(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |sum, &byte| {
        (0..8).fold(sum ^ u16::from(byte), |sum, _| {
            if sum & 1 == 1 {
                (sum >> 1) ^ 0xA001
            } else {
                sum >> 1
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_the_known_one() {
        assert_eq!(sum(b"123456789"), 0xBB3D);
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        for (unix, text) in [
            (1_630_160_693, "210828152453W"),
            (946_684_799, "000101005959W"),
            (1_709_164_800, "240229010000W"),
            (1_709_251_199, "240301005959W"),
        ] {
            assert_eq!(time(unix), text);
        }
    }
}
