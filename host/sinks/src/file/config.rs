//! `[[file]]` of `busbar.toml`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::encode::Format;
use super::output::Rotation;
use crate::samples::Rhythm;
use crate::select::Select;
use crate::size::parse_size;
use crate::span::parse_span;

/// What a path of `-` means.
pub const STDOUT: &str = "-";
/// Old files that are kept where nobody says otherwise.
const KEEP: u32 = 10;
/// And never more: each is renamed when one is added.
const MOST_KEPT: u32 = 1000;
/// The smallest file that is rotated, in bytes.
const SMALLEST: u64 = 4 << 10;

/// `[[file]]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileConfig {
    /// `jsonl` or `csv`.
    pub format: Format,
    /// The file, or `-` for standard output.
    pub path: PathBuf,
    /// When a new file is begun: a size such as `10MiB`, or `daily`; left out: never.
    pub rotate: Option<String>,
    /// How many old files are kept.
    pub keep: Option<u32>,
    /// Whether old files are packed with gzip.
    #[serde(default)]
    pub compress: bool,
    /// Which entities; none means every one.
    #[serde(default)]
    pub entities: Vec<String>,
    /// The shortest time between two values of one entity.
    pub interval: Option<String>,
    /// Whether a value that stands still is not written once a minute all the same.
    #[serde(default)]
    pub changes_only: bool,
}

/// The same, checked.
#[derive(Clone, Debug)]
pub struct Checked {
    /// When a new file is begun.
    pub rotation: Rotation,
    /// How many old ones are kept, and whether packed.
    pub keep: u32,
    /// Which entities.
    pub select: Select,
    /// How often.
    pub rhythm: Rhythm,
}

impl FileConfig {
    /// Whether it writes to standard output.
    pub fn is_stdout(&self) -> bool {
        self.path == Path::new(STDOUT)
    }

    /// Checks what a type cannot say. Pure.
    ///
    /// # Errors
    /// A sentence that names the key, and says what to write instead.
    pub fn check(&self) -> Result<Checked, String> {
        let place = format!("file {:?}", self.path);
        if self.path.as_os_str().is_empty() || self.path.file_name().is_none() {
            return Err(format!(
                "{place}: write the path of a file, or \"-\" for standard output"
            ));
        }
        let rotation = match self.rotate.as_deref() {
            None => Rotation::Never,
            Some("daily") => Rotation::Daily,
            Some(size) => Rotation::Size(
                parse_size(size)
                    .map_err(|e| format!("{place}: rotate: {e}, or \"daily\""))?
                    .max(SMALLEST),
            ),
        };
        if self.is_stdout() && (rotation != Rotation::Never || self.keep.is_some() || self.compress) {
            return Err(format!(
                "{place}: standard output is not rotated: leave out rotate, keep and compress"
            ));
        }
        let interval = self.interval.as_deref().map(parse_span).transpose();
        Ok(Checked {
            rotation,
            keep: match self.keep.unwrap_or(KEEP) {
                keep @ 1..=MOST_KEPT => keep,
                other => return Err(format!("{place}: keep = {other}: write 1 to {MOST_KEPT}")),
            },
            select: Select::of(&self.entities).map_err(|e| format!("{place}: {e}"))?,
            rhythm: Rhythm {
                interval: interval
                    .map_err(|e| format!("{place}: interval: {e}"))?
                    .unwrap_or(Duration::ZERO),
                changes_only: self.changes_only,
            },
        })
    }
}

/// Checks all of them together.
///
/// # Errors
/// As for one; two that write to the same place.
pub fn check_all(files: &[FileConfig]) -> Result<(), String> {
    for (i, file) in files.iter().enumerate() {
        file.check()?;
        if files[..i].iter().any(|other| other.path == file.path) {
            return Err(format!(
                "file {:?} stands twice: give each a path of its own",
                file.path
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Result<Checked, String> {
        toml::from_str::<FileConfig>(text).unwrap().check()
    }

    #[test]
    fn what_cannot_be_is_refused_with_what_to_write() {
        let good = config("format = \"csv\"\npath = \"a.csv\"\nrotate = \"1MiB\"\nkeep = 3").unwrap();
        assert_eq!((good.rotation, good.keep), (Rotation::Size(1 << 20), 3));
        for (text, word) in [
            ("format = \"csv\"\npath = \"\"", "path"),
            ("format = \"csv\"\npath = \"/\"", "path"),
            ("format = \"csv\"\npath = \"a\"\nrotate = \"weekly\"", "daily"),
            ("format = \"csv\"\npath = \"a\"\nkeep = 0", "1 to 1000"),
            (
                "format = \"csv\"\npath = \"-\"\nrotate = \"daily\"",
                "standard output",
            ),
            ("format = \"csv\"\npath = \"a\"\ninterval = \"x\"", "10s"),
        ] {
            let error = config(text).unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
        let one: FileConfig = toml::from_str("format = \"jsonl\"\npath = \"a\"").unwrap();
        assert!(check_all(&[one.clone(), one]).unwrap_err().contains("twice"));
    }
}
