//! The command line: what can be typed, and the text that explains it.

use std::path::PathBuf;
use std::time::Duration;

use busbar_ledger::span::Function;
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use super::backup::BackupArgs;
use super::change::ChangeCommand;
use super::doctor::DoctorArgs;
use super::import::ImportArgs;
use super::ledger_new::NewArgs;
use super::map::args::MapFlags;
use super::plugin_new::PluginNewArgs;
use super::restore::RestoreArgs;
use super::select::{DevicesArgs, EntitiesArgs};
use super::setup::SetupArgs;
use super::writes::args::{AuditArgs, KillCommand, LeaseCommand, LimitsArgs, SetArgs};

use crate::config::parse_duration;
use crate::find::networks::Network;
use crate::units::UnitList;

/// What the program's own help says before its examples.
pub(super) const START: &str = "Start here:";

/// Busbar finds the energy devices of a site, learns what each one really has, and reads them for years.
#[derive(Debug, Parser)]
#[command(
    name = "busbar",
    version,
    propagate_version = true,
    max_term_width = 110,
    after_help = "Start here:\n  \
        busbar demo                                 a simulated house, to look around\n  \
        busbar setup                                set up your devices, step by step
  \
        busbar discover                             which devices are on this network?\n  \
        busbar scan modbus+tcp://192.168.1.20       what is at this address?\n  \
        busbar scan modbus+tcp://192.168.1.20 --save\n  \
        busbar                                      poll what was saved, with a live page"
)]
pub struct Cli {
    /// Flags that every command takes.
    #[command(flatten)]
    pub global: Global,
    /// What to do; `run` when left out.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Flags that stand before or after any subcommand.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Common options")]
pub struct Global {
    /// Where registry, history and backups lie
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        default_value = "busbar-data",
        env = "BUSBAR_DATA_DIR"
    )]
    pub data_dir: PathBuf,
    /// The configuration file; it may be missing unless named here
    #[arg(long, global = true, value_name = "FILE", env = "BUSBAR_CONFIG")]
    pub config: Option<PathBuf>,
    /// Look for plugins in this directory first (may be repeated)
    #[arg(long, global = true, value_name = "DIR")]
    pub plugin_dir: Vec<PathBuf>,
    /// Print one JSON document on standard output, and nothing else there
    #[arg(long, global = true)]
    pub json: bool,
    /// Say more on standard error (-v, -vv)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Poll everything in the registry and serve the live page (the default)
    #[command(after_help = "Examples:\n  \
        busbar run\n  \
        busbar run --once\n\n\
        Ctrl-C ends it; so does the signal that a service manager sends. One host runs on a data directory.")]
    Run(RunArgs),
    /// Try Busbar on a simulated house: nothing is installed, nothing is kept
    Demo(DemoArgs),
    /// Set up your devices step by step, and change what is set up
    Setup(SetupArgs),
    /// Find devices: those that announce themselves, and, if you agree, by asking every address of your network
    Discover(DiscoverArgs),
    /// Find out which devices and entities an address really has
    Scan(ScanArgs),
    /// Read every point of one device once, or again and again; needs no set-up
    Read(ReadArgs),
    /// Read registers as they are, with every plausible meaning
    Raw(RawArgs),
    /// List the devices of the registry
    Devices(DevicesArgs),
    /// List the entities of the registry, with live values while a host runs
    Entities(EntitiesArgs),
    /// Show how bytes become an entity's value, and why Busbar believes that it exists
    Explain(ExplainArgs),
    /// Change what was set up: names, intervals, addresses, what is put away or replaced or removed
    #[command(subcommand)]
    Change(ChangeCommand),
    /// Set a value on a device, within your limits (off until you allow it)
    Set(SetArgs),
    /// Look at values that the host keeps alive, and end them
    #[command(subcommand)]
    Lease(LeaseCommand),
    /// What may be written, within which limits, and what binds
    Limits(LimitsArgs),
    /// What was written, by whom, and what became of it
    Audit(AuditArgs),
    /// Stop all writing at once
    #[command(subcommand)]
    KillSwitch(KillCommand),
    /// Is everything well? What is wrong, why, and what to do next
    Doctor(DoctorArgs),
    /// Copy the registry now, or list the copies
    Backup(BackupArgs),
    /// Put a copy in the place of the registry
    Restore(RestoreArgs),
    /// Take over the configuration of a tool that Busbar replaces
    Import(ImportArgs),
    /// Look at ledgers: the descriptions of devices
    #[command(subcommand)]
    Ledger(LedgerCommand),
    /// Look at plugins: what is loaded, what is refused and why; make and check your own
    #[command(subcommand)]
    Plugin(PluginCommand),
    /// Serve a ledger or a whole site as simulated devices
    Simulate(SimulateArgs),
    /// Write down what goes over a device's wire, for a bug report or a test
    Capture(CaptureArgs),
    /// Serve a device made from a capture
    Replay(ReplayArgs),
    /// Print a completion script for your shell
    #[command(after_help = "Examples:\n  \
        busbar completions bash > busbar.bash\n  \
        busbar completions fish > busbar.fish")]
    Completions {
        /// The shell to complete for
        shell: Shell,
    },
    /// Print the manual page, or write one for each command
    #[command(after_help = "Examples:\n  \
        busbar man > busbar.1\n  \
        busbar man --dir man1\n\n\
        `man -l busbar.1` shows it; below /usr/local/share/man/man1 `man busbar` finds it.")]
    Man {
        /// Write busbar.1 and a page for each command into this directory
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
}

/// `busbar run`
#[derive(Clone, Debug, Default, Args)]
pub struct RunArgs {
    /// Poll every connection once, write everything down, and exit (for cron)
    #[arg(long)]
    pub once: bool,
}

/// `busbar demo`
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n  busbar demo\n  busbar demo --for 30s --json")]
pub struct DemoArgs {
    /// Stop by itself after this time (30s, 5m)
    #[arg(long = "for", value_name = "TIME", value_parser = parse_duration)]
    pub duration: Option<Duration>,
    /// How often devices are polled
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "5s")]
    pub interval: Duration,
    /// Publish on your own broker, and so for Home Assistant: mqtt://user@broker (the password from
    /// BUSBAR_MQTT_PASSWORD). Delete the devices there afterwards
    #[arg(long, value_name = "URL")]
    pub mqtt: Option<String>,
}

/// How far a scan looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ModeArg {
    /// The units that the maker uses for each kind of device
    #[default]
    Quick,
    /// Every unit, 1 to 247
    Full,
}

/// `busbar scan`
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n  \
    busbar scan modbus+tcp://192.168.1.20\n  \
    busbar scan modbus+tcp://192.168.1.20 --mode full --save\n  \
    busbar scan modbus+tcp://192.168.1.20 --units 100,220-229 --json\n\n\
    A scan only reads. Ctrl-C ends it and keeps what was found.")]
pub struct ScanArgs {
    /// Where to look: modbus+tcp://HOST, modbus+udp://HOST, modbus+rtu:///dev/ttyUSB0, modbus+rtu+tcp://HOST:PORT
    pub url: String,
    /// Ask only this plugin
    #[arg(long, value_name = "NAME")]
    pub plugin: Option<String>,
    /// Look only for this ledger: a name, or a file
    #[arg(long, value_name = "NAME|FILE", conflicts_with = "plugin")]
    pub ledger: Option<String>,
    /// How far to look
    #[arg(long, value_enum, default_value_t, conflicts_with = "units")]
    pub mode: ModeArg,
    /// Look only at these units: 1,3-9
    #[arg(long, value_name = "LIST")]
    pub units: Option<UnitList>,
    /// Store what is found as a connection that `busbar run` polls
    #[arg(long)]
    pub save: bool,
    /// The connection's name when it is saved (default: the host in the URL)
    #[arg(long, value_name = "NAME", requires = "save")]
    pub name: Option<String>,
    /// Take over what a rescan found without asking, as is done where there is no terminal
    #[arg(long, requires = "save")]
    pub yes: bool,
    /// The longest wait for one answer
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub timeout: Option<Duration>,
}

/// `busbar discover`
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n  \
    busbar discover\n  \
    busbar discover --network 192.168.1.0/24 --json\n  \
    busbar discover --mdns-only\n\n\
    It only reads, and asks before it searches a network. Ctrl-C ends it and keeps what was found.")]
pub struct DiscoverArgs {
    /// Search this private network, without asking (may be repeated): 192.168.1.0/24
    #[arg(long, value_name = "CIDR", conflicts_with = "mdns_only")]
    pub network: Vec<Network>,
    /// Try this port, too (may be repeated), beside those where devices usually are
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub port: Vec<u16>,
    /// Only listen for devices that announce themselves
    #[arg(long)]
    pub mdns_only: bool,
    /// Try the serial ports, too: the usual settings and units
    #[arg(long, conflicts_with = "mdns_only")]
    pub serial: bool,
    /// Try only this serial port (may be repeated; means --serial)
    #[arg(long, value_name = "PATH", conflicts_with = "mdns_only")]
    pub serial_port: Vec<PathBuf>,
    /// Search further: networks of up to 65,534 addresses, every setting and unit of a serial line
    #[arg(long)]
    pub full: bool,
    /// Follow devices that have moved: their connections get the new address, ids and history stay
    #[arg(long)]
    pub adopt: bool,
    /// Search the networks that this machine is in without asking
    #[arg(long)]
    pub yes: bool,
    /// The longest wait for one answer
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub timeout: Option<Duration>,
}

/// `busbar read`
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n  \
    busbar read modbus+tcp://192.168.1.20 --ledger victron/gx-system --unit 100\n  \
    busbar read modbus+tcp://192.168.1.30 --ledger my-meter.toml --watch 1s\n  \
    busbar read modbus+tcp://192.168.1.40 --map registers.csv --index-shift -1\n  \
    busbar read modbus+tcp://192.168.1.40 --map registers.csv --wordorder auto\n\n\
    A list has a register a line: name,address,length,type[,unit,scale,label,function,order,offset,overlap].\n\
    With these names as headings the columns may come in any order, or be missing. The length follows from the type: \
    only text and bcd need one. An order (ABCD, CDAB, BADC, DCBA; big or little for the words) holds for its row alone.\n\
    Types: INT16 UINT16 INT32 UINT32 INT64 UINT64 FLOAT32 FLOAT64 u24 bcd text. ledgers/README.md has the rest; \
    `busbar ledger check registers.csv` shows its faults.")]
pub struct ReadArgs {
    /// The device: modbus+tcp://HOST, modbus+udp://HOST, modbus+rtu:///dev/ttyUSB0, modbus+rtu+tcp://HOST:PORT
    pub url: String,
    /// The ledger that describes it: a name, or a file
    #[arg(
        long,
        value_name = "NAME|FILE",
        required_unless_present = "map",
        conflicts_with = "map"
    )]
    pub ledger: Option<String>,
    /// A register list instead of a ledger.
    #[command(flatten)]
    pub list: MapFlags,
    /// The unit id; may be left out where the ledger names only one
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=247))]
    pub unit: Option<u8>,
    /// Read again and again until stopped: every second, with --map every 10, or at this interval
    #[arg(long, value_name = "TIME", num_args = 0..=1, value_parser = parse_duration)]
    pub watch: Option<Option<Duration>>,
    /// The same as --watch
    #[arg(long, value_name = "TIME", num_args = 0..=1, value_parser = parse_duration, conflicts_with = "watch")]
    pub interval: Option<Option<Duration>>,
    /// The longest wait for one answer
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub timeout: Option<Duration>,
}

impl ReadArgs {
    /// How often to read; `None`: once.
    pub fn every(&self) -> Option<Duration> {
        let usual = Duration::from_secs(if self.list.map.is_some() { 10 } else { 1 });
        self.watch.or(self.interval).map(|given| given.unwrap_or(usual))
    }
}

/// Which of the four read functions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum FunctionArg {
    /// Function 1
    #[value(alias = "1")]
    Coils,
    /// Function 2
    #[value(alias = "2")]
    Discrete,
    /// Function 3
    #[default]
    #[value(alias = "3")]
    Holding,
    /// Function 4
    #[value(alias = "4")]
    Input,
}

impl FunctionArg {
    /// The same where registers are read.
    pub fn function(self) -> Function {
        match self {
            FunctionArg::Coils => Function::Coils,
            FunctionArg::Discrete => Function::Discrete,
            FunctionArg::Holding => Function::Holding,
            FunctionArg::Input => Function::Input,
        }
    }
}

/// `busbar raw`
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n  \
    busbar raw modbus+tcp://192.168.1.20 --unit 100 --at 800 --count 6\n  \
    busbar raw modbus+tcp://192.168.1.30 --unit 1 --at 0x000C --count 2 --function input --type f32\n\n\
    Meanings that a device could have in mind stand first: mains voltages and frequencies, measurements of a sane\n\
    size, counters, texts, times; swapped words and bytes are tried, too.")]
pub struct RawArgs {
    /// The device: modbus+tcp://HOST, modbus+udp://HOST, modbus+rtu:///dev/ttyUSB0, modbus+rtu+tcp://HOST:PORT
    pub url: String,
    /// The unit id
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=247))]
    pub unit: u8,
    /// The first address, zero-based, decimal or 0x…
    #[arg(long, value_name = "ADDR", value_parser = parse_address)]
    pub at: u16,
    /// How many registers, 1 to 125 (coils and discrete inputs: to 2000)
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=2000))]
    pub count: u16,
    /// Show only this type, at every address and in every order (u16 or UINT16, f32 or FLOAT32 …, bcd, text)
    #[arg(long = "type", value_name = "T")]
    pub ty: Option<String>,
    /// Which registers
    #[arg(long, value_enum, default_value_t)]
    pub function: FunctionArg,
    /// The longest wait for one answer
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub timeout: Option<Duration>,
}

/// `busbar explain`
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n  \
    busbar explain c0619ab5_battery_u225.soc\n  \
    busbar explain battery_u225.soc      the end of an id will do, or the key alone, where one entity has it\n  \
    busbar explain victron/gx-battery:266")]
pub struct ExplainArgs {
    /// The entity's id as `busbar entities` shows it, its end, its key, or LEDGER:ADDRESS
    pub entity: String,
}

/// `busbar ledger …`
#[derive(Debug, Subcommand)]
pub enum LedgerCommand {
    /// List the ledgers that the plugins bring
    #[command(after_help = "Examples:\n  busbar ledger list\n  busbar ledger list --json")]
    List,
    /// Show a ledger's points
    #[command(
        after_help = "Examples:\n  busbar ledger show victron/vm-3p75ct\n  busbar ledger show my-meter.toml"
    )]
    Show {
        /// A ledger's name, or a file
        name: String,
    },
    /// Make a ledger of a register list, or by asking about a device's registers
    New(NewArgs),
    /// Check ledger files and register lists; every fault is shown where it stands
    #[command(after_help = "Examples:\n  \
        busbar ledger check my-meter.toml\n  \
        busbar ledger check registers.csv my-meter.toml --json\n\n\
        Exit 1 when there is a fault.")]
    Check {
        /// Files or directories
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Print the JSON Schema of ledger files, for editors
    #[command(after_help = "Examples:\n  busbar ledger schema\n  busbar ledger schema > ledger.schema.json")]
    Schema,
}

/// `busbar plugin …`
#[derive(Debug, Subcommand)]
pub enum PluginCommand {
    /// List the plugins found, what each brings, and what was refused
    #[command(
        after_help = "Examples:\n  busbar plugin list\n  busbar plugin list --plugin-dir my-plugins --json"
    )]
    List,
    /// Look into a plugin file without running any of it
    #[command(after_help = "Examples:\n  \
        busbar plugin inspect libbusbar_plugin_acme.so\n  \
        busbar plugin inspect libbusbar_plugin_acme.so --json\n\n\
        The sha256 is what [plugins] pin takes.")]
    Inspect {
        /// The library
        file: PathBuf,
    },
    /// Load a plugin file as the host would, and show all that is wrong with it
    #[command(after_help = "Examples:\n  \
        busbar plugin check libbusbar_plugin_acme.so\n  \
        busbar plugin check libbusbar_plugin_acme.so --json\n\n\
        Exit 1 with the cause. It runs in a process of its own, as it would in a host.")]
    Check {
        /// The library
        file: PathBuf,
    },
    /// Make a project for a plugin of your own, in Rust or C
    New(PluginNewArgs),
}

/// `busbar simulate`
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n  \
    busbar simulate generic/demo-meter --listen modbus+tcp://127.0.0.1:5020\n  \
    busbar simulate site.toml\n\n\
    Without --listen a ledger is served at modbus+tcp://127.0.0.1:0, any free port; the address is printed.")]
pub struct SimulateArgs {
    /// A ledger's name, a ledger file, or a site file
    pub what: String,
    /// Where to serve it: modbus+tcp://127.0.0.1:5020, modbus+udp://…, modbus+rtu+tcp://…, modbus+rtu:///dev/ttyUSB0
    #[arg(long, value_name = "URL")]
    pub listen: Option<String>,
    /// Stop by itself after this time
    #[arg(long = "for", value_name = "TIME", value_parser = parse_duration)]
    pub duration: Option<Duration>,
}

/// `busbar capture`
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n  \
    busbar capture modbus+tcp://192.168.1.20 --for 60s\n  \
    busbar capture modbus+udp://192.168.1.30 --output meter.jsonl --interval 500ms\n\n\
    It scans, then polls what it found, and only reads. Serial numbers, names and places are taken out of the file: \
    letters and digits become others. `busbar replay FILE` is that device.")]
pub struct CaptureArgs {
    /// The device: modbus+tcp://HOST, modbus+udp://HOST, modbus+rtu:///dev/ttyUSB0
    pub url: String,
    /// For how long, the scan included
    #[arg(long = "for", value_name = "TIME", default_value = "60s", value_parser = parse_duration)]
    pub duration: Duration,
    /// The file to write
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Write over a file that is there
    #[arg(long)]
    pub force: bool,
    /// How often what was found is read
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse_duration)]
    pub interval: Duration,
    /// Look only for this ledger: a name, or a file
    #[arg(long, value_name = "NAME|FILE")]
    pub ledger: Option<String>,
    /// Look only at these units: 1,3-9
    #[arg(long, value_name = "LIST")]
    pub units: Option<UnitList>,
    /// Keep texts that no ledger describes (they may hold names)
    #[arg(long)]
    pub keep_texts: bool,
    /// The longest wait for one answer
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub timeout: Option<Duration>,
}

/// `busbar replay`
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n  \
    busbar replay busbar-capture.jsonl\n  \
    busbar replay meter.jsonl --listen modbus+udp://127.0.0.1:5020\n\n\
    The device answers as it answered then, in the time that it took then, and begins again at the end.")]
pub struct ReplayArgs {
    /// A file that `busbar capture` made
    pub file: PathBuf,
    /// Where to serve it: modbus+tcp://127.0.0.1:5020; any free port of the same kind when left out
    #[arg(long, value_name = "URL")]
    pub listen: Option<String>,
    /// Stop by itself after this time
    #[arg(long = "for", value_name = "TIME", value_parser = parse_duration)]
    pub duration: Option<Duration>,
}

/// Reads an address as people write it: decimal, or hexadecimal with 0x.
fn parse_address(text: &str) -> Result<u16, String> {
    let parsed = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => u16::from_str_radix(hex, 16),
        None => text.parse(),
    };
    parsed.map_err(|_| format!("`{text}` is no register address: write 0 to 65535, or 0x0 to 0xFFFF"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn global_flags_stand_before_or_after_the_subcommand() {
        for line in [["busbar", "--json", "devices"], ["busbar", "devices", "--json"]] {
            assert!(Cli::try_parse_from(line).unwrap().global.json, "{line:?}");
        }
    }

    #[test]
    fn addresses_are_decimal_or_hexadecimal() {
        assert_eq!(parse_address("800"), Ok(800));
        assert_eq!(parse_address("0x1000"), Ok(4096));
        assert!(parse_address("65536").unwrap_err().contains("0 to 65535"));
    }

    #[test]
    fn mode_and_units_exclude_each_other() {
        let line = [
            "busbar",
            "scan",
            "modbus+tcp://h",
            "--mode",
            "full",
            "--units",
            "1",
        ];
        assert!(Cli::try_parse_from(line).is_err());
    }
}
