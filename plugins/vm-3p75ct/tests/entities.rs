//! Which entities a meter of the family has: by its firmware, its wiring and its model.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail by panicking")]

use std::path::Path;

use busbar_ledger::model::Ledger;

fn ledger(name: &str) -> Ledger {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../ledgers/{name}.toml"));
    let text = std::fs::read_to_string(&file).unwrap();
    busbar_ledger::parse(name, &text).unwrap_or_else(|faults| panic!("{faults}"))
}

#[test]
fn each_firmware_and_wiring_has_exactly_its_entities() {
    assert_eq!(ledger("victron/vm-3p75ct").points.len(), 45);
}
