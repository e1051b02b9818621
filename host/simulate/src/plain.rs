//! The personality of a simple device: one ledger a unit, and only what is defined answers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use busbar_ledger::codec::{self, Decoded};
use busbar_ledger::identify::firmware_at_least;
use busbar_ledger::model::{Bridge, Ledger, Point, ProbeValue, Register, ValueType};
use busbar_ledger::span::{Function, Span};
use busbar_ledger::value::Value;
use busbar_ledger::write::By;

use crate::device::Moment;
use crate::error::SiteError;
use crate::house::Now;
use crate::identity::{self, Identity};
use crate::link::{self, status};
use crate::onwrite::{OnWrite, lease};
use crate::options::Options;
use crate::pdu::exception;
use crate::sheet::{Put, Sheet};
use crate::site::{Cell, PartSpec, Which};
use crate::telegram::Lines;
use crate::words::{in_order, spread};

#[derive(Debug)]
pub(crate) struct Plain {
    units: BTreeMap<u8, Mutex<Unit>>,
}

#[derive(Debug)]
struct Unit {
    sheet: Sheet,
    /// Words that say what the device is, beside its points.
    identity: Vec<(Span, Vec<u16>)>,
    /// The model that these words speak for.
    model: Option<String>,
    /// What came with a later one does not exist; `None` for a device that has all.
    firmware: Option<String>,
}

impl Plain {
    pub(crate) fn new(file: &str, parts: &[PartSpec], ledgers: &[Arc<Ledger>]) -> Result<Plain, SiteError> {
        let mut units = BTreeMap::new();
        for part in parts {
            let wrong = |message| SiteError {
                file: file.to_owned(),
                line: part.line,
                message,
            };
            let ledger = ledgers
                .iter()
                .find(|ledger| ledger.name == part.ledger)
                .ok_or_else(|| {
                    wrong(format!(
                        "there is no ledger `{}`; see `busbar ledger list`",
                        part.ledger
                    ))
                })?;
            let sheet = Sheet::bind(file, ledger, part, |point| point)?;
            let entry = identity::entry(ledger, &part.model).map_err(wrong)?;
            let mut unit = Unit {
                sheet,
                identity: identity::words(ledger, entry),
                model: entry.map(|(_, model)| model.to_owned()),
                firmware: None,
            };
            if part.model != Which::First {
                unit.points_say_the_model();
            }
            if let Some(version) = &part.firmware {
                unit.identify(Identity::Firmware(version)).map_err(wrong)?;
            }
            let unit = Mutex::new(unit);
            // The number came from a `u8` in the file.
            if units.insert(part.number as u8, unit).is_some() {
                return Err(wrong(format!("unit {} is there twice", part.number)));
            }
        }
        Ok(Plain { units })
    }

    pub(crate) fn has(&self, unit: u8) -> bool {
        self.units.contains_key(&unit)
    }

    /// Answers a read; an error is an exception code.
    pub(crate) fn read(
        &self,
        unit: u8,
        span: Span,
        options: &Options,
        now: &Now<'_>,
        moment: Moment,
    ) -> Result<Vec<u16>, u8> {
        self.at(unit, moment)?.read(span, options, now)
    }

    /// Takes a write of whole points by a function at an address; an error is an exception code.
    pub(crate) fn write(
        &self,
        unit: u8,
        to: (u8, u16),
        words: &[u16],
        options: &Options,
        now: &Now<'_>,
        moment: Moment,
    ) -> Result<(), u8> {
        self.at(unit, moment)?.write(to, words, options, now, moment)
    }

    /// Takes function 23: words that are written to an address, and registers that are read then.
    pub(crate) fn exchange(
        &self,
        unit: u8,
        answer: Span,
        written: (u16, &[u16]),
        options: &Options,
        now: &Now<'_>,
        moment: Moment,
    ) -> Result<Vec<u16>, u8> {
        self.at(unit, moment)?
            .exchange(answer, written, options, now, moment)
    }

    /// A unit, as it is by now.
    fn at(&self, unit: u8, moment: Moment) -> Result<MutexGuard<'_, Unit>, u8> {
        let unit = self.units.get(&unit).ok_or(exception::TARGET)?;
        let mut unit = unit.lock().unwrap_or_else(PoisonError::into_inner);
        unit.sheet.pass(moment.elapsed);
        Ok(unit)
    }

    /// The telegram of all units; nothing where none has a point that lies in one.
    pub(crate) fn telegram(&self, now: &Now<'_>, moment: Moment) -> Option<String> {
        let mut lines = Lines::default();
        for (&id, unit) in &self.units {
            let unit = unit.lock().unwrap_or_else(PoisonError::into_inner);
            lines.add(id, &unit.sheet, now, moment.unix);
        }
        lines.telegram()
    }

    /// Whether this unit knows a function; one that is not there knows all.
    pub(crate) fn speaks(&self, unit: u8, code: u8) -> bool {
        let Some(unit) = self.units.get(&unit) else {
            return true;
        };
        let unit = unit.lock().unwrap_or_else(PoisonError::into_inner);
        let mut points = unit.sheet.ledger.points.iter();
        match code {
            5 | 15 => points.any(|point| {
                point
                    .register()
                    .is_some_and(|register| register.span.function == Function::Coils)
            }),
            23 => points.any(|point| by_link(point).is_some()),
            _ => true,
        }
    }

    /// Gives a point another value; `false` where there is no such unit with that ledger.
    pub(crate) fn set(&self, unit: u8, ledger: &str, point: usize, put: Put) -> bool {
        let Some(unit) = self.units.get(&unit) else {
            return false;
        };
        let mut unit = unit.lock().unwrap_or_else(PoisonError::into_inner);
        let known = unit.sheet.ledger.name == ledger;
        if known {
            unit.sheet.set(point, put);
        }
        known
    }

    /// How a point takes writes from now on; `false` where there is no such unit with that ledger.
    pub(crate) fn on_write(&self, unit: u8, ledger: &str, point: usize, on: OnWrite) -> bool {
        let Some(unit) = self.units.get(&unit) else {
            return false;
        };
        let mut unit = unit.lock().unwrap_or_else(PoisonError::into_inner);
        let known = unit.sheet.ledger.name == ledger;
        if known {
            unit.sheet.on_write(point, on);
        }
        known
    }

    /// Changes what a unit says of itself; an error is a sentence.
    pub(crate) fn identify(&self, unit: u8, what: Identity<'_>) -> Result<(), String> {
        let found = self
            .units
            .get(&unit)
            .ok_or_else(|| format!("there is no unit {unit}"))?;
        found
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .identify(what)
    }
}

impl Unit {
    fn identify(&mut self, what: Identity<'_>) -> Result<(), String> {
        let ledger = Arc::clone(&self.sheet.ledger);
        let (span, words) = what.words(&ledger)?;
        // A point that shows the same register says the same.
        for (place, point) in ledger.points.iter().enumerate() {
            if point.register().is_some_and(|register| register.span == span) {
                self.sheet
                    .set(place, Put::Cell(Cell::Words([words.clone()].into())));
            }
        }
        self.identity.retain(|(at, _)| *at != span);
        self.identity.push((span, words));
        if let Identity::Firmware(version) = what {
            self.firmware = Some(version.to_owned());
        }
        Ok(())
    }

    /// Points that show the register of the probe say what the probe says.
    fn points_say_the_model(&mut self) {
        let ledger = Arc::clone(&self.sheet.ledger);
        let Some(probe) = ledger.identify.as_ref().and_then(|i| i.probe.as_ref()) else {
            return;
        };
        let Some((span, words)) = self.identity.iter().find(|(at, _)| *at == probe.span) else {
            return;
        };
        let (span, words) = (*span, words.clone());
        for (place, point) in ledger.points.iter().enumerate() {
            let shows = point.register().is_some_and(|register| register.span == span);
            if shows && self.sheet.cell(place).is_some() {
                self.sheet
                    .set(place, Put::Cell(Cell::Words([words.clone()].into())));
            }
        }
    }

    /// The model that the device says it is.
    fn model(&self) -> Option<&str> {
        let probe = self.sheet.ledger.identify.as_ref()?.probe.as_ref()?;
        let shows = |point: &Point| {
            point
                .register()
                .is_some_and(|register| register.span == probe.span)
        };
        let place = self.sheet.ledger.points.iter().position(shows);
        let said = match place.and_then(|place| self.sheet.cell(place)) {
            Some(Cell::Fixed(Value::Integer(number))) => ProbeValue::Integer(*number),
            Some(Cell::Fixed(Value::Text(text))) => ProbeValue::Text(text.clone()),
            _ => return self.model.as_deref(),
        };
        let model = probe.equals.iter().find(|(value, _)| *value == said);
        model.map(|(_, model)| model.as_str())
    }

    /// Whether this device has the point.
    fn has(&self, place: usize, point: &Point) -> bool {
        let field = self
            .sheet
            .ledger
            .identify
            .as_ref()
            .and_then(|identify| identify.firmware.as_ref());
        let reached = match (&point.since, &self.firmware, field) {
            (Some(since), Some(have), Some(field)) => firmware_at_least(field.format, have, since),
            _ => None,
        };
        reached.unwrap_or(true) && self.sheet.cell(place).is_some()
    }

    fn read(&self, span: Span, options: &Options, now: &Now<'_>) -> Result<Vec<u16>, u8> {
        let ledger = &self.sheet.ledger;
        let span = match (ledger.read.fall_back_to_holding, span.function) {
            (true, Function::Input) if options.holding_only => return Err(exception::FUNCTION),
            // The same registers by either function.
            (true, Function::Holding) => Span {
                function: Function::Input,
                ..span
            },
            _ => span,
        };
        if !span.function.is_bit() && span.count > ledger.read.max_words {
            return Err(exception::VALUE);
        }
        // What says who the device is may lie amid other values, and is meant only when it is read by itself; a
        // point of just these registers says it better.
        let told = |point: usize| {
            let registers = ledger.points[point].registers();
            self.sheet.cell(point).is_some() && registers.iter().any(|register| register.span == span)
        };
        if let Some((_, words)) = self.identity.iter().find(|(at, _)| *at == span)
            && !(0..ledger.points.len()).any(told)
        {
            return Ok(words.clone());
        }
        let model = self.model();
        let mut words: Vec<Option<u16>> = vec![None; span.count.into()];
        let mut lay = |at: Span, source: &[u16], merge: bool| {
            for (address, &word) in (u32::from(at.at)..at.end()).zip(source) {
                let place = address
                    .checked_sub(span.at.into())
                    .and_then(|place| words.get_mut(place as usize));
                if let Some(place) = place {
                    *place = Some(if merge { place.unwrap_or(0) | word } else { word });
                }
            }
        };
        let here = |at: Span| at.overlaps(span) && !options.drops(at.at);
        for &run in ledger.reserved.iter().filter(|&&run| here(run)) {
            lay(run, &vec![0; run.count.into()], false);
        }
        for (at, source) in self.identity.iter().filter(|(at, _)| here(*at)) {
            lay(*at, source, false);
        }
        for (point, described) in ledger.points.iter().enumerate() {
            for register in described
                .registers()
                .iter()
                .filter(|register| here(register.span))
            {
                if options.zeros {
                    lay(register.span, &vec![0; register.span.count.into()], true);
                }
                if self.has(point, described) && register.is_on(model) {
                    // Bits of one register come from several points.
                    let merge = matches!(register.ty, ValueType::Bits { .. });
                    lay(register.span, &self.words(point, register, now), merge);
                }
            }
        }
        let undefined = (ledger.read.bridge == Bridge::Any).then_some(0);
        words
            .into_iter()
            .map(|word| word.or(undefined).ok_or(exception::ADDRESS))
            .collect()
    }

    fn write(
        &mut self,
        (code, at): (u8, u16),
        words: &[u16],
        options: &Options,
        now: &Now<'_>,
        moment: Moment,
    ) -> Result<(), u8> {
        let ledger = Arc::clone(&self.sheet.ledger);
        let coils = matches!(code, 5 | 15);
        let space = |function: Function| match function {
            Function::Coils => coils,
            Function::Holding => !coils,
            // The same registers by either function.
            Function::Input => !coils && ledger.read.fall_back_to_holding,
            Function::Discrete => false,
        };
        let mut changes = Vec::new();
        let mut rest = words;
        let mut address = u32::from(at);
        while !rest.is_empty() {
            let whole = |register: &Register| {
                space(register.span.function)
                    && u32::from(register.span.at) == address
                    && usize::from(register.span.count) <= rest.len()
                    && !options.drops(register.span.at)
            };
            let here = |(place, point): &(usize, &Point)| {
                point.register().is_some_and(whole) && self.has(*place, point)
            };
            let open = |point: &Point| point.writable && by_link(point).is_none();
            let found = ledger
                .points
                .iter()
                .enumerate()
                .find(|found| here(found) && open(found.1));
            let span = found
                .and_then(|(_, point)| point.register())
                .map(|register| register.span);
            let span = span.filter(|_| options.writes).ok_or(exception::ADDRESS)?;
            let (part, behind) = rest.split_at(span.count.into());
            // Bits of one register are several points: all of them take what is written.
            for (place, point) in ledger.points.iter().enumerate().filter(here) {
                let Some(register) = point.register().filter(|register| register.span == span) else {
                    continue;
                };
                if let Some(code) = self.sheet.refuses(place).filter(|_| point.writable) {
                    return Err(code);
                }
                let cell = match codec::decode(register, part, self.exponent(register, now)) {
                    Decoded::Value(value) => Cell::Fixed(value),
                    Decoded::Invalid(_) => Cell::Invalid,
                };
                changes.push((place, cell));
            }
            address += part.len() as u32;
            rest = behind;
        }
        for (place, cell) in changes {
            let timeout = lease(&ledger.points[place]);
            self.sheet.take(place, cell, timeout, moment.elapsed);
        }
        Ok(())
    }

    /// Function 23, which is for register links only; an error is an exception code.
    fn exchange(
        &mut self,
        answer: Span,
        (at, words): (u16, &[u16]),
        options: &Options,
        now: &Now<'_>,
        moment: Moment,
    ) -> Result<Vec<u16>, u8> {
        let ledger = Arc::clone(&self.sheet.ledger);
        let links = || {
            let links = ledger.points.iter().enumerate();
            links.filter_map(|(place, point)| Some((place, point, by_link(point)?)))
        };
        if answer.at != at || !links().any(|(_, _, link)| link.at == at) {
            return Err(exception::ADDRESS);
        }
        let (&id, set) = words.split_first().ok_or(exception::VALUE)?;
        let said = |status, data: &[u8]| Ok(link::answer(id, status, data, answer.count));
        let found =
            links().find(|(place, point, link)| link.at == at && link.id == id && self.has(*place, point));
        let Some((place, register, link)) =
            found.and_then(|(place, point, link)| Some((place, point.register()?, link)))
        else {
            return said(
                if set.is_empty() {
                    status::NO_SUCH_READ
                } else {
                    status::NO_SUCH_WRITE
                },
                &[],
            );
        };
        let Some((&length, data)) = set.split_first() else {
            let words = self.words(place, register, now);
            return said(status::OK, &link::data_of(register, &words, link.bytes));
        };
        if !options.writes || !ledger.points[place].writable {
            return said(status::READ_ONLY, &[]);
        }
        if let Some(code) = self.sheet.refuses(place) {
            return Err(code);
        }
        let exponent = self.exponent(register, now);
        let value = link::data(length, data)
            .and_then(|data| Some((link::value_of(register, &data, link.bytes, exponent)?, data)));
        let Some((value, data)) = value else {
            return said(status::BAD_DATA, &[]);
        };
        let timeout = lease(&ledger.points[place]);
        self.sheet
            .take(place, Cell::Fixed(value), timeout, moment.elapsed);
        said(status::OK, &data)
    }

    /// The words of a point's register: its value, or what the device says when it has none.
    fn words(&self, point: usize, register: &Register, now: &Now<'_>) -> Vec<u16> {
        if let Some(words) = self.sheet.words(point, register.span.count, now) {
            return words.to_vec();
        }
        let value = self.sheet.value(point, now);
        let encoded =
            value.and_then(|value| codec::encode(register, &value, self.exponent(register, now)).ok());
        encoded.unwrap_or_else(|| no_value(register))
    }

    fn exponent(&self, register: &Register, now: &Now<'_>) -> Option<i32> {
        let point = *self.sheet.ledger.index.get(register.scale_point.as_ref()?)?;
        self.sheet
            .value(point, now)?
            .as_f64()
            .map(|exponent| exponent as i32)
    }
}

/// Where a point lies behind a register link.
#[derive(Clone, Copy)]
struct Link {
    at: u16,
    id: u16,
    /// The most bytes of data.
    bytes: u8,
}

/// The register link by which a point is set, where it is by one.
fn by_link(point: &Point) -> Option<Link> {
    match point.write.as_ref()?.by {
        By::RegisterLink { at, id, bytes } => Some(Link { at, id, bytes }),
        By::Function(_) => None,
    }
}

/// What a register holds when there is no value: its sentinel, NaN, or 0.
fn no_value(register: &Register) -> Vec<u16> {
    let count = usize::from(register.span.count);
    let pattern = register.invalid.first().copied().unwrap_or(match register.ty {
        ValueType::F32 => f32::NAN.to_bits().into(),
        ValueType::F64 => f64::NAN.to_bits(),
        _ => 0,
    });
    in_order(spread(pattern.into(), count), register.order)
}
