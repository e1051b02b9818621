//! A copy takes the place of the registry, by the owner's wish. The registry that was there is kept beside it.
//!
//! Whatever stops this in between: under the registry's name lies the old one or the new one, whole.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::dir::{self, FileId, HostLock, with_suffix};
use crate::error::StoreError;
use crate::file::{Contents, REGISTRY};

/// What was done.
#[derive(Clone, Debug, Serialize)]
pub struct Restored {
    /// The registry.
    pub path: PathBuf,
    /// The copy that it was made from.
    pub from: PathBuf,
    /// Where the registry is now that was there before; `None` when there was none.
    pub set_aside: Option<PathBuf>,
    /// What is in the registry now.
    pub contents: Contents,
}

/// Puts a copy in the place of a data directory's registry. It begins read-only, however it was made: nothing is written
/// to devices until the owner confirms. The copy itself is not changed.
///
/// # Errors
/// [`StoreError::Locked`] while a host runs; why the copy is of no use; what the disk says. Then the registry is as it
/// was.
pub async fn restore(data: &Path, from: &Path) -> Result<Restored, StoreError> {
    let from = std::path::absolute(from).map_err(|e| StoreError::io(from, &e))?;
    // Before a directory is made for a file that is none.
    REGISTRY.check_header(&from)?;
    let lock = HostLock::take(data)?;
    let path = lock.dir().join(REGISTRY.file);
    if FileId::of(&path).ok() == Some(FileId::of(&from)?) {
        return Err(StoreError::Invalid {
            what: "copy",
            value: from.display().to_string(),
            expected: "another file than the registry itself",
        });
    }
    let new = with_suffix(&path, ".new");
    let contents = match prepare(&from, &new).await {
        Ok(contents) => contents,
        Err(error) => {
            dir::remove_with_sides(&new)?;
            return Err(error.of_file(&from));
        }
    };
    // What its WAL holds goes into the old registry, so that one exchange of one file is all that is left to do.
    match REGISTRY.fold_wal(&path).await {
        Ok(()) => {}
        // Then it is kept as it lies, with its WAL.
        Err(error) if error.is_unusable_file() => {}
        Err(error) => {
            dir::remove_with_sides(&new)?;
            return Err(error);
        }
    }
    let set_aside = keep(&path)?;
    dir::remove_sides(&path)?;
    dir::put_in_place(&new, &path)?;
    Ok(Restored {
        path,
        from,
        set_aside,
        contents,
    })
}

/// Makes the new file, whole, of this program's schema and marked as replaced, under another name.
async fn prepare(from: &Path, new: &Path) -> Result<Contents, StoreError> {
    dir::copy_private(from, new)?;
    // One that was set aside may still have a part in its WAL.
    let wal = with_suffix(from, "-wal");
    if wal.metadata().is_ok_and(|m| m.is_file() && m.len() > 0) {
        dir::copy_private(&wal, &with_suffix(new, "-wal"))?;
    }
    REGISTRY.take_over(new).await?;
    REGISTRY.contents(new).await
}

/// Keeps a copy of the registry that is about to be replaced, and says where.
fn keep(path: &Path) -> Result<Option<PathBuf>, StoreError> {
    const LABEL: &str = "replaced";
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_file() => match dir::copy_aside(path, LABEL) {
            // A disk that cannot read it any more can still give it another name.
            Err(StoreError::Io { .. }) => dir::set_aside(path, LABEL, usize::MAX),
            copied => copied.map(Some),
        },
        // A WAL without its database, a directory, a link.
        _ => dir::set_aside(path, LABEL, usize::MAX),
    }
}
