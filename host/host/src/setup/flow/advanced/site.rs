//! How the site is made: the limits that hold for whatever is written. What is not said refuses.

use super::super::super::screen::{Answer, Ask, Block, Choice};
use super::super::super::work::Work;
use super::super::{Answered, Flow, Next, Page, Step, choice, key, text};
use crate::config::{BatteryValue, CustomBattery, PhasesValue, SiteConfig, VoltageValue};
use crate::registry::change::Change;

/// What stands for nothing.
const NOT_SET: &str = "none";

/// A key of `[site]`.
struct Limit {
    key: &'static str,
    label: &'static str,
    /// What it is for, and what to write.
    about: &'static str,
    /// What most people write.
    usual: &'static str,
}

const LIMITS: [Limit; 5] = [
    Limit {
        key: "ac_voltage",
        label: "Voltage of one phase",
        about: "Volts of one phase against neutral: 230 in Europe, 120 in North America. It turns amps into watts, so no \
                power can be set without it. `any` says that you do not want to say: then no power can be set either.",
        usual: "230",
    },
    Limit {
        key: "phases",
        label: "Phases",
        about: "How your house is connected: 1, 3, or `split` for the two halves of 120 V in North America.",
        usual: "3",
    },
    Limit {
        key: "ac_current",
        label: "Amps of one phase",
        about: "What your main breaker lets through on each phase, or less if you want to keep a distance. No power and no \
                current on the AC side can be set above it.",
        usual: "25",
    },
    Limit {
        key: "dc_current",
        label: "Amps of the battery side",
        about: "The most that may flow to or from the battery: what its maker allows, and its fuse. No charge current can be \
                set above it.",
        usual: "100",
    },
    Limit {
        key: "battery",
        label: "Battery",
        about: "What it is made of and how many cells are in series: lifepo4-16s, lifepo4-8s, nmc-14s, lead-24s. Of your own: \
                cells, and the lowest and highest volts of one cell, as `16 2.5 3.65`. No charge voltage can be set outside \
                of it.",
        usual: "lifepo4-16s",
    },
];

fn value(site: &SiteConfig, key: &str) -> Option<String> {
    match key {
        "ac_voltage" => site.ac_voltage.as_ref().map(|value| match value {
            VoltageValue::Volts(volts) => volts.to_string(),
            VoltageValue::Word(word) => word.clone(),
        }),
        "phases" => site.phases.as_ref().map(|value| match value {
            PhasesValue::Count(count) => count.to_string(),
            PhasesValue::Word(word) => word.clone(),
        }),
        "ac_current" => site.ac_current.map(|amps| amps.to_string()),
        "dc_current" => site.dc_current.map(|amps| amps.to_string()),
        _ => site.battery.as_ref().map(|value| match value {
            BatteryValue::Profile(name) => name.clone(),
            BatteryValue::Custom(own) => format!("{} {} {}", own.cells, own.min, own.max),
        }),
    }
}

pub(in super::super) fn page(flow: &Flow) -> Page {
    let ground = &flow.ground;
    let choices = LIMITS.iter().map(|limit| {
        let said = match (
            value(&ground.site_of_file, limit.key),
            value(&ground.site, limit.key),
        ) {
            (Some(file), _) => format!("{file} (busbar.toml says so, and wins)"),
            (None, Some(stored)) => stored,
            (None, None) => "not set: what needs it is refused".to_owned(),
        };
        Choice::new(limit.key, limit.label, said)
    });
    let mut choices: Vec<Choice> = choices.collect();
    choices.push(Choice::new("back", "Back", ""));
    Page {
        title: "The limits of your site".to_owned(),
        step: None,
        blocks: vec![Block::text(
            "They hold for every write, whatever asks for it, on top of what the maker and the device allow. What is not \
             set refuses: nothing is guessed. They matter only where you allow writing.",
        )],
        ask: choice("Which one?", choices, "back"),
        help: "If you are not sure, leave it: Busbar then only refuses what it would need it for. Your main breaker has its amps \
               printed on it; an electrician knows the rest.",
    }
}

pub(in super::super) fn answer(answer: Answer) -> Answered {
    let key = key(answer, "back")?;
    match LIMITS.iter().find(|limit| limit.key == key) {
        Some(limit) => Ok(Next::Go(Step::SiteValue(limit.key.to_owned()))),
        None if key == "back" => Ok(Next::Return),
        None => Err("Choose one of the list.".to_owned()),
    }
}

/// One limit.
pub(in super::super) fn one(flow: &Flow, key: &str) -> Page {
    let limit = LIMITS.iter().find(|limit| limit.key == key).unwrap_or(&LIMITS[0]);
    let mut blocks = vec![
        Block::text(limit.about),
        Block::text(format!("Most write {}.", limit.usual)),
    ];
    if value(&flow.ground.site_of_file, key).is_some() {
        blocks.push(Block::note("busbar.toml says it, and wins: change it there."));
    }
    Page {
        title: limit.label.to_owned(),
        step: None,
        blocks,
        ask: Ask::Text {
            prompt: limit.label.to_owned(),
            default: value(&flow.ground.site, key).unwrap_or_else(|| NOT_SET.to_owned()),
        },
        help: "`none` takes it away: then what needs it is refused. Enter leaves it as it is.",
    }
}

pub(in super::super) fn set(flow: &mut Flow, key: &str, answer: Answer) -> Answered {
    let now = value(&flow.ground.site, key).unwrap_or_else(|| NOT_SET.to_owned());
    let typed = text(answer, &now)?;
    if typed == now {
        return Ok(Next::Return);
    }
    let site = with(flow.ground.site.clone(), key, &typed)?;
    Ok(Next::Do(Work::Change {
        changes: vec![Change::Site { site }],
    }))
}

/// The site with one limit as it is typed.
fn with(mut site: SiteConfig, key: &str, typed: &str) -> Result<SiteConfig, String> {
    let typed = typed.trim().trim_matches('"');
    let none = typed.is_empty() || typed.eq_ignore_ascii_case(NOT_SET);
    let amps = || -> Result<Option<f64>, String> {
        let number = typed.trim_end_matches(['A', 'a', ' ']);
        match none {
            true => Ok(None),
            false => number
                .parse()
                .map(Some)
                .map_err(|_| format!("`{typed}` is no number of amps: write 25.")),
        }
    };
    match key {
        "ac_voltage" => {
            site.ac_voltage = (!none).then(|| match typed.trim_end_matches(['V', 'v', ' ']).parse() {
                Ok(volts) => VoltageValue::Volts(volts),
                Err(_) => VoltageValue::Word(typed.to_lowercase()),
            });
        }
        "phases" => {
            site.phases = (!none).then(|| match typed.parse() {
                Ok(count) => PhasesValue::Count(count),
                Err(_) => PhasesValue::Word(typed.to_lowercase()),
            });
        }
        "ac_current" => site.ac_current = amps()?,
        "dc_current" => site.dc_current = amps()?,
        _ => {
            let parts: Vec<&str> = typed.split([' ', ',']).filter(|part| !part.is_empty()).collect();
            site.battery = match (none, &parts[..]) {
                (true, _) => None,
                (false, [cells, min, max]) => {
                    let fault = || {
                        format!(
                            "`{typed}` is no battery: write cells, lowest and highest volts, as 16 2.5 3.65."
                        )
                    };
                    Some(BatteryValue::Custom(CustomBattery {
                        cells: cells.parse().map_err(|_| fault())?,
                        min: min.parse().map_err(|_| fault())?,
                        max: max.parse().map_err(|_| fault())?,
                    }))
                }
                _ => Some(BatteryValue::Profile(typed.to_lowercase())),
            };
        }
    }
    site.site().map(|_| site)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_typed_as_owners_say_it() {
        let mut site = SiteConfig::default();
        for (key, typed, kept) in [
            ("ac_voltage", "230 V", "230"),
            ("ac_voltage", "any", "any"),
            ("phases", "3", "3"),
            ("phases", "Split", "split"),
            ("ac_current", "25A", "25"),
            ("dc_current", "100", "100"),
            ("battery", "LiFePO4-16s", "lifepo4-16s"),
            ("battery", "16 2.5 3.65", "16 2.5 3.65"),
        ] {
            site = with(site, key, typed).unwrap();
            assert_eq!(value(&site, key).as_deref(), Some(kept), "{key} {typed}");
        }
        for limit in &LIMITS {
            site = with(site, limit.key, "none").unwrap();
        }
        assert_eq!(site, SiteConfig::default());
    }

    #[test]
    fn what_no_house_has_is_refused_with_what_to_write() {
        for (key, typed, word) in [
            ("ac_voltage", "23", "230"),
            ("phases", "2", "split"),
            ("ac_current", "much", "25"),
            ("ac_current", "0", "amps"),
            ("battery", "16 2.5", "lifepo4-16s"),
            ("battery", "16 low high", "3.65"),
        ] {
            let fault = with(SiteConfig::default(), key, typed).unwrap_err();
            assert!(fault.contains(word), "{key} {typed}: {fault}");
        }
    }

    #[test]
    fn what_is_proposed_can_be_typed() {
        for limit in &LIMITS {
            assert!(
                with(SiteConfig::default(), limit.key, limit.usual).is_ok(),
                "{}",
                limit.key
            );
        }
    }
}
