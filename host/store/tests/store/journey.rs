//! A registry and a history as a host uses them: set up, scanned, polled, stopped, read by a command.

use busbar_store::{
    Asked, Connection, Evidence, Found, FoundDevice, FoundEntity, History, Lifecycle, NewConnection, Origin,
    Outcome, Promotion, Quality, Readable, Registry, Sample, ScanState, Status, StoreError, Tally,
};
use serde_json::json;
use tempfile::tempdir;

fn home() -> NewConnection {
    NewConnection {
        name: "home".into(),
        url: "modbus+tcp://gx.local:502".into(),
        plugin: Some("victron-gx".into()),
        options: json!({"interval": "5s"}),
    }
}

fn entity(key: &str, at: u16, status: Status) -> FoundEntity {
    FoundEntity {
        key: key.into(),
        at: Some(at),
        function: Some(3),
        bit: None,
        status,
        proof: Some(format!("register {at} was read")),
    }
}

fn found(name: &str, entities: Vec<FoundEntity>) -> Found {
    let device = FoundDevice {
        id: "abc_system_u100".into(),
        unit_id: 100,
        ledger: "victron/gx-system".into(),
        name: Some(name.into()),
        model: None,
        serial: Some("abc".into()),
        firmware: Some("3.50".into()),
        entities,
        readable: vec![Readable {
            function: 3,
            at: 800,
            count: 50,
        }],
        complete: true,
    };
    Found {
        devices: vec![device],
        asked: vec![Asked {
            unit_id: 100,
            function: 3,
            at: 800,
            count: 50,
        }],
    }
}

#[tokio::test]
async fn what_is_found_is_kept_and_read_by_a_command() {
    let dir = tempdir().unwrap();
    let data = dir.path().join("data");
    let (registry, opening) = Registry::open(&data).await.unwrap();
    assert_eq!(opening.origin, Origin::Fresh);
    assert_eq!(opening.notes(), Vec::<String>::new());

    let home = registry.add_connection(home(), 1).await.unwrap();
    assert!(home.id.len() == 8 && home.id.starts_with('c'), "{}", home.id);
    let taken = registry.add_connection(self::home(), 2).await.unwrap_err();
    assert!(matches!(taken, StoreError::NameTaken { .. }), "{taken}");
    assert_eq!(registry.connection("home").await.unwrap().as_ref(), Some(&home));
    assert_eq!(registry.connection(&home.id).await.unwrap().as_ref(), Some(&home));

    let moved = Connection {
        url: "modbus+tcp://192.168.1.9:502".into(),
        plugin: None,
        ..home.clone()
    };
    registry.update_connection(&moved).await.unwrap();
    assert_eq!(registry.connections().await.unwrap(), vec![moved]);
    registry
        .put_profile(&home.id, &json!({"in_flight": 4}))
        .await
        .unwrap();
    registry
        .put_profile(&home.id, &json!({"in_flight": 8}))
        .await
        .unwrap();
    assert_eq!(
        registry.profile(&home.id).await.unwrap(),
        Some(json!({"in_flight": 8}))
    );

    let scan = registry.begin_scan(&home.id, "quick", "", 10).await.unwrap();
    let evidence = |at: u16| Evidence {
        unit_id: 100,
        function: 3,
        at,
        count: 2,
        outcome: if at.is_multiple_of(2) {
            Outcome::Words
        } else {
            Outcome::Exception
        },
        exception: (at % 2 == 1).then_some(2),
        words: if at.is_multiple_of(2) {
            vec![at, 0xfffe]
        } else {
            vec![]
        },
        at_ms: 11,
    };
    let all: Vec<Evidence> = (0..2500).map(evidence).collect();
    registry.record_evidence(scan, &all[..1700]).await.unwrap();
    registry.record_evidence(scan, &all[1700..]).await.unwrap();
    assert_eq!(registry.evidence(scan).await.unwrap(), all);

    // A name as hostile as devices have them.
    let name = "Tower </script> \"quoted\" \u{0} \r\n \u{202e} 🔋 'x'; DROP TABLE device; --";
    let found = found(
        name,
        vec![
            entity("soc", 843, Status::Present),
            entity("power", 842, Status::Unproven),
        ],
    );
    let diff = registry.preview_scan(&home.id, &found, 12).await.unwrap();
    assert!(
        registry.devices().await.unwrap().is_empty(),
        "a preview changes nothing"
    );
    assert_eq!(registry.apply_scan(&home.id, &found, 12).await.unwrap(), diff);
    assert_eq!(diff.new.devices, ["abc_system_u100"]);
    assert_eq!(
        diff.new.entities,
        ["abc_system_u100.soc", "abc_system_u100.power"]
    );
    let tally = Tally {
        requests: 20,
        exceptions: 3,
        probed: 18,
        possible: 33,
    };
    registry
        .finish_scan(scan, ScanState::Complete, tally, None, 13)
        .await
        .unwrap();

    let device = registry.devices().await.unwrap().remove(0);
    assert_eq!(device.name.as_deref(), Some(name));
    let power = registry.entity("abc_system_u100.power").await.unwrap().unwrap();
    assert_eq!(
        (power.status, power.lifecycle, power.at),
        (Status::Unproven, Lifecycle::New, Some(842))
    );
    let proof = |key: &str| Promotion {
        device_id: device.id.clone(),
        key: key.into(),
        proof: "it said 7".into(),
    };
    assert_eq!(
        registry
            .promote(&[proof("power"), proof("soc"), proof("nothing")])
            .await
            .unwrap(),
        1
    );
    registry
        .touch(std::slice::from_ref(&device.id), 99)
        .await
        .unwrap();
    registry
        .name_entity("abc_system_u100.soc", Some("Battery"))
        .await
        .unwrap();
    registry.set_retired("abc_system_u100.soc", true).await.unwrap();

    let (history, _) = History::open(&registry).await.unwrap();
    let sample = Sample {
        entity: "abc_system_u100.power",
        value: Some(7.3),
        quality: Quality::Good,
    };
    history.append(1000, &[sample]).await.unwrap();
    history.close().await.unwrap();
    registry.close().await.unwrap();
    drop((history, registry));
    let mut files: Vec<String> = data
        .read_dir()
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    assert_eq!(files, ["busbar.lock", "history.db", "registry.db"]);

    let registry = Registry::open_read_only(&data).await.unwrap();
    let device = registry.devices().await.unwrap().remove(0);
    assert_eq!((device.last_seen_ms, device.first_seen_ms), (99, 12));
    let power = registry.entity("abc_system_u100.power").await.unwrap().unwrap();
    assert_eq!(
        (power.status, power.proof.as_deref()),
        (Status::Present, Some("it said 7"))
    );
    let soc = registry.entity("abc_system_u100.soc").await.unwrap().unwrap();
    assert_eq!(
        (soc.lifecycle, soc.name.as_deref()),
        (Lifecycle::Retired, Some("Battery"))
    );
    assert_eq!(
        registry.entities(Some(&device.id)).await.unwrap(),
        vec![power, soc]
    );
    assert_eq!(registry.entities(None).await.unwrap().len(), 2);
    assert_eq!(
        registry.readable(&device.id).await.unwrap(),
        [Readable {
            function: 3,
            at: 800,
            count: 50
        }]
    );
    let scan = registry.scans(&home.id).await.unwrap().remove(0);
    assert_eq!(
        (scan.state, scan.tally, scan.ended_ms),
        (ScanState::Complete, tally, Some(13))
    );
    let refused = registry.touch(&[device.id], 100).await.unwrap_err();
    assert!(matches!(refused, StoreError::ReadOnly { .. }), "{refused}");
    let history = History::open_read_only(&data).await.unwrap();
    let stored = history
        .samples("abc_system_u100.power", 0, 2000, 10)
        .await
        .unwrap();
    assert_eq!(
        (stored.len(), stored[0].ts_ms, stored[0].value),
        (1, 1000, Some(7.3))
    );
    drop((history, registry));
    assert_eq!(
        data.read_dir().unwrap().count(),
        3,
        "a command leaves nothing behind"
    );
}
