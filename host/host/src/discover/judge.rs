//! From the words that were read to what a device is said to have.

use std::sync::Arc;

use busbar_ledger::extent::Learned;
use busbar_ledger::image::Image;
use busbar_ledger::model::Ledger;
use busbar_ledger::presence::{Verdict, verdicts};
use busbar_ledger::ranges::Ranges;
use busbar_ledger::readings::{Facts, readings};
use busbar_ledger::telegram::{self, Said};
use busbar_ledger::value::Reading;
use busbar_plugin_sdk::Found;
use busbar_wire::{Link, WireError};
use tracing::warn;

use super::report::{self, DeviceReport};
use super::tally::Tally;
use super::{FoundDevice, identity, learn, recognise};
use crate::bus::Device;

/// What the words that were read say about each point.
pub(super) fn judge(found: &Found, ledger: Arc<Ledger>, learned: Learned) -> FoundDevice {
    // What was learned before a unit stopped answering is not all that it has.
    let readable = Some(&learned.readable).filter(|_| !learned.lost);
    let device = assess(
        Identified {
            id: &found.id,
            unit: found.unit,
            name: found.name.as_deref(),
            model: found.model.as_deref(),
            serial: found.serial.as_deref(),
            firmware: found.firmware.as_deref(),
        },
        &ledger,
        readable,
        &learned.image,
    );
    FoundDevice {
        report: device,
        ledger,
        ledger_text: found.ledger_text.clone(),
        max_words: learned.max_words,
        readable: learned.readable,
        complete: !learned.lost,
    }
}

/// A device as it was identified.
#[derive(Clone, Copy, Debug)]
pub struct Identified<'a> {
    /// Its id.
    pub id: &'a str,
    /// Its unit.
    pub unit: u8,
    /// Its name, where one is known.
    pub name: Option<&'a str>,
    /// Its model.
    pub model: Option<&'a str>,
    /// Its serial number.
    pub serial: Option<&'a str>,
    /// Its firmware.
    pub firmware: Option<&'a str>,
}

/// Readings and verdicts of one device from the words that were read. Pure.
pub fn assess(
    device: Identified<'_>,
    ledger: &Ledger,
    readable: Option<&Ranges>,
    image: &Image,
) -> DeviceReport {
    let facts = Facts {
        firmware: device.firmware,
        model: device.model,
        readable,
        ..Facts::default()
    };
    let readings = readings(ledger, image, &facts);
    let verdicts = verdicts(ledger, &readings, &facts, &|_| false);
    reported(device, ledger, &readings, verdicts)
}

/// The same from what was said in a telegram. Pure.
pub fn assess_said(device: Identified<'_>, ledger: &Ledger, said: &Said<'_>) -> DeviceReport {
    let readings = telegram::readings_of(ledger, said);
    let verdicts = telegram::verdicts(ledger, said);
    reported(device, ledger, &readings, verdicts)
}

fn reported(
    device: Identified<'_>,
    ledger: &Ledger,
    readings: &[Reading],
    verdicts: Vec<Verdict>,
) -> DeviceReport {
    let name = device
        .name
        .map(str::to_owned)
        .or_else(|| identity::own_name(ledger, readings))
        .unwrap_or_else(|| ledger.title.clone());
    // It is shown within sentences and lines of Busbar's own.
    let name = name.replace(char::is_control, " ");
    let (entities, added_up) = report::entities(device.id, ledger, readings, verdicts);
    DeviceReport {
        id: device.id.to_owned(),
        ledger: ledger.name.clone(),
        unit_id: device.unit,
        name,
        model: device.model.map(str::to_owned),
        serial: device.serial.map(str::to_owned),
        firmware: device.firmware.map(str::to_owned),
        entities,
        added_up,
    }
}

/// Recognises and learns a device again: one that refuses what it used to answer, or is set up anew. `None` when it
/// does not answer at all, says of anything that it cannot tell just now, or is another device by now: then what was
/// known stays known.
///
/// # Errors
/// The wire's, when the endpoint itself is lost.
pub async fn relearn(link: &Link, device: &Device) -> Result<Option<FoundDevice>, WireError> {
    let meta = &device.meta;
    let tally = Tally::default();
    let told = match &meta.ledger.identify {
        Some(rule) => recognise::identity(link, meta.unit, rule, meta.model.clone(), &tally).await?,
        None => recognise::Identity::default(),
    };
    let tells = meta.ledger.identify.as_ref().is_some_and(|i| i.serial.is_some());
    if tells && meta.serial.is_some() && told.serial.is_none() {
        // Whoever answers, nothing of it is taken for the one that is known.
        return Ok(None);
    }
    if told.serial.is_some() && meta.serial.is_some() && told.serial != meta.serial {
        warn!(device = %meta.id, "another device answers in its place: scan \"{}\" again", meta.connection);
        return Ok(None);
    }
    let firmware = told.firmware.or_else(|| meta.firmware.clone());
    let facts = Facts {
        firmware: firmware.as_deref(),
        model: meta.model.as_deref(),
        readable: None,
        ..Facts::default()
    };
    let learned = learn(link, meta.unit, &meta.ledger, &facts, &tally).await?;
    if learned.lost || learned.readable.is_empty() || !tally.is_certain() {
        return Ok(None);
    }
    let identified = Identified {
        id: &meta.id,
        unit: meta.unit,
        name: Some(&meta.name),
        model: meta.model.as_deref(),
        serial: meta.serial.as_deref(),
        firmware: firmware.as_deref(),
    };
    let report = assess(identified, &meta.ledger, Some(&learned.readable), &learned.image);
    Ok(Some(FoundDevice {
        report,
        ledger: Arc::clone(&meta.ledger),
        ledger_text: None,
        max_words: learned.max_words,
        readable: learned.readable,
        complete: true,
    }))
}
