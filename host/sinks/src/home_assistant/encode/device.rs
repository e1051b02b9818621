//! A device as Home Assistant's registry has it. Pure.

use serde_json::{Map, Value, json};

use crate::bus::Device;

/// Who a device is. `via` is the id of the gateway that it is behind.
pub fn describe(device: &Device, via: Option<&str>) -> Value {
    let meta = &device.meta;
    let model = meta.model.as_ref().filter(|model| !model.is_empty());
    let mut described = Map::new();
    described.insert("identifiers".to_owned(), json!([meta.id]));
    described.insert("name".to_owned(), json!(meta.name));
    described.insert("model".to_owned(), json!(model.unwrap_or(&meta.ledger.title)));
    let known = [
        ("manufacturer", maker(&meta.ledger.name, &meta.ledger.title)),
        ("serial_number", meta.serial.as_deref()),
        ("sw_version", meta.firmware.as_deref()),
        ("via_device", via),
    ];
    for (key, value) in known {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            described.insert(key.to_owned(), json!(value));
        }
    }
    Value::Object(described)
}

/// The maker as a ledger's title writes it: `carlo-gavazzi/em24` is titled `Carlo Gavazzi EM24 …`. All devices behind a
/// GX are reported by Victron Energy, whoever made them: of those nothing is said.
fn maker<'a>(ledger: &str, title: &'a str) -> Option<&'a str> {
    let maker = ledger.split('/').next()?;
    let written = title.get(..maker.len())?;
    let same = written.replace(' ', "-").eq_ignore_ascii_case(maker);
    let ends = title
        .get(maker.len()..)?
        .chars()
        .next()
        .is_none_or(|c| !c.is_alphanumeric());
    (same && ends).then_some(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_maker_is_written_as_in_the_title() {
        assert_eq!(
            maker("carlo-gavazzi/em24", "Carlo Gavazzi EM24"),
            Some("Carlo Gavazzi")
        );
        assert_eq!(maker("abb/b21", "ABB B21 energy meter"), Some("ABB"));
        assert_eq!(maker("generic/demo-meter", "Demo energy meter"), None);
        assert_eq!(maker("sma/inverter", "Smart inverter"), None);
        assert_eq!(maker("maker/é", "é"), None);
    }
}
