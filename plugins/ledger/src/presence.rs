//! Whether an entity really exists on a device, and how that is known.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::computed;
use crate::model::{Condition, Expression, Group, Ledger, Point, Spoken};
use crate::readings::{Facts, formula, usable};
use crate::span::Function;
use crate::value::{Reading, Value};

/// What is known of a point's existence on a device; the more is known for it, the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// The device lacks it.
    Absent,
    /// It can be read, but never said anything that a missing one would not say as well.
    Unproven,
    /// It was proven to exist.
    Present,
}

impl Status {
    /// The word of the outward contract.
    pub fn name(self) -> &'static str {
        match self {
            Status::Present => "present",
            Status::Unproven => "unproven",
            Status::Absent => "absent",
        }
    }
}

/// A status and how it is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The status.
    pub status: Status,
    /// One sentence for people: `register 808 read 412, not 0`.
    pub proof: String,
}

impl Verdict {
    fn new(status: Status, proof: String) -> Self {
        Verdict { status, proof }
    }
}

/// One verdict for each point, in the order of `ledger.points`, from the readings of a scan or a poll.
///
/// `facts.readable` is what a scan learned; without it no point is called absent for want of a register. (What
/// was learned before a unit stopped answering is not all of it: leave it out then.) `ever(key)` says whether a
/// point was proven before.
///
/// In this order: a point without a register that the device has is absent; one whose group requires what is
/// known to be false is absent; one that read a value is present (not 0 and not an empty text, where the ledger
/// says that a missing one reads 0); so is one whose group's condition holds, one that was proven before, and
/// one with a proven sibling, where the group says so. The rest is unproven.
pub fn verdicts(
    ledger: &Ledger,
    readings: &[Reading],
    facts: &Facts<'_>,
    ever: &dyn Fn(&str) -> bool,
) -> Vec<Verdict> {
    let scene = Scene {
        ledger,
        readings,
        facts,
        ever,
    };
    let mut own: Vec<Option<Verdict>> = ledger
        .points
        .iter()
        .enumerate()
        .map(|(i, point)| {
            let worked_out = formula(ledger, point, facts).is_some();
            (!worked_out).then(|| scene.measured(point, readings.get(i)))
        })
        .collect();
    let groups: BTreeMap<&str, Witness> = ledger
        .groups
        .iter()
        .map(|(name, group)| (name.as_str(), scene.witness(name, group, &own)))
        .collect();
    let mut verdicts: Vec<Verdict> = Vec::with_capacity(own.len());
    for (point, own) in ledger.points.iter().zip(&mut own) {
        let own = own.take().unwrap_or_else(|| scene.computed(point, &verdicts));
        let witness = point.group.as_deref().and_then(|name| groups.get(name));
        verdicts.push(scene.judge(point, own, witness));
    }
    verdicts
}

/// What a group says of its members.
struct Witness {
    /// Why none of them can exist.
    against: Option<String>,
    /// Why all of them exist.
    for_all: Option<String>,
    /// Why one proven member proves the others, where that is so.
    sibling: Option<String>,
}

struct Scene<'a> {
    ledger: &'a Ledger,
    readings: &'a [Reading],
    facts: &'a Facts<'a>,
    ever: &'a dyn Fn(&str) -> bool,
}

impl Scene<'_> {
    fn judge(&self, point: &Point, own: Verdict, witness: Option<&Witness>) -> Verdict {
        if own.status == Status::Absent {
            return own;
        }
        if let Some(reason) = witness.and_then(|w| w.against.as_ref()) {
            return Verdict::new(Status::Absent, reason.clone());
        }
        if own.status == Status::Present {
            return own;
        }
        let before = || (self.ever)(&point.key).then(|| "it was proven before".to_owned());
        let for_all = witness.and_then(|w| w.for_all.clone());
        match for_all
            .or_else(before)
            .or_else(|| witness.and_then(|w| w.sibling.clone()))
        {
            Some(proof) => Verdict::new(Status::Present, proof),
            None => own,
        }
    }

    /// What a measured point says for itself.
    fn measured(&self, point: &Point, reading: Option<&Reading>) -> Verdict {
        if let Some(spoken) = point.spoken() {
            return self.spoken(point, spoken);
        }
        if usable(self.ledger, point, self.facts).next().is_none() {
            return Verdict::new(Status::Absent, self.missing(point));
        }
        let function = point
            .register()
            .map_or(Function::Holding, |register| register.span.function);
        let place = |at: u16| place(function, at);
        let own_place = || {
            point
                .register()
                .map_or_else(String::new, |register| place(register.span.at))
        };
        let Some((reading, at)) = reading.and_then(|r| Some((r, r.at?))) else {
            return Verdict::new(Status::Unproven, format!("{} was not read", own_place()));
        };
        let zero_proves = !self.ledger.read.zero_is_unproven;
        match &reading.value {
            None => Verdict::new(
                Status::Unproven,
                format!("{} answered, but with no value", place(at)),
            ),
            Some(value) if zero_proves => {
                Verdict::new(Status::Present, format!("{} read {}", place(at), Shown(value)))
            }
            Some(value) if is_nothing(value) => Verdict::new(
                Status::Unproven,
                format!(
                    "{} read {}, as this device also does for what it lacks",
                    place(at),
                    Shown(value)
                ),
            ),
            Some(value @ Value::Text(_)) => Verdict::new(
                Status::Present,
                format!("{} read {}, a text", place(at), Shown(value)),
            ),
            Some(value) => Verdict::new(
                Status::Present,
                format!("{} read {}, not 0", place(at), Shown(value)),
            ),
        }
    }

    /// What the telegrams say for a point that lies in them. One line proves it, for a meter says what it has.
    fn spoken(&self, point: &Point, spoken: &Spoken) -> Verdict {
        let codes: Vec<String> = spoken.codes.iter().map(ToString::to_string).collect();
        if let Some(why) = &point.absent {
            return Verdict::new(Status::Absent, why.clone());
        }
        match self
            .facts
            .said
            .map(|said| said.line(spoken, point.unit.as_deref()))
        {
            Some(Some(line)) => Verdict::new(Status::Present, format!("the telegram has {}", line.code)),
            Some(None) => Verdict::new(
                Status::Absent,
                format!("the telegram has no {}", codes.join(" and no ")),
            ),
            None => Verdict::new(
                Status::Unproven,
                format!("no telegram with {} was heard", codes.join(" or ")),
            ),
        }
    }

    /// Why a point has no register on this device.
    fn missing(&self, point: &Point) -> String {
        if let Some(why) = &point.absent {
            return why.clone();
        }
        let firmware = match self.facts.firmware {
            Some(version) => format!("firmware {version}"),
            None => "this firmware".to_owned(),
        };
        if let Some(model) = self.facts.model
            && !point
                .registers()
                .iter()
                .any(|register| register.is_on(Some(model)))
        {
            return format!("a {model} does not have it");
        }
        let unlearned = Facts {
            readable: None,
            ..*self.facts
        };
        if let (Some(since), None) = (&point.since, usable(self.ledger, point, &unlearned).next()) {
            return format!("{firmware} is older than {since}, which brought it");
        }
        let places: Vec<String> = point
            .registers()
            .iter()
            .map(|r| place(r.span.function, r.span.at))
            .collect();
        format!("{firmware} has no {}", places.join(" and no "))
    }

    /// What a computed point is worth: as much as what it needs. Its operands stand before it.
    fn computed(&self, point: &Point, verdicts: &[Verdict]) -> Verdict {
        let Some(expression) = formula(self.ledger, point, self.facts) else {
            return Verdict::new(Status::Unproven, String::new());
        };
        let status = |key: &str| {
            let verdict = self.ledger.index.get(key).and_then(|&i| verdicts.get(i));
            verdict.map_or(Status::Unproven, |verdict| verdict.status)
        };
        match worth(expression, &status) {
            None => Verdict::new(
                Status::Unproven,
                "nothing that it is worked out from is proven".to_owned(),
            ),
            Some((Status::Present, _)) => {
                let mut keys = Vec::new();
                computed::operands(expression, &mut |key| keys.push(key));
                keys.sort_unstable();
                keys.dedup();
                Verdict::new(
                    Status::Present,
                    format!("it is worked out from {}", keys.join(", ")),
                )
            }
            Some((worst, key)) => Verdict::new(
                worst,
                format!("it is worked out from {key}, which is {}", worst.name()),
            ),
        }
    }

    fn witness(&self, name: &str, group: &Group, own: &[Option<Verdict>]) -> Witness {
        let title = group.title.as_deref().unwrap_or(name);
        let when = |condition: &Condition| {
            let value = self.answer(condition).filter(|(holds, _)| *holds)?.1;
            Some(format!(
                "{title}: {} is {}, {}",
                condition.point,
                Shown(value),
                condition.test
            ))
        };
        let requires = |condition: &Condition| {
            let value = self.answer(condition).filter(|(holds, _)| !*holds)?.1;
            Some(format!(
                "{title}: {} is {}, but would have to be {}",
                condition.point,
                Shown(value),
                condition.test
            ))
        };
        let sibling = || {
            let mut members = self
                .ledger
                .points
                .iter()
                .zip(own)
                .filter(|(p, _)| p.group.as_deref() == Some(name));
            let (point, _) = members.find(|(point, own)| {
                own.as_ref().is_some_and(|v| {
                    v.status == Status::Present || v.status == Status::Unproven && (self.ever)(&point.key)
                })
            })?;
            Some(format!(
                "{title}: {} is proven, and they come together",
                point.key
            ))
        };
        Witness {
            against: group.requires.as_ref().and_then(requires),
            for_all: group.when.as_ref().and_then(when),
            sibling: group.proven_by_sibling.then(sibling).flatten(),
        }
    }

    /// Whether a condition holds, and the value that decides; `None` when that is not known. A 0 that proves
    /// nothing decides nothing.
    fn answer(&self, condition: &Condition) -> Option<(bool, &Value)> {
        let reading = self.readings.get(*self.ledger.index.get(&condition.point)?)?;
        let value = reading.value.as_ref()?;
        if self.ledger.read.zero_is_unproven && is_nothing(value) {
            return None;
        }
        Some((computed::holds(condition, reading)?, value))
    }
}

/// The worth of an expression, and the operand that decides it; `None` for what rests on constants alone, such as
/// the first valid one of a missing point and 0.
fn worth<'a>(expression: &'a Expression, status: &impl Fn(&str) -> Status) -> Option<(Status, &'a str)> {
    let weakest = |all: &mut dyn Iterator<Item = &'a Expression>| {
        all.filter_map(|operand| worth(operand, status))
            .min_by_key(|(status, _)| *status)
    };
    match expression {
        Expression::Point(key) => Some((status(key), key)),
        Expression::Constant(_) => None,
        Expression::Sum(all) | Expression::Product(all) => weakest(&mut all.iter()),
        Expression::SumAbsProducts(products) => weakest(&mut products.iter().flatten()),
        Expression::Difference(a, b)
        | Expression::Ratio {
            over: a, under: b, ..
        } => weakest(&mut [&**a, &**b].into_iter()),
        Expression::Clamp(value, ..) | Expression::Absolute(value) | Expression::Sign(value) => {
            worth(value, status)
        }
        // As much as the best of them, which is there whatever becomes of the others.
        Expression::FirstValid(all) | Expression::SumPresent(all) => {
            let best = all
                .iter()
                .filter_map(|e| worth(e, status))
                .max_by_key(|(status, _)| *status);
            let has_constant = all.iter().any(|e| matches!(e, Expression::Constant(_)));
            best.filter(|(status, _)| *status == Status::Present || !has_constant)
        }
    }
}

/// Whether a value is what a device sends that answers 0 for everything it lacks.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Integer(n) => *n == 0,
        Value::Number(n) => *n == 0.0,
        Value::Text(text) => text.trim().is_empty(),
    }
}

/// An address as people call it.
fn place(function: Function, at: u16) -> String {
    match function {
        Function::Holding => format!("register {at}"),
        Function::Input => format!("input register {at}"),
        Function::Coils => format!("coil {at}"),
        Function::Discrete => format!("discrete input {at}"),
    }
}

/// A value in a sentence: texts in quotation marks and escaped, for they come from a device.
struct Shown<'a>(&'a Value);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::Text(text) => write!(f, "{text:?}"),
            value => value.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests;
