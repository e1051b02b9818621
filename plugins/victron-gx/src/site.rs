//! What the evidence says of a site. Made anew from all evidence at each call.

use busbar_ledger::identify::field_text;
use busbar_ledger::model::{IdentityField, IdentityFormat, Order};
use busbar_ledger::span::Span;
use busbar_plugin_sdk::{Ask, Outcome, Probe};

use crate::table::Table;
use crate::unit::{GX, UNITS};

/// The portal id of the GX, text in six registers.
pub(crate) const SERIAL: Probe = Probe {
    unit: GX,
    function: 3,
    at: 800,
    count: 6,
};
/// Version and beta of the GX's firmware. Firmware that is too old for it answers 0xFFFF or refuses.
pub(crate) const FIRMWARE: Probe = Probe {
    unit: GX,
    function: 3,
    at: 834,
    count: 2,
};
/// How often the serial is asked for, should the answer get lost: every id hangs on it.
const SERIAL_TRIES: u32 = 3;

/// Exception: the gateway has no path to that target. A GX says so of a service that a unit does not have.
const NO_SERVICE: u8 = 10;
/// Exception: the firmware does not know this address.
const NO_ADDRESS: u8 = 2;

/// What is known of a service at a unit. Sets of the service's probe addresses, one bit each.
#[derive(Clone, Copy, Default)]
struct Pair {
    asked: u8,
    present: bool,
    absent: bool,
}

/// How a pair stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// To be asked at this address.
    Open(u16),
    /// It exists.
    Present,
    /// It does not, or the firmware does not know such a service.
    Absent,
    /// Every address was asked, and no answer said anything.
    Unclear,
    /// The unit stopped answering before it was asked.
    Silent,
}

/// The evidence, laid out by service and unit.
pub(crate) struct Site<'t> {
    pub(crate) table: &'t Table,
    pairs: Vec<Pair>,
    silent: Vec<bool>,
    /// For each service, the addresses that the firmware has shown to know, and those that it has refused.
    known: Vec<u8>,
    refused: Vec<u8>,
    /// For each service, how many answers said nothing.
    unclear: Vec<u32>,
    /// The portal id, once read; empty where the GX has none.
    pub(crate) serial: Option<String>,
    serial_tries: u32,
    serial_refused: bool,
    /// The firmware's version, once read.
    pub(crate) firmware: Option<String>,
    /// How many probes were made.
    pub(crate) asked: u32,
    /// How many of them ended in an exception: so many entries in the GX's log.
    pub(crate) exceptions: u32,
    /// How many of those said "no such service", as a GX does.
    pub(crate) refusals: u32,
}

impl<'t> Site<'t> {
    /// Takes stock of all evidence. What does not concern a GX is counted and passed over.
    pub(crate) fn new(table: &'t Table, ask: &Ask<'_>) -> Site<'t> {
        let services = table.services.len();
        let mut site = Site {
            table,
            pairs: vec![Pair::default(); services * UNITS],
            silent: vec![false; UNITS],
            known: vec![0; services],
            refused: vec![0; services],
            unclear: vec![0; services],
            serial: None,
            serial_tries: 0,
            serial_refused: false,
            firmware: None,
            asked: 0,
            exceptions: 0,
            refusals: 0,
        };
        for (probe, outcome) in ask.outcomes() {
            site.note(probe, outcome);
        }
        site
    }

    fn note(&mut self, probe: Probe, outcome: Outcome<'_>) {
        self.asked = self.asked.saturating_add(1);
        if let Outcome::Exception(code) = outcome {
            self.exceptions = self.exceptions.saturating_add(1);
            self.refusals = self.refusals.saturating_add(u32::from(code == NO_SERVICE));
        }
        if outcome == Outcome::Silent {
            self.silent[usize::from(probe.unit)] = true;
        }
        self.note_identity(probe, outcome);
        let Some((service, address)) = self.table.asked_at(probe.at) else {
            return;
        };
        let bit = 1 << address;
        let pair = &mut self.pairs[service * UNITS + usize::from(probe.unit)];
        pair.asked |= bit;
        match outcome {
            Outcome::Words(words) if !words.is_empty() => {
                pair.present = true;
                self.known[service] |= bit;
            }
            Outcome::Exception(NO_SERVICE) => {
                pair.absent = true;
                self.known[service] |= bit;
            }
            Outcome::Exception(NO_ADDRESS) => self.refused[service] |= bit,
            _ => self.unclear[service] = self.unclear[service].saturating_add(1),
        }
    }

    fn note_identity(&mut self, probe: Probe, outcome: Outcome<'_>) {
        if probe == SERIAL {
            self.serial_tries += 1;
            match outcome {
                Outcome::Words(words) => {
                    self.serial = Some(printable(identity(probe, IdentityFormat::Text, words)))
                }
                Outcome::Exception(_) => self.serial_refused = true,
                Outcome::Silent | Outcome::Broken => {}
            }
        }
        if let (FIRMWARE, Outcome::Words(words)) = (probe, outcome) {
            self.firmware = identity(probe, IdentityFormat::Gx, words);
        }
    }

    /// How a service stands at a unit.
    pub(crate) fn standing(&self, service: usize, unit: u8) -> Standing {
        let pair = self.pair(service, unit);
        if pair.present {
            return Standing::Present;
        }
        if pair.absent {
            return Standing::Absent;
        }
        // An address that the firmware refused at one unit is not in its map at all: it is not tried at another.
        let passed = pair.asked | self.unknown(service);
        match self.table.services[service]
            .probe
            .get(passed.trailing_ones() as usize)
        {
            Some(_) if self.is_silent(unit) => Standing::Silent,
            Some(&at) => Standing::Open(at),
            None if pair.asked & !self.unknown(service) == 0 => Standing::Absent,
            None => Standing::Unclear,
        }
    }

    /// Whether the service was found at the unit.
    pub(crate) fn has(&self, service: usize, unit: u8) -> bool {
        self.pair(service, unit).present
    }

    /// Whether it is out whether the service exists at the unit.
    pub(crate) fn is_settled(&self, service: usize, unit: u8) -> bool {
        let pair = self.pair(service, unit);
        pair.present || pair.absent
    }

    /// Whether this probe was made, whatever came of it.
    pub(crate) fn was_asked(&self, probe: &Probe) -> bool {
        let asked = self.table.asked_at(probe.at);
        asked.is_some_and(|(service, address)| self.pair(service, probe.unit).asked & (1 << address) != 0)
    }

    /// Whether the firmware is known to know an address of the service. Until then few of its probes are made at a
    /// time: each might only teach that the address is wrong.
    pub(crate) fn is_known(&self, service: usize) -> bool {
        self.known[service] != 0
    }

    /// Whether the firmware has refused an address of the service.
    pub(crate) fn is_refused(&self, service: usize) -> bool {
        self.refused[service] != 0
    }

    /// How many answers about the service said nothing.
    pub(crate) fn unclear(&self, service: usize) -> u32 {
        self.unclear[service]
    }

    /// Whether a probe of the unit remained without answer.
    pub(crate) fn is_silent(&self, unit: u8) -> bool {
        self.silent[usize::from(unit)]
    }

    /// Whether the serial number should be asked for once more.
    pub(crate) fn lacks_serial(&self) -> bool {
        self.serial.is_none() && !self.serial_refused && self.serial_tries < SERIAL_TRIES
    }

    fn unknown(&self, service: usize) -> u8 {
        self.refused[service] & !self.known[service]
    }

    fn pair(&self, service: usize, unit: u8) -> Pair {
        self.pairs[service * UNITS + usize::from(unit)]
    }
}

/// What the registers of an identity probe say; `None` where they say nothing.
fn identity(probe: Probe, format: IdentityFormat, words: &[u16]) -> Option<String> {
    let span = Span::holding(probe.at, probe.count);
    field_text(
        &IdentityField {
            span,
            format,
            order: Order::Abcd,
        },
        words,
    )
}

/// A serial number of which only what can be shown is kept; empty where there is none.
fn printable(serial: Option<String>) -> String {
    let mut serial = serial.unwrap_or_default();
    serial.retain(|c| c.is_ascii_graphic());
    serial
}
