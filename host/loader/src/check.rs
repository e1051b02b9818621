//! What came from a worker is believed only where it keeps within bounds: the process may be in a plugin's hands.

use std::fmt::Display;

use busbar_plugin_sdk::abi::MAX_PROBES;
use busbar_plugin_sdk::{Forecast, Found, Heard, Probe, Step, Telegram, Verdict};

use crate::Described;

/// The longest text that people read, in bytes.
const MAX_LINE: usize = 1024;
/// The longest id or file name.
const MAX_NAME: usize = 128;
/// How many devices one verdict may name.
pub(crate) const MAX_DEVICES: usize = 4096;
/// How many telegrams one call may tell of.
pub(crate) const MAX_TELEGRAMS: usize = 1024;
/// How many lines a telegram may have; one of a meter has about 40.
pub(crate) const MAX_LINES: usize = 2048;
/// The longest line of a telegram, in bytes: the longest telegram.
const MAX_TELEGRAM_LINE: usize = 16 * 1024;
/// Ten times what a scan of every service at every unit takes.
const MAX_FORECAST: u32 = 100_000;
/// How many ledgers one plugin may bring.
pub(crate) const MAX_LEDGERS: usize = 1024;
/// The longest ledger, in bytes: twenty times the longest that is known.
const MAX_LEDGER: usize = 1024 * 1024;

fn fits(what: &str, text: &str, limit: usize) -> Result<(), String> {
    if text.len() > limit {
        Err(format!(
            "its {what} has {} bytes; at most {limit} fit",
            text.len()
        ))
    } else {
        Ok(())
    }
}

fn count(what: impl Display, count: usize, limit: usize) -> Result<(), String> {
    if count > limit {
        Err(format!("it gives {count} {what}; at most {limit} are taken"))
    } else {
        Ok(())
    }
}

/// Checks a description.
pub(crate) fn described(described: &Described) -> Result<(), String> {
    fits("title", &described.title, MAX_LINE)?;
    fits("summary", &described.summary, MAX_LINE)?;
    fits("licence", &described.licence, MAX_LINE)?;
    count("ledgers", described.ledgers.len(), MAX_LEDGERS)?;
    for ledger in &described.ledgers {
        fits("ledger's file name", &ledger.file, MAX_NAME)?;
        let plain = ledger
            .file
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte));
        // Names without an empty part and without one that leads out of its folder.
        let inside = ledger
            .file
            .split('/')
            .all(|part| !part.is_empty() && part != "." && part != "..");
        if !plain || !inside {
            return Err(format!(
                "the ledger file name {:?} is not made of names of letters, digits and . _ - with / between",
                ledger.file
            ));
        }
        fits("ledger", &ledger.text, MAX_LEDGER)?;
    }
    Ok(())
}

/// Checks a step of a discovery.
pub(crate) fn step(step: &Step) -> Result<(), String> {
    count("probes", step.probes.len(), MAX_PROBES)?;
    if step.probes.is_empty() && step.verdict.is_none() {
        return Err(
            "it neither probes nor decides: a step without probes is the last and has a verdict, be it an empty one \
             (`verdict: Some(Verdict::default())`; in C, put BUSBAR_TAG_NOTE with \"\" into the sink)"
                .into(),
        );
    }
    step.probes.iter().try_for_each(probe)?;
    let Some(verdict) = &step.verdict else {
        return Ok(());
    };
    told(verdict)?;
    verdict.devices.iter().try_for_each(id)
}

fn told(verdict: &Verdict) -> Result<(), String> {
    fits("note", &verdict.note, MAX_LINE)?;
    count("devices", verdict.devices.len(), MAX_DEVICES)?;
    verdict.devices.iter().try_for_each(device)
}

/// Checks the devices of a telegram. One that does not say who it is has an empty id.
pub(crate) fn speakers(verdict: &Verdict) -> Result<(), String> {
    told(verdict)?;
    let mut named = verdict.devices.iter().filter(|device| !device.id.is_empty());
    named.try_for_each(id)
}

/// Checks what was heard in so many bytes.
pub(crate) fn heard(heard: &Heard, bytes: usize) -> Result<(), String> {
    if heard.consumed > bytes {
        return Err(format!(
            "it consumed {} bytes where there were {bytes}",
            heard.consumed
        ));
    }
    count("telegrams", heard.telegrams.len(), MAX_TELEGRAMS)?;
    if heard.consumed == 0 && !heard.telegrams.is_empty() {
        return Err("it gives telegrams, but consumed nothing: it would hear them again and again".into());
    }
    fits("note", heard.note.as_deref().unwrap_or_default(), MAX_LINE)?;
    heard.telegrams.iter().try_for_each(telegram)
}

fn telegram(telegram: &Telegram) -> Result<(), String> {
    fits("telegram's variant", &telegram.variant, MAX_NAME)?;
    fits("telegram's identification", &telegram.ident, MAX_LINE)?;
    count("lines", telegram.lines.len(), MAX_LINES)?;
    for line in &telegram.lines {
        fits("telegram's line", line, MAX_TELEGRAM_LINE)?;
        if line.contains(char::is_control) {
            return Err(format!("a telegram's line holds a control character: {line:?}"));
        }
    }
    Ok(())
}

/// A forecast is shown, and reckoned with: numbers that nothing could come near are made smaller.
pub(crate) fn modest(forecast: &mut Forecast) {
    let Forecast {
        remaining,
        expected_exceptions,
        possible,
    } = forecast;
    for number in [remaining, expected_exceptions, possible] {
        *number = (*number).min(MAX_FORECAST);
    }
}

fn probe(probe: &Probe) -> Result<(), String> {
    let most = match probe.function {
        1 | 2 => 2000,
        3 | 4 => 125,
        other => return Err(format!("it probes with function {other}; only 1 to 4 read")),
    };
    let Probe { at, count, .. } = *probe;
    if count == 0 || count > most || u32::from(at) + u32::from(count) > 65_536 {
        return Err(format!(
            "it probes {count} from {at}; 1 to {most} within 65536 can be read"
        ));
    }
    Ok(())
}

fn device(device: &Found) -> Result<(), String> {
    fits("device's ledger", &device.ledger, MAX_NAME)?;
    fits("device id", &device.id, MAX_NAME)?;
    if let Some(text) = &device.ledger_text {
        fits("device's own ledger", text, MAX_LEDGER)?;
    }
    for text in [&device.name, &device.model, &device.serial, &device.firmware]
        .into_iter()
        .flatten()
    {
        fits("text about a device", text, MAX_LINE)?;
    }
    Ok(())
}

fn id(device: &Found) -> Result<(), String> {
    if device.id.is_empty()
        || !device
            .id
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
    {
        return Err(format!(
            "the device id {:?} is not made of a-z, 0-9 and _",
            device.id
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(function: u8, at: u16, count: u16) -> Result<(), String> {
        step(&Step {
            probes: vec![Probe {
                unit: 1,
                function,
                at,
                count,
            }],
            ..Step::default()
        })
    }

    #[test]
    fn a_probe_only_reads_what_can_be_read() {
        assert_eq!(asks(3, 65_535, 1), Ok(()));
        assert_eq!(asks(1, 0, 2000), Ok(()));
        assert!(asks(3, 65_535, 2).is_err());
        assert!(asks(3, 0, 0).is_err());
        assert!(asks(3, 0, 126).is_err());
        assert!(asks(6, 0, 1).unwrap_err().contains("function 6"));
    }

    #[test]
    fn a_step_goes_on_or_decides() {
        assert!(step(&Step::default()).is_err());
        assert_eq!(step(&Step::nothing()), Ok(()));
        let device = Found {
            id: "A b".into(),
            ..Found::default()
        };
        let verdict = Verdict {
            devices: vec![device],
            ..Verdict::default()
        };
        assert!(
            step(&Step {
                verdict: Some(verdict),
                ..Step::default()
            })
            .is_err()
        );
    }

    #[test]
    fn only_a_speaker_may_leave_its_id_to_the_host() {
        let verdict = Verdict {
            devices: vec![Found::default()],
            ..Verdict::default()
        };
        assert_eq!(speakers(&verdict), Ok(()));
        let mut odd = verdict.clone();
        odd.devices[0].id = "A b".into();
        assert!(speakers(&odd).unwrap_err().contains("A b"));
        let discovered = Step {
            verdict: Some(verdict),
            ..Step::default()
        };
        assert!(step(&discovered).is_err());
    }

    #[test]
    fn what_is_heard_lies_in_what_was_said() {
        let said = |consumed, line: &str| {
            let telegram = Telegram {
                lines: vec![line.into()],
                ..Telegram::default()
            };
            let all = Heard {
                consumed,
                telegrams: vec![telegram],
                ..Heard::default()
            };
            heard(&all, 10)
        };
        assert_eq!(said(10, "1-0:1.7.0(1*kW)"), Ok(()));
        assert!(said(11, "").unwrap_err().contains("consumed 11"));
        assert!(said(0, "").unwrap_err().contains("consumed nothing"));
        assert!(said(1, "a\nb").unwrap_err().contains("control"));
        assert!(said(1, &"a".repeat(MAX_TELEGRAM_LINE + 1)).is_err());
    }
}
