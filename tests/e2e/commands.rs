//! The commands, with a host that runs and without one.

use busbar_zoo::simulate::Running;
use busbar_zoo::{Fault, Peer, meter, peer, site};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::common::host::Background;
use crate::common::site::{HOUSE, pairs, true_pairs, truths};
use crate::common::{Home, http, keys, list, text, until};

const BATTERY: &str = "c0619ab1234f_battery_u225";

async fn saved() -> (Home, Running, Peer) {
    let (home, running) = (Home::new(), site(HOUSE).await);
    let peer = peer(&running, "gx").await;
    home.run(&["scan", &peer.url(), "--save", "--name", "home", "--json"])
        .await
        .json();
    (home, running, peer)
}

#[tokio::test]
async fn devices_entities_and_explain_come_from_the_registry_or_from_the_host() {
    let (home, _running, _peer) = saved().await;
    let soc = format!("{BATTERY}.soc");
    for live in [false, true] {
        let host = match live {
            true => {
                let host = home.host().await;
                until("a value", async || {
                    (host.get(&format!("/api/v1/entities/{soc}")).await["quality"] == "good").then_some(())
                })
                .await;
                Some(host)
            }
            false => None,
        };
        let devices = home.run(&["devices", "--json"]).await.json();
        assert_eq!(pairs(&devices), true_pairs(&truths(HOUSE)));
        let device = list(&devices, "devices")
            .iter()
            .find(|d| d["id"] == BATTERY)
            .unwrap();
        assert!(
            keys(device).is_superset(
                &[
                    "id", "ledger", "unit_id", "name", "model", "serial", "firmware", "entities"
                ]
                .into()
            )
        );
        assert_eq!(
            (text(device, "name"), text(device, "firmware")),
            ("Pylontech", "v3.65")
        );
        assert_eq!(device["availability"], if live { "online" } else { "unknown" });

        let entities = home
            .run(&["entities", "--device", BATTERY, "--json"])
            .await
            .json();
        let entity = list(&entities, "entities")
            .iter()
            .find(|e| e["id"] == soc.as_str())
            .unwrap();
        let fields = [
            "id", "key", "at", "value", "unit", "quality", "status", "writable", "label", "device", "ledger",
            "unit_id",
        ];
        assert!(keys(entity).is_superset(&fields.into()), "{entity:#}");
        assert_eq!(
            (text(entity, "device"), &entity["unit_id"]),
            (BATTERY, &json!(225))
        );
        let (value, quality) = if live {
            (Some(77.0), "good")
        } else {
            (None, "unavailable")
        };
        assert_eq!(
            (entity["value"].as_f64(), text(entity, "quality")),
            (value, quality),
            "{entity:#}"
        );

        let explained = home.run(&["explain", &soc, "--json"]).await.json();
        assert_eq!(
            (text(&explained, "status"), explained["value"].as_f64()),
            ("present", value)
        );
        assert!(
            !text(&explained, "proof").is_empty() && list(&explained, "steps").len() >= 2,
            "{explained:#}"
        );
        assert!(
            explained["steps"].to_string().contains("266"),
            "the address is told: {explained:#}"
        );

        // For people.
        let table = home.run(&["devices"]).await.lines();
        assert!(
            table
                .iter()
                .any(|line| line.contains(BATTERY) && line.contains("Pylontech 225 victron/gx-battery")),
            "{table:#?}"
        );
        let table = home.run(&["entities", "--device", BATTERY]).await.stdout;
        assert!(table.contains(&soc) && (!live || table.contains("77")), "{table}");

        let failure = home
            .run(&["entities", "--device", "none", "--json"])
            .await
            .failure(3);
        assert!(failure.message.contains("none"), "{failure:?}");
        let failure = home
            .run(&["explain", "no.such/../x y", "--json"])
            .await
            .failure(3);
        assert!(failure.message.contains("no.such"), "{failure:?}");
        if let Some(host) = host {
            host.stop().await;
        }
    }
}

#[tokio::test]
async fn reading_goes_through_the_host_that_owns_the_endpoint() {
    let (home, _running, peer) = saved().await;
    let url = peer.url();
    let read = [
        "read",
        &url,
        "--ledger",
        "victron/gx-battery",
        "--unit",
        "225",
        "--json",
    ];
    let raw = [
        "raw", &url, "--unit", "225", "--at", "259", "--count", "2", "--json",
    ];
    let scan = ["scan", &url, "--units", "225", "--json"];
    let direct = (
        home.run(&read).await.json(),
        home.run(&raw).await.json(),
        home.run(&scan).await.json(),
    );

    let host = home.host().await;
    host.device_is(BATTERY, "online").await;
    let connections = peer.record().connections();
    let through = (
        home.run(&read).await.json(),
        home.run(&raw).await.json(),
        home.run(&scan).await.json(),
    );
    assert_eq!(
        peer.record().connections(),
        connections,
        "many devices allow one client only"
    );
    assert_eq!(direct.0["points"], through.0["points"]);
    assert_eq!(direct.1["words"], through.1["words"]);
    assert_eq!(pairs(&direct.2), pairs(&through.2));
    assert_eq!(pairs(&through.2), [(225, "victron/gx-battery".to_owned())]);
    // The refusal of the device comes through as well.
    let failure = home
        .run(&["raw", &url, "--unit", "77", "--at", "259", "--json"])
        .await
        .failure(1);
    assert_eq!(failure.code, "exception");
    assert!(failure.message.contains("exception 10"), "{failure:?}");
    host.stop().await;
}

#[tokio::test]
async fn a_host_takes_up_what_a_scan_saves_at_once() {
    let (home, running) = (Home::new(), site(HOUSE).await);
    let host = home.host().await;
    assert!(
        host.process.stdout().contains("Nothing is set up yet")
            || host.process.says("Nothing is set up yet").await.len() > 1
    );
    let run = home
        .run(&["scan", &running.url("gx").unwrap(), "--units", "225", "--save"])
        .await;
    assert_eq!(run.code(), 0, "{run:#?}");
    host.device_is(BATTERY, "online").await;
    host.stop().await;
}

#[tokio::test]
async fn a_connection_of_the_file_is_scanned_at_the_start() {
    let (home, running) = (Home::new(), site(HOUSE).await);
    let connection = format!(
        "[[connection]]\nname = \"gx\"\nurl = \"{}\"\nunits = \"225\"\ninterval = \"1s\"\n",
        running.url("gx").unwrap()
    );
    let host = home.host_with(&connection).await;
    until("the battery", async || {
        let devices = host.get("/api/v1/devices").await;
        list(&devices, "devices")
            .iter()
            .any(|d| d["id"] == BATTERY && d["availability"] == "online")
            .then_some(())
    })
    .await;
    host.stop().await;
}

#[tokio::test]
async fn a_device_that_the_owner_described_is_polled_at_every_start() {
    let (home, running) = (Home::new(), meter().await);
    home.write(
        "mine.toml",
        "ledger = \"my/meter\"\ntitle = \"My meter\"\n[points]\nfirst = { at = 256, type = \"u16\" }\n",
    );
    let connection = format!(
        "[[connection]]\nname = \"mine\"\nurl = \"{}\"\nledger = \"mine.toml\"\ninterval = \"1s\"\n",
        running.url("demo-meter").unwrap()
    );
    for start in ["the first", "the second"] {
        let host = home.host_with(&connection).await;
        until(&format!("the meter at {start} start"), async || {
            let devices = host.get("/api/v1/devices").await;
            list(&devices, "devices")
                .iter()
                .any(|d| d["ledger"] == "my/meter" && d["availability"] == "online")
                .then_some(())
        })
        .await;
        host.stop().await;
    }
}

#[tokio::test]
async fn a_ledger_that_was_edited_is_taken_over_when_it_is_saved_again_and_told_of() {
    let (home, running) = (Home::new(), meter().await);
    let url = running.url("demo-meter").unwrap();
    let write = |scale: &str| {
        home.write(
            "mine.toml",
            &format!(
                "ledger = \"my/meter\"\ntitle = \"My meter\"\n[points]\n\
                 first = {{ at = 256, type = \"u16\", scale = \"{scale}\" }}\n"
            ),
        )
    };
    let scan = ["scan", &url, "--ledger", "mine.toml", "--save", "--name", "m"];
    for (scale, says) in [
        ("1/10", "new"),
        ("1/10", "as it was"),
        ("1/100", "my/meter has changed"),
    ] {
        write(scale);
        let run = home.run(&scan).await;
        assert!(run.stdout.contains(says), "{scale}: {run:?}");
    }
}

#[tokio::test]
async fn a_device_that_is_back_is_read_at_once_whatever_the_host_waits_for() {
    let (home, _running, peer) = saved().await;
    let url = peer.url();
    let host = home.host().await;
    host.device_is(BATTERY, "online").await;
    peer.turn(Fault::Refuse).await;
    host.device_is(BATTERY, "offline").await;
    peer.turn(Fault::None).await;
    let raw = ["raw", &url, "--unit", "225", "--at", "259", "--json"];
    assert!(home.run(&raw).await.json()["words"].is_array());
    host.stop().await;
}

#[tokio::test]
async fn a_reading_has_every_point_that_the_device_has() {
    let (home, running) = (Home::new(), site(HOUSE).await);
    let url = running.url("gx").unwrap();
    let read = home
        .run(&[
            "read",
            &url,
            "--ledger",
            "victron/gx-battery",
            "--unit",
            "225",
            "--json",
        ])
        .await
        .json();
    assert_eq!(keys(&read), ["device", "points"].into());
    assert_eq!(
        (text(&read["device"], "ledger"), &read["device"]["unit_id"]),
        ("victron/gx-battery", &json!(225))
    );
    let soc = &read["points"]["soc"];
    assert!(
        keys(soc).is_superset(&["value", "unit", "quality", "raw"].into()),
        "{soc}"
    );
    assert_eq!(
        (soc["value"].as_f64(), text(soc, "unit"), text(soc, "quality")),
        (Some(77.0), "%", "good")
    );
    assert_eq!(soc["raw"], json!([770]));

    let watch = Background::start(
        &home,
        &[
            "read",
            &url,
            "--ledger",
            "victron/gx-battery",
            "--unit",
            "225",
            "--watch",
            "100ms",
            "--json",
        ],
    );
    until("three readings", async || {
        (watch.stdout().lines().count() >= 3).then_some(())
    })
    .await;
    watch.signal(Signal::INT);
    let run = watch.end().await;
    assert_eq!(run.code(), 0, "{run:#?}");
    for line in run.stdout.lines() {
        let document: Value = serde_json::from_str(line).expect("one document a line");
        assert_eq!(document["points"]["soc"]["value"].as_f64(), Some(77.0));
    }
}

#[tokio::test]
async fn raw_registers_are_shown_as_they_are_with_what_they_could_mean() {
    let (home, running) = (Home::new(), site(HOUSE).await);
    let url = running.url("gx").unwrap();
    let raw = home
        .run(&[
            "raw", &url, "--unit", "100", "--at", "800", "--count", "6", "--json",
        ])
        .await
        .json();
    assert_eq!(
        (&raw["at"], &raw["unit_id"], text(&raw, "function")),
        (&json!(800), &json!(100), "holding")
    );
    assert_eq!(
        (text(&raw, "text"), list(&raw, "words").len()),
        ("c0619ab1234f", 6)
    );
    let raw = home
        .run(&[
            "raw", &url, "--unit", "225", "--at", "0x103", "--type", "u16", "--json",
        ])
        .await
        .json();
    let meaning = list(&raw, "interpretations")
        .iter()
        .find(|i| i["type"] == "u16" && i["order"].is_null());
    assert_eq!(meaning.unwrap()["value"], 5220);
    let table = home
        .run(&["raw", &url, "--unit", "225", "--at", "259", "--function", "4"])
        .await
        .lines()
        .join("\n");
    assert!(table.contains("259 (0x0103) 1464 5220"), "{table}");
}

#[tokio::test]
async fn ledgers_are_listed_shown_checked_and_described() {
    let home = Home::new();
    let ledgers = home.run(&["ledger", "list", "--json"]).await.json();
    let names: Vec<&str> = list(&ledgers, "ledgers")
        .iter()
        .map(|l| text(l, "ledger"))
        .collect();
    assert_eq!(
        names
            .iter()
            .filter(|name| name.starts_with("victron/gx-"))
            .count(),
        33
    );
    let shown = home
        .run(&["ledger", "show", "victron/gx-system", "--json"])
        .await
        .json();
    assert!(
        list(&shown, "points")
            .iter()
            .any(|p| p["key"] == "dc_battery_soc" && p["at"] == 843)
    );
    let schema = home.run(&["ledger", "schema"]).await.json();
    assert!(schema["$schema"].is_string() && schema["properties"]["points"].is_object());

    let good = "ledger = \"generic/good\"\ntitle = \"Good\"\n[points]\npower = { at = 1, type = \"i16\", unit = \"W\" }\n";
    let bad = "ledger = \"generic/bad\"\ntitle = \"Bad\"\n[points]\npower = { at = 1, tpye = \"i16\" }\nvolts = { at = 3, type = \"u16\", scale = 0 }\n";
    home.write("good.toml", good);
    home.write("bad.toml", bad);
    let run = home.run(&["ledger", "check", "good.toml"]).await;
    assert_eq!(
        (run.code(), run.lines()),
        (0, vec!["ok good.toml: 1 points".to_owned()])
    );
    let run = home.run(&["ledger", "check", "."]).await;
    assert_eq!(run.code(), 1, "{run:#?}");
    for part in [
        "tpye",
        "bad.toml:4:",
        "bad.toml:5:",
        "power = { at = 1, tpye = \"i16\" }",
    ] {
        assert!(run.stdout.contains(part), "{part}\n{}", run.stdout);
    }
    let run = home
        .run(&["ledger", "check", "good.toml", "bad.toml", "--json"])
        .await;
    assert_eq!(run.failure(1).code, "ledger");
    let document = run.document();
    let errors: Vec<usize> = list(&document, "files")
        .iter()
        .map(|f| list(f, "errors").len())
        .collect();
    assert!(errors[0] == 0 && errors[1] >= 2, "{document:#}");
}

#[tokio::test]
async fn a_ledger_is_served_as_a_device_until_told_to_stop() {
    let home = Home::new();
    let simulated = Background::start(&home, &["simulate", "generic/demo-meter", "--json"]);
    let line: Value = serde_json::from_str(&simulated.says("url").await).unwrap();
    let report = home.run(&["scan", text(&line, "url"), "--json"]).await.json();
    assert_eq!(pairs(&report), [(1, "generic/demo-meter".to_owned())]);
    // A second one may not listen there as well.
    let failure = home
        .run(&[
            "simulate",
            "generic/demo-meter",
            "--listen",
            text(&line, "url"),
            "--json",
        ])
        .await
        .failure(1);
    assert_eq!(failure.code, "simulate");
    simulated.signal(Signal::TERM);
    assert_eq!(simulated.end().await.code(), 0);
    let ended = home.run(&["simulate", "victron/gx-tank", "--for", "10ms"]).await;
    assert_eq!(ended.code(), 0, "{ended:#?}");
}

#[tokio::test]
async fn the_demo_shows_a_house_and_leaves_nothing_behind() {
    let home = Home::new();
    std::fs::create_dir(home.path().join("tmp")).unwrap();
    let mut command = home.command(&["demo", "--interval", "1s"]);
    command.env("TMPDIR", home.path().join("tmp"));
    let demo = Background::of(command);
    let line = demo.says("http://127.0.0.1:").await;
    let address = line
        .split("http://")
        .nth(1)
        .unwrap()
        .trim_end_matches('/')
        .parse()
        .unwrap();
    let devices = until("live values", async || {
        let health = http::get(address, "/healthz").await;
        let all = health["devices"].as_u64().unwrap();
        (all > 10 && health["devices_online"] == all).then_some(())?;
        Some(http::get(address, "/api/v1/devices").await)
    })
    .await;
    let ledgers: Vec<&str> = list(&devices, "devices")
        .iter()
        .map(|d| text(d, "ledger"))
        .collect();
    for ledger in [
        "victron/gx-system",
        "victron/gx-vebus",
        "victron/gx-battery",
        "generic/demo-meter",
    ] {
        assert!(ledgers.contains(&ledger), "{ledgers:?}");
    }
    demo.signal(Signal::INT);
    let run = demo.end().await;
    assert_eq!(run.code(), 0, "{run:#?}");
    assert_eq!(std::fs::read_dir(home.path().join("tmp")).unwrap().count(), 0);
    assert!(!home.data().exists());
    let short = home.run(&["demo", "--for", "100ms", "--json"]).await.json();
    assert!(text(&short, "url").starts_with("http://127.0.0.1:"), "{short}");
}

#[tokio::test]
async fn shells_get_their_completions_and_people_their_help() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish"] {
        let run = home.run(&["completions", shell]).await;
        assert!(
            run.code() == 0 && run.stdout.contains("busbar") && run.stdout.contains("scan"),
            "{shell}"
        );
    }
    let help = home.run(&["--help"]).await;
    assert!(
        help.code() == 0 && help.stdout.contains("busbar demo"),
        "{help:#?}"
    );
    let version = home.run(&["--version"]).await;
    assert_eq!(
        version.stdout.trim(),
        format!("busbar {}", env!("CARGO_PKG_VERSION"))
    );
    assert!(!home.data().exists());
}
