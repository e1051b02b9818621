//! From words to readings: one for each point, decoded by its address.

use crate::codec::{self, Decoded};
use crate::computed::{self, Lack};
use crate::identify;
use crate::image::Image;
use crate::model::{Condition, Expression, Ledger, Point, PointSource, Register, Scale, ValueType};
use crate::ranges::Ranges;
use crate::telegram::Said;
use crate::value::{Quality, RawWords, Reading, Value};

/// What is known of a device besides its words.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts<'a> {
    /// Its firmware version, in the ledger's format. Unknown: every point is taken to be there.
    pub firmware: Option<&'a str>,
    /// Its model, as `[identify]` names it. Unknown: every register is taken to be there.
    pub model: Option<&'a str>,
    /// The addresses that it was seen to answer. Unknown: all registers are taken to be readable.
    pub readable: Option<&'a Ranges>,
    /// What it said by itself, for points that lie in telegrams. Unknown: they have no value.
    pub said: Option<&'a Said<'a>>,
}

/// One reading for each point, in the order of `ledger.points`.
pub fn readings(ledger: &Ledger, image: &Image, facts: &Facts<'_>) -> Vec<Reading> {
    let mut work = Work {
        ledger,
        image,
        facts,
        state: vec![State::Open; ledger.points.len()],
        readings: vec![Reading::unavailable(); ledger.points.len()],
    };
    (0..ledger.points.len()).for_each(|i| work.resolve(i, 0));
    work.readings
}

/// The registers of a point that the device has, as far as is known. `since` speaks of the point's own register;
/// a fall-back is there for the firmware before it. A point that this very device lacks has none.
pub(crate) fn usable<'a>(
    ledger: &Ledger,
    point: &'a Point,
    facts: &Facts<'a>,
) -> impl Iterator<Item = &'a Register> + use<'a> {
    let Facts {
        firmware,
        model,
        readable,
        said: _,
    } = *facts;
    let format = identify::firmware_format(ledger);
    let has_come = move |since: &Option<String>| {
        since
            .as_ref()
            .is_none_or(|s| identify::reached(format, firmware, s))
    };
    let skipped = usize::from(!has_come(&point.since));
    let registers = match point.absent {
        Some(_) => &[],
        None => point.registers(),
    };
    let there = registers.iter().skip(skipped);
    there.filter(move |register| {
        register.is_on(model)
            && has_come(&register.since)
            && readable.is_none_or(|readable| readable.contains(register.span))
    })
}

/// The formula by which a point is worked out on this device: a computed one's, or that of a measured one of which the
/// device has no register.
pub(crate) fn formula<'a>(ledger: &Ledger, point: &'a Point, facts: &Facts<'_>) -> Option<&'a Expression> {
    match (&point.source, &point.otherwise) {
        (PointSource::Computed(expression), _) => Some(expression),
        (PointSource::Obis(spoken), Some(expression)) => {
            let is_said = facts
                .said
                .is_some_and(|said| said.line(spoken, point.unit.as_deref()).is_some());
            (!is_said).then_some(expression)
        }
        (_, Some(expression)) => usable(ledger, point, facts)
            .next()
            .is_none()
            .then_some(expression),
        (_, None) => None,
    }
}

/// The registers to read for a point: the first one that the device has, then each finer one that may stand in
/// for it.
pub(crate) fn choices<'a>(
    ledger: &Ledger,
    point: &'a Point,
    facts: &Facts<'a>,
) -> impl Iterator<Item = &'a Register> + use<'a> {
    let mut all = usable(ledger, point, facts);
    let first = all.next();
    first
        .into_iter()
        .chain(all.filter(|register| register.preferred_when_it_fits))
}

/// How deep points may lean on other points (a condition on a computed value of scaled values …). What lies
/// deeper, or leans on itself, is not known.
const MAX_DEPTH: u8 = 32;

#[derive(Clone, Copy, PartialEq)]
enum State {
    Open,
    Busy,
    Done,
}

struct Work<'a> {
    ledger: &'a Ledger,
    image: &'a Image,
    facts: &'a Facts<'a>,
    state: Vec<State>,
    readings: Vec<Reading>,
}

impl Work<'_> {
    /// Makes the reading of point `i`, those that it leans on first.
    fn resolve(&mut self, i: usize, depth: u8) {
        if self.state[i] != State::Open || depth > MAX_DEPTH {
            return;
        }
        self.state[i] = State::Busy;
        let ledger = self.ledger;
        let point = &ledger.points[i];
        let mut reading = match formula(ledger, point, self.facts) {
            None => self.measured(point, depth),
            Some(expression) => {
                let result = computed::evaluate(expression, &mut |key| self.operand(key, depth));
                let (value, quality) = match result {
                    Ok(value) => (Some(Value::Number(value)), Quality::Good),
                    Err(lack) => (None, lack.quality()),
                };
                Reading {
                    value,
                    quality,
                    ..Reading::unavailable()
                }
            }
        };
        if let Some(condition) = &point.valid_when
            && reading.quality == Quality::Good
            && !self.holds(condition, depth)
        {
            reading.value = None;
            reading.quality = Quality::Invalid;
        }
        self.readings[i] = reading;
        self.state[i] = State::Done;
    }

    /// The value of another point, or why there is none.
    fn operand(&mut self, key: &str, depth: u8) -> Result<f64, Lack> {
        let reading = self.look_up(key, depth).ok_or(Lack::Unread)?;
        let number = reading.value.as_ref().and_then(Value::as_f64);
        let unavailable = reading.quality == Quality::Unavailable;
        match number {
            Some(number) => Ok(number),
            None if !unavailable => Err(Lack::Invalid),
            None if self.lacks(key, depth) => Err(Lack::Absent),
            None => Err(Lack::Unread),
        }
    }

    /// Whether the device is known not to have a point: no register of it, or a group that requires what is not so.
    fn lacks(&mut self, key: &str, depth: u8) -> bool {
        let ledger = self.ledger;
        let Some(point) = ledger.point(key) else {
            return true;
        };
        let has_formula = formula(ledger, point, self.facts).is_some();
        let is_there = match point.spoken() {
            Some(spoken) => self
                .facts
                .said
                .is_none_or(|said| said.line(spoken, point.unit.as_deref()).is_some()),
            None => usable(ledger, point, self.facts).next().is_some(),
        };
        if !has_formula && !is_there {
            return true;
        }
        let group = point.group.as_ref().and_then(|name| ledger.groups.get(name));
        let requires = group.and_then(|group| group.requires.as_ref());
        requires.is_some_and(|requires| {
            let reading = self.look_up(&requires.point, depth);
            reading.and_then(|reading| computed::holds(requires, reading)) == Some(false)
        })
    }

    /// The reading of another point; `None` while it is not known because the two lean on each other.
    fn look_up(&mut self, key: &str, depth: u8) -> Option<&Reading> {
        let &i = self.ledger.index.get(key)?;
        self.resolve(i, depth + 1);
        (self.state.get(i) == Some(&State::Done)).then(|| &self.readings[i])
    }

    fn holds(&mut self, condition: &Condition, depth: u8) -> bool {
        self.look_up(&condition.point, depth)
            .and_then(|reading| computed::holds(condition, reading))
            == Some(true)
    }

    fn measured(&mut self, point: &Point, depth: u8) -> Reading {
        let (ledger, facts) = (self.ledger, self.facts);
        if let Some(spoken) = point.spoken() {
            return match (facts.said, &point.absent) {
                (Some(said), None) => said.reading(spoken, point.unit.as_deref()),
                _ => Reading::unavailable(),
            };
        }
        let mut choices = choices(ledger, point, facts);
        let Some(register) = choices.next() else {
            return Reading::unavailable();
        };
        let (mut chosen, mut reading) = (register, self.read(register, depth));
        for finer in choices {
            let fits = reading
                .value
                .as_ref()
                .and_then(Value::as_f64)
                .is_some_and(|v| fits(finer, v, chosen.scale));
            if fits {
                let candidate = self.read(finer, depth);
                if candidate.quality == Quality::Good {
                    (chosen, reading) = (finer, candidate);
                }
            }
        }
        reading
    }

    fn read(&mut self, register: &Register, depth: u8) -> Reading {
        let image = self.image;
        let Some(words) = image.get(register.span) else {
            return Reading::unavailable();
        };
        let exponent =
            register
                .scale_point
                .as_deref()
                .and_then(|key| match self.look_up(key, depth)?.value {
                    Some(Value::Integer(n)) => i32::try_from(n).ok(),
                    _ => None,
                });
        let (value, quality) = match codec::decode(register, words, exponent) {
            Decoded::Value(value) => (Some(value), Quality::Good),
            Decoded::Invalid(_) => (None, Quality::Invalid),
        };
        Reading {
            value,
            quality,
            at: Some(register.span.at),
            raw: RawWords::from(words),
        }
    }
}

/// Whether a finer, narrower register can be trusted to hold what a wider one reads. At the edges of its range
/// it cannot: the device clamps or wraps there.
fn fits(narrow: &Register, value: f64, wide: Scale) -> bool {
    let Some((low, high)) = codec::whole_range(narrow.ty, narrow.span.count) else {
        return matches!(narrow.ty, ValueType::F32 | ValueType::F64);
    };
    let step = narrow.scale.as_f64();
    let raw = (value - narrow.offset) / step;
    // The wide register is rounded to its own step, and a clamped one may read one less than its largest.
    let margin = (0.5 * wide.as_f64() / step).abs() + 2.0;
    raw - margin >= low as f64 && raw + margin <= high as f64
}

#[cfg(test)]
mod tests;
