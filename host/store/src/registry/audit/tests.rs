use std::path::Path;

use super::*;

async fn open(dir: &Path) -> Registry {
    Registry::open(dir).await.unwrap().0
}

fn intent(number: i64) -> NewAudit {
    NewAudit {
        entity: Some("tower.setpoint".into()),
        words: vec![number as u16],
        ..NewAudit::new(AuditKind::Intent, number, "ann", "http")
    }
}

/// Appends many rows without waiting for the disk after each.
async fn append(registry: &Registry, numbers: std::ops::Range<i64>) {
    let mut tx = registry.db.begin().await.unwrap();
    let mut head = registry.head(&mut tx).await.unwrap();
    for number in numbers {
        registry.append(&mut tx, &mut head, intent(number)).await.unwrap();
    }
    registry.db.commit(tx).await.unwrap();
}

async fn sql(registry: &Registry, sql: &'static str) {
    sqlx::raw_sql(sql)
        .execute(registry.db.writer().unwrap())
        .await
        .unwrap();
}

#[tokio::test]
async fn pruning_keeps_the_chain_and_the_newest_rows() {
    let dir = tempfile::tempdir().unwrap();
    let registry = open(dir.path()).await;
    append(&registry, 0..1200).await;
    let whole = registry.verify_audit().await.unwrap();
    assert_eq!((whole.rows, whole.pruned_to, &whole.broken), (1200, 0, &None));

    assert_eq!(registry.prune_audit(0).await.unwrap(), AuditPruned::default());
    let pruned = registry.prune_audit_keeping(100, 0).await.unwrap();
    assert_eq!(
        pruned,
        AuditPruned {
            rows: 1100,
            more: false
        }
    );
    let rest = registry.verify_audit_keeping(100).await.unwrap();
    assert_eq!((rest.rows, rest.pruned_to, &rest.broken), (100, 1100, &None));
    assert_eq!((rest.first_ms, rest.last_ms), (Some(1100), Some(1199)));
    assert_eq!(rest.head, whole.head);
    let row = registry.audit(intent(1200)).await.unwrap();
    assert_eq!((row.seq, row.prev_hash), (1201, whole.head));

    // Also when it was pruned to the last row, as far as the table goes.
    registry.prune_audit_keeping(0, 0).await.unwrap();
    let none = registry.verify_audit_keeping(0).await.unwrap();
    assert_eq!((none.rows, none.head, &none.broken), (0, row.hash, &None));
    let next = registry.audit(intent(1201)).await.unwrap();
    assert_eq!((next.seq, next.prev_hash), (1202, row.hash));
    assert_eq!(registry.verify_audit_keeping(0).await.unwrap().broken, None);
}

#[tokio::test]
async fn a_long_backlog_is_pruned_in_turns() {
    let dir = tempfile::tempdir().unwrap();
    let registry = open(dir.path()).await;
    append(&registry, 0..10_700).await;
    let first = registry.prune_audit_keeping(100, 0).await.unwrap();
    assert_eq!(
        first,
        AuditPruned {
            rows: 10_000,
            more: true
        }
    );
    assert_eq!(registry.verify_audit_keeping(100).await.unwrap().broken, None);
    let second = registry.prune_audit_keeping(100, 0).await.unwrap();
    assert_eq!(
        second,
        AuditPruned {
            rows: 600,
            more: false
        }
    );
    assert_eq!(registry.verify_audit_keeping(100).await.unwrap().rows, 100);
}

#[tokio::test]
async fn an_anchor_that_was_moved_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let registry = open(dir.path()).await;
    append(&registry, 0..50).await;
    // As pruning does it, but nothing was due.
    registry.prune_audit_keeping(10, 0).await.unwrap();
    let broken = registry.verify_audit().await.unwrap().broken.unwrap();
    assert!(
        broken.seq == 40 && broken.why.contains("newest 200000"),
        "{broken:?}"
    );
    sql(
        &registry,
        "UPDATE meta SET value = 'nonsense' WHERE key = 'audit_anchor'",
    )
    .await;
    let broken = registry.verify_audit_keeping(10).await.unwrap().broken.unwrap();
    assert_eq!((broken.seq, broken.why.as_str()), (1, "is missing"));
    sql(&registry, "DELETE FROM meta WHERE key = 'audit_anchor'").await;
    let broken = registry.verify_audit_keeping(10).await.unwrap().broken.unwrap();
    assert_eq!((broken.seq, broken.why.as_str()), (1, "is missing"));
}

#[tokio::test]
async fn what_did_not_fit_is_noted_when_it_is_pruned() {
    let dir = tempfile::tempdir().unwrap();
    let registry = open(dir.path()).await;
    append(&registry, 0..50).await;
    sql(
        &registry,
        "DROP TRIGGER audit_is_never_changed; UPDATE audit SET who = 'bob' WHERE seq = 7",
    )
    .await;
    registry.prune_audit_keeping(10, 99).await.unwrap();
    let note = registry.audit_rows(None, None, 1).await.unwrap().remove(0);
    assert_eq!(
        (note.seq, note.entry.kind, note.entry.at_ms),
        (51, AuditKind::Note, 99)
    );
    assert!(note.entry.reason.unwrap().contains("row 7 was changed"));
    assert_eq!(registry.verify_audit_keeping(10).await.unwrap().broken, None);
}
