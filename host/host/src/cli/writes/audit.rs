//! `busbar audit`

use std::path::Path;

use busbar_store::{AuditRow, Registry};
use serde::Serialize;

use super::args::AuditArgs;
use super::limits::{PIPE, wrapped};
use crate::catalog::Catalog;
use crate::cli::output::Output;
use crate::clock;
use crate::error::{HostError, Result};
use crate::format::visible;
use crate::registry::stored_views;
use crate::write::target::find;

/// `{"rows": […]}`
#[derive(Debug, Serialize)]
struct Rows {
    rows: Vec<AuditRow>,
}

/// Runs the command: it reads the registry as it lies on disk, whether a host runs or not.
pub async fn run(
    args: &AuditArgs,
    data_dir: &Path,
    output: Output,
    catalog: impl AsyncFnOnce() -> Result<Catalog>,
) -> Result<()> {
    let registry = Registry::open_read_only(data_dir).await?;
    if args.verify {
        return verify(&registry, output).await;
    }
    // What is gone from the registry may still stand in the audit, by its id.
    let mut unknown = None;
    let entity = match &args.entity {
        None => None,
        Some(name) => match find(&stored_views(&registry, &catalog().await?).await?.devices(), name) {
            Ok(target) => Some(target.id()),
            Err(error) => {
                unknown = Some(error);
                Some(name.clone())
            }
        },
    };
    let rows = registry.audit_rows(entity.as_deref(), None, args.limit).await?;
    if let (Some(error), true) = (unknown, rows.is_empty()) {
        return Err(error);
    }
    if output.is_json() {
        return output.document(&Rows { rows });
    }
    if rows.is_empty() {
        output.line(match entity {
            None => "Nothing was written.",
            Some(_) => "Nothing was written to it.",
        });
        return Ok(());
    }
    for row in rows.iter().rev() {
        let entry = &row.entry;
        let became = entry.outcome.clone().unwrap_or_else(|| entry.kind.to_string());
        let coloured = match became.as_str() {
            "applied" | "released" => output.green(&format!("{became:10}")),
            "intent" | "note" | "dry_run" | "replaced" => format!("{became:10}"),
            _ => output.yellow(&format!("{became:10}")),
        };
        let entity = visible(entry.entity.as_deref().unwrap_or_default());
        output.line(
            format!(
                "{:>6}  {}  {coloured}  {entity}",
                row.seq,
                clock::show(entry.at_ms)
            )
            .trim_end(),
        );
        let details = details(row);
        let width = output.table([]).width().map_or(PIPE, usize::from).max(40);
        for line in wrapped(&details, width - 8) {
            if !line.is_empty() {
                output.line(&output.dim(&format!("        {line}")));
            }
        }
    }
    Ok(())
}

/// What else a row tells, in one line.
fn details(row: &AuditRow) -> String {
    let entry = &row.entry;
    let mut parts = Vec::new();
    if let Some(intent) = entry.intent {
        parts.push(format!("of {intent}"));
    }
    let shown = |text: &Option<String>| text.as_deref().map(visible);
    match (shown(&entry.old), shown(&entry.wanted)) {
        (Some(old), Some(wanted)) => parts.push(format!("{old} → {wanted}")),
        (None, Some(wanted)) => parts.push(format!("wanted {wanted}")),
        (Some(read), None) => parts.push(format!("reads {read}")),
        (None, None) => {}
    }
    if !entry.words.is_empty() {
        let words: Vec<String> = entry.words.iter().map(|word| format!("{word:04X}")).collect();
        let to = match (entry.unit_id, entry.function, entry.at) {
            (Some(unit), Some(function), Some(at)) => {
                format!(" to unit {unit}, {at}, by function {function}")
            }
            _ => String::new(),
        };
        parts.push(format!("words {}{to}", words.join(" ")));
    }
    if let Some(until) = entry.lease_until_ms {
        parts.push(format!("held until {}", clock::show(until)));
    }
    if entry.intent.is_none() {
        parts.push(visible(&format!("{}, {}", entry.who, entry.through)));
    }
    parts.extend(shown(&entry.reason).filter(|reason| !reason.is_empty()));
    parts.join(" · ")
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
