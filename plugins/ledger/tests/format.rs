//! What a file says is what the ledger holds.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail by panicking")]

use std::time::Duration;

use busbar_ledger::model::{
    Bridge, Class, Expression, IdentityFormat, Ledger, Order, Point, ProbeValue, Rate, Register, Scale, Test,
    Total, ValueType,
};
use busbar_ledger::span::{Function, Span};
use busbar_ledger::write::{Bound, By, Kind, Risk, STORED_BUDGET, STORED_INTERVAL, SiteLimit, Storage};
use busbar_ledger::{MAX_FILE, MAX_POINTS, json_schema, parse};

fn accepted(text: &str) -> Ledger {
    parse("test.toml", text).unwrap_or_else(|faults| panic!("{faults}"))
}

/// A ledger with these points and nothing else.
fn points(lines: &str) -> Ledger {
    accepted(&format!(
        "ledger = \"acme/em3\"\ntitle = \"EM3\"\n[points]\n{lines}\n"
    ))
}

fn faults(text: &str) -> String {
    parse("test.toml", text).unwrap_err().to_string()
}

fn register<'a>(ledger: &'a Ledger, key: &str) -> &'a Register {
    ledger.point(key).and_then(Point::register).unwrap()
}

/// The example of the guide for authors.
fn example() -> Ledger {
    let guide = include_str!("../../../ledgers/README.md");
    let (_, rest) = guide.split_once("```toml\n").unwrap();
    let (text, _) = rest.split_once("```").unwrap();
    accepted(text)
}

#[test]
fn the_example_of_the_guide_says_what_the_guide_says() {
    let ledger = example();
    assert_eq!((ledger.name.as_str(), ledger.model.as_str()), ("acme/em3", "em3"));
    assert_eq!(ledger.transports[0].units, [1, 2]);
    assert_eq!(
        (ledger.read.max_words, ledger.read.bridge),
        (60, Bridge::Declared)
    );
    let identify = ledger.identify.as_ref().unwrap();
    let probe = identify.probe.as_ref().unwrap();
    assert_eq!(probe.span, Span::holding(0x1000, 1));
    assert_eq!(probe.equals[1], (ProbeValue::Integer(0xA2), "EM3-T".to_owned()));
    assert_eq!(identify.serial.as_ref().unwrap().format, IdentityFormat::Text);
    assert_eq!(identify.firmware.as_ref().unwrap().span, Span::holding(0x1009, 2));
    assert_eq!(identify.rescan_when_changed, ["phases"]);

    let group = &ledger.groups["l2"];
    assert_eq!(group.when.as_ref().unwrap().test, Test::Above(50.0));
    assert_eq!(group.requires.as_ref().unwrap().test, Test::In(vec![2, 3]));
    assert!(!group.proven_by_sibling && ledger.groups["l3"].proven_by_sibling);

    let power = ledger.point("power").unwrap();
    assert_eq!(power.class, Some(Class::Power));
    assert_eq!(power.registers().len(), 2);
    assert_eq!(power.registers()[1].span, Span::holding(0x2F00, 1));
    assert_eq!(power.registers()[1].scale, Scale { num: 10, den: 1 });

    let energy = ledger.point("energy").unwrap();
    assert_eq!(
        (energy.decimals, energy.total, energy.rate),
        (2, Some(Total::Increasing), Rate::Normal)
    );
    assert_eq!(energy.register().unwrap().invalid, [0xFFFF_FFFF]);

    assert_eq!(
        register(&ledger, "relay_1").ty,
        ValueType::Bits { shift: 0, width: 1 }
    );
    assert_eq!(
        register(&ledger, "mode").ty,
        ValueType::Bits { shift: 4, width: 2 }
    );
    assert_eq!(ledger.point("alarm").unwrap().labels[&9], "Alarm");
    assert_eq!(ledger.point("alarm").unwrap().label, "Alarm");
    let ats: Vec<_> = (1..=3)
        .map(|phase| register(&ledger, &format!("voltage_l{phase}")).span.at)
        .collect();
    assert_eq!(ats, [0x3010, 0x3018, 0x3020]);

    let limit = ledger.point("limit").unwrap();
    let write = limit.write.as_ref().unwrap();
    assert!(limit.writable && limit.rate == Rate::Slow);
    assert_eq!(
        write.range,
        Some((
            Bound::Site {
                limit: SiteLimit::AcPower,
                negative: true
            },
            Bound::Number(3000.0)
        ))
    );
    assert_eq!(
        (write.by, write.storage, write.risk),
        (By::Function(6), Storage::Volatile, Risk::High)
    );
    assert_eq!(write.lease.unwrap().device_timeout, Some(Duration::from_secs(60)));
    assert_eq!(write.verify.unwrap().after, Duration::from_millis(1500));
    assert_eq!(write.choices, [-32768.0]);
    assert_eq!((write.kind, write.max_change), (Kind::Number, Some(1000.0)));
    assert_eq!(write.device_max.as_deref(), Some("rated_power"));
    assert_eq!(write.interlocks[0].condition.test, Test::In(vec![2]));
    assert!(!write.interlocks[0].absent_passes && write.interlocks[0].ledger.is_none());
    let name = ledger
        .point("custom_name")
        .and_then(|p| p.write.as_ref())
        .unwrap();
    assert_eq!(
        (name.kind, name.range, name.by),
        (Kind::Text, None, By::Function(16))
    );
    let baud = ledger.point("baud_rate").unwrap();
    assert!(baud.writable && baud.write.is_none() && baud.not_written.is_some());

    let factor = ledger.point("power_factor").unwrap();
    assert_eq!(factor.decimals, 3);
    assert!(matches!(
        factor.source,
        busbar_ledger::model::PointSource::Computed(Expression::Clamp(_, -1.0, 1.0))
    ));
    assert_eq!(ledger.point("current_total").unwrap().decimals, 2);
}

#[test]
fn a_write_table_can_say_all_of_a_rule() {
    let ledger = points(
        r#"
a = { at = 0, type = "i32", unit = "A", write = { min = 0, max = { site = "ac_current" }, no_limit = -1, step = 2, max_change = 10, device_min = "low", device_max = "high", storage = "stored", min_interval = "90s", daily_budget = 3, verify = false, risk = "low", source = "a manual", interlocks = [
    { ledger = "acme/other", point = "mode", not_in = [1], absent = "pass", only_below = 5, say = "it is busy" },
    { point = "low", at_least = 1, below = 9, say = "it is low" },
] } }
b = { at = 2, type = "i16", unit = "A", write = { min = 0, max = 100, alias_of = "a" } }
low = { at = 3, type = "u16", unit = "A" }
high = { at = 4, type = "u16", unit = "A" }
linked = { at = 8, type = "text", words = 16, function = "input", write = { link = { at = 0x4000, id = 0x010C, bytes = 20 } } }
reset = { at = 24, type = "u16", write = { choices = [1], verify = false } }
on = { at = 25, type = "u16", write = { kind = "select", choices = [0, 1] } }
off = { at = 26, type = "u16", write = { choices = [1, 0] } }
word = { at = 27, type = "bits", words = 2, write = { choices = [1, 2, 4] } }
"m_{n}" = { at = 30, type = "u16", unit = "A", write = { min = 0, max = 9, device_max = "max_{n}", interlocks = [{ point = "max_{n}", non_zero = true, say = "{n} is off" }] }, for_each = { n = [1, 2], stride = 2 } }
"max_{n}" = { at = 31, type = "u16", unit = "A", for_each = { n = [1, 2], stride = 2 } }
"#,
    );
    let rule = |key: &str| ledger.point(key).and_then(|point| point.write.as_ref()).unwrap();
    let a = rule("a");
    assert_eq!(
        (a.no_limit, a.step, a.max_change),
        (Some(-1.0), Some(2.0), Some(10.0))
    );
    assert_eq!(
        (a.device_min.as_deref(), a.device_max.as_deref()),
        (Some("low"), Some("high"))
    );
    assert_eq!((a.storage, a.daily_budget), (Storage::Stored, Some(3)));
    assert_eq!((a.min_interval, a.verify), (Duration::from_secs(90), None));
    assert_eq!((a.risk, a.source.as_deref()), (Risk::Low, Some("a manual")));
    let [other, own] = &a.interlocks[..] else {
        panic!("two interlocks");
    };
    assert_eq!(
        (other.ledger.as_deref(), other.absent_passes, other.only_below),
        (Some("acme/other"), true, Some(5.0))
    );
    assert_eq!(
        (&*other.condition.point, &other.condition.test, &*other.say),
        ("mode", &Test::NotIn(vec![1]), "it is busy")
    );
    assert_eq!(own.condition.test, Test::Between(1.0, 9.0));

    let b = rule("b");
    assert_eq!(b.alias_of.as_deref(), Some("a"));
    assert_eq!(
        (b.min_interval, b.daily_budget),
        (STORED_INTERVAL, Some(STORED_BUDGET))
    );
    assert_eq!(
        (rule("linked").by, rule("linked").kind),
        (
            By::RegisterLink {
                at: 0x4000,
                id: 0x010C,
                bytes: 20
            },
            Kind::Text
        )
    );
    let kinds = ["reset", "on", "off", "word"].map(|key| rule(key).kind);
    assert_eq!(kinds, [Kind::Button, Kind::Select, Kind::Switch, Kind::Select]);
    assert_eq!(rule("m_2").device_max.as_deref(), Some("max_2"));
    assert_eq!(rule("m_2").interlocks[0].condition.point, "max_2");
    assert_eq!(rule("m_2").interlocks[0].say, "2 is off");
}

#[test]
fn the_least_that_a_ledger_may_say() {
    let ledger = points("a = { at = 7, type = \"u16\" }");
    let point = ledger.point("a").unwrap();
    assert_eq!(point.label, "A");
    assert_eq!(register(&ledger, "a").span, Span::holding(7, 1));
    assert_eq!(register(&ledger, "a").scale, Scale::ONE);
    assert_eq!(
        (ledger.read.function, ledger.read.max_words),
        (Function::Holding, 125)
    );
    assert!(!ledger.read.zero_is_unproven && ledger.identify.is_none());
}

#[test]
fn every_type_has_its_length() {
    let types = [
        ("i16", 1),
        ("u16", 1),
        ("i32", 2),
        ("u32", 2),
        ("u24", 2),
        ("i64", 4),
        ("u64", 4),
        ("f32", 2),
        ("f64", 4),
    ];
    for (ty, words) in types {
        let ledger = points(&format!("a = {{ at = 0, type = \"{ty}\" }}"));
        assert_eq!(register(&ledger, "a").span.count, words, "{ty}");
    }
    let ledger =
        points("a = { at = 0, type = \"bcd\", words = 3 }\nb = { at = 3, type = \"text\", words = 125 }");
    assert_eq!(
        (
            register(&ledger, "a").span.count,
            register(&ledger, "b").span.count
        ),
        (3, 125)
    );
}

#[test]
fn orders_and_functions_are_taken_over() {
    for (name, order) in [
        ("ABCD", Order::Abcd),
        ("CDAB", Order::Cdab),
        ("BADC", Order::Badc),
        ("DCBA", Order::Dcba),
    ] {
        let ledger = points(&format!("a = {{ at = 0, type = \"u32\", order = \"{name}\" }}"));
        assert_eq!(register(&ledger, "a").order, order);
    }
    for (name, function) in [("input", Function::Input), ("holding", Function::Holding)] {
        let ledger = points(&format!(
            "a = {{ at = 0, type = \"u16\", function = \"{name}\" }}"
        ));
        assert_eq!(register(&ledger, "a").span.function, function);
    }
    let ledger = points("a = { at = 3, function = \"coils\" }\nb = { at = 3, function = \"discrete\" }");
    assert_eq!(
        register(&ledger, "a").span,
        Span {
            function: Function::Coils,
            at: 3,
            count: 1
        }
    );
    assert_eq!(register(&ledger, "b").ty, ValueType::Bits { shift: 0, width: 1 });
}

#[test]
fn input_then_holding_starts_with_input() {
    let ledger = accepted(
        "ledger = \"a/b\"\ntitle = \"B\"\n[read]\nfunction = \"input-then-holding\"\n[points]\na = { at = 0, type = \"u16\" }",
    );
    assert!(ledger.read.fall_back_to_holding);
    assert_eq!(register(&ledger, "a").span.function, Function::Input);
}

#[test]
fn the_shift_moves_points_reserved_runs_and_identity() {
    let ledger = accepted(
        "ledger = \"a/b\"\ntitle = \"B\"\nreserved = [[11, 2], [\"input\", 21, 1]]\n[read]\nindex_shift = -1\n\
         [identify]\nserial = { at = 101, type = \"u32\" }\n[points]\na = { at = 1, type = \"u16\" }\nb = { at = 65536, type = \"u16\" }",
    );
    assert_eq!(register(&ledger, "a").span.at, 0);
    assert_eq!(register(&ledger, "b").span.at, 65_535);
    assert_eq!(
        ledger.reserved,
        [
            Span::holding(10, 2),
            Span {
                function: Function::Input,
                at: 20,
                count: 1
            }
        ]
    );
    assert_eq!(
        ledger.identify.unwrap().serial.unwrap().span,
        Span::holding(100, 2)
    );
}

#[test]
fn repeated_points_take_their_placeholders_along() {
    let ledger = accepted(
        "ledger = \"a/b\"\ntitle = \"B\"\n[groups.l1]\nproven_by = \"sibling\"\n[groups.l2]\nproven_by = \"sibling\"\n[points]\n\
         \"sf_{n}\" = { at = 100, type = \"i16\", for_each = { n = [1, 2], stride = 10 } }\n\
         \"v_l{n}\" = { at = 0, type = \"u16\", label = \"Voltage L{n}\", origin = \"/Ac/L{n}/V\", group = \"l{n}\", scale_point = \"sf_{n}\",\n\
           valid_when = { point = \"sf_{n}\", non_zero = true }, fallback = [{ at = 50 }], for_each = { n = [1, 2], stride = 4 } }",
    );
    let second = ledger.point("v_l2").unwrap();
    assert_eq!(second.label, "Voltage L2");
    assert_eq!(second.origin.as_deref(), Some("/Ac/L2/V"));
    assert_eq!(second.group.as_deref(), Some("l2"));
    assert_eq!(second.valid_when.as_ref().unwrap().point, "sf_2");
    assert_eq!(second.registers()[0].scale_point.as_deref(), Some("sf_2"));
    assert_eq!(
        (second.registers()[0].span.at, second.registers()[1].span.at),
        (4, 54)
    );
}

#[test]
fn computed_points_stand_behind_what_they_need() {
    let ledger = accepted(
        "ledger = \"a/b\"\ntitle = \"B\"\n[computed]\nc = { sum = [\"b\", 1] }\nb = { product = [\"a\", 2] }\n[points]\na = { at = 0, type = \"u16\", scale = \"1/10\" }",
    );
    let keys: Vec<_> = ledger.points.iter().map(|point| point.key.as_str()).collect();
    assert_eq!(keys, ["a", "b", "c"]);
    assert!(keys.iter().enumerate().all(|(i, key)| ledger.index[*key] == i));
    assert_eq!(ledger.point("c").unwrap().decimals, 1);
}

#[test]
fn a_chain_of_thousands_of_computed_points_is_no_danger() {
    let mut text =
        "ledger = \"a/b\"\ntitle = \"B\"\n[points]\nc0 = { at = 0, type = \"u16\" }\n[computed]\n".to_owned();
    for i in (1..15_000).rev() {
        text += &format!("c{i} = {{ sum = [\"c{}\", 1] }}\n", i - 1);
    }
    let ledger = accepted(&text);
    assert_eq!(ledger.points.last().unwrap().key, "c14999");
}

#[test]
fn signed_sentinels_become_patterns_of_their_width() {
    let ledger = points(
        "a = { at = 0, type = \"i16\", invalid = [-32768, 0x7FFF] }\nb = { at = 1, type = \"i64\", invalid = [-1] }",
    );
    assert_eq!(register(&ledger, "a").invalid, [0x8000, 0x7FFF]);
    assert_eq!(register(&ledger, "b").invalid, [u64::MAX]);
}

#[test]
fn fall_backs_inherit_what_they_do_not_say() {
    let ledger = points(
        "a = { at = 0, type = \"u32\", scale = \"1/100\", order = \"CDAB\", invalid = [0], fallback = [\
           { at = 8 }, { at = 10, type = \"u16\", scale = \"1/10\", prefer = \"when-it-fits\" }] }\n\
         t = { at = 20, type = \"text\", words = 4, fallback = [{ at = 30 }] }",
    );
    let all = ledger.point("a").unwrap().registers();
    assert_eq!(
        (all[1].span.count, all[1].order, all[1].invalid.as_slice()),
        (2, Order::Cdab, &[0][..])
    );
    assert_eq!(
        (all[2].span.count, all[2].scale.den, all[2].invalid.len()),
        (1, 10, 0)
    );
    assert!(all[2].preferred_when_it_fits && !all[1].preferred_when_it_fits);
    assert_eq!(ledger.point("a").unwrap().decimals, 2);
    assert_eq!(
        ledger.point("t").unwrap().registers()[1].span,
        Span::holding(30, 4)
    );
}

#[test]
fn bits_of_one_register_share_nothing_and_one_overlap_may_be_meant() {
    points(
        "a = { at = 0, bit = 0 }\nb = { at = 0, bit = 1 }\nc = { at = 0, bits = [8, 8] }\nd = { at = 0, type = \"u16\", overlap = true }",
    );
}

#[test]
fn a_file_too_large_is_not_even_parsed() {
    let text = " ".repeat(MAX_FILE + 1);
    assert!(faults(&text).contains("4194304"));
}

#[test]
fn too_many_points_are_refused() {
    let repeated = "ledger = \"a/b\"\ntitle = \"B\"\n[points]\n".to_owned()
        + &(0..=MAX_POINTS / 256)
            .map(|i| {
                let list: Vec<_> = (0..256).map(|n| n.to_string()).collect();
                format!(
                    "\"p{i}_{{n}}\" = {{ at = 0, type = \"u16\", overlap = true, for_each = {{ n = [{}], stride = 1 }} }}\n",
                    list.join(",")
                )
            })
            .collect::<String>();
    assert!(faults(&repeated).contains("more than 20000 points"));
}

#[test]
fn labels_cannot_be_multiplied_without_end() {
    let line = |i| format!("p{i} = {{ at = {i}, type = \"u16\", labels = {{ 0-60000 = \"x\" }} }}\n");
    let text =
        "ledger = \"a/b\"\ntitle = \"B\"\n[points]\n".to_owned() + &(0..100).map(line).collect::<String>();
    assert!(faults(&text).contains("more than 100000 labels"));
}

#[test]
fn deep_nesting_is_refused_without_harm() {
    for open in ["[", "{a="] {
        let all = faults(&format!("x = {}", open.repeat(100_000)));
        assert!(
            all.contains("recurs"),
            "{open}: {}",
            all.chars().take(600).collect::<String>()
        );
    }
    let dotted = vec!["a"; 100_000].join(".");
    assert!(faults(&format!("{dotted} = 1")).contains("recursion limit"));
}

#[test]
fn a_thousand_faults_are_counted_but_not_all_shown() {
    let text = "ledger = \"a/b\"\ntitle = \"B\"\n[points]\n".to_owned()
        + &(0..1200)
            .map(|i| format!("p{i} = {{ at = {i}, type = \"x\" }}\n"))
            .collect::<String>();
    let faults = parse("test.toml", &text).unwrap_err();
    assert_eq!((faults.all().len(), faults.more()), (50, 1150));
    assert!(faults.to_string().ends_with("test.toml: and 1150 more"));
}

#[test]
fn positions_count_lines_and_characters_from_one() {
    let faults = parse(
        "t.toml",
        "ledger = \"a/b\"\ntitle = \"ä\"\n[points]\na = { label = \"ö\", at = 0, tipe = 1 }",
    )
    .unwrap_err();
    assert_eq!(faults.position(&faults.all()[0]), (4, 28));
    assert!(faults.to_string().starts_with("t.toml:4:28: unknown key `tipe`"));
}

#[test]
fn other_line_ends_and_a_byte_order_mark_change_nothing() {
    let text = "\u{feff}ledger = \"a/b\"\r\ntitle = \"B\"\r\n[points]\r\na = { at = 0, type = \"u16\" }\r\n";
    assert_eq!(accepted(text).points.len(), 1);
    assert!(faults(&text.replace("at =", "an =")).contains("test.toml:4:7: unknown key `an`"));
}

#[test]
fn a_fault_in_a_page_of_text_is_told_in_a_line() {
    let key = "k".repeat(10_000);
    let text = format!("ledger = \"a/b\"\ntitle = \"B\"\n[points]\n{key} = {{ at = 0 }}\n{key} = 1\n");
    assert!(faults(&text).lines().all(|line| line.chars().count() < 800));
}

#[test]
fn the_schema_knows_every_key_with_a_description() {
    let schema = json_schema();
    assert_eq!(schema["required"], serde_json::json!(["ledger", "title"]));
    let point = &schema["$defs"]["Point"];
    assert_eq!(point["additionalProperties"], false);
    assert_eq!(
        point["anyOf"],
        serde_json::json!([{ "required": ["at"] }, { "required": ["obis"] }])
    );
    assert!(
        schema["properties"]["points"]["additionalProperties"]["$ref"]
            .as_str()
            .unwrap()
            .ends_with("/Point")
    );
    for (name, definition) in schema["$defs"].as_object().unwrap() {
        for (key, property) in definition["properties"].as_object().into_iter().flatten() {
            assert!(
                property["description"].is_string(),
                "{name}.{key} has no description"
            );
        }
    }
    assert!(
        schema["$defs"]["Class"]["enum"]
            .as_array()
            .unwrap()
            .contains(&"power_factor".into())
    );
}
