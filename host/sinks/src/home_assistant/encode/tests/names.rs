//! What things are called.

use std::collections::BTreeMap;

use super::*;
use crate::bus::OwnersWord;

fn named(points: &str, key: &str, owner: Option<&str>) -> Value {
    let names: BTreeMap<String, String> = owner
        .map(|name| (key.to_owned(), name.to_owned()))
        .into_iter()
        .collect();
    let device = device(of_points(points), Status::Present).of_owner(OwnersWord {
        names,
        ..OwnersWord::default()
    });
    super::told(&device, &[]).components[key]["name"].clone()
}

const TWO: &str = "a = { at = 0, type = \"i16\", unit = \"W\", class = \"power\" }\n\
                   b = { at = 1, type = \"i16\", unit = \"V\", class = \"voltage\" }";
const ONE: &str =
    "a = { at = 0, type = \"i16\", unit = \"°C\", class = \"temperature\", label = \"Temperature\" }";

#[test]
fn the_devices_own_name_is_left_out() {
    assert_eq!(named(TWO, "a", Some("Cellar power")), "Power");
    assert_eq!(named(TWO, "a", Some("cellar: power")), "Power");
    assert_eq!(named(TWO, "a", Some("Cellars power")), "Cellars power");
    assert_eq!(named(TWO, "a", Some("Power of the pump")), "Power of the pump");
    assert_eq!(named(TWO, "a", Some("Cellar")), Value::Null);
}

#[test]
fn what_a_device_is_there_for_is_called_like_it() {
    assert_eq!(named(ONE, "a", None), Value::Null);
    assert_eq!(named(ONE, "a", Some("Boiler")), "Boiler");
    assert_eq!(named(TWO, "a", None), "A");
}

#[test]
fn numbers_of_an_enumeration_have_names_that_are_among_the_options() {
    let points = "mode = { at = 0, type = \"u16\", class = \"enum\", unlisted = \"Unknown ({})\", \
                  labels = { 0 = \"None\", 1 = \"It's on\", 2 = \"On {{ x }}\", 3 = \"It's on\" } }";
    let device = device(of_points(points), Status::Present);
    let told = super::told(&device, &[]);
    let mode = &told.components["mode"];
    assert_eq!(
        mode["options"],
        json!(["(None)", "It's on", "On {{ x }}", "Unknown"])
    );
    assert_eq!(
        mode["value_template"],
        "{{ {'None':'(None)'}.get(value_json.mode, value_json.mode) if value_json is mapping and value_json.mode in \
         ['None','It\\'s on','On \\x7b\\x7b x \\x7d\\x7d'] else 'Unknown' if value_json is mapping and value_json.mode is string else None }}"
    );
}

#[test]
fn a_key_that_is_a_word_of_the_templates_is_a_key_all_the_same() {
    let device = device(of_points("items = { at = 0, type = \"i16\" }"), Status::Present);
    let told = super::told(&device, &[]);
    let template = told.components["items"]["value_template"].as_str().unwrap();
    assert!(template.contains("value_json['items']"), "{template}");
}
