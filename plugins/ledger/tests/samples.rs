//! Replays every `*.sample.toml` below `ledgers/`: register words on one side, what they mean on the other.
//!
//! A sample names its ledger and holds cases:
//!
//! ```toml
//! ledger = "victron/gx-tank"
//!
//! [[case]]
//! title = "what this case is about"
//!
//! [case.holding]                 # also [case.input]; address = the words of one read
//! 3001 = [0, 5000, 1]
//!
//! [case.expect]                  # key = what the point must say
//! capacity = 0.5                 # a number or a text, quality good
//! fluid_type = { value = 1, label = "Fresh water" }
//! level = { quality = "invalid" }
//! remaining = { value = 0.082, at = 3005 }   # and the address that it was read from
//! ```
//!
//! A ledger of telegrams has them instead of words:
//!
//! ```toml
//! [[case]]
//! title = "what this case is about"
//! unit = 1                       # the channel; 0, the meter itself, when left out
//! telegram = '''
//! 0-1:24.2.1(261025022500W)(01234.567*m3)
//! '''
//! ```
//!
//! A case may also say what a scan of such a device must find: `present`, `unproven` and `absent` are lists of keys.
//! Only the addresses of the case are readable; that is how old firmware is told, where the words do not say what
//! `[identify]` asks for.

#![allow(clippy::expect_used, clippy::panic, reason = "a test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use busbar_ledger::identify;
use busbar_ledger::image::Image;
use busbar_ledger::model::{IdentityField, Ledger, Point};
use busbar_ledger::presence::{Status, verdicts};
use busbar_ledger::ranges::Ranges;
use busbar_ledger::readings::{Facts, readings};
use busbar_ledger::span::{Function, Span};
use busbar_ledger::telegram::time::CENTRAL_EUROPE;
use busbar_ledger::telegram::{self, Said};
use busbar_ledger::value::{Quality, Reading, Value};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sample {
    ledger: String,
    case: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    title: String,
    #[serde(default)]
    holding: BTreeMap<String, Vec<u16>>,
    #[serde(default)]
    input: BTreeMap<String, Vec<u16>>,
    #[serde(default)]
    unit: u8,
    telegram: Option<String>,
    #[serde(default)]
    expect: BTreeMap<String, Expected>,
    #[serde(default)]
    present: Vec<String>,
    #[serde(default)]
    unproven: Vec<String>,
    #[serde(default)]
    absent: Vec<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Expected {
    Plain(Value),
    Full(Full),
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Full {
    value: Option<Value>,
    label: Option<String>,
    quality: Option<Quality>,
    at: Option<u16>,
}

fn ledgers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ledgers")
}

/// All files below `dir` whose name ends in `.toml`.
fn files(dir: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(dir).expect("a directory of ledgers") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|e| e == "toml") {
            found.insert(path);
        }
    }
    found
}

fn is_sample(path: &Path) -> bool {
    path.to_string_lossy().ends_with(".sample.toml")
}

fn same(expected: &Value, value: &Value) -> bool {
    match (expected, value) {
        (Value::Text(a), Value::Text(b)) => a == b,
        _ => match (expected.as_f64(), value.as_f64()) {
            (Some(a), Some(b)) => (a - b).abs() <= 1e-9 * a.abs().max(1.0),
            _ => false,
        },
    }
}

/// What a number of an enumeration is called.
fn label(point: &Point, value: &Value) -> Option<String> {
    let &Value::Integer(n) = value else {
        return None;
    };
    let unlisted = || Some(point.unlisted.as_ref()?.replace("{}", &n.to_string()));
    point.labels.get(&n).cloned().or_else(unlisted)
}

/// Says what is wrong with a reading; `None` when it is as expected.
fn fault(point: &Point, expected: Expected, reading: &Reading) -> Option<String> {
    let expected = match expected {
        Expected::Plain(value) => Full {
            value: Some(value),
            ..Full::default()
        },
        Expected::Full(full) => full,
    };
    let quality = expected.quality.unwrap_or(Quality::Good);
    if reading.quality != quality {
        return Some(format!("is {}, not {quality}", reading.quality));
    }
    if let Some(at) = expected.at
        && reading.at != Some(at)
    {
        return Some(format!("was read at {:?}, not at {at}", reading.at));
    }
    match (&expected.value, &reading.value) {
        (None, None) => None,
        (Some(a), Some(b)) if same(a, b) => {
            let label = label(point, b);
            (expected.label.is_some() && label != expected.label)
                .then(|| format!("is called {label:?}, not {:?}", expected.label))
        }
        (a, b) => Some(format!("reads {b:?}, not {a:?}")),
    }
}

/// Model and firmware, as far as the case has the words for them.
fn identity(ledger: &Ledger, image: &Image) -> (Option<String>, Option<String>) {
    let Some(identify) = &ledger.identify else {
        return (None, None);
    };
    let told = |field: &Option<IdentityField>| {
        let field = field.as_ref()?;
        identify::field_text(field, image.get(field.span)?)
    };
    let probed = || identify::matches(identify, image.get(identify.probe.as_ref()?.span)?);
    (told(&identify.model).or_else(probed), told(&identify.firmware))
}

fn replay(ledger: &Ledger, case: Case) -> Vec<String> {
    let mut image = Image::default();
    let mut readable = Ranges::default();
    for (function, blocks) in [(Function::Holding, case.holding), (Function::Input, case.input)] {
        for (at, words) in blocks {
            let span = Span {
                function,
                at: at.parse().expect("an address"),
                count: u16::try_from(words.len()).expect("words of one read"),
            };
            readable.insert(span);
            image.insert(span, words);
        }
    }
    let (model, firmware) = identity(ledger, &image);
    let texts: Vec<&str> = case
        .telegram
        .iter()
        .flat_map(|telegram| telegram.lines())
        .collect();
    let lines = telegram::lines(&texts);
    assert_eq!(lines.len(), texts.len(), "{}: a line is none", case.title);
    let said = Said::new(case.unit, &lines, CENTRAL_EUROPE);
    let facts = Facts {
        said: case.telegram.is_some().then_some(&said),
        firmware: firmware.as_deref(),
        model: model.as_deref(),
        readable: Some(&readable),
    };
    let readings = readings(ledger, &image, &facts);
    let mut faults = Vec::new();
    for (key, expected) in case.expect {
        let fault = match ledger.index.get(&key) {
            Some(&i) => fault(&ledger.points[i], expected, &readings[i]),
            None => Some("is no point of this ledger".to_owned()),
        };
        faults.extend(fault.map(|fault| format!("{}: {}: {key} {fault}", ledger.name, case.title)));
    }
    let verdicts = verdicts(ledger, &readings, &facts, &|_| false);
    for (keys, status) in [
        (case.present, Status::Present),
        (case.unproven, Status::Unproven),
        (case.absent, Status::Absent),
    ] {
        for key in keys {
            let verdict = ledger.index.get(&key).map(|&i| &verdicts[i]);
            if verdict.map(|v| v.status) != Some(status) {
                faults.push(format!(
                    "{}: {}: {key} is {verdict:?}, not {status:?}",
                    ledger.name, case.title
                ));
            }
        }
    }
    faults
}

#[test]
fn every_sample_means_what_it_says() {
    let mut faults = Vec::new();
    let mut cases = 0;
    for path in files(&ledgers()).into_iter().filter(|path| is_sample(path)) {
        let text = fs::read_to_string(&path).expect("a sample");
        let sample: Sample = toml::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let file = ledgers().join(format!("{}.toml", sample.ledger));
        assert_eq!(
            file.with_extension("sample.toml"),
            path,
            "a sample lies beside its ledger"
        );
        let text = fs::read_to_string(&file).expect("the sample's ledger");
        let ledger =
            busbar_ledger::parse(&file.to_string_lossy(), &text).unwrap_or_else(|faults| panic!("{faults}"));
        for case in sample.case {
            cases += 1;
            faults.extend(replay(&ledger, case));
        }
    }
    assert!(cases >= 34, "only {cases} cases");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_ledger_has_a_sample() {
    let files = files(&ledgers());
    for file in files.iter().filter(|file| !is_sample(file)) {
        let text = fs::read_to_string(file).expect("a file");
        if text.lines().any(|line| line.starts_with("ledger")) {
            assert!(
                files.contains(&file.with_extension("sample.toml")),
                "{} has no sample beside it",
                file.display()
            );
        }
    }
}
