//! What the owner says: names, what is put away, replacements, removals, the site.

use std::collections::{BTreeMap, BTreeSet};

use busbar_store::{
    Approval, Asked, Found, FoundDevice, FoundEntity, Lifecycle, Readable, Registry, Replaced, Status,
    StoreError,
};
use serde_json::json;
use tempfile::tempdir;

use crate::{connection, open};

fn meter(id: &str, serial: &str, unit_id: u8, keys: &[&str]) -> FoundDevice {
    FoundDevice {
        id: id.into(),
        unit_id,
        ledger: "generic/test".into(),
        name: Some("as it calls itself".into()),
        model: Some("M1".into()),
        serial: Some(serial.into()),
        firmware: Some("2".into()),
        entities: keys
            .iter()
            .map(|key| FoundEntity {
                key: (*key).into(),
                at: Some(10),
                function: Some(3),
                bit: None,
                status: Status::Present,
                proof: None,
            })
            .collect(),
        readable: vec![Readable {
            function: 3,
            at: u16::from(unit_id),
            count: 20,
        }],
        complete: true,
    }
}

fn found(devices: Vec<FoundDevice>) -> Found {
    let asked = (1..10).map(|unit_id| Asked {
        unit_id,
        function: 3,
        at: 0,
        count: 100,
    });
    Found {
        devices,
        asked: asked.collect(),
    }
}

/// A registry with a connection and one meter at unit 1; the connection's id.
async fn with_a_meter(registry: &Registry) -> String {
    let home = registry.add_connection(connection("home"), 1).await.unwrap();
    let meters = found(vec![meter("m_old", "s1", 1, &["power", "energy"])]);
    registry.apply_scan(&home.id, &meters, 1).await.unwrap();
    home.id
}

async fn lifecycles(registry: &Registry, device: &str) -> BTreeMap<String, Lifecycle> {
    let entities = registry.entities(Some(device)).await.unwrap();
    entities.into_iter().map(|e| (e.key, e.lifecycle)).collect()
}

fn keys(keys: &[&str]) -> BTreeSet<String> {
    keys.iter().map(|key| (*key).to_owned()).collect()
}

#[tokio::test]
async fn an_owners_name_is_kept_over_scans() {
    let dir = tempdir().unwrap();
    let registry = open(dir.path()).await;
    let home = with_a_meter(&registry).await;
    registry.name_device("m_old", Some("Cellar")).await.unwrap();
    let again = found(vec![meter("m_old", "s1", 1, &["power", "energy"])]);
    let diff = registry.apply_scan(&home, &again, 2).await.unwrap();
    assert!(diff.changed.iter().all(|change| change.field == "lifecycle"));
    let device = &registry.devices().await.unwrap()[0];
    assert_eq!(device.own_name.as_deref(), Some("Cellar"));
    assert_eq!(device.name.as_deref(), Some("as it calls itself"));
    registry.name_device("m_old", None).await.unwrap();
    assert_eq!(registry.devices().await.unwrap()[0].own_name, None);
    assert!(matches!(
        registry.name_device("nobody", Some("x")).await,
        Err(StoreError::Unknown { what: "device", .. })
    ));
}

#[tokio::test]
async fn what_is_put_away_stays_away_until_it_is_taken_back() {
    let dir = tempdir().unwrap();
    let registry = open(dir.path()).await;
    let home = with_a_meter(&registry).await;
    registry
        .choose_entities("m_old", &keys(&["energy", "no such key"]))
        .await
        .unwrap();
    let again = found(vec![meter("m_old", "s1", 1, &["power", "energy"])]);
    registry.apply_scan(&home, &again, 2).await.unwrap();
    assert_eq!(lifecycles(&registry, "m_old").await["energy"], Lifecycle::Retired);
    registry
        .choose_entities("m_old", &keys(&["power"]))
        .await
        .unwrap();
    let now = lifecycles(&registry, "m_old").await;
    assert_eq!(
        (now["energy"], now["power"]),
        (Lifecycle::Active, Lifecycle::Retired)
    );
    assert!(matches!(
        registry.choose_entities("nobody", &keys(&[])).await,
        Err(StoreError::Unknown { what: "device", .. })
    ));
}

#[tokio::test]
async fn a_device_that_comes_later_takes_the_others_place() {
    let dir = tempdir().unwrap();
    let registry = open(dir.path()).await;
    with_a_meter(&registry).await;
    let done = registry.replace_device("m_old", "m_new").await.unwrap();
    assert_eq!(done, Replaced::WhenFound);
    assert_eq!(registry.replacements().await.unwrap()["m_new"], "m_old");
    // And the one after that.
    registry.replace_device("m_old", "m_newer").await.unwrap();
    let replacements = registry.replacements().await.unwrap();
    assert_eq!(replacements.len(), 2);
    assert!(replacements.values().all(|old| old == "m_old"));
    for (old, new) in [("m_old", "m_old"), ("m_old", "")] {
        let same = registry.replace_device(old, new).await;
        assert!(matches!(same, Err(StoreError::Invalid { .. })), "{old} {new}");
    }
    assert!(matches!(
        registry.replace_device("nobody", "m_new").await,
        Err(StoreError::Unknown { what: "device", .. })
    ));
    registry.remove_device("m_old").await.unwrap();
    assert!(registry.replacements().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_device_that_is_known_already_is_merged_into_the_one_that_it_replaces() {
    let dir = tempdir().unwrap();
    let registry = open(dir.path()).await;
    let home = with_a_meter(&registry).await;
    registry.name_device("m_old", Some("Cellar")).await.unwrap();
    registry.name_entity("m_old.energy", Some("Used")).await.unwrap();
    let approval = Approval {
        entity: "m_old.power".into(),
        serial: Some("s1".into()),
        firmware: None,
        fingerprint: "f".into(),
        approved_ms: 7,
    };
    registry.put_approval(&approval).await.unwrap();
    let swapped = found(vec![meter("m_new", "s2", 3, &["power", "energy", "frequency"])]);
    let diff = registry.apply_scan(&home, &swapped, 2).await.unwrap();
    assert_eq!(diff.gone.devices, ["m_old"]);

    assert_eq!(
        registry.replace_device("m_old", "m_new").await.unwrap(),
        Replaced::Merged
    );
    let devices = registry.devices().await.unwrap();
    let [device] = devices.as_slice() else {
        panic!("{devices:?}")
    };
    assert_eq!((device.id.as_str(), device.unit_id), ("m_old", 3));
    assert_eq!(device.serial.as_deref(), Some("s2"));
    assert_eq!(
        (device.own_name.as_deref(), device.lifecycle),
        (Some("Cellar"), Lifecycle::Active)
    );
    let entities = registry.entities(None).await.unwrap();
    let shown: Vec<_> = entities
        .iter()
        .map(|e| (e.id(), e.lifecycle, e.name.as_deref()))
        .collect();
    assert_eq!(
        shown,
        [
            ("m_old.energy".to_owned(), Lifecycle::Active, Some("Used")),
            ("m_old.frequency".to_owned(), Lifecycle::New, None),
            ("m_old.power".to_owned(), Lifecycle::Active, None),
        ]
    );
    assert_eq!(registry.readable("m_old").await.unwrap()[0].at, 3);
    // What was approved was approved for the other one: whoever writes compares the serial number.
    // What was allowed for the old one is not yet allowed for the new one.
    let fingerprint = Approval::OF_ANOTHER.to_owned();
    let approval = Approval {
        fingerprint,
        ..approval
    };
    assert_eq!(registry.approvals().await.unwrap(), [approval]);
    assert_eq!(registry.replacements().await.unwrap()["m_new"], "m_old");
}

#[tokio::test]
async fn what_is_removed_is_gone_with_all_that_hangs_on_it() {
    let dir = tempdir().unwrap();
    let registry = open(dir.path()).await;
    let home = with_a_meter(&registry).await;
    let shed = registry.add_connection(connection("shed"), 1).await.unwrap();
    let there = found(vec![meter("m_shed", "s9", 1, &["power"])]);
    registry.apply_scan(&shed.id, &there, 1).await.unwrap();
    let scan = registry.begin_scan(&home, "quick", "", 1).await.unwrap();
    registry
        .put_profile(&home, &json!({ "in_flight": 4 }))
        .await
        .unwrap();

    registry.remove_connection(&home).await.unwrap();
    assert!(registry.connection("home").await.unwrap().is_none());
    assert_eq!(registry.devices().await.unwrap().len(), 1);
    assert!(registry.evidence(scan).await.unwrap().is_empty());
    assert_eq!(registry.profile(&home).await.unwrap(), None);
    assert!(matches!(
        registry.remove_connection(&home).await,
        Err(StoreError::Unknown {
            what: "connection",
            ..
        })
    ));

    registry.remove_device("m_shed").await.unwrap();
    assert!(registry.entities(None).await.unwrap().is_empty());
    assert!(registry.connection("shed").await.unwrap().is_some());
    assert!(matches!(
        registry.remove_device("m_shed").await,
        Err(StoreError::Unknown { what: "device", .. })
    ));
}

#[tokio::test]
async fn the_site_is_kept() {
    let dir = tempdir().unwrap();
    let registry = open(dir.path()).await;
    assert_eq!(registry.site().await.unwrap(), None);
    for site in [json!({ "ac_current": 25.0 }), json!({ "phases": 3 })] {
        registry.put_site(&site).await.unwrap();
        assert_eq!(registry.site().await.unwrap(), Some(site));
    }
}

#[tokio::test]
async fn what_was_allowed_for_a_device_is_not_allowed_for_the_one_in_its_place() {
    let dir = tempdir().unwrap();
    let registry = open(dir.path()).await;
    with_a_meter(&registry).await;
    // Neither has a serial number: nothing else tells them apart.
    let approval = Approval {
        entity: "m_old.power".into(),
        serial: None,
        firmware: None,
        fingerprint: "as it was".into(),
        approved_ms: 1,
    };
    registry.put_approval(&approval).await.unwrap();
    registry.replace_device("m_old", "m_new").await.unwrap();
    let now = registry.approvals().await.unwrap();
    assert_eq!(now.len(), 1);
    assert_eq!(now[0].fingerprint, Approval::OF_ANOTHER);
}

#[tokio::test]
async fn changes_of_one_connection_at_the_same_time_are_all_kept() {
    let dir = tempdir().unwrap();
    let registry = open(dir.path()).await;
    let home = registry.add_connection(connection("home"), 1).await.unwrap();
    let put = |key: &'static str| {
        registry.edit_connection::<StoreError>(&home.id, move |connection| {
            connection.options = format!("{}{key}", connection.options.as_str().unwrap_or_default()).into();
            Ok(())
        })
    };
    let (a, b, c) = tokio::join!(put("a"), put("b"), put("c"));
    a.and(b).and(c).unwrap();
    let now = registry.connection("home").await.unwrap().unwrap();
    let mut kept: Vec<char> = now.options.as_str().unwrap().chars().collect();
    kept.sort_unstable();
    assert_eq!(kept, ['a', 'b', 'c']);
    let refused = registry.edit_connection(&home.id, |connection| {
        connection.url = "elsewhere".into();
        Err(StoreError::Closed {
            path: "elsewhere".into(),
        })
    });
    refused.await.unwrap_err();
    assert_eq!(registry.connection("home").await.unwrap().unwrap(), now);
}

#[tokio::test]
async fn no_connection_is_called_by_the_id_of_another() {
    let dir = tempdir().unwrap();
    let registry = open(dir.path()).await;
    let home = registry.add_connection(connection("home"), 1).await.unwrap();
    let taken = registry.add_connection(connection(&home.id), 1).await;
    assert!(matches!(taken, Err(StoreError::NameTaken { .. })), "{taken:?}");
    let other = registry.add_connection(connection("other"), 1).await.unwrap();
    let renamed = registry.edit_connection::<StoreError>(&other.id, |connection| {
        connection.name.clone_from(&home.id);
        Ok(())
    });
    assert!(matches!(renamed.await, Err(StoreError::NameTaken { .. })));
    assert_eq!(registry.connection(&home.id).await.unwrap().unwrap().name, "home");
}
