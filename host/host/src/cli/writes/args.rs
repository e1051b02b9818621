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

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;

    use clap::Parser;
    use proptest::prelude::*;

    use super::*;
    use crate::cli::args::{Cli, Command};

    fn parsed(args: &[&str]) -> Result<Cli, String> {
        let args = std::iter::once("busbar").chain(args.iter().copied());
        Cli::try_parse_from(args).map_err(|error| error.to_string())
    }

    fn set(args: &[&str]) -> Result<(SetArgs, bool), String> {
        let cli = parsed(args)?;
        match cli.command {
            Some(Command::Set(set)) => Ok((set, cli.global.json)),
            other => Err(format!("not set, but {other:?}")),
        }
    }

    #[test]
    fn a_value_below_zero_is_a_value_wherever_flags_stand() {
        for args in [
            &["set", "a.b", "-500", "--json", "--yes", "--for", "10m"][..],
            &["--json", "set", "--yes", "--for", "10m", "a.b", "-500"],
            &["set", "a.b", "--yes", "--json", "--for=10m", "-500"],
            &["set", "--for", "10m", "--yes", "--json", "--", "a.b", "-500"],
            &["set", "a.b", "--yes", "--json", "--for", "10m", "--", "-500"],
        ] {
            let (set, json) = set(args).unwrap();
            assert_eq!(
                (set.entity.as_str(), set.value.as_str()),
                ("a.b", "-500"),
                "{args:?}"
            );
            assert!(json && set.yes && !set.dry_run, "{args:?}");
            assert_eq!(set.hold, Some(Duration::from_secs(600)), "{args:?}");
        }
        for value in ["-0.5", "-1e3", "-.5", "no limit", "", "Charger Only"] {
            assert_eq!(set(&["set", "a.b", value]).unwrap().0.value, value);
        }
        // A flag is not taken for a value, nor a value for a flag.
        assert!(set(&["set", "a.b", "--dry-run"]).is_err());
        let (text, _) = set(&["set", "a.b", "--", "--dry-run"]).unwrap();
        assert_eq!((text.value.as_str(), text.dry_run), ("--dry-run", false));
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        for args in [
            &["lease", "end"][..],
            &["lease", "end", "a.b", "--all"],
            &["limits", "--confirm", "--all"],
            &["limits", "a.b", "--device", "a"],
            &["audit", "--limit", "0"],
            &["audit", "--limit", "10001"],
            &["set", "a.b"],
            &["set", "a.b", "1", "2"],
            &["set", "a.b", "1", "--for", "soon"],
            &["kill-switch"],
        ] {
            assert!(parsed(args).is_err(), "{args:?}");
        }
    }

    /// A word as somebody, or a script with a fault, could type it.
    fn word() -> impl Strategy<Value = OsString> {
        let known = [
            "set",
            "lease",
            "limits",
            "audit",
            "kill-switch",
            "list",
            "end",
            "on",
            "off",
            "status",
            "--dry-run",
            "--yes",
            "--for",
            "10m",
            "--for=1h",
            "--all",
            "--confirm",
            "--device",
            "--entity",
            "--limit",
            "20",
            "--verify",
            "--reason",
            "--json",
            "-v",
            "-vvv",
            "--data-dir",
            "--config",
            "--",
            "-",
            "-500",
            "a.b",
            "victron/gx-hub4:2716",
            "--help",
            "--for=",
        ];
        prop_oneof![
            6 => prop::sample::select(known.to_vec()).prop_map(OsString::from),
            2 => "[-a-z0-9=./:]{0,12}".prop_map(OsString::from),
            1 => any::<String>().prop_map(OsString::from),
            1 => prop::collection::vec(any::<u8>(), 0..8).prop_map(OsString::from_vec),
        ]
    }

    /// A number or a word that is no flag of `set`, as a value: it may begin with one `-`.
    fn value() -> impl Strategy<Value = String> {
        prop_oneof![
            any::<i32>().prop_map(|n| n.to_string()),
            (-1e6f64..1e6).prop_map(|n| n.to_string()),
            "[a-zA-Z0-9 äß]{0,12}",
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn nothing_that_is_typed_makes_it_panic(
            command in prop::sample::select(vec!["set", "lease", "limits", "audit", "kill-switch"]),
            words in prop::collection::vec(word(), 0..8),
        ) {
            let args = ["busbar", command].map(OsString::from).into_iter().chain(words);
            if let Err(error) = Cli::try_parse_from(args) {
                prop_assert!(!error.to_string().is_empty());
            }
        }

        #[test]
        fn every_value_arrives_as_it_was_typed(
            value in value(), text in any::<String>(), before: bool, dashes: bool, after: bool,
        ) {
            // A flag stands once, before or after.
            let after = after && !before;
            let mut args = vec!["set"];
            args.extend(before.then_some("--json"));
            args.extend(["a.b"]);
            // Behind `--`, anything at all is a value.
            args.extend(dashes.then_some("--"));
            let value = if dashes { text } else { value };
            args.push(&value);
            args.extend((after && !dashes).then_some("--json"));
            args.extend((!dashes).then_some("--dry-run"));
            let (set, json) = set(&args).map_err(TestCaseError::fail)?;
            prop_assert_eq!(&set.value, &value);
            prop_assert_eq!(set.dry_run, !dashes);
            prop_assert_eq!(json, before || (after && !dashes));
        }
    }
}
