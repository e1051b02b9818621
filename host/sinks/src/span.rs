//! Spans of time in a sink's configuration: `"10s"`, `"500ms"`, `"1m"`, `"1h"`. Pure.

use std::time::Duration;

/// The longest that a sink may be silent about a value, or wait.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// Reads one; at most a day.
///
/// # Errors
/// What to write instead.
pub fn parse_span(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let ms = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => 0,
    };
    let span = number.parse::<u64>().ok().and_then(|n| n.checked_mul(ms));
    span.filter(|_| ms > 0)
        .map(Duration::from_millis)
        .filter(|span| *span <= LONGEST)
        .ok_or_else(|| {
            format!(
                "{text:?} is no span of time up to a day: write a number and ms, s, m or h, such as \"10s\""
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_has_a_number_and_a_unit() {
        assert_eq!(parse_span("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_span("1h"), Ok(Duration::from_secs(3600)));
        for bad in ["", "5", "s", "-1s", "25h", "1d", "99999999999999999999ms"] {
            assert!(parse_span(bad).is_err(), "{bad}");
        }
    }
}
