//! Frames, as both kinds of wire carry them.

use busbar_simulate::crc;

use crate::fault::Part;

/// How frames look on a wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    /// Modbus TCP and UDP: a header with transaction id and length.
    Mbap,
    /// RTU: a check sum, and nothing that says which request is meant.
    Rtu,
}

/// Who sent a frame: without a length, one has to know which it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sender {
    Client,
    Device,
}

/// A frame, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// 0 on RTU, until somebody gives it a number.
    pub(crate) transaction: u16,
    pub(crate) unit: u8,
    pub(crate) pdu: Vec<u8>,
}

impl Wire {
    /// Takes the first whole frame off a stream; `Err` where no frame can begin like this.
    pub(crate) fn take(self, sender: Sender, stream: &mut Vec<u8>) -> Result<Option<Frame>, ()> {
        match self {
            Wire::Mbap => take_mbap(stream),
            Wire::Rtu => take_rtu(sender, stream),
        }
    }
}

fn take_mbap(stream: &mut Vec<u8>) -> Result<Option<Frame>, ()> {
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

fn take_rtu(sender: Sender, stream: &mut Vec<u8>) -> Result<Option<Frame>, ()> {
    let &[_, function, third, ..] = stream.as_slice() else {
        return Ok(None);
    };
    let count = usize::from(third);
    let length = match (sender, function) {
        (Sender::Client, 1..=6) => 8,
        (Sender::Client, 15 | 16) => 9 + usize::from(stream.get(6).copied().unwrap_or(0)),
        (Sender::Client, 23) => 13 + usize::from(stream.get(10).copied().unwrap_or(0)),
        (Sender::Device, 1..=4 | 17 | 23) => 5 + count,
        (Sender::Device, 5 | 6 | 15 | 16) => 8,
        (Sender::Device, 0x80..) => 5,
        // The rare others are taken when they are whole, which the check sum tells.
        _ if stream.len() >= 4 && crc::crc(stream) == 0 => stream.len(),
        _ => return if stream.len() > 256 { Err(()) } else { Ok(None) },
    };
    if stream.len() < length {
        return Ok(None);
    }
    if crc::crc(&stream[..length]) != 0 {
        return Err(());
    }
    let rest = stream.split_off(length);
    let frame = std::mem::replace(stream, rest);
    Ok(Some(Frame {
        transaction: 0,
        unit: frame[0],
        pdu: frame[1..length - 2].to_vec(),
    }))
}

impl Frame {
    pub(crate) fn bytes(&self, wire: Wire) -> Vec<u8> {
        match wire {
            Wire::Mbap => self.with_header(0, self.pdu.len() as u16 + 1),
            Wire::Rtu => {
                let mut bytes = vec![self.unit];
                bytes.extend(&self.pdu);
                crc::append(&mut bytes);
                bytes
            }
        }
    }

    pub(crate) fn with_header(&self, protocol: u16, length: u16) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(7 + self.pdu.len());
        for word in [self.transaction, protocol, length] {
            bytes.extend(word.to_be_bytes());
        }
        bytes.push(self.unit);
        bytes.extend(&self.pdu);
        bytes
    }

    /// Whether it is a request that may change something.
    pub(crate) fn is_write(&self) -> bool {
        matches!(self.pdu.first(), Some(5 | 6 | 15 | 16 | 22 | 23))
    }

    /// The address that a request begins with.
    pub(crate) fn at(&self) -> Option<u16> {
        let &[high, low] = self.pdu.get(1..3)? else {
            return None;
        };
        Some(u16::from_be_bytes([high, low]))
    }

    /// The answer to a write with one part of it wrong; `None` where it has no such part.
    pub(crate) fn with_wrong(&self, part: Part) -> Option<Frame> {
        let place = match (self.pdu.first()?, part) {
            (5 | 6 | 15 | 16 | 22, Part::Address) => 2,
            (5, Part::Value) => 3,
            (6 | 22, Part::Value) | (15 | 16, Part::Count) => 4,
            // Of a register link: function, byte count, id, status, length, data.
            (23, Part::Address) => 3,
            (23, Part::Count) => 7,
            (23, Part::Value) => 8,
            _ => return None,
        };
        let mut wrong = self.clone();
        let flip = if self.pdu[0] == 5 && part == Part::Value {
            0xFF
        } else {
            1
        };
        *wrong.pdu.get_mut(place)? ^= flip;
        Some(wrong)
    }

    pub(crate) fn is_exception(&self) -> bool {
        self.pdu.first().is_some_and(|function| function & 0x80 != 0)
    }

    /// The same frame with other data, for answers that nobody may believe.
    pub(crate) fn poisoned(&self) -> Frame {
        let mut frame = self.clone();
        if !frame.is_exception() {
            frame.pdu.iter_mut().skip(2).for_each(|byte| *byte = !*byte);
        }
        frame
    }

    /// Adds or takes away data bytes and keeps the byte count true.
    pub(crate) fn resized(&self, change: isize) -> Frame {
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

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: [u8; 13] = [0, 7, 0, 0, 0, 7, 100, 3, 4, 0x12, 0x34, 0x56, 0x78];

    #[test]
    fn frames_come_off_a_stream_whole() {
        let take = |stream: &mut Vec<u8>| Wire::Mbap.take(Sender::Device, stream);
        let mut stream = [&ANSWER[..], &ANSWER[..5]].concat();
        let frame = take(&mut stream).unwrap().unwrap();
        assert_eq!(frame.bytes(Wire::Mbap), ANSWER);
        assert_eq!(take(&mut stream), Ok(None));
        assert_eq!(stream, ANSWER[..5]);
        assert_eq!(take(&mut vec![0, 7, 0, 1, 0, 6, 1, 3]), Err(()));
        assert_eq!(take(&mut vec![0, 7, 0, 0, 0, 1, 1, 3]), Err(()));
    }

    #[test]
    fn frames_come_off_a_serial_line_whole() {
        for (sender, pdu) in [
            (Sender::Client, vec![3, 0, 9, 0, 2]),
            (Sender::Client, vec![16, 0, 9, 0, 1, 2, 0, 7]),
            (Sender::Client, vec![23, 0x40, 0, 0, 35, 0x40, 0, 0, 1, 2, 1, 12]),
            (Sender::Client, vec![17]),
            (Sender::Client, vec![43, 14, 1, 0]),
            (Sender::Device, vec![3, 4, 1, 2, 3, 4]),
            (Sender::Device, vec![0x83, 2]),
            (Sender::Device, vec![16, 0, 9, 0, 1]),
            (Sender::Device, vec![43, 14, 1, 1, 0, 0, 1, 0, 1, 65]),
        ] {
            let frame = Frame {
                transaction: 0,
                unit: 5,
                pdu,
            };
            let bytes = frame.bytes(Wire::Rtu);
            let mut stream = Vec::new();
            for (place, &byte) in bytes.iter().enumerate() {
                assert_eq!(
                    Wire::Rtu.take(sender, &mut stream),
                    Ok(None),
                    "{place} of {frame:?}"
                );
                stream.push(byte);
            }
            assert_eq!(Wire::Rtu.take(sender, &mut stream), Ok(Some(frame)));
            assert!(stream.is_empty());
        }
        assert_eq!(
            Wire::Rtu.take(Sender::Client, &mut vec![5, 3, 0, 9, 0, 2, 0, 0]),
            Err(())
        );
    }
}
