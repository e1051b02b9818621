//! The check sum of RTU frames.
//!
//! Source: MODBUS over Serial Line, Specification and Implementation Guide V1.02, section 6.2.2.

/// CRC-16 with the polynomial 0xA001, from 0xFFFF; 0 over a frame with its own check sum.
pub fn crc(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0xFFFF, |sum: u16, &byte| {
        (0..8).fold(sum ^ u16::from(byte), |sum, _| match sum & 1 {
            0 => sum >> 1,
            _ => (sum >> 1) ^ 0xA001,
        })
    })
}

/// Puts the check sum behind a frame, low byte first.
pub fn append(frame: &mut Vec<u8>) {
    let sum = crc(frame);
    frame.extend(sum.to_le_bytes());
}
