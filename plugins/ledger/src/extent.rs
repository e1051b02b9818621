//! Learning what a device answers.

use std::collections::HashSet;

use crate::evidence::Outcome;
use crate::image::Image;
use crate::model::{Bridge, Ledger};
use crate::plan::{self, PlanRules};
use crate::ranges::Ranges;
use crate::readings::{self, Facts};
use crate::span::{Function, Span};

/// Reads everything of a ledger in the fewest blocks and bisects what the device refuses, so that one missing
/// register costs one entity. A state machine: it asks for reads and is told their outcomes.
///
/// A block is made of items: the registers that are wanted, and the holes between them. A refused block is
/// halved between items until the refused ones stand alone; a hole is never read alone, since only what it
/// joins makes it worth anything. When a register is refused, its fall-back is wanted instead.
#[derive(Clone, Debug)]
pub struct Extent {
    rules: PlanRules,
    /// The registers of each point, the best first, and whether each is a finer stand-in for the one before it.
    points: Vec<Vec<(Span, bool)>>,
    /// What a block may cover, as far as is known: what the ledger declares, without what was refused.
    cover: Ranges,
    /// Registers that the device refused, read alone.
    refused: HashSet<Span>,
    ready: Vec<Block>,
    in_flight: Vec<Block>,
    /// Blocks that were not answered, or answered as if the unit were not there. While there are any, only one
    /// single register is asked for: it decides whether the unit is there at all.
    suspects: Vec<Block>,
    /// All blocks that failed while a smaller one might not.
    failed: Vec<Span>,
    longest: u16,
    learned: Learned,
}

/// What a device answers.
#[derive(Clone, Debug, Default)]
pub struct Learned {
    /// The addresses that it answered.
    pub readable: Ranges,
    /// The words that it answered with.
    pub image: Image,
    /// It stopped answering, or says that there is nothing at this unit: nothing can be concluded from what is
    /// missing in `readable`.
    pub lost: bool,
    /// The longest read of registers that it takes; the ledger's, where nothing speaks for less.
    pub max_words: u16,
    /// Reads that were made.
    pub requests: u32,
    /// Reads that it refused with an exception; each is an entry in some device's log.
    pub exceptions: u32,
}

#[derive(Clone, Debug)]
struct Block {
    span: Span,
    items: Vec<Item>,
}

#[derive(Clone, Copy, Debug)]
struct Item {
    span: Span,
    wanted: bool,
}

impl Extent {
    /// Starts on a device of this kind; its firmware and its model decide which points it can have.
    pub fn new(ledger: &Ledger, facts: &Facts<'_>) -> Self {
        let rules = PlanRules::of(ledger);
        let facts = Facts {
            readable: None,
            ..*facts
        };
        let points: Vec<Vec<_>> = ledger
            .points
            .iter()
            .map(|point| {
                let usable = readings::usable(ledger, point, &facts);
                usable
                    .map(|register| (register.span, register.preferred_when_it_fits))
                    .collect()
            })
            .collect();
        let mut cover = plan::declared(ledger, &facts);
        if rules.bridge == Bridge::Learned {
            // Which holes answer is what is to be learned.
            points
                .iter()
                .flatten()
                .for_each(|(span, _)| cover.union(&Ranges::all(span.function)));
        }
        let mut extent = Extent {
            rules,
            points,
            cover,
            refused: HashSet::new(),
            ready: Vec::new(),
            in_flight: Vec::new(),
            suspects: Vec::new(),
            failed: Vec::new(),
            longest: 0,
            learned: Learned {
                max_words: ledger.read.max_words,
                ..Learned::default()
            },
        };
        extent.ready = extent.blocks();
        extent
    }

    /// The reads to make now; they may be made in parallel, and each is to be answered once. Empty when all is
    /// done, and while answers are outstanding on which the rest depends.
    #[allow(
        clippy::should_implement_trait,
        reason = "no iterator: what comes next depends on the answers"
    )]
    pub fn next(&mut self) -> Vec<Span> {
        let mut blocks = Vec::new();
        match self.suspects.first() {
            None => blocks.append(&mut self.ready),
            // What is still under way may speak for the unit as well.
            Some(_) if !self.in_flight.is_empty() => {}
            Some(suspect) => {
                let probe = suspect.items.iter().find(|item| item.wanted);
                blocks.extend(probe.map(|&item| Block {
                    span: item.span,
                    items: vec![item],
                }));
            }
        }
        let spans = blocks.iter().map(|block| block.span).collect();
        self.in_flight.append(&mut blocks);
        spans
    }

    /// What came back from one of them. Exceptions 5 and 6 mean "later" and are for the caller to wait out;
    /// given here, they count as a refusal.
    pub fn answer(&mut self, span: Span, outcome: Outcome) {
        let Some(place) = self.in_flight.iter().position(|block| block.span == span) else {
            return;
        };
        let block = self.in_flight.swap_remove(place);
        self.learned.requests += 1;
        self.learned.exceptions += u32::from(matches!(outcome, Outcome::Exception(_)));
        match outcome {
            Outcome::Words(words) if words.len() == usize::from(span.count) => self.accept(span, words),
            Outcome::Exception(10 | 11) | Outcome::Silent => self.suspect(block),
            Outcome::Exception(1) if !self.answered(span.function) => self.refuse_function(block),
            Outcome::Exception(_) | Outcome::Words(_) | Outcome::Broken => self.refuse(block, true),
        }
        if self.learned.lost {
            self.ready.clear();
            self.suspects.clear();
        } else if self.is_done() {
            self.ready = self.blocks();
        }
    }

    /// Whether there is nothing left to ask.
    pub fn is_done(&self) -> bool {
        self.ready.is_empty() && self.in_flight.is_empty() && self.suspects.is_empty()
    }

    /// What was learned; also before all is done, when a scan is cancelled.
    pub fn finish(mut self) -> Learned {
        // A block that failed although all of its addresses answered in pieces was too long.
        let too_long = |span: &Span| span.count > self.longest && self.learned.readable.contains(*span);
        if self.longest > 0 && self.failed.iter().any(too_long) {
            self.learned.max_words = self.longest;
        }
        self.learned
    }

    /// Blocks for every register that is wanted and was not asked for yet.
    fn blocks(&mut self) -> Vec<Block> {
        let mut wants: Vec<Span> = self
            .points
            .iter()
            .flat_map(|registers| self.wanted(registers))
            .collect();
        wants.sort_unstable();
        wants.dedup();
        self.cover.extend(wants.iter().copied());
        let mut spans = plan::plan(&wants, &self.cover, &self.rules);
        if self.rules.bridge == Bridge::Declared {
            self.close_gaps(&mut spans);
        }
        spans
            .into_iter()
            .map(|span| Block {
                span,
                items: items(span, &wants),
            })
            .collect()
    }

    /// The first register of a point that was not refused, and those that may stand in for it because they are
    /// finer; without those that are known to answer.
    fn wanted<'a>(&self, registers: &'a [(Span, bool)]) -> impl Iterator<Item = Span> + use<'a, '_> {
        let mut left = registers.iter().filter(|(span, _)| !self.refused.contains(span));
        let first = left.next();
        let finer = left.filter(|(_, finer)| *finer);
        first
            .into_iter()
            .chain(finer)
            .map(|(span, _)| *span)
            .filter(|s| !self.learned.readable.contains(*s))
    }

    /// Lets blocks run into the declared hole between them where there is room: it costs no request, and a
    /// later poll of other points may want to read across.
    fn close_gaps(&self, spans: &mut [Span]) {
        for i in 1..spans.len() {
            let (before, after) = (spans[i - 1], spans[i]);
            let joined = self.cover.run_end(before.function, before.at.into()) >= Some(after.end());
            if before.function != after.function || !joined {
                continue;
            }
            let gap = u32::from(after.at).saturating_sub(before.end()) as u16;
            let room = |span: Span| u32::from(span.count) + u32::from(gap) <= self.rules.longest(span);
            if room(before) {
                spans[i - 1].count += gap;
            } else if room(after) {
                spans[i] = Span {
                    at: after.at - gap,
                    count: after.count + gap,
                    ..after
                };
            }
        }
    }

    fn answered(&self, function: Function) -> bool {
        self.learned.readable.iter().any(|span| span.function == function)
    }

    fn accept(&mut self, span: Span, words: Vec<u16>) {
        if !span.function.is_bit() {
            self.longest = self.longest.max(span.count);
        }
        self.learned.readable.insert(span);
        self.learned.image.insert(span, words);
        self.clear_suspects();
    }

    /// No answer, or an answer as if there were no unit: a single register says which of the two it is.
    fn suspect(&mut self, block: Block) {
        if block.items.len() > 1 {
            self.suspects.push(block);
        } else {
            self.learned.lost = true;
        }
    }

    /// The unit is there: what it did not answer is taken apart like what it refused.
    fn clear_suspects(&mut self) {
        for block in std::mem::take(&mut self.suspects) {
            self.refuse(block, false);
        }
    }

    /// The device has no such function: there is no point in asking for the rest in pieces.
    fn refuse_function(&mut self, block: Block) {
        let function = block.span.function;
        let (gone, kept) = std::mem::take(&mut self.ready)
            .into_iter()
            .partition(|b: &Block| b.span.function == function);
        self.ready = kept;
        let gone: Vec<Block> = gone;
        for item in gone.iter().chain([&block]).flat_map(|b| &b.items) {
            self.lose(item.span);
        }
        self.clear_suspects();
    }

    /// Takes a refused block apart.
    fn refuse(&mut self, block: Block, answered: bool) {
        let Block { span, items } = block;
        if let [item] = items[..] {
            self.lose(item.span);
        } else {
            if !span.function.is_bit() {
                self.failed.push(span);
            }
            let (left, right) = items.split_at(items.len() / 2);
            for half in [left, right] {
                self.retry(span, half);
            }
        }
        if answered {
            self.clear_suspects();
        }
    }

    /// One half of a refused block.
    fn retry(&mut self, refused: Span, items: &[Item]) {
        let mut items = items.to_vec();
        // A probe may have asked for one of them meanwhile.
        items.retain(|item| !self.refused.contains(&item.span));
        let Some(span) = hull(&items) else { return };
        if self.learned.readable.contains(span) {
            return;
        }
        let block = Block { span, items };
        if !block.items.iter().any(|item| item.wanted) {
            self.cover.remove(span);
        } else if span == refused {
            // A register as long as the whole block: it is known to be refused.
            self.refuse(block, false);
        } else {
            self.ready.push(block);
        }
    }

    fn lose(&mut self, span: Span) {
        self.refused.insert(span);
        self.cover.remove(span);
    }
}

/// What a block is made of: the wants in it, and the holes between them, in ascending order.
fn items(block: Span, wants: &[Span]) -> Vec<Item> {
    let mut items = Vec::new();
    let mut at = u32::from(block.at);
    let hole = |from: u32, to: u32| {
        let (at, count) = (
            u16::try_from(from).ok()?,
            u16::try_from(to.checked_sub(from)?).ok()?,
        );
        (count > 0).then_some(Item {
            span: Span { at, count, ..block },
            wanted: false,
        })
    };
    let first = wants.partition_point(|w| (w.function, w.at) < (block.function, block.at));
    let inside = wants[first..]
        .iter()
        .take_while(|w| w.function == block.function && u32::from(w.at) < block.end());
    for &want in inside.filter(|w| block.contains(**w)) {
        items.extend(hole(at, u32::from(want.at)));
        items.push(Item {
            span: want,
            wanted: true,
        });
        at = at.max(want.end());
    }
    items.extend(hole(at, block.end()));
    items
}

/// The span from the first to the last address of all items.
fn hull(items: &[Item]) -> Option<Span> {
    let first = items.first()?.span;
    let end = items.iter().map(|item| item.span.end()).max()?;
    Some(Span {
        count: u16::try_from(end - u32::from(first.at)).ok()?,
        ..first
    })
}

#[cfg(test)]
mod tests;
