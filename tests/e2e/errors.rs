//! Each way in which an address can be wrong has a word, a sentence and a next step of its own, in time.

use std::time::Duration;

use busbar_zoo::{Fault, Peer, closed_port, site, unreachable};

use crate::common::site::HOUSE;
use crate::common::{Failure, Home};

/// A one-shot command gives up after three failed connects or ten seconds without a valid frame.
const IN_TIME: Duration = Duration::from_secs(20);

/// Scans, reads and reads raw: all three must fail, and say so with this word.
async fn all_fail(url: &str, exit: i32, code: &str) -> Vec<Failure> {
    fail(url, exit, [code; 3]).await
}

/// The same where what failed has another word for a scan, a reading and a raw read.
async fn fail(url: &str, exit: i32, codes: [&str; 3]) -> Vec<Failure> {
    let home = Home::new();
    let scan = ["scan", url, "--json"];
    let read = ["read", url, "--ledger", "generic/demo-meter", "--json"];
    let raw = ["raw", url, "--unit", "1", "--at", "0", "--count", "2", "--json"];
    let mut failures = Vec::new();
    let (scan, read, raw) = tokio::join!(home.run(&scan), home.run(&read), home.run(&raw));
    for (run, code) in [scan, read, raw].into_iter().zip(codes) {
        assert!(run.took < IN_TIME, "{run:#?}");
        let failure = run.failure(exit);
        assert_eq!(failure.code, code, "{run:#?}");
        failures.push(failure);
    }
    assert!(!home.data().exists(), "nothing is created");
    failures
}

#[tokio::test]
async fn a_url_that_cannot_be_meant_is_a_usage_error() {
    for url in [
        "modbus+tcp://",
        "modbus+tcp://h:0x50",
        "modbus+tcp://h:70000",
        "http://h",
        "192.168.1.1",
        "",
        "modbus+tcp:///dev/tty",
    ] {
        let run = Home::new().run(&["scan", url, "--json"]).await;
        let failure = run.failure(2);
        assert_eq!(failure.code, "usage", "{url}");
        assert!(failure.hint.contains("://"), "{url}: {}", failure.hint);
    }
}

#[tokio::test]
async fn a_closed_port() {
    let url = format!("modbus+tcp://{}", closed_port().await);
    for failure in all_fail(&url, 1, "refused").await {
        assert!(
            failure.message.contains(&url) && failure.hint.contains("port"),
            "{failure:?}"
        );
    }
}

#[tokio::test]
async fn a_name_that_nobody_knows() {
    for failure in all_fail("modbus+tcp://no-such-host.invalid", 1, "unknown_host").await {
        assert!(failure.hint.contains("spelling"), "{failure:?}");
    }
}

#[tokio::test]
async fn a_host_that_does_not_complete_a_connection() {
    let nobody = unreachable().await;
    all_fail(&format!("modbus+tcp://{}", nobody.address), 1, "connect_timeout").await;
}

#[tokio::test]
async fn a_host_that_connects_and_says_nothing() {
    let peer = Peer::alone(Fault::BlackHole).await.unwrap();
    for failure in fail(&peer.url(), 1, ["no_answer", "no_answer", "silent"]).await {
        assert!(
            failure.message.contains(&peer.url()) && failure.hint.contains("unit id"),
            "{failure:?}"
        );
    }
}

#[tokio::test]
async fn a_host_that_ends_every_connection() {
    let peer = Peer::alone(Fault::AcceptThenClose).await.unwrap();
    all_fail(&peer.url(), 1, "connection_lost").await;
}

#[tokio::test]
async fn a_web_server() {
    let peer = Peer::alone(Fault::HttpBanner).await.unwrap();
    for failure in all_fail(&peer.url(), 1, "not_modbus").await {
        assert!(failure.message.contains("HTTP/1.1 400"), "{failure:?}");
    }
}

#[tokio::test]
async fn a_host_that_sends_random_bytes() {
    let peer = Peer::alone(Fault::RandomBytes).await.unwrap();
    all_fail(&peer.url(), 1, "not_modbus").await;
}

#[tokio::test]
async fn a_unit_that_nobody_answers() {
    let (home, running) = (Home::new(), site(HOUSE).await);
    let peer = busbar_zoo::peer(&running, "gx").await;
    peer.turn(Fault::DeadUnit(7)).await;
    let url = peer.url();
    let scan = [
        "scan",
        &url,
        "--units",
        "7",
        "--ledger",
        "generic/demo-meter",
        "--json",
    ];
    let read = [
        "read",
        &url,
        "--unit",
        "7",
        "--ledger",
        "generic/demo-meter",
        "--json",
    ];
    let raw = ["raw", &url, "--unit", "7", "--at", "0", "--json"];
    let (scan, read, raw) = tokio::join!(home.run(&scan), home.run(&read), home.run(&raw));
    for (run, code) in [(scan, "no_answer"), (read, "no_answer"), (raw, "silent")] {
        let failure = run.failure(1);
        assert!(run.took < IN_TIME);
        assert_eq!(failure.code, code, "{run:#?}");
        assert!(
            failure.message.contains("unit 7") && failure.hint.contains("unit"),
            "{failure:?}"
        );
    }
}

#[tokio::test]
async fn a_device_that_speaks_modbus_and_is_nothing_that_is_known() {
    let home = Home::new();
    home.write(
        "mine.toml",
        "ledger = \"generic/mine\"\ntitle = \"Mine\"\n[points]\npower = { at = 9000, type = \"u16\" }\n",
    );
    let simulated = crate::common::host::Background::start(&home, &["simulate", "mine.toml", "--json"]);
    let line: serde_json::Value = serde_json::from_str(&simulated.says("url").await).unwrap();
    let url = line["url"].as_str().unwrap();
    let run = home.run(&["scan", url, "--json"]).await;
    let failure = run.failure(3);
    assert_eq!(failure.code, "nothing_found");
    assert!(
        failure.hint.contains("--mode full") && failure.hint.contains("busbar raw"),
        "{failure:?}"
    );
    let read = home
        .run(&[
            "read",
            url,
            "--ledger",
            "victron/gx-tank",
            "--unit",
            "1",
            "--json",
        ])
        .await;
    assert_eq!(read.failure(3).code, "nothing_found");
    let raw = home
        .run(&["raw", url, "--unit", "1", "--at", "0", "--json"])
        .await;
    assert_eq!(raw.failure(1).code, "exception");
}

#[tokio::test]
async fn what_is_named_and_does_not_exist() {
    let home = Home::new();
    let url = format!("modbus+tcp://{}", closed_port().await);
    for (args, word) in [
        (
            &["read", &url, "--ledger", "victron/gx-vebsu", "--unit", "1"][..],
            "victron/gx-vebus",
        ),
        (&["scan", &url, "--ledger", "nowhere.toml"], "nowhere.toml"),
        (&["scan", &url, "--plugin", "victron"], "plugin list"),
        (&["ledger", "show", "demo-meter"], "ledger list"),
        (&["read", &url, "--ledger", "victron/gx-tank"], "--unit"),
        (
            &["raw", &url, "--unit", "1", "--at", "65530", "--count", "100"],
            "65535",
        ),
        (
            &["raw", &url, "--unit", "1", "--at", "0", "--count", "126"],
            "125",
        ),
        (&["raw", &url, "--unit", "1", "--at", "0", "--type", "i8"], "u16"),
        (&["simulate", "nothing-like-it"], "nothing-like-it"),
    ] {
        let run = home.run(&[args, &["--json"]].concat()).await;
        let failure = run.failure(2);
        assert!(format!("{failure:?}").contains(word), "{args:?}: {failure:?}");
    }
}

#[tokio::test]
async fn usage_errors_are_documents_too() {
    let home = Home::new();
    for args in [
        &["--json", "scan"][..],
        &["scan", "modbus+tcp://h", "--units", "300", "--json"],
        &["scan", "modbus+tcp://h", "--units", "9-3", "--json"],
        &["scan", "modbus+tcp://h", "--mode", "fast", "--json"],
        &[
            "scan",
            "modbus+tcp://h",
            "--mode",
            "full",
            "--units",
            "1",
            "--json",
        ],
        &["read", "modbus+tcp://h", "--json"],
        &["raw", "modbus+tcp://h", "--at", "x", "--unit", "1", "--json"],
        &["frobnicate", "--json"],
        &["devices", "--json", "--no-such-flag"],
        &["demo", "--for", "soon", "--json"],
    ] {
        let run = home.run(args).await;
        assert_eq!(run.code(), 2, "{run:#?}");
        let document = run.document();
        assert_eq!(document["error"]["code"], "usage", "{args:?}");
        for key in ["message", "hint"] {
            assert!(
                document["error"][key]
                    .as_str()
                    .is_some_and(|text| !text.is_empty()),
                "{args:?}: {document}"
            );
        }
    }
    // For people, the same without a document.
    let run = home.run(&["frobnicate"]).await;
    assert_eq!((run.code(), run.stdout.as_str()), (2, ""));
    assert!(run.stderr.contains("frobnicate"));
}

#[tokio::test]
async fn a_configuration_with_a_fault_names_the_line() {
    let home = Home::new();
    home.write("busbar.toml", "[web]\nlisten = \"127.0.0.1:0\"\nport = 8510\n");
    let failure = home.run(&["run", "--json"]).await.failure(1);
    assert!(
        failure.message.contains("line 3") && failure.message.contains("port"),
        "{failure:?}"
    );
    let failure = home
        .run(&["run", "--json", "--config", "other.toml"])
        .await
        .failure(1);
    assert!(failure.message.contains("other.toml"), "{failure:?}");
    assert!(!home.data().exists());
}
