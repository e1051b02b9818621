//! MBAP frames: the header that Modbus TCP and UDP put before a PDU.
//!
//! Bytes from outside are hostile until they have passed through here: nothing is believed before the header
//! is consistent, and no length that a peer claims is ever allocated.
//!
//! Source: Modbus Messaging on TCP/IP Implementation Guide V1.0b, section 3.1.3.

use std::fmt::Write as _;

/// Bytes before the PDU: transaction id, protocol id, length, unit.
const HEADER: usize = 7;
/// The longest PDU that Modbus allows.
const MAX_PDU: usize = 253;
/// The longest frame: header and PDU.
pub(crate) const MAX_FRAME: usize = HEADER + MAX_PDU;
/// How many of a stranger's first bytes are shown.
const SHOWN: usize = 32;

/// One whole frame, borrowed from the bytes it came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    /// The transaction id, by which an answer finds its request.
    pub(crate) id: u16,
    /// The unit that it comes from or goes to.
    pub(crate) unit: u8,
    /// Function code and data, 1 to 253 bytes.
    pub(crate) pdu: &'a [u8],
}

impl Frame<'_> {
    /// How many bytes the frame takes on the wire.
    pub(crate) fn len(&self) -> usize {
        HEADER + self.pdu.len()
    }
}

/// The bytes cannot be the beginning of an MBAP frame: whoever sent them does not speak Modbus TCP, or its
/// framing is lost. Nothing that follows can be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Broken;

/// The first frame in `bytes`; `None` while it is not complete.
pub(crate) fn decode(bytes: &[u8]) -> Result<Option<Frame<'_>>, Broken> {
    // Each field is judged as soon as it is there: a stranger is told by its first bytes, not by a time-out.
    if bytes.iter().skip(2).take(2).any(|&byte| byte != 0) {
        return Err(Broken);
    }
    let &[id_high, id_low, _, _, length_high, length_low, ref rest @ ..] = bytes else {
        return Ok(None);
    };
    let length = usize::from(u16::from_be_bytes([length_high, length_low]));
    if !(2..=1 + MAX_PDU).contains(&length) {
        return Err(Broken);
    }
    match rest.get(..length) {
        Some([unit, pdu @ ..]) => Ok(Some(Frame {
            id: u16::from_be_bytes([id_high, id_low]),
            unit: *unit,
            pdu,
        })),
        _ => Ok(None),
    }
}

/// Appends one frame to `out`. A PDU beyond 253 bytes is cut, which its receiver refuses; none is ever made.
pub(crate) fn encode(id: u16, unit: u8, pdu: &[u8], out: &mut Vec<u8>) {
    let pdu = &pdu[..pdu.len().min(MAX_PDU)];
    let length = (pdu.len() as u16 + 1).to_be_bytes();
    let id = id.to_be_bytes();
    out.extend_from_slice(&[id[0], id[1], 0, 0, length[0], length[1], unit]);
    out.extend_from_slice(pdu);
}

/// A stranger's first bytes, fit for a terminal, a log and a JSON text: plain ASCII only, and not many.
pub(crate) fn shown(bytes: &[u8]) -> String {
    let first = &bytes[..bytes.len().min(SHOWN)];
    let plain = first
        .iter()
        .filter(|b| b.is_ascii_graphic() || matches!(b, b' ' | b'\r' | b'\n'))
        .count();
    let mut text = String::new();
    if plain * 4 >= first.len() * 3 {
        text.push('"');
        for byte in first {
            text.extend(byte.escape_ascii().map(char::from));
        }
        text.push('"');
    } else {
        for (i, byte) in first.iter().enumerate() {
            let gap = if i == 0 { "" } else { " " };
            // Writing to a String cannot fail.
            let _ = write!(text, "{gap}{byte:02x}");
        }
    }
    if bytes.len() > SHOWN {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn framed(id: u16, unit: u8, pdu: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        encode(id, unit, pdu, &mut out);
        out
    }

    #[test]
    fn a_read_request_is_twelve_known_bytes() {
        assert_eq!(
            framed(0x0102, 100, &[3, 0x03, 0x20, 0, 6]),
            [1, 2, 0, 0, 0, 6, 100, 3, 0x03, 0x20, 0, 6]
        );
    }

    #[test]
    fn a_wrong_header_is_refused_as_soon_as_it_shows() {
        assert_eq!(decode(b"HTT"), Err(Broken));
        assert_eq!(decode(&[0, 1, 0, 1]), Err(Broken));
        for length in [0u16, 1, 255, 256, 65535] {
            let [high, low] = length.to_be_bytes();
            assert_eq!(decode(&[0, 1, 0, 0, high, low]), Err(Broken), "length {length}");
        }
        assert_eq!(decode(&[0, 1, 0, 0, 0]), Ok(None));
        assert_eq!(decode(&[0, 1, 0, 0, 0, 254]), Ok(None));
    }

    #[test]
    fn what_strangers_send_is_shown_safely() {
        assert_eq!(shown(b"HTTP/1.1 400 Bad\r\n"), "\"HTTP/1.1 400 Bad\\r\\n\"");
        assert_eq!(
            shown(b"\x1b]0;owned\x07ok ok ok ok"),
            "\"\\x1b]0;owned\\x07ok ok ok ok\""
        );
        assert_eq!(shown(&[0xff, 0, 0x1b, 0x80]), "ff 00 1b 80");
        assert!(shown(&[b'a'; 400]).len() < 64);
    }

    proptest! {
        #[test]
        fn decode_gives_back_what_encode_was_given(
            id: u16, unit: u8, pdu in proptest::collection::vec(any::<u8>(), 1..=MAX_PDU),
            trailing in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            let mut bytes = framed(id, unit, &pdu);
            let whole = bytes.len();
            for cut in 0..whole {
                prop_assert_eq!(decode(&bytes[..cut]), Ok(None));
            }
            bytes.extend(trailing);
            let frame = decode(&bytes).unwrap().unwrap();
            prop_assert_eq!(frame, Frame { id, unit, pdu: &pdu });
            prop_assert_eq!(frame.len(), whole);
        }

        #[test]
        fn no_bytes_make_it_panic_or_reach_beyond_a_frame(
            bytes in proptest::collection::vec(any::<u8>(), 0..600)
        ) {
            if let Ok(Some(frame)) = decode(&bytes) {
                prop_assert!(frame.len() <= MAX_FRAME && frame.len() <= bytes.len());
            }
            prop_assert!(shown(&bytes).chars().all(|c| c == '…' || (' '..='~').contains(&c)));
        }
    }
}
