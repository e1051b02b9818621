//! What a scan found, for people.

use busbar_ledger::presence::Status;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::output::{Output, number};
use crate::discover::report::{Coverage, DeviceReport, ScanReport};
use crate::error::Result;
use crate::format::{self, visible};

/// Entities of a device that are listed; the rest is counted.
const SHOWN_ENTITIES: usize = 12;
/// Of each kind of difference, how many are named.
const SHOWN_CHANGES: usize = 10;

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
    let Coverage { probed, possible } = report.coverage;
    let places = match possible {
        0 => String::new(),
        _ => format!("; {probed} of {possible} possible places probed"),
    };
    output.line(&format!(
        "{} in {:.1} s: {}, {}{codes}{places}",
        output.bold(&plural(report.devices.len(), "device")),
        report.elapsed_ms as f64 / 1000.0,
        plural(report.requests as usize, "request"),
        plural(report.exceptions as usize, "exception"),
    ));
    if report.devices.iter().any(|d| d.entities.len() > SHOWN_ENTITIES) {
        output.line(&output.dim(
            "--json lists every entity; `busbar read URL --ledger NAME --unit N` reads one device whole.",
        ));
    }
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
        rest.push(format!(
            "{unproven} unproven (readable, but never more than 0 so far)"
        ));
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
    saved: &'a SavedAs,
}

/// Where a scan was saved.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SavedAs {
    /// The connection's name.
    pub name: String,
    /// Its address before, where its devices were found at another one.
    pub moved_from: Option<String>,
    /// New, gone and changed devices and entities, as the store tells them.
    pub diff: Value,
    /// Ledgers of the owner's own that were kept in the place of an older text.
    #[serde(default)]
    pub ledgers: Vec<String>,
}

/// Says what saving changed.
pub fn show_saved(report: &ScanReport, saved: &SavedAs, output: Output) -> Result<()> {
    if output.is_json() {
        return output.document(&SavedReport { report, saved });
    }
    let SavedAs {
        name,
        moved_from,
        diff,
        ledgers,
    } = saved;
    let name = visible(name);
    if let Some(from) = moved_from {
        let moved = format!(
            "\"{name}\" has moved here from {}; ids and history stay.",
            visible(from)
        );
        output.line(&output.green(&moved));
    }
    let lines = diff_lines(diff);
    for ledger in ledgers {
        let text = format!(
            "The ledger {} has changed since it was saved: its values are read by the new one from now on.",
            visible(ledger)
        );
        output.line(&output.yellow(&text));
    }
    if lines.is_empty() && !ledgers.is_empty() {
        output.line(&format!(
            "Saved as \"{name}\": no device and no entity came or went."
        ));
    } else if lines.is_empty() {
        output.line(&format!("Saved as \"{name}\": everything is as it was."));
    } else {
        output.line(&format!("Saved as \"{name}\":"));
        lines.iter().for_each(|line| output.line(line));
    }
    output.line(&super::again::spelt("`busbar` polls it and shows it live."));
    Ok(())
}

/// What is new, gone and changed: how many, and the first of them by name. Pure.
pub fn diff_lines(diff: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    for (pointer, one, many) in [
        ("/new/devices", "new device", "new devices"),
        ("/new/entities", "new entity", "new entities"),
        (
            "/gone/devices",
            "device no longer found (kept, marked as missing)",
            "devices no longer found (kept, marked as missing)",
        ),
        (
            "/gone/entities",
            "entity no longer found (kept, marked as missing)",
            "entities no longer found (kept, marked as missing)",
        ),
        ("/changed", "change", "changes"),
    ] {
        let all = diff
            .pointer(pointer)
            .and_then(Value::as_array)
            .map_or(&[][..], Vec::as_slice);
        match all.len() {
            0 => continue,
            1 => lines.push(format!("  1 {one}")),
            n => lines.push(format!("  {n} {many}")),
        }
        // The first scan finds hundreds: their names are in the table above.
        if pointer == "/new/entities" {
            continue;
        }
        lines.extend(
            all.iter()
                .take(SHOWN_CHANGES)
                .map(|one| format!("    {}", visible(&change_line(one)))),
        );
        if all.len() > SHOWN_CHANGES {
            lines.push(format!("    and {} more", all.len() - SHOWN_CHANGES));
        }
    }
    lines
}

/// An id, or a property with what it was and what it is.
pub fn change_line(one: &Value) -> String {
    let text = |key: &str| match &one[key] {
        Value::String(text) => text.clone(),
        Value::Null => "nothing".to_owned(),
        other => other.to_string(),
    };
    match one {
        Value::String(id) => id.clone(),
        _ => format!(
            "{}: {} was {}, is {}",
            text("id"),
            text("field"),
            text("from"),
            text("to")
        ),
    }
}

fn plural(n: usize, what: &str) -> String {
    if n == 1 {
        format!("1 {what}")
    } else {
        format!("{n} {what}s")
    }
}
