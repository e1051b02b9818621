//! Takes out what a stranger need not know: serial numbers, names, places. Letters stay letters and digits stay digits,
//! the same register always gets the same ones, and so a device made from the capture still has an identity.
//!
//! What no request explains (noise, answers to nobody) keeps its head alone: what stands in it cannot be told.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::BuildHasher;

use busbar_ledger::span::{Function, Span};

use super::mask::{counted, hide, identification, masked, texts};
use super::{Capture, Exchange, Seen, exchanges};

/// Function code and byte count.
const HEAD: usize = 2;
/// Of noise: header, function code and byte count of a frame.
const NOISE_HEAD: usize = 9;

/// What to take out.
#[derive(Clone, Debug, Default)]
pub struct Redaction {
    /// Registers with a private text, by unit.
    pub texts: Vec<(u8, Span)>,
    /// Registers with a private number that another stands for (a serial number), by unit.
    pub digits: Vec<(u8, Span)>,
    /// Registers with a private number (a place on earth), by unit: 0 stands for it.
    pub numbers: Vec<(u8, Span)>,
    /// Registers of which it is known that they hold nothing private, by unit.
    pub public: Vec<(u8, Span)>,
    /// Registers that hold a place on earth in some kind of device: 0 stands for them at units of which nothing is
    /// known.
    pub places: Vec<Span>,
    /// Whether texts of which nothing is known stay as they are.
    pub keep_texts: bool,
}

/// What happens to a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Mark {
    Text,
    Digits,
    Zero,
}

/// What is known of each register.
#[derive(Debug, Default)]
struct Known {
    private: HashMap<(u8, Function, u16), Mark>,
    /// A device may tell the same by another function.
    elsewhere: HashMap<(u8, u16), Mark>,
    public: HashSet<(u8, Function, u16)>,
    units: HashSet<u8>,
    places: HashSet<u16>,
    /// Registers that look like a part of a text.
    texts: HashSet<(u8, Function, u16)>,
}

fn registers(span: Span) -> impl Iterator<Item = u16> {
    (u32::from(span.at)..span.end()).filter_map(|at| u16::try_from(at).ok())
}

impl Known {
    fn new(redaction: &Redaction) -> Self {
        let mut known = Known::default();
        let marks = [
            (&redaction.texts, Mark::Text),
            (&redaction.digits, Mark::Digits),
            (&redaction.numbers, Mark::Zero),
        ];
        for (all, mark) in marks {
            for (unit, span) in all {
                known.units.insert(*unit);
                for at in registers(*span) {
                    known.private.insert((*unit, span.function, at), mark);
                    known.elsewhere.insert((*unit, at), mark);
                }
            }
        }
        for (unit, span) in &redaction.public {
            known.units.insert(*unit);
            known
                .public
                .extend(registers(*span).map(|at| (*unit, span.function, at)));
        }
        known.places = redaction.places.iter().flat_map(|s| registers(*s)).collect();
        known
    }

    /// Notes what looks like a text, however it was cut into reads.
    fn learn(&mut self, capture: &Capture, exchanges: &[Exchange]) {
        let mut image: BTreeMap<(u8, Function, u16), [u8; 2]> = BTreeMap::new();
        for exchange in exchanges {
            let Some(span) = read_span(&exchange.request) else {
                continue;
            };
            let place = exchange.answered_at.and_then(|at| capture.frames.get(at));
            let Some(Seen::Got(frame)) = place.map(|line| &line.seen) else {
                continue;
            };
            let Some(words) = words(span, &frame.pdu.0) else {
                continue;
            };
            // One answer by itself, ...
            for (at, text) in registers(span).zip(texts(words)) {
                if text {
                    self.texts.insert((exchange.unit, span.function, at));
                }
            }
            for (at, word) in registers(span).zip(words.chunks_exact(2)) {
                let held = image.entry((exchange.unit, span.function, at)).or_default();
                held.copy_from_slice(word);
            }
        }
        // ... and what stands side by side on the device.
        let all: Vec<_> = image.into_iter().collect();
        let next = |(a, b): (&(u8, Function, u16), &(u8, Function, u16))| {
            (a.0, a.1) == (b.0, b.1) && u32::from(a.2) + 1 == u32::from(b.2)
        };
        for run in all.chunk_by(|a, b| next((&a.0, &b.0))) {
            let bytes: Vec<u8> = run.iter().flat_map(|(_, word)| *word).collect();
            let marked = run.iter().zip(texts(&bytes)).filter(|(_, text)| *text);
            self.texts.extend(marked.map(|((at, _), _)| *at));
        }
    }

    fn mark(&self, unit: u8, function: Function, at: u16, keep_texts: bool) -> Option<Mark> {
        let here = (unit, function, at);
        if let Some(mark) = self.private.get(&here) {
            return Some(*mark);
        }
        if self.public.contains(&here) {
            return None;
        }
        if let Some(mark) = self.elsewhere.get(&(unit, at)) {
            return Some(*mark);
        }
        if !self.units.contains(&unit) && self.places.contains(&at) {
            return Some(Mark::Zero);
        }
        (!keep_texts && self.texts.contains(&here)).then_some(Mark::Text)
    }
}

impl Redaction {
    /// Takes it all out, and notes in the head what that was.
    pub fn apply(&self, capture: &mut Capture) {
        // Nobody who has only the file can tell what stood there.
        let secret = RandomState::new();
        let exchanges = exchanges(&capture.frames);
        let mut known = Known::new(self);
        known.learn(capture, &exchanges);
        let mut asked: HashMap<usize, &Exchange> = HashMap::new();
        for exchange in &exchanges {
            asked.extend(exchange.answered_at.map(|place| (place, exchange)));
        }
        let mut found: Vec<(u8, Span)> = Vec::new();
        let (mut unexplained, mut told, mut noise) = (false, false, false);
        for (place, line) in capture.frames.iter_mut().enumerate() {
            let pdu = match &mut line.seen {
                Seen::Sent(_) => continue,
                Seen::Noise(bytes) => {
                    noise |= hide(&mut bytes.0, NOISE_HEAD);
                    continue;
                }
                Seen::Got(frame) => &mut frame.pdu.0,
            };
            if is_refusal(pdu) {
                continue;
            }
            let Some(Exchange { unit, request, .. }) = asked.get(&place) else {
                unexplained |= hide(pdu, HEAD);
                continue;
            };
            let mut mask = |at: u16, bytes: &mut [u8]| {
                for (side, byte) in bytes.iter_mut().enumerate() {
                    *byte = masked(*byte, secret.hash_one((unit, at, side, *byte)));
                }
            };
            match (request.first(), read_span(request)) {
                (Some(1 | 2), _) => {}
                (Some(43), _) => told |= identification(pdu, &mut mask),
                (_, Some(span)) => {
                    let Some(words) = words_mut(span, pdu) else {
                        unexplained |= hide(pdu, HEAD);
                        continue;
                    };
                    for (at, word) in registers(span).zip(words.chunks_exact_mut(2)) {
                        match known.mark(*unit, span.function, at, self.keep_texts) {
                            Some(Mark::Zero) => word.fill(0),
                            Some(Mark::Text) => mask(at, word),
                            Some(Mark::Digits) => {
                                for (side, byte) in word.iter_mut().enumerate() {
                                    *byte = counted(*byte, secret.hash_one((unit, at, side, *byte)));
                                }
                            }
                            None => continue,
                        }
                        note(&mut found, *unit, Span { at, count: 1, ..span });
                    }
                }
                (Some(17), _) => {
                    told = true;
                    mask(0, pdu.get_mut(HEAD..).unwrap_or_default());
                }
                _ => unexplained |= hide(pdu, HEAD),
            }
        }
        found.sort_unstable();
        let registers = found.iter().map(|(unit, span)| format!("unit {unit}: {span}"));
        let others = [
            (unexplained, "answers that belong to no request"),
            (told, "what devices say of themselves"),
            (noise, "noise"),
        ];
        let others = others.into_iter().filter(|(is, _)| *is);
        capture.head.redacted = registers.chain(others.map(|(_, what)| what.to_owned())).collect();
    }
}

fn is_refusal(pdu: &[u8]) -> bool {
    matches!(pdu, [code, _] if code & 0x80 != 0)
}

/// The words of an answer to a read, if it is one.
fn words(span: Span, pdu: &[u8]) -> Option<&[u8]> {
    let words = pdu.get(HEAD..)?;
    (pdu.get(1).map(|b| usize::from(*b)) == Some(words.len()) && words.len() == 2 * usize::from(span.count))
        .then_some(words)
}

fn words_mut(span: Span, pdu: &mut [u8]) -> Option<&mut [u8]> {
    words(span, pdu)?;
    pdu.get_mut(HEAD..)
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

    /// Reads of unit 1 and what they brought, each in its own exchange.
    fn reads(all: &[(Vec<u8>, Vec<u8>)]) -> Capture {
        let mut frames = Vec::new();
        for (id, (request, answer)) in (0..).zip(all) {
            let frame = |pdu: &[u8]| Frame {
                id: Some(id),
                unit: 1,
                pdu: Hex(pdu.to_vec()),
            };
            for seen in [Seen::Sent(frame(request)), Seen::Got(frame(answer))] {
                frames.push(Line { us: 0, seen });
            }
        }
        Capture {
            head: Head::new("modbus+tcp", 0, "0"),
            frames,
        }
    }

    fn read(code: u8, at: u8, bytes: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let count = (bytes.len() / 2) as u8;
        let answer = [&[code, bytes.len() as u8], bytes].concat();
        (vec![code, 0, at, 0, count], answer)
    }

    #[test]
    fn a_text_cut_into_reads_is_taken_out() {
        let mut told = reads(&[
            read(3, 10, b"\0\x01Mi"),
            read(3, 12, b"ller"),
            read(3, 14, b"12345678"),
        ]);
        Redaction::default().apply(&mut told);
        assert_eq!(told.head.redacted, ["unit 1: holding 11-17"]);
        assert_ne!(bytes(&told, 3), b"ller");
        // Each digit may become itself: only all of them together practically never do.
        assert_ne!(bytes(&told, 5), b"12345678");
        // Six letters by themselves are a name, too.
        let mut told = reads(&[read(3, 10, b"Miller\0\0")]);
        Redaction::default().apply(&mut told);
        assert_ne!(&bytes(&told, 1)[..6], b"Miller");
    }

    #[test]
    fn what_is_private_is_so_by_every_function() {
        let redaction = Redaction {
            texts: vec![(1, Span::holding(10, 1))],
            public: vec![(
                1,
                Span {
                    function: Function::Input,
                    ..Span::holding(11, 1)
                },
            )],
            ..Redaction::default()
        };
        let mut told = reads(&[read(3, 10, b"AB"), read(4, 10, b"ABCD")]);
        redaction.apply(&mut told);
        assert_ne!(&bytes(&told, 3)[..2], b"AB");
        assert_eq!(&bytes(&told, 3)[2..], b"CD");
    }

    #[test]
    fn a_serial_number_that_is_a_number_becomes_another() {
        let redaction = Redaction {
            digits: vec![(1, Span::holding(10, 2))],
            ..Redaction::default()
        };
        let mut told = reads(&[
            read(3, 10, &[0, 0x12, 0x02, 0x98]),
            read(3, 10, &[0, 0x12, 0x02, 0x98]),
        ]);
        redaction.apply(&mut told);
        let seen = bytes(&told, 1).to_vec();
        assert_ne!(seen, [0, 0x12, 0x02, 0x98]);
        assert_eq!((seen[0], seen[2] >> 4), (0, 0));
        assert!(
            seen.iter().all(|byte| byte >> 4 < 10 && byte & 15 < 10),
            "{seen:x?}"
        );
        assert_eq!(bytes(&told, 3), seen);
    }

    #[test]
    fn what_no_request_explains_keeps_its_head_alone() {
        let mut told = reads(&[read(3, 10, b"Miller's house")]);
        let answer = told.frames[1].clone();
        let noise = b"\0\x01\0\0\0\x11\x01\x03\x0eMiller's house".to_vec();
        told.frames = vec![
            // To nobody; doubled; and too short for what was asked.
            answer.clone(),
            told.frames[0].clone(),
            answer.clone(),
            answer.clone(),
            Line {
                us: 0,
                seen: Seen::Noise(Hex(noise)),
            },
        ];
        Redaction::default().apply(&mut told);
        for place in [0, 3] {
            assert_eq!(bytes(&told, place), [0; 14], "{place}");
        }
        assert_ne!(bytes(&told, 2), b"Miller's house");
        let Seen::Noise(noise) = &told.frames[4].seen else {
            panic!("noise")
        };
        assert_eq!(noise.0[9..], [0; 14]);
        let mut short = reads(&[(vec![3, 0, 10, 0, 9], b"\x03\x0eMiller's house".to_vec())]);
        Redaction::default().apply(&mut short);
        assert_eq!(bytes(&short, 1), [0; 14]);
        let mut refused = reads(&[(vec![3, 0, 10, 0, 9], vec![0x83, 2])]);
        refused.frames.remove(0);
        let before = refused.frames.clone();
        Redaction::default().apply(&mut refused);
        assert_eq!(refused.frames, before);
    }

    #[test]
    fn a_name_in_an_identification_is_taken_out() {
        let said = |name: &[u8]| [&b"\x2b\x0e\x02\x82\0\0\x02\0\x04ACME\x06\x06"[..], name].concat();
        let mut told = reads(&[
            (vec![43, 14, 2, 0], said(b"Miller")),
            (vec![17], b"\x11\x07Miller\xff".to_vec()),
        ]);
        Redaction::default().apply(&mut told);
        assert_eq!(&bytes(&told, 1)[..13], &said(b"")[2..]);
        for place in [1, 3] {
            assert!(!bytes(&told, place).windows(6).any(|part| part == b"Miller"));
        }
    }

    #[test]
    fn a_place_on_earth_is_taken_out_where_nothing_is_known() {
        let places = Redaction {
            places: vec![Span::holding(10, 1)],
            ..Redaction::default()
        };
        let mut told = reads(&[read(3, 10, &[1, 2, 3, 4])]);
        places.apply(&mut told);
        assert_eq!(bytes(&told, 1), [0, 0, 3, 4]);
        let known = Redaction {
            public: vec![(1, Span::holding(10, 2))],
            ..places
        };
        let mut told = reads(&[read(3, 10, &[1, 2, 3, 4])]);
        known.apply(&mut told);
        assert_eq!(bytes(&told, 1), [1, 2, 3, 4]);
    }
}
