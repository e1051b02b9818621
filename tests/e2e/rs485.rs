//! A long line: 32 meters at 19,200 baud share it, each with 40 registers every 5 s, and one of them dies.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use busbar_zoo::simulate::{Running, Site, start};
use busbar_zoo::{Pair, device};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use crate::common::host::Host;
use crate::common::{Home, list, text};

const METERS: u8 = 32;
const DEAD: u8 = 13;
const INTERVAL: Duration = Duration::from_secs(5);

/// 20 values of 32 bits: 40 registers in one block.
fn ledger() -> String {
    let points = (0..20).map(|i| format!("v{i} = {{ at = {}, type = \"u32\" }}\n", 2 * i));
    let head = "ledger = \"test/meter\"\ntitle = \"Meter\"\n[read]\nfunction = \"holding\"\n[points]\n";
    points.fold(head.to_owned(), |all, point| all + &point)
}

/// What a meter holds: nobody else does.
fn value(unit: u8, point: u32) -> u32 {
    u32::from(unit) * 100_000 + point * 1001
}

async fn line(pair: &Pair) -> Running {
    let url = pair.device_url("baud=19200");
    let device = |unit: u8| {
        let values: String = (0..20).map(|i| format!("v{i} = {}\n", value(unit, i))).collect();
        format!(
            "[[device]]\nname = \"m{unit}\"\nkind = \"ledger\"\nlisten = \"{url}\"\n[[device.unit]]\nunit = {unit}\n\
             ledger = \"test/meter\"\n[device.unit.values]\n{values}"
        )
    };
    let text: String = (1..=METERS).map(device).collect();
    let site = Site::parse("line", &text).unwrap();
    let ledger = busbar_ledger::parse("meter.toml", &ledger()).unwrap();
    start(&site, &[Arc::new(ledger)]).await.unwrap()
}

/// A poll as the host tells of it.
struct Told {
    unit: u8,
    at: u64,
    event: Value,
}

/// Everything that a host tells, for so long.
async fn listen(host: &Host, lasts: Duration) -> Vec<Told> {
    let until = Instant::now() + lasts;
    let mut stream = TcpStream::connect(host.address).await.unwrap();
    let request = format!("GET /api/v1/events HTTP/1.1\r\nHost: {}\r\n\r\n", host.address);
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut lines = BufReader::new(stream).lines();
    let mut told = Vec::new();
    while let Ok(line) = timeout_at(until, lines.next_line()).await {
        let line = line.unwrap().expect("it goes on");
        let Some(event) = line.strip_prefix("data: ") else {
            continue;
        };
        let event: Value = serde_json::from_str(event).unwrap();
        let unit = text(&event, "device")
            .rsplit_once("_u")
            .unwrap()
            .1
            .parse()
            .unwrap();
        told.push(Told {
            unit,
            at: event["time_ms"].as_u64().unwrap(),
            event,
        });
    }
    told
}

#[tokio::test]
async fn a_dead_meter_costs_the_others_nothing() {
    let Some(pair) = Pair::new().await else { return };
    let (home, running) = (Home::new(), line(&pair).await);
    home.write("meter.toml", &ledger());
    let url = pair.client_url("baud=19200");
    let units = format!("1-{METERS}");
    let scan = [
        "scan",
        &url,
        "--ledger",
        "meter.toml",
        "--units",
        &units,
        "--save",
        "--name",
        "line",
        "--json",
    ];
    let found = home.run(&scan).await.json();
    assert_eq!(list(&found, "devices").len(), usize::from(METERS), "{found:#}");
    let is_dead = |device: &&Value| device["unit_id"] == DEAD;
    let dead = list(&found, "devices").iter().find(is_dead).unwrap();
    let dead = text(dead, "id").to_owned();
    device::vanish(device::target(&running, &format!("m{DEAD}"), DEAD, "test/meter"));
    let host = home
        .host_with(&format!(
            "[[connection]]\nname = \"line\"\nurl = \"{url}\"\ninterval = \"5s\"\n"
        ))
        .await;
    // Beside the first poll, which comes at once, at least two intervals of each.
    let told = listen(&host, 4 * INTERVAL).await;

    let mut times: BTreeMap<u8, Vec<u64>> = BTreeMap::new();
    for Told { unit, at, event } in &told {
        if *unit == DEAD {
            continue;
        }
        assert_eq!(event["availability"], "online", "{event:#}");
        for entity in list(event, "entities") {
            let point = text(entity, "key")[1..].parse().unwrap();
            assert_eq!(entity["value"], value(*unit, point), "unit {unit}: {entity:#}");
        }
        assert_eq!(list(event, "entities").len(), 20);
        times.entry(*unit).or_default().push(*at);
    }
    assert_eq!(times.len(), usize::from(METERS) - 1);
    for (unit, times) in &times {
        let apart: Vec<u64> = times.windows(2).skip(1).map(|pair| pair[1] - pair[0]).collect();
        // One that is missed would be 10 s; a busy machine takes its time.
        let on_time = |apart: &u64| (3000..=7000).contains(apart);
        assert!(
            apart.len() >= 2 && apart.iter().all(on_time),
            "unit {unit}: {apart:?} ms apart"
        );
    }
    host.device_is(&dead, "offline").await;
    host.stop().await;
}
