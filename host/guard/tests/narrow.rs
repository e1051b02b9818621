//! Which limit binds: battery, device, owner, the other register of a setting; and what is told of each.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "what cannot be set up fails the test, loudly"
)]

use std::sync::LazyLock;

use busbar_guard::{
    Battery, Cause, Context, Effective, Owner, Phases, Refusal, Site, Voltage, check, each, effective,
};
use busbar_ledger::model::Ledger;
use busbar_ledger::value::Value;
use proptest::prelude::*;

const LEDGER: &str = r#"
ledger = "test/narrow"
title = "Limits that meet"
[points.charge]
at = 1
type = "u16"
scale = "1/100"
unit = "V"
write = { min = { site = "battery_voltage" }, max = { site = "battery_voltage" }, device_min = "lowest", device_max = "highest" }
[points.lowest]
at = 2
type = "u16"
unit = "V"
[points.highest]
at = 3
type = "u16"
unit = "V"
[points.power]
at = 4
type = "i32"
unit = "W"
write = { min = { site = "-ac_power" }, max = { site = "ac_power" }, max_change = 800 }
[points.coarse]
at = 6
type = "i16"
scale = 100
unit = "W"
write = { min = -2000, max = { site = "ac_power" }, step = 500, alias_of = "power" }
[points.dc]
at = 7
type = "i16"
unit = "W"
write = { min = 0, max = { site = "dc_power" }, no_limit = -1 }
[points.mode]
at = 8
type = "u16"
class = "enum"
labels = { 1 = "One", 2 = "Two" }
write = { choices = [1, 2] }
[points.name]
at = 9
type = "text"
words = 4
write = { storage = "stored" }
[points.told]
at = 20
type = "u16"
"#;

fn ledger() -> &'static Ledger {
    static ONCE: LazyLock<Ledger> = LazyLock::new(|| {
        busbar_ledger::parse("narrow.toml", LEDGER).unwrap_or_else(|faults| panic!("{faults}"))
    });
    &ONCE
}

fn site() -> Site {
    Site {
        ac_voltage: Some(Voltage::Volts(230.0)),
        phases: Some(Phases::Single),
        ac_current: Some(10.0),
        dc_current: Some(100.0),
        battery: Some(Battery::profile("lifepo4-16s").unwrap()),
    }
}

/// The effective limits of a point, its other register looked up.
fn limits(key: &str, mut change: impl FnMut(&mut Context<'_>)) -> Result<Effective, Refusal> {
    let ledger = ledger();
    let point = ledger.point(key).unwrap();
    let alias = point.write.as_ref().and_then(|rule| rule.alias_of.as_deref());
    let mut context = Context {
        site: site(),
        alias_of: alias.and_then(|key| ledger.point(key)),
        ..Context::default()
    };
    change(&mut context);
    effective(point, &context)
}

/// Both ends of a range, with what binds them.
fn ends(limits: Result<Effective, Refusal>) -> [(f64, String); 2] {
    let (low, high) = limits.unwrap().range.unwrap();
    [(low.value, low.by), (high.value, high.by)]
}

fn are(low: (f64, &str), high: (f64, &str)) -> [(f64, String); 2] {
    [low, high].map(|(value, by)| (value, by.to_owned()))
}

#[test]
fn a_battery_bounds_a_voltage_from_both_sides_and_the_device_only_narrows_it() {
    let battery = |name: &str| Some(Battery::profile(name).unwrap());
    assert_eq!(
        ends(limits("charge", |_| {})),
        are((40.0, "site.battery"), (58.4, "site.battery"))
    );
    assert_eq!(
        ends(limits("charge", |c| c.site.battery = battery("lead-12s"))),
        are((21.0, "site.battery"), (28.8, "site.battery"))
    );
    let device = |min: Option<f64>, max: Option<f64>| {
        ends(limits("charge", |c| (c.device_min, c.device_max) = (min, max)))
    };
    assert_eq!(
        device(Some(44.0), Some(57.6)),
        are((44.0, "device"), (57.6, "device"))
    );
    // What a device says widens nothing.
    assert_eq!(
        device(Some(1.0), Some(999.0)),
        are((40.0, "site.battery"), (58.4, "site.battery"))
    );
    // And is counted inwards to a step of the register.
    assert_eq!(
        device(Some(44.001), Some(57.609)),
        are((44.01, "device"), (57.6, "device"))
    );
    let nothing = limits("charge", |c| c.device_max = Some(30.0)).unwrap_err();
    assert_eq!(
        (nothing.code, nothing.binding_limit.as_deref()),
        (Cause::Bounds, Some("device"))
    );
    assert!(
        nothing
            .reason
            .contains("at least 40 V (16 cells × 2.5 V, site.battery)"),
        "{nothing}"
    );
    let unset = limits("charge", |c| c.site.battery = None).unwrap_err();
    assert_eq!(
        (unset.code, unset.binding_limit.as_deref()),
        (Cause::NotSet, Some("site.battery"))
    );
    assert_eq!(
        ends(limits("dc", |_| {}))[1],
        (5120.0, "site.dc_current".to_owned())
    );
}

#[test]
fn the_other_register_of_a_setting_shares_its_bounds_in_both_directions() {
    // Its own lower end is the narrower, and 2,300 W is counted down to a step of 500.
    assert_eq!(
        ends(limits("coarse", |_| {})),
        are((-2000.0, "ledger"), (2000.0, "site.ac_current"))
    );
    let narrow = |c: &mut Context<'_>| c.site.ac_current = Some(6.0);
    assert_eq!(
        ends(limits("coarse", narrow)),
        are((-1000.0, "site.ac_current"), (1000.0, "site.ac_current"))
    );
    // A limit that only the other register needs is needed.
    let unset = limits("coarse", |c| c.site.phases = None).unwrap_err();
    assert_eq!(unset.code, Cause::NotSet);
}

#[test]
fn an_owner_narrows_and_never_widens() {
    let owner = |owner: Owner| limits("power", |c| c.owner = owner.clone());
    let wide = Owner {
        min: Some(-1e9),
        max: Some(1e9),
        max_change: Some(1e6),
        ..Owner::default()
    };
    let wide = owner(wide).unwrap();
    assert_eq!(wide.max_change, Some(800.0));
    assert_eq!(
        ends(Ok(wide)),
        are((-2300.0, "site.ac_current"), (2300.0, "site.ac_current"))
    );
    let narrow = Owner {
        min: Some(-10.5),
        max: Some(10.5),
        max_change: Some(5.0),
        ..Owner::default()
    };
    let narrow = owner(narrow).unwrap();
    assert_eq!(narrow.max_change, Some(5.0));
    assert_eq!(ends(Ok(narrow)), are((-10.0, "owner"), (10.0, "owner")));
    // Lifting the device's own limit is a leave of its own, and no part of the range.
    let lifts = |no_limit| limits("dc", |c| c.owner.no_limit = no_limit).unwrap();
    assert_eq!(lifts(false).no_limit, None);
    assert_eq!(lifts(true).no_limit, Some(-1.0));
    assert_eq!(ends(Ok(lifts(true)))[0], (0.0, "ledger".to_owned()));
}

/// Choices of the owner's own among the ledger's; among a range, they would leave nothing to write, which is said.
#[test]
fn choices_of_the_owner_that_leave_nothing_are_refused_at_once() {
    let only = |key: &str, choices: &[f64]| {
        limits(key, |c| c.owner.choices = Some(choices.to_vec())).map(|limits| limits.choices)
    };
    assert_eq!(only("mode", &[2.0, 7.0]), Ok(vec![2.0]));
    for refusal in [
        only("mode", &[7.0]).unwrap_err(),
        only("power", &[100.0]).unwrap_err(),
    ] {
        assert_eq!(
            (refusal.code, refusal.binding_limit.as_deref()),
            (Cause::Bounds, Some("owner"))
        );
        assert!(
            refusal
                .reason
                .contains("your own limits leave none of its choices"),
            "{refusal}"
        );
    }
}

#[test]
fn each_limit_is_told_in_a_sentence() {
    let ledger = ledger();
    let context = Context {
        site: site(),
        owner: Owner {
            min: Some(0.0),
            max: Some(2000.0),
            max_change: Some(500.0),
            ..Owner::default()
        },
        device_max: Some(2200.0),
        ..Context::default()
    };
    let told = |key: &str, context: &Context<'_>| each(ledger.point(key).unwrap(), context);
    assert_eq!(
        told("power", &context),
        [
            "the register holds -2,147,483,648 W to 2,147,483,647 W",
            "the site allows at least -2,300 W: -(230 V × 10 A), site.ac_current",
            "the site allows at most 2,300 W: 230 V × 10 A, site.ac_current",
            "the device itself allows at most 2,200 W",
            "you allow at least 0 W",
            "you allow at most 2,000 W",
            "at most 500 W at a time",
        ]
    );
    let allowed = Context {
        owner: Owner {
            no_limit: true,
            ..Owner::default()
        },
        alias_of: ledger.point("coarse"),
        ..Context::default()
    };
    let told_then = told("power", &allowed);
    assert!(
        told_then.contains(
            &"the site's limit is not known: site.ac_voltage, site.ac_current, site.phases not set"
                .to_owned()
        ),
        "{told_then:?}"
    );
    assert!(told_then.contains(&"it is the same setting as coarse, and shares its limit".to_owned()));
    let lifts = |context: &Context<'_>| told("dc", context).pop().unwrap();
    assert_eq!(
        lifts(&context),
        "-1 W would lift the device's own limit, which you do not allow"
    );
    assert_eq!(
        lifts(&allowed),
        "-1 W lifts the device's own limit, which you allow"
    );
    // Equal ends are told once; what has no bounds, or no rule, tells none.
    assert_eq!(
        told("charge", &context)
            .iter()
            .filter(|told| told.contains("site.battery"))
            .count(),
        2
    );
    assert_eq!(told("name", &context), Vec::<String>::new());
    assert_eq!(told("told", &context), Vec::<String>::new());
}

/// W7: whatever is asked, in whatever order, no single write moves further than `max_change`, and the hint of a refusal is a
/// way that leads there.
#[test]
fn w7_a_ramp_is_climbed_in_steps_that_the_hint_names() {
    let ledger = ledger();
    let point = ledger.point("power").unwrap();
    let limits = limits("power", |_| {}).unwrap();
    let (mut now, goal) = (-2300_i64, 2300_i64);
    let mut writes = 0;
    while now != goal {
        let tried = check(point, &limits, &Value::Integer(goal), Some(&Value::Integer(now)));
        let next = match tried {
            Ok(_) => goal,
            Err(refusal) => {
                assert_eq!(refusal.code, Cause::Change);
                let first = refusal
                    .hint
                    .strip_prefix("Go in steps: ")
                    .and_then(|rest| rest.strip_suffix(" W first."));
                first.unwrap().replace(',', "").parse().unwrap()
            }
        };
        assert!(
            check(point, &limits, &Value::Integer(next), Some(&Value::Integer(now))).is_ok(),
            "{now} to {next}"
        );
        now = next;
        writes += 1;
    }
    assert_eq!(writes, 6, "4,600 W in steps of 800");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    /// W7: of 1,000 commands, those that pass move by `max_change` at most, each from where the one before has led.
    #[test]
    fn w7_no_write_moves_further_than_max_change(
        asked in prop::collection::vec(-3000i64..3000, 1..20), change in 1u32..2000, start in -2300i64..2300,
    ) {
        let ledger = ledger();
        let point = ledger.point("power").unwrap();
        let limits = limits("power", |c| c.owner.max_change = Some(f64::from(change))).unwrap();
        let most = i64::from(change.min(800));
        let mut now = start;
        for value in asked {
            let passes = check(point, &limits, &Value::Integer(value), Some(&Value::Integer(now))).is_ok();
            prop_assert_eq!(passes, value.abs() <= 2300 && (value - now).abs() <= most, "{} from {}", value, now);
            if passes {
                now = value;
            }
        }
        // Where nobody knows the present value, nothing is within reach.
        prop_assert_eq!(check(point, &limits, &Value::Integer(0), None).unwrap_err().code, Cause::Change);
    }
}
