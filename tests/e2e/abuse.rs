//! A host that polls while plugins misbehave in its scans: the polls stay on time, the host lives, and says why.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use busbar_zoo::{Exchange, Peer, meter, peer};

use crate::common::{Home, list, text, until};

/// How often the host polls.
const INTERVAL: &str = "100ms";
/// The longest that a poll may be late on a machine that does much else. A host that waited for a plugin would be later.
const LATE: Duration = Duration::from_millis(1000);

/// What the plugin in C does when it is asked, and what is said of it.
const MISDEEDS: [(u8, &str); 12] = [
    (24, "memory that is not its own"),
    (25, "processor time"),
    (26, "exit code 0"),
    (27, "slept"),
    (28, "printed more than"),
    (29, "a message of 4294967295 bytes"),
    (7, "a message that makes no sense"),
    (4, "2 from 65535"),
    (21, "does not come to an end"),
    (22, "again and again"),
    (31, "there is no ledger \"nobody/one\""),
    (32, "and it has faults: line 1"),
];

/// Compiles the plugin that misbehaves, under a name of its own for each misdeed: one that was set aside stays so.
fn compile(dir: &Path, number: u8) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../loader/tests/abuse/hostile.c");
    let library = dir.join(format!("libbusbar_plugin_hostile_{number}.so"));
    let made = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-pthread", "-o"])
        .args([&library, &source])
        .arg(format!("-DNAME=\"hostile-{number}\""))
        .arg(format!("-DDEED={number}"))
        .arg(format!("-DLAYOUT={:#x}ULL", busbar_plugin_sdk::abi::layout()))
        .output()
        .expect("a C compiler is there");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    std::fs::set_permissions(library, std::fs::Permissions::from_mode(0o644)).unwrap();
}

/// When the registers were read that are read most often: that is the poll.
fn polls(peer: &Peer) -> Vec<Duration> {
    let mut reads: BTreeMap<Vec<u8>, Vec<Duration>> = BTreeMap::new();
    for Exchange { request, after, .. } in peer.record().exchanges() {
        reads.entry(request).or_default().push(after);
    }
    reads.into_values().max_by_key(Vec::len).unwrap_or_default()
}

#[tokio::test]
async fn polls_stay_on_time_whatever_plugins_do() {
    let (home, running) = (Home::new(), meter().await);
    let peer = peer(&running, "demo-meter").await;
    let url = peer.url();
    let saved = ["scan", &url, "--save", "--name", "good", "--json"];
    let report = home.run(&saved).await.json();
    let id = text(&list(&report, "devices")[0], "id").to_owned();

    let dir = home.path().join("mine");
    std::fs::create_dir(&dir).unwrap();
    std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o755)).unwrap();
    for (number, _) in MISDEEDS {
        compile(&dir, number);
    }
    let host = home
        .host_with(&format!(
            "[plugins]\ndir = \"{}\"\n[[connection]]\nname = \"good\"\nurl = \"{url}\"\ninterval = \"{INTERVAL}\"\n",
            dir.display()
        ))
        .await;
    host.device_is(&id, "online").await;
    let enough = async |more: usize| {
        let before = polls(&peer).len();
        until("polls", async || {
            (polls(&peer).len() >= before + more).then_some(())
        })
        .await;
    };
    enough(5).await;
    let first = polls(&peer).len() - 1;

    for (number, words) in MISDEEDS {
        let plugin = format!("hostile-{number}");
        let scan = ["scan", &url, "--plugin", &plugin, "--json"];
        let failure = home.run(&scan).await.failure(1);
        assert_eq!(failure.code, "plugin", "{failure:?}");
        assert!(
            failure.message.contains(&plugin) && failure.message.contains(words),
            "{failure:?}"
        );
        assert!(!failure.message.contains('\n'), "{failure:?}");
    }
    enough(2).await;
    let times = &polls(&peer)[first..];
    let worst = times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
    println!("{} polls, the longest pause {worst:?}", times.len());
    assert!(worst < LATE, "a pause of {worst:?} between two polls");
    assert_eq!(text(&host.device(&id).await, "availability"), "online");

    // The host knows whom it has set aside, and why.
    let document = home.run(&["plugin", "list", "--json"]).await.json();
    let told = |number: u8| {
        let name = format!("hostile-{number}");
        let plugin = list(&document, "plugins")
            .iter()
            .find(|plugin| plugin["name"] == name.as_str());
        plugin.unwrap_or_else(|| panic!("{name} is not listed")).clone()
    };
    for (number, words) in &MISDEEDS[..7] {
        let plugin = told(*number);
        assert_eq!(plugin["state"], "set_aside", "{plugin:#}");
        assert!(text(&plugin, "reason").contains(words), "{plugin:#}");
    }
    // What only says what it may not is not set aside at once.
    assert_eq!(told(21)["state"], "loaded");
    // With all of them about, the good ones find what is there.
    let report = home.run(&["scan", &url, "--json"]).await.json();
    assert_eq!(text(&list(&report, "devices")[0], "id"), id);
    assert!(
        !host.process.stderr().contains('\u{1b}'),
        "what plugins print reaches no terminal as it is"
    );
    host.stop().await;
}

#[tokio::test]
async fn a_fault_of_one_plugin_does_not_end_a_scan() {
    let (home, running) = (Home::new(), meter().await);
    let dir = home.path().join("mine");
    std::fs::create_dir(&dir).unwrap();
    std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o755)).unwrap();
    let url = running.url("demo-meter").unwrap();
    let dirs = ["--plugin-dir", dir.to_str().unwrap(), "--json"];
    // One that crashes, and one that finds what nobody can read.
    for (number, words) in [(24, "memory that is not its own"), (31, "there is no ledger")] {
        compile(&dir, number);
        let report = home.run(&[&["scan", &url][..], &dirs].concat()).await.json();
        assert_eq!(text(&list(&report, "devices")[0], "ledger"), "generic/demo-meter");
        let plugin = format!("hostile-{number}");
        let warned = list(&report, "warnings").iter().any(|warning| {
            let warning = warning.as_str().unwrap();
            [&plugin, words, "without it"]
                .iter()
                .all(|part| warning.contains(part))
        });
        assert!(warned, "{report:#}");
    }
}

#[tokio::test]
async fn a_directory_that_others_may_change_brings_no_plugin() {
    let home = Home::new();
    let dir = home.path().join("above/mine");
    std::fs::create_dir_all(&dir).unwrap();
    compile(&dir, 26);
    let above = home.path().join("above");
    for (path, mode) in [(&dir, 0o755), (&above, 0o777)] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    let list_them = ["plugin", "list", "--plugin-dir", dir.to_str().unwrap(), "--json"];
    let document = home.run(&list_them).await.json();
    let refused = &list(&document, "plugins")[0];
    assert_eq!(refused["state"], "refused", "{refused:#}");
    let mend = format!("chmod go-w {}", above.canonicalize().unwrap().display());
    assert!(text(refused, "reason").contains(&mend), "{refused:#}");
    let file = dir.join("libbusbar_plugin_hostile_26.so");
    let failure = home
        .run(&["plugin", "inspect", file.to_str().unwrap(), "--json"])
        .await
        .failure(1);
    assert!(failure.message.contains(&mend), "{failure:?}");
}

#[tokio::test]
async fn a_pin_for_nobody_is_told_and_what_plugins_are_kept_from_too() {
    let home = Home::new();
    home.write("busbar.toml", "[plugins]\npin = { genric = \"abc\" }\n");
    let run = home.run(&["plugin", "list"]).await;
    assert_eq!(run.code(), 0, "{run:?}");
    let says = |words: &str| assert!(run.stdout.contains(words), "{words}: {run:?}");
    says("[plugins] pin names \"genric\", and there is no such plugin, and it is no sha256");
    says("generic, p1, sunspec, victron-gx and vm-3p75ct ship, and share one worker");
    says("behind limits");
    for shield in ["Landlock", "seccomp"] {
        says(shield);
    }
    let table = run.stdout.lines().take_while(|line| !line.contains("[plugins]"));
    for line in table {
        assert!(line.chars().count() <= 80, "{line}");
    }
}
