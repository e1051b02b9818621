//! Which entities a meter of the family has, by its model, its firmware and its wiring; and what its power factor is
//! where no register tells it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail by panicking")]

use std::collections::BTreeSet;
use std::path::Path;

use busbar_ledger::evidence::Outcome;
use busbar_ledger::extent::Extent;
use busbar_ledger::identify;
use busbar_ledger::image::Image;
use busbar_ledger::model::Ledger;
use busbar_ledger::presence::{Status, verdicts};
use busbar_ledger::readings::{Facts, readings};
use busbar_ledger::span::Span;
use busbar_ledger::value::{Quality, Reading, Value};

fn ledger(name: &str) -> Ledger {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../ledgers/{name}.toml"));
    let text = std::fs::read_to_string(&file).unwrap();
    busbar_ledger::parse(name, &text).unwrap_or_else(|faults| panic!("{faults}"))
}

/// A meter as it lies on the wire: 0 wherever nothing else is said, as the real one answers.
struct Meter {
    product: u16,
    firmware: [u8; 4],
    phases: u16,
    words: Vec<(u16, u16)>,
}

impl Meter {
    fn word(&self, at: u16) -> u16 {
        let [a, b, c, d] = self.firmware;
        match at {
            0x1000 => self.product,
            0x1009 => u16::from_be_bytes([a, b]),
            0x100A => u16::from_be_bytes([c, d]),
            0x2000 => self.phases,
            at => self
                .words
                .iter()
                .find(|(there, _)| *there == at)
                .map_or(0, |(_, word)| *word),
        }
    }

    fn words(&self, span: Span) -> Vec<u16> {
        (span.at..span.at + span.count).map(|at| self.word(at)).collect()
    }

    /// Scans it: the readings and the statuses of all points, and how many reads that took.
    fn scan(&self, ledger: &Ledger) -> (Vec<Reading>, Vec<Status>, u32) {
        let rule = ledger.identify.as_ref().unwrap();
        let model = identify::matches(rule, &self.words(rule.probe.as_ref().unwrap().span));
        let firmware = rule.firmware.as_ref().unwrap();
        let firmware = identify::field_text(firmware, &self.words(firmware.span));
        let facts = Facts {
            firmware: firmware.as_deref(),
            model: model.as_deref(),
            readable: None,
            ..Facts::default()
        };
        let mut extent = Extent::new(ledger, &facts);
        while !extent.is_done() {
            for span in extent.next() {
                extent.answer(span, Outcome::Words(self.words(span)));
            }
        }
        let learned = extent.finish();
        let facts = Facts {
            readable: Some(&learned.readable),
            ..facts
        };
        let readings = readings(ledger, &learned.image, &facts);
        let statuses = verdicts(ledger, &readings, &facts, &|_| false)
            .into_iter()
            .map(|v| v.status);
        let statuses = statuses.collect();
        (readings, statuses, learned.requests)
    }

    fn reading(&self, ledger: &Ledger, key: &str) -> Reading {
        self.scan(ledger).0[ledger.index[key]].clone()
    }
}

/// Of every phase, then of the whole, with the place of the first phase's number.
const OF_PHASE: &[&str] = &[
    "voltage",
    "current",
    "power",
    "apparent_power",
    "power_factor",
    "energy_forward",
    "energy_reverse",
];
const ALWAYS: &[&str] = &[
    "product_id",
    "serial",
    "hardware_version",
    "phase_config",
    "role",
    "custom_name",
];
const MEASURED: &[&str] = &[
    "power_total",
    "energy_forward",
    "energy_reverse",
    "frequency",
    "voltage_pen",
    "power_factor",
    "error_code",
];

/// What a meter must have, worked out without the ledger.
fn expected(firmware: [u8; 4], phases: u16) -> BTreeSet<String> {
    let numbers: &[u8] = match phases {
        0 => &[1],
        1 => &[2],
        2 => &[3],
        4 => &[1, 2],
        _ => &[1, 2, 3],
    };
    let mut keys: BTreeSet<String> = ALWAYS.iter().map(|key| key.to_string()).collect();
    let mut add = |key: &str| assert!(keys.insert(key.to_owned()), "{key} is named twice");
    if firmware >= [0, 1, 3, 1] {
        MEASURED.iter().for_each(|key| add(key));
        for n in numbers {
            OF_PHASE.iter().for_each(|key| add(&format!("{key}_l{n}")));
        }
    }
    if firmware >= [0, 1, 5, 255] {
        add("position");
    }
    if firmware >= [0, 1, 7, 0] {
        add("current_neutral");
        let lines: &[&str] = match numbers {
            [_] => &[],
            [_, _] => &["voltage_l1_l2"],
            _ => &["voltage_l1_l2", "voltage_l2_l3", "voltage_l3_l1"],
        };
        lines.iter().for_each(|key| add(key));
    }
    if firmware >= [0, 1, 9, 0] {
        ["n2k_system_instance", "capabilities", "udp_snapshots", "alarms"]
            .iter()
            .for_each(|key| add(key));
        if numbers.len() == 3 {
            ["phase_sequence", "phase_rotation"]
                .iter()
                .for_each(|key| add(key));
        }
    }
    keys
}

#[test]
fn each_firmware_and_wiring_has_exactly_its_entities() {
    let ledger = ledger("victron/vm-3p75ct");
    let firmwares = [
        [0, 1, 2, 255],
        [0, 1, 3, 1],
        [0, 1, 5, 1],
        [0, 1, 5, 255],
        [0, 1, 7, 255],
        [0, 1, 9, 1],
        [0, 1, 9, 255],
        [0, 1, 0x10, 255],
    ];
    for product in [0xA1B1, 0xA1B2] {
        for firmware in firmwares {
            for phases in [0, 1, 2, 3, 4, 5, 9] {
                let meter = Meter {
                    product,
                    firmware,
                    phases,
                    words: Vec::new(),
                };
                let (readings, statuses, requests) = meter.scan(&ledger);
                let has: BTreeSet<String> = (ledger.points.iter().zip(&statuses))
                    .filter(|(_, status)| **status != Status::Absent)
                    .map(|(point, _)| point.key.clone())
                    .collect();
                let case = format!("{product:04X}, firmware {firmware:?}, phases {phases}");
                assert_eq!(has, expected(firmware, phases), "{case}");
                assert_eq!(requests, if firmware[2] == 2 { 2 } else { 3 }, "{case}");
                // Where a register tells the power factor it is asked, and where none does it is worked out.
                let factor = &readings[ledger.index["power_factor"]];
                assert_eq!(factor.at, (firmware >= [0, 1, 9, 0]).then_some(0x303A), "{case}");
            }
        }
    }
}

#[test]
fn each_model_has_its_currents_where_it_keeps_them() {
    let ledger = ledger("victron/vm-3p75ct");
    let words = vec![(0x3041, 0xFECE), (0x3058, 0xFFFF), (0x3059, 0x0000)];
    let meter = |product| Meter {
        product,
        firmware: [0, 1, 7, 255],
        phases: 3,
        words: words.clone(),
    };
    let of = |product| {
        let reading = meter(product).reading(&ledger, "current_l1");
        (reading.at, reading.value)
    };
    assert_eq!(of(0xA1B1), (Some(0x3041), Some(Value::Number(-3.06))));
    assert_eq!(of(0xA1B2), (Some(0x3058), Some(Value::Number(-655.36))));
}

/// A meter before 1.09 with these voltages (0.01 V), currents (0.01 A) and powers (W) of its phases.
fn loaded(phases: u16, each: [(u16, i16, i32); 3], total: i32) -> Meter {
    let mut words = Vec::new();
    let mut wide = |at: u16, value: i32| words.extend([(at, (value >> 16) as u16), (at + 1, value as u16)]);
    wide(0x3080, total);
    for (n, (_, _, power)) in (0..).zip(each) {
        wide(0x3082 + 4 * n, power);
    }
    for (n, (voltage, current, _)) in (0..).zip(each) {
        words.extend([(0x3040 + 8 * n, voltage), (0x3041 + 8 * n, current as u16)]);
    }
    Meter {
        product: 0xA1B1,
        firmware: [0, 1, 7, 255],
        phases,
        words,
    }
}

fn number(reading: &Reading) -> f64 {
    reading.value.as_ref().and_then(Value::as_f64).unwrap()
}

#[test]
fn before_1_09_the_power_factor_is_worked_out() {
    let ledger = ledger("victron/vm-3p75ct");
    let meter = loaded(
        3,
        [(23000, -300, -600), (23000, 100, 230), (23000, 100, 115)],
        -255,
    );
    let of = |key: &str| number(&meter.reading(&ledger, key));
    let near = |is: f64, should: f64| assert!((is - should).abs() < 1e-9, "{is}, not {should}");
    near(of("power_factor_l1"), -600.0 / 690.0);
    near(of("power_factor_l2"), 1.0);
    near(of("power_factor_l3"), 0.5);
    // The signs of the currents must not cancel each other: 690 + 230 + 230.
    near(of("power_factor"), -255.0 / 1150.0);
}

#[test]
fn a_power_factor_is_clamped_and_not_known_near_zero() {
    let ledger = ledger("victron/vm-3p75ct");
    // More W than VA, by rounding; and a phase of 19.55 VA.
    let meter = loaded(4, [(23000, 10, 24), (23000, 8, 18), (0, 0, 0)], 42);
    assert_eq!(number(&meter.reading(&ledger, "power_factor_l1")), 1.0);
    let idle = meter.reading(&ledger, "power_factor_l2");
    assert_eq!((idle.value, idle.quality), (None, Quality::Invalid));
    assert_eq!(number(&meter.reading(&ledger, "power_factor")), 1.0);
    let nothing = loaded(3, [(23000, 0, 0); 3], 0).reading(&ledger, "power_factor");
    assert_eq!((nothing.value, nothing.quality), (None, Quality::Invalid));
}

#[test]
fn a_phase_that_is_not_measured_takes_nothing_from_the_power_factor() {
    let ledger = ledger("victron/vm-3p75ct");
    let meter = loaded(1, [(0, 0, 0), (23000, 500, 920), (0, 0, 0)], 920);
    assert_eq!(number(&meter.reading(&ledger, "power_factor")), 0.8);
    // A host reads only what it has to.
    let mut image = Image::default();
    for span in [
        Span {
            function: busbar_ledger::span::Function::Input,
            ..Span::holding(0x2000, 1)
        },
        Span {
            function: busbar_ledger::span::Function::Input,
            ..Span::holding(0x3048, 2)
        },
        Span {
            function: busbar_ledger::span::Function::Input,
            ..Span::holding(0x3080, 2)
        },
    ] {
        image.insert(span, meter.words(span));
    }
    let facts = Facts {
        firmware: Some("v1.07"),
        model: Some("VM-3P75CT"),
        readable: None,
        ..Facts::default()
    };
    let readings = readings(&ledger, &image, &facts);
    assert_eq!(number(&readings[ledger.index["power_factor"]]), 0.8);
}

#[test]
fn sentinels_are_no_value() {
    let ledger = ledger("victron/vm-3p75ct");
    let words = vec![
        (0x3034, 0xFFFF),
        (0x3035, 0xFFFF),
        (0x3042, 0xFFFF),
        (0x3043, 0xFFFF),
        (0x3046, 0xFFFF),
        (0x303B, 0xFF),
    ];
    let meter = Meter {
        product: 0xA1B1,
        firmware: [0, 1, 9, 255],
        phases: 3,
        words,
    };
    for key in [
        "energy_forward",
        "energy_forward_l1",
        "voltage_l1_l2",
        "phase_sequence",
    ] {
        let reading = meter.reading(&ledger, key);
        assert_eq!(
            (reading.value, reading.quality),
            (None, Quality::Invalid),
            "{key}"
        );
    }
}

#[test]
fn a_phase_that_was_only_not_read_is_not_taken_for_none() {
    let ledger = ledger("victron/vm-3p75ct");
    let meter = loaded(3, [(23000, 100, 230); 3], 690);
    let span = |at, count| Span {
        function: busbar_ledger::span::Function::Input,
        ..Span::holding(at, count)
    };
    let facts = Facts {
        firmware: Some("v1.07"),
        model: Some("VM-3P75CT"),
        readable: None,
        ..Facts::default()
    };
    let factor = |spans: &[Span]| {
        let mut image = Image::default();
        spans
            .iter()
            .for_each(|span| image.insert(*span, meter.words(*span)));
        readings(&ledger, &image, &facts)[ledger.index["power_factor"]].clone()
    };
    let all = [span(0x2000, 1), span(0x3040, 0x18), span(0x3080, 2)];
    assert_eq!(number(&factor(&all)), 1.0);
    // The third phase went unanswered: its 230 VA are unknown, and so is what they are part of.
    let two = [span(0x2000, 1), span(0x3040, 0x10), span(0x3080, 2)];
    assert_eq!(
        (factor(&two).value, factor(&two).quality),
        (None, Quality::Unavailable)
    );
}
