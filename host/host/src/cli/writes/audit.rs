//! `busbar audit`

use std::path::Path;

use busbar_store::{AuditRow, Registry};
use serde::Serialize;

use super::args::AuditArgs;
use crate::cli::output::{Output, number};
use crate::clock;
use crate::error::{HostError, Result};
use crate::format::visible;

/// `{"rows": […]}`
#[derive(Debug, Serialize)]
struct Rows {
    rows: Vec<AuditRow>,
}

/// Runs the command: it reads the registry as it lies on disk, whether a host runs or not.
pub async fn run(args: &AuditArgs, data_dir: &Path, output: Output) -> Result<()> {
    let registry = Registry::open_read_only(data_dir).await?;
    if args.verify {
        return verify(&registry, output).await;
    }
    let rows = registry
        .audit_rows(args.entity.as_deref(), None, args.limit)
        .await?;
    if output.is_json() {
        return output.document(&Rows { rows });
    }
    if rows.is_empty() {
        output.line("Nothing was written, and nothing refused.");
        return Ok(());
    }
    let mut table = output.table(["", "when", "who", "entity", "wanted", "what became of it", "why"]);
    for row in rows.iter().rev() {
        let entry = &row.entry;
        let shown = |text: &Option<String>| text.as_deref().map(visible).unwrap_or_default();
        let became = match (&entry.outcome, entry.intent) {
            (Some(outcome), Some(intent)) => format!("{outcome} (of {intent})"),
            (Some(outcome), None) => outcome.clone(),
            (None, _) => entry.kind.to_string(),
        };
        table.add_row(vec![
            number(row.seq),
            clock::show(entry.at_ms).into(),
            visible(&format!("{}, {}", entry.who, entry.through)).into(),
            shown(&entry.entity).into(),
            number(shown(&entry.wanted)),
            became.into(),
            output.dim_cell(&shown(&entry.reason)),
        ]);
    }
    output.table_lines(&table);
    Ok(())
}

async fn verify(registry: &Registry, output: Output) -> Result<()> {
    let proof = registry.verify_audit().await?;
    if output.is_json() {
        output.document(&proof)?;
    }
    match &proof.broken {
        None => {
            let span = match (proof.first_ms, proof.last_ms) {
                (Some(first), Some(last)) => format!(", {} to {}", clock::show(first), clock::show(last)),
                _ => String::new(),
            };
            output.say(&format!("{} rows{span}: the chain is whole.", proof.rows));
            output.say(&output.dim(&format!("  its newest hash is {}", proof.head)));
            Ok(())
        }
        Some(broken) => Err(HostError::outcome(
            "audit_broken",
            format!("row {} of the audit {}", broken.seq, broken.why),
            "Compare with a copy in backups/; whoever could change it had access to the data directory.",
            output.is_json(),
        )),
    }
}
