//! What the telegrams mean, value by value.

use busbar_ledger::value::Quality;
use busbar_plugin_sdk::{Checked, Feed, Plugin};

use crate::common::{KEY, devices, encrypted, file, hear, one};

/// A Swedish telegram: no tariffs, no version, each phase in both directions.
#[test]
fn a_swedish_meter() {
    let telegram = one(&file("se"));
    assert_eq!(
        (telegram.checked, telegram.variant.as_str()),
        (Checked::Crc, "se")
    );
    // 2026-07-03T13:15:30Z: the meter stays on standard time all summer.
    assert_eq!(telegram.time_ms, Some(1_783_084_530_000));
    let devices = devices(&telegram);
    let meter = &devices[&0];
    for (key, value) in [
        ("power_total", -1250.0),
        ("power_import", 0.0),
        ("power_export", 1250.0),
        ("power_l1", 400.0),
        ("power_l2", -1700.0),
        ("power_l3", 50.0),
        ("energy_forward", 12_345.678),
        ("energy_reverse", 987.654),
        ("reactive_energy_forward", 12.345),
        ("reactive_power_total", -100.0),
        ("reactive_power_l2", -150.0),
        ("voltage_l2", 232.0),
        ("current_l2", 7.4),
        ("current_signed_l1", 1.8),
        ("current_signed_l2", -7.4),
        ("apparent_power_l2", 232.0 * 7.4),
        ("power_factor_l2", -1700.0 / (232.0 * 7.4)),
        ("time", 1_783_084_530.0),
    ] {
        let read = meter.number(key).unwrap_or_else(|| panic!("{key}"));
        assert!(
            (read - value).abs() < 1e-9 * value.abs().max(1.0),
            "{key}: {read}, not {value}"
        );
    }
    // 50 W of 69 VA; 400 of 417.
    let factor = meter.number("power_factor").unwrap();
    let apparent = 231.4 * 1.8 + 232.0 * 7.4 + 230.8 * 0.3;
    assert!((factor - -1250.0 / apparent).abs() < 1e-9);
    for absent in [
        "energy_forward_t1",
        "tariff",
        "breaker",
        "frequency",
        "power_demand",
        "serial",
    ] {
        assert_eq!(meter.reading(absent).quality, Quality::Unavailable, "{absent}");
    }
    assert_eq!(devices.len(), 1);
}

/// A Dutch one with gas and water, in the second 02:30 of the night that has it twice.
#[test]
fn a_dutch_meter_with_gas_and_water() {
    let telegram = one(&file("nl50"));
    assert_eq!(
        (telegram.checked, telegram.variant.as_str()),
        (Checked::Crc, "nl5")
    );
    assert_eq!(telegram.time_ms, Some(1_792_891_800_000));
    let devices = devices(&telegram);
    let meter = &devices[&0];
    assert_eq!(meter.number("energy_forward"), Some(3580.245));
    assert_eq!(meter.number("energy_reverse"), Some(35.801));
    assert_eq!(meter.number("power_total"), Some(512.0));
    assert_eq!(meter.value("tariff").as_deref(), Some("2"));
    assert_eq!(meter.value("serial").as_deref(), Some("E0001234567890"));
    assert_eq!(meter.value("version").as_deref(), Some("50"));
    assert_eq!(meter.value("power_failures").as_deref(), Some("4"));
    assert_eq!(meter.value("logged_power_failures").as_deref(), Some("2"));
    assert_eq!(meter.value("voltage_sags_l3").as_deref(), Some("2"));
    assert_eq!(meter.value("message").as_deref(), Some(""));
    let label = |key: &str| meter.ledger.point(key).unwrap().label.clone();
    assert_eq!(label("energy_forward_t1"), "Energy imported, tariff 1 (low)");
    let gas = &devices[&1];
    assert_eq!(gas.ledger.name, "dsmr/p1-gas");
    assert_eq!(gas.number("volume"), Some(1234.567));
    assert_eq!(gas.number("read_at"), Some(1_792_891_500.0));
    assert_eq!(gas.found.serial.as_deref(), Some("G0001234567890"));
    let water = &devices[&2];
    assert_eq!(water.ledger.name, "dsmr/p1-water");
    assert_eq!(water.number("volume"), Some(456.789));
}

/// One without version, time and sum, whose gas stands on two lines and does not say in which zone its time is.
#[test]
fn an_old_dutch_meter() {
    let telegram = one(&file("nl22"));
    assert_eq!(
        (telegram.checked, telegram.variant.as_str()),
        (Checked::None, "nl3")
    );
    assert_eq!(telegram.time_ms, None);
    let devices = devices(&telegram);
    assert_eq!(devices[&0].number("power_total"), Some(510.0));
    assert_eq!(devices[&0].number("power_limit"), Some(999_000.0));
    assert_eq!(devices[&0].reading("current_limit").quality, Quality::Unavailable);
    let gas = &devices[&1];
    assert_eq!(gas.number("volume"), Some(1234.567));
    assert_eq!(gas.reading("read_at").quality, Quality::Invalid);
    assert_eq!(gas.value("valve").as_deref(), Some("1"));
    // A power limit in amperes, as in DSMR 3.
    let devices = crate::common::devices(&one(&file("dsmr-parser/v3")));
    assert_eq!(devices[&0].number("current_limit"), Some(16.0));
    assert_eq!(devices[&0].reading("power_limit").quality, Quality::Unavailable);
}

/// A Belgian one: tariffs the other way round, what is paid for by its highest mean, gas without correction.
#[test]
fn a_belgian_meter() {
    let telegram = one(&file("be"));
    assert_eq!(telegram.variant, "be");
    let devices = devices(&telegram);
    let meter = &devices[&0];
    let label = |key: &str| meter.ledger.point(key).unwrap().label.clone();
    assert_eq!(label("energy_forward_t1"), "Energy imported, tariff 1 (day)");
    let tariff = meter.reading("tariff").value.clone().unwrap();
    let tariff = meter.ledger.point("tariff").unwrap().meaning(&tariff);
    assert_eq!(tariff.as_deref(), Some("Day"));
    assert_eq!(meter.number("power_demand"), Some(1250.0));
    assert_eq!(meter.number("power_demand_max"), Some(4500.0));
    // 2026-11-05T17:15:00Z
    assert_eq!(meter.number("power_demand_max_at"), Some(1_793_898_900.0));
    assert!(
        meter
            .value("history")
            .unwrap()
            .starts_with("(2)(1-0:1.6.0)(1-0:1.6.0)(261001000000S)")
    );
    assert_eq!(meter.number("fuse_l1"), Some(999.0));
    assert_eq!(meter.value("breaker").as_deref(), Some("1"));
    assert_eq!(devices[&1].number("volume_uncorrected"), Some(321.654));
    assert_eq!(devices[&1].reading("volume").quality, Quality::Unavailable);
    assert_eq!(devices[&2].number("volume"), Some(123.456));
}

#[test]
fn an_austrian_meter_says_watts() {
    let telegram = one(&file("dsmr-parser/sagemcom_t210_d_r"));
    assert_eq!(telegram.variant, "at");
    let meter = &devices(&telegram)[&0];
    assert_eq!(meter.number("energy_forward"), Some(6545.766));
    assert_eq!(meter.number("power_import"), Some(286.0));
    assert_eq!(meter.number("reactive_energy_reverse_t2"), Some(1204.878));
    assert_eq!(meter.number("reactive_power_export"), Some(166.0));
}

#[test]
fn a_hungarian_meter_keeps_the_end_of_the_month() {
    let telegram = one(&file("dsmr-parser/eon_hu"));
    assert_eq!(telegram.variant, "hu");
    let meter = &devices(&telegram)[&0];
    // 2023-06-30T22:00:00Z
    assert_eq!(meter.number("month_end"), Some(1_688_162_400.0));
    assert_eq!(meter.number("month_end_energy_forward"), Some(40.777));
    assert_eq!(meter.number("month_end_energy_gross"), Some(183.027));
    assert_eq!(meter.number("month_end_power_export_max_t2"), Some(3400.0));
    assert_eq!(meter.number("energy_gross"), Some(800.817));
    // A power factor of 4.5 is none.
    assert_eq!(meter.reading("power_factor").quality, Quality::Invalid);
    assert_eq!(meter.reading("power_factor_l1").quality, Quality::Invalid);
    assert_eq!(meter.value("serial").as_deref(), Some("890082200002160"));
    assert_eq!(meter.value("logical_device").as_deref(), Some("SAG3082200002160"));
}

#[test]
fn an_irish_meter_has_another_standard_time() {
    let telegram = one(&file("dsmr-parser/iskra_ie"));
    assert_eq!(
        (telegram.variant.as_str(), telegram.ident.as_str()),
        ("ie", "ISk5 MIE5T-200")
    );
    // 13:27:47 of daylight time, one hour ahead of Greenwich: 2023-02-02T12:27:47Z
    assert_eq!(telegram.time_ms, Some(1_675_340_867_000));
    assert_eq!(devices(&telegram)[&0].number("time"), Some(1_675_340_867.0));
    let set = Feed {
        bytes: &file("dsmr-parser/iskra_ie"),
        standard_offset: Some(120),
        ..Feed::default()
    };
    let heard = busbar_plugin_p1::P1.telegram(&set);
    assert_eq!(
        heard.telegrams[0].time_ms,
        Some(1_675_340_867_000 - 2 * 3_600_000)
    );
}

#[test]
fn meters_that_say_the_like_on_their_d0_port() {
    for (name, serial, power) in [
        ("dsmr-parser/easymeter_q3db1024", "1ESY1313002565", 2124.86),
        ("dsmr-parser/easymeter_q3da1004", "1ESY1336001560", 1688.21),
    ] {
        let heard = hear(&file(name));
        assert_eq!((heard.telegrams.len(), heard.unchecked, heard.damaged), (1, 1, 0));
        let telegram = &heard.telegrams[0];
        assert_eq!(telegram.variant, "d0");
        let devices = devices(telegram);
        let meter = &devices[&0];
        assert_eq!(meter.number("power_import"), Some(power));
        assert_eq!(meter.found.serial.as_deref(), Some(serial));
        assert_eq!(meter.value("raw_1_0_96_5_5").as_deref(), Some("(80)"));
    }
    let meter = &devices(&one(&file("dsmr-parser/easymeter_q3db1024")))[&0];
    assert_eq!(meter.number("energy_forward"), Some(52_185.782_530_9));
}

#[test]
fn an_encrypted_telegram_is_read_with_its_key() {
    let telegram = one(&encrypted());
    assert_eq!(
        (telegram.checked, telegram.variant.as_str()),
        (Checked::Crc, "lu")
    );
    let meter = &devices(&telegram)[&0];
    assert_eq!(meter.number("energy_forward"), Some(20.0));
    assert_eq!(meter.number("power_total"), Some(123.0));
    let heard = |key: &[u8]| {
        let bytes = encrypted();
        let feed = Feed {
            bytes: &bytes,
            key,
            ..Feed::default()
        };
        busbar_plugin_p1::P1.telegram(&feed)
    };
    let note = |key: &[u8]| {
        let heard = heard(key);
        assert!(heard.telegrams.is_empty() && heard.damaged == 0, "{heard:?}");
        heard.note.unwrap()
    };
    assert!(note(&[]).contains("set it as `key`"));
    let mut other = KEY;
    other[5] ^= 1;
    assert!(note(&other).contains("does not open them"), "{}", note(&other));
}

#[test]
fn the_fuse_of_a_sum_is_never_blown_by_what_does_not_add_up() {
    // The phases of this published telegram do not add up to its total: both stand as the meter says them.
    let meter = &devices(&one(&file("dsmr-parser/v4_2")))[&0];
    assert_eq!(meter.number("power_total"), Some(2027.0));
    let phases: f64 = (1..=3).filter_map(|n| meter.number(&format!("power_l{n}"))).sum();
    assert_eq!(phases, 1626.0);
    // A current of less than an ampere is none, and so is what would be worked out from it.
    assert_eq!(meter.reading("power_factor_l1").quality, Quality::Unavailable);
}
