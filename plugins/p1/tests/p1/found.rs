//! Who speaks in a telegram.

use busbar_plugin_p1::P1;
use busbar_plugin_sdk::{Plugin, Telegram};

use crate::common::{devices, file, names, one};

fn ids(name: &str) -> Vec<(u8, String, String)> {
    let found = devices(&one(&file(name)))
        .into_values()
        .map(|device| device.found);
    found.map(|found| (found.unit, found.id, found.ledger)).collect()
}

fn row(unit: u8, id: &str, ledger: &str) -> (u8, String, String) {
    (unit, id.to_owned(), ledger.to_owned())
}

#[test]
fn an_id_comes_from_the_serial_number_or_is_left_to_the_host() {
    assert_eq!(
        ids("nl50"),
        [
            row(0, "p1_e0001234567890", "dsmr/p1"),
            row(1, "p1_gas_g0001234567890", "dsmr/p1-gas"),
            row(2, "p1_water_w0001234567890", "dsmr/p1-water"),
        ]
    );
    assert_eq!(ids("se"), [row(0, "", "dsmr/p1")]);
    // Zeros are no number.
    assert_eq!(
        ids("dsmr-parser/v2_2"),
        [row(0, "", "dsmr/p1"), row(1, "", "dsmr/p1-gas")]
    );
    assert_eq!(ids("dsmr-parser/iskra_ie"), [row(0, "p1_09610", "dsmr/p1")]);
}

#[test]
fn a_channel_whose_meter_was_replaced_is_dead() {
    assert_eq!(
        ids("dsmr-parser/v5_two_mbus"),
        [
            row(0, "p1_e0044007382246019", "dsmr/p1"),
            row(2, "p1_gas_g0039001936990619", "dsmr/p1-gas"),
        ]
    );
    // A kind and nothing else.
    assert_eq!(ids("dsmr-parser/v5").len(), 2);
}

#[test]
fn kinds_are_told_by_their_number_however_it_is_written() {
    for (kind, unit, ledger) in [
        ("3", "m3", "dsmr/p1-gas"),
        ("03", "m3", "dsmr/p1-gas"),
        ("007", "m3", "dsmr/p1-water"),
        ("006", "m3", "dsmr/p1-water"),
        ("004", "GJ", "dsmr/p1-heat"),
        ("012", "GJ", "dsmr/p1-heat"),
        ("010", "GJ", "dsmr/p1-heat"),
        ("002", "kWh", "dsmr/p1-electricity"),
        ("008", "m3", "dsmr/p1-other"),
        ("999", "m3", "dsmr/p1-other"),
    ] {
        // The kind stands last: the order of lines is not fixed.
        let telegram = Telegram {
            lines: vec![
                format!("0-4:24.2.1(261025022500W)(00012.500*{unit})"),
                "0-4:96.1.0(4730303031)".into(),
                format!("0-4:24.1.0({kind})"),
            ],
            ..Telegram::default()
        };
        let devices = devices(&telegram);
        assert_eq!(devices[&4].ledger.name, ledger, "{kind}");
        let value = devices[&4]
            .readings
            .iter()
            .find_map(|reading| reading.value.as_ref());
        assert!(value.is_some(), "{kind}");
    }
}

#[test]
fn every_line_of_every_telegram_is_a_point_of_a_device() {
    for name in names() {
        let telegram = one(&file(&name));
        let devices = devices(&telegram);
        for text in &telegram.lines {
            let line = busbar_ledger::telegram::Line::parse(text).unwrap();
            let unit = if line.code.medium == 0 && (1..=4).contains(&line.code.channel) {
                line.code.channel
            } else {
                0
            };
            // The channel of a meter that is gone.
            let Some(device) = devices.get(&unit) else {
                assert!(unit > 0, "{name}: {text}");
                continue;
            };
            let mut spoken = device.ledger.points.iter().filter_map(|point| point.spoken());
            let named = spoken.any(|spoken| spoken.codes.iter().any(|code| code.at(unit) == line.code));
            assert!(named, "{name}: {text}");
        }
    }
}

#[test]
fn the_unknown_is_kept_for_the_device_that_says_it() {
    let telegram = Telegram {
        lines: [
            "1-0:1.7.0(1*kW)",
            "1-0:77.77.7(x)(y*z)",
            "0-2:24.1.0(3)",
            "0-2:96.1.0(4730303031)",
            "0-2:99.9.9(1)",
            "0-3:99.9.9(2)",
        ]
        .map(str::to_owned)
        .into(),
        ..Telegram::default()
    };
    let devices = devices(&telegram);
    assert_eq!(devices.keys().copied().collect::<Vec<_>>(), [0, 2]);
    assert_eq!(devices[&0].value("raw_1_0_77_77_7").as_deref(), Some("(x)(y*z)"));
    assert_eq!(devices[&2].value("raw_0_n_99_9_9").as_deref(), Some("(1)"));
}

#[test]
fn whatever_a_telegram_says_the_verdict_is_valid() {
    use proptest::prelude::*;
    let line = "[01]-[0-9]:[0-9]{1,3}\\.[0-9]{1,3}\\.[0-9](\\*[0-9]{1,3})?(\\([ -~]{0,20}\\)){1,4}";
    let config = ProptestConfig {
        failure_persistence: None,
        cases: 60,
        ..ProptestConfig::default()
    };
    let lines = prop::collection::vec(prop_oneof![line.prop_map(|s: String| s), "[ -~]{0,40}"], 0..40);
    proptest!(config, |(lines in lines, variant in "(nl5|be|hu|se|at|.{0,5})", ident in "[ -~]{0,30}")| {
        let telegram = Telegram { lines, variant, ident, ..Telegram::default() };
        for found in P1.recognise(&telegram).devices {
            prop_assert!(found.unit <= 4);
            prop_assert!(found.id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'));
            prop_assert!(found.id.len() <= 128);
            if let Some(text) = &found.ledger_text {
                prop_assert!(busbar_ledger::parse("made.toml", text).is_ok(), "{text}");
            }
        }
    });
}
