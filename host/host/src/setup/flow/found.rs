//! What a scan found: with values, with what is doubtful, and with what was not found and why.

use super::super::findings::{self, Findings};
use super::super::screen::{Answer, Block, Choice};
use super::super::work::Work;
use super::{Answered, Flow, Next, Page, Step, choice, key, plural};
use crate::discover::report::DeviceReport;
use busbar_ledger::presence::Status;

/// A device is chosen by `device:NUMBER`.
const DEVICE: &str = "device:";

pub(super) fn scanned(flow: &mut Flow, findings: Findings) {
    let draft = &mut flow.draft;
    draft.connection = findings.connection.clone();
    // Choices about devices that are not among these would never be carried out.
    let there = |id: &String| findings.report.devices.iter().any(|device| device.id == *id);
    draft.names.retain(|id, _| there(id));
    draft.put_away.retain(|id, _| there(id));
    draft.found = Some(findings);
    let known = draft.found.as_ref().is_some_and(|found| found.changes.is_some());
    flow.forward(if known { Step::Diff } else { Step::Found });
}

/// The devices that were found.
pub(super) fn devices(flow: &Flow) -> &[DeviceReport] {
    flow.draft
        .found
        .as_ref()
        .map_or(&[], |found| &found.report.devices)
}

pub(super) fn page(flow: &Flow) -> Page {
    let draft = &flow.draft;
    let mut blocks = Vec::new();
    let devices = devices(flow);
    blocks.extend(findings::in_common(devices).map(Block::text));
    // Those that say something first: the others are told in one line.
    let (telling, silent): (Vec<_>, Vec<_>) = devices.iter().partition(|d| findings::count(d).present > 0);
    for device in telling {
        blocks.push(Block::Device {
            name: draft.device_name(&device.id, &device.name).to_owned(),
            about: findings::about(device, devices),
            values: findings::telling(device.entities.iter()),
            rest: findings::remarks(device),
        });
    }
    if !silent.is_empty() {
        let names: Vec<&str> = silent.iter().map(|d| draft.device_name(&d.id, &d.name)).collect();
        blocks.push(Block::text(format!(
            "Also there, with nothing but doubtful values so far: {}.",
            names.join(", ")
        )));
    }
    if devices.iter().any(|d| findings::count(d).unproven > 0) {
        blocks.push(Block::text(
            "Doubtful is what can be read and never said more than 0: your device may not have it. It is taken, marked as \
             unproven, and counts as soon as it says something else.",
        ));
    }
    if let Some(found) = &draft.found {
        blocks.extend(findings::coverage(found).into_iter().map(Block::text));
        blocks.extend(found.report.warnings.iter().map(Block::note));
    }
    let values: usize = devices.iter().map(|d| findings::count(d).present).sum();
    let title = match devices.len() {
        0 => "Nothing was found".to_owned(),
        n => format!("{} with {} found", plural(n, "device"), plural(values, "value")),
    };
    let mut choices = Vec::new();
    if !devices.is_empty() {
        choices.push(Choice::new("next", "Go on with these", ""));
    }
    if !devices.is_empty() {
        choices.push(Choice::new("values", "Show every value of a device", ""));
    }
    choices.push(Choice::new("scan", "Scan again", "further, or after a change"));
    Page {
        title,
        step: Some(3),
        blocks,
        ask: choice("What now?", choices, default(flow)),
        help: "Each value here was read from the device a moment ago. Nothing is saved yet. What one device lacks that others of \
               its kind have was refused by it, or it says itself that it is not there.",
    }
}

fn default(flow: &Flow) -> &'static str {
    match devices(flow) {
        [] => "scan",
        _ => "next",
    }
}

pub(super) fn answer(flow: &mut Flow, answer: Answer) -> Answered {
    let key = key(answer, default(flow))?;
    match key.as_str() {
        "next" if !devices(flow).is_empty() => Ok(Next::Go(Step::Name)),
        "values" if devices(flow).len() == 1 => Ok(Next::Go(Step::Detail(0))),
        "values" if !devices(flow).is_empty() => Ok(Next::Go(Step::Which)),
        "scan" => Ok(Next::Go(Step::Recognise)),
        _ => Err("Choose one of the list.".to_owned()),
    }
}

/// Of which device every value is to be shown.
pub(super) fn which(flow: &Flow) -> Page {
    let device = |(number, device): (usize, &DeviceReport)| {
        let name = flow.draft.device_name(&device.id, &device.name);
        Choice::new(
            format!("{DEVICE}{number}"),
            name,
            findings::about(device, devices(flow)),
        )
    };
    let mut choices: Vec<Choice> = devices(flow).iter().enumerate().map(device).collect();
    choices.push(Choice::new("back", "Back to what was found", ""));
    Page {
        title: "Every value of which device?".to_owned(),
        step: Some(3),
        blocks: Vec::new(),
        ask: choice("Which one?", choices, "back"),
        help: "",
    }
}

pub(super) fn chosen(flow: &mut Flow, answer: Answer) -> Answered {
    let key = key(answer, "back")?;
    if key == "back" {
        return Ok(Next::Return);
    }
    let number = key
        .strip_prefix(DEVICE)
        .and_then(|number| number.parse::<usize>().ok());
    match number.filter(|number| *number < devices(flow).len()) {
        Some(number) => Ok(Next::Go(Step::Detail(number))),
        None => Err("Choose one of the list.".to_owned()),
    }
}

/// All values of one device.
pub(super) fn detail(flow: &Flow, number: usize) -> Page {
    let mut blocks = Vec::new();
    let mut title = "Every value".to_owned();
    if let Some(device) = devices(flow).get(number) {
        title = format!(
            "Every value of {}",
            flow.draft.device_name(&device.id, &device.name)
        );
        let of = |status: Status| {
            let of = device.entities.iter().filter(move |e| e.status == status);
            of.map(|e| (e.name.clone(), findings::value(e)))
                .collect::<Vec<_>>()
        };
        blocks.push(Block::text(findings::about(device, &[])));
        blocks.push(Block::Pairs {
            rows: of(Status::Present),
        });
        let unproven = of(Status::Unproven);
        if !unproven.is_empty() {
            blocks.push(Block::text("Can be read, and never said more than 0:"));
            blocks.push(Block::Pairs { rows: unproven });
        }
    }
    Page {
        title,
        step: Some(3),
        blocks,
        ask: choice(
            "",
            vec![Choice::new("back", "Back to what was found", "")],
            "back",
        ),
        help: "`–` stands for a value that the device says is not available now.",
    }
}

/// Forgets what is held, and everything that was answered about it.
pub(super) fn forget(flow: &mut Flow) -> Work {
    flow.draft.found = None;
    Work::Drop
}
