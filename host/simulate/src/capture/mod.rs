//! A field capture: what went over a wire, one JSON document a line. The first line says what it is, each other one is a
//! frame with its time. Serial numbers, names and places are taken out before it is written.
//!
//! ```text
//! {"busbar_capture":1,"wire":"modbus+udp","made_ms":1760000000000,"version":"0.1.0","redacted":["unit 1: holding 4097-4104"]}
//! {"us":0,"sent":{"id":7,"unit":1,"pdu":"030010000001"}}
//! {"us":1830,"got":{"id":7,"unit":1,"pdu":"0302a1b1"}}
//! ```

mod exchange;
mod mask;
mod redact;

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

pub use exchange::{Exchange, exchanges};
pub use redact::Redaction;
pub(crate) use redact::read_span;

/// The version of the form.
const FORM: u32 = 1;
/// Larger files are refused before they are parsed.
pub const MAX_BYTES: u64 = 64 << 20;
/// No more frames are kept: as many of the longest fit into such a file, and an hour of a busy wire.
pub const MAX_FRAMES: usize = 100_000;
/// The longest PDU of Modbus.
const MAX_PDU: usize = 253;
/// The longest noise that is kept in one piece.
const MAX_NOISE: usize = 512;

/// A capture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capture {
    /// What it is.
    pub head: Head,
    /// The frames, in the order of their times.
    pub frames: Vec<Line>,
}

/// The first line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// The version of the form.
    pub busbar_capture: u32,
    /// The scheme of the wire; where it led is not kept.
    pub wire: String,
    /// When it began, in milliseconds since 1970.
    pub made_ms: i64,
    /// The version of Busbar that made it.
    pub version: String,
    /// What was taken out, in words.
    pub redacted: Vec<String>,
    /// Frames that came faster than they could be noted.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub missed: u64,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl Head {
    /// Of a capture that begins now.
    pub fn new(wire: &str, made_ms: i64, version: &str) -> Self {
        Head {
            busbar_capture: FORM,
            wire: wire.to_owned(),
            made_ms,
            version: version.to_owned(),
            redacted: Vec::new(),
            missed: 0,
        }
    }
}

/// One thing that went over the wire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Microseconds since the beginning.
    pub us: u64,
    /// What it was.
    #[serde(flatten)]
    pub seen: Seen,
}

/// What went over the wire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Seen {
    /// A request.
    Sent(Frame),
    /// An answer, or what looks like one.
    Got(Frame),
    /// Bytes from the device that are no frame.
    Noise(Hex),
}

/// A frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Frame {
    /// Its transaction id, on wires that have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u16>,
    /// The unit.
    pub unit: u8,
    /// Function code and data.
    pub pdu: Hex,
}

/// Bytes, written as hexadecimal digits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hex(pub Vec<u8>);

impl fmt::Display for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let pair = |pair: &[u8]| {
            let text = std::str::from_utf8(pair).ok()?;
            // `from_str_radix` would take a sign.
            let digits = pair.len() == 2 && pair.iter().all(u8::is_ascii_hexdigit);
            digits.then(|| u8::from_str_radix(text, 16).ok())?
        };
        let bytes: Option<Vec<u8>> = text.as_bytes().chunks(2).map(pair).collect();
        bytes
            .map(Hex)
            .ok_or_else(|| de::Error::custom("bytes are written as pairs of hexadecimal digits: \"03a1\""))
    }
}

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct CaptureError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub message: String,
}

impl Capture {
    /// Reads the text of a capture. What it holds is hostile until it has passed through here.
    ///
    /// # Errors
    /// The first line that is no line of a capture.
    pub fn parse(text: &str) -> Result<Self, CaptureError> {
        let wrong = |line: usize, message: String| CaptureError {
            line: line + 1,
            message,
        };
        let mut lines = text
            .lines()
            .enumerate()
            .filter(|(_, line)| !line.trim().is_empty());
        let none = || wrong(0, "the file is empty; `busbar capture URL` makes one".to_owned());
        let (number, first) = lines.next().ok_or_else(none)?;
        let head: Head = serde_json::from_str(first)
            .map_err(|error| wrong(number, format!("this is no capture of Busbar's: {error}")))?;
        if head.busbar_capture != FORM {
            let message = format!(
                "a capture of form {}, and this version reads form {FORM}",
                head.busbar_capture
            );
            return Err(wrong(number, message));
        }
        let mut frames = Vec::new();
        let mut last = 0;
        for (number, text) in lines {
            let line: Line = serde_json::from_str(text).map_err(|error| wrong(number, error.to_string()))?;
            if line.us < last {
                return Err(wrong(
                    number,
                    "this frame is older than the one before it".to_owned(),
                ));
            }
            if let Some(message) = too_long(&line.seen) {
                return Err(wrong(number, message));
            }
            if frames.len() == MAX_FRAMES {
                return Err(wrong(number, format!("more than {MAX_FRAMES} frames")));
            }
            last = line.us;
            frames.push(line);
        }
        Ok(Capture { head, frames })
    }

    /// How long it lasted, in microseconds; at least 1.
    pub fn length(&self) -> u64 {
        self.frames.last().map_or(0, |line| line.us).saturating_add(1)
    }
}

fn too_long(seen: &Seen) -> Option<String> {
    match seen {
        Seen::Sent(frame) | Seen::Got(frame) if !(1..=MAX_PDU).contains(&frame.pdu.0.len()) => Some(format!(
            "a PDU has 1 to {MAX_PDU} bytes, this one {}",
            frame.pdu.0.len()
        )),
        Seen::Noise(bytes) if bytes.0.len() > MAX_NOISE => {
            Some(format!("more than {MAX_NOISE} bytes of noise in one piece"))
        }
        _ => None,
    }
}

impl fmt::Display for Capture {
    /// As it is written to a file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let json = |line: serde_json::Result<String>| line.map_err(|_| fmt::Error);
        writeln!(f, "{}", json(serde_json::to_string(&self.head))?)?;
        for line in &self.frames {
            writeln!(f, "{}", json(serde_json::to_string(line))?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str =
        r#"{"busbar_capture":1,"wire":"modbus+tcp","made_ms":1,"version":"0.1.0","redacted":[]}"#;

    #[test]
    fn what_is_written_is_read() {
        let text = format!(
            "{HEAD}\n{}\n{}\n{}\n",
            r#"{"us":0,"sent":{"id":7,"unit":1,"pdu":"030010000001"}}"#,
            r#"{"us":1830,"got":{"unit":1,"pdu":"0302a1b1"}}"#,
            r#"{"us":2000,"noise":"ff00"}"#
        );
        let capture = Capture::parse(&text).unwrap();
        assert_eq!(capture.to_string(), text);
        assert_eq!(capture.length(), 2001);
        assert_eq!(capture.frames[2].seen, Seen::Noise(Hex(vec![0xff, 0])));
    }

    #[test]
    fn an_endless_time_is_survived() {
        let capture = Capture::parse(&format!("{HEAD}\n{{\"us\":{},\"noise\":\"\"}}\n", u64::MAX)).unwrap();
        assert_eq!(capture.length(), u64::MAX);
    }

    #[test]
    fn the_most_frames_fit_into_a_file() {
        let frame = Frame {
            id: Some(u16::MAX),
            unit: u8::MAX,
            pdu: Hex(vec![0xff; MAX_PDU]),
        };
        let us = 86_400_000_000;
        for seen in [Seen::Sent(frame), Seen::Noise(Hex(vec![0xff; MAX_PDU]))] {
            let line = serde_json::to_string(&Line { us, seen }).unwrap();
            assert!(
                (line.len() as u64 + 1) * (MAX_FRAMES as u64) < MAX_BYTES,
                "{}",
                line.len()
            );
        }
    }

    #[test]
    fn a_file_that_is_none_is_refused_with_its_line() {
        for (lines, line, words) in [
            ("", 1, "is empty"),
            ("[home]\n", 1, "no capture of Busbar's"),
            (&HEAD.replace(":1,\"wire\"", ":2,\"wire\""), 1, "form 2"),
            (&format!("{HEAD}\n{{}}\n"), 2, "us"),
            (
                &format!("{HEAD}\n\n{{\"us\":1,\"noise\":\"abc\"}}"),
                3,
                "hexadecimal",
            ),
            (
                &format!("{HEAD}\n{{\"us\":1,\"noise\":\"+f\"}}"),
                2,
                "hexadecimal",
            ),
            (
                &format!("{HEAD}\n{{\"us\":1,\"got\":{{\"unit\":1,\"pdu\":\"\"}}}}"),
                2,
                "1 to 253",
            ),
            (
                &format!("{HEAD}\n{{\"us\":5,\"noise\":\"\"}}\n{{\"us\":4,\"noise\":\"\"}}"),
                3,
                "older",
            ),
        ] {
            let error = Capture::parse(lines).unwrap_err();
            assert_eq!(error.line, line, "{error}");
            assert!(error.to_string().contains(words), "{error}");
        }
    }
}
