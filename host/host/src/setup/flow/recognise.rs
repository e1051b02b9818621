//! What answers at an address, what a scan of it will cost, and how far it is to look.

use busbar_plugin_sdk::Mode;

use super::super::screen::{Answer, Ask, Block, Choice};
use super::super::work::{Forecast, LedgerBrief, Sight};
use super::{Answered, Flow, Next, Page, Step, choice, key, text};
use crate::units::UnitList;

pub(super) fn looked(flow: &mut Flow, sight: Sight) {
    let (about, replaced) = (flow.draft.about.take(), flow.draft.replaced.take());
    flow.draft.anew(&sight.url);
    let known = about.clone().or_else(|| sight.known_as.clone());
    if let Some(connection) = known
        .as_ref()
        .filter(|_| sight.recognised.is_empty() && sight.answered)
    {
        by_its_ledger(flow, connection);
    }
    flow.draft.about = about;
    flow.draft.replaced = replaced;
    let nothing = sight.recognised.is_empty() && (known.is_none() || !sight.answered);
    let named = flow.draft.ledger.is_some();
    if nothing && !named {
        flow.draft.trouble = Some(match sight.answered {
            true => format!(
                "{} speaks Modbus, but no plugin and no ledger recognises it.",
                sight.url
            ),
            false => {
                let tried = |(url, why): &(String, String)| format!("{url}: {why}");
                let all: Vec<String> = sight.others.iter().map(tried).collect();
                format!("Nothing there answers in Modbus.\n{}", all.join("\n"))
            }
        });
    }
    flow.draft.connection = known;
    flow.draft.sight = Some(sight);
    flow.forward(if nothing && !named {
        Step::Unknown
    } else {
        Step::Recognise
    });
}

/// A device that does not tell what it is is looked for as what it is known to be.
fn by_its_ledger(flow: &mut Flow, connection: &str) {
    let Some(connection) = flow.connection_named(connection) else {
        return;
    };
    let Some(first) = connection.devices.first() else {
        return;
    };
    let ledger = first.ledger.clone();
    let silent = |known: &LedgerBrief| known.name == ledger && !known.recognises;
    if !flow.ground.ledgers.iter().any(silent)
        || connection.devices.iter().any(|device| device.ledger != ledger)
    {
        return;
    }
    let units = connection.devices.iter().map(|device| device.unit_id).collect();
    flow.draft.ledger = Some(ledger);
    flow.draft.units = units;
    flow.draft.mode = Mode::Listed;
}

pub(super) fn page(flow: &Flow) -> Page {
    let draft = &flow.draft;
    let none = Sight::default();
    let sight = draft.sight.as_ref().unwrap_or(&none);
    let mut blocks = Vec::new();
    let what = match (&sight.recognised[..], &draft.ledger) {
        (_, Some(ledger)) => format!("{} will be read as {ledger} says.", sight.url),
        ([], None) => format!("{} is known already.", sight.url),
        (all, None) => format!("{}: {}", sight.url, all.join("; ")),
    };
    blocks.push(Block::good(what));
    if !sight.others.is_empty() {
        let other = |(url, why): &(String, String)| format!("{url} ({why})");
        let others: Vec<String> = sight.others.iter().map(other).collect();
        blocks.push(Block::text(format!(
            "Tried, too, and not taken: {}.",
            others.join("; ")
        )));
    }
    match (&sight.known_as, &sight.moved_from) {
        (Some(name), Some(from)) => blocks.push(Block::text(format!(
            "These are the devices of \"{name}\", which are set up at {from}. A scan shows whether they have all moved."
        ))),
        (Some(name), None) => blocks.push(Block::text(format!(
            "This is set up as \"{name}\". A scan shows what has changed since; you can take that over or drop it."
        ))),
        (None, _) => {}
    }
    blocks.push(Block::text(
        "The scan finds out which devices are behind this address, and which values each of them really has. It only \
         reads; you can pause it and stop it. The reads below find the devices, and a few more learn what each one has. \
         What a device refuses costs it nothing, but it may note it in its log.",
    ));
    let full = match sight.full {
        Some(full) => format!("every unit from 1 to 247: {}", brief(full)),
        None => "every unit from 1 to 247; each that is silent costs a time-out".to_owned(),
    };
    let quick = match sight.quick {
        Some(quick) => format!("the units that the maker uses: {}", brief(quick)),
        None => "the units that the maker uses".to_owned(),
    };
    let choices = vec![
        Choice::new("quick", "Quick", quick),
        Choice::new("full", "Full", full),
        Choice::new("units", "Only some units", "you say which"),
    ];
    let units: String = list(&draft.units);
    if draft.mode == Mode::Listed {
        blocks.push(Block::text(format!("Units so far: {units}.")));
    }
    Page {
        title: "What is there".to_owned(),
        step: Some(2),
        blocks,
        ask: choice("How far shall the scan look?", choices, mode(draft.mode)),
        help: "Quick is right nearly always. Full finds devices at unusual units; a GX then writes some thousand lines into \
               its own log, which does no harm. `Only some units` is for a gateway whose units you know. The request \
               counts are estimates; what a device refuses costs it nothing but a line in its log.",
    }
}

fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Quick => "quick",
        Mode::Full => "full",
        Mode::Listed => "units",
    }
}

/// What a scan costs, in a few words.
fn brief(forecast: Forecast) -> String {
    match forecast.exceptions {
        0 => format!("about {} reads", forecast.requests),
        n => format!(
            "about {} reads, of which it will probably refuse {n}",
            forecast.requests
        ),
    }
}

pub(super) fn answer(flow: &mut Flow, answer: Answer) -> Answered {
    let key = key(answer, mode(flow.draft.mode))?;
    match key.as_str() {
        "quick" => flow.draft.mode = Mode::Quick,
        "full" => flow.draft.mode = Mode::Full,
        "units" if flow.draft.mode == Mode::Listed && !flow.draft.units.is_empty() => {}
        "units" => return Ok(Next::Go(Step::Units)),
        _ => return Err("Choose one of the list.".to_owned()),
    }
    if flow.draft.mode != Mode::Listed {
        flow.draft.units.clear();
    }
    Ok(Next::Do(flow.scan()))
}

/// At which units to look.
pub(super) fn units(flow: &Flow) -> Page {
    Page {
        title: "Which units?".to_owned(),
        step: Some(2),
        blocks: vec![Block::text(
            "Several devices can share one address; each has its number, the unit id, from 1 to 247. Write them as \
             1,3-9.",
        )],
        ask: Ask::Text {
            prompt: "Units".to_owned(),
            default: match flow.draft.units.is_empty() {
                true => "1".to_owned(),
                false => list(&flow.draft.units),
            },
        },
        help: "A meter's manual or display names its unit id (also: slave address, device id). Of a GX: the list under \
               Settings, Integrations, Modbus TCP server, Available services.",
    }
}

pub(super) fn listed(flow: &mut Flow, answer: Answer) -> Answered {
    let default = match flow.draft.units.is_empty() {
        true => "1".to_owned(),
        false => list(&flow.draft.units),
    };
    let units: UnitList = text(answer, &default)?.parse()?;
    flow.draft.units = units.0;
    flow.draft.mode = Mode::Listed;
    Ok(Next::Do(flow.scan()))
}

fn list(units: &[u8]) -> String {
    units.iter().map(u8::to_string).collect::<Vec<_>>().join(",")
}
