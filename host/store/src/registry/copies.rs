//! What could be restored: the backups, and the registries that were set aside; and what is in each.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::backup::{is_daily, modified_ms};
use crate::dir::names_in;
use crate::error::StoreError;
use crate::file::{Contents, REGISTRY};

/// So many are looked into, the newest ones: more is no directory of backups.
const MOST: usize = 500;

/// Where a copy comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Made {
    /// A running host made it; it goes when seven newer ones are there.
    Daily,
    /// Its owner asked for it.
    Manual,
    /// It was the registry once, until another took its place.
    SetAside,
}

/// A file that the registry could be restored from.
#[derive(Clone, Debug, Serialize)]
pub struct Copy {
    /// The file.
    pub path: PathBuf,
    /// Where it comes from.
    pub made: Made,
    /// When it was made, in milliseconds since 1970: as it says itself, else the time of the file.
    pub made_ms: Option<i64>,
    /// How large it is.
    pub bytes: u64,
    /// What is in it; `None` where it cannot be restored.
    pub contents: Option<Contents>,
    /// Why it cannot be restored.
    pub fault: Option<String>,
}

/// All copies of a data directory, the newest last. Each is looked through, every page; none is changed.
pub async fn copies(data: &Path) -> Vec<Copy> {
    let mut files: Vec<(PathBuf, Made)> = names_in(&data.join("backups"), "")
        .into_iter()
        .filter(|path| path.extension().is_some_and(|e| e == "db"))
        .map(|path| match is_daily(&path) {
            true => (path, Made::Daily),
            false => (path, Made::Manual),
        })
        .collect();
    let side = |path: &Path| {
        let name = path.to_string_lossy();
        ["-wal", "-shm", "-journal"]
            .iter()
            .any(|side| name.ends_with(side))
    };
    for label in ["replaced", "damaged"] {
        let aside = names_in(data, &format!("{}.{label}-", REGISTRY.file));
        let aside = aside.into_iter().filter(|path| !side(path));
        files.extend(aside.map(|path| (path, Made::SetAside)));
    }
    files.sort_by_cached_key(|(path, _)| (modified_ms(path), path.clone()));
    let surplus = files.len().saturating_sub(MOST);
    let mut copies = Vec::new();
    for (path, made) in files.drain(surplus..) {
        copies.push(look_into(path, made).await);
    }
    copies.sort_by(|a, b| (a.made_ms, &a.path).cmp(&(b.made_ms, &b.path)));
    copies
}

async fn look_into(path: PathBuf, made: Made) -> Copy {
    let (contents, fault) = match contents(&path).await {
        Ok(contents) => (Some(contents), None),
        Err(error) => (None, Some(error.to_string())),
    };
    let said = contents.as_ref().and_then(|contents| contents.copied_ms);
    Copy {
        // What was set aside may have been restored from a copy: its file tells when it was last the registry.
        made_ms: said
            .filter(|_| made != Made::SetAside)
            .or_else(|| modified_ms(&path)),
        bytes: path.metadata().map_or(0, |m| m.len()),
        path,
        made,
        contents,
        fault,
    }
}

/// Looks through one file, every page, and tells what is in it. Nothing is changed.
///
/// # Errors
/// Why it could not be restored.
pub async fn contents(path: &Path) -> Result<Contents, StoreError> {
    REGISTRY.contents(path).await
}
