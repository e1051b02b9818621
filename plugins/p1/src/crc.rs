//! The sum at the end of a telegram: CRC-16/ARC.

/// The sum of these bytes.
pub(crate) fn crc16(bytes: impl IntoIterator<Item = u8>) -> u16 {
    bytes.into_iter().fold(0, |sum, byte| {
        (0..8).fold(sum ^ u16::from(byte), |sum, _| match sum & 1 {
            0 => sum >> 1,
            _ => (sum >> 1) ^ 0xA001,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_value_is_that_of_crc_16_arc() {
        assert_eq!(crc16(*b"123456789"), 0xBB3D);
        assert_eq!(crc16([]), 0);
    }
}
