//! Restored by the owner's wish: whole or not at all, and what was there is kept.

use std::fs;
use std::path::{Path, PathBuf};

use busbar_store::{Made, Origin, Registry, StoreError, copies, restore};
use tempfile::{TempDir, tempdir};

use crate::{child, connection, files, killed, names, open};

/// A registry with `kept` in its copy and `later` after it; the copy.
async fn registry_with_copy() -> (TempDir, PathBuf) {
    let dir = tempdir().unwrap();
    let registry = open(dir.path()).await;
    registry.add_connection(connection("kept"), 1).await.unwrap();
    let copy = registry.backup(None, false, 1).await.unwrap();
    registry.add_connection(connection("later"), 2).await.unwrap();
    registry.close().await.unwrap();
    (dir, copy)
}

#[tokio::test]
async fn the_copy_is_the_registry_and_the_old_one_is_kept() {
    let (dir, copy) = registry_with_copy().await;
    let bytes = fs::read(&copy).unwrap();
    let done = restore(dir.path(), &copy).await.unwrap();
    assert_eq!(done.contents.connections, 1);
    assert_eq!(fs::read(&copy).unwrap(), bytes, "the copy itself stays as it is");
    let (registry, opening) = Registry::open(dir.path()).await.unwrap();
    assert_eq!(opening.origin, Origin::Existing);
    assert!(opening.needs_owner_confirmation);
    assert_eq!(names(&registry).await, ["kept"]);
    registry.close().await.unwrap();
    drop(registry);

    // Back again, from what was set aside; what was set aside stays, too.
    let aside = done.set_aside.unwrap();
    let listed = copies(dir.path()).await;
    assert!(
        listed
            .iter()
            .any(|copy| copy.path == aside && copy.made == Made::SetAside && copy.fault.is_none()),
        "{listed:?}"
    );
    restore(dir.path(), &aside).await.unwrap();
    let registry = open(dir.path()).await;
    assert!(registry.needs_owner_confirmation().await.unwrap());
    assert_eq!(names(&registry).await, ["kept", "later"]);
    let kept = files(dir.path());
    let kept = kept.iter().filter(|name| name.contains(".replaced-")).count();
    assert_eq!(kept, 2);
}

#[tokio::test]
async fn not_while_a_host_runs() {
    let (dir, copy) = registry_with_copy().await;
    let registry = open(dir.path()).await;
    let refused = restore(dir.path(), &copy).await.unwrap_err();
    assert!(matches!(refused, StoreError::Locked { .. }), "{refused}");
    assert!(refused.hint().contains("end it there (process"), "{refused}");
    assert_eq!(names(&registry).await, ["kept", "later"]);
    assert!(!files(dir.path()).iter().any(|name| name.ends_with(".new")));
}

/// What is no copy is refused with its cause, under its own name, and all stays as it was.
#[tokio::test]
async fn what_is_no_copy_is_refused() {
    let (dir, copy) = registry_with_copy().await;
    let place = tempdir().unwrap();
    let whole = fs::read(&copy).unwrap();
    let mut foreign = whole.clone();
    foreign[68..72].copy_from_slice(b"Fake");
    let mut damaged = whole.clone();
    let middle = damaged.len() / 2 / 4096 * 4096;
    damaged[middle..middle + 4096].fill(0xa5);
    let cut = whole[..whole.len() / 2].to_vec();
    let newer = place.path().join("newer.db");
    fs::write(&newer, &whole).unwrap();
    run_sql(
        &newer,
        "INSERT INTO _sqlx_migrations VALUES (99, 'x', 0, 1, x'00', 0)",
    )
    .await;
    let sly = place.path().join("sly.db");
    fs::write(&sly, &whole).unwrap();
    let trigger =
        "CREATE TRIGGER t AFTER INSERT ON meta BEGIN DELETE FROM meta WHERE key = 'unconfirmed'; END";
    run_sql(&sly, trigger).await;
    // A name that SQLite gives to none but its own, put there all the same.
    let slyer = place.path().join("slyer.db");
    fs::copy(&sly, &slyer).unwrap();
    let hidden = "PRAGMA writable_schema = ON; \
                  UPDATE sqlite_schema SET name = 'sqlite_t', sql = replace(sql, 'TRIGGER t', 'TRIGGER sqlite_t') \
                  WHERE name = 't'";
    run_sql(&slyer, hidden).await;
    let slyer = fs::read(&slyer).unwrap();
    let (newer, sly) = (fs::read(&newer).unwrap(), fs::read(&sly).unwrap());
    let before = (
        fs::read(dir.path().join("registry.db")).unwrap(),
        files(dir.path()),
    );
    for (bytes, code, words) in [
        (b"Dear diary".to_vec(), "not_a_database", "is not a database"),
        (Vec::new(), "database_damaged", "the file is empty"),
        (foreign, "foreign_database", "another program"),
        (damaged, "database_damaged", "is damaged"),
        (cut, "database_damaged", "is damaged"),
        (newer, "schema_newer", "has schema 99"),
        (sly, "database_damaged", "its tables are not"),
        (slyer, "database_damaged", "its tables are not"),
    ] {
        let path = place.path().join("copy.db");
        fs::write(&path, bytes).unwrap();
        let refused = restore(dir.path(), &path).await.unwrap_err();
        assert_eq!(refused.code(), code, "{refused}");
        let said = refused.to_string();
        assert!(said.contains(words) && said.contains("copy.db"), "{said}");
        assert_eq!(
            (
                fs::read(dir.path().join("registry.db")).unwrap(),
                files(dir.path())
            ),
            before
        );
    }
    for (path, code) in [
        (place.path().to_owned(), "io"),
        (place.path().join("none.db"), "registry_missing"),
        (dir.path().join("registry.db"), "invalid"),
    ] {
        assert_eq!(
            restore(dir.path(), &path).await.unwrap_err().code(),
            code,
            "{path:?}"
        );
    }
    // And no directory is made for what is none.
    let nowhere = place.path().join("data");
    restore(&nowhere, &place.path().join("none.db"))
        .await
        .unwrap_err();
    assert!(!nowhere.exists());
}

async fn run_sql(path: &Path, sql: &'static str) {
    use sqlx::{ConnectOptions, Connection};
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
    let mut db = options.connect().await.unwrap();
    sqlx::raw_sql(sql).execute(&mut db).await.unwrap();
    db.close().await.unwrap();
}

#[tokio::test]
async fn a_copy_of_an_older_busbar_is_brought_up_to_date() {
    let (dir, copy) = registry_with_copy().await;
    let before_writes = "DROP TABLE stitch; DROP TABLE account; DROP TABLE audit; DROP TABLE approval; DROP TABLE replacement; \
                         ALTER TABLE device DROP COLUMN own_name; DELETE FROM _sqlx_migrations WHERE version > 1";
    run_sql(&copy, before_writes).await;
    let older = fs::read(&copy).unwrap();
    let listed = copies(dir.path()).await;
    assert_eq!(listed[0].contents.as_ref().unwrap().schema, 1, "{listed:?}");
    let done = restore(dir.path(), &copy).await.unwrap();
    assert_eq!(done.contents.schema, 4);
    assert_eq!(fs::read(&copy).unwrap(), older, "the copy itself stays as it is");
    let registry = open(dir.path()).await;
    assert_eq!(names(&registry).await, ["kept"]);
    assert_eq!(registry.verify_audit().await.unwrap().broken, None);
}

#[tokio::test]
async fn a_registry_that_is_damaged_missing_or_was_killed_gives_way_and_is_kept() {
    // Damaged.
    let (dir, copy) = registry_with_copy().await;
    fs::write(dir.path().join("registry.db"), "Dear diary").unwrap();
    let done = restore(dir.path(), &copy).await.unwrap();
    assert_eq!(fs::read_to_string(done.set_aside.unwrap()).unwrap(), "Dear diary");
    assert_eq!(names(&open(dir.path()).await).await, ["kept"]);

    // Missing: nothing is to be kept, and where nothing was a directory is made.
    let (dir, copy) = registry_with_copy().await;
    fs::remove_file(dir.path().join("registry.db")).unwrap();
    for data in [dir.path().to_owned(), dir.path().join("another")] {
        let done = restore(&data, &copy).await.unwrap();
        assert_eq!(done.set_aside, None);
        assert_eq!(names(&open(&data).await).await, ["kept"]);
    }

    // Killed, so that all it holds lies in its WAL.
    let (dir, copy) = registry_with_copy().await;
    let (mut process, lines) = child::spawn(dir.path());
    let said: Vec<String> = child::promises(lines)
        .filter_map(|line| line.strip_prefix("name ").map(str::to_owned))
        .take(5)
        .collect();
    process.kill().unwrap();
    process.wait().unwrap();
    assert!(dir.path().join("registry.db-wal").metadata().unwrap().len() > 0);
    let done = restore(dir.path(), &copy).await.unwrap();
    assert_eq!(names(&open(dir.path()).await).await, ["kept"]);
    let again = tempdir().unwrap();
    restore(again.path(), &done.set_aside.unwrap()).await.unwrap();
    let kept = names(&open(again.path()).await).await;
    assert!(said.iter().all(|name| kept.contains(name)), "{said:?} {kept:?}");
}

/// Dies at each step in turn: under the registry's name lies the old one or the new one, whole, and the old one is never
/// lost.
#[tokio::test]
async fn killed_at_any_step() {
    if !killed::can_trace() {
        return eprintln!("skipped: strace cannot be used here");
    }
    const CALLS: &str = "pwrite64,ftruncate,rename,fdatasync,fsync,unlink,copy_file_range,write";
    let (mut old, mut new) = (0, 0);
    for nth in 1.. {
        let (dir, copy) = registry_with_copy().await;
        let trace = format!("trace={CALLS}");
        let inject = format!("inject={CALLS}:signal=KILL:when={nth}");
        let wrapper = ["strace", "-f", "-o", "/dev/null", "-e", &trace, "-e", &inject];
        let output = child::restorer(dir.path(), &copy, &wrapper).output().unwrap();
        let said: Vec<String> = child::promises(&output.stdout[..]).collect();
        let (registry, opening) = Registry::open(dir.path()).await.unwrap();
        assert_eq!(opening.reason, None, "step {nth}: {said:?}");
        match names(&registry).await.join(" ").as_str() {
            "kept later" => old += 1,
            "kept" => {
                new += 1;
                assert!(opening.needs_owner_confirmation, "step {nth}");
                let aside = copies(dir.path()).await;
                let aside = aside.iter().find(|copy| copy.made == Made::SetAside).unwrap();
                assert_eq!(aside.contents.as_ref().unwrap().connections, 2, "step {nth}");
            }
            other => panic!("step {nth}: {other}"),
        }
        registry.close().await.unwrap();
        if said.iter().any(|line| line == "restored") {
            break;
        }
    }
    assert!(old > 5 && new > 0, "{old} {new}");
}
