//! `busbar plugin new`: a project for a plugin, outside of this repository, that builds, tests and loads as it is.

mod files;

use std::fs::{DirBuilder, File};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde_json::json;

use super::output::Output;
use crate::error::{HostError, Result};
use crate::format::visible;

/// Names of plugins that would be taken for something else.
const RESERVED: [&str; 1] = ["sdk"];

/// A command's longest line: two blanks stand before it on a terminal of 80 columns.
const MOST_COLUMNS: usize = 78;

/// The language of a new plugin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Lang {
    /// Rust, with cargo
    #[default]
    Rust,
    /// C, with make and cc
    C,
}

/// `busbar plugin new`
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n  \
    busbar plugin new acme\n  \
    busbar plugin new acme --lang c --dir acme-plugin\n\n\
    The project has a ledger, a discovery and their tests, for a meter that is invented; it builds and loads as it is. \
    docs/plugins.md of Busbar's sources says how to go on.")]
pub struct PluginNewArgs {
    /// The plugin's name: 1 to 32 of a-z, 0-9 and -
    pub name: String,
    /// The language to write it in
    #[arg(long, value_enum, default_value_t)]
    pub lang: Lang,
    /// Where to put the project (default: busbar-plugin-NAME)
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// Runs the command. `taken` are the plugins that are found already.
pub fn run(args: &PluginNewArgs, output: Output, taken: &[String]) -> Result<()> {
    check_name(&args.name, taken)?;
    let dir = match &args.dir {
        Some(dir) => dir.clone(),
        None => PathBuf::from(format!("busbar-plugin-{}", args.name)),
    };
    make_room(&dir)?;
    let files = files::project(&args.name, args.lang);
    for (path, text) in &files {
        write(&dir.join(path), text)?;
    }
    let next = next(&args.name, args.lang, &dir);
    if output.is_json() {
        return output.document(&json!({
            "plugin": args.name,
            "lang": match args.lang { Lang::Rust => "rust", Lang::C => "c" },
            "dir": dir,
            "files": files.iter().map(|(path, _)| path).collect::<Vec<_>>(),
            "next": next.iter().map(|(command, _)| command).collect::<Vec<_>>(),
        }));
    }
    output.line(&format!(
        "{} {}: {} files; its README.md says how to go on",
        output.green("made"),
        visible(&dir.display().to_string()),
        files.len()
    ));
    output.line("");
    output.line("Next:");
    for (command, what) in &next {
        output.line(&format!("  {}", output.dim(what)));
        for line in folded(command) {
            output.line(&format!("  {}", visible(&line)));
        }
    }
    Ok(())
}

fn check_name(name: &str, taken: &[String]) -> Result<()> {
    // The maker in a ledger's name begins with a letter or a digit.
    if !busbar_plugin_sdk::is_name(name.as_bytes()) || name.starts_with('-') {
        return Err(HostError::usage(
            format!("{name:?} cannot be a plugin's name"),
            "Choose 1 to 32 of a-z, 0-9 and -, such as acme or acme-meters; it begins with a letter or a digit.",
        ));
    }
    if RESERVED.contains(&name) || taken.iter().any(|other| other == name) {
        return Err(HostError::usage(
            format!("there is a plugin {name:?} already"),
            "Choose another name: of two plugins that are called the same only one is loaded.",
        ));
    }
    Ok(())
}

/// The directory, new or empty.
fn make_room(dir: &Path) -> Result<()> {
    let cannot = |error: &std::io::Error| {
        HostError::io(
            format_args!("cannot make {}", dir.display()),
            error,
            "Name another directory with --dir.",
        )
    };
    match dir.read_dir().map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Ok(false) => Err(HostError::usage(
            format!("{} is there already, and is not empty", dir.display()),
            "Name another directory with --dir, or remove this one; nothing is written over.",
        )),
        Err(error) if error.kind() == ErrorKind::NotFound => folder(dir).map_err(|e| cannot(&e)),
        Err(error) => Err(cannot(&error)),
    }
}

/// Makes a folder, and those above it, that no group may write to: Busbar takes no plugin out of another.
fn folder(path: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o755).create(path)
}

fn write(path: &Path, text: &str) -> Result<()> {
    let written = path
        .parent()
        .map_or(Ok(()), folder)
        .and_then(|()| File::create_new(path))
        .and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| {
        HostError::io(
            format_args!("cannot write {}", path.display()),
            &error,
            "Check the disk and its permissions; what was written so far can be removed.",
        )
    })
}

/// What to type now, and what for.
fn next(name: &str, lang: Lang, dir: &Path) -> Vec<(String, &'static str)> {
    let (build, test, library) = match lang {
        Lang::Rust => ("cargo build --release", "cargo test", "target/release"),
        Lang::C => ("make", "make test", "build"),
    };
    let url = "modbus+tcp://127.0.0.1:1502";
    vec![
        (format!("cd {}", quoted(dir)), "# where it lies"),
        (build.to_owned(), "# build it"),
        (test.to_owned(), "# test it, without a device"),
        (
            format!("busbar simulate ledgers/{name}/meter.toml --listen {url}"),
            "# try it: a meter in one terminal,",
        ),
        (
            format!("busbar scan {url} --plugin {name} --plugin-dir {library}"),
            "# and a scan in another",
        ),
    ]
}

/// A command of Busbar's in lines that a narrow terminal shows whole, and that a shell takes for one: broken before options.
fn folded(command: &str) -> Vec<String> {
    let breaks = command.starts_with("busbar ") && command.chars().count() > MOST_COLUMNS;
    let mut lines: Vec<String> = Vec::new();
    for (i, part) in command.split(" --").enumerate() {
        let part = if i > 0 {
            format!("--{part}")
        } else {
            part.to_owned()
        };
        match lines.last_mut() {
            // The blank before, and the blank and the backslash that may follow.
            Some(line) if !breaks || line.chars().count() + part.chars().count() + 3 <= MOST_COLUMNS => {
                line.push(' ');
                line.push_str(&part);
            }
            Some(line) => {
                line.push_str(" \\");
                lines.push(format!("    {part}"));
            }
            None => lines.push(part),
        }
    }
    lines
}

/// The path as a shell takes it for one word.
fn quoted(path: &Path) -> String {
    let mut text = path.display().to_string();
    if text.starts_with('-') {
        // It would be taken for an option.
        text.insert_str(0, "./");
    }
    let plain = |c: char| c.is_alphanumeric() || "/._-+".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_checked() {
        let taken = ["generic".to_owned()];
        for good in ["a", "acme-9", "9", &"a".repeat(32)] {
            assert!(check_name(good, &taken).is_ok(), "{good}");
        }
        for bad in [
            "",
            "Acme",
            "a_b",
            "a/b",
            "..",
            "ä",
            "-a",
            &"a".repeat(33),
            "sdk",
            "generic",
        ] {
            assert!(check_name(bad, &taken).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_there_is_not_written_over() {
        let dir = tempfile::tempdir().unwrap();
        assert!(make_room(dir.path()).is_ok(), "an empty one may be there");
        assert!(make_room(&dir.path().join("a/b")).is_ok());
        write(&dir.path().join("file"), "mine").unwrap();
        assert!(make_room(dir.path()).is_err());
        assert!(make_room(&dir.path().join("file")).is_err());
        assert!(write(&dir.path().join("file"), "yours").is_err());
        assert_eq!(std::fs::read_to_string(dir.path().join("file")).unwrap(), "mine");
    }

    #[test]
    fn what_to_type_fits_a_narrow_terminal() {
        for name in ["acme", &"a".repeat(32)] {
            for lang in [Lang::Rust, Lang::C] {
                for (command, what) in next(name, lang, Path::new("busbar-plugin-acme")) {
                    let lines = folded(&command);
                    assert!(lines.iter().all(|line| line.chars().count() <= 78), "{lines:#?}");
                    assert!(what.len() <= 78);
                    let typed = lines.join("\n").replace("\\\n    ", "");
                    assert_eq!(typed, command, "a shell takes it for the same");
                }
            }
        }
        assert_eq!(folded("cd 'a --b'"), ["cd 'a --b'"]);
    }

    #[test]
    fn a_path_is_one_word() {
        assert_eq!(quoted(Path::new("a/b-c")), "a/b-c");
        assert_eq!(quoted(Path::new("-rf")), "./-rf");
        assert_eq!(quoted(Path::new("it's here")), r"'it'\''s here'");
    }
}
