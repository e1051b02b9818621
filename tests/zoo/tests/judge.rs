//! The judge finds each kind of violation, and acquits who did none.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what cannot be set up fails the test"
)]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use busbar_ledger::model::{Ledger, Order, Register, ValueType};
use busbar_ledger::span::Span;
use busbar_ledger::write::By;
use busbar_zoo::simulate::Write;
use busbar_zoo::{Evidence, Intent, Judge, Leave, Raw, gx, ledgers, peer};

/// What a control of each kind looks like: range of numbers, of the site, choices, coil, text.
const LEDGER: &str = r#"
ledger = "test/knob"
title  = "Knob"
[read]
function = "holding"
[points]
limit  = { at = 10, type = "i32", unit = "W", write = { min = -5000, max = 5000, step = 50, storage = "volatile", min_interval = "1s", lease = { device_timeout = "60s", safe = 0 } } }
power  = { at = 12, type = "i16", scale = "100/1", unit = "W", write = { min = { site = "-ac_power" }, max = { site = "ac_power" } } }
mode   = { at = 13, type = "u16", write = { choices = [1, 3], storage = "volatile" } }
level  = { at = 14, type = "f32", unit = "%", write = { min = 0, max = 100, storage = "volatile" } }
relay  = { at = 20, function = "coils", write = { choices = [0, 1], storage = "volatile" } }
name   = { at = 40, type = "text", words = 8 }
system = { at = 50, type = "u16" }
"#;

fn knob() -> Ledger {
    let mut ledger = busbar_ledger::parse("knob", LEDGER).unwrap_or_else(|faults| panic!("{faults}"));
    for (key, id, bytes) in [("name", 0x010C, 16), ("system", 0x0112, 1)] {
        let rule = ledger.point("mode").unwrap().write.clone().unwrap();
        let place = ledger.index[key];
        let write = ledger.points[place].write.insert(rule);
        write.by = By::RegisterLink {
            at: 0x4000,
            id,
            bytes,
        };
        write.choices.clear();
    }
    ledger
}

/// A judge of unit 5 that allows everything that the ledger knows, within a site of 3 kW.
fn judge() -> Judge {
    let ledger = knob();
    let leave = |key| Leave::of(5, &ledger, key);
    Judge::strict()
        .allow(leave("limit").ramp(4000.0))
        .allow(leave("power").within(-3000.0, 3000.0).every(Duration::ZERO))
        .allow(leave("mode").every(Duration::ZERO))
        .allow(leave("level"))
        .allow(leave("relay").every(Duration::ZERO))
        .allow(leave("name"))
        .allow(leave("system").within(0.0, 252.0))
}

/// What a client sent to a unit at a time in ms.
fn seen(requests: &[(u64, u8, &[u8])]) -> Evidence {
    let write =
        |&(after, unit, pdu): &(u64, u8, &[u8])| Write::of(Duration::from_millis(after), unit, pdu, None);
    Evidence {
        writes: requests.iter().filter_map(write).collect(),
        unseen: 0,
    }
}

/// A write of 32 bits with function 16.
fn wide(at: u8, value: i32) -> Vec<u8> {
    [&[16, 0, at, 0, 2, 4][..], &value.to_be_bytes()].concat()
}

fn float(value: f32) -> Vec<u8> {
    [&[16, 0, 14, 0, 2, 4][..], &value.to_be_bytes()].concat()
}

fn link(words: &[u16]) -> Vec<u8> {
    let mut pdu = vec![
        23,
        0x40,
        0,
        0,
        35,
        0x40,
        0,
        0,
        words.len() as u8,
        2 * words.len() as u8,
    ];
    pdu.extend(words.iter().flat_map(|word| word.to_be_bytes()));
    pdu
}

/// What the judge says of one request to unit 5.
fn of(pdu: &[u8]) -> Vec<String> {
    judge().violations(&seen(&[(0, 5, pdu)]))
}

#[test]
fn what_is_allowed_is_no_violation() {
    for pdu in [
        wide(10, -5000),
        wide(10, 5000),
        wide(10, 150),
        vec![6, 0, 12, 0, 30],
        vec![6, 0, 12, 0xFF, 0xE2],
        vec![6, 0, 13, 0, 3],
        float(0.0),
        float(100.0),
        float(99.9),
        vec![5, 0, 20, 0xFF, 0],
        link(&[0x10C]),
        link(&[0x10C, 3, 0x48C3, 0xB600]),
        link(&[0x112, 1, 0xFC00]),
        // Reads, and who are you?
        vec![1, 0, 20, 0, 1],
        vec![3, 0, 10, 0, 2],
        vec![4, 0, 10, 0, 2],
        vec![17],
        vec![43, 14, 1, 0],
    ] {
        assert_eq!(of(&pdu), [""; 0], "{pdu:x?}");
    }
}

#[test]
fn each_wrong_frame_is_found() {
    for (pdu, said) in [
        // Beyond the bounds, by one raw step or by a wrong scale.
        (wide(10, 5050), "5050 is outside of -5000 to 5000"),
        (wide(10, -5050), "outside"),
        (wide(10, 65_536_000), "65536000 is outside"),
        (
            vec![6, 0, 12, 0, 31],
            "3100 is outside of -3000 to 3000, the bounds of test/knob power",
        ),
        (vec![6, 0, 12, 0xFF, 0xE1], "-3100 is outside"),
        (vec![6, 0, 12, 0x02, 0x8E], "65400 is outside"),
        (float(100.01), "outside of 0 to 100"),
        (float(-0.01), "outside"),
        (float(f32::NAN), "no value of test/knob level"),
        (wide(10, 25), "25 is no multiple of 50"),
        (
            vec![6, 0, 13, 0, 2],
            "2 is none of the choices of test/knob mode: [1.0, 3.0]",
        ),
        // A part, more, several.
        (
            vec![6, 0, 10, 3, 232],
            "only a part of test/knob limit, which is 2 words",
        ),
        (vec![6, 0, 11, 3, 232], "only a part of test/knob limit"),
        (vec![16, 0, 11, 0, 1, 2, 3, 232], "only a part of test/knob limit"),
        (
            vec![16, 0, 9, 0, 3, 6, 0, 0, 0, 0, 0, 0],
            "more than test/knob limit",
        ),
        (
            vec![16, 0, 12, 0, 2, 4, 0, 1, 0, 1],
            "several points at once: test/knob power, test/knob mode",
        ),
        // The wrong place, the wrong function.
        (vec![6, 0, 99, 0, 1], "nothing lies there that may be written"),
        (vec![6, 0, 20, 0, 1], "nothing lies there"),
        (vec![5, 0, 13, 0, 0], "nothing lies there"),
        (vec![6, 0, 50, 0, 1], "nothing lies there"),
        (
            vec![16, 0, 13, 0, 1, 2, 0, 1],
            "function 16 instead of 6, by which test/knob mode is written",
        ),
        (vec![15, 0, 20, 0, 1, 1, 1], "function 15 instead of 5"),
        (
            vec![22, 0, 13, 0, 0, 0, 1],
            "function 22 neither reads nor may write",
        ),
        (vec![8, 0, 1, 0, 0], "function 8 neither"),
        (vec![90], "function 90 neither"),
        // Broken.
        (vec![16, 0, 10, 0, 2, 2, 0, 1], "not well-formed"),
        (vec![5, 0, 20, 0, 1], "not well-formed"),
        // A link.
        (link(&[0x999, 1, 0]), "nothing of id 0x0999 may be written"),
        (link(&[0x112, 1, 0xFD00]), "253 is outside of 0 to 252"),
        (
            link(&[0x112, 2, 0x0001]),
            "2 bytes for test/knob system, which takes 1",
        ),
        (link(&[0x112, 0]), "no data"),
        (
            link(&[0x112, 1, 0x0100, 0]),
            "2 words of data that are said to be 1 bytes",
        ),
        (link(&[0x112, 1, 0x0101]), "something behind the end"),
        (link(&[0x10C, 2, 0xFFFE]), "not UTF-8"),
        (
            vec![23, 0x40, 0, 0, 5, 0x40, 1, 0, 1, 2, 1, 12],
            "no register link lies there that may be asked",
        ),
        (
            vec![23, 0x40, 0, 0, 5, 0x40, 1, 0, 3, 6, 1, 12, 0, 1, 0x41, 0],
            "no register link lies there that may be written",
        ),
    ] {
        let found = of(&pdu);
        assert!(
            found.len() == 1 && found[0].contains(said),
            "{pdu:x?}: {found:?}\nnot {said}"
        );
    }
    // Right frames to somebody else, or to everybody.
    for unit in [0, 6] {
        let found = judge().violations(&seen(&[(0, unit, &[6, 0, 13, 0, 3])]));
        assert!(
            found.len() == 1 && found[0].contains("nothing lies there"),
            "{found:?}"
        );
    }
}

#[test]
fn a_sentence_says_when_to_whom_and_what() {
    let found = judge().violations(&seen(&[(12_345, 5, &[6, 0, 12, 0, 31])]));
    assert_eq!(
        found,
        [
            "after 12.345 s, unit 5, function 6, 12 (0x000c), words [001f]: 3100 is outside of -3000 to 3000, \
          the bounds of test/knob power"
        ]
    );
}

#[test]
fn where_nothing_may_be_written_any_write_is_one_too_many() {
    let strict = |pdu: &[u8]| Judge::strict().violations(&seen(&[(0, 5, pdu)])).len();
    for reads in [
        &[1, 0, 0, 0, 1][..],
        &[2, 0, 0, 0, 1],
        &[3, 0, 0, 0, 1],
        &[4, 0, 0, 0, 1],
        &[17],
        &[43, 14, 1, 0],
    ] {
        assert_eq!(strict(reads), 0);
    }
    for function in (0..=255).filter(|function| ![1, 2, 3, 4, 17, 43].contains(function)) {
        assert_eq!(strict(&[function, 0, 13, 0, 1]), 1, "{function}");
    }
    // A link may be asked where that is said, and only there.
    let asks = link(&[0x112]);
    assert_eq!(strict(&asks), 1);
    let allowed = Judge::strict().may_ask(5, 0x4000);
    assert_eq!(allowed.violations(&seen(&[(0, 5, &asks)])), [""; 0]);
    assert_eq!(allowed.violations(&seen(&[(0, 6, &asks)])).len(), 1);
    assert_eq!(
        allowed.violations(&seen(&[(0, 5, &link(&[0x112, 1, 0]))])).len(),
        1
    );
}

#[test]
fn what_the_ledger_leaves_to_the_site_is_not_allowed_until_it_is_given() {
    let ledger = knob();
    let request = seen(&[(0, 5, &[6, 0, 12, 0, 0])]);
    let without = Judge::strict().allow(Leave::of(5, &ledger, "power"));
    assert!(without.violations(&request)[0].contains("none of the choices"));
    // And what the ledger says is not widened.
    let wider = Judge::strict().allow(Leave::of(5, &ledger, "limit").within(-9000.0, 9000.0));
    assert_eq!(wider.violations(&seen(&[(0, 5, &wide(10, 5050))])).len(), 1);
    // A choice beside the range is one where it is named.
    let no_limit = Leave::of(5, &ledger, "power").within(0.0, 3000.0);
    let request = seen(&[(0, 5, &[6, 0, 12, 0xFF, 0xFF])]);
    assert_eq!(
        Judge::strict().allow(no_limit.clone()).violations(&request).len(),
        1
    );
    assert_eq!(
        Judge::strict()
            .allow(no_limit.or_just(&[-100.0]))
            .violations(&request),
        [""; 0]
    );
}

#[test]
fn writes_that_come_too_soon_too_often_or_too_far_are_found() {
    let at = |writes: &[(u64, i32)]| {
        let frames: Vec<_> = writes
            .iter()
            .map(|&(after, value)| (after, wide(10, value)))
            .collect();
        let requests: Vec<_> = frames
            .iter()
            .map(|(after, pdu)| (*after, 5, pdu.as_slice()))
            .collect();
        judge().violations(&seen(&requests))
    };
    assert_eq!(at(&[(0, 100), (1000, 150), (1960, 200)]), [""; 0]);
    let soon = at(&[(0, 100), (900, 150)]);
    assert!(
        soon.len() == 1 && soon[0].contains("900.0ms before, and may be every 1.0s"),
        "{soon:?}"
    );
    let far = at(&[(0, -2000), (1000, 2050)]);
    assert!(
        far.len() == 1 && far[0].contains("from -2000 to 2050, more than 4000 at once"),
        "{far:?}"
    );
    // The safe value may come at once and from afar, but only once.
    assert_eq!(at(&[(0, 5000), (10, 0)]), [""; 0]);
    assert_eq!(at(&[(0, 5000), (10, 0), (20, 0)]).len(), 1);
    // A budget is for any 24 hours.
    let hour = 3_600_000;
    let daily = Judge::strict().allow(Leave::of(5, &knob(), "mode").daily(3));
    let mode = |hours: &[u64]| {
        let requests: Vec<_> = hours
            .iter()
            .map(|at| (at * hour, 5, &[6, 0, 13, 0, 1][..]))
            .collect();
        daily.violations(&seen(&requests))
    };
    assert_eq!(mode(&[0, 10, 20, 24, 34]), [""; 0]);
    let often = mode(&[0, 10, 20, 23]);
    assert!(
        often.len() == 1 && often[0].contains("write 4 of test/knob mode within 24 hours"),
        "{often:?}"
    );
}

#[test]
fn two_registers_of_one_setting_share_its_interval() {
    let mut ledger = knob();
    let place = ledger.index["mode"];
    let rule = ledger.points[place].write.as_mut().unwrap();
    rule.alias_of = Some("limit".to_owned());
    let requests = [(0, wide(10, 100)), (100, vec![6, 0, 13, 0, 1])];
    let requests = requests
        .each_ref()
        .map(|(after, pdu)| (*after, 5, pdu.as_slice()));
    let allow = |ledger: &Ledger| {
        let leave = |key| Leave::of(5, ledger, key);
        Judge::strict().allow(leave("limit")).allow(leave("mode"))
    };
    assert_eq!(allow(&ledger).violations(&seen(&requests)).len(), 1);
    assert_eq!(allow(&knob()).violations(&seen(&requests)), [""; 0]);
}

#[test]
fn each_write_needs_an_intent_of_its_own() {
    let began = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let intent = |value: u16, from: i64, to: i64| Intent {
        unit: 5,
        function: 6,
        at: 13,
        words: vec![value],
        from_ms: 1_800_000_000_000 + from,
        to_ms: 1_800_000_000_000 + to,
    };
    let judged = |intents: &[Intent], writes: &[(u64, u8)]| {
        let frames: Vec<_> = writes
            .iter()
            .map(|&(after, value)| (after, [6, 0, 13, 0, value]))
            .collect();
        let requests: Vec<_> = frames
            .iter()
            .map(|(after, pdu)| (*after, 5, pdu.as_slice()))
            .collect();
        judge()
            .intents(intents.to_vec(), began)
            .violations(&seen(&requests))
    };
    let rows = [intent(1, 0, 1000), intent(3, 1500, 2000), intent(1, 500, 3000)];
    assert_eq!(judged(&rows, &[(100, 1), (1600, 3), (1700, 1)]), [""; 0]);
    // The row that runs out first is taken first, so that the later one is left for the later write.
    assert_eq!(judged(&rows, &[(600, 1), (2900, 1)]), [""; 0]);
    // An intent without a write is no fault.
    assert_eq!(judged(&rows, &[]), [""; 0]);
    for (rows, writes, said) in [
        (
            &rows[..],
            &[(100, 1), (200, 1)][..],
            "its intent has had its write",
        ),
        (&rows[..1], &[(2000, 1)], "its intent is of another time"),
        (&rows[1..2], &[(1400, 3)], "its intent is of another time"),
        (&rows[..1], &[(100, 3)], "no intent says this"),
        (&[], &[(100, 3)], "no intent says this"),
    ] {
        let found = judged(rows, writes);
        assert!(
            found.len() == 1 && found[0].contains(said),
            "{found:?}\nnot {said}"
        );
    }
    // What asks a link writes nothing.
    let asks = judge().intents(Vec::new(), began);
    assert_eq!(asks.violations(&seen(&[(0, 5, &link(&[0x112]))])), [""; 0]);
}

#[test]
fn evidence_with_holes_convicts() {
    let holes = Evidence {
        unseen: 3,
        ..Evidence::default()
    };
    let found = Judge::strict().violations(&holes);
    assert!(
        found.len() == 1 && found[0].contains("3 requests were not kept"),
        "{found:?}"
    );
}

#[test]
#[should_panic(expected = "2 violations")]
fn a_test_fails_where_something_was_written_that_may_not_be() {
    let request: &[u8] = &[6, 0, 1, 0, 1];
    Judge::strict().acquit(&seen(&[(0, 1, request), (1, 1, request)]));
}

#[test]
fn every_raw_step_beyond_a_bound_is_seen_whatever_the_type() {
    // The bounds are 10 raw steps, on every scale: the eleventh is a violation, the tenth is none.
    let mut ledger = knob();
    let place = ledger.index["mode"];
    for (num, den) in [(1, 1), (1, 10), (1, 100), (1, 1000), (100, 1)] {
        for (ty, count) in [(ValueType::I16, 1), (ValueType::I32, 2), (ValueType::I64, 4)] {
            let mut register = Register::plain(Span::holding(60, count), ty, Order::Abcd);
            register.scale = busbar_ledger::model::Scale { num, den };
            let end = 10.0 * num as f64 / den as f64;
            ledger.points[place].source = busbar_ledger::model::PointSource::Registers(vec![register]);
            ledger.points[place].write = None;
            let judge = Judge::strict().allow(Leave::of(5, &ledger, "mode").within(-end, end));
            for raw in -12i64..=12 {
                let bytes = &raw.to_be_bytes()[8 - 2 * usize::from(count)..];
                let pdu = match count {
                    1 => [&[6, 0, 60][..], bytes].concat(),
                    _ => [&[16, 0, 60, 0, count as u8, 2 * count as u8][..], bytes].concat(),
                };
                let found = judge.violations(&seen(&[(0, 5, &pdu)]));
                assert_eq!(
                    found.is_empty(),
                    raw.abs() <= 10,
                    "{raw} x {num}/{den} {ty:?}: {found:?}"
                );
            }
        }
    }
}

#[tokio::test]
async fn devices_and_peers_give_the_same_evidence() {
    let running = gx("[[device.service]]\nservice = \"hub4\"\nvalues = { overrides_setpoint = 0.0 }\n").await;
    let peer = peer(&running, "gx").await;
    let mut client = Raw::connect(peer.address()).await.unwrap();
    client.read(100, 2716, 2).await.unwrap().unwrap();
    for pdu in [
        &[16, 0x0A, 0x9C, 0, 2, 4, 0, 0, 0x03, 0xE8][..],
        &[6, 0x0A, 0x9C, 0x03, 0xE8],
        &[5, 0, 1, 0xFF, 0],
    ] {
        client.ask(100, pdu).await.unwrap();
    }
    let hub4 = ledgers()
        .iter()
        .find(|ledger| ledger.name == "victron/gx-hub4")
        .unwrap();
    let leave = Leave::of(100, hub4, "overrides_setpoint")
        .within(-3000.0, 3000.0)
        .every(Duration::ZERO);
    let judge = Judge::strict().allow(leave);
    let (seen, passed) = (
        Evidence::from(&running.stats("gx").unwrap()),
        Evidence::from(peer.record()),
    );
    for evidence in [&seen, &passed] {
        let found = judge.violations(evidence);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(
            found[0].contains("only a part of victron/gx-hub4 overrides_setpoint"),
            "{found:?}"
        );
        assert!(found[1].contains("nothing lies there"), "{found:?}");
    }
    let exceptions =
        |evidence: &Evidence| -> Vec<_> { evidence.writes.iter().map(|write| write.exception).collect() };
    assert_eq!(exceptions(&seen), [None, None, Some(1)]);
    assert_eq!(exceptions(&seen), exceptions(&passed));
    // Both know when they began.
    let rows: Vec<_> = passed.writes[..1]
        .iter()
        .map(|write| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
            Intent {
                unit: write.unit,
                function: write.function,
                at: write.at,
                words: write.words.clone(),
                from_ms: now - 60_000,
                to_ms: now,
            }
        })
        .collect();
    for (evidence, began) in [(&seen, running.began()), (&passed, peer.record().began())] {
        let first = Evidence {
            writes: evidence.writes[..1].to_vec(),
            unseen: 0,
        };
        judge.clone().intents(rows.clone(), began).acquit(&first);
        let late = began - Duration::from_secs(3600);
        assert_eq!(
            judge.clone().intents(rows.clone(), late).violations(&first).len(),
            1
        );
    }
}
