//! What will be saved, in full, and the question whether it may be.

use std::time::Duration;

use super::super::screen::{Answer, Ask, Block, End};
use super::super::work::{Kept, Work};
use super::{Answered, Flow, Next, Page, Step, entities, found, plural};
use crate::config::format_duration;

pub(super) fn page(flow: &Flow) -> Page {
    let draft = &flow.draft;
    let (some, all) = entities::total(flow);
    let devices = found::devices(flow);
    let name = draft.connection.clone().unwrap_or_else(|| draft.name());
    let mut rows = vec![
        ("connection".to_owned(), format!("{name}, {}", draft.url)),
        (
            "devices".to_owned(),
            match devices {
                [one] => draft.device_name(&one.id, &one.name).to_owned(),
                all => format!(
                    "{}: {}",
                    all.len(),
                    all.iter()
                        .map(|device| draft.device_name(&device.id, &device.name))
                        .collect::<Vec<_>>()
                        .join(", ")
                ),
            },
        ),
        (
            "values".to_owned(),
            match some == all {
                true => format!("all {all}"),
                false => format!("{some} of {all}; {} left out", all - some),
            },
        ),
        (
            "interval".to_owned(),
            format_duration(Duration::from_millis(draft.interval())),
        ),
        (
            "writing".to_owned(),
            "none: Busbar only reads, until you allow a setting by itself".to_owned(),
        ),
        ("kept in".to_owned(), flow.ground.data_dir.clone()),
    ];
    if let Some(found) = &draft.found
        && let Some(changes) = &found.changes
        && !changes.is_nothing()
    {
        rows.push(("changes".to_owned(), plural(changes.lines.len(), "line")));
    }
    let mut blocks = vec![Block::Pairs { rows }];
    let by_file = flow
        .ground
        .connections
        .iter()
        .any(|connection| connection.by_file && connection.name == name);
    if by_file {
        blocks.push(Block::note(
            "busbar.toml names this connection, too: what it says there wins.",
        ));
    }
    Page {
        title: "Save it?".to_owned(),
        step: Some(7),
        blocks,
        ask: Ask::YesNo {
            prompt: "Save this?".to_owned(),
            default: true,
        },
        help: "No forgets what was found. Everything can be changed later with `busbar setup`. The registry is one file; \
               Busbar keeps a copy of it for each of the last seven days.",
    }
}

pub(super) fn answer(flow: &mut Flow, answer: &Answer) -> Answered {
    match answer {
        Answer::Default | Answer::Yes(true) => Ok(Next::Do(Work::Save(Box::new(flow.draft.keep())))),
        Answer::Yes(false) => Ok(Next::Do(found::forget(flow))),
        _ => Err("Answer yes or no.".to_owned()),
    }
}

pub(super) fn saved(flow: &mut Flow, kept: Kept) {
    if let Some(ground) = kept.ground {
        flow.ground = *ground;
    }
    let was_known = flow.draft.connection.is_some();
    flow.draft.anew("");
    flow.draft.name = None;
    flow.draft.interval_ms = None;
    flow.draft.plugin = None;
    flow.draft.ledger = None;
    flow.draft.mode = busbar_plugin_sdk::Mode::Quick;
    flow.draft.units.clear();
    flow.draft.connection = Some(kept.connection.clone());
    for place in &mut flow.draft.places {
        let here = |url: &str| place.url == url;
        if let Some(known) = flow.ground.connections.iter().find(|c| here(&c.url)) {
            place.known = true;
            place.connection = Some(known.name.clone());
        }
    }
    flow.live.clear();
    flow.said = vec![Block::good(format!("Saved as \"{}\".", kept.connection))];
    let here = flow
        .ground
        .connections
        .iter()
        .find(|here| here.name == kept.connection);
    let here_id = here.map(|here| here.id.clone());
    match here.filter(|_| !was_known) {
        // Of a new connection everything is new.
        Some(here) => {
            let values = here
                .devices
                .iter()
                .flat_map(|d| &d.entities)
                .filter(|e| !e.put_away)
                .count();
            let (devices, values) = (plural(here.devices.len(), "device"), plural(values, "value"));
            flow.said.push(Block::text(format!("{devices} with {values}.")));
        }
        None => flow.said.extend(kept.lines.into_iter().map(Block::text)),
    }
    if let Some(id) = here_id.filter(|_| was_known) {
        flow.start_over(Step::Menu);
        flow.forward(Step::Connection(id));
        return;
    }
    flow.start_over(Step::Run);
    if flow.ground.host_runs {
        flow.go(Next::Do(Work::Live {
            connection: kept.connection,
        }));
    }
}

/// What was found is forgotten, at the owner's word.
pub(super) fn dropped(flow: &mut Flow) {
    if flow.ground.connections.is_empty() {
        flow.end = Some(End::Nothing);
        return;
    }
    let known = flow
        .draft
        .connection
        .as_ref()
        .and_then(|name| flow.connection_named(name));
    let known = known.map(|connection| connection.id.clone());
    flow.said = vec![Block::text("Nothing was changed.")];
    flow.start_over(Step::Menu);
    if let Some(id) = known {
        flow.forward(Step::Connection(id));
    }
}
