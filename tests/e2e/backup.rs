//! Copies of the registry, and one that takes its place.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use serde_json::Value;

use crate::common::{Home, list, text};
use crate::registry::saved;

fn file(document: &Value, key: &str) -> PathBuf {
    PathBuf::from(text(document, key))
}

async fn ids(home: &Home) -> Vec<String> {
    let devices = home.run(&["devices", "--json"]).await.json();
    let ids = list(&devices, "devices").iter().map(|d| text(d, "id").to_owned());
    ids.collect()
}

#[tokio::test]
async fn a_copy_is_made_with_a_host_and_without_one_and_taken_back_by_one_command() {
    let (home, _running) = saved().await;
    let before = ids(&home).await;
    let alone = home.run(&["backup", "--json"]).await.json();
    assert_eq!((&alone["connections"], &alone["devices"]), (&1.into(), &2.into()));
    let host = home.host().await;
    host.device_is("c0ffee_tank_u20", "online").await;
    let mine = home.path().join("mine.db");
    let beside = home.run(&["backup", "mine.db", "--json"]).await.json();
    assert_eq!(file(&beside, "file"), mine);
    assert_eq!(mine.metadata().unwrap().mode() & 0o777, 0o600);
    let refused = home.run(&["backup", "mine.db", "--json"]).await.failure(1);
    assert!(
        refused.code == "exists" && refused.hint.contains("--force"),
        "{refused:?}"
    );
    home.run(&["backup", "mine.db", "--force", "--json"]).await.json();
    let nowhere = home.run(&["backup", "no/where.db", "--json"]).await;
    assert_ne!(nowhere.code(), 0, "{nowhere:?}");

    // Not under a host: who holds it is told, and how to stop it.
    let refused = home
        .run(&["restore", "mine.db", "--yes", "--json"])
        .await
        .failure(1);
    assert_eq!(refused.code, "data_dir_locked");
    assert!(
        refused.message.contains("process ") && refused.hint.contains("Ctrl-C"),
        "{refused:?}"
    );
    host.stop().await;

    let listed = home.run(&["backup", "--list", "--json"]).await.json();
    let names: Vec<&str> = list(&listed, "backups").iter().map(|b| text(b, "made")).collect();
    assert!(
        names.contains(&"manual") && names.contains(&"daily"),
        "{listed:#}"
    );
    assert!(
        list(&listed, "backups")
            .iter()
            .all(|b| b["contents"]["devices"] == 2 && b["age_ms"].as_i64().is_some()),
        "{listed:#}"
    );

    // The registry gets lost; one command has it back.
    fs::write(home.data().join("registry.db"), "gone").unwrap();
    let run = home.run(&["restore", "latest", "--yes"]).await;
    assert_eq!(run.code(), 0, "{run:?}");
    assert!(run.stdout.contains("busbar limits --confirm"), "{run:?}");
    assert_eq!(ids(&home).await, before);
    let report = home.run(&["limits", "--json"]).await.json();
    assert_eq!(report["unconfirmed"], true, "{report:#}");
    let kept = fs::read_dir(home.data()).unwrap().map(|e| e.unwrap().path());
    let kept: Vec<PathBuf> = kept
        .filter(|path| path.to_string_lossy().contains("registry.db.replaced-"))
        .collect();
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert_eq!(fs::read_to_string(&kept[0]).unwrap(), "gone");
    let host = home.host().await;
    host.device_is("c0ffee_tank_u20", "online").await;
    host.process.logs("until the owner confirms").await;
    host.stop().await;
}

#[tokio::test]
async fn what_is_not_said_is_asked_for_and_what_is_no_copy_is_refused() {
    let (home, _running) = saved().await;
    let failure = home.run(&["restore", "latest", "--json"]).await.failure(3);
    assert!(failure.hint.contains("busbar backup"), "{failure:?}");
    let made = home.run(&["backup", "--json"]).await.json();
    let day =
        &file(&made, "file").file_stem().unwrap().to_string_lossy()["registry-".len()..][..10].to_owned();
    // Without an argument the copies are shown, with what to type.
    let run = home.run(&["restore"]).await;
    assert_eq!(run.code(), 2, "{run:?}");
    assert!(
        run.stdout.contains(day) && run.stderr.contains("busbar restore latest"),
        "{run:?}"
    );
    let failure = home.run(&["restore", day, "--json"]).await.failure(2);
    assert!(failure.hint.contains("--yes"), "{failure:?}");
    let registry = home.data().join("registry.db");
    let before = fs::read(&registry).unwrap();
    home.write("diary.txt", "Dear diary");
    for (wanted, exit, code) in [
        ("diary.txt", 1, "not_a_database"),
        ("busbar-data", 1, "io"),
        ("none.db", 3, "nothing_found"),
        ("./none.db", 3, "nothing_found"),
    ] {
        let failure = home
            .run(&["restore", wanted, "--yes", "--json"])
            .await
            .failure(exit);
        assert_eq!(failure.code, code, "{wanted}: {failure:?}");
    }
    assert_eq!(fs::read(&registry).unwrap(), before);
    let done = home.run(&["restore", day, "--yes", "--json"]).await.json();
    assert_eq!(done["needs_owner_confirmation"], true);
    assert!(file(&done, "set_aside").is_file(), "{done:#}");
}

#[tokio::test]
async fn a_copy_moves_a_house_to_another_machine() {
    let (home, _running) = saved().await;
    home.run(&["backup", "house.db", "--json"]).await.json();
    let house = home.path().join("house.db");
    let other = Home::new();
    other
        .run(&["restore", house.to_str().unwrap(), "--yes", "--json"])
        .await
        .json();
    assert_eq!(ids(&other).await, ids(&home).await);
}
