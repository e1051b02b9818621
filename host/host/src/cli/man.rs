//! `busbar man`: the manual page, made of the same words as `--help`.

use std::io::Write;
use std::path::Path;

use clap::{Command, CommandFactory};
use clap_mangen::Man;
use roff::{Roff, bold, roman};
use serde_json::json;

use super::args::Cli;
use super::output::Output;
use crate::error::{HostError, Result};
use crate::format::visible;

/// What `--help` says before its examples.
const EXAMPLES: &str = "Examples:";

/// Prints the page of the program, or writes that of every command into a directory.
///
/// # Errors
/// When something cannot be written.
pub fn run(dir: Option<&Path>, output: Output) -> Result<()> {
    let mut program = Cli::command().disable_help_subcommand(true);
    program.build();
    let Some(dir) = dir else {
        let page = page(&program)?;
        if output.is_json() {
            return output.document(&json!({ "page": page }));
        }
        output.line(page.trim_end());
        return Ok(());
    };
    let hint = "Name a directory that you may write to.";
    let cannot = |e: &std::io::Error| {
        HostError::io(format_args!("cannot write pages into {}", dir.display()), e, hint)
    };
    std::fs::create_dir_all(dir).map_err(|e| cannot(&e))?;
    let mut files = Vec::new();
    for command in all(&program) {
        let file = dir.join(format!("{}.1", dashed(command)));
        std::fs::write(&file, page(command)?).map_err(|e| cannot(&e))?;
        files.push(file);
    }
    if output.is_json() {
        return output.document(&json!({ "files": files }));
    }
    output.line(&format!(
        "{} {} pages in {}",
        output.green("ok"),
        files.len(),
        visible(&dir.display().to_string())
    ));
    Ok(())
}

/// The program and all its commands.
fn all(command: &Command) -> Vec<&Command> {
    let below = command.get_subcommands().flat_map(all);
    std::iter::once(command).chain(below).collect()
}

/// `busbar-plugin-list`.
fn dashed(command: &Command) -> String {
    let name = command.get_bin_name().unwrap_or(command.get_name());
    name.replace(' ', "-")
}

/// One page.
fn page(command: &Command) -> Result<String> {
    let mut page = Vec::new();
    let written = write_page(command, &mut page);
    written.map_err(|e| HostError::io("cannot make the page", &e, "Please report this."))?;
    String::from_utf8(page).map_err(|e| HostError::failed("internal", e.to_string(), "Please report this."))
}

fn write_page(command: &Command, to: &mut Vec<u8>) -> std::io::Result<()> {
    let name = dashed(command);
    let man = Man::new(command.clone())
        .title(name.to_uppercase())
        .source(format!("Busbar {}", env!("CARGO_PKG_VERSION")))
        .manual("Busbar");
    man.render_title(to)?;
    man.render_name_section(to)?;
    man.render_synopsis_section(to)?;
    man.render_description_section(to)?;
    man.render_options_section(to)?;
    if command.has_subcommands() {
        let mut roff = Roff::new();
        roff.control("SH", ["COMMANDS"]);
        for each in command.get_subcommands() {
            roff.control("TP", []);
            roff.text([bold(each.get_bin_name().unwrap_or(each.get_name()))]);
            roff.text([roman(
                each.get_about().map(ToString::to_string).unwrap_or_default(),
            )]);
        }
        roff.to_writer(to)?;
    }
    examples(command, to)?;
    if command.get_name() == "busbar" {
        closing(to)?;
    }
    to.flush()
}

/// What stands after the help: the examples as they are typed, and the notes.
fn examples(command: &Command, to: &mut Vec<u8>) -> std::io::Result<()> {
    let text = command
        .get_after_help()
        .map(ToString::to_string)
        .unwrap_or_default();
    let (mut lines, mut notes) = (Vec::new(), Vec::new());
    let mut in_examples = false;
    for line in text.lines() {
        match line.strip_prefix("  ") {
            _ if line == EXAMPLES || line == super::args::START => in_examples = true,
            Some(example) if in_examples => lines.push(example),
            _ => {
                in_examples = false;
                notes.push(line);
            }
        }
    }
    let mut roff = Roff::new();
    if !lines.is_empty() {
        roff.control("SH", ["EXAMPLES"]);
        roff.control("nf", []);
        for line in lines {
            roff.text([roman(line)]);
        }
        roff.control("fi", []);
    }
    let notes = notes.join("\n");
    if !notes.trim().is_empty() {
        roff.control("SH", ["NOTES"]);
        for paragraph in notes
            .split("\n\n")
            .filter(|paragraph| !paragraph.trim().is_empty())
        {
            roff.control("PP", []);
            roff.text([roman(paragraph.trim())]);
        }
    }
    roff.to_writer(to)
}

/// What holds for the whole program.
fn closing(to: &mut Vec<u8>) -> std::io::Result<()> {
    let mut roff = Roff::new();
    roff.control("SH", ["EXIT STATUS"]);
    for (code, meaning) in [
        ("0", "Done."),
        (
            "1",
            "Failed: the cause stands on standard error, and what to do next.",
        ),
        ("2", "Typed in a way that cannot be carried out."),
        ("3", "Nothing found."),
        ("4", "Refused by a guard."),
    ] {
        roff.control("TP", []);
        roff.text([bold(code)]);
        roff.text([roman(meaning)]);
    }
    roff.control("SH", ["FILES"]);
    for (file, meaning) in [
        (
            "busbar.toml",
            "The configuration, in the working directory or named with --config. Not needed.",
        ),
        (
            "busbar-data/registry.db",
            "What was set up and found, and the audit of what was written.",
        ),
        ("busbar-data/history.db", "What was read."),
        (
            "busbar-data/backups/",
            "Copies of the registry: one for each of the last seven days, and those made by hand.",
        ),
        (
            "busbar-data/kill-switch",
            "Stops all writing to devices as long as it is there.",
        ),
    ] {
        roff.control("TP", []);
        roff.text([bold(file)]);
        roff.text([roman(meaning)]);
    }
    roff.to_writer(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_with_its_examples() {
        let mut program = Cli::command().disable_help_subcommand(true);
        program.build();
        for command in all(&program) {
            let page = page(command).unwrap();
            let name = dashed(command);
            assert!(
                page.contains(".SH NAME") && page.contains(".SH SYNOPSIS"),
                "{name}: {page}"
            );
            assert!(
                page.contains(".SH EXAMPLES") || command.has_subcommands(),
                "{name} has no examples"
            );
            assert!(!page.contains("EXTRA"), "{name}");
        }
    }

    #[test]
    fn notes_and_examples_stand_apart() {
        let command = Command::new("x").after_help("Examples:\n  x a\n  x b\n\nIt only looks.");
        let page = page(&command).unwrap();
        let (examples, notes) = page.split_once(".SH NOTES").unwrap();
        assert!(
            examples.contains("x a\nx b") && notes.contains("It only looks."),
            "{page}"
        );
    }
}
