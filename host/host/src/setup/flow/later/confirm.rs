//! What a change takes with it, and the question whether it is to be.

use super::super::super::screen::{Answer, Ask, Block};
use super::super::super::work::{Ground, Work};
use super::super::{Answered, Flow, Next, Page, Step};
use crate::registry::change::Change;

/// What a change takes with it is known.
pub(in super::super) fn told(flow: &mut Flow, change: Change, lines: Vec<String>) {
    flow.draft.consequences = lines;
    flow.forward(Step::Confirm(Box::new(change)));
}

pub(in super::super) fn page(flow: &Flow, change: &Change) -> Page {
    let (title, prompt) = match change {
        Change::RemoveConnection { connection } => (format!("Remove {connection}?"), "Remove it?"),
        Change::RemoveDevice { device } => {
            let name = flow.device(device).map_or(device.as_str(), |device| &device.name);
            (format!("Remove {name}?"), "Remove it?")
        }
        Change::Replace { old, .. } => {
            let name = flow.device(old).map_or(old.as_str(), |device| &device.name);
            (format!("Replace {name}?"), "Replace it?")
        }
        _ => ("Change it?".to_owned(), "Change it?"),
    };
    let rows = flow
        .draft
        .consequences
        .iter()
        .map(|line| ("·".to_owned(), line.clone()));
    Page {
        title,
        step: None,
        blocks: vec![
            Block::text(match change {
                Change::Replace { .. } => "This happens:",
                _ => "This goes:",
            }),
            Block::Pairs { rows: rows.collect() },
        ],
        ask: Ask::YesNo {
            prompt: prompt.to_owned(),
            default: false,
        },
        help: "This cannot be taken back, but for a backup of the registry (the last seven days lie in `backups`).",
    }
}

pub(in super::super) fn answer(flow: &mut Flow, change: &Change, answer: &Answer) -> Answered {
    match (answer, change) {
        // A replacement is saved together with the scan that has found the new one.
        (Answer::Yes(true), Change::Replace { .. }) => Ok(Next::Do(Work::Save(Box::new(flow.draft.keep())))),
        (Answer::Yes(true), _) => Ok(Next::Do(Work::Change {
            changes: vec![change.clone()],
        })),
        (Answer::Default | Answer::Yes(false), _) => Ok(Next::Return),
        _ => Err("Answer yes or no.".to_owned()),
    }
}

/// A change was made.
pub(in super::super) fn changed(flow: &mut Flow, ground: Ground, changes: &[Change]) {
    let back = match &flow.step {
        Step::Confirm(_) => None,
        Step::RenameConnection(id) | Step::IntervalOf(id) => Some(Step::Connection(id.clone())),
        Step::RenameDevice(id) | Step::PickStored(id) => Some(Step::Device(id.clone())),
        Step::SiteValue(_) => Some(Step::Site),
        step => step.of_writes().map(|id| Step::Writes(id.to_owned())),
    };
    flow.ground = ground;
    flow.said = vec![Block::good("Done.")];
    if flow.ground.host_runs && changes.iter().any(Change::needs_restart) {
        flow.said.push(Block::note(
            "A running host takes this up when it is started again: how far writing goes is read once.",
        ));
    }
    flow.draft.consequences.clear();
    if flow.ground.connections.is_empty() {
        return flow.start_over(Step::Start);
    }
    // Where one came from, as it is now.
    flow.start_over(Step::Menu);
    match back {
        Some(Step::Device(device)) => {
            let here = flow
                .ground
                .connections
                .iter()
                .find(|c| c.devices.iter().any(|d| d.id == device));
            if let Some(id) = here.map(|connection| connection.id.clone()) {
                flow.forward(Step::Connection(id));
                flow.forward(Step::Device(device));
            }
        }
        Some(Step::Writes(id)) if flow.connection(&id).is_some() => {
            flow.forward(Step::Connection(id.clone()));
            flow.forward(Step::Writes(id));
        }
        Some(Step::Connection(id)) if flow.connection(&id).is_some() => flow.forward(Step::Connection(id)),
        Some(Step::Site) => flow.forward(Step::Site),
        _ => {}
    }
}
