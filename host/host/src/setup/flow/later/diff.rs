//! What a scan found otherwise than it was known: to take over as a whole, or to drop.

use super::super::super::findings::{self, Changes, Findings};
use super::super::super::screen::{Answer, Block, Choice};
use super::super::super::work::Work;
use super::super::{Answered, Flow, Next, Page, Step, choice, found, key, plural};
use super::replace;

/// As many of a kind are named.
const NAMED: usize = 12;

pub(in super::super) fn page(flow: &Flow) -> Page {
    let mut blocks = Vec::new();
    let mut choices = Vec::new();
    let mut title = "What has changed".to_owned();
    if let Some((found, changes)) = parts(flow) {
        if let Some(from) = &found.moved_from {
            blocks.push(Block::text(format!(
                "Its address was {from}, and will be {}.",
                found.url
            )));
        }
        if is_elsewhere(flow, found) {
            title = "These are not its devices".to_owned();
            blocks.push(Block::note(
                "None of its devices answers there, so the address is not changed. What answers is another device: set it \
                 up by itself, or give another address.",
            ));
        } else if changes.is_nothing() {
            blocks.push(Block::good("Every device and every value is as it was."));
        }
        blocks.extend(told(flow, found, changes));
        blocks.extend(findings::coverage(found).into_iter().map(Block::text));
        blocks.extend(found.report.warnings.iter().map(Block::note));
        if !is_elsewhere(flow, found) {
            choices.push(Choice::new("accept", "Take it over", accepted(found, changes)));
            if !replace::pairs(flow).is_empty() {
                choices.push(Choice::new(
                    "replace",
                    "A new device has taken the place of one that is gone",
                    "ids, names and history go on with the new one",
                ));
            }
        }
    }
    choices.push(Choice::new("drop", "Drop it", "everything stays as it is known"));
    if !found::devices(flow).is_empty() {
        choices.push(Choice::new("values", "Show every value of a device", ""));
    }
    choices.push(Choice::new("scan", "Scan again", "further, or after a change"));
    Page {
        title,
        step: None,
        blocks,
        ask: choice("What now?", choices, default(flow)),
        help: "A scan deletes nothing: what is not found any more is kept, marked as missing, and is there again as soon as a \
               scan finds it. Only what was asked for can be missing: a device at a unit that the scan did not look at \
               stays as it is.",
    }
}

/// What was found, and what it would change.
fn parts(flow: &Flow) -> Option<(&Findings, &Changes)> {
    let found = flow.draft.found.as_ref()?;
    Some((found, found.changes.as_ref()?))
}

/// Whether what answers at a new address has nothing of the connection.
fn is_elsewhere(flow: &Flow, found: &Findings) -> bool {
    let connection = found
        .connection
        .as_ref()
        .and_then(|name| flow.connection_named(name));
    let known = |id: &String| connection.is_some_and(|c| c.devices.iter().any(|device| device.id == *id));
    found.moved_from.is_some() && !found.report.devices.iter().any(|device| known(&device.id))
}

fn accepted(found: &Findings, changes: &Changes) -> &'static str {
    match (changes.is_nothing(), &found.moved_from) {
        (_, Some(_)) => "from now on its devices are read there",
        (true, None) => "notes that all was looked at",
        (false, None) => "all of it, as it stands above",
    }
}

/// The changes, as people read them.
fn told(flow: &Flow, found: &Findings, changes: &Changes) -> Vec<Block> {
    let mut rows = Vec::new();
    let mut named = |what: &str, all: Vec<String>| {
        let more = all.len().saturating_sub(NAMED);
        for (number, name) in all.into_iter().take(NAMED).enumerate() {
            rows.push((
                if number == 0 {
                    what.to_owned()
                } else {
                    String::new()
                },
                name,
            ));
        }
        if more > 0 {
            rows.push((String::new(), format!("and {more} more")));
        }
    };
    let report = |id: &String| {
        let device = found.report.devices.iter().find(|device| device.id == *id);
        device.map_or(id.clone(), |d| format!("{}, {}", d.name, findings::about(d, &[])))
    };
    named("new", changes.new.iter().map(report).collect());
    let stored = |id: &String| match flow.device(id) {
        Some(device) => format!("{} ({}): kept, marked as missing", device.name, device.ledger),
        None => id.clone(),
    };
    named("not found", changes.gone.iter().map(stored).collect());
    if !changes.new_values.is_empty() {
        named("new values", vec![values(&changes.new_values)]);
    }
    if !changes.gone_values.is_empty() {
        named("gone values", vec![values(&changes.gone_values)]);
    }
    named("changed", changes.changed.clone());
    match rows.is_empty() {
        true => Vec::new(),
        false => vec![Block::Pairs { rows }],
    }
}

fn values(ids: &[String]) -> String {
    let some: Vec<&str> = ids.iter().take(3).map(String::as_str).collect();
    let more = if ids.len() > some.len() { ", …" } else { "" };
    format!("{}: {}{more}", plural(ids.len(), "value"), some.join(", "))
}

fn default(flow: &Flow) -> &'static str {
    match flow.draft.found.as_ref() {
        Some(found) if !is_elsewhere(flow, found) => "accept",
        _ => "drop",
    }
}

pub(in super::super) fn answer(flow: &mut Flow, answer: Answer) -> Answered {
    let elsewhere = flow
        .draft
        .found
        .as_ref()
        .is_none_or(|found| is_elsewhere(flow, found));
    match key(answer, default(flow))?.as_str() {
        "accept" if !elsewhere => {
            flow.draft.replace = None;
            Ok(Next::Do(Work::Save(Box::new(flow.draft.keep()))))
        }
        "replace" if !elsewhere && !replace::pairs(flow).is_empty() => Ok(Next::Go(Step::Replace)),
        "drop" => Ok(Next::Do(found::forget(flow))),
        "values" if found::devices(flow).len() == 1 => Ok(Next::Go(Step::Detail(0))),
        "values" if !found::devices(flow).is_empty() => Ok(Next::Go(Step::Which)),
        "scan" => Ok(Next::Go(Step::Recognise)),
        _ => Err("Choose one of the list.".to_owned()),
    }
}
