//! How old what was heard may become. Time is passed in.

use std::time::Duration;

use tokio::time::Instant;

/// Readings of the meter itself stay good for at least this long.
const AT_LEAST: Duration = Duration::from_secs(10);
/// So many intervals without a telegram make what was heard stale.
const STALE: u32 = 3;
/// So many, and at least a minute, and nothing is known any more.
const GONE: u32 = 12;
/// And nothing is known before this long.
const GONE_AT_LEAST: Duration = Duration::from_secs(60);
/// What counts as an interval between telegrams: longer is a gap.
const LONGEST: Duration = Duration::from_secs(60);

/// How often telegrams come, and what became of that.
#[derive(Clone, Debug)]
pub(super) struct Rhythm {
    last: Instant,
    interval: Option<Duration>,
    ever: bool,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Fresh,
    Stale,
    Gone,
}

impl Rhythm {
    pub(super) fn begin(now: Instant) -> Self {
        Rhythm {
            last: now,
            interval: None,
            ever: false,
            stage: Stage::Fresh,
        }
    }

    /// A whole telegram came.
    pub(super) fn heard(&mut self, now: Instant) {
        let gap = now.duration_since(self.last);
        if self.ever && gap <= LONGEST {
            self.interval = Some(match self.interval {
                None => gap,
                Some(usual) => (usual * 7 + gap) / 8,
            });
        }
        self.last = now;
        self.ever = true;
        self.stage = Stage::Fresh;
    }

    /// Whether there was any telegram.
    pub(super) fn ever(&self) -> bool {
        self.ever
    }

    /// For how long there was none.
    pub(super) fn silence(&self, now: Instant) -> Duration {
        now.duration_since(self.last)
    }

    fn stale_after(&self) -> Duration {
        (self.interval.unwrap_or_default() * STALE).max(AT_LEAST)
    }

    fn gone_after(&self) -> Duration {
        (self.interval.unwrap_or_default() * GONE).max(GONE_AT_LEAST)
    }

    /// When silence begins to mean something more.
    pub(super) fn due(&self) -> Option<Instant> {
        match self.stage {
            Stage::Fresh => Some(self.last + self.stale_after()),
            Stage::Stale => Some(self.last + self.gone_after()),
            Stage::Gone => None,
        }
    }

    /// Whether it does by now; told once for each step.
    pub(super) fn passed(&mut self, now: Instant) -> bool {
        let silence = self.silence(now);
        let stage = if silence >= self.gone_after() {
            Stage::Gone
        } else if silence >= self.stale_after() {
            Stage::Stale
        } else {
            Stage::Fresh
        };
        let passed = stage > self.stage;
        self.stage = self.stage.max(stage);
        passed
    }

    /// Whether nothing is known any more.
    pub(super) fn is_gone(&self) -> bool {
        self.stage == Stage::Gone
    }
}

/// What hangs on a channel is read by the meter every hour, every five minutes or more rarely; each reading has its own
/// time.
const CHANNEL_AT_LEAST: i64 = 3 * 3_600_000;
/// How far a clock may be off and still be believed.
const OFF_AT_MOST: i64 = 10 * 60_000;
/// An older reading of a channel has no time that could be shown.
const OLDEST: i64 = 400 * 86_400_000;

/// The readings of one channel, by the times that they say. Milliseconds since 1970.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Channel {
    last: Option<i64>,
    spacing: i64,
}

impl Channel {
    /// A reading of this time.
    pub(super) fn heard(&mut self, time_ms: i64) {
        if let Some(last) = self.last
            && time_ms > last
        {
            // One that was missed must not make a slow meter of a quick one, nor the other way round.
            let step = time_ms - last;
            self.spacing = if self.spacing == 0 {
                step
            } else {
                (self.spacing * 3 + step) / 4
            };
        }
        self.last = Some(time_ms);
    }

    /// How old a reading may be and still be good.
    pub(super) fn patience_ms(&self) -> i64 {
        (2 * self.spacing).max(CHANNEL_AT_LEAST)
    }
}

/// A time that the meter says, where it can be: not in the future, and for what the meter itself reads, not long ago.
pub(super) fn sane(said_ms: Option<i64>, now_ms: i64, is_channel: bool) -> Option<i64> {
    let oldest = if is_channel { OLDEST } else { OFF_AT_MOST };
    said_ms.filter(|said| *said <= now_ms + OFF_AT_MOST && *said >= now_ms - oldest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_each_second_is_stale_after_ten_and_each_ten_after_thirty() {
        for (every, stale, gone) in [(1, 10, 60), (10, 30, 120)] {
            let begin = Instant::now();
            let mut rhythm = Rhythm::begin(begin);
            let mut now = begin;
            for _ in 0..50 {
                now += seconds(every);
                rhythm.heard(now);
            }
            assert!(!rhythm.passed(now + seconds(stale - 1)));
            assert_eq!(rhythm.due(), Some(now + seconds(stale)));
            assert!(rhythm.passed(now + seconds(stale)));
            assert!(!rhythm.passed(now + seconds(stale + 1)), "told once");
            assert!(rhythm.passed(now + seconds(gone)) && rhythm.is_gone());
            assert_eq!(rhythm.due(), None);
            // A gap teaches nothing, and one telegram makes all good again.
            rhythm.heard(now + seconds(500));
            assert!(!rhythm.passed(now + seconds(500 + stale - 1)));
            assert!(rhythm.passed(now + seconds(500 + stale)));
        }
    }

    #[test]
    fn a_channel_has_three_hours_or_twice_its_own_spacing() {
        let hour = 3_600_000;
        let mut channel = Channel::default();
        for n in 0..5 {
            channel.heard(n * hour);
            channel.heard(n * hour);
        }
        assert_eq!(channel.patience_ms(), 3 * hour);
        let mut daily = Channel::default();
        (0..5).for_each(|n| daily.heard(n * 24 * hour));
        assert_eq!(daily.patience_ms(), 48 * hour);
    }

    #[test]
    fn a_clock_that_is_off_is_not_believed() {
        let now = 1_792_888_200_000;
        assert_eq!(sane(Some(now - 1000), now, false), Some(now - 1000));
        for said in [now - 3_600_000, now + 3_600_000] {
            assert_eq!(sane(Some(said), now, false), None);
        }
        assert_eq!(sane(Some(now - 3_600_000), now, true), Some(now - 3_600_000));
        assert_eq!(sane(Some(0), now, true), None);
        assert_eq!(sane(None, now, true), None);
    }
}
