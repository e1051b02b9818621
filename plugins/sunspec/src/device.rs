//! From a list of models to devices: each common model begins one.

use busbar_plugin_sdk::Found;

use crate::compose::compose;
use crate::models::{COMMON, Model, Models};
use crate::text::{clean, slug};
use crate::walk::{Entry, List, Words};

/// What a device says of itself in the common model, and what it is made of.
pub(crate) struct Device<'a> {
    pub(crate) manufacturer: String,
    pub(crate) model: String,
    pub(crate) version: String,
    pub(crate) serial: String,
    /// Where it lies, when it can be compared as it lies there.
    pub(crate) serial_at: Option<u16>,
    pub(crate) entries: &'a [Entry],
    pub(crate) words: &'a Words,
}

/// Families, what is most of a device first.
const FAMILIES: [&str; 5] = ["inverter", "der", "meter", "battery", "weather"];

impl<'a> Device<'a> {
    fn new(entries: &'a [Entry], words: &'a Words) -> Device<'a> {
        let common = entries.first().filter(|entry| entry.id == COMMON);
        // Offsets of the common model, from its id register.
        let text = |offset: u16, count: u16| {
            let Some(entry) = common.filter(|entry| offset + count <= entry.length + 2) else {
                return String::new();
            };
            let from = u32::from(entry.at) + u32::from(offset);
            let addresses = (from..from + u32::from(count)).map_while(|at| u16::try_from(at).ok());
            clean(addresses.map_while(|at| words.get(&at).copied()))
        };
        // Zeros are no serial number: they tell no two devices apart.
        let serial = Some(text(50, 16)).filter(|s| s.chars().any(|c| c.is_ascii_alphanumeric() && c != '0'));
        let serial_at = common
            .filter(|_| serial.is_some())
            .and_then(|entry| entry.at.checked_add(50))
            .filter(|at| is_plain(*at, words));
        Device {
            manufacturer: text(2, 16),
            model: text(18, 16),
            version: text(42, 8),
            serial: serial.unwrap_or_default(),
            serial_at,
            entries,
            words,
        }
    }

    /// The model that says what the device is.
    pub(crate) fn main(&self) -> Option<&'static Model> {
        let known = || {
            self.entries
                .iter()
                .filter_map(|entry| Some(Models::known().get(entry.id)?.0))
        };
        FAMILIES
            .iter()
            .find_map(|family| known().find(|model| model.family == *family))
    }

    /// The ledger's name.
    pub(crate) fn ledger(&self) -> String {
        format!("sunspec/{}", self.main().map_or("device", |model| model.kind))
    }

    /// What people call it.
    pub(crate) fn title(&self) -> String {
        let kind = self.main().map_or("SunSpec device", |model| model.title);
        match (self.manufacturer.as_str(), self.model.as_str()) {
            ("", "") => kind.to_owned(),
            (maker, "") => format!("{maker} {}", kind.to_lowercase()),
            ("", model) => model.to_owned(),
            (maker, model) if model.to_lowercase().starts_with(&maker.to_lowercase()) => model.to_owned(),
            (maker, model) => format!("{maker} {model}"),
        }
    }

    /// The device as the host takes it; `number` counts the devices of one unit.
    fn found(&self, unit: u8, number: usize) -> Found {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let what = [&self.model, &self.manufacturer]
            .into_iter()
            .map(|text| slug(text))
            .find(|text| !text.is_empty())
            .unwrap_or_else(|| "sunspec".to_owned());
        let serial = slug(&self.serial);
        let id = match (serial.as_str(), number) {
            ("", 0) => format!("{what}_u{unit}"),
            ("", number) => format!("{what}_u{unit}_{}", number + 1),
            (serial, _) => format!("{what}_{serial}"),
        };
        Found {
            unit,
            ledger: self.ledger(),
            id,
            name: None,
            model: some(&self.model),
            // One that no id can be made of tells no two devices apart.
            serial: some(&self.serial).filter(|_| !serial.is_empty()),
            firmware: some(&self.version),
            ledger_text: Some(compose(self)),
        }
    }
}

/// Whether the text in the 16 registers from `at` is shown as it lies there.
fn is_plain(at: u16, words: &Words) -> bool {
    let run = words.range(at..=at.saturating_add(15));
    let mut bytes = run
        .flat_map(|(_, word)| word.to_be_bytes())
        .take_while(|byte| *byte != 0);
    bytes.all(|byte| matches!(byte, b' '..=b'~'))
}

/// The devices of a list.
pub(crate) fn devices(unit: u8, list: &List, words: &Words) -> Vec<Found> {
    parts(list)
        .enumerate()
        .map(|(number, entries)| Device::new(entries, words).found(unit, number))
        .collect()
}

/// A list cut before each common model but the first.
fn parts(list: &List) -> impl Iterator<Item = &[Entry]> {
    list.entries
        .chunk_by(|_, next| next.id != COMMON)
        .filter(|entries| !entries.is_empty())
}

/// Whether this is a Fronius, whose meters are at other units.
pub(crate) fn is_fronius(list: &List, words: &Words) -> bool {
    Device::new(&list.entries, words)
        .manufacturer
        .to_lowercase()
        .starts_with("fronius")
}

/// What the owner should know of a list.
pub(crate) fn note(unit: u8, list: &List) -> Option<String> {
    let ids = |known: bool| -> Vec<String> {
        let mut ids: Vec<u16> = list
            .entries
            .iter()
            .map(|entry| entry.id)
            .filter(|id| Models::known().get(*id).is_some() == known)
            .collect();
        ids.sort_unstable();
        ids.dedup();
        ids.iter().take(20).map(u16::to_string).collect()
    };
    let mut note = format!("SunSpec at unit {unit}: models {}", ids(true).join(", "));
    let unknown = ids(false);
    if !unknown.is_empty() {
        note += &format!("; not read: {}", unknown.join(", "));
    }
    if let Some(why) = &list.broken {
        note += &format!("; the list breaks off: {why}");
    }
    Some(note + ".")
}
