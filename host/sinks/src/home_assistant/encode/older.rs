//! What versions before 2024.11 need otherwise. To those a sensor that is no number cannot say that it is not known: they
//! take `None` for a text, complain of it in an enumeration or a moment, and log both. There, what is not known is
//! unavailable, and the template gives something harmless meanwhile. Pure.

use serde_json::{Value, json};

use super::{Component, platform};

/// How templates end that may give nothing.
const OR_NONE: &str = "None }}";

/// Makes a part of `shared` fit for older versions.
pub fn adapt(part: &mut Component, shared: &Component) {
    // One with a topic of its own has said nothing until it says something.
    let applies = platform(part) == "sensor" && !is_number(part) && !part.contains_key("state_topic");
    let template = part.get("value_template").and_then(Value::as_str);
    let (Some(template), true) = (template.map(str::to_owned), applies) else {
        return;
    };
    let Some(begin) = template.strip_suffix(OR_NONE) else {
        return;
    };
    let Some((before, known)) = template.rsplit_once("{{ ") else {
        return;
    };
    let known = known.trim_end_matches(" }}");
    let available = format!("{before}{{{{ 'offline' if ({known}) is none else 'online' }}}}");
    let harmless = match part
        .get("options")
        .and_then(|options| options.get(0))
        .and_then(Value::as_str)
    {
        Some(first) => super::template::quoted(first),
        None if part.contains_key("device_class") => "'1970-01-01T00:00:00+00:00'".to_owned(),
        None => "''".to_owned(),
    };
    part.insert(
        "value_template".to_owned(),
        json!(format!("{begin}{harmless} }}}}")),
    );
    let mut all = shared
        .get("availability")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    all.push(json!({ "topic": shared.get("state_topic"), "value_template": available }));
    part.insert("availability".to_owned(), json!(all));
}

fn is_number(part: &Component) -> bool {
    part.contains_key("suggested_display_precision")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adapted(part: Value) -> Value {
        let object = |value: Value| value.as_object().cloned().unwrap();
        let shared = object(json!({ "state_topic": "s", "availability": [{ "topic": "a" }] }));
        let mut part = object(part);
        adapt(&mut part, &shared);
        Value::Object(part)
    }

    #[test]
    fn what_is_not_known_is_unavailable_where_it_is_no_number() {
        let part = adapted(json!({ "p": "sensor", "options": ["Off"], "device_class": "enum",
            "value_template": "{{ value_json.a if value_json.a in ['Off'] else None }}" }));
        assert_eq!(
            part["value_template"],
            "{{ value_json.a if value_json.a in ['Off'] else 'Off' }}"
        );
        assert_eq!(
            part["availability"],
            json!([{ "topic": "a" }, { "topic": "s", "value_template":
                "{{ 'offline' if (value_json.a if value_json.a in ['Off'] else None) is none else 'online' }}" }])
        );
        let moment = adapted(json!({ "p": "sensor", "device_class": "timestamp",
            "value_template": "{% set t = 1 %}{{ t if t else None }}" }));
        assert_eq!(
            moment["value_template"],
            "{% set t = 1 %}{{ t if t else '1970-01-01T00:00:00+00:00' }}"
        );
        assert_eq!(
            moment["availability"][1]["value_template"],
            "{% set t = 1 %}{{ 'offline' if (t if t else None) is none else 'online' }}"
        );
    }

    #[test]
    fn numbers_and_what_has_a_topic_of_its_own_stay() {
        for part in [
            json!({ "p": "sensor", "suggested_display_precision": 1, "value_template": "{{ 1 if 1 else None }}" }),
            json!({ "p": "sensor", "state_topic": "x", "value_template": "{{ 1 if 1 else None }}" }),
            json!({ "p": "number", "value_template": "{{ 1 if 1 else None }}" }),
        ] {
            assert_eq!(adapted(part.clone()), part);
        }
    }
}
