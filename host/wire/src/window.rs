//! How many requests may be on the wire at once. Pure.

use crate::inflight::MOST;

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
