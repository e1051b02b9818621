//! Points in telegrams as ledgers write them: what is taken, and what is refused with a word on what to do.
#![allow(clippy::unwrap_used, reason = "a test")]

use busbar_ledger::model::{PointSource, SpokenType};
use busbar_ledger::telegram::{Line, Said, lines, readings, readings_of};
use busbar_ledger::{describe, parse};
use proptest::prelude::*;

fn with(points: &str) -> String {
    format!("ledger = \"a/b\"\ntitle = \"B\"\n[points]\n{points}\n")
}

/// The faults, one a line.
fn faults(points: &str) -> String {
    match parse("test.toml", &with(points)) {
        Ok(_) => "none".to_owned(),
        Err(faults) => faults.to_string(),
    }
}

#[test]
fn a_point_may_lie_at_a_code() {
    let text = with(
        "a = { obis = \"1-0:1.7.0\", unit = \"W\", class = \"power\" }\n\
         b = { obis = [\"0-n:24.2.1\", \"0-n:24.3.0\"], bracket = -1, unit = \"m³\", within = [0, 1e6] }\n\
         c = { obis = \"1-0:1.8.0*96\", type = \"raw\", decimals = 0 }",
    );
    let ledger = parse("test.toml", &text).unwrap();
    let point = |key: &str| ledger.point(key).unwrap();
    let spoken = |key: &str| match &point(key).source {
        PointSource::Obis(spoken) => spoken.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!((spoken("a").ty, spoken("a").bracket), (SpokenType::Number, None));
    assert_eq!(point("a").decimals, 0);
    assert_eq!(describe::codes(&spoken("b")), "0-n:24.2.1 or 0-n:24.3.0");
    assert_eq!(describe::spoken(&spoken("b")), "number in the last bracket");
    assert_eq!(spoken("b").within, Some((0.0, 1e6)));
    assert_eq!(describe::codes(&spoken("c")), "1-0:1.8.0*96");
    assert!(ledger.is_of_telegrams());
    assert!(ledger.points.iter().all(|point| point.registers().is_empty()));
}

#[test]
fn what_is_wrong_is_told() {
    for (point, said) in [
        ("obis = \"1.7.0\"", "`1.7.0` is no code"),
        ("obis = \"1-0:1.7.256\"", "is no code"),
        ("obis = \"n-0:1.7.0\"", "is no code"),
        ("obis = []", "names no code"),
        ("obis = [\"1-0:1.7.0\", \"1-0:1.7.0\"]", "twice"),
        ("obis = 5", "a code such as"),
        ("obis = \"1-0:1.7.0\", at = 5", "no `at`"),
        ("obis = \"1-0:1.7.0\", scale = 10", "no `scale`"),
        ("obis = \"1-0:1.7.0\", invalid = [0]", "no `invalid`"),
        ("obis = \"1-0:1.7.0\", access = \"rw\"", "no `access`"),
        (
            "obis = \"1-0:1.7.0\", type = \"u16\"",
            "type u16 is one of registers",
        ),
        ("obis = \"1-0:1.7.0\", bracket = 0", "no bracket 0"),
        ("obis = \"1-0:1.7.0\", bracket = 65", "no bracket 65"),
        (
            "obis = \"1-0:1.7.0\", type = \"raw\", bracket = 1",
            "raw is all brackets",
        ),
        ("obis = \"1-0:1.7.0\", within = [1, 0]", "no range"),
        (
            "obis = \"1-0:1.7.0\", type = \"text\", within = [0, 1]",
            "has no range",
        ),
        ("obis = \"1-0:1.7.0\", unit = \"W/m²\"", "turned into"),
        (
            "obis = \"1-0:1.7.0\", type = \"text\", unit = \"W\"",
            "has no unit",
        ),
        (
            "obis = \"1-0:1.7.0\", labels = { 1 = \"x\" }",
            "only whole numbers have labels",
        ),
        (
            "obis = \"1-0:1.7.0\", total = \"wrapping\"",
            "only an unsigned register",
        ),
        (
            "obis = \"1-0:1.7.0\", for_each = { n = [1], stride = 1 }",
            "for_each",
        ),
        ("at = 5, type = \"number\"", "type number is one of telegrams"),
        (
            "at = 5, type = \"u16\", bracket = 1",
            "a register has no `bracket`",
        ),
        (
            "at = 5, type = \"u16\", within = [0, 1]",
            "a register has no `within`",
        ),
        ("unit = \"W\"", "`at` is missing"),
    ] {
        let told = faults(&format!("a = {{ {point} }}"));
        assert!(told.contains(said), "{point}: {told}");
    }
}

#[test]
fn times_are_told_by_the_standard_time_of_the_ledger() {
    let text = "a = { obis = \"0-0:1.0.0\", type = \"timestamp\" }";
    let read = |offset: &str| {
        let ledger = parse("test.toml", &format!("{}[read]\n{offset}", with(text))).unwrap();
        let readings = readings(&ledger, 0, &lines(&["0-0:1.0.0(210828152453W)"]));
        readings[0].value.as_ref().unwrap().as_f64().unwrap() as i64
    };
    let ledger = parse("test.toml", &with(text)).unwrap();
    let all = lines(&["0-0:1.0.0(210828152453W)"]);
    let set = &readings_of(&ledger, &Said::of(&ledger, 0, &all, Some(120)))[0];
    assert_eq!(set.value.as_ref().unwrap().as_f64(), Some(1_630_157_093.0));
    let central = 1_630_160_693;
    assert_eq!(read(""), central);
    assert_eq!(read("standard_offset = \"+00:00\""), central + 3600);
    let fault = parse(
        "test.toml",
        &format!("{}[read]\nstandard_offset = \"CET\"", with(text)),
    );
    assert!(
        fault
            .unwrap_err()
            .to_string()
            .contains("no offset of a standard time")
    );
}

#[test]
fn two_points_that_read_the_same_must_mean_to() {
    let both = |second: &str| {
        faults(&format!(
            "a = {{ obis = \"1-0:1.7.0\", unit = \"W\" }}\nb = {{ obis = [\"1-0:9.9.9\", \"1-0:1.7.0\"], unit = \"W\"{second} }}"
        ))
    };
    assert!(
        both("").contains("`b` reads 1-0:1.7.0 as `a` does"),
        "{}",
        both("")
    );
    assert_eq!(both(", overlap = true"), "none");
    assert_eq!(both(", bracket = 1"), "none");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_a_line_says_it_is_read_without_a_panic(texts in prop::collection::vec("[01]-[0-9]:[0-9.*]{3,9}(\\([ -~]{0,16}\\)){0,3}|\\PC{0,30}", 0..20)) {
        let text = with(
            "a = { obis = \"1-0:1.7.0\", unit = \"W\" }\nb = { obis = \"0-0:1.0.0\", type = \"timestamp\", bracket = -1 }\n\
             c = { obis = \"0-1:2.3.4\", type = \"octets\" }\nd = { obis = \"1-1:1.1.1\", type = \"integer\" }",
        );
        let ledger = parse("test.toml", &text).unwrap();
        let all = lines(&texts);
        prop_assert_eq!(readings(&ledger, 0, &all).len(), 4);
        for line in all {
            prop_assert_eq!(Line::parse(&line.to_string()), Some(line));
        }
    }
}
