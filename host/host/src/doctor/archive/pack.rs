//! The archive as a file.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::Piece;
use crate::clock;
use crate::error::{HostError, Result};

/// The folder that the archive unpacks into.
pub const DIR: &str = "busbar-doctor";

/// Writes the archive, readable by its owner only.
///
/// # Errors
/// A file that is there already, unless it may be written over; what the disk says.
pub fn pack(files: &[Piece], to: &Path, overwrite: bool) -> Result<()> {
    let hint = "Name another place, or make room.";
    let failed = |e: std::io::Error| HostError::io(format_args!("cannot write {}", to.display()), &e, hint);
    let taken = || {
        HostError::failed(
            "exists",
            format!("{} is there already", to.display()),
            "Choose another name, or write over it with --force.",
        )
    };
    if !overwrite && to.symlink_metadata().is_ok() {
        return Err(taken());
    }
    // Written over, a device or a pipe would be gone.
    if to.metadata().is_ok_and(|meta| !meta.is_file()) {
        return Err(HostError::failed(
            "no_file",
            format!("{} is no file", to.display()),
            hint,
        ));
    }
    // Whole, or not there: what is sent is never half an archive.
    let part = beside(to);
    // What an attempt left that was cut off.
    let _ = std::fs::remove_file(&part);
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(&part);
    let written = file.and_then(|file| write(files, file));
    let placed = written.and_then(|()| match overwrite {
        true => std::fs::rename(&part, to),
        // Fails where somebody made it in the meantime.
        false => std::fs::hard_link(&part, to).or_else(|e| match e.kind() {
            ErrorKind::AlreadyExists => Err(e),
            _ => std::fs::rename(&part, to),
        }),
    });
    let _ = std::fs::remove_file(&part);
    placed.map_err(|e| match e.kind() {
        ErrorKind::AlreadyExists => taken(),
        _ => failed(e),
    })
}

fn beside(to: &Path) -> PathBuf {
    let mut name = to.as_os_str().to_owned();
    name.push(".busbar-part");
    name.into()
}

fn write(files: &[Piece], file: File) -> std::io::Result<()> {
    let mut archive = tar::Builder::new(GzEncoder::new(file, Compression::default()));
    let now = u64::try_from(clock::now_ms() / 1000).unwrap_or_default();
    for piece in files {
        let mut header = tar::Header::new_gnu();
        // No user and no group: they are nobody's business.
        header.set_mode(0o600);
        header.set_mtime(now);
        header.set_size(piece.text.len() as u64);
        header.set_cksum();
        archive.append_data(
            &mut header,
            format!("{DIR}/{}", piece.name),
            piece.text.as_bytes(),
        )?;
    }
    let mut file = archive.into_inner()?.finish()?;
    file.flush()?;
    file.sync_all()
}
