//! Reads and judges a plugin's record, as bytes. Nothing here trusts them.

use busbar_plugin_sdk::abi::{ABI_MAJOR, MAGIC, Record, layout};
use busbar_plugin_sdk::{is_name, is_version};
use serde::{Deserialize, Serialize};

use crate::LoaderError;

/// Size of a record.
pub(crate) const RECORD_SIZE: usize = size_of::<Record>();

/// In which language a plugin says that it was written. For people only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// C.
    C,
    /// Rust.
    Rust,
    /// Another one.
    Other,
}

/// A record that this host can work with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) abi: (u16, u16),
    pub(crate) language: Language,
    pub(crate) vtable_size: u32,
}

/// Judges a record. The first 16 bytes are the same in every version, so that a version that is not known is still
/// named; the rest is read only where the version is ours.
pub(crate) fn judge(bytes: &[u8; RECORD_SIZE]) -> Result<Identity, LoaderError> {
    let half = |at: usize| u16::from_ne_bytes([bytes[at], bytes[at + 1]]);
    let layout_error = |what| Err(LoaderError::Layout { what });
    if bytes[..8] != MAGIC {
        return Err(LoaderError::Magic);
    }
    if bytes[15] != if cfg!(target_endian = "little") { 1 } else { 2 } {
        return layout_error("byte order");
    }
    let abi = (half(10), half(12));
    if abi.0 != ABI_MAJOR {
        return Err(LoaderError::Abi {
            theirs_major: abi.0,
            theirs_minor: abi.1,
        });
    }
    if usize::from(half(8)) != RECORD_SIZE {
        return layout_error("record size");
    }
    if usize::from(bytes[14]) != size_of::<usize>() {
        return layout_error("pointer width");
    }
    if bytes[16] != 1 {
        return Err(LoaderError::PanicAborts);
    }
    let language = match bytes[17] {
        0 => Language::C,
        1 => Language::Rust,
        _ => Language::Other,
    };
    let vtable_size = u32::from_ne_bytes([bytes[20], bytes[21], bytes[22], bytes[23]]);
    if vtable_size == 0 || vtable_size > 4096 || !(vtable_size as usize).is_multiple_of(size_of::<usize>()) {
        return layout_error("function table");
    }
    let mut theirs = [0; 8];
    theirs.copy_from_slice(&bytes[24..32]);
    if u64::from_ne_bytes(theirs) != layout() {
        return layout_error("memory layout");
    }
    let name = text(&bytes[32..64], is_name).ok_or(LoaderError::Identity {
        field: "name",
        rule: "1 to 32 of a-z, 0-9 and -",
    })?;
    let version = text(&bytes[64..80], is_version).ok_or(LoaderError::Identity {
        field: "version",
        rule: "1 to 16 letters, digits, '.', '-' and '+'",
    })?;
    Ok(Identity {
        name,
        version,
        abi,
        language,
        vtable_size,
    })
}

/// The text of a field that is filled up with zeros.
fn text(field: &[u8], valid: fn(&[u8]) -> bool) -> Option<String> {
    let end = field.iter().position(|&byte| byte == 0).unwrap_or(field.len());
    let (text, rest) = field.split_at(end);
    if !valid(text) || rest.iter().any(|&byte| byte != 0) {
        return None;
    }
    String::from_utf8(text.to_vec()).ok()
}
