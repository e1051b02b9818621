//! The kill switch as a file: while `kill-switch` lies in the data directory, nothing is written to devices.
//!
//! Whoever may write there can throw it, `touch` will do, and so can a host whose disk is full: a file that lies ready is
//! renamed, which takes no space. Whatever has that name counts, a directory and a link too; only an ordinary file is
//! taken away again by this program.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use crate::dir::sync_parent;
use crate::error::StoreError;

const ON: &str = "kill-switch";
const OFF: &str = "kill-switch.off";
/// The most of a reason that is kept, in bytes.
const REASON_LIMIT: u64 = 1000;

/// The kill switch of a data directory, ready to be thrown.
#[derive(Clone, Debug)]
pub struct KillSwitch {
    dir: PathBuf,
    on: PathBuf,
    off: PathBuf,
}

impl KillSwitch {
    /// Makes sure that the switch can be thrown later, and leaves it as it stands. Before anything may be written to a
    /// device: without a switch that works there are no writes.
    ///
    /// # Errors
    /// [`StoreError::ReadOnly`] or [`StoreError::Permission`] for a directory in which nothing can be renamed;
    /// [`StoreError::DiskFull`]; [`StoreError::NoFile`] when something else has the name of the file that lies ready.
    pub fn prepare(dir: &Path) -> Result<Self, StoreError> {
        let dir = std::path::absolute(dir).map_err(|e| StoreError::io(dir, &e))?;
        let switch = Self {
            on: dir.join(ON),
            off: dir.join(OFF),
            dir,
        };
        access(&switch.dir, Access::WRITE_OK | Access::EXEC_OK)
            .map_err(|e| StoreError::io(&switch.dir, &e.into()))?;
        switch.lay_ready()?;
        Ok(switch)
    }

    /// Throws it: from when this returns it survives a restart and a power cut. The first reason stays; that it is kept
    /// is not promised. An error means that it may not be on: the caller has stopped all writes before, and keeps to that.
    pub fn on(&self, reason: &str) -> Result<(), StoreError> {
        if self.is_on() {
            return sync_parent(&self.on);
        }
        match fs::rename(&self.off, &self.on) {
            Ok(()) => {}
            // Somebody tidied up: then it takes a new file, and the space for one.
            Err(e) if e.kind() == io::ErrorKind::NotFound => make(&self.on)?,
            Err(e) => return Err(StoreError::io(&self.on, &e)),
        }
        let synced = sync_parent(&self.on);
        // Only a help for people, and there may be no space for it.
        let note = OpenOptions::new().write(true).truncate(true).open(&self.on);
        let _ = note.and_then(|mut file| file.write_all(cut(reason).as_bytes()));
        synced
    }

    /// Whether it is on. Where that cannot be seen, it is: also when the whole data directory is gone.
    pub fn is_on(&self) -> bool {
        let gone =
            |path: &Path| matches!(fs::symlink_metadata(path), Err(e) if e.kind() == io::ErrorKind::NotFound);
        !gone(&self.on) || !self.dir.is_dir()
    }

    /// Why it was thrown, as far as that is known: `None` when it is off or nobody said.
    pub fn reason(&self) -> Option<String> {
        // A pipe of that name would never end.
        if !is_file(&self.on) {
            return None;
        }
        let mut bytes = Vec::new();
        File::open(&self.on)
            .and_then(|file| file.take(REASON_LIMIT).read_to_end(&mut bytes))
            .ok()?;
        let text = String::from_utf8_lossy(&bytes).trim().to_owned();
        (!text.is_empty()).then_some(text)
    }

    /// Takes it back, and lays a file ready for the next time. No fault when it is off.
    ///
    /// # Errors
    /// [`StoreError::NoFile`] when what has the name is no ordinary file: whoever put it there takes it away.
    pub fn off(&self) -> Result<(), StoreError> {
        match fs::symlink_metadata(&self.on) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return self.lay_ready(),
            Err(e) => return Err(StoreError::io(&self.on, &e)),
            Ok(meta) if !meta.is_file() => {
                return Err(StoreError::NoFile {
                    path: self.on.clone(),
                });
            }
            Ok(_) => {}
        }
        // Both may lie there, when the owner made one: the one takes the other's place.
        fs::rename(&self.on, &self.off).map_err(|e| StoreError::io(&self.off, &e))?;
        // Thrown again on a full disk it would tell the old reason.
        let _ = OpenOptions::new().write(true).truncate(true).open(&self.off);
        sync_parent(&self.off)
    }

    fn lay_ready(&self) -> Result<(), StoreError> {
        match fs::symlink_metadata(&self.off) {
            Ok(meta) if meta.is_file() => Ok(()),
            Ok(_) => Err(StoreError::NoFile {
                path: self.off.clone(),
            }),
            // While it is on there is none: `off` makes it.
            Err(e) if e.kind() == io::ErrorKind::NotFound && self.is_on() => Ok(()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                make(&self.off)?;
                sync_parent(&self.off)
            }
            Err(e) => Err(StoreError::io(&self.off, &e)),
        }
    }
}

/// An empty file that only its owner may write; one that is there already will do.
fn make(path: &Path) -> Result<(), StoreError> {
    let made = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path);
    made.map(drop).map_err(|e| StoreError::io(path, &e))
}

fn is_file(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|m| m.is_file())
}

fn cut(reason: &str) -> &str {
    let end = (0..=REASON_LIMIT as usize)
        .rev()
        .find(|&at| reason.is_char_boundary(at));
    &reason[..end.unwrap_or(0)]
}
