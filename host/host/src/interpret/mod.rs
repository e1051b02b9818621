//! What registers could mean when nobody has said: every type and order, the likeliest first. Pure.

pub mod plausible;

use busbar_ledger::codec::{Decoded, decode};
use busbar_ledger::model::{Order, Register, ValueType};
use busbar_ledger::span::{Function, Span};
use busbar_ledger::value::Value;
use serde::{Deserialize, Serialize};

/// Below this nobody wants to see it without asking.
const WORTH_SHOWING: u8 = 10;

/// The shortest and the longest run of registers that is taken for a text, in words.
const TEXT_WORDS: std::ops::RangeInclusive<usize> = 2..=64;

/// The types that can be asked for by name, with their long name and their length in words.
pub const TYPES: [(&str, &str, ValueType, u16); 10] = [
    ("u16", "UINT16", ValueType::U16, 1),
    ("i16", "INT16", ValueType::I16, 1),
    ("bcd", "BCD", ValueType::Bcd, 1),
    ("u32", "UINT32", ValueType::U32, 2),
    ("i32", "INT32", ValueType::I32, 2),
    ("u24", "U24", ValueType::U24, 2),
    ("f32", "FLOAT32", ValueType::F32, 2),
    ("u64", "UINT64", ValueType::U64, 4),
    ("i64", "INT64", ValueType::I64, 4),
    ("f64", "FLOAT64", ValueType::F64, 4),
];

/// The short name of a type that was named in any way; `None` for what is none.
pub fn type_name(name: &str) -> Option<&'static str> {
    if name.eq_ignore_ascii_case("text") {
        return Some("text");
    }
    TYPES
        .iter()
        .find(|(short, long, _, _)| short.eq_ignore_ascii_case(name) || long.eq_ignore_ascii_case(name))
        .map(|(short, _, _, _)| *short)
}

/// One meaning of some registers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interpretation {
    /// The first address of the value.
    pub at: u16,
    /// How many registers it takes.
    pub words: u16,
    /// Its type.
    #[serde(rename = "type")]
    pub ty: String,
    /// Byte and word order; `None` where it makes no difference.
    pub order: Option<Order>,
    /// The value.
    pub value: Value,
    /// How likely it is that this was meant, 0 to 100.
    pub likelihood: u8,
    /// What it might be.
    pub hint: Option<String>,
}

/// The mark at the beginning of a SunSpec map: "SunS".
pub fn sunspec_at(span: Span, words: &[u16]) -> Option<u16> {
    let i = words.windows(2).position(|pair| pair == [0x5375, 0x6E53])?;
    span.at.checked_add(u16::try_from(i).ok()?)
}

/// Every plausible meaning of a block, by address and the likeliest first. With `only`, every meaning of that type
/// at every address, however unlikely.
pub fn interpret(span: Span, words: &[u16], only: Option<&str>) -> Vec<Interpretation> {
    if span.function.is_bit() {
        return Vec::new();
    }
    let mut all = Vec::new();
    for start in 0..words.len() {
        let at = span.at.saturating_add(u16::try_from(start).unwrap_or(u16::MAX));
        let rest = words.get(start..).unwrap_or_default();
        for (name, _, ty, count) in TYPES {
            if only.is_some_and(|only| only != name) {
                continue;
            }
            let Some(own) = rest.get(..usize::from(count)) else {
                continue;
            };
            numbers(
                Span { at, count, ..span },
                own,
                (name, ty),
                only.is_some(),
                &mut all,
            );
        }
        if only.is_none_or(|only| only == "text") && (start == 0 || !is_text(&words[start - 1..start])) {
            texts(at, rest, &mut all);
        }
    }
    all.sort_by_key(|i| (i.at, std::cmp::Reverse(i.likelihood)));
    all
}

/// The meanings of one type, in every order that makes a difference.
fn numbers(
    span: Span,
    own: &[u16],
    (name, ty): (&str, ValueType),
    asked: bool,
    all: &mut Vec<Interpretation>,
) {
    let orders: &[Order] = match (span.count, ty) {
        (1, ValueType::Bcd) => &[Order::Abcd],
        (1, _) => &[Order::Abcd, Order::Badc],
        _ => &[Order::Abcd, Order::Cdab, Order::Badc, Order::Dcba],
    };
    for &order in orders {
        let Decoded::Value(value) = decode(&Register::plain(span, ty, order), own, None) else {
            continue;
        };
        let mut guess = plausible::guess(&value, ty);
        if !asked {
            guess.likelihood = adjusted(guess.likelihood, order, &value, ty);
            if guess.likelihood < WORTH_SHOWING {
                continue;
            }
        }
        all.push(Interpretation {
            at: span.at,
            words: span.count,
            ty: name.to_owned(),
            order: (span.count > 1 || order != Order::Abcd).then_some(order),
            value,
            likelihood: guess.likelihood,
            hint: guess.hint,
        });
    }
}

/// What is rare or says nothing new comes later: swapped bytes, signs that make no difference, odd types, zeros.
fn adjusted(likelihood: u8, order: Order, value: &Value, ty: ValueType) -> u8 {
    let zero = value.as_f64() == Some(0.0);
    let same_unsigned = matches!(ty, ValueType::I16 | ValueType::I32 | ValueType::I64)
        && value.as_f64().is_some_and(|n| n >= 0.0);
    let odd = matches!(ty, ValueType::U24);
    let float = matches!(ty, ValueType::F32 | ValueType::F64);
    let one_word = matches!(ty, ValueType::I16 | ValueType::U16);
    let less = match order {
        Order::Abcd => 0,
        _ if one_word => 60,
        Order::Cdab if float => 4,
        Order::Cdab => 10,
        Order::Badc if float => 12,
        Order::Badc => 35,
        Order::Dcba if float => 10,
        Order::Dcba => 25,
    };
    if same_unsigned || odd || (zero && order != Order::Abcd) {
        return 0;
    }
    likelihood.saturating_sub(less)
}

/// A text that begins here, in either byte order.
fn texts(at: u16, rest: &[u16], all: &mut Vec<Interpretation>) {
    for order in [Order::Abcd, Order::Badc] {
        let length = rest
            .iter()
            .take(*TEXT_WORDS.end())
            .take_while(|word| is_text(std::slice::from_ref(word)))
            .count();
        if !TEXT_WORDS.contains(&length) {
            return;
        }
        let text = busbar_ledger::codec::text(rest.get(..length).unwrap_or_default(), order);
        let guess = plausible::text(&text);
        let likelihood = guess
            .likelihood
            .saturating_sub(if order == Order::Abcd { 0 } else { 45 });
        if likelihood >= WORTH_SHOWING {
            all.push(Interpretation {
                at,
                words: u16::try_from(length).unwrap_or(u16::MAX),
                ty: "text".to_owned(),
                order: Some(order),
                value: Value::Text(text),
                likelihood,
                hint: guess.hint,
            });
        }
    }
}

/// Whether these words hold nothing but printable characters, perhaps with NULs behind them.
fn is_text(words: &[u16]) -> bool {
    let printable = |b: u8| b.is_ascii_graphic() || b == b' ';
    words.iter().all(|word| {
        let [high, low] = word.to_be_bytes();
        (printable(high) && (printable(low) || low == 0))
            || (high == 0 && printable(low) && low.is_ascii_alphabetic())
    })
}

/// The words as one text, when every character of them can be printed.
pub fn text_of(words: &[u16], function: Function) -> Option<String> {
    if function.is_bit() {
        return None;
    }
    let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_be_bytes()).collect();
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    let (text, padding) = bytes.split_at_checked(end)?;
    let text = std::str::from_utf8(text).ok()?;
    (text.len() >= 2 && padding.iter().all(|b| *b == 0) && text.chars().all(|c| !c.is_control()))
        .then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(words: &[u16]) -> Interpretation {
        let all = interpret(Span::holding(10, words.len() as u16), words, None);
        all.into_iter().next().unwrap()
    }

    /// The words of a value in every order, by hand.
    fn sent(bytes: &[u8], order: Order) -> Vec<u16> {
        let mut words: Vec<u16> = bytes
            .chunks(2)
            .map(|p| u16::from_be_bytes([p[0], p[1]]))
            .collect();
        if matches!(order, Order::Cdab | Order::Dcba) {
            words.reverse();
        }
        if matches!(order, Order::Badc | Order::Dcba) {
            words.iter_mut().for_each(|w| *w = w.swap_bytes());
        }
        words
    }

    #[test]
    fn a_measurement_comes_first_in_the_order_in_which_it_was_sent() {
        for order in [Order::Abcd, Order::Cdab, Order::Badc, Order::Dcba] {
            for value in [230.53_f32, 49.98] {
                let found = first(&sent(&value.to_be_bytes(), order));
                assert_eq!(
                    (found.ty.as_str(), found.order),
                    ("f32", Some(order)),
                    "{value} {found:?}"
                );
                assert!(found.hint.is_some());
            }
            let found = first(&sent(&231.123_456_789_f64.to_be_bytes(), order));
            assert_eq!(
                (found.ty.as_str(), found.order),
                ("f64", Some(order)),
                "{found:?}"
            );
        }
    }

    #[test]
    fn a_counter_a_negative_number_and_a_text_are_recognised() {
        let counter = interpret(Span::holding(0, 2), &[0x00BC, 0x614E], None);
        assert!(
            counter
                .iter()
                .any(|i| i.ty == "u32" && i.value == Value::Integer(12_345_678)),
            "{counter:?}"
        );
        let negative = interpret(Span::holding(0, 2), &[0xFFFF, 0xFB2E], None);
        assert_eq!(negative[0].value, Value::Integer(-1234), "{negative:?}");
        let text = first(&[0x4D45, 0x5445, 0x522D, 0x3100]);
        assert_eq!((text.value, text.words), (Value::Text("METER-1".to_owned()), 4));
        let swapped = interpret(Span::holding(0, 2), &[0x5445, 0x4D45], None);
        assert!(
            swapped.iter().any(|i| i.value == Value::Text("ETEM".to_owned())),
            "{swapped:?}"
        );
    }

    #[test]
    fn a_type_asked_for_is_shown_at_every_address() {
        let found = interpret(Span::holding(0, 3), &[1, 2, 3], Some("u32"));
        assert_eq!(found.iter().filter(|i| i.order == Some(Order::Abcd)).count(), 2);
    }

    #[test]
    fn sunspec_marks_its_place() {
        assert_eq!(
            sunspec_at(Span::holding(39_999, 3), &[1, 0x5375, 0x6E53]),
            Some(40_000)
        );
        assert_eq!(sunspec_at(Span::holding(0, 2), &[0x5375, 0]), None);
    }

    #[test]
    fn a_whole_block_of_anything_is_bounded() {
        let words: Vec<u16> = (0..125u16).map(|i| i.wrapping_mul(25_717)).collect();
        let found = interpret(Span::holding(65_411, 125), &words, None);
        assert!(found.len() < 125 * 20, "{}", found.len());
        assert!(found.iter().all(|i| i.at >= 65_411));
    }
}
