//! `busbar import vscp-p1 FILE`: the configuration of `mqtt-p1-power-meter.py` becomes a `busbar.toml` and a file with the
//! broker's password.

use std::collections::BTreeSet;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::import::{ImportArgs, put};
use super::output::Output;
use crate::config::DEFAULT_FILE;
use crate::error::{HostError, Result};
use crate::format::visible;
use crate::import::vscp_p1::{self, Secret};

/// The file of the password, beside the configuration.
const PASSWORD_FILE: &str = "mqtt-password";

/// Writes what was understood, and tells what was not.
pub(super) fn run(args: &ImportArgs, text: &str, output: Output) -> Result<()> {
    if args.name.is_some() || args.device.is_some() {
        return Err(HostError::usage(
            "--name and --device mean nothing to vscp-p1",
            "Leave them out: the file has one meter.",
        ));
    }
    let file = visible(&args.file.display().to_string());
    let found = vscp_p1::read(text);
    if found.is_empty() {
        let mut message = format!("{file} has no setting of mqtt-p1-power-meter.py");
        for note in told(&file, &found.not_taken) {
            message.push_str(&format!("\n  {note}"));
        }
        return Err(HostError::nothing_found(
            message,
            "Name its config.ini, with the sections [GENERAL], [VSCP], [MQTT] and [SERIAL].",
        ));
    }
    let path = args.output.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_FILE));
    let password_file = beside(&path)?;
    // Nothing is written before it is known that all of it can be.
    if !args.force && path.exists() {
        return Err(HostError::usage(
            format!("{} is there already", path.display()),
            "Name another with --output and copy from it what you want, or write over it with --force.",
        ));
    }
    let secret = Some(&found.password).filter(|secret| !secret.0.is_empty());
    if let Some(secret) = secret {
        put_secret(&password_file, secret, args.force)?;
    }
    let source = args
        .file
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    let lines = found.toml(
        &visible(&source.unwrap_or_default()),
        secret.map(|_| password_file.as_path()),
    );
    put(&path, &lines, args.force)?;

    output.say(&format!(
        "{} {file}: {} settings are in {}",
        output.green("ok"),
        found.understood.len(),
        path.display()
    ));
    if secret.is_some() {
        output.say(&format!(
            "   the broker's password is in {}, for its owner alone",
            password_file.display()
        ));
    }
    for line in told(&file, &found.understood) {
        output.say(&format!("   {}", output.dim(&line)));
    }
    for note in told(&file, &found.not_taken) {
        output.say(&output.yellow(&format!("not taken over: {note}")));
    }
    output.say(&format!("   {}", output.bold("busbar run --once")));
    if output.is_json() {
        return output.document(&json!({
            "tool": "vscp-p1", "file": args.file, "output": path,
            "password_file": secret.map(|_| &password_file), "connection": found.url(),
            "understood": documents(&found.understood), "not_understood": documents(&found.not_taken),
        }));
    }
    Ok(())
}

/// `mqtt-password` beside the configuration, by its whole path: the host may be started elsewhere.
fn beside(path: &Path) -> Result<PathBuf> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    let dir = dir.unwrap_or(Path::new("."));
    let dir = dir.canonicalize().map_err(|e| {
        HostError::io(
            format_args!("cannot write into {}", dir.display()),
            &e,
            "Name a directory that is there with --output.",
        )
    })?;
    Ok(dir.join(PASSWORD_FILE))
}

/// Writes a file that only its owner can read; one that is there only when asked to.
fn put_secret(path: &Path, secret: &Secret, force: bool) -> Result<()> {
    let shown = path.display();
    let failed = |e: &std::io::Error| {
        if e.kind() == std::io::ErrorKind::AlreadyExists {
            return HostError::usage(
                format!("{shown} is there already"),
                "Put it away or choose another directory with --output, or write over it with --force.",
            );
        }
        HostError::io(
            format_args!("cannot write {shown}"),
            e,
            "Check the directory and its permissions, or name another with --output.",
        )
    };
    if force
        && let Err(e) = std::fs::remove_file(path)
        && e.kind() != std::io::ErrorKind::NotFound
    {
        return Err(failed(&e));
    }
    // A new file, never one that is there: that one could be somebody else's, or readable for all.
    let file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    file.and_then(|mut file| writeln!(file, "{}", secret.0))
        .map_err(|e| failed(&e))
}

fn told(file: &str, lines: &BTreeSet<(usize, String)>) -> Vec<String> {
    let line = |(line, what): &(usize, String)| match line {
        0 => format!("{file}: {}", visible(what)),
        line => format!("{file}:{line}: {}", visible(what)),
    };
    lines.iter().map(line).collect()
}

fn documents(lines: &BTreeSet<(usize, String)>) -> Vec<Value> {
    let document = |(line, what): &(usize, String)| json!({ "line": line, "what": what });
    lines.iter().map(document).collect()
}
