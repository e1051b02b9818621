//! How a site file says what a value does: numbers, names of signals, and a few forms that nest.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, MapAccess, Visitor, value::MapAccessDeserializer};

use crate::house::{Integral, Node, mix};

/// A number, the name of a signal, or a form.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Term {
    Number(f64),
    Signal(String),
    Form(Box<Form>),
}

/// What a value can be made from.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Form {
    /// Another signal's value.
    Signal(String),
    Sum(Vec<Term>),
    Product(Vec<Term>),
    /// First minus second.
    Difference([Term; 2]),
    /// First by second.
    Ratio([Term; 2]),
    /// Value, lower bound, upper bound.
    Clamp([Term; 3]),
    Sine(Sine),
    Day(Day),
    Wander(Wander),
    Pulse(Pulse),
    Integral(IntegralForm),
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sine {
    mean: f64,
    amplitude: f64,
    period: Seconds,
    /// Where in its period it begins, 0 to 1.
    #[serde(default)]
    phase: f64,
}

/// A bell-shaped day: 0 before dawn and after dusk.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Day {
    peak: f64,
    dawn: TimeOfDay,
    dusk: TimeOfDay,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wander {
    mean: f64,
    spread: f64,
    every: Seconds,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pulse {
    high: f64,
    #[serde(default)]
    low: f64,
    every: Seconds,
    lasts: Seconds,
    #[serde(default)]
    after: Seconds,
}

/// Adds up `of` × `times` over time, per `per`: a power in W becomes kWh with `times = 0.001, per = "1h"`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct IntegralForm {
    of: Term,
    start: f64,
    #[serde(default = "one")]
    times: f64,
    #[serde(default = "hour")]
    per: Seconds,
    min: Option<f64>,
    max: Option<f64>,
}

fn one() -> f64 {
    1.0
}

fn hour() -> Seconds {
    Seconds(3600.0)
}

/// A length of time, written as `"90s"`, `"20ms"`, `"5m"` or `"24h"`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Seconds(pub(crate) f64);

impl Seconds {
    fn parse(text: &str) -> Option<Self> {
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let factor = match &text[digits.len()..] {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        let number: f64 = digits.parse().ok()?;
        (0.0..=1e6).contains(&number).then_some(Seconds(number * factor))
    }
}

/// A time of the simulated day in seconds, written as `"06:30"`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct TimeOfDay(pub(crate) f64);

impl TimeOfDay {
    fn parse(text: &str) -> Option<Self> {
        let (hours, minutes) = text.split_once(':')?;
        let (hours, minutes): (u8, u8) = (hours.parse().ok()?, minutes.parse().ok()?);
        let seconds = f64::from(hours) * 3600.0 + f64::from(minutes) * 60.0;
        (hours <= 24 && minutes < 60 && seconds <= 86_400.0).then_some(TimeOfDay(seconds))
    }
}

macro_rules! from_text {
    ($type:ty, $expected:literal) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: de::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = String::deserialize(from)?;
                Self::parse(&text)
                    .ok_or_else(|| de::Error::custom(format!(concat!("`{}` is not ", $expected), text)))
            }
        }
    };
}
from_text!(
    Seconds,
    "a length of time; write it as \"90s\", \"20ms\", \"5m\" or \"24h\""
);
from_text!(TimeOfDay, "a time of day; write it as \"06:30\"");

impl<'de> Deserialize<'de> for Term {
    fn deserialize<D: de::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct TermVisitor;
        impl<'de> Visitor<'de> for TermVisitor {
            type Value = Term;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, the name of a signal, or a form such as { sum = [..] }")
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Term, E> {
                Ok(Term::Number(number as f64))
            }
            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Term, E> {
                Ok(Term::Number(number))
            }
            fn visit_str<E: de::Error>(self, name: &str) -> Result<Term, E> {
                Ok(Term::Signal(name.to_owned()))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Term, A::Error> {
                Form::deserialize(MapAccessDeserializer::new(map)).map(|form| Term::Form(Box::new(form)))
            }
        }
        from.deserialize_any(TermVisitor)
    }
}

/// Turns forms into nodes; collects what accumulates.
#[derive(Debug, Default)]
pub(crate) struct Compiler {
    names: BTreeMap<String, usize>,
    pub(crate) integrals: Vec<Integral>,
    salt: u64,
}

impl Compiler {
    pub(crate) fn new(names: impl IntoIterator<Item = String>) -> Self {
        let names = names
            .into_iter()
            .enumerate()
            .map(|(place, name)| (name, place))
            .collect();
        Compiler {
            names,
            ..Compiler::default()
        }
    }

    /// A term as a node; an error names the signal that does not exist.
    pub(crate) fn term(&mut self, term: &Term) -> Result<Node, String> {
        match term {
            Term::Number(number) => Ok(Node::Constant(*number)),
            Term::Signal(name) => self.signal(name),
            Term::Form(form) => self.form(form),
        }
    }

    fn signal(&self, name: &str) -> Result<Node, String> {
        let place = self.names.get(name);
        place
            .map(|&place| Node::Signal(place))
            .ok_or_else(|| format!("there is no signal `{name}`; define it in [signals], or write a number"))
    }

    fn terms(&mut self, terms: &[Term]) -> Result<Box<[Node]>, String> {
        terms.iter().map(|term| self.term(term)).collect()
    }

    /// A form as a node.
    pub(crate) fn form(&mut self, form: &Form) -> Result<Node, String> {
        Ok(match form {
            Form::Signal(name) => self.signal(name)?,
            Form::Sum(terms) => Node::Sum(self.terms(terms)?),
            Form::Product(factors) => Node::Product(self.terms(factors)?),
            Form::Difference([a, b]) => Node::Difference(Box::new((self.term(a)?, self.term(b)?))),
            Form::Ratio([a, b]) => Node::Ratio(Box::new((self.term(a)?, self.term(b)?))),
            Form::Clamp([value, low, high]) => {
                Node::Clamp(Box::new((self.term(value)?, self.term(low)?, self.term(high)?)))
            }
            Form::Sine(Sine {
                mean,
                amplitude,
                period,
                phase,
            }) => {
                let period = positive("period", *period)?;
                Node::Sine {
                    mean: *mean,
                    amplitude: *amplitude,
                    period,
                    phase: *phase,
                }
            }
            Form::Day(Day { peak, dawn, dusk }) => {
                if dawn.0 >= dusk.0 {
                    return Err("dawn must come before dusk".to_owned());
                }
                Node::Day {
                    peak: *peak,
                    dawn: dawn.0,
                    dusk: dusk.0,
                }
            }
            Form::Wander(Wander { mean, spread, every }) => {
                self.salt += 1;
                let salt = mix(self.salt);
                Node::Wander {
                    mean: *mean,
                    spread: *spread,
                    every: positive("every", *every)?,
                    salt,
                }
            }
            Form::Pulse(Pulse {
                high,
                low,
                every,
                lasts,
                after,
            }) => Node::Pulse {
                low: *low,
                high: *high,
                every: positive("every", *every)?,
                lasts: lasts.0,
                after: after.0,
            },
            Form::Integral(integral) => {
                let of = self.term(&integral.of)?;
                self.integrals.push(Integral {
                    of,
                    rate: integral.times / positive("per", integral.per)?,
                    start: integral.start,
                    min: integral.min.unwrap_or(f64::NEG_INFINITY),
                    max: integral.max.unwrap_or(f64::INFINITY),
                });
                Node::State(self.integrals.len() - 1)
            }
        })
    }
}

fn positive(key: &str, seconds: Seconds) -> Result<f64, String> {
    if seconds.0 > 0.0 {
        Ok(seconds.0)
    } else {
        Err(format!("`{key}` must be longer than 0"))
    }
}

/// Places of the signals, each behind what it needs; an error is the place of one that needs itself. What
/// accumulates is known from the tick before, so it may close a circle.
pub(crate) fn order(signals: &[Node]) -> Result<Vec<usize>, usize> {
    #[derive(Clone, Copy, PartialEq)]
    enum Mark {
        New,
        Open,
        Done,
    }
    fn visit(
        place: usize,
        signals: &[Node],
        marks: &mut [Mark],
        order: &mut Vec<usize>,
    ) -> Result<(), usize> {
        match marks[place] {
            Mark::Done => return Ok(()),
            Mark::Open => return Err(place),
            Mark::New => marks[place] = Mark::Open,
        }
        let mut needed = Vec::new();
        needs(&signals[place], &mut needed);
        for other in needed {
            visit(other, signals, marks, order)?;
        }
        marks[place] = Mark::Done;
        order.push(place);
        Ok(())
    }
    let mut marks = vec![Mark::New; signals.len()];
    let mut order = Vec::with_capacity(signals.len());
    for place in 0..signals.len() {
        visit(place, signals, &mut marks, &mut order)?;
    }
    Ok(order)
}

fn needs(node: &Node, found: &mut Vec<usize>) {
    match node {
        Node::Signal(place) => found.push(*place),
        Node::Sum(all) | Node::Product(all) => all.iter().for_each(|node| needs(node, found)),
        Node::Difference(pair) | Node::Ratio(pair) => {
            needs(&pair.0, found);
            needs(&pair.1, found);
        }
        Node::Clamp(triple) => {
            needs(&triple.0, found);
            needs(&triple.1, found);
            needs(&triple.2, found);
        }
        Node::Constant(_)
        | Node::State(_)
        | Node::Sine { .. }
        | Node::Day { .. }
        | Node::Wander { .. }
        | Node::Pulse { .. } => {}
    }
}
