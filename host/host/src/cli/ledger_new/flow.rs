//! The conversation in which a ledger comes about: which registers, what they mean, what they are called. No input
//! and no output: questions go out, answers come in, and a read is asked for like an answer.

use busbar_ledger::map::{Entry, Map, Title, key_of};
use busbar_ledger::model::Order;
use busbar_ledger::span::{Function, Span};
use busbar_ledger::value::Value;

use crate::interpret::{Interpretation, TYPES, interpret, type_name};

/// As many meanings as one screen holds.
const CHOICES: usize = 9;

/// What the conversation wants next.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// An answer to this; an empty one means what stands in brackets.
    Ask(String),
    /// The words of these registers.
    Read(Span),
    /// Nothing more: the ledger is complete, or was given up.
    Done,
}

/// Where the conversation is.
#[derive(Clone, Debug)]
enum State {
    Address,
    Count {
        at: u16,
    },
    Reading {
        span: Span,
    },
    Meaning {
        span: Span,
        words: Vec<u16>,
        meanings: Vec<Interpretation>,
    },
    Name {
        draft: Entry,
    },
    Unit {
        draft: Entry,
    },
    Scale {
        draft: Entry,
    },
    Done,
}

/// The conversation.
#[derive(Clone, Debug)]
pub struct Flow {
    function: Function,
    state: State,
    next: u16,
    /// What was agreed on.
    pub map: Map,
}

impl Flow {
    /// Begins with what is known already.
    pub fn new(function: Function, map: Map) -> Self {
        Flow {
            function,
            state: State::Address,
            next: 0,
            map,
        }
    }

    /// What it wants.
    pub fn step(&self) -> Step {
        let ask = |question: String| Step::Ask(question);
        match &self.state {
            State::Address if self.map.entries.is_empty() => {
                ask(format!("First address to look at [{}]", self.next))
            }
            State::Address => ask(format!("Next address, or `done` [{}]", self.next)),
            State::Count { .. } => ask("How many registers [2]".to_owned()),
            State::Reading { span } => Step::Read(*span),
            State::Meaning { .. } => {
                ask("Which is it? A number, or a type and order (FLOAT32 CDAB), or `skip` [1]".to_owned())
            }
            State::Name { .. } => ask("What is it called (voltage_l1)".to_owned()),
            State::Unit { .. } => ask("Its unit (V, A, W, kWh, Hz …) [none]".to_owned()),
            State::Scale { .. } => ask("Scale (1/10, 0.1, 10) [1]".to_owned()),
            State::Done => Step::Done,
        }
    }

    /// Takes an answer; what to tell the person.
    pub fn answer(&mut self, line: &str) -> Vec<String> {
        let line = line.trim();
        let state = std::mem::replace(&mut self.state, State::Done);
        let (state, say) = self.next_state(state, line);
        self.state = state;
        say
    }

    /// Takes the words that were read, or why they were not; what to tell the person.
    pub fn words(&mut self, read: Result<Vec<u16>, String>) -> Vec<String> {
        let State::Reading { span } = self.state else {
            return Vec::new();
        };
        match read {
            Err(why) => {
                self.state = State::Address;
                vec![format!("{span} cannot be read: {why}")]
            }
            Ok(words) => {
                let all = interpret(span, &words, None);
                let from_here = all.into_iter().filter(|meaning| meaning.at == span.at);
                let meanings: Vec<Interpretation> = from_here.take(CHOICES).collect();
                let hex: Vec<String> = words.iter().map(|word| format!("{word:04X}")).collect();
                let mut say = vec![format!("{span}: {}", hex.join(" "))];
                say.extend(meanings.iter().enumerate().map(|(i, m)| {
                    let hint = m
                        .hint
                        .as_ref()
                        .map(|hint| format!("  {hint}"))
                        .unwrap_or_default();
                    let order = m.order.map_or("", Order::name);
                    format!("  {}. {:<4} {order:<4} {}{hint}", i + 1, m.ty, value(&m.value))
                }));
                self.state = State::Meaning {
                    span,
                    words,
                    meanings,
                };
                say
            }
        }
    }

    fn next_state(&mut self, state: State, line: &str) -> (State, Vec<String>) {
        let again = |state: State, why: &str| (state, vec![why.to_owned()]);
        // These mean the same at every question; nothing is called so.
        match line {
            "done" | "quit" => return (State::Done, Vec::new()),
            "back" | "b" => return (before(state), Vec::new()),
            "?" => {
                return again(
                    state,
                    "Answer the question, or: `back` (b) to the one before, `done` to write what there is. \
                     What stands in brackets is taken for an empty answer. Where the manual counts from 1, its addresses \
                     are one too high: take one off.",
                );
            }
            _ => {}
        }
        match state {
            State::Address if matches!(line, "d" | "q") => (State::Done, Vec::new()),
            State::Address => match if line.is_empty() {
                Some(self.next)
            } else {
                address(line)
            } {
                Some(at) => (State::Count { at }, Vec::new()),
                None => again(
                    State::Address,
                    "Write an address, 0 to 65535 or 0x0 to 0xFFFF, or `done`.",
                ),
            },
            State::Count { at } => {
                let count = if line.is_empty() {
                    Some(2)
                } else {
                    line.parse().ok()
                };
                match count.filter(|n| (1..=125).contains(n) && u32::from(at) + u32::from(*n) <= 65_536) {
                    Some(count) => {
                        let span = Span {
                            function: self.function,
                            at,
                            count,
                        };
                        (State::Reading { span }, Vec::new())
                    }
                    None => again(State::Count { at }, "Write 1 to 125, not past 65535."),
                }
            }
            State::Reading { span } => (State::Reading { span }, Vec::new()),
            State::Meaning {
                span,
                words,
                meanings,
            } => {
                if matches!(line, "skip" | "s") {
                    self.next = span.at.saturating_add(span.count);
                    return (State::Address, Vec::new());
                }
                match chosen(line, span, &words, &meanings) {
                    Some(draft) => (State::Name { draft }, Vec::new()),
                    None => again(
                        State::Meaning {
                            span,
                            words,
                            meanings,
                        },
                        "Write a number of the list, or a type that fits (UINT16, FLOAT32 …) and perhaps ABCD, CDAB, BADC or DCBA.",
                    ),
                }
            }
            State::Name { mut draft } => {
                let key = key_of(line);
                if !line.chars().any(|c| c.is_ascii_alphabetic()) {
                    return again(
                        State::Name { draft },
                        "Give it a name with a letter a to z in it.",
                    );
                }
                if self.map.entries.iter().any(|entry| entry.key == key) {
                    return again(State::Name { draft }, "That name is taken.");
                }
                draft.label = (key != line).then(|| line.to_owned());
                draft.key = key;
                (State::Unit { draft }, Vec::new())
            }
            State::Unit { mut draft } => {
                draft.unit = (!line.is_empty() && line != "none").then(|| line.to_owned());
                if matches!(draft.ty, "text") {
                    return self.append(draft);
                }
                (State::Scale { draft }, Vec::new())
            }
            State::Scale { mut draft } => {
                draft.scale = (!line.is_empty() && line != "1").then(|| line.to_owned());
                self.append(draft)
            }
            State::Done => (State::Done, Vec::new()),
        }
    }

    /// Takes the register in when a ledger may hold it.
    fn append(&mut self, draft: Entry) -> (State, Vec<String>) {
        let mut map = self.map.clone();
        map.entries.push(draft.clone());
        let title = Title {
            name: "generic/new",
            title: "New",
            source: "new",
        };
        match map.ledger("new", &title) {
            Ok(_) => {
                let end = draft.at + i64::from(draft.words);
                self.next = u16::try_from(end).unwrap_or(u16::MAX);
                let say = vec![
                    summary(&draft),
                    format!("{} is in the ledger ({} so far).", draft.key, map.entries.len()),
                ];
                self.map = map;
                (State::Address, say)
            }
            Err(faults) => {
                let mut say: Vec<String> = faults
                    .all()
                    .iter()
                    .map(|fault| {
                        format!(
                            "{} ({})",
                            fault.message,
                            fault.help.as_deref().unwrap_or("write it anew")
                        )
                    })
                    .collect();
                say.push("Once more.".to_owned());
                // Where it lies is known to be wrong only by an overlap; then it begins at the address.
                let overlaps = faults.all().iter().any(|fault| fault.code == "overlap");
                (
                    if overlaps {
                        State::Address
                    } else if draft.scale.is_some() {
                        State::Scale { draft }
                    } else {
                        State::Unit { draft }
                    },
                    say,
                )
            }
        }
    }
}

/// The question before this one.
fn before(state: State) -> State {
    match state {
        State::Scale { draft } => State::Unit { draft },
        State::Unit { draft } => State::Name { draft },
        State::Name { .. } | State::Meaning { .. } | State::Count { .. } => State::Address,
        other => other,
    }
}

/// A register in one line.
fn summary(entry: &Entry) -> String {
    let mut line = format!("{}: {} {}", entry.key, entry.ty, entry.order.name());
    if let Some(scale) = &entry.scale {
        line.push_str(&format!(", times {scale}"));
    }
    if let Some(unit) = &entry.unit {
        line.push_str(&format!(", in {unit}"));
    }
    line
}

/// What was chosen: by its number, or by type and order.
fn chosen(line: &str, span: Span, words: &[u16], meanings: &[Interpretation]) -> Option<Entry> {
    let line = if line.is_empty() { "1" } else { line };
    let (ty, order, count) = if let Ok(number) = line.parse::<usize>() {
        let meaning = meanings.get(number.checked_sub(1)?)?;
        (
            meaning.ty.clone(),
            meaning.order.unwrap_or_default(),
            meaning.words,
        )
    } else {
        let mut parts = line.split_whitespace();
        let ty = type_name(parts.next()?)?;
        let order = match parts.next() {
            None => Order::Abcd,
            Some(name) => [Order::Abcd, Order::Cdab, Order::Badc, Order::Dcba]
                .into_iter()
                .find(|order| order.name().eq_ignore_ascii_case(name))?,
        };
        let fixed = TYPES
            .iter()
            .find(|(short, _, _, _)| *short == ty)
            .map(|(_, _, _, count)| *count);
        (ty.to_owned(), order, fixed.unwrap_or(span.count))
    };
    let ty = type_name(&ty)?;
    (usize::from(count) <= words.len()).then_some(Entry {
        key: String::new(),
        label: None,
        at: i64::from(span.at),
        words: count,
        ty,
        order,
        own_order: true,
        unit: None,
        scale: None,
        offset: None,
        function: span.function,
        overlap: false,
    })
}

fn address(line: &str) -> Option<u16> {
    match line.strip_prefix("0x").or_else(|| line.strip_prefix("0X")) {
        Some(hex) => u16::from_str_radix(hex, 16).ok(),
        None => line.parse().ok(),
    }
}

fn value(value: &Value) -> String {
    crate::format::value(Some(value), None, None, busbar_ledger::value::Quality::Good)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(flow: &Flow) -> String {
        match flow.step() {
            Step::Ask(question) => question,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_ledger_comes_about_by_answers() {
        let mut flow = Flow::new(Function::Input, Map::default());
        flow.answer("0x64");
        flow.answer("");
        assert_eq!(
            flow.step(),
            Step::Read(Span {
                function: Function::Input,
                at: 100,
                count: 2
            })
        );
        // 230.53 with its words swapped.
        let say = flow.words(Ok(vec![0x87AE, 0x4366]));
        assert!(say[1].contains("f32  CDAB 230.53"), "{say:?}");
        flow.answer("");
        flow.answer("Voltage L1");
        flow.answer("V");
        let say = flow.answer("");
        assert_eq!(
            say,
            [
                "voltage_l1: f32 CDAB, in V",
                "voltage_l1 is in the ledger (1 so far)."
            ]
        );
        assert!(asked(&flow).contains("[102]"), "{}", asked(&flow));

        flow.answer("");
        flow.answer("1");
        flow.words(Ok(vec![4998]));
        flow.answer("UINT16");
        flow.answer("frequency");
        flow.answer("Hz");
        flow.answer("0.01");
        flow.answer("done");
        assert_eq!(flow.step(), Step::Done);
        let title = Title {
            name: "acme/em3",
            title: "EM3",
            source: "tried out",
        };
        let (text, ledger) = flow.map.ledger("em3.toml", &title).unwrap();
        let voltage = ledger.point("voltage_l1").unwrap();
        assert_eq!(
            (voltage.label.as_str(), voltage.register().unwrap().order),
            ("Voltage L1", Order::Cdab)
        );
        assert_eq!(
            ledger.point("frequency").unwrap().register().unwrap().scale.den,
            100,
            "{text}"
        );
    }

    #[test]
    fn the_same_words_do_at_every_question() {
        let mut flow = Flow::new(Function::Holding, Map::default());
        flow.answer("7");
        assert!(flow.answer("?")[0].contains("back"));
        assert!(asked(&flow).contains("How many"));
        flow.answer("1");
        flow.words(Ok(vec![1234]));
        flow.answer("INT16");
        flow.answer("current");
        flow.answer("A");
        assert!(asked(&flow).contains("Scale"));
        flow.answer("b");
        assert!(asked(&flow).contains("unit"));
        flow.answer("back");
        assert!(asked(&flow).contains("called"));
        flow.answer("done");
        assert_eq!((flow.step(), flow.map.entries.len()), (Step::Done, 0));
    }

    #[test]
    fn what_makes_no_sense_is_asked_again() {
        let mut flow = Flow::new(Function::Holding, Map::default());
        assert!(!flow.answer("somewhere").is_empty());
        flow.answer("65535");
        assert!(flow.answer("2")[0].contains("65535"));
        flow.answer("1");
        assert!(flow.words(Err("exception 2".into()))[0].contains("exception 2"));
        flow.answer("7");
        flow.answer("1");
        flow.words(Ok(vec![1234]));
        for nonsense in ["0", "10", "FLOAT32", "UINT16 ACDB", "type"] {
            assert!(!flow.answer(nonsense).is_empty(), "{nonsense}");
        }
        flow.answer("INT16");
        assert!(!flow.answer("°").is_empty());
        flow.answer("current");
        flow.answer("A");
        assert!(flow.answer("a tenth").iter().any(|say| say.contains("factor")));
        flow.answer("1/10");
        // The same register again.
        flow.answer("7");
        flow.answer("1");
        flow.words(Ok(vec![1234]));
        flow.answer("INT16");
        assert_eq!(flow.answer("current"), ["That name is taken."]);
        flow.answer("other");
        flow.answer("");
        assert!(flow.answer("").iter().any(|say| say.contains("shares addresses")));
        flow.answer("done");
        assert_eq!(flow.map.entries.len(), 1);
    }
}
