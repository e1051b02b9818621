//! `busbar ledger list | show | check | schema`

use std::path::{Path, PathBuf};

use busbar_ledger::map::{Map, Settings};
use busbar_ledger::model::{Ledger, PointSource, Spoken};
use busbar_ledger::span::{Function, Span};
use serde_json::json;

use super::args::LedgerCommand;
use super::ledger_new;
use super::output::{Output, number};
use crate::catalog::{Catalog, LedgerFault, read_ledger_file};
use crate::error::{HostError, Result};
use crate::format::visible;

/// Runs the subcommand. `catalog` is only asked for where the plugins' ledgers are needed.
pub async fn run(
    command: LedgerCommand,
    output: Output,
    catalog: impl AsyncFnOnce() -> Result<Catalog>,
) -> Result<()> {
    match command {
        LedgerCommand::List => list(&catalog().await?, output),
        LedgerCommand::Show { name } => show(&*catalog().await?.ledger_or_file(&name)?, output),
        LedgerCommand::New(args) => ledger_new::run(&args, output).await,
        LedgerCommand::Check { files } => check(&files, output),
        LedgerCommand::Schema => output.document(&busbar_ledger::json_schema()),
    }
}

fn list(catalog: &Catalog, output: Output) -> Result<()> {
    let mut rows = Vec::new();
    let mut table = output.table(["ledger", "what it is", "points", "plugin"]);
    for name in catalog.ledger_names() {
        let ledger = catalog.ledger(&name)?;
        let plugin = catalog.plugin_of(&name).unwrap_or_default();
        table.add_row(vec![
            ledger.name.as_str().into(),
            ledger.title.as_str().into(),
            number(ledger.points.len()),
            plugin.as_str().into(),
        ]);
        rows.push(json!({
            "ledger": ledger.name, "title": ledger.title, "points": ledger.points.len(), "plugin": plugin
        }));
    }
    if output.is_json() {
        return output.document(&json!({ "ledgers": rows }));
    }
    output.table_lines(&table);
    Ok(())
}

/// An address as both kinds of manuals have it, with its kind of registers where that is not the usual one.
fn place(span: Span) -> String {
    let kind = match span.function {
        Function::Holding => String::new(),
        other => format!("{} ", other.name()),
    };
    format!("{kind}{} {:#06x}", span.at, span.at)
}

/// The codes of a point in telegrams; of several the best, and how many more.
fn codes(spoken: &Spoken) -> String {
    match spoken.codes.as_slice() {
        [first, _, rest @ ..] => format!("{first} or {} more", rest.len() + 1),
        all => all.iter().map(ToString::to_string).collect(),
    }
}

fn show(ledger: &Ledger, output: Output) -> Result<()> {
    let points = &ledger.points;
    if output.is_json() {
        let points: Vec<_> = points
            .iter()
            .map(|p| {
                json!({
                    "key": p.key, "name": p.label, "at": p.register().map(|r| r.span.at),
                    "obis": p.spoken().map(|s| s.codes.iter().map(ToString::to_string).collect::<Vec<_>>()),
                    "function": p.register().map(|r| r.span.function.name()),
                    "type": p.spoken().map_or_else(|| json!(p.register().map(|r| r.ty)), |s| json!(s.ty)),
                    "scale": p.register().map(|r| r.scale.as_f64()),
                    "unit": p.unit, "class": p.class, "writable": p.writable, "rate": p.rate,
                    "labels": *p.labels, "group": p.group, "since": p.since, "origin": p.origin, "note": p.note,
                    "fallbacks": p.registers().iter().skip(1).map(|r| r.span.at).collect::<Vec<_>>(),
                })
            })
            .collect();
        return output.document(&json!({
            "ledger": ledger.name, "title": ledger.title, "source": ledger.source, "model": ledger.model,
            "points": points,
        }));
    }
    output.line(&format!(
        "{}  {}",
        output.bold(&ledger.name),
        visible(&ledger.title)
    ));
    if let Some(source) = &ledger.source {
        output.line(&output.dim(&visible(source)));
    }
    output.line("");
    let mut table = output.table(["key", "at", "type", "unit", "access", "name"]);
    for point in points {
        let (at, ty) = match &point.source {
            PointSource::Registers(_) => {
                let r = point.register();
                (
                    r.map(|r| place(r.span)).unwrap_or_default(),
                    r.map(busbar_ledger::describe::register).unwrap_or_default(),
                )
            }
            PointSource::Obis(spoken) => (codes(spoken), busbar_ledger::describe::spoken(spoken)),
            PointSource::Computed(_) => ("computed".to_owned(), String::new()),
        };
        table.add_row(vec![
            point.key.as_str().into(),
            number(at),
            ty.into(),
            point.unit.as_deref().unwrap_or("").into(),
            if point.writable { "rw" } else { "r" }.into(),
            visible(&point.label).into(),
        ]);
    }
    output.table_lines(&table);
    Ok(())
}

/// Checks files and every `*.toml` below directories; every fault of every file is shown in one run.
fn check(paths: &[PathBuf], output: Output) -> Result<()> {
    let mut files = Vec::new();
    for path in paths {
        collect(path, &mut files)?;
    }
    if files.is_empty() {
        return Err(HostError::usage(
            "there is no ledger in what was named",
            "Name ledger files, or a directory with *.toml files in it.",
        ));
    }
    let mut faulty = Vec::new();
    let mut results = Vec::new();
    for file in &files {
        let shown = file.display().to_string();
        match read_ledger_file(file) {
            Ok(ledger) => {
                output.say(&format!(
                    "{} {shown}: {} points",
                    output.green("ok"),
                    ledger.points.len()
                ));
                results.push(json!({
                    "file": shown, "ledger": ledger.name, "points": ledger.points.len(), "errors": []
                }));
            }
            Err(error) => {
                let error = match error {
                    // A list is checked as one.
                    LedgerFault::List(text) => match Map::read(&shown, &text, &Settings::default()) {
                        Ok(list) => {
                            let registers = list.entries.len();
                            output.say(&format!(
                                "{} {shown}: {registers} registers (a register list: read it with --map)",
                                output.green("ok")
                            ));
                            results.push(json!({ "file": shown, "registers": registers, "errors": [] }));
                            continue;
                        }
                        Err(faults) => LedgerFault::Faults(faults),
                    },
                    other => other,
                };
                output.say(&error.report(output.colour()));
                results.push(json!({ "file": shown, "errors": error.lines() }));
                faulty.push(shown);
            }
        }
    }
    if output.is_json() && faulty.is_empty() {
        return output.document(&json!({ "files": results }));
    }
    if faulty.is_empty() {
        return Ok(());
    }
    let message = format!(
        "{} of {} ledgers have faults: {}",
        faulty.len(),
        files.len(),
        faulty.join(", ")
    );
    Err(HostError::Ledger {
        message,
        hint: "Mend what is underlined and check again.".into(),
        files: results,
    })
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let cannot = |e: &std::io::Error| {
        HostError::io(
            format_args!("cannot read {}", path.display()),
            e,
            "Check the path and its permissions.",
        )
    };
    let meta = std::fs::metadata(path).map_err(|e| cannot(&e))?;
    if !meta.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    let mut entries: Vec<PathBuf> = std::fs::read_dir(path)
        .map_err(|e| cannot(&e))?
        .filter_map(|entry| entry.ok().map(|e| e.path()))
        .collect();
    entries.sort();
    for entry in entries {
        if entry.is_dir() || is_ledger(&entry) {
            collect(&entry, files)?;
        }
    }
    Ok(())
}

/// `*.toml`, but not the samples and tables that lie beside ledgers.
fn is_ledger(path: &Path) -> bool {
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    name.ends_with(".toml")
        && !name.ends_with(".sample.toml")
        && !matches!(name, "gx-ports.toml" | "gx-services.toml")
}
