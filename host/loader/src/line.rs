//! Text of a plugin where one line is expected.

/// The longest cause that is told, in bytes.
pub(crate) const MAX_CAUSE: usize = 400;

/// This text on one line of at most `most` bytes: line breaks, control characters and those that turn the direction of
/// text become blanks, and what is left out is shown as `…`.
pub(crate) fn one_line(text: &str, most: usize) -> String {
    let mut line = String::new();
    for c in text.chars() {
        let c = if c.is_control() || c.is_whitespace() || turns(c) {
            ' '
        } else {
            c
        };
        if c == ' ' && (line.is_empty() || line.ends_with(' ')) {
            continue;
        }
        line.push(c);
        if line.len() > most {
            while line.len() + '…'.len_utf8() > most && line.pop().is_some() {}
            line.push('…');
            return line;
        }
    }
    line.truncate(line.trim_end().len());
    line
}

fn turns(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_it_is_it_is_one_short_line() {
        assert_eq!(one_line("as it is", 80), "as it is");
        assert_eq!(one_line("\n two\r\n\tlines\x1b[31m \n", 80), "two lines [31m");
        assert_eq!(one_line("a\u{202e}b", 80), "a b");
        let long = one_line(&"ä".repeat(1000), 100);
        assert!(long.len() <= 100 && long.ends_with("ä…"), "{long}");
        assert_eq!(one_line("", 0), "");
        assert_eq!(one_line("exactly", 7), "exactly");
    }
}
