//! Which devices are there: by a plugin's conversation, by the ledgers' own identification, or by the user's word.

use std::sync::Arc;

use busbar_ledger::model::Ledger;
use busbar_plugin_sdk::{Found, Mode};

use super::{Identity, Request, Search, converse, device_id, recognise, scheme};
use crate::catalog::Catalog;
use crate::error::{HostError, Result};

/// A device that is known to be there and still has to be learned.
pub(super) struct Candidate {
    pub(super) found: Found,
    pub(super) ledger: Arc<Ledger>,
}

/// What recognising brought.
#[derive(Default)]
pub(super) struct Recognition {
    pub(super) plugin: Option<String>,
    pub(super) candidates: Vec<Candidate>,
    pub(super) probes: u32,
    pub(super) possible: u32,
    pub(super) cancelled: bool,
    pub(super) notes: Vec<String>,
}

/// Asks every plugin in question, then the ledgers that recognise their devices by themselves.
pub(super) async fn recognise(search: &Search<'_>) -> Result<Recognition> {
    let &Search {
        link,
        catalog,
        request,
        ..
    } = search;
    let mut all = Recognition::default();
    if let Some(ledger) = &request.ledger {
        by_ledgers(search, std::slice::from_ref(ledger), &mut all).await?;
        return Ok(all);
    }
    let plugins = match &request.plugin {
        Some(name) => vec![catalog.usable_plugin(name)?],
        None => plugins_for(catalog, scheme(link)),
    };
    // Where a silent unit costs a time-out, one register of a known meter is asked for before long conversations.
    let ledgers_first = request.plugin.is_none() && scheme(link) != "modbus+tcp";
    if ledgers_first {
        by_identity(search, &mut all).await?;
        if !all.candidates.is_empty() || all.cancelled {
            return Ok(all);
        }
    }
    'plugins: for plugin in plugins {
        if !catalog.discovers(&plugin) {
            let ledgers = catalog.ledgers_of(&plugin)?;
            by_ledgers(search, &ledgers, &mut all).await?;
            all.plugin = Some(plugin);
            return Ok(all);
        }
        let talk = match converse::converse(search, &plugin).await {
            Err(fault) if may_do_without(search, &plugin, &fault) => {
                all.notes.push(left_out(&fault));
                continue;
            }
            talk => talk?,
        };
        all.probes += talk.probes;
        if talk.verdict.devices.is_empty() && !talk.cancelled {
            continue;
        }
        let mut candidates = Vec::new();
        for mut found in talk.verdict.devices {
            // A plugin does not know the connection, which is all that tells apart devices without a serial number.
            if found.serial.is_none() {
                found.id = format!("{}_{}", request.connection_id, found.id);
            }
            match catalog.ledger_found(&plugin, &found).await {
                Ok(ledger) => candidates.push(Candidate { found, ledger }),
                Err(fault) if may_do_without(search, &plugin, &fault) => {
                    all.notes.push(left_out(&fault));
                    continue 'plugins;
                }
                Err(fault) => return Err(fault),
            }
        }
        all.candidates.extend(candidates);
        all.possible = talk.possible;
        all.cancelled = talk.cancelled;
        all.plugin = Some(plugin);
        // What the plugin says of the whole would mislead where only some units were asked for.
        if !talk.verdict.note.is_empty() && request.mode != Mode::Listed {
            all.notes.push(talk.verdict.note);
        }
        return Ok(all);
    }
    if request.plugin.is_none() && !ledgers_first {
        by_identity(search, &mut all).await?;
    }
    Ok(all)
}

fn left_out(fault: &HostError) -> String {
    format!("{fault}; the others were asked without it")
}

/// Whether a scan goes on after the fault of one plugin: its own devices are all that it costs. Not where the owner asked
/// for this one, and not where it is what some of the known devices were found by, for these would seem to be gone.
pub(super) fn may_do_without(search: &Search<'_>, plugin: &str, fault: &HostError) -> bool {
    let &Search { catalog, request, .. } = search;
    let its_own = |ledger: &str| catalog.plugin_of(ledger).as_deref() == Some(plugin);
    fault.code() == "plugin"
        && request.plugin.is_none()
        && !request.known.iter().any(|known| its_own(&known.found.ledger))
}

/// The plugins that recognise devices on this kind of wire: those without ledgers of their own know by themselves. The first
/// that finds something is believed, so that those which ship are asked before others.
fn plugins_for(catalog: &Catalog, scheme: &str) -> Vec<String> {
    let speaks = |plugin: &String| {
        let ledgers = catalog.ledgers_of(plugin).unwrap_or_default();
        let mut ways = ledgers.iter().flat_map(|ledger| &ledger.transports);
        ledgers.is_empty() || ways.any(|transport| transport.scheme == scheme)
    };
    let mut all: Vec<String> = catalog.discovering_plugins().into_iter().filter(speaks).collect();
    all.sort_by_key(|plugin| !catalog.ships(plugin));
    all
}

/// Recognises by what ledgers say of their devices.
async fn by_identity(search: &Search<'_>, all: &mut Recognition) -> Result<()> {
    let catalog = search.catalog;
    let ledgers = catalog.identifying_ledgers(scheme(search.link))?;
    by_ledgers(search, &ledgers, all).await?;
    let first = all.candidates.first();
    all.plugin = first.and_then(|c| catalog.plugin_of(&c.ledger.name));
    Ok(())
}

/// Recognises by `[identify]`; a ledger without one, named by the user, is taken at its word: what answers is it.
async fn by_ledgers(search: &Search<'_>, ledgers: &[Arc<Ledger>], all: &mut Recognition) -> Result<()> {
    let &Search {
        link,
        request,
        tally,
        cancel,
        ..
    } = search;
    let (found, probes) = recognise::recognise(search, ledgers).await?;
    all.probes += probes;
    all.possible += probes;
    all.cancelled |= cancel.is_cancelled();
    for r in found {
        all.candidates
            .push(candidate(request, r.unit, r.ledger, r.identity));
    }
    let Some(named) = &request.ledger else {
        return Ok(());
    };
    if named.identify.as_ref().is_some_and(|i| i.probe.is_some()) {
        return Ok(());
    }
    let units: Vec<u8> = match request.mode {
        Mode::Listed => request.units.clone(),
        _ => named
            .transports
            .iter()
            .flat_map(|t| t.units.iter().copied())
            .collect(),
    };
    for unit in if units.is_empty() { vec![1] } else { units } {
        if cancel.is_cancelled() {
            all.cancelled = true;
            break;
        }
        let identity = match &named.identify {
            Some(rule) => recognise::identity(link, unit, rule, None, tally).await?,
            None => recognise::Identity::default(),
        };
        all.candidates
            .push(candidate(request, unit, Arc::clone(named), identity));
    }
    Ok(())
}

/// What was recognised without a plugin. The same ledger at the same place is the device that is known there, under the
/// id that it has, unless it names another serial number.
pub(super) fn candidate(request: &Request, unit: u8, ledger: Arc<Ledger>, told: Identity) -> Candidate {
    let known = request.known.iter().map(|known| &known.found).find(|known| {
        let other = told.serial.is_some() && told.serial != known.serial;
        known.unit == unit && known.ledger == ledger.name && !other
    });
    let id = match known {
        Some(known) => known.id.clone(),
        None => device_id(&request.connection_id, unit, &ledger, told.serial.as_deref()),
    };
    let kept = |of: fn(&Found) -> &Option<String>| known.and_then(|known| of(known).clone());
    let found = Found {
        unit,
        ledger: ledger.name.clone(),
        id,
        name: None,
        model: told.model.or_else(|| kept(|known| &known.model)),
        serial: told.serial.or_else(|| kept(|known| &known.serial)),
        firmware: told.firmware.or_else(|| kept(|known| &known.firmware)),
        ledger_text: None,
    };
    Candidate { found, ledger }
}
