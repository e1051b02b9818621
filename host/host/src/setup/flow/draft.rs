//! What is being set up: the answers so far, which are the defaults of whoever goes back.

use std::collections::{BTreeMap, BTreeSet};

use busbar_plugin_sdk::Mode;
use serde::{Deserialize, Serialize};

use super::super::findings::Findings;
use super::super::work::{Keep, Sight};
use crate::config::{AllowEntry, DEFAULT_INTERVAL};
use crate::find::Found;
use crate::write::limits::Limits;

/// What is known of the owner's wishes before the first question.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Wish {
    /// Where the device is: a URL, or an address.
    pub url: Option<String>,
    /// Ask only this plugin.
    pub plugin: Option<String>,
    /// Look only for this ledger.
    pub ledger: Option<String>,
    /// How far to look.
    pub mode: Mode,
    /// With listed mode: where.
    pub units: Vec<u8>,
    /// The connection's name.
    pub name: Option<String>,
    /// How often it is polled, in milliseconds.
    pub interval_ms: Option<u64>,
}

/// The answers so far.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Draft {
    /// The address as it was given, until it is used.
    pub wished: Option<String>,
    /// The canonical URL.
    pub url: String,
    /// The connection that it is about, where it is known.
    pub connection: Option<String>,
    /// Ask only this plugin.
    pub plugin: Option<String>,
    /// Look only for this ledger.
    pub ledger: Option<String>,
    /// How far to look.
    pub mode: Mode,
    /// With listed mode: where.
    pub units: Vec<u8>,
    /// The connection's name, once somebody has said it.
    pub name: Option<String>,
    /// How often it is polled, in milliseconds, once somebody has said it.
    pub interval_ms: Option<u64>,
    /// The owner's names of devices, by their ids.
    pub names: BTreeMap<String, String>,
    /// What is not taken, by the devices' ids.
    pub put_away: BTreeMap<String, BTreeSet<String>>,
    /// What a search found.
    pub places: Vec<Found>,
    /// What is to be said about that search.
    pub notes: Vec<String>,
    /// Whether the network was searched, too.
    pub searched: bool,
    /// What answers at the address.
    pub sight: Option<Sight>,
    /// What the scan found.
    pub found: Option<Findings>,
    /// Why the last attempt came to nothing.
    pub trouble: Option<String>,
    /// A device that is known, and the found one that is to be it.
    pub replace: Option<(String, String)>,
    /// The connection whose devices are looked for, by name, where it is about one.
    pub about: Option<String>,
    /// The device that has been replaced, where somebody has said so.
    pub replaced: Option<String>,
    /// What a change takes with it, a line each.
    pub consequences: Vec<String>,
    /// What may be written.
    pub limits: Option<Box<Limits>>,
    /// What is being allowed.
    pub entry: AllowEntry,
}

impl Draft {
    /// Begins with wishes.
    pub fn of(wish: Wish) -> Self {
        Draft {
            wished: wish.url,
            plugin: wish.plugin,
            ledger: wish.ledger,
            mode: wish.mode,
            units: wish.units,
            name: wish.name,
            interval_ms: wish.interval_ms,
            ..Draft::default()
        }
    }

    /// Another device than the one so far: what was answered about that one does not hold.
    pub fn anew(&mut self, url: &str) {
        *self = Draft {
            wished: None,
            url: url.to_owned(),
            places: std::mem::take(&mut self.places),
            notes: std::mem::take(&mut self.notes),
            searched: self.searched,
            plugin: self.plugin.take(),
            ledger: self.ledger.take(),
            mode: self.mode,
            units: std::mem::take(&mut self.units),
            name: self.name.take(),
            interval_ms: self.interval_ms,
            ..Draft::default()
        };
    }

    /// How often it is polled, in milliseconds.
    pub fn interval(&self) -> u64 {
        let usual = u64::try_from(DEFAULT_INTERVAL.as_millis()).unwrap_or(u64::MAX);
        self.interval_ms.unwrap_or(usual)
    }

    /// The connection's name.
    pub fn name(&self) -> String {
        let proposed = || self.found.as_ref().map(|found| found.proposed.clone());
        self.name.clone().or_else(proposed).unwrap_or_default()
    }

    /// The name of a device.
    pub fn device_name<'a>(&'a self, id: &str, own: &'a str) -> &'a str {
        self.names.get(id).map_or(own, String::as_str)
    }

    /// How what was found is to be saved.
    pub fn keep(&self) -> Keep {
        let new = self.connection.is_none();
        Keep {
            name: new.then(|| self.name()),
            interval_ms: self.interval_ms,
            names: self.names.clone(),
            put_away: self.put_away.clone(),
            replace: self.replace.clone(),
        }
    }
}
