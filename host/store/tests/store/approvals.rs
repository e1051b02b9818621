//! Approvals: they stay with the entity, whatever becomes of the device's place.

use busbar_store::{Approval, Found, FoundDevice, FoundEntity, Registry, Status, StoreError};
use tempfile::tempdir;

use crate::{connection, open};

fn found(unit_id: u8, keys: &[&str]) -> Found {
    let entity = |key: &&str| FoundEntity {
        key: (*key).into(),
        at: Some(10),
        function: Some(3),
        bit: None,
        status: Status::Present,
        proof: None,
    };
    Found {
        devices: vec![FoundDevice {
            id: "tower".into(),
            unit_id,
            ledger: "generic/test".into(),
            name: None,
            model: None,
            serial: Some("s2".into()),
            firmware: Some("2".into()),
            entities: keys.iter().map(entity).collect(),
            readable: vec![],
            complete: true,
        }],
        asked: vec![],
    }
}

fn approval(entity: &str, fingerprint: &str) -> Approval {
    Approval {
        entity: entity.into(),
        serial: Some("s1".into()),
        firmware: None,
        fingerprint: fingerprint.into(),
        approved_ms: 7,
    }
}

#[tokio::test]
async fn an_approval_stays_until_it_is_taken_back() {
    let dir = tempdir().unwrap();
    let registry = open(dir.path()).await;
    let home = registry.add_connection(connection("home"), 1).await.unwrap();
    let shed = registry.add_connection(connection("shed"), 1).await.unwrap();
    registry
        .apply_scan(&home.id, &found(1, &["power", "a.b"]), 1)
        .await
        .unwrap();
    for nobody in ["tower.nothing", "nobody.power", "tower", ""] {
        let error = registry.put_approval(&approval(nobody, "f")).await.unwrap_err();
        assert!(
            matches!(&error, StoreError::Unknown { what: "entity", id } if id == nobody),
            "{error}"
        );
    }
    assert!(registry.approvals().await.unwrap().is_empty());

    registry
        .put_approval(&approval("tower.power", "old"))
        .await
        .unwrap();
    registry.put_approval(&approval("tower.a.b", "f")).await.unwrap();
    registry
        .put_approval(&approval("tower.power", "new"))
        .await
        .unwrap();
    let both = [approval("tower.a.b", "f"), approval("tower.power", "new")];
    assert_eq!(registry.approvals().await.unwrap(), both);

    // Moved, with other firmware, and one entity missing: what was approved stands as it was approved.
    registry
        .apply_scan(&shed.id, &found(9, &["power"]), 2)
        .await
        .unwrap();
    assert_eq!(registry.approvals().await.unwrap(), both);
    registry.close().await.unwrap();
    drop(registry);
    let command = Registry::open_read_only(dir.path()).await.unwrap();
    assert_eq!(command.approvals().await.unwrap(), both);
    let refused = command.put_approval(&both[0]).await.unwrap_err();
    assert!(matches!(refused, StoreError::ReadOnly { .. }), "{refused}");
    drop(command);

    let registry = open(dir.path()).await;
    assert!(registry.remove_approval("tower.a.b").await.unwrap());
    assert!(!registry.remove_approval("tower.a.b").await.unwrap());
    assert_eq!(registry.approvals().await.unwrap(), both[1..]);
}
