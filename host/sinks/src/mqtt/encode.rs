//! What is published of a device. Pure.

use serde_json::{Map, Value};

use crate::bus::{Availability, Device};
use crate::view;

/// Whether a device is there, in the words of the topic; `None` while it was not asked yet.
pub fn availability(availability: &Availability) -> Option<&'static str> {
    match availability {
        Availability::Unknown => None,
        Availability::Online => Some(ONLINE),
        Availability::Offline(_) => Some(OFFLINE),
    }
}

/// It is there.
pub const ONLINE: &str = "online";
/// It is not.
pub const OFFLINE: &str = "offline";

/// All that is known of a device, as one JSON object: for each entity its key, with a number, the text, the label of an
/// enumeration's number, or `null` where it is not known.
pub fn state(device: &Device) -> Vec<u8> {
    let entities = view::entities(device);
    let members = entities
        .iter()
        .map(|entity| (entity.point.key.clone(), value(entity)));
    // An object of numbers and texts can always be written.
    serde_json::to_vec(&members.collect::<Map<_, _>>()).unwrap_or_default()
}

/// The value of one entity as the state has it.
pub fn value(entity: &view::Entity<'_>) -> Value {
    if let Some(meaning) = entity.meaning() {
        return meaning.into();
    }
    match entity.value() {
        Some(value) => serde_json::to_value(value).unwrap_or(Value::Null),
        None => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::Bus;
    use crate::view::testing::{device, device_of, read};
    use busbar_ledger::value::{Quality, Reading, Value as Said};

    #[test]
    fn numbers_are_numbers_states_their_labels_and_what_is_not_known_is_null() {
        let bus = Bus::default();
        let one = device("one");
        assert_eq!(state(&one), br#"{"power":null,"energy":null,"state":null}"#);
        read(&bus, &one, 0, -12.5);
        let number = |quality, value| Reading {
            value: Some(Said::Integer(value)),
            quality,
            ..Reading::unavailable()
        };
        one.state().slots[1].reading = number(Quality::Stale, 7);
        one.state().slots[2].reading = number(Quality::Good, 1);
        assert_eq!(state(&one), br#"{"power":-12.5,"energy":7,"state":"On"}"#);
        // A number that the ledger has no label for is still a number.
        one.state().slots[2].reading = number(Quality::Good, 9);
        one.state().slots[0].reading = number(Quality::Invalid, 9);
        assert_eq!(state(&one), br#"{"power":null,"energy":7,"state":9}"#);
    }

    #[test]
    fn what_a_device_says_cannot_leave_its_string() {
        let one = device_of(
            "one",
            "ledger = \"test/two\"\ntitle = \"Two\"\n[points]\nname = { at = 0, type = \"text\", words = 4 }\n",
        );
        let said = "\",\"x\":1}\u{0}\n\u{7f}é";
        one.state().slots[0].reading = Reading {
            value: Some(Said::Text(said.to_owned())),
            quality: Quality::Good,
            ..Reading::unavailable()
        };
        let parsed: Value = serde_json::from_slice(&state(&one)).unwrap();
        assert_eq!(parsed, serde_json::json!({ "name": said }));
    }
}
