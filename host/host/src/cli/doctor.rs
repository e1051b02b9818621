//! `busbar doctor`: is everything well, and if not, what to do.

use std::path::Path;

use comfy_table::Cell;

use super::output::{Output, number};
use crate::catalog::Catalog;
use crate::doctor::{Finding, Level, LinkReport, Report, gather};
use crate::error::{HostError, Result};
use crate::format::visible;
use crate::profile::DeviceProfile;

/// Runs the command: exit 1 when something does not work.
pub async fn run(
    data_dir: &Path,
    output: Output,
    catalog: impl AsyncFnOnce() -> Result<Catalog>,
) -> Result<()> {
    let report = Report::of(gather(data_dir, &catalog().await?).await?);
    if output.is_json() {
        output.document(&report)?;
    } else {
        let mut table = output.table_of(&[]);
        for finding in &report.findings {
            table.add_row(row(finding, output));
        }
        output.table_lines(&table);
        connections(&report.connections, output);
    }
    let wrong = report.findings.iter().filter(|f| f.level == Level::Error).count();
    if report.healthy {
        output.say(&format!("\n{}", output.green("Everything works.")));
        return Ok(());
    }
    Err(HostError::Reported {
        message: match wrong {
            1 => "one thing does not work".to_owned(),
            n => format!("{n} things do not work"),
        },
        hint: "What to do stands beside each of them.".to_owned(),
    })
}

/// A finding as a row: how bad, where, and what, with what to do below it.
fn row(finding: &Finding, output: Output) -> [Cell; 3] {
    let mark = match finding.level {
        Level::Ok => output.green_cell("ok"),
        Level::Warning => output.yellow_cell("look"),
        Level::Error => output.red_cell("bad"),
    };
    let mut text = visible(&finding.message);
    if !finding.hint.is_empty() {
        text.push('\n');
        text.push_str(&visible(&finding.hint));
    }
    [mark, Cell::new(visible(&finding.area)), Cell::new(text)]
}

/// What was learned about talking to each unit.
fn connections(links: &[LinkReport], output: Output) {
    let mut table = output.table([
        "connection",
        "unit",
        "largest read",
        "over holes",
        "at once",
        "answers in",
        "time-out",
        "pauses",
    ]);
    let mut any = false;
    for link in links {
        for unit in link.profile.units.keys() {
            let Some(profile) = link.profile.device(*unit) else {
                continue;
            };
            any = true;
            let known = |text: Option<String>| text.unwrap_or_else(|| "?".to_owned());
            table.add_row(vec![
                visible(&link.connection).into(),
                number(unit),
                number(known(profile.max_words.map(|words| format!("{words} registers")))),
                known(
                    profile
                        .spans_holes
                        .map(|yes| if yes { "yes" } else { "no" }.to_owned()),
                )
                .into(),
                number(known(profile.in_flight.map(|n| n.to_string()))),
                number(known(profile.latency_ms.map(|ms| format!("{ms} ms")))),
                number(known(profile.timeout_ms.map(|ms| format!("{ms} ms")))),
                pauses(&profile).into(),
            ]);
        }
    }
    if any {
        output.line(&format!(
            "\n{}",
            output.bold("What was learned about talking to them")
        ));
        output.table_lines(&table);
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
    match parts.is_empty() {
        true => "none".to_owned(),
        false => parts.join(", "),
    }
}
