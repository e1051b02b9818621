//! What people see on a terminal: it fits, ids are whole, and times are those of their clock.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::process::Stdio;

use unicode_width::UnicodeWidthStr;

use crate::common::{Home, list, pty, text};
use crate::registry::saved;

const TANK: &str = "c0ffee_tank_u20";

/// What a command shows on a terminal of so many columns, without colours.
async fn seen(home: &Home, columns: u16, args: &[&str]) -> Vec<String> {
    let (terminal, screen) = pty::open(columns);
    let mut command = home.command(args);
    command
        .env("NO_COLOR", "1")
        .stdout(Stdio::from(OwnedFd::from(screen)));
    let mut child = command.spawn().unwrap();
    // The program alone holds the other end: reading ends when it does.
    drop(command);
    let reader = tokio::task::spawn_blocking(move || {
        let (mut terminal, mut shown) = (File::from(terminal), Vec::new());
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = terminal.read(&mut buffer) {
            shown.extend_from_slice(&buffer[..length]);
        }
        String::from_utf8(shown).unwrap()
    });
    child.wait().await.unwrap();
    let shown = reader.await.unwrap();
    shown.lines().map(|line| line.trim_end().to_owned()).collect()
}

#[tokio::test]
async fn tables_fit_and_ids_are_whole() {
    let (home, _running) = saved().await;
    home.run(&["backup", "--json"]).await.json();
    let host = home.host().await;
    host.device_is(TANK, "online").await;
    let entities = home.run(&["entities", "--json"]).await.json();
    let keys: Vec<&str> = list(&entities, "entities")
        .iter()
        .map(|e| text(e, "key"))
        .collect();
    let entity = format!("{TANK}.level");
    for columns in [80, 100, 120] {
        for args in [
            &["devices"][..],
            &["entities"],
            &["doctor"],
            &["backup", "--list"],
            &["explain", &entity],
        ] {
            let lines = seen(&home, columns, args).await;
            assert!(lines.len() > 2, "{args:?}: {lines:#?}");
            let wide = lines.iter().find(|line| line.width() > usize::from(columns));
            assert_eq!(wide, None, "{args:?} at {columns}");
        }
        let devices = seen(&home, columns, &["devices"]).await;
        assert!(
            devices.iter().any(|line| line.starts_with(&format!("{TANK} "))),
            "{devices:#?}"
        );
        // Below their devices, by their keys.
        let shown = seen(&home, columns, &["entities"]).await;
        let heading = shown.iter().position(|line| line.starts_with(TANK)).unwrap();
        assert!(shown[heading].contains("online"), "{shown:#?}");
        let is = |line: &&String, key: &str| line.split_whitespace().next() == Some(key);
        for key in &keys {
            assert!(
                shown.iter().any(|line| is(&line, key)),
                "{key} at {columns}: {shown:#?}"
            );
        }
        let level = shown[heading..].iter().find(|line| is(line, "level")).unwrap();
        assert!(level.contains('%') && level.contains(" s"), "{level}");
    }
    host.stop().await;
}

#[tokio::test]
async fn what_is_wrong_stands_first_and_the_last_line_counts() {
    let (home, _running) = saved().await;
    std::fs::write(home.data().join("history.db"), "Dear diary").unwrap();
    let lines = seen(&home, 80, &["doctor"]).await;
    assert!(lines[0].starts_with("bad   history"), "{lines:#?}");
    assert!(lines[1].trim_start().starts_with('→'), "{lines:#?}");
    let first_ok = lines.iter().position(|line| line.starts_with("ok")).unwrap();
    assert!(
        lines[first_ok..].iter().all(|line| !line.starts_with("look")),
        "{lines:#?}"
    );
    // Nobody polls it.
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with("look  connection \"home\"  not polled")),
        "{lines:#?}"
    );
    let last = lines.last().unwrap();
    assert!(
        last.starts_with("1 does not work, ") && last.ends_with(" well."),
        "{last}"
    );
}

#[tokio::test]
async fn times_are_those_of_the_clock_on_the_wall() {
    let home = Home::new();
    for (zone, shown) in [("ABC-3", " ABC"), ("UTC0", " UTC")] {
        let mut command = home.command(&["doctor"]);
        command.env("TZ", zone);
        let output = command.output().await.unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let clock = said.lines().find(|line| line.contains("clock")).unwrap();
        assert!(clock.contains(shown), "{zone}: {clock}");
    }
}
