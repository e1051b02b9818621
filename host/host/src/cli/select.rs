//! Which devices and entities are meant, and what there is instead where nothing is.

use std::collections::BTreeSet;

use clap::{Args, ValueEnum};

use crate::error::{HostError, Result};
use crate::format::{count, visible};
use crate::view::{DeviceView, Devices, EntityView};

/// `busbar devices`
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n  \
    busbar devices\n  \
    busbar devices battery\n  \
    busbar devices --connection home --offline --json")]
pub struct DevicesArgs {
    /// Only those with this in their id, name, model or ledger
    #[arg(value_name = "TEXT")]
    pub text: Option<String>,
    /// Only those of this connection
    #[arg(long, value_name = "NAME")]
    pub connection: Option<String>,
    /// Only those that do not answer
    #[arg(long)]
    pub offline: bool,
}

/// `busbar entities`
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n  \
    busbar entities soc\n  \
    busbar entities --device c0619ab5_battery_u225\n  \
    busbar entities --unit-of W --quality good --json\n\n\
    On a terminal they stand below their devices; elsewhere each has a line with its whole id.")]
pub struct EntitiesArgs {
    /// Only those with this in their id or name
    #[arg(value_name = "TEXT")]
    pub text: Option<String>,
    /// Only those of this device: its id, or its name
    #[arg(long, value_name = "ID")]
    pub device: Option<String>,
    /// Only those measured in this unit: V, W, kWh, %
    #[arg(long, value_name = "UNIT")]
    pub unit_of: Option<String>,
    /// Only those whose value is so good
    #[arg(long, value_enum)]
    pub quality: Option<QualityArg>,
    /// Only those that exist so surely
    #[arg(long, value_enum)]
    pub status: Option<StatusArg>,
    /// Only those that their makers let one set
    #[arg(long)]
    pub writable: bool,
    /// Only those that this ledger describes
    #[arg(long, value_name = "NAME")]
    pub ledger: Option<String>,
}

/// How good a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum QualityArg {
    /// The device said so, lately
    Good,
    /// It said so, and has not answered since
    Stale,
    /// It says that it has no value
    Invalid,
    /// Nothing is known: no host runs, or it was not asked yet
    Unavailable,
}

/// How surely an entity exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StatusArg {
    /// Something proves it
    Present,
    /// It can be read, and never said anything that proves it
    Unproven,
    /// It is not there
    Absent,
}

fn word(value: impl ValueEnum) -> String {
    value
        .to_possible_value()
        .map(|value| value.get_name().to_owned())
        .unwrap_or_default()
}

fn holds(text: &str, wanted: &str) -> bool {
    text.to_lowercase().contains(&wanted.to_lowercase())
}

/// Keeps the devices that are meant.
///
/// # Errors
/// [`HostError::NothingFound`], with what there is, when none is.
pub fn devices(args: &DevicesArgs, all: &mut Devices) -> Result<()> {
    let devices = &mut all.devices;
    if let Some(name) = &args.connection {
        let there = || listed(devices.iter().map(|d| d.connection.clone()));
        let hint = format!("There are: {}.", there());
        devices.retain(|device| device.connection == *name);
        some(
            devices,
            || format!("there is no device on a connection {name:?}"),
            hint,
        )?;
    }
    if let Some(text) = &args.text {
        let hint = format!("There are: {}.", listed(devices.iter().map(|d| d.id.clone())));
        devices.retain(|d| {
            let texts = [Some(&d.id), Some(&d.name), d.model.as_ref(), Some(&d.ledger)];
            texts.into_iter().flatten().any(|of| holds(of, text))
        });
        some(
            devices,
            || format!("no device has {text:?} in its id, name, model or ledger"),
            hint,
        )?;
    }
    if args.offline {
        let hint = match devices.iter().all(|d| d.availability == "online") {
            true => format!("All of them answer: {}.", count(devices.len(), "device")),
            false => "Nobody has asked them yet: start the host with `busbar`.".to_owned(),
        };
        devices.retain(|device| device.availability == "offline");
        some(devices, || "no device is known to be offline".to_owned(), hint)?;
    }
    Ok(())
}

/// Keeps the entities that are meant, and the devices that have some.
///
/// # Errors
/// [`HostError::NothingFound`], with what there is, when none is.
pub fn entities(args: &EntitiesArgs, all: &mut Devices) -> Result<()> {
    if let Some(device) = &args.device {
        let hint = match all.devices.is_empty() {
            true => "`busbar scan URL --save` finds some.".to_owned(),
            false => format!("There are: {}.", listed(all.devices.iter().map(|d| d.id.clone()))),
        };
        let named = |d: &DeviceView| d.id == *device || d.name.eq_ignore_ascii_case(device);
        all.devices.retain(named);
        some(
            &all.devices,
            || format!("there is no device {device:?} in the registry"),
            hint,
        )?;
    }
    let mut keep = |of: &dyn Fn(&EntityView) -> String, is: &dyn Fn(&EntityView) -> bool, what: String| {
        let entities = || all.devices.iter().flat_map(|d| &d.entities);
        let hint = format!("There are: {}.", listed(entities().map(of)));
        let nothing = !entities().any(is);
        for device in &mut all.devices {
            device.entities.retain(is);
        }
        match nothing {
            true => Err(HostError::nothing_found(what, hint)),
            false => Ok(()),
        }
    };
    if let Some(ledger) = &args.ledger {
        keep(
            &|e| e.ledger.clone(),
            &|e| e.ledger == *ledger,
            format!("no entity is described by a ledger {ledger:?}"),
        )?;
    }
    if let Some(unit) = &args.unit_of {
        keep(
            &|e| e.entity.unit.clone().unwrap_or_else(|| "(none)".to_owned()),
            &|e| {
                e.entity
                    .unit
                    .as_ref()
                    .is_some_and(|of| of.eq_ignore_ascii_case(unit))
            },
            format!("no entity is measured in {unit:?}"),
        )?;
    }
    if let Some(quality) = args.quality.map(word) {
        keep(
            &|e| e.entity.quality.to_string(),
            &|e| e.entity.quality.to_string() == quality,
            format!("no entity is {quality}"),
        )?;
    }
    if let Some(status) = args.status.map(word) {
        keep(
            &|e| e.entity.status.name().to_owned(),
            &|e| e.entity.status.name() == status,
            format!("no entity is {status}"),
        )?;
    }
    if args.writable {
        keep(
            &|_| "only values that can be read".to_owned(),
            &|e| e.entity.writable,
            "no entity can be set".to_owned(),
        )?;
    }
    if let Some(text) = &args.text {
        let is = |e: &EntityView| holds(&e.entity.id, text) || holds(&e.entity.name, text);
        let entities = all.devices.iter().flat_map(|d| &d.entities);
        if !entities.clone().any(is) {
            let mut near: Vec<(f64, &str)> = entities
                .map(|e| (strsim::jaro_winkler(&e.entity.key, text), e.entity.key.as_str()))
                .filter(|(likeness, _)| *likeness > LIKE)
                .collect();
            near.sort_by(|a, b| b.0.total_cmp(&a.0));
            near.dedup();
            let near: Vec<&str> = near.iter().take(3).map(|(_, key)| *key).collect();
            let meant = match near.is_empty() {
                true => String::new(),
                false => format!("Did you mean {}? ", near.join(", or ")),
            };
            return Err(HostError::nothing_found(
                format!("no entity has {text:?} in its id or name"),
                format!("{meant}`busbar entities` without it lists all."),
            ));
        }
        for device in &mut all.devices {
            device.entities.retain(is);
        }
    }
    all.devices.retain(|device| !device.entities.is_empty());
    Ok(())
}

/// So near is what somebody may have meant.
const LIKE: f64 = 0.85;
/// So many are named; whoever wants all lists them.
const MOST: usize = 8;

/// What there is, each once.
fn listed(all: impl Iterator<Item = String>) -> String {
    let all: BTreeSet<String> = all.collect();
    let some: Vec<String> = all.iter().take(MOST).map(|text| visible(text)).collect();
    match all.len().saturating_sub(MOST) {
        0 => some.join(", "),
        more => format!("{}, and {more} more", some.join(", ")),
    }
}

fn some<T>(all: &[T], what: impl FnOnce() -> String, hint: String) -> Result<()> {
    match all.is_empty() {
        true => Err(HostError::nothing_found(what(), hint)),
        false => Ok(()),
    }
}
