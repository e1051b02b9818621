//! Samples as JSON lines or CSV. Pure.
//!
//! CSV has the columns `time,device,key,value,unit,quality`, always these in this order, by RFC 4180 but with `\n` at the
//! end of a line. JSON has the same and more. A value that is not known is empty, or `null`.

use std::fmt::Write;

use busbar_ledger::value::Value;
use serde::{Deserialize, Serialize};

use crate::samples::{Sample, class_name};

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One JSON object a line.
    Jsonl,
    /// Comma-separated values.
    Csv,
}

/// A line of JSON.
#[derive(Serialize)]
struct Line<'a> {
    time: String,
    device: &'a str,
    key: &'a str,
    name: &'a str,
    value: Option<&'a Value>,
    label: Option<String>,
    unit: Option<&'a str>,
    class: Option<String>,
    quality: &'static str,
}

impl Format {
    /// What a file begins with.
    pub fn header(self) -> &'static str {
        match self {
            Format::Jsonl => "",
            Format::Csv => "time,device,key,value,unit,quality\n",
        }
    }

    /// Adds the line of a sample.
    pub fn line(self, out: &mut String, sample: &Sample) {
        let time = time(sample.time_ms);
        match self {
            Format::Jsonl => {
                let line = Line {
                    time,
                    device: sample.device(),
                    key: sample.key(),
                    name: sample.name(),
                    value: sample.value.as_ref(),
                    label: sample.label(),
                    unit: sample.unit(),
                    class: sample.class().map(class_name),
                    quality: sample.quality.name(),
                };
                // Texts and numbers always are JSON.
                if let Ok(line) = serde_json::to_string(&line) {
                    out.push_str(&line);
                }
            }
            Format::Csv => {
                let _ = write!(out, "{time},");
                field(out, sample.device());
                out.push(',');
                field(out, sample.key());
                out.push(',');
                match &sample.value {
                    Some(Value::Text(text)) => field(out, text),
                    Some(value) => drop(write!(out, "{value}")),
                    None => {}
                }
                out.push(',');
                field(out, sample.unit().unwrap_or_default());
                let _ = write!(out, ",{}", sample.quality);
            }
        }
        out.push('\n');
    }
}

/// In UTC, with milliseconds: `2026-11-30T18:00:00.000Z`, always as long as this.
fn time(ms: i64) -> String {
    let text =
        jiff::Timestamp::from_millisecond(ms).map(|t| t.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string());
    text.unwrap_or_else(|_| ms.to_string())
}

/// What a comma, a quote or a line's end stands in is put in quotes; a text stays on its line.
fn field(out: &mut String, text: &str) {
    let plain = |c: char| !(c.is_control() || matches!(c, ',' | '"'));
    if text.chars().all(plain) {
        out.push_str(text);
        return;
    }
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\"\""),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use busbar_ledger::value::Quality;
    use proptest::prelude::*;

    use super::*;
    use crate::view::testing::device;

    fn sample(index: usize, value: Option<Value>) -> Sample {
        Sample {
            of: device("one"),
            index,
            quality: if value.is_some() {
                Quality::Good
            } else {
                Quality::Unavailable
            },
            time_ms: 1_796_061_600_042,
            said_ms: None,
            value,
        }
    }

    fn line(format: Format, sample: &Sample) -> String {
        let mut out = String::new();
        format.line(&mut out, sample);
        out
    }

    #[test]
    fn lines_are_what_they_always_were() {
        let power = sample(0, Some(Value::Number(-12.5)));
        assert_eq!(
            line(Format::Csv, &power),
            "2026-11-30T18:00:00.042Z,one,power,-12.5,W,good\n"
        );
        assert_eq!(
            line(Format::Jsonl, &sample(2, Some(Value::Integer(1)))),
            "{\"time\":\"2026-11-30T18:00:00.042Z\",\"device\":\"one\",\"key\":\"state\",\"name\":\"State\",\"value\":1,\
             \"label\":\"On\",\"unit\":null,\"class\":\"enum\",\"quality\":\"good\"}\n"
        );
        assert_eq!(
            line(Format::Csv, &sample(0, None)),
            "2026-11-30T18:00:00.042Z,one,power,,W,unavailable\n"
        );
        assert_eq!(Format::Csv.header().split(',').count(), 6);
    }

    /// Reads a line of CSV.
    fn read_back(line: &str) -> Vec<String> {
        let (mut fields, mut field, mut inside) = (Vec::new(), String::new(), false);
        let mut rest = line.chars().peekable();
        while let Some(c) = rest.next() {
            match c {
                '"' if inside && rest.peek() == Some(&'"') => {
                    rest.next();
                    field.push('"');
                }
                '"' => inside = !inside,
                ',' if !inside => fields.push(std::mem::take(&mut field)),
                c => field.push(c),
            }
        }
        fields.push(field);
        fields
    }

    proptest! {
        #[test]
        fn whatever_a_device_says_stays_in_its_field(text in "\\PC{0,12}|[,\"\n\r\\\\]{1,6}", number in prop::num::f64::NORMAL) {
            let said = sample(0, Some(Value::Text(text.clone())));
            let csv = line(Format::Csv, &said);
            prop_assert_eq!(csv.matches('\n').count(), 1);
            let fields = read_back(csv.trim_end_matches('\n'));
            prop_assert_eq!(fields.len(), 6);
            prop_assert_eq!(&fields[3], &text.replace(char::is_control, " "));
            let json = line(Format::Jsonl, &said);
            prop_assert_eq!(json.matches('\n').count(), 1);
            let value: serde_json::Value = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(&value["value"], &serde_json::Value::String(text));
            let counted = line(Format::Csv, &sample(0, Some(Value::Number(number))));
            prop_assert_eq!(read_back(&counted)[3].parse::<f64>().unwrap(), number);
        }
    }
}
