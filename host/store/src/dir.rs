//! The data directory: made private, held by one host, its files set aside whole.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::error::StoreError;

const LOCK_FILE: &str = "busbar.lock";

/// A data directory that this process holds, until it is dropped or the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct HostLock {
    dir: PathBuf,
    file: File,
}

impl HostLock {
    /// Makes the directory where there is none, and takes it.
    pub(crate) fn take(dir: &Path) -> Result<Self, StoreError> {
        let dir = std::path::absolute(dir).map_err(|e| StoreError::io(dir, &e))?;
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&dir)
            .map_err(|e| StoreError::io(&dir, &e))?;
        let path = dir.join(LOCK_FILE);
        let io = |e: &io::Error| StoreError::io(&path, e);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|e| io(&e))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(StoreError::Locked {
                    dir,
                    pid: read_pid(&mut file),
                });
            }
            Err(e) => return Err(io(&e.into())),
        }
        // Only a help for people: the lock is what counts, so a full disk is no reason to stop here.
        let _ = file
            .set_len(0)
            .and_then(|()| write!(file, "{}", std::process::id()));
        Ok(Self { dir, file })
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Drop for HostLock {
    /// Closing would do, but for a process that is being spawned just now and still has a copy of the file.
    fn drop(&mut self) {
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}

fn read_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// Which file a path means now; changes when the file is removed or exchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    pub(crate) fn of(path: &Path) -> Result<Self, StoreError> {
        let meta = fs::metadata(path).map_err(|e| StoreError::io(path, &e))?;
        Ok(Self {
            device: meta.dev(),
            inode: meta.ino(),
        })
    }
}

/// Makes an empty file that only its owner may read, in the place of any other and of what lay beside that: the WAL
/// of an attempt that was cut off would be replayed into the next one.
pub(crate) fn create_private(path: &Path) -> Result<(), StoreError> {
    for side in SIDES {
        remove_if_there(&with_suffix(path, side))?;
    }
    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    made.map(drop).map_err(|e| StoreError::io(path, &e))
}

/// Takes the rights of others away from a database that was there before, and gives its side files the same: they
/// may stem from a start when it was read-only. As far as this user may.
pub(crate) fn make_private(path: &Path) {
    let mode_of = |path: &Path| fs::metadata(path).map(|m| m.mode() & 0o777).ok();
    let Some(mode) = mode_of(path).map(|m| m & 0o700) else {
        return;
    };
    for file in SIDES.map(|side| with_suffix(path, side)) {
        if mode_of(&file).is_some_and(|m| m != mode)
            && let Err(error) = fs::set_permissions(&file, Permissions::from_mode(mode))
        {
            tracing::warn!(file = %file.display(), %error, "who may read this file could not be changed");
        }
    }
}

/// Copies a file into a private one and waits until it is on the disk.
pub(crate) fn copy_private(from: &Path, to: &Path) -> Result<(), StoreError> {
    create_private(to)?;
    let mut source = File::open(from).map_err(|e| StoreError::io(from, &e))?;
    let io = |e: io::Error| StoreError::io(to, &e);
    let mut target = OpenOptions::new().write(true).open(to).map_err(io)?;
    io::copy(&mut source, &mut target).map_err(io)?;
    target.sync_all().map_err(io)
}

/// Puts a finished file in its place, so that after a power cut there is the old one or the new one, whole.
pub(crate) fn put_in_place(from: &Path, to: &Path) -> Result<(), StoreError> {
    let io = |e: io::Error| StoreError::io(to, &e);
    File::open(from).and_then(|f| f.sync_all()).map_err(io)?;
    fs::rename(from, to).map_err(io)?;
    sync_parent(to)
}

/// The same where nothing may be replaced; whether there was room.
pub(crate) fn put_where_nothing_is(from: &Path, to: &Path) -> Result<bool, StoreError> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    use rustix::io::Errno;
    let io = |e: io::Error| StoreError::io(to, &e);
    File::open(from).and_then(|f| f.sync_all()).map_err(io)?;
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Ok(()) => {}
        Err(Errno::EXIST) => return Ok(false),
        // A file system that knows no such exchange: what was looked up a moment ago has to do.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => fs::rename(from, to).map_err(io)?,
        Err(e) => return Err(io(e.into())),
    }
    sync_parent(to).map(|()| true)
}

/// Copies a database and its WAL to a name that tells since when it is kept, and says which. Nothing is ever removed of
/// what was kept so.
pub(crate) fn copy_aside(path: &Path, label: &str) -> Result<PathBuf, StoreError> {
    let target = aside_name(path, label)?;
    // The name is given last: what has it is whole.
    let part = with_suffix(path, ".part");
    for side in SIDES {
        let from = with_suffix(path, side);
        if from.metadata().is_ok_and(|m| m.is_file()) {
            copy_private(&from, &part)?;
            put_in_place(&part, &with_suffix(&target, side))?;
        }
    }
    Ok(target)
}

/// Removes what lies beside a database: of no use without it, and harm beside another of its name.
pub(crate) fn remove_sides(path: &Path) -> Result<(), StoreError> {
    for side in SIDES.iter().filter(|side| !side.is_empty()) {
        remove_if_there(&with_suffix(path, side))?;
    }
    sync_parent(path)
}

/// Removes a database that was never given its name.
pub(crate) fn remove_with_sides(path: &Path) -> Result<(), StoreError> {
    SIDES
        .iter()
        .try_for_each(|side| remove_if_there(&with_suffix(path, side)))
}

/// A name beside a database that is free.
fn aside_name(path: &Path, label: &str) -> Result<PathBuf, StoreError> {
    let time = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
    let free = |n: u32| {
        let number = if n == 1 { String::new() } else { format!("-{n}") };
        with_suffix(path, &format!(".{label}-{time}{number}"))
    };
    let target = (1..1000)
        .map(free)
        .find(|p| SIDES.iter().all(|s| !with_suffix(p, s).exists()));
    target.ok_or_else(|| StoreError::Io {
        path: path.to_owned(),
        detail: "too many files were set aside".into(),
    })
}

/// Moves a database out of the way, with its WAL, and says where it is now; `None` when there was nothing.
///
/// The side files go first: a WAL that stayed behind would be replayed into the next database of this name.
pub(crate) fn set_aside(path: &Path, label: &str, keep: usize) -> Result<Option<PathBuf>, StoreError> {
    let target = aside_name(path, label)?;
    let mut moved = false;
    for side in SIDES {
        match fs::rename(with_suffix(path, side), with_suffix(&target, side)) {
            Ok(()) => moved = true,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(StoreError::io(path, &e)),
        }
    }
    if !moved {
        return Ok(None);
    }
    sync_parent(path)?;
    forget_oldest(path, label, keep);
    Ok(Some(target))
}

/// The files of one database, the database itself last.
const SIDES: [&str; 4] = ["-wal", "-shm", "-journal", ""];

/// Keeps the newest few of what was set aside: a disk that damages files must not be filled by them.
fn forget_oldest(path: &Path, label: &str, keep: usize) {
    let Some(name) = path.file_name().and_then(|n| n.to_str()) else {
        return;
    };
    let mut found = names_in(
        path.parent().unwrap_or(Path::new(".")),
        &format!("{name}.{label}-"),
    );
    found.retain(|p| !SIDES[..3].iter().any(|side| p.to_string_lossy().ends_with(side)));
    for old in found.iter().rev().skip(keep) {
        for side in SIDES {
            if let Err(error) = remove_if_there(&with_suffix(old, side)) {
                tracing::warn!(file = %old.display(), %error, "an old damaged file could not be removed");
            }
        }
    }
}

/// The files of a directory whose names begin so, sorted.
pub(crate) fn names_in(dir: &Path, prefix: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries
        .filter(|e| e.file_name().to_string_lossy().starts_with(prefix))
        .map(|e| e.path())
        .collect();
    paths.sort();
    paths
}

pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

pub(crate) fn remove_if_there(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(StoreError::io(path, &e)),
        _ => Ok(()),
    }
}

/// Waits until a name that was given or taken away is on the disk.
pub(crate) fn sync_parent(path: &Path) -> Result<(), StoreError> {
    let parent = path.parent().unwrap_or(Path::new("."));
    File::open(parent)
        .and_then(|d| d.sync_all())
        .map_err(|e| StoreError::io(parent, &e))
}
