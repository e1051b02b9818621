//! Nothing that is known answers, or a scan came to nothing: what is there all the same, and every way on.

use busbar_plugin_sdk::Mode;

use super::super::screen::{Answer, Ask, Block, Choice};
use super::super::work::LedgerBrief;
use super::{Answered, Flow, Next, Page, Step, choice, key};

/// As many ledgers are listed at once; words narrow the list.
const LISTED: usize = 20;

pub(super) fn page(flow: &Flow) -> Page {
    let draft = &flow.draft;
    let url = &draft.url;
    let mut blocks: Vec<Block> = Vec::new();
    let trouble = draft.trouble.as_deref().unwrap_or("Nothing was recognised.");
    blocks.extend(trouble.lines().map(Block::note));
    let answers = draft.sight.as_ref().is_some_and(|sight| sight.answered);
    if answers {
        blocks.push(Block::text(
            "Some meters never say what they are (Eastron, Janitza, Siemens PAC): name theirs. A device that Busbar does \
             not know can be described by a list of its registers; its registers can be looked at with",
        ));
        blocks.push(Block::command(format!(
            "busbar raw {url} --unit 1 --at 0 --count 10"
        )));
        blocks.push(Block::command(format!(
            "busbar ledger new --url {url} --unit 1 --output my-meter.toml"
        )));
    }
    let mut choices = vec![
        Choice::new("again", "Try once more", "after you have changed something"),
        Choice::new(
            "ledger",
            "I know what it is",
            "choose from the list of known devices",
        ),
        Choice::new("units", "Look at other units", "the device may not be unit 1"),
        Choice::new(
            "full",
            "Look at every unit",
            "each that is silent costs a time-out: several minutes",
        ),
        Choice::new("address", "Another address", ""),
    ];
    if draft.sight.is_none() {
        choices.retain(|choice| choice.key == "again" || choice.key == "address");
    }
    let default = default(flow);
    Page {
        title: "Not recognised".to_owned(),
        step: Some(2),
        blocks,
        ask: choice("What now?", choices, default),
        help: "Where nothing answers at all: is the device on, is Modbus switched on in it, is another program connected to \
               it that it serves alone? Where it answers and is not recognised: its unit id may be another than 1, or it \
               is of a kind that does not tell what it is.",
    }
}

fn default(flow: &Flow) -> &'static str {
    match &flow.draft.sight {
        Some(sight) if sight.answered => "ledger",
        Some(_) => "address",
        None => "address",
    }
}

pub(super) fn answer(flow: &mut Flow, answer: Answer) -> Answered {
    match key(answer, default(flow))?.as_str() {
        "again" => Ok(Next::Return),
        "ledger" => Ok(Next::Go(Step::Ledger)),
        "units" => Ok(Next::Go(Step::Units)),
        "full" => {
            flow.draft.mode = Mode::Full;
            flow.draft.units.clear();
            Ok(Next::Do(flow.scan()))
        }
        "address" => Ok(Next::Go(
            match flow
                .draft
                .about
                .as_ref()
                .and_then(|name| flow.connection_named(name))
            {
                Some(connection) => Step::Moving(connection.id.clone()),
                None => Step::Address,
            },
        )),
        _ => Err("Choose one of the list.".to_owned()),
    }
}

/// The ledgers that are listed: for this kind of wire, those first that do not recognise their devices by themselves.
fn listed(flow: &Flow) -> Vec<&LedgerBrief> {
    let filter = flow.filter.to_lowercase();
    let scheme = flow.draft.url.split("://").next().unwrap_or_default();
    // A meter for a serial line is often behind a gateway that speaks TCP.
    let fits = |ledger: &&LedgerBrief| {
        let wire = ledger.schemes.is_empty()
            || ledger.schemes.iter().any(|of| of == scheme)
            || (scheme != "modbus+udp" && ledger.schemes.iter().any(|of| of.starts_with("modbus+rtu")));
        let named = |text: &str| text.to_lowercase().contains(&filter);
        wire && (named(&ledger.name) || named(&ledger.title))
    };
    let mut all: Vec<&LedgerBrief> = flow.ground.ledgers.iter().filter(fits).collect();
    all.sort_by_key(|ledger| ledger.recognises);
    all
}

/// Which ledger describes the device.
pub(super) fn ledger(flow: &Flow) -> Page {
    let all = listed(flow);
    let more = all.len().saturating_sub(LISTED);
    let choices: Vec<Choice> = all
        .iter()
        .take(LISTED)
        .map(|ledger| Choice::new(&ledger.name, &ledger.title, &ledger.name))
        .collect();
    let mut blocks = Vec::new();
    if more > 0 {
        blocks.push(Block::text(format!(
            "{more} more: type a part of the name or the maker (such as `sdm`) to narrow the list."
        )));
    }
    if choices.is_empty() {
        blocks.push(Block::note(
            "No known device has that in its name. Type another part, or / alone for all.",
        ));
    }
    let default = choices.first().map_or("", |first| first.key.as_str()).to_owned();
    Page {
        title: "Which device is it?".to_owned(),
        step: Some(2),
        blocks,
        ask: Ask::Choice {
            prompt: "Which one".to_owned(),
            choices,
            default,
            filter: Some(flow.filter.clone()),
        },
        help: "The first in the list are those that do not tell what they are. A wrong choice does no harm: it only reads, \
               and the values that come out show whether it was right. A ledger of your own: busbar scan URL --ledger \
               FILE --save.",
    }
}

pub(super) fn chosen(flow: &mut Flow, answer: Answer) -> Answered {
    let first = listed(flow)
        .first()
        .map(|ledger| ledger.name.clone())
        .unwrap_or_default();
    let name = key(answer, &first)?;
    if !flow.ground.ledgers.iter().any(|ledger| ledger.name == name) {
        return Err("Choose one of the list, or type a part of its name.".to_owned());
    }
    flow.draft.ledger = Some(name);
    Ok(Next::Go(Step::Units))
}
