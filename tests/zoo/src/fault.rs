//! How a peer misbehaves: pure functions from a sound answer to what is sent instead.

use std::time::Duration;

use crate::frame::{Frame, Wire};

/// A way to misbehave. Answers that a client must not take for its own carry other data than the device gave
/// (every byte of it is turned over), so that a client that takes one all the same is found out.
///
/// Every fault works on every wire, but for what a wire does not have: RTU has no transaction, no protocol id and no
/// length, Modbus TCP and UDP no check sum. There the answer goes out as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Forwards everything as it is.
    None,
    /// Nobody listens; open connections are cut.
    Refuse,
    /// Accepts and closes at once, as a device whose connections are taken; open connections are cut.
    AcceptThenClose,
    /// Takes requests, never answers.
    BlackHole,
    /// Takes requests for this unit and never answers them; the others are fine.
    DeadUnit(u8),
    /// Closes when a request has come.
    CloseAfterRequest,
    /// Closes behind each answer.
    CloseAfterAnswer,
    /// Sends half an answer, then resets the connection.
    ResetMidFrame,
    /// Sends byte by byte with a pause before each.
    Drip(Duration),
    /// Sends byte by byte, each in a segment of its own.
    OneByteSegments,
    /// Answers so much later.
    Late(Duration),
    /// Answers everything with this exception.
    Exception(u8),
    /// An exception for a function that was not asked for.
    ExceptionForOtherFunction,
    /// Another transaction id.
    WrongTransaction,
    /// Another unit.
    WrongUnit,
    /// Another function.
    WrongFunction,
    /// A byte count that is wrong by so much, over the same data.
    LyingByteCount(i8),
    /// One register less than asked, in a sound frame.
    ShortAnswer,
    /// One register more than asked, in a sound frame.
    LongAnswer,
    /// One byte more than asked, in a sound frame.
    OddAnswer,
    /// Another length in the header.
    Length(u16),
    /// Another protocol id in the header.
    Protocol(u16),
    /// So many stray bytes behind each frame.
    TrailingBytes(usize),
    /// Two stray bytes within the frame, behind the data.
    PaddedFrame,
    /// A foreign answer before the right one, in one segment.
    ForeignFirst,
    /// Every answer twice, in one segment.
    Twice,
    /// Sends random bytes without end and answers nothing.
    RandomBytes,
    /// A web server that does not understand the request.
    HttpBanner,
    /// Sends the first half of each answer and leaves it at that.
    HalfFrame,
    /// A check sum that does not fit.
    WrongCheckSum,
    /// So many stray bytes before each answer.
    Noise(usize),
    /// The request comes back before its answer, as from an RS485 converter that hears itself.
    Echo,
    /// As many bytes as the answer has, none of them right: the wrong baud rate.
    Garbled,
    /// Answers to writes with another address, value or count than was written; the device has done it, and reads are
    /// fine. An echo that lacks this part goes out as it is.
    WrongEcho(Part),
    /// Answers to writes never come: the device has done it, and reads are fine.
    LoseAcknowledgement,
    /// Closes the connection in place of the answer to a write: the device has done it, and reads are fine.
    CloseBeforeAcknowledgement,
    /// Answers to writes come so much later; reads are fine.
    LateAcknowledgement(Duration),
    /// Refuses writes with this exception, although the device has done them; reads are fine.
    RefuseAcknowledgement(u8),
    /// Answers reads that begin at this address with this exception; everything else is fine.
    ExceptionAt(u16, u8),
}

/// A part of the answer to a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The address; of a register link, the id.
    Address,
    /// The value that was written, with functions 5, 6 and 22; of a register link, its data.
    Value,
    /// How many registers or coils were written, with functions 15 and 16; of a register link, the length.
    Count,
}

/// What becomes of the connection after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Keep,
    Close,
    Reset,
}

/// How one answer is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Script {
    /// Before the first byte.
    pub(crate) wait: Duration,
    /// Before each piece.
    pub(crate) gap: Duration,
    pub(crate) pieces: Vec<Vec<u8>>,
    pub(crate) ending: Ending,
    /// The PDU that a client may take for the answer to its request, if there is one.
    pub(crate) honest: Option<Vec<u8>>,
}

/// What is sent instead of `answer` to `request`.
pub(crate) fn script(fault: &Fault, wire: Wire, request: &Frame, answer: &Frame) -> Script {
    let mut script = Script {
        wait: Duration::ZERO,
        gap: Duration::ZERO,
        pieces: Vec::new(),
        ending: Ending::Keep,
        honest: None,
    };
    let right = answer.bytes(wire);
    // What befalls writes leaves everything else alone.
    let fault = match fault {
        Fault::WrongEcho(_)
        | Fault::LoseAcknowledgement
        | Fault::CloseBeforeAcknowledgement
        | Fault::LateAcknowledgement(_)
        | Fault::RefuseAcknowledgement(_)
            if !request.is_write() =>
        {
            Fault::None
        }
        Fault::LateAcknowledgement(wait) => Fault::Late(*wait),
        Fault::RefuseAcknowledgement(code) => Fault::Exception(*code),
        Fault::ExceptionAt(at, _) if request.is_write() || request.at() != Some(*at) => Fault::None,
        Fault::ExceptionAt(_, code) => Fault::Exception(*code),
        fault => fault.clone(),
    };
    let mut bad = answer.poisoned();
    let honest = Some(answer.pdu.clone());
    let whole = match &fault {
        Fault::None | Fault::DeadUnit(_) => {
            script.honest = honest;
            right
        }
        Fault::WrongTransaction | Fault::Length(_) | Fault::Protocol(_) if wire == Wire::Rtu => {
            script.honest = honest;
            right
        }
        Fault::WrongCheckSum if wire == Wire::Mbap => {
            script.honest = honest;
            right
        }
        // They have become others above.
        Fault::LateAcknowledgement(_) | Fault::RefuseAcknowledgement(_) | Fault::ExceptionAt(..) => {
            script.honest = honest;
            right
        }
        Fault::LoseAcknowledgement => return script,
        Fault::CloseBeforeAcknowledgement => {
            script.ending = Ending::Close;
            return script;
        }
        Fault::WrongEcho(part) => match answer.with_wrong(*part) {
            Some(wrong) => wrong.bytes(wire),
            None => {
                script.honest = honest;
                right
            }
        },
        Fault::Refuse
        | Fault::AcceptThenClose
        | Fault::BlackHole
        | Fault::CloseAfterRequest
        | Fault::RandomBytes
        | Fault::HttpBanner => return script,
        Fault::CloseAfterAnswer => {
            script.ending = Ending::Close;
            script.honest = honest;
            right
        }
        Fault::ResetMidFrame => {
            script.ending = Ending::Reset;
            half(right)
        }
        Fault::HalfFrame => half(right),
        Fault::Drip(gap) => {
            script.gap = *gap;
            script.pieces = right.into_iter().map(|byte| vec![byte]).collect();
            script.honest = honest;
            return script;
        }
        Fault::OneByteSegments => {
            script.pieces = right.into_iter().map(|byte| vec![byte]).collect();
            script.honest = honest;
            return script;
        }
        Fault::Late(wait) => {
            script.wait = *wait;
            script.honest = honest;
            right
        }
        Fault::Exception(code) => {
            bad.pdu = vec![bad.pdu[0] | 0x80, *code];
            script.honest = Some(bad.pdu.clone());
            bad.bytes(wire)
        }
        Fault::ExceptionForOtherFunction => {
            bad.pdu = vec![(bad.pdu[0] ^ 7) | 0x80, 2];
            bad.bytes(wire)
        }
        Fault::WrongTransaction => {
            bad.transaction ^= 0x4000;
            bad.bytes(wire)
        }
        Fault::WrongUnit => {
            bad.unit ^= 1;
            bad.bytes(wire)
        }
        Fault::WrongFunction => {
            bad.pdu[0] ^= 7;
            bad.bytes(wire)
        }
        Fault::LyingByteCount(by) => {
            if !bad.is_exception() {
                bad.pdu[1] = bad.pdu[1].wrapping_add_signed(*by);
            }
            bad.bytes(wire)
        }
        Fault::ShortAnswer => answer.resized(-2).bytes(wire),
        Fault::LongAnswer => answer.resized(2).bytes(wire),
        Fault::OddAnswer => answer.resized(1).bytes(wire),
        Fault::Length(length) => bad.with_header(0, *length),
        Fault::Protocol(protocol) => bad.with_header(*protocol, bad.pdu.len() as u16 + 1),
        Fault::TrailingBytes(count) => {
            script.honest = honest;
            [right, vec![0xAA; *count]].concat()
        }
        Fault::Noise(count) => {
            // Behind it, a stream without check sums has no right answer.
            script.honest = honest.filter(|_| wire == Wire::Rtu);
            [vec![0xAA; *count], right].concat()
        }
        Fault::PaddedFrame => {
            bad.pdu.extend([0xAA, 0xAA]);
            bad.bytes(wire)
        }
        Fault::ForeignFirst => {
            script.honest = honest;
            match wire {
                Wire::Mbap => bad.transaction ^= 0x4000,
                Wire::Rtu => bad.unit ^= 1,
            }
            [bad.bytes(wire), right].concat()
        }
        Fault::Twice => {
            script.honest = honest;
            right.repeat(2)
        }
        Fault::WrongCheckSum => {
            let mut bytes = bad.bytes(wire);
            if let Some(last) = bytes.last_mut() {
                *last = !*last;
            }
            bytes
        }
        Fault::Echo => {
            script.honest = honest;
            [request.bytes(wire), right].concat()
        }
        Fault::Garbled => {
            let noise = Noise::new(u64::from(request.transaction));
            right
                .iter()
                .zip(noise)
                .map(|(byte, noise)| byte ^ noise)
                .collect()
        }
    };
    script.pieces.push(whole);
    script
}

fn half(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.truncate(bytes.len().div_ceil(2));
    bytes
}

/// Bytes without end that look random, never 0, and are the same for the same seed (xorshift64, Marsaglia 2003).
#[derive(Clone, Debug)]
pub(crate) struct Noise(u64);

impl Noise {
    pub(crate) fn new(seed: u64) -> Self {
        // Any seed but 0, which would stay 0.
        let mut noise = Noise(0x2545_F491_4F6C_DD1D ^ seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        noise.word();
        noise
    }

    fn word(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Whether something of this chance happens now.
    pub(crate) fn chance(&mut self, chance: f64) -> bool {
        ((self.word() >> 11) as f64 / (1u64 << 53) as f64) < chance
    }
}

impl Iterator for Noise {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let byte = (self.word() >> 32) as u8;
        Some(byte.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Sender;
    use busbar_simulate::crc::crc;

    const ANSWER: [u8; 13] = [0, 7, 0, 0, 0, 7, 100, 3, 4, 0x12, 0x34, 0x56, 0x78];

    fn sent(fault: Fault) -> (Vec<u8>, bool) {
        on(Wire::Mbap, fault)
    }

    fn on(wire: Wire, fault: Fault) -> (Vec<u8>, bool) {
        let answer = Wire::Mbap
            .take(Sender::Device, &mut ANSWER.to_vec())
            .unwrap()
            .unwrap();
        let request = Frame {
            pdu: vec![3, 0, 9, 0, 2],
            ..answer.clone()
        };
        let script = script(&fault, wire, &request, &answer);
        (script.pieces.concat(), script.honest.is_some())
    }

    #[test]
    fn an_answer_that_is_not_one_carries_other_data() {
        for fault in [
            Fault::WrongTransaction,
            Fault::WrongUnit,
            Fault::WrongFunction,
            Fault::LyingByteCount(-2),
            Fault::ShortAnswer,
            Fault::LongAnswer,
            Fault::OddAnswer,
            Fault::Length(255),
            Fault::Protocol(1),
            Fault::PaddedFrame,
        ] {
            let (bytes, honest) = sent(fault.clone());
            assert!(!honest, "{fault:?}");
            assert_ne!(bytes, ANSWER, "{fault:?}");
            assert!(!bytes.windows(2).any(|pair| pair == [0x12, 0x34]), "{fault:?}");
        }
    }

    #[test]
    fn each_fault_breaks_what_it_says() {
        assert_eq!(sent(Fault::None), (ANSWER.to_vec(), true));
        assert_eq!(sent(Fault::WrongUnit).0[6], 101);
        assert_eq!(sent(Fault::WrongTransaction).0[..2], [0x40, 7]);
        assert_eq!(sent(Fault::LyingByteCount(1)).0[8], 5);
        assert_eq!(sent(Fault::OddAnswer).0[4..9], [0, 8, 100, 3, 5]);
        assert_eq!(sent(Fault::Length(65_535)).0[4..6], [255, 255]);
        assert_eq!(
            sent(Fault::Exception(6)),
            (vec![0, 7, 0, 0, 0, 3, 100, 0x83, 6], true)
        );
        assert_eq!(sent(Fault::Twice).0, ANSWER.repeat(2));
        assert_eq!(sent(Fault::ForeignFirst).0.len(), 26);
        assert_eq!(sent(Fault::ResetMidFrame).0, ANSWER[..7]);
        assert_eq!(sent(Fault::HalfFrame).0, ANSWER[..7]);
        assert_eq!(sent(Fault::Echo).0[..12], [0, 7, 0, 0, 0, 6, 100, 3, 0, 9, 0, 2]);
        assert_eq!(sent(Fault::Noise(3)).0[..4], [0xAA, 0xAA, 0xAA, 0]);
        assert_eq!(sent(Fault::WrongCheckSum), (ANSWER.to_vec(), true));
        assert_eq!(sent(Fault::BlackHole), (vec![], false));
    }

    /// What is sent in answer to a write, which the device has acknowledged.
    fn acknowledged(fault: Fault, request: &[u8], answer: &[u8]) -> Script {
        let frame = |pdu: &[u8]| Frame {
            transaction: 7,
            unit: 100,
            pdu: pdu.to_vec(),
        };
        script(&fault, Wire::Mbap, &frame(request), &frame(answer))
    }

    #[test]
    fn an_echo_is_wrong_in_just_one_part() {
        const ONE: [u8; 5] = [6, 0, 9, 0, 7];
        const TWO: [u8; 10] = [16, 0, 9, 0, 2, 4, 0, 1, 0, 2];
        const COIL: [u8; 5] = [5, 0, 9, 0xFF, 0];
        const LINK: [u8; 14] = [23, 0x40, 0, 0, 4, 0x40, 0, 0, 2, 4, 1, 0x12, 0, 1];
        const LINKED: [u8; 10] = [23, 8, 1, 0x12, 0, 0, 0, 1, 5, 0];
        let wrong = |part, request: &[u8], answer: &[u8]| {
            let script = acknowledged(Fault::WrongEcho(part), request, answer);
            let sent = script.pieces.concat()[7..].to_vec();
            assert_eq!(script.honest.is_some(), sent == answer, "{part:?}");
            sent
        };
        assert_eq!(wrong(Part::Address, &ONE, &ONE), [6, 0, 8, 0, 7]);
        assert_eq!(wrong(Part::Value, &ONE, &ONE), [6, 0, 9, 0, 6]);
        assert_eq!(wrong(Part::Count, &ONE, &ONE), ONE);
        assert_eq!(wrong(Part::Value, &COIL, &COIL), [5, 0, 9, 0, 0]);
        assert_eq!(wrong(Part::Address, &TWO, &TWO[..5]), [16, 0, 8, 0, 2]);
        assert_eq!(wrong(Part::Count, &TWO, &TWO[..5]), [16, 0, 9, 0, 3]);
        assert_eq!(wrong(Part::Value, &TWO, &TWO[..5]), TWO[..5]);
        assert_eq!(wrong(Part::Address, &LINK, &LINKED)[2..4], [1, 0x13]);
        assert_eq!(wrong(Part::Count, &LINK, &LINKED)[6..8], [0, 0]);
        assert_eq!(wrong(Part::Value, &LINK, &LINKED)[8..], [4, 0]);
        // A refusal is no echo.
        assert_eq!(wrong(Part::Address, &ONE, &[0x86, 2]), [0x86, 2]);
    }

    #[test]
    fn what_befalls_acknowledgements_leaves_reads_alone() {
        const ONE: [u8; 5] = [6, 0, 9, 0, 7];
        let late = Duration::from_secs(3);
        for fault in [
            Fault::WrongEcho(Part::Address),
            Fault::LoseAcknowledgement,
            Fault::CloseBeforeAcknowledgement,
            Fault::LateAcknowledgement(late),
            Fault::RefuseAcknowledgement(6),
        ] {
            assert_eq!(sent(fault.clone()), (ANSWER.to_vec(), true), "{fault:?}");
            let script = acknowledged(fault.clone(), &ONE, &ONE);
            let right = script.wait.is_zero() && script.pieces.concat().get(7..) == Some(&ONE);
            assert!(!right, "{fault:?}");
        }
        let lost = acknowledged(Fault::LoseAcknowledgement, &ONE, &ONE);
        assert!(lost.pieces.is_empty() && lost.honest.is_none() && lost.ending == Ending::Keep);
        let closed = acknowledged(Fault::CloseBeforeAcknowledgement, &ONE, &ONE);
        assert!(closed.pieces.is_empty() && closed.ending == Ending::Close);
        let slow = acknowledged(Fault::LateAcknowledgement(late), &ONE, &ONE);
        assert_eq!((slow.wait, slow.honest), (late, Some(ONE.to_vec())));
        let refused = acknowledged(Fault::RefuseAcknowledgement(6), &ONE, &ONE);
        assert_eq!(refused.honest, Some(vec![0x86, 6]));
    }

    #[test]
    fn an_exception_at_an_address_leaves_everything_else_alone() {
        assert_eq!(sent(Fault::ExceptionAt(10, 6)), (ANSWER.to_vec(), true));
        assert_eq!(sent(Fault::ExceptionAt(9, 6)), sent(Fault::Exception(6)));
        let written = acknowledged(Fault::ExceptionAt(9, 6), &[6, 0, 9, 0, 7], &[6, 0, 9, 0, 7]);
        assert_eq!(written.honest, Some(vec![6, 0, 9, 0, 7]));
    }

    #[test]
    fn a_serial_line_has_faults_of_its_own() {
        let right = on(Wire::Rtu, Fault::None).0;
        assert_eq!(right[..7], ANSWER[6..]);
        assert_eq!(right.len(), 9);
        for fault in [Fault::WrongTransaction, Fault::Length(1), Fault::Protocol(1)] {
            assert_eq!(on(Wire::Rtu, fault), (right.clone(), true));
        }
        let (wrong, honest) = on(Wire::Rtu, Fault::WrongCheckSum);
        assert!(!honest && wrong.len() == right.len() && crc(&wrong) != 0);
        let (garbled, honest) = on(Wire::Rtu, Fault::Garbled);
        assert!(!honest && garbled.len() == right.len());
        assert!(garbled.iter().zip(&right).all(|(byte, right)| byte != right));
        assert_eq!(garbled, on(Wire::Rtu, Fault::Garbled).0);
        assert!(on(Wire::Rtu, Fault::Noise(2)).1 && !sent(Fault::Noise(2)).1);
    }
}
