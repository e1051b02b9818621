//! Copies: daily ones, and those that the owner asks for.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};

use busbar_store::{Made, StoreError, backup, copies};
use tempfile::tempdir;

use crate::{connection, files, names, open};

const DAY: i64 = 86_400_000;
const NOON: i64 = DAY / 2;

#[tokio::test]
async fn what_the_owner_asked_for_is_not_pushed_out_by_the_seven() {
    let dir = tempdir().unwrap();
    let registry = open(dir.path()).await;
    registry.add_connection(connection("one"), 1).await.unwrap();
    let manual = registry.backup(None, false, NOON).await.unwrap();
    assert_eq!(manual.file_name().unwrap(), "registry-1970-01-01T120000Z.db");
    assert_eq!(manual.metadata().unwrap().mode() & 0o777, 0o600);
    for day in 0..20 {
        registry.backup_if_due(day * DAY).await.unwrap().unwrap();
    }
    let mut expected = vec!["registry-1970-01-01T120000Z.db".to_owned()];
    expected.extend((14..=20).map(|day| format!("registry-1970-01-{day}.db")));
    assert_eq!(files(&dir.path().join("backups")), expected);

    let copies = copies(dir.path()).await;
    assert_eq!(copies.len(), 8);
    assert_eq!((copies[0].made, copies[0].made_ms), (Made::Manual, Some(NOON)));
    assert_eq!((copies[7].made, copies[7].made_ms), (Made::Daily, Some(19 * DAY)));
    for copy in &copies {
        let contents = copy.contents.as_ref().unwrap();
        assert_eq!((contents.connections, contents.devices), (1, 0), "{copy:?}");
    }
}

#[tokio::test]
async fn a_copy_is_where_it_was_wanted_and_writes_over_nothing() {
    let (dir, elsewhere) = (tempdir().unwrap(), tempdir().unwrap());
    let registry = open(dir.path()).await;
    let to = elsewhere.path().join("mine.db");
    assert_eq!(registry.backup(Some(&to), false, 1).await.unwrap(), to);
    let first = fs::read(&to).unwrap();
    registry.add_connection(connection("one"), 1).await.unwrap();
    let refused = registry.backup(Some(&to), false, 2).await.unwrap_err();
    assert!(matches!(refused, StoreError::Exists { .. }), "{refused}");
    assert_eq!(fs::read(&to).unwrap(), first);
    assert_eq!(files(elsewhere.path()), ["mine.db"]);
    registry.backup(Some(&to), true, 2).await.unwrap();
    assert_ne!(fs::read(&to).unwrap(), first);
    // Two of one second have names of their own.
    for name in [
        "registry-1970-01-01T000000Z.db",
        "registry-1970-01-01T000000Z-2.db",
    ] {
        let made = registry.backup(None, false, 1).await.unwrap();
        assert_eq!(made.file_name().unwrap(), name);
    }
    // Not even the registry itself, by whatever name.
    let alias = elsewhere.path().join("alias.db");
    symlink(dir.path().join("registry.db"), &alias).unwrap();
    for own in [dir.path().join("registry.db"), alias] {
        let refused = registry.backup(Some(&own), true, 2).await.unwrap_err();
        assert!(matches!(refused, StoreError::Invalid { .. }), "{refused}");
    }
    let refused = registry
        .backup(Some(elsewhere.path()), true, 2)
        .await
        .unwrap_err();
    assert!(matches!(refused, StoreError::NoFile { .. }), "{refused}");
    let nowhere = elsewhere.path().join("no/such/place.db");
    let refused = registry.backup(Some(&nowhere), false, 2).await.unwrap_err();
    assert!(matches!(refused, StoreError::Missing { .. }), "{refused}");
}

#[tokio::test]
async fn without_a_host_and_beside_one_that_cannot_be_asked() {
    let dir = tempdir().unwrap();
    let missing = backup(dir.path(), None, false, 1).await.unwrap_err();
    assert!(matches!(missing, StoreError::Missing { .. }), "{missing}");
    assert_eq!(files(dir.path()), [""; 0], "nothing is made");

    let registry = open(dir.path()).await;
    registry.add_connection(connection("one"), 1).await.unwrap();
    // It lies in the WAL as yet.
    let beside = backup(dir.path(), None, false, NOON).await.unwrap();
    registry.close().await.unwrap();
    drop(registry);
    let alone = backup(dir.path(), None, false, NOON + 1000).await.unwrap();
    for copy in [beside, alone] {
        let elsewhere = tempdir().unwrap();
        busbar_store::restore(elsewhere.path(), &copy).await.unwrap();
        assert_eq!(names(&open(elsewhere.path()).await).await, ["one"]);
    }
}

#[tokio::test]
async fn a_copy_that_is_of_no_use_is_listed_as_such() {
    let dir = tempdir().unwrap();
    let registry = open(dir.path()).await;
    let whole = registry.backup(None, false, NOON).await.unwrap();
    fs::write(dir.path().join("backups/registry-1970-01-02.db"), "no backup").unwrap();
    let before = fs::read(&whole).unwrap();
    let copies = copies(dir.path()).await;
    let faults: Vec<bool> = copies.iter().map(|copy| copy.fault.is_some()).collect();
    assert_eq!(faults, [false, true]);
    assert!(copies[1].fault.as_ref().unwrap().contains("is not a database"));
    assert_eq!(fs::read(&whole).unwrap(), before, "looking changes nothing");
}

#[tokio::test]
async fn a_copy_is_written_over_nothing_that_is_no_file_and_leaves_its_neighbours_alone() {
    let (dir, place) = (tempdir().unwrap(), tempdir().unwrap());
    let registry = open(dir.path()).await;
    let socket = place.path().join("socket");
    let _there = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let refused = registry.backup(Some(&socket), true, NOON).await.unwrap_err();
    assert!(matches!(refused, StoreError::NoFile { .. }), "{refused}");
    assert!(!socket.metadata().unwrap().is_file());

    let neighbour = place.path().join("home.db.new");
    fs::write(&neighbour, "somebody's").unwrap();
    registry
        .backup(Some(&place.path().join("home.db")), false, NOON)
        .await
        .unwrap();
    let notes = dir.path().join("backups/registry-notes.txt");
    fs::create_dir_all(notes.parent().unwrap()).unwrap();
    fs::write(&notes, "mine").unwrap();
    registry.backup_if_due(NOON).await.unwrap().unwrap();
    assert_eq!(fs::read_to_string(&neighbour).unwrap(), "somebody's");
    assert_eq!(fs::read_to_string(&notes).unwrap(), "mine");
    assert_eq!(files(place.path()).len(), 3);
}
