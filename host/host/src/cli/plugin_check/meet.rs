//! A plugin meets a simulated device of each of its ledgers, one for each model that the ledger's `[identify]` names: it
//! has to find it, and what it says of it has to be what the host reads later.

use std::fmt;
use std::sync::Arc;

use busbar_ledger::model::{IdentifyProbe, Ledger};
use busbar_ledger::readings::Facts;
use busbar_loader::Plugins;
use busbar_plugin_sdk::{Found, Mode};
use busbar_simulate::Site;
use busbar_wire::Link;

use super::compare;
use super::trial::Trial;
use crate::cli::endpoint;
use crate::discover::{Answer, Heard, Tally, identity, learn_either, rehearse};

/// Where a simulated device is met.
const ANY_PORT: &str = "modbus+tcp://127.0.0.1:0";
/// Models of one ledger that are met; nobody makes so many that answer differently.
const MOST_MODELS: usize = 64;

/// What came of one simulated device.
#[derive(Debug)]
pub(super) struct Met {
    /// Its ledger.
    pub(super) ledger: String,
    /// Its model, where the ledger has several.
    pub(super) model: Option<String>,
    /// The ids of what the plugin found there.
    pub(super) found: Vec<String>,
}

impl fmt::Display for Met {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.model {
            Some(model) => write!(f, "{} ({model})", self.ledger),
            None => f.write_str(&self.ledger),
        }
    }
}

/// Meets one of each, until so many conversations have failed. A ledger without a probe in `[identify]` does not say by what
/// its device is known, so that no device can be made of it that the plugin would have to recognise: the services of a
/// Victron GX, which are known by where the GX has them, and what a plugin makes for one device.
pub(super) async fn all(
    plugins: &Plugins,
    plugin: &str,
    ledgers: &[Arc<Ledger>],
    failures: usize,
    trial: &mut Trial,
) {
    let mut left = failures;
    for ledger in ledgers {
        let Some(probe) = ledger.identify.as_ref().and_then(|i| i.probe.as_ref()) else {
            continue;
        };
        if probe.equals.len() > MOST_MODELS {
            trial.notes.push(format!(
                "{} names {} models; only the first {MOST_MODELS} were simulated",
                ledger.name,
                probe.equals.len()
            ));
        }
        for place in 0..probe.equals.len().clamp(1, MOST_MODELS) {
            let model = probe.equals.get(place).filter(|_| probe.equals.len() > 1);
            let mut met = Met {
                ledger: ledger.name.clone(),
                model: model.map(|(_, model)| model.clone()),
                found: Vec::new(),
            };
            let meeting = Meeting {
                plugins,
                plugin,
                ledgers,
                ledger,
                probe,
                place,
            };
            match meeting.hold(&mut met, trial).await {
                Ok(()) => trial.met.push(met),
                Err(reason) => {
                    trial
                        .faults
                        .push(format!("its discovery fails with a simulated {met}: {reason}"));
                    left = left.saturating_sub(1);
                    if left == 0 {
                        return;
                    }
                }
            }
        }
    }
}

/// One device to be met.
struct Meeting<'a> {
    plugins: &'a Plugins,
    plugin: &'a str,
    ledgers: &'a [Arc<Ledger>],
    ledger: &'a Arc<Ledger>,
    probe: &'a IdentifyProbe,
    /// Which of `equals` it is.
    place: usize,
}

impl Meeting<'_> {
    async fn hold(&self, met: &mut Met, trial: &mut Trial) -> Result<(), String> {
        let site = match self.probe.equals.len() {
            0 => Site::of_ledger(self.ledger, ANY_PORT),
            _ => Site::of_model(self.ledger, self.place, ANY_PORT),
        };
        let site = site.map_err(|error| error.to_string())?;
        let running = busbar_simulate::start(&site, std::slice::from_ref(self.ledger))
            .await
            .map_err(|error| error.to_string())?;
        let url = running.devices().next().map(|(_, url)| url.to_owned());
        let endpoint = endpoint::parse(&url.unwrap_or_default()).map_err(|error| error.to_string())?;
        let link = Link::open(endpoint, endpoint::one_shot(None));
        let looked = self.look(&link, met, trial).await;
        link.close().await;
        running.stop().await;
        looked
    }

    /// Lets the plugin look for the device, and looks at what it says.
    async fn look(&self, link: &Link, met: &mut Met, trial: &mut Trial) -> Result<(), String> {
        let Heard { talk, devices } =
            rehearse(self.plugins, self.plugin, Mode::Quick, &[], Answer::Device(link)).await?;
        let ways = &self.ledger.transports;
        let unit = ways
            .iter()
            .flat_map(|way| &way.units)
            .next()
            .copied()
            .unwrap_or(1);
        if devices.is_empty() {
            let why = compare::unrecognised(&talk, unit, self.probe, self.place);
            trial
                .faults
                .push(format!("a simulated {met} is not recognised: {why}"));
            return Ok(());
        }
        met.found = devices.iter().map(|found| found.id.clone()).collect();
        for found in &devices {
            if let Some(wrong) = wrong_ledger(found, self.plugin, self.ledgers) {
                trial.faults.push(wrong);
                continue;
            }
            if found.ledger == self.ledger.name && found.ledger_text.is_none() {
                self.compare(link, found, trial).await?;
            } else if found.ledger_text.is_none() {
                trial.notes.push(format!(
                    "a simulated {met} is taken for a device of {}: its values would be read by that ledger",
                    found.ledger
                ));
            }
            if let Some(ledger) = ledger_of(found, self.ledgers) {
                self.read(link, found, &ledger, trial).await?;
            }
        }
        Ok(())
    }

    /// Holds what the plugin says of the device against what the host reads of the same one.
    async fn compare(&self, link: &Link, found: &Found, trial: &mut Trial) -> Result<(), String> {
        let Some(rule) = &self.ledger.identify else {
            return Ok(());
        };
        let model = self.probe.equals.get(self.place).map(|(_, model)| model.clone());
        let told = identity(link, found.unit, rule, model, &Tally::default())
            .await
            .map_err(|error| error.to_string())?;
        for note in compare::differences(found, &told) {
            // The same of every model is told once.
            if !trial.notes.contains(&note) {
                trial.notes.push(note);
            }
        }
        Ok(())
    }

    /// Reads it by its ledger, as a scan would.
    async fn read(
        &self,
        link: &Link,
        found: &Found,
        ledger: &Arc<Ledger>,
        trial: &mut Trial,
    ) -> Result<(), String> {
        let facts = Facts {
            firmware: found.firmware.as_deref(),
            model: found.model.as_deref(),
            readable: None,
            ..Facts::default()
        };
        let tally = Tally::default();
        let known = learn_either(link, found.unit, ledger, &facts, &tally)
            .await
            .map_err(|error| error.to_string())?;
        if known.learned.readable.is_empty() {
            let first = ledger.points.iter().find_map(|point| point.register());
            let first = first.map(|register| register.span);
            let refused = first.and_then(|span| tally.refused(found.unit, span));
            trial.faults.push(compare::unread(found, first, refused));
        }
        Ok(())
    }
}

/// The ledger by which a device is read.
fn ledger_of(found: &Found, ledgers: &[Arc<Ledger>]) -> Option<Arc<Ledger>> {
    match &found.ledger_text {
        Some(text) => busbar_ledger::parse(&found.ledger, text).ok().map(Arc::new),
        None => ledgers
            .iter()
            .find(|ledger| ledger.name == found.ledger)
            .map(Arc::clone),
    }
}

/// Whether a plugin may make a ledger of this name for a device: under its own, or that of one which it brings.
fn may_make(name: &str, plugin: &str, brought: &[Arc<Ledger>]) -> bool {
    name.starts_with(&format!("{plugin}/")) || brought.iter().any(|ledger| ledger.name == name)
}

/// Why a device that was found cannot be read by the ledger that the plugin names for it.
fn wrong_ledger(found: &Found, plugin: &str, ledgers: &[Arc<Ledger>]) -> Option<String> {
    let Found { ledger: name, id, .. } = found;
    let Some(text) = &found.ledger_text else {
        let known = ledgers.iter().any(|ledger| ledger.name == *name);
        return (!known)
            .then(|| format!("it names the ledger {name:?} for the device {id}, and does not bring it"));
    };
    match busbar_ledger::parse(name, text) {
        Err(faults) => Some(format!(
            "the ledger that it made for the device {id} has faults: {faults}"
        )),
        Ok(made) if made.name != *name || !may_make(name, plugin, ledgers) => Some(format!(
            "it made a ledger {:?} for the device {id} and calls it {name:?}; it may only make {plugin}/… and what it \
             brings itself",
            made.name
        )),
        Ok(_) => None,
    }
}
