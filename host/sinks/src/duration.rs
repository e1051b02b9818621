//! Durations as people write them: `500ms`, `5s`, `10m`, `1h`, `2d`.

use std::time::Duration;

const UNITS: [(&str, u64); 5] = [
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];

/// Reads a duration. A number without a unit is refused: nobody should have to guess whether it is seconds.
///
/// # Errors
/// Says what to write when the text is no duration, is zero, or is longer than a year.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let fault = || format!("`{text}` is no time: write a number and its unit, such as 500ms, 5s, 10m or 1h");
    let text = text.trim();
    let bare = || match text.is_empty() {
        true => fault(),
        false => format!(
            "`{text}` is no time: did you mean {text}s? Write a number and its unit, such as 500ms, 5s or 10m"
        ),
    };
    let split = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(bare)?;
    let (number, unit) = text.split_at(split);
    let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(fault)?;
    let ms = number
        .parse::<u64>()
        .ok()
        .and_then(|n| n.checked_mul(*factor))
        .ok_or_else(fault)?;
    if ms == 0 || ms > 366 * 86_400_000 {
        return Err(format!(
            "`{text}` is out of range: write more than 0 and at most a year"
        ));
    }
    Ok(Duration::from_millis(ms))
}

/// Writes a duration the way [`parse_duration`] reads it, in the largest unit that is exact.
pub fn format_duration(duration: Duration) -> String {
    let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let (name, factor) = UNITS
        .iter()
        .rev()
        .find(|(_, f)| ms >= *f && ms.is_multiple_of(*f))
        .unwrap_or(&UNITS[0]);
    format!("{}{name}", ms / factor)
}

/// For `#[serde(with)]` on an optional key.
pub mod optional {
    use super::*;
    use serde::{Deserialize, Deserializer, de::Error};

    /// Reads it.
    ///
    /// # Errors
    /// As [`parse_duration`].
    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Duration>, D::Error> {
        parse_duration(&String::deserialize(d)?)
            .map(Some)
            .map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        for text in ["500ms", "5s", "10m", "1h", "2d", "1500ms"] {
            assert_eq!(format_duration(parse_duration(text).unwrap()), text);
        }
    }

    #[test]
    fn refuses_what_could_be_misread() {
        for text in ["5", "", "s", "-5s", "5 s", "0s", "9999999d", "1.5s"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}
