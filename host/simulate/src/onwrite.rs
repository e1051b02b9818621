//! How a device takes what is written to a point, where it does not simply keep it.

use std::time::Duration;

use busbar_ledger::model::Point;
use busbar_ledger::value::Value;

use crate::site::Cell;

/// Writes to one point that wait for their time to show; the oldest of more is forgotten.
const MAX_WAITING: usize = 16;

/// How a device takes a write of one point. The default keeps what it is given, as long as the ledger's lease says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OnWrite {
    /// Refuses it with this exception: nothing changes.
    pub refuse: Option<u8>,
    /// Answers that all is well and keeps the old value, as a GX does when its service does not want the new one.
    pub keep: bool,
    /// Takes no less and no more than this, in the point's unit; what lies outside becomes the nearer end.
    pub clamp: Option<(f64, f64)>,
    /// Shows the new value so much later.
    pub settle: Duration,
    /// Goes back to what was there before so long after the new value showed, written again or not.
    pub drop: Option<Duration>,
    /// Another master writes this so long after the new value showed; with no time at all nobody ever reads the new
    /// one.
    pub other: Option<(Value, Duration)>,
    /// Falls back when nobody writes again for so long; `None`: the ledger's `device_timeout`, where it has one.
    pub lapse: Option<Duration>,
    /// What it falls back to; `None`: what the site file says.
    pub fallback: Option<Value>,
}

/// What is going to become of a point since it was written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Course {
    /// What was there before; `None` where nothing was.
    before: Option<Cell>,
    /// In the order of their times.
    steps: Vec<(Duration, Step)>,
}

#[derive(Clone, Debug, PartialEq)]
enum Step {
    /// What was written shows.
    Show(Cell),
    /// Something else takes its place; `None` for what the site file says.
    Follow(Option<Cell>),
}

/// After how long the device drops what is written to a point, as its ledger says.
pub(crate) fn lease(point: &Point) -> Option<Duration> {
    point.write.as_ref()?.lease?.device_timeout
}

impl OnWrite {
    /// What is wrong with it, as a sentence.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        match self {
            OnWrite { refuse: Some(0), .. } => Some("an exception has a number from 1 to 255"),
            OnWrite {
                clamp: Some((low, high)),
                ..
            } if low.is_nan() || high.is_nan() || low > high => {
                Some("`clamp` is the lower end, then the upper one")
            }
            _ => None,
        }
    }

    /// The cells that it names.
    pub(crate) fn cells(&self) -> impl Iterator<Item = Cell> {
        let other = self.other.as_ref().map(|(value, _)| value);
        other
            .into_iter()
            .chain(&self.fallback)
            .map(|value| Cell::Fixed(value.clone()))
    }

    fn clamped(&self, cell: Cell) -> Cell {
        let Some((low, high)) = self.clamp else {
            return cell;
        };
        match cell {
            Cell::Fixed(Value::Number(number)) => Cell::Fixed(Value::Number(number.max(low).min(high))),
            Cell::Fixed(Value::Integer(number)) => {
                // The whole number within the ends that is nearest.
                let number = (number as f64).max(low.ceil()).min(high.floor());
                Cell::Fixed(Value::Integer(number as i64))
            }
            other => other,
        }
    }
}

impl Course {
    /// A write at a time of the site: what shows when, and what follows. `present` is what the point holds.
    pub(crate) fn begin(
        self,
        on: &OnWrite,
        timeout: Option<Duration>,
        present: Option<Cell>,
        cell: Cell,
        at: Duration,
    ) -> Course {
        let before = if self.steps.is_empty() {
            present
        } else {
            self.before
        };
        // What was written earlier and does not show yet still will, but nothing follows it any more.
        let mut steps = self.steps;
        steps.retain(|(_, step)| matches!(step, Step::Show(_)));
        if steps.len() >= MAX_WAITING {
            steps.remove(0);
        }
        let shows = at.saturating_add(on.settle);
        steps.push((shows, Step::Show(on.clamped(cell))));
        if let Some((value, after)) = &on.other {
            let cell = Some(Cell::Fixed(value.clone()));
            steps.push((shows.saturating_add(*after), Step::Follow(cell)));
        }
        if let Some(after) = on.drop {
            steps.push((shows.saturating_add(after), Step::Follow(before.clone())));
        }
        if let Some(after) = on.lapse.or(timeout) {
            let cell = on.fallback.clone().map(Cell::Fixed);
            steps.push((at.saturating_add(after), Step::Follow(cell)));
        }
        steps.sort_by_key(|(due, _)| *due);
        Course { before, steps }
    }

    /// What the point holds by now, if that changes: `Some(None)` is what the site file says. Time goes on by this.
    pub(crate) fn pass(&mut self, now: Duration) -> Option<Option<Cell>> {
        let passed = self.steps.partition_point(|(due, _)| *due <= now);
        let (_, step) = self.steps.drain(..passed).next_back()?;
        Some(match step {
            Step::Show(cell) => Some(cell),
            Step::Follow(cell) => cell,
        })
    }

    /// What was there before; for a point that the site file does not give.
    pub(crate) fn before(&self) -> Option<&Cell> {
        self.before.as_ref()
    }

    /// Whether all has come to pass.
    pub(crate) fn is_over(&self) -> bool {
        self.steps.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(number: i64) -> Cell {
        Cell::Fixed(Value::Integer(number))
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_lease_begins_anew_with_each_write() {
        let on = OnWrite {
            lapse: Some(seconds(60)),
            ..OnWrite::default()
        };
        let mut course = Course::default().begin(&on, None, Some(cell(1)), cell(2), seconds(10));
        assert_eq!(course.pass(seconds(10)), Some(Some(cell(2))));
        let mut course = course.begin(&on, None, Some(cell(2)), cell(3), seconds(50));
        assert_eq!(course.pass(seconds(109)), Some(Some(cell(3))));
        assert!(!course.is_over());
        assert_eq!(course.pass(seconds(110)), Some(None));
        assert!(course.is_over());
        // The ledger's time-out counts where the site gives none.
        let mut course =
            Course::default().begin(&OnWrite::default(), Some(seconds(5)), None, cell(2), seconds(0));
        course.pass(seconds(4));
        assert_eq!(course.pass(seconds(5)), Some(None));
    }

    #[test]
    fn what_goes_back_goes_to_the_value_before_all_writes() {
        let on = OnWrite {
            drop: Some(seconds(10)),
            settle: seconds(1),
            ..OnWrite::default()
        };
        let mut course = Course::default().begin(&on, None, Some(cell(1)), cell(2), seconds(0));
        assert_eq!(course.pass(Duration::from_millis(999)), None);
        assert_eq!(course.pass(seconds(1)), Some(Some(cell(2))));
        let mut course = course.begin(&on, None, Some(cell(2)), cell(3), seconds(5));
        assert_eq!(course.pass(seconds(15)), Some(Some(cell(3))));
        assert_eq!(course.pass(seconds(16)), Some(Some(cell(1))));
    }

    #[test]
    fn writes_that_wait_are_bounded_and_come_in_their_order() {
        let on = OnWrite {
            settle: seconds(100),
            ..OnWrite::default()
        };
        let mut course = Course::default();
        for second in 0..1000 {
            course = course.begin(&on, None, None, cell(second), seconds(second as u64));
        }
        assert_eq!(course.steps.len(), MAX_WAITING);
        assert_eq!(course.pass(seconds(1098)), Some(Some(cell(998))));
        assert_eq!(course.pass(seconds(2000)), Some(Some(cell(999))));
    }

    #[test]
    fn whole_numbers_are_clamped_to_whole_ones() {
        let on = OnWrite {
            clamp: Some((-2.5, 2.5)),
            ..OnWrite::default()
        };
        assert_eq!(on.clamped(cell(9)), cell(2));
        assert_eq!(on.clamped(cell(-9)), cell(-2));
        let half = |number| Cell::Fixed(Value::Number(number));
        assert_eq!(on.clamped(half(9.0)), half(2.5));
        assert_eq!(on.clamped(Cell::Invalid), Cell::Invalid);
    }
}
