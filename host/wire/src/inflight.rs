//! What is on the wire: transaction ids, answers that come late or were never asked for, and how many
//! requests may be out at once. Pure, time is passed in.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// The most requests on the wire at once.
pub(crate) const MOST: u16 = 64;
/// How many expired ids are remembered.
const EXPIRED: usize = 256;
/// For how long an expired id is not used again: longer than a GX takes for its slowest answer (25 s).
const UNUSED: Duration = Duration::from_secs(60);

/// To whom an answer belongs.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Owner<T> {
    /// To this request, sent at that time.
    Request(Sent<T>),
    /// To a request that was given up; it was sent so long ago.
    Late(Duration),
    /// To none.
    Nobody,
}

/// A request on the wire.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Sent<T> {
    pub(crate) id: u16,
    pub(crate) at: Instant,
    pub(crate) deadline: Instant,
    /// How many were on the wire when it was sent, itself included.
    pub(crate) depth: u16,
    pub(crate) item: T,
}

/// The requests on the wire, found by id in one step: an id's low bits are its slot.
#[derive(Debug)]
pub(crate) struct InFlight<T> {
    slots: Vec<Option<Sent<T>>>,
    count: u16,
    next_id: u16,
    expired: VecDeque<(u16, Instant)>,
}

impl<T> InFlight<T> {
    pub(crate) fn new(first_id: u16) -> Self {
        InFlight {
            slots: (0..MOST).map(|_| None).collect(),
            count: 0,
            next_id: first_id,
            expired: VecDeque::new(),
        }
    }

    pub(crate) fn len(&self) -> u16 {
        self.count
    }

    /// Notes a request and gives it its id. Fewer than [`MOST`] may be on the wire.
    pub(crate) fn send(&mut self, item: T, now: Instant, timeout: Duration) -> u16 {
        while self
            .expired
            .front()
            .is_some_and(|(_, sent)| now.duration_since(*sent) > UNUSED)
        {
            self.expired.pop_front();
        }
        // Ends: below MOST requests one slot in MOST is free, and at most EXPIRED of the ids are taken.
        loop {
            let id = self.next_id;
            self.next_id = id.wrapping_add(1);
            let slot = &mut self.slots[usize::from(id % MOST)];
            if slot.is_none() && !self.expired.iter().any(|(old, _)| *old == id) {
                self.count += 1;
                *slot = Some(Sent {
                    id,
                    at: now,
                    deadline: now + timeout,
                    depth: self.count,
                    item,
                });
                return id;
            }
        }
    }

    /// Whose answer carries this id.
    pub(crate) fn take(&mut self, id: u16, now: Instant) -> Owner<T> {
        let slot = &mut self.slots[usize::from(id % MOST)];
        if let Some(sent) = slot.take_if(|sent| sent.id == id) {
            self.count -= 1;
            return Owner::Request(sent);
        }
        match self.expired.iter().position(|(old, _)| *old == id) {
            Some(position) => {
                let sent = self.expired.remove(position).map_or(now, |(_, sent)| sent);
                Owner::Late(now.duration_since(sent))
            }
            None => Owner::Nobody,
        }
    }

    /// The only request on the wire, whatever its id.
    pub(crate) fn take_only(&mut self) -> Option<Sent<T>> {
        let sent = self.slots.iter_mut().find_map(Option::take)?;
        self.count -= 1;
        Some(sent)
    }

    /// Takes one request whose time has run out.
    pub(crate) fn take_expired(&mut self, now: Instant) -> Option<Sent<T>> {
        let slot = self
            .slots
            .iter_mut()
            .find(|slot| slot.as_ref().is_some_and(|sent| sent.deadline <= now))?;
        let sent = slot.take()?;
        self.count -= 1;
        if self.expired.len() == EXPIRED {
            self.expired.pop_front();
        }
        self.expired.push_back((sent.id, sent.at));
        Some(sent)
    }

    /// When the next request runs out of time.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.slots.iter().flatten().map(|sent| sent.deadline).min()
    }

    /// When the oldest request on the wire was sent.
    pub(crate) fn oldest(&self) -> Option<Instant> {
        self.slots.iter().flatten().map(|sent| sent.at).min()
    }

    /// Takes everything off the wire: the connection is gone, and with it whatever would still come.
    pub(crate) fn abandon(&mut self) -> Vec<Sent<T>> {
        self.count = 0;
        self.expired.clear();
        self.slots.iter_mut().filter_map(Option::take).collect()
    }
}

/// How many requests may be on the wire: doubled while a device copes, halved when it does not.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    size: u16,
    most: u16,
    /// Where trouble was met; not passed until long after.
    ceiling: u16,
    /// Answers to requests in the upper half of the window, since its size last changed.
    good: u32,
    /// How many answers at the ceiling it takes to try beyond it once more.
    penance: u32,
    /// Answers to requests that were not alone on the wire.
    shared: u32,
}

impl Window {
    pub(crate) fn new(start: u16, most: u16) -> Self {
        let most = most.clamp(1, MOST);
        let size = start.clamp(1, most);
        Window {
            size,
            most,
            ceiling: most,
            good: 0,
            penance: 256,
            shared: 0,
        }
    }

    pub(crate) fn size(&self) -> u16 {
        self.size
    }

    /// A right answer to a request sent as the `depth`-th on the wire. `more` says whether things
    /// look good enough for more; it is only asked when it matters.
    pub(crate) fn answered(&mut self, depth: u16, more: impl FnOnce() -> bool) {
        if depth > 1 {
            self.shared = self.shared.saturating_add(1);
        }
        // Only the upper half of the window proves anything of its size.
        let half = self.size / 2;
        if depth <= half {
            return;
        }
        self.good += 1;
        if self.size < self.ceiling {
            if self.good >= u32::from(self.size - half) {
                self.good = 0;
                if more() {
                    self.size = (self.size * 2).min(self.ceiling);
                }
            }
        } else if self.ceiling < self.most && self.good >= self.penance {
            self.good = 0;
            self.penance = self.penance.saturating_mul(4);
            self.ceiling = (self.ceiling * 2).min(self.most);
        }
    }

    /// Several at once did not go well.
    pub(crate) fn trouble(&mut self) {
        self.size = (self.size / 2).max(1);
        self.ceiling = self.size;
        self.good = 0;
        self.shared = 0;
    }

    /// One at a time, until answers come.
    pub(crate) fn close(&mut self) {
        self.size = 1;
        self.good = 0;
    }

    /// It goes, but fewer would do: answers only wait at the device.
    pub(crate) fn shrink(&mut self) {
        self.size = (self.size / 2).max(1);
        self.good = 0;
    }

    /// Whether the device has shown that it copes with several.
    pub(crate) fn proven(&self) -> bool {
        self.shared >= 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn an_answer_finds_its_request_in_any_order() {
        let now = Instant::now();
        let mut wire = InFlight::new(65_500);
        let ids: Vec<_> = (0..MOST).map(|n| wire.send(n, now, SECOND)).collect();
        assert_eq!(ids[36], 0, "ids wrap");
        assert_eq!(wire.len(), MOST);
        for (n, id) in ids.iter().enumerate().rev() {
            let Owner::Request(sent) = wire.take(*id, now) else {
                panic!("{id} is on the wire")
            };
            assert_eq!((sent.item, sent.depth), (n as u16, n as u16 + 1));
        }
        assert_eq!(wire.len(), 0);
        assert_eq!(wire.take(ids[0], now), Owner::Nobody, "an answer counts once");
    }

    #[test]
    fn a_late_answer_is_known_once_and_its_id_is_not_used_again() {
        let now = Instant::now();
        let mut wire = InFlight::new(7);
        assert_eq!(wire.send("a", now, SECOND), 7);
        assert_eq!(wire.next_deadline(), Some(now + SECOND));
        assert!(wire.take_expired(now).is_none());
        let later = now + SECOND;
        assert_eq!(wire.take_expired(later).unwrap().item, "a");
        for _ in 0..65_535 {
            let id = wire.send("b", later, SECOND);
            assert_ne!(id, 7, "7 may still be answered");
            wire.take(id, later);
        }
        assert_eq!(wire.take(7, later), Owner::Late(SECOND));
        assert_eq!(wire.take(7, later), Owner::Nobody);
        assert_eq!(wire.take(8000, later), Owner::Nobody);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let now = Instant::now();
        let mut wire = InFlight::new(0);
        for _ in 0..10_000 {
            wire.send((), now, Duration::ZERO);
            wire.take_expired(now).unwrap();
        }
        assert_eq!(wire.expired.len(), EXPIRED);
        wire.send((), now + UNUSED + SECOND, SECOND);
        assert!(wire.expired.is_empty());
        assert_eq!(wire.abandon().len(), 1);
        assert_eq!(wire.len(), 0);
    }

    #[test]
    fn the_window_doubles_while_it_goes_well() {
        let mut window = Window::new(1, 64);
        let mut sizes = vec![];
        for _ in 0..200 {
            window.answered(window.size(), || true);
            if sizes.last() != Some(&window.size()) {
                sizes.push(window.size());
            }
        }
        assert_eq!(sizes, [2, 4, 8, 16, 32, 64]);
        assert!(window.proven());
    }

    #[test]
    fn the_window_stays_where_it_is_not_filled_or_not_invited() {
        let mut window = Window::new(4, 64);
        for _ in 0..1000 {
            window.answered(2, || true);
            window.answered(4, || false);
        }
        assert_eq!(window.size(), 4);
    }

    #[test]
    fn after_trouble_it_falls_back_and_dares_rarely() {
        let mut window = Window::new(2, 64);
        window.trouble();
        assert_eq!(window.size(), 1);
        let mut answers = vec![];
        for _ in 0..3 {
            let mut n = 0;
            while window.size() == 1 {
                window.answered(1, || true);
                n += 1;
            }
            answers.push(n);
            window.trouble();
        }
        assert_eq!(answers, [257, 1025, 4097]);
    }

    #[test]
    fn what_is_asked_for_is_kept_within_bounds() {
        assert_eq!(Window::new(0, 0).size(), 1);
        assert_eq!(Window::new(500, 500).size(), 64);
        assert_eq!(Window::new(4, 2).size(), 2);
    }
}
