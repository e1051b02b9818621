//! Against dsmr_parser, a parser of the same telegrams that Busbar has no part in: what it says, each value of each line,
//! is what Busbar says.

use std::path::Path;
use std::process::Command;

use busbar_ledger::obis::Obis;
use busbar_ledger::telegram::{Line, octets, time};
use busbar_ledger::value::Value;
use busbar_plugin_p1::P1;
use busbar_plugin_sdk::{Feed, Plugin, Telegram};
use serde_json::Value as Json;

use crate::common::{Device, KEY, data, devices, encrypted, file, hear, names, one};

const MISSING: &str = "dsmr-parser 1.11 is not installed (python3 -m venv target/peers && target/peers/bin/pip install 'dsmr-parser==1.11.*')";
const VERSION: &str = "import importlib.metadata as m; assert m.version('dsmr-parser').startswith('1.11.')";

/// A Python that has it: the one beside the build, else the system's. `None` where the test is to be skipped, which is then
/// said.
fn python() -> Option<&'static str> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/peers/bin/python3");
    let has_it = |python: &str| {
        let run = Command::new(python).args(["-c", VERSION]).output();
        run.is_ok_and(|output| output.status.success())
    };
    let found = [beside, "python3"].into_iter().find(|python| has_it(python));
    assert!(found.is_some() || std::env::var_os("CI").is_none(), "{MISSING}");
    if found.is_none() {
        eprintln!("skipped: {MISSING}");
    }
    found
}

fn says(python: &str, profile: &str, path: &Path, keys: &[&str]) -> Json {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/p1/dsmr_parser_says.py");
    let output = Command::new(python)
        .args(["-B", script, profile])
        .arg(path)
        .args(keys)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

/// By which of its profiles dsmr_parser reads a telegram.
fn profile(name: &str) -> &'static str {
    match name.trim_start_matches("dsmr-parser/") {
        "v2_2" | "nl22" => "V2_2",
        "v3" => "V3",
        "v4_2" => "V4",
        "v5" | "v5_two_mbus" | "nl50" => "V5",
        "fluvius_v171" | "fluvius_v171_alt" | "be" => "BELGIUM_FLUVIUS",
        "easymeter_q3db1024" | "easymeter_q3da1004" => "Q3D",
        "sagemcom_t210_d_r" => "SAGEMCOM_T210_D_R",
        "iskra_ie" => "ISKRA_IE",
        "eon_hu" => "EON_HUNGARY",
        "se" => "SWEDEN",
        other => panic!("which profile has {other}?"),
    }
}

/// What a unit of a telegram is in that of a point: both here once more, so that a fault there is none here.
fn factor(from: &str, to: &str) -> f64 {
    match (from, to) {
        ("kW", "W") | ("kvar", "var") => 1000.0,
        ("Wh", "kWh") | ("varh", "kvarh") => 0.001,
        ("kWh", "kWh") | ("kvarh", "kvarh") | ("W", "W") | ("var", "var") => 1.0,
        ("V", "V") | ("A", "A") | ("Hz", "Hz") | ("m3", "m³") => 1.0,
        other => panic!("{other:?}"),
    }
}

/// Whether a reading says what dsmr_parser says.
fn same(theirs: &Json, ours: &Value, unit: Option<&str>) -> bool {
    let near = |a: f64, b: f64| (a - b).abs() <= 1e-9 * a.abs().max(1.0);
    if let Some(number) = theirs["number"].as_str() {
        let number: f64 = number.parse().unwrap();
        return match (theirs["unit"].as_str(), unit, ours) {
            // A code that dsmr_parser takes as one number is text, as the standard has it.
            (None, None, Value::Text(ours)) if !ours.starts_with('(') => {
                *ours == octets(theirs["number"].as_str().unwrap())
            }
            (_, _, Value::Text(text)) => in_brackets(text).any(|line| {
                let group = &line.groups[0];
                group.unit.as_deref() == theirs["unit"].as_str()
                    && group.value.parse().is_ok_and(|value: f64| near(value, number))
            }),
            (Some(from), Some(to), _) if to != "VA" && (to == "A") == (from == "A") => ours
                .as_f64()
                .is_some_and(|ours| near(ours, number * factor(from, to))),
            (None, None, _) => ours.as_f64().is_some_and(|ours| near(ours, number)),
            _ => false,
        };
    }
    if let Some(moment) = theirs["time"].as_i64() {
        return match ours {
            Value::Text(text) => in_brackets(text)
                .any(|line| time::parse(&line.groups[0].value, time::CENTRAL_EUROPE) == Some(moment)),
            ours => *ours == Value::Integer(moment),
        };
    }
    let theirs = theirs["text"].as_str().unwrap();
    match ours {
        Value::Integer(ours) => theirs.parse() == Ok(*ours),
        Value::Text(ours) => {
            *ours == theirs
                || *ours == octets(theirs)
                || in_brackets(ours).any(|line| line.groups[0].value == theirs)
        }
        Value::Number(_) => false,
    }
}

/// The brackets of a point that is kept as it stands, each as a line.
fn in_brackets(text: &str) -> impl Iterator<Item = Line> + use<> {
    let line = Line::parse(&format!("0-0:0.0.0{text}"));
    line.into_iter().flat_map(|line| {
        let code = line.code;
        line.groups.into_iter().map(move |group| Line {
            code,
            groups: vec![group],
        })
    })
}

/// Where the two are meant to differ.
fn is_told_otherwise(name: &str, code: &str, theirs: &Json) -> bool {
    match (name, code) {
        // dsmr_parser takes the letter of a time as the season, not as the offset: a Swedish meter says W all summer.
        ("se", "0-0:1.0.0") => theirs["time"] == 1_783_084_530 - 3600,
        // And this telegram says S before summer has begun.
        ("dsmr-parser/fluvius_v171", "0-0:98.1.0") => [1_583_407_299, 1_583_017_200]
            .map(Json::from)
            .contains(&theirs["time"]),
        // It takes a time without a letter as one in Amsterdam. It may be either of two in autumn.
        (_, "0-1:24.3.0") => !theirs["time"].is_null(),
        // A power factor above 1 is none.
        ("dsmr-parser/eon_hu", "1-0:13.7.0" | "1-0:33.7.0" | "1-0:53.7.0" | "1-0:73.7.0") => true,
        // A channel that is dead.
        ("dsmr-parser/v5_two_mbus", "0-1:24.1.0" | "0-1:24.2.1") => true,
        ("dsmr-parser/v5", "0-2:24.1.0") => true,
        _ => false,
    }
}

fn compare(name: &str, telegram: &Telegram, theirs: &Json) -> usize {
    let devices = devices(telegram);
    let mut compared = 0;
    for line in theirs["said"].as_array().unwrap() {
        let written = line["code"].as_str().unwrap();
        let code = Obis::parse(written).unwrap();
        let unit = if code.medium == 0 && code.channel <= 4 {
            code.channel
        } else {
            0
        };
        for value in line["values"].as_array().unwrap() {
            if is_told_otherwise(name, &code.to_string(), value) {
                continue;
            }
            let device: &Device = devices
                .get(&unit)
                .unwrap_or_else(|| panic!("{name}: no device for {written}"));
            let points = device.ledger.points.iter().zip(&device.readings);
            let mut ours = points.filter(|(point, _)| {
                point
                    .spoken()
                    .is_some_and(|spoken| spoken.codes.iter().any(|each| each.at(unit) == code))
            });
            let agrees = ours.any(|(point, reading)| {
                reading
                    .value
                    .as_ref()
                    .is_some_and(|ours| same(value, ours, point.unit.as_deref()))
            });
            assert!(agrees, "{name}: {written}: dsmr_parser says {value}");
            compared += 1;
        }
    }
    compared
}

#[test]
fn every_value_is_the_one_that_dsmr_parser_gives() {
    let Some(python) = python() else { return };
    let mut compared = 0;
    for name in names() {
        let profile = profile(&name);
        if profile == "SAGEMCOM_T210_D_R" {
            continue;
        }
        let path = data().join(format!("{name}.txt"));
        let all = compare(&name, &one(&file(&name)), &says(python, profile, &path, &[]));
        assert!(all >= 7, "{name}: only {all} values");
        compared += all;
    }
    assert!(compared >= 400, "only {compared} values");
}

#[test]
fn what_dsmr_parser_sealed_is_opened() {
    let Some(python) = python() else { return };
    let name = "dsmr-parser/sagemcom_t210_d_r";
    let (key, auth_key) = ("A".repeat(32), "0123456789ABCDEF0123456789ABCDEF");
    let path = data().join(format!("{name}.txt"));
    let theirs = says(python, profile(name), &path, &[&key, auth_key]);
    let bytes = |hex: &str| -> Vec<u8> {
        let digits: Vec<char> = hex.chars().collect();
        let pairs = digits.chunks(2).map(|pair| pair.iter().collect::<String>());
        pairs.map(|pair| u8::from_str_radix(&pair, 16).unwrap()).collect()
    };
    let heard = P1.telegram(&Feed {
        bytes: &bytes(theirs["sealed"].as_str().unwrap()),
        key: &bytes(&key),
        auth_key: &bytes(auth_key),
        ..Feed::default()
    });
    assert_eq!(heard.telegrams[0].lines, one(&file(name)).lines);
    assert_eq!(heard.telegrams[0].variant, "at");
    assert!(compare(name, &heard.telegrams[0], &theirs) >= 17);
}

#[test]
fn what_is_opened_is_what_dsmr_parser_opens() {
    let Some(python) = python() else { return };
    let key: String = KEY.iter().map(|byte| format!("{byte:02x}")).collect();
    let theirs = says(python, "MSN", &data().join("lu-encrypted.hex"), &[&key]);
    let heard = hear(&encrypted());
    assert!(compare("lu-encrypted", &heard.telegrams[0], &theirs) >= 4);
}
