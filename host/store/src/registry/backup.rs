//! Copies of the registry: one a day, seven kept, and those that the owner asks for, kept until they remove them.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::Registry;
use crate::dir::{self, HostLock, names_in, with_suffix};
use crate::error::StoreError;
use crate::file::{Check, REGISTRY};

const PREFIX: &str = "registry-";
/// The day of a daily one, as it stands in its name.
const DAY: &str = "YYYY-MM-DD";
const KEPT: usize = 7;
/// What a copy's name ends with until it is whole. It is written over, so that nobody else may call anything so.
const NEW: &str = ".busbar-new";
/// Copies by hand within one second, each with a name of its own.
const MOST_A_SECOND: u32 = 9;

fn dir(data: &Path) -> PathBuf {
    data.join("backups")
}

/// The backups of a data directory, the latest last; none where there are none or they cannot be seen.
pub fn all(data: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = names_in(&dir(data), PREFIX)
        .into_iter()
        .filter(|p| p.extension().is_some_and(|e| e == "db"))
        .collect();
    // Of one day the daily one may be the later: then the time of the file tells.
    all.sort_by_cached_key(|path| {
        let modified = path.metadata().and_then(|m| m.modified()).unwrap_or(UNIX_EPOCH);
        (day_of(path).unwrap_or_default(), modified, path.clone())
    });
    all
}

/// The day that a backup's name begins with.
fn day_of(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    name.strip_prefix(PREFIX)?.get(..DAY.len()).map(str::to_owned)
}

/// Whether this is one of the daily ones, which make room for newer ones.
pub fn is_daily(path: &Path) -> bool {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
        return false;
    };
    let Some(day) = name
        .strip_prefix(PREFIX)
        .and_then(|rest| rest.strip_suffix(".db"))
    else {
        return false;
    };
    day.len() == DAY.len()
        && day.bytes().zip(DAY.bytes()).all(|(is, of)| match of {
            b'-' => is == b'-',
            _ => is.is_ascii_digit(),
        })
}

/// Copies the registry of a data directory on which no host runs, or one that cannot be asked. `to` is as in
/// [`Registry::backup`].
///
/// # Errors
/// [`StoreError::Missing`] when there is no registry; as [`Registry::backup`].
pub async fn backup(
    data: &Path,
    to: Option<&Path>,
    overwrite: bool,
    now_ms: i64,
) -> Result<PathBuf, StoreError> {
    let registry = Registry::open_read_only(data).await?;
    // No host begins in the middle. Where one is at work already, or nothing can be locked, SQLite itself sees to a copy
    // that is consistent, and each is looked through before it has its name.
    let _lock = HostLock::take(data).ok();
    registry.copy_for(data, to, overwrite, now_ms).await
}

impl Registry {
    /// Makes the backup of the day (UTC) when there is none yet, and removes the oldest daily ones beyond seven. Cheap
    /// when there is nothing to do: ask at the start and every hour.
    ///
    /// # Errors
    /// What the disk says. A damaged registry is never made a backup: then the ones that there are stay.
    pub async fn backup_if_due(&self, now_ms: i64) -> Result<Option<PathBuf>, StoreError> {
        let lock = self.lock()?;
        let backups = dir(lock.dir());
        let path = backups.join(format!("{PREFIX}{}.db", moment(now_ms)?.strftime("%Y-%m-%d")));
        if path.exists() {
            return Ok(None);
        }
        make(&backups)?;
        let _copying = self.copying.lock().await;
        // What an attempt left that was cut off on another day.
        for name in names_in(&backups, PREFIX).iter().filter(|path| is_part(path)) {
            dir::remove_if_there(name)?;
        }
        self.copy_to(&path, now_ms, true).await?;
        let daily = all(lock.dir()).into_iter().filter(|path| is_daily(path));
        for old in daily.rev().skip(KEPT) {
            dir::remove_if_there(&old)?;
        }
        Ok(Some(path))
    }

    /// Makes a copy now, which no daily one pushes out: at `to`, or, without it, among the backups under a name that
    /// holds the date and time (UTC). Says where it is.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when there is a file already that shall not be written over; what the disk says.
    pub async fn backup(
        &self,
        to: Option<&Path>,
        overwrite: bool,
        now_ms: i64,
    ) -> Result<PathBuf, StoreError> {
        let lock = self.lock()?;
        let _copying = self.copying.lock().await;
        self.copy_for(lock.dir(), to, overwrite, now_ms).await
    }

    async fn copy_for(
        &self,
        data: &Path,
        to: Option<&Path>,
        overwrite: bool,
        now_ms: i64,
    ) -> Result<PathBuf, StoreError> {
        let Some(to) = to else {
            let backups = dir(data);
            make(&backups)?;
            let name = moment(now_ms)?.strftime("%Y-%m-%dT%H%M%SZ");
            // Of one second there may be several.
            for number in 1..=MOST_A_SECOND {
                let path = match number {
                    1 => backups.join(format!("{PREFIX}{name}.db")),
                    n => backups.join(format!("{PREFIX}{name}-{n}.db")),
                };
                match self.copy_to(&path, now_ms, false).await {
                    Err(StoreError::Exists { .. }) if number < MOST_A_SECOND => {}
                    copied => return copied.map(|()| path),
                }
            }
            return Err(StoreError::Exists { path: backups });
        };
        let io = |e| StoreError::io(to, &e);
        let path = std::path::absolute(to).map_err(io)?;
        if let (Ok(target), Ok(own)) = (path.canonicalize(), self.db.path().canonicalize())
            && target == own
        {
            return Err(StoreError::Invalid {
                what: "copy",
                value: to.display().to_string(),
                expected: "another file than the registry itself",
            });
        }
        // Written over, a device or a pipe would be gone.
        if path.metadata().is_ok_and(|meta| !meta.is_file()) {
            return Err(StoreError::NoFile { path });
        }
        self.copy_to(&path, now_ms, overwrite).await?;
        Ok(path)
    }

    /// Writes a consistent, compact copy of the registry, readable by its owner only, while the host goes on.
    ///
    /// # Errors
    /// What the disk says; [`StoreError::Damaged`] when the registry is; [`StoreError::Exists`] when there is a file that
    /// shall not be written over.
    pub async fn copy_to(&self, path: &Path, now_ms: i64, overwrite: bool) -> Result<(), StoreError> {
        let taken = || StoreError::Exists {
            path: path.to_owned(),
        };
        if !overwrite && path.symlink_metadata().is_ok() {
            return Err(taken());
        }
        // A name that is not a backup's, until it is whole.
        let new = with_suffix(path, NEW);
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
            REGISTRY.note_copied(&new, now_ms).await?;
            REGISTRY.inspect(&new, Check::Full).await
        };
        if let Err(error) = copied.await {
            dir::remove_if_there(&new)?;
            return Err(error);
        }
        if overwrite {
            return dir::put_in_place(&new, path);
        }
        match dir::put_where_nothing_is(&new, path) {
            Ok(true) => Ok(()),
            Ok(false) => {
                dir::remove_if_there(&new)?;
                Err(taken())
            }
            Err(error) => {
                dir::remove_if_there(&new)?;
                Err(error)
            }
        }
    }
}

/// Whether this is a copy, or lies beside one, that did not become whole; older ones were called otherwise.
fn is_part(path: &Path) -> bool {
    let name = path.to_string_lossy();
    [NEW, ".db.new"].iter().any(|new| {
        let rest = name.rsplit_once(new).map(|(_, rest)| rest);
        rest.is_some_and(|rest| ["", "-wal", "-shm", "-journal"].contains(&rest))
    })
}

fn make(backups: &Path) -> Result<(), StoreError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(backups)
        .map_err(|e| StoreError::io(backups, &e))
}

fn moment(now_ms: i64) -> Result<jiff::Timestamp, StoreError> {
    jiff::Timestamp::from_millisecond(now_ms).map_err(|_| StoreError::Invalid {
        what: "time",
        value: now_ms.to_string(),
        expected: "milliseconds since 1970",
    })
}

/// When a file was last written, in milliseconds since 1970.
pub(super) fn modified_ms(path: &Path) -> Option<i64> {
    let modified: SystemTime = path.metadata().ok()?.modified().ok()?;
    i64::try_from(modified.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_cut_off_is_cleared_away() {
        for (name, part) in [
            ("registry-2026-11-30.db.busbar-new", true),
            ("registry-2026-11-30.db.busbar-new-journal", true),
            ("registry-2026-11-30.db.new", true),
            ("registry-2026-11-30.db", false),
            ("registry-notes.txt", false),
            ("registry-2026-11-30.db.newer", false),
        ] {
            assert_eq!(is_part(&Path::new("backups").join(name)), part, "{name}");
        }
    }

    #[test]
    fn only_the_daily_ones_make_room() {
        for (name, daily) in [
            ("registry-2026-11-30.db", true),
            ("registry-2026-11-30T205512Z.db", false),
            ("registry-2026-11-3x.db", false),
            ("registry-before-it.db", false),
            ("registry-2026-11-30.db.new", false),
            ("2026-11-30.db", false),
        ] {
            assert_eq!(
                is_daily(Path::new("backups").join(name).as_path()),
                daily,
                "{name}"
            );
        }
    }
}
