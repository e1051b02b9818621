//! Captures of a wire, and devices made from them.

use std::path::Path;

use busbar_zoo::simulate::Content;
use busbar_zoo::{ledgers, site};
use serde_json::Value;

use crate::common::host::Background;
use crate::common::{Home, list, text, until};

const METER: &str = "[[device]]\nname = \"meter\"\nkind = \"ledger\"\nlisten = \"modbus+udp://127.0.0.1:0\"\n\
    [[device.unit]]\nunit = 1\nledger = \"victron/vm-3p75ct\"\nfirmware = \"0.1.9.255\"\n\
    values = { phase_config = 3, role = 0, custom_name = \"Miller's house\", power_total = 812, voltage_l1 = 230.5, \
    energy_forward = 31.0 }\n";

/// What a file of a capture holds, line by line.
fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Serves a capture, and says where.
async fn replay(home: &Home, file: &str) -> (Background, String) {
    let replay = Background::start(home, &["replay", file]);
    let line = replay.says("is at").await;
    let url = line.rsplit(' ').next().unwrap().to_owned();
    (replay, url)
}

/// The values that a reading shows, by key.
async fn read(home: &Home, url: &str) -> Value {
    let read = home
        .run(&["read", url, "--ledger", "victron/vm-3p75ct", "--json"])
        .await;
    read.json()["points"].clone()
}

#[tokio::test]
async fn a_capture_is_the_device_without_its_owner() {
    let (home, running) = (Home::new(), site(METER).await);
    let url = running.url("meter").unwrap();
    let before = read(&home, &url).await;
    let done = home
        .run(&[
            "capture",
            &url,
            "--for",
            "3s",
            "--interval",
            "200ms",
            "--output",
            "m.jsonl",
            "--json",
        ])
        .await
        .json();
    assert_eq!(list(&done, "found"), ["victron/vm-3p75ct at unit 1"], "{done:#}");
    running.stop().await;

    let path = home.path().join("m.jsonl");
    let written = lines(&path);
    assert_eq!(written[0]["wire"], "modbus+udp");
    assert!(list(&written[0], "redacted").len() >= 2, "{}", written[0]);
    // Where it stood and whose it is stands nowhere, neither as text nor as words.
    let bytes = std::fs::read_to_string(&path).unwrap();
    let hex = |text: &str| text.bytes().map(|b| format!("{b:02x}")).collect::<String>();
    for private in ["Miller", "127.0.0.1", text(&before["serial"], "value")] {
        assert!(!bytes.contains(private), "{private}");
        assert!(!bytes.contains(&hex(private)), "{private} as words");
    }

    // The device made from it answers on another wire, and is recognised as what it was.
    let (replayed, url) = replay(&home, "m.jsonl").await;
    assert!(url.starts_with("modbus+udp://"), "{url}");
    let scan = home.run(&["scan", &url, "--json"]).await.json();
    let device = &list(&scan, "devices")[0];
    assert_eq!(device["ledger"], "victron/vm-3p75ct");
    assert_eq!(
        text(device, "serial").len(),
        text(&before["serial"], "value").len()
    );
    assert_ne!(device["serial"], before["serial"]["value"]);
    let after = read(&home, &url).await;
    for key in ["power_total", "voltage_l1", "energy_forward", "phase_config"] {
        assert_eq!(after[key]["value"], before[key]["value"], "{key}");
    }
    drop(replayed);
}

#[tokio::test]
async fn a_running_host_captures_what_it_owns_and_goes_on() {
    let (home, running) = (Home::new(), site(METER).await);
    let url = running.url("meter").unwrap();
    home.run(&["scan", &url, "--save", "--name", "meter", "--json"])
        .await
        .json();
    let host = home.host().await;
    let done = home
        .run(&["capture", &url, "--for", "2s", "--output", "m.jsonl", "--json"])
        .await
        .json();
    assert_eq!(list(&done, "found").len(), 1, "{done:#}");
    running
        .set(
            "meter",
            1,
            "victron/vm-3p75ct",
            "power_total",
            Content::Value(busbar_ledger::value::Value::Number(77.0)),
        )
        .unwrap();
    until("the host to go on", async || {
        let devices = host.get("/api/v1/devices").await;
        let entities = list(&list(&devices, "devices")[0], "entities").to_vec();
        let power = entities.into_iter().find(|e| e["key"] == "power_total")?;
        (power["value"] == 77).then_some(())
    })
    .await;
    host.stop().await;
}

/// A capture that nobody waits for any more keeps nobody else from one.
#[tokio::test]
async fn a_running_host_captures_for_nobody() {
    let (home, running) = (Home::new(), site(METER).await);
    let url = running.url("meter").unwrap();
    home.run(&["scan", &url, "--save", "--name", "meter", "--json"])
        .await
        .json();
    let host = home.host().await;
    let capture = |time: &'static str| {
        let url = url.clone();
        ["capture".to_owned(), url, "--for".to_owned(), time.to_owned()]
    };
    let long = capture("5m");
    let mut long: Vec<&str> = long.iter().map(String::as_str).collect();
    long.extend(["--output", "long.jsonl", "--force"]);
    let short = capture("1s");
    let mut short: Vec<&str> = short.iter().map(String::as_str).collect();
    short.extend(["--output", "short.jsonl", "--force", "--json"]);
    // Whichever comes first has its turn; it has to be the long one.
    let mut waiting = None;
    for _ in 0..20 {
        waiting = Some(Background::start(&home, &long));
        if home.run(&short).await.stdout.contains("already_in_progress") {
            break;
        }
    }
    drop(waiting);
    until("the next to have its turn", async || {
        let text = home.run(&short).await.stdout;
        text.contains("frames").then_some(())
    })
    .await;
    host.stop().await;
}

#[tokio::test]
async fn a_file_is_not_written_over_and_a_failure_leaves_none() {
    let home = Home::new();
    home.write("there.jsonl", "mine");
    let refused = [
        "capture",
        "modbus+tcp://127.0.0.1:1",
        "--output",
        "there.jsonl",
        "--json",
    ];
    let failure = home.run(&refused).await.failure(1);
    assert_eq!(failure.code, "exists", "{failure:?}");
    assert!(failure.hint.contains("--force"), "{failure:?}");
    let failed = [
        "capture",
        "modbus+tcp://127.0.0.1:1",
        "--for",
        "1s",
        "--output",
        "new.jsonl",
        "--json",
    ];
    assert_eq!(home.run(&failed).await.failure(1).code, "refused");
    assert!(!home.path().join("new.jsonl").exists());
}

#[tokio::test]
async fn a_file_that_is_no_capture_is_refused_with_its_line() {
    let home = Home::new();
    home.write("no.jsonl", "{\"busbar_capture\":1}\n");
    let failure = home.run(&["replay", "no.jsonl", "--json"]).await.failure(1);
    assert!(failure.message.contains("no.jsonl: line 1"), "{failure:?}");
}

/// A capture is a regression test: each file in this folder is scanned as it was, and found to be what its name says.
#[tokio::test]
async fn every_capture_in_the_folder_is_recognised() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/e2e/captures");
    let home = Home::new();
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|f| f.unwrap().path())
        .collect();
    files.sort();
    assert!(!files.is_empty());
    for file in files {
        let (replayed, url) = replay(&home, file.to_str().unwrap()).await;
        let scan = home.run(&["scan", &url, "--json"]).await.json();
        let found: Vec<&str> = list(&scan, "devices").iter().map(|d| text(d, "ledger")).collect();
        let expected = file.file_stem().unwrap().to_str().unwrap().replacen('_', "/", 1);
        assert!(
            ledgers().iter().any(|ledger| ledger.name == expected),
            "{expected} is a ledger"
        );
        assert_eq!(found, [expected.as_str()], "{}", file.display());
        drop(replayed);
    }
}
