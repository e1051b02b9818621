//! `busbar kill-switch`

use std::path::Path;

use busbar_store::{KillSwitch, Registry};

use super::args::KillCommand;
use crate::cli::output::Output;
use crate::control::{Client, KillCall, KillState};
use crate::error::Result;
use crate::format::visible;

/// Runs the command: through the running host, which stops at once; else the file alone.
pub async fn run(command: KillCommand, data_dir: &Path, output: Output) -> Result<()> {
    let state = match Client::connect(data_dir).await? {
        Some(mut host) => match command {
            KillCommand::Status => host.get("/control/kill-switch").await?,
            KillCommand::On { reason } => {
                host.post("/control/kill-switch", &KillCall { on: true, reason })
                    .await?
            }
            KillCommand::Off => {
                let reason = String::new();
                host.post("/control/kill-switch", &KillCall { on: false, reason })
                    .await?
            }
        },
        None => {
            // A data directory that is not there is not made.
            Registry::open_read_only(data_dir).await?;
            let switch = KillSwitch::prepare(data_dir)?;
            match command {
                KillCommand::Status => {}
                KillCommand::On { reason } => switch.on(&reason)?,
                KillCommand::Off => switch.off()?,
            }
            KillState {
                on: switch.is_on(),
                reason: switch.reason(),
                ended: Vec::new(),
            }
        }
    };
    if output.is_json() {
        return output.document(&state);
    }
    for ended in &state.ended {
        output.line(&format!("{}: {}", ended.entity, visible(&ended.reason)));
    }
    let why = state
        .reason
        .map(|reason| format!(" ({})", visible(&reason)))
        .unwrap_or_default();
    output.line(&match state.on {
        true => format!(
            "The kill switch is {}{why}: nothing is written to any device.",
            output.yellow("on")
        ),
        false => "The kill switch is off.".to_owned(),
    });
    Ok(())
}
