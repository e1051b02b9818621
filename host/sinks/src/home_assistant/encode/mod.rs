//! What Home Assistant is told of a device: made from what is known of it, pure.

mod classes;
mod control;
mod device;
mod older;
mod sensor;
mod template;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::bus::Device;
use crate::door::Writable;
use crate::mqtt::topics::Topics;
use crate::view;

/// What one part of Home Assistant's device is.
pub type Component = Map<String, Value>;

/// What is told of one device.
#[derive(Clone, Debug, PartialEq)]
pub struct Announcement {
    /// Who it is.
    pub device: Value,
    /// Who says so.
    pub origin: Value,
    /// What holds for all parts: where its state is, and what must be there for it to be available.
    pub shared: Component,
    /// Its parts by their id, each with its platform in `p`.
    pub components: BTreeMap<String, Component>,
}

/// Composes what is told of a device. `writable` are the entities of all devices that may be written, `via` is the id of
/// the gateway that it is behind.
pub fn announcement(
    device: &Device,
    writable: &[Writable],
    via: Option<&str>,
    topics: &Topics,
    version: &str,
) -> Announcement {
    let id = &device.meta.id;
    let entities = view::entities(device);
    let main = sensor::main_entity(&device.meta.ledger);
    let mut components = BTreeMap::new();
    let mut has_controls = false;
    for entity in &entities {
        let name = sensor::name(device, entity, main);
        let key = &entity.point.key;
        components.insert(key.clone(), sensor::sensor(device, entity, &name));
        let control = writable.iter().find(|w| w.device == *id && w.key == *key);
        if let Some(writable) = control {
            has_controls = true;
            components.extend(control::controls(entity, writable, &name, topics));
        }
    }
    if has_controls {
        components.insert(control::LAST_WRITE.to_owned(), control::last_write(id, topics));
    }
    let shared = json!({
        "state_topic": topics.state(id),
        "availability": [{ "topic": topics.status() }, { "topic": topics.availability(id) }],
        "availability_mode": "all",
    });
    Announcement {
        device: device::describe(device, via),
        origin: json!({ "name": "Busbar", "sw_version": version }),
        shared: object(shared),
        components,
    }
}

/// This host as a device of its own, with the way back for what was deleted.
pub fn host(id: &str, topics: &Topics, version: &str) -> Announcement {
    let button = json!({
        "p": "button",
        "unique_id": unique_id(id, "tell-again"),
        "name": "Announce deleted devices",
        "command_topic": topics.tell_again(),
        "entity_category": "config",
    });
    let shared = json!({ "availability": [{ "topic": topics.status() }] });
    Announcement {
        device: json!({ "identifiers": [id], "name": "Busbar", "model": "Busbar", "sw_version": version }),
        origin: json!({ "name": "Busbar", "sw_version": version }),
        shared: object(shared),
        components: BTreeMap::from([("tell-again".to_owned(), object(button))]),
    }
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}

impl Announcement {
    /// The document for `<prefix>/device/<id>/config`.
    pub fn document(&self) -> Value {
        let mut document = self.shared.clone();
        document.insert("dev".to_owned(), self.device.clone());
        document.insert("o".to_owned(), self.origin.clone());
        document.insert("cmps".to_owned(), json!(self.components));
        Value::Object(document)
    }

    /// The same in one document for each part, for versions before 2024.11: by the part's id the platform and the
    /// document for `<prefix>/<platform>/<device id>/<part's id>/config`.
    pub fn documents(&self) -> BTreeMap<&str, (&str, Value)> {
        let single = |component: &Component| {
            let mut component = component.clone();
            older::adapt(&mut component, &self.shared);
            let mut document = self.shared.clone();
            document.extend(component);
            document.remove("p");
            document.insert("dev".to_owned(), self.device.clone());
            document.insert("o".to_owned(), self.origin.clone());
            Value::Object(document)
        };
        self.components
            .iter()
            .map(|(id, component)| (id.as_str(), (platform(component), single(component))))
            .collect()
    }
}

/// The platform of a part.
pub fn platform(component: &Component) -> &str {
    component.get("p").and_then(Value::as_str).unwrap_or("sensor")
}

/// The id of a part that belongs to an entity but is not its sensor. Keys have no hyphen: no two ids are the same.
fn beside(key: &str, what: &str) -> String {
    format!("{key}-{what}")
}

/// What no two things of one Home Assistant share: from the device's id, which comes from its serial.
fn unique_id(device: &str, component: &str) -> String {
    format!("{device}_{component}")
}

#[cfg(test)]
mod tests;
