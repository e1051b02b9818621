//! Some devices answer a block that runs across a hole with the registers moved together, and no error. So in the
//! first polls each block is compared with single reads at a sample; after that it is trusted.

use std::collections::HashSet;

use busbar_ledger::span::Span;
use busbar_wire::{Link, Priority, ReadPlan};
use tracing::warn;

use super::schedule::Due;
use super::unit::Unit;

/// Single reads per block: its first value, its last, and the one behind its widest hole.
const SAMPLE: usize = 3;
/// Blocks compared in one poll, so that the first polls stay short.
const BLOCKS_A_POLL: usize = 8;
/// How often a difference is looked at again: values move, holes do not.
const TRIES: usize = 6;
/// Differences in a row under a register that stands still that speak against a block.
const AGAINST: usize = 3;

/// Which blocks of a unit have been compared.
#[derive(Debug, Default)]
pub struct Trust {
    compared: HashSet<Span>,
    /// What was told of it last.
    told: Option<bool>,
}

impl Trust {
    /// Compares a few blocks that were never compared. A device whose block and single reads differ for good is read
    /// without spanning holes from then on.
    ///
    /// Tells once what came of it: `Some(true)` when all blocks agree, `Some(false)` when one does not.
    pub async fn check(&mut self, link: &Link, unit: &mut Unit) -> Option<bool> {
        let mut left = BLOCKS_A_POLL;
        let plan = unit.plan(Due::ALL);
        let wants: Vec<Span> = plan
            .devices
            .iter()
            .flat_map(|d| d.spans.iter().copied())
            .collect();
        for block in &plan.blocks {
            if left == 0 {
                return None;
            }
            let sample = sample(*block, &wants);
            // A block without a hole cannot be read wrongly this way.
            if sample.is_empty() || !self.compared.insert(*block) {
                continue;
            }
            left -= 1;
            for single in sample {
                if differs(link, unit.id, *block, single).await {
                    warn!(
                        unit = unit.id,
                        "the block {block} and the single read of {single} do not agree; this unit is read \
                         without spanning holes from now on"
                    );
                    unit.distrust();
                    return self.tell(false);
                }
            }
        }
        if self.compared.is_empty() {
            return None;
        }
        self.tell(true)
    }

    fn tell(&mut self, spans_holes: bool) -> Option<bool> {
        // After a disagreement the blocks have no holes, and nothing is left to compare.
        if self.told.is_some() {
            return None;
        }
        self.told = Some(spans_holes);
        self.told
    }
}

/// What to compare in a block: nothing where its values touch each other without a hole.
fn sample(block: Span, wants: &[Span]) -> Vec<Span> {
    let mut inside: Vec<Span> = wants.iter().copied().filter(|w| block.contains(*w)).collect();
    inside.sort_unstable();
    inside.dedup();
    let hole = inside
        .windows(2)
        .filter(|pair| u32::from(pair[1].at) > pair[0].end())
        .max_by_key(|pair| u32::from(pair[1].at) - pair[0].end())
        .map(|pair| pair[1]);
    let Some(behind) = hole else { return Vec::new() };
    let mut picked: Vec<Span> = [inside.first().copied(), Some(behind), inside.last().copied()]
        .into_iter()
        .flatten()
        .collect();
    picked.dedup();
    picked.truncate(SAMPLE);
    picked
}

/// Whether the block says something else than the single read, again and again.
async fn differs(link: &Link, unit: u8, block: Span, single: Span) -> bool {
    let offset = usize::from(single.at - block.at);
    let mut judge = Judge::default();
    for _ in 0..TRIES {
        let read = |span| {
            link.read(ReadPlan {
                unit,
                span,
                priority: Priority::Poll,
            })
        };
        let (Ok(before), Ok(all), Ok(after)) = (read(single).await, read(block).await, read(single).await)
        else {
            return false;
        };
        let Some(within) = all.get(offset..offset + before.len()) else {
            return false;
        };
        if let Some(verdict) = judge.note(&before, within, &after) {
            return verdict;
        }
    }
    false
}

/// Judges a block by single reads before and after it. A register that moves says nothing: only one that stands still
/// under every single read and is something else in every block speaks against the block.
#[derive(Debug, Default)]
struct Judge {
    still: Option<Vec<u16>>,
    against: usize,
}

impl Judge {
    /// `Some(true)` when the block is wrong, `Some(false)` when it is right, `None` while that is open.
    fn note(&mut self, before: &[u16], within: &[u16], after: &[u16]) -> Option<bool> {
        if within == before || within == after {
            return Some(false);
        }
        if before != after || self.still.as_deref().is_some_and(|still| still != before) {
            // It moves; what it was before is of no use.
            *self = Judge::default();
            return None;
        }
        self.still = Some(before.to_vec());
        self.against += 1;
        (self.against == AGAINST).then_some(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_without_holes_needs_no_comparison() {
        let wants = [Span::holding(10, 2), Span::holding(12, 1), Span::holding(13, 2)];
        assert!(sample(Span::holding(10, 5), &wants).is_empty());
    }

    #[test]
    fn a_block_over_a_hole_is_compared_at_its_ends_and_behind_the_hole() {
        let wants = [Span::holding(10, 2), Span::holding(20, 1), Span::holding(22, 1)];
        let picked = sample(Span::holding(10, 13), &wants);
        assert_eq!(
            picked,
            [Span::holding(10, 2), Span::holding(20, 1), Span::holding(22, 1)]
        );
    }

    #[test]
    fn a_block_is_wrong_only_where_a_register_stands_still() {
        let mut judge = Judge::default();
        assert_eq!(judge.note(&[7], &[0], &[7]), None);
        assert_eq!(judge.note(&[7], &[3], &[7]), None);
        assert_eq!(judge.note(&[7], &[0], &[7]), Some(true));

        let mut noisy = Judge::default();
        for n in 0..1000u16 {
            let n = n * 3;
            assert_eq!(noisy.note(&[n], &[n + 1], &[n + 2]), None, "it only moves");
        }
        assert_eq!(noisy.note(&[1], &[1], &[2]), Some(false));
        assert_eq!(noisy.note(&[1], &[2], &[2]), Some(false));
    }
}
