//! What a plugin asked a simulated device, held against what the ledger says of it. Pure.

use std::collections::BTreeSet;
use std::fmt::Write;

use busbar_ledger::model::{IdentifyProbe, ProbeValue};
use busbar_ledger::span::{Function, Span};
use busbar_plugin_sdk::{Conversation, Found, Outcome, Probe};

use crate::discover::Identity;

/// Reads, and words of each, that are shown; the rest is counted.
const SHOWN: usize = 4;

/// Why a device was not recognised, as far as that can be seen from outside: what the plugin read of its unit, and what
/// `[identify]` looks at there. `place` is the entry of `equals` that the device gives.
pub(super) fn unrecognised(talk: &Conversation, unit: u8, probe: &IdentifyProbe, place: usize) -> String {
    let ask = talk.ask();
    let reads: Vec<(Probe, Outcome<'_>)> = ask.outcomes().filter(|(read, _)| read.unit == unit).collect();
    let looks = format!(
        "[identify] looks at {}: {}",
        span(probe.span),
        wanted(probe, place)
    );
    if reads.is_empty() {
        let asked: BTreeSet<u8> = talk.evidence.iter().map(|one| one.probe.unit).collect();
        let asked: Vec<String> = asked.iter().take(SHOWN).map(u8::to_string).collect();
        let asked = match asked.len() {
            0 => "it asked none".to_owned(),
            _ => format!("it asked {}", asked.join(", ")),
        };
        return format!(
            "the plugin did not ask unit {unit}, the first of `units` in the ledger ({asked}); {looks} of unit {unit}"
        );
    }
    let mut told: Vec<String> = Vec::new();
    for (read, outcome) in &reads {
        let one = format!("{}: {}", read_text(*read), outcome_text(outcome));
        if !told.contains(&one) {
            told.push(one);
        }
    }
    let more = match told.len().saturating_sub(SHOWN) {
        0 => String::new(),
        n => format!(" and {n} more"),
    };
    told.truncate(SHOWN);
    format!(
        "of unit {unit} the plugin read {}{more}; {looks}. {}",
        told.join(", "),
        advice(&reads, probe.span)
    )
}

/// What is most likely wrong.
fn advice(reads: &[(Probe, Outcome<'_>)], looks: Span) -> String {
    let covers = |read: &Probe| {
        let (first, end) = (u32::from(read.at), u32::from(read.at) + u32::from(read.count));
        first <= looks.at.into() && looks.end() <= end
    };
    let code = looks.function.code();
    let same = |read: &Probe| read.function == code && covers(read);
    if reads
        .iter()
        .any(|(read, outcome)| same(read) && matches!(outcome, Outcome::Words(_)))
    {
        return "It was given what [identify] wants, and did not take it: one of the two has a wrong value"
            .to_owned();
    }
    if reads.iter().any(|(read, _)| same(read)) {
        return "A simulated device answers only what its ledger describes: read less at once, or describe the rest, too"
            .to_owned();
    }
    let other = reads.iter().find(|(read, _)| covers(read));
    match other {
        Some((read, _)) => format!(
            "The plugin asks by function {}, [identify] by function {code}: one of the two is wrong (`function` in \
             [read] of the ledger)",
            read.function
        ),
        None => {
            "The plugin reads other addresses than [identify] looks at: one of the two is wrong".to_owned()
        }
    }
}

/// Where what the plugin says of a device differs from what `[identify]` of its ledger yields of the same one, and what
/// follows from that.
pub(super) fn differences(found: &Found, told: &Identity) -> Vec<String> {
    let fields = [
        (
            "model",
            &found.model,
            &told.model,
            "points that are of some `models` only go by what the plugin says; spell it as [identify] does",
        ),
        (
            "serial",
            &found.serial,
            &told.serial,
            "while the host polls it compares the two, takes the device for another one, and holds its values back",
        ),
        (
            "firmware",
            &found.firmware,
            &told.firmware,
            "`since` of points is compared with what the plugin says, in the format of [identify], and `busbar read` \
             shows what [identify] says",
        ),
    ];
    let mut notes = Vec::new();
    for (what, plugin, ledger, follows) in fields {
        let plugin = plugin.as_deref().filter(|text| !text.is_empty());
        let ledger = ledger.as_deref().filter(|text| !text.is_empty());
        let (Some(plugin), Some(ledger)) = (plugin, ledger) else {
            continue;
        };
        if plugin.trim() != ledger.trim() {
            notes.push(format!(
                "{what} of {} is {plugin:?} by the plugin and {ledger:?} by [identify]: {follows}",
                found.id
            ));
        }
    }
    notes
}

/// Why a device that was found is of no use.
pub(super) fn unread(found: &Found, first: Option<Span>, refused: Option<u8>) -> String {
    let what = match (first, refused) {
        (Some(at), Some(code)) => format!("{} and the others: exception {code}", span(at)),
        (Some(at), None) => format!("{} and the others: no answer", span(at)),
        (None, _) => "the ledger has no register".to_owned(),
    };
    format!(
        "it finds {} at unit {}, but none of its points could be read there by the ledger {} ({what}): look at the unit, \
         and at `function` and the addresses of the ledger",
        found.id, found.unit, found.ledger
    )
}

fn span(span: Span) -> String {
    place(span.function.code(), span.at, span.count)
}

fn read_text(probe: Probe) -> String {
    place(probe.function, probe.at, probe.count)
}

fn place(code: u8, at: u16, count: u16) -> String {
    let name = Function::from_code(code).map_or("unknown", Function::name);
    let unit = match (code, count) {
        (1 | 2, 1) => "bit",
        (1 | 2, _) => "bits",
        (_, 1) => "register",
        _ => "registers",
    };
    format!("function {code} ({name}), address {at} ({at:#06X}), {count} {unit}")
}

fn outcome_text(outcome: &Outcome<'_>) -> String {
    match outcome {
        Outcome::Words(words) => {
            let mut text = String::new();
            for (i, word) in words.iter().take(SHOWN).enumerate() {
                // Writing to a string cannot fail.
                let _ = write!(text, "{}{word:#06X}", if i > 0 { " " } else { "" });
            }
            if words.len() > SHOWN {
                text.push_str(" …");
            }
            text
        }
        Outcome::Exception(code) => format!("exception {code}"),
        Outcome::Silent => "no answer".to_owned(),
        Outcome::Broken => "no valid answer".to_owned(),
    }
}

/// What the device answers there.
fn wanted(probe: &IdentifyProbe, place: usize) -> String {
    match (probe.equals.get(place), probe.starts_with.first()) {
        (Some((ProbeValue::Integer(number), _)), _) => {
            let width = 4 * usize::from(probe.span.count) + 2;
            format!("{number} ({number:#0width$X})")
        }
        (Some((ProbeValue::Text(text), _)), _) => format!("the text {text:?}"),
        (None, Some(start)) => format!("a text that begins with {start:?}"),
        (None, None) => "whatever answers".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use busbar_ledger::model::{Order, ValueType};
    use busbar_plugin_sdk::Mode;

    use super::*;

    fn probe() -> IdentifyProbe {
        IdentifyProbe {
            span: Span {
                function: Function::Input,
                at: 0x100,
                count: 2,
            },
            ty: ValueType::U32,
            order: Order::Abcd,
            equals: vec![(ProbeValue::Integer(0x4858_0002), "HX-2".to_owned())],
            starts_with: Vec::new(),
        }
    }

    fn said(unit: u8, function: u8, at: u16, outcome: Outcome<'_>) -> String {
        let mut talk = Conversation::new(Mode::Quick, Vec::new());
        let probe = Probe {
            unit,
            function,
            at,
            count: 4,
        };
        talk.record(probe, outcome);
        unrecognised(&talk, 1, &super::tests::probe(), 0)
    }

    #[test]
    fn what_is_wrong_is_told_by_comparing() {
        let text = said(1, 3, 0x100, Outcome::Exception(2));
        for part in [
            "function 3 (holding), address 256 (0x0100), 4 registers: exception 2",
            "function 4 (input), address 256 (0x0100), 2 registers: 1213726722 (0x48580002)",
            "by function 3, [identify] by function 4",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let words = [0x4858, 2, 0, 0];
        assert!(said(1, 4, 0x100, Outcome::Words(&words)).contains("did not take it"));
        assert!(said(1, 4, 0x100, Outcome::Exception(2)).contains("read less at once"));
        assert!(said(1, 4, 0x200, Outcome::Exception(2)).contains("other addresses"));
        let elsewhere = said(5, 4, 0x100, Outcome::Silent);
        assert!(
            elsewhere.contains("did not ask unit 1") && elsewhere.contains("it asked 5"),
            "{elsewhere}"
        );
    }

    #[test]
    fn only_what_both_say_is_compared() {
        let found = Found {
            id: "hx_1".to_owned(),
            model: Some("HX-2".to_owned()),
            serial: Some("A1 ".to_owned()),
            firmware: Some("2.7".to_owned()),
            ..Found::default()
        };
        let mut told = Identity {
            model: Some("HX-2".to_owned()),
            serial: Some("A1".to_owned()),
            firmware: None,
        };
        assert_eq!(differences(&found, &told), Vec::<String>::new());
        told.firmware = Some("519".to_owned());
        told.serial = Some("A2".to_owned());
        let notes = differences(&found, &told);
        assert_eq!(notes.len(), 2, "{notes:?}");
        assert!(
            notes[0].contains("\"A1 \"") && notes[0].contains("holds its values back"),
            "{notes:?}"
        );
        assert!(
            notes[1].contains("\"2.7\"") && notes[1].contains("\"519\""),
            "{notes:?}"
        );
    }
}
