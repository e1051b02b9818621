//! What a simulated device says of itself.

use busbar_ledger::identify;
use busbar_ledger::model::{IdentityField, IdentityFormat, Ledger, ProbeValue};
use busbar_ledger::span::Span;

use crate::site::Which;
use crate::words::{self, in_order, spread};

/// A piece of what a device says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Identity<'a> {
    Serial(&'a str),
    /// In the ledger's format: `v1.09` or `0.1.9.255`, `v3.65`, `7`, or any text.
    Firmware(&'a str),
}

impl Identity<'_> {
    /// Where this lies on a device of this kind, and the registers that say it; an error is a sentence.
    pub(crate) fn words(self, ledger: &Ledger) -> Result<(Span, Vec<u16>), String> {
        let identify = ledger.identify.as_ref();
        let (what, field, text) = match self {
            Identity::Serial(text) => ("serial number", identify.and_then(|i| i.serial.as_ref()), text),
            Identity::Firmware(text) => ("firmware", identify.and_then(|i| i.firmware.as_ref()), text),
        };
        let field = field.ok_or_else(|| format!("{} does not say where its {what} lies", ledger.name))?;
        let words = field_words(field, text).ok_or_else(|| {
            format!(
                "`{text}` is no {what} of {}: write {}",
                ledger.name,
                example(field)
            )
        })?;
        Ok((field.span, words))
    }
}

/// Which answer to the ledger's probe is meant: its place in `equals`, and the model. An error is a sentence.
pub(crate) fn entry<'a>(ledger: &'a Ledger, which: &Which) -> Result<Option<(usize, &'a str)>, String> {
    let probe = ledger.identify.as_ref().and_then(|i| i.probe.as_ref());
    let equals = probe.map_or(&[][..], |probe| &probe.equals);
    let named = |place: usize| equals.get(place).map(|(_, model)| (place, model.as_str()));
    let (place, what) = match which {
        Which::First => return Ok(named(0)),
        Which::Entry(place) => (Some(*place), format!("no answer {place}")),
        Which::Named(name) => (
            equals.iter().position(|(_, model)| model == name),
            format!("no model `{name}`"),
        ),
    };
    place.and_then(named).map(Some).ok_or_else(|| {
        let mut models: Vec<&str> = equals.iter().map(|(_, model)| model.as_str()).collect();
        models.dedup();
        format!(
            "{} has {what} in [identify]; it has: {}",
            ledger.name,
            models.join(", ")
        )
    })
}

/// The words by which a ledger recognises its device, with this answer to its probe and this model; without them the first.
pub(crate) fn words(ledger: &Ledger, entry: Option<(usize, &str)>) -> Vec<(Span, Vec<u16>)> {
    let Some(identify) = &ledger.identify else {
        return Vec::new();
    };
    let mut all = Vec::new();
    if let Some(probe) = &identify.probe {
        let count = probe.span.count.into();
        let pattern = match probe.equals.get(entry.map_or(0, |(place, _)| place)) {
            Some((ProbeValue::Integer(number), _)) => spread(i128::from(*number), count),
            Some((ProbeValue::Text(text), _)) => words::text(text, count),
            None => words::text(probe.starts_with.first().map_or("", String::as_str), count),
        };
        all.push((probe.span, in_order(pattern, probe.order)));
    }
    // The first may be a word for all of them; the ledger's own is better.
    let model = match entry {
        Some((place, model)) if place > 0 => model,
        _ => ledger.model.as_str(),
    };
    let fields = [
        (&identify.serial, "SIM0001"),
        (&identify.model, model),
        (&identify.firmware, "1.0"),
    ];
    for (field, text) in fields {
        // What is no text has an example that fits.
        all.extend(field.as_ref().map(|field| {
            let words = field_words(field, text).or_else(|| field_words(field, example(field)));
            (field.span, words.unwrap_or_default())
        }));
    }
    all
}

/// What may stand in such a field; for a version, one that has everything.
fn example(field: &IdentityField) -> &'static str {
    match field.format {
        IdentityFormat::Text => "1.0",
        IdentityFormat::Number => "1",
        // Points that came with any later one are there.
        IdentityFormat::Bytes2 => "99.0",
        IdentityFormat::Bytes4 => "0.1.16.255",
        IdentityFormat::Gx => "v3.65",
    }
}

fn field_words(field: &IdentityField, text: &str) -> Option<Vec<u16>> {
    let words = identify::field_words(field, text)?;
    Some(match field.format {
        IdentityFormat::Text => in_order(words, field.order),
        _ => words,
    })
}
