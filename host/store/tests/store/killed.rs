//! Killed at any moment: what was promised is there.
//!
//! `BUSBAR_STORE_KILLS` says how often (10 unless told); a long run is for a machine that has the time.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use busbar_store::{History, Origin, Registry, ScanState};
use tempfile::tempdir;

use crate::{child, connection, names, open};

pub(crate) fn kills() -> usize {
    std::env::var("BUSBAR_STORE_KILLS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(10)
}

/// Opens what a killed host left, and holds it against what it had promised.
async fn holds(dir: &Path, promised: &BTreeSet<String>) {
    let (registry, opening) = Registry::open(dir).await.unwrap();
    assert_eq!(opening.reason, None, "a kill damages nothing");
    let names: BTreeSet<String> = names(&registry)
        .await
        .into_iter()
        .map(|n| format!("name {n}"))
        .collect();
    let (history, opening) = History::open(&registry).await.unwrap();
    assert_eq!(opening.reason, None, "a kill damages nothing");
    assert_eq!(history.check().await.unwrap(), None);
    let samples = history.samples("d.k", 0, i64::MAX, usize::MAX).await.unwrap();
    let samples: BTreeSet<String> = samples.iter().map(|s| format!("sample {}", s.ts_ms)).collect();
    let accounts = registry.accounts().await.unwrap();
    let counted = accounts.first().map_or(-1.0, |account| account.last);
    let number = |said: &String| said.strip_prefix("account ")?.parse::<f64>().ok();
    let told = promised.iter().filter_map(number).fold(-1.0, f64::max);
    assert!(counted >= told, "{counted} is kept, {told} was promised");
    let lost: Vec<&String> = promised
        .iter()
        .filter(|p| !p.starts_with("account"))
        .filter(|p| !names.contains(*p) && !samples.contains(*p))
        .collect();
    assert!(lost.is_empty(), "lost: {lost:?}");
}

#[tokio::test]
async fn killed_at_a_random_moment() {
    let dir = tempdir().unwrap();
    let mut promised = BTreeSet::new();
    for round in 0..kills() {
        let (mut child, lines) = child::spawn(dir.path());
        let mut lines = child::promises(lines);
        // Some die while they open, some in the first rows, some later. The pause only moves the moment of death.
        let wait_for = [0, 1, 2, 5, 30, 100][round % 6] + rand::random_range(0..3);
        let mut said: Vec<String> = lines.by_ref().take(wait_for).collect();
        std::thread::sleep(Duration::from_micros(rand::random_range(0..3000)));
        child.kill().unwrap();
        said.extend(lines);
        child.wait().unwrap();
        assert!(!said.iter().any(|s| s.starts_with("error")), "{said:?}");
        promised.extend(said.into_iter().filter(|s| {
            ["name", "sample", "account"]
                .iter()
                .any(|kind| s.starts_with(kind))
        }));
        holds(dir.path(), &promised).await;
    }
    assert!(
        !promised.is_empty(),
        "at least one round must get as far as a promise"
    );
}

/// Whether this machine lets one process trace another.
pub(crate) fn can_trace() -> bool {
    let traced = Command::new("strace")
        .args(["-f", "-o", "/dev/null", "true"])
        .status();
    traced.is_ok_and(|s| s.success())
}

/// Deterministic where the other is random: dies right before its nth write, from the first file on.
#[tokio::test]
async fn killed_at_the_nth_write() {
    if !can_trace() {
        return eprintln!("skipped: strace cannot be used here");
    }
    let all = 1..=kills() * 6;
    for nth in all.step_by(6) {
        let dir = tempdir().unwrap();
        let data = dir.path().join("data");
        // Twice: in a directory that is made, and in one that is there.
        for _ in 0..2 {
            let said = child::killed_at(&data, nth);
            let said = said
                .into_iter()
                .filter(|s| {
                    ["name", "sample", "account"]
                        .iter()
                        .any(|kind| s.starts_with(kind))
                })
                .collect();
            holds(&data, &said).await;
        }
    }
}

#[tokio::test]
async fn nothing_is_promised_when_the_disk_refuses_to_sync() {
    if !can_trace() {
        return eprintln!("skipped: strace cannot be used here");
    }
    let dir = tempdir().unwrap();
    // The first ones make the files; then a few rows go well.
    let inject = "inject=fdatasync,fsync:error=EIO:when=25+";
    let wrapper = [
        "strace",
        "-f",
        "-o",
        "/dev/null",
        "-e",
        "trace=fdatasync,fsync",
        "-e",
        inject,
    ];
    let output = child::command(dir.path(), &wrapper).output().unwrap();
    let said: Vec<String> = child::promises(&output.stdout[..]).collect();
    assert_eq!(said.last().map(String::as_str), Some("error io"), "{said:?}");
    let promised: BTreeSet<String> = said.into_iter().filter(|s| s.starts_with("name")).collect();
    assert!(!promised.is_empty(), "it must get as far as a promise");
    holds(dir.path(), &promised).await;
    let names = names(&open(dir.path()).await).await;
    assert!(
        names.len() <= promised.len() + 1,
        "at most the one that failed may be there: {names:?}"
    );
}

#[tokio::test]
async fn a_command_reads_what_a_killed_host_left_in_the_wal() {
    let dir = tempdir().unwrap();
    let (mut host, lines) = child::spawn(dir.path());
    let mut lines = child::promises(lines);
    let said: Vec<String> = lines.by_ref().take(29).collect();
    // Beside the running host, which goes on.
    let beside = Registry::open_read_only(dir.path()).await.unwrap();
    assert!(names(&beside).await.len() >= 9);
    host.kill().unwrap();
    let said: Vec<String> = said.into_iter().chain(lines).collect();
    host.wait().unwrap();

    assert!(dir.path().join("registry.db-wal").metadata().unwrap().len() > 0);
    let after = Registry::open_read_only(dir.path()).await.unwrap();
    let names = names(&after).await;
    for name in said.iter().filter_map(|s| s.strip_prefix("name ")) {
        assert!(names.iter().any(|n| n == name), "{name} is lost");
    }
    let history = History::open_read_only(dir.path()).await.unwrap();
    assert!(
        history
            .samples("d.k", 0, i64::MAX, usize::MAX)
            .await
            .unwrap()
            .len()
            >= 8
    );
}

#[tokio::test]
async fn a_scan_that_was_running_is_failed_and_the_history_unclean() {
    let dir = tempdir().unwrap();
    let registry = open(dir.path()).await;
    let id = registry.add_connection(connection("home"), 1).await.unwrap().id;
    registry.begin_scan(&id, "full", "", 2).await.unwrap();
    let (history, opening) = History::open(&registry).await.unwrap();
    assert!(!opening.unclean);
    // As after a kill: nothing is closed.
    drop((history, registry));

    let (registry, opening) = Registry::open(dir.path()).await.unwrap();
    assert_eq!(
        (opening.origin.clone(), opening.interrupted_scans),
        (Origin::Existing, 1)
    );
    assert_eq!(opening.notes().len(), 1);
    assert_eq!(registry.scans(&id).await.unwrap()[0].state, ScanState::Failed);
    let (history, opening) = History::open(&registry).await.unwrap();
    assert!(opening.unclean);
    history.close().await.unwrap();
    registry.close().await.unwrap();
    drop((history, registry));

    let (registry, opening) = Registry::open(dir.path()).await.unwrap();
    assert_eq!((opening.interrupted_scans, opening.notes()), (0, vec![]));
    assert!(!History::open(&registry).await.unwrap().1.unclean);
}
