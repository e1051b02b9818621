//! Whether only the owner and root can change what lies at a path: looked at directory by directory, from the root down,
//! each opened below the one before, so that nothing can be exchanged between the look and the use.

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, Stat, fstat, openat};
use rustix::io::Errno;

use crate::LoaderError;
use crate::private::is_private_group;

/// Of a directory: its descriptor names it and gives no access to its entries but by name.
const NAME_ONLY: OFlags = OFlags::PATH
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// A directory whose whole path was looked at.
#[derive(Debug)]
pub(crate) struct Place {
    descriptor: OwnedFd,
    path: PathBuf,
    real: PathBuf,
}

impl Place {
    /// Looks at every directory from the root to this one.
    pub(crate) fn check(path: &Path) -> Result<Place, LoaderError> {
        let real = path.canonicalize()?;
        let program = std::env::current_exe()
            .and_then(|program| program.canonicalize())
            .ok();
        let mut descriptor = openat(CWD, "/", NAME_ONLY, Mode::empty()).map_err(io::Error::from)?;
        let mut so_far = PathBuf::from("/");
        let mut writable = Vec::new();
        judge(&so_far, &descriptor, program.as_deref(), &mut writable)?;
        for component in real.components() {
            let Component::Normal(name) = component else {
                continue;
            };
            so_far.push(name);
            // A link here means that the path has become another one since it was resolved.
            descriptor =
                openat(&descriptor, name, NAME_ONLY, Mode::empty()).map_err(|error| match error {
                    Errno::LOOP | Errno::NOTDIR => LoaderError::Moved(so_far.clone()),
                    other => LoaderError::Io(other.into()),
                })?;
            judge(&so_far, &descriptor, program.as_deref(), &mut writable)?;
        }
        if let Some(Writable { who, mode, path }) = writable.first().cloned() {
            let mend = writable.into_iter().map(|writable| writable.path).collect();
            return Err(LoaderError::DirectoryWritable {
                who,
                mode,
                path,
                mend,
            });
        }
        Ok(Place {
            descriptor,
            path: path.to_path_buf(),
            real,
        })
    }

    /// The path as it was asked for.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The path without links.
    pub(crate) fn real(&self) -> &Path {
        &self.real
    }

    /// Opens one of its entries.
    pub(crate) fn open(&self, name: &OsStr, flags: OFlags) -> Result<OwnedFd, Errno> {
        openat(&self.descriptor, name, flags, Mode::empty())
    }

    /// The names of its entries, as they come; an error where it cannot be read.
    pub(crate) fn entries(&self) -> io::Result<impl Iterator<Item = io::Result<Vec<u8>>>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let entries = rustix::fs::Dir::new(self.open(OsStr::new("."), flags)?)?;
        Ok(entries.map(|entry| Ok(entry?.file_name().to_bytes().to_vec())))
    }
}

/// A directory that others may change.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Writable {
    /// `"everybody"` or `"its group"`.
    who: &'static str,
    /// Its permission bits.
    mode: u32,
    path: PathBuf,
}

/// Judges one directory; what its owner has to mend is gathered, so that all of a path is told at once.
fn judge(
    path: &Path,
    descriptor: &OwnedFd,
    program: Option<&Path>,
    writable: &mut Vec<Writable>,
) -> Result<(), LoaderError> {
    let stat = fstat(descriptor).map_err(io::Error::from)?;
    let user = rustix::process::geteuid().as_raw();
    // Whoever can change a directory on the way to the program can change the program.
    let trusted = program.is_some_and(|program| program.starts_with(path));
    if let Some(who) = judge_stat(path, &stat, user, trusted, is_private_group)? {
        writable.push(Writable {
            who,
            mode: stat.st_mode & 0o7777,
            path: path.to_path_buf(),
        });
    }
    Ok(())
}

/// Who besides its owner may change it; an error where its owner may, and should not.
fn judge_stat(
    path: &Path,
    stat: &Stat,
    user: u32,
    trusted: bool,
    is_private: impl FnOnce(u32) -> bool,
) -> Result<Option<&'static str>, LoaderError> {
    let (owner, mode) = (stat.st_uid, stat.st_mode & 0o7777);
    if owner != 0 && owner != user && !trusted {
        return Err(LoaderError::DirectoryOwner {
            owner,
            user,
            path: path.to_path_buf(),
        });
    }
    // In a sticky directory only its owner can exchange what belongs to somebody else.
    if mode & 0o1000 != 0 {
        return Ok(None);
    }
    if mode & 0o002 != 0 {
        return Ok(Some("everybody"));
    }
    // A group with nobody else in it is its owner by another name.
    if mode & 0o020 != 0 && !trusted && !is_build_output(path) && !is_private(stat.st_gid) {
        return Ok(Some("its group"));
    }
    Ok(None)
}

/// Whether this directory is `target/<profile>` of a cargo build, or its `deps`, where cargo links from. Under umask 002
/// what a build writes is writable by its group, and whoever could change it could change all that is built there.
pub(crate) fn is_build_output(directory: &Path) -> bool {
    let is_profile = |directory: &Path| directory.join(".fingerprint").is_dir();
    let in_deps = directory.file_name().is_some_and(|name| name == "deps");
    is_profile(directory) || in_deps && directory.parent().is_some_and(is_profile)
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, create_dir, set_permissions};
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    use super::*;

    /// A directory that only its owner can change, whatever the umask is.
    fn private_dir() -> tempfile::TempDir {
        let mode = PermissionsExt::from_mode(0o755);
        tempfile::Builder::new().permissions(mode).tempdir().unwrap()
    }

    fn refused(path: &Path) -> String {
        let text = Place::check(path).unwrap_err().to_string();
        assert!(!text.contains('\n'), "{text}");
        text
    }

    fn made(path: PathBuf, mode: u32) -> PathBuf {
        create_dir(&path).unwrap();
        set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        path
    }

    #[test]
    fn a_directory_above_that_others_may_change_is_refused_by_its_name() {
        let home = private_dir();
        let above = made(home.path().join("above"), 0o755);
        let below = made(above.join("below"), 0o755);
        Place::check(&below).unwrap();
        for (mode, who) in [
            (0o775, "its group (mode 0775)"),
            (0o757, "everybody (mode 0757)"),
            (0o777, "everybody (mode 0777)"),
        ] {
            set_permissions(&above, Permissions::from_mode(mode)).unwrap();
            let text = refused(&below);
            let mend = format!("run: chmod go-w {}", above.canonicalize().unwrap().display());
            assert!(text.contains(who) && text.ends_with(&mend), "{text}");
        }
        set_permissions(&above, Permissions::from_mode(0o1777)).unwrap();
        Place::check(&below).unwrap();
    }

    #[test]
    fn a_directory_of_somebody_else_is_refused_by_its_name() {
        if !rustix::process::geteuid().is_root() {
            // Only root can give a directory away; the judgement itself is tested below.
            return;
        }
        let home = private_dir();
        let above = made(home.path().join("above"), 0o755);
        let below = made(above.join("below"), 0o755);
        chown(&above, Some(4711), None).unwrap();
        let text = refused(&below);
        let mend = format!("run: chown 0 {}", above.canonicalize().unwrap().display());
        assert!(
            text.contains("belongs to user 4711") && text.ends_with(&mend),
            "{text}"
        );
    }

    #[test]
    fn what_leads_to_the_program_is_trusted_as_far_as_that() {
        let home = private_dir();
        let stat = |mode, owner| {
            set_permissions(home.path(), Permissions::from_mode(mode)).unwrap();
            let mut stat = rustix::fs::stat(home.path()).unwrap();
            stat.st_uid = owner;
            stat
        };
        let judge = |mode, owner, trusted| {
            let judged = judge_stat(home.path(), &stat(mode, owner), 1000, trusted, |_| false);
            matches!(judged, Ok(None))
        };
        assert!(judge(0o755, 0, false) && judge(0o755, 1000, false));
        assert!(!judge(0o755, 1001, false) && judge(0o755, 1001, true));
        assert!(!judge(0o775, 1000, false) && judge(0o775, 1000, true));
        assert!(!judge(0o777, 1000, false) && !judge(0o777, 1000, true));
        assert!(judge(0o1777, 1000, false) && !judge(0o1777, 1001, false));
    }

    #[test]
    fn a_group_with_nobody_else_in_it_may_write_a_directory() {
        let home = private_dir();
        let judge = |mode, private: u32| {
            set_permissions(home.path(), Permissions::from_mode(mode)).unwrap();
            let mut stat = rustix::fs::stat(home.path()).unwrap();
            (stat.st_uid, stat.st_gid) = (1000, 1000);
            judge_stat(home.path(), &stat, 1000, false, |group| group == private).unwrap()
        };
        assert_eq!(judge(0o775, 1000), None);
        assert_eq!(judge(0o775, 1001), Some("its group"));
        assert_eq!(judge(0o777, 1000), Some("everybody"));
    }

    #[test]
    fn all_that_is_to_be_mended_is_told_at_once() {
        let home = private_dir();
        let above = made(home.path().join("above"), 0o777);
        let between = made(above.join("between"), 0o755);
        let below = made(between.join("below"), 0o757);
        let real = |path: &Path| path.canonicalize().unwrap().display().to_string();
        let text = refused(&below);
        let mend = format!("run: chmod go-w {} {}", real(&above), real(&below));
        assert!(text.ends_with(&mend), "{text}");
    }

    #[test]
    fn a_link_on_the_way_is_followed_once_and_what_it_leads_to_is_judged() {
        let home = private_dir();
        let real = made(home.path().join("real"), 0o775);
        let link = home.path().join("link");
        symlink(&real, &link).unwrap();
        assert!(refused(&link).contains("real"));
        set_permissions(&real, Permissions::from_mode(0o755)).unwrap();
        assert_eq!(Place::check(&link).unwrap().real(), real.canonicalize().unwrap());
    }
}
