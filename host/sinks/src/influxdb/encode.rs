//! Samples as lines of InfluxDB's line protocol. Pure.
//!
//! `MEASUREMENT,TAG=VALUE,… FIELD=VALUE,… TIME`, by the rules of version 1, which the later ones took over: in names and
//! tags, commas, spaces and `=` stand behind a backslash. A backslash itself cannot be written there so that every version
//! reads it alike, and a line's end not at all: the one becomes `/`, the other a space. In a text, quotes and backslashes
//! stand behind one.
//!
//! A number is the field `value`, always with a fraction in mind (a field has one type for ever, and the same class may be
//! whole on one device and not on another); a state is the integer `state` with its `label`; a text is `text`.

use std::collections::BTreeMap;
use std::fmt::Write;

use busbar_ledger::model::Class;
use busbar_ledger::value::Value;
use serde::Deserialize;

use crate::samples::{Sample, class_name, phase};

/// The longest text that is sent, in bytes; servers refuse more than 64 KiB.
const LONGEST_TEXT: usize = 4096;

/// How exactly moments are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Seconds.
    S,
    /// Milliseconds: as Busbar knows them.
    #[default]
    Ms,
    /// Microseconds.
    Us,
    /// Nanoseconds.
    Ns,
}

impl Precision {
    /// The word for it in a version's query.
    pub fn word(self, version: u8) -> &'static str {
        match (self, version) {
            (Precision::S, 3) => "second",
            (Precision::Ms, 3) => "millisecond",
            (Precision::Us, 3) => "microsecond",
            (Precision::Ns, 3) => "nanosecond",
            (Precision::S, _) => "s",
            (Precision::Ms, _) => "ms",
            (Precision::Us, 1) => "u",
            (Precision::Us, _) => "us",
            (Precision::Ns, _) => "ns",
        }
    }

    fn of_ms(self, ms: i64) -> i64 {
        match self {
            Precision::S => ms.div_euclid(1000),
            Precision::Ms => ms,
            Precision::Us => ms.saturating_mul(1000),
            Precision::Ns => ms.saturating_mul(1_000_000),
        }
    }
}

/// What a measurement is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Class,
    Device,
    Ledger,
    Key,
    Connection,
    Unit,
}

impl Template {
    /// Reads one.
    ///
    /// # Errors
    /// What is wrong with it, and what may stand in it.
    pub fn of(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is no name: write a text that may hold {{class}}, {{device}}, {{ledger}}, {{key}}, {{connection}} \
                 and {{unit}}"
            )
        };
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find('{') {
            let close = rest[open..].find('}').ok_or_else(wrong)? + open;
            if open > 0 {
                parts.push(Part::Text(rest[..open].to_owned()));
            }
            parts.push(match &rest[open + 1..close] {
                "class" => Part::Class,
                "device" => Part::Device,
                "ledger" => Part::Ledger,
                "key" => Part::Key,
                "connection" => Part::Connection,
                "unit" => Part::Unit,
                _ => return Err(wrong()),
            });
            rest = &rest[close + 1..];
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        if parts.is_empty() || text.contains(char::is_control) || text.starts_with(['_', '#']) {
            return Err(wrong());
        }
        Ok(Template(parts))
    }

    fn fill(&self, sample: &Sample) -> String {
        let meta = &sample.of.meta;
        let mut name = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => name.push_str(text),
                Part::Class => name.push_str(&class_of(sample)),
                Part::Device => name.push_str(&meta.id),
                Part::Ledger => name.push_str(&meta.ledger.name),
                Part::Key => name.push_str(sample.key()),
                Part::Connection => name.push_str(&meta.connection),
                Part::Unit => name.push_str(sample.unit().unwrap_or("none")),
            }
        }
        name
    }
}

fn class_of(sample: &Sample) -> String {
    sample.class().map_or_else(|| "other".to_owned(), class_name)
}

/// Adds the line of a sample; `false` for one that says nothing here: a value that is not known.
pub fn line(
    out: &mut String,
    sample: &Sample,
    measurement: &Template,
    tags: &BTreeMap<String, String>,
    precision: Precision,
) -> bool {
    let (Some(value), Some(said)) = (&sample.value, sample.said_ms) else {
        return false;
    };
    let began = out.len();
    let name = measurement.fill(sample);
    // A line that begins with `#` is a comment.
    escape(out, if name.starts_with('#') { "_" } else { "" }, false);
    escape(out, &name, false);
    let meta = &sample.of.meta;
    tag(out, "connection", &meta.connection);
    tag(out, "device", &meta.id);
    tag(out, "key", sample.key());
    tag(out, "ledger", &meta.ledger.name);
    tag(out, "name", sample.name());
    if let Some(phase) = phase(sample.key()) {
        tag(out, "phase", phase);
    }
    if let Some(unit) = sample.unit() {
        tag(out, "unit", unit);
    }
    let _ = write!(out, ",unit_id={}", meta.unit);
    for (name, value) in tags {
        tag(out, name, value);
    }
    out.push(' ');
    let is_state =
        matches!(sample.class(), Some(Class::Enum | Class::State)) || !sample.point().labels.is_empty();
    match value {
        Value::Integer(number) if is_state => {
            let _ = write!(out, "state={number}i");
            if let Some(label) = sample.label() {
                out.push_str(",label=");
                quoted(out, &label);
            }
        }
        Value::Text(text) => {
            out.push_str("text=");
            quoted(out, text);
        }
        value => match value.as_f64().filter(|number| number.is_finite()) {
            // -0 is 0.
            Some(number) => drop(write!(out, "value={}", number + 0.0)),
            None => {
                out.truncate(began);
                return false;
            }
        },
    }
    let _ = writeln!(out, " {}", precision.of_ms(said));
    true
}

/// A tag; one without a value is none.
fn tag(out: &mut String, name: &str, value: &str) {
    if value.trim().is_empty() {
        return;
    }
    out.push(',');
    escape(out, name, true);
    out.push('=');
    escape(out, value, true);
}

fn escape(out: &mut String, text: &str, equals: bool) {
    for c in text.chars() {
        match c {
            '\\' => out.push('/'),
            c if c.is_control() => out.push_str("\\ "),
            ',' | ' ' => out.extend(['\\', c]),
            '=' if equals => out.push_str("\\="),
            c => out.push(c),
        }
    }
}

fn quoted(out: &mut String, text: &str) {
    out.push('"');
    let began = out.len();
    for c in text.chars() {
        if out.len() - began + c.len_utf8() > LONGEST_TEXT {
            break;
        }
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            // A batch is cut at line ends.
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use busbar_ledger::value::Quality;
    use proptest::prelude::*;

    use super::*;
    use crate::bus::OwnersWord;
    use crate::view::testing::device_of;

    const LEDGER: &str = "ledger = \"test/one\"\ntitle = \"One\"\n[points]\n\
        power_l1 = { at = 0, type = \"i16\", unit = \"W\", class = \"power\", label = \"Power\" }\n\
        state = { at = 3, type = \"u16\", class = \"enum\", labels = { 0 = \"Off\", 1 = \"On, \\\"really\\\"\" } }\n";

    fn sample(index: usize, value: Option<Value>, name: Option<&str>) -> Sample {
        let device = Arc::into_inner(device_of("one", LEDGER)).unwrap();
        let names = name.map(|name| ("power_l1".to_owned(), name.to_owned()));
        let device = device.of_owner(OwnersWord {
            names: names.into_iter().collect(),
            ..OwnersWord::default()
        });
        Sample {
            of: Arc::new(device),
            index,
            quality: Quality::Good,
            time_ms: 1_700_000_000_123,
            said_ms: value.is_some().then_some(1_700_000_000_123),
            value,
        }
    }

    fn encode(sample: &Sample, template: &str, precision: Precision) -> String {
        let mut out = String::new();
        let tags = BTreeMap::from([("site".to_owned(), "my home".to_owned())]);
        let said = line(
            &mut out,
            sample,
            &Template::of(template).unwrap(),
            &tags,
            precision,
        );
        assert_eq!(said, !out.is_empty());
        out
    }

    #[test]
    fn a_line_says_everything_in_the_protocols_own_way() {
        assert_eq!(
            encode(
                &sample(0, Some(Value::Number(-12.5)), Some("Roof, \"east\"=1")),
                "{class}",
                Precision::Ms
            ),
            "power,connection=c,device=one,key=power_l1,ledger=test/one,name=Roof\\,\\ \"east\"\\=1,phase=L1,unit=W,\
             unit_id=1,site=my\\ home value=-12.5 1700000000123\n"
        );
        assert_eq!(
            encode(
                &sample(1, Some(Value::Integer(1)), None),
                "bus bar_{key}",
                Precision::S
            ),
            "bus\\ bar_state,connection=c,device=one,key=state,ledger=test/one,name=State,unit_id=1,site=my\\ home \
             state=1i,label=\"On, \\\"really\\\"\" 1700000000\n"
        );
        assert!(
            encode(
                &sample(0, Some(Value::Integer(7)), None),
                "{class}",
                Precision::Ns
            )
            .ends_with(" value=7 1700000000123000000\n")
        );
        assert_eq!(encode(&sample(0, None, None), "{class}", Precision::Ms), "");
    }

    /// Reads a line as a server does; tags, fields and the time.
    type Read = (String, BTreeMap<String, String>, BTreeMap<String, String>, i64);
    fn read_back(line: &str) -> Option<Read> {
        // Where a separator stands that is neither behind a backslash nor in quotes.
        let split = |text: &str, at: char, quotes: bool| -> Vec<String> {
            let (mut parts, mut part, mut escaped, mut inside) = (Vec::new(), String::new(), false, false);
            for c in text.chars() {
                if !escaped && !inside && c == at {
                    parts.push(std::mem::take(&mut part));
                    continue;
                }
                if quotes && c == '"' && !escaped {
                    inside = !inside;
                }
                escaped = c == '\\' && !escaped;
                part.push(c);
            }
            parts.push(part);
            parts
        };
        let plain = |text: &str| text.replace("\\,", ",").replace("\\ ", " ").replace("\\=", "=");
        // The quotes of fields; those of tags are characters like others.
        let head_end = split(line, ' ', false)[0].len();
        let (head, rest) = (&line[..head_end], line.get(head_end + 1..)?);
        let parts = split(rest, ' ', true);
        let [fields, time] = &parts[..] else { return None };
        let mut head = split(head, ',', false).into_iter();
        let name = plain(&head.next()?);
        let pairs = |all: Vec<String>| -> Option<BTreeMap<String, String>> {
            all.iter()
                .map(|pair| {
                    let parts = split(pair, '=', true);
                    (parts.len() == 2).then(|| (plain(&parts[0]), plain(&parts[1])))
                })
                .collect()
        };
        let tags: Vec<String> = head.collect();
        let tags = tags
            .iter()
            .map(|pair| {
                let parts = split(pair, '=', false);
                (parts.len() == 2).then(|| (plain(&parts[0]), plain(&parts[1])))
            })
            .collect::<Option<_>>()?;
        Some((name, tags, pairs(split(fields, ',', true))?, time.parse().ok()?))
    }

    proptest! {
        #[test]
        fn whatever_things_are_called_a_line_reads_back(
            name in "\\PC{0,12}|[\\\\,= \"\n\r\t#]{1,6}",
            number in prop::num::f64::NORMAL,
            text in prop::option::of("\\PC{0,12}|[\\\\,= \"\n]{1,6}"),
        ) {
            let value = match &text {
                Some(text) => Value::Text(text.clone()),
                None => Value::Number(number),
            };
            let line = encode(&sample(0, Some(value), Some(&name)), "{class}", Precision::Ms);
            prop_assert_eq!(line.matches('\n').count(), 1);
            let (measurement, tags, fields, time) = read_back(line.trim_end_matches('\n')).unwrap();
            prop_assert_eq!(measurement, "power");
            prop_assert_eq!(time, 1_700_000_000_123);
            let shown: String = name
                .chars()
                .map(|c| match c {
                    '\\' => '/',
                    c if c.is_control() => ' ',
                    c => c,
                })
                .collect();
            let expected = (!shown.trim().is_empty()).then_some(&shown);
            prop_assert_eq!(tags.get("name"), expected);
            prop_assert_eq!(tags.get("site").map(String::as_str), Some("my home"));
            match text {
                None => prop_assert_eq!(fields["value"].parse::<f64>().unwrap(), number),
                Some(_) => prop_assert!(fields["text"].starts_with('"')),
            }
        }
    }

    #[test]
    fn a_template_knows_its_words() {
        for bad in ["", "{", "{nonsense}", "_hidden", "a\nb", "#x"] {
            assert!(Template::of(bad).unwrap_err().contains("{class}"), "{bad}");
        }
    }
}
