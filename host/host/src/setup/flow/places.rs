//! Looking for devices: what announces itself at once, everything else only after a yes.

use super::super::screen::{Answer, Ask, Block, Choice};
use super::super::work::{Search, Work};
use super::{Answered, Flow, Next, Page, Step, choice, key, plural};
use crate::find::{Confidence, Found};

/// What is found is chosen by `place:NUMBER`.
const PLACE: &str = "place:";
/// As many are listed; nobody has more devices than that.
const MOST: usize = 60;

/// The question before a search: exactly what will be asked.
pub(super) fn consent(flow: &Flow, search: Search) -> Page {
    let ground = &flow.ground;
    let (title, blocks, prompt) = match search {
        Search::Serial => (
            "Try the serial ports?",
            vec![Block::text(format!(
                "On each of these ports the usual settings and units are tried, likeliest first: {}. It takes up to \
                     {} each. A port that another program uses is left alone.",
                ground.ports.join(", "),
                time(ground.ports_seconds)
            ))],
            "Try them now?",
        ),
        Search::Announced | Search::Network => {
            let network = |(network, interface, addresses): &(String, String, u32)| {
                (network.clone(), format!("{interface}, {}", count(*addresses)))
            };
            (
                "Search the network?",
                vec![
                    Block::text(
                        "These networks of this machine are private, so every address of them can be asked:",
                    ),
                    Block::Pairs {
                        rows: ground.networks.iter().map(network).collect(),
                    },
                    Block::text(format!(
                        "Each address is tried on {}; it takes about {}. What answers is asked what it is, with a few \
                         small reads. In a network that is not yours, ask its owner first.",
                        ground.search.1,
                        time(ground.search.0)
                    )),
                ],
                "Search now?",
            )
        }
    };
    Page {
        title: title.to_owned(),
        step: Some(1),
        blocks,
        ask: Ask::YesNo {
            prompt: prompt.to_owned(),
            default: true,
        },
        help: "Nothing is changed on any device, and Ctrl-C ends the search and keeps what was found. `busbar discover` \
               does the same and has more to choose: one network, other ports, every setting of a serial line.",
    }
}

pub(super) fn agreed(flow: &mut Flow, search: Search, answer: &Answer) -> Answered {
    match answer {
        Answer::Default | Answer::Yes(true) => {
            flow.forward(Step::Places);
            Ok(Next::Do(Work::Find { places: search }))
        }
        Answer::Yes(false) => Ok(Next::Return),
        _ => Err("Answer yes or no.".to_owned()),
    }
}

pub(super) fn found(flow: &mut Flow, search: Search, found: Vec<Found>, notes: Vec<String>) {
    let draft = &mut flow.draft;
    draft.searched |= search == Search::Network;
    draft.notes = notes;
    for one in found {
        // What was found before and is found again is as it is now.
        draft
            .places
            .retain(|old| (&old.url, old.unit_id) != (&one.url, one.unit_id));
        draft.places.push(one);
    }
    draft
        .places
        .retain(|one| one.confidence < Confidence::Open || one.known);
    draft
        .places
        .sort_by(|a, b| (a.known, a.confidence, &a.url).cmp(&(b.known, b.confidence, &b.url)));
    draft.places.truncate(MOST);
    if flow.step != Step::Places {
        flow.forward(Step::Places);
    }
}

pub(super) fn page(flow: &Flow) -> Page {
    let draft = &flow.draft;
    let mut choices: Vec<Choice> = draft.places.iter().enumerate().map(place).collect();
    let mut blocks = Vec::new();
    match draft.places.len() {
        0 if draft.searched => blocks.push(Block::text(
            "Nothing was found that speaks Modbus. Is the device switched on and in this network, and is Modbus switched \
             on in its settings? (On a GX: Settings, Integrations, Modbus TCP server.)",
        )),
        0 if flow.ground.networks.is_empty() => blocks.push(Block::text(
            "Nothing announced itself, and this machine is in no private network that could be searched: give the address.",
        )),
        0 => blocks.push(Block::text(
            "Nothing announced itself. Many devices never do: a search of the network finds those, too.",
        )),
        n => blocks.push(Block::text(format!("{} found.", plural(n, "device")))),
    }
    blocks.extend(draft.notes.iter().map(Block::note));
    if !draft.searched && !flow.ground.networks.is_empty() {
        choices.push(Choice::new(
            "network",
            "Search the whole network",
            "asks you first, and says exactly what it will ask",
        ));
    }
    choices.push(Choice::new(
        "address",
        "Give an address",
        "a host name, an IP address or a URL",
    ));
    if !flow.ground.ports.is_empty() {
        choices.push(Choice::new(
            "serial",
            "Try the serial ports",
            flow.ground.ports.join(", "),
        ));
    }
    choices.push(Choice::new("again", "Look again", "after switching something on"));
    let default = default(flow);
    Page {
        title: "Which device?".to_owned(),
        step: Some(1),
        blocks,
        ask: choice("Which one shall be set up?", choices, &default),
        help: "Each device is set up by itself; when one is done you are asked for the next. What is already set up says \
               so: choosing it looks what has changed.",
    }
}

/// The first that is not set up yet, else a search, else an address.
fn default(flow: &Flow) -> String {
    let new = flow.draft.places.iter().position(|place| !place.known);
    match new {
        Some(place) => format!("{PLACE}{place}"),
        None if !flow.draft.searched && !flow.ground.networks.is_empty() => "network".to_owned(),
        None => "address".to_owned(),
    }
}

fn place((number, found): (usize, &Found)) -> Choice {
    let what = found
        .title
        .as_deref()
        .unwrap_or("a Modbus device that no ledger knows");
    let mut about: Vec<String> = Vec::new();
    about.extend(
        found
            .name
            .clone()
            .filter(|name| Some(name) != found.title.as_ref()),
    );
    about.extend(found.serial.as_ref().map(|serial| format!("serial {serial}")));
    about.push(found.url.clone());
    match (&found.connection, &found.moved_from) {
        (Some(connection), Some(_)) => about.push(format!("\"{connection}\" has moved here")),
        (Some(connection), None) if found.known => about.push(format!("set up as \"{connection}\"")),
        _ => {}
    }
    about.extend(found.note.clone());
    let label = match &found.model {
        Some(model) if !what.contains(model.as_str()) => format!("{what}, {model}"),
        _ => what.to_owned(),
    };
    Choice::new(format!("{PLACE}{number}"), label, about.join(" · "))
}

pub(super) fn answer(flow: &mut Flow, answer: Answer) -> Answered {
    let key = key(answer, &default(flow))?;
    match key.as_str() {
        "network" => return Ok(Next::Go(Step::Consent(Search::Network))),
        "serial" => return Ok(Next::Go(Step::Consent(Search::Serial))),
        "address" => return Ok(Next::Go(Step::Address)),
        "again" => {
            return Ok(Next::Do(Work::Find {
                places: Search::Announced,
            }));
        }
        _ => {}
    }
    let number = key
        .strip_prefix(PLACE)
        .and_then(|number| number.parse::<usize>().ok());
    let chosen = number.and_then(|number| flow.draft.places.get(number));
    let Some(chosen) = chosen else {
        return Err("Choose one of the list.".to_owned());
    };
    let urls = vec![chosen.url.clone()];
    Ok(Next::Do(Work::Look { urls }))
}

/// Seconds as people say them.
pub(super) fn time(seconds: u64) -> String {
    match seconds {
        0..=1 => "a second".to_owned(),
        2..=90 => format!("{seconds} seconds"),
        _ => format!("{} minutes", seconds.div_ceil(60)),
    }
}

fn count(addresses: u32) -> String {
    match addresses {
        1 => "1 address".to_owned(),
        n => format!("{n} addresses"),
    }
}
