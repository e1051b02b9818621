//! Values as people read them.

use busbar_ledger::value::{Quality, Value};

/// A value with its unit, or what is known instead of one.
pub fn value(value: Option<&Value>, label: Option<&str>, unit: Option<&str>, quality: Quality) -> String {
    let Some(value) = value else {
        return match quality {
            Quality::Invalid => "no value".to_owned(),
            _ => "–".to_owned(),
        };
    };
    let number = match (value, label) {
        // What stands for an unlisted number names it already.
        (Value::Integer(n), Some(label)) if label.contains(&n.to_string()) => visible(label),
        (Value::Integer(n), Some(label)) => format!("{} ({n})", visible(label)),
        (Value::Text(text), _) if text.is_empty() => "(empty)".to_owned(),
        (Value::Text(text), _) => visible(text),
        (Value::Number(n), _) => short(*n),
        (Value::Integer(n), None) => n.to_string(),
    };
    match unit {
        Some(unit) => format!("{number} {unit}"),
        None => number,
    }
}

/// A number without the noise of binary fractions.
fn short(n: f64) -> String {
    // What is not 0 must not look like it, and nobody counts thirty digits.
    if n != 0.0 && !(5e-5..1e15).contains(&n.abs()) {
        return format!("{n:.3e}");
    }
    let text = format!("{n:.4}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text.is_empty() || text == "-0" {
        "0".to_owned()
    } else {
        text.to_owned()
    }
}

/// `1 device`, `2 devices`.
pub fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// Bytes as people read them.
pub fn size(bytes: u64) -> String {
    match bytes >> 10 {
        kb @ 0..=999 => format!("{} kB", kb.max(1)),
        kb @ 1_000..=10_239 => format!("{:.1} MB", kb as f64 / 1024.0),
        kb @ 10_240..=10_239_999 => format!("{} MB", kb >> 10),
        kb => format!("{} GB", kb >> 20),
    }
}

/// How long ago, in one unit.
pub fn age(ms: i64) -> String {
    let s = ms.max(0) / 1000;
    match s {
        0..=119 => format!("{s} s"),
        120..=7_199 => format!("{} min", s / 60),
        7_200..=172_799 => format!("{} h", s / 3_600),
        _ => format!("{} d", s / 86_400),
    }
}

/// Text from a device, a file or a peer, harmless on a terminal: control characters are shown, not obeyed. Line breaks
/// stay, for messages that quote a file.
pub fn visible(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' => '\n'.to_string(),
            '\t' => ' '.to_string(),
            c if c.is_control() || is_bidi(c) => c.escape_unicode().to_string(),
            c => c.to_string(),
        })
        .collect()
}

/// Characters that change the direction of text and so could make one thing look like another.
fn is_bidi(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_read_like_values() {
        let good = Quality::Good;
        assert_eq!(
            value(Some(&Value::Number(52.300_000_1)), None, Some("V"), good),
            "52.3 V"
        );
        assert_eq!(
            value(Some(&Value::Integer(3)), Some("Bulk"), None, good),
            "Bulk (3)"
        );
        assert_eq!(value(Some(&Value::Number(-0.0)), None, None, good), "0");
        assert_eq!(
            value(Some(&Value::Number(-1e-39)), None, None, good),
            "-1.000e-39"
        );
        assert_eq!(value(None, None, Some("V"), Quality::Invalid), "no value");
        assert_eq!(age(90_000), "90 s");
        assert_eq!(age(3_600_000), "60 min");
    }

    #[test]
    fn text_from_outside_cannot_move_the_cursor() {
        assert_eq!(visible("a\x1b[2Jb\u{202e}c"), "a\\u{1b}[2Jb\\u{202e}c");
        assert_eq!(visible("line 1\nline 2"), "line 1\nline 2");
    }
}
