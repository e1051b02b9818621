//! One device, read directly: no registry, no host. What `busbar read` does.

use std::collections::BTreeMap;
use std::sync::Arc;

use busbar_ledger::identify;
use busbar_ledger::image::Image;
use busbar_ledger::model::{Ledger, Rate};
use busbar_ledger::plan::{PlanRules, plan, wants};
use busbar_ledger::presence::{Status, Verdict, verdicts};
use busbar_ledger::ranges::Ranges;
use busbar_ledger::readings::{Facts, readings};
use busbar_ledger::span::Function;
use busbar_ledger::value::{Quality, Reading, Value};
use busbar_wire::{Link, Priority, ReadPlan, WireError};
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use serde_json::{Map, json};
use tracing::warn;

use crate::catalog::Catalog;
use crate::discover::{self, Tally};
use crate::error::{HostError, Result};

/// A device whose readable registers are known.
pub struct OneDevice {
    link: Link,
    unit: u8,
    ledger: Arc<Ledger>,
    identity: discover::Identity,
    readable: Ranges,
    /// The words of what never changes, as the device said them when it was opened.
    identity_words: Image,
    is_whole: bool,
    /// Why points are not there, by key, where the list of them is somebody's own.
    lacks: Option<BTreeMap<String, String>>,
    asked: Tally,
}

/// What one reading brought.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// One for each point of the ledger.
    pub readings: Vec<Reading>,
    /// Whether each point exists.
    pub verdicts: Vec<Verdict>,
    /// How many reads failed, and why the last one did.
    pub failed: Option<String>,
}

/// The document that `busbar read --json` prints.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReadReport {
    /// The device.
    pub device: serde_json::Value,
    /// Its points by key; those that the device lacks are left out, but for those of a register list.
    pub points: Map<String, serde_json::Value>,
    /// When it was read, in milliseconds since 1970: in a stream of readings, which is kept and plotted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_ms: Option<i64>,
    /// Why some of them could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
}

/// So many points that are all 0 say something.
const MANY: usize = 6;

impl ReadReport {
    /// Whether everything that was read is 0, and that of many points: then it is most likely not the device that the
    /// ledger describes.
    pub fn is_all_zero(&self) -> bool {
        let mut measured = 0;
        for point in self.points.values() {
            let words = point["raw"].as_array().map(Vec::as_slice).unwrap_or_default();
            if words.iter().any(|word| *word != 0) {
                return false;
            }
            measured += usize::from(!words.is_empty());
        }
        measured >= MANY
    }

    /// Whether nothing at all could be read.
    pub fn is_empty(&self) -> bool {
        self.points
            .values()
            .all(|point| point["quality"] == "unavailable")
    }
}

/// The unit to read: the one named, else the ledger's only one.
///
/// # Errors
/// A usage error when nothing was named and the ledger allows several.
pub fn unit_of(ledger: &Ledger, scheme: &str, named: Option<u8>) -> Result<u8> {
    if let Some(unit) = named {
        return Ok(unit);
    }
    let units_of = |named: bool| -> Vec<u8> {
        let transports = ledger.transports.iter().filter(|t| !named || t.scheme == scheme);
        let mut units: Vec<u8> = transports.flat_map(|t| t.units.iter().copied()).collect();
        let mut seen = std::collections::BTreeSet::new();
        units.retain(|unit| seen.insert(*unit));
        units
    };
    // Behind a gateway or an emulator it may be reached otherwise than its maker means it, at the same unit.
    let mut units = units_of(true);
    if units.is_empty() {
        units = units_of(false);
    }
    match units.as_slice() {
        [only] => Ok(*only),
        [] => Err(HostError::usage(
            format!("the ledger {} names no unit for {scheme}", ledger.name),
            "Say which one with --unit; most meters use 1.",
        )),
        several => {
            let few: Vec<String> = several.iter().take(8).map(u8::to_string).collect();
            let more = if several.len() > few.len() { ", …" } else { "" };
            Err(HostError::usage(
                format!(
                    "{} can be at {} units ({}{more})",
                    ledger.name,
                    several.len(),
                    few.join(", ")
                ),
                "Say which one with --unit, or find it with `busbar scan`.",
            ))
        }
    }
}

impl OneDevice {
    /// Opens the device that a ledger describes, given by name or file, or the one that the plugin of this name finds.
    ///
    /// # Errors
    /// As [`OneDevice::open`]; a usage error where there is no such ledger or no unit.
    pub async fn named(
        link: Link,
        catalog: &Catalog,
        name: &str,
        unit: Option<u8>,
    ) -> Result<(Self, Snapshot)> {
        if catalog.discovers(name) {
            return OneDevice::found_by(link, catalog, name, unit).await;
        }
        let ledger = catalog.ledger_or_file(name)?;
        if ledger.is_of_telegrams() {
            return Err(HostError::usage(
                format!(
                    "the ledger {} describes telegrams, and {} is asked for registers",
                    ledger.name,
                    link.endpoint()
                ),
                "Such a meter speaks by itself, on a line of its own; name a ledger of registers for this address.",
            ));
        }
        let unit = unit_of(&ledger, discover::scheme(&link), unit)?;
        OneDevice::open(link, unit, ledger).await
    }

    /// Opens the first device that a plugin finds; what else it finds is told of.
    async fn found_by(
        link: Link,
        catalog: &Catalog,
        plugin: &str,
        unit: Option<u8>,
    ) -> Result<(Self, Snapshot)> {
        let found = discover::by_plugin(&link, catalog, plugin, unit).await?;
        let mut found = found.into_iter();
        let Some((first, ledger)) = found.next() else {
            return Err(HostError::nothing_found(
                format!("{} has nothing that plugin {plugin} knows", link.endpoint()),
                "Say where it is with --unit; `busbar scan --mode full` looks everywhere.",
            ));
        };
        for (other, _) in found {
            warn!(
                "there is also {} at unit {}: `busbar scan` shows it",
                other.id, other.unit
            );
        }
        let identity = discover::Identity {
            model: first.model,
            serial: first.serial,
            firmware: first.firmware,
        };
        OneDevice::learn(link, first.unit, ledger, identity, &Tally::default()).await
    }

    /// Learns which of the ledger's registers this device answers.
    ///
    /// # Errors
    /// The wire's, and a failure when the device answers none of them.
    pub async fn open(link: Link, unit: u8, ledger: Arc<Ledger>) -> Result<(Self, Snapshot)> {
        let tally = Tally::default();
        let (ledger, words) = discover::dialect(&link, unit, &ledger, &tally).await?;
        let identity = match &ledger.identify {
            Some(rule) => {
                let model = words.and_then(|words| identify::matches(rule, &words));
                let model = model.filter(|model| !model.is_empty());
                let told = Tally::default();
                let identity = discover::identity(&link, unit, rule, model, &told).await?;
                // Without its version, registers would be read that mean nothing on older firmware.
                let needed =
                    rule.firmware.is_some() && ledger.points.iter().any(|point| point.since.is_some());
                if needed && identity.firmware.is_none() && told.anything_unanswered() {
                    return Err(HostError::no_answer(
                        link.endpoint(),
                        &format!("unit {unit} does not tell its firmware version"),
                        "Try again: without it, what the registers hold cannot be told.",
                    ));
                }
                identity
            }
            None => discover::Identity::default(),
        };
        OneDevice::learn(link, unit, ledger, identity, &tally).await
    }

    async fn learn(
        link: Link,
        unit: u8,
        ledger: Arc<Ledger>,
        identity: discover::Identity,
        tally: &Tally,
    ) -> Result<(Self, Snapshot)> {
        let facts = Facts {
            firmware: identity.firmware.as_deref(),
            model: identity.model.as_deref(),
            readable: None,
            ..Facts::default()
        };
        let asked = Tally::default();
        let learned = discover::learn(&link, unit, &ledger, &facts, &asked).await?;
        if learned.readable.is_empty() {
            return Err(nothing_readable(
                &link,
                unit,
                &ledger,
                tally.anything_answered() || asked.anything_answered(),
            ));
        }
        let device = OneDevice {
            link,
            unit,
            ledger,
            identity,
            readable: learned.readable,
            identity_words: Image::default(),
            is_whole: !learned.lost && !asked.anything_unanswered(),
            lacks: None,
            asked,
        };
        let device = device.remembering(&learned.image);
        let snapshot = device.judge(&learned.image, None);
        Ok((device, snapshot))
    }

    /// Whether it answered all that it was asked when it was opened. What it did not answer counts as not there.
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// The same with every point of a list that somebody wrote: what the device lacks is told, not left out.
    #[must_use]
    pub fn of_list(mut self) -> Self {
        let points = self.ledger.points.iter();
        let missing = points.filter_map(|point| {
            let span = point.register().filter(|r| !self.readable.contains(r.span))?.span;
            let why = match self.asked.refused(self.unit, span) {
                Some(code) => format!(
                    "not there: exception {code} ({}) at {}",
                    busbar_wire::exception_name(code),
                    span.at
                ),
                None => format!("no answer at {}", span.at),
            };
            Some((point.key.clone(), why))
        });
        self.lacks = Some(missing.collect());
        self
    }

    /// Keeps the words of what is read once.
    fn remembering(mut self, image: &Image) -> Self {
        let points = self.ledger.points.iter().filter(|point| point.rate == Rate::Once);
        for register in points.flat_map(|point| point.registers()) {
            if let Some(words) = image.get(register.span) {
                self.identity_words.insert(register.span, words.to_vec());
            }
        }
        self
    }

    /// Reads every point that may change once more, in as few blocks as its registers allow.
    pub async fn read(&self) -> Snapshot {
        let facts = self.facts();
        let points = self.ledger.points.iter().enumerate();
        let changing = points
            .filter(|(_, point)| point.rate != Rate::Once)
            .map(|(i, _)| i);
        let wants = wants(&self.ledger, changing, &facts);
        let rules = PlanRules {
            max_words: self.ledger.read.max_words,
            bridge: self.ledger.read.bridge,
        };
        let blocks = plan(&wants, &self.readable, &rules);
        let answers = join_all(blocks.iter().map(|span| {
            self.link.read(ReadPlan {
                unit: self.unit,
                span: *span,
                // A unit that was silent is asked all the same: somebody waits to see it back.
                priority: Priority::Scan,
            })
        }))
        .await;
        let mut image = Image::default();
        let mut failed: Option<WireError> = None;
        let mut answered = blocks.is_empty();
        for (span, answer) in blocks.into_iter().zip(answers) {
            match answer {
                Ok(words) => {
                    answered = true;
                    image.insert(span, words);
                }
                Err(error) => failed = Some(error),
            }
        }
        // A device that says nothing says nothing of itself either.
        if answered {
            image.extend(self.identity_words.clone());
        }
        self.judge(&image, failed.map(|e| e.to_string()))
    }

    fn facts(&self) -> Facts<'_> {
        Facts {
            firmware: self.identity.firmware.as_deref(),
            model: self.identity.model.as_deref(),
            readable: Some(&self.readable),
            ..Facts::default()
        }
    }

    fn judge(&self, image: &Image, failed: Option<String>) -> Snapshot {
        let readings = readings(&self.ledger, image, &self.facts());
        // What could not be read this time is not absent for that: the registers are known to be there.
        let verdicts = verdicts(&self.ledger, &readings, &self.facts(), &|_| false);
        Snapshot {
            readings,
            verdicts,
            failed,
        }
    }

    /// Whether the device has this point at all.
    pub fn has(&self, index: usize, snapshot: &Snapshot) -> bool {
        let point = &self.ledger.points[index];
        let measured = !point.registers().is_empty() && point.otherwise.is_none();
        let readable = !measured || point.registers().iter().any(|r| self.readable.contains(r.span));
        readable
            && snapshot
                .verdicts
                .get(index)
                .is_none_or(|v| v.status != Status::Absent)
    }

    /// A name for people.
    pub fn name(&self, snapshot: &Snapshot) -> String {
        discover::own_name(&self.ledger, &snapshot.readings).unwrap_or_else(|| self.ledger.title.clone())
    }

    /// What the contract shows.
    pub fn report(&self, snapshot: &Snapshot) -> ReadReport {
        let mut points = Map::new();
        for (i, (point, reading)) in self.ledger.points.iter().zip(&snapshot.readings).enumerate() {
            let lacks = self.lacks.as_ref().and_then(|lacks| lacks.get(&point.key));
            if point.internal || !(self.has(i, snapshot) || lacks.is_some()) {
                continue;
            }
            let value = reading
                .value
                .as_ref()
                .filter(|_| reading.quality == Quality::Good);
            let mut entry = json!({
                "value": value, "unit": point.unit, "quality": reading.quality, "raw": &*reading.raw,
                "status": snapshot.verdicts.get(i).map(|v| v.status), "name": point.label, "class": point.class,
                "decimals": point.decimals,
            });
            if let Some(label) = value.and_then(|v: &Value| point.meaning(v)) {
                entry["label"] = label.into();
            }
            if let Some(why) = lacks {
                entry["quality"] = json!(Quality::Unavailable);
                entry["why"] = why.as_str().into();
            }
            points.insert(point.key.clone(), entry);
        }
        let device = json!({
            "connection": self.link.endpoint().to_string(), "ledger": self.ledger.name, "unit_id": self.unit,
            "name": self.name(snapshot), "model": self.identity.model, "serial": self.identity.serial,
            "firmware": self.identity.firmware,
        });
        ReadReport {
            device,
            points,
            time_ms: None,
            missing: snapshot.failed.clone(),
        }
    }
}

fn nothing_readable(link: &Link, unit: u8, ledger: &Ledger, answers: bool) -> HostError {
    let endpoint = link.endpoint();
    if answers {
        HostError::nothing_found(
            format!(
                "unit {unit} at {endpoint} answers, but has none of the registers of {}",
                ledger.name
            ),
            match ledger.read.function {
                Function::Holding => {
                    "Check the unit id and the list of registers. It asks for holding registers (function 3): where the \
                     manual calls them input registers (function 4), say so (function = \"input\" in a ledger, a column \
                     `function` with `input` in a list)."
                }
                _ => "Check the unit id and the ledger; `busbar scan` finds what is really there.",
            },
        )
    } else {
        HostError::no_answer(
            endpoint,
            &format!("unit {unit} does not answer"),
            "Check the unit id, and that Modbus is switched on in the device.",
        )
    }
}
