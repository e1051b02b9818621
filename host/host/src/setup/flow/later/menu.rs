//! What is set up, with its state, and what can be done with it.

use super::super::super::screen::{Answer, Block, Choice, End};
use super::super::super::work::ConnectionBrief;
use super::super::{Answered, Flow, Next, Page, Step, choice, key, plural};

/// A connection is chosen by `connection:ID`.
const CONNECTION: &str = "connection:";

pub(in super::super) fn page(flow: &Flow) -> Page {
    let ground = &flow.ground;
    let mut choices: Vec<Choice> = ground
        .connections
        .iter()
        .map(|c| {
            Choice::new(
                format!("{CONNECTION}{}", c.id),
                &c.name,
                state(c, ground.host_runs),
            )
        })
        .collect();
    choices.push(Choice::new("add", "Set up another device", ""));
    choices.push(Choice::new(
        "site",
        "The limits of your site",
        "for writing: your breaker, your phases, your battery",
    ));
    choices.push(Choice::new("done", "Done", ""));
    let mut blocks = Vec::new();
    if !ground.host_runs {
        blocks.push(Block::text("No host runs now, so it is not known who answers."));
    }
    Page {
        title: "What is set up".to_owned(),
        step: None,
        blocks,
        ask: choice("What shall be looked at or changed?", choices, "done"),
        help: "Choose a connection to scan it again, to give it a new address, to replace or to remove a device, to change \
               names, the interval or the values, and to allow writing.",
    }
}

/// How a connection stands, in a few words.
fn state(connection: &ConnectionBrief, host_runs: bool) -> String {
    let devices = connection.devices.len();
    let missing = connection.devices.iter().filter(|device| device.missing).count();
    let offline = connection
        .devices
        .iter()
        .filter(|device| device.state == "offline")
        .count();
    let mut words = vec![connection.url.clone(), plural(devices, "device")];
    if host_runs && offline > 0 {
        words.push(format!("{offline} offline"));
    } else if host_runs && devices > 0 {
        words.push("online".to_owned());
    }
    if missing > 0 {
        words.push(format!("{missing} not found by the last scan"));
    }
    words.join(" · ")
}

pub(in super::super) fn answer(flow: &mut Flow, answer: Answer) -> Answered {
    let key = key(answer, "done")?;
    match key.as_str() {
        "add" => {
            flow.draft.anew("");
            Ok(Next::Go(Step::Start))
        }
        "site" => Ok(Next::Go(Step::Site)),
        "done" => Ok(Next::End(End::Done)),
        _ => match key.strip_prefix(CONNECTION) {
            Some(id) if flow.connection(id).is_some() => Ok(Next::Go(Step::Connection(id.to_owned()))),
            _ => Err("Choose one of the list.".to_owned()),
        },
    }
}
