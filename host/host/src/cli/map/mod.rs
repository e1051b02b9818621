//! `busbar read --map`: a register list instead of a ledger.

pub mod args;
mod auto;

use std::path::Path;
use std::sync::Arc;

use busbar_ledger::Diagnostics;
use busbar_ledger::map::{Map, Settings, Title, key_of};
use busbar_ledger::model::Ledger;

use crate::error::{HostError, Result};
use args::MapFlags;

pub(super) use auto::{Orders, doubt, pick, show};

/// Larger files are no register lists.
const MAX_BYTES: u64 = busbar_ledger::MAX_FILE as u64;

/// A register list as a ledger.
pub(super) struct Listed {
    /// The list.
    pub(super) map: Map,
    /// The ledger that it became.
    pub(super) ledger: Arc<Ledger>,
    /// Its text, for a host.
    pub(super) text: String,
}

/// Reads the list that the flags name.
///
/// # Errors
/// A file that cannot be read, and every fault of the list.
pub(super) fn load(path: &Path, settings: &Settings) -> Result<Listed> {
    let text = read_text(path)?;
    let shown = path.display().to_string();
    let map = Map::read(&shown, &text, settings).map_err(|faults| faulty(&shown, &faults))?;
    let (text, ledger) = as_ledger(&map, path)?;
    Ok(Listed {
        map,
        ledger: Arc::new(ledger),
        text,
    })
}

/// A list as the ledger `generic/<file>`.
fn as_ledger(map: &Map, path: &Path) -> Result<(String, Ledger)> {
    let stem = path
        .file_stem()
        .map(|s| s.to_string_lossy().into_owned())
        .unwrap_or_default();
    let (name, source) = (
        generic_name(&stem),
        path.file_name()
            .map_or(stem.clone(), |n| n.to_string_lossy().into_owned()),
    );
    let title = Title {
        name: &name,
        title: &stem,
        source: &source,
    };
    map.ledger(&format!("{} as a ledger", path.display()), &title)
        .map_err(|faults| faulty(&path.display().to_string(), &faults))
}

/// The name of a ledger without a maker.
pub(super) fn generic_name(of: &str) -> String {
    format!("generic/{}", key_of(of).replace('_', "-"))
}

/// A text file of somebody's, bounded and UTF-8.
///
/// # Errors
/// A usage error that says what is wrong with the file.
pub(super) fn read_text(path: &Path) -> Result<String> {
    let shown = path.display();
    let cannot =
        |e: &std::io::Error| HostError::usage(format!("cannot read {shown}: {e}"), "Check the path.");
    let meta = std::fs::metadata(path).map_err(|e| cannot(&e))?;
    if !meta.is_file() || meta.len() > MAX_BYTES {
        return Err(HostError::usage(
            format!("{shown} is no file of at most 4 MiB"),
            "Name the file that lists the registers.",
        ));
    }
    let bytes = std::fs::read(path).map_err(|e| cannot(&e))?;
    String::from_utf8(bytes).map_err(|e| {
        HostError::usage(
            format!("{shown} is not UTF-8 (byte {})", e.utf8_error().valid_up_to()),
            "Save it as UTF-8.",
        )
    })
}

/// A list with faults, each with its line.
pub(super) fn faulty(file: &str, faults: &Diagnostics) -> HostError {
    let lines: Vec<String> = faults.to_string().lines().map(str::to_owned).collect();
    HostError::Ledger {
        message: format!(
            "the register list {file} has faults\n{}",
            crate::diagnostics::render(faults, false)
        ),
        hint: "Mend what is underlined; ledgers/README.md shows what a list may say.".to_owned(),
        files: vec![serde_json::json!({ "file": file, "errors": lines })],
    }
}

/// Refuses flags of a list where there is none.
///
/// # Errors
/// A usage error.
pub(super) fn only_with_map(flags: &MapFlags) -> Result<()> {
    if flags.map.is_none() && !flags.list.is_empty() {
        return Err(HostError::usage(
            "--index-shift, --byteorder, --wordorder and --message-size go with --map FILE",
            "In a ledger, `index_shift` and `max_words` in [read] and `order` of a point say this.",
        ));
    }
    Ok(())
}
