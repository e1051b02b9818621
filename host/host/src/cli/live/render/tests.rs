use serde_json::{Map, Value, json};

use super::*;
use crate::cli::live::model::Gap;
use crate::one_device::ReadReport;

const S: Duration = Duration::from_secs(1);
const PLAIN: Style = Style { colour: false };
const CLOCK: &str = "2026-11-21 12:03:04 UTC";

fn point(key: &str, name: &str, value: Value, unit: &str, class: &str, decimals: u8) -> (String, Value) {
    let unit = (!unit.is_empty()).then_some(unit);
    let said = json!({
        "value": value, "unit": unit, "quality": "good", "raw": [], "status": "present", "name": name,
        "class": class, "decimals": decimals,
    });
    (key.to_owned(), said)
}

fn report(points: Vec<(String, Value)>) -> ReadReport {
    ReadReport {
        device: json!({
            "connection": "modbus+udp://192.168.1.40:502", "ledger": "victron/vm-3p75ct", "unit_id": 1,
            "name": "Zählerschrank", "model": "VM-3P75CT", "serial": "HQ2419QXCLR", "firmware": "v1.09",
        }),
        points: points.into_iter().collect::<Map<_, _>>(),
        time_ms: None,
        missing: None,
    }
}

/// A meter of these phases at second `n`.
fn meter(phases: &[u8], n: u32) -> ReadReport {
    let wave = f64::from(n % 20) * 40.0 - 688.0;
    let mut points = vec![
        point("serial", "Serial number", json!("HQ2419QXCLR"), "", "identity", 0),
        point("role", "Role", json!(0), "", "enum", 0),
        point("power_total", "Power", json!(wave + 74.0), "W", "power", 0),
        point(
            "energy_forward",
            "Energy imported",
            json!(12_345.67),
            "kWh",
            "energy",
            2,
        ),
        point("frequency", "Frequency", json!(50.02), "Hz", "frequency", 2),
        point("voltage_pen", "Voltage PE-N", json!(-0.001), "V", "voltage", 2),
    ];
    points[1].1["label"] = json!("Grid meter");
    for phase in phases {
        let of = |key: &str| format!("{key}_l{phase}");
        let name = |name: &str| format!("L{phase} {name}");
        points.push(point(
            &of("voltage"),
            &name("voltage"),
            json!(231.14),
            "V",
            "voltage",
            2,
        ));
        points.push(point(
            &of("current"),
            &name("current"),
            json!(-3.06),
            "A",
            "current",
            2,
        ));
        let power = if *phase == 1 {
            wave
        } else {
            f64::from(*phase) * 20.0
        };
        points.push(point(&of("power"), &name("power"), json!(power), "W", "power", 0));
        points.push(point(
            &of("energy_forward"),
            &name("energy imported"),
            json!(19.43),
            "kWh",
            "energy",
            2,
        ));
        points.push(point(
            &of("power_factor"),
            &name("power factor"),
            json!(-0.973),
            "",
            "power_factor",
            3,
        ));
    }
    points.push(point(
        "power_factor",
        "Power factor",
        json!(-0.962),
        "",
        "power_factor",
        3,
    ));
    if phases.len() == 3 {
        points.push(point(
            "voltage_l1_l2",
            "L1 to L2 voltage",
            json!(400.11),
            "V",
            "voltage",
            2,
        ));
    }
    report(points)
}

fn watched(phases: &[u8], seconds: u32) -> Live {
    let mut live = Live::new("modbus+udp://192.168.1.40:502", S);
    (0..=seconds).for_each(|n| live.take(&meter(phases, n), S * n));
    live
}

fn shown(live: &Live, now: Duration, width: usize) -> String {
    let lines = table(live, now, CLOCK, Size { width, height: 40 }, PLAIN);
    let wide = lines.iter().find(|line| line.width() > width);
    assert_eq!(wide, None, "wider than {width}");
    lines
        .iter()
        .map(|line| line.trim_end().to_owned() + "\n")
        .collect()
}

#[test]
fn three_phases_stand_in_columns() {
    let live = watched(&[1, 2, 3], 45);
    insta::assert_snapshot!("three_80", shown(&live, S * 45, 80));
    insta::assert_snapshot!("three_120", shown(&live, S * 45, 120));
}

#[test]
fn one_phase_and_its_total() {
    insta::assert_snapshot!("one_80", shown(&watched(&[2], 5), S * 5, 80));
}

#[test]
fn a_gap_is_stated_and_no_old_value_is_shown() {
    let mut live = watched(&[1, 2, 3], 30);
    let gap = Gap {
        cause: "modbus+udp://192.168.1.40:502: unit 1 did not answer within 300 ms".to_owned(),
        hint: "Check that the device is switched on and in this network, and that its address is right."
            .to_owned(),
    };
    (31..34).for_each(|n| live.miss(S * n, gap.clone()));
    let text = shown(&live, S * 33, 80);
    assert!(
        text.contains("no answer for 3 s") && !text.contains("231.14"),
        "{text}"
    );
    insta::assert_snapshot!("gap_80", text);
    // And back again.
    live.take(&meter(&[1, 2, 3], 34), S * 34);
    let text = shown(&live, S * 34, 80);
    assert!(
        !text.contains("no answer") && text.contains("231.14") && text.contains('·'),
        "{text}"
    );
}

#[test]
fn before_the_first_answer_it_says_what_to_check() {
    let mut live = Live::new("modbus+udp://192.168.1.40:502", S);
    let gap = Gap {
        cause: "it does not answer".to_owned(),
        hint: "Check the address.".to_owned(),
    };
    live.miss(S * 4, gap);
    insta::assert_snapshot!("waiting_80", shown(&live, S * 4, 80));
}

#[test]
fn what_could_not_be_read_is_told_with_its_age() {
    let mut live = watched(&[1, 2, 3], 10);
    let mut report = meter(&[1, 2, 3], 14);
    report.points["voltage_l2"]["quality"] = json!("unavailable");
    report.points["voltage_l2"]["value"] = Value::Null;
    report.missing = Some("unit 1 did not answer".to_owned());
    live.take(&report, S * 14);
    let text = shown(&live, S * 14, 80);
    let voltage = text.lines().find(|line| line.starts_with("Voltage ")).unwrap();
    assert!(voltage.contains('–') && voltage.ends_with("4 s"), "{voltage}");
    assert!(
        text.contains("1 values are missing: unit 1 did not answer"),
        "{text}"
    );
}

#[test]
fn a_device_without_phases_has_a_line_for_each_value() {
    let mut live = Live::new("modbus+tcp://192.168.1.9:502", S);
    for n in 0..20 {
        live.take(
            &report(vec![
                point("power", "Power", json!(100 + n), "W", "power", 0),
                point("soc", "State of charge", json!(61.5), "%", "battery", 1),
                point("state", "State", json!("Bulk"), "", "enum", 0),
            ]),
            S * n,
        );
    }
    insta::assert_snapshot!("list_80", shown(&live, S * 19, 80));
    insta::assert_snapshot!("list_40", shown(&live, S * 19, 40));
}

#[test]
fn a_small_window_is_told_of_and_never_left() {
    let live = watched(&[1, 2, 3], 45);
    for (width, height) in [(20, 5), (40, 10), (57, 24), (58, 12), (80, 24), (200, 60)] {
        let lines = table(&live, S * 45, CLOCK, Size { width, height }, PLAIN);
        assert!(lines.len() <= height, "{} lines in {height}", lines.len());
        assert!(
            lines.iter().all(|line| line.width() <= width),
            "{width}: {lines:#?}"
        );
    }
}

#[test]
fn keys_are_split_where_a_phase_stands_alone() {
    assert_eq!(split("power_l1"), Some(("power".to_owned(), '1')));
    assert_eq!(split("ac_out_l2_p"), Some(("ac_out_p".to_owned(), '2')));
    for none in ["voltage_l1_l2", "level", "l1", "power_l4", "power"] {
        assert_eq!(split(none), None, "{none}");
    }
}

#[test]
fn a_line_for_a_pipe() {
    let mut live = watched(&[1], 2);
    let line = plain(&live, S * 2, CLOCK);
    assert!(
        line.starts_with("2026-11-21 12:03:04 UTC  role=Grid meter  power_total=-534 W"),
        "{line}"
    );
    live.miss(
        S * 5,
        Gap {
            cause: "silence".to_owned(),
            hint: String::new(),
        },
    );
    assert_eq!(
        plain(&live, S * 5, CLOCK),
        "2026-11-21 12:03:04 UTC  no answer for 3 s: silence"
    );
}
