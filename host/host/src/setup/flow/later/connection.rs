//! One connection, and one device of it: how it stands, and what can be done with it.

use std::time::Duration;

use super::super::super::screen::{Answer, Block, Choice};
use super::super::super::work::{ConnectionBrief, DeviceBrief, Work};
use super::super::{Answered, Flow, Next, Page, Step, choice, key, plural, start};
use crate::config::{DEFAULT_INTERVAL, format_duration};
use crate::registry::change::Change;

/// A device is chosen by `device:ID`.
const DEVICE: &str = "device:";

pub(in super::super) fn page(flow: &Flow, id: &str) -> Page {
    let Some(connection) = flow.connection(id) else {
        return start::page(flow);
    };
    let rows = vec![
        ("address".to_owned(), connection.url.clone()),
        ("interval".to_owned(), interval(connection)),
        ("writing".to_owned(), writing(connection)),
    ];
    let mut blocks = vec![Block::Pairs { rows }];
    if connection.by_file {
        blocks.push(Block::note(
            "busbar.toml names this connection: what it says there wins.",
        ));
    }
    let mut choices = vec![
        Choice::new(
            "scan",
            "Scan again",
            "shows what has changed; you take it over or drop it",
        ),
        Choice::new(
            "move",
            "It has a new address",
            "looks whether its devices are there before anything is changed",
        ),
    ];
    for device in &connection.devices {
        choices.push(Choice::new(
            format!("{DEVICE}{}", device.id),
            &device.name,
            state(device),
        ));
    }
    choices.extend([
        Choice::new("name", "Another name", &connection.name),
        Choice::new("interval", "How often it is polled", interval(connection)),
        Choice::new("writes", "What may be written (advanced)", writing(connection)),
        Choice::new("remove", "Remove it", "shows first what goes with it"),
    ]);
    Page {
        title: connection.name.clone(),
        step: None,
        blocks,
        ask: choice("What shall be done?", choices, "scan"),
        help: "Choose a device to name it, to choose its values, to replace it or to remove it. Ids and history stay in all of \
               this, but for what is removed.",
    }
}

fn interval(connection: &ConnectionBrief) -> String {
    format_duration(
        connection
            .interval_ms
            .map_or(DEFAULT_INTERVAL, Duration::from_millis),
    )
}

fn writing(connection: &ConnectionBrief) -> String {
    if connection.writes_by_file {
        return "as busbar.toml says".to_owned();
    }
    match (connection.writes.level, connection.writes.allow.len()) {
        (0, _) => "none: Busbar only reads".to_owned(),
        (level, 1) => format!("level {level}, 1 value"),
        (level, n) => format!("level {level}, {n} values"),
    }
}

fn state(device: &DeviceBrief) -> String {
    let mut words = Vec::new();
    if device.missing {
        words.push("not found by the last scan".to_owned());
    } else if !device.state.is_empty() {
        words.push(device.state.clone());
    }
    words.push(format!("unit {}", device.unit_id));
    words.push(device.ledger.clone());
    let away = device.entities.iter().filter(|entity| entity.put_away).count();
    if away > 0 {
        words.push(format!("{} left out", plural(away, "value")));
    }
    words.join(" · ")
}

pub(in super::super) fn answer(flow: &mut Flow, id: &str, answer: Answer) -> Answered {
    let Some(connection) = flow.connection(id).cloned() else {
        return Ok(Next::Return);
    };
    let key = key(answer, "scan")?;
    let id = || id.to_owned();
    match key.as_str() {
        "scan" => {
            flow.draft.anew(&connection.url);
            flow.draft.about = Some(connection.name);
            Ok(Next::Do(Work::Look {
                urls: vec![connection.url],
            }))
        }
        "move" => Ok(Next::Go(Step::Moving(id()))),
        "name" => Ok(Next::Go(Step::RenameConnection(id()))),
        "interval" => Ok(Next::Go(Step::IntervalOf(id()))),
        "writes" => Ok(Next::Go(Step::Writes(id()))),
        "remove" => Ok(Next::Do(Work::Consequences {
            change: Change::RemoveConnection {
                connection: connection.name,
            },
        })),
        _ => match key.strip_prefix(DEVICE) {
            Some(device) if flow.device(device).is_some() => Ok(Next::Go(Step::Device(device.to_owned()))),
            _ => Err("Choose one of the list.".to_owned()),
        },
    }
}

/// One device.
pub(in super::super) fn device(flow: &Flow, id: &str) -> Page {
    let Some(device) = flow.device(id) else {
        return start::page(flow);
    };
    let mut rows = vec![
        ("id".to_owned(), device.id.clone()),
        ("ledger".to_owned(), device.ledger.clone()),
    ];
    rows.extend(device.model.clone().map(|model| ("model".to_owned(), model)));
    rows.extend(device.serial.clone().map(|serial| ("serial".to_owned(), serial)));
    rows.push(("state".to_owned(), state(device)));
    let choices = vec![
        Choice::new("name", "Another name", &device.name),
        Choice::new("entities", "Which of its values are taken", ""),
        Choice::new(
            "replace",
            "Another device has taken its place",
            "ids, names and history go on with the new one",
        ),
        Choice::new("remove", "Remove it", "shows first what goes with it"),
        Choice::new("back", "Back", ""),
    ];
    Page {
        title: device.name.clone(),
        step: None,
        blocks: vec![Block::Pairs { rows }],
        ask: choice("What shall be done?", choices, "back"),
        help: "To replace a broken device: put the new one in, then choose that here. It is looked for by a scan, and takes the \
               place of the old one only when you say so.",
    }
}

pub(in super::super) fn answer_device(flow: &mut Flow, id: &str, answer: Answer) -> Answered {
    let key = key(answer, "back")?;
    let device = || id.to_owned();
    match key.as_str() {
        "back" => Ok(Next::Return),
        "name" => Ok(Next::Go(Step::RenameDevice(device()))),
        "entities" => {
            // What was switched and not kept is forgotten.
            flow.draft.put_away.remove(id);
            Ok(Next::Go(Step::PickStored(device())))
        }
        "remove" => Ok(Next::Do(Work::Consequences {
            change: Change::RemoveDevice { device: device() },
        })),
        "replace" => {
            let here = flow
                .ground
                .connections
                .iter()
                .find(|c| c.devices.iter().any(|d| d.id == id));
            let Some(connection) = here.cloned() else {
                return Ok(Next::Return);
            };
            flow.draft.anew(&connection.url);
            flow.draft.about = Some(connection.name);
            flow.draft.replaced = Some(device());
            Ok(Next::Do(Work::Look {
                urls: vec![connection.url],
            }))
        }
        _ => Err("Choose one of the list.".to_owned()),
    }
}
