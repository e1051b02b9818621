//! Ids come from what a device is, never from where it is or what it is called.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use busbar_ledger::model::Ledger;
use busbar_ledger::value::{Quality, Reading, Value};

use super::FoundDevice;

/// The key of the point that holds the name an owner gave the device.
const OWN_NAME: &str = "custom_name";
/// Places that a message names.
const SHOWN_PLACES: usize = 5;
/// Names from devices are cut here; a screen is not endless.
const MAX_NAME: usize = 64;

/// The id of a device that a ledger recognised: by its serial number, else by the connection it is on.
pub fn device_id(connection_id: &str, unit: u8, ledger: &Ledger, serial: Option<&str>) -> String {
    match serial.map(slug).filter(|s| !s.is_empty()) {
        Some(serial) => format!("{}_{serial}", ledger.model),
        None => format!("{}_u{unit}", slug(connection_id)),
    }
}

/// Leaves one device for each id, and says where the others were: one that answers at many units, several with the same
/// serial number, or several ledgers that fit one place.
pub fn one_of_each(devices: &mut Vec<FoundDevice>) -> Vec<String> {
    let mut first: BTreeMap<String, (String, Vec<String>)> = BTreeMap::new();
    devices.retain(|device| {
        let report = &device.report;
        let place = format!("{} at unit {}", report.ledger, report.unit_id);
        match first.entry(report.id.clone()) {
            Entry::Vacant(free) => {
                free.insert((place, Vec::new()));
                true
            }
            Entry::Occupied(mut taken) => {
                taken.get_mut().1.push(place);
                false
            }
        }
    });
    let twice = first.into_iter().filter(|(_, (_, others))| !others.is_empty());
    twice
        .map(|(id, (kept, others))| {
            let some: Vec<&str> = others.iter().take(SHOWN_PLACES).map(String::as_str).collect();
            let more = match others.len().saturating_sub(SHOWN_PLACES) {
                0 => String::new(),
                n => format!(" and {n} more"),
            };
            format!(
                "{id} was found more than once: {kept} is kept, and not {}{more}. Scan with --units or --ledger to choose.",
                some.join(", ")
            )
        })
        .collect()
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

    #[test]
    fn two_devices_with_one_id_are_told_of() {
        let device = |unit| FoundDevice {
            report: crate::discover::report::DeviceReport {
                id: "m_1".into(),
                ledger: "a/b".into(),
                unit_id: unit,
                name: String::new(),
                model: None,
                serial: Some("1".into()),
                firmware: None,
                entities: Vec::new(),
                added_up: Vec::new(),
            },
            ledger: std::sync::Arc::new(
                busbar_ledger::parse(
                    "t",
                    "ledger = \"a/b\"\ntitle = \"T\"\n[points]\np = { at = 1, type = \"u16\" }\n",
                )
                .unwrap(),
            ),
            ledger_text: None,
            readable: busbar_ledger::ranges::Ranges::default(),
            max_words: 125,
            complete: true,
        };
        let mut devices: Vec<_> = (1..=9).map(device).collect();
        let warnings = one_of_each(&mut devices);
        assert_eq!(devices.len(), 1);
        let [warning] = &warnings[..] else {
            panic!("{warnings:?}")
        };
        assert!(
            warning.contains("unit 1 is kept") && warning.contains("and 3 more"),
            "{warning}"
        );
    }
}
