//! What is on the wire: transaction ids, and answers that come late, twice or were never asked for. Pure, time is
//! passed in.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// The most requests on the wire at once.
pub(crate) const MOST: u16 = 64;
/// How many expired ids are remembered.
const EXPIRED: usize = 256;
/// How many ids are remembered whose answer came: so far apart the copies of a doubled one may be.
const ANSWERED: usize = 64;
/// For how long an expired id is not used again: longer than a GX takes for its slowest answer (25 s).
const UNUSED: Duration = Duration::from_secs(60);

/// To whom an answer belongs.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Owner<T> {
    /// To this request, sent at that time.
    Request(Sent<T>),
    /// To a request that was given up, or that another answer has ended; it was sent so long ago.
    Late(Duration),
    /// To a request that this very answer has ended already.
    Doubled,
    /// To none.
    Nobody,
}

/// A request on the wire.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Sent<T> {
    pub(crate) id: u16,
    pub(crate) at: Instant,
    /// When it was sent for the first time.
    pub(crate) since: Instant,
    /// How often it was sent again.
    pub(crate) again: u8,
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
    expired: VecDeque<Expired>,
    answered: [Option<u16>; ANSWERED],
    next_answered: usize,
}

/// An id that may still be answered.
#[derive(Clone, Copy, Debug)]
struct Expired {
    id: u16,
    at: Instant,
    /// The id under which the same request waits on.
    now: Option<u16>,
}

impl<T> InFlight<T> {
    pub(crate) fn new(first_id: u16) -> Self {
        InFlight {
            slots: (0..MOST).map(|_| None).collect(),
            count: 0,
            next_id: first_id,
            expired: VecDeque::new(),
            answered: [None; ANSWERED],
            next_answered: 0,
        }
    }

    pub(crate) fn len(&self) -> u16 {
        self.count
    }

    /// Notes a request and gives it its id. Fewer than [`MOST`] may be on the wire.
    pub(crate) fn send(&mut self, item: T, now: Instant, timeout: Duration) -> u16 {
        let id = self.free_id(now);
        self.count += 1;
        self.slots[usize::from(id % MOST)] = Some(Sent {
            id,
            at: now,
            since: now,
            again: 0,
            deadline: now + timeout,
            depth: self.count,
            item,
        });
        id
    }

    /// Notes that a request whose time has run out is sent once more, and gives it a new id. An answer to any of
    /// its ids is an answer to it.
    pub(crate) fn resend(&mut self, sent: Sent<T>, now: Instant, timeout: Duration) -> u16 {
        let id = self.free_id(now);
        for old in &mut self.expired {
            if old.id == sent.id || old.now == Some(sent.id) {
                old.now = Some(id);
            }
        }
        self.count += 1;
        self.slots[usize::from(id % MOST)] = Some(Sent {
            id,
            at: now,
            again: sent.again.saturating_add(1),
            deadline: now + timeout,
            depth: self.count,
            ..sent
        });
        id
    }

    /// An id that no answer can carry yet, of a free slot.
    fn free_id(&mut self, now: Instant) -> u16 {
        while self
            .expired
            .front()
            .is_some_and(|old| now.duration_since(old.at) > UNUSED)
        {
            self.expired.pop_front();
        }
        // Ends: below MOST requests one slot in MOST is free, and at most EXPIRED of the ids are taken.
        loop {
            let id = self.next_id;
            self.next_id = id.wrapping_add(1);
            let free = self.slots[usize::from(id % MOST)].is_none();
            if free && !self.expired.iter().any(|old| old.id == id) {
                return id;
            }
        }
    }

    /// Whose answer carries this id.
    pub(crate) fn take(&mut self, id: u16, now: Instant) -> Owner<T> {
        if let Some(sent) = self.take_sent(id) {
            if sent.again > 0 {
                self.over(sent.id);
            }
            return Owner::Request(sent);
        }
        if let Some(old) = self.take_old(id) {
            let Some(sent) = old.now.and_then(|now| self.take_sent(now)) else {
                self.over(id);
                return Owner::Late(now.duration_since(old.at));
            };
            self.over(sent.id);
            // The later transmission's answer is still to come.
            self.remember(&sent);
            return Owner::Request(Sent { at: old.at, ..sent });
        }
        match self.answered.iter_mut().find(|answered| **answered == Some(id)) {
            Some(answered) => {
                *answered = None;
                Owner::Doubled
            }
            None => Owner::Nobody,
        }
    }

    fn take_sent(&mut self, id: u16) -> Option<Sent<T>> {
        let slot = &mut self.slots[usize::from(id % MOST)];
        let sent = slot.take_if(|sent| sent.id == id)?;
        self.count -= 1;
        self.note(id);
        Some(sent)
    }

    fn take_old(&mut self, id: u16) -> Option<Expired> {
        let position = self.expired.iter().position(|old| old.id == id)?;
        self.note(id);
        self.expired.remove(position)
    }

    /// This id was answered; its answer may come twice.
    fn note(&mut self, id: u16) {
        self.answered[self.next_answered] = Some(id);
        self.next_answered = (self.next_answered + 1) % ANSWERED;
    }

    /// The request has ended: an answer to an earlier transmission of it is late.
    fn over(&mut self, id: u16) {
        for old in self.expired.iter_mut().filter(|old| old.now == Some(id)) {
            old.now = None;
        }
    }

    /// Its id may still be answered.
    fn remember(&mut self, sent: &Sent<T>) {
        if self.expired.len() == EXPIRED {
            self.expired.pop_front();
        }
        self.expired.push_back(Expired {
            id: sent.id,
            at: sent.at,
            now: None,
        });
    }

    /// The only request on the wire, whatever its id.
    pub(crate) fn take_only(&mut self) -> Option<Sent<T>> {
        let sent = self.slots.iter_mut().find_map(Option::take)?;
        self.count -= 1;
        Some(sent)
    }

    /// Takes one request whose time has run out; [`Self::resend`] may put it back.
    pub(crate) fn take_expired(&mut self, now: Instant) -> Option<Sent<T>> {
        let slot = self
            .slots
            .iter_mut()
            .find(|slot| slot.as_ref().is_some_and(|sent| sent.deadline <= now))?;
        let sent = slot.take()?;
        self.count -= 1;
        self.remember(&sent);
        Some(sent)
    }

    /// Gives a request on the wire more time: its first byte went out only now.
    pub(crate) fn delay(&mut self, id: u16, now: Instant, deadline: Instant) {
        let slot = self.slots[usize::from(id % MOST)].as_mut();
        if let Some(sent) = slot.filter(|sent| sent.id == id) {
            (sent.at, sent.deadline) = (now, deadline);
        }
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
        self.answered = [None; ANSWERED];
        self.slots.iter_mut().filter_map(Option::take).collect()
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
        assert_eq!(wire.take(ids[0], now), Owner::Doubled, "an answer counts once");
        assert_eq!(wire.take(ids[0], now), Owner::Nobody, "and its copy too");
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
        assert_eq!(wire.take(7, later), Owner::Doubled);
        assert_eq!(wire.take(7, later), Owner::Nobody);
    }

    /// A request on the wire for the third time, under the ids 5, 6 and 7.
    fn thrice(now: Instant) -> InFlight<&'static str> {
        let mut wire = InFlight::new(5);
        wire.send("a", now, SECOND);
        for n in 1..=2 {
            let sent = wire.take_expired(now + n * SECOND).unwrap();
            wire.resend(sent, now + n * SECOND, SECOND);
        }
        assert_eq!(wire.len(), 1);
        wire
    }

    #[test]
    fn an_answer_to_any_transmission_ends_a_request_and_the_others_come_late() {
        let now = Instant::now();
        for (first, sent) in [(5, 0), (6, 1), (7, 2)] {
            let mut wire = thrice(now);
            let later = now + 3 * SECOND;
            let Owner::Request(request) = wire.take(first, later) else {
                panic!("{first} is an id of the request")
            };
            assert_eq!((request.item, request.again, request.since), ("a", 2, now));
            assert_eq!(request.at, now + sent * SECOND, "which transmission was answered");
            assert_eq!(wire.len(), 0);
            assert_eq!(wire.take(first, later), Owner::Doubled);
            for other in [5, 6, 7].into_iter().filter(|other| *other != first) {
                assert!(
                    matches!(wire.take(other, later), Owner::Late(_)),
                    "{other} after {first}"
                );
                assert_eq!(wire.take(other, later), Owner::Doubled);
            }
        }
    }

    #[test]
    fn an_earlier_transmission_is_never_taken_for_a_later_request_with_the_same_id() {
        let now = Instant::now();
        let mut wire = thrice(now);
        assert!(matches!(wire.take(7, now), Owner::Request(_)));
        // 7 is free for a new request; 5 and 6 are not.
        let ids: Vec<u16> = (0..65_536u32)
            .map(|_| {
                let id = wire.send("b", now, SECOND);
                if id != 7 {
                    wire.take(id, now);
                }
                id
            })
            .collect();
        assert!(ids.contains(&7) && !ids.contains(&5) && !ids.contains(&6));
        for old in [5, 6] {
            assert!(matches!(wire.take(old, now), Owner::Late(_)));
        }
        assert_eq!(wire.len(), 1, "the new request under 7 still waits");
    }

    #[test]
    fn a_request_that_was_given_up_is_answered_late_under_each_id() {
        let now = Instant::now();
        for order in [[5, 6, 7], [7, 6, 5], [6, 7, 5]] {
            let mut wire = thrice(now);
            wire.take_expired(now + 3 * SECOND).unwrap();
            for id in order {
                assert!(matches!(wire.take(id, now + 4 * SECOND), Owner::Late(_)), "{id}");
            }
        }
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
}
