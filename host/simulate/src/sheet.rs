//! The values of one ledger on one simulated device.

use std::collections::BTreeMap;
use std::sync::Arc;

use busbar_ledger::model::{Ledger, PointSource, ValueType};
use busbar_ledger::value::Value;

use crate::error::SiteError;
use crate::house::Now;
use crate::site::{Cell, Entry};

/// A ledger and what its points hold. A point without an entry does not exist on the device.
#[derive(Clone, Debug)]
pub(crate) struct Sheet {
    pub(crate) ledger: Arc<Ledger>,
    cells: BTreeMap<usize, Cell>,
    /// What the site file says.
    given: BTreeMap<usize, Cell>,
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
        entries: &[Entry],
        home: impl Fn(usize) -> usize,
    ) -> Result<Sheet, SiteError> {
        let mut cells = BTreeMap::new();
        for Entry { line, key, cell } in entries {
            let wrong = |message| SiteError {
                file: file.to_owned(),
                line: *line,
                message,
            };
            let place = *ledger.index.get(key).ok_or_else(|| {
                wrong(format!(
                    "{} has no point `{key}`; see `busbar ledger show {0}`",
                    ledger.name
                ))
            })?;
            fits(ledger, place, cell).map_err(wrong)?;
            if cells.insert(home(place), cell.clone()).is_some() {
                return Err(wrong(format!(
                    "`{key}` has a value already, under this key or its twin's"
                )));
            }
        }
        Ok(Sheet {
            ledger: Arc::clone(ledger),
            given: cells.clone(),
            cells,
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

    /// Gives a point another value, or none at all.
    pub(crate) fn set(&mut self, home: usize, put: Put) {
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

/// Whether a point can hold this at all.
pub(crate) fn fits(ledger: &Ledger, place: usize, cell: &Cell) -> Result<(), String> {
    let point = &ledger.points[place];
    let register = match &point.source {
        PointSource::Registers(registers) => registers.first(),
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
