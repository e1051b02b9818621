//! Recognises devices by what their ledgers say of themselves: `[identify]`, without a plugin.

use std::collections::HashMap;
use std::sync::Arc;

use busbar_ledger::evidence::Outcome;
use busbar_ledger::identify;
use busbar_ledger::model::{Identify, IdentityField, Ledger};
use busbar_ledger::span::{Function, Span};
use busbar_plugin_sdk::Mode;
use busbar_wire::{Link, WireError};

use super::Search;
use super::ask::{in_turn, patient};
use super::progress::Event;
use super::tally::Tally;

/// Something that answered the way a ledger says it would.
#[derive(Clone, Debug)]
pub struct Recognised {
    /// Where it answered.
    pub unit: u8,
    /// What it is.
    pub ledger: Arc<Ledger>,
    /// What it told of itself.
    pub identity: Identity,
}

/// What a device tells of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Model name.
    pub model: Option<String>,
    /// Serial number.
    pub serial: Option<String>,
    /// Firmware version.
    pub firmware: Option<String>,
}

/// Reads the identification registers of every candidate at every unit in question; the same register only once.
///
/// # Errors
/// The wire's, when the endpoint itself is lost.
pub async fn recognise(
    search: &Search<'_>,
    candidates: &[Arc<Ledger>],
) -> Result<(Vec<Recognised>, u32), WireError> {
    let &Search {
        link,
        request,
        tally,
        progress,
        cancel,
        ..
    } = search;
    let scheme = super::scheme(link);
    // A device that knows only function 3 is looked for by it, behind function 4.
    let variants = |ledger: &Arc<Ledger>| [Some(Arc::clone(ledger)), ledger.in_holding().map(Arc::new)];
    let candidates: Vec<Arc<Ledger>> = candidates.iter().flat_map(variants).flatten().collect();
    let plan = units(&candidates, scheme, request.mode, &request.units);
    let mut found = Vec::new();
    let mut probes = 0u32;
    for (i, (unit, ledgers)) in plan.iter().enumerate() {
        if cancel.is_cancelled() {
            break;
        }
        let mut read: HashMap<Span, Outcome> = HashMap::new();
        let mut silent_to_input = false;
        for ledger in ledgers {
            let Some(rule) = &ledger.identify else { continue };
            let Some(probe) = &rule.probe else { continue };
            let known = |f: &Recognised| f.unit == *unit && f.ledger.name == ledger.name;
            if found.iter().any(known) {
                continue;
            }
            if silent_to_input && probe.span.function == Function::Input {
                continue;
            }
            let outcome = match read.get(&probe.span) {
                Some(known) => known.clone(),
                None => {
                    let outcome = in_turn(link, *unit, probe.span, tally).await?;
                    tally.note(*unit, probe.span, &outcome);
                    probes += 1;
                    read.insert(probe.span, outcome.clone());
                    outcome
                }
            };
            match outcome {
                Outcome::Words(words) => {
                    if let Some(model) = identify::matches(rule, &words) {
                        let identity = identity(link, *unit, rule, Some(model), tally).await?;
                        found.push(Recognised {
                            unit: *unit,
                            ledger: Arc::clone(ledger),
                            identity,
                        });
                    }
                }
                // One that is silent to function 4 may know function 3 all the same.
                Outcome::Silent if ledger.read.fall_back_to_holding => silent_to_input = true,
                Outcome::Silent => break,
                Outcome::Exception(_) | Outcome::Broken => {}
            }
        }
        progress.event(Event::Probing {
            done: probes,
            remaining: u32::try_from(plan.len() - i - 1).unwrap_or(u32::MAX),
        });
    }
    Ok((found, probes))
}

/// Which ledgers are looked for at which unit, in the order of the makers' likelihood.
fn units(candidates: &[Arc<Ledger>], scheme: &str, mode: Mode, listed: &[u8]) -> Vec<(u8, Vec<Arc<Ledger>>)> {
    let mut plan: Vec<(u8, Vec<Arc<Ledger>>)> = Vec::new();
    for ledger in candidates {
        let mut ways: Vec<_> = ledger.transports.iter().filter(|t| t.scheme == scheme).collect();
        if ways.is_empty() {
            // Asked for by its name on a wire that it does not name: a meter behind a gateway, say.
            ways = ledger.transports.iter().collect();
        }
        let mut usual: Vec<u8> = ways.iter().flat_map(|t| t.units.iter().copied()).collect();
        if usual.is_empty() {
            usual.push(1);
        }
        let all: Vec<u8> = match mode {
            Mode::Quick => usual,
            Mode::Full => usual.into_iter().chain(1..=247).collect(),
            Mode::Listed => listed.to_vec(),
        };
        for unit in all {
            match plan.iter_mut().find(|(u, _)| *u == unit) {
                Some((_, ledgers)) if ledgers.iter().any(|l| Arc::ptr_eq(l, ledger)) => {}
                Some((_, ledgers)) => ledgers.push(Arc::clone(ledger)),
                None => plan.push((unit, vec![Arc::clone(ledger)])),
            }
        }
    }
    plan
}

/// Reads what a device tells of itself. What it does not tell stays unknown.
///
/// # Errors
/// The wire's, when the endpoint itself is lost.
pub async fn identity(
    link: &Link,
    unit: u8,
    rule: &Identify,
    model: Option<String>,
    tally: &Tally,
) -> Result<Identity, WireError> {
    type Tells = fn(&IdentityField, &[u16]) -> Option<String>;
    let fields: [(_, Tells); 3] = [
        (&rule.model, identify::field_text),
        (&rule.serial, identify::serial_text),
        (&rule.firmware, identify::field_text),
    ];
    let mut texts = [None, None, None];
    for (text, (field, tells)) in texts.iter_mut().zip(fields) {
        let Some(field) = field else { continue };
        let outcome = patient(link, unit, field.span, tally).await?;
        if let Outcome::Words(words) = outcome {
            *text = tells(field, &words);
        }
    }
    let [told, serial, firmware] = texts;
    Ok(Identity {
        model: told.or(model),
        serial,
        firmware,
    })
}
