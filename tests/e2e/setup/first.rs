//! From nothing to live values, and everything that can come between.

use std::time::Duration;

use busbar_zoo::{closed_port, demo, gx, meter};
use rustix::process::Signal;

use super::terminal::Terminal;
use crate::common::writes::GX;
use crate::common::{Home, list, text};

/// A home whose host listens anywhere, and that hears no announcements but those of the test.
pub fn home() -> Home {
    let home = Home::new();
    home.write(
        "busbar.toml",
        "[web]\nlisten = \"127.0.0.1:0\"\n[discover]\nmdns_port = 1\n",
    );
    home
}

/// As far as the scan.
async fn at_scan(home: &Home, url: &str) -> Terminal {
    let mut terminal = Terminal::start(home, &[], 80);
    terminal.answers("How shall we get to it?", "2").await;
    terminal.answers("Address", url).await;
    terminal.shows("How far shall the scan look?").await;
    terminal
}

#[tokio::test]
async fn from_nothing_to_live_values() {
    let (home, running) = (home(), demo().await);
    let mut terminal = at_scan(&home, &running.url("gx").unwrap()).await;
    terminal.types("").await;
    let found = terminal.shows("What now?").await;
    assert!(
        found.contains("LiFePO4 16s") && found.contains("State of charge"),
        "{found}"
    );
    for (question, line) in [
        ("", ""),
        ("Name", "home"),
        ("another name?", ""),
        ("Interval", "1s"),
        ("Which ones?", ""),
        ("Save this?", ""),
        ("Start Busbar now", ""),
    ] {
        terminal.answers(question, line).await;
    }
    terminal.shows("Busbar is running: http://").await;
    terminal.shows("The first values").await;
    terminal.shows("Grid meter").await;
    let values = terminal.shows("Busbar goes on reading").await;
    assert!(values.contains(" W") && values.contains(" V"), "{values}");
    assert!(terminal.is_as_it_was());
    let live = home.run(&["devices", "--json"]).await.json();
    for device in list(&live, "devices") {
        assert_eq!(
            (text(device, "connection"), text(device, "availability")),
            ("home", "online")
        );
    }
    terminal.signal(Signal::INT);
    assert_eq!(terminal.end().await, 0, "{}", terminal.all());
    // The line of progress is drawn over itself.
    let all = terminal.all().replace("\x1b[K", "");
    for line in all.split(['\n', '\r']).filter(|line| !line.contains(" INFO ")) {
        assert!(line.chars().count() <= 80, "{line:?}");
    }
}

#[tokio::test]
async fn by_enter_alone_a_bare_address_is_set_up() {
    let (home, running) = (home(), meter().await);
    let address = running.address("demo-meter").unwrap();
    let mut terminal = Terminal::start(&home, &[&address.to_string()], 120);
    terminal.answers("How far", "").await;
    for question in [
        "What now?",
        "Name",
        "another name?",
        "Interval",
        "Which ones?",
        "Save this?",
    ] {
        terminal.answers(question, "").await;
    }
    terminal.answers("Start Busbar now", "2").await;
    assert_eq!(terminal.end().await, 0);
    let devices = home.run(&["devices", "--json"]).await.json();
    assert_eq!(text(&list(&devices, "devices")[0], "connection"), "demo-meter");
}

#[tokio::test]
async fn a_scan_that_is_held_up_asks_nothing_and_goes_on() {
    let (home, running) = (home(), gx(GX).await);
    running.change("gx", |options| options.delay = Duration::from_millis(8));
    let mut terminal = at_scan(&home, &running.url("gx").unwrap()).await;
    terminal.types("").await;
    terminal.shows("p pauses").await;
    assert!(!terminal.is_as_it_was(), "keys come one by one");
    terminal.key("p").await;
    terminal.shows("paused: nothing asked").await;
    // Whatever was on the way when it was held up has been answered when a whole command has been run beside it.
    home.run(&["ledger", "list"]).await;
    let asked = running.stats("gx").unwrap().requests;
    home.run(&["ledger", "list"]).await;
    assert_eq!(running.stats("gx").unwrap().requests, asked);
    running.change("gx", |options| options.delay = Duration::ZERO);
    terminal.key("p").await;
    terminal.shows("What now?").await;
    assert!(running.stats("gx").unwrap().requests > asked);
    let whole = terminal.all();
    assert!(!whole.contains("was stopped before its end"), "{whole}");
    assert!(terminal.is_as_it_was());
    terminal.types("q").await;
    terminal.shows("Nothing was saved").await;
    assert_eq!(terminal.end().await, 0);
}

#[tokio::test]
async fn a_scan_that_is_stopped_keeps_what_it_has_found_or_leads_back() {
    let (home, running) = (home(), gx(GX).await);
    running.change("gx", |options| options.delay = Duration::from_millis(8));
    let mut terminal = at_scan(&home, &running.url("gx").unwrap()).await;
    terminal.types("").await;
    terminal.shows("looking for devices").await;
    terminal.key("p").await;
    terminal.shows("paused").await;
    // Out of a pause, too.
    terminal.key("c").await;
    terminal.shows("›").await;
    assert!(terminal.is_as_it_was());
    terminal.types("q").await;
    assert_eq!(terminal.end().await, 0);
    assert!(home.run(&["devices"]).await.code() == 3, "nothing was saved");
}

#[tokio::test]
async fn the_terminal_is_as_it_was_however_it_ends() {
    for number in [Signal::TERM, Signal::HUP, Signal::INT] {
        let (home, running) = (home(), gx(GX).await);
        running.change("gx", |options| options.delay = Duration::from_millis(50));
        let mut terminal = at_scan(&home, &running.url("gx").unwrap()).await;
        terminal.types("").await;
        terminal.shows("p pauses").await;
        terminal.signal(number);
        if number == Signal::INT {
            // The first Ctrl-C stops the scan, and one at a question ends it.
            terminal.shows("›").await;
            terminal.signal(number);
        }
        terminal.end().await;
        assert!(terminal.is_as_it_was(), "{number:?}");
    }
}

#[tokio::test]
async fn nothing_there_is_no_dead_end() {
    let home = home();
    let mut terminal = Terminal::start(&home, &[], 80);
    terminal.answers("How shall we get to it?", "?").await;
    terminal.shows("Settings, Integrations").await;
    terminal.answers("", "1").await;
    let heard = terminal.shows("Which one shall be set up?").await;
    assert!(heard.contains("Nothing announced itself"), "{heard}");
    terminal.answers("", "Give an address").await;
    terminal.answers("Address", "not an address").await;
    terminal
        .answers("Address", &format!("modbus+tcp://{}", closed_port().await))
        .await;
    let why = terminal.shows("What now?").await;
    assert!(why.contains("Not recognised"), "{why}");
    terminal.answers("", "b").await;
    terminal.shows("Address").await;
    terminal.types("quit").await;
    assert_eq!(terminal.end().await, 0);
    assert!(!home.data().exists(), "and nothing was made");
}

#[tokio::test]
async fn a_running_host_scans_and_takes_it_up() {
    let (home, running) = (home(), gx(GX).await);
    let host = home.host_with("[discover]\nmdns_port = 1\n").await;
    let mut terminal = at_scan(&home, &running.url("gx").unwrap()).await;
    terminal.types("").await;
    for question in [
        "What now?",
        "Name",
        "another name?",
        "Interval",
        "Which ones?",
        "Save this?",
    ] {
        terminal.answers(question, "").await;
    }
    let values = terminal.shows("What now?").await;
    assert!(
        values.contains("The running host polls it now") && values.contains("online"),
        "{values}"
    );
    terminal.types("").await;
    assert_eq!(terminal.end().await, 0);
    let live = home.run(&["devices", "--json"]).await.json();
    assert!(
        list(&live, "devices")
            .iter()
            .all(|device| text(device, "connection") == "gx")
    );
    host.stop().await;
}

#[tokio::test]
async fn a_meter_on_udp_is_found_at_its_bare_address_and_one_after_the_other_is_set_up() {
    let (home, running) = (home(), demo().await);
    let mut terminal = Terminal::start(&home, &[], 80);
    for device in ["grid-meter", "gx"] {
        terminal.answers("How shall we get to it?", "2").await;
        let address = running.address(device).unwrap().to_string();
        terminal.answers("Address", &address).await;
        let sight = terminal.shows("How far").await;
        let (taken, other) = match device {
            "gx" => ("modbus+tcp://", "modbus+udp://"),
            _ => ("modbus+udp://", "modbus+tcp://"),
        };
        let (before, after) = sight.split_once("not taken").unwrap_or_else(|| panic!("{sight}"));
        assert!(before.contains(&format!("{taken}{address}")), "{sight}");
        assert!(after.contains(&format!("{other}{address}")), "{sight}");
        terminal.answers("", "").await;
        for question in [
            "What now?",
            "Name",
            "another name?",
            "Interval",
            "Which ones?",
            "Save this?",
        ] {
            terminal.answers(question, "").await;
        }
        terminal
            .answers("Start Busbar now", "Set up another device")
            .await;
    }
    terminal.answers("How shall we get to it?", "q").await;
    terminal.shows("What was saved stays").await;
    assert_eq!(terminal.end().await, 0);
    let devices = home.run(&["devices", "--json"]).await.json();
    for name in ["gx", "vm-3p75ct"] {
        let has = list(&devices, "devices")
            .iter()
            .any(|device| text(device, "connection") == name);
        assert!(has, "{name}: {devices:#}");
    }
}

#[tokio::test]
async fn a_scan_by_the_running_host_is_held_up_and_stopped_from_the_terminal() {
    let (home, running) = (home(), gx(GX).await);
    let host = home.host_with("[discover]\nmdns_port = 1\n").await;
    running.change("gx", |options| options.delay = Duration::from_millis(8));
    let mut terminal = at_scan(&home, &running.url("gx").unwrap()).await;
    terminal.types("").await;
    terminal.shows("looking for devices").await;
    terminal.key("p").await;
    terminal.shows("paused: nothing asked").await;
    // The host is told over its socket: it has been, once it has answered something else behind that.
    home.run(&["doctor"]).await;
    home.run(&["ledger", "list"]).await;
    let asked = running.stats("gx").unwrap().requests;
    home.run(&["ledger", "list"]).await;
    assert_eq!(running.stats("gx").unwrap().requests, asked);
    running.change("gx", |options| options.delay = Duration::ZERO);
    terminal.key("p").await;
    terminal.shows("devices with").await;
    // Whoever leaves here has saved nothing, and the host holds nothing for nobody.
    terminal.answers("What now?", "q").await;
    assert_eq!(terminal.end().await, 0);
    assert_eq!(
        home.run(&["devices", "--json"]).await.json()["devices"],
        serde_json::json!([])
    );
    host.stop().await;
}
