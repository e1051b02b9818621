//! What the connection and its devices are called.

use super::super::findings;
use super::super::screen::{Answer, Ask, Block, Choice};
use super::{Answered, Flow, Next, Page, Step, choice, found, key, text};

/// A device is chosen by `device:NUMBER`.
const DEVICE: &str = "device:";
/// The longest name.
const MOST: usize = 64;

/// What the connection is called.
pub(super) fn connection(flow: &Flow) -> Page {
    Page {
        title: "A name for this connection".to_owned(),
        step: Some(4),
        blocks: vec![Block::text(format!(
            "{} is kept under a name: it stands in the configuration file and in front of its devices. `home` or `garage` \
             is easier to remember than an address.",
            flow.draft.url
        ))],
        ask: Ask::Text {
            prompt: "Name".to_owned(),
            default: flow.draft.name(),
        },
        help: "You can change it later. Ids of devices and values do not depend on it.",
    }
}

pub(super) fn named(flow: &mut Flow, answer: Answer) -> Answered {
    let default = flow.draft.name();
    let name = text(answer, &default)?;
    check(&name)?;
    if name.contains('/') {
        return Err("A connection's name has no `/`: it separates names in the configuration.".to_owned());
    }
    let taken = flow.ground.connections.iter().find(|c| c.name == name);
    if let Some(taken) = taken {
        return Err(format!(
            "\"{name}\" is the name of {} already: choose another.",
            taken.url
        ));
    }
    flow.draft.name = Some(name);
    Ok(Next::Go(Step::Names))
}

/// Whether this can be a name.
pub(super) fn check(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("A name has at least one character.".to_owned());
    }
    if name.chars().count() > MOST {
        return Err(format!("A name has at most {MOST} characters."));
    }
    if name.chars().any(char::is_control) {
        return Err("A name has no control characters.".to_owned());
    }
    Ok(())
}

pub(super) fn page(flow: &Flow) -> Page {
    let draft = &flow.draft;
    let mut choices = vec![Choice::new("next", "These names are right", "")];
    for (number, device) in found::devices(flow).iter().enumerate() {
        let name = draft.device_name(&device.id, &device.name);
        let own = match name == device.name {
            true => String::new(),
            false => format!("{} · ", device.name),
        };
        choices.push(Choice::new(
            format!("{DEVICE}{number}"),
            name,
            format!("{own}{}", findings::about(device, found::devices(flow))),
        ));
    }
    Page {
        title: "Names of the devices".to_owned(),
        step: Some(4),
        blocks: vec![Block::text(
            "This is what the devices call themselves, or what they are. Choose one to give it a name of your own: it \
             stays, whatever the device says later.",
        )],
        ask: choice("Which one shall have another name?", choices, "next"),
        help: "Names are for people. Ids come from serial numbers and never change, so history and automations do not care \
               for names.",
    }
}

pub(super) fn answer(flow: &mut Flow, answer: Answer) -> Answered {
    let key = key(answer, "next")?;
    if key == "next" {
        return Ok(Next::Go(Step::Interval));
    }
    let number = key
        .strip_prefix(DEVICE)
        .and_then(|number| number.parse::<usize>().ok());
    match number.filter(|number| *number < found::devices(flow).len()) {
        Some(number) => Ok(Next::Go(Step::Rename(number))),
        None => Err("Choose one of the list.".to_owned()),
    }
}

/// What one device is called.
pub(super) fn device(flow: &Flow, number: usize) -> Page {
    let device = found::devices(flow).get(number);
    let (own, name, about) = device.map_or_else(Default::default, |device| {
        let name = flow.draft.device_name(&device.id, &device.name);
        (device.name.clone(), name.to_owned(), findings::about(device, &[]))
    });
    Page {
        title: format!("A name for {own}"),
        step: Some(4),
        blocks: vec![Block::text(about)],
        ask: Ask::Text {
            prompt: "Name".to_owned(),
            default: name,
        },
        help: "Enter keeps the name as it is.",
    }
}

pub(super) fn renamed(flow: &mut Flow, number: usize, answer: Answer) -> Answered {
    let Some(device) = found::devices(flow).get(number) else {
        return Ok(Next::Return);
    };
    let (id, own) = (device.id.clone(), device.name.clone());
    let name = text(answer, flow.draft.device_name(&id, &own))?;
    check(&name)?;
    // The device's own name is no name of the owner's: should the device get another one, that is shown.
    match name == own {
        true => flow.draft.names.remove(&id),
        false => flow.draft.names.insert(id, name),
    };
    Ok(Next::Return)
}
