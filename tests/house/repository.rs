//! What the repository holds: its tracked files, and what cargo knows of its packages.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use cargo_metadata::{CargoOpt, Metadata, MetadataCommand};

/// What Busbar is built for; a dependency of another system is never part of it.
const PLATFORMS: [&str; 3] = [
    "x86_64-unknown-linux-gnu",
    "aarch64-unknown-linux-gnu",
    "armv7-unknown-linux-gnueabihf",
];

/// A tracked file.
#[derive(Debug)]
pub(crate) struct File {
    /// Its path from the root of the repository.
    pub(crate) path: String,
    /// What it says; empty for a picture and the like.
    pub(crate) text: String,
}

impl File {
    /// Its lines without line comments, counted from 1.
    pub(crate) fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(i, line)| {
            let end = line
                .match_indices("//")
                .map(|(at, _)| at)
                .find(|at| !line[..*at].ends_with(':'));
            (i + 1, &line[..end.unwrap_or(line.len())])
        })
    }

    /// The line at which tests begin: the first of a file of tests, that of the test module, or none.
    pub(crate) fn tests_begin(&self) -> usize {
        let file_of_tests = self.path.starts_with("tests/")
            || self.path.contains("/tests/")
            || self.path.ends_with("/tests.rs");
        if file_of_tests {
            return 1;
        }
        let lines: Vec<&str> = self.text.lines().map(str::trim).collect();
        let module = |pair: &[&str]| {
            pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod ") && pair[1].ends_with('{')
        };
        lines.windows(2).position(module).map_or(usize::MAX, |i| i + 1)
    }
}

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every tracked file.
pub(crate) fn files() -> &'static [File] {
    static FILES: OnceLock<Vec<File>> = OnceLock::new();
    FILES.get_or_init(|| {
        // Another user's clone is as good: nothing of it is run.
        let listed = Command::new("git")
            .args(["-c", "safe.directory=*", "ls-files", "-z"])
            .current_dir(root())
            .env_remove("GIT_DIR")
            .env_remove("GIT_INDEX_FILE")
            .output()
            .expect("git is installed");
        assert!(
            listed.status.success(),
            "git ls-files: {}",
            String::from_utf8_lossy(&listed.stderr)
        );
        let paths = String::from_utf8(listed.stdout).expect("paths are UTF-8");
        let files = paths
            .split('\0')
            .filter(|path| !path.is_empty())
            .filter_map(|path| {
                let bytes = std::fs::read(root().join(path)).ok()?;
                Some(File {
                    path: path.to_owned(),
                    text: String::from_utf8(bytes).unwrap_or_default(),
                })
            });
        files.collect()
    })
}

/// Every tracked Rust file.
pub(crate) fn rust() -> impl Iterator<Item = &'static File> {
    files().iter().filter(|file| file.path.ends_with(".rs"))
}

/// Where `word` stands in `line` as a word of its own.
pub(crate) fn has_word(line: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word)
        .any(|(at, _)| !line[..at].ends_with(part) && !line[at + word.len()..].starts_with(part))
}

/// Fails with every finding, one a line.
#[track_caller]
pub(crate) fn none_of(findings: &[String], rule: &str) {
    assert!(findings.is_empty(), "{rule}\n  {}\n", findings.join("\n  "));
}

/// The packages of the workspace, without those from outside.
pub(crate) fn workspace() -> &'static Metadata {
    static WORKSPACE: OnceLock<Metadata> = OnceLock::new();
    WORKSPACE.get_or_init(|| metadata(MetadataCommand::new().no_deps()))
}

/// All packages that Busbar is made of on the systems that it supports.
pub(crate) fn everything() -> &'static Metadata {
    static EVERYTHING: OnceLock<Metadata> = OnceLock::new();
    EVERYTHING.get_or_init(|| {
        let platforms = PLATFORMS
            .iter()
            .flat_map(|p| ["--filter-platform".to_owned(), (*p).to_owned()]);
        metadata(
            MetadataCommand::new()
                .features(CargoOpt::AllFeatures)
                .other_options(platforms.collect::<Vec<_>>()),
        )
    })
}

fn metadata(command: &mut MetadataCommand) -> Metadata {
    command
        .manifest_path(root().join("Cargo.toml"))
        .exec()
        .expect("cargo metadata")
}
