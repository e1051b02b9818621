//! What stands where in the sources.

use std::collections::BTreeSet;

use crate::repository::{File, files, has_word, none_of, root, rust, workspace};

/// The longest Rust file. A room with one purpose is shorter; this is where it certainly has two.
const MAX_LINES: usize = 900;

/// The crates that may hold `unsafe`, by folder.
const MAY_BE_UNSAFE: [&str; 2] = ["host/loader/", "plugins/sdk/"];

/// Waits in tests that synchronise nothing: file, how many, and what they are for.
const MAY_SLEEP: &[(&str, usize, &str)] = &[
    (
        "host/loader/tests/hostile/lib.rs",
        1,
        "a plugin that hangs is what it plays",
    ),
    (
        "host/store/tests/store/killed.rs",
        1,
        "moves the random moment of a kill",
    ),
    (
        "host/wire/tests/common/line.rs",
        1,
        "a character takes its time on a line; its tests pause the clock",
    ),
    (
        "host/wire/tests/common/mod.rs",
        1,
        "how often it tries again; its tests pause the clock",
    ),
    (
        "host/wire/tests/common/post.rs",
        1,
        "a datagram that comes late; its tests pause the clock",
    ),
    (
        "host/wire/tests/pauses.rs",
        1,
        "a device takes a while to answer; its tests pause the clock",
    ),
    (
        "tests/e2e/common/mod.rs",
        1,
        "how often it asks again, until patience ends",
    ),
    (
        "tests/e2e/lossy.rs",
        1,
        "weather lasts a while, and what is seen meanwhile is what counts",
    ),
    (
        "tests/zoo/src/conversation.rs",
        2,
        "a slow device is what it plays",
    ),
    (
        "tests/zoo/src/peer.rs",
        2,
        "it waits for its own port, and for a line that is unplugged",
    ),
];

/// Crates whose sources, tests aside, must not touch the world.
const PURE: [&str; 4] = [
    "plugins/generic/src/",
    "plugins/ledger/src/",
    "plugins/sdk/src/",
    "plugins/victron-gx/src/",
];

/// Finds lines of code, `FILE:LINE: CODE`.
fn lines(
    of: impl Iterator<Item = &'static File>,
    wanted: impl Fn(&File, usize, &str) -> bool,
) -> Vec<String> {
    let found = of.flat_map(|file| file.code().map(move |(number, line)| (file, number, line)));
    found
        .filter(|(file, number, line)| wanted(file, *number, line))
        .map(|(file, number, line)| format!("{}:{number}: {}", file.path, line.trim()))
        .collect()
}

#[test]
fn unsafe_stands_in_two_crates_only() {
    let elsewhere = rust().filter(|file| !MAY_BE_UNSAFE.iter().any(|dir| file.path.starts_with(dir)));
    let mut findings = lines(elsewhere, |file, _, line| {
        has_word(line, concat!("un", "safe")) && !file.path.starts_with("tests/house/")
            || line.contains(concat!("allow(un", "safe_code"))
    });
    for package in workspace().workspace_packages() {
        let roots = package
            .targets
            .iter()
            .filter(|t| t.is_lib() || t.is_cdylib() || t.is_rlib() || t.is_bin());
        for root in roots {
            let path = root
                .src_path
                .strip_prefix(&workspace().workspace_root)
                .unwrap_or(&root.src_path);
            if MAY_BE_UNSAFE.iter().any(|dir| path.as_str().starts_with(dir)) {
                continue;
            }
            let forbids = rust()
                .find(|file| file.path == path.as_str())
                .is_some_and(|file| {
                    file.code()
                        .any(|(_, line)| line.trim() == concat!("#![forbid(un", "safe_code)]"))
                });
            if !forbids {
                findings.push(format!("{path} does not forbid it"));
            }
        }
    }
    none_of(
        &findings,
        "Only host/loader and plugins/sdk hold unsafe code; every other crate root forbids it:",
    );
}

#[test]
fn sql_stands_in_the_store_only() {
    const SQL: [&str; 10] = [
        "SELECT ",
        "INSERT INTO ",
        "INSERT OR ",
        "DELETE FROM ",
        "CREATE TABLE ",
        "CREATE INDEX ",
        "ALTER TABLE ",
        "PRAGMA ",
        "BEGIN IMMEDIATE",
        "DROP TABLE ",
    ];
    let elsewhere =
        rust().filter(|file| !file.path.starts_with("host/store/") && !file.path.starts_with("tests/house/"));
    let mut findings = lines(elsewhere, |_, _, line| SQL.iter().any(|word| line.contains(word)));
    let files = files()
        .iter()
        .filter(|f| f.path.ends_with(".sql") && !f.path.starts_with("migrations/"));
    findings.extend(files.map(|file| format!("{} does not lie in migrations/", file.path)));
    none_of(&findings, "Only host/store knows SQL:");
}

#[test]
fn what_knows_devices_touches_nothing() {
    const WORLD: [&str; 9] = [
        "std::env::",
        "std::fs",
        "std::net",
        "std::os",
        "std::process",
        "std::thread::spawn",
        "Instant",
        "SystemTime",
        "tokio",
    ];
    let pure = rust().filter(|file| PURE.iter().any(|dir| file.path.starts_with(dir)));
    let findings = lines(pure, |file, number, line| {
        number < file.tests_begin()
            && WORLD
                .iter()
                .any(|word| has_word(line, word.trim_end_matches("::")))
    });
    none_of(
        &findings,
        "Plugins and the ledger core are functions over data: no file, socket, process or clock:",
    );
}

#[test]
fn the_web_never_touches_the_wire() {
    let web = rust().filter(|file| file.path.starts_with("host/host/src/web"));
    let findings = lines(web, |_, _, line| {
        has_word(line, "busbar_wire") || line.contains("crate::poll")
    });
    none_of(&findings, "A sink reads the bus and nothing else:");
}

/// Where a value of `name` is made: `name {` that begins neither the type, its `impl` nor a function that returns one.
fn makes(line: &str, name: &str) -> bool {
    let opening = format!("{name} {{");
    line.match_indices(&opening).any(|(at, _)| {
        let before = line[..at].trim_end();
        let other = ["struct", "enum", "impl", "for", "->"];
        !line[..at].ends_with(is_part_of_name) && !other.iter().any(|word| before.ends_with(word))
    })
}

#[test]
fn a_maker_is_told_from_a_name() {
    assert!(makes("        Permit {", "Permit"));
    assert!(makes("let a = guard::Checked { order, value };", "Checked"));
    for line in [
        "pub struct Permit {",
        "pub enum Checked {",
        "impl Drop for Permit {",
        "fn permit(&self) -> Permit {",
        "NoPermit {",
        "let Permits = 1;",
    ] {
        assert!(!makes(line, "Permit") && !makes(line, "Checked"), "{line}");
    }
}

#[test]
fn a_permit_has_one_maker_and_one_asker() {
    let shipped = |file: &File, number: usize| number < file.tests_begin();
    let elsewhere = || rust().filter(|file| !file.path.starts_with("tests/house/"));
    let mut findings = Vec::new();
    for (what, place) in [
        ("Permit", "host/guard/src/permit.rs"),
        ("Checked", "host/guard/src/permit.rs"),
        ("Checked::new(", "host/guard/src/check.rs"),
    ] {
        let made = lines(elsewhere(), |_, _, line| {
            if what.ends_with('(') {
                line.contains(what)
            } else {
                makes(line, what)
            }
        });
        if made.len() != 1 || !made[0].starts_with(&format!("{place}:")) {
            findings.push(format!("{what} stands once, in {place}, but: {made:?}"));
        }
    }
    let asks = |line: &str| line.contains(".permit(") || line.contains("Checked::permit");
    let path = |file: &File| file.path.starts_with("host/host/src/write/");
    let strangers = elsewhere().filter(|file| !path(file));
    findings.extend(lines(strangers, |file, number, line| {
        shipped(file, number) && asks(line)
    }));
    let path = lines(elsewhere().filter(|file| path(file)), |_, _, line| asks(line));
    if path.is_empty() {
        findings.push("nobody asks for a permit: has it another name?".to_owned());
    }
    none_of(
        &findings,
        "A write frame needs a permit, which only a check makes, and only the path of a write asks for:",
    );
}

#[test]
fn no_test_waits_instead_of_synchronising() {
    let sleeping = |line: &str| {
        line.match_indices("sleep(")
            .any(|(at, _)| !line[..at].ends_with(is_part_of_name))
    };
    let mut findings = Vec::new();
    let mut used = BTreeSet::new();
    for file in rust().filter(|file| !file.path.starts_with("tests/house/")) {
        let mut waits = Vec::new();
        let mut paused = false;
        for (number, line) in file.code().filter(|(number, _)| *number >= file.tests_begin()) {
            if line.contains("#[test]") || line.contains("#[tokio::test") {
                // A paused clock moves only when nothing else can: such a wait is an event, and takes no time.
                paused = line.contains("start_paused = true");
            }
            if sleeping(line) && !paused {
                waits.push(format!("{}:{number}: {}", file.path, line.trim()));
            }
        }
        match MAY_SLEEP.iter().find(|(path, ..)| *path == file.path) {
            Some((path, count, _)) => {
                used.insert(*path);
                if waits.len() != *count {
                    findings.push(format!("{path}: {} waits, {count} have a reason", waits.len()));
                    findings.extend(waits);
                }
            }
            None => findings.extend(waits),
        }
    }
    let stale = MAY_SLEEP.iter().filter(|(path, ..)| !used.contains(path));
    findings.extend(stale.map(|(path, ..)| format!("{path} is gone: remove it from the list")));
    none_of(
        &findings,
        "A test waits for what it needs, not for a time; give a reason in tests/house/sources.rs where a wait is the \
         matter itself:",
    );
}

fn is_part_of_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[test]
fn nothing_names_a_place_on_one_machine() {
    const HOMES: [&str; 3] = ["/home/", "/root/", "/Users/"];
    // And where this very clone lies.
    let here = root().display().to_string();
    // Only where a path begins: `/home/` in the middle of another path or of a URL is something else.
    let names = |line: &str| {
        HOMES.iter().chain([&here.as_str()]).any(|place| {
            line.match_indices(place)
                .any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || "_-.}~/".contains(c)))
        })
    };
    let mut findings = Vec::new();
    for file in files()
        .iter()
        .filter(|file| file.path != "tests/house/sources.rs")
    {
        let named = file.text.lines().enumerate().filter(|(_, line)| names(line));
        findings.extend(named.map(|(i, line)| format!("{}:{}: {}", file.path, i + 1, line.trim())));
    }
    none_of(
        &findings,
        "A clone lies anywhere; write paths from the repository's root, or make them:",
    );
}

#[test]
fn files_are_rooms_not_halls() {
    let long = rust()
        .map(|file| (file, file.text.lines().count()))
        .filter(|(_, lines)| *lines > MAX_LINES);
    let findings: Vec<_> = long
        .map(|(file, lines)| format!("{}: {lines} lines", file.path))
        .collect();
    none_of(
        &findings,
        &format!("At most {MAX_LINES} lines; find the second purpose and move it out:"),
    );
}
