//! What is asked of the device just before a write: who it is, what it holds now, whether the interlocks are as they must be.

use std::sync::Arc;

use busbar_guard::{Cause, Refusal};
use busbar_ledger::codec::{self, Decoded};
use busbar_ledger::identify::{field_text, serial_text};
use busbar_ledger::model::{IdentityField, Point, Register};
use busbar_ledger::span::Span;
use busbar_ledger::value::{Quality, RawWords, Reading, Value};
use busbar_ledger::write::Interlock;
use busbar_wire::{Link, Priority, ReadPlan, WireError};

use super::target::Target;
use crate::bus::{Bus, Device, Stamp, Update};
use crate::discover::slug;

/// Reads for a write: before everything else that waits for the wire.
async fn read(link: &Link, unit: u8, span: Span) -> Result<Vec<u16>, WireError> {
    let priority = Priority::Write;
    link.read(ReadPlan { unit, span, priority }).await
}

/// Who answers, as it says now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Who {
    /// The serial numbers that the device hangs on, its gateway's too.
    pub serial: Option<String>,
    /// Its firmware, or its gateway's.
    pub firmware: Option<String>,
    /// Whether there is a register that tells the firmware.
    pub tells_firmware: bool,
}

/// Whether who answers now is who answered before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Same {
    /// It says so.
    Yes,
    /// It does not say all that it said then: nothing is known.
    NotTold,
    /// It says that it is another.
    No,
}

impl Who {
    /// Compares with what was said before.
    pub fn same_as(&self, before: &Who) -> Same {
        let parts = [(&self.serial, &before.serial), (&self.firmware, &before.firmware)];
        let differs = |(now, before): &(&Option<String>, &Option<String>)| {
            now.as_ref()
                .zip(before.as_ref())
                .is_some_and(|(now, before)| now != before)
        };
        if parts.iter().any(differs) {
            return Same::No;
        }
        match parts
            .iter()
            .any(|(now, before)| now.is_none() && before.is_some())
        {
            true => Same::NotTold,
            false => Same::Yes,
        }
    }

    /// What is said when it is another.
    pub fn instead_of(&self, before: &Who) -> String {
        format!(
            "another device answers there: {} instead of {}",
            self.shown(),
            before.shown()
        )
    }

    /// In one line, for tokens and messages.
    pub fn shown(&self) -> String {
        let part = |part: &Option<String>| crate::format::visible(part.as_deref().unwrap_or("-"));
        format!("serial {}, firmware {}", part(&self.serial), part(&self.firmware))
    }
}

/// What a device tells of itself in these fields; `serial` and `firmware` of the device that holds them.
struct Source {
    unit: u8,
    serial: Option<IdentityField>,
    firmware: Option<IdentityField>,
}

/// The devices that say who this one is: itself, or the gateway whose serial number its id begins with.
fn sources(device: &Device, all: &[Arc<Device>]) -> Vec<Source> {
    let source = |of: &Arc<Device>| {
        let identify = of.meta.ledger.identify.as_ref()?;
        let serial = of.meta.serial.as_deref().map(slug).filter(|s| !s.is_empty());
        let own = of.meta.id == device.meta.id;
        let gateway = serial.is_some_and(|serial| device.meta.id.starts_with(&format!("{serial}_")));
        (own || gateway).then(|| Source {
            unit: of.meta.unit,
            serial: identify.serial.clone(),
            firmware: identify.firmware.clone(),
        })
    };
    let mut found: Vec<Source> = all
        .iter()
        .filter(|of| of.meta.connection_id == device.meta.connection_id)
        .filter_map(source)
        .filter(|source| source.serial.is_some())
        .collect();
    found.truncate(4);
    found
}

/// Asks the device who it is.
///
/// # Errors
/// [`Cause::Identity`] where it does not answer that.
pub async fn who(link: &Link, device: &Device, all: &[Arc<Device>]) -> Result<Who, Refusal> {
    let mut who = Who::default();
    let sources = sources(device, all);
    if let (Some(gateway), []) = (&device.meta.ledger.identified_by, sources.as_slice()) {
        return Err(Refusal::new(
            Cause::Identity,
            format!(
                "nothing here says which device this is: {gateway} would, and was not found on this connection"
            ),
            "Scan the connection without --ledger, so that it is found, too (`busbar scan URL --save`).",
        ));
    }
    for source in sources {
        if let Some(field) = &source.serial {
            let words = read(link, source.unit, field.span)
                .await
                .map_err(|e| silent(&e))?;
            let serial = serial_text(field, &words).map(|text| text.trim().to_owned());
            if serial.is_none() && device.meta.ledger.identified_by.is_some() {
                return Err(Refusal::new(
                    Cause::Identity,
                    "the device does not tell its serial number now",
                    "Nothing is written to a device that cannot be recognised; try again when it tells.",
                ));
            }
            who.serial = who.serial.or(serial);
        }
        if let Some(field) = &source.firmware {
            who.tells_firmware = true;
            match read(link, source.unit, field.span).await {
                Ok(words) => {
                    let firmware = field_text(field, &words).map(|text| text.trim().to_owned());
                    who.firmware = who.firmware.or(firmware);
                }
                // Some firmware does not tell its own version. What is busy or broken for a moment may well.
                Err(WireError::Exception { code: 1..=3 | 10, .. }) => {}
                Err(error) => return Err(silent(&error)),
            }
        }
    }
    Ok(who)
}

fn silent(error: &WireError) -> Refusal {
    Refusal::new(
        Cause::Identity,
        format!("the device does not say who it is: {error}"),
        "Nothing is written to a device that cannot be recognised; try again when it answers.",
    )
}

/// The value of a register now.
///
/// # Errors
/// [`Cause::Stale`] where it cannot be read.
pub async fn now(link: &Link, unit: u8, register: &Register) -> Result<(Value, Vec<u16>), Refusal> {
    let words = read(link, unit, register.span).await.map_err(|error| {
        Refusal::new(
            Cause::Stale,
            format!("its present value cannot be read: {error}"),
            "Nothing is written to what cannot be read; try again when the device answers.",
        )
    })?;
    match codec::decode(register, &words, None) {
        Decoded::Value(value) => Ok((value, words)),
        Decoded::Invalid(why) => Err(Refusal::new(
            Cause::Stale,
            format!("the device gives no value for it now ({why})"),
            "Look at the device; then try again.",
        )),
    }
}

/// Looks at a register after a write; `None` where there is no answer.
pub async fn look(link: &Link, unit: u8, register: &Register) -> Option<(Value, Vec<u16>)> {
    now(link, unit, register).await.ok()
}

/// Puts what a point reads on the bus: exactly what the device said.
pub fn publish(bus: &Bus, target: &Target, value: &Value, words: &[u16], interval: std::time::Duration) {
    let Some(device) = bus.device(&target.device.meta.id) else {
        return;
    };
    let at = target.point().register().map(|register| register.span.at);
    let reading = Reading {
        value: Some(value.clone()),
        quality: Quality::Good,
        at,
        raw: RawWords::from(words),
    };
    let stamp = Stamp::now();
    {
        let mut state = device.state();
        let Some(slot) = state.slots.get_mut(target.index).filter(|slot| slot.is_polled()) else {
            return;
        };
        slot.take(reading, stamp, interval.saturating_mul(3));
    }
    bus.publish(Update {
        device,
        points: vec![target.index],
        at_ms: stamp.wall_ms,
    });
}

/// What the device itself says of the bounds of a point: lowest and highest. A point that it lacks, or that reads 0, bounds
/// nothing.
///
/// # Errors
/// [`Cause::Stale`] where it may say something, and does not answer.
pub async fn own_bounds(link: &Link, target: &Target) -> Result<(Option<f64>, Option<f64>), Refusal> {
    let rule = target.point().write.as_ref();
    let keys = rule.map(|rule| (rule.device_min.as_deref(), rule.device_max.as_deref()));
    let (min, max) = keys.unwrap_or_default();
    Ok((told(link, target, min).await?, told(link, target, max).await?))
}

async fn told(link: &Link, target: &Target, key: Option<&str>) -> Result<Option<f64>, Refusal> {
    let point = key.and_then(|key| target.device.meta.ledger.point(key));
    let Some(register) = point.and_then(Point::register) else {
        return Ok(None);
    };
    match read(link, target.device.meta.unit, register.span).await {
        Ok(words) => Ok(match codec::decode(register, &words, None) {
            Decoded::Value(value) => value.as_f64().filter(|value| *value != 0.0),
            Decoded::Invalid(_) => None,
        }),
        Err(WireError::Exception { code: 2 | 10, .. }) => Ok(None),
        Err(error) => Err(Refusal::new(
            Cause::Stale,
            format!("the device's own bound cannot be read: {error}"),
            "Try again when the device answers.",
        )),
    }
}

/// Whether everything is as it must be for this value.
///
/// # Errors
/// [`Cause::Interlock`], in the words of the ledger.
pub async fn interlocks(
    link: &Link,
    target: &Target,
    value: &Value,
    all: &[Arc<Device>],
) -> Result<(), Refusal> {
    let Some(rule) = &target.point().write else {
        return Ok(());
    };
    for interlock in &rule.interlocks {
        let beside = |value: f64| {
            interlock.only_below.is_some_and(|bound| value >= bound)
                || interlock.only_above.is_some_and(|bound| value <= bound)
        };
        if value.as_f64().is_some_and(beside) {
            continue;
        }
        interlocked(link, target, interlock, all).await?;
    }
    Ok(())
}

async fn interlocked(
    link: &Link,
    target: &Target,
    interlock: &Interlock,
    all: &[Arc<Device>],
) -> Result<(), Refusal> {
    let refuse = |why: String| {
        Err(Refusal::new(
            Cause::Interlock,
            format!("{}{why}", interlock.say.trim_end_matches('.')),
            "Change that on the device first, if it is meant to be written from here.",
        )
        .bound_by(interlock.condition.point.clone()))
    };
    let absent = |what: &str| match interlock.absent_passes {
        true => Ok(()),
        false => refuse(format!(" (this cannot be checked: {what})")),
    };
    let Some(device) = asked(target, interlock, all) else {
        return absent("the device that would tell is not known");
    };
    let point: Option<&Point> = device.meta.ledger.point(&interlock.condition.point);
    let Some(register) = point.and_then(Point::register) else {
        return absent("the ledger of that device has no such point");
    };
    match read(link, device.meta.unit, register.span).await {
        Ok(words) => {
            let value = match codec::decode(register, &words, None) {
                Decoded::Value(value) => Some(value),
                Decoded::Invalid(_) => None,
            };
            let quality = if value.is_some() {
                Quality::Good
            } else {
                Quality::Invalid
            };
            let reading = Reading {
                value,
                quality,
                at: None,
                raw: RawWords::default(),
            };
            match busbar_ledger::holds(&interlock.condition, &reading) {
                Some(true) => Ok(()),
                Some(false) => {
                    let value = reading
                        .value
                        .as_ref()
                        .map(ToString::to_string)
                        .unwrap_or_default();
                    let label = point.zip(reading.value.as_ref()).and_then(|(p, v)| p.meaning(v));
                    let label = label.map(|label| format!(", {label}")).unwrap_or_default();
                    refuse(format!(" ({} reads {value}{label})", interlock.condition.point))
                }
                None => absent("it gives no value now"),
            }
        }
        Err(WireError::Exception { code: 2 | 10, .. }) => absent("the device does not have it"),
        // Nothing is known of it, which is not the same as that it is not so.
        Err(error) => Err(Refusal::new(
            Cause::Stale,
            format!(
                "it cannot be checked whether {}: {error}",
                interlock.say.trim_end_matches('.')
            ),
            "Try again when the device answers.",
        )),
    }
}

/// The device that an interlock asks: the written one, or the one of another ledger behind the same gateway.
fn asked<'a>(target: &'a Target, interlock: &Interlock, all: &'a [Arc<Device>]) -> Option<&'a Arc<Device>> {
    let Some(ledger) = &interlock.ledger else {
        return Some(&target.device);
    };
    let meta = &target.device.meta;
    let on_the_same = all.iter().filter(|d| {
        d.meta.connection_id == meta.connection_id && d.meta.ledger.name == *ledger && d.meta.is_polled()
    });
    // Of several gateways on one connection, the one with the same beginning of its id.
    on_the_same.max_by_key(|d| {
        d.meta
            .id
            .bytes()
            .zip(meta.id.bytes())
            .take_while(|(a, b)| a == b)
            .count()
    })
}
