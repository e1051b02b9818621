//! A plugin's discovery on trial: with nobody, with devices that answer everything alike, and with a simulated device of
//! each of its ledgers.

use std::sync::Arc;

use busbar_ledger::model::Ledger;
use busbar_loader::Plugins;
use busbar_plugin_sdk::{Found, Mode};
use busbar_simulate::Site;
use busbar_wire::Link;
use serde_json::{Value, json};

use crate::cli::endpoint;
use crate::discover::{Answer, Heard, rehearse};

/// The conversations without a device: what they are called, and how they are answered.
const REHEARSALS: [(&str, Mode, &[u8], Answer<'static>); 7] = [
    ("quick", Mode::Quick, &[], Answer::Silence),
    ("full", Mode::Full, &[], Answer::Silence),
    ("listed", Mode::Listed, &[1, 2, 247], Answer::Silence),
    ("no units", Mode::Listed, &[], Answer::Silence),
    ("exceptions", Mode::Quick, &[], Answer::Exception(2)),
    ("zeros", Mode::Quick, &[], Answer::Words(0)),
    ("ones", Mode::Quick, &[], Answer::Words(0xFFFF)),
];
/// A plugin that has failed so often in a row is set aside with the next failure, and says nothing new then.
const ENOUGH: usize = 2;
/// Where a simulated device is met.
const ANY_PORT: &str = "modbus+tcp://127.0.0.1:0";

/// What came of it.
#[derive(Default)]
pub(super) struct Trial {
    /// What went wrong.
    pub(super) faults: Vec<String>,
    /// Which conversation took how many probes.
    rehearsed: Vec<(&'static str, usize)>,
    /// Which ledger's device led to which ids.
    met: Vec<(String, Vec<String>)>,
}

/// Holds all the conversations.
pub(super) async fn trial(plugins: &Plugins, plugin: &str, ledgers: &[Arc<Ledger>]) -> Trial {
    let mut trial = Trial::default();
    let mut failures = 0;
    for (what, mode, units, answer) in REHEARSALS {
        match rehearse(plugins, plugin, mode, units, answer).await {
            Ok(Heard { probes, devices }) => {
                trial.rehearsed.push((what, probes));
                if let ([found, ..], Answer::Silence) = (&devices[..], answer) {
                    trial.faults.push(format!(
                        "its discovery ({what}) finds {} where nobody answers: silence proves nothing",
                        found.id
                    ));
                }
            }
            Err(reason) => {
                trial
                    .faults
                    .push(format!("its discovery fails ({what}): {reason}"));
                failures += 1;
            }
        }
        if failures == ENOUGH {
            return trial;
        }
    }
    for ledger in ledgers {
        // What does not say what it is cannot be recognised where it is simulated.
        if ledger
            .identify
            .as_ref()
            .is_none_or(|identify| identify.probe.is_none())
        {
            continue;
        }
        match meet(plugins, plugin, ledger).await {
            Ok(found) => {
                let wrong = found
                    .iter()
                    .filter_map(|found| wrong_ledger(found, plugin, ledgers));
                trial.faults.extend(wrong);
                let ids = found.into_iter().map(|found| found.id).collect();
                trial.met.push((ledger.name.clone(), ids));
            }
            Err(reason) => {
                let fault = format!("its discovery fails with a simulated {}: {reason}", ledger.name);
                trial.faults.push(fault);
                failures += 1;
            }
        }
        if failures == ENOUGH {
            return trial;
        }
    }
    trial
}

impl Trial {
    /// For programs: the conversations without a device by their names, and what was found of each simulated one.
    pub(super) fn json(&self) -> (Value, Value) {
        let rehearsed: serde_json::Map<_, _> = self
            .rehearsed
            .iter()
            .map(|(what, probes)| ((*what).to_owned(), json!({ "probes": probes })))
            .collect();
        let met = self
            .met
            .iter()
            .map(|(ledger, ids)| json!({ "ledger": ledger, "found": ids }));
        (rehearsed.into(), met.collect())
    }

    /// For people: a line for each conversation that came to its end, and whether that is as it should be.
    pub(super) fn lines(&self) -> impl Iterator<Item = (bool, String)> {
        let rehearsed = self.rehearsed.iter();
        let rehearsed =
            rehearsed.map(|(what, probes)| (true, format!("discovery ({what}): {probes} probes")));
        let met = self.met.iter().map(|(ledger, ids)| match &ids[..] {
            [] => (false, format!("a simulated {ledger} is not recognised")),
            ids => (true, format!("a simulated {ledger} is found: {}", ids.join(", "))),
        });
        rehearsed.chain(met)
    }
}

/// Lets the plugin look for a device that is simulated from this ledger; what it finds.
async fn meet(plugins: &Plugins, plugin: &str, ledger: &Arc<Ledger>) -> Result<Vec<Found>, String> {
    let site = Site::of_ledger(ledger, ANY_PORT).map_err(|error| error.to_string())?;
    let running = busbar_simulate::start(&site, std::slice::from_ref(ledger))
        .await
        .map_err(|error| error.to_string())?;
    let url = running.devices().next().map(|(_, url)| url.to_owned());
    let endpoint = endpoint::parse(&url.unwrap_or_default()).map_err(|error| error.to_string())?;
    let link = Link::open(endpoint, endpoint::one_shot(None));
    let heard = rehearse(plugins, plugin, Mode::Quick, &[], Answer::Device(&link)).await;
    running.stop().await;
    Ok(heard?.devices)
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
        Ok(made) if made.name != *name || !name.starts_with(&format!("{plugin}/")) => Some(format!(
            "it made a ledger {:?} for the device {id} and calls it {name:?}; it may only make {plugin}/…",
            made.name
        )),
        Ok(_) => None,
    }
}
