//! From evidence to the list of models at a unit, or to what has to be read next.
//!
//! A device is believed nothing: a list has at most [`MAX_MODELS`] entries, each header lies behind the one before,
//! and none beyond the last address, so that a walk ends whatever a device answers.

use std::collections::{BTreeMap, HashMap};

use busbar_plugin_sdk::{Ask, Outcome, Probe};

use crate::models::{Layout, Model, Models};

/// Where a list of models may begin, the usual place first.
const BASES: [u16; 3] = [40_000, 0, 50_000];
/// `SunS`, before the first model.
const MARK: [u16; 2] = [0x5375, 0x6E53];
/// The mark and the first header are read at once.
const MARK_WORDS: u16 = 4;
/// The id that ends the list.
const END: u16 = 0xFFFF;
/// The longest list that is followed.
const MAX_MODELS: usize = 100;
/// The most blocks of one model that are told apart.
pub(crate) const MAX_BLOCKS: u16 = 64;
/// The longest read.
const MAX_WORDS: u32 = 125;
/// Holding registers.
const FUNCTION: u8 = 3;

/// What is known of one unit.
pub(crate) struct Unit<'a> {
    unit: u8,
    asked: HashMap<(u16, u16), Outcome<'a>>,
    words: Words,
}

/// The registers that were read.
pub(crate) type Words = BTreeMap<u16, u16>;

/// What the evidence says of a unit.
#[derive(Debug)]
pub(crate) enum Look {
    /// Not enough yet.
    Ask(Vec<Probe>),
    /// It answers, and there is no list of models.
    None,
    /// Nobody is there, or nobody answers any more.
    Silent,
    /// A list.
    List(List),
}

/// A list of models.
#[derive(Debug, Default)]
pub(crate) struct List {
    pub(crate) entries: Vec<Entry>,
    /// Why it ends before its end.
    pub(crate) broken: Option<String>,
}

/// One model of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) id: u16,
    /// Address of its id register.
    pub(crate) at: u16,
    /// Its length as the device gives it, without the header.
    pub(crate) length: u16,
}

impl<'a> Unit<'a> {
    pub(crate) fn new(ask: &Ask<'a>, unit: u8) -> Unit<'a> {
        let mut asked = HashMap::new();
        let mut words = Words::new();
        for (probe, outcome) in ask.outcomes().filter(|(probe, _)| probe.unit == unit) {
            if let Outcome::Words(read) = outcome {
                words.extend((probe.at..=u16::MAX).zip(read.iter().copied()));
            }
            asked.insert((probe.at, probe.count), outcome);
        }
        Unit { unit, asked, words }
    }

    /// Whether anything was asked here.
    pub(crate) fn is_known(&self) -> bool {
        !self.asked.is_empty()
    }

    /// The registers that were read.
    pub(crate) fn words(&self) -> &Words {
        &self.words
    }

    /// What is there, as far as the evidence goes.
    pub(crate) fn look(&self) -> Look {
        for base in BASES {
            let Some(outcome) = self.asked.get(&(base, MARK_WORDS)) else {
                return Look::Ask(vec![self.probe(base, MARK_WORDS)]);
            };
            match outcome {
                Outcome::Words([first, second, ..]) if [*first, *second] == MARK => return self.list(base),
                // A gateway says so of a unit that it cannot reach.
                Outcome::Silent | Outcome::Exception(10 | 11) => return Look::Silent,
                _ => {}
            }
        }
        Look::None
    }

    fn list(&self, base: u16) -> Look {
        let mut list = List::default();
        // No base lies near the last address.
        let mut at = base + 2;
        loop {
            let id = match self.words.get(&at) {
                Some(&END) => return Look::List(list),
                Some(&id) => id,
                None => return self.lost(list, at),
            };
            let Some(&length) = self.words.get(&(at + 1)) else {
                return self.lost(list, at);
            };
            let next = u32::from(at) + 2 + u32::from(length);
            let fault = if id == 0 {
                Some(format!("the header at {at} is empty"))
            } else if list.entries.len() == MAX_MODELS {
                Some(format!("it has more than {MAX_MODELS} models"))
            } else if next > u32::from(u16::MAX) - 1 {
                Some(format!(
                    "model {id} at {at} says that it is {length} registers long"
                ))
            } else {
                None
            };
            if fault.is_some() {
                list.broken = fault;
                return Look::List(list);
            }
            list.entries.push(Entry { id, at, length });
            // Checked above.
            let next = next as u16;
            let body = Models::known()
                .get(id)
                .map_or(0, |(model, layout)| worth_reading(model, layout, length));
            // The next header is read along where it follows.
            let spans = match body == length {
                true => chunks(at + 2, u32::from(length) + 2),
                false => chunks(at + 2, u32::from(body))
                    .into_iter()
                    .chain([(next, 2)])
                    .collect(),
            };
            let missing: Vec<Probe> = spans
                .into_iter()
                .filter(|span| !self.asked.contains_key(span))
                .map(|(at, count)| self.probe(at, count))
                .collect();
            if !missing.is_empty() {
                return Look::Ask(missing);
            }
            at = next;
        }
    }

    /// A header that could not be read along: by itself, and then its first register, for some devices end there.
    fn lost(&self, mut list: List, at: u16) -> Look {
        for count in [2, 1] {
            match self.asked.get(&(at, count)) {
                None if self.fell_silent() => return Look::Silent,
                None => return Look::Ask(vec![self.probe(at, count)]),
                Some(Outcome::Silent) => return Look::Silent,
                Some(_) => {}
            }
        }
        list.broken = Some(format!(
            "the device does not answer for register {at}, where the next model begins"
        ));
        Look::List(list)
    }

    fn fell_silent(&self) -> bool {
        self.asked.values().any(|outcome| *outcome == Outcome::Silent)
    }

    fn probe(&self, at: u16, count: u16) -> Probe {
        Probe {
            unit: self.unit,
            function: FUNCTION,
            at,
            count,
        }
    }
}

/// How much of a model's body the definition describes.
fn worth_reading(model: &Model, layout: &Layout, length: u16) -> u16 {
    if model.id == crate::models::COMMON {
        return length.min(66);
    }
    let ends = layout.points.iter().map(|fact| fact.offset + fact.words);
    let end = match &layout.block {
        Some(block) => block.first.saturating_add(block.words.saturating_mul(MAX_BLOCKS)),
        None => ends.max().unwrap_or(0),
    };
    length.min(end.saturating_sub(2))
}

/// A run in reads of at most [`MAX_WORDS`].
fn chunks(at: u16, count: u32) -> Vec<(u16, u16)> {
    let from = u32::from(at);
    let starts = (from..from + count).step_by(MAX_WORDS as usize);
    starts
        .filter_map(|start| {
            let words = (from + count - start).min(MAX_WORDS);
            Some((u16::try_from(start).ok()?, u16::try_from(words).ok()?))
        })
        .collect()
}
