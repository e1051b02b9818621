//! What a stream seems to be in which there is no telegram.

/// So many bytes of noise are enough to tell what it is.
pub(crate) const ENOUGH: usize = 64;

/// The flag between frames of HDLC, and the first byte of a frame format field behind it.
const HDLC_FLAG: u8 = 0x7E;

/// What these bytes seem to be, and what to do; none where there are too few of them, or where they could be the end of a
/// telegram of which the beginning was not heard.
pub(crate) fn note(bytes: &[u8]) -> Option<&'static str> {
    let frames = bytes
        .windows(2)
        .filter(|pair| matches!(pair, &[HDLC_FLAG, format] if format & 0xF0 == 0xA0))
        .count();
    if frames > 0 {
        return Some(
            "these are binary HDLC frames and no P1 telegrams, as meters in Norway and some of Aidon's and Kamstrup's send \
             them; Busbar cannot read them yet: ask the grid operator for the text form of the port (P1)",
        );
    }
    let is_text = |byte: &&u8| matches!(**byte, b'\r' | b'\n' | b'\t' | 0x20..0x7F);
    let text = bytes.iter().filter(is_text).count();
    let fill = bytes.iter().filter(|byte| matches!(**byte, 0 | 0xFF)).count();
    if bytes.len() < ENOUGH || fill == bytes.len() || text * 10 >= bytes.len() * 9 {
        return None;
    }
    let even = bytes
        .iter()
        .filter(|byte| byte.count_ones().is_multiple_of(2))
        .count();
    let in_seven_bits = bytes.iter().filter(|byte| is_text(&&(**byte & 0x7F))).count();
    if even == bytes.len() && in_seven_bits * 10 >= bytes.len() * 9 {
        // Text with parity bits, whose beginning was not heard.
        return None;
    }
    Some(
        "bytes arrive, but no telegram is in them: the baud rate or the parity is wrong (115200 8N1, for old meters 9600 7E1), \
         or the adapter does not invert the data line, as this port needs it",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hdlc_is_known_by_its_frames() {
        let frame = [0x7E, 0xA0, 0x79, 0x01, 0x02, 0x01, 0x10];
        assert!(note(&frame).unwrap().contains("HDLC"));
    }

    #[test]
    fn garbage_is_told_and_the_end_of_a_telegram_is_not() {
        // What a line of 115200 baud is at 9600, and an inverted one.
        let garbage: Vec<u8> = (0..100).map(|n: u8| n.wrapping_mul(97) | 0x80).collect();
        assert!(note(&garbage).unwrap().contains("baud rate"));
        assert_eq!(note(&garbage[..40]), None);
        assert_eq!(note("7.0(231.1*V)\r\n".repeat(8).as_bytes()), None);
        assert_eq!(note(&[0xFF; 200]), None);
        assert_eq!(note(&[0; 200]), None);
        let even = |byte: u8| byte | if byte.count_ones() % 2 == 1 { 0x80 } else { 0 };
        let with_parity: Vec<u8> = "7.0(231.1*V)\r\n".repeat(8).bytes().map(even).collect();
        assert_eq!(note(&with_parity), None);
    }
}
