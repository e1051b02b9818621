//! A device that says 0 to everything: while a meter behind a gateway is away, or while it starts, many say that instead
//! of nothing. Pure.

use busbar_ledger::model::{Class, Point, Rate};
use busbar_ledger::value::{Quality, Reading};

/// So many values must be 0 at once to mean anything.
const ENOUGH: usize = 6;
/// So many such polls in a row are believed, where no counter speaks against it: a machine that is switched off. Counters
/// are read with every sixth poll.
const BELIEVED: u32 = 8;

/// Whether one device says 0 to everything, and for how long.
#[derive(Debug, Default)]
pub struct Zeros {
    /// It once said something else.
    lived: bool,
    in_a_row: u32,
    /// All that each poll reads was 0 while something that is read more rarely, as a counter, was not: it rests.
    rests: bool,
}

impl Zeros {
    /// Whether what a poll brought is not to be believed. `counter_at_zero` says that one of the device's counters reads
    /// 0 and stood higher, which no counter does that is really read.
    pub fn doubts<'a>(
        &mut self,
        poll: impl Iterator<Item = (&'a Point, &'a Reading)>,
        counter_at_zero: bool,
    ) -> bool {
        let measured = |point: &Point, reading: &Reading| {
            is_measured(point) && reading.quality == Quality::Good && !reading.raw.is_empty()
        };
        let (mut values, mut zeros) = (0, 0);
        let (mut each_poll, mut rarer) = (false, false);
        for (point, reading) in poll.filter(|(point, reading)| measured(point, reading)) {
            values += 1;
            let is_zero = reading.raw.iter().all(|word| *word == 0);
            zeros += usize::from(is_zero);
            rarer |= point.rate != Rate::Fast;
            each_poll |= point.rate == Rate::Fast && !is_zero;
        }
        if values < ENOUGH {
            return self.in_a_row > 0 && counter_at_zero;
        }
        if zeros < values {
            *self = Zeros {
                lived: true,
                in_a_row: 0,
                rests: !each_poll,
            };
            return false;
        }
        self.rests &= !rarer;
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.lived && !self.rests && (self.in_a_row < BELIEVED || counter_at_zero)
    }
}

/// What a device says of itself is not measured, and may well be 0.
fn is_measured(point: &Point) -> bool {
    !matches!(point.class, Some(Class::Identity | Class::Enum))
}

/// A reading of a poll that is not believed.
pub fn disbelieved(point: &Point, reading: Reading) -> Reading {
    match reading.quality {
        Quality::Good if is_measured(point) => Reading {
            value: None,
            quality: Quality::Invalid,
            ..reading
        },
        _ => reading,
    }
}

#[cfg(test)]
mod tests {
    use busbar_ledger::value::Value;

    use super::*;

    /// What becomes of polls that say so, one after the other.
    fn doubts(polls: &[([u16; 6], bool)]) -> Vec<bool> {
        let keys: String = (0..6)
            .map(|i| format!("p{i} = {{ at = {i}, type = \"u16\" }}\n"))
            .collect();
        let text = format!("ledger = \"test/one\"\ntitle = \"One\"\n[points]\n{keys}");
        let ledger = busbar_ledger::parse("one", &text).unwrap();
        let mut zeros = Zeros::default();
        let judge = |(words, counter): &([u16; 6], bool)| {
            let readings: Vec<Reading> = words
                .iter()
                .map(|word| Reading {
                    value: Some(Value::Integer(i64::from(*word))),
                    quality: Quality::Good,
                    at: None,
                    raw: [*word].as_slice().into(),
                })
                .collect();
            zeros.doubts(ledger.points.iter().zip(&readings), *counter)
        };
        polls.iter().map(judge).collect()
    }

    const ALIVE: [u16; 6] = [0, 0, 0, 7, 0, 0];

    #[test]
    fn fault_31_all_zeros_are_doubted_at_first() {
        let mut polls = vec![(ALIVE, false)];
        polls.extend([([0; 6], false); 9]);
        polls.push((ALIVE, false));
        let doubted = doubts(&polls);
        assert_eq!(doubted.iter().filter(|doubt| **doubt).count(), 7);
        assert!(doubted[1..8].iter().all(|doubt| *doubt));
    }

    #[test]
    fn as_long_as_a_counter_speaks_against_it_they_are_not_believed() {
        let mut polls = vec![(ALIVE, false)];
        polls.extend([([0; 6], true); 50]);
        assert!(doubts(&polls)[1..].iter().all(|doubt| *doubt));
    }

    #[test]
    fn a_device_at_rest_whose_counter_stands_is_believed() {
        let fast: String = (0..6)
            .map(|i| format!("p{i} = {{ at = {i}, type = \"u16\" }}\n"))
            .collect();
        let text = format!(
            "ledger = \"test/one\"\ntitle = \"One\"\n[points]\n{fast}energy = {{ at = 6, type = \"u16\", unit = \
             \"kWh\", class = \"energy\", total = \"increasing\" }}\n"
        );
        let ledger = busbar_ledger::parse("one", &text).unwrap();
        let mut zeros = Zeros::default();
        // What each poll reads, and the counter where it is read, too.
        let mut doubts = |fast: u16, counter: Option<u16>| {
            let said = |word: u16| Reading {
                value: Some(Value::Integer(i64::from(word))),
                quality: Quality::Good,
                at: None,
                raw: [word].as_slice().into(),
            };
            let readings: Vec<Reading> = std::iter::repeat_n(fast, 6).chain(counter).map(said).collect();
            zeros.doubts(ledger.points.iter().zip(&readings), counter == Some(0))
        };
        assert!(!doubts(230, Some(77)));
        // The sun sets: doubted until the counter was read.
        assert!(doubts(0, None));
        for _ in 0..20 {
            assert!(!doubts(0, Some(77)));
            assert!((0..5).all(|_| !doubts(0, None)));
        }
        // Then it is away: now the counter speaks against it.
        assert!(doubts(0, Some(0)));
        assert!(doubts(0, None));
    }

    #[test]
    fn a_device_that_never_said_anything_else_is_off() {
        assert_eq!(doubts(&[([0; 6], false); 3]), [false; 3]);
    }
}
