//! What a conversation wants to have done, and what came of it: plain data, between the flow and whoever does the work.

use std::collections::{BTreeMap, BTreeSet};

use busbar_plugin_sdk::Mode;
use serde::{Deserialize, Serialize};

use super::findings::Findings;
use crate::config::{SiteConfig, WritesConfig};
use crate::discover::progress;
use crate::find::Found;
use crate::registry::change::Change;
use crate::write::limits::Limits;

/// Something to be done.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "work", rename_all = "snake_case")]
pub enum Work {
    /// Look at what is there to begin from.
    Load,
    /// Look for devices.
    Find {
        /// Where. Its owner has agreed to it.
        places: Search,
    },
    /// Find out what answers at one of these addresses, with a few small reads.
    Look {
        /// URLs, likeliest first.
        urls: Vec<String>,
    },
    /// Scan, and hold what is found until it is saved or dropped.
    Scan(Box<Order>),
    /// Save what is held.
    Save(Box<Keep>),
    /// Forget what is held.
    Drop,
    /// Change what is set up.
    Change {
        /// In this order.
        changes: Vec<Change>,
    },
    /// Say what a change takes with it.
    Consequences {
        /// The change.
        change: Change,
    },
    /// Say what may be written, with these changes as if they were made.
    Limits,
    /// Wait for the first values of a connection that a running host polls.
    Live {
        /// Its name.
        connection: String,
    },
}

/// Where to look for devices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Search {
    /// Only listen for those that announce themselves.
    #[default]
    Announced,
    /// Ask every address of this machine's private networks, too.
    Network,
    /// Try the serial ports.
    Serial,
}

/// What to scan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// Canonical URL.
    pub url: String,
    /// The connection that it is about, by name; `None` for a new one.
    pub connection: Option<String>,
    /// Ask only this plugin.
    pub plugin: Option<String>,
    /// Look only for this ledger: a name, or a file.
    pub ledger: Option<String>,
    /// How far to look.
    pub mode: Mode,
    /// With listed mode: where.
    pub units: Vec<u8>,
}

/// How what is held is to be saved.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Keep {
    /// The connection's name; `None`: as it is.
    pub name: Option<String>,
    /// How often it is polled, in milliseconds; `None`: as it is, or the default.
    pub interval_ms: Option<u64>,
    /// The owner's names, by the id that the findings have.
    pub names: BTreeMap<String, String>,
    /// Keys that are neither polled nor shown, by the id that the findings have. Devices that are not here stay as they
    /// are.
    pub put_away: BTreeMap<String, BTreeSet<String>>,
    /// A device that is known, and the found one that is to be it from now on.
    pub replace: Option<(String, String)>,
}

/// What came of work, and what is told meanwhile.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// How far a scan is.
    Progress(progress::Event),
    /// How far a search is, in words.
    Finding {
        /// A few words.
        text: String,
    },
    /// What there is to begin from.
    Loaded(Box<Ground>),
    /// What a search found.
    Found {
        /// The surest first.
        found: Vec<Found>,
        /// What went wrong without ending it.
        notes: Vec<String>,
    },
    /// What answers at an address.
    Looked(Box<Sight>),
    /// What a scan found; it is held.
    Scanned(Box<Findings>),
    /// What is held was saved.
    Saved(Box<Kept>),
    /// What was held is forgotten.
    Dropped,
    /// The changes were made.
    Changed(Box<Ground>),
    /// What a change takes with it, a line each.
    Consequences {
        /// The lines.
        lines: Vec<String>,
    },
    /// What may be written.
    Limits(Box<Limits>),
    /// The first values.
    Live {
        /// Device by device.
        devices: Vec<Live>,
    },
    /// It did not work.
    Failed(Failure),
}

/// Why something did not work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What went wrong.
    pub message: String,
    /// What to do next.
    pub hint: String,
    /// The code of the outward contract.
    pub code: String,
    /// The exit code of a command that fails so.
    pub exit: u8,
}

/// What there is to begin from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ground {
    /// Private networks of this machine: the network, its interface, addresses that would be asked.
    pub networks: Vec<(String, String, u32)>,
    /// How long asking all of them takes, in seconds, and at which doors.
    pub search: (u64, String),
    /// Serial ports of this machine.
    pub ports: Vec<String>,
    /// How long trying them takes at most, in seconds.
    pub ports_seconds: u64,
    /// What is set up.
    pub connections: Vec<ConnectionBrief>,
    /// How the site is made, as the owner has stored it.
    pub site: SiteConfig,
    /// And as the configuration file says, which wins.
    pub site_of_file: SiteConfig,
    /// Whether a host runs.
    pub host_runs: bool,
    /// Where all of it is kept.
    pub data_dir: String,
    /// Names of all ledgers, and what they are for: those that do not recognise their devices by themselves first.
    pub ledgers: Vec<LedgerBrief>,
}

/// A ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerBrief {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub title: String,
    /// Whether it recognises its device by itself.
    pub recognises: bool,
    /// The schemes of the wires that it is for.
    pub schemes: Vec<String>,
}

/// A connection that is set up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConnectionBrief {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Where it is.
    pub url: String,
    /// How often it is polled, in milliseconds; `None`: the default.
    pub interval_ms: Option<u64>,
    /// Whether the configuration file names it: what the file says wins.
    pub by_file: bool,
    /// What may be written, as stored.
    pub writes: WritesConfig,
    /// Whether the file says what may be written, which wins.
    pub writes_by_file: bool,
    /// What is behind it.
    pub devices: Vec<DeviceBrief>,
}

/// A device that is set up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeviceBrief {
    /// Its id.
    pub id: String,
    /// What it is called.
    pub name: String,
    /// Its Modbus unit.
    pub unit_id: u8,
    /// The ledger that describes it.
    pub ledger: String,
    /// Model, where known.
    pub model: Option<String>,
    /// Serial number, where known.
    pub serial: Option<String>,
    /// Whether the last scan looked for it in vain.
    pub missing: bool,
    /// `online`, `offline`, or nothing where no host runs.
    pub state: String,
    /// Its entities: key, name, unit of measurement, whether it is proven, whether it is put away.
    pub entities: Vec<EntityBrief>,
}

/// An entity that is set up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntityBrief {
    /// Its key.
    pub key: String,
    /// What it is called.
    pub name: String,
    /// Its value, or its unit of measurement.
    pub hint: String,
    /// Whether it is proven to be there.
    pub proven: bool,
    /// Whether the owner has put it away.
    pub put_away: bool,
}

/// What answers at an address.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sight {
    /// The canonical URL that was taken.
    pub url: String,
    /// The others that were tried, and why not.
    pub others: Vec<(String, String)>,
    /// Whether it speaks Modbus at all.
    pub answered: bool,
    /// What was recognised, a line each: title, model, serial number.
    pub recognised: Vec<String>,
    /// What a quick scan will cost.
    pub quick: Option<Forecast>,
    /// What a full one will cost.
    pub full: Option<Forecast>,
    /// The connection that has this address, or these devices.
    pub known_as: Option<String>,
    /// Where that connection has them, if not here.
    pub moved_from: Option<String>,
    /// The ids of what was recognised.
    pub ids: Vec<String>,
    /// Whether the running host talks to it: then that one scans.
    pub by_host: bool,
}

/// What a scan will cost a device, about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forecast {
    /// Small reads.
    pub requests: u32,
    /// How many of them it will probably refuse, each one an entry in its log.
    pub exceptions: u32,
}

/// What was saved.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// The connection's name.
    pub connection: String,
    /// What is different now, a line each.
    pub lines: Vec<String>,
    /// What was set up, as it is now.
    pub ground: Option<Box<Ground>>,
}

/// The first values of a device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Live {
    /// What it is called.
    pub name: String,
    /// `online` or `offline`, and why.
    pub state: String,
    /// Name and value of what tells most.
    pub values: Vec<(String, String)>,
}
