//! The entities that a request or the configuration can mean, and how they are found by their names.

use std::sync::Arc;

use busbar_ledger::model::Point;

use crate::bus::Device;
use crate::config::names::{Name, PointName};
use crate::error::HostError;

/// A point of a device on the bus.
#[derive(Clone, Debug)]
pub struct Target {
    /// The device.
    pub device: Arc<Device>,
    /// The point's place in its ledger.
    pub index: usize,
}

impl Target {
    /// The point.
    pub fn point(&self) -> &Point {
        &self.device.meta.ledger.points[self.index]
    }

    /// The entity's id.
    pub fn id(&self) -> String {
        format!("{}.{}", self.device.meta.id, self.point().key)
    }

    /// The entities that are the same setting, this one first: they share rate, budget and lease.
    pub fn shared(&self) -> Vec<String> {
        let ledger = &self.device.meta.ledger;
        let group = |point: &Point| {
            let alias = point.write.as_ref().and_then(|rule| rule.alias_of.clone());
            alias.unwrap_or_else(|| point.key.clone())
        };
        let own = group(self.point());
        let others = ledger
            .points
            .iter()
            .filter(|point| point.write.is_some() && group(point) == own && point.key != self.point().key);
        std::iter::once(self.id())
            .chain(others.map(|point| format!("{}.{}", self.device.meta.id, point.key)))
            .collect()
    }

    /// The other registers of the same setting.
    pub fn siblings(&self) -> Vec<Target> {
        let ids = self.shared();
        let index = |id: &String| {
            let (_, key) = id.split_once('.')?;
            self.device.meta.ledger.index.get(key).copied()
        };
        let of = |index| Target {
            device: Arc::clone(&self.device),
            index,
        };
        ids.iter().skip(1).filter_map(index).map(of).collect()
    }

    /// What all of [`Target::shared`] have in common.
    pub fn setting(&self) -> String {
        let alias = self
            .point()
            .write
            .as_ref()
            .and_then(|rule| rule.alias_of.as_deref());
        format!("{}.{}", self.device.meta.id, alias.unwrap_or(&self.point().key))
    }

    /// The point that this one is another register of.
    pub fn alias(&self) -> Option<&Point> {
        let alias = self.point().write.as_ref()?.alias_of.as_deref()?;
        self.device.meta.ledger.point(alias)
    }
}

/// Whether a name means this point of this device.
pub fn leads_to(name: &Name, target: &Target) -> bool {
    let (meta, point) = (&target.device.meta, target.point());
    match name {
        Name::Id { device, key } => *device == meta.id && *key == point.key,
        Name::Point {
            place,
            ledger,
            point: named,
        } => {
            let here = place
                .as_ref()
                .is_none_or(|(connection, unit)| *connection == meta.connection && *unit == meta.unit);
            here && *ledger == meta.ledger.name && is_named(named, point)
        }
    }
}

pub(super) fn is_named(name: &PointName, point: &Point) -> bool {
    match name {
        PointName::Key(key) => *key == point.key,
        // A read-only value at the same address (a bit of it) is not meant.
        PointName::At(at) => {
            point.writable && point.register().is_some_and(|register| register.span.at == *at)
        }
    }
}

/// The entity that a name means, whether it can be written or not.
///
/// # Errors
/// A name that is none, leads nowhere, or leads to several.
pub fn find(devices: &[Arc<Device>], text: &str) -> Result<Target, HostError> {
    let list = "`busbar entities` lists the ids, `busbar limits` those that can be written.";
    let parsed = Name::parse(text);
    // A key alone is what people remember; where one entity has it, that is meant.
    let by_key = |target: &Target| target.point().key == text;
    let mut led: Vec<Target> = match &parsed {
        Ok(name) => all_targets(devices)
            .filter(|target| leads_to(name, target))
            .collect(),
        Err(_) => all_targets(devices).filter(by_key).collect(),
    };
    if led.is_empty()
        && let Ok(Name::Point {
            place,
            ledger,
            point: PointName::At(at),
        }) = &parsed
    {
        // What can only be read is told so, not that it is not there.
        led.extend(all_targets(devices).find(|target| {
            let meta = &target.device.meta;
            let here = place
                .as_ref()
                .is_none_or(|(connection, unit)| *connection == meta.connection && *unit == meta.unit);
            here && meta.ledger.name == *ledger
                && target
                    .point()
                    .register()
                    .is_some_and(|register| register.span.at == *at)
        }));
    }
    if led.len() > 1 {
        let some: Vec<String> = led.iter().take(3).map(Target::id).collect();
        return Err(HostError::usage(
            format!("`{}` means several entities", crate::format::visible(text)),
            format!("Name one by its id: {}.", some.join(", ")),
        ));
    }
    if let Some(target) = led.pop() {
        return Ok(target);
    }
    let hint = match likely(devices, text) {
        Some(name) => format!("Did you mean {name}? {list}"),
        None => list.to_owned(),
    };
    match parsed {
        Ok(_) => Err(HostError::nothing_found(
            format!("there is no entity `{}`", crate::format::visible(text)),
            hint,
        )),
        Err(fault) => Err(HostError::usage(fault, hint)),
    }
}

/// The longest wrong name for which a right one is looked for: whoever sends more means no harm to themselves alone.
const MOST_NAME: usize = 80;

/// The name that comes nearest to a wrong one, of those that can be written.
fn likely(devices: &[Arc<Device>], text: &str) -> Option<String> {
    if text.len() > MOST_NAME {
        return None;
    }
    let wanted = text.rsplit(['.', ':']).next().unwrap_or_default();
    let mut best: (f64, Option<Target>) = (0.9, None);
    for target in targets(devices).filter(|target| target.point().write.is_some()) {
        let likeness = strsim::jaro_winkler(&target.point().key, wanted);
        if likeness > best.0 {
            best = (likeness, Some(target));
        }
    }
    best.1
        .map(|target| format!("{}:{}", target.device.meta.ledger.name, target.point().key))
}

/// The entities of devices that the maker lets one set, as far as they exist.
pub fn targets(devices: &[Arc<Device>]) -> impl Iterator<Item = Target> + '_ {
    all_targets(devices).filter(|target| target.point().writable)
}

/// All entities of devices.
pub fn all_targets(devices: &[Arc<Device>]) -> impl Iterator<Item = Target> + '_ {
    devices.iter().flat_map(|device| {
        let there: Vec<bool> = device
            .state()
            .slots
            .iter()
            .map(crate::bus::Slot::is_polled)
            .collect();
        let there = there
            .into_iter()
            .enumerate()
            .filter_map(|(index, there)| there.then_some(index));
        there.map(|index| Target {
            device: Arc::clone(device),
            index,
        })
    })
}
