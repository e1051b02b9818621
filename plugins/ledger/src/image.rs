//! Words as they were read.
//!
//! Invariant: a value is never put together from two reads. Blocks are kept apart as they came, even where
//! they touch or overlap; what several blocks hold is taken from the newest.

use crate::span::{Function, Span};

/// What was read of one unit, block by block.
#[derive(Clone, Debug, Default)]
pub struct Image {
    /// Sorted by function and address. None holds nothing but what a newer one holds.
    blocks: Vec<Block>,
    /// Whether any two blocks share an address: then the search is not by address alone.
    overlapping: bool,
    /// How many blocks were ever put down.
    count: u64,
}

#[derive(Clone, Debug)]
struct Block {
    span: Span,
    words: Vec<u16>,
    /// Its place in the order in which blocks came.
    number: u64,
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
}

impl Image {
    /// Puts down the answer to one read. A block whose length does not match its span is no answer to that
    /// read and is left out.
    pub fn insert(&mut self, span: Span, words: Vec<u16>) {
        if words.len() != usize::from(span.count) || words.is_empty() {
            return;
        }
        self.count += 1;
        self.blocks.retain(|block| !span.contains(block.span));
        let place = self
            .blocks
            .partition_point(|block| block.key() <= (span.function, span.at));
        self.blocks.insert(
            place,
            Block {
                span,
                words,
                number: self.count,
            },
        );
        self.overlapping = self
            .blocks
            .windows(2)
            .any(|pair| pair[0].span.overlaps(pair[1].span));
    }

    /// The words of `span`, if one read brought all of them; the newest such read.
    pub fn get(&self, span: Span) -> Option<&[u16]> {
        let before = self
            .blocks
            .partition_point(|block| block.key() <= (span.function, span.at));
        if self.overlapping {
            let holders = self.blocks[..before]
                .iter()
                .filter(|block| block.span.contains(span));
            holders.max_by_key(|block| block.number)?.get(span)
        } else {
            self.blocks.get(before.checked_sub(1)?)?.get(span)
        }
    }

    /// Takes over everything that another image holds; where both know an address, the other's words count.
    pub fn extend(&mut self, other: Image) {
        for block in other.blocks {
            self.insert(block.span, block.words);
        }
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
    fn the_newest_read_that_holds_all_of_a_value_counts() {
        let mut image = Image::default();
        image.insert(Span::holding(10, 6), vec![1, 2, 3, 4, 5, 6]);
        image.insert(Span::holding(12, 2), vec![30, 40]);
        assert_eq!(image.get(Span::holding(12, 2)), Some(&[30, 40][..]));
        assert_eq!(image.get(Span::holding(14, 2)), Some(&[5, 6][..]));
        assert_eq!(
            image.get(Span::holding(11, 2)),
            Some(&[2, 3][..]),
            "all from the older read"
        );
        image.insert(Span::holding(14, 4), vec![50, 60, 70, 80]);
        assert_eq!(image.get(Span::holding(15, 1)), Some(&[60][..]));
        assert_eq!(image.get(Span::holding(13, 2)), Some(&[4, 5][..]));
        assert_eq!(image.get(Span::holding(13, 4)), None);
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
