//! How long an answer may take, learned from how long answers take. Pure.

use std::time::Duration;

/// The least time-out. A segment that is lost on the way is sent again after about 200 ms at the earliest
/// (Linux' least retransmission time-out), so a shorter one would fail a read for each lost packet.
const FLOOR: Duration = Duration::from_millis(300);

/// The least time after which a datagram's answer is taken for lost, as the maker of the VM-3P75CT has it.
const OVERDUE: Duration = Duration::from_millis(100);

/// So long an answer may be overdue without a meaning.
const HICCUP: Duration = Duration::from_millis(1);

/// Smoothed latency of a link, and the time-out that follows from it: about four times as long, within
/// bounds.
#[derive(Clone, Debug)]
pub(crate) struct Latency {
    /// The longest time-out, and the one to begin with.
    cap: Duration,
    /// Over all answers, with whatever queues at the device.
    smoothed: Option<Duration>,
    /// The last one, which tells of a deeper queue at the device before the smoothed one does.
    last: Duration,
    /// Over answers to requests that had the device for themselves.
    alone: Option<Duration>,
    /// What answers usually take: a few that take very long hardly move it.
    usual: Option<Duration>,
}

impl Latency {
    pub(crate) fn new(cap: Duration) -> Self {
        Latency {
            cap,
            smoothed: None,
            last: Duration::ZERO,
            alone: None,
            usual: None,
        }
    }

    /// An answer, also a late one, came after `took`, with `depth` requests on the wire.
    pub(crate) fn answered(&mut self, took: Duration, depth: u16) {
        let took = took.min(self.cap);
        self.last = took;
        self.smoothed = Some(self.smoothed.map_or(took, |old| (old * 7 + took) / 8));
        self.usual = Some(
            self.usual
                .map_or(took, |old| (old * 7 + took.min(old * 2 + HICCUP)) / 8),
        );
        if depth <= 1 {
            // Down at once, up slowly: one hiccup is not the device's usual time.
            self.alone = Some(self.alone.map_or(took, |old| took.min((old * 7 + took) / 8)));
        }
    }

    /// No answer came in time: perhaps the time was too short.
    pub(crate) fn timed_out(&mut self) {
        self.smoothed = self.smoothed.map(|old| (old * 2).min(self.cap));
    }

    /// The time that the next request is given.
    pub(crate) fn timeout(&self) -> Duration {
        self.smoothed
            .map_or(self.cap, |smoothed| (smoothed * 4).max(FLOOR).min(self.cap))
    }

    /// After how long a datagram that brought no answer is sent again, where that may be done `times` times: soon
    /// enough for all of them, but never before answers usually come. The usual latency and not the smoothed one:
    /// some answers that come late must not keep the others from being asked for again.
    pub(crate) fn overdue(&self, times: u8) -> Duration {
        let share = self.cap / (u32::from(times) + 1);
        let overdue = self
            .usual
            .map_or(share, |usual| (usual * 4).max(OVERDUE).min(share).max(usual * 2));
        overdue.min(self.cap)
    }

    /// The smoothed latency.
    pub(crate) fn smoothed(&self) -> Option<Duration> {
        self.smoothed
    }

    /// Whether more requests at once than `in_flight` may make it faster, while the oldest of them waits for
    /// `oldest`. A device that works on one at a time takes as many times longer as it has requests, and then
    /// more of them only age in its queue; as long as that is short against the time-out it does no harm, and
    /// system calls are shared. A device that takes one at a time and forgets the others shows by their age.
    pub(crate) fn invites_more(&self, in_flight: u16, oldest: Duration) -> bool {
        let (Some(smoothed), Some(alone)) = (self.smoothed, self.alone) else {
            return false;
        };
        let recent = smoothed.max(self.last);
        oldest <= recent * 2 + HICCUP
            && (recent <= self.cap / 16 || recent * 2 <= alone * (u32::from(in_flight) + 1))
    }

    /// Whether answers wait so long at the device that time-outs come near.
    pub(crate) fn forbids_as_many(&self) -> bool {
        self.smoothed.is_some_and(|smoothed| smoothed > self.cap / 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn the_timeout_is_four_times_the_latency_within_bounds() {
        let mut latency = Latency::new(ms(1000));
        assert_eq!(latency.timeout(), ms(1000), "nothing known yet");
        latency.answered(ms(2), 1);
        assert_eq!(latency.timeout(), FLOOR);
        for _ in 0..100 {
            latency.answered(ms(150), 1);
        }
        assert!(
            (ms(590)..=ms(600)).contains(&latency.timeout()),
            "{:?}",
            latency.timeout()
        );
        for _ in 0..100 {
            latency.answered(ms(900), 1);
        }
        assert_eq!(latency.timeout(), ms(1000));
    }

    #[test]
    fn a_cap_below_the_floor_wins() {
        let mut latency = Latency::new(ms(50));
        latency.answered(ms(1), 1);
        assert_eq!(latency.timeout(), ms(50));
    }

    #[test]
    fn silence_lengthens_the_timeout_up_to_its_cap() {
        let mut latency = Latency::new(ms(1000));
        latency.answered(ms(100), 1);
        assert_eq!(latency.timeout(), ms(400));
        latency.timed_out();
        assert_eq!(latency.timeout(), ms(800));
        for _ in 0..50 {
            latency.timed_out();
        }
        assert_eq!(latency.timeout(), ms(1000));
    }

    #[test]
    fn a_datagram_is_sent_again_after_four_times_the_latency_within_bounds() {
        let mut latency = Latency::new(ms(1000));
        assert_eq!(latency.overdue(3), ms(250), "nothing known yet");
        for (took, overdue) in [(2, 100), (40, 160), (100, 250), (400, 800), (900, 1000)] {
            for _ in 0..100 {
                latency.answered(ms(took), 1);
            }
            let got = latency.overdue(3);
            assert!(got.abs_diff(ms(overdue)) <= ms(1), "{took} ms: {got:?}");
        }
        let mut stormy = Latency::new(ms(1000));
        for n in 0..1000 {
            stormy.answered(ms(if n % 5 < 2 { 900 } else { 5 }), 1);
        }
        assert!(stormy.overdue(3) <= ms(160), "{:?}", stormy.overdue(3));
        let mut hasty = Latency::new(ms(250));
        hasty.answered(ms(2), 1);
        assert_eq!(hasty.overdue(3), Duration::from_micros(62_500));
    }

    #[test]
    fn a_long_wire_invites_more_and_a_serial_device_does_not() {
        let mut wire = Latency::new(ms(1000));
        let mut serial = Latency::new(ms(1000));
        for latency in [&mut wire, &mut serial] {
            latency.answered(ms(100), 1);
        }
        wire.answered(ms(105), 8);
        serial.answered(ms(800), 8);
        assert!(wire.invites_more(8, ms(1)));
        assert!(!serial.invites_more(8, ms(1)), "the first answer shows it");
        for _ in 0..40 {
            wire.answered(ms(105), 8);
            serial.answered(ms(800), 8);
        }
        assert!(wire.invites_more(8, ms(1)));
        assert!(!serial.invites_more(8, ms(1)));
        assert!(!wire.invites_more(8, ms(300)), "one of them was forgotten");
        assert!(serial.forbids_as_many() && !wire.forbids_as_many());
    }
}
