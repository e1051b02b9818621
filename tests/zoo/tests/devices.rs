//! Devices made from ledgers, and the server in front of them.

use std::collections::BTreeSet;
use std::time::Duration;

use busbar_ledger::codec::{Decoded, decode};
use busbar_ledger::model::ValueType;
use busbar_ledger::span::Function;
use busbar_ledger::value::Value;
use busbar_zoo::simulate::{Content, Site, start};
use busbar_zoo::{Raw, connect, demo, gx, ledgers, meter};

const TANK: &str = "[[device.service]]\nservice = \"tank\"\ninstance = 20\nvalues = { level = 41.0 }\n";

/// One description, both directions: what is put into any point of any ledger is what the codec reads.
#[tokio::test]
async fn every_ledger_can_be_served_and_read_back() {
    // The server of a GX fills these by itself.
    let own = ["date_and_time", "firmware_version", "pv_i"];
    for ledger in ledgers() {
        let site = Site::of_ledger(ledger, "modbus+tcp://127.0.0.1:0").unwrap();
        let running = start(&site, ledgers())
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        let (device, _) = running.devices().next().unwrap();
        let mut client = connect(&running, device).await;
        let unit = ledger
            .transports
            .first()
            .map_or(1, |transport| transport.units[0]);
        for point in ledger
            .points
            .iter()
            .filter(|point| !own.contains(&point.key.as_str()))
        {
            let Some(register) = point.register() else {
                continue;
            };
            // Two points that show one register: only this one is asked for.
            for other in &ledger.points {
                let overlaps = other.register().is_some_and(|r| r.span.overlaps(register.span));
                let bit = matches!(register.ty, ValueType::Bits { .. });
                if overlaps && !bit && other.key != point.key {
                    let absent = Content::Absent;
                    running
                        .set(device, unit, &ledger.name, &other.key, absent)
                        .unwrap();
                }
            }
            let exponent = register.scale_point.is_some().then_some(1);
            let value = match register.ty {
                ValueType::Text => Value::Text("Zoo".to_owned()),
                ValueType::Bits { .. } => Value::Integer(1),
                // The power of ten of a sample is 1.
                _ if exponent.is_some() => Value::Number(370.0),
                _ => Value::Number(37.0 * register.scale.as_f64() + register.offset),
            };
            running
                .set(
                    device,
                    unit,
                    &ledger.name,
                    &point.key,
                    Content::Value(value.clone()),
                )
                .unwrap();
            let (at, count) = (register.span.at.to_be_bytes(), register.span.count.to_be_bytes());
            let request = [register.span.function.code(), at[0], at[1], count[0], count[1]];
            let pdu = client.ask(unit, &request).await.unwrap();
            assert_eq!(pdu[0], request[0], "{} {}: {pdu:?}", ledger.name, point.key);
            let words: Vec<u16> = match register.span.function {
                Function::Coils | Function::Discrete => vec![u16::from(pdu[2] & 1)],
                _ => pdu[2..]
                    .chunks(2)
                    .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
                    .collect(),
            };
            let decoded = decode(register, &words, exponent);
            let right = match (&decoded, value.as_f64()) {
                (Decoded::Value(read), Some(number)) => {
                    read.as_f64().is_some_and(|n| (n - number).abs() < 1e-6)
                }
                (Decoded::Value(read), None) => *read == value,
                (Decoded::Invalid(_), _) => false,
            };
            assert!(
                right,
                "{} {}: {value:?} reads {decoded:?}",
                ledger.name, point.key
            );
            // A power of ten is the scale of others.
            if register.scale_point.is_none() && point.key.contains("scale") {
                running
                    .set(
                        device,
                        unit,
                        &ledger.name,
                        &point.key,
                        Content::Value(Value::Integer(1)),
                    )
                    .unwrap();
            }
        }
        running.stop().await;
    }
}

#[tokio::test]
async fn the_demo_shows_a_house_that_adds_up() {
    let running = demo().await;
    let mut client = connect(&running, "gx").await;
    // What the grid's own meter says is what the system says, within one tick.
    for (system, own) in [(908, 2638), (910, 2640), (912, 2642)] {
        loop {
            let before = client.read(100, system, 2).await.unwrap();
            let meter = client.read(30, own, 2).await.unwrap();
            if before == client.read(100, system, 2).await.unwrap() {
                assert!(before.is_ok());
                assert_eq!(before, meter);
                break;
            }
        }
    }
    let pairs = [
        ("system", 100, 800),
        ("settings", 100, 2902),
        ("hub4", 100, 2709),
        ("platform", 100, 5801),
        ("generator", 100, 3506),
        ("gps", 100, 2806),
        ("vebus", 227, 28),
        ("battery", 225, 259),
        ("solarcharger", 223, 771),
        ("solarcharger", 226, 771),
        ("grid", 30, 2616),
        ("pvinverter", 20, 1027),
        ("tank", 21, 3004),
        ("tank", 22, 3004),
        ("temperature", 24, 3304),
        ("evcharger", 40, 3824),
    ];
    let mut answering = BTreeSet::new();
    for unit in 1..=255u8 {
        for (service, _, at) in pairs {
            if client.read(unit, at, 1).await.unwrap().is_ok() {
                answering.insert((unit, service));
            }
        }
    }
    assert_eq!(
        answering,
        pairs.iter().map(|&(service, unit, _)| (unit, service)).collect()
    );
    let mut client = connect(&running, "meter").await;
    assert_eq!(client.read(1, 0x0100, 1).await.unwrap(), Ok(vec![0xB5BA]));
}

#[tokio::test]
async fn a_plain_device_answers_only_what_it_has() {
    let running = meter().await;
    let mut client = connect(&running, "demo-meter").await;
    assert_eq!(client.read(1, 0x0100, 1).await.unwrap(), Ok(vec![0xB5BA]));
    assert_eq!(client.read(1, 0x0110, 1).await.unwrap(), Err(2));
    assert_eq!(client.read(1, 0x010C, 8).await.unwrap(), Err(2));
    // Its measurements lie elsewhere.
    assert_eq!(client.read(1, 0x0000, 2).await.unwrap(), Err(2));
    assert_eq!(client.ask(1, &[4, 0, 0, 0, 2]).await.unwrap().len(), 6);
    // Longer than it can, another unit, unknown function.
    assert_eq!(client.ask(1, &[4, 0, 0, 0, 101]).await.unwrap(), [0x84, 3]);
    assert_eq!(client.read(2, 0x0100, 1).await.unwrap(), Err(11));
    assert_eq!(client.ask(1, &[17]).await.unwrap(), [0x91, 1]);
    // Writable and not.
    client.ask(1, &[6, 0x01, 0x0E, 0, 30]).await.unwrap();
    assert_eq!(client.read(1, 0x010E, 1).await.unwrap(), Ok(vec![30]));
    assert_eq!(client.ask(1, &[6, 0x01, 0x0B, 0, 1]).await.unwrap(), [0x86, 2]);
}

#[tokio::test]
async fn pipelined_requests_are_all_answered_in_another_order() {
    let site = TANK.to_owned();
    let running = gx(&site).await;
    running.change("gx", |options| options.shuffle = true);
    let mut client = connect(&running, "gx").await;
    // More than are taken at once.
    let mut asked = Vec::new();
    for _ in 0..500 {
        asked.push(client.request(20, &[3, 0x0B, 0xBC, 0, 1]).await.unwrap());
    }
    let mut answered = Vec::new();
    for _ in 0..500 {
        let (transaction, unit, pdu) = client.frame().await.unwrap();
        assert_eq!((unit, pdu.as_slice()), (20, &[3, 2, 0x01, 0x9A][..]));
        answered.push(transaction);
    }
    assert_ne!(answered, asked);
    answered.sort_unstable();
    assert_eq!(answered, asked);
}

#[tokio::test]
async fn an_answer_takes_as_long_as_it_should_and_does_not_hold_up_others() {
    let running = gx(TANK).await;
    running.change("gx", |options| options.delay = Duration::from_millis(80));
    let mut client = connect(&running, "gx").await;
    let began = std::time::Instant::now();
    for _ in 0..20 {
        client.request(20, &[3, 0x0B, 0xBC, 0, 1]).await.unwrap();
    }
    for _ in 0..20 {
        client.frame().await.unwrap();
    }
    let took = began.elapsed();
    assert!(
        took >= Duration::from_millis(80) && took < Duration::from_millis(800),
        "{took:?}"
    );
}

#[tokio::test]
async fn frames_that_cannot_be_end_the_connection() {
    let running = gx(TANK).await;
    let address = running.address("gx").unwrap();
    for bytes in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[0, 1, 0, 0, 0, 0, 20, 3],
        &[0, 1, 0, 0, 0, 1, 20, 3],
        &[0, 1, 0, 0, 0xFF, 0xFF, 20, 3],
        &[0, 1, 0, 9, 0, 6, 20, 3, 0, 0, 0, 1],
    ] {
        let mut client = Raw::connect(address).await.unwrap();
        client.send(bytes).await.unwrap();
        assert!(client.frame().await.is_err(), "{bytes:?}");
    }
    // Byte by byte is as good as at once.
    let mut client = Raw::connect(address).await.unwrap();
    for byte in [0, 1, 0, 0, 0, 6, 20, 3, 0x0B, 0xBC, 0, 1] {
        client.send(&[byte]).await.unwrap();
    }
    assert_eq!(client.frame().await.unwrap().2, [3, 2, 0x01, 0x9A]);
}

#[tokio::test]
async fn connections_are_limited_and_end_with_the_site() {
    let running = gx(TANK).await;
    running.change("gx", |options| options.connections = 1);
    let address = running.address("gx").unwrap();
    let mut first = Raw::connect(address).await.unwrap();
    assert_eq!(first.read(20, 3004, 1).await.unwrap(), Ok(vec![410]));
    let mut second = Raw::connect(address).await.unwrap();
    assert!(second.frame().await.is_err());
    assert_eq!(running.stats("gx").unwrap().turned_away, 1);
    running.stop().await;
    assert!(first.frame().await.is_err());
    assert!(Raw::connect(address).await.is_err());
}
