//! An audit that somebody tampered with: refused by the database, or noticed.

use std::path::Path;

use busbar_store::NewAudit;
use proptest::prelude::*;
use sqlx::SqlitePool;
use tempfile::tempdir;

use crate::audit::{broken, intent, ten};
use crate::open;

/// The file, to be tampered with.
async fn inside(dir: &Path) -> SqlitePool {
    let options = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(dir.join("registry.db"))
        .pragma("ignore_check_constraints", "ON");
    SqlitePool::connect_with(options).await.unwrap()
}

async fn execute(pool: &SqlitePool, sql: &str) -> Result<(), String> {
    let done = sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned()))
        .execute(pool)
        .await;
    done.map(drop).map_err(|e| e.to_string())
}

const NO_TRIGGERS: &str =
    "DROP TRIGGER audit_is_never_changed; DROP TRIGGER audit_is_kept; DROP TRIGGER audit_is_appended;";

#[tokio::test]
async fn the_database_itself_refuses_to_change_a_row() {
    let dir = tempdir().unwrap();
    let registry = ten(dir.path()).await;
    let inside = inside(dir.path()).await;
    for (sql, why) in [
        ("UPDATE audit SET who = 'bob'", "never changed"),
        ("UPDATE audit SET seq = 99 WHERE seq = 10", "never changed"),
        (
            "UPDATE OR REPLACE audit SET seq = 9 WHERE seq = 10",
            "never changed",
        ),
        ("DELETE FROM audit", "never removed"),
        ("DELETE FROM audit WHERE seq = 10", "never removed"),
        (
            "INSERT OR REPLACE INTO audit SELECT * FROM audit WHERE seq = 4",
            "only appended",
        ),
        (
            "INSERT INTO audit (at_ms, kind, who, through, words, safe_words, prev_hash, hash) \
             VALUES (1, 'note', '', '', x'', x'', zeroblob(32), zeroblob(32))",
            "only appended",
        ),
    ] {
        let error = execute(&inside, sql).await.expect_err(sql);
        assert!(error.contains(why), "{sql}: {error}");
    }
    let proof = registry.verify_audit().await.unwrap();
    assert_eq!((proof.rows, proof.broken), (10, None));
}

#[tokio::test]
async fn a_row_that_was_taken_away_is_noticed() {
    for (taken, missing) in [
        ("seq = 1", 1),
        ("seq = 5", 5),
        ("seq BETWEEN 3 AND 7", 3),
        ("seq = 10", 10),
        ("seq > 8", 9),
        ("true", 1),
    ] {
        let dir = tempdir().unwrap();
        let registry = ten(dir.path()).await;
        let inside = inside(dir.path()).await;
        let sql = format!("{NO_TRIGGERS} DELETE FROM audit WHERE {taken}");
        execute(&inside, &sql).await.unwrap();
        let found = broken(&registry).await.expect(taken);
        assert_eq!(
            (found.seq, found.why.as_str()),
            (missing, "is missing"),
            "{taken}"
        );
        // What is written later closes no gap.
        registry.audit(intent(9)).await.unwrap();
        assert_eq!(broken(&registry).await.expect(taken).seq, missing, "{taken}");
    }
}

#[tokio::test]
async fn a_chain_that_was_mended_in_one_place_does_not_fit_in_the_next() {
    let dir = tempdir().unwrap();
    let registry = ten(dir.path()).await;
    // A row of another chain, which fits in itself.
    let other = tempdir().unwrap();
    let forged = open(other.path()).await;
    for at_ms in 0..5 {
        forged
            .audit(NewAudit {
                who: "bob".into(),
                ..intent(at_ms)
            })
            .await
            .unwrap();
    }
    forged.close().await.unwrap();
    let inside = inside(dir.path()).await;
    let from = other.path().join("registry.db");
    execute(
        &inside,
        &format!(
            "{NO_TRIGGERS} ATTACH '{}' AS other; DELETE FROM audit WHERE seq = 5; \
             INSERT INTO audit SELECT * FROM other.audit WHERE seq = 5;",
            from.display()
        ),
    )
    .await
    .unwrap();
    let found = broken(&registry).await.unwrap();
    assert_eq!(
        (found.seq, found.why.as_str()),
        (5, "does not follow from the row before it")
    );
    execute(
        &inside,
        "UPDATE sqlite_sequence SET seq = 3 WHERE name = 'audit'; DELETE FROM audit WHERE seq > 4",
    )
    .await
    .unwrap();
    assert!(broken(&registry).await.unwrap().why.contains("set back"));
}

/// Every column, as it is named in the file.
async fn columns(pool: &SqlitePool) -> Vec<String> {
    sqlx::query_scalar("SELECT name FROM pragma_table_info('audit')")
        .fetch_all(pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn any_column_that_was_emptied_or_filled_is_noticed() {
    let dir = tempdir().unwrap();
    let registry = ten(dir.path()).await;
    let inside = inside(dir.path()).await;
    execute(
        &inside,
        &format!("{NO_TRIGGERS} CREATE TABLE was AS SELECT * FROM audit"),
    )
    .await
    .unwrap();
    let columns = columns(&inside).await;
    assert_eq!(columns.len(), 20);
    let nullable = [
        "intent",
        "entity",
        "device",
        "unit_id",
        "function",
        "at",
        "old",
        "wanted",
        "lease_until_ms",
        "outcome",
        "reason",
    ];
    let numbers = ["unit_id", "function", "at", "intent", "lease_until_ms"];
    for column in &columns[1..] {
        for seq in [3, 4, 10] {
            let value: Option<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
                "SELECT typeof({column}) FROM audit WHERE seq = {seq}"
            )))
            .fetch_optional(&inside)
            .await
            .unwrap();
            let change = match value.unwrap().as_str() {
                "null" if numbers.contains(&column.as_str()) => "0",
                "null" => "''",
                _ if nullable.contains(&column.as_str()) => "NULL",
                "integer" => "0",
                "blob" => "zeroblob(length(words) + 2)",
                _ => "''",
            };
            execute(
                &inside,
                &format!("UPDATE audit SET {column} = {change} WHERE seq = {seq}"),
            )
            .await
            .unwrap();
            let found = broken(&registry)
                .await
                .unwrap_or_else(|| panic!("{column} = {change} of {seq}"));
            assert_eq!(
                (found.seq, found.why.as_str()),
                (seq, "was changed"),
                "{column} = {change}"
            );
            execute(&inside, &format!("UPDATE audit SET {column} = (SELECT {column} FROM was WHERE was.seq = {seq}) WHERE seq = {seq}")).await.unwrap();
            assert_eq!(broken(&registry).await, None, "{column} is as it was");
        }
    }
    // Text that is none any more cannot be read, which is not to be an error that hides it.
    execute(
        &inside,
        "UPDATE audit SET who = CAST(x'ff' AS TEXT) WHERE seq = 6",
    )
    .await
    .unwrap();
    assert_eq!(broken(&registry).await.unwrap().seq, 6);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_changed_byte_of_any_column_is_noticed(seq in 1..=10_i64, column in 0..20_usize, byte in any::<prop::sample::Index>(), flip in 1..=255_u8) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let dir = tempdir().unwrap();
            let registry = ten(dir.path()).await;
            let inside = inside(dir.path()).await;
            execute(&inside, NO_TRIGGERS).await.unwrap();
            let column = &columns(&inside).await[column];
            let kind: String = scalar(&inside, &format!("SELECT typeof({column}) FROM audit WHERE seq = {seq}")).await;
            if kind == "null" {
                return;
            }
            if kind == "integer" {
                let value: i64 = scalar(&inside, &format!("SELECT {column} FROM audit WHERE seq = {seq}")).await;
                let mut bytes = value.to_be_bytes();
                bytes[byte.index(8)] ^= flip;
                let changed = i64::from_be_bytes(bytes);
                let sql = format!("UPDATE OR REPLACE audit SET {column} = {changed} WHERE seq = {seq}");
                execute(&inside, &sql).await.unwrap();
            } else {
                let sql = format!("SELECT CAST({column} AS BLOB) FROM audit WHERE seq = {seq}");
                let mut bytes: Vec<u8> = scalar(&inside, &sql).await;
                if bytes.is_empty() {
                    return;
                }
                let at = byte.index(bytes.len());
                bytes[at] ^= flip;
                let sql = format!("UPDATE audit SET {column} = CAST(?1 AS {kind}) WHERE seq = {seq}");
                sqlx::query(sqlx::AssertSqlSafe(sql)).bind(bytes).execute(&inside).await.unwrap();
            }
            let found = broken(&registry).await;
            assert!(found.is_some(), "{column} of row {seq}");
        });
    }
}

async fn scalar<T>(pool: &SqlitePool, sql: &str) -> T
where
    T: for<'r> sqlx::Decode<'r, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite> + Send + Unpin,
{
    sqlx::query_scalar(sqlx::AssertSqlSafe(sql.to_owned()))
        .fetch_one(pool)
        .await
        .unwrap()
}
