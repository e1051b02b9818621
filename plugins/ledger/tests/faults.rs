//! Each kind of fault in a ledger, and how it is shown: `faults/NAME.toml` with a snapshot of what an author sees.

use std::path::Path;

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
        let mut shown = String::new();
        let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor()).with_width(110);
        handler.render_report(&mut shown, &faults.report()).unwrap();
        let lines: Vec<_> = shown.lines().map(str::trim_end).collect();
        insta::assert_snapshot!(format!("{name}"), format!("{faults}\n\n{}", lines.join("\n")));
    }
}
