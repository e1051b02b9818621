//! The record: what stands in the audit, and that nobody changes it unseen. And the other half of the proof: who only
//! looks writes nothing.

use busbar_zoo::{Evidence, Judge, site};

use crate::common::site::HOUSE;
use crate::common::writes::{Known, SETPOINT, setpoint_leave};
use crate::common::{Home, list, text, until};

/// Puts other bytes in the place of these wherever they stand in a file; tells whether they stood there.
fn replace(path: &std::path::Path, old: &str, new: &str) -> bool {
    assert_eq!(old.len(), new.len());
    let Ok(mut bytes) = std::fs::read(path) else {
        return false;
    };
    let places: Vec<usize> = (0..bytes.len().saturating_sub(old.len()))
        .filter(|at| bytes[*at..].starts_with(old.as_bytes()))
        .collect();
    for at in &places {
        bytes[*at..*at + new.len()].copy_from_slice(new.as_bytes());
    }
    std::fs::write(path, bytes).unwrap();
    !places.is_empty()
}

#[tokio::test]
async fn w20_a_row_that_was_changed_in_the_file_is_found() {
    let known = Known::new().await;
    let host = known.host("level = 2\nallow = [\"victron/gx-hub4:2716\"]").await;
    known.home.set(&[SETPOINT, "-1357", "--yes"]).await.is("applied");
    let reason = ["kill-switch", "on", "--reason", "electrician at work", "--json"];
    known.home.run(&reason).await.json();
    known.home.run(&["kill-switch", "off", "--json"]).await.json();
    host.stop().await;

    // Each row has its place: the intent, its outcome, the end of its lease, and the kill switch.
    let rows = known.home.audit().await;
    let intent = rows.iter().find(|row| row["kind"] == "intent").unwrap();
    assert_eq!((text(intent, "wanted"), text(intent, "old")), ("-1357", "0"));
    let outcomes = rows.iter().filter(|row| row["intent"] == intent["seq"]);
    let outcomes: Vec<_> = outcomes.map(|row| text(row, "outcome")).collect();
    assert_eq!(outcomes, ["applied", "released"]);
    assert!(
        rows.iter()
            .any(|row| row["reason"].as_str().is_some_and(|r| r.contains("electrician")))
    );
    let proof = known.home.verify_audit().await.json();
    assert_eq!(
        (&proof["rows"], &proof["broken"]),
        (&rows.len().into(), &serde_json::Value::Null)
    );

    let file = known.home.data().join("registry.db");
    for (old, new) in [("electrician at work", "nobody was there..."), ("-1357", "-1000")] {
        assert!(replace(&file, old, new), "{old} stands in the file");
        let run = known.home.verify_audit().await;
        assert_eq!(run.code(), 1, "{run:#?}");
        let broken = run.document()["broken"].clone();
        assert!(
            broken["seq"].is_i64() && !text(&broken, "why").is_empty(),
            "{broken:#}"
        );
        assert!(run.stderr.contains("the audit was changed"), "{run:#?}");
        assert!(replace(&file, new, old));
        known.home.verify_audit().await.json();
    }
    known.acquit([setpoint_leave()]).await;
}

#[tokio::test]
async fn w22_who_only_looks_sends_nothing_but_reads() {
    let (home, running) = (Home::new(), site(HOUSE).await);
    let url = running.url("gx").unwrap();
    let scan = ["scan", &url, "--save", "--name", "home", "--json"];
    let report = home.run(&scan).await.json();
    let devices = list(&report, "devices").len();
    assert!(devices > 15, "{devices}");
    for args in [
        &[
            "read",
            &url,
            "--ledger",
            "victron/gx-vebus",
            "--unit",
            "227",
            "--json",
        ][..],
        &[
            "raw", &url, "--unit", "100", "--at", "2700", "--count", "4", "--json",
        ],
        &["scan", &url, "--units", "0,1,100,227,247", "--json"],
    ] {
        home.run(args).await.json();
    }
    // Also with writing allowed, as long as nobody asks for it.
    let host = home
        .host_with(&crate::common::writes::config(
            &url,
            crate::common::writes::LIMITS,
            "level = 3\nallow = [\"victron/gx-hub4:2716\", \"victron/gx-vebus:22\"]",
        ))
        .await;
    let requests = || running.stats("gx").unwrap().requests;
    until("every device to be online", async || {
        let health = host.get("/healthz").await;
        (health["devices_online"] == devices).then_some(())
    })
    .await;
    let so_far = requests();
    until("many polls", async || (requests() > so_far + 200).then_some(())).await;
    home.run(&["limits", "--all", "--json"]).await.json();
    home.run(&["explain", "c0619ab1234f_hub4_u100.overrides_setpoint", "--json"])
        .await
        .json();
    home.run(&["scan", &url, "--units", "100", "--json"]).await.json();
    host.stop().await;
    Judge::strict().acquit(&Evidence::from(&running.stats("gx").unwrap()));
}
