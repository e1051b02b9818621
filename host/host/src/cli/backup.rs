//! `busbar backup`: a copy of the registry now, and the list of those that there are.

use std::path::{Path, PathBuf};

use busbar_store::{Contents, Copy, Made, StoreError, contents, copies};
use clap::Args;
use serde::Serialize;

use super::grid::{Column, Grid, Room, Style};
use super::output::Output;
use crate::clock;
use crate::control::{BackupCall, Client, Copied};
use crate::error::{HostError, Result};
use crate::format::{self, count, visible};

/// `busbar backup`
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n  \
    busbar backup                        into backups/ of the data directory, with the date and time\n  \
    busbar backup /media/usb/home.db\n  \
    busbar backup --list                 the copies, how old they are and what is in them\n\n\
    It holds what was set up and found, and the audit; not the history. A running host makes one each day by itself and\n\
    keeps seven; those made by hand stay until you remove them. `busbar restore` takes one back.")]
pub struct BackupArgs {
    /// The file to write; a name with date and time in backups/ when left out
    #[arg(value_name = "FILE", conflicts_with = "list")]
    pub file: Option<PathBuf>,
    /// Write over a file that is there
    #[arg(long, requires = "file")]
    pub force: bool,
    /// List the copies that there are
    #[arg(long)]
    pub list: bool,
}

/// What `busbar backup --json` prints.
#[derive(Debug, Serialize)]
struct Report {
    file: PathBuf,
    bytes: u64,
    #[serde(flatten)]
    contents: Contents,
}

/// Runs the command.
pub async fn run(args: &BackupArgs, data_dir: &Path, output: Output) -> Result<()> {
    if args.list {
        return list(data_dir, output).await;
    }
    let path = copy(args, data_dir).await?;
    let contents = contents(&path).await?;
    let bytes = path.metadata().map_or(0, |m| m.len());
    if output.is_json() {
        return output.document(&Report {
            file: path,
            bytes,
            contents,
        });
    }
    output.line(&format!("Copied to {}", short(&path).display()));
    output.line(&format!("  {}, {}", holds(&contents), format::size(bytes)));
    let name = match path.parent().and_then(Path::file_name) {
        Some(dir) if args.file.is_none() && dir == "backups" => name(&path),
        _ => short(&path).display().to_string(),
    };
    output.line(&output.dim(&format!("`busbar restore {name}` takes it back.")));
    Ok(())
}

/// By the running host, or by this process where none runs.
async fn copy(args: &BackupArgs, data_dir: &Path) -> Result<PathBuf> {
    let absolute = |file: &PathBuf| {
        std::path::absolute(file).map_err(|e| HostError::io("cannot tell where this is", &e, "Give a path."))
    };
    let to = args.file.as_ref().map(absolute).transpose()?;
    if let Some(place) = to.as_deref().map(parent).filter(|place| !place.is_dir()) {
        return Err(HostError::failed(
            "no_directory",
            format!("{} is not there", place.display()),
            "Make it first, or name another place.",
        ));
    }
    if let Some(mut host) = Client::connect(data_dir).await? {
        let call = BackupCall {
            to,
            overwrite: args.force,
        };
        let copied: Copied = host.post("/control/backup", &call).await?;
        return Ok(copied.path);
    }
    let copied = busbar_store::backup(data_dir, to.as_deref(), args.force, clock::now_ms()).await;
    copied.map_err(|error| match error {
        StoreError::Damaged { .. } | StoreError::NotADatabase { .. } | StoreError::Foreign { .. } => {
            HostError::failed(
                error.code(),
                format!("{error}; a copy of it would be of no use"),
                "`busbar restore` takes an earlier copy; `busbar backup --list` shows them.",
            )
        }
        other => other.into(),
    })
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}

async fn list(data_dir: &Path, output: Output) -> Result<()> {
    let copies = copies(data_dir).await;
    if output.is_json() {
        return output.document(&serde_json::json!({ "backups": documents(&copies) }));
    }
    if copies.is_empty() {
        return Err(nothing(data_dir));
    }
    table(&copies, output);
    output.line("");
    output.line(&output.dim("`busbar restore NAME` takes one back."));
    Ok(())
}

/// There is no copy at all.
pub fn nothing(data_dir: &Path) -> HostError {
    HostError::nothing_found(
        format!("there is no copy of a registry in {}", data_dir.display()),
        "`busbar backup` makes one, and a running host makes one each day; another place is named with --data-dir.",
    )
}

/// The copies for programs, each with its name and its age.
fn documents(copies: &[Copy]) -> Vec<serde_json::Value> {
    let now = clock::now_ms();
    let document = |copy: &Copy| {
        let mut document = serde_json::to_value(copy).unwrap_or_default();
        document["name"] = name(&copy.path).into();
        document["age_ms"] = copy.made_ms.map(|at| now - at).into();
        document
    };
    copies.iter().map(document).collect()
}

/// The copies for people, the newest last: it stands where one looks.
pub fn table(copies: &[Copy], output: Output) {
    let mut grid = Grid::new(&[
        Column::new("copy", Room::Whole),
        Column::new("made", Room::Whole),
        Column::right("age", Room::Whole),
        Column::right("connections", Room::Optional),
        Column::right("devices", Room::Whole),
        Column::right("size", Room::Optional),
        Column::new("", Room::Optional),
    ]);
    let now = clock::now_ms();
    let plain = |text: String| (text, Style::Plain);
    for copy in copies {
        let count = |of: fn(&Contents) -> u64| {
            let contents = copy.contents.as_ref();
            plain(contents.map_or("–".to_owned(), |c| of(c).to_string()))
        };
        let made = match copy.made {
            Made::Daily => "daily",
            Made::Manual => "yours",
            Made::SetAside => "set aside",
        };
        grid.row(vec![
            plain(name(&copy.path)),
            plain(copy.made_ms.map(clock::show_minute).unwrap_or_default()),
            plain(copy.made_ms.map(|at| format::age(now - at)).unwrap_or_default()),
            count(|c| c.connections),
            count(|c| c.devices),
            plain(format::size(copy.bytes)),
            (made.to_owned(), Style::Dim),
        ]);
    }
    grid.print(output);
    for copy in copies {
        if let Some(fault) = &copy.fault {
            output.line(&output.yellow(&format!("{} is of no use: {}", name(&copy.path), visible(fault))));
        }
    }
}

/// What is in a copy, in words.
pub fn holds(contents: &Contents) -> String {
    let whole = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    let entities = match contents.entities {
        1 => "1 entity".to_owned(),
        n => format!("{n} entities"),
    };
    format!(
        "{}, {}, {entities}",
        count(whole(contents.connections), "connection"),
        count(whole(contents.devices), "device"),
    )
}

/// What one types for a copy: its file's name without what they all have in common.
pub fn name(path: &Path) -> String {
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    let dated = file
        .strip_prefix("registry-")
        .and_then(|rest| rest.strip_suffix(".db"));
    let name = dated
        .or_else(|| file.strip_prefix("registry.db."))
        .unwrap_or(&file);
    visible(name)
}

/// A path as short as it can be told: from here, where it is below.
pub fn short(path: &Path) -> PathBuf {
    let here = std::env::current_dir().ok();
    let below = here.and_then(|here| path.strip_prefix(here).ok());
    below.unwrap_or(path).to_owned()
}
