//! A configuration with what it says of the system, and not of its owner. What is not known to be harmless is removed.

use serde_json::{Map, Value};

use super::redact::{REMOVED, Redactor, What};

/// Keys whose values say nothing of anybody, wherever they stand.
const HARMLESS: [&str; 47] = [
    "version",
    "at_most_every",
    "at_least_every",
    "qos",
    "days",
    "mdns_port",
    "follow",
    "follow_after",
    "plugin",
    "units",
    "mode",
    "interval",
    "timeout",
    "max_words",
    "level",
    "until",
    "min",
    "max",
    "choices",
    "max_change",
    "safe",
    "no_limit",
    "daily_budget",
    "home_assistant",
    "unit",
    "class",
    "model",
    "phase",
    "sign",
    "stale",
    "stale_after",
    "ac_voltage",
    "phases",
    "ac_current",
    "dc_current",
    "battery",
    "cells",
    "compat",
    "dialect",
    "groups",
    "plain",
    "ids",
    "sensor_indexes",
    "notes",
    "zone",
    "subzone",
    "ac_power",
];
/// The same in the sections of sinks.
const HARMLESS_IN_SINKS: [&str; 8] = [
    "changes_only",
    "compress",
    "format",
    "keep",
    "precision",
    "rotate",
    "spool",
    "version",
];
/// Keys whose values are texts in which only what is private is replaced.
const TEXTS: [&str; 7] = ["ledger", "dir", "allow", "entities", "entity", "power", "pin"];

/// Takes note of everything private in a configuration, so that it is found elsewhere as well.
pub fn learn(config: &toml::Table, redactor: &mut Redactor) {
    for (key, value) in config {
        learn_value(key, value, redactor);
    }
}

fn learn_value(key: &str, value: &toml::Value, redactor: &mut Redactor) {
    match value {
        // The owner names them as he likes, also as something harmless is called.
        toml::Value::Table(tags) if key == "tags" => tags.values().for_each(|value| {
            redactor.know(What::Name, value.as_str().unwrap_or_default());
        }),
        toml::Value::Table(table) if key != "pin" => learn(table, redactor),
        toml::Value::Array(all) => all.iter().for_each(|value| learn_value(key, value, redactor)),
        toml::Value::String(text) => match kind(key, Some(text)) {
            Kind::Url => {
                redactor.url(text);
            }
            Kind::Name => {
                redactor.know(What::Name, text);
            }
            Kind::Serial => {
                redactor.know(What::Serial, text);
            }
            Kind::Secret => {
                redactor.know(What::Secret, text);
            }
            Kind::Harmless | Kind::Text => {}
        },
        _ => {}
    }
}

enum Kind {
    Harmless,
    Text,
    Url,
    Name,
    Serial,
    Secret,
}

fn kind(key: &str, text: Option<&str>) -> Kind {
    match key {
        "url" | "listen" => Kind::Url,
        "name" => Kind::Name,
        "serial" => Kind::Serial,
        // What topics begin with, as long as it is the usual.
        "prefix" if matches!(text, Some("busbar" | "homeassistant")) => Kind::Harmless,
        "prefix" => Kind::Name,
        key if HARMLESS.contains(&key) || HARMLESS_IN_SINKS.contains(&key) => Kind::Harmless,
        key if TEXTS.contains(&key) => Kind::Text,
        _ => Kind::Secret,
    }
}

/// The configuration for a stranger, as a document.
pub fn redacted(config: &toml::Table, redactor: &mut Redactor) -> Value {
    let each = config.iter();
    let all: Map<String, Value> = each
        .map(|(key, value)| (redactor.text(key), value_of(key, value, redactor)))
        .collect();
    Value::Object(all)
}

fn value_of(key: &str, value: &toml::Value, redactor: &mut Redactor) -> Value {
    match (value, kind(key, value.as_str())) {
        // Plugins and the hashes of their files are no secret.
        (toml::Value::Table(pins), Kind::Text) if key == "pin" => {
            redactor.value(serde_json::to_value(pins).unwrap_or_default())
        }
        (toml::Value::Table(_), _) if key == "tags" => REMOVED.into(),
        (toml::Value::Table(table), _) => redacted(table, redactor),
        (toml::Value::Array(all), _) => all.iter().map(|value| value_of(key, value, redactor)).collect(),
        (toml::Value::String(text), Kind::Url) => redactor.url(text).into(),
        (toml::Value::String(text), Kind::Name) => redactor.know(What::Name, text).into(),
        (toml::Value::String(text), Kind::Serial) => redactor.know(What::Serial, text).into(),
        (toml::Value::Boolean(on), _) => (*on).into(),
        (_, Kind::Secret | Kind::Serial | Kind::Name | Kind::Url) => REMOVED.into(),
        (toml::Value::String(text), _) => redactor.text(text).into(),
        (toml::Value::Datetime(at), _) => at.to_string().into(),
        (other, _) => serde_json::to_value(other).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_to_be_harmless_is_removed() {
        let text = r#"
            [web]
            listen = "127.0.0.1:8510"
            [plugins]
            pin = { victron-gx = "00ff" }
            [mqtt]
            url = "mqtt://ann:hunter22@broker.smith.example:1883"
            password_file = "/etc/ann/secret-place"
            home_assistant = true
            prefix = "busbar"
            at_most_every = "1s"
            client_id = 4711
            [influxdb]
            url = "http://db.smith.example:8086"
            database = "villa-smith"
            user = "annabel"
            token_file = "/etc/ann/secret-token"
            precision = "ms"
            tags = { model = "Smithfield", site = "Villa" }
            entities = ["Villa Smith/1/victron/gx-battery:soc"]
            [postgres]
            url = "postgres://busbar_ann@db.smith.example/house?application_name=x"
            password_file = "/etc/ann/secret-place"
            [[file]]
            path = "/srv/ann/readings.csv"
            format = "csv"
            rotate = "daily"
            [site]
            ac_current = 25
            [[connection]]
            name = "Villa Smith"
            url = "p1:///dev/ttyUSB0"
            key = "00112233445566778899aabbccddeeff"
            auth_key = 998877
            interval = "5s"
            [connection.writes]
            level = 2
            allow = ["Villa Smith/225/victron/gx-battery:soc", { entity = "victron/gx-vebus:22", max = 25 }]
        "#;
        let config: toml::Table = text.parse().unwrap();
        let mut redactor = Redactor::default();
        learn(&config, &mut redactor);
        let out = redacted(&config, &mut redactor).to_string();
        for secret in [
            "hunter22",
            "smith",
            "Smith",
            "ann",
            "secret-place",
            "0011223344",
            "998877",
            "4711",
            "annabel",
            "secret-token",
            "field",
            "readings",
            "busbar_ann",
        ] {
            assert!(!out.contains(secret), "{secret}: {out}");
        }
        for kept in [
            "127.0.0.1:8510",
            "00ff",
            "25",
            "5s",
            "\"busbar\"",
            "1s",
            "csv",
            "daily",
            "gx-battery:soc",
            "/dev/ttyUSB0",
            "name3/225/victron/gx-battery:soc",
            "gx-vebus:22",
        ] {
            assert!(out.contains(kept), "{kept}: {out}");
        }
        assert!(redactor.text("cannot log in with hunter22").contains("secret"));
    }
}
