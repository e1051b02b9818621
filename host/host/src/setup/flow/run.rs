//! After saving: start the host, set up more, or leave it at that.

use super::super::screen::{Answer, Block, Choice, End};
use super::{Answered, Flow, Next, Page, Step, choice, key};

pub(super) fn page(flow: &Flow) -> Page {
    let mut blocks = Vec::new();
    let mut choices = Vec::new();
    let title = match flow.ground.host_runs {
        true => {
            blocks.push(Block::good("The running host polls it now. What it says:"));
            for device in &flow.live {
                blocks.push(Block::Device {
                    name: device.name.clone(),
                    about: device.state.clone(),
                    values: device.values.clone(),
                    rest: Vec::new(),
                });
            }
            choices.push(Choice::new("done", "That is all", ""));
            "It works"
        }
        false => {
            choices.push(Choice::new(
                "run",
                "Start Busbar now",
                "shows the first values and the address of the live page; Ctrl-C ends it",
            ));
            choices.push(Choice::new("done", "Not now", "`busbar` starts it later"));
            "Start Busbar now?"
        }
    };
    let more = flow.draft.places.iter().filter(|place| !place.known).count();
    choices.push(Choice::new(
        "more",
        "Set up another device",
        match more {
            0 => String::new(),
            1 => "one more was found".to_owned(),
            n => format!("{n} more were found"),
        },
    ));
    choices.push(Choice::new(
        "menu",
        "Look at what is set up",
        "change it, or allow writing (advanced)",
    ));
    Page {
        title: title.to_owned(),
        step: None,
        blocks,
        ask: choice("What now?", choices, default(flow)),
        help: "The host polls everything that is set up, and serves the live page on this machine. To have it run always, \
               start `busbar` by a service of your system; `busbar setup` changes what is set up at any time.",
    }
}

fn default(flow: &Flow) -> &'static str {
    if flow.ground.host_runs { "done" } else { "run" }
}

pub(super) fn answer(flow: &mut Flow, answer: Answer) -> Answered {
    match key(answer, default(flow))?.as_str() {
        "run" if !flow.ground.host_runs => Ok(Next::End(End::Run {
            connection: flow.draft.connection.clone().unwrap_or_default(),
        })),
        "done" => Ok(Next::End(End::Done)),
        "menu" => Ok(Next::Go(Step::Menu)),
        "more" => {
            let found = flow.draft.places.iter().any(|place| !place.known);
            Ok(Next::Go(if found { Step::Places } else { Step::Start }))
        }
        _ => Err("Choose one of the list.".to_owned()),
    }
}
