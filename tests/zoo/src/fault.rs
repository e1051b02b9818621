//! How a peer misbehaves: pure functions from a sound answer to what is sent instead.

use std::time::Duration;

/// A way to misbehave. Answers that a client must not take for its own carry other data than the device gave
/// (every byte of it is turned over), so that a client that takes one all the same is found out.
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

/// A frame of Modbus TCP, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) transaction: u16,
    pub(crate) unit: u8,
    pub(crate) pdu: Vec<u8>,
}

impl Frame {
    /// Takes the first whole frame off a stream; `Err` where no frame can begin like this.
    pub(crate) fn take(stream: &mut Vec<u8>) -> Result<Option<Frame>, ()> {
        let Some(&[t0, t1, p0, p1, l0, l1]) = stream.first_chunk() else {
            return Ok(None);
        };
        let length = usize::from(u16::from_be_bytes([l0, l1]));
        if (p0, p1) != (0, 0) || !(2..=254).contains(&length) {
            return Err(());
        }
        if stream.len() < 6 + length {
            return Ok(None);
        }
        let rest = stream.split_off(6 + length);
        let frame = std::mem::replace(stream, rest);
        Ok(Some(Frame {
            transaction: u16::from_be_bytes([t0, t1]),
            unit: frame[6],
            pdu: frame[7..].to_vec(),
        }))
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.with_header(0, self.pdu.len() as u16 + 1)
    }

    fn with_header(&self, protocol: u16, length: u16) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(7 + self.pdu.len());
        for word in [self.transaction, protocol, length] {
            bytes.extend(word.to_be_bytes());
        }
        bytes.push(self.unit);
        bytes.extend(&self.pdu);
        bytes
    }

    fn is_exception(&self) -> bool {
        self.pdu.first().is_some_and(|function| function & 0x80 != 0)
    }

    /// The same frame with other data, for answers that nobody may believe.
    fn poisoned(&self) -> Frame {
        let mut frame = self.clone();
        if !frame.is_exception() {
            frame.pdu.iter_mut().skip(2).for_each(|byte| *byte = !*byte);
        }
        frame
    }

    /// Adds or takes away data bytes and keeps the byte count true.
    fn resized(&self, change: isize) -> Frame {
        let mut frame = self.poisoned();
        if !frame.is_exception() {
            frame
                .pdu
                .resize(frame.pdu.len().saturating_add_signed(change).clamp(2, 253), 0xEE);
            frame.pdu[1] = (frame.pdu.len() - 2) as u8;
        }
        frame
    }
}

/// What is sent instead of `answer`.
pub(crate) fn script(fault: &Fault, answer: &Frame) -> Script {
    let mut script = Script {
        wait: Duration::ZERO,
        gap: Duration::ZERO,
        pieces: Vec::new(),
        ending: Ending::Keep,
        honest: None,
    };
    let mut bad = answer.poisoned();
    let whole = match fault {
        Fault::None | Fault::DeadUnit(_) => {
            script.honest = Some(answer.pdu.clone());
            answer.bytes()
        }
        Fault::Refuse
        | Fault::AcceptThenClose
        | Fault::BlackHole
        | Fault::CloseAfterRequest
        | Fault::RandomBytes
        | Fault::HttpBanner => return script,
        Fault::ResetMidFrame => {
            script.ending = Ending::Reset;
            let mut half = answer.bytes();
            half.truncate(half.len().div_ceil(2));
            half
        }
        Fault::Drip(gap) => {
            script.gap = *gap;
            script.pieces = answer.bytes().into_iter().map(|byte| vec![byte]).collect();
            script.honest = Some(answer.pdu.clone());
            return script;
        }
        Fault::OneByteSegments => {
            script.pieces = answer.bytes().into_iter().map(|byte| vec![byte]).collect();
            script.honest = Some(answer.pdu.clone());
            return script;
        }
        Fault::Late(wait) => {
            script.wait = *wait;
            script.honest = Some(answer.pdu.clone());
            answer.bytes()
        }
        Fault::Exception(code) => {
            bad.pdu = vec![bad.pdu[0] | 0x80, *code];
            script.honest = Some(bad.pdu.clone());
            bad.bytes()
        }
        Fault::ExceptionForOtherFunction => {
            bad.pdu = vec![(bad.pdu[0] ^ 7) | 0x80, 2];
            bad.bytes()
        }
        Fault::WrongTransaction => {
            bad.transaction ^= 0x4000;
            bad.bytes()
        }
        Fault::WrongUnit => {
            bad.unit ^= 1;
            bad.bytes()
        }
        Fault::WrongFunction => {
            bad.pdu[0] ^= 7;
            bad.bytes()
        }
        Fault::LyingByteCount(by) => {
            if !bad.is_exception() {
                bad.pdu[1] = bad.pdu[1].wrapping_add_signed(*by);
            }
            bad.bytes()
        }
        Fault::ShortAnswer => answer.resized(-2).bytes(),
        Fault::LongAnswer => answer.resized(2).bytes(),
        Fault::OddAnswer => answer.resized(1).bytes(),
        Fault::Length(length) => bad.with_header(0, *length),
        Fault::Protocol(protocol) => bad.with_header(*protocol, bad.pdu.len() as u16 + 1),
        Fault::TrailingBytes(count) => {
            script.honest = Some(answer.pdu.clone());
            let mut bytes = answer.bytes();
            bytes.extend(std::iter::repeat_n(0xAA, *count));
            bytes
        }
        Fault::PaddedFrame => {
            bad.pdu.extend([0xAA, 0xAA]);
            bad.bytes()
        }
        Fault::ForeignFirst => {
            script.honest = Some(answer.pdu.clone());
            bad.transaction ^= 0x4000;
            [bad.bytes(), answer.bytes()].concat()
        }
        Fault::Twice => {
            script.honest = Some(answer.pdu.clone());
            [answer.bytes(), answer.bytes()].concat()
        }
    };
    script.pieces.push(whole);
    script
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: [u8; 13] = [0, 7, 0, 0, 0, 7, 100, 3, 4, 0x12, 0x34, 0x56, 0x78];

    fn sent(fault: Fault) -> (Vec<u8>, bool) {
        let answer = Frame::take(&mut ANSWER.to_vec()).unwrap().unwrap();
        let script = script(&fault, &answer);
        (script.pieces.concat(), script.honest.is_some())
    }

    #[test]
    fn frames_come_off_a_stream_whole() {
        let mut stream = [&ANSWER[..], &ANSWER[..5]].concat();
        let frame = Frame::take(&mut stream).unwrap().unwrap();
        assert_eq!(frame.bytes(), ANSWER);
        assert_eq!(Frame::take(&mut stream), Ok(None));
        assert_eq!(stream, ANSWER[..5]);
        assert_eq!(Frame::take(&mut vec![0, 7, 0, 1, 0, 6, 1, 3]), Err(()));
        assert_eq!(Frame::take(&mut vec![0, 7, 0, 0, 0, 1, 1, 3]), Err(()));
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
        assert_eq!(sent(Fault::BlackHole), (vec![], false));
    }
}
