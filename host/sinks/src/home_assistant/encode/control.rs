//! What an entity that its owner opened for writing has beside its sensor: number, switch, select, button or text, within
//! the limits that hold now. Pure.

use busbar_ledger::model::Point;
use busbar_ledger::value::Value as Reading;
use busbar_ledger::write::{Kind, Storage};
use serde_json::{Map, Value, json};

use super::{Component, beside, classes, object, template, unique_id};
use crate::door::Writable;
use crate::mqtt::topics::Topics;
use crate::view::Entity;

/// The id of the part that tells what became of the last write. Keys have no hyphen.
pub const LAST_WRITE: &str = "last-write";
/// More steps than this are not set with a slider.
const SLIDER: f64 = 100.0;
/// The smallest step that Home Assistant takes.
const SMALLEST_STEP: f64 = 0.001;
/// The longest text that it takes.
const LONGEST_TEXT: usize = 255;
/// What a switch sends.
const ON: &str = "ON";
const OFF: &str = "OFF";

/// The parts with which an entity is written.
pub fn controls(
    entity: &Entity,
    writable: &Writable,
    name: &Option<String>,
    topics: &Topics,
) -> Vec<(String, Component)> {
    let point = entity.point;
    let begun = |what: &str, platform: &str| {
        let id = beside(&point.key, what);
        let mut part = Map::new();
        part.insert("p".to_owned(), json!(platform));
        part.insert("unique_id".to_owned(), json!(unique_id(&writable.device, &id)));
        part.insert(
            "command_topic".to_owned(),
            json!(topics.set(&writable.device, &point.key)),
        );
        if !is_control(point) {
            part.insert("entity_category".to_owned(), json!("config"));
        }
        (id, part)
    };
    let press = |what: &str, name: String, value: f64| {
        let (id, mut part) = begun(what, "button");
        part.insert("name".to_owned(), json!(name));
        part.insert("payload_press".to_owned(), json!(value.to_string()));
        (id, part)
    };
    let called = name.as_deref().unwrap_or(&point.label);
    let mut parts = Vec::new();
    match (writable.kind, writable.range) {
        (Kind::Button, _) => {
            let choice = writable.choices.first().map_or(1.0, |(value, _)| *value);
            parts.push(press("set", called.to_owned(), choice));
        }
        (kind, range) => {
            let kind = shown_as(kind, range.is_some(), point);
            let (id, mut part) = begun("set", kind.name());
            part.insert("name".to_owned(), json!(name));
            match (kind, range) {
                (Kind::Switch, _) => switch(&mut part, point),
                (Kind::Text, _) => text(&mut part, point, writable),
                (Kind::Number, Some(range)) => number(&mut part, point, writable, range),
                _ => select(&mut part, point, writable),
            }
            parts.push((id, part));
            if kind == Kind::Number && range.is_some() {
                let choices = writable.choices.iter().enumerate();
                parts.extend(choices.map(|(n, (value, label))| {
                    press(&format!("choice-{}", n + 1), format!("{called}: {label}"), *value)
                }));
            }
        }
    }
    if let Some(no_limit) = writable.no_limit {
        parts.push(press("no-limit", format!("{called}: no limit"), no_limit));
    }
    if writable.risky {
        let (id, mut part) = begun("confirm", "button");
        part.insert(
            "name".to_owned(),
            json!(format!("Confirm {}", lower_first(called))),
        );
        let topic = topics.confirm(&writable.device, &point.key);
        part.insert("command_topic".to_owned(), json!(topic));
        parts.push((id, part));
    }
    parts
}

/// The sensor that tells what became of the last write to a device, and why one was refused.
pub fn last_write(device: &str, topics: &Topics) -> Component {
    let results = topics.all_results(device);
    let outcomes = [
        ("applied", "Applied"),
        ("clamped", "Clamped"),
        ("rejected", "Rejected by the device"),
        ("unknown", "Not known"),
        ("reverted", "Reverted"),
        ("refused", "Refused"),
        ("dry_run", "Dry run"),
        ("confirm", "To be confirmed"),
    ];
    let list: Vec<String> = outcomes
        .iter()
        .map(|(word, name)| format!("'{word}':'{name}'"))
        .collect();
    let part = json!({
        "p": "sensor",
        "unique_id": unique_id(device, LAST_WRITE),
        "name": "Last write",
        "device_class": "enum",
        "options": outcomes.map(|(_, name)| name),
        "entity_category": "diagnostic",
        "state_topic": results,
        "value_template": format!("{{{{ {{{}}}.get(value_json.outcome | string) if {THERE} else None }}}}", list.join(","), THERE = template::THERE),
        "json_attributes_topic": results,
        // The token of a write that asks twice is nobody's business.
        "json_attributes_template":
            "{{ dict((value_json if value_json is mapping else {}).items() | selectattr(0, 'in', ['entity', \
             'requested', 'reason', 'binding_limit', 'hint'])) | tojson }}",
    });
    object(part)
}

/// Something that is set again and again, rather than once.
fn is_control(point: &Point) -> bool {
    let rule = point.write.as_ref();
    rule.is_some_and(|rule| rule.storage == Storage::Volatile)
}

/// As what a setting is shown: one whose two states are more than off and on says by a name what it does, so that nobody
/// has to guess whether "on" means that feeding in is allowed or forbidden.
fn shown_as(kind: Kind, has_range: bool, point: &Point) -> Kind {
    const OFF_AND_ON: [(&str, &str); 9] = [
        ("off", "on"),
        ("no", "yes"),
        ("disabled", "enabled"),
        ("inactive", "active"),
        ("not active", "active"),
        ("not allowed", "allowed"),
        ("stop", "start"),
        ("stopped", "started"),
        ("open", "closed"),
    ];
    let label = |number: i64| point.labels.get(&number).map(|label| label.to_lowercase());
    let plain = match (label(0), label(1)) {
        (Some(off), Some(on)) => OFF_AND_ON.contains(&(off.as_str(), on.as_str())),
        _ => true,
    };
    match kind {
        Kind::Number if !has_range => Kind::Select,
        Kind::Switch if !plain => Kind::Select,
        kind => kind,
    }
}

fn number(part: &mut Component, point: &Point, writable: &Writable, (low, high): (f64, f64)) {
    let measure = classes::measure(point);
    // What is set is in the point's unit, whatever its sensor is told in.
    let class = measure.device_class.filter(|_| measure.factor.is_none());
    let class = class.filter(|class| !matches!(*class, "timestamp" | "enum"));
    let step = writable
        .step
        .unwrap_or_else(|| 10f64.powi(-i32::from(point.decimals)))
        .max(SMALLEST_STEP);
    let wide = (high - low) / step > SLIDER;
    part.insert("min".to_owned(), json!(low));
    part.insert("max".to_owned(), json!(high));
    part.insert("step".to_owned(), json!(step));
    part.insert("mode".to_owned(), json!(if wide { "box" } else { "slider" }));
    part.insert(
        "value_template".to_owned(),
        json!(template::bounded(&point.key, low, high)),
    );
    if let Some(class) = class {
        part.insert("device_class".to_owned(), json!(class));
    }
    if let Some(unit) = &point.unit {
        part.insert("unit_of_measurement".to_owned(), json!(unit));
    }
}

fn switch(part: &mut Component, point: &Point) {
    let said =
        [(0.0, OFF.to_owned()), (1.0, ON.to_owned())].map(|(value, word)| (in_state(point, value), word));
    part.insert("payload_on".to_owned(), json!(ON));
    part.insert("payload_off".to_owned(), json!(OFF));
    part.insert(
        "value_template".to_owned(),
        json!(template::translated(&point.key, &said)),
    );
}

fn select(part: &mut Component, point: &Point, writable: &Writable) {
    let names = names(&writable.choices);
    let options: Vec<&String> = names.iter().map(|(_, name)| name).collect();
    part.insert("options".to_owned(), json!(options));
    let said: Vec<(Value, String)> = names
        .iter()
        .map(|(value, name)| (in_state(point, *value), name.clone()))
        .collect();
    // Two choices that the state calls the same cannot be told apart there.
    let once = |word: &Value| said.iter().filter(|(other, _)| other == word).count() == 1;
    let said: Vec<_> = said.iter().filter(|(word, _)| once(word)).cloned().collect();
    part.insert(
        "value_template".to_owned(),
        json!(template::translated(&point.key, &said)),
    );
    part.insert("command_template".to_owned(), json!(template::choice(&names)));
}

fn text(part: &mut Component, point: &Point, writable: &Writable) {
    let most = writable.max_bytes.unwrap_or(LONGEST_TEXT).clamp(1, LONGEST_TEXT);
    part.insert("max".to_owned(), json!(most));
    part.insert(
        "value_template".to_owned(),
        json!(template::writable_text(&point.key, most)),
    );
}

/// How the state has a number of a point: by its label, where it has one.
fn in_state(point: &Point, number: f64) -> Value {
    let whole = number.fract() == 0.0 && number.abs() < 9e15;
    let label = whole
        .then(|| point.meaning(&Reading::Integer(number as i64)))
        .flatten();
    label.map_or_else(|| json!(number), Value::String)
}

/// Choices with names of which no two are the same.
fn names(choices: &[(f64, String)]) -> Vec<(f64, String)> {
    let option = |label: &str| template::option(label);
    let twice = |name: &str| choices.iter().filter(|(_, label)| option(label) == name).count() > 1;
    let each = choices.iter().map(|(value, label)| match option(label) {
        name if twice(&name) => (*value, template::option(&format!("{name} ({value})"))),
        name => (*value, name),
    });
    each.collect()
}

/// `Charge current` within a sentence; what is an abbreviation stays.
fn lower_first(name: &str) -> String {
    let mut letters = name.chars();
    match (letters.next(), letters.clone().next()) {
        (Some(first), Some(second)) if second.is_lowercase() => first.to_lowercase().chain(letters).collect(),
        _ => name.to_owned(),
    }
}
