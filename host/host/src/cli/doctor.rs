//! `busbar doctor`: is everything well, and if not, what to do.

use std::cmp::Reverse;
use std::path::{Path, PathBuf};

use clap::Args;

use super::doctor_archive;
use super::grid::{Column, Grid, Room, Style};
use super::output::Output;
use crate::catalog::Catalog;
use crate::doctor::{Finding, Level, LinkReport, Report, gather};
use crate::error::{HostError, Result};
use crate::format::visible;
use crate::profile::DeviceProfile;

/// `busbar doctor`
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n  \
    busbar doctor\n  \
    busbar doctor --archive              a file for a bug report, without passwords and names\n  \
    busbar doctor --json\n\n\
    It only looks: no device is asked and nothing is changed. Exit 1 when something does not work.")]
pub struct DoctorArgs {
    /// Write an archive for a bug report, without passwords and names (a name with date and time when left out)
    #[arg(long, value_name = "FILE.tar.gz", num_args = 0..=1)]
    pub archive: Option<Option<PathBuf>>,
    /// Write over an archive that is there
    #[arg(long, requires = "archive")]
    pub force: bool,
}

/// Runs the command: exit 1 when something does not work.
pub async fn run(
    args: &DoctorArgs,
    data_dir: &Path,
    config: Option<&Path>,
    output: Output,
    catalog: impl AsyncFnOnce() -> Result<Catalog>,
) -> Result<()> {
    let catalog = catalog().await?;
    let report = Report::of(gather(data_dir, config, &catalog).await?);
    if let Some(to) = &args.archive {
        let to = to.as_deref();
        return doctor_archive::run(to, args.force, data_dir, config, &catalog, &report, output).await;
    }
    if output.is_json() {
        output.document(&report)?;
    } else {
        // What is wrong stands first.
        let mut findings: Vec<&Finding> = report.findings.iter().collect();
        findings.sort_by_key(|finding| Reverse(finding.level));
        for finding in findings {
            show(finding, output);
        }
        connections(&report.connections, output);
        output.line("");
        output.line(&summary(&report.findings, output));
    }
    let wrong = of_level(&report.findings, Level::Error);
    if report.healthy {
        return Ok(());
    }
    Err(HostError::Reported {
        message: match wrong {
            1 => "one thing does not work".to_owned(),
            n => format!("{n} things do not work"),
        },
        hint: "What to do stands below each of them.".to_owned(),
    })
}

fn of_level(findings: &[Finding], level: Level) -> usize {
    findings.iter().filter(|finding| finding.level == level).count()
}

/// A finding: how bad, where, and what; what to do stands below it.
fn show(finding: &Finding, output: Output) {
    let mark = match finding.level {
        Level::Ok => output.green("ok  "),
        Level::Warning => output.yellow("look"),
        Level::Error => output.red("bad "),
    };
    let area = visible(&finding.area);
    let text = format!("{area}  {}", visible(&finding.message));
    let mut first = true;
    // The first line begins with where it is.
    let bold = |line: &str| match line.strip_prefix(area.as_str()) {
        Some(rest) => format!("{}{rest}", output.bold(&area)),
        None => line.to_owned(),
    };
    for line in output.lines_of(6, &text) {
        let head = if std::mem::take(&mut first) {
            format!("{mark}  ")
        } else {
            "      ".to_owned()
        };
        output.line(&format!("{head}{}", bold(&line)));
    }
    if !finding.hint.is_empty() {
        for (n, line) in output
            .lines_of(8, &visible(&super::again::spelt(&finding.hint)))
            .iter()
            .enumerate()
        {
            output.line(&format!("      {} {line}", if n == 0 { "→" } else { " " }));
        }
    }
}

/// How many of each, in one line.
fn summary(findings: &[Finding], output: Output) -> String {
    let [bad, look, well] = [Level::Error, Level::Warning, Level::Ok].map(|level| of_level(findings, level));
    match (bad, look) {
        (0, 0) => output.green(&format!("Everything works. {well} things were looked at.")),
        (0, look) => format!(
            "{}, {well} well. Nothing is broken.",
            output.yellow(&format!("{look} to look at"))
        ),
        (bad, look) => format!(
            "{}, {look} to look at, {well} well.",
            output.red(&match bad {
                1 => "1 does not work".to_owned(),
                n => format!("{n} do not work"),
            })
        ),
    }
}

/// What was learned about talking to each unit; those that are alike stand in one line.
fn connections(links: &[LinkReport], output: Output) {
    let mut grid = Grid::new(&[
        Column::new("connection", Room::Whole),
        Column::new("units", Room::Elastic),
        Column::right("largest read", Room::Whole),
        Column::new("over holes", Room::Optional),
        Column::right("at once", Room::Whole),
        Column::right("answers in", Room::Whole),
        Column::right("time-out", Room::Optional),
        Column::new("pauses", Room::Optional),
    ]);
    let mut any = false;
    for link in links {
        let mut alike: Vec<(DeviceProfile, Vec<String>)> = Vec::new();
        for unit in link.profile.units.keys() {
            let Some(profile) = link.profile.device(*unit) else {
                continue;
            };
            match alike.iter_mut().find(|(of, _)| *of == profile) {
                Some((_, units)) => units.push(unit.to_string()),
                None => alike.push((profile, vec![unit.to_string()])),
            }
        }
        for (profile, units) in alike {
            any = true;
            let known = |text: Option<String>| (text.unwrap_or_else(|| "?".to_owned()), Style::Plain);
            let ms = |ms: Option<u64>| known(ms.map(|ms| format!("{ms} ms")));
            grid.row(vec![
                (visible(&link.connection), Style::Plain),
                (units.join(", "), Style::Plain),
                known(profile.max_words.map(|words| format!("{words} registers"))),
                known(
                    profile
                        .spans_holes
                        .map(|yes| if yes { "yes" } else { "no" }.to_owned()),
                ),
                known(profile.in_flight.map(|n| n.to_string())),
                ms(profile.latency_ms),
                ms(profile.timeout_ms),
                (pauses(&profile), Style::Plain),
            ]);
        }
    }
    if any {
        output.line(&format!(
            "\n{}",
            output.bold("What was learned about talking to them")
        ));
        grid.print(output);
    }
}

/// The pauses that a device needs, in words.
fn pauses(profile: &DeviceProfile) -> String {
    let needed = [
        (profile.spacing_ms, "between requests"),
        (profile.settle_ms, "after connecting"),
    ];
    let parts: Vec<String> = needed
        .into_iter()
        .filter_map(|(ms, when)| ms.filter(|ms| *ms > 0).map(|ms| format!("{ms} ms {when}")))
        .collect();
    parts.join(", ")
}
