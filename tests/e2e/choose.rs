//! Devices and entities that are chosen by what they are, and an entity that is named as people remember it.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::common::{Home, list, text};
use crate::registry::saved;

const TANK: &str = "c0ffee_tank_u20";

async fn entities(home: &Home, args: &[&str]) -> Vec<Value> {
    let run = home.run(&[&["entities", "--json"], args].concat()).await;
    list(&run.json(), "entities").to_vec()
}

fn all_of(entities: &[Value], key: &str) -> BTreeSet<String> {
    entities
        .iter()
        .map(|entity| text(entity, key).to_owned())
        .collect()
}

#[tokio::test]
async fn entities_are_chosen_by_what_they_are() {
    let (home, _running) = saved().await;
    let host = home.host().await;
    host.device_is(TANK, "online").await;
    let all = entities(&home, &[]).await;
    let of_tank = entities(&home, &["--device", TANK]).await;
    assert!(!of_tank.is_empty() && of_tank.len() < all.len());
    assert_eq!(all_of(&of_tank, "device"), [TANK.to_owned()].into());
    let name = {
        let devices = home.run(&["devices", "--json"]).await.json();
        let tank = list(&devices, "devices")
            .iter()
            .find(|d| d["id"] == TANK)
            .unwrap();
        text(tank, "name").to_owned()
    };
    assert_eq!(entities(&home, &["--device", &name]).await.len(), of_tank.len());
    for (args, key, value) in [
        (["--ledger", "victron/gx-tank"], "ledger", "victron/gx-tank"),
        (["--unit-of", "v"], "unit", "V"),
        (["--status", "unproven"], "status", "unproven"),
        (["--quality", "good"], "quality", "good"),
    ] {
        let some = entities(&home, &args).await;
        assert!(some.len() < all.len(), "{args:?}");
        assert_eq!(all_of(&some, key), [value.to_owned()].into(), "{args:?}");
        // What is left out is not one of them.
        let others = all.iter().filter(|entity| entity[key] != value).count();
        assert!(
            others > 0 && (some.len() + others == all.len() || key == "quality"),
            "{args:?}"
        );
    }
    let writable = entities(&home, &["--writable"]).await;
    assert!(!writable.is_empty() && writable.iter().all(|entity| entity["writable"] == true));
    let level = entities(&home, &["LEVEL"]).await;
    assert!(level.iter().all(|entity| {
        let id = text(entity, "id").to_lowercase();
        id.contains("level") || text(entity, "name").to_lowercase().contains("level")
    }));
    assert!(level.iter().any(|entity| text(entity, "device") == TANK));
    // Piped, each has a line with its whole id.
    let lines = home.run(&["entities", "--device", TANK]).await.lines();
    assert_eq!(lines.len(), of_tank.len() + 1);
    assert!(
        lines[1..].iter().all(|line| line.contains(&format!("{TANK}."))),
        "{lines:#?}"
    );
    host.stop().await;
}

#[tokio::test]
async fn where_nothing_is_meant_it_is_said_what_there_is() {
    let (home, _running) = saved().await;
    for (args, says) in [
        (&["entities", "--unit-of", "parsec"][..], "V"),
        (&["entities", "--quality", "good"], "unavailable"),
        (&["entities", "--status", "absent"], "present"),
        (&["entities", "--ledger", "no/such"], "victron/gx-tank"),
        (&["entities", "--device", "no_such"], TANK),
        (&["entities", "levle"], "Did you mean level"),
        (&["entities", "no-such-thing"], "`busbar entities`"),
        (&["devices", "no-such-thing"], TANK),
        (&["devices", "--connection", "elsewhere"], "home"),
        (&["devices", "--offline"], "start the host"),
    ] {
        let failure = home.run(&[args, &["--json"]].concat()).await.failure(3);
        assert!(failure.hint.contains(says), "{args:?}: {failure:?}");
    }
    let devices = home
        .run(&["devices", "TANK", "--connection", "home", "--json"])
        .await
        .json();
    assert_eq!(list(&devices, "devices").len(), 1);
    let usage = home.run(&["entities", "--quality", "splendid"]).await;
    assert_eq!(usage.code(), 2, "{usage:?}");
}

#[tokio::test]
async fn an_entity_is_explained_by_the_end_of_its_id() {
    let (home, _running) = saved().await;
    for live in [false, true] {
        let host = match live {
            true => Some(home.host().await),
            false => None,
        };
        let mut ids = BTreeSet::new();
        for name in ["c0ffee_tank_u20.level", "tank_u20.level", "u20.level", "level"] {
            let run = home.run(&["explain", name, "--json"]).await;
            ids.insert(text(&run.json(), "entity").to_owned());
        }
        assert_eq!(ids, ["c0ffee_tank_u20.level".to_owned()].into(), "live: {live}");
        // Not by a piece of a word, and not where several end so.
        let failure = home.run(&["explain", "vel", "--json"]).await.failure(3);
        assert!(failure.hint.contains("level"), "{failure:?}");
        let failure = home
            .run(&["explain", "tank_u20.levle", "--json"])
            .await
            .failure(3);
        assert!(failure.hint.contains("c0ffee_tank_u20.level"), "{failure:?}");
        let failure = home.run(&["explain", "l1_power", "--json"]).await.failure(2);
        assert!(
            failure.message.contains("entities have") && failure.hint.contains("c0ffee_system_u100."),
            "{failure:?}"
        );
        if let Some(host) = host {
            host.stop().await;
        }
    }
}
