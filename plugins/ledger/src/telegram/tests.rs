use super::*;
use crate::parse;
use crate::value::Value;

const LEDGER: &str = r#"
ledger = "test/p1"
title = "Test"
[points]
power_import = { obis = "1-0:1.7.0", unit = "W", class = "power" }
power_export = { obis = "1-0:2.7.0", unit = "W", class = "power" }
current_l1 = { obis = "1-0:31.7.0", unit = "A", class = "current" }
energy_t1 = { obis = "1-0:1.8.1", unit = "kWh", class = "energy", total = "increasing" }
energy_t2 = { obis = "1-0:1.8.2", unit = "kWh", class = "energy", total = "increasing" }
energy = { obis = "1-0:1.8.0", unit = "kWh", class = "energy", total = "increasing", else = "computed" }
tariff = { obis = "0-0:96.14.0", type = "integer", class = "enum", labels = { 1 = "Low", 2 = "Normal" } }
message = { obis = "0-0:96.13.0", type = "text" }
made = { obis = "0-0:1.0.0", type = "timestamp", class = "timestamp" }
volume = { obis = ["0-n:24.2.1", "0-n:24.3.0"], unit = "m³", class = "gas", total = "increasing" }
log = { obis = "1-0:99.97.0", type = "raw" }
register = { at = 5, type = "u16" }
[computed]
power = { difference = ["power_import", { sum_present = ["power_export", 0] }], unit = "W", class = "power" }
energy = { sum_present = ["energy_t1", "energy_t2"] }
current = { product = ["current_l1", { sign = "power" }], unit = "A", class = "current" }
"#;

fn read(unit: u8, telegram: &[&str]) -> Vec<(String, Option<Value>, Quality)> {
    let ledger = parse("test.toml", LEDGER).unwrap();
    let readings = readings(&ledger, unit, &lines(telegram));
    assert_eq!(readings.len(), ledger.points.len());
    let points = ledger.points.iter().map(|point| point.key.clone());
    points
        .zip(readings)
        .map(|(key, reading)| (key, reading.value, reading.quality))
        .collect()
}

fn of(all: &[(String, Option<Value>, Quality)], key: &str) -> (Option<Value>, Quality) {
    let (_, value, quality) = all.iter().find(|(k, ..)| k == key).unwrap();
    (value.clone(), *quality)
}

fn good(value: Value) -> (Option<Value>, Quality) {
    (Some(value), Quality::Good)
}

const NONE: (Option<Value>, Quality) = (None, Quality::Unavailable);
const NO_VALUE: (Option<Value>, Quality) = (None, Quality::Invalid);

#[test]
fn each_line_is_read_by_its_code_and_unit() {
    let all = read(
        0,
        &[
            "1-0:1.7.0(00.500*kW)",
            "1-0:2.7.0(1700*W)",
            "1-0:31.7.0(007.4*A)",
            "1-0:1.8.1(000100.5*kWh)",
            "1-0:1.8.2(2000*Wh)",
            "0-0:96.14.0(0002)",
            "0-0:96.13.0()",
            "0-0:1.0.0(260703141530W)",
            "1-0:99.97.0(1)(0-0:96.7.19)(250801101500S)(0000000240*s)",
            "this is no line",
        ],
    );
    assert_eq!(of(&all, "power_import"), good(Value::Number(500.0)));
    assert_eq!(of(&all, "power"), good(Value::Number(-1200.0)));
    assert_eq!(of(&all, "current"), good(Value::Number(-7.4)));
    assert_eq!(of(&all, "energy"), good(Value::Number(102.5)));
    assert_eq!(of(&all, "tariff"), good(Value::Integer(2)));
    assert_eq!(of(&all, "message"), good(Value::Text(String::new())));
    assert_eq!(of(&all, "made"), good(Value::Integer(1_783_084_530)));
    assert_eq!(
        of(&all, "log"),
        good(Value::Text(
            "(1)(0-0:96.7.19)(250801101500S)(0000000240*s)".into()
        ))
    );
    assert_eq!(of(&all, "volume"), NONE);
    assert_eq!(of(&all, "register"), NONE);
}

#[test]
fn a_total_that_is_said_is_not_worked_out() {
    let all = read(0, &["1-0:1.8.0(7*kWh)", "1-0:1.8.1(1*kWh)"]);
    assert_eq!(of(&all, "energy"), good(Value::Number(7.0)));
    let broken = read(0, &["1-0:1.8.0(x*kWh)", "1-0:1.8.1(1*kWh)"]);
    assert_eq!(of(&broken, "energy"), NO_VALUE);
    let one_tariff = read(0, &["1-0:1.8.2(1*kWh)"]);
    assert_eq!(of(&one_tariff, "energy"), good(Value::Number(1.0)));
    let no_tariff = read(0, &["1-0:1.7.0(1*kW)"]);
    assert_eq!(of(&no_tariff, "energy"), NONE);
    let one_without_value = read(0, &["1-0:1.8.1(1*kWh)", "1-0:1.8.2(1)"]);
    assert_eq!(of(&one_without_value, "energy"), NO_VALUE);
}

#[test]
fn what_a_meter_does_not_say_stands_in_no_way() {
    let all = read(0, &["1-0:1.7.0(0.500*kW)"]);
    assert_eq!(of(&all, "power"), good(Value::Number(500.0)));
    let no_value = read(0, &["1-0:1.7.0(0.500*kW)", "1-0:2.7.0(*kW)"]);
    assert_eq!(of(&no_value, "power"), NO_VALUE);
    let only_export = read(0, &["1-0:2.7.0(0.500*kW)"]);
    assert_eq!(of(&only_export, "power"), NONE);
}

#[test]
fn a_line_that_measures_something_else_is_not_the_point_s() {
    let all = read(0, &["1-0:1.7.0(016*A)"]);
    assert_eq!(of(&all, "power_import"), NONE);
    let unknown = read(0, &["1-0:1.7.0(016*horses)"]);
    assert_eq!(of(&unknown, "power_import"), NO_VALUE);
}

#[test]
fn a_channel_is_a_unit() {
    let telegram = [
        "0-1:24.2.1(261025022500W)(01234.567*m3)",
        "0-2:24.3.0(090212160000)(00)(60)(1)(0-1:24.2.1)(161*m3)",
    ];
    assert_eq!(of(&read(1, &telegram), "volume"), good(Value::Number(1234.567)));
    assert_eq!(of(&read(2, &telegram), "volume"), good(Value::Number(161.0)));
    assert_eq!(of(&read(3, &telegram), "volume"), NONE);
}

#[test]
fn of_two_lines_with_one_code_the_last_counts() {
    let all = read(0, &["1-0:1.7.0(1*kW)", "1-0:1.7.0(2*kW)"]);
    assert_eq!(of(&all, "power_import"), good(Value::Number(2000.0)));
}

#[test]
fn a_point_is_present_where_it_was_said() {
    let ledger = parse("test.toml", LEDGER).unwrap();
    let lines = lines(&["1-0:1.8.1(1*kWh)", "1-0:1.7.0(*kW)"]);
    let said = Said::new(0, &lines, time::CENTRAL_EUROPE);
    let verdicts = verdicts(&ledger, &said);
    let of = |key: &str| &verdicts[ledger.index[key]];
    assert_eq!(of("energy_t1").status, presence::Status::Present);
    assert_eq!(of("energy_t1").proof, "the telegram has 1-0:1.8.1");
    assert_eq!(of("power_import").status, presence::Status::Present);
    assert_eq!(of("energy").status, presence::Status::Present);
    assert_eq!(of("energy_t2").status, presence::Status::Absent);
    assert_eq!(of("energy_t2").proof, "the telegram has no 1-0:1.8.2");
    assert_eq!(
        of("volume").proof,
        "the telegram has no 0-n:24.2.1 and no 0-n:24.3.0"
    );
    assert_eq!(of("current").status, presence::Status::Absent);
    assert_eq!(of("power").status, presence::Status::Present);
}

#[test]
fn points_in_telegrams_are_never_planned() {
    let ledger = parse("test.toml", LEDGER).unwrap();
    let all = 0..ledger.points.len();
    let wants = crate::plan::wants(&ledger, all, &Facts::default());
    assert_eq!(wants.len(), 1, "the register alone");
}
