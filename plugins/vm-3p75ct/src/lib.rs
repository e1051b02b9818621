//! Victron's energy meters on Modbus/UDP: the VM-3P75CT, its sister VM-3P5A, and the P1Link. Their ledgers say it all;
//! no code is needed.
#![forbid(unsafe_code)]

use busbar_plugin_sdk::{Description, Plugin};

/// File name and text of each ledger.
const LEDGERS: &[(&str, &str)] = &[
    (
        "victron/p1link.toml",
        include_str!("../../../ledgers/victron/p1link.toml"),
    ),
    (
        "victron/vm-3p75ct.toml",
        include_str!("../../../ledgers/victron/vm-3p75ct.toml"),
    ),
];

/// Brings the ledgers of Victron's energy meters.
#[derive(Default)]
pub struct Meters;

impl Plugin for Meters {
    const NAME: &'static str = "vm-3p75ct";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");

    fn describe(&self) -> Description {
        Description {
            title: "Victron energy meters",
            summary: "VM-3P75CT, VM-3P5A and P1Link on Modbus/UDP",
            licence: env!("CARGO_PKG_LICENSE"),
            ledgers: LEDGERS.to_vec(),
            discovers: false,
            ..Description::default()
        }
    }
}

busbar_plugin_sdk::export!(Meters);
