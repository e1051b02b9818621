//! Meters and inverters that need no code for Busbar: ledgers only.
//!
//! A file put beside the others of its maker below `ledgers` and named in the list below is in the program; a test
//! compares the two.
#![forbid(unsafe_code)]

use busbar_plugin_sdk::{Description, Plugin};

macro_rules! ledgers {
    ($($maker:literal: [$($model:literal),* $(,)?]),* $(,)?) => {
        &[$($((
            concat!($maker, "/", $model, ".toml"),
            include_str!(concat!("../../../ledgers/", $maker, "/", $model, ".toml")),
        )),*),*]
    };
}

/// File name and text of each ledger.
const LEDGERS: &[(&str, &str)] = ledgers![
    "abb": ["b21", "b23"],
    "carlo-gavazzi": ["em24", "em340", "em540"],
    "eastron": ["sdm120", "sdm230", "sdm630"],
    "generic": ["demo-meter"],
    "huawei": ["sun2000"],
    "janitza": ["umg"],
    "schneider": ["pm8000"],
    "shelly": ["pro-3em"],
    "siemens": ["pac2200"],
    "sma": ["inverter"],
    "sungrow": ["sh"],
];

/// Brings the ledgers of every maker above.
#[derive(Default)]
pub struct Generic;

impl Plugin for Generic {
    const NAME: &'static str = "generic";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");

    fn describe(&self) -> Description {
        Description {
            title: "Meters and inverters",
            summary: "Ledgers of devices that need no code",
            licence: env!("CARGO_PKG_LICENSE"),
            ledgers: LEDGERS.to_vec(),
            discovers: false,
            ..Description::default()
        }
    }
}

busbar_plugin_sdk::export!(Generic);

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    /// All ledgers that lie beside one that is brought.
    fn beside_them() -> BTreeSet<String> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ledgers");
        let makers: BTreeSet<&str> = LEDGERS
            .iter()
            .filter_map(|(file, _)| file.split('/').next())
            .collect();
        let of = |maker: &str| {
            let files = root.join(maker).read_dir().unwrap();
            let names = files.map(|entry| entry.unwrap().file_name().into_string().unwrap());
            names
                .filter(|name| name.ends_with(".toml") && !name.ends_with(".sample.toml"))
                .map(|name| format!("{maker}/{name}"))
                .collect::<Vec<_>>()
        };
        makers.into_iter().flat_map(of).collect()
    }

    #[test]
    fn brings_every_ledger_of_its_makers() {
        let brought: BTreeSet<String> = LEDGERS.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(brought, beside_them());
        assert_eq!(brought.len(), LEDGERS.len(), "a ledger is named twice");
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
