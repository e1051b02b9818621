//! Makes a plugin's record while it is compiled, so that a bad name is a compile error.

use crate::Plugin;
use crate::abi::{ABI_MAJOR, ABI_MINOR, MAGIC, Record, Vtable, layout};

/// The record of a plugin in Rust. `unwinds` is `cfg!(panic = "unwind")` as the plugin's own crate sees it.
pub const fn record<P: Plugin>(unwinds: bool) -> Record {
    const {
        assert!(
            is_name(P::NAME.as_bytes()),
            "a plugin's NAME is 1 to 32 of a-z, 0-9 and -"
        );
        assert!(
            is_version(P::VERSION.as_bytes()),
            "a plugin's VERSION is 1 to 16 letters, digits, '.', '-', '+'"
        );
    }
    Record {
        magic: MAGIC,
        record_size: size_of::<Record>() as u16,
        abi_major: ABI_MAJOR,
        abi_minor: ABI_MINOR,
        pointer_width: size_of::<usize>() as u8,
        endianness: if cfg!(target_endian = "little") { 1 } else { 2 },
        panic_unwinds: unwinds as u8,
        language: 1,
        reserved: [0; 2],
        vtable_size: size_of::<Vtable>() as u32,
        layout: layout(),
        name: padded(P::NAME.as_bytes()),
        version: padded(P::VERSION.as_bytes()),
    }
}

/// Whether this may be a plugin's name: 1 to 32 of a-z, 0-9 and `-`.
pub const fn is_name(text: &[u8]) -> bool {
    let mut at = 0;
    while at < text.len() {
        if !matches!(text[at], b'a'..=b'z' | b'0'..=b'9' | b'-') {
            return false;
        }
        at += 1;
    }
    at >= 1 && at <= 32
}

/// Whether this may be a plugin's version: 1 to 16 letters, digits, `.`, `-` and `+`.
pub const fn is_version(text: &[u8]) -> bool {
    let mut at = 0;
    while at < text.len() {
        if !(text[at].is_ascii_alphanumeric() || matches!(text[at], b'.' | b'-' | b'+')) {
            return false;
        }
        at += 1;
    }
    at >= 1 && at <= 16
}

const fn padded<const N: usize>(text: &[u8]) -> [u8; N] {
    let mut field = [0; N];
    let mut at = 0;
    while at < text.len() {
        field[at] = text[at];
        at += 1;
    }
    field
}
