//! Limits and checks over ledgers as they are written: bounds by meaning, exact words, the four mistakes of a peer.

use busbar_guard::{
    Battery, Cause, Context, Effective, Order, Owner, Phases, Refusal, Site, Voltage, check, effective,
};
use busbar_ledger::codec::{self, Decoded};
use busbar_ledger::model::{Ledger, Point};
use busbar_ledger::value::Value;
use proptest::prelude::*;

fn site() -> Site {
    Site {
        ac_voltage: Some(Voltage::Volts(230.0)),
        phases: Some(Phases::Single),
        ac_current: Some(24.0),
        dc_current: Some(100.0),
        battery: Some(Battery::profile("lifepo4-16s").unwrap()),
    }
}

const LEDGER: &str = r#"
ledger = "test/gx"
title = "Writable registers as a GX has them"
[points.setpoint]
at = 2700
type = "i16"
unit = "W"
write = { min = { site = "-ac_power" }, max = { site = "ac_power" }, step = 10, storage = "stored" }
[points.setpoint_100]
at = 2703
type = "i16"
scale = 100
unit = "W"
write = { min = { site = "-ac_power" }, max = { site = "ac_power" }, storage = "stored" }
[points.phase_setpoint]
at = 96
type = "i32"
unit = "W"
write = { min = { site = "-ac_power_phase" }, max = { site = "ac_power_phase" }, storage = "volatile" }
[points.current_limit]
at = 22
type = "i16"
scale = "1/10"
unit = "A"
write = { min = 0, max = { site = "ac_current" } }
[points.battery]
at = 2710
type = "u16"
scale = "1/10"
unit = "V"
write = { min = { site = "battery_voltage" }, max = { site = "battery_voltage" } }
[points.mode]
at = 33
type = "u16"
class = "enum"
labels = { 1 = "Charger only", 3 = "On", 4 = "Off" }
write = { choices = [1, 3, 4] }
[points.told]
at = 1
type = "u16"
[points.order]
at = 6000
type = "f32"
order = "CDAB"
write = { min = -5, max = 5 }
"#;

fn ledger() -> Ledger {
    busbar_ledger::parse("test.toml", LEDGER).unwrap_or_else(|faults| panic!("{faults}"))
}

fn limits(point: &Point, site: Site, owner: Owner) -> Result<Effective, Refusal> {
    effective(
        point,
        &Context {
            site,
            owner,
            ..Context::default()
        },
    )
}

fn write(key: &str, value: Value) -> Result<Order, Refusal> {
    let ledger = ledger();
    let point = ledger.point(key).unwrap();
    let effective = limits(point, site(), Owner::default())?;
    check(point, &effective, &value, None).map(|checked| checked.order().clone())
}

fn registers(function: u8, at: u16, words: &[u16]) -> Order {
    Order::Registers {
        function,
        at,
        words: words.to_vec(),
    }
}

/// Each was measured with the integration that Busbar replaces: the offset of two's complement added before the scale,
/// only the high word written, the bound of the whole house for one phase, a negative current limit.
#[test]
fn the_four_mistakes_of_the_peer_are_not_made() {
    assert_eq!(
        write("setpoint_100", Value::Integer(-100)),
        Ok(registers(6, 2703, &[0xFFFF]))
    );
    assert_eq!(
        write("phase_setpoint", Value::Integer(1000)),
        Ok(registers(16, 96, &[0, 1000]))
    );
    assert_eq!(
        write("phase_setpoint", Value::Integer(-1000)),
        Ok(registers(16, 96, &[0xFFFF, 0xFC18]))
    );
    assert_eq!(
        write("setpoint", Value::Integer(-100)),
        Ok(registers(6, 2700, &[0xFF9C]))
    );
    let refusal = write("current_limit", Value::Integer(-5)).unwrap_err();
    assert_eq!(
        refusal.reason,
        "-5 A is below 0 A (the maker's bound, by the ledger)"
    );
    assert_eq!(
        write("current_limit", Value::Number(15.5)),
        Ok(registers(6, 22, &[155]))
    );
}

#[test]
fn a_refusal_names_the_limit_and_what_makes_it() {
    let refusal = write("setpoint", Value::Integer(6000)).unwrap_err();
    assert_eq!(
        refusal.reason,
        "6,000 W is above 5,520 W (230 V × 24 A, site.ac_current)"
    );
    assert_eq!(refusal.binding_limit.as_deref(), Some("site.ac_current"));
    let between = write("setpoint_100", Value::Integer(150)).unwrap_err();
    assert_eq!(between.reason, "150 W lies between two steps of 100 W");
    assert_eq!(between.hint, "Write 100 W or 200 W.");
    assert_eq!(
        write("battery", Value::Integer(60))
            .unwrap_err()
            .binding_limit
            .as_deref(),
        Some("site.battery")
    );
    assert_eq!(
        write("mode", Value::Integer(2)).unwrap_err().reason,
        "2 is none of its choices: 1 (Charger only), 3 (On), 4 (Off)"
    );
    assert_eq!(write("told", Value::Integer(2)).unwrap_err().code, Cause::NoRule);
    assert_eq!(
        write("mode", Value::Text("On".into())).unwrap_err().code,
        Cause::Value
    );
    assert_eq!(
        write("order", Value::Number(f64::NAN)).unwrap_err().code,
        Cause::Value
    );
}

#[test]
fn a_limit_that_is_not_set_refuses_and_says_where_to_set_it() {
    let ledger = ledger();
    let none = |key: &str| limits(ledger.point(key).unwrap(), Site::default(), Owner::default());
    let refusal = none("setpoint").unwrap_err();
    assert_eq!(refusal.code, Cause::NotSet);
    assert!(
        refusal
            .reason
            .contains("site.ac_current and site.ac_voltage and site.phases"),
        "{refusal}"
    );
    assert!(refusal.hint.contains("ac_current = 24"), "{}", refusal.hint);
    assert!(none("mode").is_ok(), "choices need no limit of the site");
}

#[test]
fn the_narrowest_limit_binds() {
    let ledger = ledger();
    let point = ledger.point("setpoint").unwrap();
    let owner = Owner {
        max: Some(1004.0),
        ..Owner::default()
    };
    let mut context = Context {
        site: site(),
        owner,
        ..Context::default()
    };
    let high = |context: &Context<'_>| {
        let (_, high) = effective(point, context).unwrap().range.unwrap();
        (high.value, high.by)
    };
    assert_eq!(
        high(&context),
        (1000.0, "owner".to_owned()),
        "counted down to a step"
    );
    context.device_max = Some(700.0);
    assert_eq!(high(&context), (700.0, "device".to_owned()));
    context.owner.max = None;
    context.device_max = None;
    context.site.ac_current = Some(4000.0);
    assert_eq!(high(&context), (32760.0, "register".to_owned()));
    context.owner.min = Some(40_000.0);
    assert_eq!(effective(point, &context).unwrap_err().code, Cause::Bounds);
}

#[test]
fn another_register_of_the_same_setting_has_its_bounds_too() {
    let ledger = ledger();
    let narrow = ledger.point("setpoint").unwrap();
    let wide = ledger.point("setpoint_100").unwrap();
    let site = Site {
        ac_current: Some(4000.0),
        ..site()
    };
    let context = Context {
        site,
        alias_of: Some(narrow),
        ..Context::default()
    };
    let (low, high) = effective(wide, &context).unwrap().range.unwrap();
    assert_eq!((low.value, high.value), (-32700.0, 32700.0));
}

#[test]
fn the_owner_may_allow_only_some_choices_and_only_small_changes() {
    let ledger = ledger();
    let mode = ledger.point("mode").unwrap();
    let owner = Owner {
        choices: Some(vec![1.0, 3.0]),
        ..Owner::default()
    };
    let effective = limits(mode, site(), owner).unwrap();
    assert_eq!(effective.choices, [1.0, 3.0]);
    let point = ledger.point("setpoint").unwrap();
    let owner = Owner {
        max_change: Some(500.0),
        ..Owner::default()
    };
    let limits = limits(point, site(), owner).unwrap();
    let change = |from: Option<i64>, to: i64| {
        check(
            point,
            &limits,
            &Value::Integer(to),
            from.map(Value::Integer).as_ref(),
        )
        .map(|_| ())
    };
    assert_eq!(change(Some(0), 500), Ok(()));
    assert_eq!(change(Some(0), 510).unwrap_err().code, Cause::Change);
    assert_eq!(change(None, 10).unwrap_err().code, Cause::Change);
}

/// A ledger with one writable point of this type, scale and order.
fn one(ty: &str, scale: &str, order: &str, low: f64, high: f64) -> Option<Ledger> {
    let text = format!(
        "ledger = \"test/one\"\ntitle = \"One\"\n[points.a]\nat = 10\ntype = \"{ty}\"\nscale = {scale}\n\
         order = \"{order}\"\nwrite = {{ min = {low:?}, max = {high:?} }}\n"
    );
    busbar_ledger::parse("one.toml", &text).ok()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// W2, W3, W4: whatever is asked, what would be sent decodes to just that, lies within the bounds, and is whole.
    #[test]
    fn w2_every_word_that_is_sent_decodes_to_what_was_asked(
        ty in prop::sample::select(vec!["i16", "u16", "i32", "u32", "i64", "u64", "f32", "f64", "u24"]),
        scale in prop::sample::select(vec!["1", "10", "100", "\"1/10\"", "\"1/100\"", "-1"]),
        order in prop::sample::select(vec!["ABCD", "CDAB", "BADC", "DCBA"]),
        asked in prop_oneof![
            (-40_000i64..70_000).prop_map(Value::Integer),
            any::<i64>().prop_map(Value::Integer),
            (-400_000i64..700_000).prop_map(|n| Value::Number(n as f64 / 10.0)),
            any::<f64>().prop_map(Value::Number),
            "[ -~]{0,12}".prop_map(Value::Text),
        ],
        low in -400i32..0, high in 0i32..3000,
    ) {
        let Some(ledger) = one(ty, scale, order, f64::from(low), f64::from(high)) else { return Ok(()) };
        let point = ledger.point("a").unwrap();
        let register = point.register().unwrap();
        let effective = effective(point, &Context::default());
        let Ok(effective) = effective else { return Ok(()) };
        let Ok(checked) = check(point, &effective, &asked, None) else { return Ok(()) };
        prop_assert_eq!(checked.order().at(), 10);
        prop_assert_eq!(checked.order().words().len(), usize::from(register.span.count), "whole or not at all");
        let Decoded::Value(back) = codec::decode(register, &checked.order().words(), None) else {
            return Err(TestCaseError::fail("what was sent is no value"));
        };
        let (back, asked) = (back.as_f64().unwrap(), asked.as_f64().unwrap());
        prop_assert!(back >= f64::from(low) - 1e-9 && back <= f64::from(high) + 1e-9, "{} in {}..{}", back, low, high);
        let half = if ty.starts_with('f') { asked.abs() * 1e-6 } else { 1e-9 };
        prop_assert!((back - asked).abs() <= half, "{} for {}", back, asked);
    }
}
