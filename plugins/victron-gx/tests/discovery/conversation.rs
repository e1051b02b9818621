//! The conversation: what is asked of whom, in which mode, and what becomes of answers that say little.

use std::collections::BTreeSet;

use busbar_plugin_sdk::{Conversation, Mode, Outcome, Plugin, Probe};
use busbar_plugin_victron_gx::VictronGx;

use crate::gx::{Gx, Pair, Scan, converse, scan, services};

/// A house: VE.Bus, two chargers, a battery monitor, sensors.
const HOUSE: [Pair; 8] = [
    (20, "tank"),
    (25, "temperature"),
    (40, "evcharger"),
    (100, "gps"),
    (239, "solarcharger"),
    (243, "solarcharger"),
    (245, "battery"),
    (246, "vebus"),
];

/// A house with nearly everything.
const LARGE: [Pair; 19] = [
    (1, "digitalinput"),
    (2, "digitalinput"),
    (20, "pvinverter"),
    (20, "tank"),
    (21, "tank"),
    (22, "tank"),
    (24, "temperature"),
    (25, "temperature"),
    (30, "grid"),
    (31, "acload"),
    (40, "evcharger"),
    (41, "meteo"),
    (100, "generator"),
    (100, "gps"),
    (223, "solarcharger"),
    (224, "solarcharger"),
    (225, "battery"),
    (227, "vebus"),
    (239, "dcload"),
];

fn assert_whole(gx: &Gx, scan: &Scan) {
    let found = scan.found();
    let missed: Vec<_> = gx.pairs.difference(&found).collect();
    let phantoms: Vec<_> = found.difference(&gx.pairs).collect();
    assert!(
        missed.is_empty() && phantoms.is_empty(),
        "missed {missed:?}, phantoms {phantoms:?}"
    );
}

#[test]
fn a_house_is_found_with_ids_that_last() {
    let gx = Gx {
        firmware: [0x0370, 0x12],
        serial: "D41243B9F0AA",
        ..Gx::new(HOUSE)
    };
    let scan = scan(&gx, Mode::Quick, &[]);
    assert_whole(&gx, &scan);
    let devices = &scan.last().verdict.as_ref().unwrap().devices;
    let charger = devices.iter().find(|found| found.unit == 239).unwrap();
    assert_eq!(charger.id, "d41243b9f0aa_solarcharger_u239");
    assert_eq!(charger.ledger, "victron/gx-solarcharger");
    assert_eq!(charger.serial.as_deref(), Some("D41243B9F0AA"));
    assert_eq!(charger.firmware.as_deref(), Some("v3.70~12"));
    assert_eq!((&charger.name, &charger.model), (&None, &None));
    assert!(devices.is_sorted_by_key(|found| (found.unit, found.ledger.clone())));
}

#[test]
fn a_large_site_is_found_whole_and_in_time() {
    let gx = Gx::new(LARGE);
    let scan = scan(&gx, Mode::Quick, &[]);
    assert_whole(&gx, &scan);
    assert_eq!(gx.pairs.len(), 23);
    assert!(scan.exceptions <= 580);
    assert!(
        scan.round_trips(64) * 20 < 500,
        "{} round trips",
        scan.round_trips(64)
    );
}

#[test]
fn the_first_batch_is_small_and_units_0_and_100_are_one() {
    for mode in [Mode::Quick, Mode::Full, Mode::Listed] {
        let scan = scan(&Gx::new(HOUSE), mode, &[0, 100]);
        let first = &scan.steps[0].probes;
        assert!(first.len() <= 4 && first.iter().all(|probe| probe.unit == 100));
        let serial = Probe {
            unit: 100,
            function: 3,
            at: 800,
            count: 6,
        };
        assert_eq!(first[0], serial);
        let at_gx = scan
            .talk
            .evidence
            .iter()
            .filter(|evidence| evidence.probe.unit == 100);
        assert_eq!(
            at_gx.count(),
            services().len() + 1,
            "every service and the firmware"
        );
        assert!(scan.talk.evidence.iter().all(|evidence| evidence.probe.unit != 0));
        let mut asked: Vec<Probe> = scan.talk.evidence.iter().map(|evidence| evidence.probe).collect();
        asked.sort();
        assert!(
            asked.windows(2).all(|pair| pair[0] != pair[1]),
            "nothing is asked twice"
        );
    }
}

#[test]
fn a_full_scan_leaves_nothing_out() {
    let odd = [
        (51, "temperature"),
        (61, "grid"),
        (150, "tank"),
        (203, "meteo"),
        (1, "vebus"),
        (247, "fuelcell"),
    ];
    let gx = Gx::new(
        HOUSE
            .into_iter()
            .chain(odd)
            .chain([(239, "dcload"), (240, "pump")]),
    );
    let scan = scan(&gx, Mode::Full, &[]);
    assert_whole(&gx, &scan);
    let last = scan.last().forecast;
    assert_eq!((last.remaining, last.possible as usize), (0, scan.probes()));
    // 29 services at 247 units, 4 that only the GX itself has, and its firmware.
    assert_eq!(scan.probes(), 29 * 247 + 4 + 1);
    assert!(scan.rounds() <= 12, "{} rounds", scan.rounds());
}

#[test]
fn a_list_is_kept_to() {
    let gx = Gx::new(HOUSE.into_iter().chain([(61, "grid"), (250, "tank")]));
    let scan = scan(&gx, Mode::Listed, &[0, 61, 250, 61]);
    let listed = [(61, "grid"), (250, "tank"), (100, "gps")];
    let own = ["system", "settings", "hub4", "platform"].map(|service| (100, service));
    assert_eq!(scan.found(), listed.into_iter().chain(own).collect());
    let asked: BTreeSet<u8> = scan
        .talk
        .evidence
        .iter()
        .map(|evidence| evidence.probe.unit)
        .collect();
    assert_eq!(asked, BTreeSet::from([61, 100, 250]));
    assert_eq!(scan.last().forecast.possible as usize, scan.probes());
}

#[test]
fn firmware_that_lacks_registers_hides_nothing() {
    for (from, to) in [
        (0, 30),
        (256, 259),
        (700, 800),
        (771, 780),
        (800, 840),
        (2600, 2640),
        (3000, 3003),
        (3300, 3300),
    ] {
        let gx = Gx::new(LARGE).without(from..=to);
        let scan = scan(&gx, Mode::Quick, &[]);
        assert_whole(&gx, &scan);
        assert!(scan.exceptions <= 580);
    }
    // What each list begins with, all at once: the serial number is among it.
    let gx = Gx::new(LARGE).without([
        3, 259, 771, 800, 2600, 2700, 2709, 2800, 3000, 3300, 3420, 3500, 3600, 3800, 3900, 4300, 5800, 1026,
    ]);
    let scan = scan(&gx, Mode::Quick, &[]);
    assert_whole(&gx, &scan);
    let devices = &scan.last().verdict.as_ref().unwrap().devices;
    assert!(
        devices
            .iter()
            .all(|found| found.id.starts_with("gx_") && found.serial.is_none())
    );
    assert!(scan.note().contains("serial"), "{}", scan.note());
}

#[test]
fn services_that_the_firmware_does_not_know_are_given_up_soon() {
    // Nothing that came after 2020 or so.
    let gx = Gx::new(HOUSE).without((4000..=5812).chain(3800..=3999));
    let missing = (40, "evcharger");
    let scan = scan(&gx, Mode::Quick, &[]);
    let mut expected = gx.pairs.clone();
    expected.remove(&missing);
    expected.remove(&(100, "platform"));
    assert_eq!(scan.found(), expected);
    let unknown = scan
        .talk
        .evidence
        .iter()
        .filter(|evidence| evidence.exception == 2)
        .count();
    assert!(
        unknown <= 14 * 8,
        "{unknown} probes of registers that the firmware lacks"
    );
}

#[test]
fn other_devices_are_left_alone_after_a_few_probes() {
    let hex = [0x3132, 0x3334, 0x3536, 0x3738, 0x3930, 0x6162];
    type Device<'a> = &'a dyn Fn(Probe) -> Result<Vec<u16>, Option<u8>>;
    let devices: [(&str, Device, usize); 8] = [
        ("silent", &|_| Err(None), 4),
        ("illegal function", &|_| Err(Some(1)), 4),
        ("illegal address", &|_| Err(Some(2)), 4),
        ("busy", &|_| Err(Some(6)), 4),
        ("gateway without that unit", &|_| Err(Some(11)), 4),
        ("gateway that says path unavailable", &|_| Err(Some(10)), 34),
        ("zero for everything", &|probe| Ok(vec![0; probe.count.into()]), 4),
        (
            "text for everything",
            &|probe| Ok(hex[..probe.count.into()].to_vec()),
            120,
        ),
    ];
    for (name, device, most) in devices {
        for mode in [Mode::Quick, Mode::Full, Mode::Listed] {
            let scan = converse(mode, &[1, 2, 3], |_, probe| device(probe));
            let verdict = scan.last().verdict.as_ref().unwrap();
            assert!(verdict.devices.is_empty(), "{name}: {verdict:?}");
            assert!(
                verdict.note.starts_with("not a Victron GX"),
                "{name}: {}",
                verdict.note
            );
            assert!(scan.probes() <= most, "{name}: {} probes", scan.probes());
        }
    }
}

#[test]
fn a_unit_that_falls_silent_is_left_alone() {
    let mut gx = Gx::new(LARGE);
    gx.silent = BTreeSet::from([21, 239]);
    let scan = scan(&gx, Mode::Full, &[]);
    for unit in [21, 239] {
        let batches = scan
            .steps
            .iter()
            .filter(|step| step.probes.iter().any(|probe| probe.unit == unit));
        assert_eq!(batches.count(), 1, "unit {unit} is asked in one batch only");
        gx.pairs.retain(|pair| pair.0 != unit);
    }
    assert_whole(&gx, &scan);
    assert!(scan.note().contains("2 units did not answer"), "{}", scan.note());
    assert!(
        scan.last().forecast.possible as usize > scan.probes(),
        "the coverage says that something is missing"
    );
}

#[test]
fn one_lost_answer_does_not_change_the_ids() {
    let mut gx = Gx::new(HOUSE);
    gx.lost.insert(0);
    let scan = scan(&gx, Mode::Quick, &[]);
    let devices = &scan.last().verdict.as_ref().unwrap().devices;
    assert!(devices.len() >= 9, "{devices:?}");
    assert!(devices.iter().all(|found| found.id.starts_with("d41243b9f0aa_")));
}

#[test]
fn the_forecast_is_honest() {
    for (mode, tolerance) in [(Mode::Quick, 40), (Mode::Full, 40), (Mode::Listed, 20)] {
        let units = [20, 21, 30, 51, 223, 239];
        let empty = VictronGx
            .discover(&Conversation::new(mode, units.to_vec()).ask())
            .forecast;
        let scan = scan(&Gx::new(LARGE), mode, &units);
        let near = |expected: u32, got: usize| (expected as usize).abs_diff(got) <= tolerance;
        assert!(
            near(empty.remaining, scan.probes()),
            "{mode:?}: {empty:?}, was {}",
            scan.probes()
        );
        assert!(
            near(empty.expected_exceptions, scan.exceptions),
            "{mode:?}: {empty:?}, was {}",
            scan.exceptions
        );
        assert!(
            scan.steps
                .iter()
                .all(|step| step.forecast.remaining as usize >= step.probes.len())
        );
    }
    let quick = VictronGx
        .discover(&Conversation::new(Mode::Quick, vec![]).ask())
        .forecast;
    assert_eq!(quick.possible, 774, "the table and the firmware");
}

#[test]
fn a_scan_that_was_cut_off_goes_on_where_it_was() {
    let gx = Gx::new(LARGE);
    let whole = scan(&gx, Mode::Quick, &[]);
    for kept in [1, 3, 5, 77, 300, 500] {
        let mut talk = Conversation::new(Mode::Quick, vec![]);
        for (probe, outcome) in whole.talk.ask().outcomes().take(kept) {
            talk.record(probe, outcome);
        }
        let probes = VictronGx.discover(&talk.ask()).probes;
        let known: BTreeSet<Probe> = talk.evidence.iter().map(|evidence| evidence.probe).collect();
        assert!(!probes.is_empty() && probes.iter().all(|probe| !known.contains(probe)));
    }
    // The owner stops it: what was found so far stands.
    let step = whole.steps.iter().rev().nth(1).unwrap();
    assert!(
        step.verdict
            .as_ref()
            .is_some_and(|verdict| verdict.devices.len() >= 23)
    );
}

#[test]
fn evidence_that_says_nothing_ends_the_scan() {
    // Every second answer is broken: as words without words, or an exception that means nothing here.
    let gx = Gx::new(LARGE);
    let mut talk = Conversation::new(Mode::Quick, vec![]);
    for round in 0.. {
        assert!(round < 60, "the conversation does not end");
        let step = VictronGx.discover(&talk.ask());
        if step.probes.is_empty() {
            break;
        }
        for (number, &probe) in step.probes.iter().enumerate() {
            let outcome = match (number + round) % 4 {
                0 => Outcome::Words(&[]),
                1 => Outcome::Broken,
                _ if gx.pairs.iter().any(|pair| pair.0 == probe.unit) => Outcome::Exception(10),
                _ => Outcome::Exception(4),
            };
            talk.record(probe, outcome);
        }
    }
}
