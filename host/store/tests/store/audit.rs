//! The audit: appended, verified, killed, filled up, restored.

use std::collections::BTreeSet;
use std::path::Path;

use busbar_store::{AuditBreak, AuditHash, AuditKind, AuditRow, NewAudit, Registry, StoreError};
use tempfile::{TempDir, tempdir};

use crate::{child, disk, killed, open};

const ENTITY: &str = "tower.setpoint";

pub(crate) fn intent(at_ms: i64) -> NewAudit {
    NewAudit {
        entity: Some(ENTITY.into()),
        device: Some("tower".into()),
        unit_id: Some(100),
        function: Some(16),
        at: Some(2716),
        old: Some("-100".into()),
        wanted: Some("250".into()),
        words: vec![0, 250],
        safe_words: vec![0, 0],
        lease_until_ms: Some(at_ms + 60_000),
        ..NewAudit::new(AuditKind::Intent, at_ms, "ann </script> \u{0} ü", "http")
    }
}

fn outcome(at_ms: i64, of: &AuditRow) -> NewAudit {
    NewAudit {
        intent: Some(of.seq),
        outcome: Some("applied".into()),
        reason: Some("it was read back".into()),
        ..NewAudit::new(AuditKind::Outcome, at_ms, "ann", "http")
    }
}

/// Intents and outcomes by turns, ten rows.
pub(crate) async fn ten(dir: &Path) -> Registry {
    let registry = open(dir).await;
    for at_ms in 0..5 {
        let row = registry.audit(intent(at_ms)).await.unwrap();
        registry.audit(outcome(at_ms, &row)).await.unwrap();
    }
    registry
}

pub(crate) async fn broken(registry: &Registry) -> Option<AuditBreak> {
    registry.verify_audit().await.unwrap().broken
}

#[tokio::test]
async fn what_was_appended_comes_back_and_the_chain_is_whole() {
    let dir = tempdir().unwrap();
    let registry = open(dir.path()).await;
    let nothing = registry.verify_audit().await.unwrap();
    assert_eq!(
        (nothing.rows, nothing.head, nothing.broken),
        (0, AuditHash::default(), None)
    );

    let first = registry.audit(intent(1)).await.unwrap();
    assert_eq!(
        (first.seq, &first.entry, first.prev_hash),
        (1, &intent(1), AuditHash::default())
    );
    let second = registry.audit(outcome(2, &first)).await.unwrap();
    assert_eq!((second.seq, second.prev_hash), (2, first.hash));
    let later = NewAudit {
        entity: Some("tower.other".into()),
        ..intent(30)
    };
    let third = registry.audit(later).await.unwrap();

    let rows = registry.audit_rows(None, None, 10).await.unwrap();
    assert_eq!(rows, [third.clone(), second.clone(), first.clone()]);
    assert_eq!(registry.audit_rows(None, Some(3), 1).await.unwrap(), rows[1..2]);
    assert_eq!(
        registry.audit_rows(Some(ENTITY), None, 10).await.unwrap(),
        rows[2..]
    );
    assert_eq!(registry.open_intents().await.unwrap(), rows[..1]);

    let both = [ENTITY.to_owned(), "tower.other".to_owned()];
    assert_eq!(registry.intents_since(&both, 0).await.unwrap(), [1, 30]);
    assert_eq!(registry.intents_since(&both, 2).await.unwrap(), [30]);
    assert_eq!(registry.intents_since(&both[..1], 0).await.unwrap(), [1]);
    assert!(registry.intents_since(&[], 0).await.unwrap().is_empty());

    let proof = registry.verify_audit().await.unwrap();
    assert_eq!(
        (proof.rows, proof.first_ms, proof.last_ms),
        (3, Some(1), Some(30))
    );
    assert_eq!((proof.head, proof.broken, proof.pruned_to), (third.hash, None, 0));
    let json = serde_json::to_value(&first).unwrap();
    assert_eq!(
        (&json["kind"], &json["words"]),
        (&"intent".into(), &serde_json::json!([0, 250]))
    );
    assert_eq!(json["hash"].as_str().unwrap(), first.hash.to_string());

    // A command reads and verifies beside the host; it adds nothing.
    let command = Registry::open_read_only(dir.path()).await.unwrap();
    assert_eq!(command.audit_rows(None, None, 10).await.unwrap(), rows);
    assert_eq!(command.verify_audit().await.unwrap().rows, 3);
    let refused = command.audit(intent(4)).await.unwrap_err();
    assert!(matches!(refused, StoreError::ReadOnly { .. }), "{refused}");
    let refused = command.prune_audit(5).await.unwrap_err();
    assert!(matches!(refused, StoreError::ReadOnly { .. }), "{refused}");
}

/// The bytes that are hashed are a promise to every later version: worked out by hand from the text beside the table.
#[tokio::test]
async fn the_hash_is_the_one_that_is_documented() {
    let dir = tempdir().unwrap();
    let registry = open(dir.path()).await;
    let row = NewAudit {
        words: vec![0x0102],
        ..NewAudit::new(AuditKind::Note, 5, "a", "bc")
    };
    let row = registry.audit(row).await.unwrap();
    let integer = |v: i64| [&[1][..], &v.to_be_bytes()].concat();
    let bytes = |tag: u8, b: &[u8]| [&[tag][..], &(b.len() as u64).to_be_bytes(), b].concat();
    let encoded = [
        b"busbar audit 1\0".to_vec(),
        integer(1),
        integer(5),
        bytes(2, b"note"),
        vec![0],
        bytes(2, b"a"),
        bytes(2, b"bc"),
        // entity, device, unit, function, at, old, wanted
        vec![0; 7],
        bytes(3, &[1, 2]),
        bytes(3, &[]),
        // lease, outcome, reason
        vec![0; 3],
        bytes(3, &[0; 32]),
    ]
    .concat();
    use sha2::Digest;
    assert_eq!(row.hash.0, <[u8; 32]>::from(sha2::Sha256::digest(encoded)));
}

#[tokio::test]
async fn rows_that_contradict_themselves_or_are_too_large() {
    let dir = tempdir().unwrap();
    let registry = open(dir.path()).await;
    let large = "x".repeat(5000);
    for row in [
        NewAudit {
            who: large.clone(),
            ..intent(1)
        },
        NewAudit {
            through: large.clone(),
            ..intent(1)
        },
        NewAudit {
            entity: Some(large.clone()),
            ..intent(1)
        },
        NewAudit {
            device: Some(large.clone()),
            ..intent(1)
        },
        NewAudit {
            old: Some(large.clone()),
            ..intent(1)
        },
        NewAudit {
            wanted: Some(large.clone()),
            ..intent(1)
        },
        NewAudit {
            outcome: Some("not one word".into()),
            ..intent(1)
        },
        NewAudit {
            words: vec![0; 1969],
            ..intent(1)
        },
        NewAudit {
            safe_words: vec![0; 1969],
            ..intent(1)
        },
        NewAudit {
            intent: Some(1),
            ..intent(1)
        },
        NewAudit {
            kind: AuditKind::Outcome,
            ..intent(1)
        },
    ] {
        let error = registry.audit(row).await.unwrap_err();
        assert!(matches!(error, StoreError::Invalid { .. }), "{error}");
    }
    assert_eq!(
        registry.verify_audit().await.unwrap().rows,
        0,
        "nothing was stored"
    );

    let row = registry.audit(intent(1)).await.unwrap();
    let done = registry.audit(outcome(2, &row)).await.unwrap();
    for seq in [0, done.seq, 99] {
        let of = AuditRow { seq, ..row.clone() };
        let error = registry.audit(outcome(3, &of)).await.unwrap_err();
        assert!(
            matches!(error, StoreError::Unknown { what: "intent", .. }),
            "{error}"
        );
    }
    let long = NewAudit {
        reason: Some("ü".repeat(3000)),
        words: vec![1; 1968],
        ..intent(4)
    };
    let long = registry.audit(long).await.unwrap().entry;
    assert_eq!(
        (long.reason.unwrap().chars().count(), long.words.len()),
        (2001, 1968)
    );
    assert_eq!(registry.verify_audit().await.unwrap().rows, 3);
}

/// Opens what a killed host left: every row that it was promised is there, and the chain is whole.
async fn holds(dir: &Path, promised: &BTreeSet<String>) -> u64 {
    let registry = open(dir).await;
    let proof = registry.verify_audit().await.unwrap();
    assert_eq!(proof.broken, None);
    let rows = registry.audit_rows(None, None, u32::MAX).await.unwrap();
    let there: BTreeSet<String> = rows
        .iter()
        .map(|r| format!("{} {}", r.entry.kind, r.seq))
        .collect();
    let lost: Vec<&String> = promised.difference(&there).collect();
    assert!(lost.is_empty(), "lost: {lost:?}");
    // The wear budget counts all that may have reached the device.
    let intents = rows.iter().filter(|r| r.entry.kind == AuditKind::Intent).count();
    let times = registry.intents_since(&[ENTITY.into()], i64::MIN).await.unwrap();
    assert_eq!(times.len(), intents);
    // Whatever was cut off is open: nothing is lost between an intent and its outcome.
    let outcomes = rows.len() - intents;
    assert_eq!(registry.open_intents().await.unwrap().len(), intents - outcomes);
    registry.close().await.unwrap();
    proof.rows
}

fn rows(said: impl IntoIterator<Item = String>) -> impl Iterator<Item = String> {
    said.into_iter()
        .filter(|s| s.starts_with("intent") || s.starts_with("outcome"))
}

#[tokio::test]
async fn an_intent_that_was_promised_survives_a_kill_at_a_random_moment() {
    let dir = tempdir().unwrap();
    let mut promised = BTreeSet::new();
    for round in 0..killed::kills() {
        let (mut host, lines) = child::run(child::auditor(dir.path(), &[]));
        let mut lines = child::promises(lines);
        let wait_for = [3, 4, 10, 11, 60][round % 5];
        let mut said: Vec<String> = lines.by_ref().take(wait_for).collect();
        host.kill().unwrap();
        said.extend(lines);
        host.wait().unwrap();
        assert!(!said.iter().any(|s| s.starts_with("error")), "{said:?}");
        promised.extend(rows(said));
        holds(dir.path(), &promised).await;
    }
    assert!(
        promised.len() > killed::kills(),
        "each round must get as far as a promise"
    );
}

#[tokio::test]
async fn an_intent_that_was_promised_survives_a_kill_at_the_nth_write() {
    if !killed::can_trace() {
        return eprintln!("skipped: strace cannot be used here");
    }
    let mut most = 0;
    for nth in (10..).step_by(14).take(killed::kills()) {
        let dir = tempdir().unwrap();
        let output = child::killing_at(nth, |wrapper| child::auditor(dir.path(), wrapper))
            .output()
            .unwrap();
        let said = rows(child::promises(&output.stdout[..])).collect();
        most = most.max(holds(dir.path(), &said).await);
    }
    assert!(most > 0, "at least one must get as far as a row");
}

#[tokio::test]
async fn a_full_disk_leaves_no_half_row_and_takes_the_next_when_there_is_room() {
    let Some(dir) =
        disk::in_namespace("audit::a_full_disk_leaves_no_half_row_and_takes_the_next_when_there_is_room")
    else {
        return;
    };
    disk::mount(&["-t", "tmpfs", "-o", "size=4m", "tmpfs", &dir]);
    let data = Path::new(&dir);
    let registry = ten(data).await;
    let ballast = data.join("ballast");
    for round in 0..2 {
        disk::fill_up(&ballast);
        let before = registry.verify_audit().await.unwrap();
        // The WAL may have room of its own for a few.
        let (mut stored, mut refused) = (0, 0);
        for at_ms in 0..200 {
            match registry.audit(intent(at_ms)).await {
                Ok(_) => stored += 1,
                Err(StoreError::DiskFull { .. }) => refused += 1,
                Err(other) => panic!("{other:?}"),
            }
        }
        assert!(refused > 0, "the disk must be full in round {round}");
        let after = registry.verify_audit().await.unwrap();
        assert_eq!((after.rows, &after.broken), (before.rows + stored, &None));
        std::fs::remove_file(&ballast).unwrap();
        let row = registry.audit(intent(1000)).await.unwrap();
        assert_eq!((row.seq as u64, row.prev_hash), (after.rows + 1, after.head));
        assert_eq!(broken(&registry).await, None);
    }
}

const DAY: i64 = 86_400_000;

/// Ten rows in the backup, one more after it.
async fn backed_up() -> (TempDir, Registry) {
    let dir = tempdir().unwrap();
    let registry = ten(dir.path()).await;
    registry.backup_if_due(DAY).await.unwrap().unwrap();
    registry.audit(intent(50)).await.unwrap();
    (dir, registry)
}

async fn goes_on_after_a_gap(dir: &Path) {
    let (registry, opening) = Registry::open(dir).await.unwrap();
    assert!(opening.needs_owner_confirmation);
    let proof = registry.verify_audit().await.unwrap();
    assert_eq!((proof.rows, proof.broken), (10, None));
    let row = registry.audit(intent(60)).await.unwrap();
    let rows = registry.audit_rows(None, Some(row.seq), 1).await.unwrap();
    assert_eq!(
        (row.seq, rows[0].seq, rows[0].entry.kind),
        (12, 11, AuditKind::Note)
    );
    assert_eq!(rows[0].entry.at_ms, 60);
    assert!(rows[0].entry.reason.as_ref().unwrap().contains("is lost"));
    let next = registry.audit(intent(61)).await.unwrap();
    assert_eq!(next.seq, 13, "it is noted once");
    assert_eq!(broken(&registry).await, None);
    registry.confirm().await.unwrap();
    assert!(!registry.needs_owner_confirmation().await.unwrap());
    registry.close().await.unwrap();
    drop(registry);
    let (registry, opening) = Registry::open(dir).await.unwrap();
    assert!(!opening.needs_owner_confirmation);
    assert_eq!(registry.verify_audit().await.unwrap().rows, 13);
}

#[tokio::test]
async fn a_restored_audit_goes_on_and_notes_the_gap() {
    let (dir, registry) = backed_up().await;
    registry.close().await.unwrap();
    drop(registry);
    std::fs::write(dir.path().join("registry.db"), "damaged").unwrap();
    goes_on_after_a_gap(dir.path()).await;
}

#[tokio::test]
async fn a_backup_that_the_owner_put_in_place_is_known_as_one() {
    let (dir, registry) = backed_up().await;
    assert!(
        !registry.needs_owner_confirmation().await.unwrap(),
        "only the copy is marked"
    );
    registry.close().await.unwrap();
    drop(registry);
    let backup = dir.path().join("backups/registry-1970-01-02.db");
    std::fs::copy(backup, dir.path().join("registry.db")).unwrap();
    goes_on_after_a_gap(dir.path()).await;
}

#[tokio::test]
async fn an_audit_that_was_begun_anew_says_so() {
    let dir = tempdir().unwrap();
    std::fs::write(dir.path().join("registry.db"), "damaged").unwrap();
    let registry = open(dir.path()).await;
    let row = registry.audit(intent(5)).await.unwrap();
    assert_eq!(row.seq, 2);
    let rows = registry.audit_rows(None, Some(2), 1).await.unwrap();
    assert!(rows[0].entry.reason.as_ref().unwrap().contains("begun anew"));
}
