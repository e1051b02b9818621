//! What the shipped ledgers say of writes: every writable point has a rule with its source or a reason for having none,
//! and its bounds are those of its meaning.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may fail by panicking"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use busbar_ledger::model::{Class, Ledger, Point, Test, ValueType};
use busbar_ledger::write::{Bound, By, Interlock, Kind, Risk, SiteLimit, Storage, WriteRule};

/// All ledgers of the repository by name.
fn shipped() -> BTreeMap<String, Ledger> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ledgers");
    let mut all = BTreeMap::new();
    for maker in std::fs::read_dir(root).unwrap() {
        let maker = maker.unwrap().path();
        if !maker.is_dir() {
            continue;
        }
        for file in std::fs::read_dir(maker).unwrap() {
            let path = file.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let text = std::fs::read_to_string(&path).unwrap();
            let is_ledger = name.ends_with(".toml")
                && !name.ends_with(".sample.toml")
                && text.lines().any(|line| line.starts_with("ledger"));
            if is_ledger {
                let ledger = busbar_ledger::parse(&name, &text).unwrap_or_else(|faults| panic!("{faults}"));
                all.insert(ledger.name.clone(), ledger);
            }
        }
    }
    assert!(all.len() >= 33, "found only {}", all.len());
    all
}

/// Each point with a rule: `ledger key`, the point, its rule.
fn rules(ledgers: &BTreeMap<String, Ledger>) -> Vec<(String, &Point, &WriteRule)> {
    ledgers
        .iter()
        .flat_map(|(name, ledger)| ledger.points.iter().map(move |point| (name, point)))
        .filter_map(|(name, point)| Some((format!("{name} {}", point.key), point, point.write.as_ref()?)))
        .collect()
}

fn rule<'a>(ledgers: &'a BTreeMap<String, Ledger>, ledger: &str, at: u16) -> &'a WriteRule {
    let point = ledgers[ledger]
        .points
        .iter()
        .find(|point| point.registers().iter().any(|register| register.span.at == at));
    point
        .and_then(|point| point.write.as_ref())
        .unwrap_or_else(|| panic!("{ledger} {at} has no rule"))
}

/// The limits of the site in a rule's range.
fn limits(rule: &WriteRule) -> Vec<(SiteLimit, bool)> {
    let ends = rule.range.map(|(min, max)| [min, max]).into_iter().flatten();
    ends.filter_map(|end| match end {
        Bound::Site { limit, negative } => Some((limit, negative)),
        Bound::Number(_) => None,
    })
    .collect()
}

fn site(limit: SiteLimit) -> Bound {
    Bound::Site {
        limit,
        negative: false,
    }
}

fn both_ways(limit: SiteLimit) -> Option<(Bound, Bound)> {
    let negative = Bound::Site {
        limit,
        negative: true,
    };
    Some((negative, site(limit)))
}

fn one_way(limit: SiteLimit) -> Option<(Bound, Bound)> {
    Some((Bound::Number(0.0), site(limit)))
}

fn is_signed(ty: ValueType) -> bool {
    matches!(
        ty,
        ValueType::I16 | ValueType::I32 | ValueType::I64 | ValueType::F32 | ValueType::F64
    )
}

#[test]
fn every_writable_point_has_a_rule_with_its_source_or_a_reason() {
    let mut reasons = 0;
    for (name, ledger) in shipped() {
        for point in ledger.points.iter().filter(|point| point.writable) {
            match (&point.write, &point.not_written) {
                (Some(rule), None) => assert!(
                    rule.source.is_some(),
                    "{name} {}: where do the bounds come from?",
                    point.key
                ),
                (None, Some(_)) => reasons += 1,
                _ => panic!(
                    "{name} {}: writable, so it needs a `write` with its `source`, or `not_written`",
                    point.key
                ),
            }
        }
    }
    assert!(reasons > 30, "only {reasons} points are never written");
}

#[test]
fn the_writable_points_of_a_gx_are_those_of_the_vendors_list() {
    let ledgers = shipped();
    let facts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ledgers/victron/gx-facts.csv");
    let facts = std::fs::read_to_string(facts).unwrap();
    let listed: BTreeSet<(String, u16)> = facts
        .lines()
        .filter(|line| !line.starts_with('#') && line.ends_with(",W"))
        .map(|line| line.split(',').collect::<Vec<_>>())
        // The list marks some reserved runs as writable, too.
        .filter(|fields| !fields[3].starts_with("reserved"))
        .map(|fields| (format!("victron/gx-{}", fields[0]), fields[2].parse().unwrap()))
        .collect();
    let writable: Vec<(String, u16)> = ledgers
        .values()
        .filter(|ledger| ledger.name.starts_with("victron/gx-"))
        .flat_map(|ledger| ledger.points.iter().map(move |point| (ledger, point)))
        .filter(|(_, point)| point.writable)
        .map(|(ledger, point)| (ledger.name.clone(), point.register().unwrap().span.at))
        .collect();
    assert_eq!(listed.len(), 152);
    assert_eq!(writable.len(), 152);
    assert_eq!(writable.into_iter().collect::<BTreeSet<_>>(), listed);
}

#[test]
fn bounds_are_those_of_the_meaning() {
    use SiteLimit::{AcCurrent, AcPower, AcPowerPhase, BatteryVoltage, DcCurrent};
    let ledgers = shipped();
    let mut seen = BTreeMap::<&str, usize>::new();
    for (name, point, rule) in rules(&ledgers) {
        let register = point.register().unwrap();
        let limits = limits(rule);
        let mut count = |what| *seen.entry(what).or_default() += 1;
        let of_phase = point.origin.as_deref().is_some_and(|origin| {
            ["/L1/", "/L2/", "/L3/"]
                .iter()
                .any(|phase| origin.contains(phase))
        });
        match (point.class, point.unit.as_deref()) {
            (Some(Class::Power), _) if of_phase => {
                count("power of a phase");
                assert!(
                    !limits.is_empty() && limits.iter().all(|(limit, _)| *limit == AcPowerPhase),
                    "{name}"
                );
            }
            (Some(Class::Power), _) => {
                count("power of the whole");
                assert!(
                    !limits.is_empty()
                        && limits
                            .iter()
                            .all(|(limit, _)| matches!(limit, AcPower | AcPowerPhase)),
                    "{name}"
                );
            }
            (Some(Class::Current), _) => {
                count("current");
                let (low, high) = rule.range.unwrap();
                assert_eq!(low, Bound::Number(0.0), "{name}");
                assert!(high == site(AcCurrent) || high == site(DcCurrent), "{name}");
            }
            (Some(Class::Voltage), _) => {
                count("voltage");
                assert!(!name.contains("_ac_") && !name.contains("output"), "{name}");
                assert_eq!(
                    rule.range,
                    Some((site(BatteryVoltage), site(BatteryVoltage))),
                    "{name}"
                );
            }
            (_, Some("%")) => {
                count("percentage");
                assert_eq!(
                    rule.range,
                    Some((Bound::Number(0.0), Bound::Number(100.0))),
                    "{name}"
                );
            }
            (Some(Class::Enum), _) => {
                count("enumeration");
                assert!(rule.range.is_none() && !rule.choices.is_empty(), "{name}");
                for choice in &rule.choices {
                    let label = point.labels.get(&(*choice as i64));
                    assert!(label.is_some(), "{name}: {choice} means nothing");
                    let bad = ["error", "unavailable", "unknown", "reserved"];
                    let label = label.unwrap().to_lowercase();
                    assert!(
                        !bad.iter().any(|bad| label.contains(bad)),
                        "{name}: {label} cannot be wanted"
                    );
                }
            }
            _ => count("other"),
        }
        let below_zero = limits.iter().any(|(_, negative)| *negative)
            || matches!(rule.range, Some((Bound::Number(low), _)) if low < 0.0);
        assert!(
            !below_zero || is_signed(register.ty),
            "{name}: the register holds nothing below 0"
        );
        assert!(
            rule.no_limit.is_none_or(|value| value < 0.0 && !below_zero),
            "{name}"
        );
        assert_eq!(rule.kind == Kind::Text, register.ty == ValueType::Text, "{name}");
        let of_watts_volts_or_amps = matches!(point.unit.as_deref(), Some("W" | "V" | "A"));
        assert!(
            !of_watts_volts_or_amps || rule.risk == Risk::High,
            "{name}: asks twice"
        );
    }
    // What this table walks over is there: an empty walk proves nothing.
    for (what, least) in [
        ("power of a phase", 9),
        ("power of the whole", 10),
        ("current", 11),
        ("voltage", 1),
        ("percentage", 7),
        ("enumeration", 40),
    ] {
        assert!(
            seen.get(what).is_some_and(|count| *count >= least),
            "{what}: {seen:?}"
        );
    }
}

#[test]
fn the_setpoints_that_can_do_most_harm_are_bounded_one_by_one() {
    use SiteLimit::{AcCurrent, AcPower, AcPowerPhase, DcCurrent};
    let ledgers = shipped();
    for (ledger, at, range, no_limit) in [
        ("victron/gx-settings", 2700, both_ways(AcPower), None),
        ("victron/gx-settings", 2703, both_ways(AcPower), None),
        ("victron/gx-settings", 2704, one_way(AcPower), None),
        ("victron/gx-settings", 2705, one_way(DcCurrent), Some(-1.0)),
        ("victron/gx-settings", 2706, one_way(AcPower), None),
        ("victron/gx-settings", 2713, one_way(AcCurrent), Some(-1.0)),
        ("victron/gx-settings", 2714, one_way(AcCurrent), Some(-1.0)),
        ("victron/gx-settings", 2720, one_way(AcPower), Some(-1.0)),
        ("victron/gx-settings", 2722, one_way(AcPower), Some(-1.0)),
        ("victron/gx-hub4", 2716, both_ways(AcPower), None),
        ("victron/gx-vebus", 22, one_way(AcCurrent), None),
        ("victron/gx-vebus", 37, both_ways(AcPowerPhase), None),
        ("victron/gx-vebus", 66, one_way(AcPowerPhase), None),
        ("victron/gx-vebus", 96, both_ways(AcPowerPhase), None),
        ("victron/gx-pvinverter", 1056, one_way(AcPower), None),
        ("victron/gx-multi", 4610, both_ways(AcPowerPhase), None),
        ("victron/gx-acsystem", 4922, both_ways(AcPower), None),
    ] {
        let rule = rule(&ledgers, ledger, at);
        assert_eq!((rule.range, rule.no_limit), (range, no_limit), "{ledger} {at}");
    }
}

#[test]
fn an_alias_has_the_bounds_of_the_point_that_it_stands_for() {
    let ledgers = shipped();
    let mut aliases = BTreeSet::new();
    for ledger in ledgers.values() {
        for point in &ledger.points {
            let Some(rule) = &point.write else { continue };
            let Some(of) = &rule.alias_of else { continue };
            let main = ledger.point(of).unwrap();
            let name = format!("{} {}", ledger.name, point.key);
            assert_eq!(main.origin, point.origin, "{name}: another setting");
            let main = main.write.as_ref().unwrap();
            assert_eq!(rule.range, main.range, "{name}");
            assert_eq!(rule.choices, main.choices, "{name}");
            assert_eq!(rule.interlocks, main.interlocks, "{name}");
            assert_eq!(
                (rule.storage, rule.lease, rule.risk, rule.daily_budget),
                (main.storage, main.lease, main.risk, main.daily_budget),
                "{name}"
            );
            aliases.insert(point.register().unwrap().span.at);
        }
    }
    assert_eq!(aliases, BTreeSet::from([37, 40, 41, 2703, 2704, 2706]));
}

#[test]
fn no_setting_can_be_written_in_two_registers_as_if_they_were_two() {
    for ledger in shipped().values() {
        let mut paths: BTreeMap<&str, &str> = BTreeMap::new();
        for point in ledger.points.iter().filter(|point| point.write.is_some()) {
            let alias = point.write.as_ref().is_some_and(|rule| rule.alias_of.is_some());
            let Some(origin) = point.origin.as_deref().filter(|_| !alias) else {
                continue;
            };
            if let Some(other) = paths.insert(origin, &point.key) {
                panic!("{}: {} and {other} are one setting", ledger.name, point.key);
            }
        }
    }
}

#[test]
fn interlocks_ask_points_that_exist() {
    let ledgers = shipped();
    let mut across = 0;
    for (name, _, rule) in rules(&ledgers) {
        for interlock in &rule.interlocks {
            let own = name.split(' ').next().unwrap();
            across += usize::from(interlock.ledger.is_some());
            let asked = ledgers
                .get(interlock.ledger.as_deref().unwrap_or(own))
                .and_then(|ledger| ledger.point(&interlock.condition.point));
            let asked = asked.unwrap_or_else(|| panic!("{name}: no {}", interlock.condition.point));
            assert!(!matches!(asked.register().unwrap().ty, ValueType::Text), "{name}");
            if let Test::In(values) | Test::NotIn(values) = &interlock.condition.test {
                for value in values {
                    assert!(
                        asked.labels.contains_key(value),
                        "{name}: {} is never {value}",
                        asked.key
                    );
                }
            }
        }
    }
    assert!(across > 10, "{across} interlocks ask another device");
}

/// The interlock of a rule that asks this point.
fn asks<'a>(rule: &'a WriteRule, ledger: Option<&str>, point: &str) -> Option<&'a Interlock> {
    rule.interlocks
        .iter()
        .find(|interlock| interlock.ledger.as_deref() == ledger && interlock.condition.point == point)
}

#[test]
fn external_setpoints_wait_for_external_control() {
    let ledgers = shipped();
    for at in [37, 38, 39, 40, 41, 65, 66, 67, 68, 71, 72, 96, 98, 100] {
        let rule = rule(&ledgers, "victron/gx-vebus", at);
        let interlock = asks(rule, Some("victron/gx-settings"), "settings_cgwacs_hub4_mode").unwrap();
        assert_eq!(interlock.condition.test, Test::In(vec![3]), "{at}");
        assert!(
            !interlock.absent_passes && interlock.only_below.is_none(),
            "{at}: passes where the mode is not known"
        );
    }
    for (ledger, at) in [("victron/gx-multi", 4610), ("victron/gx-acsystem", 4922)] {
        let interlock = asks(rule(&ledgers, ledger, at), None, "settings_ess_mode").unwrap();
        assert_eq!(interlock.condition.test, Test::In(vec![3]), "{ledger}");
    }
    let other_master = asks(
        rule(&ledgers, "victron/gx-hub4", 2716),
        Some("victron/gx-settings"),
        "settings_dynamic_ess_mode",
    )
    .unwrap();
    assert_eq!(other_master.condition.test, Test::In(vec![0]));
    assert!(other_master.absent_passes);
    for (ledger, at) in [("victron/gx-genset", 3223), ("victron/gx-dcgenset", 5204)] {
        let interlock = asks(rule(&ledgers, ledger, at), None, "remote_start_mode_enabled").unwrap();
        assert_eq!(interlock.condition.test, Test::In(vec![1]), "{ledger}");
    }
}

#[test]
fn what_lapses_is_in_memory_and_what_is_stored_has_a_budget() {
    let ledgers = shipped();
    for (name, _, rule) in rules(&ledgers) {
        assert_eq!(
            rule.lease.is_some(),
            rule.storage == Storage::Volatile,
            "{name}: nothing but a lease tells that it is in memory"
        );
        assert!(
            rule.storage == Storage::Volatile || rule.daily_budget.is_some_and(|budget| budget <= 24),
            "{name}"
        );
        assert!(
            !name.starts_with("victron/gx-settings ") || rule.storage == Storage::Stored,
            "{name}: the settings lie in flash"
        );
    }
    let minute = Some(Duration::from_secs(60));
    for (ledger, at, device_timeout, safe) in [
        ("victron/gx-hub4", 2716, None, Some(0.0)),
        ("victron/gx-vebus", 37, minute, Some(0.0)),
        ("victron/gx-vebus", 96, minute, Some(0.0)),
        ("victron/gx-vebus", 66, minute, None),
        ("victron/gx-pvinverter", 1056, minute, None),
        ("victron/gx-multi", 4610, None, Some(0.0)),
        ("victron/gx-acsystem", 4922, None, Some(0.0)),
    ] {
        let lease = rule(&ledgers, ledger, at).lease.unwrap();
        assert_eq!(
            (lease.device_timeout, lease.safe),
            (device_timeout, safe),
            "{ledger} {at}"
        );
    }
}

#[test]
fn the_meters_take_a_name_and_an_instance_and_nothing_else() {
    let ledgers = shipped();
    let links = |ledger: &str| -> Vec<(String, By)> {
        rules(&ledgers)
            .into_iter()
            .filter(|(name, _, _)| name.starts_with(&format!("{ledger} ")))
            .map(|(_, point, rule)| (point.key.clone(), rule.by))
            .collect()
    };
    let link = |key: &str, id, bytes| {
        (
            key.to_owned(),
            By::RegisterLink {
                at: 0x4000,
                id,
                bytes,
            },
        )
    };
    assert_eq!(
        links("victron/vm-3p75ct"),
        [
            link("custom_name", 0x010C, 32),
            link("n2k_system_instance", 0x0112, 1)
        ]
    );
    assert_eq!(links("victron/p1link"), [link("custom_name", 0x010C, 32)]);
    let meter = &ledgers["victron/vm-3p75ct"];
    let instance = meter.point("n2k_system_instance").unwrap();
    assert_eq!(instance.register().unwrap().span.at, 0x2023);
    assert_eq!(
        instance.write.as_ref().unwrap().range,
        Some((Bound::Number(0.0), Bound::Number(255.0)))
    );
    assert_eq!(
        meter
            .point("custom_name")
            .and_then(Point::register)
            .map(|r| r.span.at),
        Some(0x2002)
    );
}

#[test]
fn what_nobody_may_write_says_why() {
    let ledgers = shipped();
    for (ledger, ats) in [
        (
            "victron/gx-vebus",
            &[30, 62, 103, 105, 106, 107, 201, 210, 211, 219, 222, 230][..],
        ),
        ("victron/gx-pvinverter", &[1052, 1054]),
        ("victron/gx-platform", &[5800, 5801, 5802, 5810, 5811, 5812]),
        ("victron/gx-settings", &[2711, 2712, 2718]),
        ("victron/gx-evcharger", &[3823, 3827]),
    ] {
        for at in ats {
            let found = |point: &&Point| point.register().is_some_and(|register| register.span.at == *at);
            let point = ledgers[ledger].points.iter().find(found).unwrap();
            assert!(point.not_written.is_some(), "{ledger} {at}");
        }
    }
}
