//! Requests and answers as bytes, seen from the device.
//!
//! Source: Modbus Application Protocol V1.1b3, sections 6 and 7.

use busbar_ledger::span::{Function, Span};

/// Exception codes that a simulated device gives.
pub(crate) mod exception {
    /// The function is not supported.
    pub(crate) const FUNCTION: u8 = 1;
    /// The address is not there.
    pub(crate) const ADDRESS: u8 = 2;
    /// The request itself is wrong: quantity, byte count, length.
    pub(crate) const VALUE: u8 = 3;
    /// Gateway path unavailable; on a GX: no such service at this unit.
    pub(crate) const PATH: u8 = 10;
    /// Gateway target silent.
    pub(crate) const TARGET: u8 = 11;
}

/// A request that is well-formed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    Read(Span),
    /// Functions 5, 6, 15 and 16; a coil is 0 or 1.
    Write {
        function: u8,
        at: u16,
        words: Vec<u16>,
    },
    /// Function 23: `words` are written to `at`, then `answer` is read.
    Exchange {
        answer: Span,
        at: u16,
        words: Vec<u16>,
    },
}

/// Functions that only read, whatever follows them.
pub(crate) fn only_reads(code: u8) -> bool {
    matches!(code, 1..=4 | 17 | 43)
}

impl Request {
    /// Reads a PDU; an error is the exception code for it.
    pub(crate) fn parse(pdu: &[u8]) -> Result<Request, u8> {
        let word = |at: usize| -> Result<u16, u8> {
            let bytes = pdu.get(at..at + 2).ok_or(exception::VALUE)?;
            Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
        };
        let code = *pdu.first().ok_or(exception::FUNCTION)?;
        if let Some(function) = Function::from_code(code) {
            let (at, count) = (word(1)?, word(3)?);
            let most = if function.is_bit() { 2000 } else { 125 };
            if pdu.len() != 5 || !(1..=most).contains(&count) {
                return Err(exception::VALUE);
            }
            if u32::from(at) + u32::from(count) > 0x1_0000 {
                return Err(exception::ADDRESS);
            }
            return Ok(Request::Read(Span { function, at, count }));
        }
        let write = |words| -> Result<Request, u8> {
            Ok(Request::Write {
                function: code,
                at: word(1)?,
                words,
            })
        };
        match code {
            5 if pdu.len() == 5 => match word(3)? {
                0x0000 => write(vec![0]),
                0xFF00 => write(vec![1]),
                _ => Err(exception::VALUE),
            },
            6 if pdu.len() == 5 => write(vec![word(3)?]),
            15 => {
                let count = word(3)?;
                let bits = data(pdu, 5, usize::from(count).div_ceil(8))?;
                run(word(1)?, count, 1968)?;
                let bit = |place: usize| bits.get(place / 8).map_or(0, |byte| byte >> (place % 8) & 1);
                write((0..usize::from(count)).map(|place| bit(place).into()).collect())
            }
            16 => {
                let count = word(3)?;
                let bytes = data(pdu, 5, 2 * usize::from(count))?;
                run(word(1)?, count, 123)?;
                write(registers(bytes))
            }
            23 => {
                let count = word(7)?;
                let bytes = data(pdu, 9, 2 * usize::from(count))?;
                run(word(1)?, word(3)?, 125)?;
                run(word(5)?, count, 121)?;
                Ok(Request::Exchange {
                    answer: Span::holding(word(1)?, word(3)?),
                    at: word(5)?,
                    words: registers(bytes),
                })
            }
            5 | 6 => Err(exception::VALUE),
            _ => Err(exception::FUNCTION),
        }
    }

    /// What a request that may change something carries, as far as that can be told: where it writes, what, and
    /// whether it is well-formed. `None` for one that only reads.
    pub(crate) fn writes(pdu: &[u8]) -> Option<(u16, Vec<u16>, bool)> {
        if only_reads(*pdu.first()?) {
            return None;
        }
        Some(match Request::parse(pdu) {
            Ok(Request::Write { at, words, .. } | Request::Exchange { at, words, .. }) => (at, words, true),
            _ => {
                let at = pdu.get(1..3).map_or(0, |at| u16::from_be_bytes([at[0], at[1]]));
                let rest = pdu.get(3..).unwrap_or_default().chunks(2);
                let word = |pair: &[u8]| u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]);
                (at, rest.map(word).collect(), false)
            }
        })
    }
}

/// The data behind a byte count, when it is as long as that says and as it should be.
fn data(pdu: &[u8], at: usize, bytes: usize) -> Result<&[u8], u8> {
    let announced = usize::from(*pdu.get(at).ok_or(exception::VALUE)?);
    let data = pdu.get(at + 1..).ok_or(exception::VALUE)?;
    if announced != bytes || data.len() != bytes {
        return Err(exception::VALUE);
    }
    Ok(data)
}

/// Checks a run of addresses that is to hold 1 to `most`.
fn run(at: u16, count: u16, most: u16) -> Result<(), u8> {
    if !(1..=most).contains(&count) {
        return Err(exception::VALUE);
    }
    if u32::from(at) + u32::from(count) > 0x1_0000 {
        return Err(exception::ADDRESS);
    }
    Ok(())
}

fn registers(bytes: &[u8]) -> Vec<u16> {
    bytes
        .chunks_exact(2)
        .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
        .collect()
}

/// The answer to a read.
pub(crate) fn words(function: Function, words: &[u16]) -> Vec<u8> {
    let mut pdu = vec![function.code(), 0];
    if function.is_bit() {
        for bits in words.chunks(8) {
            let byte = bits
                .iter()
                .enumerate()
                .map(|(place, &bit)| u8::from(bit != 0) << place);
            pdu.push(byte.fold(0, |all, bit| all | bit));
        }
    } else {
        pdu.extend(words.iter().flat_map(|word| word.to_be_bytes()));
    }
    // At most 250 bytes of data: `Request::parse` has bounded the quantity.
    pdu[1] = (pdu.len() - 2) as u8;
    pdu
}

/// The answer to function 23.
pub(crate) fn exchanged(words: &[u16]) -> Vec<u8> {
    let mut pdu = vec![23, 2 * words.len() as u8];
    pdu.extend(words.iter().flat_map(|word| word.to_be_bytes()));
    pdu
}

/// The answer that refuses a request.
pub(crate) fn refusal(request: &[u8], code: u8) -> Vec<u8> {
    vec![request.first().copied().unwrap_or(0) | 0x80, code]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_and_lengths_are_checked() {
        let read = |function: u8, at: u16, count: u16| {
            let (at, count) = (at.to_be_bytes(), count.to_be_bytes());
            Request::parse(&[function, at[0], at[1], count[0], count[1]])
        };
        assert_eq!(read(3, 10, 125), Ok(Request::Read(Span::holding(10, 125))));
        assert_eq!(read(3, 10, 0), Err(3));
        assert_eq!(read(3, 10, 126), Err(3));
        assert!(read(1, 10, 2000).is_ok());
        assert_eq!(read(1, 10, 2001), Err(3));
        assert_eq!(read(3, 65_535, 2), Err(2));
        assert_eq!(Request::parse(&[3, 0]), Err(3));
        assert_eq!(Request::parse(&[43, 14, 1, 0]), Err(1));
        assert_eq!(Request::parse(&[16, 0, 1, 0, 1, 3, 0, 7]), Err(3));
        assert_eq!(Request::parse(&[16, 0, 1, 0, 0, 0]), Err(3));
        let write = |function, words: &[u16]| {
            Ok(Request::Write {
                function,
                at: 1,
                words: words.to_vec(),
            })
        };
        assert_eq!(Request::parse(&[16, 0, 1, 0, 1, 2, 0, 7]), write(16, &[7]));
        assert_eq!(Request::parse(&[6, 0, 1, 0, 7]), write(6, &[7]));
        assert_eq!(Request::parse(&[5, 0, 1, 0xFF, 0]), write(5, &[1]));
        assert_eq!(Request::parse(&[5, 0, 1, 0, 0]), write(5, &[0]));
        assert_eq!(Request::parse(&[5, 0, 1, 0, 1]), Err(3));
        let nine = [15, 0, 1, 0, 9, 2, 0b101, 1];
        assert_eq!(Request::parse(&nine), write(15, &[1, 0, 1, 0, 0, 0, 0, 0, 1]));
        assert_eq!(Request::parse(&nine[..7]), Err(3));
        assert_eq!(Request::parse(&[15, 0xFF, 0xFF, 0, 2, 1, 3]), Err(2));
        let link = [23, 0x40, 0, 0, 35, 0x40, 1, 0, 2, 4, 1, 0x0C, 0, 7];
        assert_eq!(
            Request::parse(&link),
            Ok(Request::Exchange {
                answer: Span::holding(0x4000, 35),
                at: 0x4001,
                words: vec![0x010C, 7],
            })
        );
        assert_eq!(Request::parse(&link[..13]), Err(3));
        assert_eq!(
            Request::parse(&[23, 0x40, 0, 0, 126, 0x40, 0, 0, 1, 2, 0, 1]),
            Err(3)
        );
        assert_eq!(Request::parse(&[23, 0x40, 0, 0, 1, 0x40, 0, 0, 0, 0]), Err(3));
    }

    #[test]
    fn what_may_change_something_is_known_however_odd_it_is() {
        for reads in [&[3, 0, 1, 0, 1][..], &[1], &[17], &[43, 14, 1, 0], &[]] {
            assert_eq!(Request::writes(reads), None);
        }
        let odd = |pdu: &[u8]| Request::writes(pdu).unwrap();
        assert_eq!(odd(&[6, 0, 9, 0, 7]), (9, vec![7], true));
        // A byte count that lies, half a word, a mask, nothing at all.
        assert_eq!(
            odd(&[16, 0, 9, 0, 1, 3, 0, 7]),
            (9, vec![1, 0x0300, 0x0700], false)
        );
        assert_eq!(odd(&[6, 0, 9, 7]), (9, vec![0x0700], false));
        assert_eq!(odd(&[22, 0, 9, 0, 1, 0, 2]), (9, vec![1, 2], false));
        assert_eq!(odd(&[90]), (0, vec![], false));
    }

    #[test]
    fn bits_are_packed_from_the_low_end() {
        assert_eq!(
            words(Function::Coils, &[1, 0, 1, 0, 0, 0, 0, 0, 1]),
            [1, 2, 0b101, 1]
        );
        assert_eq!(words(Function::Holding, &[0x1234]), [3, 2, 0x12, 0x34]);
    }
}
