//! One device that speaks by itself, heard directly: what `busbar read` does where nobody can be asked.

use std::sync::Arc;

use busbar_ledger::model::Ledger;
use busbar_ledger::presence::Status;
use busbar_ledger::telegram::{self, Said, readings_of};
use busbar_ledger::value::Quality;
use serde_json::{Map, json};
use tokio_util::sync::CancellationToken;

use super::hear::{Hearing, Whole};
use super::way::Ear;
use crate::catalog::Catalog;
use crate::discover::progress::Quiet;
use crate::discover::{first_telegram, own_name};
use crate::error::{HostError, Result};
use crate::one_device::ReadReport;

/// A device, and what it says.
pub struct HeardDevice {
    ear: Ear,
    ledger: Arc<Ledger>,
    unit: Option<u8>,
    /// Whoever watches listens on between two telegrams, and misses none.
    hearing: Option<Hearing>,
}

impl HeardDevice {
    /// A device that a ledger describes, given by name or file; or the meter itself, where a plugin is named.
    ///
    /// # Errors
    /// A usage error where there is no such ledger.
    pub fn open(ear: Ear, catalog: &Catalog, name: &str, unit: Option<u8>) -> Result<Self> {
        let ledger = match catalog.listens(name) {
            true => catalog
                .ledgers_of(name)?
                .into_iter()
                .find(|ledger| !is_of_channel(ledger)),
            false => Some(catalog.ledger_or_file(name)?),
        };
        let Some(ledger) = ledger else {
            return Err(HostError::usage(
                format!("plugin {name} brings no ledger of a meter"),
                "Name a ledger with --ledger; `busbar ledger list` shows all.",
            ));
        };
        if ledger.points.iter().all(|point| point.spoken().is_none()) {
            return Err(HostError::usage(
                format!(
                    "{} lies in registers, and {} only speaks",
                    ledger.name,
                    ear.stream.endpoint()
                ),
                "Name a ledger of telegrams, such as dsmr/p1, or leave it to `busbar scan`.",
            ));
        }
        Ok(HeardDevice {
            ear,
            ledger,
            unit,
            hearing: None,
        })
    }

    /// Forgets what came and was not asked for.
    pub fn forget(&mut self) {
        self.hearing = None;
    }

    /// What the next telegram says of it.
    ///
    /// # Errors
    /// The wire's; that no whole telegram came, or that none speaks of this device.
    pub async fn next(&mut self, catalog: &Catalog) -> Result<ReadReport> {
        if self.hearing.is_none() {
            let cancel = CancellationToken::new();
            let first = first_telegram(&self.ear, catalog, None, &Quiet, &cancel).await?;
            self.hearing = Some(Hearing::new(&self.ear, catalog, None)?);
            if let Some(whole) = first {
                return self.report(catalog, &whole).await;
            }
        }
        let silent = || {
            HostError::Wire(busbar_wire::WireError::Closed {
                endpoint: self.ear.stream.endpoint().into(),
            })
        };
        let Some(hearing) = &mut self.hearing else {
            return Err(silent());
        };
        let whole = loop {
            let Some(batch) = hearing.next(catalog).await? else {
                return Err(silent());
            };
            if let Some(whole) = batch.telegrams.into_iter().next_back() {
                break whole;
            }
        };
        self.report(catalog, &whole).await
    }

    async fn report(&self, catalog: &Catalog, whole: &Whole) -> Result<ReadReport> {
        let devices = catalog.recognise(&whole.plugin, &whole.telegram).await?.devices;
        let mut fitting = devices.into_iter().filter(|found| {
            found.ledger == self.ledger.name && self.unit.is_none_or(|unit| unit == found.unit)
        });
        let found = fitting.next();
        // What was made for this very device says more than what every such device has.
        let ledger = match &found {
            Some(found) => catalog.ledger_found(&whole.plugin, found).await?,
            None => Arc::clone(&self.ledger),
        };
        let unit = found.as_ref().map(|found| found.unit).or(self.unit);
        let of_channel = unit.is_none() && is_of_channel(&ledger);
        let unit = unit.unwrap_or_default();
        let lines = telegram::lines(&whole.telegram.lines);
        let said = Said::of(&ledger, unit, &lines, self.ear.keys.standard_offset);
        let readings = readings_of(&ledger, &said);
        let verdicts = telegram::verdicts(&ledger, &said);
        let mut points = Map::new();
        for ((point, reading), verdict) in ledger.points.iter().zip(&readings).zip(&verdicts) {
            if point.internal || verdict.status == Status::Absent {
                continue;
            }
            let value = reading
                .value
                .as_ref()
                .filter(|_| reading.quality == Quality::Good);
            let line = point
                .spoken()
                .and_then(|spoken| said.line(spoken, point.unit.as_deref()));
            let mut entry = json!({
                "value": value, "unit": point.unit, "quality": reading.quality, "raw": [],
                "line": line.map(ToString::to_string),
                "status": verdict.status, "name": point.label, "class": point.class, "decimals": point.decimals,
            });
            if let Some(label) = value.and_then(|value| point.meaning(value)) {
                entry["label"] = label.into();
            }
            points.insert(point.key.clone(), entry);
        }
        if points.is_empty() || of_channel {
            return Err(HostError::nothing_found(
                format!(
                    "{}: the telegram says nothing that {} knows",
                    self.ear.stream.endpoint(),
                    ledger.name
                ),
                "`busbar scan` shows what speaks there.",
            ));
        }
        let name = own_name(&ledger, &readings).unwrap_or_else(|| ledger.title.clone());
        let about = found.unwrap_or_default();
        Ok(ReadReport {
            device: json!({
                "connection": self.ear.stream.endpoint(), "ledger": ledger.name, "unit_id": unit, "name": name,
                "model": about.model, "serial": about.serial, "firmware": about.firmware,
            }),
            points,
            time_ms: None,
            missing: None,
        })
    }
}

/// Whether a ledger describes what hangs on a channel, and not the meter itself.
fn is_of_channel(ledger: &Ledger) -> bool {
    let mut codes = ledger.points.iter().filter_map(|point| point.spoken());
    codes.any(|spoken| spoken.codes.iter().any(|code| code.at(1) != code.at(2)))
}
