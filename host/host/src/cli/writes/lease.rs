//! `busbar lease`

use std::path::Path;

use busbar_guard::Amount;
use busbar_ledger::value::Value;
use serde::{Deserialize, Serialize};

use super::args::LeaseCommand;
use crate::cli::grid::{Column, Grid, Room, Style};
use crate::cli::output::Output;
use crate::control::{Client, EndCall};
use crate::error::{HostError, Result};
use crate::format::{self, visible};
use crate::write::lease::{LeaseView, SafeReport};

/// `{"leases": […]}`
#[derive(Debug, Default, Serialize, Deserialize)]
struct Leases {
    leases: Vec<LeaseView>,
    #[serde(default)]
    now_ms: i64,
}

/// `{"ended": […]}`
#[derive(Debug, Default, Serialize, Deserialize)]
struct Ended {
    ended: Vec<SafeReport>,
}

/// Runs the command.
pub async fn run(command: LeaseCommand, data_dir: &Path, output: Output) -> Result<()> {
    let mut host = Client::connect(data_dir).await?.ok_or_else(|| {
        HostError::nothing_found(
            "no host runs here, so no value is held",
            "Start one with `busbar`; a value is held from `busbar set` on.",
        )
    })?;
    match command {
        LeaseCommand::List => list(&mut host, output).await,
        LeaseCommand::End { entity, .. } => end(&mut host, entity, output).await,
    }
}

async fn list(host: &mut Client, output: Output) -> Result<()> {
    let leases: Leases = host.get("/control/leases").await?;
    if output.is_json() {
        return output.document(&leases);
    }
    if leases.leases.is_empty() {
        output.line("No value is held.");
        return Ok(());
    }
    let mut grid = Grid::new(&[
        Column::new("entity", Room::Whole),
        Column::right("value", Room::Whole),
        Column::right("safe value", Room::Whole),
        Column::right("ends in", Room::Whole),
        Column::right("renewed", Room::Optional),
    ]);
    let mut remarks = Vec::new();
    for lease in &leases.leases {
        let amount = |value: &Value| match value.as_f64() {
            Some(number) => Amount(number, lease.unit.as_deref()).to_string(),
            None => visible(&value.to_string()),
        };
        let plain = |text: String| (text, Style::Plain);
        grid.row(vec![
            plain(lease.entity.clone()),
            plain(amount(&lease.value)),
            plain(amount(&lease.safe)),
            plain(format::age(lease.until_ms - leases.now_ms)),
            plain(format!("{} times", lease.kept)),
        ]);
        if lease.value != lease.requested {
            let asked = amount(&lease.requested);
            remarks.push(format!("{}: asked for {asked}", lease.entity));
        }
        if let Some(trouble) = &lease.trouble {
            remarks.push(format!("{}: {}", lease.entity, visible(trouble)));
        }
    }
    grid.print(output);
    for remark in &remarks {
        output.hanging("  ", remark, |line| output.yellow(line));
    }
    Ok(())
}

async fn end(host: &mut Client, entity: Option<String>, output: Output) -> Result<()> {
    let ended: Ended = host.post("/control/leases/end", &EndCall { entity }).await?;
    if output.is_json() {
        output.document(&ended)?;
    }
    if ended.ended.is_empty() {
        output.say("No value is held.");
    }
    for one in &ended.ended {
        output.say(&format!("{}: {}", one.entity, visible(&one.reason)));
    }
    match ended.ended.iter().find(|one| one.outcome != "released") {
        None => Ok(()),
        Some(one) => Err(HostError::outcome(
            "not_released",
            format!("{} is not known to be at its safe value", one.entity),
            "Look at the device.",
            output.is_json(),
        )),
    }
}
