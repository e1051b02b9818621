//! Scans applied to real tables do what the pure diff says, and old ones are forgotten.

use std::collections::BTreeMap;

use busbar_store::{
    Asked, Evidence, Found, FoundDevice, FoundEntity, Lifecycle, Outcome, Readable, Registry, ScanState,
    Status, Tally,
};
use rand::RngExt;
use tempfile::tempdir;

use crate::{connection, open};

fn random_found(rng: &mut impl rand::Rng) -> Found {
    let entity = |rng: &mut dyn FnMut(u8) -> u8, number: u8| FoundEntity {
        key: format!("k{number}"),
        at: Some(u16::from(rng(60))),
        function: (rng(2) == 0).then_some(4),
        bit: None,
        status: [Status::Present, Status::Unproven, Status::Absent][usize::from(rng(3))],
        proof: Some(format!("proof {}", rng(255))),
    };
    let mut draw = |below: u8| rng.random_range(0..below);
    let numbers: Vec<u8> = (0..6).filter(|_| draw(2) == 0).collect();
    let devices = numbers.into_iter().map(|number| {
        let keys: Vec<u8> = (0..8).filter(|_| draw(3) > 0).collect();
        FoundDevice {
            id: format!("d{number}"),
            unit_id: draw(4),
            ledger: "generic/test".into(),
            name: (draw(2) == 0).then(|| format!("name {}", draw(9))),
            model: None,
            serial: None,
            firmware: Some(draw(3).to_string()),
            entities: keys.into_iter().map(|number| entity(&mut draw, number)).collect(),
            readable: vec![Readable {
                function: 3,
                at: u16::from(draw(50)),
                count: u32::from(draw(9)),
            }],
            complete: draw(4) > 0,
        }
    });
    let devices = devices.collect();
    let asked = (0..draw(5)).map(|_| Asked {
        unit_id: draw(4),
        function: 3,
        at: u16::from(draw(60)),
        count: 20,
    });
    let asked: Vec<Asked> = Vec::from_iter(asked);
    Found { devices, asked }
}

/// All that a scan may change, in one comparable value.
async fn content(registry: &Registry) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for device in registry.devices().await.unwrap() {
        all.insert(
            device.id.clone() + " reads",
            format!("{:?}", registry.readable(&device.id).await.unwrap()),
        );
        all.insert(device.id.clone(), format!("{device:?}"));
    }
    for entity in registry.entities(None).await.unwrap() {
        all.insert(entity.id(), format!("{entity:?}"));
    }
    all
}

#[tokio::test]
async fn scan_after_scan_the_tables_say_what_the_diff_said() {
    let dir = tempdir().unwrap();
    let registry = open(dir.path()).await;
    let here = registry.add_connection(connection("here"), 1).await.unwrap().id;
    let there = registry.add_connection(connection("there"), 1).await.unwrap().id;
    let mut rng = rand::rng();
    for now in 10..60 {
        let to = if rng.random_range(0..3) == 0 {
            &there
        } else {
            &here
        };
        let found = random_found(&mut rng);
        let before = content(&registry).await;
        let preview = registry.preview_scan(to, &found, now).await.unwrap();
        assert_eq!(content(&registry).await, before, "a preview changes nothing");
        let diff = registry.apply_scan(to, &found, now).await.unwrap();
        assert_eq!(diff, preview);

        let after = content(&registry).await;
        for id in before.keys() {
            assert!(after.contains_key(id), "{id} was deleted");
        }
        for id in diff.new.devices.iter().chain(&diff.new.entities) {
            assert!(!before.contains_key(id) && after.contains_key(id), "{id} is new");
        }
        for id in diff.gone.devices.iter().chain(&diff.gone.entities) {
            assert!(
                after[id].contains("lifecycle: Missing"),
                "{id} is gone: {}",
                after[id]
            );
        }
        let again = registry.apply_scan(to, &found, now).await.unwrap();
        assert!(again.is_empty(), "{again:?}");
        let mut first_seen: Vec<i64> = registry
            .devices()
            .await
            .unwrap()
            .iter()
            .map(|d| d.first_seen_ms)
            .collect();
        first_seen.retain(|&ms| ms > now);
        assert!(first_seen.is_empty());
    }
    assert!(
        registry
            .entities(None)
            .await
            .unwrap()
            .iter()
            .any(|e| e.lifecycle == Lifecycle::Missing)
    );
}

#[tokio::test]
async fn only_the_latest_scans_keep_their_evidence() {
    let dir = tempdir().unwrap();
    let registry = open(dir.path()).await;
    let here = registry.add_connection(connection("here"), 1).await.unwrap().id;
    let other = registry.add_connection(connection("other"), 1).await.unwrap().id;
    let probe = Evidence {
        unit_id: 100,
        function: 3,
        at: 800,
        count: 1,
        outcome: Outcome::Silent,
        exception: None,
        words: vec![],
        at_ms: 1,
    };
    let elsewhere = registry.begin_scan(&other, "quick", "", 1).await.unwrap();
    registry
        .record_evidence(elsewhere, std::slice::from_ref(&probe))
        .await
        .unwrap();
    for now in 0..110 {
        let scan = registry.begin_scan(&here, "listed", "1,3-9", now).await.unwrap();
        registry
            .record_evidence(scan, &[probe.clone(), probe.clone()])
            .await
            .unwrap();
        registry
            .finish_scan(scan, ScanState::Cancelled, Tally::default(), Some("enough"), now)
            .await
            .unwrap();
    }
    let scans = registry.scans(&here).await.unwrap();
    assert_eq!(
        (scans.len(), scans[0].started_ms, scans[0].units.as_str()),
        (100, 109, "1,3-9")
    );
    for (number, scan) in scans.iter().enumerate() {
        let expected = if number < 5 { 2 } else { 0 };
        assert_eq!(
            registry.evidence(scan.id).await.unwrap().len(),
            expected,
            "scan {number} from the end"
        );
    }
    assert_eq!(registry.evidence(elsewhere).await.unwrap().len(), 1);
    assert!(registry.record_evidence(9999, &[probe]).await.is_err());
    assert!(
        registry
            .finish_scan(9999, ScanState::Failed, Tally::default(), None, 1)
            .await
            .is_err()
    );
}
