//! Numbers and texts as registers.

use busbar_ledger::model::Order;

/// The low `count` words of a number, high word first.
pub(crate) fn spread(raw: i128, count: usize) -> Vec<u16> {
    (0..count)
        .rev()
        .map(|place| raw.checked_shr(16 * place as u32).unwrap_or(0) as u16)
        .collect()
}

/// A text, two bytes a word, filled with NULs or cut.
pub(crate) fn text(text: &str, count: usize) -> Vec<u16> {
    let byte = |place: usize| text.as_bytes().get(place).copied().unwrap_or(0);
    (0..count)
        .map(|place| u16::from_be_bytes([byte(2 * place), byte(2 * place + 1)]))
        .collect()
}

/// Words that stand high byte and high word first, in another order.
pub(crate) fn in_order(mut words: Vec<u16>, order: Order) -> Vec<u16> {
    if matches!(order, Order::Cdab | Order::Dcba) {
        words.reverse();
    }
    if matches!(order, Order::Badc | Order::Dcba) {
        words.iter_mut().for_each(|word| *word = word.swap_bytes());
    }
    words
}
