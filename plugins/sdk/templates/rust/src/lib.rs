//! Finds my-meter meters: they say what they are in their first register.
//!
//! Change `ledgers/my-meter/meter.toml` into what your device has, and this file into how it is recognised.
#![forbid(unsafe_code)]

use busbar_plugin_sdk::{
    Ask, Description, Forecast, Found, Mode, Outcome, Plugin, Probe, Step, Verdict,
};

#[cfg(test)]
mod tests;

/// The name of the ledger that describes the meter: it stands in the ledger's first line, too, and its file is called so.
macro_rules! ledger {
    () => {
        "my-meter/meter"
    };
}
const LEDGER: &str = ledger!();
const LEDGER_FILE: &str = concat!(ledger!(), ".toml");
const LEDGER_TEXT: &str = include_str!(concat!("../ledgers/", ledger!(), ".toml"));

/// The units that the maker uses, likeliest first.
const UNITS: [u8; 3] = [1, 2, 3];
/// One read of a unit tells all: here ten holding registers from 0 on, with the signature at 0, the serial number at 1 to
/// 8, and the firmware at 9. `judge` takes them apart.
const FUNCTION: u8 = 3;
const AT: u16 = 0;
const COUNT: u16 = 10;
/// What the first of them holds in every such meter.
const SIGNATURE: u16 = 0x4D31;

/// Finds the meters; made anew for each call, so that it keeps nothing.
#[derive(Default)]
pub struct Meters;

impl Plugin for Meters {
    const NAME: &'static str = "my-meter";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");

    fn describe(&self) -> Description {
        Description {
            title: "My meters",
            summary: "Recognises the meter by the signature in its first register",
            licence: env!("CARGO_PKG_LICENSE"),
            ledgers: vec![(LEDGER_FILE, LEDGER_TEXT)],
            discovers: true,
            ..Description::default()
        }
    }

    fn discover(&self, ask: &Ask<'_>) -> Step {
        // The conversation begins: what is to be read?
        if ask.evidence.is_empty() {
            return question(ask);
        }
        // It goes on with what became of the reads; here that is enough to judge.
        Step {
            verdict: Some(judge(ask)),
            ..Step::default()
        }
    }
}

/// The read of each unit that the scan is to look at.
fn question(ask: &Ask<'_>) -> Step {
    let units: Vec<u8> = match ask.mode {
        Mode::Quick => UNITS.to_vec(),
        Mode::Full => UNITS.into_iter().chain(others()).collect(),
        Mode::Listed => ask.units.to_vec(),
    };
    let probes: Vec<Probe> = units
        .into_iter()
        .map(|unit| Probe {
            unit,
            function: FUNCTION,
            at: AT,
            count: COUNT,
        })
        .collect();
    if probes.is_empty() {
        return Step::nothing();
    }
    let count = probes.len() as u32;
    Step {
        probes,
        forecast: Forecast {
            remaining: count,
            expected_exceptions: 0,
            possible: count,
        },
        verdict: None,
    }
}

/// All units but those of the maker, which are asked first: a scan may be stopped once the meter is found.
fn others() -> impl Iterator<Item = u8> {
    (1..=247).filter(|unit| !UNITS.contains(unit))
}

/// The meters among those that answered.
fn judge(ask: &Ask<'_>) -> Verdict {
    let mut verdict = Verdict::default();
    for (probe, outcome) in ask.outcomes() {
        let Outcome::Words(words) = outcome else {
            continue;
        };
        if words.len() != usize::from(COUNT) || words[0] != SIGNATURE {
            continue;
        }
        let serial = text(&words[1..9]);
        if serial.is_empty() {
            // An id must be the same for ever; without a serial number there is nothing to make it of.
            verdict.note = format!(
                "the meter at unit {} does not say its serial number",
                probe.unit
            );
            continue;
        }
        verdict.devices.push(Found {
            unit: probe.unit,
            ledger: LEDGER.to_owned(),
            id: id(&serial),
            model: Some("M1".to_owned()),
            serial: Some(serial),
            firmware: Some(words[9].to_string()),
            ..Found::default()
        });
    }
    verdict
}

/// Text in registers: two characters each, up to the first zero, without blanks at its end.
fn text(words: &[u16]) -> String {
    let bytes = words.iter().flat_map(|word| word.to_be_bytes());
    let readable = |byte: u8| {
        if (0x20..0x7F).contains(&byte) {
            char::from(byte)
        } else {
            '?'
        }
    };
    let text: String = bytes.take_while(|byte| *byte != 0).map(readable).collect();
    text.trim_end().to_owned()
}

/// `my_meter_` and the serial number, in what an id is made of: a-z, 0-9 and _.
fn id(serial: &str) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_lowercase()
        } else {
            '_'
        }
    };
    format!("my_meter_{}", serial.chars().map(plain).collect::<String>())
}

busbar_plugin_sdk::export!(Meters);
