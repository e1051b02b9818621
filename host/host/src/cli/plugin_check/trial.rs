//! A plugin's discovery on trial: with nobody, with devices that answer everything alike, and with a simulated device of
//! each of its ledgers.

use std::sync::Arc;

use busbar_ledger::model::Ledger;
use busbar_loader::Plugins;
use busbar_plugin_sdk::Mode;
use serde_json::{Value, json};

use super::meet::{self, Met};
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

/// What came of it.
#[derive(Default)]
pub(super) struct Trial {
    /// What went wrong.
    pub(super) faults: Vec<String>,
    /// Which conversation took how many probes.
    rehearsed: Vec<(&'static str, usize)>,
    /// What came of each simulated device.
    pub(super) met: Vec<Met>,
    /// What may be as it should be, and is told.
    pub(super) notes: Vec<String>,
}

/// Holds all the conversations.
pub(super) async fn trial(plugins: &Plugins, plugin: &str, ledgers: &[Arc<Ledger>]) -> Trial {
    let mut trial = Trial::default();
    let mut failures = 0;
    for (what, mode, units, answer) in REHEARSALS {
        match rehearse(plugins, plugin, mode, units, answer).await {
            Ok(Heard { talk, devices }) => {
                trial.rehearsed.push((what, talk.evidence.len()));
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
    meet::all(plugins, plugin, ledgers, ENOUGH - failures, &mut trial).await;
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
        let met = self.met.iter().map(|met| {
            let Met { ledger, model, found } = met;
            json!({ "ledger": ledger, "model": model, "found": found })
        });
        (rehearsed.into(), met.collect())
    }

    /// For people: a line for each conversation that came to its end, and whether that is as it should be.
    pub(super) fn lines(&self) -> impl Iterator<Item = (bool, String)> {
        let rehearsed = self.rehearsed.iter();
        let rehearsed =
            rehearsed.map(|(what, probes)| (true, format!("discovery ({what}): {probes} probes")));
        // Of one that is not found tells a fault.
        let met = self.met.iter().filter(|met| !met.found.is_empty());
        let met = met.map(|met| {
            (
                true,
                format!("a simulated {met} is found: {}", met.found.join(", ")),
            )
        });
        let notes = self.notes.iter().map(|note| (false, note.clone()));
        rehearsed.chain(met).chain(notes)
    }
}
