//! What can go wrong with the files, said so that an owner knows what to do next.

use std::io;
use std::path::{Path, PathBuf};

/// Why the store could not do what was asked. Nothing that ended in an error was acknowledged: it is not stored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// There is nothing to read yet.
    #[error("{} does not exist", path.display())]
    Missing {
        /// The file that was looked for.
        path: PathBuf,
    },
    /// Another host runs on this data directory.
    #[error("{} is in use by another Busbar{}", dir.display(), pid.map(|p| format!(" (process {p})")).unwrap_or_default())]
    Locked {
        /// The data directory.
        dir: PathBuf,
        /// The other host, where its lock file says.
        pid: Option<u32>,
    },
    /// Another program holds the database.
    #[error("{} is held by another program and was not released in time", path.display())]
    Busy {
        /// The database.
        path: PathBuf,
    },
    /// No space left, or a quota reached.
    #[error("no space left on the disk that holds {}", path.display())]
    DiskFull {
        /// What was to be written.
        path: PathBuf,
    },
    /// A file system or a file that cannot be written.
    #[error("{} is read-only", path.display())]
    ReadOnly {
        /// What was to be written.
        path: PathBuf,
    },
    /// The process may not.
    #[error("no permission to open {}", path.display())]
    Permission {
        /// What was to be opened.
        path: PathBuf,
    },
    /// Not a database at all.
    #[error("{} is not a database", path.display())]
    NotADatabase {
        /// The file.
        path: PathBuf,
    },
    /// A database, but another program's.
    #[error("{} belongs to another program (application id {application_id:#010x})", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What its header says.
        application_id: u32,
    },
    /// A database that contradicts itself.
    #[error("{} is damaged: {detail}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What SQLite found.
        detail: String,
    },
    /// Written by a newer Busbar.
    #[error("{} has schema {found}; this program knows {known}", path.display())]
    SchemaNewer {
        /// The file.
        path: PathBuf,
        /// The schema of the file.
        found: i64,
        /// The newest schema that this program knows.
        known: i64,
    },
    /// Written by an older Busbar, and only a host may migrate it.
    #[error("{} has schema {found}; this program needs {known}", path.display())]
    SchemaOlder {
        /// The file.
        path: PathBuf,
        /// The schema of the file.
        found: i64,
        /// The schema that this program needs.
        known: i64,
    },
    /// A migration failed; the file is as it was before.
    #[error("{} could not be brought to this program's schema: {detail}", path.display())]
    Migration {
        /// The file.
        path: PathBuf,
        /// Why.
        detail: String,
    },
    /// The file was moved, removed or exchanged under a running host.
    #[error("{} was removed or replaced while it was open", path.display())]
    Replaced {
        /// Where the file was.
        path: PathBuf,
    },
    /// The disk or the file system failed.
    #[error("{}: {detail}", path.display())]
    Io {
        /// What was being read or written.
        path: PathBuf,
        /// What the system said.
        detail: String,
    },
    /// Something that is no file has the name of one.
    #[error("{} is no ordinary file", path.display())]
    NoFile {
        /// What lies there.
        path: PathBuf,
    },
    /// A file is there already, and shall not be written over.
    #[error("{} is there already", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Something that does not exist was named.
    #[error("there is no {what} {id:?}")]
    Unknown {
        /// What kind of thing.
        what: &'static str,
        /// Its name or id.
        id: String,
    },
    /// A connection of this name exists.
    #[error("a connection named {name:?} exists already")]
    NameTaken {
        /// The name.
        name: String,
    },
    /// What was given cannot be stored.
    #[error("{what} {value:?} cannot be stored: expected {expected}")]
    Invalid {
        /// What it is.
        what: &'static str,
        /// What was given.
        value: String,
        /// What would do.
        expected: &'static str,
    },
    /// The store was closed before.
    #[error("{} is closed", path.display())]
    Closed {
        /// The file.
        path: PathBuf,
    },
    /// SQLite refused for a reason that is none of the above: a mistake of this program.
    #[error("{}: {detail}", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        detail: String,
    },
}

impl StoreError {
    /// A stable word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "registry_missing",
            Self::Locked { .. } => "data_dir_locked",
            Self::Busy { .. } => "database_busy",
            Self::DiskFull { .. } => "disk_full",
            Self::ReadOnly { .. } => "read_only",
            Self::Permission { .. } => "permission",
            Self::NotADatabase { .. } => "not_a_database",
            Self::Foreign { .. } => "foreign_database",
            Self::Damaged { .. } => "database_damaged",
            Self::SchemaNewer { .. } => "schema_newer",
            Self::SchemaOlder { .. } => "schema_older",
            Self::Migration { .. } => "migration_failed",
            Self::Replaced { .. } => "database_replaced",
            Self::Io { .. } => "io",
            Self::NoFile { .. } => "no_file",
            Self::Exists { .. } => "exists",
            Self::Unknown { .. } => "unknown",
            Self::NameTaken { .. } => "name_taken",
            Self::Invalid { .. } => "invalid",
            Self::Closed { .. } => "closed",
            Self::Database { .. } => "database",
        }
    }

    /// What to do next, as one sentence for the owner.
    pub fn hint(&self) -> String {
        match self {
            Self::Missing { .. } => {
                "Set a connection up first (`busbar scan URL --save`), or name the right directory with --data-dir."
                    .into()
            }
            Self::Locked { pid: Some(pid), .. } => {
                format!(
                    "A host, or `busbar setup` in another terminal: end it there (process {pid}), or give this one a directory of \
                     its own with --data-dir."
                )
            }
            Self::Locked { pid: None, .. } => {
                "End it (a host, or `busbar setup` in another terminal), or give this one a directory of its own with --data-dir.".into()
            }
            Self::Busy { .. } => "Close the program that has the database open, then try again.".into(),
            Self::DiskFull { .. } => "Free some space; what is already stored is safe.".into(),
            Self::ReadOnly { .. } => {
                "Make it writable (its mode, or the mount), or name another directory with --data-dir.".into()
            }
            Self::Permission { .. } => {
                "Run as the user who owns the data directory, or give it to this user.".into()
            }
            Self::NotADatabase { .. } | Self::Foreign { .. } | Self::Damaged { .. } => {
                "Start the host: it sets the file aside and restores the last backup.".into()
            }
            Self::SchemaNewer { .. } => {
                "Use the newer Busbar that wrote it, or an older data directory.".into()
            }
            Self::SchemaOlder { .. } => "Start the host once: it brings the file up to date.".into(),
            Self::Migration { .. } => {
                "The file is unchanged: use the Busbar that wrote it, and report this.".into()
            }
            Self::Replaced { .. } => {
                "Restart the host; it restores the last backup where the file is gone.".into()
            }
            Self::Io { .. } => "Check the disk and the path; what is already stored is untouched.".into(),
            Self::Exists { .. } => "Choose another name, or write over it with --force.".into(),
            Self::NoFile { .. } => "Move it away yourself, then try again.".into(),
            Self::Unknown { what: "intent", .. } => {
                "This is a fault of Busbar: please report it with this message.".into()
            }
            Self::Unknown { .. } => "`busbar devices` and `busbar entities` list what there is.".into(),
            Self::NameTaken { .. } => "Choose another name.".into(),
            Self::Invalid { expected, .. } => format!("Give {expected}."),
            Self::Closed { .. } => "The host is stopping.".into(),
            Self::Database { .. } => "This is a fault of Busbar: please report it with this message.".into(),
        }
    }

    /// Whether the file itself is of no use, so that it may be set aside.
    pub(crate) fn is_unusable_file(&self) -> bool {
        matches!(
            self,
            Self::NotADatabase { .. } | Self::Foreign { .. } | Self::Damaged { .. }
        )
    }

    /// The same of the file that was copied, where the copy shows what is wrong with it.
    pub(crate) fn of_file(self, of: &Path) -> Self {
        let path = of.to_owned();
        match self {
            Self::NotADatabase { .. } => Self::NotADatabase { path },
            Self::Foreign { application_id, .. } => Self::Foreign { path, application_id },
            Self::Damaged { detail, .. } => Self::Damaged { path, detail },
            Self::SchemaNewer { found, known, .. } => Self::SchemaNewer { path, found, known },
            Self::Migration { detail, .. } => Self::Migration { path, detail },
            other => other,
        }
    }

    pub(crate) fn io(path: &Path, error: &io::Error) -> Self {
        let path = path.to_owned();
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { path },
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly { path },
            io::ErrorKind::PermissionDenied => Self::Permission { path },
            io::ErrorKind::NotFound => Self::Missing { path },
            _ => Self::Io {
                path,
                detail: error.to_string(),
            },
        }
    }

    pub(crate) fn sqlx(path: &Path, error: sqlx::Error) -> Self {
        let path = path.to_owned();
        let database = match error {
            sqlx::Error::Database(database) => database,
            sqlx::Error::Io(e) => return Self::io(&path, &e),
            sqlx::Error::PoolTimedOut => return Self::Busy { path },
            sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => return Self::Closed { path },
            // A column that does not hold what the schema promises.
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => {
                return Self::Damaged {
                    path,
                    detail: error.to_string(),
                };
            }
            other => {
                return Self::Database {
                    path,
                    detail: other.to_string(),
                };
            }
        };
        let detail = database.message().to_owned();
        let code: i32 = database.code().and_then(|c| c.parse().ok()).unwrap_or(0);
        // The low byte of SQLite's extended result codes: https://www.sqlite.org/rescode.html
        match code & 0xff {
            3 | 23 => Self::Permission { path },
            5 | 6 => Self::Busy { path },
            8 if code == READONLY_DBMOVED => Self::Replaced { path },
            8 => Self::ReadOnly { path },
            10 if is_full(&path) => Self::DiskFull { path },
            10 => Self::Io {
                path,
                detail: format!("{detail} (SQLite code {code})"),
            },
            11 => Self::Damaged { path, detail },
            13 => Self::DiskFull { path },
            14 => Self::cannot_open(path, detail),
            26 => Self::NotADatabase { path },
            _ => Self::Database {
                path,
                detail: format!("{detail} (SQLite code {code})"),
            },
        }
    }

    /// SQLite says only that it could not open; the file system knows why.
    fn cannot_open(path: PathBuf, detail: String) -> Self {
        match std::fs::File::open(&path) {
            Err(e) => Self::io(&path, &e),
            Ok(_) => Self::Io { path, detail },
        }
    }
}

/// Whether the disk is to blame for an I/O error: SQLite says `full` only where it writes the database itself.
fn is_full(path: &Path) -> bool {
    let parent = path.parent().unwrap_or(path);
    rustix::fs::statvfs(parent).is_ok_and(|disk| disk.f_bavail.saturating_mul(disk.f_frsize) < NO_SPACE)
}

/// Bytes free that are as good as none: less than SQLite's shared memory takes.
const NO_SPACE: u64 = 64 << 10;
const READONLY_DBMOVED: i32 = 8 | (4 << 8);
