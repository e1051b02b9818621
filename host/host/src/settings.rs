//! How one connection is talked to and how often, from what its owner said, what was learned, and the defaults.

use std::collections::BTreeMap;
use std::time::Duration;

use busbar_ledger::model::Manners;
use busbar_store::Connection;
use busbar_wire::{InFlight, Options};
use serde::{Deserialize, Serialize};

use crate::config::{ConnectionConfig, DEFAULT_INTERVAL, WritesConfig, parse_duration};
use crate::profile::{self, Profile};

/// The plugin whose devices take several requests at once from the start.
const GX: &str = "victron-gx";
/// How many a GX takes.
const GX_IN_FLIGHT: u16 = 4;
/// The most registers that one read of Modbus carries.
const MOST_WORDS: u16 = 125;

/// What the registry keeps of a connection beside its URL.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConnectionOptions {
    /// How often it is polled, as text.
    pub interval: Option<String>,
    /// The longest wait for one answer, as text.
    pub timeout: Option<String>,
    /// The longest read.
    pub max_words: Option<u16>,
    /// Ledgers of the owner's own that describe its devices: name and text. They lie here so that the file they came
    /// from may go.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub ledgers: BTreeMap<String, String>,
    /// Ledgers that a plugin made for one device: the device's id and the text.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub device_ledgers: BTreeMap<String, String>,
    /// What the owner allows to be written, as he said it in the wizard. Kept as it is: what a version does not understand
    /// must not cost it the rest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub writes: Option<serde_json::Value>,
}

impl ConnectionOptions {
    /// What is kept of a connection; nothing where it cannot be read.
    pub fn of(connection: &Connection) -> Self {
        serde_json::from_value(connection.options.clone()).unwrap_or_default()
    }

    /// What the owner allows to be written, where he said so in the wizard. What cannot be read, or would not be taken from
    /// the file, allows nothing.
    pub fn writes(&self) -> Option<WritesConfig> {
        let kept = self.writes.clone()?;
        let read: Option<WritesConfig> = serde_json::from_value(kept).ok();
        Some(read.filter(|writes| writes.check().is_ok()).unwrap_or_default())
    }
}

/// How to talk to one endpoint.
#[derive(Clone, Debug)]
pub struct Settings {
    /// For its link.
    pub options: Options,
    /// How often it is polled.
    pub interval: Duration,
    /// The same, where somebody said so: what comes by itself is else taken as often as it comes.
    pub given_interval: Option<Duration>,
    /// The longest read, in registers.
    pub max_words: u16,
}

/// The same options, with the pauses and the restraint that a device asks for.
pub fn with_manners(options: Options, manners: Manners) -> Options {
    let most = manners.in_flight.unwrap_or(options.in_flight.max);
    Options {
        in_flight: InFlight {
            start: options.in_flight.start.min(most),
            max: options.in_flight.max.min(most),
        },
        spacing: options.spacing.max(manners.spacing),
        pause_after_connect: options.pause_after_connect.max(manners.pause_after_connect),
        ..options
    }
}

impl Settings {
    /// The file, where present, wins over the registry.
    pub fn of(connection: &Connection, configured: Option<&ConnectionConfig>, profile: &Profile) -> Self {
        let stored = ConnectionOptions::of(connection);
        let time = |text: Option<String>| text.and_then(|t| parse_duration(&t).ok());
        let usual = if connection.plugin.as_deref() == Some(GX) {
            GX_IN_FLIGHT
        } else {
            1
        };
        let defaults = Options::default();
        let in_flight = InFlight {
            start: profile.in_flight.unwrap_or(usual),
            ..defaults.in_flight
        };
        let timeout = configured
            .and_then(|c| c.timeout)
            .or_else(|| time(stored.timeout));
        let interval = configured
            .and_then(|c| c.interval)
            .or_else(|| time(stored.interval));
        let max_words = configured
            .and_then(|c| c.max_words)
            .or(stored.max_words)
            .unwrap_or(MOST_WORDS);
        Settings {
            options: Options {
                timeout,
                in_flight,
                learned: profile::learned(profile),
                ..defaults
            },
            interval: interval.unwrap_or(DEFAULT_INTERVAL),
            given_interval: interval,
            max_words,
        }
    }
}
