//! Why a library is refused, in one line each, before any of its code has run.

use std::io;
use std::path::PathBuf;

/// Why a file is not loaded. The text names the cause and, where there is one, what to do; the caller knows the path.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoaderError {
    /// The directory that was asked for cannot be read.
    #[error("cannot read the plugin directory: {0}")]
    Directory(io::Error),
    /// There are more libraries than anybody has.
    #[error("more than {0} plugin libraries in this directory; the rest is not looked at")]
    Crowded(usize),
    /// The file cannot be opened or read.
    #[error("cannot read it: {0}")]
    Io(#[from] io::Error),
    /// The last part of the path is a symbolic link.
    #[error("is a symbolic link; name the file that it leads to")]
    Symlink,
    /// A directory, a device or a pipe.
    #[error("is not a regular file")]
    NotAFile,
    /// Somebody else may change it.
    #[error(
        "belongs to user {owner}; a plugin must belong to root or to the user that runs busbar (chown it)"
    )]
    Owner {
        /// Who owns it.
        owner: u32,
    },
    /// Somebody else may change it.
    #[error("is writable by {who} (mode {mode:04o}); run: chmod go-w {}", path.display())]
    Writable {
        /// `"everybody"` or `"its group"`.
        who: &'static str,
        /// Its permission bits.
        mode: u32,
        /// The file to mend.
        path: PathBuf,
    },
    /// Somebody else may exchange it, from a directory above it.
    #[error(
        "the directory {} belongs to user {owner}, who could exchange what is in it; run: chown {user} {}",
        path.display(), path.display()
    )]
    DirectoryOwner {
        /// Who owns the directory.
        owner: u32,
        /// The user that runs busbar.
        user: u32,
        /// The directory to mend.
        path: PathBuf,
    },
    /// Somebody else may exchange it, from a directory above it.
    #[error(
        "the directory {} is writable by {who} (mode {mode:04o}), who could exchange what is in it; run: chmod go-w{}",
        path.display(), list(mend)
    )]
    DirectoryWritable {
        /// `"everybody"` or `"its group"`.
        who: &'static str,
        /// Its permission bits.
        mode: u32,
        /// The first such directory.
        path: PathBuf,
        /// All such directories on the way, to be mended at once.
        mend: Vec<PathBuf>,
    },
    /// Somebody put a link where a directory was.
    #[error("the directory {} was exchanged while it was looked at; look again", .0.display())]
    Moved(PathBuf),
    /// Larger than any plugin.
    #[error("has {size} bytes; a plugin has at most {limit}")]
    TooLarge {
        /// Its size.
        size: u64,
        /// The largest that is taken.
        limit: u64,
    },
    /// Not a library at all.
    #[error("is not an ELF file")]
    NotElf,
    /// An object file, a program, …
    #[error("is not a shared library (ELF type {0})")]
    NotALibrary(u16),
    /// Built for another processor.
    #[error("is built for {theirs}; this host is {ours}")]
    Machine {
        /// What it is built for.
        theirs: String,
        /// What this program is built for.
        ours: String,
    },
    /// Its tables lead outside of the file.
    #[error("is truncated or damaged: {0}; build or copy it again")]
    Damaged(String),
    /// A library, but no plugin.
    #[error(
        "is not a Busbar plugin (no section {}); does it call busbar_plugin_sdk::export!, or BUSBAR_PLUGIN in C?",
        busbar_plugin_sdk::abi::RECORD_SECTION
    )]
    NoRecord,
    /// A record, but nothing to load.
    #[error(
        "does not export {}; is it hidden by a linker script, or was the library stripped of its exports?",
        busbar_plugin_sdk::abi::ENTRY_SYMBOL
    )]
    NoEntry,
    /// The section holds something else.
    #[error("its plugin record does not begin with the magic bytes")]
    Magic,
    /// Built against another SDK.
    #[error(
        "is built for plugin ABI {theirs_major}.{theirs_minor}; this host has {}.{}; build it with this host's SDK",
        busbar_plugin_sdk::abi::ABI_MAJOR,
        busbar_plugin_sdk::abi::ABI_MINOR
    )]
    Abi {
        /// Its major version.
        theirs_major: u16,
        /// Its minor version.
        theirs_minor: u16,
    },
    /// Same version, other memory layout.
    #[error("its {what} differs from this host's; build it with this host's SDK and for this target")]
    Layout {
        /// Which part differs.
        what: &'static str,
    },
    /// Its panics could not be caught.
    #[error("is built with panic=abort, so that one panic would end its process; build it with panic=unwind")]
    PanicAborts,
    /// What it says about itself is not valid.
    #[error("its {field} is not valid: {rule}")]
    Identity {
        /// `"name"` or `"version"`.
        field: &'static str,
        /// What it must be.
        rule: &'static str,
    },
    /// Not the file that the owner pinned.
    #[error("its sha256 is {found}, but {pinned} is pinned; change the pin only if you trust this file")]
    Pin {
        /// The hash of this file.
        found: String,
        /// The hash that it should have.
        pinned: String,
    },
    /// What the owner wrote as its pin can be no file's hash.
    #[error("its pin is no sha256 (64 hexadecimal digits); this file has {found}")]
    NoPin {
        /// The hash of this file.
        found: String,
    },
}

/// Paths, each after a blank.
fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| format!(" {}", path.display())).collect()
}
