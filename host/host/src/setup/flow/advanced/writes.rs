//! How far writing goes on one connection, and what may be written there.

use super::super::super::screen::{Answer, Block, Choice};
use super::super::super::work::Work;
use super::super::{Answered, Flow, Next, Page, Step, choice, key};
use crate::config::WritesConfig;
use crate::registry::change::Change;

/// What is allowed is chosen by `allowed:NUMBER`.
const ALLOWED: &str = "allowed:";

/// The levels: what each lets through, in a few words and in a sentence.
const LEVELS: [(&str, &str); 4] = [
    ("Read-only", "nothing is ever written: this is how it begins"),
    ("Dry run", "every write is checked and shown, and none is sent"),
    (
        "Volatile settings",
        "what the device forgets by itself, or keeps in memory that does not wear out",
    ),
    (
        "Stored settings, too",
        "also what lies in memory that wears out with each write: a few a day at most",
    ),
];

pub(in super::super) fn page(flow: &Flow, id: &str) -> Page {
    let connection = flow.connection(id);
    let none = WritesConfig::default();
    let writes = connection.map_or(&none, |connection| &connection.writes);
    let (level, _) = LEVELS[usize::from(writes.level).min(3)];
    let mut blocks = vec![Block::text(
        "Busbar writes only what you have allowed here, one by one, within the limits of the maker, of the device, of your \
         site and of your own, and only when you ask for it with `busbar set`. Each write is read back and noted.",
    )];
    if connection.is_some_and(|connection| connection.writes_by_file) {
        blocks.push(Block::note(
            "busbar.toml says what may be written on this connection, and wins: change it there.",
        ));
    }
    if writes.level == 0 && !writes.allow.is_empty() {
        blocks.push(Block::note(
            "The level is read-only, so nothing of this is written.",
        ));
    }
    let mut choices = vec![
        Choice::new(
            "level",
            "How far writing goes",
            format!("level {}: {}", writes.level, level.to_lowercase()),
        ),
        Choice::new(
            "add",
            "Allow a value to be written",
            "shows its range, what binds it, and what there is to know",
        ),
    ];
    for (number, allow) in writes.allow.iter().enumerate() {
        let entry = allow.entry();
        let own = match (entry.min, entry.max) {
            (None, None) => String::new(),
            (min, max) => format!(
                " · yours: {} to {}",
                min.map_or("…".to_owned(), |n| n.to_string()),
                max.map_or("…".to_owned(), |n| n.to_string())
            ),
        };
        choices.push(Choice::new(
            format!("{ALLOWED}{number}"),
            format!("Take back {}", name(flow, &entry.entity)),
            format!("{}{own}", entry.entity),
        ));
    }
    choices.push(Choice::new(
        "site",
        "The limits of your site",
        "what is not set there refuses",
    ));
    choices.push(Choice::new("back", "Back", ""));
    Page {
        title: format!(
            "Writing on {}",
            connection.map(|c| c.name.clone()).unwrap_or_default()
        ),
        step: None,
        blocks,
        ask: choice("What shall be changed?", choices, "back"),
        help: "Both are needed: a level above 1, and the value by itself. Nothing is chosen for you, and there is no `all`. The kill \
               switch (`busbar kill-switch on`) stops all of it at any time.",
    }
}

/// What an allowed entity is called; its id where that is not known.
fn name(flow: &Flow, entity: &str) -> String {
    let (device, key) = entity.split_once('.').unwrap_or((entity, ""));
    let known = flow.device(device);
    let value = known.and_then(|device| device.entities.iter().find(|entity| entity.key == key));
    match (known, value) {
        (Some(device), Some(value)) => format!("{}: {}", device.name, value.name),
        _ => entity.to_owned(),
    }
}

/// The values that may be written now.
fn stored(flow: &Flow, id: &str) -> Option<(String, WritesConfig)> {
    flow.connection(id)
        .map(|connection| (connection.name.clone(), connection.writes.clone()))
}

pub(in super::super) fn answer(flow: &mut Flow, id: &str, answer: Answer) -> Answered {
    let Some((connection, mut writes)) = stored(flow, id) else {
        return Ok(Next::Return);
    };
    let key = key(answer, "back")?;
    match key.as_str() {
        "back" => return Ok(Next::Return),
        "level" => return Ok(Next::Go(Step::Level(id.to_owned()))),
        "add" => {
            flow.forward(Step::Allow(id.to_owned()));
            return Ok(Next::Do(Work::Limits));
        }
        "site" => return Ok(Next::Go(Step::Site)),
        _ => {}
    }
    let number = key
        .strip_prefix(ALLOWED)
        .and_then(|number| number.parse::<usize>().ok());
    match number.filter(|number| *number < writes.allow.len()) {
        Some(number) => {
            writes.allow.remove(number);
            Ok(Next::Do(Work::Change {
                changes: vec![Change::Writes { connection, writes }],
            }))
        }
        None => Err("Choose one of the list.".to_owned()),
    }
}

/// The level of one connection.
pub(in super::super) fn level(flow: &Flow, id: &str) -> Page {
    let now = flow
        .connection(id)
        .map_or(0, |connection| connection.writes.level);
    let choices = LEVELS.iter().enumerate();
    let choices = choices.map(|(level, (label, about))| Choice::new(level.to_string(), *label, *about));
    Page {
        title: "How far writing goes".to_owned(),
        step: None,
        blocks: vec![Block::text(
            "The level holds for the whole connection; below it, only what you have allowed by itself is written.",
        )],
        ask: choice("Which level?", choices.collect(), &now.to_string()),
        help: "Begin with the dry run and `busbar set ENTITY VALUE`: it shows exactly what would be sent. A setpoint that lapses by \
               itself is level 2; most settings of an inverter are level 3.",
    }
}

pub(in super::super) fn set_level(flow: &mut Flow, id: &str, answer: Answer) -> Answered {
    let Some((connection, writes)) = stored(flow, id) else {
        return Ok(Next::Return);
    };
    let key = key(answer, &writes.level.to_string())?;
    let level = key
        .parse::<u8>()
        .ok()
        .filter(|level| usize::from(*level) < LEVELS.len());
    let Some(level) = level else {
        return Err("Choose one of the list.".to_owned());
    };
    if level == writes.level {
        return Ok(Next::Return);
    }
    Ok(Next::Do(Work::Change {
        changes: vec![Change::Writes {
            connection,
            writes: WritesConfig { level, ..writes },
        }],
    }))
}
