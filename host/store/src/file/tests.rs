use std::process::{Command, Stdio};
use std::time::Instant;

use super::*;

const CHILD: &str = "BUSBAR_STORE_MIGRATES";

/// The registry's migrations and one more.
fn with_next(sql: &'static str) -> Migrator {
    let mut migrations = REGISTRY.migrator().migrations.into_owned();
    migrations.push(Migration::new(
        REGISTRY.newest_schema() + 1,
        "next".into(),
        MigrationType::Simple,
        sql.into_sql_str(),
        false,
    ));
    Migrator::with_migrations(migrations)
}

async fn connect(path: &Path) -> SqliteConnection {
    REGISTRY.writer_options(path).connect().await.unwrap()
}

async fn created(dir: &Path) -> std::path::PathBuf {
    let path = dir.join(REGISTRY.file);
    REGISTRY.create(&path, None).await.unwrap();
    path
}

async fn is_as_before(path: &Path) {
    REGISTRY.inspect(path, Check::Full).await.unwrap();
    let mut db = connect(path).await;
    assert_eq!(
        REGISTRY.schema(&mut db, path).await.unwrap(),
        REGISTRY.newest_schema()
    );
    let tables: i64 =
        sqlx::query_scalar("SELECT count(*) FROM sqlite_schema WHERE name IN ('first', 'second')")
            .fetch_one(&mut db)
            .await
            .unwrap();
    assert_eq!(tables, 0, "nothing of the migration is there");
}

#[tokio::test]
async fn a_migration_that_fails_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = created(dir.path()).await;
    let next = with_next("CREATE TABLE first (x); INSERT INTO first VALUES (1); CREATE TABLE device (x);");
    let error = migrate(&next, &mut connect(&path).await, &path)
        .await
        .unwrap_err();
    assert!(
        matches!(&error, StoreError::Migration { detail, .. } if detail.contains("device")),
        "{error}"
    );
    is_as_before(&path).await;
}

#[tokio::test]
async fn a_migration_that_was_edited_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let path = created(dir.path()).await;
    migrate(
        &with_next("CREATE TABLE first (x)"),
        &mut connect(&path).await,
        &path,
    )
    .await
    .unwrap();
    let error = migrate(
        &with_next("CREATE TABLE second (x)"),
        &mut connect(&path).await,
        &path,
    )
    .await
    .unwrap_err();
    assert!(
        matches!(&error, StoreError::Migration { detail, .. } if detail.contains("modified")),
        "{error}"
    );
}

const SLOW: &str = "
    CREATE TABLE first (x);
    INSERT INTO first WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000000)
        SELECT randomblob(1000) FROM n;
    CREATE TABLE second (x);";

/// Does nothing unless it is the process that is to be killed.
#[tokio::test]
async fn migrates_until_it_is_killed() {
    let Some(path) = std::env::var_os(CHILD) else {
        return;
    };
    let path = Path::new(&path);
    migrate(&with_next(SLOW), &mut connect(path).await, path)
        .await
        .unwrap();
}

#[tokio::test]
async fn killed_in_a_migration() {
    let dir = tempfile::tempdir().unwrap();
    let path = created(dir.path()).await;
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "file::tests::migrates_until_it_is_killed"])
        .env(CHILD, &path)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let began = Instant::now();
    let wal = with_suffix(&path, "-wal");
    while std::fs::metadata(&wal).map_or(0, |m| m.len()) < 1 << 20 {
        assert!(
            began.elapsed() < Duration::from_secs(60) && child.try_wait().unwrap().is_none(),
            "it must write"
        );
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    is_as_before(&path).await;
    migrate(
        &with_next("CREATE TABLE first (x)"),
        &mut connect(&path).await,
        &path,
    )
    .await
    .unwrap();
}

/// A registry as the first version left it, with something in it, becomes one of this version; the command that came
/// first made nothing of it.
#[tokio::test]
async fn a_registry_of_the_first_schema_keeps_what_it_holds() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(REGISTRY.file);
    dir::create_private(&path).unwrap();
    let first = Migrator::with_migrations(REGISTRY.migrator().migrations[..1].to_vec());
    let mut db = connect(&path).await;
    migrate(&first, &mut db, &path).await.unwrap();
    sqlx::raw_sql(
        "INSERT INTO connection VALUES ('chome', 'home', 'modbus+tcp://gx', NULL, '{}', 1);
         INSERT INTO device VALUES ('tower', 'chome', 1, 'generic/test', NULL, NULL, 's', '1', 'active', 1, 1);
         INSERT INTO entity VALUES ('tower', 'power', 1, 3, NULL, 'present', 'active', NULL, NULL, 1, 1);",
    )
    .execute(&mut db)
    .await
    .unwrap();
    db.close().await.unwrap();

    let refused = crate::Registry::open_read_only(dir.path()).await.unwrap_err();
    assert!(
        matches!(
            refused,
            StoreError::SchemaOlder {
                found: 1,
                known: 4,
                ..
            }
        ),
        "{refused}"
    );
    let (registry, opening) = crate::Registry::open(dir.path()).await.unwrap();
    assert_eq!(opening.notes(), Vec::<String>::new());
    let entities = registry.entities(Some("tower")).await.unwrap();
    let approval = crate::Approval {
        entity: entities[0].id(),
        serial: Some("s".into()),
        firmware: Some("1".into()),
        fingerprint: "f".into(),
        approved_ms: 2,
    };
    registry.put_approval(&approval).await.unwrap();
    let note = crate::NewAudit::new(crate::AuditKind::Note, 3, "ann", "http");
    assert_eq!(registry.audit(note).await.unwrap().seq, 1);
    assert_eq!(registry.verify_audit().await.unwrap().broken, None);
    registry.name_device("tower", Some("Cellar")).await.unwrap();
    registry.close().await.unwrap();
    drop(registry);
    let command = crate::Registry::open_read_only(dir.path()).await.unwrap();
    assert_eq!(command.approvals().await.unwrap(), [approval]);
}
