//! Evidence that no device would give: nothing may panic, and every conversation ends.

use busbar_plugin_sdk::{Ask, Conversation, Evidence, Mode, Outcome, Plugin, Probe};
use busbar_plugin_victron_gx::VictronGx;
use proptest::prelude::*;

fn mode() -> impl Strategy<Value = Mode> {
    prop_oneof![Just(Mode::Quick), Just(Mode::Full), Just(Mode::Listed)]
}

fn probe() -> impl Strategy<Value = Probe> {
    let at = prop_oneof![
        Just(800),
        Just(834),
        Just(3),
        Just(2700),
        Just(3000),
        Just(4700),
        any::<u16>()
    ];
    let unit = prop_oneof![Just(100), any::<u8>()];
    (unit, any::<u8>(), at, any::<u16>()).prop_map(|(unit, function, at, count)| Probe {
        unit,
        function: if function > 100 { 3 } else { function },
        at,
        count: if at == 800 && count > 9 { 6 } else { count },
    })
}

fn evidence() -> impl Strategy<Value = Evidence> {
    let exception = prop_oneof![Just(10), Just(2), any::<u8>()];
    (probe(), any::<u8>(), exception, 0..40_u32, 0..12_u32).prop_map(
        |(probe, outcome, exception, offset, len)| Evidence {
            probe,
            outcome: outcome % 5,
            exception,
            offset: if outcome > 250 { u32::MAX } else { offset },
            len,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_evidence_gives_a_step(
        mode in mode(),
        units in prop::collection::vec(any::<u8>(), 0..20),
        evidence in prop::collection::vec(evidence(), 0..200),
        words in prop::collection::vec(any::<u16>(), 0..40),
    ) {
        let ask = Ask { mode, units: &units, evidence: &evidence, words: &words };
        let step = VictronGx.discover(&ask);
        prop_assert_eq!(&step, &VictronGx.discover(&ask), "the same evidence, the same step");
        prop_assert!(step.verdict.is_some() || !step.probes.is_empty());
        for probe in &step.probes {
            prop_assert!(probe.unit != 0 && probe.function == 3 && (1..=6).contains(&probe.count));
        }
        for found in step.verdict.iter().flat_map(|verdict| &verdict.devices) {
            prop_assert!(found.id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'));
        }
    }

    #[test]
    fn any_device_comes_to_an_end(
        mode in mode(),
        units in prop::collection::vec(any::<u8>(), 0..20),
        start in prop::collection::vec(evidence(), 0..20),
        answers in prop::collection::vec((0..8_u8, any::<u8>(), any::<[u16; 6]>()), 1..40),
    ) {
        let mut talk = Conversation { evidence: start, ..Conversation::new(mode, units) };
        let mut answer = answers.iter().cycle();
        for round in 0.. {
            // As often as a host lets itself be asked; one that answers to everything takes about a hundred rounds.
            prop_assert!(round < 400 && talk.evidence.len() < 40_000, "{} probes and no end", talk.evidence.len());
            let step = VictronGx.discover(&talk.ask());
            if step.probes.is_empty() {
                prop_assert!(step.verdict.is_some());
                break;
            }
            for probe in step.probes {
                if let Some((kind, code, words)) = answer.next() {
                    talk.record(probe, match kind {
                        0 => Outcome::Words(&words[..usize::from(probe.count.min(6))]),
                        1 => Outcome::Silent,
                        2 | 3 => Outcome::Broken,
                        4 => Outcome::Exception(*code),
                        5 => Outcome::Exception(2),
                        _ => Outcome::Exception(10),
                    });
                }
            }
        }
    }
}
