//! What is kept, and what happens when the files are not as they should be.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use busbar_zoo::simulate::Running;
use busbar_zoo::{gx, site};
use rustix::process::Signal;
use serde_json::Value;
use tokio::process::Command;

use crate::common::site::{HOUSE, pairs, true_pairs, truths};
use crate::common::{Home, Run, finish, list, text};

/// Two services, which is enough to see whether they are still there.
pub const SMALL: &str = "[[device.service]]\nservice = \"system\"\nvalues = { serial = \"c0ffee\", dc_battery_soc = 50 }\n\
    [[device.service]]\nservice = \"tank\"\ninstance = 20\nvalues = { level = 40.0, custom_name = \"Fresh\" }\n";

/// A home that knows a small GX.
pub async fn saved() -> (Home, Running) {
    let (home, running) = (Home::new(), gx(SMALL).await);
    let scan = [
        "scan",
        &running.url("gx").unwrap(),
        "--units",
        "20,100",
        "--save",
        "--name",
        "home",
        "--json",
    ];
    assert_eq!(pairs(&home.run(&scan).await.json()).len(), 2);
    (home, running)
}

/// A host that ran for a moment has made the daily backup.
async fn run_for_a_moment(home: &Home) {
    let host = home.host().await;
    host.device_is("c0ffee_tank_u20", "online").await;
    host.stop().await;
}

async fn devices(home: &Home) -> Value {
    home.run(&["devices", "--json"]).await.json()
}

#[tokio::test]
async fn without_a_registry_nothing_is_found_and_nothing_is_made() {
    let home = Home::new();
    for args in [
        &["devices"][..],
        &["entities"],
        &["entities", "--device", "x"],
        &["explain", "x.y"],
    ] {
        let failure = home.run(&[args, &["--json"]].concat()).await.failure(3);
        assert_eq!(failure.code, "registry_missing", "{failure:?}");
        assert!(
            failure.hint.contains("busbar scan URL --save") && failure.hint.contains("--data-dir"),
            "{failure:?}"
        );
    }
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
    // A host makes one, and says what to do with it.
    let failure = home.run(&["run", "--once", "--json"]).await.failure(3);
    assert!(failure.hint.contains("busbar scan URL --save"), "{failure:?}");
}

#[tokio::test]
async fn commands_that_only_look_change_nothing() {
    let (home, _running) = saved().await;
    let state = || {
        let file = |entry: std::io::Result<fs::DirEntry>| {
            let entry = entry.unwrap();
            let meta = entry.metadata().unwrap();
            (entry.file_name(), meta.len(), meta.modified().unwrap())
        };
        let mut files: Vec<_> = fs::read_dir(home.data()).unwrap().map(file).collect();
        files.retain(|(name, ..)| {
            !name.to_string_lossy().ends_with("-shm") && !name.to_string_lossy().ends_with("-wal")
        });
        files.sort();
        files
    };
    let before = state();
    devices(&home).await;
    home.run(&["entities", "--json"]).await.json();
    home.run(&["explain", "c0ffee_tank_u20.level", "--json"])
        .await
        .json();
    assert_eq!(state(), before);
}

#[tokio::test]
async fn a_damaged_registry_is_set_aside_and_the_last_backup_restored() {
    let (home, _running) = saved().await;
    run_for_a_moment(&home).await;
    let before = devices(&home).await;
    fs::write(
        home.data().join("registry.db"),
        "this is no database, whatever its name says".repeat(500),
    )
    .unwrap();

    // Who only looks says so and leaves it as it is.
    let failure = home.run(&["devices", "--json"]).await.failure(1);
    assert!(
        ["not_a_database", "database_damaged"].contains(&failure.code.as_str()),
        "{failure:?}"
    );
    assert!(failure.hint.contains("Start the host"), "{failure:?}");

    let run = home.run(&["run", "--once", "--json"]).await;
    let restored = run.json();
    assert!(
        run.stderr.contains("set aside") && run.stderr.contains("backup"),
        "{}",
        run.stderr
    );
    assert_eq!(pairs(&restored), pairs(&before));
    assert_eq!(pairs(&devices(&home).await), pairs(&before));
    let aside = |name: &str| name.starts_with("registry.db.") && name.contains("-20");
    assert!(
        names(&home.data()).iter().any(|name| aside(name)),
        "{:?}",
        names(&home.data())
    );
}

#[tokio::test]
async fn a_removed_registry_is_restored_from_its_backup() {
    let (home, _running) = saved().await;
    run_for_a_moment(&home).await;
    let before = devices(&home).await;
    for side in ["registry.db", "registry.db-wal", "registry.db-shm"] {
        let _ = fs::remove_file(home.data().join(side));
    }
    home.run(&["devices", "--json"]).await.failure(3);
    let run = home.run(&["run", "--once", "--json"]).await;
    assert_eq!(pairs(&run.json()), pairs(&before));
    assert!(run.stderr.contains("backup"), "{}", run.stderr);
}

#[tokio::test]
async fn one_host_a_data_directory() {
    let (home, running) = saved().await;
    let host = home.host().await;
    let url = running.url("gx").unwrap();
    let pid = fs::read_to_string(home.data().join("busbar.lock")).unwrap();
    for args in [&["run", "--json"][..], &["run", "--once", "--json"]] {
        let failure = home.run(args).await.failure(1);
        assert_eq!(failure.code, "data_dir_locked");
        assert!(
            failure.hint.contains(pid.trim()) && failure.hint.contains("--data-dir"),
            "{failure:?}"
        );
    }
    // What needs the host asks it; nothing is locked out.
    devices(&home).await;
    home.run(&[
        "scan", &url, "--units", "20", "--save", "--name", "home", "--json",
    ])
    .await
    .json();
    host.stop().await;
    home.run(&["run", "--once", "--json"]).await.json();
}

#[tokio::test]
async fn a_directory_without_rights_is_told_as_such() {
    let (home, _running) = saved().await;
    let mode = |mode| fs::set_permissions(home.data(), fs::Permissions::from_mode(mode)).unwrap();
    let Some(mut somebody) = somebody(&home, &["devices", "--json"]) else {
        return;
    };
    mode(0o000);
    let failure = finish(somebody.spawn().unwrap()).await.failure(1);
    mode(0o700);
    assert_eq!(failure.code, "permission", "{failure:?}");
    assert!(failure.hint.contains("owns the data directory"), "{failure:?}");
}

/// The program as somebody without rights: as it is, or stepped down from root.
fn somebody(home: &Home, args: &[&str]) -> Option<Command> {
    let mut command = home.command(args);
    if rustix::process::geteuid().is_root() {
        command.uid(65_534).gid(65_534);
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let mut probe = home.command(&["--version"]);
        probe.uid(65_534).gid(65_534);
        if probe.spawn().is_err() {
            eprintln!("skipped: the program lies where only root may go");
            return None;
        }
    }
    Some(command)
}

#[tokio::test]
async fn a_read_only_disk_can_be_looked_at_and_not_run_on() {
    let (home, running) = saved().await;
    let script = "mount --bind \"$1\" \"$1\" && mount -o remount,ro,bind \"$1\" && shift && exec \"$@\"";
    let Some(look) = in_namespace(&home, script, &["devices", "--json"]).await else {
        return;
    };
    assert_eq!(pairs(&look.json()).len(), 2);
    let url = running.url("gx").unwrap();
    for args in [
        &["run", "--once", "--json"][..],
        &["scan", &url, "--units", "20", "--save", "--json"],
    ] {
        let failure = in_namespace(&home, script, args).await.unwrap().failure(1);
        assert_eq!(failure.code, "read_only", "{failure:?}");
        assert!(
            failure.message.contains("busbar-data") && failure.hint.contains("writable"),
            "{failure:?}"
        );
    }
}

#[tokio::test]
async fn a_full_disk_is_told_as_such() {
    let (home, running) = (Home::new(), site(HOUSE).await);
    fs::create_dir(home.data()).unwrap();
    let scan = ["scan", &running.url("gx").unwrap(), "--save", "--json"];
    let mut full = 0;
    // Full at once, in the middle of making the registry, while it is filled, and when it is closed.
    for size in ["8k", "64k", "128k", "192k", "256k", "320k"] {
        let script = format!("mount -t tmpfs -o size={size} tmpfs \"$1\" && shift && exec \"$@\"");
        let Some(run) = in_namespace(&home, &script, &scan).await else {
            return;
        };
        if run.code() == 0 {
            assert_eq!(
                list(&run.document(), "devices").len(),
                truths(HOUSE).len(),
                "{size}"
            );
            continue;
        }
        full += 1;
        let failure = run.failure(1);
        assert_eq!(failure.code, "disk_full", "{size}: {failure:?}");
        assert!(failure.hint.contains("Free some space"), "{failure:?}");
    }
    assert!(full >= 3, "{full}");
}

/// Runs the program behind a script in a mount namespace of its own; `$1` is the data directory. `None` where this
/// machine allows no namespace.
async fn in_namespace(home: &Home, script: &str, args: &[&str]) -> Option<Run> {
    let program = home.command(args);
    let program = program.as_std();
    let mut command = Command::new("unshare");
    command
        .args(["-rm", "sh", "-c", script, "sh"])
        .arg(home.data())
        .arg(program.get_program())
        .args(program.get_args());
    command.current_dir(home.path()).kill_on_drop(true);
    command
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let allowed = Command::new("unshare").args(["-rm", "true"]).status().await;
    if !allowed.is_ok_and(|status| status.success()) {
        eprintln!("skipped: this machine allows no mount namespace");
        return None;
    }
    Some(finish(command.spawn().unwrap()).await)
}

#[tokio::test]
async fn kill_9_loses_nothing_that_was_acknowledged() {
    let running = site(HOUSE).await;
    let url = running.url("gx").unwrap();
    let home = Home::new();
    // One device more each time, acknowledged by a scan through the host, which dies the moment after.
    let units: Vec<u8> = true_pairs(&truths(HOUSE))
        .into_iter()
        .map(|(unit, _)| unit)
        .filter(|unit| *unit != 100)
        .collect();
    let mut known = Vec::new();
    for some in units.chunks(5) {
        let host = home.host().await;
        let listed = some.iter().map(u8::to_string).collect::<Vec<_>>().join(",");
        let report = home
            .run(&[
                "scan", &url, "--units", &listed, "--save", "--name", "home", "--json",
            ])
            .await
            .json();
        host.process.signal(Signal::KILL);
        known.extend(pairs(&report));
        host.process.end().await;
        known.sort();
        known.dedup();
        assert_eq!(pairs(&devices(&home).await), known);
        let entities = home.run(&["entities", "--json"]).await.json();
        let of_each = |pair: &(u8, String)| {
            list(&entities, "entities")
                .iter()
                .any(|e| e["unit_id"] == pair.0 && text(e, "ledger") == pair.1)
        };
        assert!(known.iter().all(of_each));
    }
    // And the next host starts as if nothing had been.
    let polled = home.run(&["run", "--once", "--json"]).await;
    assert!(
        list(&polled.json(), "devices")
            .iter()
            .all(|d| d["availability"] == "online"),
        "{}",
        polled.stderr
    );
    assert!(!polled.stderr.contains("damaged"), "{}", polled.stderr);
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect()
}
