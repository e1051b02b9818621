//! Limits and checks over ledgers as they are written: bounds by meaning, exact words, the four mistakes of a peer.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "what cannot be set up fails the test, loudly"
)]

use std::cell::RefCell;
use std::collections::BTreeMap;

use busbar_guard::{
    Battery, Cause, Context, Effective, Order, Owner, Phases, Refusal, Site, Voltage, check, effective,
};
use busbar_ledger::codec::{self, Decoded};
use busbar_ledger::model::{Ledger, Point};
use busbar_ledger::value::Value;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

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

/// What goes through a register link is scaled as what goes into the register: it is read back from there.
#[test]
fn a_register_link_carries_raw_steps_and_exactly_as_many_bytes() {
    let point = |ty: &str, more: &str, bytes: u8| {
        let text = format!(
            "ledger = \"test/link\"\ntitle = \"Link\"\n[points.a]\nat = 10\ntype = \"{ty}\"\n{more}\n\
             write = {{ link = {{ at = 0x4000, id = 0x0112, bytes = {bytes} }}, min = -50, max = 300 }}\n"
        );
        let text = if bytes == 1 {
            text.replace("300", "255")
        } else {
            text
        };
        let text = if ty.starts_with('u') {
            text.replace("-50", "0")
        } else {
            text
        };
        let ledger = busbar_ledger::parse("link.toml", &text).unwrap_or_else(|faults| panic!("{faults}"));
        ledger.points[0].clone()
    };
    let words = |point: &Point, value: Value| {
        let limits = limits(point, site(), Owner::default())?;
        check(point, &limits, &value, None).map(|checked| checked.order().words())
    };
    let plain = point("u16", "", 2);
    assert_eq!(words(&plain, Value::Integer(230)), Ok(vec![0x0112, 2, 230]));
    let tenths = point("u16", "scale = \"1/10\"", 2);
    assert_eq!(words(&tenths, Value::Integer(23)), Ok(vec![0x0112, 2, 230]));
    assert_eq!(words(&tenths, Value::Number(22.5)), Ok(vec![0x0112, 2, 225]));
    let wide = point("u32", "order = \"CDAB\"", 3);
    assert_eq!(
        words(&wide, Value::Integer(258)),
        Ok(vec![0x0112, 3, 0x0001, 0x0200])
    );
    let signed = point("i16", "", 2);
    assert_eq!(words(&signed, Value::Integer(-2)), Ok(vec![0x0112, 2, 0xFFFE]));
    let byte = point("u16", "", 1);
    assert_eq!(words(&byte, Value::Integer(255)), Ok(vec![0x0112, 1, 0xFF00]));
    assert_eq!(words(&byte, Value::Integer(256)).unwrap_err().code, Cause::Bounds);
}

/// A ledger with one writable point of this type, scale and order, and with these bounds as the file has them.
fn one(ty: &str, scale: &str, order: &str, low: &str, high: &str) -> Result<Ledger, String> {
    let words = match ty.strip_prefix("bcd") {
        Some(words) => format!("type = \"bcd\"\nwords = {words}"),
        None => format!("type = \"{ty}\""),
    };
    let text = format!(
        "ledger = \"test/one\"\ntitle = \"One\"\n[points.a]\nat = 10\n{words}\nscale = \"{scale}\"\n\
         order = \"{order}\"\nwrite = {{ min = {low}, max = {high} }}\n"
    );
    busbar_ledger::parse("one.toml", &text).map_err(|faults| format!("{text}\n{faults}"))
}

/// Types, with the lowest and the highest raw number of each; for those of 64 bits, and floats, as far as bounds go.
const TYPES: [(&str, i64, i64); 13] = [
    ("i16", i16::MIN as i64, i16::MAX as i64),
    ("u16", 0, u16::MAX as i64),
    ("u24", 0, (1 << 24) - 1),
    ("i32", i32::MIN as i64, i32::MAX as i64),
    ("u32", 0, u32::MAX as i64),
    ("i64", -(1 << 45), 1 << 45),
    ("u64", 0, 1 << 45),
    ("f32", -1_000_000, 1_000_000),
    ("f64", -(1 << 45), 1 << 45),
    ("bcd1", 0, 9_999),
    ("bcd2", 0, 99_999_999),
    ("bcd3", 0, 999_999_999_999),
    ("bcd4", 0, 1 << 45),
];

/// Scales as a ledger has them, and what they multiply and divide by.
const SCALES: [(&str, i64, i64); 9] = [
    ("1", 1, 1),
    ("10", 10, 1),
    ("100", 100, 1),
    ("1/10", 1, 10),
    ("1/100", 1, 100),
    ("1/1000", 1, 1000),
    ("-1", -1, 1),
    ("-10", -10, 1),
    ("-1/10", -1, 10),
];

/// A raw number of a type: one of its ends, near 0, or anywhere.
fn raw(low: i64, high: i64) -> impl Strategy<Value = i64> {
    prop_oneof![Just(low), Just(high), low.max(-300)..=high.min(300), low..=high]
}

/// What is asked for, in raw steps: whole ones at the bounds, at the ends of the type and beside them, or between two.
fn asked((low, high): (i64, i64), bounds: [i64; 2]) -> impl Strategy<Value = f64> {
    let ends = prop::sample::select(vec![low, high, bounds[0], bounds[1], 0]);
    let whole = prop_oneof![
        (ends, -2i64..=2).prop_map(|(end, beside)| end + beside),
        bounds[0]..=bounds[1],
        (low..=high),
    ];
    (whole, prop::sample::select(vec![0.0, 0.0, 0.0, 0.0, 0.5, 0.1])).prop_map(|(n, part)| n as f64 + part)
}

/// W2, W3, W4: of every type, scale and order, at the ends and between, what would be sent decodes to what was asked, lies
/// within the bounds, and is whole; and a whole step within the bounds is not refused.
#[test]
fn w2_every_word_that_is_sent_decodes_to_what_was_asked() {
    let types = (
        prop::sample::select(TYPES.to_vec()),
        prop::sample::select(SCALES.to_vec()),
    );
    let orders = prop::sample::select(vec!["ABCD", "CDAB", "BADC", "DCBA"]);
    let cases = (types, orders).prop_flat_map(|(((ty, low, high), scale), order)| {
        let bounds = (raw(low, high), raw(low, high)).prop_map(|(a, b)| [a.min(b), a.max(b)]);
        let more = bounds.prop_flat_map(move |bounds| (Just(bounds), asked((low, high), bounds)));
        more.prop_map(move |(bounds, asked)| (ty, scale, order, bounds, asked))
    });
    let sent: RefCell<BTreeMap<&str, usize>> = RefCell::default();
    let mut runner = TestRunner::new(ProptestConfig {
        cases: 4000,
        max_shrink_iters: 2000,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let ran = runner.run(&cases, |(ty, (scale, num, den), order, bounds, steps)| {
        let value = |raw: f64| raw * num as f64 / den as f64;
        let ends = bounds.map(|raw| value(raw as f64));
        let (low, high) = (ends[0].min(ends[1]), ends[0].max(ends[1]));
        let ledger = one(ty, scale, order, &format!("{low:?}"), &format!("{high:?}"));
        let ledger = ledger.map_err(TestCaseError::fail)?;
        let point = ledger.point("a").unwrap();
        let register = point.register().unwrap();
        let effective = effective(point, &Context::default()).map_err(|r| TestCaseError::fail(r.reason))?;
        let asked = value(steps);
        let wanted = match asked.fract() == 0.0 {
            true => Value::Integer(asked as i64),
            false => Value::Number(asked),
        };
        let within = (bounds[0] as f64..=bounds[1] as f64).contains(&steps);
        let checked = match check(point, &effective, &wanted, None) {
            Ok(checked) => checked,
            Err(refusal) => {
                prop_assert!(
                    !within || steps.fract() != 0.0,
                    "{} of {:?}: {}",
                    steps,
                    bounds,
                    refusal
                );
                return Ok(());
            }
        };
        *sent.borrow_mut().entry(ty).or_default() += 1;
        prop_assert!(within, "{} of {:?}", steps, bounds);
        prop_assert_eq!(checked.order().at(), 10);
        let words = checked.order().words();
        prop_assert_eq!(
            words.len(),
            usize::from(register.span.count),
            "whole or not at all"
        );
        prop_assert_eq!(checked.order().function(), if words.len() == 1 { 6 } else { 16 });
        let Decoded::Value(back) = codec::decode(register, &words, None) else {
            return Err(TestCaseError::fail("what was sent is no value"));
        };
        let back = back.as_f64().unwrap();
        let single = if ty == "f32" { 1e-6 } else { 1e-12 };
        prop_assert!(
            (back - asked).abs() <= single * asked.abs().max(1.0),
            "{} for {}",
            back,
            asked
        );
        if ty.starts_with('f') {
            return Ok(());
        }
        // Nothing of the codec: the digits themselves, after the words are put in their order.
        prop_assert_eq!(digits(ty, order, &words), Some(steps as i64), "{:?}", words);
        Ok(())
    });
    ran.unwrap_or_else(|fault| panic!("{fault}"));
    let sent = sent.into_inner();
    assert!(
        sent.len() == TYPES.len() && sent.values().all(|count| *count > 20),
        "{sent:?}"
    );
}

/// The raw number in words, worked out by hand.
fn digits(ty: &str, order: &str, words: &[u16]) -> Option<i64> {
    let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
    match order {
        "CDAB" => bytes = bytes.chunks(2).rev().flatten().copied().collect(),
        "BADC" => bytes = bytes.chunks(2).flat_map(|pair| [pair[1], pair[0]]).collect(),
        "DCBA" => bytes.reverse(),
        _ => {}
    }
    if ty.starts_with("bcd") {
        let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        return text.parse().ok();
    }
    let negative = ty.starts_with('i') && bytes[0] >= 0x80;
    let start = if negative { -1i64 } else { 0 };
    Some(bytes.iter().fold(start, |n, byte| n << 8 | i64::from(*byte)))
}

#[test]
fn the_owner_may_name_single_values_of_a_range() {
    let ledger = ledger();
    let point = ledger.point("setpoint").unwrap();
    let owner = Owner {
        choices: Some(vec![0.0, 500.0, 505.0, 9999.0]),
        ..Owner::default()
    };
    let limits = limits(point, site(), owner).unwrap();
    assert_eq!(
        (limits.choices.as_slice(), &limits.range),
        (&[0.0, 500.0][..], &None)
    );
    assert!(check(point, &limits, &Value::Integer(500), None).is_ok());
    assert_eq!(
        check(point, &limits, &Value::Integer(490), None)
            .unwrap_err()
            .code,
        Cause::Bounds
    );
}

#[test]
fn w7_single_values_that_the_owner_names_keep_to_the_largest_change_too() {
    let ledger = ledger();
    let point = ledger.point("setpoint").unwrap();
    let owner = Owner {
        choices: Some(vec![0.0, 500.0, 2000.0]),
        max_change: Some(600.0),
        ..Owner::default()
    };
    let limits = limits(point, site(), owner).unwrap();
    let set = |old: Option<i64>, new: i64| {
        let old = old.map(Value::Integer);
        check(point, &limits, &Value::Integer(new), old.as_ref()).map(|_| ())
    };
    assert_eq!(set(Some(0), 500), Ok(()));
    assert_eq!(set(Some(500), 2000).unwrap_err().code, Cause::Change);
    assert_eq!(set(None, 500).unwrap_err().code, Cause::Change);
}

/// 0.1 in single precision is a little more than 0.1.
#[test]
fn a_float_that_would_come_out_above_the_bound_is_refused() {
    let ledger = one("f32", "1", "ABCD", "-0.1", "0.1").unwrap();
    let point = ledger.point("a").unwrap();
    let limits = effective(point, &Context::default()).unwrap();
    for value in [0.1, -0.1] {
        assert_eq!(
            check(point, &limits, &Value::Number(value), None)
                .unwrap_err()
                .code,
            Cause::Step
        );
    }
    assert!(check(point, &limits, &Value::Number(0.099), None).is_ok());
}

#[test]
fn a_permit_from_before_the_kill_switch_stays_void_after_it() {
    use busbar_guard::{Latch, Noted, Purpose};
    use std::time::{Duration, Instant};
    let ledger = ledger();
    let point = ledger.point("mode").unwrap();
    let limits = limits(point, site(), Owner::default()).unwrap();
    let checked = check(point, &limits, &Value::Integer(4), None).unwrap();
    let (now, latch) = (Instant::now(), Latch::default());
    let permit = |purpose| checked.permit(1, Noted(1), now + Duration::from_secs(1), &latch, purpose);
    let (set, safe) = (permit(Purpose::Set), permit(Purpose::Safe));
    assert_eq!(set.void(now), None);
    latch.set();
    latch.set();
    assert!(set.void(now).is_some() && permit(Purpose::KeepAlive).void(now).is_some());
    assert_eq!(safe.void(now), None);
    latch.release();
    latch.release();
    assert!(!latch.is_set());
    assert_eq!(set.void(now), Some("the kill switch was on meanwhile"));
    assert_eq!(permit(Purpose::Set).void(now), None);
    assert!(permit(Purpose::Set).void(now + Duration::from_secs(1)).is_some());
}
