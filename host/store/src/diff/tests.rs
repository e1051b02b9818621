use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::sample::select;

use super::*;

const HERE: &str = "chere";
const NOW: i64 = 1_000;

/// What the registry does with a diff, on a model.
fn apply(known: &[KnownDevice], diff: &Diff) -> Vec<KnownDevice> {
    let mut devices: BTreeMap<String, KnownDevice> =
        known.iter().map(|k| (k.device.id.clone(), k.clone())).collect();
    for device in &diff.rows.devices {
        let new = KnownDevice {
            device: device.clone(),
            entities: vec![],
            readable: vec![],
        };
        devices.entry(device.id.clone()).or_insert(new).device = device.clone();
    }
    for entity in &diff.rows.entities {
        let device = devices
            .get_mut(&entity.device_id)
            .expect("an entity lies on a device");
        device.entities.retain(|e| e.key != entity.key);
        device.entities.push(entity.clone());
        device.entities.sort_by(|a, b| a.key.cmp(&b.key));
    }
    for (id, readable) in &diff.rows.readable {
        devices
            .get_mut(id)
            .expect("what is readable lies on a device")
            .readable = readable.clone();
    }
    devices.into_values().collect()
}

fn status() -> impl Strategy<Value = Status> {
    select(&[Status::Present, Status::Unproven, Status::Absent][..])
}

fn lifecycle() -> impl Strategy<Value = Lifecycle> {
    select(
        &[
            Lifecycle::New,
            Lifecycle::Active,
            Lifecycle::Missing,
            Lifecycle::Retired,
        ][..],
    )
}

fn readable() -> impl Strategy<Value = Vec<Readable>> {
    let run = (1..=4u8, any::<u16>(), 0..3000u32).prop_map(|(function, at, count)| Readable {
        function,
        at,
        count,
    });
    proptest::collection::vec(run, 0..5)
}

prop_compose! {
    fn known_entity()(key in 0..5u8, at in 0..60u16, status in status(), lifecycle in lifecycle(), named: bool) -> Entity {
        Entity {
            device_id: String::new(),
            key: format!("k{key}"),
            at: Some(at),
            function: Some(3),
            bit: None,
            status,
            lifecycle,
            proof: Some("the first proof".into()),
            name: named.then(|| "mine".into()),
            first_seen_ms: 1,
            last_seen_ms: 2,
        }
    }
}

prop_compose! {
    fn known_device()(
        here in any::<bool>(), unit_id in 1..4u8, lifecycle in lifecycle(), firmware: Option<u8>,
        entities in proptest::collection::vec(known_entity(), 0..6), readable in readable(),
    ) -> KnownDevice {
        let device = Device {
            id: String::new(),
            connection_id: if here { HERE } else { "celsewhere" }.into(),
            unit_id,
            ledger: "generic/test".into(),
            name: None,
            own_name: None,
            model: Some("M1".into()),
            serial: None,
            firmware: firmware.map(|f| f.to_string()),
            lifecycle,
            first_seen_ms: 1,
            last_seen_ms: 2,
        };
        KnownDevice { device, entities, readable: normalised(&readable) }
    }
}

fn known() -> impl Strategy<Value = Vec<KnownDevice>> {
    proptest::collection::btree_map(0..5u8, known_device(), 0..5).prop_map(|devices| {
        let named = devices.into_iter().map(|(number, mut known)| {
            let id = format!("d{number}");
            let mut keys = BTreeSet::new();
            known.entities.retain(|e| keys.insert(e.key.clone()));
            known.entities.sort_by(|a, b| a.key.cmp(&b.key));
            known
                .entities
                .iter_mut()
                .for_each(|e| e.device_id.clone_from(&id));
            known.device.id = id;
            known
        });
        named.collect()
    })
}

prop_compose! {
    fn found_entity()(key in 0..7u8, at in 0..60u16, status in status()) -> FoundEntity {
        let proof = Some("a later proof".into());
        FoundEntity { key: format!("k{key}"), at: Some(at), function: Some(3), bit: None, status, proof }
    }
}

prop_compose! {
    fn found_device()(
        number in 0..7u8, unit_id in 1..4u8, firmware: Option<u8>, complete: bool,
        entities in proptest::collection::vec(found_entity(), 0..6), readable in readable(),
    ) -> FoundDevice {
        FoundDevice {
            id: format!("d{number}"),
            unit_id,
            ledger: "generic/test".into(),
            name: Some("its own name".into()),
            model: None,
            serial: None,
            firmware: firmware.map(|f| f.to_string()),
            entities,
            readable,
            complete,
        }
    }
}

prop_compose! {
    pub(crate) fn found()(
        devices in proptest::collection::vec(found_device(), 0..5),
        asked in proptest::collection::vec((1..4u8, 0..60u16, 0..20u16), 0..6),
    ) -> Found {
        let asked = asked.into_iter().map(|(unit_id, at, count)| Asked { unit_id, function: 3, at, count }).collect();
        Found { devices, asked }
    }
}

fn ids(known: &[KnownDevice]) -> BTreeSet<String> {
    known
        .iter()
        .flat_map(|k| k.entities.iter().map(Entity::id).chain([k.device.id.clone()]))
        .collect()
}

proptest! {
    #[test]
    fn nothing_is_deleted_or_renamed(known in known(), found in found()) {
        let after = apply(&known, &diff(HERE, &known, &found, NOW));
        prop_assert!(ids(&after).is_superset(&ids(&known)));
        for old in &known {
            let new = after.iter().find(|n| n.device.id == old.device.id).unwrap();
            prop_assert_eq!(new.device.first_seen_ms, old.device.first_seen_ms);
            for entity in &old.entities {
                let new = new.entities.iter().find(|n| n.key == entity.key).unwrap();
                prop_assert_eq!((&new.name, new.first_seen_ms), (&entity.name, entity.first_seen_ms));
                if entity.status == Status::Present {
                    prop_assert_eq!((new.status, &new.proof), (Status::Present, &entity.proof));
                }
                if entity.lifecycle == Lifecycle::Retired {
                    prop_assert_eq!(new.lifecycle, Lifecycle::Retired);
                }
            }
            if old.device.lifecycle == Lifecycle::Retired {
                prop_assert_eq!(new.device.lifecycle, Lifecycle::Retired);
            }
        }
    }

    #[test]
    fn what_was_found_stands_as_found(known in known(), found in found()) {
        let after = apply(&known, &diff(HERE, &known, &found, NOW));
        let mut seen = BTreeSet::new();
        for device in found.devices.iter().filter(|d| seen.insert(&d.id)) {
            let new = after.iter().find(|n| n.device.id == device.id).unwrap();
            prop_assert_eq!((new.device.connection_id.as_str(), new.device.unit_id), (HERE, device.unit_id));
            prop_assert_eq!(new.device.last_seen_ms, NOW);
            prop_assert!(new.device.lifecycle != Lifecycle::Missing);
            let mut keys = BTreeSet::new();
            for entity in device.entities.iter().filter(|e| keys.insert(&e.key)) {
                let new = new.entities.iter().find(|n| n.key == entity.key).unwrap();
                let old = known.iter().find(|k| k.device.id == device.id);
                let old = old.and_then(|k| k.entities.iter().find(|e| e.key == entity.key));
                let was_there = old.is_some_and(|old| old.status != Status::Absent);
                if device.complete && entity.status == Status::Absent && was_there {
                    prop_assert!(matches!(new.lifecycle, Lifecycle::Missing | Lifecycle::Retired));
                    continue;
                }
                prop_assert!(new.lifecycle != Lifecycle::Missing);
                prop_assert_eq!(new.last_seen_ms, NOW);
            }
        }
    }

    #[test]
    fn the_same_again_is_no_news(known in known(), found in found()) {
        let after = apply(&known, &diff(HERE, &known, &found, NOW));
        let again = diff(HERE, &after, &found, NOW + 1);
        prop_assert!(again.is_empty(), "{again:?}");
    }

    #[test]
    fn what_is_said_is_what_is_done(known in known(), found in found()) {
        let diff = diff(HERE, &known, &found, NOW);
        let (before, after) = (ids(&known), ids(&apply(&known, &diff)));
        let new: BTreeSet<String> = diff.new.devices.iter().chain(&diff.new.entities).cloned().collect();
        prop_assert_eq!(&new, &after.difference(&before).cloned().collect::<BTreeSet<_>>());
        prop_assert!(diff.gone.devices.iter().chain(&diff.gone.entities).all(|id| before.contains(id)));
        prop_assert!(diff.changed.iter().all(|c| before.contains(&c.id) && c.from != c.to));
    }

    #[test]
    fn other_connections_and_what_was_not_asked_stay_as_they_are(known in known(), mut found in found()) {
        found.asked.clear();
        let found_ids: BTreeSet<&String> = found.devices.iter().map(|d| &d.id).collect();
        let after = apply(&known, &diff(HERE, &known, &found, NOW));
        for old in known.iter().filter(|k| !found_ids.contains(&k.device.id)) {
            prop_assert!(after.contains(old));
        }
    }

    #[test]
    fn readable_runs_neither_touch_nor_overflow(runs in readable()) {
        let merged = normalised(&runs);
        for run in &merged {
            prop_assert!(run.count > 0 && u32::from(run.at) + run.count <= 0x1_0000);
        }
        for pair in merged.windows(2) {
            let end = u32::from(pair[0].at) + pair[0].count;
            prop_assert!(pair[0].function < pair[1].function || end < u32::from(pair[1].at));
        }
        let holds = |runs: &[Readable], function, at: u32| {
            runs.iter().any(|r| r.function == function && (u32::from(r.at)..u32::from(r.at) + r.count).contains(&at))
        };
        for run in runs.iter().filter(|r| r.count > 0) {
            let last = (u32::from(run.at) + run.count - 1).min(0xffff);
            for at in [u32::from(run.at), last, last + 1] {
                prop_assert_eq!(holds(&merged, run.function, at), at < 0x1_0000 && holds(&runs, run.function, at));
            }
        }
    }
}

fn device(id: &str, connection: &str, lifecycle: Lifecycle) -> KnownDevice {
    let device = Device {
        id: id.into(),
        connection_id: connection.into(),
        unit_id: 30,
        ledger: "victron/gx-grid".into(),
        name: None,
        own_name: None,
        model: None,
        serial: None,
        firmware: Some("1".into()),
        lifecycle,
        first_seen_ms: 1,
        last_seen_ms: 2,
    };
    KnownDevice {
        device,
        entities: vec![],
        readable: vec![Readable {
            function: 3,
            at: 2600,
            count: 20,
        }],
    }
}

fn asked(at: u16) -> Found {
    Found {
        devices: vec![],
        asked: vec![Asked {
            unit_id: 30,
            function: 3,
            at,
            count: 1,
        }],
    }
}

#[test]
fn a_device_is_missing_only_when_one_of_its_addresses_was_answered() {
    let known = [device("d", HERE, Lifecycle::Active)];
    assert!(diff(HERE, &known, &asked(2599), NOW).is_empty());
    assert!(diff(HERE, &known, &asked(2620), NOW).is_empty());
    for at in [2600, 2619] {
        assert_eq!(diff(HERE, &known, &asked(at), NOW).gone.devices, ["d"]);
    }
    let elsewhere = [device("d", "celsewhere", Lifecycle::Active)];
    assert!(diff(HERE, &elsewhere, &asked(2600), NOW).is_empty());
    let missing = [device("d", HERE, Lifecycle::Missing)];
    assert!(
        diff(HERE, &missing, &asked(2600), NOW).is_empty(),
        "it is reported once"
    );
}

#[test]
fn a_device_that_moved_keeps_its_entities_and_says_so() {
    let mut known = device("d", "celsewhere", Lifecycle::Missing);
    known.entities = vec![first_entity(
        "d",
        &FoundEntity {
            key: "power".into(),
            at: Some(2600),
            function: Some(3),
            bit: None,
            status: Status::Present,
            proof: None,
        },
        1,
    )];
    let found = FoundDevice {
        id: "d".into(),
        unit_id: 31,
        ledger: "victron/gx-grid".into(),
        name: None,
        model: None,
        serial: None,
        firmware: Some("2".into()),
        entities: vec![],
        readable: vec![],
        complete: false,
    };
    let diff = diff(
        HERE,
        &[known],
        &Found {
            devices: vec![found],
            asked: vec![],
        },
        NOW,
    );
    let said: Vec<_> = diff
        .changed
        .iter()
        .map(|c| (c.field, c.from.as_deref(), c.to.as_deref()))
        .collect();
    assert_eq!(
        said,
        [
            ("connection_id", Some("celsewhere"), Some(HERE)),
            ("unit_id", Some("30"), Some("31")),
            ("firmware", Some("1"), Some("2")),
            ("lifecycle", Some("missing"), Some("active")),
        ]
    );
    assert!(
        diff.gone.is_empty() && diff.rows.readable.is_empty(),
        "its extent was not learned to the end"
    );
}
