//! Takes out what a stranger need not know: serial numbers, names, places. Letters stay letters and digits stay digits,
//! the same register always gets the same ones, and so a device made from the capture still has an identity.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use busbar_ledger::span::{Function, Span};

use super::{Capture, Seen, exchanges};

/// So many registers in a row that hold nothing but printable characters are a text, where nothing else is known.
const TEXT: usize = 4;

/// What to take out.
#[derive(Clone, Debug, Default)]
pub struct Redaction {
    /// Registers with a private text, by unit.
    pub texts: Vec<(u8, Span)>,
    /// Registers with a private number (a place on earth), by unit: 0 stands for it.
    pub numbers: Vec<(u8, Span)>,
    /// Registers of which it is known that they hold nothing private, by unit.
    pub public: Vec<(u8, Span)>,
}

impl Redaction {
    /// Takes it all out, and notes in the head what that was.
    pub fn apply(&self, capture: &mut Capture) {
        // Nobody who has only the file can tell what stood there.
        let secret = RandomState::new();
        let mut found: Vec<(u8, Span)> = Vec::new();
        for exchange in exchanges(&capture.frames) {
            let (Some(span), Some(place)) = (read_span(&exchange.request), exchange.answered_at) else {
                continue;
            };
            let Some(Seen::Got(frame)) = capture.frames.get_mut(place).map(|line| &mut line.seen) else {
                continue;
            };
            let Some(words) = frame.pdu.0.get_mut(2..2 + 2 * usize::from(span.count)) else {
                continue;
            };
            let unit = exchange.unit;
            let of = |all: &[(u8, Span)], at: Span| all.iter().any(|(u, s)| *u == unit && s.overlaps(at));
            let here: Vec<Span> = (u32::from(span.at)..span.end())
                .map(|at| Span {
                    at: u16::try_from(at).unwrap_or(u16::MAX),
                    count: 1,
                    ..span
                })
                .collect();
            let looks_like_text = texts(words);
            for (i, at) in here.into_iter().enumerate() {
                let Some(word) = words.get_mut(2 * i..2 * i + 2) else {
                    break;
                };
                if of(&self.numbers, at) {
                    word.fill(0);
                } else if of(&self.texts, at) || (looks_like_text[i] && !of(&self.public, at)) {
                    for (side, byte) in word.iter_mut().enumerate() {
                        *byte = masked(*byte, secret.hash_one((unit, at.at, side, *byte)));
                    }
                } else {
                    continue;
                }
                note(&mut found, unit, at);
            }
        }
        found.sort_unstable();
        capture.head.redacted = found
            .iter()
            .map(|(unit, span)| format!("unit {unit}: {span}"))
            .collect();
    }
}

/// What a request reads; `None` for anything but a read of registers.
pub(crate) fn read_span(request: &[u8]) -> Option<Span> {
    let &[code, at_high, at_low, count_high, count_low] = request else {
        return None;
    };
    let function = Function::from_code(code).filter(|function| !function.is_bit())?;
    let span = Span {
        function,
        at: u16::from_be_bytes([at_high, at_low]),
        count: u16::from_be_bytes([count_high, count_low]),
    };
    (span.count > 0 && span.end() <= 0x1_0000).then_some(span)
}

/// For each register, whether it is part of what looks like a text.
fn texts(words: &[u8]) -> Vec<bool> {
    let printable: Vec<bool> = words
        .chunks(2)
        .map(|word| word.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' '))
        .collect();
    let mut marks = vec![false; printable.len()];
    let mut begin = 0;
    for run in printable.chunk_by(|a, b| a == b) {
        if run.first() == Some(&true) && run.len() >= TEXT {
            marks[begin..begin + run.len()].fill(true);
            // The last word of a text may be half a one.
            if let Some(mark) = marks.get_mut(begin + run.len()) {
                *mark = words
                    .get(2 * (begin + run.len()))
                    .is_some_and(u8::is_ascii_alphanumeric);
            }
        }
        begin += run.len();
    }
    marks
}

/// Another letter for a letter, another digit for a digit; all else stays.
fn masked(byte: u8, hash: u64) -> u8 {
    let pick = |base: u8, many: u64| base + u8::try_from(hash % many).unwrap_or(0);
    match byte {
        b'0'..=b'9' => pick(b'0', 10),
        // What is hexadecimal stays so.
        b'a'..=b'f' => pick(b'a', 6),
        b'A'..=b'F' => pick(b'A', 6),
        b'g'..=b'z' => pick(b'g', 20),
        b'G'..=b'Z' => pick(b'G', 20),
        // Part of a character beyond ASCII.
        0x80.. => b'x',
        other => other,
    }
}

fn note(found: &mut Vec<(u8, Span)>, unit: u8, at: Span) {
    if found.iter().any(|(u, span)| *u == unit && span.contains(at)) {
        return;
    }
    let before = found
        .iter_mut()
        .find(|(u, span)| *u == unit && span.function == at.function && span.end() == u32::from(at.at));
    match before {
        Some((_, span)) => span.count += 1,
        None => found.push((unit, at)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Frame, Head, Hex, Line};
    use super::*;

    /// A capture of one read at unit 1 that brought these bytes.
    fn capture(at: u16, bytes: &[u8], times: usize) -> Capture {
        let count = u16::try_from(bytes.len() / 2).unwrap();
        let [at_high, at_low] = at.to_be_bytes();
        let mut answer = vec![3, u8::try_from(bytes.len()).unwrap()];
        answer.extend(bytes);
        let frame = |pdu: Vec<u8>| Frame {
            id: Some(1),
            unit: 1,
            pdu: Hex(pdu),
        };
        let pair = [
            Line {
                us: 0,
                seen: Seen::Sent(frame(vec![3, at_high, at_low, 0, count as u8])),
            },
            Line {
                us: 0,
                seen: Seen::Got(frame(answer)),
            },
        ];
        Capture {
            head: Head::new("modbus+tcp", 0, "0"),
            frames: pair.iter().cloned().cycle().take(2 * times).collect(),
        }
    }

    fn bytes(capture: &Capture, place: usize) -> &[u8] {
        match &capture.frames[place].seen {
            Seen::Got(frame) => &frame.pdu.0[2..],
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_serial_number_becomes_another_and_stays_it() {
        let mut told = capture(4097, b"HQ2033ABCDE\0\0\0\x12\x34", 2);
        let redaction = Redaction {
            texts: vec![(1, Span::holding(4097, 7))],
            ..Redaction::default()
        };
        redaction.apply(&mut told);
        let seen = bytes(&told, 1);
        assert_ne!(&seen[..11], b"HQ2033ABCDE");
        assert!(seen[..2].iter().all(u8::is_ascii_uppercase) && seen[2..6].iter().all(u8::is_ascii_digit));
        assert_eq!(
            &seen[11..],
            b"\0\0\0\x12\x34",
            "neither its end nor what stands behind it"
        );
        assert_eq!(bytes(&told, 3), seen);
        assert_eq!(told.head.redacted, ["unit 1: holding 4097-4103"]);
    }

    #[test]
    fn a_text_that_nobody_knows_is_taken_out_unless_it_is_public() {
        let text = b"\0\x07Miller's house\0\x01";
        let mut told = capture(100, text, 1);
        Redaction::default().apply(&mut told);
        let seen = bytes(&told, 1).to_vec();
        assert!(!seen.windows(6).any(|part| part == b"Miller"), "{seen:?}");
        assert_eq!((&seen[..2], &seen[16..]), (&b"\0\x07"[..], &b"\0\x01"[..]));
        let mut told = capture(100, text, 1);
        let model = Redaction {
            public: vec![(1, Span::holding(100, 9))],
            ..Redaction::default()
        };
        model.apply(&mut told);
        assert_eq!(bytes(&told, 1), text);
        assert!(told.head.redacted.is_empty());
    }

    #[test]
    fn a_place_on_earth_is_nowhere_and_numbers_stay() {
        let mut told = capture(2800, &[0x12, 0x34, 0x56, 0x78, 0, 9], 1);
        let redaction = Redaction {
            numbers: vec![(1, Span::holding(2800, 2))],
            ..Redaction::default()
        };
        redaction.apply(&mut told);
        assert_eq!(bytes(&told, 1), [0, 0, 0, 0, 0, 9]);
    }
}
