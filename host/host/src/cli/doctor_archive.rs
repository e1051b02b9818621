//! `busbar doctor --archive`: a file for a bug report.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::backup::short;
use super::output::Output;
use crate::catalog::Catalog;
use crate::clock;
use crate::doctor::Report;
use crate::doctor::archive::{DIR, pack, pieces};
use crate::error::Result;
use crate::format;

/// Makes the archive and says what is in it.
pub async fn run(
    to: Option<&Path>,
    force: bool,
    data_dir: &Path,
    config: Option<&Path>,
    catalog: &Catalog,
    report: &Report,
    output: Output,
) -> Result<()> {
    let to = to.map_or_else(name, Path::to_owned);
    let pieces = pieces(data_dir, config, catalog, report).await;
    pack(&pieces.files, &to, force)?;
    if output.is_json() {
        return output.document(&json!({
            "archive": to,
            "files": pieces.files,
            "replaced": pieces.replaced,
        }));
    }
    output.line(&format!("{} {}", output.bold("Written:"), short(&to).display()));
    output.line("");
    for piece in &pieces.files {
        let head = format!("  {:14}{:>7}  ", piece.name, format::size(piece.bytes as u64));
        output.hanging(&head, piece.what, |line| output.dim(line));
    }
    output.line("");
    output.hanging(
        "",
        &format!("Replaced by other words: {}.", pieces.replaced),
        str::to_owned,
    );
    output.hanging(
        "",
        "Passwords, keys and users are not in it; names, serial numbers, hosts and public addresses are replaced, the same \
         by the same. Private addresses, ledgers, models and firmware are in it as they are.",
        str::to_owned,
    );
    output.hanging("", "Look at it before you send it, all of it is text:", |line| {
        output.yellow(line)
    });
    output.line(&format!("  tar -xzOf {} {DIR} | less", short(&to).display()));
    Ok(())
}

/// A name with the date and time.
fn name() -> PathBuf {
    let now = jiff::Timestamp::from_millisecond(clock::now_ms()).unwrap_or_default();
    PathBuf::from(format!("busbar-doctor-{}.tar.gz", now.strftime("%Y%m%dT%H%M%SZ")))
}
