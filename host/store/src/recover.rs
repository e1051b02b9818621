//! What happens to a file at the start of a host: taken as it is, or replaced when it is lost or damaged.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::dir::{self, with_suffix};
use crate::error::StoreError;
use crate::file::{Check, Kind};

/// Where the content of an opened file comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// The file was there, and is sound as far as it was looked at.
    Existing,
    /// It is new and empty.
    Fresh,
    /// It was restored.
    Restored {
        /// The backup.
        from: PathBuf,
    },
}

/// What was found and done when a file was opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Opening {
    /// The file.
    pub path: PathBuf,
    /// Where its content comes from.
    pub origin: Origin,
    /// Why it was replaced, where it was.
    pub reason: Option<String>,
    /// Where the old file is now, where there was one.
    pub set_aside: Option<PathBuf>,
    /// The registry was replaced and the owner has not confirmed it since: nothing may be written to devices.
    pub needs_owner_confirmation: bool,
    /// Scans that a killed host left running; they are marked as failed.
    pub interrupted_scans: u64,
    /// The host before this one was killed, or the machine lost power: check this file in the background.
    pub unclean: bool,
}

impl Opening {
    /// What the owner should be told, a sentence each; none when all is as it was.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if let Some(reason) = &self.reason {
            let aside = self
                .set_aside
                .as_ref()
                .map(|p| format!(" It was set aside as {}.", p.display()));
            let now = match &self.origin {
                Origin::Restored { from } => {
                    format!(" {} was restored: what changed after it is lost.", from.display())
                }
                Origin::Fresh => " There was no backup to restore: this one is new and empty.".into(),
                Origin::Existing => String::new(),
            };
            notes.push(format!("{reason}.{}{now}", aside.unwrap_or_default()));
        }
        if self.needs_owner_confirmation {
            notes.push(
                "The registry was replaced: nothing is written to devices until the owner confirms it."
                    .into(),
            );
        }
        if self.interrupted_scans > 0 {
            notes.push(format!(
                "{} interrupted scan(s) were marked as failed.",
                self.interrupted_scans
            ));
        }
        notes
    }
}

/// Makes sure that there is a usable file at `path`. The caller holds the directory's lock.
pub(crate) async fn recover(
    kind: &Kind,
    path: &Path,
    check: Check,
    backups: &[PathBuf],
) -> Result<Opening, StoreError> {
    let mut opening = Opening {
        path: path.to_owned(),
        origin: Origin::Existing,
        reason: None,
        set_aside: None,
        needs_owner_confirmation: false,
        interrupted_scans: 0,
        unclean: false,
    };
    let mut label = "orphaned";
    if fs::symlink_metadata(path).is_ok() {
        dir::make_private(path);
        match kind.inspect(path, check).await {
            Ok(()) => return Ok(opening),
            Err(why) if why.is_unusable_file() => {
                label = if matches!(why, StoreError::Foreign { .. }) {
                    "foreign"
                } else {
                    "damaged"
                };
                opening.reason = Some(why.to_string());
            }
            Err(other) => return Err(other),
        }
    } else if !backups.is_empty() {
        opening.reason = Some(format!("{} is missing", path.display()));
    }

    // First the new file, whole, under another name; then the exchange. Whatever stops this in between, the next
    // start finds the old file, or none, and does it again.
    let new = with_suffix(path, ".new");
    let restored = restore_newest(kind, backups, &new).await?;
    if restored.is_none() {
        kind.create(&new, opening.reason.as_ref().map(|_| kind.replaced))
            .await?;
    }
    opening.set_aside = dir::set_aside(path, label, kind.keep_damaged)?;
    dir::put_in_place(&new, path)?;
    opening.origin = match restored {
        Some(from) => Origin::Restored { from },
        None => Origin::Fresh,
    };
    Ok(opening)
}

/// Replaces a file that is of no use by a new one; says where the old one is now.
pub(crate) async fn begin_anew(kind: &Kind, path: &Path) -> Result<Option<PathBuf>, StoreError> {
    let new = with_suffix(path, ".new");
    kind.create(&new, Some(kind.replaced)).await?;
    let set_aside = dir::set_aside(path, "damaged", kind.keep_damaged)?;
    dir::put_in_place(&new, path)?;
    Ok(set_aside)
}

async fn restore_newest(kind: &Kind, backups: &[PathBuf], new: &Path) -> Result<Option<PathBuf>, StoreError> {
    for backup in backups.iter().rev() {
        match kind.restore(backup, new).await {
            Ok(()) => return Ok(Some(backup.clone())),
            Err(why) if why.is_unusable_file() => {
                tracing::warn!(backup = %backup.display(), %why, "a backup is of no use");
            }
            Err(other) => return Err(other),
        }
    }
    Ok(None)
}
