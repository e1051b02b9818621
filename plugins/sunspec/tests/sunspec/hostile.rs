//! Devices that lie.

use busbar_plugin_sdk::Mode;
use proptest::prelude::*;

use crate::image::{Image, Talked, common, list, model, talk};

fn found(words: &[u16]) -> Talked {
    talk(&Image::new(1, 40_000, words), Mode::Quick, &[])
}

/// Whatever was found has a ledger that is a valid one.
fn valid(talked: &Talked) {
    for device in &talked.verdict.devices {
        let text = device.ledger_text.as_deref().unwrap();
        if let Err(faults) = busbar_ledger::parse("made", text) {
            panic!("{text}\n{faults}");
        }
    }
}

#[test]
fn a_length_that_leads_out_of_the_address_space_ends_the_list() {
    let mut words = list(&[&common("Fictional", "Five", "F-1"), &model(103, 50, 0)]);
    words[2 + 68 + 1] = 0xFFFF;
    let talked = found(&words);
    valid(&talked);
    assert_eq!(talked.verdict.devices.len(), 1);
    assert!(
        talked.verdict.note.contains("breaks off"),
        "{}",
        talked.verdict.note
    );
}

#[test]
fn a_list_without_end_is_cut() {
    let many: Vec<u16> = [0x5375, 0x6E53]
        .into_iter()
        .chain([9_999, 0].repeat(5_000))
        .collect();
    let talked = found(&many);
    valid(&talked);
    assert!(talked.probes.len() < 110, "{}", talked.probes.len());
    assert!(talked.verdict.note.contains("more than 100 models"));
}

#[test]
fn a_list_may_end_with_a_single_register() {
    let mut words = list(&[&common("Fictional", "Five", "F-1"), &model(103, 50, 0)]);
    words.pop();
    let talked = found(&words);
    valid(&talked);
    assert!(
        !talked.verdict.note.contains("breaks off"),
        "{}",
        talked.verdict.note
    );
    words.pop();
    assert!(
        found(&words)
            .verdict
            .note
            .contains("does not answer for register 40122")
    );
}

#[test]
fn one_that_falls_silent_on_the_way_is_not_taken_for_less_than_it_is() {
    let mut image = Image::new(1, 40_000, &list(&[&common("Fictional", "Five", "F-1")])[..4]);
    image.elsewhere = None;
    // The mark is read, then nothing more.
    image.units.get_mut(&1).unwrap().retain(|at, _| *at < 40_004);
    let mut talk = busbar_plugin_sdk::Conversation::new(Mode::Listed, vec![1]);
    let probe = |at, count| busbar_plugin_sdk::Probe {
        unit: 1,
        function: 3,
        at,
        count,
    };
    talk.record(
        probe(40_000, 4),
        busbar_plugin_sdk::Outcome::Words(&[0x5375, 0x6E53, 1, 66]),
    );
    talk.record(probe(40_004, 68), busbar_plugin_sdk::Outcome::Silent);
    let step = busbar_plugin_sdk::Plugin::discover(&busbar_plugin_sunspec::SunSpec, &talk.ask());
    assert!(step.probes.is_empty());
    assert!(step.verdict.unwrap().devices.is_empty());
}

#[test]
fn what_a_device_calls_itself_stays_a_text() {
    let evil = "x\"]\n[points]\na=1\\";
    let words = list(&[
        &common(evil, evil, evil),
        &model(160, 28, 0x225D),
        &model(103, 50, 0),
    ]);
    let talked = found(&words);
    valid(&talked);
    assert!(
        talked.verdict.devices[0]
            .id
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_')
    );
}

/// Models that are known and others, with lengths that are right and wrong.
fn models() -> impl Strategy<Value = Vec<u16>> {
    let id = prop_oneof![
        4 => prop::sample::select(vec![
            1u16, 101, 103, 111, 113, 120, 121, 122, 123, 124, 160, 201, 203, 204, 211, 213, 302, 303, 304, 305, 307, 308,
            701, 702, 713, 714, 802,
        ]),
        1 => any::<u16>(),
    ];
    let length = prop_oneof![4 => 0u16..200, 1 => any::<u16>()];
    let word = prop_oneof![Just(0u16), Just(0x8000), Just(0xFFFF), Just(1), any::<u16>()];
    let one = (id, length, prop::collection::vec(word, 0..200)).prop_map(|(id, length, mut body)| {
        body.resize(usize::from(length).min(400), 0x4142);
        let mut words = vec![id, length];
        words.append(&mut body);
        words
    });
    prop::collection::vec(one, 0..8).prop_map(|models| {
        let parts: Vec<&[u16]> = models.iter().map(Vec::as_slice).collect();
        list(&parts)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn whatever_a_device_answers_the_ledger_is_valid(words in models(), base in prop::sample::select(vec![40_000u16, 0, 50_000])) {
        valid(&talk(&Image::new(1, base, &words), Mode::Quick, &[]));
    }
}
