//! What is set up already: looked at again, changed, and allowed to be written.

use busbar_zoo::simulate::Running;
use busbar_zoo::{gx, meter};
use serde_json::Value;

use super::first::home;
use super::terminal::Terminal;
use crate::common::writes::GX;
use crate::common::{Home, list, text};
use crate::registry::SMALL;

/// A home that has scanned this.
async fn scanned(running: &Running, device: &str) -> Home {
    let home = home();
    let url = running.url(device).unwrap();
    home.run(&["scan", &url, "--save", "--name", "home", "--json"])
        .await
        .json();
    home
}

async fn devices(home: &Home) -> Vec<Value> {
    let document = home.run(&["devices", "--json"]).await.json();
    list(&document, "devices").to_vec()
}

async fn at_connection(home: &Home) -> Terminal {
    let mut terminal = Terminal::start(home, &[], 100);
    terminal
        .answers("What shall be looked at or changed?", "home")
        .await;
    terminal
}

#[tokio::test]
async fn a_rescan_is_shown_before_it_is_taken_over() {
    let running = gx(SMALL).await;
    let home = scanned(&running, "gx").await;
    let before = devices(&home).await;
    assert!(
        before
            .iter()
            .any(|device| text(device, "ledger") == "victron/gx-tank")
    );
    running.change("gx", |options| options.hide.push((Some("tank".into()), 20)));
    for (choice, changed) in [("Drop it", false), ("Take it over", true)] {
        let mut terminal = at_connection(&home).await;
        terminal.answers("What shall be done?", "Scan again").await;
        terminal.answers("How far", "").await;
        let diff = terminal.shows("What now?").await;
        assert!(diff.contains("not found") && diff.contains("Fresh"), "{diff}");
        terminal.answers("", choice).await;
        terminal.answers("What shall be done?", "q").await;
        terminal.end().await;
        let states = home.run(&["devices", "--json"]).await.json();
        let missing = states.to_string().contains("the last scan did not find it");
        assert_eq!(missing, changed, "{choice}: {states:#}");
    }
}

#[tokio::test]
async fn a_new_address_is_looked_at_before_it_is_taken() {
    let (old, new, other) = (gx(SMALL).await, gx(SMALL).await, meter().await);
    let home = scanned(&old, "gx").await;
    old.stop().await;
    let elsewhere = other.url("demo-meter").unwrap();
    let mut terminal = at_connection(&home).await;
    terminal
        .answers("What shall be done?", "It has a new address")
        .await;
    terminal.answers("New address", &elsewhere).await;
    terminal.answers("How far", "").await;
    let diff = terminal.shows("What now?").await;
    assert!(diff.contains("These are not its devices"), "{diff}");
    terminal.answers("", "Drop it").await;
    terminal
        .answers("What shall be done?", "It has a new address")
        .await;
    terminal.answers("New address", &new.url("gx").unwrap()).await;
    terminal.answers("How far", "").await;
    terminal.answers("What now?", "").await;
    terminal.answers("What shall be done?", "q").await;
    terminal.end().await;
    let polled = home.run(&["run", "--once", "--json"]).await.json();
    for device in list(&polled, "devices") {
        assert_eq!(
            (text(device, "connection"), text(device, "availability")),
            ("home", "online")
        );
    }
}

#[tokio::test]
async fn a_replaced_device_goes_on_under_its_id() {
    let running = meter().await;
    let home = scanned(&running, "demo-meter").await;
    let before = devices(&home).await;
    let old = text(&before[0], "id").to_owned();
    home.run(&["change", "name", &old, "Heat pump"]).await;
    running.set_serial("demo-meter", 1, "NEW12345").unwrap();
    let mut terminal = at_connection(&home).await;
    terminal.answers("What shall be done?", "Heat pump").await;
    terminal
        .answers("What shall be done?", "Another device has taken its place")
        .await;
    terminal.answers("How far", "").await;
    terminal.answers("What now?", "A new device").await;
    terminal.answers("Which?", "1").await;
    let said = terminal.shows("Replace it?").await;
    assert!(said.contains("keeps its ids"), "{said}");
    terminal.answers("", "y").await;
    terminal.answers("What shall be done?", "q").await;
    terminal.end().await;
    let after = devices(&home).await;
    assert_eq!(after.len(), 1, "{after:#?}");
    let (id, name, serial) = (
        text(&after[0], "id"),
        text(&after[0], "name"),
        text(&after[0], "serial"),
    );
    assert_eq!((id, name, serial), (old.as_str(), "Heat pump", "NEW12345"));
    let polled = home.run(&["run", "--once", "--json"]).await.json();
    assert_eq!(text(&list(&polled, "devices")[0], "availability"), "online");
}

#[tokio::test]
async fn removing_asks_and_enter_is_no() {
    let running = gx(SMALL).await;
    let home = scanned(&running, "gx").await;
    let mut terminal = at_connection(&home).await;
    terminal.answers("What shall be done?", "Remove it").await;
    let goes = terminal.shows("Remove it?").await;
    assert!(goes.contains("entities") && goes.contains("history"), "{goes}");
    terminal.answers("", "").await;
    terminal.answers("What shall be done?", "Remove it").await;
    assert_eq!(devices(&home).await.len(), 2, "Enter was no");
    terminal.answers("Remove it?", "y").await;
    terminal.answers("How shall we get to it?", "q").await;
    terminal.end().await;
    let none = home.run(&["devices", "--json"]).await;
    assert!(
        none.code() == 3 || none.json()["devices"] == serde_json::json!([]),
        "{none:#?}"
    );
}

#[tokio::test]
async fn what_is_left_out_is_neither_read_nor_shown() {
    let running = gx(SMALL).await;
    let home = scanned(&running, "gx").await;
    let mut terminal = at_connection(&home).await;
    terminal.answers("What shall be done?", "Fresh").await;
    terminal
        .answers("What shall be done?", "Which of its values")
        .await;
    terminal.answers("Switch which ones", "/level").await;
    terminal.answers("Switch which ones", "1").await;
    terminal.answers("Switch which ones", "").await;
    terminal.answers("What shall be done?", "q").await;
    terminal.end().await;
    let all = home.run(&["entities", "--json"]).await.json();
    let keys: Vec<&str> = list(&all, "entities")
        .iter()
        .map(|entity| text(entity, "id"))
        .collect();
    assert!(!keys.contains(&"c0ffee_tank_u20.level"), "{keys:?}");
    assert!(keys.len() > 3);
}

#[tokio::test]
async fn exactly_one_value_is_allowed_to_be_written() {
    let running = gx(GX).await;
    let home = scanned(&running, "gx").await;
    let mut terminal = Terminal::start(&home, &[], 120);
    terminal
        .answers("What shall be looked at or changed?", "The limits of your site")
        .await;
    for (limit, value) in [
        ("Voltage of one phase", "230"),
        ("Phases", "3"),
        ("Amps of one phase", "25"),
    ] {
        terminal.answers("Which one?", limit).await;
        terminal.answers(limit, value).await;
    }
    terminal.answers("Which one?", "Back").await;
    terminal
        .answers("What shall be looked at or changed?", "home")
        .await;
    terminal
        .answers("What shall be done?", "What may be written (advanced)")
        .await;
    terminal
        .answers("What shall be changed?", "How far writing goes")
        .await;
    terminal.answers("Which level?", "3").await;
    terminal.answers("What shall be changed?", "Allow a value").await;
    terminal.answers("Which one", "/cgwacs_ac_power_set_point").await;
    terminal.answers("Which one", "1").await;
    let told = terminal.shows("Your own lowest value").await;
    assert!(told.contains("effective range"), "{told}");
    terminal.answers("", "-500").await;
    terminal.answers("Your own highest value", "500").await;
    terminal.answers("Allow it to be written?", "y").await;
    terminal.answers("What shall be changed?", "q").await;
    terminal.end().await;
    let limits = home.run(&["limits", "--json"]).await.json();
    let allowed: Vec<&Value> = list(&limits, "entities")
        .iter()
        .filter(|e| e["allowed"] == true)
        .collect();
    assert_eq!(allowed.len(), 1, "{allowed:#?}");
    assert_eq!(
        text(allowed[0], "entity"),
        "c0ffee_settings_u100.settings_cgwacs_ac_power_set_point"
    );
    let range = &allowed[0]["limits"]["range"];
    assert_eq!(
        (&range[0]["value"], &range[1]["value"]),
        (&(-500.0).into(), &500.0.into()),
        "{range:#}"
    );
    assert_eq!(limits["connections"][0]["level"], 3);
}

#[tokio::test]
async fn with_a_running_host_a_rescan_is_dropped_or_taken_over_and_changes_hold_at_once() {
    let running = gx(SMALL).await;
    let home = scanned(&running, "gx").await;
    let host = home.host_with("[discover]\nmdns_port = 1\n").await;
    host.device_is("c0ffee_tank_u20", "online").await;
    running.change("gx", |options| options.hide.push((Some("tank".into()), 20)));
    let mut terminal = at_connection(&home).await;
    for (choice, missing) in [("Drop it", false), ("Take it over", true)] {
        terminal.answers("What shall be done?", "Scan again").await;
        terminal.answers("How far", "").await;
        let diff = terminal.shows("What now?").await;
        assert!(diff.contains("not found") && diff.contains("Fresh"), "{diff}");
        terminal.answers("", choice).await;
        let after = terminal.shows("How often it is polled").await;
        assert_eq!(
            after.contains("not found by the last scan"),
            missing,
            "{choice}: {after}"
        );
    }
    terminal
        .answers("What shall be done?", "How often it is polled")
        .await;
    terminal.answers("Interval", "1s").await;
    terminal.answers("What shall be done?", "Another name").await;
    terminal.answers("Name", "house").await;
    terminal.answers("What shall be done?", "Remove it").await;
    let live = host.get("/api/v1/devices").await;
    assert!(
        list(&live, "devices")
            .iter()
            .all(|device| text(device, "connection") == "house")
    );
    terminal.answers("Remove it?", "y").await;
    terminal.answers("How shall we get to it?", "q").await;
    terminal.end().await;
    assert_eq!(
        host.get("/api/v1/devices").await["devices"],
        serde_json::json!([])
    );
    host.stop().await;
}
