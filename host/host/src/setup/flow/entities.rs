//! Which values are taken: all, or all but what the owner puts away.

use std::collections::BTreeSet;

use busbar_ledger::presence::Status;

use super::super::findings;
use super::super::screen::{Answer, Ask, Block, Choice, Toggle};
use super::{Answered, Flow, Next, Page, Step, choice, found, key, plural};
use crate::discover::report::{DeviceReport, EntityReport};

/// A device is chosen by `device:NUMBER`.
const DEVICE: &str = "device:";

/// What can be taken of a device: what is absent is no entity.
fn there(device: &DeviceReport) -> impl Iterator<Item = &EntityReport> {
    device
        .entities
        .iter()
        .filter(|entity| entity.status != Status::Absent)
}

/// How many of a device's entities are taken, and of how many.
fn taken(flow: &Flow, device: &DeviceReport) -> (usize, usize) {
    let away = flow.draft.put_away.get(&device.id);
    let all = there(device).count();
    let out = there(device)
        .filter(|e| away.is_some_and(|away| away.contains(&e.key)))
        .count();
    (all - out, all)
}

/// How many are taken of all devices, and of how many.
pub(super) fn total(flow: &Flow) -> (usize, usize) {
    let each = found::devices(flow).iter().map(|device| taken(flow, device));
    each.fold((0, 0), |(taken, all), (t, a)| (taken + t, all + a))
}

pub(super) fn page(flow: &Flow) -> Page {
    let (some, all) = total(flow);
    let unproven: usize = found::devices(flow)
        .iter()
        .map(|d| findings::count(d).unproven)
        .sum();
    let next = match some == all {
        true => format!("Take all {}", plural(all, "value")),
        false => format!("Take these {some} of {}", plural(all, "value")),
    };
    let mut choices = vec![Choice::new("next", next, "")];
    if unproven > 0 {
        choices.push(Choice::new(
            "proven",
            format!("Leave out the doubtful ({unproven})"),
            "what can be read and never said more than 0",
        ));
    }
    if some < all {
        choices.push(Choice::new("all", "Take everything after all", ""));
    }
    for (number, device) in found::devices(flow).iter().enumerate() {
        let (taken, of) = taken(flow, device);
        let name = flow.draft.device_name(&device.id, &device.name);
        choices.push(Choice::new(
            format!("{DEVICE}{number}"),
            name,
            format!("unit {}, {taken} of {of}: choose among them", device.unit_id),
        ));
    }
    Page {
        title: "Which values".to_owned(),
        step: Some(6),
        blocks: vec![Block::text(
            "Everything that a device has is taken, as a rule: it costs little, and what is there today may be wanted \
             tomorrow. What you leave out is neither read nor shown, and can be taken back at any time.",
        )],
        ask: choice("Which ones?", choices, "next"),
        help: "Doubtful values do no harm: they are marked, and count as soon as they say something else than 0. Leave them \
               out where you know that your device has no such thing.",
    }
}

pub(super) fn answer(flow: &mut Flow, answer: Answer) -> Answered {
    let key = key(answer, "next")?;
    match key.as_str() {
        "next" => return Ok(Next::Go(Step::Save)),
        "all" => {
            flow.draft.put_away.clear();
            return Ok(Next::Stay);
        }
        "proven" => {
            let doubtful = |device: &DeviceReport| -> (String, BTreeSet<String>) {
                let unproven = there(device).filter(|entity| entity.status == Status::Unproven);
                (
                    device.id.clone(),
                    unproven.map(|entity| entity.key.clone()).collect(),
                )
            };
            let all: Vec<_> = found::devices(flow).iter().map(doubtful).collect();
            for (id, keys) in all.into_iter().filter(|(_, keys)| !keys.is_empty()) {
                flow.draft.put_away.entry(id).or_default().extend(keys);
            }
            return Ok(Next::Stay);
        }
        _ => {}
    }
    let number = key
        .strip_prefix(DEVICE)
        .and_then(|number| number.parse::<usize>().ok());
    match number.filter(|number| *number < found::devices(flow).len()) {
        Some(number) => Ok(Next::Go(Step::Pick(number))),
        None => Err("Choose one of the list.".to_owned()),
    }
}

/// Which of one device's.
pub(super) fn pick(flow: &Flow, number: usize) -> Page {
    let Some(device) = found::devices(flow).get(number) else {
        return page(flow);
    };
    let away = flow.draft.put_away.get(&device.id);
    let filter = flow.filter.to_lowercase();
    let toggle = |entity: &EntityReport| Toggle {
        key: entity.key.clone(),
        label: entity.name.clone(),
        hint: match entity.status {
            Status::Unproven => format!("{}, doubtful", findings::value(entity)),
            _ => findings::value(entity),
        },
        on: away.is_none_or(|away| !away.contains(&entity.key)),
    };
    let named = |entity: &&EntityReport| {
        entity.name.to_lowercase().contains(&filter) || entity.key.to_lowercase().contains(&filter)
    };
    let (taken, of) = taken(flow, device);
    let name = flow.draft.device_name(&device.id, &device.name);
    Page {
        title: format!("Values of {name}"),
        step: Some(6),
        blocks: vec![Block::text(format!("{taken} of {of} are taken."))],
        ask: Ask::Many {
            prompt: "Switch which ones".to_owned(),
            choices: there(device).filter(named).map(toggle).collect(),
            filter: flow.filter.clone(),
        },
        help: "Numbers switch what they stand before: 3, or 1,4-6, or `all` of what is listed. / and a part of a name lists only \
               what has it (/l3, then `all`, switches everything of phase 3); / alone lists everything. Enter is done.",
    }
}

pub(super) fn picked(flow: &mut Flow, number: usize, answer: Answer) -> Answered {
    let Some(device) = found::devices(flow).get(number) else {
        return Ok(Next::Return);
    };
    match answer {
        Answer::Default => Ok(Next::Return),
        Answer::Toggle(keys) => {
            let id = device.id.clone();
            let known: BTreeSet<String> = there(device).map(|entity| entity.key.clone()).collect();
            let away = flow.draft.put_away.entry(id.clone()).or_default();
            for key in keys.into_iter().filter(|key| known.contains(key)) {
                if !away.remove(&key) {
                    away.insert(key);
                }
            }
            if away.is_empty() {
                flow.draft.put_away.remove(&id);
            }
            Ok(Next::Stay)
        }
        _ => Err("Type numbers of the list, or Enter when it is right.".to_owned()),
    }
}
