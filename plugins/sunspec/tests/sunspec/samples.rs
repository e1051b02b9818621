//! Replays every sample: which devices are found, and what their registers mean.

use std::collections::BTreeMap;
use std::path::Path;

use busbar_ledger::image::Image as Registers;
use busbar_ledger::presence::{Status, verdicts};
use busbar_ledger::readings::{Facts, readings};
use busbar_ledger::span::Span;
use busbar_ledger::value::{Quality, Value};
use busbar_plugin_sdk::{Found, Mode};
use serde::Deserialize;

use crate::image::{Image, talk};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sample {
    unit: u8,
    case: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    title: String,
    holding: BTreeMap<String, Vec<u16>>,
    device: Vec<Device>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Device {
    id: String,
    ledger: String,
    name: String,
    model: Option<String>,
    serial: Option<String>,
    firmware: Option<String>,
    #[serde(default)]
    absent: Vec<String>,
    #[serde(default)]
    unproven: Vec<String>,
    expect: BTreeMap<String, Expected>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Expected {
    Plain(Value),
    Labelled { value: Value, label: String },
}

fn same(expected: &Value, value: &Value) -> bool {
    match (expected.as_f64(), value.as_f64()) {
        (Some(a), Some(b)) => (a - b).abs() <= 1e-6 * a.abs().max(1.0),
        _ => expected == value,
    }
}

fn check(name: &str, registers: &Registers, found: &Found, expected: &Device) -> Vec<String> {
    let text = found.ledger_text.as_deref().expect("a ledger of its own");
    let ledger = busbar_ledger::parse(name, text).unwrap_or_else(|faults| panic!("{text}\n{faults}"));
    assert_eq!(ledger.name, found.ledger, "{name}");
    let mut faults = Vec::new();
    let mut differs = |what: &str, ours: &str, theirs: &str| {
        if ours != theirs {
            faults.push(format!("{name}: {what} is {ours:?}, not {theirs:?}"));
        }
    };
    differs("id", &found.id, &expected.id);
    differs("ledger", &found.ledger, &expected.ledger);
    differs("name", &ledger.title, &expected.name);
    for (what, ours, theirs) in [
        ("model", &found.model, &expected.model),
        ("serial", &found.serial, &expected.serial),
        ("firmware", &found.firmware, &expected.firmware),
    ] {
        differs(what, &format!("{ours:?}"), &format!("{theirs:?}"));
    }
    let facts = Facts::default();
    let readings = readings(&ledger, registers, &facts);
    let verdicts = verdicts(&ledger, &readings, &facts, &|_| false);
    let mut absent = Vec::new();
    let mut unproven = Vec::new();
    for (point, verdict) in ledger.points.iter().zip(&verdicts).filter(|(p, _)| !p.internal) {
        match verdict.status {
            Status::Absent => absent.push(point.key.clone()),
            Status::Unproven => unproven.push(point.key.clone()),
            Status::Present => {}
        }
    }
    differs("absent", &absent.join(" "), &expected.absent.join(" "));
    differs("unproven", &unproven.join(" "), &expected.unproven.join(" "));
    for (key, expected) in &expected.expect {
        let Some(&i) = ledger.index.get(key) else {
            faults.push(format!("{name}: there is no {key}"));
            continue;
        };
        let (value, label) = match expected {
            Expected::Plain(value) => (value, None),
            Expected::Labelled { value, label } => (value, Some(label.clone())),
        };
        let reading = &readings[i];
        let read = reading
            .value
            .as_ref()
            .filter(|_| reading.quality == Quality::Good);
        let right = read.is_some_and(|read| {
            same(value, read) && label.is_none_or(|label| ledger.points[i].meaning(read) == Some(label))
        });
        if !right {
            faults.push(format!("{name}: {key} is {reading:?}, not {value:?}"));
        }
    }
    faults
}

#[test]
fn every_sample_means_what_the_reference_reads_from_it() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples");
    let mut faults = Vec::new();
    let mut devices = 0;
    for file in dir.read_dir().expect("samples") {
        let path = file.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let sample: Sample = toml::from_str(&std::fs::read_to_string(&path).expect("a sample"))
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        for case in sample.case {
            let (at, words) = case.holding.first_key_value().expect("registers");
            let at: u16 = at.parse().expect("an address");
            let image = Image::new(sample.unit, at, words);
            let found = talk(&image, Mode::Listed, &[sample.unit]).verdict.devices;
            assert_eq!(found.len(), case.device.len(), "{}: {found:?}", case.title);
            let mut registers = Registers::default();
            registers.insert(Span::holding(at, words.len() as u16), words.clone());
            for (found, expected) in found.iter().zip(&case.device) {
                devices += 1;
                faults.extend(check(&name, &registers, found, expected));
            }
        }
    }
    assert!(devices >= 8, "only {devices} devices");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
