//! Encrypted telegrams (Luxembourg, Austria): DLMS general-glo-ciphering with AES-128-GCM, one frame for each telegram.

use aes_gcm::AesGcm;
use aes_gcm::aead::consts::U12;
use aes_gcm::aead::{Aead, KeyInit, Nonce, Payload};
use aes_gcm::aes::Aes128;

use crate::frame::MAX_TELEGRAM;

/// AES-128-GCM with a tag of 12 bytes.
type Gcm = AesGcm<Aes128, U12, U12>;

/// The first byte of a frame.
pub(crate) const TAG: u8 = 0xDB;
/// What the meter calls itself has 8 bytes.
const TITLE: u8 = 8;
/// Authenticated and encrypted, with the keys of this one meter.
const SECURITY: u8 = 0x30;
/// Security control and frame counter before the text, tag behind it.
const AROUND: usize = 5 + 12;
/// The authentication key of Luxembourg, which is public: there only the other one is a secret.
const LUXEMBOURG: [u8; 16] = [
    0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xAA, 0xBB, 0xCC, 0xDD, 0xEE, 0xFF,
];

/// What lies at the beginning of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame<'a> {
    /// A whole frame.
    Whole(Sealed<'a>),
    /// It could be one, and is not all there yet.
    Open,
    /// It is none.
    None,
}

/// A frame that was not opened yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sealed<'a> {
    /// How many bytes it has.
    pub(crate) len: usize,
    title: &'a [u8],
    counter: &'a [u8],
    /// Text and tag.
    sealed: &'a [u8],
}

/// Looks at bytes that begin with [`TAG`].
pub(crate) fn read(bytes: &[u8]) -> Frame<'_> {
    let part = |from: usize, to: usize| bytes.get(from..to);
    match bytes {
        [] | [TAG] => return Frame::Open,
        [TAG, TITLE, ..] => {}
        _ => return Frame::None,
    }
    let Some(&first) = bytes.get(10) else {
        return Frame::Open;
    };
    let (length, from) = match first {
        0x82 => match part(11, 13) {
            Some(&[high, low]) => (usize::from(u16::from_be_bytes([high, low])), 13),
            _ => return Frame::Open,
        },
        0x81 => match bytes.get(11) {
            Some(&length) => (length.into(), 12),
            None => return Frame::Open,
        },
        length if length < 0x80 => (length.into(), 11),
        _ => return Frame::None,
    };
    match bytes.get(from) {
        Some(&SECURITY) if (AROUND + 1..=MAX_TELEGRAM + AROUND).contains(&length) => {}
        Some(_) => return Frame::None,
        None => return Frame::Open,
    }
    let len = from + length;
    match (part(2, 10), part(from + 1, from + 5), part(from + 5, len)) {
        (Some(title), Some(counter), Some(sealed)) => Frame::Whole(Sealed {
            len,
            title,
            counter,
            sealed,
        }),
        _ => Frame::Open,
    }
}

impl Sealed<'_> {
    /// The text, where the keys are those of this meter and nothing was changed on the way. Without a second key it is that
    /// of Luxembourg.
    pub(crate) fn open(&self, key: &[u8], auth_key: &[u8]) -> Option<Vec<u8>> {
        let auth_key = if auth_key.is_empty() {
            &LUXEMBOURG
        } else {
            auth_key
        };
        let cipher = Gcm::new_from_slice(key).ok()?;
        let nonce = Nonce::<Gcm>::try_from([self.title, self.counter].concat().as_slice()).ok()?;
        let aad = [&[SECURITY], auth_key].concat();
        let payload = Payload {
            msg: self.sealed,
            aad: &aad,
        };
        cipher.decrypt(&nonce, payload).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

    fn frame() -> Vec<u8> {
        let text = include_str!("../tests/data/lu-encrypted.hex");
        let digits: Vec<u8> = text
            .bytes()
            .filter_map(|b| char::from(b).to_digit(16))
            .map(|digit| digit as u8)
            .collect();
        digits.chunks(2).map(|pair| pair[0] * 16 + pair[1]).collect()
    }

    fn sealed(frame: &[u8]) -> Sealed<'_> {
        match read(frame) {
            Frame::Whole(sealed) => sealed,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_frame_is_opened_by_its_keys_alone() {
        let frame = frame();
        let sealed = sealed(&frame);
        assert_eq!(sealed.len, frame.len());
        let text = sealed.open(&KEY, &[]).unwrap();
        assert!(text.starts_with(b"/Lux5\\253663629_D\r\n"), "{text:?}");
        assert!(text.ends_with(b"!8D4E\r\n"), "{text:?}");
        assert_eq!(sealed.open(&KEY, &LUXEMBOURG), Some(text));
        assert_eq!(sealed.open(&KEY, &KEY), None);
        assert_eq!(sealed.open(&LUXEMBOURG, &[]), None);
        assert_eq!(sealed.open(&[], &[]), None);
        assert_eq!(sealed.open(&KEY[..15], &[]), None);
    }

    #[test]
    fn a_changed_bit_closes_it() {
        let frame = frame();
        for at in 0..frame.len() {
            let mut changed = frame.clone();
            changed[at] ^= 0x10;
            if let Frame::Whole(sealed) = read(&changed) {
                assert_eq!(sealed.open(&KEY, &[]), None, "byte {at}");
            }
        }
    }

    #[test]
    fn a_part_of_a_frame_is_open() {
        let frame = frame();
        for len in 0..frame.len() {
            assert_eq!(read(&frame[..len]), Frame::Open, "{len}");
        }
    }

    #[test]
    fn the_length_may_be_written_in_three_ways() {
        let title = [TAG, TITLE, 1, 2, 3, 4, 5, 6, 7, 8];
        for length in [&[18][..], &[0x81, 18], &[0x82, 0, 18]] {
            let frame = [&title[..], length, &[SECURITY], &[0; 17]].concat();
            assert_eq!(sealed(&frame).len, frame.len());
        }
        for length in [&[17][..], &[0x80, 18], &[0x83, 0, 0], &[0x82, 0xFF, 0xFF]] {
            let frame = [&title[..], length, &[SECURITY], &[0; 17]].concat();
            assert_eq!(read(&frame), Frame::None, "{length:?}");
        }
    }
}
