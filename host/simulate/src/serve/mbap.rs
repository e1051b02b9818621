//! The frames of Modbus TCP and UDP: a header of seven bytes, then the PDU.

use std::io;
use std::time::Duration;

use super::Place;
use crate::device::Device;

/// The length of the first frame, once all of it is there; an error when no frame can begin like this.
pub(super) fn next_frame(bytes: &[u8]) -> Result<Option<usize>, io::ErrorKind> {
    let Some(head) = bytes.get(..6) else {
        return Ok(None);
    };
    let length = usize::from(u16::from_be_bytes([head[4], head[5]]));
    if head[2..4] != [0, 0] || !(2..=254).contains(&length) {
        return Err(io::ErrorKind::InvalidData);
    }
    Ok((bytes.len() >= 6 + length).then_some(6 + length))
}

/// The answer to a whole frame, as a frame, how long it takes by itself, and the device that gives it; `None` where it
/// is silent.
pub(super) fn answer<'a>(frame: &[u8], place: &'a Place) -> Option<(Vec<u8>, Duration, &'a Device)> {
    let unit = frame[6];
    let device = place.addressed(unit);
    let (pdu, took) = device.reply(unit, &frame[7..], place.clock.moment())?;
    let mut answer = frame[..4].to_vec();
    answer.extend((pdu.len() as u16 + 1).to_be_bytes());
    answer.push(unit);
    answer.extend(pdu);
    Some((answer, took, device))
}
