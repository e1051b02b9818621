//! What can be typed.

use std::time::Duration;

use clap::{Args, Subcommand};

use crate::config::parse_duration;

/// `busbar set`
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n  \
    busbar set c0619ab5_hub4_u100.overrides_setpoint 500 --dry-run\n  \
    busbar set c0619ab5_hub4_u100.overrides_setpoint -500 --for 30m --yes\n  \
    busbar set victron/gx-vebus:mode \"Charger Only\"\n\n\
    Everything is read-only until you allow it in busbar.toml, entity by entity: `busbar limits` shows what there is \
    to allow, and within which limits. What is risky is asked once more. Some values lapse: the running host keeps them \
    alive for as long as --for says, then writes the safe value.\n\
    Exit 0 when the device has it (or for --dry-run), 4 when a guard refuses, 1 for everything else.")]
pub struct SetArgs {
    /// The entity: its id, LEDGER:KEY, LEDGER:ADDRESS, or CONNECTION/UNIT/LEDGER:KEY
    pub entity: String,
    /// The value: a number, a choice by number or name, on, off, "no limit", or a text
    #[arg(allow_hyphen_values = true)]
    pub value: String,
    /// Check everything and show what would be sent; send nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Answer the question that is asked before something risky
    #[arg(long)]
    pub yes: bool,
    /// How long the host keeps a value alive that lapses by itself (default 10m, at most 24h)
    #[arg(long = "for", value_name = "TIME", value_parser = parse_duration)]
    pub hold: Option<Duration>,
}

/// `busbar lease`
#[derive(Clone, Debug, Subcommand)]
pub enum LeaseCommand {
    /// Show the values that the host keeps alive
    #[command(after_help = "Examples:\n  busbar lease list\n  busbar lease list --json")]
    List,
    /// End one, or all: the safe value is written
    #[command(after_help = "Examples:\n  \
        busbar lease end c0619ab5_hub4_u100.overrides_setpoint\n  \
        busbar lease end --all")]
    End {
        /// Which
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        entity: Option<String>,
        /// All of them
        #[arg(long)]
        all: bool,
    },
}

/// `busbar limits`
#[derive(Clone, Debug, Default, Args)]
#[command(after_help = "Examples:\n  \
    busbar limits                       what can be written, and what you could allow\n  \
    busbar limits victron/gx-hub4:2716  one entity: each limit, and which one binds\n  \
    busbar limits --all --json\n\n\
    Limits come from the register, the ledger, the device itself, [site] and your own entries in busbar.toml; the \
    narrowest wins.")]
pub struct LimitsArgs {
    /// Only this entity, with each of its limits
    pub entity: Option<String>,
    /// Only entities of this device
    #[arg(long, value_name = "ID", conflicts_with = "entity")]
    pub device: Option<String>,
    /// Also those that Busbar never writes, and why
    #[arg(long)]
    pub all: bool,
    /// You have looked, and it is right: after a restored registry, an exchanged device or new firmware
    #[arg(long, conflicts_with_all = ["entity", "device", "all"])]
    pub confirm: bool,
}

/// `busbar audit`
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n  \
    busbar audit\n  \
    busbar audit --entity c0619ab5_hub4_u100.overrides_setpoint --limit 20\n  \
    busbar audit --verify\n\n\
    Each row holds the hash of the one before; --verify finds a row that was changed or taken away (exit 1).")]
pub struct AuditArgs {
    /// Only what concerns this entity
    #[arg(long, value_name = "ID")]
    pub entity: Option<String>,
    /// How many rows, the newest
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub limit: u32,
    /// Check the whole chain instead of showing rows
    #[arg(long)]
    pub verify: bool,
}

/// `busbar kill-switch`
#[derive(Clone, Debug, Subcommand)]
pub enum KillCommand {
    /// Stop all writing now; values that are held go to their safe value
    #[command(after_help = "Examples:\n  \
        busbar kill-switch on\n  \
        busbar kill-switch on --reason \"electrician at work\"\n\n\
        The same: touch DATA-DIR/kill-switch, or send the host SIGUSR1. It stays on, over restarts, until it is \
        switched off.")]
    On {
        /// Why, for the audit
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
    },
    /// Let writing through again
    #[command(after_help = "Examples:\n  busbar kill-switch off\n  busbar kill-switch off --json")]
    Off,
    /// Is it on?
    #[command(after_help = "Examples:\n  busbar kill-switch status\n  busbar kill-switch status --json")]
    Status,
}
