//! Each kind of fault in a ledger, and how it is shown: `faults/NAME.toml` with a snapshot of what an author sees.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::path::Path;

use busbar_ledger::Diagnostics;
use busbar_ledger::map::{Map, Settings};
use miette::{GraphicalReportHandler, GraphicalTheme};

#[test]
fn every_fault_is_underlined_and_says_what_to_write() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(!files.is_empty());
    for path in files {
        let name = path.file_stem().unwrap().to_string_lossy();
        let text = std::fs::read_to_string(&path).unwrap();
        let faults = busbar_ledger::parse(&format!("{name}.toml"), &text).expect_err(&name);
        insta::assert_snapshot!(format!("{name}"), shown(&faults));
    }
}

#[test]
fn every_fault_of_a_register_list_is_underlined_and_says_what_to_write() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/map_faults");
    let entries = std::fs::read_dir(folder).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    for path in files {
        let name = path.file_name().unwrap().to_string_lossy();
        let text = std::fs::read_to_string(&path).unwrap();
        let faults = Map::read(&name, &text, &Settings::default()).expect_err(&name);
        insta::assert_snapshot!(format!("map_{name}"), shown(&faults));
    }
}

/// What an author sees: a line for each fault, then each with its place underlined.
fn shown(faults: &Diagnostics) -> String {
    let mut shown = String::new();
    let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor()).with_width(110);
    handler.render_report(&mut shown, &faults.report()).unwrap();
    let lines: Vec<_> = shown.lines().map(str::trim_end).collect();
    format!("{faults}\n\n{}", lines.join("\n"))
}
