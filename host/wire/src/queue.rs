//! What waits to be sent: by priority, and fair among units. Pure.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// How urgent a read is. The order of the variants is the order of service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// What belongs to a write: its checks before and its read-back after.
    Write,
    /// A due poll.
    Poll,
    /// A scan; it waits for everything else.
    Scan,
}

impl Priority {
    pub(crate) const COUNT: usize = 3;
}

/// A queue of `T`s. It does not bound itself: whoever fills it does.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    heap: BinaryHeap<Entry<T>>,
    turns: [Turns; Priority::COUNT],
    pushed: u64,
}

/// Of one priority: the turn that is being served, and the last turn that each waiting unit has taken.
#[derive(Debug, Default)]
struct Turns {
    now: u64,
    taken: Vec<(u8, u64)>,
}

/// Its `turn` makes the queue fair: a unit's n-th waiting request stands in the n-th turn from now, so a unit
/// with one request waits for at most one of each other unit.
#[derive(Debug)]
struct Entry<T> {
    priority: Priority,
    turn: u64,
    number: u64,
    item: T,
}

impl<T> Queue<T> {
    pub(crate) fn new() -> Self {
        Queue {
            heap: BinaryHeap::new(),
            turns: Default::default(),
            pushed: 0,
        }
    }

    /// Puts an item at the end of its unit's line.
    pub(crate) fn push(&mut self, priority: Priority, unit: u8, item: T) {
        if self.heap.is_empty() {
            // Nobody waits, so nobody has taken a turn: the list is as long as the busiest moment has units.
            self.turns.iter_mut().for_each(|turns| turns.taken.clear());
        }
        let Turns { now, taken } = &mut self.turns[priority as usize];
        let turn = match taken.iter_mut().find(|(taker, _)| *taker == unit) {
            Some((_, last)) => {
                *last = (*last).max(*now) + 1;
                *last
            }
            None => {
                taken.push((unit, *now + 1));
                *now + 1
            }
        };
        self.insert(priority, turn, item);
    }

    /// Puts an item back that was taken: it goes before all that wait with its priority.
    pub(crate) fn put_back(&mut self, priority: Priority, item: T) {
        self.insert(priority, 0, item);
    }

    fn insert(&mut self, priority: Priority, turn: u64, item: T) {
        self.pushed += 1;
        self.heap.push(Entry {
            priority,
            turn,
            number: self.pushed,
            item,
        });
    }

    /// Takes the next item.
    pub(crate) fn pop(&mut self) -> Option<T> {
        let entry = self.heap.pop()?;
        let now = &mut self.turns[entry.priority as usize].now;
        *now = (*now).max(entry.turn);
        Some(entry.item)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    /// Takes all items.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = T> {
        self.heap.drain().map(|entry| entry.item)
    }
}

impl<T> Entry<T> {
    fn key(&self) -> (Priority, u64, u64) {
        (self.priority, self.turn, self.number)
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl<T> Eq for Entry<T> {}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Entry<T> {
    /// A heap gives its greatest first: the least key is the greatest entry.
    fn cmp(&self, other: &Self) -> Ordering {
        other.key().cmp(&self.key())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(queue: &mut Queue<&'static str>) -> Vec<&'static str> {
        std::iter::from_fn(|| queue.pop()).collect()
    }

    #[test]
    fn writes_go_before_polls_before_scans() {
        let mut queue = Queue::new();
        queue.push(Priority::Scan, 1, "scan");
        queue.push(Priority::Poll, 1, "poll");
        queue.push(Priority::Write, 1, "write");
        queue.push(Priority::Poll, 1, "poll 2");
        assert_eq!(order(&mut queue), ["write", "poll", "poll 2", "scan"]);
        assert!(queue.is_empty());
    }

    #[test]
    fn a_unit_with_much_to_do_does_not_keep_the_others_waiting() {
        let mut queue = Queue::new();
        for item in ["a1", "a2", "a3", "a4"] {
            queue.push(Priority::Poll, 1, item);
        }
        queue.push(Priority::Poll, 2, "b1");
        assert_eq!(queue.pop(), Some("a1"));
        queue.push(Priority::Poll, 3, "c1");
        assert_eq!(order(&mut queue), ["b1", "a2", "c1", "a3", "a4"]);
    }

    #[test]
    fn what_is_put_back_goes_first() {
        let mut queue = Queue::new();
        for item in ["a1", "a2", "a3"] {
            queue.push(Priority::Poll, 1, item);
        }
        queue.push(Priority::Poll, 2, "b1");
        assert_eq!(queue.pop(), Some("a1"));
        queue.put_back(Priority::Poll, "a1 again");
        assert_eq!(order(&mut queue), ["a1 again", "b1", "a2", "a3"]);
    }
}
