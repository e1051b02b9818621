//! Where a list of models is looked for, and what that costs.

use busbar_plugin_sdk::Mode;

use crate::image::{Image, common, list, model, talk};

fn inverter() -> Vec<u16> {
    list(&[&common("Fictional", "Five", "F-1"), &model(103, 50, 0)])
}

#[test]
fn the_three_places_of_the_specification_are_tried() {
    for base in [40_000, 0, 50_000] {
        let found = talk(&Image::new(1, base, &inverter()), Mode::Quick, &[])
            .verdict
            .devices;
        assert_eq!(found.len(), 1, "{base}");
        assert_eq!(
            (&*found[0].id, &*found[0].ledger),
            ("five_f_1", "sunspec/inverter-3p")
        );
    }
}

#[test]
fn what_is_no_sunspec_device_costs_three_requests() {
    let mut other = Image::new(1, 0, &[7; 200]);
    let talked = talk(&other, Mode::Quick, &[]);
    assert!(talked.verdict.devices.is_empty());
    assert_eq!(talked.probes.len(), 3);
    // Nobody at unit 1: two makers put theirs elsewhere.
    other = Image::default();
    assert_eq!(talk(&other, Mode::Quick, &[]).probes.len(), 3);
    // A unit that is silent is asked once.
    assert_eq!(talk(&other, Mode::Full, &[]).probes.len(), 247);
    assert_eq!(talk(&other, Mode::Listed, &[3, 9]).probes.len(), 2);
}

#[test]
fn the_meters_of_a_fronius_are_found_behind_its_inverter() {
    let mut image = Image::new(
        1,
        40_000,
        &list(&[&common("Fronius", "Symo 8.2-3-M", "1"), &model(113, 60, 0)]),
    );
    let meter = list(&[&common("Fronius", "Smart Meter 63A", "2"), &model(213, 124, 0)]);
    image.units.extend(Image::new(240, 40_000, &meter).units);
    let found = talk(&image, Mode::Quick, &[]).verdict.devices;
    let places: Vec<_> = found.iter().map(|d| (d.unit, &*d.id, &*d.ledger)).collect();
    assert_eq!(
        places,
        [
            (1, "symo_8_2_3_m_1", "sunspec/inverter-3p"),
            (240, "smart_meter_63a_2", "sunspec/meter-3p")
        ]
    );
}

#[test]
fn one_that_answers_at_every_unit_is_one_device() {
    let fronius = list(&[&common("Fronius", "Smart Meter IP", "7"), &model(203, 105, 0)]);
    let mut image = Image::new(1, 40_000, &fronius);
    for unit in [200, 240] {
        image.units.extend(Image::new(unit, 40_000, &fronius).units);
    }
    let found = talk(&image, Mode::Quick, &[]).verdict.devices;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].unit, 1);
}

#[test]
fn a_device_without_a_serial_number_is_told_by_its_place() {
    let words = list(&[
        &common("Fictional", "Five", ""),
        &model(101, 50, 0),
        &common("Fictional", "Meter", "///"),
        &model(201, 105, 0),
    ]);
    let found = talk(&Image::new(3, 40_000, &words), Mode::Listed, &[3])
        .verdict
        .devices;
    let ids: Vec<_> = found.iter().map(|d| (&*d.id, d.serial.as_deref())).collect();
    assert_eq!(ids, [("five_u3", None), ("meter_u3_2", None)]);
}

#[test]
fn a_device_is_known_again_by_the_register_of_its_serial_number() {
    let words = list(&[
        &common("Fictional", "Five", "F-1"),
        &model(101, 50, 0),
        &common("Fictional", "Meter", "0000"),
        &model(201, 105, 0),
    ]);
    let image = Image::new(1, 40_000, &words);
    let found = talk(&image, Mode::Quick, &[]).verdict.devices;
    let serial_at = |n: usize| {
        let text = found[n].ledger_text.as_deref().unwrap();
        let ledger = busbar_ledger::parse("t", text).unwrap_or_else(|faults| panic!("{faults}"));
        Some(ledger.identify?.serial?.span.at)
    };
    assert_eq!(serial_at(0), Some(40_052));
    // Zeros are what meters say to which no number was given.
    assert_eq!((serial_at(1), found[1].serial.as_deref()), (None, None));
}

#[test]
fn several_models_of_one_kind_are_numbered_and_none_takes_another_s_keys() {
    let words = list(&[
        &common("Fictional", "Hybrid", "H1"),
        &model(103, 50, 1),
        &model(203, 105, 1),
        &model(203, 105, 1),
        &model(802, 62, 1),
    ]);
    let found = talk(&Image::new(1, 40_000, &words), Mode::Quick, &[])
        .verdict
        .devices;
    let text = found[0].ledger_text.as_deref().unwrap();
    let ledger = busbar_ledger::parse("t", text).unwrap_or_else(|faults| panic!("{faults}"));
    for key in [
        "ac_power",
        "meter_power_total",
        "meter_power_total_2",
        "battery_soc",
        "battery_power",
    ] {
        assert!(ledger.point(key).is_some(), "{key}");
    }
}
