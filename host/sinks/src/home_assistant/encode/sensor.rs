//! The sensor that each entity has. Pure.

use busbar_ledger::model::{Ledger, Point};
use busbar_ledger::presence::Status;
use serde_json::{Map, Value, json};

use super::{Component, classes, template, unique_id};
use crate::bus::Device;
use crate::view::Entity;

/// The point that a device is there for, where it is there for one: of a thermometer the temperature. Home Assistant
/// calls it like the device.
pub fn main_entity(ledger: &Ledger) -> Option<&str> {
    let measured = |point: &&Point| {
        let measure = classes::measure(point);
        let of_value = measure.unit.is_some() && measure.state_class.is_some();
        of_value && !point.internal && !classes::is_diagnostic(point)
    };
    let mut all = ledger.points.iter().filter(measured);
    match (all.next(), all.next()) {
        (Some(only), None) => Some(&only.key),
        _ => None,
    }
}

/// What an entity is called there: without its device's name, which Home Assistant puts before it. `None`: like the
/// device.
pub fn name(device: &Device, entity: &Entity, main: Option<&str>) -> Option<String> {
    let (name, of_device) = (entity.name.trim(), device.meta.name.trim());
    let by_owner = device.owner.names.contains_key(&entity.point.key);
    if name.is_empty() || (!by_owner && main == Some(entity.point.key.as_str())) {
        return None;
    }
    let begins = name
        .get(..of_device.len())
        .is_some_and(|first| first.to_lowercase() == of_device.to_lowercase());
    let rest = match begins && !of_device.is_empty() {
        true => name.get(of_device.len()..).unwrap_or_default(),
        false => return Some(name.to_owned()),
    };
    if rest.chars().next().is_some_and(char::is_alphanumeric) {
        // The device's name is only the beginning of a word.
        return Some(name.to_owned());
    }
    let rest = rest.trim_start_matches(|c: char| !c.is_alphanumeric());
    let mut letters = rest.chars();
    letters
        .next()
        .map(|first| first.to_uppercase().chain(letters).collect())
}

/// An entity as a sensor.
pub fn sensor(device: &Device, entity: &Entity, name: &Option<String>) -> Component {
    let point = entity.point;
    let measure = classes::measure(point);
    let mut sensor = Map::new();
    let mut put = |key: &str, value: Value| sensor.insert(key.to_owned(), value);
    put("p", json!("sensor"));
    put("unique_id", json!(unique_id(&device.meta.id, &point.key)));
    put("name", json!(name));
    put("value_template", json!(value_template(point, &measure)));
    if let Some(class) = measure.device_class {
        put("device_class", json!(class));
    }
    if let Some(unit) = measure.unit {
        put("unit_of_measurement", json!(unit));
    }
    if let Some(class) = measure.state_class {
        put("state_class", json!(class));
    }
    if let Some(decimals) = measure.decimals {
        put("suggested_display_precision", json!(decimals));
    }
    if !point.labels.is_empty() {
        put("options", json!(options(point)));
    }
    if classes::is_diagnostic(point) {
        put("entity_category", json!("diagnostic"));
    }
    if entity.slot.status == Status::Unproven || classes::is_noisy(point) {
        put("enabled_by_default", json!(false));
    }
    sensor
}

fn value_template(point: &Point, measure: &classes::Measure) -> String {
    let key = &point.key;
    if !point.labels.is_empty() {
        return template::named(key, &names(point), other(point).as_deref());
    }
    match measure.device_class {
        Some("timestamp") => template::moment(key),
        _ if measure.decimals.is_some() => template::number(key, measure.factor, measure.decimals),
        _ => template::text(key),
    }
}

/// The names of an enumeration's numbers, each once.
fn names(point: &Point) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for label in point.labels.values() {
        if !names.contains(label) {
            names.push(label.clone());
        }
    }
    names
}

/// What all numbers are called that have no name. There is no end to them, so the number itself cannot be in it.
fn other(point: &Point) -> Option<String> {
    let unlisted = point.unlisted.as_ref()?;
    let Some((before, after)) = unlisted.split_once("{}") else {
        return Some(template::option(unlisted));
    };
    // `Unknown ({})` is `Unknown`, `Three phases (setting {})` is `Three phases`.
    let (before, after) = match (before.rsplit_once('('), after.split_once(')')) {
        (Some((before, _)), Some((_, after))) => (before, after),
        _ => (before, after),
    };
    let joined = format!("{} {}", before.trim(), after.trim());
    Some(match joined.trim() {
        "" => "Other".to_owned(),
        other => template::option(other),
    })
}

/// Everything that an enumeration can be, each once.
fn options(point: &Point) -> Vec<String> {
    let mut options: Vec<String> = Vec::new();
    for option in names(point)
        .iter()
        .map(|name| template::option(name))
        .chain(other(point))
    {
        if !options.contains(&option) {
            options.push(option);
        }
    }
    options
}
