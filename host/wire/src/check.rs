//! Whether a PDU is an answer to a request, and what it says. Pure.
//!
//! Source: Modbus Application Protocol V1.1b3, sections 6.1 to 6.6, 6.11, 6.12 and 7.

use busbar_ledger::span::{Function, Span};

use crate::identity::{Asked, Objects};

/// The most bits that one read may ask for.
const MAX_BITS: u16 = 2000;
/// The most registers that one read may ask for.
const MAX_REGISTERS: u16 = 125;

/// What a device said to a read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The words asked for; for coils and discrete inputs 0 or 1 each. Of an identification the bytes behind the
    /// function code; of a write what it reads back.
    Words(Vec<u16>),
    /// A refusal, by its code.
    Exception(u8),
}

/// Why bytes that came back under a request's transaction id are not an answer to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadAnswer {
    /// What came was asked by somebody else.
    #[error("another master speaks on this line")]
    OtherMaster,
    /// The answer carries an id that this request does not have.
    #[error("it carries transaction id {got} instead of {expected}")]
    Transaction {
        /// The id of the request.
        expected: u16,
        /// The id of the answer.
        got: u16,
    },
    /// Another unit answered.
    #[error("unit {got} answered instead")]
    Unit {
        /// The unit of the answer.
        got: u8,
    },
    /// The answer is to another function.
    #[error("it answers function {got} instead of {expected}")]
    Function {
        /// The function asked.
        expected: u8,
        /// The function of the answer, without the exception bit.
        got: u8,
    },
    /// The answer's byte count is not the one that the request asks for.
    #[error("its byte count says {got} instead of {expected}")]
    ByteCount {
        /// The bytes asked for.
        expected: u8,
        /// What the answer claims.
        got: u8,
    },
    /// A write is confirmed at another address.
    #[error("it confirms address {got} instead of {expected}")]
    EchoAddress {
        /// The address written to.
        expected: u16,
        /// The address of the answer.
        got: u16,
    },
    /// A write of one value is confirmed with another.
    #[error("it confirms the raw value {got} instead of {expected}")]
    EchoValue {
        /// The value as it was sent.
        expected: u16,
        /// The value of the answer.
        got: u16,
    },
    /// A write of several is confirmed for another number of them.
    #[error("it confirms {got} instead of {expected}")]
    EchoCount {
        /// How many were written.
        expected: u16,
        /// How many the answer names.
        got: u16,
    },
    /// What came is the request itself, and so would be the answer: it may be an adapter's echo.
    #[error("it came once, and may be no more than the adapter's echo of the request")]
    OwnEcho,
    /// What came is not the identification that was asked for, or its lengths do not fit.
    #[error("it is no identification")]
    Identification,
    /// The answer is shorter or longer than it says.
    #[error("it is {got} bytes long instead of {expected}")]
    Length {
        /// The length of a right answer, function code included.
        expected: u8,
        /// The length that came.
        got: u8,
    },
}

/// Whether one read can ask for this span at all; else the reason.
pub(crate) fn request(span: Span) -> Result<(), &'static str> {
    if span.count == 0 {
        return Err("a read of no registers");
    }
    if span.end() > 0x1_0000 {
        return Err("it runs past address 65535");
    }
    match span.function.is_bit() {
        true if span.count > MAX_BITS => Err("one read holds at most 2000 bits"),
        false if span.count > MAX_REGISTERS => Err("one read holds at most 125 registers"),
        _ => Ok(()),
    }
}

/// The PDU that asks for a span.
pub(crate) fn read_pdu(span: Span) -> [u8; 5] {
    let [at_high, at_low] = span.at.to_be_bytes();
    let [count_high, count_low] = span.count.to_be_bytes();
    [span.function.code(), at_high, at_low, count_high, count_low]
}

/// The span that such a PDU asks for.
pub(crate) fn asked(pdu: &[u8]) -> Option<Span> {
    let &[function, at_high, at_low, count_high, count_low] = pdu else {
        return None;
    };
    Some(Span {
        function: Function::from_code(function)?,
        at: u16::from_be_bytes([at_high, at_low]),
        count: u16::from_be_bytes([count_high, count_low]),
    })
}

/// What an answer holds behind its function code, or the code of a refusal.
pub(crate) fn body(unit: u8, expected: u8, from: u8, pdu: &[u8]) -> Result<Result<&[u8], u8>, BadAnswer> {
    if from != unit {
        return Err(BadAnswer::Unit { got: from });
    }
    // A frame holds at most 253 bytes of PDU, so no length here can be cut.
    let got = pdu.len() as u8;
    let Some((&function, data)) = pdu.split_first() else {
        return Err(BadAnswer::Length { expected: 2, got });
    };
    if function & 0x7f != expected {
        return Err(BadAnswer::Function {
            expected,
            got: function & 0x7f,
        });
    }
    if function & 0x80 != 0 {
        return match data {
            [code] => Ok(Err(*code)),
            _ => Err(BadAnswer::Length { expected: 2, got }),
        };
    }
    Ok(Ok(data))
}

/// Judges the answer to what `unit` was asked to tell.
pub(crate) fn answer(unit: u8, asked: impl Into<Asked>, from: u8, pdu: &[u8]) -> Result<Answer, BadAnswer> {
    let asked = asked.into();
    let data = match body(unit, asked.function(), from, pdu)? {
        Ok(data) => data,
        Err(code) => return Ok(Answer::Exception(code)),
    };
    let got = pdu.len() as u8;
    let span = match asked {
        Asked::Span(span) => span,
        Asked::Identification { .. } => {
            Objects::parse(data)?;
            return Ok(bytes(data));
        }
        Asked::ServerId => {
            let counted = data
                .first()
                .is_some_and(|count| usize::from(*count) + 1 == data.len());
            return if counted {
                Ok(bytes(data))
            } else {
                Err(BadAnswer::Identification)
            };
        }
        // A write's answer is judged by the request itself.
        Asked::Write { .. } => return Err(BadAnswer::Length { expected: 5, got }),
    };
    match span.function {
        Function::Coils | Function::Discrete => {
            let data = counted(span.count.div_ceil(8) as u8, data, got)?;
            Ok(Answer::Words(
                (0..usize::from(span.count))
                    .map(|i| u16::from(data[i / 8] >> (i % 8) & 1))
                    .collect(),
            ))
        }
        Function::Holding | Function::Input => registers(span.count, data, got),
    }
}

/// So many registers, behind their length in bytes; the whole PDU is `got` bytes long.
pub(crate) fn registers(count: u16, data: &[u8], got: u8) -> Result<Answer, BadAnswer> {
    let data = counted((count * 2) as u8, data, got)?;
    Ok(Answer::Words(
        data.chunks_exact(2)
            .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
            .collect(),
    ))
}

/// Exactly so many bytes, behind their number.
fn counted(bytes: u8, data: &[u8], got: u8) -> Result<&[u8], BadAnswer> {
    let length = BadAnswer::Length {
        expected: bytes.saturating_add(2),
        got,
    };
    let Some((&claimed, data)) = data.split_first() else {
        return Err(length);
    };
    if claimed != bytes {
        return Err(BadAnswer::ByteCount {
            expected: bytes,
            got: claimed,
        });
    }
    if data.len() != usize::from(bytes) {
        return Err(length);
    }
    Ok(data)
}

/// Whether an answer repeats what a write with function 5, 6, 15 or 16 said behind its function code: the address, and
/// the value or the count.
pub(crate) fn echo(function: u8, sent: [u8; 4], data: &[u8], got: u8) -> Result<(), BadAnswer> {
    let &[a, b, c, d] = data else {
        return Err(BadAnswer::Length { expected: 5, got });
    };
    let words = |[a, b, c, d]: [u8; 4]| (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    let ((at, second), (got_at, got_second)) = (words(sent), words([a, b, c, d]));
    if got_at != at {
        let (expected, got) = (at, got_at);
        return Err(BadAnswer::EchoAddress { expected, got });
    }
    if got_second != second {
        let (expected, got) = (second, got_second);
        return Err(match function {
            5 | 6 => BadAnswer::EchoValue { expected, got },
            _ => BadAnswer::EchoCount { expected, got },
        });
    }
    Ok(())
}

/// Bytes, each in a word.
fn bytes(data: &[u8]) -> Answer {
    Answer::Words(data.iter().map(|byte| u16::from(*byte)).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TWO: Span = Span {
        function: Function::Holding,
        at: 800,
        count: 2,
    };

    #[test]
    fn a_right_answer_gives_its_words() {
        assert_eq!(
            answer(100, TWO, 100, &[3, 4, 1, 2, 255, 254]),
            Ok(Answer::Words(vec![0x0102, 0xfffe]))
        );
        let bits = Span {
            function: Function::Coils,
            at: 0,
            count: 10,
        };
        assert_eq!(
            answer(1, bits, 1, &[1, 2, 0b1010_0001, 0b10]),
            Ok(Answer::Words(vec![1, 0, 0, 0, 0, 1, 0, 1, 0, 1]))
        );
    }

    #[test]
    fn an_exception_is_an_answer_only_with_one_byte_and_its_function() {
        assert_eq!(answer(1, TWO, 1, &[0x83, 10]), Ok(Answer::Exception(10)));
        assert_eq!(
            answer(1, TWO, 1, &[0x83]),
            Err(BadAnswer::Length { expected: 2, got: 1 })
        );
        assert_eq!(
            answer(1, TWO, 1, &[0x83, 10, 0]),
            Err(BadAnswer::Length { expected: 2, got: 3 })
        );
        assert_eq!(
            answer(1, TWO, 1, &[0x84, 10]),
            Err(BadAnswer::Function { expected: 3, got: 4 })
        );
    }

    #[test]
    fn whatever_does_not_fit_the_request_is_refused() {
        for (from, pdu, why) in [
            (2, &[3, 4, 1, 2, 3, 4][..], BadAnswer::Unit { got: 2 }),
            (
                1,
                &[4, 4, 1, 2, 3, 4],
                BadAnswer::Function { expected: 3, got: 4 },
            ),
            (1, &[3, 2, 1, 2], BadAnswer::ByteCount { expected: 4, got: 2 }),
            (
                1,
                &[3, 6, 1, 2, 3, 4, 5, 6],
                BadAnswer::ByteCount { expected: 4, got: 6 },
            ),
            (1, &[3, 3, 1, 2, 3], BadAnswer::ByteCount { expected: 4, got: 3 }),
            (1, &[3, 4, 1, 2], BadAnswer::Length { expected: 6, got: 4 }),
            (
                1,
                &[3, 4, 1, 2, 3, 4, 5],
                BadAnswer::Length { expected: 6, got: 7 },
            ),
            (1, &[3], BadAnswer::Length { expected: 6, got: 1 }),
            (1, &[], BadAnswer::Length { expected: 2, got: 0 }),
        ] {
            assert_eq!(answer(1, TWO, from, pdu), Err(why), "{pdu:?}");
        }
    }

    #[test]
    fn a_request_that_no_frame_can_carry_is_refused() {
        let span = |function, at, count| Span { function, at, count };
        for wrong in [
            span(Function::Holding, 0, 0),
            span(Function::Holding, 0, 126),
            span(Function::Coils, 0, 2001),
            span(Function::Input, 65535, 2),
        ] {
            assert!(request(wrong).is_err(), "{wrong}");
        }
        for right in [
            span(Function::Holding, 65411, 125),
            span(Function::Discrete, 0, 2000),
            span(Function::Input, 65535, 1),
        ] {
            assert_eq!(request(right), Ok(()), "{right}");
        }
    }

    proptest! {
        #[test]
        fn only_the_exact_shape_passes(
            code in 1u8..=4, at: u16, count in 1u16..=2000,
            pdu in proptest::collection::vec(any::<u8>(), 0..=253),
        ) {
            let span = Span { function: Function::from_code(code).unwrap(), at, count };
            prop_assume!(request(span).is_ok());
            match answer(7, span, 7, &pdu) {
                Ok(Answer::Words(words)) => {
                    prop_assert_eq!(words.len(), usize::from(count));
                    prop_assert_eq!(pdu[0], code);
                    prop_assert_eq!(usize::from(pdu[1]) + 2, pdu.len());
                }
                Ok(Answer::Exception(exception)) => prop_assert_eq!(pdu, [code | 0x80, exception]),
                Err(_) => {}
            }
        }

        #[test]
        fn registers_come_back_as_sent(words in proptest::collection::vec(any::<u16>(), 1..=125), at in 0u16..60_000) {
            let span = Span { function: Function::Input, at, count: words.len() as u16 };
            let mut pdu = vec![4, (words.len() * 2) as u8];
            pdu.extend(words.iter().flat_map(|word| word.to_be_bytes()));
            prop_assert_eq!(answer(1, span, 1, &pdu), Ok(Answer::Words(words)));
        }
    }
}
