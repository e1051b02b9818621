//! Learning what a device answers.

use crate::evidence::Outcome;
use crate::image::Image;
use crate::model::Ledger;
use crate::ranges::Ranges;
use crate::span::Span;

/// Reads everything of a ledger in the fewest blocks and bisects what the device refuses, so that one missing
/// register costs one entity. A state machine: it asks for reads and is told their outcomes.
#[derive(Clone, Debug)]
pub struct Extent {
    learned: Learned,
}

/// What a device answers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Learned {
    /// The addresses that it answered.
    pub readable: Ranges,
    /// The words that it answered with.
    pub image: Image,
    /// It stopped answering, or says that there is nothing at this unit: nothing can be concluded from what is
    /// missing in `readable`.
    pub lost: bool,
    /// The longest read that it takes; the ledger's, where nothing speaks for less.
    pub max_words: u16,
    /// Reads that were made.
    pub requests: u32,
    /// Reads that it refused with an exception; each is an entry in some device's log.
    pub exceptions: u32,
}

impl Extent {
    /// Starts on a device of this kind; `firmware` decides which points it can have.
    pub fn new(ledger: &Ledger, firmware: Option<&str>) -> Self {
        let _ = (ledger, firmware);
        Extent {
            learned: Learned::default(),
        }
    }

    #[allow(
        clippy::should_implement_trait,
        reason = "no iterator: what comes next depends on the answers"
    )]
    /// The reads to make now; they may be made in parallel, and each is answered once.
    pub fn next(&mut self) -> Vec<Span> {
        Vec::new()
    }

    /// What came back from one of them.
    pub fn answer(&mut self, span: Span, outcome: Outcome) {
        let _ = (span, outcome);
    }

    /// Whether there is nothing left to ask.
    pub fn is_done(&self) -> bool {
        true
    }

    /// What was learned.
    pub fn finish(self) -> Learned {
        self.learned
    }
}
