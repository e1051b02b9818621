//! Meters that need no code for Busbar: ledgers only.
#![forbid(unsafe_code)]

use busbar_plugin_sdk::{Description, Plugin};

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
            ledgers: vec![],
            discovers: false,
        }
    }
}

busbar_plugin_sdk::export!(Generic);
