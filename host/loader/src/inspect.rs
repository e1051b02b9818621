//! Opens a plugin's file once, below a directory that was looked at, and judges what that descriptor holds. Nothing of the plugin has run.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, OFlags, fstat};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::place::{Place, is_build_output};
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

/// Inspects a file: the owners and modes of all directories above it, its kind, owner, mode and size, its ELF header, and
/// its record.
pub fn inspect(path: &Path) -> Result<Inspected, LoaderError> {
    look(&above(path)?, path)
}

/// As [`inspect`], and copies what was inspected.
pub(crate) fn take_file(path: &Path) -> Result<Image, LoaderError> {
    take(&above(path)?, path)
}

/// The directory of a file, once all above it was looked at.
fn above(path: &Path) -> Result<Place, LoaderError> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    Place::check(directory.unwrap_or(Path::new(".")))
}

/// Inspects a file of a directory that was looked at.
pub(crate) fn look(place: &Place, path: &Path) -> Result<Inspected, LoaderError> {
    let (opened, _) = examine(place, path)?;
    Ok(opened.inspected)
}

/// Inspects a file and copies what was inspected, so that a later change of the file changes nothing.
pub(crate) fn take(place: &Place, path: &Path) -> Result<Image, LoaderError> {
    let (mut opened, bytes) = examine(place, path)?;
    opened.sealed = image::seal(&opened.inspected.name, &bytes)
        .inspect_err(|error| tracing::debug!(plugin = opened.inspected.name, %error, "no sealed copy; loading the file"))
        .ok();
    Ok(opened)
}

fn examine(place: &Place, path: &Path) -> Result<(Image, Vec<u8>), LoaderError> {
    let name = path.file_name().ok_or(LoaderError::NotAFile)?;
    // NONBLOCK: opening a pipe must not wait for its other end.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let descriptor = place.open(name, flags).map_err(|error| match error {
        rustix::io::Errno::LOOP => LoaderError::Symlink,
        other => LoaderError::Io(other.into()),
    })?;
    let size = check_stat(place, path, &descriptor)?;
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
fn check_stat(place: &Place, path: &Path, descriptor: &OwnedFd) -> Result<u64, LoaderError> {
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
    if stat.st_mode & 0o020 != 0 && !is_build_output(place.real()) {
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
