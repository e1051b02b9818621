//! Opens a plugin's file once and judges what that descriptor holds. Nothing of the plugin has run.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, fstat, open};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::record::{Identity, Language, RECORD_SIZE, judge};
use crate::{LoaderError, elf, image};

/// The largest library that is looked at.
pub const MAX_SIZE: u64 = 64 * 1024 * 1024;

/// What a library says about itself, and what was checked. Nothing of it has run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Inspected {
    /// The plugin's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The ABI it was built for, `"1.0"`.
    pub abi: String,
    /// The language it was written in.
    pub language: Language,
    /// Where the file lies.
    pub path: PathBuf,
    /// The file's hash, in hexadecimal.
    pub sha256: String,
    /// The file's size in bytes.
    pub size: u64,
}

/// An inspected plugin with the bytes that were inspected, ready to be loaded.
#[derive(Debug)]
pub(crate) struct Image {
    pub(crate) inspected: Inspected,
    pub(crate) record: [u8; RECORD_SIZE],
    pub(crate) vtable_size: u32,
    pub(crate) hash: [u8; 32],
    /// A copy that nobody can change; none where this system forbids it.
    pub(crate) sealed: Option<OwnedFd>,
    /// The file itself, for where a copy cannot be loaded.
    pub(crate) file: OwnedFd,
}

/// Inspects a file: its kind, owner, mode and size, its ELF header, and its record.
pub fn inspect(path: &Path) -> Result<Inspected, LoaderError> {
    let (opened, _) = examine(path)?;
    Ok(opened.inspected)
}

/// Inspects a file and copies what was inspected, so that a later change of the file changes nothing.
pub(crate) fn take(path: &Path) -> Result<Image, LoaderError> {
    let (mut opened, bytes) = examine(path)?;
    opened.sealed = image::seal(&opened.inspected.name, &bytes)
        .inspect_err(|error| tracing::debug!(plugin = opened.inspected.name, %error, "no sealed copy; loading the file"))
        .ok();
    Ok(opened)
}

fn examine(path: &Path) -> Result<(Image, Vec<u8>), LoaderError> {
    // NONBLOCK: opening a pipe must not wait for its other end.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let descriptor = open(path, flags, Mode::empty()).map_err(|error| match error {
        rustix::io::Errno::LOOP => LoaderError::Symlink,
        other => LoaderError::Io(other.into()),
    })?;
    let size = check_stat(path, &descriptor)?;
    let mut file = File::from(descriptor);
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
    // It may grow while it is read; one byte more than allowed tells.
    (&mut file).take(MAX_SIZE + 1).read_to_end(&mut bytes)?;
    let size = bytes.len() as u64;
    if size > MAX_SIZE {
        return Err(LoaderError::TooLarge {
            size,
            limit: MAX_SIZE,
        });
    }
    let record = elf::find_record(&bytes)?;
    let Identity {
        name,
        version,
        abi,
        language,
        vtable_size,
    } = judge(&record)?;
    let hash: [u8; 32] = Sha256::digest(&bytes).into();
    let inspected = Inspected {
        name,
        version,
        abi: format!("{}.{}", abi.0, abi.1),
        language,
        path: path.to_path_buf(),
        sha256: hash.iter().map(|byte| format!("{byte:02x}")).collect(),
        size,
    };
    Ok((
        Image {
            inspected,
            record,
            vtable_size,
            hash,
            sealed: None,
            file: file.into(),
        },
        bytes,
    ))
}

/// Kind, owner, mode and size; returns the size.
fn check_stat(path: &Path, descriptor: &OwnedFd) -> Result<u64, LoaderError> {
    let stat = fstat(descriptor).map_err(std::io::Error::from)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(LoaderError::NotAFile);
    }
    if stat.st_uid != 0 && stat.st_uid != rustix::process::geteuid().as_raw() {
        return Err(LoaderError::Owner { owner: stat.st_uid });
    }
    let writable = |who| LoaderError::Writable {
        who,
        mode: stat.st_mode & 0o7777,
        path: path.to_path_buf(),
    };
    if stat.st_mode & 0o002 != 0 {
        return Err(writable("everybody"));
    }
    if stat.st_mode & 0o020 != 0 && !is_build_output(path) {
        return Err(writable("its group"));
    }
    let size = u64::try_from(stat.st_size).unwrap_or(u64::MAX);
    if size > MAX_SIZE {
        return Err(LoaderError::TooLarge {
            size,
            limit: MAX_SIZE,
        });
    }
    Ok(size)
}

/// Whether this lies in `target/<profile>` of a cargo build, or in its `deps`, which is where cargo links it from. Under
/// umask 002 what a build writes is writable by its group, and whoever could change it could change all that is built
/// there.
fn is_build_output(path: &Path) -> bool {
    let Some(dir) = path.parent().and_then(|parent| parent.canonicalize().ok()) else {
        return false;
    };
    let is_profile = |dir: &Path| dir.join(".fingerprint").is_dir();
    let in_deps = dir.file_name().is_some_and(|name| name == "deps") && dir.parent().is_some_and(is_profile);
    in_deps || is_profile(&dir)
}
