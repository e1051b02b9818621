//! The ledgers that ship: each must be accepted.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail by panicking")]

use std::path::{Path, PathBuf};

/// All ledgers of the repository; not their samples, and not the tables of facts, which have no `ledger` key.
fn ledgers() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ledgers");
    let mut all = Vec::new();
    for maker in std::fs::read_dir(root).unwrap() {
        let maker = maker.unwrap().path();
        if !maker.is_dir() {
            continue;
        }
        for file in std::fs::read_dir(maker).unwrap() {
            let path = file.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            let is_ledger = text.lines().any(|l| l.starts_with("ledger"))
                && path.extension().is_some_and(|e| e == "toml")
                && !path.to_string_lossy().ends_with(".sample.toml");
            if is_ledger {
                all.push((path, text));
            }
        }
    }
    assert!(all.len() >= 33, "found only {}", all.len());
    all
}

#[test]
fn every_shipped_ledger_is_accepted() {
    for (path, text) in ledgers() {
        let name = path.file_name().unwrap().to_string_lossy();
        if let Err(faults) = busbar_ledger::parse(&name, &text) {
            panic!("{faults}");
        }
    }
}

#[test]
fn a_ledger_is_called_like_its_file() {
    for (path, text) in ledgers() {
        let ledger = busbar_ledger::parse("", &text).unwrap();
        let maker = path.parent().and_then(Path::file_name).unwrap().to_string_lossy();
        let file = path.file_stem().unwrap().to_string_lossy();
        assert_eq!(ledger.name, format!("{maker}/{file}"));
    }
}
