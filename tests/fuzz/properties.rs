//! What the fuzz target holds, in the ordinary tests: a few thousand inputs that look like calls, and some that do not.

use std::cell::Cell;

use busbar::rehearse::Says;
use busbar_guard::{Order, Owner};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

#[path = "oracle.rs"]
mod oracle;
#[path = "walk.rs"]
mod walk;

use walk::{GX, anything, full};

/// An input, shown as the text that it nearly is.
struct Input(Vec<u8>);

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "\n{}", String::from_utf8_lossy(&self.0))
    }
}

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => (0i64..5).prop_map(|n| n.to_string()),
        4 => (-10i64..300).prop_map(|n| n.to_string()),
        3 => (-20_000i64..20_000).prop_map(|n| n.to_string()),
        3 => (-600i64..60_000).prop_map(|n| format!("{:?}", n as f64 / 10.0)),
        1 => any::<i64>().prop_map(|n| n.to_string()),
        1 => any::<f64>().prop_map(|n| format!("{n:?}")),
        1 => prop::sample::select(vec![
            "-1", "0", "16560", "16560.000001", "5520", "-5520", "5521", "32767", "32768", "65535", "65536", "-32768",
            "2147483647", "2147483648", "58.4", "58.5", "40", "39.9", "1e400", "9007199254740993", "-0.0", "NaN", "inf",
        ])
        .prop_map(str::to_owned),
    ]
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        number(),
        prop::sample::select(vec![
            "on",
            "OFF",
            "no limit",
            "unlimited",
            "press",
            "true",
            "On",
            "Charger Only",
            ""
        ])
        .prop_map(str::to_owned),
        "[a-zA-Z0-9 äß]{0,24}",
        any::<String>(),
    ]
}

/// A value as JSON.
fn json() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => number(),
        3 => text().prop_map(|text| format!("{text:?}")),
        1 => prop::sample::select(vec!["true", "false", "null", "[]", "{}", "[[1]]", "{\"value\":1}", ""])
            .prop_map(str::to_owned),
    ]
}

fn call() -> impl Strategy<Value = String> {
    let more = prop_oneof![
        4 => Just(String::new()),
        1 => Just(",\"dry_run\":true".to_owned()),
        1 => any::<u64>().prop_map(|ms| format!(",\"hold_ms\":{ms},\"token\":\"x\"")),
        1 => Just(",\"force\":true".to_owned()),
        1 => Just(",\"value\":1".to_owned()),
    ];
    (json(), more).prop_map(|(value, more)| format!("{{\"value\":{value}{more}}}"))
}

/// A name: mostly one that leads somewhere.
fn name() -> impl Strategy<Value = String> {
    let points: Vec<String> = GX
        .writable()
        .flat_map(|(ledger, index)| {
            let point = &ledger.points[index];
            let at = point.register().map_or(0, |register| register.span.at);
            let (ledger, key) = (&ledger.name, &point.key);
            [
                format!("{ledger}:{key}"),
                format!("{ledger}:{at}"),
                format!("home/100/{ledger}:{key}"),
            ]
        })
        .collect();
    prop_oneof![
        8 => prop::sample::select(points),
        1 => "[a-z0-9_./:-]{0,30}",
        1 => any::<String>().prop_map(|name| name.replace('\n', " ")),
    ]
}

fn entry() -> impl Strategy<Value = String> {
    let limit = prop_oneof![
        (
            prop::sample::select(vec!["min", "max", "max_change", "safe"]),
            number()
        )
            .prop_map(|(key, number)| format!(", {key} = {number}")),
        prop::collection::vec(number(), 0..4).prop_map(|all| format!(", choices = [{}]", all.join(", "))),
        Just(", no_limit = true".to_owned()),
        Just(", until = 2027-06-01T00:00:00Z".to_owned()),
        (0u32..9).prop_map(|n| format!(", daily_budget = {n}")),
    ];
    (name(), prop::collection::vec(limit, 0..3))
        .prop_map(|(name, limits)| format!("{{ entity = {name:?}{} }}", limits.concat()))
}

fn site() -> impl Strategy<Value = String> {
    let some = prop_oneof![
        prop::sample::select(vec![
            "ac_voltage = 230",
            "ac_voltage = 120",
            "ac_voltage = \"any\"",
            "ac_voltage = 5"
        ]),
        prop::sample::select(vec![
            "phases = 3",
            "phases = 1",
            "phases = \"split\"",
            "phases = 2"
        ]),
        prop::sample::select(vec![
            "ac_current = 24",
            "ac_current = 6.3",
            "ac_current = 5000",
            "ac_current = nan"
        ]),
        prop::sample::select(vec!["dc_current = 100", "dc_current = 0.5", "dc_current = -1"]),
        prop::sample::select(vec![
            "battery = \"lifepo4-16s\"",
            "battery = \"lead-12s\"",
            "battery = { cells = 14, min = 3.0, max = 4.1 }",
            "battery = { cells = 9999, min = 3.0, max = 4.1 }",
        ]),
    ];
    let all = "ac_voltage = 230\nphases = 3\nac_current = 24\ndc_current = 100\nbattery = \"lifepo4-16s\"";
    prop_oneof![
        3 => Just(all.to_owned()),
        1 => prop::collection::vec(some, 0..6).prop_map(|lines| lines.join("\n")),
    ]
}

fn config(name: Option<String>) -> impl Strategy<Value = String> {
    let entry = prop_oneof![entry(), self::name().prop_map(|name| format!("{name:?}"))];
    let level = prop_oneof![3 => Just(3u8), 1 => 0u8..5];
    let others = prop_oneof![1 => Just(Vec::new()), 1 => prop::collection::vec(entry, 0..3)];
    (site(), level, others).prop_map(move |(site, level, mut allow)| {
        allow.extend(name.iter().map(|name| format!("{name:?}")));
        format!(
            "[site]\n{site}\n[[connection]]\nname = \"home\"\nurl = \"modbus+tcp://127.0.0.1\"\n\
             [connection.writes]\nlevel = {level}\nallow = [{}]\n",
            allow.join(", ")
        )
    })
}

/// A call as somebody could make it: name, body, what the device says, and a configuration that may allow it.
fn written() -> impl Strategy<Value = Vec<u8>> {
    let says = prop::collection::vec(prop_oneof![2 => Just("-".to_owned()), 1 => number()], 0..4);
    (name(), call(), says, any::<bool>(), prop::bool::weighted(0.8)).prop_flat_map(
        |(name, call, says, by_path, allowed)| {
            config(allowed.then(|| name.clone())).prop_map(move |config| {
                let (id, body) = match by_path {
                    true => (name.clone(), call.clone()),
                    false => (String::new(), format!("{{\"entity\":{name:?},\"write\":{call}}}")),
                };
                format!("{id}\n{body}\n{}\n{config}", says.join(" ")).into_bytes()
            })
        },
    )
}

/// The same with some bytes that are not as they were, or a piece cut out.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let hits = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6);
    let cut = (any::<prop::sample::Index>(), 0usize..12);
    (written(), hits, cut).prop_map(|(mut bytes, hits, (at, length))| {
        for (at, byte) in hits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let from = at.index(bytes.len());
        bytes.drain(from..(from + length).min(bytes.len()));
        bytes
    })
}

/// W3, from the bytes of an interface: no panic, and every frame holds what the ledger, the site, the device and the owner
/// allow, whole, and by its rule's function.
#[test]
fn w3_whatever_is_sent_to_an_interface_no_frame_leaves_its_bounds() {
    let input = prop_oneof![6 => written(), 3 => damaged(), 1 => prop::collection::vec(any::<u8>(), 0..400)];
    let input = input.prop_map(Input);
    let (frames, calls) = (Cell::new(0), Cell::new(0));
    let mut runner = TestRunner::new(Config {
        cases: 2000,
        failure_persistence: None,
        ..Config::default()
    });
    let ran = runner.run(&input, |Input(input)| {
        let came = anything(&input);
        frames.set(frames.get() + came.frames);
        calls.set(calls.get() + usize::from(came.through));
        Ok(())
    });
    ran.unwrap_or_else(|fault| panic!("{fault}"));
    // What refuses everything would hold all of this, too.
    assert!(
        calls.get() > 20 && frames.get() > 10_000,
        "{} of {}",
        frames.get(),
        calls.get()
    );
}

/// Every point that has a rule can be written with something, when everything is said.
#[test]
fn every_writable_point_of_a_gx_takes_a_value_that_the_oracle_allows() {
    let owner = Owner::default();
    let mut shut = Vec::new();
    for (ledger, index) in GX.writable() {
        let point = &ledger.points[index];
        let some = [0, 1, 2, 3, 4, 9, 48, 252].map(busbar_ledger::value::Value::Integer);
        let text = busbar_ledger::value::Value::Text("House".into());
        let takes = some.iter().chain([&text]).any(|value| {
            busbar::rehearse::order(ledger, index, &full(), &owner, &Says::default(), value).is_ok_and(
                |order| oracle::judge(ledger, point, &full(), &owner, &Says::default(), &order) == Ok(()),
            )
        });
        if !takes {
            shut.push(format!("{}:{}", ledger.name, point.key));
        }
    }
    assert_eq!(shut, Vec::<String>::new());
    assert!(GX.writable().count() > 100, "{}", GX.writable().count());
}

/// The seeds of the fuzzer are calls that mean something: each is understood, and those that say so send.
#[test]
fn the_seeds_of_the_fuzzer_walk_the_whole_way() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fuzz/seeds/writes");
    let mut seen = 0;
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let came = anything(&std::fs::read(&path).unwrap());
        assert_eq!(came.through, !name.starts_with("refused-"), "{name}: {came:?}");
        seen += 1;
    }
    assert!(seen >= 8, "{seen}");
}

/// The oracle itself: it sees the mistakes that were measured on another program, and those that would follow.
#[test]
fn the_oracle_sees_a_frame_that_may_not_be() {
    let verdict = |(ledger, index): (&str, u16), function, at, words: &[u16], owner: &Owner| {
        let (ledger, index) = find(ledger, index);
        let order = Order::Registers {
            function,
            at,
            words: words.to_vec(),
        };
        oracle::judge(
            ledger,
            &ledger.points[index],
            &full(),
            owner,
            &Says::default(),
            &order,
        )
    };
    let setpoint = ("victron/gx-hub4", 2716);
    let none = Owner::default();
    assert_eq!(verdict(setpoint, 16, 2716, &[0, 1000], &none), Ok(()));
    assert_eq!(verdict(setpoint, 16, 2716, &[0xFFFF, 0xFC18], &none), Ok(()));
    for (at, words, why) in [
        (2716, &[1000, 0][..], "outside"),
        (2716, &[0, 16_561], "outside"),
        (2716, &[1000], "not its registers"),
        (2715, &[0, 1000], "not its registers"),
        (2716, &[0, 1000, 0], "not its registers"),
    ] {
        let fault = verdict(setpoint, 16, at, words, &none).unwrap_err();
        assert!(fault.contains(why), "{words:?}: {fault}");
    }
    assert!(verdict(setpoint, 6, 2716, &[0, 1000], &none).is_err());
    let narrow = Owner {
        max: Some(500.0),
        ..Owner::default()
    };
    assert!(verdict(setpoint, 16, 2716, &[0, 501], &narrow).is_err());
    let slow = Owner {
        max_change: Some(500.0),
        ..Owner::default()
    };
    assert!(
        verdict(setpoint, 16, 2716, &[0, 100], &slow).is_err(),
        "from nobody knows what"
    );
}

fn find(ledger: &str, at: u16) -> (&'static busbar_ledger::model::Ledger, usize) {
    let found = GX.writable().find(|(l, index)| {
        l.name == ledger
            && l.points[*index]
                .register()
                .is_some_and(|register| register.span.at == at)
    });
    let (ledger, index) = found.unwrap_or_else(|| panic!("{ledger}:{at} has no rule"));
    (ledger, index)
}
