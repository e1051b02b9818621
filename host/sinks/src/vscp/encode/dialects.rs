//! The three forms of JSON in which events travel over MQTT. A receiver has to take all of them; a sender chooses one.

use std::fmt::Write;

use serde::Deserialize;

use super::event::{Event, Moment, Number};

/// A form of JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum Dialect {
    /// As most programs of 2021 and later write it: `vscpHead`, `vscpDateTime`, `vscpTimeStamp` in microseconds.
    #[default]
    #[serde(rename = "2021")]
    Y2021,
    /// As the Python package pyvscp writes it from 0.3.14 on: `vscpTimestampns`, in nanoseconds since 1970.
    #[serde(rename = "pyvscp")]
    Pyvscp,
    /// As the specification has it since 16.0: `head`, `datetime`, `timestamp`.
    #[serde(rename = "spec16")]
    Spec16,
}

impl Dialect {
    /// An event in this form, on one line.
    pub fn write(self, event: &Event, at: Moment) -> String {
        let mut json = Object::default();
        let prefix = |field: &str| match self {
            Dialect::Spec16 => field.to_ascii_lowercase(),
            Dialect::Y2021 | Dialect::Pyvscp => format!("vscp{field}"),
        };
        json.put(&prefix("Head"), event.head);
        json.put(&prefix("ObId"), 0);
        match self {
            Dialect::Pyvscp => json.put("vscpTimestampns", at.unix_ns),
            Dialect::Y2021 | Dialect::Spec16 => {
                json.put(&prefix("DateTime"), format_args!("\"{}\"", date(at)));
                json.put(&prefix("TimeStamp"), at.relative_us);
            }
        }
        json.put(&prefix("Class"), event.class);
        json.put(&prefix("Type"), event.ty);
        json.put(&prefix("Guid"), format_args!("\"{}\"", event.guid));
        let bytes: Vec<String> = event.data.iter().map(u8::to_string).collect();
        json.put(&prefix("Data"), format_args!("[{}]", bytes.join(", ")));
        json.put(&prefix("Note"), text(&event.note));
        let said = &event.measured;
        let mut measured = Object::default();
        measured.put("value", number(said.number));
        measured.put("unit", said.unit);
        measured.put("sensorindex", said.sensor_index);
        measured.put("zone", said.zone);
        measured.put("subzone", said.subzone);
        json.put("measurement", measured.end());
        json.end()
    }
}

/// A JSON object in the making; written as Python's `json.dumps` does, with a space behind each comma and colon.
#[derive(Default)]
struct Object(String);

impl Object {
    fn put(&mut self, name: &str, value: impl std::fmt::Display) {
        let before = if self.0.is_empty() { "{" } else { ", " };
        // Writing to a text cannot fail.
        let _ = write!(self.0, "{before}\"{name}\": {value}");
    }

    fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

/// UTC, to the second.
fn date(at: Moment) -> String {
    let seconds = i64::try_from(at.unix_ns / 1_000_000_000).unwrap_or_default();
    jiff::Timestamp::from_second(seconds)
        .unwrap_or_default()
        .strftime("%Y-%m-%dT%H:%M:%SZ")
        .to_string()
}

/// A text in quotes, in ASCII whatever it holds.
fn text(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            ' '..='~' => quoted.push(c),
            _ => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    // Writing to a text cannot fail.
                    let _ = write!(quoted, "\\u{unit:04x}");
                }
            }
        }
    }
    quoted.push('"');
    quoted
}

fn number(number: Number) -> String {
    match number {
        Number::Exact(decimal) => decimal.to_string(),
        Number::Float(float) => {
            // Both write the shortest digits; they differ in when and how an exponent is written.
            let magnitude = float.abs();
            if float == 0.0 || (1e-4..1e16).contains(&magnitude) {
                return format!("{float:?}");
            }
            let text = format!("{float:e}");
            match text.split_once('e') {
                Some((digits, exponent)) => {
                    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |e| ('-', e));
                    format!("{digits}e{sign}{exponent:0>2}")
                }
                None => text,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::event::testing::event;
    use super::*;

    const AT: Moment = Moment {
        unix_ns: 1_783_084_530_000_000_123,
        relative_us: 1_234_567,
    };

    #[test]
    fn each_form_has_its_own_names() {
        let rest = "\"Data\": [1, 2, 3, 1, 49, 50, 51, 52, 53, 46, 54, 55, 56, 0], \
                    \"Note\": \"Meter reading active energy out\", \
                    \"measurement\": {\"value\": 12345.678, \"unit\": 1, \"sensorindex\": 1, \"zone\": 2, \"subzone\": 3}}";
        let old = rest
            .replace("\"Data", "\"vscpData")
            .replace("\"Note", "\"vscpNote");
        let new = rest.replace("\"Data", "\"data").replace("\"Note", "\"note");
        let guid = "FF:FF:FF:FF:FF:FF:FF:FE:02:00:00:00:00:01:01:02";
        assert_eq!(
            Dialect::Y2021.write(&event(), AT),
            format!(
                "{{\"vscpHead\": 32864, \"vscpObId\": 0, \"vscpDateTime\": \"2026-07-03T13:15:30Z\", \
                 \"vscpTimeStamp\": 1234567, \"vscpClass\": 1040, \"vscpType\": 13, \"vscpGuid\": \"{guid}\", {old}"
            )
        );
        assert_eq!(
            Dialect::Pyvscp.write(&event(), AT),
            format!(
                "{{\"vscpHead\": 32864, \"vscpObId\": 0, \"vscpTimestampns\": 1783084530000000123, \
                 \"vscpClass\": 1040, \"vscpType\": 13, \"vscpGuid\": \"{guid}\", {old}"
            )
        );
        assert_eq!(
            Dialect::Spec16.write(&event(), AT),
            format!(
                "{{\"head\": 32864, \"obid\": 0, \"datetime\": \"2026-07-03T13:15:30Z\", \"timestamp\": 1234567, \
                 \"class\": 1040, \"type\": 13, \"guid\": \"{guid}\", {new}"
            )
        );
    }

    #[test]
    fn texts_are_ascii_and_come_back() {
        let odd = "Spänning \"L1\"\\ \u{1F50C}\n\u{1}\u{7f}";
        let written = text(odd);
        assert!(written.is_ascii() && written.contains("Sp\\u00e4nning"));
        assert!(
            written.contains("\\ud83d\\udd0c") && written.contains("\\u0001\\u007f"),
            "{written}"
        );
        assert_eq!(serde_json::from_str::<String>(&written).unwrap(), odd);
    }

    #[test]
    fn floats_are_written_as_python_writes_them() {
        for (float, expected) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1250.0, "1250.0"),
            (0.532, "0.532"),
            (0.0001, "0.0001"),
            (0.000_01, "1e-05"),
            (1e16, "1e+16"),
            (-1.5e300, "-1.5e+300"),
            (9_999_999_999_999_998.0, "9999999999999998.0"),
        ] {
            assert_eq!(number(Number::Float(float)), expected);
        }
    }
}
