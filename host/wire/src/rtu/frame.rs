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
/// A request to read or to write one value, and the answer to any write with function 5, 6, 15 or 16.
pub(crate) const REQUEST: usize = 8;
/// A refusal.
pub(crate) const EXCEPTION: usize = 5;
/// Bytes of an answer beside its data: unit, function, byte count, CRC.
const AROUND: usize = 5;
/// Bytes of a request with function 15 or 16 beside its data: unit, function, address, count, byte count, CRC.
const AROUND_WRITE: usize = 9;
/// The same with function 23, which says address and count twice.
const AROUND_BOTH: usize = 13;

/// How long the frame of a PDU is.
pub(crate) fn around(pdu: &[u8]) -> usize {
    pdu.len() + 3
}

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

/// What the answer to a request looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) unit: u8,
    pub(crate) function: u8,
    pub(crate) body: Body,
}

/// What stands behind the function code of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// So many bytes of data, behind their number.
    Data(u8),
    /// Exactly these: the address that was written to, and the value or the count.
    Echo([u8; 4]),
}

impl Body {
    /// Whether it may begin with these bytes.
    fn may_begin(self, bytes: &[u8]) -> bool {
        match self {
            Body::Data(count) => bytes.first().is_none_or(|first| *first == count),
            Body::Echo(echo) => bytes.iter().zip(echo).all(|(byte, echo)| *byte == echo),
        }
    }
}

/// What the answer to a read looks like.
pub(crate) fn expected(unit: u8, span: Span) -> Expected {
    Expected {
        unit,
        function: span.function.code(),
        body: Body::Data(if span.function.is_bit() {
            span.count.div_ceil(8) as u8
        } else {
            (span.count * 2) as u8
        }),
    }
}

/// What the answer to a write looks like. `None` where the PDU is none.
pub(crate) fn confirms(unit: u8, pdu: &[u8]) -> Option<Expected> {
    let &[function, a, b, c, d, ..] = pdu else {
        return None;
    };
    let body = match function {
        5 | 6 | 15 | 16 => Body::Echo([a, b, c, d]),
        // At most 125 registers are read back.
        23 if c == 0 && d <= 125 => Body::Data(d * 2),
        _ => return None,
    };
    Some(Expected { unit, function, body })
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
        match self.body {
            Body::Data(bytes) => AROUND + usize::from(bytes),
            Body::Echo(_) => REQUEST,
        }
    }

    fn fit(&self, bytes: &[u8]) -> Fit {
        let length = match bytes {
            [] => return Fit::Partial,
            [unit, ..] if *unit != self.unit => return Fit::No,
            [_] => return Fit::Partial,
            [_, function, ..] if *function == self.function | 0x80 => EXCEPTION,
            [_, function, ..] if *function != self.function => return Fit::No,
            [_, _, rest @ ..] if !self.body.may_begin(rest) => return Fit::No,
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
        let begins = |frame: &[u8]| match frame {
            [unit, function, rest @ ..] => {
                (*unit, *function) == (self.unit, self.function) && self.body.may_begin(rest)
            }
            _ => false,
        };
        bytes.windows(self.len()).any(begins)
    }
}

/// The length of the whole frame that `bytes` begin with, whoever sent it to whom: an answer, a refusal, or what another
/// master asks.
pub(crate) fn whole(bytes: &[u8]) -> Option<usize> {
    let &[_, function, count, ..] = bytes else {
        return None;
    };
    let behind =
        |place: usize, around: usize| bytes.get(place).map_or(0, |count| around + usize::from(*count));
    let lengths = match function {
        1..=4 => [AROUND + usize::from(count), REQUEST],
        5 | 6 => [REQUEST, REQUEST],
        15 | 16 => [REQUEST, behind(6, AROUND_WRITE)],
        23 => [AROUND + usize::from(count), behind(10, AROUND_BOTH)],
        0x80.. => [EXCEPTION, EXCEPTION],
        _ => return None,
    };
    lengths
        .into_iter()
        .find(|length| *length > 0 && bytes.get(..*length).is_some_and(is_intact))
}

/// What a whole frame looks like as an answer, where it may be one and is no refusal.
pub(crate) fn came(frame: &[u8]) -> Option<Expected> {
    let &[unit, function, count, ..] = frame else {
        return None;
    };
    let body = match (function, frame) {
        (5 | 6 | 15 | 16, &[_, _, a, b, c, d, _, _]) => Body::Echo([a, b, c, d]),
        (1..=4 | 23, _) if AROUND + usize::from(count) == frame.len() => Body::Data(count),
        _ => return None,
    };
    Some(Expected { unit, function, body })
}

/// What would answer these bytes, where they are a whole request to write. One that writes a single value looks just
/// like its answer.
pub(crate) fn asks_to_write(frame: &[u8]) -> Option<Expected> {
    let (unit, rest) = frame.split_first()?;
    let single = frame.len() == REQUEST;
    let request = match rest.first()? {
        5 | 6 => single,
        15 | 16 => {
            !single && Some(frame.len()) == frame.get(6).map(|count| AROUND_WRITE + usize::from(*count))
        }
        23 => Some(frame.len()) == frame.get(10).map(|count| AROUND_BOTH + usize::from(*count)),
        _ => false,
    };
    confirms(*unit, rest).filter(|_| request && is_intact(frame))
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
        body: Body::Data(4),
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
        let long = Expected {
            body: Body::Data(6),
            ..TWO
        };
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
            framed(9, &[16, 0, 1, 0, 2, 4, 0, 1, 0, 2]),
            framed(9, &[15, 0, 1, 0, 3, 1, 5]),
            framed(9, &[23, 0, 1, 0, 3, 0, 1, 0, 1, 2, 0, 5]),
            answer(7, 23, &[0; 80]),
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

    #[test]
    fn the_answer_to_a_write_is_its_exact_echo() {
        let echo = confirms(1, &[16, 0, 5, 0, 2, 4, 1, 2, 3, 4]).unwrap();
        assert_eq!(echo.body, Body::Echo([0, 5, 0, 2]));
        let right = framed(1, &[16, 0, 5, 0, 2]);
        assert_eq!(echo.find(&right), Some(0..8));
        assert_eq!(echo.find(&[&[9, 9][..], &right].concat()), Some(2..10));
        for cut in 0..8 {
            assert_eq!(echo.find(&right[..cut]), None);
            assert!(echo.may_be(&right[..cut]));
        }
        for wrong in [
            [16, 0, 6, 0, 2],
            [16, 0, 5, 0, 1],
            [6, 0, 5, 0, 2],
            [3, 0, 5, 0, 2],
        ] {
            assert_eq!(echo.find(&framed(1, &wrong)), None, "{wrong:?}");
        }
        assert_eq!(echo.find(&framed(2, &[16, 0, 5, 0, 2])), None, "another unit");
        assert_eq!(echo.find(&framed(1, &[0x90, 2])), Some(0..5));
        let mut spoiled = right.clone();
        spoiled[7] ^= 1;
        assert!(echo.came_broken(&spoiled) && !echo.came_broken(&right[..7]));
        let link = confirms(1, &[23, 0x40, 0, 0, 3, 0x40, 0, 0, 1, 2, 1, 12]).unwrap();
        assert_eq!(link.body, Body::Data(6));
        assert_eq!(link.find(&answer(1, 23, &[0; 6])), Some(0..11));
        for none in [&[][..], &[16, 0, 1], &[3, 0, 1, 0, 2], &[23, 0, 0, 0, 126]] {
            assert_eq!(confirms(1, none), None, "{none:?}");
        }
    }

    #[test]
    fn what_others_write_is_told_from_what_is_answered() {
        let echo = |function| confirms(9, &[function, 0, 1, 0, 2]);
        for (pdu, asks, answers) in [
            // Request and answer are the same bytes.
            (&[6, 0, 1, 0, 2][..], echo(6), echo(6)),
            (&[16, 0, 1, 0, 2], None, echo(16)),
            (&[16, 0, 1, 0, 2, 4, 0, 1, 0, 2], echo(16), None),
            (&[15, 0, 1, 0, 2, 1, 3], echo(15), None),
            (&[23, 0, 1, 0, 2, 0, 1, 0, 1, 2, 0, 5], echo(23), None),
            (&[23, 4, 0, 1, 0, 2], None, echo(23)),
            (&[3, 0, 1, 0, 2], None, None),
            (&[0x86, 2], None, None),
        ] {
            let frame = framed(9, pdu);
            assert_eq!((asks_to_write(&frame), came(&frame)), (asks, answers), "{pdu:?}");
        }
    }

    proptest! {
        #[test]
        fn fault_18_no_bytes_make_it_panic(bytes in vec(any::<u8>(), 0..300)) {
            if let Some(length) = whole(&bytes) {
                prop_assert!(length <= bytes.len());
                let _ = (came(&bytes[..length]), asks_to_write(&bytes[..length]));
            }
            let _ = (came(&bytes), asks_to_write(&bytes), confirms(1, &bytes));
        }

        #[test]
        fn fault_18_an_answer_is_found_behind_any_noise(
            unit: u8, function in 1u8..=4, data in vec(any::<u8>(), 1..=250),
            noise in vec(any::<u8>(), 0..300), behind in vec(any::<u8>(), 0..40),
        ) {
            let expected = Expected { unit, function, body: Body::Data(data.len() as u8) };
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
            let expected = Expected { unit: 1, function: 3, body: Body::Data(data.len() as u8) };
            let mut frame = answer(1, 3, &data);
            let bit = bit % (frame.len() * 8);
            frame[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(expected.find(&frame), None);
            prop_assert_ne!(whole(&frame), Some(frame.len()));
        }

        #[test]
        fn fault_17_part_of_an_answer_is_waited_for(data in vec(any::<u8>(), 1..=250), cut in 0usize..255) {
            let expected = Expected { unit: 1, function: 4, body: Body::Data(data.len() as u8) };
            let frame = answer(1, 4, &data);
            let part = &frame[..cut.min(frame.len() - 1)];
            prop_assert_eq!(expected.find(part), None);
            prop_assert!(expected.may_be(part));
            prop_assert!(!expected.came_broken(part));
        }
    }
}
