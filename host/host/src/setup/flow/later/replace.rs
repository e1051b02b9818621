//! A new device takes the place of one that is gone: its ids, names and history go on with the new one.

use super::super::super::findings;
use super::super::super::screen::{Answer, Block, Choice};
use super::super::super::work::Work;
use super::super::{Answered, Flow, Next, Page, choice, key};
use crate::registry::change::Change;

/// A pair is chosen by `pair:NUMBER`.
const PAIR: &str = "pair:";

/// What could have taken whose place: the old one's id and the new one's. Only its like can take a device's place.
pub(in super::super) fn pairs(flow: &Flow) -> Vec<(String, String)> {
    let Some(found) = &flow.draft.found else {
        return Vec::new();
    };
    let Some(changes) = &found.changes else {
        return Vec::new();
    };
    let mut pairs = Vec::new();
    for new in &changes.new {
        let Some(report) = found.report.devices.iter().find(|device| device.id == *new) else {
            continue;
        };
        let gone = changes.gone.iter().filter_map(|id| flow.device(id));
        let known_missing = flow
            .ground
            .connections
            .iter()
            .flat_map(|c| &c.devices)
            .filter(|device| device.missing);
        for old in gone
            .chain(known_missing)
            .filter(|old| old.ledger == report.ledger)
        {
            let pair = (old.id.clone(), new.clone());
            if !pairs.contains(&pair) {
                pairs.push(pair);
            }
        }
    }
    // The one that somebody came for stands first.
    pairs.sort_by_key(|(old, _)| flow.draft.replaced.as_ref() != Some(old));
    pairs
}

pub(in super::super) fn page(flow: &Flow) -> Page {
    let pairs = pairs(flow);
    let name = |old: &str| {
        flow.device(old)
            .map_or_else(|| old.to_owned(), |device| device.name.clone())
    };
    let new = |new: &str| {
        let device = flow
            .draft
            .found
            .as_ref()
            .and_then(|f| f.report.devices.iter().find(|d| d.id == new));
        device.map_or_else(|| new.to_owned(), |device| findings::about(device, &[]))
    };
    let mut choices: Vec<Choice> = pairs
        .iter()
        .enumerate()
        .map(|(number, (old, found))| {
            let label = format!("{} is replaced", name(old));
            Choice::new(format!("{PAIR}{number}"), label, format!("by {}", new(found)))
        })
        .collect();
    choices.push(Choice::new("back", "None of these", ""));
    Page {
        title: "Which one has taken whose place?".to_owned(),
        step: None,
        blocks: vec![Block::text(
            "The new device goes on as the old one: under its ids, with its names, its choice of values and its history. \
             What may be written is refused until you have confirmed it for the new one.",
        )],
        ask: choice("Which?", choices, "back"),
        help: "Only a device of the same kind can take another's place. Totals that the device itself counts begin anew; Busbar \
               takes that for what it is.",
    }
}

pub(in super::super) fn answer(flow: &mut Flow, answer: Answer) -> Answered {
    let key = key(answer, "back")?;
    if key == "back" {
        return Ok(Next::Return);
    }
    let number = key
        .strip_prefix(PAIR)
        .and_then(|number| number.parse::<usize>().ok());
    let Some((old, new)) = number.and_then(|number| pairs(flow).into_iter().nth(number)) else {
        return Err("Choose one of the list.".to_owned());
    };
    flow.draft.replace = Some((old.clone(), new.clone()));
    Ok(Next::Do(Work::Consequences {
        change: Change::Replace { old, new },
    }))
}
