//! What to ask next: likeliest first, each answer moving the odds of what is left.

use busbar_plugin_sdk::{Ask, Forecast, Mode, Probe};

use crate::site::{FIRMWARE, SERIAL, Site, Standing};
use crate::unit::{GX, LAST, UNITS};

/// Exceptions that the probing of a quick scan may cause: each is a line in the log of the GX. Reading the extent of what
/// was found may cause some more.
const QUICK_EXCEPTIONS: u32 = 580;
/// Probes of one batch. Smaller ones learn more between them, larger ones wait less often for their last answer.
const QUICK_BATCH: usize = 224;
const BATCH: usize = 2048;
/// Probes a batch of a service of which it is not known whether the firmware has the address; once one was refused, 1.
const UNPROVEN_BATCH: u32 = 3;
/// Probes a batch for one port in a quick scan: one hit there spares the others.
const PORT_BATCH: u8 = 3;

/// Likelihoods are in ten thousands.
const CERTAIN: u32 = 9_990;
const WHOLE: u64 = 10_000;

/// A pair that may be asked.
#[derive(Clone, Copy)]
struct Candidate {
    likelihood: u32,
    service: usize,
    unit: u8,
    at: u16,
}

/// All that is left to ask, likeliest first.
pub(crate) struct Plan<'s, 't> {
    site: &'s Site<'t>,
    mode: Mode,
    open: Vec<Candidate>,
    /// Pairs that nobody can ask any more, because their unit fell silent.
    lost: u32,
}

impl<'s, 't> Plan<'s, 't> {
    /// Draws up what is left of this scan.
    pub(crate) fn new(site: &'s Site<'t>, ask: &Ask<'_>) -> Plan<'s, 't> {
        let odds = Odds::new(site);
        let scope = scope(ask);
        let mut plan = Plan {
            site,
            mode: ask.mode,
            open: Vec::new(),
            lost: 0,
        };
        for (s, service) in site.table.services.iter().enumerate() {
            for unit in 1..=u8::MAX {
                if !scope[usize::from(unit)] || (service.only_gx && unit != GX) {
                    continue;
                }
                let likelihood = odds.of(s, unit);
                if ask.mode == Mode::Quick
                    && (likelihood == 0 || (service.on_port && odds.is_taken(unit) && !site.has(s, unit)))
                {
                    continue;
                }
                match site.standing(s, unit) {
                    Standing::Open(at) => plan.open.push(Candidate {
                        likelihood,
                        service: s,
                        unit,
                        at,
                    }),
                    Standing::Silent => plan.lost += 1,
                    Standing::Present | Standing::Absent | Standing::Unclear => {}
                }
            }
        }
        // At the GX itself every service is asked, and what it answers there tells whether the firmware has the address.
        plan.open.sort_unstable_by_key(|candidate| {
            (
                candidate.unit != GX,
                u32::MAX - candidate.likelihood,
                candidate.unit,
                candidate.service,
            )
        });
        plan
    }

    /// The next batch; empty when the scan is over.
    pub(crate) fn batch(&self) -> Vec<Probe> {
        self.take(|service| self.most_of(service))
    }

    /// A few of every service, for a target that will be a GX if they are answered as one does.
    pub(crate) fn first_batch(&self) -> Vec<Probe> {
        self.take(|_| UNPROVEN_BATCH)
    }

    fn take(&self, most_of: impl Fn(usize) -> u32) -> Vec<Probe> {
        let mut probes = Vec::new();
        let mut of_service = vec![0_u32; self.site.table.services.len()];
        let mut of_unit = [0; UNITS];
        let size = match self.mode {
            Mode::Quick => QUICK_BATCH,
            Mode::Full | Mode::Listed => BATCH,
        };
        for candidate in self.affordable() {
            if probes.len() >= size {
                break;
            }
            let unit = usize::from(candidate.unit);
            let port = self.mode == Mode::Quick && self.site.table.units[unit].exclusive;
            if (port && of_unit[unit] >= PORT_BATCH)
                || of_service[candidate.service] >= most_of(candidate.service)
            {
                continue;
            }
            of_unit[unit] += 1;
            of_service[candidate.service] += 1;
            probes.push(probe(candidate));
        }
        probes
    }

    /// The likeliest, as many as may all turn out to be misses: what a batch has to put off is not replaced by something
    /// that is less likely than what the scan will end with.
    fn affordable(&self) -> &[Candidate] {
        let most = match self.mode {
            Mode::Quick => self.exceptions_left() as usize,
            Mode::Full | Mode::Listed => usize::MAX,
        };
        &self.open[..self.open.len().min(most)]
    }

    /// The part of the batch that asks the GX itself, for a target that may not be one.
    pub(crate) fn gx_batch(&self) -> Vec<Probe> {
        let of_gx = self.open.iter().filter(|candidate| candidate.unit == GX);
        of_gx.map(probe).collect()
    }

    /// Whether everything that could be asked at the GX itself was asked.
    pub(crate) fn is_done_at_gx(&self) -> bool {
        self.open.first().is_none_or(|candidate| candidate.unit != GX)
    }

    /// How many pairs stay unasked when the scan ends here.
    pub(crate) fn left(&self) -> u32 {
        self.lost + u32::try_from(self.open.len()).unwrap_or(u32::MAX)
    }

    /// What is to be expected from here on.
    pub(crate) fn forecast(&self) -> Forecast {
        let allowed = match self.mode {
            Mode::Quick => u64::from(self.exceptions_left()) * WHOLE,
            Mode::Full | Mode::Listed => u64::MAX,
        };
        let (mut remaining, mut exceptions) = (u32::from(!self.site.was_asked(&FIRMWARE)), 0);
        for candidate in &self.open {
            if exceptions >= allowed {
                break;
            }
            exceptions += WHOLE - u64::from(candidate.likelihood.min(CERTAIN));
            remaining += 1;
        }
        Forecast {
            remaining,
            expected_exceptions: u32::try_from(exceptions.div_ceil(WHOLE)).unwrap_or(u32::MAX),
            possible: self.site.asked + self.left() + u32::from(!self.site.was_asked(&FIRMWARE)),
        }
    }

    /// How many probes of a service a batch may hold. Where the answers say nothing, trust grows slowly.
    fn most_of(&self, service: usize) -> u32 {
        let trusted = 1 + self.site.unclear(service);
        match (self.site.is_known(service), self.site.is_refused(service)) {
            (true, _) => u32::MAX,
            (false, false) => trusted.saturating_mul(UNPROVEN_BATCH),
            (false, true) => trusted,
        }
    }

    /// What a quick scan may still spend; a list and a full scan were asked for whatever they cost.
    fn exceptions_left(&self) -> u32 {
        QUICK_EXCEPTIONS.saturating_sub(self.site.exceptions)
    }
}

fn probe(candidate: &Candidate) -> Probe {
    let probe = Probe {
        unit: candidate.unit,
        function: 3,
        at: candidate.at,
        count: 1,
    };
    // The registers of the identity show that there is a GX, and say which one.
    [SERIAL, FIRMWARE]
        .into_iter()
        .find(|identity| (identity.unit, identity.at) == (probe.unit, probe.at))
        .unwrap_or(probe)
}

/// The units that a mode looks at, by number. Unit 0 is unit 100, which belongs to every scan.
fn scope(ask: &Ask<'_>) -> [bool; UNITS] {
    let mut scope = [false; UNITS];
    match ask.mode {
        Mode::Listed => {
            for &unit in ask.units {
                scope[usize::from(unit)] = true;
            }
        }
        Mode::Quick | Mode::Full => scope[1..=usize::from(LAST)].fill(true),
    }
    scope[0] = false;
    scope[usize::from(GX)] = true;
    scope
}

/// How likely each service is at each unit, with what the site has shown so far.
struct Odds<'s, 't> {
    site: &'s Site<'t>,
    models: u8,
    /// Services found at a spare port.
    spare_in_use: Vec<bool>,
    /// Services found somewhere besides the GX itself.
    in_use: Vec<bool>,
    /// Units where a service of a port was found that lets nothing else in.
    taken: [bool; UNITS],
}

impl<'s, 't> Odds<'s, 't> {
    fn new(site: &'s Site<'t>) -> Odds<'s, 't> {
        let mut odds = Odds {
            site,
            models: 0,
            spare_in_use: vec![false; site.table.services.len()],
            in_use: vec![false; site.table.services.len()],
            taken: [false; UNITS],
        };
        for (s, service) in site.table.services.iter().enumerate() {
            for unit in (1..=u8::MAX).filter(|&unit| site.has(s, unit)) {
                let place = &site.table.units[usize::from(unit)];
                odds.in_use[s] |= unit != GX;
                odds.spare_in_use[s] |= place.spare;
                odds.taken[usize::from(unit)] |= place.exclusive && service.on_port;
                if service.name == "vebus" {
                    odds.models |= place.betrays;
                }
            }
        }
        odds
    }

    fn is_taken(&self, unit: u8) -> bool {
        self.taken[usize::from(unit)]
    }

    /// In ten thousands; 0 means that nobody expects it there.
    fn of(&self, service: usize, unit: u8) -> u32 {
        let table = self.site.table;
        let kind = &table.services[service];
        let place = &table.units[usize::from(unit)];
        let mut odds = u32::from(kind.likelihood[usize::from(unit)]);
        if self.models != 0 && place.models != 0 && odds != 0 {
            // Each model has its own ports, and those of the others are most likely empty.
            odds = if place.models & self.models != 0 {
                odds * 3
            } else {
                odds.div_ceil(4)
            };
        }
        if self.spare_in_use[service] && place.spare {
            odds *= 4;
        }
        if self.in_use[service] {
            odds *= 2;
        }
        if !kind.only_gx && unit != GX {
            // Devices of a kind are numbered in a row.
            let found = |unit: Option<u8>| unit.is_some_and(|unit| self.site.has(service, unit));
            if found(place.before) {
                odds = (odds * 8).max(3_000);
            }
            if odds > 0 && found(place.after) {
                odds = (odds * 3).max(500);
            }
        }
        odds.min(CERTAIN)
    }
}
