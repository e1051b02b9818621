//! The values of one ledger on one simulated device.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use busbar_ledger::model::{Ledger, PointSource, ValueType};
use busbar_ledger::value::Value;

use crate::error::SiteError;
use crate::house::Now;
use crate::onwrite::{Course, OnWrite};
use crate::site::{Cell, Habit, PartSpec};

/// A ledger and what its points hold. A point without an entry does not exist on the device.
#[derive(Clone, Debug)]
pub(crate) struct Sheet {
    pub(crate) ledger: Arc<Ledger>,
    cells: BTreeMap<usize, Cell>,
    /// What the site file says.
    given: BTreeMap<usize, Cell>,
    /// How it takes writes, where that is anything special.
    habits: BTreeMap<usize, OnWrite>,
    /// What is still to become of what was written.
    courses: BTreeMap<usize, Course>,
}

/// What a point is given.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Put {
    Cell(Cell),
    /// It is taken away.
    Nothing,
    /// What the site file says.
    Given,
}

impl Sheet {
    /// Gives the points of a ledger their values. `home` says under which point a point keeps its value, for
    /// points that are several views of one value.
    pub(crate) fn bind(
        file: &str,
        ledger: &Arc<Ledger>,
        part: &PartSpec,
        home: impl Fn(usize) -> usize,
    ) -> Result<Sheet, SiteError> {
        let mut cells = BTreeMap::new();
        let wrong = |line: usize, message| SiteError {
            file: file.to_owned(),
            line,
            message,
        };
        let find = |line: usize, key: &str| {
            ledger.index.get(key).copied().ok_or_else(|| {
                let message = format!(
                    "{} has no point `{key}`; see `busbar ledger show {0}`",
                    ledger.name
                );
                wrong(line, message)
            })
        };
        for entry in &part.entries {
            let place = find(entry.line, &entry.key)?;
            fits(ledger, place, &entry.cell).map_err(|message| wrong(entry.line, message))?;
            if cells.insert(home(place), entry.cell.clone()).is_some() {
                let message = format!(
                    "`{}` has a value already, under this key or its twin's",
                    entry.key
                );
                return Err(wrong(entry.line, message));
            }
        }
        let mut habits = BTreeMap::new();
        for Habit { line, key, on } in &part.habits {
            let place = find(*line, key)?;
            can_be(ledger, place, on).map_err(|message| wrong(*line, message))?;
            if habits.insert(home(place), on.clone()).is_some() {
                let message = format!("`{key}` is said already, under this key or its twin's");
                return Err(wrong(*line, message));
            }
        }
        Ok(Sheet {
            ledger: Arc::clone(ledger),
            given: cells.clone(),
            cells,
            habits,
            courses: BTreeMap::new(),
        })
    }

    /// What the point holds; `None` where it does not exist.
    pub(crate) fn cell(&self, home: usize) -> Option<&Cell> {
        self.cells.get(&home)
    }

    /// The point's value now; `None` where it has none.
    pub(crate) fn value(&self, home: usize, now: &Now<'_>) -> Option<Value> {
        match self.cells.get(&home)? {
            Cell::Fixed(value) => Some(value.clone()),
            Cell::Living(node) => Some(Value::Number(now.value(node))),
            Cell::Words(_) | Cell::Invalid => None,
        }
    }

    /// The registers that the point holds now, where it is given as such.
    pub(crate) fn words(&self, home: usize, count: u16, now: &Now<'_>) -> Option<&[u16]> {
        let Cell::Words(turns) = self.cells.get(&home)? else {
            return None;
        };
        let words = turns.get((now.request % turns.len() as u64) as usize)?;
        (words.len() == usize::from(count)).then_some(words)
    }

    /// How the point takes writes from now on.
    pub(crate) fn on_write(&mut self, home: usize, on: OnWrite) {
        self.habits.insert(home, on);
    }

    /// The exception by which the point refuses to be written.
    pub(crate) fn refuses(&self, home: usize) -> Option<u8> {
        self.habits.get(&home)?.refuse
    }

    /// Takes a write of a point at a time of the site, in the point's own way. `timeout` is after how long its
    /// ledger says that it lapses.
    pub(crate) fn take(&mut self, home: usize, cell: Cell, timeout: Option<Duration>, now: Duration) {
        let usual = OnWrite::default();
        let on = self.habits.get(&home).unwrap_or(&usual);
        if on.keep {
            return;
        }
        let course = self.courses.remove(&home).unwrap_or_default();
        let course = course.begin(on, timeout, self.cells.get(&home).cloned(), cell, now);
        self.courses.insert(home, course);
        self.pass(now);
    }

    /// Lets happen what has become of written values by now.
    pub(crate) fn pass(&mut self, now: Duration) {
        let Sheet {
            cells,
            given,
            courses,
            ..
        } = self;
        courses.retain(|home, course| {
            if let Some(cell) = course.pass(now) {
                let cell = cell.as_ref().or(given.get(home)).or(course.before());
                match cell {
                    Some(cell) => cells.insert(*home, cell.clone()),
                    None => cells.remove(home),
                };
            }
            !course.is_over()
        });
    }

    /// Gives a point another value, or none at all; what was written to it is forgotten.
    pub(crate) fn set(&mut self, home: usize, put: Put) {
        self.courses.remove(&home);
        let cell = match put {
            Put::Cell(cell) => Some(cell),
            Put::Nothing => None,
            Put::Given => self.given.get(&home).cloned(),
        };
        match cell {
            Some(cell) => self.cells.insert(home, cell),
            None => self.cells.remove(&home),
        };
    }
}

/// Whether a point can take writes in this way; an error is a sentence.
pub(crate) fn can_be(ledger: &Ledger, place: usize, on: &OnWrite) -> Result<(), String> {
    let point = &ledger.points[place];
    if !point.writable {
        return Err(format!(
            "`{}` cannot be written, so it takes writes in no way",
            point.key
        ));
    }
    if let Some(fault) = on.fault() {
        return Err(format!("`{}`: {fault}", point.key));
    }
    on.cells().try_for_each(|cell| fits(ledger, place, &cell))
}

/// Whether a point can hold this at all.
pub(crate) fn fits(ledger: &Ledger, place: usize, cell: &Cell) -> Result<(), String> {
    let point = &ledger.points[place];
    let register = match &point.source {
        PointSource::Registers(registers) => registers.first(),
        PointSource::Obis(_) => {
            return Err(format!(
                "`{}` lies in telegrams, which are not simulated; take it out",
                point.key
            ));
        }
        PointSource::Computed(_) => None,
    };
    let Some(register) = register else {
        return Err(format!(
            "`{}` is computed; give values to the points that it is computed from",
            point.key
        ));
    };
    let text = register.ty == ValueType::Text;
    match cell {
        Cell::Fixed(Value::Text(_)) if !text => Err(format!("`{}` is a number, not a text", point.key)),
        Cell::Fixed(Value::Integer(_) | Value::Number(_)) | Cell::Living(_) if text => {
            Err(format!("`{}` is a text; write it in quotes", point.key))
        }
        _ => Ok(()),
    }
}
