//! The output of `mqtt-p1-power-meter.py` as it is, so that what was built behind it goes on as before: its types, its
//! units and its cuts are faulty, and here they are meant to be. It knows no telegrams, only lines.
//!
//! What is faulty: the value is whatever stands behind column 11, so that a code of ten characters with its bracket loses
//! its first digit; leading zeros stay; a line that was damaged is sent like any other; powers are sent in kilowatts
//! without saying so; `measurement.unit` is always 1; nine types, most units, and the sensor index of one value are wrong;
//! a GUID that the owner gave is never used.

use super::event::{DUMB_NODE, Event, MOST_DATA, Measured, Moment, Number};
use super::measurements::{ALL, Measurement};
use super::{Message, Settings};

/// Where the value begins, whatever stands before it.
const VALUE: usize = 11;
/// A line with the time is for people only.
const TIME: &str = "0-0:1.0.0";

/// The name of the tool in the settings.
pub const NAME: &str = "vscp-python-p1";

/// What the old tool sends for one line of a telegram, in the moment in which it came.
pub fn message(settings: &Settings, line: &str, at: Moment) -> Option<Message> {
    // It reads ASCII, and gives up a line that is none.
    if !line.is_ascii() || line.contains(TIME) {
        return None;
    }
    // The order of its questions is the order of the ids; the first that is anywhere in the line counts.
    let measurement = ALL
        .iter()
        .filter(|m| m.group.usually())
        .find(|m| line.contains(m.obis))?;
    if !settings.sends(measurement.group) {
        return None;
    }
    // Without a star it takes nothing.
    let value = line
        .find('*')
        .and_then(|star| line.get(VALUE..star))
        .unwrap_or("");
    let own = settings.own(measurement);
    if settings.plain {
        return Some(Message {
            topic: own.note.clone(),
            payload: value.as_bytes().to_vec(),
            key: measurement.key,
        });
    }
    let event = event(settings, measurement, value)?;
    Some(Message {
        topic: settings.topic.fill(&event),
        payload: settings.dialect.write(&event, at).into_bytes(),
        key: measurement.key,
    })
}

fn event(settings: &Settings, measurement: &'static Measurement, value: &str) -> Option<Event> {
    let own = settings.own(measurement);
    let (ty, unit) = sent(measurement.id);
    let sensor_index = if measurement.id == 17 { 0 } else { own.sensor_index };
    let mut data = vec![sensor_index, settings.zone, settings.subzone, unit];
    data.extend(value.bytes());
    data.push(0);
    if data.len() > MOST_DATA {
        return None;
    }
    Some(Event {
        head: DUMB_NODE,
        class: 1040,
        ty,
        guid: settings.guid.with_id(own.id),
        data,
        note: own.note.clone(),
        name: measurement.key,
        measured: Measured {
            number: Number::Float(float(value)?),
            unit: 1,
            sensor_index,
            zone: settings.zone,
            subzone: settings.subzone,
        },
    })
}

/// Type and unit that it sends, by id. A power is in kilowatts, whatever the unit says.
fn sent(id: u8) -> (u16, u8) {
    match id {
        1 | 2 => (13, 1),
        // Reactive energy as energy in joules, and once as power.
        3 => (13, 0),
        4 => (14, 0),
        // Power that is fed in as reactive power; reactive power of a phase as power.
        6..=8 => (64, 0),
        21..=23 => (16, 0),
        24..=26 => (5, 0),
        _ => (14, 0),
    }
}

/// A number as Python reads it; an event without one is lost there, too.
fn float(value: &str) -> Option<f64> {
    let value = value.trim();
    let is_number = value.bytes().any(|b| b.is_ascii_digit())
        && value
            .bytes()
            .all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'+' | b'e' | b'E'));
    let number: f64 = value.parse().ok().filter(|_| is_number)?;
    number.is_finite().then_some(number)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{MAC, SE, settings};
    use super::*;

    const AT: Moment = Moment {
        unix_ns: 1_783_084_530_000_000_000,
        relative_us: 42,
    };

    fn sent_for(config: &str, lines: &str) -> Vec<(String, serde_json::Value)> {
        let settings = settings(&format!("compat = \"vscp-python-p1\"\n{config}"));
        let all = lines.lines().filter_map(|line| message(&settings, line, AT));
        all.map(|m| (m.topic, serde_json::from_slice(&m.payload).unwrap()))
            .collect()
    }

    /// id, type, unit byte, sensor index, text, number: what the old tool was seen to send for the Swedish telegram.
    #[rustfmt::skip]
    const SEEN: [(u8, u16, u8, u8, &str, f64); 26] = [
        (1, 13, 1, 1, "0012345.678", 12345.678), (2, 13, 1, 2, "0000987.654", 987.654),
        (3, 13, 0, 3, "0000012.345", 12.345), (4, 14, 0, 4, "0000456.789", 456.789),
        (5, 14, 0, 5, "000.000", 0.0), (6, 64, 0, 6, "001.250", 1.25),
        (7, 64, 0, 7, "000.100", 0.1), (8, 64, 0, 8, "000.200", 0.2),
        (9, 14, 0, 9, "0000.400", 0.4), (11, 14, 0, 11, "0000.000", 0.0), (13, 14, 0, 13, "0000.050", 0.05),
        (10, 14, 0, 10, "0000.000", 0.0), (12, 14, 0, 12, "0001.700", 1.7), (14, 14, 0, 14, "0000.000", 0.0),
        (15, 14, 0, 15, "0000.100", 0.1), (17, 14, 0, 0, "0000.000", 0.0), (19, 14, 0, 19, "0000.000", 0.0),
        (16, 14, 0, 16, "0000.000", 0.0), (18, 14, 0, 18, "0000.150", 0.15), (20, 14, 0, 20, "0000.050", 0.05),
        (21, 16, 0, 21, "231.4", 231.4), (22, 16, 0, 22, "232.0", 232.0), (23, 16, 0, 23, "230.8", 230.8),
        (24, 5, 0, 24, "001.8", 1.8), (25, 5, 0, 25, "007.4", 7.4), (26, 5, 0, 26, "000.3", 0.3),
    ];

    #[test]
    fn every_event_of_the_swedish_telegram_is_the_old_tools() {
        let all = sent_for("", SE);
        assert_eq!(all.len(), SEEN.len());
        for ((topic, event), (id, ty, unit, index, text, number)) in all.iter().zip(SEEN) {
            let guid = format!("FF:FF:FF:FF:FF:FF:FF:FE:{MAC}:00:{id:02X}");
            assert_eq!(*topic, format!("vscp/{guid}/1040/{ty}"));
            let mut data = vec![index, 0, 0, unit];
            data.extend(text.bytes());
            data.push(0);
            let expected = serde_json::json!({
                "vscpHead": 32864, "vscpObId": 0, "vscpDateTime": "2026-07-03T13:15:30Z", "vscpTimeStamp": 42,
                "vscpClass": 1040, "vscpType": ty, "vscpGuid": guid, "vscpData": data,
                "vscpNote": ALL[usize::from(id) - 1].note,
                "measurement": {"value": number, "unit": 1, "sensorindex": index, "zone": 0, "subzone": 0},
            });
            assert_eq!(event.to_string(), expected.to_string());
        }
    }

    #[test]
    fn the_first_digit_is_lost_where_the_code_is_short() {
        let all = sent_for("", "1-0:1.8.0(98765432.109*kWh)\n1-0:21.7.0(9876.543*kW)");
        assert_eq!(all[0].1["measurement"]["value"], 8_765_432.109);
        assert_eq!(all[1].1["measurement"]["value"], 9876.543);
    }

    #[test]
    fn what_the_owner_set_is_taken_as_there_but_his_guid_is_not() {
        let config = "guid = \"00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:00:00\"\nzone = 3\nsubzone = 4\n\
                      groups = { voltage = false }\nids = { current_l1 = 300 }\n\
                      sensor_indexes = { current_l1 = 9, momentan_reactive_effect_l2_out = 5 }\nnotes = { current_l1 = \"Ström\" }";
        let all = sent_for(
            config,
            "1-0:32.7.0(231.4*V)\n1-0:31.7.0(001.8*A)\n1-0:43.7.0(0000.000*kvar)\n1-0:14.7.0(50.0*Hz)",
        );
        let [(topic, current), (_, reactive)] = all.as_slice() else {
            panic!("{all:?}")
        };
        assert_eq!(*topic, format!("vscp/FF:FF:FF:FF:FF:FF:FF:FE:{MAC}:01:2C/1040/5"));
        assert_eq!(current["vscpNote"], "Ström");
        assert_eq!(
            current["vscpData"].as_array().unwrap()[..4],
            [9, 3, 4, 0].map(serde_json::Value::from)
        );
        assert_eq!(reactive["measurement"]["sensorindex"], 0);
    }

    #[test]
    fn damaged_lines_are_sent_as_far_as_they_have_a_number() {
        let lines = "0-0:1.0.0(260703141530W)1-0:1.8.0(1*x)\nxx1-0:1.7.0(00#1.250*kW)\n1-0:1.7.0(xx1.2x0*kW)\n\
                     1-0:1.7.0(0001.250)\n1-0:1.7.0*\n1-0:1.7.0(0inf*kW)\n1-0:1.7.0(0001.2\u{fffd}0*kW)\nx1-0:1.7.0(0001.250*kW)";
        let all = sent_for("", lines);
        assert_eq!(all.len(), 1, "{all:?}");
        assert_eq!(all[0].1["measurement"]["value"], 1.25);
        assert!(sent_for("", &format!("1-0:1.7.0(0{}*kW)", "1".repeat(500))).is_empty());
    }

    #[test]
    fn plain_topics_are_notes_and_values_keep_their_zeros() {
        let settings = settings("compat = \"vscp-python-p1\"\nplain = true");
        let message = message(&settings, "1-0:1.8.0(00012345.678*kWh)", AT).unwrap();
        assert_eq!(
            (message.topic.as_str(), message.payload.as_slice()),
            ("Meter reading active energy out", b"0012345.678".as_slice())
        );
    }
}
