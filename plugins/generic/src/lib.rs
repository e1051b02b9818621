//! Meters that need no code for Busbar: ledgers only.
//!
//! A file put into `ledgers/generic` and named in the list below is in the program; a test compares the two.
#![forbid(unsafe_code)]

use busbar_plugin_sdk::{Description, Plugin};

macro_rules! ledgers {
    ($($name:literal),* $(,)?) => {
        &[$((concat!("generic/", $name, ".toml"), include_str!(concat!("../../../ledgers/generic/", $name, ".toml")))),*]
    };
}

/// File name and text of each ledger.
const LEDGERS: &[(&str, &str)] = ledgers!["demo-meter"];

/// Brings every ledger of `ledgers/generic`.
#[derive(Default)]
pub struct Generic;

impl Plugin for Generic {
    const NAME: &'static str = "generic";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");

    fn describe(&self) -> Description {
        Description {
            title: "Generic meters",
            summary: "Ledgers of meters that need no code",
            licence: env!("CARGO_PKG_LICENSE"),
            ledgers: LEDGERS.to_vec(),
            discovers: false,
        }
    }
}

busbar_plugin_sdk::export!(Generic);

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn brings_every_ledger_of_its_directory() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ledgers/generic");
        let names = dir
            .read_dir()
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut expected: Vec<_> = names
            .filter(|name| name.ends_with(".toml") && !name.ends_with(".sample.toml"))
            .map(|name| format!("generic/{name}"))
            .collect();
        expected.sort();
        assert_eq!(
            LEDGERS.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
            expected
        );
    }

    #[test]
    fn its_ledgers_are_valid() {
        for (name, text) in Generic.describe().ledgers {
            if let Err(diagnostics) = busbar_ledger::parse(name, text) {
                panic!("{diagnostics}");
            }
        }
    }
}
