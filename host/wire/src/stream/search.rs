//! Which setting of a line is tried when. Pure.

use std::time::Duration;

use crate::endpoint::{Parity, Setting};

/// What meters have, likeliest first.
const KNOWN: [Setting; 3] = [
    Setting::USUAL,
    Setting {
        baud: 115_200,
        parity: Parity::Even,
        data_bits: 7,
    },
    Setting {
        baud: 9600,
        parity: Parity::Even,
        data_bits: 7,
    },
];

/// How long a setting may bring no whole telegram: two and a half of the longest intervals of meters.
pub(super) const PATIENCE: Duration = Duration::from_secs(25);

/// The search for the setting of one line.
#[derive(Clone, Debug)]
pub(super) struct Search {
    /// Never empty.
    order: Vec<Setting>,
    at: usize,
}

impl Search {
    /// The given one and no other; else what is known, that which was found before first.
    pub(super) fn new(given: Option<Setting>, found: Option<Setting>) -> Self {
        let mut order: Vec<Setting> = given.into_iter().collect();
        if order.is_empty() {
            order.extend(found);
            order.extend(KNOWN.into_iter().filter(|known| Some(*known) != found));
        }
        Search { order, at: 0 }
    }

    /// What is tried now.
    pub(super) fn now(&self) -> Setting {
        self.order.get(self.at).copied().unwrap_or(Setting::USUAL)
    }

    /// Whether there is another.
    pub(super) fn can_move(&self) -> bool {
        self.order.len() > 1
    }

    /// Goes on to the next, and from the last to the first.
    pub(super) fn advance(&mut self) {
        self.at = (self.at + 1) % self.order.len().max(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_setting_has_its_turn_and_what_was_found_is_first() {
        let turns = |mut search: Search| {
            let mut turns = Vec::new();
            for _ in 0..4 {
                turns.push(search.now().short());
                search.advance();
            }
            turns
        };
        assert_eq!(
            turns(Search::new(None, None)),
            ["115200 8N1", "115200 7E1", "9600 7E1", "115200 8N1"]
        );
        assert_eq!(
            turns(Search::new(None, Some(KNOWN[2]))),
            ["9600 7E1", "115200 8N1", "115200 7E1", "9600 7E1"]
        );
        let given = Setting {
            baud: 19_200,
            ..KNOWN[0]
        };
        let fixed = Search::new(Some(given), Some(KNOWN[2]));
        assert!(!fixed.can_move());
        assert_eq!(turns(fixed), ["19200 8N1"; 4]);
    }
}
