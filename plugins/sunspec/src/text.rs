//! Texts that a device sends, made harmless.

/// The longest text of a device that is shown.
const MAX: usize = 64;

/// The text in registers: two characters each, up to the first NUL, nothing that could disturb a screen or a file.
pub(crate) fn clean(words: impl Iterator<Item = u16>) -> String {
    let bytes: Vec<u8> = words
        .flat_map(u16::to_be_bytes)
        .take_while(|byte| *byte != 0)
        .collect();
    let text: String = String::from_utf8_lossy(&bytes)
        .chars()
        .filter(|c| !c.is_control() && *c != char::REPLACEMENT_CHARACTER)
        .take(MAX)
        .collect();
    text.trim().to_owned()
}

/// Lower-case letters, digits and single underscores: what an id may be made of.
pub(crate) fn slug(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c.to_ascii_lowercase() {
            c if c.is_ascii_alphanumeric() => out.push(c),
            _ if out.ends_with('_') || out.is_empty() => {}
            _ => out.push('_'),
        }
    }
    out.trim_end_matches('_').to_owned()
}

/// A text without control characters as a TOML string.
pub(crate) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_s_text_cannot_leave_its_place() {
        let words = |text: &str| -> Vec<u16> {
            let mut bytes = text.as_bytes().to_vec();
            bytes.resize(bytes.len().next_multiple_of(2), 0);
            bytes
                .chunks(2)
                .map(|b| u16::from_be_bytes([b[0], b[1]]))
                .collect()
        };
        assert_eq!(clean(words("  Symo 8.2-3-M \0junk").into_iter()), "Symo 8.2-3-M");
        let evil = clean(words("a\"\\\n[points]\u{1b}[2J").into_iter());
        assert_eq!(evil, "a\"\\[points][2J");
        assert_eq!(quoted(&evil), "\"a\\\"\\\\[points][2J\"");
        assert_eq!(clean([0xFFFF, 0xFFFE].into_iter()), "");
        assert_eq!(slug("Symo 8.2-3-M"), "symo_8_2_3_m");
        assert_eq!(slug("../é"), "");
    }
}
