//! Where a telegram of text begins and ends, and whether its bytes are those that the meter sent.

use busbar_plugin_sdk::Checked;

use crate::crc::crc16;

/// The longest telegram, in bytes: with a whole text message and thirteen months of history one has about 5,000.
pub(crate) const MAX_TELEGRAM: usize = 16 * 1024;
/// The longest end of a telegram, from its `!`: four digits, what a gateway may put behind them, and a line end.
const MAX_END: usize = 12;
/// A `/` with the parity bit of a line with seven data bits that was opened with eight.
const SLASH_WITH_PARITY: u8 = b'/' | 0x80;

/// Whether a telegram may begin with this byte.
pub(crate) fn begins(byte: u8) -> bool {
    byte == b'/' || byte == SLASH_WITH_PARITY
}

/// What lies at the beginning of some bytes that begin a telegram.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// A whole telegram.
    Whole {
        /// Its text, from behind the `/` up to the `!`.
        text: String,
        /// How it was checked.
        checked: Checked,
        /// How many bytes it has.
        len: usize,
    },
    /// So many bytes that are none.
    Broken {
        /// How many.
        len: usize,
        /// Whether they look like the beginning of one.
        is_telegram: bool,
    },
    /// It has no end yet.
    Open,
}

/// Looks at bytes that begin a telegram. Nothing follows them where they are the whole of it all.
pub(crate) fn read(bytes: &[u8], whole: bool) -> Frame {
    let with_parity = bytes.first() == Some(&SLASH_WITH_PARITY);
    let broken = |len: usize| Frame::Broken {
        len,
        // Only by its own bytes: those behind it may not have come yet.
        is_telegram: looks_like_one(bytes.get(..len).unwrap_or(bytes), with_parity),
    };
    let mut at = 1;
    loop {
        let Some(&byte) = bytes.get(at) else {
            return match whole {
                true => broken(bytes.len()),
                false => Frame::Open,
            };
        };
        // A telegram that is cut off by the next one, bytes that no telegram has, or no end for too long.
        if begins(byte) || !is_text(byte, with_parity) || at >= MAX_TELEGRAM {
            return broken(at);
        }
        if byte & 0x7F == b'!' {
            break;
        }
        at += 1;
    }
    let (body, end) = bytes.split_at(at);
    match end_of(end, with_parity, whole) {
        End::Open => Frame::Open,
        End::None => broken(at + 1),
        End::Digits { sum, len } => match check(body, with_parity, sum) {
            Some((text, checked)) => Frame::Whole {
                text,
                checked,
                len: at + len,
            },
            None => broken(at + len),
        },
        End::Bare { len, with_cr } => match unchecked(body, with_parity, with_cr) {
            Some(text) => Frame::Whole {
                text,
                checked: Checked::None,
                len: at + len,
            },
            None => broken(at + len),
        },
    }
}

/// Whether a byte may stand in a telegram. Control characters have been seen in identifications.
fn is_text(byte: u8, with_parity: bool) -> bool {
    match with_parity {
        true => byte.count_ones().is_multiple_of(2),
        false => byte < 0x80,
    }
}

/// Whether bytes begin as a telegram does: three letters, and a digit for the baud rate.
fn looks_like_one(bytes: &[u8], with_parity: bool) -> bool {
    let mask = if with_parity { 0x7F } else { 0xFF };
    match bytes.get(1..5) {
        Some([letters @ .., digit]) => {
            letters.iter().all(|byte| (byte & mask).is_ascii_alphabetic()) && (digit & mask).is_ascii_digit()
        }
        _ => false,
    }
}

/// What stands at the `!`.
enum End {
    /// That is not all yet.
    Open,
    /// No end of a telegram.
    None,
    /// A sum; so many bytes with its digits.
    Digits { sum: u16, len: usize },
    /// No sum; so many bytes with the line end, and whether there was a carriage return in it.
    Bare { len: usize, with_cr: bool },
}

/// Looks at an end, from the `!` on.
fn end_of(end: &[u8], with_parity: bool, whole: bool) -> End {
    let mask = if with_parity { 0x7F } else { 0xFF };
    let mut rest = end.iter().skip(1).map(|byte| byte & mask);
    let digits: Vec<u8> = rest.by_ref().take(4).take_while(u8::is_ascii_hexdigit).collect();
    let text = String::from_utf8(digits).unwrap_or_default();
    let known = text.len() == 4 || end.len() > text.len() + 1 || whole;
    match (u16::from_str_radix(&text, 16), known) {
        (_, false) => End::Open,
        (Ok(sum), true) => End::Digits {
            sum,
            len: text.len() + 1,
        },
        (Err(_), true) => bare(end, mask, whole),
    }
}

/// An end without a sum: a line end, perhaps with zeros before it.
fn bare(end: &[u8], mask: u8, whole: bool) -> End {
    let mut with_cr = false;
    for (at, byte) in end
        .iter()
        .map(|byte| byte & mask)
        .enumerate()
        .skip(1)
        .take(MAX_END)
    {
        match byte {
            b'\n' => return End::Bare { len: at + 1, with_cr },
            b'\r' if !with_cr => with_cr = true,
            0 if !with_cr => {}
            _ => return End::None,
        }
    }
    match (end.len() > MAX_END, whole) {
        (true, _) => End::None,
        (false, true) => End::Bare {
            len: end.len(),
            with_cr: true,
        },
        (false, false) => End::Open,
    }
}

/// The text of a telegram whose sum is this: as it came, or with the line ends that a gateway rewrote.
fn check(body: &[u8], with_parity: bool, sum: u16) -> Option<(String, Checked)> {
    let mask = if with_parity { 0x7F } else { 0xFF };
    let bytes: Vec<u8> = body.iter().map(|byte| byte & mask).collect();
    let is_it = |bytes: &[u8]| crc16(bytes.iter().copied().chain([b'!'])) == sum;
    if is_it(&bytes) {
        return Some((text(&bytes), Checked::Crc));
    }
    let restored = with_line_ends(&bytes);
    is_it(&restored).then(|| (text(&restored), Checked::Restored))
}

/// Each line end as the meter writes it: a carriage return and a line feed, and no zeros.
fn with_line_ends(bytes: &[u8]) -> Vec<u8> {
    let mut all = Vec::with_capacity(bytes.len() + bytes.len() / 8);
    let mut last = 0;
    for &byte in bytes.iter().filter(|byte| **byte != 0) {
        match byte {
            b'\r' => all.extend(b"\r\n"),
            b'\n' if last == b'\r' => {}
            b'\n' => all.extend(b"\r\n"),
            byte => all.push(byte),
        }
        last = byte;
    }
    all
}

/// The text of a telegram without a sum. With nothing to check it by, all that can be asked of it is that it begins as one,
/// that its end stands at the beginning of a line, and that its lines end alike.
fn unchecked(body: &[u8], with_parity: bool, with_cr: bool) -> Option<String> {
    let mask = if with_parity { 0x7F } else { 0xFF };
    let bytes: Vec<u8> = body.iter().map(|byte| byte & mask).collect();
    let of_lines = bytes.ends_with(b"\n") || bytes.ends_with(b"\r");
    let alike = with_cr || !bytes.contains(&b'\r');
    (of_lines && alike && looks_like_one(&bytes, false)).then(|| text(&bytes))
}

/// What stands behind the `/`. All of it is ASCII.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.get(1..).unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = "/ABC5x\r\n\r\n1-0:1.7.0(0.5*kW)\r\n!";

    fn sum() -> String {
        format!("{:04X}", crc16(BODY.bytes()))
    }

    fn whole(bytes: &[u8]) -> (Checked, usize) {
        match read(bytes, false) {
            Frame::Whole { checked, len, text } => {
                assert!(text.starts_with("ABC5x"), "{text:?}");
                (checked, len)
            }
            other => panic!("{other:?}"),
        }
    }

    fn is_broken(bytes: &[u8]) -> bool {
        matches!(read(bytes, false), Frame::Broken { .. })
    }

    #[test]
    fn a_sum_may_be_written_small_and_without_zeros() {
        let len = BODY.len();
        assert_eq!(
            whole(format!("{BODY}{}", sum()).as_bytes()),
            (Checked::Crc, len + 4)
        );
        let small = format!("{BODY}{}\r\n", sum().to_lowercase());
        assert_eq!(whole(small.as_bytes()), (Checked::Crc, len + 4));
        // One whose sum begins with a zero.
        let padded = (0..10_000)
            .map(|n| format!("/ABC5x{n}\r\n!"))
            .find(|text| (0x100..0x1000).contains(&crc16(text.bytes())))
            .unwrap();
        let unpadded = format!("{padded}{:X}\r\n", crc16(padded.bytes()));
        assert_eq!(whole(unpadded.as_bytes()), (Checked::Crc, padded.len() + 3));
        assert_eq!(read(&unpadded.as_bytes()[..padded.len() + 3], false), Frame::Open);
    }

    #[test]
    fn line_ends_that_a_gateway_rewrote_are_put_back() {
        for rewritten in [
            BODY.replace('\r', ""),
            BODY.replace('\n', ""),
            BODY.replace("\r\n", "\0\r\n"),
        ] {
            let text = format!("{rewritten}{}\r\n", sum());
            assert_eq!(whole(text.as_bytes()).0, Checked::Restored, "{text:?}");
        }
    }

    #[test]
    fn no_digits_are_no_sum() {
        let unchecked = |text: &str| whole(text.as_bytes());
        assert_eq!(unchecked(&format!("{BODY}\r\n")), (Checked::None, BODY.len() + 2));
        assert_eq!(unchecked(&format!("{BODY}\0\r\n")).0, Checked::None);
        assert_eq!(
            unchecked(&format!("{}\n", BODY.replace('\r', ""))).0,
            Checked::None
        );
        // Nothing follows.
        assert!(matches!(
            read(BODY.as_bytes(), true),
            Frame::Whole {
                checked: Checked::None,
                ..
            }
        ));
        assert_eq!(read(BODY.as_bytes(), false), Frame::Open);
        assert_eq!(read(format!("{BODY}\r").as_bytes(), false), Frame::Open);
    }

    #[test]
    fn an_end_that_a_flipped_bit_made_is_none() {
        for text in [
            "/ABC5x\r\n\r\n1-0:1.7.0(0.5*kW!\r\n",
            "/ABC5x\r\n\r\n1-0:1.7.0(0.5*kW)\r\n!-0:1.8.0(5*kWh)\r\n",
            "/ABC5x\r\n\r\n1-0:1.7.0(0.5*kW)\r\n!\r4E5\r\n",
            "/ABC5x\r\n\r\n1-0:1.7.0(0.5*kW)\r\n!\n4E5\r\n",
            "/AB?5x\r\n\r\n1-0:1.7.0(0.5*kW)\r\n!\r\n",
        ] {
            assert!(is_broken(text.as_bytes()), "{text:?}");
        }
    }

    #[test]
    fn the_parity_bit_of_seven_data_bits_is_taken_off_and_checked() {
        let even = |byte: u8| byte | if byte.count_ones() % 2 == 1 { 0x80 } else { 0 };
        let mut bytes: Vec<u8> = format!("{BODY}\r\n").bytes().map(even).collect();
        assert_eq!(whole(&bytes).0, Checked::None);
        let mut summed: Vec<u8> = format!("{BODY}{}\r\n", sum()).bytes().map(even).collect();
        assert_eq!(whole(&summed).0, Checked::Crc);
        for flipped in [&mut bytes, &mut summed] {
            flipped[20] ^= 1;
            assert!(is_broken(flipped));
        }
    }

    #[test]
    fn the_next_telegram_ends_one_that_has_no_end() {
        let cut = "/ABC5x\r\n1-0:1.7.0(0.5/ABC5y";
        let broken = Frame::Broken {
            len: 21,
            is_telegram: true,
        };
        assert_eq!(read(cut.as_bytes(), false), broken);
        let endless = [b"/ABC5".as_slice(), &[b'0'; MAX_TELEGRAM]].concat();
        let broken = Frame::Broken {
            len: MAX_TELEGRAM,
            is_telegram: true,
        };
        assert_eq!(read(&endless, false), broken);
    }
}
