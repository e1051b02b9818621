//! Words as they were read.
//!
//! Invariant: a value is never put together from two reads. Blocks are kept apart as they came, even where
//! they touch, and a newer block takes its addresses away from the older ones.

use crate::span::{Function, Span};

/// What was read of one unit, block by block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// Sorted by function and address; no two share an address.
    blocks: Vec<Block>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Block {
    span: Span,
    words: Vec<u16>,
}

impl Block {
    fn key(&self) -> (Function, u16) {
        (self.span.function, self.span.at)
    }

    /// The words of `span`, where this block holds all of them.
    fn get(&self, span: Span) -> Option<&[u16]> {
        if !self.span.contains(span) {
            return None;
        }
        let from = usize::from(span.at - self.span.at);
        self.words.get(from..from + usize::from(span.count))
    }

    /// The parts of this block that `newer` leaves to it.
    fn without(self, newer: Span) -> impl Iterator<Item = Block> {
        let (at, end) = (u32::from(self.span.at), self.span.end());
        let before = (at, end.min(u32::from(newer.at)));
        let after = (at.max(newer.end()), end);
        [before, after]
            .into_iter()
            .filter(|(from, to)| from < to)
            .filter_map(move |(from, to)| {
                let span = Span {
                    function: self.span.function,
                    at: u16::try_from(from).ok()?,
                    count: u16::try_from(to - from).ok()?,
                };
                Some(Block {
                    span,
                    words: self.get(span)?.to_vec(),
                })
            })
    }
}

impl Image {
    /// Puts down the answer to one read. A block whose length does not match its span is no answer to that
    /// read and is left out.
    pub fn insert(&mut self, span: Span, words: Vec<u16>) {
        if words.len() != usize::from(span.count) || words.is_empty() {
            return;
        }
        // The blocks that share an address with the new one stand together.
        let from = self.blocks.partition_point(|b| {
            b.span.function < span.function
                || (b.span.function == span.function && b.span.end() <= u32::from(span.at))
        });
        let to = from
            + self.blocks[from..]
                .iter()
                .take_while(|b| b.span.overlaps(span))
                .count();
        let older: Vec<Block> = self.blocks.splice(from..to, [Block { span, words }]).collect();
        if !older.is_empty() {
            self.blocks
                .extend(older.into_iter().flat_map(|block| block.without(span)));
            self.blocks.sort_unstable_by_key(Block::key);
        }
    }

    /// The words of `span`, if one read brought all of them.
    pub fn get(&self, span: Span) -> Option<&[u16]> {
        let after = self
            .blocks
            .partition_point(|block| block.key() <= (span.function, span.at));
        self.blocks.get(after.checked_sub(1)?)?.get(span)
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.blocks.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_never_put_together_from_two_reads() {
        let mut image = Image::default();
        image.insert(Span::holding(10, 2), vec![1, 2]);
        image.insert(Span::holding(12, 2), vec![3, 4]);
        assert_eq!(image.get(Span::holding(11, 1)), Some(&[2][..]));
        assert_eq!(image.get(Span::holding(12, 2)), Some(&[3, 4][..]));
        assert_eq!(
            image.get(Span::holding(11, 2)),
            None,
            "touching blocks stay apart"
        );
    }

    #[test]
    fn a_newer_block_takes_its_addresses_from_the_older_ones() {
        let mut image = Image::default();
        image.insert(Span::holding(10, 6), vec![1, 2, 3, 4, 5, 6]);
        image.insert(Span::holding(12, 2), vec![30, 40]);
        assert_eq!(image.get(Span::holding(10, 2)), Some(&[1, 2][..]));
        assert_eq!(image.get(Span::holding(12, 2)), Some(&[30, 40][..]));
        assert_eq!(image.get(Span::holding(14, 2)), Some(&[5, 6][..]));
        assert_eq!(image.get(Span::holding(11, 2)), None);
        assert_eq!(image.get(Span::holding(13, 2)), None);
        image.insert(Span::holding(0, 100), vec![7; 100]);
        assert_eq!(image.get(Span::holding(9, 8)), Some(&[7; 8][..]));
    }

    #[test]
    fn address_spaces_are_apart() {
        let mut image = Image::default();
        image.insert(Span::holding(10, 1), vec![1]);
        assert_eq!(
            image.get(Span {
                function: Function::Input,
                at: 10,
                count: 1
            }),
            None
        );
        image.clear();
        assert_eq!(image.get(Span::holding(10, 1)), None);
    }

    #[test]
    fn a_block_of_the_wrong_length_is_no_answer() {
        let mut image = Image::default();
        image.insert(Span::holding(10, 2), vec![1, 2, 3]);
        assert_eq!(image.get(Span::holding(10, 1)), None);
    }

    #[test]
    fn the_last_address_can_be_read() {
        let mut image = Image::default();
        image.insert(Span::holding(65_535, 1), vec![9]);
        assert_eq!(image.get(Span::holding(65_535, 1)), Some(&[9][..]));
    }
}
