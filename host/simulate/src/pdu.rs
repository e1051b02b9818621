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
    Write { at: u16, words: Vec<u16> },
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
        match code {
            6 if pdu.len() == 5 => Ok(Request::Write {
                at: word(1)?,
                words: vec![word(3)?],
            }),
            16 => {
                let (at, count) = (word(1)?, word(3)?);
                let bytes = pdu.get(6..).ok_or(exception::VALUE)?;
                let announced = usize::from(*pdu.get(5).ok_or(exception::VALUE)?);
                if count == 0 || announced != 2 * usize::from(count) || bytes.len() != announced {
                    return Err(exception::VALUE);
                }
                if u32::from(at) + u32::from(count) > 0x1_0000 {
                    return Err(exception::ADDRESS);
                }
                let words = bytes
                    .chunks_exact(2)
                    .map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
                Ok(Request::Write {
                    at,
                    words: words.collect(),
                })
            }
            6 => Err(exception::VALUE),
            _ => Err(exception::FUNCTION),
        }
    }
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
        let write = Request::Write {
            at: 1,
            words: vec![7],
        };
        assert_eq!(Request::parse(&[16, 0, 1, 0, 1, 2, 0, 7]), Ok(write.clone()));
        assert_eq!(Request::parse(&[6, 0, 1, 0, 7]), Ok(write));
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
