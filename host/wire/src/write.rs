//! A write: its one frame, the gate that it passes once, and what an answer to it proves.
//!
//! Source: Modbus Application Protocol V1.1b3, sections 6.5, 6.6, 6.11, 6.12 and 6.17.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use busbar_guard::{Order, Permit};
use tokio::time::Instant;

use crate::check::{self, Answer, BadAnswer};
use crate::error::WireError;
use crate::identity::Asked;

/// The most coils that one write may set.
const MAX_COILS: usize = 1968;
/// The most registers that one write may set.
const MAX_REGISTERS: usize = 123;
/// The most registers that function 23 may set.
const MAX_LINKED: usize = 121;
/// The most registers that function 23 may read back.
const MAX_ANSWER: u16 = 125;

/// A device's acknowledgement of a write, which repeats exactly what was asked. It says that the request was taken, not
/// what the device made of it: that is read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteAnswer {
    /// What was read back in the same exchange, with function 23; empty for every other.
    pub words: Vec<u16>,
}

/// Why a write was not acknowledged: the three cases have nothing in common but that.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// Not one byte of the request has left this machine.
    #[error("{0}; nothing was written")]
    NotSent(WireError),
    /// The device said that it does not do it: a [`WireError::Exception`].
    #[error("{0}; the device did not take it")]
    Refused(WireError),
    /// It was sent, and what became of it is not known. It is never sent again: the register tells.
    #[error("{0}; whether it was written is not known until it is read back")]
    Unconfirmed(WireError),
}

impl WriteError {
    /// What happened on the wire.
    pub fn cause(&self) -> &WireError {
        match self {
            WriteError::NotSent(cause) | WriteError::Refused(cause) | WriteError::Unconfirmed(cause) => cause,
        }
    }

    /// A stable word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            WriteError::NotSent(_) => "not_sent",
            WriteError::Refused(_) => "refused",
            WriteError::Unconfirmed(_) => "unconfirmed",
        }
    }

    /// The next step for a person.
    pub fn hint(&self) -> String {
        match self {
            WriteError::Unconfirmed(_) => "read the value: it says whether the write was done".to_owned(),
            WriteError::NotSent(cause) | WriteError::Refused(cause) => cause.hint(),
        }
    }
}

/// The PDU that asks for it; else the reason why no frame can.
pub(crate) fn request(order: &Order) -> Result<Vec<u8>, &'static str> {
    let at = order.at();
    let count = match order {
        Order::Coils { values, .. } => values.len(),
        Order::Registers { words, .. } | Order::Link { words, .. } => words.len(),
    };
    if count == 0 {
        return Err("a write of nothing");
    }
    if usize::from(at) + count > 0x1_0000 {
        return Err("it runs past address 65535");
    }
    let head = |function: u8, second: u16| {
        let [at, second] = [at.to_be_bytes(), second.to_be_bytes()];
        vec![function, at[0], at[1], second[0], second[1]]
    };
    match order {
        Order::Coils {
            function: 5, values, ..
        } => match values[..] {
            [on] => Ok(head(5, if on { 0xff00 } else { 0 })),
            _ => Err("function 5 writes one coil"),
        },
        Order::Coils {
            function: 15, values, ..
        } => {
            if count > MAX_COILS {
                return Err("one write holds at most 1968 coils");
            }
            let mut pdu = head(15, count as u16);
            pdu.push(count.div_ceil(8) as u8);
            pdu.extend(
                values
                    .chunks(8)
                    .map(|bits| (0..).zip(bits).fold(0, |byte, (i, on)| byte | u8::from(*on) << i)),
            );
            Ok(pdu)
        }
        Order::Registers {
            function: 6, words, ..
        } => match words[..] {
            [word] => Ok(head(6, word)),
            _ => Err("function 6 writes one register"),
        },
        Order::Registers {
            function: 16, words, ..
        } => {
            if count > MAX_REGISTERS {
                return Err("one write holds at most 123 registers");
            }
            let mut pdu = head(16, count as u16);
            counted(words, &mut pdu);
            Ok(pdu)
        }
        Order::Link { words, answer, .. } => {
            if count > MAX_LINKED {
                return Err("one write with function 23 holds at most 121 registers");
            }
            if !(1..=MAX_ANSWER).contains(answer) || u32::from(at) + u32::from(*answer) > 0x1_0000 {
                return Err("function 23 reads back 1 to 125 registers, none past address 65535");
            }
            let mut pdu = head(23, *answer);
            pdu.extend(at.to_be_bytes());
            pdu.extend((count as u16).to_be_bytes());
            counted(words, &mut pdu);
            Ok(pdu)
        }
        Order::Coils { .. } => Err("coils are written with function 5 or 15"),
        Order::Registers { .. } => Err("registers are written with function 6 or 16"),
    }
}

/// Words behind their length in bytes.
fn counted(words: &[u16], pdu: &mut Vec<u8>) {
    pdu.push((words.len() * 2) as u8);
    pdu.extend(words.iter().flat_map(|word| word.to_be_bytes()));
}

/// A write on its way to the wire, and over it once.
#[derive(Debug)]
pub(crate) struct Writing {
    permit: Permit,
    pdu: Vec<u8>,
    /// Whether a byte of it has left.
    gone: AtomicBool,
    /// Whether its caller waits no longer.
    withdrawn: AtomicBool,
    /// Why it does not go out any more.
    stopped: OnceLock<&'static str>,
}

impl Writing {
    /// The reason where no frame can carry the permit's order.
    pub(crate) fn new(permit: Permit) -> Result<Self, (Permit, &'static str)> {
        match request(permit.order()) {
            Err(reason) => Err((permit, reason)),
            Ok(pdu) => Ok(Writing {
                permit,
                pdu,
                gone: AtomicBool::new(false),
                withdrawn: AtomicBool::new(false),
                stopped: OnceLock::new(),
            }),
        }
    }

    /// What the device is asked to do.
    pub(crate) fn asked(&self) -> Asked {
        asked(self.permit.order())
    }

    pub(crate) fn unit(&self) -> u8 {
        self.permit.unit()
    }

    pub(crate) fn pdu(&self) -> &[u8] {
        &self.pdu
    }

    /// Why it may not go out, as things stand.
    pub(crate) fn void(&self, now: Instant) -> Option<&'static str> {
        if self.withdrawn.load(Ordering::SeqCst) {
            return Some("who asked for it waits no longer");
        }
        self.permit.void(now.into_std())
    }

    /// Whether it may go out now: to be asked in the moment before its first byte does. It may not twice, and once it
    /// was stopped, it stays so.
    pub(crate) fn may_go(&self, now: Instant) -> bool {
        if self.is_gone() || self.stopped.get().is_some() {
            return false;
        }
        match self.void(now) {
            Some(reason) => {
                // It is set only here, and was not before.
                let _ = self.stopped.set(reason);
                false
            }
            None => true,
        }
    }

    /// Its first byte has left.
    pub(crate) fn went(&self) {
        self.gone.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::SeqCst)
    }

    /// Why it was stopped at the gate.
    pub(crate) fn stopped(&self) -> Option<&'static str> {
        self.stopped.get().copied()
    }

    /// Its caller waits no longer: what has not gone stays here.
    pub(crate) fn withdraw(&self) {
        self.withdrawn.store(true, Ordering::SeqCst);
    }

    /// Judges what came as the answer.
    pub(crate) fn judge(&self, from: u8, pdu: &[u8]) -> Result<Answer, BadAnswer> {
        judge(self.unit(), self.permit.order(), &self.pdu, from, pdu)
    }

    /// What became of it, from how it ended.
    pub(crate) fn outcome(&self, result: Result<Vec<u16>, WireError>) -> Result<WriteAnswer, WriteError> {
        match result {
            Ok(words) => Ok(WriteAnswer { words }),
            Err(error) if !self.is_gone() => Err(WriteError::NotSent(error)),
            // 5: taken, and not done yet. 11: the gateway does not know whether the unit has heard it.
            Err(error @ WireError::Exception { code, .. }) if code != 5 && code != 11 => {
                Err(WriteError::Refused(error))
            }
            Err(error) => Err(WriteError::Unconfirmed(error)),
        }
    }
}

/// Judges the answer to an order that was sent to `unit` as `request`.
fn judge(unit: u8, order: &Order, request: &[u8], from: u8, pdu: &[u8]) -> Result<Answer, BadAnswer> {
    let function = order.function();
    let data = match check::body(unit, function, from, pdu)? {
        Ok(data) => data,
        Err(code) => return Ok(Answer::Exception(code)),
    };
    // A frame holds at most 253 bytes of PDU, so no length here can be cut.
    let got = pdu.len() as u8;
    match (order, request) {
        (Order::Link { answer, .. }, _) => check::registers(*answer, data, got),
        (_, &[_, a, b, c, d, ..]) => {
            check::echo(function, [a, b, c, d], data, got).map(|()| Answer::Words(Vec::new()))
        }
        _ => Err(BadAnswer::Length { expected: 5, got }),
    }
}

/// What an order asks, for messages.
pub(crate) fn asked(order: &Order) -> Asked {
    let count = match order {
        Order::Coils { values, .. } => values.len(),
        Order::Registers { words, .. } | Order::Link { words, .. } => words.len(),
    };
    Asked::Write {
        function: order.function(),
        at: order.at(),
        count: u16::try_from(count).unwrap_or(u16::MAX),
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn registers(function: u8, at: u16, words: &[u16]) -> Order {
        Order::Registers {
            function,
            at,
            words: words.to_vec(),
        }
    }

    fn coils(function: u8, at: u16, values: &[bool]) -> Order {
        Order::Coils {
            function,
            at,
            values: values.to_vec(),
        }
    }

    fn link(at: u16, words: usize, answer: u16) -> Order {
        Order::Link {
            at,
            words: vec![7; words],
            answer,
        }
    }

    #[test]
    fn requests_are_the_bytes_of_the_standard() {
        // The examples of the specification.
        for (order, pdu) in [
            (coils(5, 0x00ac, &[true]), vec![5, 0, 0xac, 0xff, 0]),
            (coils(5, 1, &[false]), vec![5, 0, 1, 0, 0]),
            (registers(6, 1, &[3]), vec![6, 0, 1, 0, 3]),
            (
                coils(
                    15,
                    19,
                    &[true, false, true, true, false, false, true, true, true, false],
                ),
                vec![15, 0, 19, 0, 10, 2, 0xcd, 1],
            ),
            (
                registers(16, 1, &[10, 0x0102]),
                vec![16, 0, 1, 0, 2, 4, 0, 10, 1, 2],
            ),
            (
                Order::Link {
                    at: 0x4000,
                    words: vec![0x0112, 1, 0x0500],
                    answer: 35,
                },
                vec![23, 0x40, 0, 0, 35, 0x40, 0, 0, 3, 6, 1, 0x12, 0, 1, 5, 0],
            ),
        ] {
            assert_eq!(request(&order), Ok(pdu), "{order:?}");
        }
        assert_eq!(
            request(&registers(16, 0, &[0; 123])).map(|pdu| pdu.len()),
            Ok(252)
        );
        assert_eq!(
            request(&coils(15, 0, &[true; 1968])).map(|pdu| pdu.len()),
            Ok(252)
        );
        assert_eq!(request(&link(0, 121, 125)).map(|pdu| pdu.len()), Ok(252));
    }

    #[test]
    fn what_no_frame_can_carry_is_refused() {
        for order in [
            registers(16, 0, &[]),
            registers(16, 0, &[0; 124]),
            registers(16, 65535, &[0; 2]),
            registers(6, 0, &[1, 2]),
            registers(5, 0, &[1]),
            registers(3, 0, &[1]),
            coils(5, 0, &[true; 2]),
            coils(15, 0, &[true; 1969]),
            coils(16, 0, &[true]),
            link(0, 122, 1),
            link(0, 2, 0),
            link(0, 2, 126),
            link(65530, 2, 7),
        ] {
            assert!(request(&order).is_err(), "{order:?}");
        }
    }

    proptest! {
        #[test]
        fn w12_only_the_exact_echo_confirms(
            single: bool, at in 0u16..60_000, words in vec(any::<u16>(), 1..=123),
            at_byte in 0usize..8, flip: u8, more in vec(any::<u8>(), 0..4), cut in 0usize..5,
        ) {
            let order = match single {
                true => registers(6, at, &words[..1]),
                false => registers(16, at, &words),
            };
            let sent = request(&order).unwrap();
            let says = |from: u8, pdu: &[u8]| judge(7, &order, &sent, from, pdu);
            let right = &sent[..5];
            prop_assert_eq!(says(7, right), Ok(Answer::Words(vec![])));
            prop_assert!(says(8, right).is_err());
            prop_assert!(says(7, &right[..cut]).is_err());
            if !more.is_empty() {
                prop_assert!(says(7, &[right, &more].concat()).is_err());
            }
            if let Some(byte) = right.get(at_byte) && flip != 0 {
                let mut wrong = right.to_vec();
                wrong[at_byte] = byte ^ flip;
                prop_assert!(says(7, &wrong).is_err());
            }
        }

        #[test]
        fn no_bytes_make_it_panic(code in 0u8..=25, answer: u16, pdu in vec(any::<u8>(), 0..=253)) {
            for order in [registers(code, 1, &[1]), coils(code, 1, &[true]), link(1, 1, answer)] {
                if let Ok(sent) = request(&order)
                    && let Ok(Answer::Words(words)) = judge(1, &order, &sent, 1, &pdu)
                {
                    prop_assert_eq!(pdu[0], order.function());
                    prop_assert!(words.len() == usize::from(answer) || words.is_empty());
                }
            }
        }
    }
}
