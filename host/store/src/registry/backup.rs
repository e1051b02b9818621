//! A consistent copy a day, seven kept.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::Registry;
use crate::dir::{self, names_in, with_suffix};
use crate::error::StoreError;
use crate::file::{Check, REGISTRY};

const PREFIX: &str = "registry-";
const KEPT: usize = 7;

fn dir(data: &Path) -> PathBuf {
    data.join("backups")
}

/// The backups of a data directory, the latest last; none where there are none or they cannot be seen.
pub fn all(data: &Path) -> Vec<PathBuf> {
    names_in(&dir(data), PREFIX)
        .into_iter()
        .filter(|p| p.extension().is_some_and(|e| e == "db"))
        .collect()
}

impl Registry {
    /// Makes the backup of the day (UTC) when there is none yet, and removes the oldest beyond seven. Cheap when
    /// there is nothing to do: ask at the start and every hour.
    ///
    /// # Errors
    /// What the disk says. A damaged registry is never made a backup: then the ones that there are stay.
    pub async fn backup_if_due(&self, now_ms: i64) -> Result<Option<PathBuf>, StoreError> {
        let lock = self.lock()?;
        let backups = dir(lock.dir());
        let day = jiff::Timestamp::from_millisecond(now_ms).map_err(|_| StoreError::Invalid {
            what: "time",
            value: now_ms.to_string(),
            expected: "milliseconds since 1970",
        })?;
        let path = backups.join(format!("{PREFIX}{}.db", day.strftime("%Y-%m-%d")));
        if path.exists() {
            return Ok(None);
        }
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&backups)
            .map_err(|e| StoreError::io(&backups, &e))?;
        // What an attempt left that was cut off on another day.
        for name in names_in(&backups, PREFIX)
            .iter()
            .filter(|p| p.extension().is_some_and(|e| e != "db"))
        {
            dir::remove_if_there(name)?;
        }
        self.copy_to(&path).await?;
        for old in all(lock.dir()).iter().rev().skip(KEPT) {
            dir::remove_if_there(old)?;
        }
        Ok(Some(path))
    }

    /// Writes a consistent, compact copy of the registry, readable by its owner only, while the host goes on.
    ///
    /// # Errors
    /// What the disk says; [`StoreError::Damaged`] when the registry is.
    pub async fn copy_to(&self, path: &Path) -> Result<(), StoreError> {
        // A name that is not a backup's, until it is whole.
        let new = with_suffix(path, ".new");
        dir::create_private(&new)?;
        let target = new.to_str().ok_or_else(|| StoreError::Invalid {
            what: "path",
            value: new.display().to_string(),
            expected: "a path in UTF-8",
        })?;
        let copied = async {
            sqlx::query("VACUUM INTO ?1")
                .bind(target)
                .execute(self.db.read())
                .await
                .map_err(|e| StoreError::sqlx(self.db.path(), e))?;
            // Put in place by hand, it is as old as one that a start restores.
            REGISTRY.mark_replaced(&new).await?;
            REGISTRY.inspect(&new, Check::Full).await
        };
        if let Err(error) = copied.await {
            dir::remove_if_there(&new)?;
            return Err(error);
        }
        dir::put_in_place(&new, path)
    }
}
