//! What is refused, and how it is said.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use busbar_store::{Found, FoundDevice, History, Registry, StoreError};
use tempfile::tempdir;

use crate::{child, connection, files, names, open};

async fn refused(dir: &Path) -> StoreError {
    Registry::open(dir).await.expect_err("it must be refused")
}

#[tokio::test]
async fn a_second_host() {
    let dir = tempdir().unwrap();
    let first = open(dir.path()).await;
    let error = refused(dir.path()).await;
    let pid = std::process::id();
    assert!(
        matches!(&error, StoreError::Locked { pid: Some(p), .. } if *p == pid),
        "{error}"
    );
    assert!(
        error.to_string().contains(&format!("(process {pid})")) && error.hint().contains(&pid.to_string())
    );

    // The lock is held until the last file is closed, and a file that was opened does not outlive it.
    let (history, _) = History::open(&first).await.unwrap();
    drop(first);
    assert!(matches!(refused(dir.path()).await, StoreError::Locked { .. }));
    drop(history);
    open(dir.path()).await;
}

#[tokio::test]
async fn a_host_in_another_process_until_it_dies() {
    let dir = tempdir().unwrap();
    let (mut host, lines) = child::spawn(dir.path());
    let mut lines = child::promises(lines);
    assert!(lines.any(|line| line == "open"));
    let error = refused(dir.path()).await;
    assert!(
        matches!(&error, StoreError::Locked { pid: Some(p), .. } if *p == host.id()),
        "{error}"
    );
    assert!(
        Registry::open_read_only(dir.path()).await.is_ok(),
        "a command reads beside it"
    );
    host.kill().unwrap();
    host.wait().unwrap();
    open(dir.path()).await;
}

#[tokio::test]
async fn a_registry_that_is_missing() {
    let dir = tempdir().unwrap();
    let nowhere = dir.path().join("nowhere");
    for data in [dir.path(), &nowhere] {
        for error in [
            Registry::open_read_only(data).await.unwrap_err(),
            History::open_read_only(data).await.unwrap_err(),
        ] {
            assert!(matches!(error, StoreError::Missing { .. }), "{error}");
            assert_eq!(error.code(), "registry_missing");
        }
    }
    assert!(files(dir.path()).is_empty(), "a command makes nothing");
}

/// Changes what the file says about its schema.
async fn set_schema(dir: &Path, file: &str, version: i64) {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(dir.join(file));
    let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
    for sql in [
        "DELETE FROM _sqlx_migrations WHERE version < (SELECT max(version) FROM _sqlx_migrations) AND ?1 = ?1",
        "UPDATE _sqlx_migrations SET version = ?1",
    ] {
        sqlx::query(sql).bind(version).execute(&pool).await.unwrap();
    }
    pool.close().await;
}

#[tokio::test]
async fn a_newer_schema() {
    let dir = tempdir().unwrap();
    let registry = open(dir.path()).await;
    registry.add_connection(connection("home"), 1).await.unwrap();
    registry.close().await.unwrap();
    drop(registry);
    set_schema(dir.path(), "registry.db", 999).await;
    let before = fs::read(dir.path().join("registry.db")).unwrap();
    let host = refused(dir.path()).await;
    let command = Registry::open_read_only(dir.path()).await.unwrap_err();
    for error in [host, command] {
        assert!(
            matches!(
                error,
                StoreError::SchemaNewer {
                    found: 999,
                    known: 4,
                    ..
                }
            ),
            "{error}"
        );
        assert!(error.hint().contains("newer Busbar"), "{}", error.hint());
    }
    assert_eq!(
        fs::read(dir.path().join("registry.db")).unwrap(),
        before,
        "it is not touched"
    );
    assert_eq!(files(dir.path()), ["busbar.lock", "registry.db"]);
}

#[tokio::test]
async fn a_newer_history() {
    let dir = tempdir().unwrap();
    let registry = open(dir.path()).await;
    History::open(&registry).await.unwrap().0.close().await.unwrap();
    set_schema(dir.path(), "history.db", 999).await;
    let error = History::open(&registry).await.unwrap_err();
    assert!(
        matches!(error, StoreError::SchemaNewer { found: 999, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn an_older_schema_for_a_command() {
    let dir = tempdir().unwrap();
    open(dir.path()).await.close().await.unwrap();
    set_schema(dir.path(), "registry.db", 0).await;
    let error = Registry::open_read_only(dir.path()).await.unwrap_err();
    assert!(
        matches!(
            error,
            StoreError::SchemaOlder {
                found: 0,
                known: 4,
                ..
            }
        ),
        "{error}"
    );
}

#[tokio::test]
async fn a_data_directory_that_is_a_file() {
    let dir = tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "x").unwrap();
    for path in [file.clone(), file.join("below")] {
        let error = refused(&path).await;
        assert!(error.to_string().contains("file"), "{error}");
        assert!(matches!(error, StoreError::Io { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn a_registry_that_is_a_directory() {
    let dir = tempdir().unwrap();
    fs::create_dir(dir.path().join("registry.db")).unwrap();
    let error = refused(dir.path()).await;
    assert!(matches!(error, StoreError::Io { .. }), "{error}");
    assert!(dir.path().join("registry.db").is_dir(), "it is not touched");
}

#[tokio::test]
async fn a_registry_that_was_removed_under_the_host() {
    let dir = tempdir().unwrap();
    let registry = open(dir.path()).await;
    registry.add_connection(connection("home"), 1).await.unwrap();
    fs::remove_file(dir.path().join("registry.db")).unwrap();
    let error = registry.add_connection(connection("lost"), 1).await.unwrap_err();
    assert!(matches!(error, StoreError::Replaced { .. }), "{error}");
}

#[tokio::test]
async fn files_are_private_and_other_readers_are_shut_out() {
    let dir = tempdir().unwrap();
    let data = dir.path().join("a/b");
    let registry = open(&data).await;
    let (history, _) = History::open(&registry).await.unwrap();
    registry.backup_if_due(0).await.unwrap();
    let mode = |path: &Path| path.metadata().unwrap().mode() & 0o777;
    assert_eq!((mode(&data), mode(&data.join("backups"))), (0o700, 0o700));
    let all = files(&data);
    assert_eq!(all.len(), 8, "{all:?}");
    for name in all.iter().filter(|n| *n != "backups") {
        assert_eq!(mode(&data.join(name)), 0o600, "{name}");
    }
    history.close().await.unwrap();
    registry.close().await.unwrap();
    drop((history, registry));
    let path = data.join("registry.db");
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o664)).unwrap();
    let _registry = open(&data).await;
    assert_eq!(mode(&path), 0o600);
}

#[tokio::test]
async fn names_and_ids_that_could_not_be_written_down() {
    let dir = tempdir().unwrap();
    let registry = open(dir.path()).await;
    for name in ["", " home", "a/b", "a\nb", &"x".repeat(65)] {
        let error = registry.add_connection(connection(name), 1).await.unwrap_err();
        assert!(matches!(error, StoreError::Invalid { .. }), "{error}");
    }
    let home = registry.add_connection(connection("home"), 1).await.unwrap();
    let device = |id: &str| FoundDevice {
        id: id.into(),
        unit_id: 1,
        ledger: "generic/test".into(),
        name: None,
        model: None,
        serial: None,
        firmware: None,
        entities: vec![],
        readable: vec![],
        complete: true,
    };
    for id in ["", "a.b", "Tower", "a b", "../x", "ü"] {
        let found = Found {
            devices: vec![device("fine"), device(id)],
            asked: vec![],
        };
        let error = registry.apply_scan(&home.id, &found, 1).await.unwrap_err();
        assert!(matches!(error, StoreError::Invalid { .. }), "{error}");
    }
    assert!(registry.devices().await.unwrap().is_empty(), "all or nothing");
    let found = Found {
        devices: vec![device("fine")],
        asked: vec![],
    };
    let error = registry.apply_scan("cnobody", &found, 1).await.unwrap_err();
    assert!(
        matches!(
            error,
            StoreError::Unknown {
                what: "connection",
                ..
            }
        ),
        "{error}"
    );
    for error in [
        registry.begin_scan("cnobody", "quick", "", 1).await.unwrap_err(),
        registry.put_profile("cnobody", &1.into()).await.unwrap_err(),
        registry.set_retired("nobody", true).await.unwrap_err(),
        registry.name_entity("nobody.power", None).await.unwrap_err(),
    ] {
        assert!(matches!(error, StoreError::Unknown { .. }), "{error}");
    }
    let nobody = busbar_store::Connection {
        id: "cnobody".into(),
        name: "x".into(),
        ..home
    };
    assert!(matches!(
        registry.update_connection(&nobody).await.unwrap_err(),
        StoreError::Unknown { .. }
    ));
}

#[tokio::test]
async fn after_it_was_closed() {
    let dir = tempdir().unwrap();
    let registry = open(dir.path()).await;
    registry.close().await.unwrap();
    registry.close().await.expect("closing twice is no fault");
    let error = registry.add_connection(connection("late"), 1).await.unwrap_err();
    assert!(matches!(error, StoreError::Closed { .. }), "{error}");
    assert!(names_error(&registry).await);
    async fn names_error(registry: &Registry) -> bool {
        matches!(registry.connections().await, Err(StoreError::Closed { .. }))
    }
    drop(registry);
    assert!(names(&open(dir.path()).await).await.is_empty());
}
