//! What a rescan adds: a look at what was found before where the search did not come by, and the bounds of a list.

use busbar_ledger::evidence::Outcome;
use busbar_ledger::span::Span;
use busbar_plugin_sdk::{Found, Mode};

use super::Search;
use super::ask::in_turn;
use super::candidates::{Candidate, Recognition};
use super::places::in_place;
use crate::error::Result;

/// A device that an earlier scan found on this connection.
#[derive(Clone, Debug)]
pub struct FoundBefore {
    /// What it is.
    pub found: Found,
    /// A register that it answered.
    pub register: Span,
    /// The ids of other devices, which have taken its place: what is found by them is this one.
    pub also: Vec<String>,
}

/// Gives what took another's place that one's id.
pub(super) fn put_in_place(known: &[FoundBefore], all: &mut Recognition) {
    let places = known.iter().flat_map(|before| {
        let id = &before.found.id;
        before.also.iter().map(move |also| (also.clone(), id.clone()))
    });
    let places = places.collect();
    let ids = in_place(all.candidates.iter().map(|c| c.found.id.as_str()), &places);
    for (candidate, id) in all.candidates.iter_mut().zip(ids) {
        candidate.found.id = id;
    }
}

/// Looks at known devices at whose place nobody asked in this scan: whether one is gone is only known by asking. What
/// answers is taken for the same device where the serial number says so.
///
/// # Errors
/// The wire's, when the endpoint itself is lost.
pub(super) async fn look_again(search: &Search<'_>, all: &mut Recognition) -> Result<()> {
    let request = search.request;
    if request.ledger.is_some() || all.cancelled || all.candidates.is_empty() {
        return Ok(());
    }
    let serials: Vec<Option<String>> = all.candidates.iter().map(|c| c.found.serial.clone()).collect();
    for known in &request.known {
        let FoundBefore { found, register, .. } = known;
        let plugin = search.catalog.plugin_of(&found.ledger);
        let of_another = request.plugin.is_some() && plugin != request.plugin;
        let recognised = all.candidates.iter().any(|c| c.found.id == found.id);
        if of_another
            || recognised
            || !is_in_scope(request.mode, &request.units, found.unit)
            || search.tally.was_answered(found.unit, *register)
            || search.cancel.is_cancelled()
        {
            continue;
        }
        let outcome = in_turn(search.link, found.unit, *register, search.tally).await?;
        search.tally.note(found.unit, *register, &outcome);
        all.probes += 1;
        if matches!(outcome, Outcome::Words(_))
            && found.serial.is_some()
            && serials.contains(&found.serial)
            && let Ok(ledger) = search.catalog.ledger_of(&found.id, &found.ledger)
        {
            let found = found.clone();
            all.candidates.push(Candidate { found, ledger });
        }
    }
    Ok(())
}

/// Whether a scan is about this unit. With unit 0 in the list everything that was found is meant: some devices take it
/// for another number.
pub fn is_in_scope(mode: Mode, listed: &[u8], unit: u8) -> bool {
    mode != Mode::Listed || listed.contains(&unit) || listed.contains(&0)
}
