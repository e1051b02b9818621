//! What is read again and again, how often, and what becomes of devices that do not answer.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use busbar_ledger::span::Span;
use busbar_zoo::simulate::Running;
use busbar_zoo::{Exchange, Fault, Peer, peer, site};
use serde_json::Value;
use tokio::time::Instant;

use crate::common::host::Host;
use crate::common::site::{HOUSE, full, ledger, pairs};
use crate::common::{Home, list, text, until};

/// 23 pairs on a Cerbo GX, several of them at one unit.
const SITE: [(&str, i64); 23] = [
    ("system", 0),
    ("settings", 0),
    ("hub4", 0),
    ("platform", 0),
    ("gps", 0),
    ("generator", 0),
    ("vebus", 276),
    ("battery", 512),
    ("solarcharger", 277),
    ("solarcharger", 279),
    ("grid", 30),
    ("pvinverter", 20),
    ("pvinverter", 21),
    ("tank", 20),
    ("tank", 22),
    ("temperature", 24),
    ("temperature", 25),
    ("digitalinput", 1),
    ("pulsemeter", 3),
    ("evcharger", 40),
    ("heatpump", 41),
    ("acload", 31),
    ("genset", 42),
];

#[tokio::test]
async fn a_poll_takes_the_fewest_requests_there_can_be_and_no_exception() {
    let (home, running) = (Home::new(), site(&full(&SITE)).await);
    let report = home
        .run(&["scan", &running.url("gx").unwrap(), "--save", "--json"])
        .await
        .json();
    assert_eq!(pairs(&report).len(), 23);

    let before = running.stats("gx").unwrap();
    let polled = home.run(&["run", "--once", "--json"]).await.json();
    let after = running.stats("gx").unwrap();
    assert_eq!(after.exceptions, before.exceptions, "no exception");
    let requests = usize::try_from(after.requests - before.requests).unwrap();
    let fewest = fewest(&polled);
    // One more: it is asked who it is before any of it is believed.
    assert_eq!(
        requests,
        fewest + 1,
        "of {} devices",
        list(&polled, "devices").len()
    );
    assert!(
        fewest <= 35,
        "{fewest}: as few as the reference needs for a site of this size"
    );
    let good = |entity: &&Value| entity["quality"] == "good";
    let entities: Vec<&Value> = list(&polled, "devices")
        .iter()
        .flat_map(|d| list(d, "entities"))
        .collect();
    assert!(entities.iter().copied().filter(good).count() * 10 >= entities.len() * 9);
}

/// The fewest reads that fetch every register of these entities whole: from the left, each read begins at the first
/// register that is still to be fetched and runs as far as 125 words and the registers of the unit's services reach.
fn fewest(devices: &Value) -> usize {
    let mut wanted: BTreeMap<u64, BTreeSet<Span>> = BTreeMap::new();
    let mut mapped: BTreeMap<u64, BTreeSet<u16>> = BTreeMap::new();
    for device in list(devices, "devices") {
        let ledger = ledger(text(device, "ledger"));
        let unit = device["unit_id"].as_u64().unwrap();
        let all = ledger
            .points
            .iter()
            .flat_map(|p| p.registers())
            .map(|r| (r.span.at, r.span.count));
        let reserved = ledger.reserved.iter().map(|s| (s.at, s.count));
        mapped
            .entry(unit)
            .or_default()
            .extend(all.chain(reserved).flat_map(|(at, count)| at..at + count));
        for entity in list(device, "entities") {
            let registers = ledger.point(text(entity, "key")).unwrap().registers();
            let spans = registers
                .iter()
                .enumerate()
                .filter(|(i, r)| *i == 0 || r.preferred_when_it_fits)
                .map(|(_, r)| r.span);
            wanted.entry(unit).or_default().extend(spans);
        }
    }
    let mut reads = 0;
    for (unit, spans) in wanted {
        let mut covered = 0..0;
        for span in spans {
            let (first, end) = (u32::from(span.at), span.end());
            let whole = |start: u32| (start..end).all(|at| mapped[&unit].contains(&(at as u16)));
            if first < covered.start
                || end > covered.start + 125
                || covered.is_empty()
                || !whole(covered.start)
            {
                reads += 1;
                covered = first..end;
            }
        }
    }
    reads
}

/// A saved house behind a peer, and a host that polls it.
async fn polled(held: &str, interval: &str) -> (Home, Running, Peer, Host) {
    let (home, running) = (Home::new(), site(held).await);
    let peer = peer(&running, "gx").await;
    home.run(&["scan", &peer.url(), "--save", "--name", "home", "--json"])
        .await
        .json();
    let host = home
        .host_with(&format!(
            "[[connection]]\nname = \"home\"\nurl = \"{}\"\ninterval = \"{interval}\"\n",
            peer.url()
        ))
        .await;
    (home, running, peer, host)
}

fn reads(exchanges: &[Exchange], unit: u8, at: u16) -> Vec<Duration> {
    let has = |e: &&Exchange| {
        e.unit == unit
            && e.span()
                .is_some_and(|s| s.count > 8 && (s.at..s.at + s.count).contains(&at))
    };
    exchanges.iter().filter(has).map(|e| e.after).collect()
}

const BATTERY: &str = "c0619ab1234f_battery_u225";
/// All that it has is read rarely.
const PLATFORM: &str = "c0619ab1234f_platform_u100";
const GRID: &str = "c0619ab1234f_grid_u30";
const TANK: &str = "c0619ab1234f_tank_u21";

#[tokio::test]
async fn what_changes_slowly_is_read_less_often() {
    let (_home, _running, peer, host) = polled(HOUSE, "200ms").await;
    let (power, serial) = (820, 800);
    let scanned = peer.record().exchanges().len();
    let polls = until("40 polls of the grid's power", async || {
        let exchanges = peer.record().exchanges().split_off(scanned);
        (reads(&exchanges, 100, power).len() >= 40).then_some(exchanges)
    })
    .await;
    // The first polls also compare blocks with single reads; then the serial number is read every sixtieth time.
    let powers = reads(&polls, 100, power).split_off(15);
    let serials = reads(&polls, 100, serial)
        .into_iter()
        .filter(|time| *time > powers[0])
        .count();
    assert!(serials <= 1, "{serials} of {}", powers.len());
    // No drift: the polls come at their rate, and a late one is not made up for by a burst.
    let mean = (powers[powers.len() - 1] - powers[0]) / u32::try_from(powers.len() - 1).unwrap();
    assert!(mean >= Duration::from_millis(180), "{mean:?}");
    host.stop().await;
}

#[tokio::test]
async fn a_device_that_is_gone_is_offline_with_a_reason_and_comes_back() {
    let (_home, _running, peer, host) = polled(HOUSE, "1s").await;
    host.device_is(BATTERY, "online").await;
    for fault in [Fault::Refuse, Fault::BlackHole] {
        let began = Instant::now();
        peer.turn(fault.clone()).await;
        let device = host.device_is(BATTERY, "offline").await;
        // So is a device of which nothing was due meanwhile: it is behind the same wire.
        host.device_is(PLATFORM, "offline").await;
        // Within three times the interval, and what one time-out takes.
        assert!(
            began.elapsed() < Duration::from_millis(3 * 1000 + 1000),
            "{fault:?}: {:?}",
            began.elapsed()
        );
        assert!(!text(&device, "reason").is_empty());
        for entity in list(&device, "entities") {
            assert_eq!(
                (text(entity, "quality"), &entity["value"]),
                ("unavailable", &Value::Null),
                "{entity:#}"
            );
        }
        peer.turn(Fault::None).await;
        host.device_is(BATTERY, "online").await;
        host.device_is(PLATFORM, "online").await;
        let began = Instant::now();
        // Everything is read at once, not only what is read often.
        until(
            "the state of charge, which is read every sixth time",
            async || {
                let soc = host.get(&format!("/api/v1/entities/{BATTERY}.soc")).await;
                (soc["value"].as_f64() == Some(77.0) && soc["quality"] == "good").then_some(())
            },
        )
        .await;
        assert!(
            began.elapsed() < Duration::from_millis(2500),
            "{:?}",
            began.elapsed()
        );
    }
    host.stop().await;
}

#[tokio::test]
async fn one_dead_unit_delays_nobody() {
    let (_home, _running, peer, host) = polled(HOUSE, "500ms").await;
    host.device_is(GRID, "online").await;
    peer.turn(Fault::DeadUnit(225)).await;
    let begin = peer.record().exchanges().len();
    host.device_is(BATTERY, "offline").await;
    let polls = until("ten more polls of the others", async || {
        let exchanges = peer.record().exchanges().split_off(begin);
        (reads(&exchanges, 100, 820).len() >= 10).then_some(exchanges)
    })
    .await;
    let times = reads(&polls, 100, 820);
    let longest = times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
    // A dead unit costs its time-outs, about two seconds, to whoever waits for it; a busy machine costs less.
    assert!(longest < Duration::from_millis(1700), "{times:?}");
    let devices = host.get("/api/v1/devices").await;
    let offline: Vec<&str> = list(&devices, "devices")
        .iter()
        .filter(|d| d["availability"] != "online")
        .map(|d| text(d, "id"))
        .collect();
    assert_eq!(offline, [BATTERY]);
    host.stop().await;
}

#[tokio::test]
async fn new_firmware_that_drops_a_register_is_learned_and_costs_only_its_points() {
    let (home, running, peer, host) = polled(HOUSE, "300ms").await;
    let dropped = 266;
    host.device_is(BATTERY, "online").await;
    running.change("gx", |options| options.drop = vec![dropped..=dropped]);
    host.process.logs("learning it again").await;
    let exceptions = || running.stats("gx").unwrap().exceptions.values().sum::<u64>();
    let quiet = until("polls without exceptions", async || {
        let (begin, before) = (peer.record().requests(), exceptions());
        until("two more rounds", async || {
            (peer.record().requests() > begin + 80).then_some(())
        })
        .await;
        (exceptions() == before).then_some(before)
    })
    .await;
    assert!(quiet < 700, "{quiet}: what refused is not asked again and again");
    until("all but the dropped register", async || {
        let device = host.device(BATTERY).await;
        let gone = |key: &str| {
            list(&device, "entities")
                .iter()
                .all(|e| e["key"] != key || e["value"].is_null())
        };
        let good = |key: &str| {
            list(&device, "entities")
                .iter()
                .any(|e| e["key"] == key && e["quality"] == "good")
        };
        (device["availability"] == "online" && gone("soc") && good("dc_0_voltage") && good("soh"))
            .then_some(())
    })
    .await;
    host.stop().await;
    // The registry knows it too: the next start polls without an exception.
    let before = exceptions();
    home.run(&["run", "--once", "--json"]).await.json();
    assert_eq!(exceptions(), before);
}

#[tokio::test]
async fn a_service_that_left_is_not_asked_for_again_and_again() {
    let (home, running, peer, host) = polled(HOUSE, "200ms").await;
    host.device_is(TANK, "online").await;
    let exceptions = || running.stats("gx").unwrap().exceptions.values().sum::<u64>();
    let before = exceptions();
    running.change("gx", |options| options.hide = vec![(Some("tank".to_owned()), 21)]);
    host.device_is(TANK, "offline").await;
    let begin = peer.record().exchanges().len();
    until("twenty more rounds", async || {
        (reads(&peer.record().exchanges()[begin..], 100, 820).len() >= 20).then_some(())
    })
    .await;
    // Every exception is a line in the log of the GX.
    let cost = exceptions() - before;
    assert!(cost <= 20, "{cost} exceptions");
    // It comes back by itself.
    running.change("gx", |options| options.hide.clear());
    host.device_is(TANK, "online").await;

    // A scan that does not find it says that it is absent: from then on nobody asks.
    running.change("gx", |options| options.hide = vec![(Some("tank".to_owned()), 21)]);
    home.run(&[
        "scan",
        &peer.url(),
        "--units",
        "21",
        "--save",
        "--name",
        "home",
        "--json",
    ])
    .await;
    host.stop().await;
    let before = exceptions();
    home.run(&["run", "--once", "--json"]).await.json();
    assert_eq!(
        exceptions(),
        before,
        "a pair that is known to be absent is never polled"
    );
}
