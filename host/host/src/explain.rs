//! Bytes to value, step by step, and why an entity is believed to exist.

use std::fmt::Write;
use std::sync::Arc;

use busbar_ledger::model::{Ledger, Point, PointSource, Register, ValueType};
use busbar_ledger::presence::Status;
use busbar_ledger::value::{Quality, Reading, Value};
use busbar_ledger::{codec, describe};
use busbar_store::{Entity, KeptStitch, Registry};
use serde::{Deserialize, Serialize};

use crate::bus::{Availability, Bus};
use crate::catalog::Catalog;
use crate::energy::evidence as energy;
use crate::error::{HostError, Result};
use crate::format;
use crate::host::Host;
use crate::registry::stored_views;
use crate::write::limits::{self, EntityLimits};
use crate::write::policy::Policy;
use crate::write::target::Target;

/// The document that `busbar explain --json` prints.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Explanation {
    /// The entity's id.
    pub entity: String,
    /// A name for people.
    pub name: String,
    /// Its device.
    pub device: String,
    /// The ledger that describes it.
    pub ledger: String,
    /// The Modbus unit.
    pub unit_id: u8,
    /// Where the ledger's facts come from.
    pub source: Option<String>,
    /// What the maker calls it.
    pub origin: Option<String>,
    /// What the ledger's author adds.
    pub note: Option<String>,
    /// Whether it exists.
    pub status: Status,
    /// Why that is believed.
    pub proof: Option<String>,
    /// The newest value, while a host runs.
    pub value: Option<Value>,
    /// Its unit of measurement.
    pub unit: Option<String>,
    /// How far it can be trusted.
    pub quality: Quality,
    /// From the registers to the value, a sentence each.
    pub steps: Vec<String>,
    /// Of a counter that began anew: all that it counted, while a host runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<f64>,
    /// Where its account went on over that, the newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stitches: Vec<KeptStitch>,
    /// For one that its maker lets one set: within which limits, and what binds.
    pub write: Option<EntityLimits>,
}

/// What is needed to tell how an entity is written.
#[derive(Clone, Copy)]
pub struct Writing<'a> {
    /// What the owner allows.
    pub policy: &'a Policy,
    /// The running host, where there is one: then the device tells its own bounds.
    pub host: Option<&'a Arc<Host>>,
}

/// Explains an entity: from the registry, and with its newest words where a host polls it.
///
/// # Errors
/// [`HostError::NothingFound`] when there is no such entity; the store's.
pub async fn explain(
    registry: &Registry,
    catalog: &Catalog,
    bus: Option<&Bus>,
    writing: Writing<'_>,
    id: &str,
) -> Result<Explanation> {
    let named;
    let id = if id.contains(':') {
        let devices = match bus {
            Some(bus) => bus.devices(),
            None => stored_views(registry, catalog).await?.devices(),
        };
        named = crate::write::target::find(&devices, id)?.id();
        named.as_str()
    } else {
        id
    };
    let entity = match registry.entity(id).await? {
        Some(entity) => entity,
        None => meant(id, registry.entities(None).await?)?,
    };
    let id = entity.id();
    let id = id.as_str();
    let devices = registry.devices().await?;
    let device = devices
        .into_iter()
        .find(|d| d.id == entity.device_id)
        .ok_or_else(|| unknown(id, &[]))?;
    let ledger = catalog.ledger_of(&device.id, &device.ledger)?;
    let point = ledger.point(&entity.key).ok_or_else(|| {
        HostError::failed(
            "ledger_changed",
            format!("the ledger {} no longer has {}", ledger.name, entity.key),
            "Scan the connection again with --save.",
        )
    })?;
    let polled = bus.and_then(|b| b.device(&device.id));
    let live = polled.as_ref().and_then(|d| {
        let slot = d.state().slots.get(*ledger.index.get(&point.key)?)?.clone();
        Some((slot.total(), slot.reading, slot.status))
    });
    let stitches = registry.stitches(&device.id, &point.key).await?;
    let silence = match polled.as_ref().map(|d| d.state().availability.clone()) {
        None => "no reading now: no host polls it".to_owned(),
        Some(Availability::Offline(why)) => format!("no reading now: the device is offline: {why}"),
        Some(_) => "no reading now: the device has not answered for it".to_owned(),
    };
    let mut write = None;
    if point.writable {
        // Without a host, the device as the registry has it.
        let device = match &polled {
            Some(device) => Some(Arc::clone(device)),
            None => stored_views(registry, catalog).await?.device(&device.id),
        };
        if let (Some(device), Some(&index)) = (device, ledger.index.get(&point.key)) {
            let target = Target { device, index };
            write = Some(limits::of(registry, writing.policy, &target, writing.host).await?);
        }
    }
    let (total, reading, status) = live.unwrap_or_else(|| {
        (
            None,
            Reading::unavailable(),
            crate::registry::status(entity.status),
        )
    });
    let mut steps = steps(&ledger, point, device.unit_id, &reading, silence);
    steps.extend(energy::stitched(point, total, &stitches));
    Ok(Explanation {
        entity: id.to_owned(),
        name: point.label.clone(),
        device: device.id.clone(),
        ledger: ledger.name.clone(),
        unit_id: device.unit_id,
        source: ledger.source.clone(),
        origin: point.origin.clone(),
        note: point.note.clone(),
        status,
        proof: entity.proof,
        steps,
        total: total.filter(|_| !stitches.is_empty()),
        stitches,
        value: reading.value.clone(),
        unit: point.unit.clone(),
        quality: reading.quality,
        write,
    })
}

/// The one entity whose id ends so, or whose key this is.
///
/// # Errors
/// None has, or several have.
pub fn meant(text: &str, known: Vec<Entity>) -> Result<Entity> {
    let ends = |entity: &Entity| {
        let id = entity.id();
        let before = id
            .strip_suffix(text)
            .and_then(|before| before.chars().next_back());
        !text.is_empty() && matches!(before, Some('.' | '_'))
    };
    // A whole key is more than the end of one.
    let whole = |entity: &&Entity| entity.key == text;
    let mut led: Vec<&Entity> = known.iter().filter(whole).collect();
    if led.is_empty() {
        led = known.iter().filter(|entity| ends(entity)).collect();
    }
    match led[..] {
        [] => Err(unknown(text, &known)),
        [one] => Ok(one.clone()),
        ref some => {
            let few: Vec<String> = some.iter().take(4).map(|entity| entity.id()).collect();
            let more = match some.len() - few.len() {
                0 => String::new(),
                n => format!(", or {n} more"),
            };
            Err(HostError::usage(
                format!("{} entities have {text:?} at the end of their ids", some.len()),
                format!("Name one: {}{more}.", few.join(", ")),
            ))
        }
    }
}

/// The longest wrong name for which a right one is looked for.
const MOST_NAME: usize = 80;

/// No entity has this id: the ones that come nearest are named.
fn unknown(id: &str, known: &[Entity]) -> HostError {
    let ids: Vec<String> = known.iter().map(Entity::id).collect();
    // A key alone is what people remember.
    let mut likely: Vec<(f64, &str)> = ids
        .iter()
        .filter(|_| id.len() <= MOST_NAME)
        .map(|known| {
            let (device, key) = known.split_once('.').unwrap_or(("", known.as_str()));
            let by_key = match id.rsplit_once('.') {
                // A key of the right device before the same key of another.
                Some((of, wanted)) if device.ends_with(of) => strsim::jaro_winkler(key, wanted),
                Some((_, wanted)) => 0.95 * strsim::jaro_winkler(key, wanted),
                None => strsim::jaro_winkler(key, id),
            };
            (strsim::jaro_winkler(known, id).max(by_key), known.as_str())
        })
        .filter(|(likeness, _)| *likeness > 0.85)
        .collect();
    if likely.is_empty() && (3..=MOST_NAME).contains(&id.len()) {
        let wanted = id.to_lowercase();
        likely = ids
            .iter()
            .filter(|known| known.contains(&wanted))
            .map(|known| (1.0, known.as_str()))
            .collect();
    }
    likely.sort_by(|a, b| b.0.total_cmp(&a.0));
    let hint = match likely.get(..likely.len().min(3)) {
        Some(few) if !few.is_empty() => {
            let few: Vec<&str> = few.iter().map(|(_, id)| *id).collect();
            format!("Did you mean {}? `busbar entities` lists all.", few.join(", or "))
        }
        _ => "`busbar entities` lists them.".to_owned(),
    };
    HostError::nothing_found(format!("there is no entity {id:?} in the registry"), hint)
}

/// The way from registers to value. Pure.
fn steps(ledger: &Ledger, point: &Point, unit: u8, reading: &Reading, silence: String) -> Vec<String> {
    let mut steps = Vec::new();
    match (&point.source, &point.otherwise) {
        (PointSource::Computed(expression), _) => steps.push(format!("computed: {expression}")),
        (PointSource::Obis(spoken), otherwise) => {
            steps.push(format!(
                "taken from the line {} of the telegram, as {}",
                describe::codes(spoken),
                describe::spoken(spoken)
            ));
            if let Some(expression) = otherwise {
                steps.push(format!(
                    "where the telegram has no such line, computed: {expression}"
                ));
            }
        }
        (_, Some(expression)) if reading.at.is_none() && reading.value.is_some() => {
            steps.push(format!(
                "computed, for this device has no register for it: {expression}"
            ));
        }
        (PointSource::Registers(all), _) => {
            let used = all.iter().find(|r| Some(r.span.at) == reading.at).or(all.first());
            if let Some(register) = used {
                from_register(&mut steps, register, all, unit, reading);
            }
        }
    }
    if let Some(condition) = &point.valid_when {
        steps.push(format!(
            "it is a value only while {} is {}",
            condition.point, condition.test
        ));
    }
    if let Some(since) = &point.since {
        steps.push(format!("the device has it from firmware {since} on"));
    }
    if let Some(group) = point.group.as_ref().and_then(|g| ledger.groups.get(g)) {
        let title = group
            .title
            .as_deref()
            .map_or("its group".to_owned(), |t| format!("the group \"{t}\""));
        if let Some(requires) = &group.requires {
            steps.push(format!(
                "{title} exists only while {} is {}",
                requires.point, requires.test
            ));
        }
        if let Some(when) = &group.when {
            steps.push(format!("{title} is proven once {} was {}", when.point, when.test));
        }
        if group.proven_by_sibling {
            steps.push(format!("{title} is proven by any of its values that was not 0"));
        }
    }
    let shown = format::value(
        reading.value.as_ref(),
        reading.value.as_ref().and_then(|v| point.meaning(v)).as_deref(),
        point.unit.as_deref(),
        reading.quality,
    );
    steps.push(match (reading.quality, &reading.value) {
        (Quality::Unavailable, None) => silence,
        (quality, _) => format!("value: {shown} ({quality})"),
    });
    steps
}

fn from_register(
    steps: &mut Vec<String>,
    register: &Register,
    all: &[Register],
    unit: u8,
    reading: &Reading,
) {
    let span = register.span;
    steps.push(format!(
        "read from unit {unit}, {span}, by function {}, as {}",
        span.function.code(),
        describe::register(register)
    ));
    if all.first().is_some_and(|own| own.span.at != span.at) {
        let own = all.first().map_or(0, |r| r.span.at);
        steps.push(format!(
            "register {span} stands in for {own}, which this device lacks or which is coarser"
        ));
    }
    if !reading.raw.is_empty() {
        let words: Vec<String> = reading.raw.iter().map(|w| format!("{w:04X}")).collect();
        let mut step = format!("the device sent {} (hexadecimal)", words.join(" "));
        if let codec::Decoded::Value(raw) = codec::decode(&plain(register), &reading.raw, None)
            && register.ty != ValueType::Text
        {
            let _ = write!(step, ", which is {raw}");
        }
        steps.push(step);
    }
    let scale = register.scale;
    if (scale.num, scale.den) != (1, 1) {
        let factor = if scale.den == 1 {
            scale.num.to_string()
        } else {
            format!("{}/{}", scale.num, scale.den)
        };
        let scaled = raw_number(register, reading).map(|raw| {
            let scaled = Value::Number(raw * scale.num as f64 / scale.den as f64);
            format!(
                ", which is {}",
                format::value(Some(&scaled), None, None, Quality::Good)
            )
        });
        steps.push(format!("times {factor}{}", scaled.unwrap_or_default()));
    }
    if register.offset != 0.0 {
        steps.push(format!("plus {}", register.offset));
    }
    if let Some(key) = &register.scale_point {
        steps.push(format!("times ten to the power of {key}"));
    }
    if !register.invalid.is_empty() {
        let patterns: Vec<String> = register.invalid.iter().map(|p| format!("{p:X}")).collect();
        steps.push(format!(
            "no value when the registers hold {} (hexadecimal)",
            patterns.join(" or ")
        ));
    }
}

/// The number that the registers hold.
fn raw_number(register: &Register, reading: &Reading) -> Option<f64> {
    match codec::decode(&plain(register), &reading.raw, None) {
        codec::Decoded::Value(raw) => raw.as_f64(),
        _ => None,
    }
}

/// The register without scale, to show the number on the wire.
fn plain(register: &Register) -> Register {
    Register {
        scale: busbar_ledger::model::Scale::ONE,
        offset: 0.0,
        scale_point: None,
        invalid: Vec::new(),
        ..register.clone()
    }
}
