//! What looks like a text, and what stands for what is taken out. Pure.

/// So many registers in a row that hold nothing but printable characters are a text, where nothing else is known.
const TEXT: usize = 4;
/// And so many that hold nothing but letters and digits.
const WORD: usize = 3;
/// Objects of a device's identification up to here are its maker's and model's.
const MAKERS: u8 = 5;

/// Leaves only the head; whether anything was hidden.
pub(super) fn hide(bytes: &mut [u8], head: usize) -> bool {
    let rest = bytes.get_mut(head..).unwrap_or_default();
    let any = rest.iter().any(|byte| *byte != 0);
    rest.fill(0);
    any
}

/// Takes out of an identification what is not its maker's: names that somebody gave it. Whether there was any.
pub(super) fn identification(pdu: &mut [u8], mask: &mut impl FnMut(u16, &mut [u8])) -> bool {
    // Function, kind, category, conformity, more, next, count; then each object with its length.
    let mut rest = pdu.get_mut(7..).unwrap_or_default();
    let mut any = false;
    while let [object, length, tail @ ..] = rest {
        let length = usize::from(*length).min(tail.len());
        let (value, behind) = tail.split_at_mut(length);
        if *object > MAKERS {
            any |= !value.is_empty();
            mask(u16::from(*object), value);
        }
        rest = behind;
    }
    any
}

/// For each register, whether it is part of what looks like a text.
pub(super) fn texts(words: &[u8]) -> Vec<bool> {
    let mut marks = vec![false; words.len() / 2];
    runs(words, &mut marks, TEXT, |byte| {
        byte.is_ascii_graphic() || byte == b' '
    });
    runs(words, &mut marks, WORD, |byte| byte.is_ascii_alphanumeric());
    marks
}

/// Marks runs of so many registers or more that hold nothing but such bytes.
fn runs(words: &[u8], marks: &mut [bool], least: usize, of: impl Fn(u8) -> bool) {
    let such: Vec<bool> = words
        .chunks_exact(2)
        .map(|word| word.iter().all(|byte| of(*byte)))
        .collect();
    let mut begin = 0;
    for run in such.chunk_by(|a, b| a == b) {
        let end = begin + run.len();
        if run.first() == Some(&true) && run.len() >= least {
            marks[begin..end].fill(true);
            // The last word of a text may be half a one.
            if let Some(mark) = marks.get_mut(end) {
                *mark |= words.get(2 * end).is_some_and(u8::is_ascii_alphanumeric);
            }
        }
        begin = end;
    }
}

/// Another letter for a letter, another digit for a digit; all else stays.
pub(super) fn masked(byte: u8, hash: u64) -> u8 {
    let pick = |base: u8, many: u64| base + u8::try_from(hash % many).unwrap_or(0);
    match byte {
        b'0'..=b'9' => pick(b'0', 10),
        // What is hexadecimal stays so.
        b'a'..=b'f' => pick(b'a', 6),
        b'A'..=b'F' => pick(b'A', 6),
        b'g'..=b'z' => pick(b'g', 20),
        b'G'..=b'Z' => pick(b'G', 20),
        // Part of a character beyond ASCII.
        0x80.. => b'x',
        other => other,
    }
}

/// Another number of as many digits, be it binary or decimal: a digit stands for each digit but 0.
pub(super) fn counted(byte: u8, hash: u64) -> u8 {
    let other = |digit: u8, hash: u64| match digit {
        0 => 0,
        1..=9 => 1 + u8::try_from(hash % 9).unwrap_or(0),
        _ => 10 + u8::try_from(hash % 6).unwrap_or(0),
    };
    other(byte >> 4, hash >> 32) << 4 | other(byte & 15, hash)
}
