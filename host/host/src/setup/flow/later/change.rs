//! Names, intervals and chosen values of what is set up.

use std::collections::BTreeSet;
use std::time::Duration;

use super::super::super::screen::{Answer, Ask, Block, Toggle};
use super::super::super::work::{EntityBrief, Work};
use super::super::{Answered, Flow, Next, Page, interval, names, text};
use crate::config::{DEFAULT_INTERVAL, format_duration};
use crate::registry::change::Change;

/// Another name for a connection.
pub(in super::super) fn connection_name(flow: &Flow, id: &str) -> Page {
    let name = flow.connection(id).map(|c| c.name.clone()).unwrap_or_default();
    Page {
        title: format!("Another name for {name}"),
        step: None,
        blocks: Vec::new(),
        ask: Ask::Text {
            prompt: "Name".to_owned(),
            default: name,
        },
        help: "Ids of devices and values do not depend on it. Where busbar.toml names the connection, name it anew there, too.",
    }
}

pub(in super::super) fn rename_connection(flow: &mut Flow, id: &str, answer: Answer) -> Answered {
    let Some(connection) = flow.connection(id).cloned() else {
        return Ok(Next::Return);
    };
    let name = text(answer, &connection.name)?;
    if name == connection.name {
        return Ok(Next::Return);
    }
    names::check(&name)?;
    if name.contains('/') || flow.connection_named(&name).is_some() {
        return Err("A connection's name has no `/`, and no other connection has it.".to_owned());
    }
    let connection = connection.name;
    Ok(Next::Do(Work::Change {
        changes: vec![Change::RenameConnection { connection, name }],
    }))
}

/// How often a connection is polled.
pub(in super::super) fn interval_of(flow: &Flow, id: &str) -> Page {
    let connection = flow.connection(id);
    let now = connection
        .and_then(|c| c.interval_ms)
        .map_or(DEFAULT_INTERVAL, Duration::from_millis);
    Page {
        title: format!(
            "How often {} is polled",
            connection.map(|c| c.name.clone()).unwrap_or_default()
        ),
        step: None,
        blocks: vec![Block::text(
            "Faster shows changes sooner and asks more of the devices; 5s is right for a home.",
        )],
        ask: Ask::Text {
            prompt: "Interval".to_owned(),
            default: format_duration(now),
        },
        help: "A number and its unit: 500ms, 5s, 1m. The shortest is 100ms.",
    }
}

pub(in super::super) fn set_interval(flow: &mut Flow, id: &str, answer: Answer) -> Answered {
    let Some(connection) = flow.connection(id).cloned() else {
        return Ok(Next::Return);
    };
    let now = connection
        .interval_ms
        .map_or(DEFAULT_INTERVAL, Duration::from_millis);
    let wanted = interval::parse(&text(answer, &format_duration(now))?)?;
    if wanted == now {
        return Ok(Next::Return);
    }
    Ok(Next::Do(Work::Change {
        changes: vec![Change::Interval {
            connection: connection.name,
            interval: (wanted != DEFAULT_INTERVAL).then_some(wanted),
        }],
    }))
}

/// Another name for a device.
pub(in super::super) fn device_name(flow: &Flow, id: &str) -> Page {
    let name = flow.device(id).map(|d| d.name.clone()).unwrap_or_default();
    Page {
        title: format!("Another name for {name}"),
        step: None,
        blocks: vec![Block::text(
            "Type `own` to take the name that the device gives itself.",
        )],
        ask: Ask::Text {
            prompt: "Name".to_owned(),
            default: name,
        },
        help: "A name of yours stays, whatever the device says later. Ids do not depend on names.",
    }
}

pub(in super::super) fn rename_device(flow: &mut Flow, id: &str, answer: Answer) -> Answered {
    let Some(now) = flow.device(id).map(|device| device.name.clone()) else {
        return Ok(Next::Return);
    };
    let name = text(answer, &now)?;
    if name == now {
        return Ok(Next::Return);
    }
    names::check(&name)?;
    Ok(Next::Do(Work::Change {
        changes: vec![Change::NameDevice {
            device: id.to_owned(),
            name: (name != "own").then_some(name),
        }],
    }))
}

/// What is put away of a device: as it is, or as it was switched meanwhile.
fn away(flow: &Flow, id: &str) -> BTreeSet<String> {
    if let Some(chosen) = flow.draft.put_away.get(id) {
        return chosen.clone();
    }
    let stored = flow
        .device(id)
        .map(|device| &device.entities[..])
        .unwrap_or_default();
    stored
        .iter()
        .filter(|entity| entity.put_away)
        .map(|entity| entity.key.clone())
        .collect()
}

/// Which values of a device are taken.
pub(in super::super) fn pick(flow: &Flow, id: &str) -> Page {
    let away = away(flow, id);
    let filter = flow.filter.to_lowercase();
    let device = flow.device(id);
    let entities = device.map(|device| &device.entities[..]).unwrap_or_default();
    let named = |entity: &&EntityBrief| {
        entity.name.to_lowercase().contains(&filter) || entity.key.to_lowercase().contains(&filter)
    };
    let toggle = |entity: &EntityBrief| Toggle {
        key: entity.key.clone(),
        label: entity.name.clone(),
        hint: match entity.proven {
            true => entity.hint.clone(),
            false => format!("{} doubtful", entity.hint).trim().to_owned(),
        },
        on: !away.contains(&entity.key),
    };
    let taken = entities
        .iter()
        .filter(|entity| !away.contains(&entity.key))
        .count();
    Page {
        title: format!(
            "Values of {}",
            device.map(|device| device.name.clone()).unwrap_or_default()
        ),
        step: None,
        blocks: vec![Block::text(format!("{taken} of {} are taken.", entities.len()))],
        ask: Ask::Many {
            prompt: "Switch which ones".to_owned(),
            choices: entities.iter().filter(named).map(toggle).collect(),
            filter: flow.filter.clone(),
        },
        help: "Numbers switch what they stand before: 3, or 1,4-6, or `all` of what is listed. / and a part of a name lists only \
               what has it. Enter keeps it so; what is left out is neither read nor shown, and its history stays.",
    }
}

pub(in super::super) fn picked(flow: &mut Flow, id: &str, answer: Answer) -> Answered {
    let Some(device) = flow.device(id) else {
        return Ok(Next::Return);
    };
    match answer {
        Answer::Default => {
            let stored = device.entities.iter().filter(|entity| entity.put_away);
            let stored: BTreeSet<String> = stored.map(|entity| entity.key.clone()).collect();
            let put_away = away(flow, id);
            flow.draft.put_away.remove(id);
            if put_away == stored {
                return Ok(Next::Return);
            }
            Ok(Next::Do(Work::Change {
                changes: vec![Change::Choose {
                    device: id.to_owned(),
                    put_away,
                }],
            }))
        }
        Answer::Toggle(keys) => {
            let known: BTreeSet<String> = device.entities.iter().map(|entity| entity.key.clone()).collect();
            let mut away = away(flow, id);
            for key in keys.into_iter().filter(|key| known.contains(key)) {
                if !away.remove(&key) {
                    away.insert(key);
                }
            }
            flow.draft.put_away.insert(id.to_owned(), away);
            Ok(Next::Stay)
        }
        _ => Err("Type numbers of the list, or Enter when it is right.".to_owned()),
    }
}
