//! The bytes of each telegram within those of a stream, for whoever passes on what the meter itself wrote. Pure.

use busbar_plugin_sdk::Telegram;
use busbar_sinks::telegram::LONGEST;

/// Pieces of text that look like a telegram, from `/` to the end of the line that begins with `!`.
pub(super) fn pieces(bytes: &[u8]) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    let mut start = None;
    let mut at_line = true;
    let mut ending = false;
    for (i, &byte) in bytes.iter().enumerate() {
        match byte {
            // Where one begins before the last has ended, that one was cut.
            b'/' if at_line || start.is_none() => {
                start = Some(i);
                ending = false;
            }
            b'!' if at_line && start.is_some() => ending = true,
            _ => {}
        }
        at_line = byte == b'\n';
        if at_line
            && ending
            && let Some(from) = start.take()
        {
            pieces.push(&bytes[from..=i]);
            ending = false;
        }
    }
    // The answer to a request may end without a line end.
    if ending && let Some(from) = start {
        pieces.push(&bytes[from..]);
    }
    pieces
}

/// The bytes of a telegram: its piece where one is it, else what was understood of it, written as a telegram is.
pub(super) fn of(telegram: &Telegram, pieces: &mut Vec<&[u8]>) -> Vec<u8> {
    let first = telegram.lines.first();
    let code = first.and_then(|line| line.split('(').next()).unwrap_or_default();
    let is_it = |piece: &&[u8]| {
        let text = String::from_utf8_lossy(piece);
        text.contains(code)
            && text
                .lines()
                .next()
                .is_some_and(|head| head.contains(&telegram.ident))
    };
    if let Some(at) = pieces.iter().position(is_it) {
        let piece = pieces[at];
        pieces.drain(..=at);
        if piece.len() <= LONGEST {
            return piece.to_vec();
        }
    }
    let lines: String = telegram.lines.iter().map(|line| format!("{line}\r\n")).collect();
    let slash = if telegram.ident.starts_with('/') { "" } else { "/" };
    format!("{slash}{}\r\n\r\n{lines}!\r\n", telegram.ident).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_pieces_are_found_in_noise() {
        let bytes = b"(1)\r\n!12\r\n/A5x\r\n\r\n1-0:1.8.0(1*kWh)\r\n!F4E5\r\n\0\xFF/B5y\r\n0-0:1(2)\r\n/C5z\r\n\r\n!\r\n/D5";
        let found = pieces(bytes);
        assert_eq!(
            found,
            [
                &b"/A5x\r\n\r\n1-0:1.8.0(1*kWh)\r\n!F4E5\r\n"[..],
                b"/C5z\r\n\r\n!\r\n"
            ]
        );
        assert_eq!(pieces(b"/A5x\r\n\r\n!"), [&b"/A5x\r\n\r\n!"[..]]);
        assert!(pieces(b"").is_empty());
    }

    #[test]
    fn a_telegram_that_was_encrypted_is_written_anew() {
        let telegram = Telegram {
            ident: "Lux5\\253".into(),
            lines: vec!["1-0:1.8.0(1*kWh)".into()],
            ..Telegram::default()
        };
        let bytes = of(&telegram, &mut Vec::new());
        assert_eq!(bytes, b"/Lux5\\253\r\n\r\n1-0:1.8.0(1*kWh)\r\n!\r\n");
        let mut found = pieces(&bytes);
        assert_eq!(of(&telegram, &mut found), bytes);
        assert!(found.is_empty());
    }
}
