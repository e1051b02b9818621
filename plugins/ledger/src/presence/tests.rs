use super::*;
use crate::ranges::Ranges;
use crate::readings::readings;
use crate::span::Span;
use crate::testing::{image, parsed};

const GX: &str = r#"
    [read]
    zero_is = "unproven"

    [groups.l2]
    title = "Phase L2 of the output"
    when = { point = "voltage_l2", above = 50 }
    requires = { point = "phases", at_least = 2 }

    [groups.bms]
    title = "BMS"
    proven_by = "sibling"

    [points]
    phases     = { at = 0, type = "u16" }
    voltage_l2 = { at = 1, type = "u16", scale = "1/10", unit = "V", class = "voltage", group = "l2" }
    alarm_l2   = { at = 2, type = "u16", group = "l2" }
    soc        = { at = 3, type = "u16", unit = "%", class = "battery" }
    name       = { at = 4, type = "text", words = 2 }
    cell_low   = { at = 6, type = "u16", group = "bms" }
    cell_alarm = { at = 7, type = "u16", group = "bms" }
    energy     = { at = 3728, type = "u32", unit = "kWh", class = "energy", fallback = [{ at = 790, type = "u16" }] }

    [computed]
    both  = { sum = ["soc", "cell_low"] }
    some  = { sum = ["soc", { first_valid = ["energy", 0] }] }
    best  = { first_valid = ["energy", "soc"] }
"#;

/// The verdicts on a device whose registers 0 to 7 hold these words and that has no others.
fn judge(words: [u16; 8], ever: &[&str]) -> impl Fn(&str) -> (Status, String) {
    let ledger = parsed(GX);
    let readable: Ranges = [Span::holding(0, 8)].into_iter().collect();
    let facts = Facts {
        readable: Some(&readable),
        ..Facts::default()
    };
    let readings = readings(&ledger, &image(&[(0, &words)]), &facts);
    let verdicts = verdicts(&ledger, &readings, &facts, &|key| ever.contains(&key));
    move |key| {
        let verdict = &verdicts[ledger.index[key]];
        (verdict.status, verdict.proof.clone())
    }
}

fn present(proof: &str) -> (Status, String) {
    (Status::Present, proof.to_owned())
}

fn unproven(proof: &str) -> (Status, String) {
    (Status::Unproven, proof.to_owned())
}

fn absent(proof: &str) -> (Status, String) {
    (Status::Absent, proof.to_owned())
}

#[test]
fn a_value_other_than_0_proves_itself() {
    let judge = judge([2, 2312, 0, 64, 0x4A7F, 0, 3, 0], &[]);
    assert_eq!(judge("soc"), present("register 3 read 64, not 0"));
    assert_eq!(judge("voltage_l2"), present("register 1 read 231.2, not 0"));
    assert_eq!(
        judge("name"),
        present("register 4 read \"J\\u{7f}\", a text"),
        "escaped: it comes from a device"
    );
}

#[test]
fn a_0_proves_nothing_on_a_device_that_answers_0_for_what_it_lacks() {
    let judge = judge([0; 8], &[]);
    assert_eq!(
        judge("soc"),
        unproven("register 3 read 0, as this device also does for what it lacks")
    );
    assert_eq!(
        judge("name"),
        unproven("register 4 read \"\", as this device also does for what it lacks")
    );
    assert_eq!(
        judge("alarm_l2").0,
        Status::Unproven,
        "0 phases means that their number is not known"
    );
}

#[test]
fn a_condition_proves_its_group() {
    let judge = judge([3, 2312, 0, 0, 0, 0, 0, 0], &[]);
    assert_eq!(
        judge("alarm_l2"),
        present("Phase L2 of the output: voltage_l2 is 231.2, above 50")
    );
}

#[test]
fn what_a_group_requires_denies_its_members_whatever_they_read() {
    let denied = "Phase L2 of the output: phases is 1, but would have to be at least 2";
    let judge = judge([1, 2312, 5, 0, 0, 0, 0, 0], &["alarm_l2"]);
    assert_eq!(judge("voltage_l2"), absent(denied));
    assert_eq!(judge("alarm_l2"), absent(denied));
}

#[test]
fn a_proven_sibling_proves_the_others_where_the_group_says_so() {
    let proof = "BMS: cell_low is proven, and they come together";
    assert_eq!(judge([0, 0, 0, 0, 0, 0, 3, 0], &[])("cell_alarm"), present(proof));
    assert_eq!(
        judge([0; 8], &["cell_low"])("cell_alarm"),
        present(proof),
        "also when it was proven before"
    );
    assert_eq!(judge([0; 8], &[])("cell_alarm").0, Status::Unproven);
    let l2 = judge([2, 0, 1, 0, 0, 0, 0, 0], &[]);
    assert_eq!(
        (l2("alarm_l2").0, l2("voltage_l2").0),
        (Status::Present, Status::Unproven)
    );
}

#[test]
fn what_was_proven_once_stays_so() {
    assert_eq!(judge([0; 8], &["soc"])("soc"), present("it was proven before"));
}

#[test]
fn a_point_without_a_register_is_absent() {
    let judge = judge([0; 8], &["energy"]);
    assert_eq!(
        judge("energy"),
        absent("this firmware has no register 3728 and no register 790")
    );
}

#[test]
fn computed_points_are_worth_what_they_need() {
    let low = judge([0, 0, 0, 64, 0, 0, 0, 0], &[]);
    assert_eq!(
        low("both"),
        unproven("it is worked out from cell_low, which is unproven")
    );
    assert_eq!(low("some"), present("it is worked out from energy, soc"));
    assert_eq!(low("best"), present("it is worked out from energy, soc"));
    let none = judge([0; 8], &[]);
    assert_eq!(none("some").0, Status::Unproven);
    assert_eq!(
        judge([0, 0, 0, 64, 0, 0, 3, 0], &[])("both"),
        present("it is worked out from cell_low, soc")
    );
}

#[test]
fn where_0_is_a_value_any_good_reading_proves() {
    let ledger = parsed(
        r#"
        [identify]
        firmware = { at = 90, words = 2, format = "bytes4" }
        [points]
        power  = { at = 0, type = "i16", unit = "W", class = "power" }
        energy = { at = 1, type = "u16", unit = "kWh", class = "energy", invalid = [0xFFFF] }
        factor = { at = 2, type = "i16", scale = "1/1000", class = "power_factor", since = "0.1.9.0" }
        far    = { at = 50, type = "u16" }
        coil   = { at = 7, type = "bits", bit = 0, function = "coils" }
        "#,
    );
    let verdicts = |firmware: Option<&str>, readable: Option<&Ranges>| -> Vec<String> {
        let facts = Facts {
            firmware,
            readable,
            ..Facts::default()
        };
        let readings = readings(&ledger, &image(&[(0, &[0, 0xFFFF, 990])]), &facts);
        let all = verdicts(&ledger, &readings, &facts, &|_| false);
        all.into_iter()
            .map(|v| format!("{}: {}", v.status.name(), v.proof))
            .collect()
    };
    assert_eq!(
        verdicts(Some("0.1.7.255"), None),
        [
            "present: register 0 read 0",
            "unproven: register 1 answered, but with no value",
            "absent: firmware 0.1.7.255 is older than 0.1.9.0, which brought it",
            "unproven: register 50 was not read",
            "unproven: coil 7 was not read",
        ]
    );
    let readable: Ranges = [Span::holding(0, 3)].into_iter().collect();
    let learned = verdicts(Some("0.1.9.255"), Some(&readable));
    assert_eq!(
        learned[2..],
        [
            "present: register 2 read 0.99",
            "absent: firmware 0.1.9.255 has no register 50",
            "absent: firmware 0.1.9.255 has no coil 7",
        ]
    );
}
