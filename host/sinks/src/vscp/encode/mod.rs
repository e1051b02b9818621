//! Readings become events. Pure: no socket, no file, no clock.

pub mod compat;
mod data;
mod decimal;
mod dialects;
mod event;
mod guid;
mod measurements;
mod template;

pub use data::Form;
pub use decimal::Decimal;
pub use dialects::Dialect;
pub use event::Moment;
pub use guid::{Guid, mac, mac_of};
pub use measurements::{ALL, Group, Measurement, Part, Source, named, sources};
pub use template::{Template, check_topic};

use std::collections::BTreeSet;

use event::{DUMB_NODE, Event, Measured, Number};

/// So many ids belong to one device: those of the second begin behind those of the first.
pub const IDS_OF_A_DEVICE: u16 = 256;

/// Everything that decides what an event looks like.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who sends.
    pub guid: Guid,
    /// In which class.
    pub form: Form,
    /// In which form of JSON.
    pub dialect: Dialect,
    /// Whether the old tool's output is meant, with its faults.
    pub compat: bool,
    /// Whether topics are notes and payloads numbers, without anything of VSCP.
    pub plain: bool,
    /// What is sent.
    pub groups: BTreeSet<Group>,
    /// Where all of these sensors are.
    pub zone: u8,
    /// Where in that zone.
    pub subzone: u8,
    /// Under which topic.
    pub topic: Template,
    /// What differs between measurements, in the order of [`ALL`].
    pub each: Vec<Own>,
}

/// What a measurement has for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Own {
    /// The two last bytes of its GUID.
    pub id: u16,
    /// Its sensor index.
    pub sensor_index: u8,
    /// Its note; its topic in plain mode.
    pub note: String,
}

/// What is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Under which topic.
    pub topic: String,
    /// What.
    pub payload: Vec<u8>,
    /// Which measurement it is.
    pub key: &'static str,
}

impl Settings {
    /// Whether events of this group are sent.
    pub fn sends(&self, group: Group) -> bool {
        self.groups.contains(&group)
    }

    /// What a measurement has for itself.
    pub fn own(&self, measurement: &Measurement) -> &Own {
        // One for each of them, which `Settings` are made with.
        &self.each[usize::from(measurement.id) - 1]
    }

    /// What is published for one reading: `number` in the unit in which this quantity is sent. `place` is the device's
    /// place among those that send, from 0.
    pub fn message(
        &self,
        measurement: &'static Measurement,
        number: Decimal,
        place: u8,
        at: Moment,
    ) -> Message {
        let own = self.own(measurement);
        if self.plain {
            return Message {
                topic: own.note.clone(),
                payload: number.to_string().into_bytes(),
                key: measurement.key,
            };
        }
        let event = self.event(measurement, number, place);
        Message {
            topic: self.topic.fill(&event),
            payload: self.dialect.write(&event, at).into_bytes(),
            key: measurement.key,
        }
    }

    fn event(&self, measurement: &'static Measurement, number: Decimal, place: u8) -> Event {
        let own = self.own(measurement);
        let quantity = measurement.quantity;
        let (number, unit) = if self.form.in_default_unit() {
            // A number of 17 digits times 3600000 has room.
            (number.times(quantity.in_default_unit()).unwrap_or(number), 0)
        } else {
            (number, quantity.unit())
        };
        let id = own
            .id
            .wrapping_add(u16::from(place).wrapping_mul(IDS_OF_A_DEVICE));
        let index = own.sensor_index;
        Event {
            head: DUMB_NODE,
            class: self.form.class(),
            ty: quantity.event_type(),
            guid: self.guid.with_id(id),
            data: self.form.data(number, unit, index, self.zone, self.subzone),
            note: own.note.clone(),
            name: measurement.key,
            measured: Measured {
                number: Number::Exact(number),
                unit,
                sensor_index: index,
                zone: self.zone,
                subzone: self.subzone,
            },
        }
    }
}

/// The part of a value that is meant, `power` of ten times: in the unit in which it is sent. `None` for what is no number.
pub fn part(value: f64, part: Part, power: i32) -> Option<Decimal> {
    let value = match part {
        Part::Whole => value,
        // A zero has no sign here.
        Part::Above => value.max(0.0),
        Part::Below => (-value).max(0.0),
    };
    Decimal::of(value)?.shifted(power)
}

#[cfg(test)]
pub(crate) mod testing {
    //! For the tests of this folder.

    use super::*;
    use crate::vscp::config::VscpConfig;

    /// The MAC address of the tests.
    pub const MAC: &str = "02:00:00:00:00:01";

    /// A telegram of a Swedish meter.
    pub const SE: &str = include_str!("swedish.txt");

    /// Settings made of a section `[vscp]`.
    pub fn settings(config: &str) -> Settings {
        let config: VscpConfig = toml::from_str(config).unwrap();
        config.check().unwrap();
        config.settings(mac(MAC).unwrap()).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::testing::{MAC, SE, settings};
    use super::*;

    const AT: Moment = Moment {
        unix_ns: 1_783_084_530_000_000_000,
        relative_us: 42,
    };

    /// What a meter says in this line: the measurement, and its number in the unit of events.
    fn said(line: &str) -> Option<(&'static Measurement, Decimal)> {
        let (code, rest) = line.split_once('(')?;
        let measurement = ALL.iter().find(|m| m.obis == code)?;
        let (number, unit) = rest.strip_suffix(')')?.split_once('*')?;
        let text = format!(
            "ledger = \"test/one\"\ntitle = \"One\"\n[points]\nx = {{ at = 0, type = \"f64\", unit = \"{unit}\" }}\n"
        );
        let ledger = busbar_ledger::parse("one", &text).unwrap();
        let power = measurement.power(ledger.point("x").unwrap()).unwrap();
        Some((
            measurement,
            part(number.parse().unwrap(), Part::Whole, power).unwrap(),
        ))
    }

    fn sent(config: &str) -> Vec<(String, serde_json::Value)> {
        let settings = settings(config);
        let all = SE
            .lines()
            .filter_map(said)
            .filter(|(m, _)| settings.sends(m.group));
        let all = all.map(|(m, number)| settings.message(m, number, 0, AT));
        all.map(|m| (m.topic, serde_json::from_slice(&m.payload).unwrap()))
            .collect()
    }

    /// id, type, unit, text.
    #[rustfmt::skip]
    const RIGHT: [(u8, u16, u8, &str); 26] = [
        (1, 13, 1, "12345.678"), (2, 13, 1, "987.654"), (3, 65, 0, "12.345"), (4, 65, 0, "456.789"),
        (5, 14, 0, "0"), (6, 14, 0, "1250"), (7, 64, 0, "100"), (8, 64, 0, "200"),
        (9, 14, 0, "400"), (11, 14, 0, "0"), (13, 14, 0, "50"), (10, 14, 0, "0"), (12, 14, 0, "1700"), (14, 14, 0, "0"),
        (15, 64, 0, "100"), (17, 64, 0, "0"), (19, 64, 0, "0"), (16, 64, 0, "0"), (18, 64, 0, "150"), (20, 64, 0, "50"),
        (21, 16, 0, "231.4"), (22, 16, 0, "232"), (23, 16, 0, "230.8"),
        (24, 5, 0, "1.8"), (25, 5, 0, "7.4"), (26, 5, 0, "0.3"),
    ];

    #[test]
    fn every_event_of_the_swedish_telegram_is_right() {
        let all = sent("");
        assert_eq!(all.len(), RIGHT.len());
        for ((topic, event), (id, ty, unit, text)) in all.iter().zip(RIGHT) {
            let guid = format!("FF:FF:FF:FF:FF:FF:FF:FE:{MAC}:00:{id:02X}");
            assert_eq!(*topic, format!("vscp/{guid}/1040/{ty}"));
            let mut data = vec![id, 0, 0, unit];
            data.extend(text.bytes());
            data.push(0);
            let number: serde_json::Value = text.parse().unwrap();
            let expected = serde_json::json!({
                "vscpHead": 32864, "vscpObId": 0, "vscpDateTime": "2026-07-03T13:15:30Z", "vscpTimeStamp": 42,
                "vscpClass": 1040, "vscpType": ty, "vscpGuid": guid, "vscpData": data,
                "vscpNote": ALL[usize::from(id) - 1].note,
                "measurement": {"value": number, "unit": unit, "sensorindex": id, "zone": 0, "subzone": 0},
            });
            assert_eq!(event.to_string(), expected.to_string());
        }
    }

    #[test]
    fn classes_of_bare_numbers_are_in_the_default_unit() {
        let all = sent("class = 60");
        let bytes = |event: &serde_json::Value| -> Vec<u8> {
            serde_json::from_value(event["vscpData"].clone()).unwrap()
        };
        let double = |event| f64::from_be_bytes(bytes(event).try_into().unwrap());
        assert_eq!(all[0].1["vscpClass"], 60);
        assert_eq!(double(&all[0].1), 12345.678 * 3_600_000.0);
        assert_eq!(double(&all[2].1), 12.345);
        assert_eq!(all[0].1["measurement"]["unit"], 0);
        let all = sent("class = 70");
        assert_eq!(f32::from_be_bytes(bytes(&all[5].1).try_into().unwrap()), 1250.0);
        let all = sent("class = 10");
        assert_eq!(bytes(&all[0].1), [0x88, 0x83, 0x00, 0xBC, 0x61, 0x4E]);
        let all = sent("class = 65\nzone = 7\nsubzone = 9");
        assert_eq!(bytes(&all[5].1), [6, 7, 9, 0x60, 0x04, 0xE2]);
    }

    #[test]
    fn a_guid_of_the_owner_and_the_place_of_the_device_make_the_id() {
        let settings = settings(
            "guid = \"00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:00:00\"\nids = { voltage_l1 = 1000 }\ntopic = \"{xguid}/{xname}\"",
        );
        let voltage = named("voltage_l1").unwrap();
        let topic = |place| {
            settings
                .message(voltage, Decimal::of(230.0).unwrap(), place, AT)
                .topic
        };
        assert_eq!(
            topic(0),
            "00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:03:E8/voltage_l1"
        );
        assert_eq!(
            topic(2),
            "00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:05:E8/voltage_l1"
        );
    }

    #[test]
    fn parts_have_no_sign() {
        let text = |value, which| part(value, which, 0).unwrap().to_string();
        assert_eq!(text(-85.0, Part::Below), "85");
        assert_eq!(text(-85.0, Part::Above), "0");
        assert_eq!(text(85.0, Part::Below), "0");
        assert_eq!(text(-85.0, Part::Whole), "-85");
        assert_eq!(part(f64::NAN, Part::Whole, 0), None);
    }

    proptest! {
        #[test]
        fn what_an_event_says_is_what_was_read(id in 0..ALL.len(), hundredths in -1_000_000_000i64..1_000_000_000, place in 0u8..4) {
            let read = hundredths as f64 / 100.0;
            let measurement = &ALL[id];
            for power in [-3, 0, 3] {
                let number = part(read, Part::Whole, power).unwrap();
                for (class, dialect) in [("1040", "2021"), ("1060", "pyvscp"), ("1040", "spec16")] {
                    let settings = settings(&format!("class = {class}\ndialect = \"{dialect}\""));
                    let message = settings.message(measurement, number, place, AT);
                    let event: serde_json::Value = serde_json::from_slice(&message.payload).unwrap();
                    let field = |name: &str| event.get(name).or_else(|| event.get(format!("vscp{name}"))).cloned();
                    let data = field("data").or_else(|| field("Data")).unwrap();
                    let data: Vec<u8> = serde_json::from_value(data).unwrap();
                    let said: f64 = match class {
                        "1060" => f64::from_be_bytes(data[4..].try_into().unwrap()),
                        _ => std::str::from_utf8(&data[4..data.len() - 1]).unwrap().parse().unwrap(),
                    };
                    // In the unit of the reading again; the last bit may be lost on the way there, never a digit.
                    let back = Decimal::of(said).unwrap().shifted(-power).unwrap();
                    prop_assert_eq!(back.as_f64(), read);
                    prop_assert_eq!(event["measurement"]["value"].as_f64(), Some(said));
                }
            }
        }
    }
}
