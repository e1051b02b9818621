//! `busbar change`: names, intervals, addresses, what is put away, replacements and removals, one at a time, for those who
//! know what they want; `busbar setup` asks.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use busbar_store::{Connection, Lifecycle, Registry};
use busbar_wire::Endpoint;
use clap::Subcommand;
use serde_json::json;
use tracing::warn;

use super::ask;
use super::output::Output;
use crate::config::{Config, parse_duration};
use crate::control::Client;
use crate::error::{HostError, Result};
use crate::explain;
use crate::format::visible;
use crate::registry::change::{self, Change};

/// `busbar change …`
#[derive(Clone, Debug, Subcommand)]
pub enum ChangeCommand {
    /// Give a connection, a device or an entity a name of yours; without NAME a device or entity gets its own back
    #[command(after_help = "Examples:\n  \
        busbar change name home \"Main house\"\n  \
        busbar change name c0619ab5_vebus_u227 Inverter\n\n\
        Ids stay as they are: whatever refers to a device or an entity by its id goes on.")]
    Name {
        /// A connection's name, a device's id or an entity's id
        what: String,
        /// The new name, 1 to 64 characters
        name: Option<String>,
    },
    /// Set how often a connection is polled
    #[command(after_help = "Examples:\n  \
        busbar change interval home 10s\n  \
        busbar change interval home\n\n\
        The second one takes the usual interval again, 5 seconds.")]
    Interval {
        /// The connection's name
        connection: String,
        /// At least 100ms
        #[arg(value_name = "TIME", value_parser = parse_duration)]
        interval: Option<Duration>,
    },
    /// Give a connection another address, without a look at what is there
    #[command(after_help = "Examples:\n  \
        busbar change address home modbus+tcp://192.168.1.21\n  \
        busbar change address cellar \"modbus+rtu:///dev/ttyUSB1?baud=9600\"\n\n\
        A device that is another one than before is not taken for it: it is shown as offline until you scan. \
        `busbar scan NEWURL --save` looks first, and moves the connection when its devices are there.")]
    Address {
        /// The connection's name
        connection: String,
        /// Where it is now
        url: String,
    },
    /// Put entities away: they are neither polled nor shown
    #[command(after_help = "Examples:\n  \
        busbar change put-away c0619ab5_system_u100.relay_1_state\n  \
        busbar change put-away c0619ab5_system_u100.relay_0_state c0619ab5_system_u100.relay_1_state\n\n\
        `busbar change take-back ENTITY` brings one back.")]
    PutAway {
        /// Their ids
        #[arg(required = true, value_name = "ENTITY")]
        entities: Vec<String>,
    },
    /// Take entities back that were put away
    #[command(after_help = "Examples:\n  \
        busbar change take-back c0619ab5_system_u100.relay_1_state\n  \
        busbar change take-back c0619ab5_system_u100.relay_0_state c0619ab5_system_u100.relay_1_state")]
    TakeBack {
        /// Their ids
        #[arg(required = true, value_name = "ENTITY")]
        entities: Vec<String>,
    },
    /// Put a device in the place of another, whose ids, names and history go on
    #[command(after_help = "Examples:\n  \
        busbar change replace c0619ab5_vebus_u227 c0619cd7_vebus_u228\n  \
        busbar change replace c0619ab5_vebus_u227 c0619cd7_vebus_u228 --yes\n\n\
        OLD is a device of the registry, NEW the id by which a scan finds, or has found, the one in its place.")]
    Replace {
        /// The device that was there
        old: String,
        /// The one in its place
        new: String,
        /// Answer the question in advance
        #[arg(long)]
        yes: bool,
    },
    /// Remove a connection or a device, after showing what goes with it
    #[command(after_help = "Examples:\n  \
        busbar change remove c0619ab5_vebus_u227\n  \
        busbar change remove home --yes")]
    Remove {
        /// A connection's name or a device's id
        what: String,
        /// Answer the question in advance
        #[arg(long)]
        yes: bool,
    },
}

/// Runs the command.
///
/// # Errors
/// Those of [`change::apply`]; a usage error where there is nobody to ask.
pub async fn run(command: ChangeCommand, data_dir: &Path, config: &Config, output: Output) -> Result<()> {
    let yes = matches!(
        command,
        ChangeCommand::Replace { yes: true, .. } | ChangeCommand::Remove { yes: true, .. }
    );
    // What there is can be read beside a host; without a registry there is nothing to change.
    let registry = Registry::open_read_only(data_dir).await?;
    let changes = changes(&registry, command).await?;
    let mut about = Vec::new();
    for change in &changes {
        let lines = change::consequences(&registry, change).await?;
        if !lines.is_empty() && !yes {
            agree(&lines, output)?;
        }
        let connection = connection_of(&registry, change).await?;
        change::fits(change, connection.as_ref(), config)?;
        about.push(connection);
    }
    registry.close().await?;
    match Client::connect(data_dir).await? {
        Some(mut host) => {
            for change in &changes {
                host.change(change).await?;
            }
        }
        None => {
            let (registry, opening) = Registry::open(data_dir).await?;
            for note in opening.notes() {
                warn!("{note}");
            }
            for change in &changes {
                change::apply(&registry, change).await?;
            }
            registry.close().await?;
        }
    }
    let notes: Vec<String> = changes
        .iter()
        .zip(&about)
        .filter_map(|(change, connection)| change::overruled(change, connection.as_ref(), config))
        .collect();
    if output.is_json() {
        return output.document(&json!({ "changes": changes, "notes": notes }));
    }
    output.line(&format!("{} done", output.green("ok")));
    for note in notes {
        output.line(&output.yellow(&note));
    }
    Ok(())
}

fn agree(lines: &[String], output: Output) -> Result<()> {
    if !ask::can_ask(output) {
        return Err(HostError::usage(
            format!(
                "that cannot be undone, and nobody is there to ask. {}",
                lines.join(" ")
            ),
            "Say --yes, if that is what you want.",
        ));
    }
    let what: Vec<String> = lines.iter().map(|line| format!("  {}", visible(line))).collect();
    if ask::agreed(&format!("{}\nGo on?", what.join("\n")))? {
        return Ok(());
    }
    Err(HostError::failed(
        "cancelled",
        "nothing was changed",
        "Say yes, or --yes, to go on.",
    ))
}

async fn connection_of(registry: &Registry, change: &Change) -> Result<Option<Connection>> {
    Ok(match change {
        Change::RenameConnection { connection, .. }
        | Change::Interval { connection, .. }
        | Change::Move { connection, .. }
        | Change::RemoveConnection { connection }
        | Change::Writes { connection, .. } => registry.connection(connection).await?,
        _ => None,
    })
}

/// What a command means, by what the registry has.
async fn changes(registry: &Registry, command: ChangeCommand) -> Result<Vec<Change>> {
    Ok(match command {
        ChangeCommand::Name { what, name } => {
            if registry.connection(&what).await?.is_some() {
                let Some(name) = name else {
                    return Err(HostError::usage(
                        "a connection has no name but yours",
                        "Write the new one behind it.",
                    ));
                };
                let connection = what;
                return Ok(vec![Change::RenameConnection { connection, name }]);
            }
            vec![match what.contains('.') {
                true => Change::NameEntity { entity: what, name },
                false => Change::NameDevice { device: what, name },
            }]
        }
        ChangeCommand::Interval { connection, interval } => vec![Change::Interval { connection, interval }],
        ChangeCommand::Address { connection, url } => {
            let endpoint: Endpoint = super::endpoint::parse(&url)?;
            let url = endpoint.to_string();
            vec![Change::Move { connection, url }]
        }
        ChangeCommand::PutAway { entities } => choose(registry, &entities, true).await?,
        ChangeCommand::TakeBack { entities } => choose(registry, &entities, false).await?,
        ChangeCommand::Replace { old, new, .. } => vec![Change::Replace { old, new }],
        ChangeCommand::Remove { what, .. } => {
            vec![match registry.connection(&what).await? {
                Some(_) => Change::RemoveConnection { connection: what },
                None => Change::RemoveDevice { device: what },
            }]
        }
    })
}

/// One change for each device: all that is to be put away of it.
async fn choose(registry: &Registry, entities: &[String], put: bool) -> Result<Vec<Change>> {
    let mut changes: Vec<Change> = Vec::new();
    for id in entities {
        let entity = match registry.entity(id).await? {
            Some(entity) => entity,
            None => explain::meant(id, registry.entities(None).await?)?,
        };
        let at = changes.iter().position(
            |change| matches!(change, Change::Choose { device, .. } if *device == entity.device_id),
        );
        let at = match at {
            Some(at) => at,
            None => {
                let known = registry.entities(Some(&entity.device_id)).await?;
                let away = known.into_iter().filter(|e| e.lifecycle == Lifecycle::Retired);
                changes.push(Change::Choose {
                    device: entity.device_id.clone(),
                    put_away: away.map(|e| e.key).collect::<BTreeSet<_>>(),
                });
                changes.len() - 1
            }
        };
        if let Some(Change::Choose { put_away, .. }) = changes.get_mut(at) {
            match put {
                true => put_away.insert(entity.key),
                false => put_away.remove(&entity.key),
            };
        }
    }
    Ok(changes)
}
