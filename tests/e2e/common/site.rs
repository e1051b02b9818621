//! What a simulated GX holds, so that a test can say what is right.

use std::collections::{BTreeMap, BTreeSet};

use busbar_ledger::model::{Ledger, Register, ValueType};
use busbar_zoo::ledgers;
use serde_json::Value;

use super::{list, text};

/// A three-phase house on a Cerbo GX: 21 services.
pub const HOUSE: &str = include_str!("../sites/house.toml");
/// A single-phase boat with a genset, two batteries and chargers of every kind: 18 services.
pub const BOAT: &str = include_str!("../sites/boat.toml");

/// A service as the site file has it.
pub struct Truth {
    pub ledger: &'static Ledger,
    pub unit: u8,
    values: BTreeMap<String, toml::Value>,
}

pub fn ledger(name: &str) -> &'static Ledger {
    let found = ledgers().iter().find(|ledger| ledger.name == name);
    found.unwrap_or_else(|| panic!("no ledger {name}"))
}

/// Every service of a site file.
pub fn truths(site: &str) -> Vec<Truth> {
    let site: toml::Table = site.parse().unwrap();
    let services = site["device"][0]["service"].as_array().unwrap();
    let truth = |service: &toml::Value| Truth {
        ledger: ledger(&format!("victron/gx-{}", service["service"].as_str().unwrap())),
        unit: unit_of(service.get("instance").map_or(0, |i| i.as_integer().unwrap())),
        values: service["values"]
            .as_table()
            .unwrap()
            .clone()
            .into_iter()
            .collect(),
    };
    services.iter().map(truth).collect()
}

/// The unit at which a device instance answers: 100 for instance 0, itself below 256, else by the vendor's map.
pub fn unit_of(instance: i64) -> u8 {
    if instance == 0 {
        return 100;
    }
    u8::try_from(instance).unwrap_or_else(|_| {
        let ports: toml::Table = include_str!("../../../ledgers/victron/gx-ports.toml")
            .parse()
            .unwrap();
        let units = ports["units"].as_table().unwrap();
        let of = |port: &toml::Value| port["instance"].as_integer() == Some(instance);
        let unit = units
            .iter()
            .find(|(_, port)| of(port))
            .map(|(unit, _)| unit.parse());
        unit.expect("a mapped instance").unwrap()
    })
}

/// The (unit, ledger) pairs of a report, sorted.
pub fn pairs(report: &Value) -> Vec<(u8, String)> {
    let pair = |device: &Value| {
        (
            device["unit_id"].as_u64().unwrap() as u8,
            text(device, "ledger").to_owned(),
        )
    };
    let mut pairs: Vec<_> = list(report, "devices").iter().map(pair).collect();
    pairs.sort();
    pairs
}

/// The pairs that a site really has, sorted.
pub fn true_pairs(truths: &[Truth]) -> Vec<(u8, String)> {
    let mut pairs: Vec<_> = truths.iter().map(|t| (t.unit, t.ledger.name.clone())).collect();
    pairs.sort();
    pairs
}

/// How well `present` was judged.
#[derive(Debug, Default)]
pub struct Score {
    pub present: usize,
    pub phantoms: Vec<String>,
    pub missed: Vec<String>,
    pub shown: usize,
}

/// Checks every value of a report against what the site holds, and gives the score of the statuses.
pub fn check(report: &Value, truths: &[Truth]) -> Score {
    let mut score = Score::default();
    for truth in truths {
        let is_it =
            |device: &&Value| device["ledger"] == truth.ledger.name && device["unit_id"] == truth.unit;
        let device = list(report, "devices")
            .iter()
            .find(is_it)
            .expect("the device was found");
        let keys: BTreeSet<&str> = list(device, "entities").iter().map(|e| text(e, "key")).collect();
        assert_eq!(
            keys.len(),
            truth
                .ledger
                .points
                .iter()
                .filter(|point| point.integrated().is_none())
                .count(),
            "an entity for each point of {}",
            truth.ledger.name
        );
        for entity in list(device, "entities") {
            truth.check(entity, &mut score);
        }
    }
    score
}

impl Truth {
    /// What the site holds for a point: values belong to paths, and several points may show one path.
    pub fn value(&self, key: &str) -> Option<&toml::Value> {
        let point = self.ledger.point(key).unwrap();
        let same = self
            .ledger
            .points
            .iter()
            .filter(|p| p.key == key || p.origin.is_some() && p.origin == point.origin);
        same.filter_map(|p| self.values.get(&p.key)).next()
    }

    fn check(&self, entity: &Value, score: &mut Score) {
        let (key, id) = (text(entity, "key"), text(entity, "id"));
        let point = self.ledger.point(key).unwrap();
        let Some(at) = entity["at"].as_u64() else { return };
        // The server makes these up by itself: the clock, the firmware, a current from power and voltage.
        if matches!((self.ledger.short_name(), at), (_, 830 | 834 | 777)) {
            return;
        }
        let register = point.registers().iter().find(|r| u64::from(r.span.at) == at);
        let register = register.unwrap_or_else(|| panic!("{id} is not at {at}"));
        let present = entity["status"] == "present";
        score.present += usize::from(present);
        let shown = &entity["value"];
        assert_eq!(shown.is_null(), entity["quality"] != "good", "{entity:#}");
        match self.value(key) {
            None => {
                let nothing = shown.is_null() || shown.as_f64() == Some(0.0) || shown == "";
                assert!(nothing, "{id} shows {shown} for what the site has not");
                if present {
                    score.phantoms.push(id.to_owned());
                }
            }
            Some(toml::Value::String(held)) => {
                assert_eq!(shown, held.as_str(), "{id}");
            }
            Some(held) => {
                let held = held.as_float().or(held.as_integer().map(|i| i as f64)).unwrap();
                if let Some(shown) = shown.as_f64() {
                    assert!(
                        is_right(register, held, shown),
                        "{id} shows {shown}, the site holds {held}"
                    );
                    score.shown += 1;
                } else if held != 0.0 && fits(register, held) {
                    panic!("{id} shows nothing, the site holds {held}: {entity:#}");
                }
                if !present {
                    score.missed.push(format!("{id} = {held}"));
                }
            }
        }
    }
}

/// Within half a step, for what the register can hold.
fn is_right(register: &Register, held: f64, shown: f64) -> bool {
    let step = register.scale.as_f64().abs();
    fits(register, held) && (shown - held).abs() <= step * 0.5 + held.abs() * 1e-9
}

/// Whether a register can say this.
pub fn fits(register: &Register, held: f64) -> bool {
    let raw = (held - register.offset) / register.scale.as_f64();
    let bits = 16 * i32::from(register.span.count);
    let (least, most) = match register.ty {
        ValueType::I16 | ValueType::I32 | ValueType::I64 => {
            (-(2f64.powi(bits - 1)), 2f64.powi(bits - 1) - 1.0)
        }
        _ => (0.0, 2f64.powi(bits) - 1.0),
    };
    (least..=most).contains(&raw.round())
}

/// A site file of a GX with these services (name, device instance), every point with a value that is not 0.
pub fn full(services: &[(&str, i64)]) -> String {
    let mut site =
        "[[device]]\nname = \"gx\"\nkind = \"gx\"\nlisten = \"modbus+tcp://127.0.0.1:0\"\n".to_owned();
    for (service, instance) in services {
        let head = format!(
            "[[device.service]]\nservice = \"{service}\"\ninstance = {instance}\n[device.service.values]\n"
        );
        site.push_str(&head);
        let mut paths = BTreeSet::new();
        for point in &ledger(&format!("victron/gx-{service}")).points {
            let Some(register) = point.register().filter(|_| paths.insert(&point.origin)) else {
                continue;
            };
            let value = match register.ty {
                ValueType::Text => "\"0c0ffee0\"".to_owned(),
                _ if point.key.contains("number_of_phases") => "3".to_owned(),
                _ => format!("{:?}", 100.0 * register.scale.as_f64().abs() + register.offset),
            };
            site.push_str(&format!("{} = {value}\n", point.key));
        }
    }
    site
}
