//! A register link: settings behind one address, set and asked for by an id with function 23.
//!
//! Source: what clients of the VM-3P75CT send and take; the maker documents two ids, and which those are is in the
//! ledger.

use busbar_ledger::codec::{self, Decoded};
use busbar_ledger::model::{Register, ValueType};
use busbar_ledger::value::Value;

use crate::words::{in_order, spread};

/// What an answer says of the request.
pub(crate) mod status {
    /// It was done.
    pub(crate) const OK: u16 = 0;
    /// Nothing of this id can be read.
    pub(crate) const NO_SUCH_READ: u16 = 0x8001;
    /// Nothing of this id can be set.
    pub(crate) const NO_SUCH_WRITE: u16 = 0x8101;
    /// It can only be read.
    pub(crate) const READ_ONLY: u16 = 0x8102;
    /// The data do not fit.
    pub(crate) const BAD_DATA: u16 = 0x8104;
}

/// The data of a request that sets something: as long as it says, and no longer than that takes in whole registers.
/// `None` where that is not so.
pub(crate) fn data(length: u16, words: &[u16]) -> Option<Vec<u8>> {
    let length = usize::from(length);
    if words.len() != length.div_ceil(2) {
        return None;
    }
    let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
    bytes.truncate(length);
    Some(bytes)
}

/// An answer: id, status, length in bytes, data, filled up with zeros or cut to the registers that were asked for.
/// The length is the true one even then.
pub(crate) fn answer(id: u16, status: u16, data: &[u8], count: u16) -> Vec<u16> {
    let mut words = vec![id, status, data.len() as u16];
    let pair = |pair: &[u8]| u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]);
    words.extend(data.chunks(2).map(pair));
    words.resize(count.into(), 0);
    words
}

/// What a register holds, as the data of a link that carries `most` bytes: a text without what fills it, a number in
/// just that many bytes.
pub(crate) fn data_of(register: &Register, words: &[u16], most: u8) -> Vec<u8> {
    if register.ty == ValueType::Text {
        let mut bytes = codec::text(words, register.order).into_bytes();
        bytes.truncate(most.into());
        return bytes;
    }
    let words = in_order(words.to_vec(), register.order);
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
    bytes[bytes.len().saturating_sub(most.into())..].to_vec()
}

/// What the data of a link mean to a register; `None` where they are too many, or none of that kind.
pub(crate) fn value_of(register: &Register, data: &[u8], most: u8, exponent: Option<i32>) -> Option<Value> {
    let room = 2 * usize::from(register.span.count);
    if data.len() > usize::from(most).min(room) {
        return None;
    }
    if register.ty == ValueType::Text {
        let text = std::str::from_utf8(data).ok()?;
        // As the register shows it: up to the first NUL, without white space at its end.
        let text = text.split('\0').next().unwrap_or_default().trim_end();
        return Some(Value::Text(text.to_owned()));
    }
    if data.is_empty() || data.len() > 8 {
        return None;
    }
    let raw = data
        .iter()
        .fold(0i128, |raw, &byte| (raw << 8) | i128::from(byte));
    let words = in_order(spread(raw, register.span.count.into()), register.order);
    match codec::decode(register, &words, exponent) {
        Decoded::Value(value) => Some(value),
        Decoded::Invalid(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use busbar_ledger::model::Order;
    use busbar_ledger::span::Span;

    fn register(count: u16, ty: ValueType) -> Register {
        Register::plain(Span::holding(0x2002, count), ty, Order::Abcd)
    }

    #[test]
    fn data_are_as_long_as_they_say() {
        assert_eq!(data(1, &[0x0500]), Some(vec![5]));
        assert_eq!(data(3, &[0x4142, 0x4300]), Some(vec![0x41, 0x42, 0x43]));
        assert_eq!(data(0, &[]), Some(vec![]));
        for (length, words) in [(3, &[0x4142][..]), (1, &[1, 2]), (0, &[0]), (65_535, &[1])] {
            assert_eq!(data(length, words), None, "{length}");
        }
    }

    #[test]
    fn answers_are_filled_and_cut_and_keep_their_true_length() {
        assert_eq!(answer(0x112, 0, &[5], 5), [0x112, 0, 1, 0x0500, 0]);
        assert_eq!(answer(0x10C, 0, b"Haus1", 4), [0x10C, 0, 5, 0x4861]);
        assert_eq!(answer(7, status::NO_SUCH_READ, &[], 3), [7, 0x8001, 0]);
    }

    #[test]
    fn numbers_and_texts_go_both_ways() {
        let (number, text) = (register(1, ValueType::U16), register(4, ValueType::Text));
        assert_eq!(value_of(&number, &[250], 1, None), Some(Value::Integer(250)));
        assert_eq!(data_of(&number, &[250], 1), [250]);
        let name = "Dach ö";
        assert_eq!(
            value_of(&text, name.as_bytes(), 8, None),
            Some(Value::Text(name.to_owned()))
        );
        assert_eq!(data_of(&text, &[0x4461, 0x6368, 0, 0], 8), b"Dach");
        for (register, data) in [
            (&number, &[1, 2][..]),
            (&number, &[]),
            (&text, &[0xFF, 0xFE]),
            (&text, b"nine char"),
        ] {
            let most = if register.ty == ValueType::Text { 40 } else { 1 };
            assert_eq!(value_of(register, data, most, None), None, "{data:?}");
        }
    }
}
