//! What a scan found, for whoever decides about it: the values that tell most, what is doubtful, what is not there and
//! why. Pure.

use busbar_ledger::presence::Status;
use busbar_ledger::value::{Quality, Value};
use serde::{Deserialize, Serialize};

use crate::discover::report::{DeviceReport, EntityReport, ScanReport};
use crate::format;

/// So many values are shown of a device.
pub const TELLING: usize = 6;
/// Of each kind of value, so many.
const OF_A_KIND: usize = 2;
/// So many silent units are named.
const NAMED: usize = 12;
/// Units of measurement, the most telling first.
const KINDS: [&str; 9] = ["W", "%", "V", "kWh", "A", "Hz", "°C", "m3", "VA"];

/// What a scan found, held until it is saved or dropped.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Findings {
    /// What the outward contract has of it.
    pub report: ScanReport,
    /// The canonical URL that was scanned.
    pub url: String,
    /// The name of the connection that it belongs to, where there is one.
    pub connection: Option<String>,
    /// A name for the connection that nobody has named.
    pub proposed: String,
    /// Where that connection was, if not here.
    pub moved_from: Option<String>,
    /// What saving it would change of what is known; `None` for a new connection.
    pub changes: Option<Changes>,
    /// Units that were asked and never answered.
    pub silent: Vec<u8>,
    /// Reads of one poll of everything.
    pub reads: u32,
    /// Whether it was stopped before its end.
    pub cancelled: bool,
}

/// What saving would change of what is known.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Changes {
    /// A line each, as people read it.
    pub lines: Vec<String>,
    /// Names of values that were not known, of devices that were.
    pub new_values: Vec<String>,
    /// Names of values that were looked for in vain, of devices that are there.
    pub gone_values: Vec<String>,
    /// What is otherwise than it was, a line each.
    pub changed: Vec<String>,
    /// Ids of devices that were not known.
    pub new: Vec<String>,
    /// Ids of devices that were looked for in vain.
    pub gone: Vec<String>,
}

impl Changes {
    /// Whether everything is as it was.
    pub fn is_nothing(&self) -> bool {
        self.lines.is_empty()
    }
}

/// How many of a device's entities are there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Proven.
    pub present: usize,
    /// Readable, and never more than 0.
    pub unproven: usize,
    /// Not there.
    pub absent: usize,
}

/// Counts a device's entities.
pub fn count(device: &DeviceReport) -> Count {
    let mut count = Count::default();
    for entity in &device.entities {
        match entity.status {
            Status::Present => count.present += 1,
            Status::Unproven => count.unproven += 1,
            Status::Absent => count.absent += 1,
        }
    }
    count
}

/// An entity's value as people read it.
pub fn value(entity: &EntityReport) -> String {
    format::value(
        entity.value.as_ref(),
        entity.label.as_deref(),
        entity.unit.as_deref(),
        entity.quality,
    )
}

/// Whether a value is a bound, a target or of the past: what is now tells more.
fn is_aside(key: &str) -> bool {
    let words = [
        "max",
        "min",
        "limit",
        "yesterday",
        "setpoint",
        "target",
        "nominal",
        "rated",
        "alarm",
        "history",
    ];
    key.split('_')
        .any(|part| words.iter().any(|word| part.starts_with(word)))
}

/// The values that tell most about a device: name and value, a few of each kind.
pub fn telling<'a>(entities: impl Iterator<Item = &'a EntityReport>) -> Vec<(String, String)> {
    let known: Vec<&EntityReport> = entities
        .filter(|e| e.status == Status::Present && e.quality == Quality::Good)
        .filter(|e| matches!(e.value, Some(Value::Number(_) | Value::Integer(_))))
        .collect();
    let mut chosen: Vec<&EntityReport> = Vec::new();
    for kind in KINDS {
        let of_kind = |e: &&&EntityReport| e.unit.as_deref() == Some(kind);
        // What is 0 now says less than what is not, but it says that it is there.
        let is_zero = |e: &EntityReport| e.value.as_ref().and_then(Value::as_f64) == Some(0.0);
        let (mut less, mut more): (Vec<_>, Vec<_>) = known
            .iter()
            .filter(of_kind)
            .copied()
            .partition(|e| is_zero(e) || is_aside(&e.key));
        more.append(&mut less);
        let other = more;
        chosen.extend(other.into_iter().take(OF_A_KIND));
    }
    if chosen.is_empty() {
        // States, counts: better than nothing at all.
        chosen.extend(known.iter().copied());
    }
    chosen.truncate(TELLING);
    chosen.iter().map(|e| (e.name.clone(), value(e))).collect()
}

/// What a device is, in one line: model, serial number, firmware, unit, ledger; without what all of them have in common.
pub fn about(device: &DeviceReport, all: &[DeviceReport]) -> String {
    let common = Common::of(all);
    let own = |text: &Option<String>, common: Option<&str>| {
        text.clone().filter(|text| Some(text.as_str()) != common)
    };
    let mut about = Vec::new();
    about.extend(device.model.clone());
    about.extend(own(&device.serial, common.serial).map(|serial| format!("serial {serial}")));
    about.extend(own(&device.firmware, common.firmware).map(|firmware| format!("firmware {firmware}")));
    about.push(format!("unit {}", device.unit_id));
    about.push(device.ledger.clone());
    about.join(" · ")
}

/// What all devices have in common, as the services behind one gateway do; `None` for a single one.
pub fn in_common(all: &[DeviceReport]) -> Option<String> {
    let common = Common::of(all);
    let words = [
        common.serial.map(|s| format!("serial {s}")),
        common.firmware.map(|f| format!("firmware {f}")),
    ];
    let words: Vec<String> = words.into_iter().flatten().collect();
    (!words.is_empty()).then(|| format!("All behind one device: {}.", words.join(", ")))
}

/// What several devices share.
#[derive(Default)]
struct Common<'a> {
    serial: Option<&'a str>,
    firmware: Option<&'a str>,
}

impl<'a> Common<'a> {
    fn of(all: &'a [DeviceReport]) -> Self {
        let [first, others @ ..] = all else {
            return Common::default();
        };
        let serial = first
            .serial
            .as_deref()
            .filter(|s| others.iter().all(|o| o.serial.as_deref() == Some(s)));
        if others.is_empty() || serial.is_none() {
            return Common::default();
        }
        let same = |f: &&str| others.iter().all(|o| o.firmware.as_deref() == Some(f));
        Common {
            serial,
            firmware: first.firmware.as_deref().filter(same),
        }
    }
}

/// What there is to know about a device beside its values.
pub fn remarks(device: &DeviceReport) -> Vec<String> {
    let Count {
        present,
        unproven,
        absent,
    } = count(device);
    let mut words = vec![match present {
        1 => "1 value".to_owned(),
        n => format!("{n} values"),
    }];
    if unproven > 0 {
        words.push(format!("{unproven} doubtful"));
    }
    if absent > 0 {
        words.push(format!(
            "{absent} that others of its kind have and this one lacks"
        ));
    }
    vec![words.join(" · ")]
}

/// How much of what is possible was looked at, and what was not: in sentences.
pub fn coverage(findings: &Findings) -> Vec<String> {
    let report = &findings.report;
    let mut lines = Vec::new();
    let (probed, possible) = (report.coverage.probed, report.coverage.possible);
    let refused = match report.exceptions {
        0 => "none of them refused".to_owned(),
        1 => "1 of them refused".to_owned(),
        n => format!("{n} of them refused"),
    };
    lines.push(format!(
        "{} small reads in {:.1} s, {refused}.",
        report.requests,
        report.elapsed_ms as f64 / 1000.0
    ));
    // A plugin that tells itself what it left out knows better what a place is.
    let told = report
        .warnings
        .iter()
        .any(|warning| warning.contains("not asked"));
    if possible > probed && !told && report.mode == "quick" {
        lines.push(format!(
            "{probed} of {possible} possible places were looked at, those where such devices usually are. A device at an \
             unusual place is found by a full scan."
        ));
    } else if possible > probed && !told {
        lines.push(format!("{probed} of {possible} possible places were looked at."));
    }
    if !findings.silent.is_empty() {
        let more = findings.silent.len().saturating_sub(NAMED);
        let named: Vec<String> = findings.silent.iter().take(NAMED).map(u8::to_string).collect();
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        lines.push(format!(
            "Never answered: unit {}{more}. Nothing is there, or it is switched off.",
            named.join(", ")
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entity(name: &str, value: Option<Value>, unit: Option<&str>, status: Status) -> EntityReport {
        EntityReport {
            id: format!("d.{name}"),
            key: name.to_owned(),
            name: name.to_owned(),
            at: Some(1),
            bit: None,
            function: None,
            quality: if value.is_some() {
                Quality::Good
            } else {
                Quality::Unavailable
            },
            value,
            label: None,
            unit: unit.map(str::to_owned),
            status,
            writable: false,
            proof: String::new(),
        }
    }

    #[test]
    fn power_and_charge_tell_more_than_temperatures_and_zeros() {
        let number = |n: f64| Some(Value::Number(n));
        let entities = [
            entity("temperature", number(21.0), Some("°C"), Status::Present),
            entity("idle", number(0.0), Some("W"), Status::Present),
            entity("power", number(812.0), Some("W"), Status::Present),
            entity("power_l1", number(300.0), Some("W"), Status::Present),
            entity("doubtful", number(0.0), Some("W"), Status::Unproven),
            entity("soc", number(61.4), Some("%"), Status::Present),
            entity("unknown", None, Some("V"), Status::Present),
            entity("name", Some(Value::Text("x".into())), None, Status::Present),
        ];
        let told = telling(entities.iter());
        let names: Vec<&str> = told.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["power", "power_l1", "soc", "temperature"]);
        assert_eq!(told[0].1, "812 W");
        let state = [entity("state", Some(Value::Integer(3)), None, Status::Present)];
        assert_eq!(telling(state.iter()).len(), 1);
    }
}
