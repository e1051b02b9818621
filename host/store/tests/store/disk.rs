//! A disk that is full, and one that is read-only: real ones, small, in a mount namespace of their own.
//!
//! Where the kernel gives an unprivileged process no such namespace, these say so and pass; that a full file is
//! reported as such is also tested without them, in `src/db.rs`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use busbar_store::{History, Quality, Registry, Sample, StoreError};
use tempfile::tempdir;

use crate::{child, connection, names, open};

const DIR: &str = "BUSBAR_STORE_DISK";

/// Runs this test again in a namespace where it may mount. Returns the mount point when this is that run.
pub(crate) fn in_namespace(test: &str) -> Option<String> {
    if let Ok(dir) = std::env::var(DIR) {
        return Some(dir);
    }
    let allowed = Command::new("unshare")
        .args(["-rm", "true"])
        .status()
        .is_ok_and(|s| s.success());
    if !allowed {
        eprintln!("skipped: this machine allows no mount namespace");
        return None;
    }
    let dir = tempdir().unwrap();
    let mut again = Command::new("unshare");
    again
        .arg("-rm")
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"]);
    let output = again.env(DIR, dir.path()).output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    None
}

pub(crate) fn mount(args: &[&str]) {
    assert!(
        Command::new("mount").args(args).status().unwrap().success(),
        "mount {args:?}"
    );
}

/// Runs this test again as somebody without rights, when this is root. Returns whether this is the run that counts.
pub(crate) fn without_rights(test: &str) -> bool {
    if !rustix::process::geteuid().is_root() {
        return true;
    }
    let id = "65534";
    let mut again = Command::new("setpriv");
    again
        .args(["--reuid", id, "--regid", id, "--clear-groups"])
        .arg(std::env::current_exe().unwrap());
    match again
        .args(["--exact", test, "--nocapture"])
        .env("TMPDIR", "/tmp")
        .output()
    {
        // What cannot be run: this binary may lie where only root may go.
        Ok(output) if matches!(output.status.code(), Some(126 | 127)) => {
            eprintln!("skipped: root may not step down")
        }
        Ok(output) => assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        ),
        Err(error) => eprintln!("skipped: root cannot step down here: {error}"),
    }
    false
}

#[tokio::test]
async fn a_directory_that_one_may_not_enter_or_write() {
    if !without_rights("disk::a_directory_that_one_may_not_enter_or_write") {
        return;
    }
    let dir = tempdir().unwrap();
    let data = dir.path().join("data");
    let registry = open(&data).await;
    registry.add_connection(connection("home"), 1).await.unwrap();
    registry.close().await.unwrap();
    drop(registry);
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    mode(&data, 0o000);
    for error in [
        Registry::open(&data).await.expect_err("no"),
        Registry::open_read_only(&data).await.expect_err("no"),
    ] {
        assert!(matches!(error, StoreError::Permission { .. }), "{error}");
        assert!(
            error.hint().contains("owns the data directory"),
            "{}",
            error.hint()
        );
    }
    mode(&data, 0o500);
    let error = Registry::open(&data.join("new")).await.expect_err("no");
    assert!(matches!(error, StoreError::Permission { .. }), "{error}");
    assert_eq!(
        names(&Registry::open_read_only(&data).await.unwrap()).await,
        ["home"]
    );
    mode(&data, 0o700);
    mode(&data.join("registry.db"), 0o400);
    let error = Registry::open(&data).await.expect_err("no");
    assert!(
        matches!(error, StoreError::ReadOnly { .. } | StoreError::Permission { .. }),
        "{error}"
    );
    mode(&data.join("registry.db"), 0o600);
    assert_eq!(names(&open(&data).await).await, ["home"]);
}

/// Writes until nothing goes any more.
pub(crate) fn fill_up(path: &Path) {
    use std::io::Write;
    let mut file = fs::File::create(path).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
    while file.write_all(&[0]).is_ok() {}
}

#[tokio::test]
async fn a_full_disk_refuses_and_goes_on_when_there_is_room() {
    let Some(dir) = in_namespace("disk::a_full_disk_refuses_and_goes_on_when_there_is_room") else {
        return;
    };
    mount(&["-t", "tmpfs", "-o", "size=4m", "tmpfs", &dir]);
    let dir = Path::new(&dir);
    let ballast = dir.join("ballast");

    // Nothing can be made at all: said, and nothing half-made is left for the next start.
    fill_up(&ballast);
    let error = Registry::open(&dir.join("data"))
        .await
        .expect_err("the disk is full");
    assert!(matches!(error, StoreError::DiskFull { .. }), "{error}");
    fs::remove_file(&ballast).unwrap();

    let registry = open(&dir.join("data")).await;
    let (history, _) = History::open(&registry).await.unwrap();
    let sample = |ts: i64| {
        [Sample {
            entity: "d.k",
            value: Some(ts as f64),
            quality: Quality::Good,
        }]
    };
    registry.add_connection(connection("before"), 1).await.unwrap();
    history.append(1, &sample(1)).await.unwrap();

    fill_up(&ballast);
    let (mut promised, mut refused) = (0, 0);
    for ts in 2..200 {
        match history.append(ts, &sample(ts)).await {
            Ok(()) => promised += 1,
            Err(StoreError::DiskFull { .. }) => refused += 1,
            Err(other) => panic!("{other:?}"),
        }
    }
    assert!(refused > 0);
    let mut error = None;
    for number in 0..200 {
        match registry
            .add_connection(connection(&format!("n{number}")), 1)
            .await
        {
            Ok(_) => assert!(error.is_none()),
            Err(e) => error = Some(e),
        }
    }
    let stored = names(&registry).await.len();
    assert!(matches!(error, Some(StoreError::DiskFull { .. })), "{error:?}");
    assert!(matches!(
        registry.backup_if_due(1).await,
        Err(StoreError::DiskFull { .. })
    ));
    assert!(error.unwrap().hint().contains("Free some space"));

    fs::remove_file(&ballast).unwrap();
    registry.add_connection(connection("after"), 1).await.unwrap();
    registry
        .backup_if_due(1)
        .await
        .unwrap()
        .expect("there was none yet");
    history.append(1000, &sample(1000)).await.unwrap();
    assert_eq!(
        history.samples("d.k", 0, i64::MAX, 1000).await.unwrap().len(),
        promised + 2
    );
    drop((history, registry));
    let (registry, opening) = Registry::open(&dir.join("data")).await.unwrap();
    assert_eq!(opening.reason, None);
    assert_eq!(names(&registry).await.len(), stored + 1);
}

#[tokio::test]
async fn a_start_on_a_full_disk_says_so() {
    let Some(dir) = in_namespace("disk::a_start_on_a_full_disk_says_so") else {
        return;
    };
    mount(&["-t", "tmpfs", "-o", "size=2m", "tmpfs", &dir]);
    let dir = Path::new(&dir);
    let registry = open(dir).await;
    registry.add_connection(connection("home"), 1).await.unwrap();
    registry.close().await.unwrap();
    drop(registry);
    fill_up(&dir.join("ballast"));
    let error = Registry::open(dir)
        .await
        .expect_err("there is no room for shared memory");
    assert!(matches!(error, StoreError::DiskFull { .. }), "{error}");
    assert_eq!(
        names(&Registry::open_read_only(dir).await.unwrap()).await,
        ["home"],
        "a command still reads"
    );
    fs::remove_file(dir.join("ballast")).unwrap();
    assert_eq!(names(&open(dir).await).await, ["home"]);
}

#[tokio::test]
async fn a_damaged_registry_on_a_full_disk_is_not_lost() {
    let Some(dir) = in_namespace("disk::a_damaged_registry_on_a_full_disk_is_not_lost") else {
        return;
    };
    mount(&["-t", "tmpfs", "-o", "size=2m", "tmpfs", &dir]);
    let dir = Path::new(&dir);
    let registry = open(dir).await;
    registry.add_connection(connection("kept"), 1).await.unwrap();
    registry.backup_if_due(0).await.unwrap();
    registry.close().await.unwrap();
    drop(registry);
    fs::write(dir.join("registry.db"), "damaged").unwrap();
    fill_up(&dir.join("ballast"));
    let error = Registry::open(dir)
        .await
        .expect_err("there is no room for the backup");
    assert!(matches!(error, StoreError::DiskFull { .. }), "{error}");
    assert_eq!(
        fs::read_to_string(dir.join("registry.db")).unwrap(),
        "damaged",
        "it still stands"
    );
    fs::remove_file(dir.join("ballast")).unwrap();
    assert_eq!(names(&open(dir).await).await, ["kept"]);
}

#[tokio::test]
async fn a_read_only_file_system() {
    let Some(dir) = in_namespace("disk::a_read_only_file_system") else {
        return;
    };
    mount(&["-t", "tmpfs", "-o", "size=4m", "tmpfs", &dir]);
    let path = Path::new(&dir);
    let registry = open(path).await;
    registry.add_connection(connection("home"), 1).await.unwrap();
    registry.close().await.unwrap();
    drop(registry);
    mount(&["-o", "remount,bind,ro", &dir]);
    for data in [path.to_owned(), path.join("new")] {
        let error = Registry::open(&data).await.expect_err("nothing can be written");
        assert!(matches!(error, StoreError::ReadOnly { .. }), "{error}");
        assert!(error.hint().contains("--data-dir"), "{}", error.hint());
    }
    let registry = Registry::open_read_only(path).await.unwrap();
    assert_eq!(names(&registry).await, ["home"], "a command still reads");
}

#[tokio::test]
async fn a_read_only_file_system_with_the_wal_of_a_killed_host() {
    let Some(dir) = in_namespace("disk::a_read_only_file_system_with_the_wal_of_a_killed_host") else {
        return;
    };
    mount(&["-t", "tmpfs", "-o", "size=4m", "tmpfs", &dir]);
    let path = Path::new(&dir);
    let (mut host, lines) = child::spawn(path);
    let said: Vec<String> = child::promises(lines).take(29).collect();
    host.kill().unwrap();
    host.wait().unwrap();
    assert!(said.last().unwrap().starts_with("account"), "{said:?}");
    mount(&["-o", "remount,bind,ro", &dir]);
    let registry = Registry::open_read_only(path).await.unwrap();
    assert!(names(&registry).await.len() >= 9, "a command reads the WAL, too");
}
