//! Telegrams of the tests, and what the plugin and its ledgers make of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use busbar_ledger::model::Ledger;
use busbar_ledger::telegram;
use busbar_ledger::value::Reading;
use busbar_plugin_p1::P1;
use busbar_plugin_sdk::{Feed, Found, Heard, Plugin, Telegram};

/// The folder of the telegrams.
pub fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

/// A telegram of the tests, by the name of its file without the ending.
pub fn file(name: &str) -> Vec<u8> {
    let path = data().join(format!("{name}.txt"));
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// All telegrams of text.
pub fn names() -> Vec<String> {
    let mut all = Vec::new();
    for (folder, prefix) in [(data(), ""), (data().join("dsmr-parser"), "dsmr-parser/")] {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|ending| ending == "txt") {
                all.push(format!("{prefix}{}", path.file_stem().unwrap().to_string_lossy()));
            }
        }
    }
    all.sort();
    assert!(all.len() >= 16, "{all:?}");
    all
}

/// The one in Luxembourg's form, encrypted.
pub fn encrypted() -> Vec<u8> {
    let text = std::fs::read_to_string(data().join("lu-encrypted.hex")).unwrap();
    let digits: Vec<u8> = text
        .chars()
        .filter_map(|c| c.to_digit(16))
        .map(|digit| u8::try_from(digit).unwrap())
        .collect();
    digits.chunks(2).map(|pair| pair[0] * 16 + pair[1]).collect()
}

/// Its key.
pub const KEY: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

pub fn feed(bytes: &[u8]) -> Feed<'_> {
    Feed {
        bytes,
        key: &KEY,
        ..Feed::default()
    }
}

pub fn hear(bytes: &[u8]) -> Heard {
    P1.telegram(&feed(bytes))
}

/// The only telegram in these bytes.
pub fn one(bytes: &[u8]) -> Telegram {
    let mut heard = hear(bytes);
    assert_eq!((heard.telegrams.len(), heard.damaged), (1, 0), "{heard:?}");
    heard.telegrams.remove(0)
}

/// All that a stream comes to that arrives in these pieces, as a host hears it.
pub fn in_pieces<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Heard {
    let mut all = Heard::default();
    let mut kept: Vec<u8> = Vec::new();
    for piece in pieces {
        kept.extend_from_slice(piece);
        loop {
            let heard = hear(&kept);
            assert!(heard.consumed <= kept.len());
            kept.drain(..heard.consumed);
            all.telegrams.extend(heard.telegrams);
            all.consumed += heard.consumed;
            all.damaged += heard.damaged;
            all.unchecked += heard.unchecked;
            all.repeated += heard.repeated;
            all.dropped += heard.dropped;
            if heard.consumed == 0 {
                break;
            }
        }
        assert!(kept.len() <= 17 * 1024, "{} bytes are kept", kept.len());
    }
    all
}

/// A device that was found, its ledger, and what a telegram says of it.
pub struct Device {
    pub found: Found,
    pub ledger: Ledger,
    pub readings: Vec<Reading>,
}

impl Device {
    pub fn reading(&self, key: &str) -> &Reading {
        let at = self.ledger.index.get(key);
        &self.readings[*at.unwrap_or_else(|| panic!("{} has no {key}", self.ledger.name))]
    }

    /// The value of a point; none where there is none.
    pub fn value(&self, key: &str) -> Option<String> {
        self.reading(key).value.as_ref().map(ToString::to_string)
    }

    pub fn number(&self, key: &str) -> Option<f64> {
        self.reading(key).value.as_ref()?.as_f64()
    }
}

/// The ledgers that the plugin brings, by name.
pub fn brought() -> BTreeMap<String, Ledger> {
    let ledgers = P1.describe().ledgers;
    let parsed = ledgers.into_iter().map(|(file, text)| {
        let ledger = busbar_ledger::parse(file, text).unwrap_or_else(|e| panic!("{e}"));
        (ledger.name.clone(), ledger)
    });
    parsed.collect()
}

/// The devices in a telegram, each read by its ledger, by unit.
pub fn devices(telegram: &Telegram) -> BTreeMap<u8, Device> {
    let brought = brought();
    let lines = telegram::lines(&telegram.lines);
    assert_eq!(lines.len(), telegram.lines.len(), "every line can be read");
    let read = |found: Found| {
        let ledger = match &found.ledger_text {
            Some(text) => busbar_ledger::parse("made.toml", text).unwrap_or_else(|e| panic!("{e}")),
            None => brought[&found.ledger].clone(),
        };
        assert_eq!(ledger.name, found.ledger);
        let readings = telegram::readings(&ledger, found.unit, &lines);
        let unit = found.unit;
        (
            unit,
            Device {
                found,
                ledger,
                readings,
            },
        )
    };
    P1.recognise(telegram).devices.into_iter().map(read).collect()
}
