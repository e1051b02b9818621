//! Conversations without a device, and what the ledger says.

use busbar_plugin_sdk::Conversation;

use super::*;

/// What a meter with the serial number `AB12` and firmware 7 answers.
const ANSWER: [u16; COUNT as usize] = [SIGNATURE, 0x4142, 0x3132, 0, 0, 0, 0, 0, 0, 7];

/// The unit at which it answers.
const UNIT: u8 = UNITS[1];

/// The verdict where only this unit answers, with these words.
fn verdict(mode: Mode, units: Vec<u8>, answer: &[u16]) -> Verdict {
    let mut talk = Conversation::new(mode, units);
    for probe in Meters.discover(&talk.ask()).probes {
        let outcome = match probe.unit {
            UNIT => Outcome::Words(answer),
            unit if unit > UNIT => Outcome::Exception(11),
            _ => Outcome::Silent,
        };
        talk.record(probe, outcome);
    }
    let last = Meters.discover(&talk.ask());
    assert!(last.probes.is_empty(), "one round is enough");
    last.verdict.expect("it judges")
}

#[test]
fn a_meter_is_found_by_its_signature() {
    let found = verdict(Mode::Quick, vec![], &ANSWER).devices;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].unit, UNIT);
    assert_eq!(found[0].id, "my_meter_ab12");
    assert_eq!(found[0].serial.as_deref(), Some("AB12"));
    assert_eq!(found[0].firmware.as_deref(), Some("7"));
}

#[test]
fn another_device_is_none_of_ours() {
    let mut other = ANSWER;
    other[0] = 0x1234;
    assert_eq!(verdict(Mode::Full, vec![], &other), Verdict::default());
    // Nor is an answer that is too short.
    let short = &ANSWER[..ANSWER.len() - 1];
    assert_eq!(verdict(Mode::Full, vec![], short), Verdict::default());
}

#[test]
fn a_meter_without_a_serial_number_is_told_of_and_not_taken() {
    let mut nameless = ANSWER;
    nameless[1..].fill(0);
    let verdict = verdict(Mode::Quick, vec![], &nameless);
    assert!(verdict.devices.is_empty());
    assert!(verdict.note.contains("serial number"), "{}", verdict.note);
}

#[test]
fn only_the_listed_units_are_asked() {
    assert_eq!(
        verdict(Mode::Listed, vec![UNIT, 99], &ANSWER).devices.len(),
        1
    );
    assert!(verdict(Mode::Listed, vec![99], &ANSWER).devices.is_empty());
    assert!(verdict(Mode::Listed, vec![], &ANSWER).devices.is_empty());
}

#[test]
fn a_full_scan_asks_every_unit_once_and_the_likeliest_first() {
    let talk = Conversation::new(Mode::Full, vec![]);
    let probes = Meters.discover(&talk.ask()).probes;
    let mut units: Vec<u8> = probes.iter().map(|probe| probe.unit).collect();
    assert_eq!(units[..UNITS.len()], UNITS);
    units.sort_unstable();
    assert_eq!(units, (1..=247).collect::<Vec<u8>>());
}

#[test]
fn the_ledger_is_the_one_that_is_named() {
    // `busbar plugin check` looks at the rest of it.
    assert!(LEDGER_TEXT.contains(&format!("ledger = \"{LEDGER}\"\n")));
}
