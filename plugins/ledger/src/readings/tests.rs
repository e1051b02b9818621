use super::*;
use crate::span::Span;
use crate::testing::{image, parsed};

fn read(ledger: &Ledger, blocks: &[(u16, &[u16])], facts: Facts<'_>) -> impl Fn(&str) -> Reading + use<> {
    let readings = readings(ledger, &image(blocks), &facts);
    let index = ledger.index.clone();
    move |key| readings[index[key]].clone()
}

fn spans(all: &[(u16, u16)]) -> Ranges {
    all.iter().map(|&(at, count)| Span::holding(at, count)).collect()
}

#[test]
fn a_value_is_decoded_by_its_address() {
    let ledger = parsed(
        r#"
        [points]
        soc     = { at = 843, type = "u16", unit = "%", class = "battery" }
        voltage = { at = 840, type = "u16", scale = "1/10", unit = "V", class = "voltage" }
        energy  = { at = 900, type = "u32", scale = "1/100", unit = "kWh", class = "energy", invalid = [0xFFFFFFFF] }
        serial  = { at = 800, type = "text", words = 6 }
        missing = { at = 1000, type = "u16" }
        "#,
    );
    let words = [0x4851, 0x3231, 0x3233, 0, 0, 0];
    let read = read(
        &ledger,
        &[(840, &[523, 0, 0, 64]), (900, &[0xFFFF, 0xFFFF]), (800, &words)],
        Facts::default(),
    );
    let voltage = read("voltage");
    assert_eq!(
        (voltage.value, voltage.quality, voltage.at),
        (Some(Value::Number(52.3)), Quality::Good, Some(840))
    );
    assert_eq!(*voltage.raw, [523]);
    assert_eq!(read("soc").value, Some(Value::Integer(64)));
    assert_eq!(read("serial").value, Some(Value::Text("HQ2123".into())));
    assert_eq!(*read("serial").raw, words);
    let energy = read("energy");
    assert_eq!((energy.value, energy.quality), (None, Quality::Invalid));
    assert_eq!(*energy.raw, [0xFFFF, 0xFFFF], "what the device sent is kept");
    assert_eq!(read("missing"), Reading::unavailable());
}

#[test]
fn a_fall_back_stands_in_only_where_the_device_lacks_the_register() {
    let ledger = parsed(
        r#"
        [points]
        power = { at = 10, type = "i32", unit = "W", class = "power", fallback = [{ at = 20, type = "i16" }] }
        "#,
    );
    // 70,000 W does not fit the narrow register, which wraps.
    let both: &[(u16, &[u16])] = &[(10, &[1, 4464]), (20, &[4464])];
    let new = spans(&[(10, 2), (20, 1)]);
    let power = read(
        &ledger,
        both,
        Facts {
            readable: Some(&new),
            ..Facts::default()
        },
    )("power");
    assert_eq!((power.value, power.at), (Some(Value::Integer(70_000)), Some(10)));
    let old = spans(&[(20, 1)]);
    let power = read(
        &ledger,
        both,
        Facts {
            readable: Some(&old),
            ..Facts::default()
        },
    )("power");
    assert_eq!((power.value, power.at), (Some(Value::Integer(4464)), Some(20)));
    // The wide register is there, but this poll did not bring it: the narrow one is no stand-in.
    let power = read(
        &ledger,
        &[(20, &[4464])],
        Facts {
            readable: Some(&new),
            ..Facts::default()
        },
    )("power");
    assert_eq!(power, Reading::unavailable());
    let none = Ranges::default();
    assert_eq!(
        read(
            &ledger,
            both,
            Facts {
                readable: Some(&none),
                ..Facts::default()
            }
        )("power"),
        Reading::unavailable()
    );
}

#[test]
fn the_finer_twin_is_used_while_it_can_hold_the_value() {
    let ledger = parsed(
        r#"
        [points]
        consumed = { at = 330, type = "u32", scale = -1, unit = "Ah", class = "capacity", fallback = [{ at = 265, type = "u16", scale = "-1/10", prefer = "when-it-fits" }] }
        "#,
    );
    let consumed = |wide: u32, narrow: Option<u16>| {
        let wide = [(wide >> 16) as u16, wide as u16];
        let narrow = narrow.map(|n| [n]);
        let mut blocks: Vec<(u16, &[u16])> = vec![(330, &wide)];
        blocks.extend(narrow.as_ref().map(|n| (265, &n[..])));
        let reading = read(&ledger, &blocks, Facts::default())("consumed");
        (
            reading.value.and_then(|v| v.as_f64()).unwrap(),
            reading.at.unwrap(),
        )
    };
    assert_eq!(consumed(54, Some(543)), (-54.3, 265));
    assert_eq!(
        consumed(0, Some(4)),
        (0.0, 330),
        "so near to the edge of its range it is not trusted"
    );
    assert_eq!(consumed(6552, Some(65_519)), (-6551.9, 265));
    assert_eq!(consumed(6553, Some(65_534)), (-6553.0, 330), "it may be clamped");
    assert_eq!(consumed(7000, Some(4464)), (-7000.0, 330), "it has wrapped");
    assert_eq!(consumed(54, None), (-54.0, 330));
}

#[test]
fn what_another_point_denies_is_no_value() {
    let ledger = parsed(
        r#"
        [points]
        power   = { at = 2, type = "i16", unit = "W", class = "power", valid_when = { point = "voltage", above = 50 } }
        voltage = { at = 1, type = "u16", unit = "V", class = "voltage", valid_when = { point = "connected", non_zero = true } }
        connected = { at = 0, type = "u16" }
        "#,
    );
    let qualities = |words: &[u16]| {
        let read = read(&ledger, &[(0, words)], Facts::default());
        [
            read("connected").quality,
            read("voltage").quality,
            read("power").quality,
        ]
    };
    use Quality::*;
    assert_eq!(qualities(&[1, 230, 5]), [Good, Good, Good]);
    assert_eq!(qualities(&[1, 20, 5]), [Good, Good, Invalid]);
    assert_eq!(
        qualities(&[0, 230, 5]),
        [Good, Invalid, Invalid],
        "also by way of a third"
    );
    let read = read(&ledger, &[(2, &[5])], Facts::default());
    assert_eq!(
        read("power").quality,
        Invalid,
        "a condition that is not known is not met"
    );
    assert_eq!(*read("power").raw, [5]);
}

#[test]
fn firmware_that_has_not_got_it_yet() {
    let ledger = parsed(
        r#"
        [identify]
        firmware = { at = 0, words = 2, format = "bytes4" }
        [points]
        power_factor = { at = 10, type = "i16", scale = "1/1000", class = "power_factor", since = "0.1.9.0" }
        moved = { at = 11, type = "u16", since = "0.1.9.0", fallback = [{ at = 5, type = "u16" }] }
        "#,
    );
    let at = |firmware| {
        let facts = Facts {
            firmware,
            ..Facts::default()
        };
        let read = read(&ledger, &[(5, &[7]), (10, &[990, 8])], facts);
        (read("power_factor").at, read("moved").at)
    };
    assert_eq!(at(Some("0.1.9.255")), (Some(10), Some(11)));
    assert_eq!(at(Some("0.1.7.255")), (None, Some(5)));
    assert_eq!(
        at(None),
        (Some(10), Some(11)),
        "not known: the device says so itself"
    );
}

#[test]
fn scale_registers_are_looked_up_wherever_they_stand() {
    let ledger = parsed(
        r#"
        [points]
        power = { at = 10, type = "i16", unit = "W", class = "power", scale_point = "power_scale" }
        power_scale = { at = 11, type = "i16", invalid = [0x8000] }
        "#,
    );
    let power = |words: &[u16]| read(&ledger, &[(10, words)], Facts::default())("power");
    assert_eq!(power(&[123, 0xFFFF]).value, Some(Value::Number(12.3)));
    assert_eq!(power(&[123, 2]).value, Some(Value::Number(12_300.0)));
    assert_eq!(power(&[123, 0x8000]).quality, Quality::Invalid);
    assert_eq!(
        power(&[123]).quality,
        Quality::Invalid,
        "a scale that is not known is not 1"
    );
}

#[test]
fn computed_values() {
    let ledger = parsed(
        r#"
        [points]
        p  = { at = 0, type = "i16", unit = "W", class = "power" }
        u1 = { at = 1, type = "u16", unit = "V", class = "voltage" }
        i1 = { at = 2, type = "i16", unit = "A", class = "current" }
        u2 = { at = 3, type = "u16", unit = "V", class = "voltage", invalid = [0xFFFF] }
        i2 = { at = 4, type = "i16", unit = "A", class = "current" }
        far = { at = 100, type = "u16" }

        [computed]
        factor = { ratio = ["p", { sum_abs_products = [["u1", "i1"], ["u2", "i2"]] }], clamp = [-1, 1], class = "power_factor" }
        total  = { sum = ["u1", "u2", 1] }
        less   = { difference = ["u1", "u2"] }
        times  = { product = ["u1", "i1", 2] }
        size   = { absolute = "p" }
        either = { first_valid = ["far", "u2", "u1"] }
        beyond = { sum = ["far", "u2"] }
        again  = { sum = ["total", "size"] }
        "#,
    );
    let words = |u2: u16, i2: u16| [(-500i16) as u16, 230, 2, u2, i2];
    let words_ok = words(100, (-3i16) as u16);
    let ok = read(&ledger, &[(0, &words_ok)], Facts::default());
    let number = |reading: Reading| reading.value.and_then(|v| v.as_f64());
    assert_eq!(
        number(ok("factor")),
        Some(-500.0 / 760.0),
        "a signed current does not cancel"
    );
    assert_eq!(number(ok("total")), Some(331.0));
    assert_eq!(number(ok("less")), Some(130.0));
    assert_eq!(number(ok("times")), Some(920.0));
    assert_eq!(number(ok("size")), Some(500.0));
    assert_eq!(number(ok("either")), Some(100.0));
    assert_eq!(number(ok("again")), Some(831.0));
    assert_eq!(ok("beyond").quality, Quality::Unavailable);
    assert_eq!((ok("total").at, ok("total").raw.len()), (None, 0));

    let without = read(&ledger, &[(0, &words(0xFFFF, 0))], Facts::default());
    assert_eq!(without("total").quality, Quality::Invalid);
    assert_eq!(without("again").quality, Quality::Invalid);
    assert_eq!(
        without("beyond").quality,
        Quality::Unavailable,
        "what was not there weighs more"
    );
    assert_eq!(number(without("either")), Some(230.0));

    let idle = read(&ledger, &[(0, &[0, 0, 0, 0, 0])], Facts::default());
    assert_eq!(
        idle("factor").quality,
        Quality::Invalid,
        "nothing divided by nothing"
    );
    let clamped = read(&ledger, &[(0, &[5000, 230, 2, 0, 0])], Facts::default());
    assert_eq!(number(clamped("factor")), Some(1.0));
}

#[test]
fn points_that_lean_on_each_other_are_not_known() {
    use crate::model::{Expression, Test, ValueType};
    use crate::testing::{computed, condition, ledger, point, register};
    let point_of = |key: &str| Expression::Point(key.to_owned());
    let mut own = point("own", [register(0, ValueType::U16)]);
    own.valid_when = Some(condition("own", Test::NonZero));
    let mut points = vec![own, computed("a", point_of("b")), computed("b", point_of("a"))];
    // A chain that is longer than any stack.
    points.extend((0..20_000).map(|i| computed(&format!("c{i}"), point_of(&format!("c{}", i + 1)))));
    let ledger = ledger(points);
    let readings = readings(&ledger, &image(&[(0, &[1])]), &Facts::default());
    assert!(readings.iter().all(|r| r.value.is_none()));
}
