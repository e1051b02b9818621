//! RTU frames: unit, PDU, CRC. Nothing in them says where they begin, end or belong, so an answer is recognised by the
//! request that is known.
//!
//! Source: Modbus over Serial Line, Specification and Implementation Guide V1.02, section 2.5.1.

use std::ops::Range;

use busbar_ledger::span::Span;
use crc::{CRC_16_MODBUS, Crc};

use crate::check;

const CRC: Crc<u16> = Crc::<u16>::new(&CRC_16_MODBUS);

/// The longest frame: unit, 253 bytes of PDU, CRC.
pub(crate) const MAX_FRAME: usize = 256;
/// A request to read.
pub(crate) const REQUEST: usize = 8;
/// A refusal.
pub(crate) const EXCEPTION: usize = 5;
/// Bytes of an answer beside its data: unit, function, byte count, CRC.
const AROUND: usize = 5;

/// Appends one frame to `out`.
pub(crate) fn encode(unit: u8, pdu: &[u8], out: &mut Vec<u8>) {
    let begin = out.len();
    out.push(unit);
    out.extend_from_slice(pdu);
    let sum = CRC.checksum(&out[begin..]);
    out.extend_from_slice(&sum.to_le_bytes());
}

/// Whether the last two bytes are the CRC of the others.
fn is_intact(frame: &[u8]) -> bool {
    // Over a frame with its own CRC at the end this CRC is 0.
    frame.len() > 3 && CRC.checksum(frame) == 0
}

/// What the answer to a read looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) unit: u8,
    pub(crate) function: u8,
    /// How many bytes of data.
    pub(crate) bytes: u8,
}

/// How bytes fit what is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fit {
    /// They begin with the answer, so many bytes long.
    Whole(usize),
    /// They may become it.
    Partial,
    /// They do not begin with it.
    No,
}

impl Expected {
    /// How long the answer is.
    pub(crate) fn len(&self) -> usize {
        AROUND + usize::from(self.bytes)
    }

    fn fit(&self, bytes: &[u8]) -> Fit {
        let length = match bytes {
            [] => return Fit::Partial,
            [unit, ..] if *unit != self.unit => return Fit::No,
            [_] => return Fit::Partial,
            [_, function, ..] if *function == self.function | 0x80 => EXCEPTION,
            [_, function, ..] if *function != self.function => return Fit::No,
            [_, _, count, ..] if *count != self.bytes => return Fit::No,
            _ => self.len(),
        };
        match bytes.get(..length) {
            None => Fit::Partial,
            Some(frame) if is_intact(frame) => Fit::Whole(length),
            Some(_) => Fit::No,
        }
    }

    /// Where the answer lies, behind whatever noise. `None` while it may still come.
    ///
    /// The first beginning of an answer is waited for before a later one is believed: what a register holds may look
    /// like a frame itself.
    pub(crate) fn find(&self, bytes: &[u8]) -> Option<Range<usize>> {
        for start in 0..bytes.len() {
            match self.fit(&bytes[start..]) {
                Fit::Whole(length) => return Some(start..start + length),
                Fit::Partial => return None,
                Fit::No => {}
            }
        }
        None
    }

    /// Whether these bytes are the answer's beginning, or may become it.
    pub(crate) fn may_be(&self, bytes: &[u8]) -> bool {
        self.fit(bytes) != Fit::No
    }

    /// Whether an answer came that noise has spoiled: all of its length is there, only its CRC is wrong.
    pub(crate) fn came_broken(&self, bytes: &[u8]) -> bool {
        let head = [self.unit, self.function, self.bytes];
        bytes.windows(self.len()).any(|frame| frame.starts_with(&head))
    }
}

/// The length of the whole frame that `bytes` begin with, whoever sent it to whom: an answer to a read, a refusal, or
/// what another master asks.
pub(crate) fn whole(bytes: &[u8]) -> Option<usize> {
    let &[_, function, count, ..] = bytes else {
        return None;
    };
    let lengths = match function {
        1..=4 => [AROUND + usize::from(count), REQUEST],
        5 | 6 | 15 | 16 => [REQUEST, REQUEST],
        0x80.. => [EXCEPTION, EXCEPTION],
        _ => return None,
    };
    lengths
        .into_iter()
        .find(|length| bytes.get(..*length).is_some_and(is_intact))
}

/// What these bytes ask for, where it is a request to read and no answer can look like it.
pub(crate) fn asks(frame: &[u8]) -> Option<Span> {
    // Three bytes of coils are as long as a request.
    let ambiguous = matches!(frame, [_, 1 | 2, 3, ..]);
    let request = frame.len() == REQUEST && !ambiguous && is_intact(frame);
    let pdu = frame.get(1..6).filter(|_| request)?;
    check::asked(pdu).filter(|span| check::request(*span).is_ok())
}

/// Whether the bytes are one whole RTU frame and nothing else, as a gateway sends it that adds no MBAP header.
pub(crate) fn is_whole(bytes: &[u8]) -> bool {
    whole(bytes) == Some(bytes.len())
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn framed(unit: u8, pdu: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        encode(unit, pdu, &mut out);
        out
    }

    fn answer(unit: u8, function: u8, data: &[u8]) -> Vec<u8> {
        framed(unit, &[&[function, data.len() as u8], data].concat())
    }

    /// Two registers of unit 1.
    const TWO: Expected = Expected {
        unit: 1,
        function: 3,
        bytes: 4,
    };

    #[test]
    fn a_request_is_eight_known_bytes() {
        // The read of registers 107 to 109 of unit 17 that Modbus handbooks show.
        assert_eq!(
            framed(17, &[3, 0, 107, 0, 3]),
            [0x11, 0x03, 0x00, 0x6b, 0x00, 0x03, 0x76, 0x87]
        );
    }

    #[test]
    fn fault_12_to_15_whatever_does_not_fit_the_request_is_not_its_answer() {
        let right = answer(1, 3, &[1, 2, 3, 4]);
        assert_eq!(TWO.find(&right), Some(0..9));
        for wrong in [
            answer(2, 3, &[1, 2, 3, 4]),
            answer(1, 4, &[1, 2, 3, 4]),
            answer(1, 3, &[1, 2]),
            answer(1, 3, &[1, 2, 3]),
            answer(1, 3, &[1, 2, 3, 4, 5, 6]),
            framed(1, &[0x84, 2]),
            framed(2, &[0x83, 2]),
            framed(1, &[3, 6, 1, 2, 3, 4]),
        ] {
            assert_eq!(TWO.find(&wrong), None, "{wrong:x?}");
        }
        assert_eq!(TWO.find(&framed(1, &[0x83, 2])), Some(0..5));
    }

    #[test]
    fn a_register_that_looks_like_a_frame_is_not_taken_for_one() {
        let inner = framed(1, &[0x83, 2]);
        let long = Expected { bytes: 6, ..TWO };
        let outer = answer(1, 3, &[&inner[..], &[0]].concat());
        for cut in 0..outer.len() {
            assert_eq!(long.find(&outer[..cut]), None, "{cut} bytes");
        }
        assert_eq!(long.find(&outer), Some(0..outer.len()));
    }

    #[test]
    fn frames_of_others_are_known_as_frames() {
        for frame in [
            answer(7, 3, &[0; 80]),
            answer(7, 1, &[5]),
            framed(9, &[0x83, 11]),
            framed(9, &[3, 0, 0, 0, 2]),
            framed(9, &[6, 0, 1, 0, 2]),
            framed(9, &[16, 0, 1, 0, 2]),
        ] {
            assert!(is_whole(&frame), "{frame:x?}");
            assert_eq!(whole(&frame[..frame.len() - 1]), None);
            let mut more = frame.clone();
            more.push(0);
            assert_eq!(whole(&more), Some(frame.len()));
            assert!(!is_whole(&more));
        }
        assert_eq!(whole(b"HTTP/1.1 400 Bad Request"), None);
        assert_eq!(whole(&[0, 1, 0, 0, 0, 5, 1, 3, 2, 0, 0]), None);
    }

    #[test]
    fn what_others_ask_is_understood() {
        assert_eq!(asks(&framed(9, &[3, 3, 7, 0, 2])), Some(Span::holding(0x0307, 2)));
        for none in [
            framed(9, &[3, 0, 0, 0xff, 0xff]),
            framed(9, &[6, 0, 1, 0, 2]),
            framed(9, &[1, 3, 7, 0, 2]),
            answer(7, 1, &[5, 0, 8]),
            answer(7, 3, &[0; 4]),
        ] {
            assert_eq!(asks(&none), None, "{none:x?}");
        }
    }

    proptest! {
        #[test]
        fn fault_18_an_answer_is_found_behind_any_noise(
            unit: u8, function in 1u8..=4, data in vec(any::<u8>(), 1..=250),
            noise in vec(any::<u8>(), 0..300), behind in vec(any::<u8>(), 0..40),
        ) {
            let expected = Expected { unit, function, bytes: data.len() as u8 };
            let frame = answer(unit, function, &data);
            // Noise that happens to begin like the answer can hide it until as many bytes have come again.
            let bytes = [&noise[..], &frame, &behind].concat();
            if let Some(found) = expected.find(&bytes) {
                prop_assert!(is_intact(&bytes[found.clone()]));
                if found.len() > EXCEPTION {
                    prop_assert_eq!(&bytes[found.clone()][..3], &frame[..3]);
                }
            } else {
                prop_assert!(noise.contains(&unit));
            }
            if !noise.contains(&unit) {
                prop_assert_eq!(expected.find(&bytes), Some(noise.len()..noise.len() + frame.len()));
            }
        }

        #[test]
        fn fault_18_no_flipped_bit_passes(
            data in vec(any::<u8>(), 2..=250), bit in 0usize..256 * 8,
        ) {
            let expected = Expected { unit: 1, function: 3, bytes: data.len() as u8 };
            let mut frame = answer(1, 3, &data);
            let bit = bit % (frame.len() * 8);
            frame[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(expected.find(&frame), None);
            prop_assert_ne!(whole(&frame), Some(frame.len()));
        }

        #[test]
        fn fault_17_part_of_an_answer_is_waited_for(data in vec(any::<u8>(), 1..=250), cut in 0usize..255) {
            let expected = Expected { unit: 1, function: 4, bytes: data.len() as u8 };
            let frame = answer(1, 4, &data);
            let part = &frame[..cut.min(frame.len() - 1)];
            prop_assert_eq!(expected.find(part), None);
            prop_assert!(expected.may_be(part));
            prop_assert!(!expected.came_broken(part));
        }
    }
}
