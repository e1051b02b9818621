//! Which reads to make.
//!
//! A request costs about the same whatever its length, so the fewest requests win, then the fewest words. A
//! block lies wholly in what the device answers, and every value lies wholly in one block.

use std::collections::VecDeque;

use crate::computed;
use crate::model::{Bridge, Ledger};
use crate::ranges::Ranges;
use crate::readings::{Facts, choices, formula, usable};
use crate::span::Span;

/// The longest read of registers that Modbus allows.
const MAX_WORDS: u16 = 125;
/// The longest read of coils or discrete inputs that Modbus allows.
const MAX_BITS: u16 = 2000;

/// What a block may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlanRules {
    /// The longest read; kept below what Modbus allows.
    pub max_words: u16,
    /// With [`Bridge::Never`] a block covers nothing but what is wanted; otherwise it may cover all that is
    /// readable.
    pub bridge: Bridge,
}

impl PlanRules {
    /// The rules of a ledger.
    pub fn of(ledger: &Ledger) -> Self {
        PlanRules {
            max_words: ledger.read.max_words,
            bridge: ledger.read.bridge,
        }
    }

    /// The longest block in the address space of `span`.
    pub(crate) fn longest(self, span: Span) -> u32 {
        let allowed = if span.function.is_bit() {
            MAX_BITS
        } else {
            MAX_WORDS
        };
        u32::from(self.max_words.clamp(1, allowed))
    }
}

/// The blocks that bring all wants: fewest requests, then fewest words, in ascending order.
///
/// A block covers only addresses in `readable`; a want that is not wholly in there is left out. No want is
/// split: one that is longer than `max_words` is a block of its own. The wants may come from several ledgers of
/// one unit, in any order, and may overlap.
pub fn plan(wants: &[Span], readable: &Ranges, rules: &PlanRules) -> Vec<Span> {
    let mut wants: Vec<Span> = wants
        .iter()
        .copied()
        .filter(|w| w.count > 0 && readable.contains(*w))
        .collect();
    // Of a want that is left out nothing is wanted.
    let cover = match rules.bridge {
        Bridge::Never => &readable.intersection(&wants.iter().copied().collect()),
        _ => readable,
    };
    // Longer first where two begin together, so that what lies inside another stands behind it.
    wants.sort_unstable_by_key(|w| (w.function, w.at, std::cmp::Reverse(w.count)));
    let mut outer: Vec<Span> = Vec::with_capacity(wants.len());
    for want in wants {
        if !outer.last().is_some_and(|last| last.contains(want)) {
            outer.push(want);
        }
    }
    let mut blocks = Vec::new();
    for run in outer
        .chunk_by(|a, b| a.function == b.function && cover.run_end(a.function, a.at.into()) >= Some(b.end()))
    {
        pack(run, rules, &mut blocks);
    }
    blocks
}

/// Packs wants that one block may span, begins and ends strictly ascending, into the fewest blocks.
///
/// From the back: the best way to read from want `i` on is a block `i..=j` and the best way from `j + 1` on. The
/// last want that fits into a block with `i` only moves back as `i` does, so the candidates for `j` are a window
/// whose minimum a queue keeps at hand: linear in the number of wants.
fn pack(wants: &[Span], rules: &PlanRules, blocks: &mut Vec<Span>) {
    let mut best = vec![(0u32, 0u64); wants.len() + 1];
    let mut end_of = vec![0usize; wants.len()];
    let mut window: VecDeque<(usize, (u32, u64))> = VecDeque::new();
    for i in (0..wants.len()).rev() {
        let (requests, words) = best[i + 1];
        let cost = (requests, words + u64::from(wants[i].end()));
        while window.front().is_some_and(|(_, other)| *other >= cost) {
            window.pop_front();
        }
        window.push_front((i, cost));
        let limit = u32::from(wants[i].at) + rules.longest(wants[i]);
        while window
            .back()
            .is_some_and(|&(j, _)| j > i && wants[j].end() > limit)
        {
            window.pop_back();
        }
        if let Some(&(j, (requests, words))) = window.back() {
            best[i] = (requests + 1, words - u64::from(wants[i].at));
            end_of[i] = j;
        }
    }
    let mut i = 0;
    while let Some(&want) = wants.get(i) {
        let count = wants[end_of[i]].end() - u32::from(want.at);
        blocks.push(Span {
            count: u16::try_from(count).unwrap_or(u16::MAX),
            ..want
        });
        i = end_of[i] + 1;
    }
}

/// The registers to read for these points (by their place in `ledger.points`), and for what they lean on:
/// conditions, scale registers, operands of computed values. A fall-back is read where the device lacks the
/// point's own register, or where it may be the finer of the two.
pub fn wants(ledger: &Ledger, points: impl Iterator<Item = usize>, facts: &Facts<'_>) -> Vec<Span> {
    let mut seen = vec![false; ledger.points.len()];
    let mut open: Vec<usize> = points.collect();
    let mut spans = Vec::new();
    while let Some(i) = open.pop() {
        let Some(point) = ledger.points.get(i) else {
            continue;
        };
        if std::mem::replace(&mut seen[i], true) {
            continue;
        }
        let mut lean_on = |key: &str| open.extend(ledger.index.get(key));
        if let Some(condition) = &point.valid_when {
            lean_on(&condition.point);
        }
        if let Some(expression) = formula(ledger, point, facts) {
            computed::operands(expression, &mut lean_on);
        }
        for register in choices(ledger, point, facts) {
            spans.push(register.span);
            register.scale_point.as_deref().into_iter().for_each(&mut lean_on);
        }
    }
    spans.sort_unstable();
    spans.dedup();
    spans
}

/// What a device may be taken to answer before a scan has learned it: every register of the ledger that its
/// firmware and its model have, and the declared runs between them; with [`Bridge::Any`] every address of those spaces.
pub fn declared(ledger: &Ledger, facts: &Facts<'_>) -> Ranges {
    let facts = Facts {
        readable: None,
        ..*facts
    };
    let registers = ledger
        .points
        .iter()
        .flat_map(|point| usable(ledger, point, &facts));
    let mut all: Ranges = registers
        .map(|register| register.span)
        .chain(ledger.reserved.iter().copied())
        .collect();
    if ledger.read.bridge == Bridge::Any {
        let spaces: Vec<Span> = all.iter().collect();
        spaces
            .iter()
            .for_each(|span| all.union(&Ranges::all(span.function)));
    }
    all
}

#[cfg(test)]
mod tests;
