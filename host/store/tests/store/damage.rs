//! Files that are damaged, cut, empty, gone or somebody else's: found at the start, set aside, restored, told.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use busbar_store::{History, Opening, Origin, Quality, Registry, Sample, StoreError};
use rand::RngExt;
use tempfile::{TempDir, tempdir};

use crate::{child, connection, files, killed, names, open};

const DAY: i64 = 86_400_000;

/// A registry with `kept` in its last backup and `lost` after it.
async fn registry_with_backup() -> (TempDir, PathBuf) {
    let dir = tempdir().unwrap();
    let registry = open(dir.path()).await;
    registry.add_connection(connection("kept"), 1).await.unwrap();
    registry
        .backup_if_due(DAY)
        .await
        .unwrap()
        .expect("the first of the day");
    registry.add_connection(connection("lost"), 2).await.unwrap();
    registry.close().await.unwrap();
    let path = dir.path().join("registry.db");
    (dir, path)
}

async fn is_restored(dir: &Path) -> Opening {
    let (registry, opening) = Registry::open(dir).await.unwrap();
    assert!(matches!(opening.origin, Origin::Restored { .. }), "{opening:?}");
    assert!(opening.needs_owner_confirmation);
    assert!(
        opening.notes()[0].contains("backups/registry-1970-01-02.db was restored"),
        "{:?}",
        opening.notes()
    );
    assert_eq!(names(&registry).await, ["kept"]);
    registry.check().await.unwrap();
    registry.add_connection(connection("new"), 3).await.unwrap();
    registry.close().await.unwrap();
    drop(registry);

    // Until the owner confirms, whatever happens in between.
    let (registry, again) = Registry::open(dir).await.unwrap();
    assert_eq!(
        (&again.origin, again.needs_owner_confirmation),
        (&Origin::Existing, true)
    );
    registry.confirm().await.unwrap();
    assert!(!registry.needs_owner_confirmation().await.unwrap());
    assert_eq!(names(&registry).await, ["kept", "new"]);
    opening
}

#[tokio::test]
async fn a_text_file() {
    let (dir, path) = registry_with_backup().await;
    fs::write(&path, "Dear diary").unwrap();
    let refused = Registry::open_read_only(dir.path()).await.unwrap_err();
    assert!(matches!(refused, StoreError::NotADatabase { .. }), "{refused}");
    let opening = is_restored(dir.path()).await;
    assert_eq!(
        fs::read_to_string(opening.set_aside.unwrap()).unwrap(),
        "Dear diary"
    );
}

#[tokio::test]
async fn an_empty_file() {
    let (dir, path) = registry_with_backup().await;
    File::create(&path).unwrap();
    is_restored(dir.path()).await;
}

#[tokio::test]
async fn a_file_that_is_gone() {
    let (dir, path) = registry_with_backup().await;
    fs::remove_file(&path).unwrap();
    let refused = Registry::open_read_only(dir.path()).await.unwrap_err();
    assert!(matches!(refused, StoreError::Missing { .. }), "{refused}");
    assert!(!path.exists());
    assert_eq!(is_restored(dir.path()).await.set_aside, None);
}

#[tokio::test]
async fn a_file_that_is_gone_while_its_wal_is_still_there() {
    let (dir, path) = registry_with_backup().await;
    let registry = open(dir.path()).await;
    registry
        .add_connection(connection("in the wal"), 1)
        .await
        .unwrap();
    let wal = fs::read(dir.path().join("registry.db-wal")).unwrap();
    registry.close().await.unwrap();
    drop(registry);
    fs::remove_file(&path).unwrap();
    fs::write(dir.path().join("registry.db-wal"), &wal).unwrap();
    // Replayed into the restored file it would destroy it.
    let opening = is_restored(dir.path()).await;
    let aside = opening.set_aside.unwrap().into_os_string().into_string().unwrap();
    assert!(aside.contains("registry.db.orphaned-"), "{aside}");
    assert_eq!(fs::read(format!("{aside}-wal")).unwrap(), wal);
}

#[tokio::test]
async fn a_file_that_was_cut() {
    for keep in [50, 100, 4096, 4097, 20_000, 40_000] {
        let (dir, path) = registry_with_backup().await;
        assert!(
            path.metadata().unwrap().len() > keep,
            "the file is larger than what is kept of it"
        );
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_len(keep)
            .unwrap();
        let opening = is_restored(dir.path()).await;
        assert_eq!(opening.set_aside.unwrap().metadata().unwrap().len(), keep);
    }
}

#[tokio::test]
async fn any_page_overwritten() {
    let (dir, path) = registry_with_backup().await;
    let pages = path.metadata().unwrap().len() / 4096;
    drop(dir);
    for page in 0..pages {
        let (dir, path) = registry_with_backup().await;
        let mut noise = [0; 4096];
        rand::rng().fill(&mut noise[..]);
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .write_all_at(&noise, page * 4096)
            .unwrap();
        is_restored(dir.path()).await;
    }
}

#[tokio::test]
async fn a_database_of_another_program() {
    let (dir, path) = registry_with_backup().await;
    let foreign = tempdir().unwrap();
    let foreign_path = foreign.path().join("registry.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(&foreign_path)
        .create_if_missing(true);
    let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
    sqlx::query("CREATE TABLE photos (id INTEGER PRIMARY KEY)")
        .execute(&pool)
        .await
        .unwrap();
    pool.close().await;
    fs::copy(&foreign_path, &path).unwrap();

    let refused = Registry::open_read_only(dir.path()).await.unwrap_err();
    assert!(matches!(refused, StoreError::Foreign { .. }), "{refused}");
    let opening = is_restored(dir.path()).await;
    let aside = opening.set_aside.unwrap();
    assert!(aside.to_string_lossy().contains("registry.db.foreign-"));
    assert_eq!(
        fs::read(aside).unwrap(),
        fs::read(&foreign_path).unwrap(),
        "it is left whole"
    );
}

#[tokio::test]
async fn the_history_in_the_place_of_the_registry() {
    let (dir, path) = registry_with_backup().await;
    let registry = open(dir.path()).await;
    History::open(&registry).await.unwrap().0.close().await.unwrap();
    registry.close().await.unwrap();
    drop(registry);
    fs::copy(dir.path().join("history.db"), &path).unwrap();
    is_restored(dir.path()).await;
}

#[tokio::test]
async fn damaged_without_a_backup() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("registry.db");
    fs::write(&path, "x".repeat(5000)).unwrap();
    let (registry, opening) = Registry::open(dir.path()).await.unwrap();
    assert_eq!(opening.origin, Origin::Fresh);
    assert!(
        opening.needs_owner_confirmation,
        "the config may still allow writes"
    );
    let notes = opening.notes().join("\n");
    assert!(
        notes.contains("is not a database") && notes.contains("no backup to restore"),
        "{notes}"
    );
    assert!(opening.set_aside.is_some_and(|p| p.exists()));
    assert!(names(&registry).await.is_empty());
}

#[tokio::test]
async fn damaged_backups_are_passed_over() {
    let (dir, path) = registry_with_backup().await;
    fs::write(dir.path().join("backups/registry-1970-01-03.db"), "no backup").unwrap();
    fs::write(
        dir.path().join("backups/registry-1970-01-04.db.new"),
        "cut off while it was made",
    )
    .unwrap();
    fs::write(&path, "").unwrap();
    is_restored(dir.path()).await;
}

#[tokio::test]
async fn what_a_cut_off_restoration_left_does_no_harm() {
    let (dir, path) = registry_with_backup().await;
    let registry = open(dir.path()).await;
    registry
        .add_connection(connection("in the wal"), 1)
        .await
        .unwrap();
    for side in ["", "-wal", "-shm"] {
        fs::copy(
            with_side(&path, side),
            with_side(&dir.path().join("registry.db.new"), side),
        )
        .unwrap();
    }
    registry.close().await.unwrap();
    drop(registry);
    fs::write(&path, "").unwrap();
    is_restored(dir.path()).await;
    assert!(
        !files(dir.path()).iter().any(|f| f.contains(".new")),
        "{:?}",
        files(dir.path())
    );
}

fn with_side(path: &Path, side: &str) -> PathBuf {
    format!("{}{side}", path.display()).into()
}

#[tokio::test]
async fn a_restoration_killed_at_any_step_is_done_again() {
    let (dir, path) = registry_with_backup().await;
    if !killed::can_trace() {
        return eprintln!("skipped: strace cannot be used here");
    }
    for nth in 1..12 {
        fs::write(&path, "damaged").unwrap();
        child::killed_at(dir.path(), nth);
        let (registry, _) = Registry::open(dir.path()).await.unwrap();
        assert!(
            registry.needs_owner_confirmation().await.unwrap(),
            "killed at write {nth}"
        );
        assert!(
            names(&registry).await.contains(&"kept".to_owned()),
            "killed at write {nth}"
        );
    }
}

#[tokio::test]
async fn set_aside_files_do_not_fill_the_disk() {
    let dir = tempdir().unwrap();
    for round in 0..8 {
        fs::write(dir.path().join("registry.db"), format!("damage {round}")).unwrap();
        fs::write(dir.path().join("registry.db-wal"), "and its wal").unwrap();
        open(dir.path()).await.close().await.unwrap();
    }
    let aside: Vec<String> = files(dir.path())
        .into_iter()
        .filter(|f| f.contains(".damaged-"))
        .collect();
    assert_eq!(aside.len(), 10, "the newest five and their WALs: {aside:?}");
}

#[tokio::test]
async fn a_damaged_registry_is_no_backup() {
    let (dir, path) = registry_with_backup().await;
    let registry = open(dir.path()).await;
    let pages = path.metadata().unwrap().len() / 4096;
    for page in 1..pages {
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .write_all_at(&[0xa5; 4096], page * 4096)
            .unwrap();
    }
    assert!(registry.backup_if_due(2 * DAY).await.is_err());
    assert_eq!(files(&dir.path().join("backups")), ["registry-1970-01-02.db"]);
}

#[tokio::test]
async fn a_backup_a_day_and_seven_kept() {
    let dir = tempdir().unwrap();
    let registry = open(dir.path()).await;
    for day in 0..10 {
        registry
            .add_connection(connection(&format!("day {day}")), day)
            .await
            .unwrap();
        assert!(registry.backup_if_due(day * DAY).await.unwrap().is_some());
        assert!(
            registry
                .backup_if_due(day * DAY + DAY - 1)
                .await
                .unwrap()
                .is_none()
        );
    }
    let backups = dir.path().join("backups");
    let expected: Vec<String> = (4..=10)
        .map(|day| format!("registry-1970-01-{day:02}.db"))
        .collect();
    assert_eq!(files(&backups), expected);
    for path in files(&backups).iter().map(|f| backups.join(f)) {
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o600);
    }
    // A backup is whole, as its file alone.
    let alone = tempdir().unwrap();
    fs::copy(
        backups.join("registry-1970-01-10.db"),
        alone.path().join("registry.db"),
    )
    .unwrap();
    assert_eq!(names(&open(alone.path()).await).await.len(), 10);
}

#[tokio::test]
async fn a_damaged_history_is_begun_anew_at_the_start_or_under_way() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("history.db");
    let sample = |value| {
        [Sample {
            entity: "d.k",
            value: Some(value),
            quality: Quality::Good,
        }]
    };
    let registry = open(dir.path()).await;

    fs::write(&path, "no history").unwrap();
    let (history, opening) = History::open(&registry).await.unwrap();
    assert_eq!(opening.origin, Origin::Fresh);
    assert!(
        opening.notes()[0].contains("is not a database"),
        "{:?}",
        opening.notes()
    );
    for ts in 0..100 {
        history.append(ts, &sample(1.0)).await.unwrap();
    }
    assert_eq!(history.check().await.unwrap(), None);
    history.close().await.unwrap();

    let (history, opening) = History::open(&registry).await.unwrap();
    assert_eq!(opening.origin, Origin::Existing);
    for page in 1..path.metadata().unwrap().len() / 4096 {
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .write_all_at(&[0xa5; 4096], page * 4096)
            .unwrap();
    }
    let aside = history.check().await.unwrap().expect("the damage is found");
    assert!(aside.exists());
    history.append(200, &sample(2.0)).await.unwrap();
    let stored = history.samples("d.k", 0, i64::MAX, 10).await.unwrap();
    assert_eq!(stored.iter().map(|s| s.ts_ms).collect::<Vec<_>>(), [200]);
    history.close().await.unwrap();

    // Damage that shows only when something is appended.
    let (history, _) = History::open(&registry).await.unwrap();
    for page in 1..path.metadata().unwrap().len() / 4096 {
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .write_all_at(&[0xa5; 4096], page * 4096)
            .unwrap();
    }
    history.append(300, &sample(3.0)).await.unwrap();
    let stored = history.samples("d.k", 0, i64::MAX, 10).await.unwrap();
    assert_eq!(stored.iter().map(|s| s.ts_ms).collect::<Vec<_>>(), [300]);
    let aside = files(dir.path())
        .into_iter()
        .filter(|f| f.contains("history.db.damaged-"));
    assert_eq!(aside.count(), 1, "it may be large: the newest is kept");
}
