//! The ledgers that ship: each device that can tell what it is is recognised as that, and as nothing else.

use std::path::Path;

use busbar_ledger::model::Ledger;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::common::host::Background;
use crate::common::{Home, list, text};

/// Requests that a scan may make of a device that nobody knows before it gives up.
const MOST_REQUESTS: u64 = 40;

/// Every ledger of the repository that a scan over TCP recognises by the ledger's own word.
fn recognisable() -> Vec<Ledger> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ledgers");
    let makers = root.read_dir().unwrap().map(|entry| entry.unwrap().path());
    let files = makers
        .filter(|maker| maker.is_dir() && !maker.ends_with("victron"))
        .flat_map(|maker| maker.read_dir().unwrap().map(|entry| entry.unwrap().path()));
    let mut all: Vec<Ledger> = files
        .filter(|file| !file.to_string_lossy().ends_with(".sample.toml"))
        .filter_map(|file| busbar_ledger::parse("", &std::fs::read_to_string(file).unwrap()).ok())
        .filter(|ledger| {
            let tcp = ledger.transports.iter().any(|t| t.scheme == "modbus+tcp");
            tcp && ledger.identify.as_ref().is_some_and(|i| i.probe.is_some())
        })
        .collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

async fn simulated(home: &Home, ledger: &str) -> (Background, String) {
    let simulated = Background::start(home, &["simulate", ledger, "--json"]);
    let line: Value = serde_json::from_str(&simulated.says("url").await).unwrap();
    let url = text(&line, "url").to_owned();
    (simulated, url)
}

#[tokio::test]
async fn each_device_is_taken_for_what_it_is() {
    let home = Home::new();
    let ledgers = recognisable();
    assert!(ledgers.len() >= 10, "only {} can be recognised", ledgers.len());
    for ledger in ledgers {
        let (simulated, url) = simulated(&home, &ledger.name).await;
        let report = home.run(&["scan", &url, "--json"]).await.json();
        let found: Vec<&str> = list(&report, "devices")
            .iter()
            .map(|d| text(d, "ledger"))
            .collect();
        assert_eq!(found, [ledger.name.as_str()], "{report:#}");
        let device = &list(&report, "devices")[0];
        assert_ne!(device["model"], json!(null), "{}", ledger.name);
        assert_ne!(device["serial"], json!(null), "{}", ledger.name);
        simulated.signal(Signal::TERM);
        assert_eq!(simulated.end().await.code(), 0);
    }
}

#[tokio::test]
async fn a_device_that_tells_nothing_of_itself_is_asked_little_and_found_by_name() {
    let home = Home::new();
    let (_simulated, url) = simulated(&home, "eastron/sdm630").await;
    let run = home.run(&["scan", &url, "--json"]).await;
    let failure = run.failure(3);
    assert!(failure.hint.contains("--ledger"), "{}", failure.hint);
    let asked: u64 = failure
        .message
        .split_once("(asked ")
        .and_then(|(_, rest)| rest.split(' ').next()?.parse().ok())
        .unwrap();
    assert!(asked <= MOST_REQUESTS, "{}", failure.message);
    let report = home
        .run(&["scan", &url, "--ledger", "eastron/sdm630", "--json"])
        .await
        .json();
    let devices = list(&report, "devices");
    assert_eq!(devices.len(), 1);
    assert_eq!(text(&devices[0], "ledger"), "eastron/sdm630");
}
