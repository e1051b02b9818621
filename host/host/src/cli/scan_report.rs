//! What a scan found, for people.

use busbar_ledger::presence::Status;
use serde::Serialize;
use serde_json::Value;

use super::output::{Output, number};
use crate::discover::report::{DeviceReport, ScanReport};
use crate::error::Result;
use crate::format::{self, visible};

/// Entities of a device that are listed; the rest is counted.
const SHOWN_ENTITIES: usize = 12;

/// Shows what was found.
pub fn show(report: &ScanReport, output: Output) -> Result<()> {
    if output.is_json() {
        return output.document(report);
    }
    for device in &report.devices {
        show_device(device, output);
    }
    let codes: Vec<String> = report
        .exceptions_by_code
        .iter()
        .map(|(code, n)| format!("{n} with code {code}"))
        .collect();
    let codes = if codes.is_empty() {
        String::new()
    } else {
        format!(" ({})", codes.join(", "))
    };
    output.line(&format!(
        "{} in {:.1} s: {} requests, {} exceptions{codes}; {} of {} possible places probed",
        output.bold(&plural(report.devices.len(), "device")),
        report.elapsed_ms as f64 / 1000.0,
        report.requests,
        report.exceptions,
        report.coverage.probed,
        report.coverage.possible,
    ));
    for warning in &report.warnings {
        output.line(&output.yellow(&visible(warning)));
    }
    Ok(())
}

fn show_device(device: &DeviceReport, output: Output) {
    let mut about = vec![format!("unit {}", device.unit_id), device.ledger.clone()];
    about.extend(device.model.clone());
    about.extend(device.firmware.clone());
    output.line(&format!(
        "{}  {}",
        output.bold(&visible(&device.name)),
        output.dim(&visible(&about.join(" · ")))
    ));
    let mut present: Vec<_> = device
        .entities
        .iter()
        .filter(|e| e.status == Status::Present)
        .collect();
    present.sort_by_key(|e| e.unit.is_none());
    let unproven = device
        .entities
        .iter()
        .filter(|e| e.status == Status::Unproven)
        .count();
    let absent = device.entities.len() - present.len() - unproven;
    let mut table = output.table(["", "value", "at"]);
    for entity in present.iter().take(SHOWN_ENTITIES) {
        let value = format::value(
            entity.value.as_ref(),
            entity.label.as_deref(),
            entity.unit.as_deref(),
            entity.quality,
        );
        table.add_row(vec![
            visible(&entity.name).into(),
            number(value),
            number(entity.at.map(|a| a.to_string()).unwrap_or_default()),
        ]);
    }
    if !present.is_empty() {
        output.table_lines(&table);
    }
    let mut rest = Vec::new();
    if present.len() > SHOWN_ENTITIES {
        rest.push(format!("{} more", present.len() - SHOWN_ENTITIES));
    }
    if unproven > 0 {
        rest.push(format!("{unproven} unproven (readable, but never more than 0 so far)"));
    }
    if absent > 0 {
        rest.push(format!("{absent} that this device lacks"));
    }
    if !rest.is_empty() {
        output.line(&output.dim(&format!("  and {}", rest.join(", "))));
    }
    output.line("");
}

/// What `busbar scan --save --json` prints: the report, and what saving it changed.
#[derive(Serialize)]
struct SavedReport<'a> {
    #[serde(flatten)]
    report: &'a ScanReport,
    saved: Saved<'a>,
}

#[derive(Serialize)]
struct Saved<'a> {
    /// The connection's name.
    name: &'a str,
    /// New, gone and changed devices and entities.
    diff: &'a Value,
}

/// Says what saving changed. `diff` is the store's, as JSON.
pub fn show_saved(report: &ScanReport, name: &str, diff: &Value, output: Output) -> Result<()> {
    if output.is_json() {
        let saved = Saved { name, diff };
        return output.document(&SavedReport { report, saved });
    }
    let count = |pointer: &str| {
        diff.pointer(pointer)
            .and_then(Value::as_array)
            .map_or(0, Vec::len)
    };
    let lines: Vec<String> = [
        ("/new/devices", "new devices"),
        ("/new/entities", "new entities"),
        (
            "/gone/devices",
            "devices no longer found (kept, marked as missing)",
        ),
        (
            "/gone/entities",
            "entities no longer found (kept, marked as missing)",
        ),
        ("/changed", "changes"),
    ]
    .into_iter()
    .map(|(pointer, what)| (count(pointer), what))
    .filter(|(n, _)| *n > 0)
    .map(|(n, what)| format!("  {n} {what}"))
    .collect();
    if lines.is_empty() {
        output.line(&format!(
            "Saved as \"{}\": everything is as it was.",
            visible(name)
        ));
    } else {
        output.line(&format!("Saved as \"{}\":", visible(name)));
        lines.iter().for_each(|line| output.line(line));
    }
    output.line("`busbar` polls it and shows it live.");
    Ok(())
}

fn plural(n: usize, what: &str) -> String {
    if n == 1 {
        format!("1 {what}")
    } else {
        format!("{n} {what}s")
    }
}
