//! A new address for a connection: its devices have to answer there before anything is changed.

use super::super::super::screen::{Answer, Ask, Block};
use super::super::super::work::Work;
use super::super::{Answered, Flow, Next, Page, address, text};

pub(in super::super) fn page(flow: &Flow, id: &str) -> Page {
    let (name, url) = flow
        .connection(id)
        .map_or_else(Default::default, |c| (c.name.clone(), c.url.clone()));
    Page {
        title: format!("A new address for {name}"),
        step: None,
        blocks: vec![Block::text(format!(
            "It was at {url}. Type the new address: a scan looks which of its devices are there, and you decide then. \
             Until that nothing is changed."
        ))],
        ask: Ask::Text {
            prompt: "New address".to_owned(),
            default: url,
        },
        help: "A host name, an IP address or a URL. Ids, names and history stay with the devices, wherever they are.",
    }
}

pub(in super::super) fn answer(flow: &mut Flow, id: &str, answer: Answer) -> Answered {
    let Some(connection) = flow.connection(id).cloned() else {
        return Ok(Next::Return);
    };
    let typed = text(answer, &connection.url)?;
    let urls = address::urls(&typed)?;
    flow.draft.anew(&typed);
    flow.draft.about = Some(connection.name);
    Ok(Next::Do(Work::Look { urls }))
}
