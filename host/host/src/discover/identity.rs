//! Ids come from what a device is, never from where it is or what it is called.

use busbar_ledger::model::Ledger;
use busbar_ledger::value::{Quality, Reading, Value};

/// The key of the point that holds the name an owner gave the device.
const OWN_NAME: &str = "custom_name";
/// Names from devices are cut here; a screen is not endless.
const MAX_NAME: usize = 64;

/// The id of a device that a ledger recognised: by its serial number, else by the connection it is on.
pub fn device_id(connection_id: &str, unit: u8, ledger: &Ledger, serial: Option<&str>) -> String {
    match serial.map(slug).filter(|s| !s.is_empty()) {
        Some(serial) => format!("{}_{serial}", ledger.model),
        None => format!("{}_u{unit}", slug(connection_id)),
    }
}

/// Lower-case letters, digits and single underscores: what an id may be made of.
pub fn slug(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.trim().chars() {
        match c.to_ascii_lowercase() {
            c if c.is_ascii_alphanumeric() => out.push(c),
            _ if out.ends_with('_') || out.is_empty() => {}
            _ => out.push('_'),
        }
    }
    out.truncate(MAX_NAME);
    out.trim_end_matches('_').to_owned()
}

/// The name that the owner gave the device, without anything that could disturb a screen.
pub fn own_name(ledger: &Ledger, readings: &[Reading]) -> Option<String> {
    let reading = readings.get(*ledger.index.get(OWN_NAME)?)?;
    let Some(Value::Text(text)) = reading
        .value
        .as_ref()
        .filter(|_| reading.quality == Quality::Good)
    else {
        return None;
    };
    let clean: String = text.chars().filter(|c| !c.is_control()).take(MAX_NAME).collect();
    let clean = clean.trim();
    (!clean.is_empty()).then(|| clean.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_hold_nothing_but_letters_digits_and_underscores() {
        for (text, id) in [
            ("HQ2033ABCDE", "hq2033abcde"),
            ("  a--b  c/", "a_b_c"),
            ("é</script>\0", "script"),
            ("", ""),
        ] {
            assert_eq!(slug(text), id, "{text}");
        }
    }
}
