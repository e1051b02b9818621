//! `busbar restore`: a copy takes the place of the registry.

use std::path::{Path, PathBuf};

use busbar_store::{Contents, Copy, Made, Restored, StoreError, contents, copies, is_free, restore};
use clap::Args;

use super::ask;
use super::backup::{holds, name, nothing, short, table};
use super::output::Output;
use crate::clock;
use crate::control::Client;
use crate::error::{HostError, Result};
use crate::format::{self, visible};

/// `busbar restore`
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n  \
    busbar restore                       lists the copies, and asks which\n  \
    busbar restore latest\n  \
    busbar restore 2026-11-30            the copy of that day\n  \
    busbar restore /media/usb/home.db --yes\n\n\
    The host must not run. The copy is looked through first; the registry that is there is kept beside it. What was\n\
    restored is read-only: nothing is written to devices until `busbar limits --confirm`.")]
pub struct RestoreArgs {
    /// A file, the day or the name of a copy as `busbar backup --list` shows it, or `latest`
    #[arg(value_name = "FILE|DATE|latest")]
    pub copy: Option<String>,
    /// Do it without asking
    #[arg(long)]
    pub yes: bool,
}

/// The last copy that is whole.
const LATEST: &str = "latest";
/// Fewer letters of a name would mean anything.
const LEAST: usize = 4;

/// Runs the command.
pub async fn run(args: &RestoreArgs, data_dir: &Path, output: Output) -> Result<()> {
    let copies = copies(data_dir).await;
    let from = match &args.copy {
        Some(wanted) => resolve(wanted, &copies, data_dir)?,
        None => choose(&copies, data_dir, output)?,
    };
    stopped(data_dir).await?;
    let found = contents(&from).await.map_err(|error| of_no_use(error, &from))?;
    if !args.yes {
        agree(&from, &copies, &found, data_dir, output).await?;
    }
    let done = restore(data_dir, &from).await.map_err(|error| match error {
        StoreError::Locked { pid, .. } => running(data_dir, pid),
        other => of_no_use(other, &from),
    })?;
    tell(&done, output)
}

/// Which file is meant.
fn resolve(wanted: &str, copies: &[Copy], data_dir: &Path) -> Result<PathBuf> {
    let whole = |copy: &&Copy| copy.fault.is_none();
    let mut backups = copies.iter().filter(|copy| copy.made != Made::SetAside);
    if wanted == LATEST {
        return match backups.rfind(whole) {
            Some(copy) => Ok(copy.path.clone()),
            None => Err(nothing(data_dir)),
        };
    }
    let is =
        |copy: &&Copy| name(&copy.path) == wanted || copy.path.file_name().is_some_and(|file| file == wanted);
    if let Some(copy) = copies.iter().find(is) {
        return Ok(copy.path.clone());
    }
    if Path::new(wanted).symlink_metadata().is_ok() {
        return Ok(PathBuf::from(wanted));
    }
    let begins = |copy: &&Copy| wanted.len() >= LEAST && name(&copy.path).starts_with(wanted);
    let all: Vec<&Copy> = copies.iter().filter(begins).collect();
    let last = all.iter().rfind(|copy| copy.fault.is_none()).or(all.last());
    if let Some(copy) = last {
        return Ok(copy.path.clone());
    }
    Err(HostError::nothing_found(
        format!("there is no file and no copy {wanted:?}"),
        "`busbar backup --list` shows the copies; `latest` means the last one.",
    ))
}

/// Shows what there is, and asks; or says what to type.
fn choose(copies: &[Copy], data_dir: &Path, output: Output) -> Result<PathBuf> {
    if copies.is_empty() {
        return Err(nothing(data_dir));
    }
    let untold = || {
        HostError::usage(
            "which copy?",
            "`busbar restore latest`, or one by its name; `busbar backup --list` shows them.",
        )
    };
    if output.is_json() {
        return Err(untold());
    }
    table(copies, output);
    if !ask::can_ask(output) {
        return Err(untold());
    }
    match ask::text("\nWhich one (its name, its day, latest; nothing: none)?")? {
        Some(wanted) if !wanted.is_empty() => resolve(&wanted, copies, data_dir),
        _ => Err(declined()),
    }
}

/// No host may run: it holds the registry that is to be exchanged.
async fn stopped(data_dir: &Path) -> Result<()> {
    let pid = match is_free(data_dir) {
        Err(StoreError::Locked { pid, .. }) => pid,
        _ => match Client::connect(data_dir).await {
            Ok(Some(_)) => None,
            _ => return Ok(()),
        },
    };
    Err(running(data_dir, pid))
}

fn running(data_dir: &Path, pid: Option<u32>) -> HostError {
    let (who, how) = match pid {
        Some(pid) => (format!(" (process {pid})"), format!("`kill {pid}`")),
        None => (String::new(), "ending its process".to_owned()),
    };
    HostError::failed(
        "data_dir_locked",
        format!("a host runs on {}{who}", data_dir.display()),
        format!(
            "Stop it first: Ctrl-C where it runs, `systemctl stop` if it is a service, or {how}. Then restore once more."
        ),
    )
}

/// What is wrong with the copy, and what to do instead. The registry is untouched.
fn of_no_use(error: StoreError, from: &Path) -> HostError {
    let untouched = "The registry is as it was.";
    let hint = match &error {
        StoreError::Missing { path } if path == from || path.ends_with(from) => {
            return HostError::nothing_found(
                format!("{} is not there", from.display()),
                "`busbar backup --list` shows the copies that there are.",
            );
        }
        StoreError::SchemaNewer { .. } => format!("Use the newer Busbar that made it. {untouched}"),
        StoreError::NotADatabase { .. } | StoreError::Foreign { .. } | StoreError::Damaged { .. } => {
            format!("Choose another: `busbar backup --list` shows which are whole. {untouched}")
        }
        StoreError::Invalid { .. } => format!("`busbar backup --list` shows the copies. {untouched}"),
        StoreError::Migration { .. } => format!("Use the Busbar that made it, and report this. {untouched}"),
        _ => return error.into(),
    };
    HostError::failed(error.code(), error.to_string(), hint)
}

/// Says what would be exchanged for what, and asks.
async fn agree(
    from: &Path,
    copies: &[Copy],
    found: &Contents,
    data_dir: &Path,
    output: Output,
) -> Result<()> {
    if !ask::can_ask(output) {
        return Err(HostError::usage(
            format!("{} would take the place of the registry", short(from).display()),
            "Add --yes to do it.",
        ));
    }
    let made = copies
        .iter()
        .find(|copy| copy.path == from)
        .and_then(|copy| copy.made_ms);
    let made = made.or(found.copied_ms).map(|at| {
        format!(
            ", made {} ({} ago)",
            clock::show_minute(at),
            format::age(clock::now_ms() - at)
        )
    });
    let made = made.unwrap_or_default();
    let copy = format!("{}{made}", short(from).display());
    output.hanging("The copy: ", &copy, str::to_owned);
    output.line(&format!("          {}", holds(found)));
    let now = data_dir.join("registry.db");
    let now = match contents(&now).await {
        Ok(contents) => holds(&contents),
        Err(StoreError::Missing { .. }) => "there is none".to_owned(),
        Err(error) => visible(&error.to_string()),
    };
    output.line(&format!("Now:      {now}"));
    if ask::agreed("Shall the copy take its place? What is there now is kept beside it.")? {
        Ok(())
    } else {
        Err(declined())
    }
}

fn declined() -> HostError {
    HostError::failed("declined", "nothing was restored", "The registry is as it was.")
}

fn tell(done: &Restored, output: Output) -> Result<()> {
    if output.is_json() {
        return output.document(&serde_json::json!({
            "restored": done.path,
            "from": done.from,
            "set_aside": done.set_aside,
            "contents": done.contents,
            "needs_owner_confirmation": true,
        }));
    }
    output.line(&format!(
        "{} {}",
        output.green("Restored:"),
        holds(&done.contents)
    ));
    output.line(&format!("  from   {}", short(&done.from).display()));
    if let Some(aside) = &done.set_aside {
        output.line(&format!("  before {}", short(aside).display()));
    }
    output.line("");
    output.hanging(
        "",
        "It is read-only: nothing is written to any device until you have looked.",
        str::to_owned,
    );
    output.hanging(
        "Next: ",
        "start `busbar`, compare `busbar devices` and `busbar limits` with your house, then `busbar limits --confirm`.",
        str::to_owned,
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copy(file: &str, made: Made, fault: bool) -> Copy {
        Copy {
            path: Path::new("busbar-data/backups").join(file),
            made,
            made_ms: Some(1),
            bytes: 1,
            contents: None,
            fault: fault.then(|| "it is damaged".to_owned()),
        }
    }

    #[test]
    fn a_copy_is_named_as_people_remember_it() {
        let copies = [
            copy("registry-2026-11-28T100000Z.db", Made::Manual, false),
            copy("registry-2026-11-28T205512Z.db", Made::Manual, false),
            copy("registry-2026-11-29.db", Made::Daily, false),
            copy("registry-2026-11-30.db", Made::Daily, false),
            copy("registry-2026-11-30T205512Z.db", Made::Manual, false),
            copy("registry-2026-12-01.db", Made::Daily, true),
            copy("registry.db.replaced-20261202T000000Z", Made::SetAside, false),
        ];
        for (wanted, means) in [
            (LATEST, "registry-2026-11-30T205512Z.db"),
            ("2026-11-30", "registry-2026-11-30.db"),
            // Of a day without a daily one the last is meant.
            ("2026-11-28", "registry-2026-11-28T205512Z.db"),
            ("2026-11-29", "registry-2026-11-29.db"),
            ("registry-2026-11-30.db", "registry-2026-11-30.db"),
            ("2026-11-30T205512Z", "registry-2026-11-30T205512Z.db"),
            // Asked for by its day it is taken, and its fault is told.
            ("2026-12-01", "registry-2026-12-01.db"),
            (
                "replaced-20261202T000000Z",
                "registry.db.replaced-20261202T000000Z",
            ),
        ] {
            let found = resolve(wanted, &copies, Path::new("busbar-data")).unwrap();
            assert_eq!(found.file_name().unwrap(), means, "{wanted}");
        }
        for wanted in ["", "202", "2025-01-01", "no-such-file.db"] {
            let error = resolve(wanted, &copies, Path::new("busbar-data")).unwrap_err();
            assert!(error.hint().contains("--list"), "{wanted}: {error}");
        }
    }
}
