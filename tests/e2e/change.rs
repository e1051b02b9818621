//! What an owner changes in what was set up: with a running host, and without one.

use busbar_zoo::gx;
use serde_json::{Value, json};

use crate::common::host::Host;
use crate::common::writes::{Control, Known, LIMITS, SETPOINT};
use crate::common::{Home, list, text, until};
use crate::registry::saved;

const TANK: &str = "c0ffee_tank_u20";
const LEVEL: &str = "c0ffee_tank_u20.level";

/// What `busbar change` says of success.
async fn change(home: &Home, args: &[&str]) -> Value {
    home.run(&[&["change"], args, &["--json"]].concat()).await.json()
}

async fn device(home: &Home, id: &str) -> Value {
    let devices = home.run(&["devices", "--json"]).await.json();
    let device = list(&devices, "devices").iter().find(|d| d["id"] == id);
    device.unwrap_or_else(|| panic!("no {id}: {devices:#}")).clone()
}

fn entity<'a>(device: &'a Value, id: &str) -> Option<&'a Value> {
    list(device, "entities").iter().find(|e| e["id"] == id)
}

#[tokio::test]
async fn names_of_the_owners_stand_wherever_people_look_and_stay() {
    let (home, running) = saved().await;
    change(&home, &["name", TANK, "Water"]).await;
    let host = home.host().await;
    host.device_is(TANK, "online").await;
    assert_eq!(text(&device(&home, TANK).await, "name"), "Water");
    change(&home, &["name", LEVEL, "How full"]).await;
    let shown = host.device_is(TANK, "online").await;
    assert_eq!(text(entity(&shown, LEVEL).unwrap(), "name"), "How full");
    assert_eq!(text(&shown, "name"), "Water");

    // A scan leaves them as they are.
    let url = running.url("gx").unwrap();
    let again = home
        .run(&["scan", &url, "--units", "20,100", "--save", "--yes", "--json"])
        .await;
    assert_eq!(
        list(&again.json()["saved"]["diff"], "changed")
            .iter()
            .filter(|c| c["field"] == "name")
            .count(),
        0
    );
    change(&home, &["name", "home", "Main house"]).await;
    let shown = host.device_is(TANK, "online").await;
    assert_eq!(text(&shown, "connection"), "Main house");
    assert_eq!(text(&shown, "name"), "Water");
    host.stop().await;
    assert_eq!(
        text(entity(&device(&home, TANK).await, LEVEL).unwrap(), "name"),
        "How full"
    );

    change(&home, &["name", TANK]).await;
    assert_eq!(
        text(&device(&home, TANK).await, "name"),
        "Fresh",
        "its own name again"
    );
    for (args, exit) in [
        (["name", "nobody", "x"], 3),
        (["name", LEVEL, "a\u{7}"], 2),
        (["name", "Main house", "a/b"], 1),
    ] {
        let failure = home
            .run(&[&["change"], &args[..], &["--json"]].concat())
            .await
            .failure(exit);
        assert!(!failure.hint.is_empty());
    }
}

#[tokio::test]
async fn what_is_put_away_is_gone_until_it_is_taken_back() {
    let (home, _running) = saved().await;
    let host = home.host().await;
    let shown = host.device_is(TANK, "online").await;
    let all = list(&shown, "entities").len();
    change(&home, &["put-away", LEVEL]).await;
    let shown = host.device_is(TANK, "online").await;
    assert_eq!(
        (list(&shown, "entities").len(), entity(&shown, LEVEL)),
        (all - 1, None)
    );
    host.stop().await;
    assert_eq!(entity(&device(&home, TANK).await, LEVEL), None);
    change(&home, &["take-back", LEVEL]).await;
    assert_eq!(list(&device(&home, TANK).await, "entities").len(), all);
    home.run(&["change", "put-away", "c0ffee_tank_u20.nothing", "--json"])
        .await
        .failure(3);
}

#[tokio::test]
async fn a_device_in_anothers_place_goes_on_under_its_id() {
    let (home, old) = saved().await;
    let new = gx(
        "[[device.service]]\nservice = \"system\"\nvalues = { serial = \"beefed\", dc_battery_soc = 60 }\n\
        [[device.service]]\nservice = \"tank\"\ninstance = 20\nvalues = { level = 70.0 }\n",
    )
    .await;
    change(&home, &["name", TANK, "Water"]).await;
    let host = home.host().await;
    host.device_is(TANK, "online").await;
    // The box was exchanged: nothing of the new one passes for the old.
    let url = new.url("gx").unwrap();
    change(&home, &["address", "home", &url]).await;
    drop(old);
    let offline = host.device_is(TANK, "offline").await;
    assert!(text(&offline, "reason").contains("beefed"), "{offline:#}");

    for (id, other) in [
        (TANK, "beefed_tank_u20"),
        ("c0ffee_system_u100", "beefed_system_u100"),
    ] {
        let asked = home
            .run(&["change", "replace", id, other, "--json"])
            .await
            .failure(2);
        assert!(asked.message.contains("keeps its ids"), "{asked:?}");
        change(&home, &["replace", id, other, "--yes"]).await;
    }
    let scan = home
        .run(&["scan", &url, "--units", "20,100", "--save", "--yes", "--json"])
        .await
        .json();
    let diff = &scan["saved"]["diff"];
    assert_eq!(
        (
            list(&diff["new"], "devices").len(),
            list(&diff["gone"], "devices").len()
        ),
        (0, 0),
        "{diff:#}"
    );
    let serial = list(diff, "changed")
        .iter()
        .find(|c| c["id"] == "c0ffee_system_u100" && c["field"] == "serial");
    assert_eq!(serial.map(|c| text(c, "to")), Some("beefed"), "{diff:#}");
    let shown = host.device_is(TANK, "online").await;
    assert_eq!(
        (text(&shown, "name"), text(&shown, "serial")),
        ("Water", "beefed")
    );
    until("the new one's level", async || {
        let shown = host.device(TANK).await;
        (entity(&shown, LEVEL)?["value"] == 70.0).then_some(())
    })
    .await;
    host.stop().await;

    // A device of another kind cannot take its place.
    let wrong = home
        .run(&["change", "replace", TANK, "c0ffee_system_u100", "--yes", "--json"])
        .await
        .failure(2);
    assert!(wrong.message.contains("victron/gx-tank"), "{wrong:?}");
}

#[tokio::test]
async fn what_is_removed_goes_with_what_was_announced() {
    let (home, _running) = saved().await;
    let asked = home.run(&["change", "remove", "home", "--json"]).await.failure(2);
    assert!(
        asked.message.contains("Fresh") && asked.hint.contains("--yes"),
        "{asked:?}"
    );
    let host = home.host().await;
    host.device_is(TANK, "online").await;
    change(&home, &["remove", TANK, "--yes"]).await;
    let left = host.get("/api/v1/devices").await;
    assert_eq!(list(&left, "devices").len(), 1, "{left:#}");
    change(&home, &["remove", "home", "--yes"]).await;
    let left = host.get("/api/v1/devices").await;
    assert!(list(&left, "devices").is_empty(), "{left:#}");
    host.stop().await;
    home.run(&["devices", "--json"]).await.json();
    home.run(&["change", "remove", "home", "--yes", "--json"])
        .await
        .failure(3);
}

#[tokio::test]
async fn an_interval_is_carried_out_at_once_and_the_file_wins() {
    let (home, _running) = saved().await;
    let host = home.host().await;
    host.device_is(TANK, "online").await;
    let said = change(&home, &["interval", "home", "150ms"]).await;
    assert_eq!(said["notes"], json!([]));
    let time =
        async |host: &Host| entity(&host.device(TANK).await, LEVEL).and_then(|e| e["time_ms"].as_i64());
    let first = time(&host).await;
    until("the next poll", async || {
        (time(&host).await > first).then_some(())
    })
    .await;
    host.stop().await;
    let failure = home
        .run(&["change", "interval", "home", "1ms", "--json"])
        .await
        .failure(2);
    assert!(failure.message.contains("100ms"), "{failure:?}");
    home.write(
        "busbar.toml",
        "[[connection]]\nname = \"home\"\nurl = \"modbus+tcp://h\"\ninterval = \"1s\"\n",
    );
    let said = change(&home, &["interval", "home", "2s"]).await;
    assert!(
        said["notes"][0]
            .as_str()
            .unwrap()
            .contains("busbar.toml says another interval"),
        "{said:#}"
    );
}

/// What the owner allows may lie in the registry: then a start reads it there, and the file has the last word.
#[tokio::test]
async fn what_may_be_written_is_kept_and_the_file_has_the_last_word() {
    let known = Known::new().await;
    let host = known.home.host().await;
    host.device_is("c0ffee_hub4_u100", "online").await;
    let mut control = Control::of(&known.home);
    let writes =
        json!({ "change": "writes", "connection": "home", "writes": { "level": 2, "allow": [SETPOINT] } });
    let site = json!({ "change": "site", "site": {
        "ac_voltage": 230.0, "phases": 3, "ac_current": 24.0, "dc_current": 100.0, "battery": "lifepo4-16s" } });
    for change in [&writes, &site] {
        let (status, said) = control.post("/control/change", change).await;
        assert_eq!(status, 200, "{said:#}");
    }
    // A running host never gets a way to write that it did not have.
    known
        .home
        .set(&[SETPOINT, "500", "--yes"])
        .await
        .refused("level", &["read-only"]);
    let limits = known.home.run(&["limits"]).await;
    assert!(limits.stdout.contains("restart it"), "{limits:#?}");
    host.stop().await;

    let host = known.home.host().await;
    host.device_is("c0ffee_hub4_u100", "online").await;
    known.home.set(&[SETPOINT, "500", "--yes"]).await.is("applied");
    known.home.set(&[SETPOINT, "17000", "--yes"]).await.is("refused");
    host.stop().await;

    let read_only = known.host("level = 0").await;
    known
        .home
        .set(&[SETPOINT, "400", "--yes"])
        .await
        .refused("level", &["read-only"]);
    read_only.stop().await;
    // Limits of the file are narrower here, and win key by key.
    let narrow = LIMITS.replace("ac_current = 24", "ac_current = 1");
    let host = known.home.host_with(&format!("[site]\n{narrow}")).await;
    host.device_is("c0ffee_hub4_u100", "online").await;
    known.home.set(&[SETPOINT, "1000", "--yes"]).await.is("refused");
    known.home.set(&[SETPOINT, "600", "--yes"]).await.is("applied");
    host.stop().await;

    let bad = json!({ "change": "writes", "connection": "home", "writes": { "level": 9 } });
    let host = known.home.host().await;
    let (status, said) = Control::of(&known.home).post("/control/change", &bad).await;
    assert_eq!(status, 422, "{said:#}");
    host.stop().await;
}
