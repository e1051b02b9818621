//! A GX as a function: which probe gets which answer. Its registers are the vendor's list, its unit map the one of the
//! data files; it shares no code with the plugin.

use std::collections::{BTreeMap, BTreeSet};

use busbar_plugin_sdk::{Conversation, Mode, Outcome, Plugin, Probe, Step};
use busbar_plugin_victron_gx::VictronGx;

const FACTS: &str = include_str!("../../../../ledgers/victron/gx-facts.csv");

/// A service at a unit.
pub(crate) type Pair = (u8, &'static str);

/// A simulated GX.
#[derive(Default)]
pub(crate) struct Gx {
    pub(crate) registers: BTreeMap<u16, &'static str>,
    pub(crate) pairs: BTreeSet<Pair>,
    pub(crate) serial: &'static str,
    pub(crate) firmware: [u16; 2],
    pub(crate) silent: BTreeSet<u8>,
    /// Probes, by their number, that get no answer although the unit is there.
    pub(crate) lost: BTreeSet<usize>,
}

/// Every service of the vendor's list.
pub(crate) fn services() -> BTreeSet<&'static str> {
    facts().map(|(_, _, service)| service).collect()
}

fn facts() -> impl Iterator<Item = (u16, u16, &'static str)> {
    FACTS.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let fields: Vec<&str> = line.split(',').collect();
        let words = match fields[3] {
            "int32" | "uint32" => 2,
            "uint64" => 4,
            kind => kind
                .split_once('[')
                .map_or(1, |(_, count)| count.trim_end_matches(']').parse().unwrap()),
        };
        (fields[2].parse().unwrap(), words, fields[0])
    })
}

impl Gx {
    pub(crate) fn new(pairs: impl IntoIterator<Item = Pair>) -> Gx {
        let gx_itself = ["system", "settings", "hub4", "platform"].map(|service| (100, service));
        Gx {
            registers: facts()
                .flat_map(|(at, words, service)| (at..at + words).map(move |at| (at, service)))
                .collect(),
            pairs: pairs.into_iter().chain(gx_itself).collect(),
            serial: "d41243b9f0aa",
            firmware: [0x0365, 0],
            ..Gx::default()
        }
    }

    /// Firmware that lacks registers.
    pub(crate) fn without(mut self, addresses: impl IntoIterator<Item = u16>) -> Gx {
        for at in addresses {
            self.registers.remove(&at);
        }
        self
    }

    fn answer(&self, probe: Probe) -> Result<Vec<u16>, u8> {
        let span = probe.at..probe.at + probe.count;
        let service = self.registers.get(&probe.at).ok_or(2)?;
        if !self.pairs.contains(&(probe.unit, *service)) {
            return Err(10);
        }
        if span.clone().any(|at| self.registers.get(&at) != Some(service)) {
            return Err(2);
        }
        Ok(span.map(|at| self.word(at)).collect())
    }

    fn word(&self, at: u16) -> u16 {
        let byte = |index: u16| {
            self.serial
                .as_bytes()
                .get(usize::from(index))
                .copied()
                .unwrap_or(0)
        };
        match at {
            800..=805 => u16::from_be_bytes([byte(2 * (at - 800)), byte(2 * (at - 800) + 1)]),
            834 | 835 => self.firmware[usize::from(at - 834)],
            _ => 0,
        }
    }
}

/// What came of a scan.
pub(crate) struct Scan {
    pub(crate) talk: Conversation,
    pub(crate) steps: Vec<Step>,
    pub(crate) exceptions: usize,
}

impl Scan {
    pub(crate) fn probes(&self) -> usize {
        self.talk.evidence.len()
    }

    pub(crate) fn rounds(&self) -> usize {
        self.steps.len() - 1
    }

    pub(crate) fn last(&self) -> &Step {
        self.steps.last().unwrap()
    }

    pub(crate) fn note(&self) -> &str {
        &self.last().verdict.as_ref().unwrap().note
    }

    pub(crate) fn found(&self) -> BTreeSet<Pair> {
        let all = services();
        let devices = &self.last().verdict.as_ref().unwrap().devices;
        devices
            .iter()
            .map(|found| {
                let service = found.ledger.strip_prefix("victron/gx-").unwrap();
                (found.unit, *all.get(service).unwrap())
            })
            .collect()
    }

    /// How long it takes with so many requests under way at once, in round trips: a batch is run to its end before the
    /// next one is asked for.
    pub(crate) fn round_trips(&self, in_flight: usize) -> usize {
        self.steps
            .iter()
            .map(|step| step.probes.len().div_ceil(in_flight))
            .sum()
    }
}

/// Holds the whole conversation. `answer` plays the device.
pub(crate) fn converse(
    mode: Mode,
    units: &[u8],
    mut answer: impl FnMut(usize, Probe) -> Result<Vec<u16>, Option<u8>>,
) -> Scan {
    let mut scan = Scan {
        talk: Conversation::new(mode, units.to_vec()),
        steps: Vec::new(),
        exceptions: 0,
    };
    loop {
        let step = VictronGx.discover(&scan.talk.ask());
        for &probe in &step.probes {
            match answer(scan.talk.evidence.len(), probe) {
                Ok(words) => scan.talk.record(probe, Outcome::Words(&words)),
                Err(Some(code)) => {
                    scan.exceptions += 1;
                    scan.talk.record(probe, Outcome::Exception(code));
                }
                Err(None) => scan.talk.record(probe, Outcome::Silent),
            }
        }
        let over = step.probes.is_empty();
        scan.steps.push(step);
        if over {
            return scan;
        }
        assert!(scan.steps.len() < 100, "the conversation does not end");
    }
}

/// Scans a simulated GX.
pub(crate) fn scan(gx: &Gx, mode: Mode, units: &[u8]) -> Scan {
    converse(mode, units, |number, probe| {
        if gx.silent.contains(&probe.unit) || gx.lost.contains(&number) {
            return Err(None);
        }
        gx.answer(probe).map_err(Some)
    })
}
