//! The first question: how to get to a device.

use super::super::screen::{Answer, Ask, Block, Choice};
use super::super::work::{Search, Work};
use super::{Answered, Flow, Next, Page, Step, address, choice, key};

/// Before anything is known.
pub(super) fn begin() -> Page {
    Page {
        title: "Set up Busbar".to_owned(),
        step: None,
        blocks: Vec::new(),
        ask: Ask::Work {
            what: "Looking at what is there".to_owned(),
            progress: None,
            pausable: false,
            paused: false,
        },
        help: "",
    }
}

/// What is there to begin from is known.
pub(super) fn loaded(flow: &mut Flow) {
    flow.start_over(match flow.ground.connections.is_empty() {
        true => Step::Start,
        false => Step::Menu,
    });
    if let Some(wished) = flow.draft.wished.take() {
        match address::urls(&wished) {
            Ok(urls) => {
                flow.draft.url = wished;
                flow.go(Next::Do(Work::Look { urls }));
            }
            Err(fault) => flow.fault = Some(fault),
        }
    }
}

pub(super) fn page(flow: &Flow) -> Page {
    let mut blocks = vec![Block::text(
        "Busbar finds out which devices you have and which values each of them really has, and keeps that. \
             This takes a few minutes. It only reads: nothing is changed on a device, and nothing is saved before you \
             say so.",
    )];
    if flow.ground.host_runs {
        blocks.push(Block::text(
            "Busbar is running: it does the asking, and takes up at once what you save.",
        ));
    }
    let mut choices = vec![
        Choice::new(
            "find",
            "Find devices",
            "listens for those that announce themselves; asks before it does more",
        ),
        Choice::new(
            "address",
            "I know its address",
            "a host name, an IP address or a URL",
        ),
    ];
    if !flow.ground.ports.is_empty() {
        let ports = flow.ground.ports.join(", ");
        choices.push(Choice::new("serial", "It is on a serial line (RS485)", ports));
    }
    Page {
        title: "Where is your device?".to_owned(),
        step: Some(1),
        blocks,
        ask: choice("How shall we get to it?", choices, "find"),
        help: "A Victron GX has to allow Modbus first: Settings, Integrations, Modbus TCP server. Many devices announce \
               themselves in the network; where yours does not, its own display or your router tells its address.",
    }
}

pub(super) fn answer(flow: &mut Flow, answer: Answer) -> Answered {
    match key(answer, "find")?.as_str() {
        "find" => {
            flow.forward(Step::Places);
            Ok(Next::Do(Work::Find {
                places: Search::Announced,
            }))
        }
        "address" => Ok(Next::Go(Step::Address)),
        "serial" => Ok(Next::Go(Step::Consent(Search::Serial))),
        _ => Err("Choose one of the list.".to_owned()),
    }
}
