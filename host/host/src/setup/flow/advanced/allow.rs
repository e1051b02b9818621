//! Allowing one value to be written: its range, what binds it, what there is to know, and the owner's own bounds.

use busbar_guard::Amount;

use super::super::super::screen::{Answer, Ask, Block, Choice};
use super::super::super::work::Work;
use super::super::{Answered, Flow, Next, Page, Step, key, text};
use crate::cli::writes::limits::lines;
use crate::config::{AllowEntry, AllowValue, WritesConfig};
use crate::registry::change::Change;
use crate::write::limits::EntityLimits;

/// As many are listed at once; words narrow the list.
const LISTED: usize = 20;
/// What stands for no bound of the owner's own.
const NONE: &str = "none";

/// What could be allowed on a connection, and is not: never what Busbar never writes.
fn possible<'a>(flow: &'a Flow, id: &str) -> Vec<&'a EntityLimits> {
    let Some(connection) = flow.connection(id) else {
        return Vec::new();
    };
    let allowed: Vec<String> = connection
        .writes
        .allow
        .iter()
        .map(|allow| allow.entry().entity)
        .collect();
    let filter = flow.filter.to_lowercase();
    let limits = flow
        .draft
        .limits
        .as_ref()
        .map(|limits| &limits.entities[..])
        .unwrap_or_default();
    let named = |entity: &&EntityLimits| {
        [&entity.name, &entity.entity, &entity.ledger]
            .iter()
            .any(|text| text.to_lowercase().contains(&filter))
    };
    limits
        .iter()
        .filter(|entity| entity.connection == connection.name && entity.never.is_none())
        .filter(|entity| !allowed.contains(&entity.entity))
        .filter(named)
        .collect()
}

/// Which value.
pub(in super::super) fn page(flow: &Flow, id: &str) -> Page {
    let all = possible(flow, id);
    let more = all.len().saturating_sub(LISTED);
    let choices: Vec<Choice> = all
        .iter()
        .take(LISTED)
        .map(|entity| Choice::new(&entity.entity, &entity.name, brief(flow, entity)))
        .chain(std::iter::once(Choice::new("back", "None of them", "")))
        .collect();
    let mut blocks = Vec::new();
    if more > 0 {
        blocks.push(Block::text(format!(
            "{more} more: type a part of a name (such as `setpoint`) to narrow the list."
        )));
    }
    if all.is_empty() {
        blocks.push(Block::note(
            "There is nothing here that could be written, or nothing of that name.",
        ));
    }
    Page {
        title: "Which value may be written?".to_owned(),
        step: None,
        blocks,
        ask: Ask::Choice {
            prompt: "Which one".to_owned(),
            choices,
            default: "back".to_owned(),
            filter: Some(flow.filter.clone()),
        },
        help: "The range is what could be set in your house; behind it stands what binds: the ledger (the maker), the device, the \
               site, or you. Choosing one shows all of it, and asks before anything is allowed.",
    }
}

/// Who sets a bound, as people say it.
fn who(by: &str) -> String {
    match by.strip_prefix("site.") {
        Some(key) => format!("your site's {key}"),
        None => format!("the {by}"),
    }
}

/// What the site does not say and this needs.
fn keys(entity: &EntityLimits) -> String {
    let key = |key: &String| key.trim_start_matches("site.").to_owned();
    entity.needs.iter().map(key).collect::<Vec<_>>().join(", ")
}

/// Whose it is, range, what binds, level: in one line.
fn brief(flow: &Flow, entity: &EntityLimits) -> String {
    let mut words = Vec::new();
    let id = entity.entity.split_once('.').map_or("", |(device, _)| device);
    if entity.needs.is_empty() {
        words.extend(Some(entity.range()).filter(|range| !range.is_empty()));
    } else {
        words.push(format!("needs {} of your site", keys(entity)));
    }
    if let Some((low, high)) = entity.limits.as_ref().and_then(|limits| limits.range.as_ref()) {
        words.push(match low.by == high.by {
            true => format!("bound by {}", who(&high.by)),
            false => format!("bound by {} and {}", who(&low.by), who(&high.by)),
        });
    }
    words.extend(entity.needs_level.map(|level| format!("level {level}")));
    words.insert(
        0,
        flow.device(id)
            .map_or_else(|| id.to_owned(), |device| device.name.clone()),
    );
    words.join(" · ")
}

pub(in super::super) fn answer(flow: &mut Flow, id: &str, answer: Answer) -> Answered {
    let entity = key(answer, "back")?;
    if entity == "back" {
        return Ok(Next::Return);
    }
    if !possible(flow, id).iter().any(|one| one.entity == entity) {
        return Err("Choose one of the list.".to_owned());
    }
    flow.draft.entry = AllowEntry {
        entity,
        ..AllowEntry::default()
    };
    Ok(Next::Go(Step::AllowMin(id.to_owned())))
}

/// The value that is being allowed.
fn chosen(flow: &Flow) -> Option<&EntityLimits> {
    let entity = &flow.draft.entry.entity;
    let all = &flow.draft.limits.as_ref()?.entities;
    all.iter().find(|one| one.entity == *entity)
}

fn about(flow: &Flow) -> Vec<Block> {
    let Some(entity) = chosen(flow) else {
        return Vec::new();
    };
    // That it is not allowed yet is why somebody is here.
    let told = lines(&EntityLimits {
        reason: None,
        hint: None,
        writable: false,
        ..entity.clone()
    });
    let mut blocks = vec![Block::Pairs {
        rows: told
            .into_iter()
            .skip(1)
            .map(|line| ("·".to_owned(), line))
            .collect(),
    }];
    if !entity.needs.is_empty() {
        blocks.push(Block::note(format!(
            "Your site does not say {}: until it does, every write of this is refused.",
            keys(entity)
        )));
    }
    blocks
}

fn name(flow: &Flow) -> String {
    chosen(flow).map_or_else(|| flow.draft.entry.entity.clone(), |entity| entity.name.clone())
}

fn has_range(flow: &Flow) -> bool {
    chosen(flow)
        .and_then(|entity| entity.limits.as_ref())
        .is_some_and(|limits| limits.range.is_some())
}

/// The owner's own lowest value.
pub(in super::super) fn lowest(flow: &Flow) -> Page {
    bound(flow, "Your own lowest value", flow.draft.entry.min, about(flow))
}

/// The owner's own highest value.
pub(in super::super) fn highest(flow: &Flow) -> Page {
    bound(flow, "Your own highest value", flow.draft.entry.max, Vec::new())
}

fn bound(flow: &Flow, prompt: &str, now: Option<f64>, mut blocks: Vec<Block>) -> Page {
    blocks.push(match has_range(flow) {
        true => Block::text("You can narrow the range, never widen it. Enter leaves it as it is."),
        false => Block::text("It has no range to narrow: Enter goes on."),
    });
    Page {
        title: format!("Allow {}", name(flow)),
        step: None,
        blocks,
        ask: Ask::Text {
            prompt: match chosen(flow).and_then(|entity| entity.unit.as_ref()) {
                Some(unit) => format!("{prompt}, in {unit}"),
                None => prompt.to_owned(),
            },
            default: now.map_or_else(|| NONE.to_owned(), |n| n.to_string()),
        },
        help: "A number in the unit of the value, or `none`. Nothing is allowed before you have said so at the end.",
    }
}

fn number(answer: Answer, now: Option<f64>) -> Result<Option<f64>, String> {
    let default = now.map_or_else(|| NONE.to_owned(), |n| n.to_string());
    let typed = text(answer, &default)?;
    if typed.eq_ignore_ascii_case(NONE) || typed.is_empty() {
        return Ok(None);
    }
    let number: Option<f64> = typed.parse().ok().filter(|n: &f64| n.is_finite());
    number
        .map(Some)
        .ok_or_else(|| format!("`{typed}` is no number: write one, or `none`."))
}

/// What lies beyond what can be allowed narrows nothing.
fn within(flow: &Flow, bound: Option<f64>) -> Result<(), String> {
    let range = chosen(flow).and_then(|entity| entity.limits.as_ref()?.range.as_ref());
    match (bound, range) {
        (Some(bound), Some((low, high))) if bound < low.value || bound > high.value => Err(format!(
            "{bound} is outside of what can be allowed, {} to {}: write a value between them, or `none`.",
            low.value, high.value
        )),
        _ => Ok(()),
    }
}

pub(in super::super) fn set_lowest(flow: &mut Flow, id: &str, answer: Answer) -> Answered {
    let lowest = number(answer, flow.draft.entry.min)?;
    within(flow, lowest)?;
    flow.draft.entry.min = lowest;
    Ok(Next::Go(Step::AllowMax(id.to_owned())))
}

pub(in super::super) fn set_highest(flow: &mut Flow, id: &str, answer: Answer) -> Answered {
    let highest = number(answer, flow.draft.entry.max)?;
    if let (Some(min), Some(max)) = (flow.draft.entry.min, highest)
        && min > max
    {
        return Err(format!("{max} is below your lowest value, {min}."));
    }
    within(flow, highest)?;
    flow.draft.entry.max = highest;
    let needs_safe = chosen(flow).is_some_and(|entity| entity.leased && entity.safe.is_none());
    Ok(Next::Go(match needs_safe {
        true => Step::AllowSafe(id.to_owned()),
        false => Step::AllowSure(id.to_owned()),
    }))
}

/// What is written when a held value ends, where the maker does not say.
pub(in super::super) fn safe(flow: &Flow) -> Page {
    Page {
        title: format!("Allow {}", name(flow)),
        step: None,
        blocks: vec![Block::text(
            "It lapses, so the host keeps it alive for as long as you say, and then writes a safe value. Its maker names none: \
             say what is safe in your house.",
        )],
        ask: Ask::Text {
            prompt: "Safe value".to_owned(),
            default: flow.draft.entry.safe.map_or_else(String::new, |n| n.to_string()),
        },
        help: "The value at which nothing can go wrong when nobody looks: 0 W for a setpoint, as a rule.",
    }
}

pub(in super::super) fn set_safe(flow: &mut Flow, id: &str, answer: Answer) -> Answered {
    let Some(safe) = number(answer, flow.draft.entry.safe)? else {
        return Err("Type the value that is safe, such as 0.".to_owned());
    };
    flow.draft.entry.safe = Some(safe);
    Ok(Next::Go(Step::AllowSure(id.to_owned())))
}

/// May it be allowed?
pub(in super::super) fn sure(flow: &Flow) -> Page {
    let entry = &flow.draft.entry;
    let unit = chosen(flow).and_then(|entity| entity.unit.clone());
    let amount = |n: f64| Amount(n, unit.as_deref()).to_string();
    let number = |n: Option<f64>| n.map_or_else(|| "no bound of yours".to_owned(), amount);
    let mut rows = vec![
        ("value".to_owned(), entry.entity.clone()),
        ("lowest".to_owned(), number(entry.min)),
        ("highest".to_owned(), number(entry.max)),
    ];
    rows.extend(entry.safe.map(|safe| ("safe value".to_owned(), amount(safe))));
    let mut blocks = vec![Block::Pairs { rows }];
    if chosen(flow).is_some_and(|entity| entity.risky) {
        blocks.push(Block::note(
            "This one is risky: a wrong value can do harm. `busbar set` asks once more each time.",
        ));
    }
    Page {
        title: format!("Allow {}?", name(flow)),
        step: None,
        blocks,
        ask: Ask::YesNo {
            prompt: "Allow it to be written?".to_owned(),
            default: false,
        },
        help: "It can be taken back here at any time. Allowing writes nothing: only `busbar set` does, and it asks.",
    }
}

pub(in super::super) fn allow(flow: &mut Flow, id: &str, answer: &Answer) -> Answered {
    match answer {
        Answer::Yes(true) => {}
        Answer::Default | Answer::Yes(false) => return Ok(Next::Return),
        _ => return Err("Answer yes or no.".to_owned()),
    }
    let Some(connection) = flow.connection(id) else {
        return Ok(Next::Return);
    };
    let (name, mut writes): (String, WritesConfig) = (connection.name.clone(), connection.writes.clone());
    let entry = std::mem::take(&mut flow.draft.entry);
    let plain = AllowEntry {
        entity: entry.entity.clone(),
        ..AllowEntry::default()
    };
    writes.allow.push(match entry == plain {
        true => AllowValue::Name(entry.entity),
        false => AllowValue::Entry(Box::new(entry)),
    });
    Ok(Next::Do(Work::Change {
        changes: vec![Change::Writes {
            connection: name,
            writes,
        }],
    }))
}
