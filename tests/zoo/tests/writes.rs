//! Simulated devices take writes as real ones do: leases, refusals, second masters, coils and register links.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what cannot be set up fails the test"
)]

use std::sync::Arc;
use std::time::Duration;

use busbar_ledger::model::Ledger;
use busbar_ledger::value::Value;
use busbar_ledger::write::{By, Kind, Risk, Storage, WriteRule};
use busbar_zoo::simulate::{Content, OnWrite, Running, Site, crc, start};
use busbar_zoo::{Raw, connect};
use tokio::time::advance;

const HUB4: &str = "victron/gx-hub4";
const KNOB: &str = "test/knob";

/// A GX with a set-point that lapses, and with settings.
const GX: &str = r#"
[[device]]
name   = "gx"
kind   = "gx"
listen = "modbus+tcp://127.0.0.1:0"

[[device.service]]
service = "hub4"
values  = { overrides_setpoint = 30.0 }
[device.service.on_write]
overrides_setpoint = { lapse = "60s", fallback = -25 }

[[device.service]]
service = "settings"
[device.service.values]
settings_cgwacs_ac_power_set_point             = 30.0
settings_cgwacs_battery_life_minimum_soc_limit = 10.0
settings_cgwacs_hub4_mode                      = 3
"#;

/// A plain device with coils, a lease of its own and settings behind a link.
const LEDGER: &str = r#"
ledger = "test/knob"
title  = "Knob"
[read]
function = "holding"
[points]
limit   = { at = 10, type = "i32", unit = "W", write = { min = -5000, max = 5000, storage = "volatile", lease = { device_timeout = "10s", safe = 0 } } }
level   = { at = 12, type = "u16", scale = "1/10", unit = "%", access = "rw" }
fan     = { at = 13, bit = 0, access = "rw" }
pump    = { at = 13, bit = 1, access = "rw" }
relay   = { at = 20, function = "coils", access = "rw" }
valve   = { at = 21, function = "coils", access = "rw" }
power   = { at = 30, type = "i16", unit = "W", class = "power" }
name    = { at = 40, type = "text", words = 4 }
system  = { at = 50, type = "u16" }
"#;

const PLAIN: &str = r#"
[[device]]
name   = "knob"
kind   = "ledger"
listen = "modbus+tcp://127.0.0.1:0"

[[device.unit]]
unit   = 5
ledger = "test/knob"
values = { limit = 100, level = 50.0, fan = 1, pump = 0, relay = 0, valve = 1, power = 7, name = "Roof", system = 3 }
on_write = { level = { clamp = [20, 80], settle = "300ms" }, valve = { keep = true } }

[[device.unit]]
unit   = 6
ledger = "generic/demo-meter"
values = { power = 500.0 }
"#;

fn linked(ledger: &mut Ledger, key: &str, kind: Kind, id: u16, bytes: u8) {
    let point = ledger.points.iter_mut().find(|point| point.key == key).unwrap();
    point.writable = true;
    point.write = Some(WriteRule {
        kind,
        by: By::RegisterLink {
            at: 0x4000,
            id,
            bytes,
        },
        range: None,
        choices: Vec::new(),
        no_limit: None,
        step: None,
        max_change: None,
        device_min: None,
        device_max: None,
        storage: Storage::Stored,
        min_interval: Duration::from_secs(60),
        daily_budget: None,
        lease: None,
        verify: None,
        risk: Risk::Low,
        alias_of: None,
        interlocks: Vec::new(),
        source: None,
    });
}

fn knob() -> Ledger {
    let mut ledger = busbar_ledger::parse("knob", LEDGER).unwrap_or_else(|faults| panic!("{faults}"));
    linked(&mut ledger, "name", Kind::Text, 0x010C, 8);
    linked(&mut ledger, "system", Kind::Number, 0x0112, 1);
    ledger
}

async fn serve(text: &str) -> Running {
    let mut ledgers = busbar_zoo::ledgers().to_vec();
    ledgers.push(Arc::new(knob()));
    let site = Site::parse("test", text).unwrap_or_else(|error| panic!("{error}"));
    start(&site, &ledgers)
        .await
        .unwrap_or_else(|error| panic!("{error}"))
}

async fn gx() -> (Running, Raw) {
    let running = serve(GX).await;
    let client = connect(&running, "gx").await;
    (running, client)
}

async fn plain() -> (Running, Raw) {
    let running = serve(PLAIN).await;
    let client = connect(&running, "knob").await;
    (running, client)
}

async fn setpoint(client: &mut Raw) -> i32 {
    long(client, 100, 2716).await
}

async fn long(client: &mut Raw, unit: u8, at: u16) -> i32 {
    let words = client.read(unit, at, 2).await.unwrap().unwrap();
    i32::from(words[0] as i16) << 16 | i32::from(words[1])
}

async fn word(client: &mut Raw, unit: u8, at: u16) -> u16 {
    client.read(unit, at, 1).await.unwrap().unwrap()[0]
}

/// Writes two registers with function 16; the answer is checked to be the echo, or is an exception.
async fn put(client: &mut Raw, unit: u8, at: u16, value: i32) -> Result<(), u8> {
    let ([a0, a1], data) = (at.to_be_bytes(), value.to_be_bytes());
    let request = [&[16, a0, a1, 0, 2, 4][..], &data].concat();
    let answer = client.ask(unit, &request).await.unwrap();
    match answer.as_slice() {
        [0x90, code] => Err(*code),
        echo => {
            assert_eq!(echo, &request[..5]);
            Ok(())
        }
    }
}

fn habit(running: &Running, on: OnWrite) {
    running
        .on_write("gx", 100, HUB4, "overrides_setpoint", on)
        .unwrap();
}

fn ms(time: u64) -> Duration {
    Duration::from_millis(time)
}

#[tokio::test]
async fn a_lease_of_the_site_file_lapses_to_its_fallback_unless_it_is_kept_alive() {
    let (_running, mut client) = gx().await;
    tokio::time::pause();
    assert_eq!(setpoint(&mut client).await, 30);
    put(&mut client, 100, 2716, -1200).await.unwrap();
    for _ in 0..3 {
        advance(ms(59_000)).await;
        assert_eq!(setpoint(&mut client).await, -1200);
        put(&mut client, 100, 2716, -1200).await.unwrap();
    }
    advance(ms(59_500)).await;
    assert_eq!(setpoint(&mut client).await, -1200);
    advance(ms(600)).await;
    assert_eq!(setpoint(&mut client).await, -25);
}

#[tokio::test]
async fn a_lease_of_the_ledger_lapses_to_what_the_site_file_says() {
    let (running, mut client) = plain().await;
    tokio::time::pause();
    put(&mut client, 5, 10, -70_000).await.unwrap();
    advance(ms(9_900)).await;
    assert_eq!(long(&mut client, 5, 10).await, -70_000);
    advance(ms(200)).await;
    assert_eq!(long(&mut client, 5, 10).await, 100);
    // What a test sets by hand is no lease, and ends one.
    put(&mut client, 5, 10, 1).await.unwrap();
    running
        .set("knob", 5, KNOB, "limit", Content::Value(Value::Integer(2)))
        .unwrap();
    advance(ms(60_000)).await;
    assert_eq!(long(&mut client, 5, 10).await, 2);
}

#[tokio::test]
async fn the_demos_gx_forgets_set_points_after_a_minute_in_both_registers_of_each() {
    let running = busbar_zoo::demo().await;
    let mut client = connect(&running, "gx").await;
    tokio::time::pause();
    put(&mut client, 100, 2716, -900).await.unwrap();
    // The VE.Bus set-point of the first phase, in 16 bits at 37 and in 32 bits at 96.
    assert_eq!(word(&mut client, 227, 37).await, 10);
    put(&mut client, 227, 96, 500).await.unwrap();
    advance(ms(59_000)).await;
    assert_eq!(setpoint(&mut client).await, -900);
    assert_eq!(word(&mut client, 227, 37).await, 500);
    client.ask(227, &[6, 0, 37, 0x01, 0x90]).await.unwrap();
    advance(ms(2_000)).await;
    assert_eq!(setpoint(&mut client).await, 0);
    assert_eq!(long(&mut client, 227, 96).await, 400);
    advance(ms(59_000)).await;
    assert_eq!(long(&mut client, 227, 96).await, 10);
}

#[tokio::test]
async fn a_device_takes_writes_in_its_own_way() {
    let (running, mut client) = gx().await;
    tokio::time::pause();
    // Success, and the old value.
    habit(
        &running,
        OnWrite {
            keep: true,
            ..OnWrite::default()
        },
    );
    put(&mut client, 100, 2716, 500).await.unwrap();
    assert_eq!(setpoint(&mut client).await, 30);
    // Within its own bounds.
    habit(
        &running,
        OnWrite {
            clamp: Some((-1000.0, 1000.0)),
            ..OnWrite::default()
        },
    );
    put(&mut client, 100, 2716, -65_400).await.unwrap();
    assert_eq!(setpoint(&mut client).await, -1000);
    // Later.
    habit(
        &running,
        OnWrite {
            settle: ms(800),
            ..OnWrite::default()
        },
    );
    put(&mut client, 100, 2716, 5).await.unwrap();
    advance(ms(799)).await;
    assert_eq!(setpoint(&mut client).await, -1000);
    advance(ms(1)).await;
    assert_eq!(setpoint(&mut client).await, 5);
    // For a while.
    habit(
        &running,
        OnWrite {
            drop: Some(ms(20_000)),
            ..OnWrite::default()
        },
    );
    put(&mut client, 100, 2716, 6).await.unwrap();
    advance(ms(19_000)).await;
    assert_eq!(setpoint(&mut client).await, 6);
    advance(ms(1_000)).await;
    assert_eq!(setpoint(&mut client).await, 5);
    // Until another master comes, and without a chance against it.
    let other = |after| OnWrite {
        other: Some((Value::Number(77.0), after)),
        ..OnWrite::default()
    };
    habit(&running, other(ms(2_000)));
    put(&mut client, 100, 2716, 7).await.unwrap();
    assert_eq!(setpoint(&mut client).await, 7);
    advance(ms(2_000)).await;
    assert_eq!(setpoint(&mut client).await, 77);
    habit(&running, other(Duration::ZERO));
    put(&mut client, 100, 2716, 8).await.unwrap();
    assert_eq!(setpoint(&mut client).await, 77);
    // Not at all.
    for code in [2, 4, 6, 10] {
        habit(
            &running,
            OnWrite {
                refuse: Some(code),
                ..OnWrite::default()
            },
        );
        assert_eq!(put(&mut client, 100, 2716, 9).await, Err(code));
        assert_eq!(setpoint(&mut client).await, 77);
    }
    // As the ledger says, which is for good here.
    habit(&running, OnWrite::default());
    put(&mut client, 100, 2716, 10).await.unwrap();
    advance(ms(86_400_000)).await;
    assert_eq!(setpoint(&mut client).await, 10);
}

#[tokio::test]
async fn a_refused_item_leaves_those_before_it_written() {
    let (running, mut client) = gx().await;
    let settings = "victron/gx-settings";
    running
        .on_write(
            "gx",
            100,
            settings,
            "settings_cgwacs_hub4_mode",
            OnWrite {
                refuse: Some(10),
                ..OnWrite::default()
            },
        )
        .unwrap();
    let both = [16, 0x0B, 0x55, 0, 2, 4, 0, 200, 0, 1];
    assert_eq!(client.ask(100, &both).await.unwrap(), [0x90, 10]);
    assert_eq!(client.read(100, 2901, 2).await.unwrap(), Ok(vec![200, 3]));
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_with_a_reason() {
    let (running, _client) = gx().await;
    let fault = |key, on| running.on_write("gx", 100, HUB4, key, on).unwrap_err();
    let clamp = |low, high| OnWrite {
        clamp: Some((low, high)),
        ..OnWrite::default()
    };
    assert!(fault("pv_disable", OnWrite::default()).contains("cannot be written"));
    assert!(fault("overrides_setpoint", clamp(1.0, -1.0)).contains("the lower end"));
    assert!(fault("overrides_setpoint", clamp(f64::NAN, 1.0)).contains("the lower end"));
    let text = OnWrite {
        fallback: Some(Value::Text("x".to_owned())),
        ..OnWrite::default()
    };
    assert!(fault("overrides_setpoint", text).contains("a number, not a text"));
    assert!(fault("nothing", OnWrite::default()).contains("no point `nothing`"));
    for (from, to, said) in [
        (
            "overrides_setpoint = { lapse",
            "pv_disable = { lapse",
            "test:11: `pv_disable` cannot be written",
        ),
        (
            "fallback = -25",
            "refuse = 0",
            "test:11: `overrides_setpoint`: an exception",
        ),
        (
            "overrides_setpoint = { lapse",
            "none = { lapse",
            "test:11: victron/gx-hub4 has no point `none`",
        ),
    ] {
        let site = Site::parse("test", &GX.replace(from, to)).unwrap();
        let error = start(&site, busbar_zoo::ledgers()).await.unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}

#[tokio::test]
async fn coils_are_written_one_by_one_and_in_runs() {
    let (running, mut client) = plain().await;
    let on = [5, 0, 20, 0xFF, 0];
    assert_eq!(client.ask(5, &on).await.unwrap(), on);
    assert_eq!(client.ask(5, &[1, 0, 20, 0, 2]).await.unwrap(), [1, 1, 0b11]);
    // The second of them is kept as it is.
    let run = [15, 0, 20, 0, 2, 1, 0b00];
    assert_eq!(client.ask(5, &run).await.unwrap(), run[..5]);
    assert_eq!(client.ask(5, &[1, 0, 20, 0, 2]).await.unwrap(), [1, 1, 0b10]);
    assert_eq!(client.ask(5, &[5, 0, 20, 0, 1]).await.unwrap(), [0x85, 3]);
    assert_eq!(client.ask(5, &[5, 0, 22, 0, 0]).await.unwrap(), [0x85, 2]);
    // Registers and coils are not the same place, and a device without coils does not know the function.
    assert_eq!(client.ask(5, &[6, 0, 20, 0, 1]).await.unwrap(), [0x86, 2]);
    assert_eq!(client.ask(6, &on).await.unwrap(), [0x85, 1]);
    let seen = running.stats("knob").unwrap().writes;
    let seen: Vec<_> = seen
        .iter()
        .map(|write| {
            (
                write.unit,
                write.function,
                write.at,
                write.words.as_slice(),
                write.sound,
                write.exception,
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            (5, 5, 20, &[1][..], true, None),
            (5, 15, 20, &[0, 0], true, None),
            (5, 5, 20, &[1], false, Some(3)),
            (5, 5, 22, &[0], true, Some(2)),
            (5, 6, 20, &[1], true, Some(2)),
            (6, 5, 20, &[1], true, Some(1)),
        ]
    );
}

#[tokio::test]
async fn a_plain_device_has_its_own_way_too() {
    let (_running, mut client) = plain().await;
    tokio::time::pause();
    client.ask(5, &[6, 0, 12, 0x03, 0xE8]).await.unwrap();
    assert_eq!(word(&mut client, 5, 12).await, 500);
    advance(ms(300)).await;
    assert_eq!(word(&mut client, 5, 12).await, 800);
}

#[tokio::test]
async fn bits_of_one_register_are_written_together_and_what_is_wide_only_whole() {
    let (_running, mut client) = plain().await;
    client.ask(5, &[6, 0, 13, 0, 2]).await.unwrap();
    assert_eq!(word(&mut client, 5, 13).await, 2);
    // Half of 32 bits, what cannot be written, and what is not there.
    for request in [
        [6, 0, 10, 0, 1],
        [6, 0, 11, 0, 1],
        [6, 0, 30, 0, 1],
        [6, 0, 99, 0, 1],
    ] {
        assert_eq!(client.ask(5, &request).await.unwrap(), [0x86, 2]);
    }
    assert_eq!(long(&mut client, 5, 10).await, 100);
}

/// Writes to the link and reads `count` registers back.
async fn link(client: &mut Raw, at: u16, count: u8, words: &[u16]) -> Result<Vec<u16>, u8> {
    let [a0, a1] = at.to_be_bytes();
    let mut request = vec![
        23,
        a0,
        a1,
        0,
        count,
        a0,
        a1,
        0,
        words.len() as u8,
        2 * words.len() as u8,
    ];
    request.extend(words.iter().flat_map(|word| word.to_be_bytes()));
    let answer = client.ask(5, &request).await.unwrap();
    match answer.as_slice() {
        [0x97, code] => Err(*code),
        [23, bytes, data @ ..] => {
            assert_eq!(usize::from(*bytes), data.len());
            Ok(data
                .chunks(2)
                .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
                .collect())
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_register_link_sets_and_gives_what_the_ledger_names() {
    let (running, mut client) = plain().await;
    assert_eq!(
        link(&mut client, 0x4000, 6, &[0x112]).await,
        Ok(vec![0x112, 0, 1, 0x0300, 0, 0])
    );
    assert_eq!(
        link(&mut client, 0x4000, 5, &[0x10C]).await,
        Ok(vec![0x10C, 0, 4, 0x526F, 0x6F66])
    );
    // Set, and seen in the register that mirrors it.
    assert_eq!(
        link(&mut client, 0x4000, 4, &[0x112, 1, 0x0900]).await,
        Ok(vec![0x112, 0, 1, 0x0900])
    );
    assert_eq!(word(&mut client, 5, 50).await, 9);
    assert_eq!(
        link(&mut client, 0x4000, 5, &[0x10C, 3, 0x48C3, 0xB600]).await,
        Ok(vec![0x10C, 0, 3, 0x48C3, 0xB600])
    );
    assert_eq!(
        client.read(5, 40, 4).await.unwrap(),
        Ok(vec![0x48C3, 0xB600, 0, 0])
    );
    // Cut, with its true length.
    assert_eq!(
        link(&mut client, 0x4000, 3, &[0x10C]).await,
        Ok(vec![0x10C, 0, 3])
    );
    // Unknown, too long, too short, no UTF-8, two bytes for one.
    for (words, status) in [
        (&[0x999][..], 0x8001),
        (&[0x999, 1, 0], 0x8101),
        (&[0x10C, 9, 0x4141, 0x4141, 0x4141, 0x4141, 0x4100], 0x8104),
        (&[0x10C, 4, 0x4141], 0x8104),
        (&[0x10C, 2, 0xFFFE], 0x8104),
        (&[0x112, 2, 0x0102], 0x8104),
        (&[0x112, 0], 0x8104),
    ] {
        let answer = link(&mut client, 0x4000, 4, words).await;
        assert_eq!(answer, Ok(vec![words[0], status, 0, 0]), "{words:x?}");
    }
    // There is no other place, no other way, and nothing to set when writes are off.
    assert_eq!(link(&mut client, 0x4001, 4, &[0x112]).await, Err(2));
    assert_eq!(client.ask(5, &[6, 0, 50, 0, 1]).await.unwrap(), [0x86, 2]);
    running.change("knob", |options| options.writes = false);
    assert_eq!(
        link(&mut client, 0x4000, 3, &[0x112, 1, 0x0200]).await,
        Ok(vec![0x112, 0x8102, 0])
    );
    assert_eq!(word(&mut client, 5, 50).await, 9);
    // All of it was seen.
    let stats = running.stats("knob").unwrap();
    assert_eq!((stats.writes.len(), stats.writes_total), (15, 15));
    assert_eq!(stats.writes[2].words, [0x112, 1, 0x0900]);
    assert_eq!((stats.writes[2].function, stats.writes[2].at), (23, 0x4000));
}

#[tokio::test]
async fn a_write_to_everybody_or_to_nobody_is_noted_on_a_serial_line() {
    let running = serve(&PLAIN.replace("modbus+tcp", "modbus+rtu+tcp")).await;
    let mut client = connect(&running, "knob").await;
    for unit in [0, 9, 5] {
        let mut frame = vec![unit, 6, 0, 12, 0, 7];
        crc::append(&mut frame);
        client.send(&frame).await.unwrap();
    }
    // Only the last is answered, and by then the others have been heard.
    let answer = client.bytes_within(Duration::from_secs(5)).await.unwrap();
    assert_eq!(answer[..6], [5, 6, 0, 12, 0, 7]);
    let writes = running.stats("knob").unwrap().writes;
    let seen: Vec<_> = writes.iter().map(|write| (write.unit, write.at)).collect();
    assert_eq!(seen, [(0, 12), (9, 12), (5, 12)]);
}
