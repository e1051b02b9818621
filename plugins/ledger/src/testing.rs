//! Ledgers made by hand, for the tests of this crate.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::*;
use crate::span::{Function, Span};

/// How many words a type takes; one for those that have no fixed length.
fn words(ty: ValueType) -> u16 {
    match ty {
        ValueType::I32 | ValueType::U32 | ValueType::U24 | ValueType::F32 => 2,
        ValueType::I64 | ValueType::U64 | ValueType::F64 => 4,
        _ => 1,
    }
}

pub(crate) fn register(at: u16, ty: ValueType) -> Register {
    Register::plain(Span::holding(at, words(ty)), ty, Order::Abcd)
}

pub(crate) fn scaled(at: u16, ty: ValueType, num: i64, den: i64) -> Register {
    Register {
        scale: Scale { num, den },
        ..register(at, ty)
    }
}

pub(crate) fn text(at: u16, count: u16) -> Register {
    Register {
        span: Span::holding(at, count),
        ..register(at, ValueType::Text)
    }
}

/// A point with these registers: its own, then its fall-backs.
pub(crate) fn point(key: &str, registers: impl IntoIterator<Item = Register>) -> Point {
    with_source(key, PointSource::Registers(registers.into_iter().collect()))
}

pub(crate) fn computed(key: &str, expression: Expression) -> Point {
    with_source(key, PointSource::Computed(expression))
}

fn with_source(key: &str, source: PointSource) -> Point {
    Point {
        key: key.to_owned(),
        label: key.to_owned(),
        source,
        otherwise: None,
        unit: None,
        class: None,
        total: None,
        labels: Arc::default(),
        unlisted: None,
        valid_when: None,
        group: None,
        since: None,
        rate: Rate::Fast,
        writable: false,
        write: None,
        not_written: None,
        decimals: 0,
        origin: None,
        note: None,
        internal: false,
        absent: None,
    }
}

/// A ledger of holding registers that bridges what it declares, and for which 0 is a value.
pub(crate) fn ledger(points: Vec<Point>) -> Ledger {
    Ledger {
        name: "test/device".to_owned(),
        title: "Test".to_owned(),
        source: None,
        model: "device".to_owned(),
        identified_by: None,
        transports: Vec::new(),
        identify: None,
        read: ReadRules {
            function: Function::Holding,
            fall_back_to_holding: false,
            max_words: 125,
            bridge: Bridge::Declared,
            index_shift: 0,
            zero_is_unproven: false,
            standard_offset: crate::telegram::time::CENTRAL_EUROPE,
            manners: crate::model::Manners::default(),
        },
        reserved: Vec::new(),
        groups: BTreeMap::new(),
        index: points
            .iter()
            .enumerate()
            .map(|(i, point)| (point.key.clone(), i))
            .collect(),
        points,
    }
}

pub(crate) fn condition(point: &str, test: Test) -> Condition {
    Condition {
        point: point.to_owned(),
        test,
    }
}

/// A ledger from the points of a file; what every ledger must have is put before them.
pub(crate) fn parsed(text: &str) -> Ledger {
    let text = format!("ledger = \"test/device\"\ntitle = \"Test\"\n{text}");
    crate::parse("test.toml", &text).unwrap_or_else(|faults| panic!("{faults}"))
}

/// An image of holding registers.
pub(crate) fn image(blocks: &[(u16, &[u16])]) -> crate::image::Image {
    let mut image = crate::image::Image::default();
    for (at, words) in blocks {
        image.insert(Span::holding(*at, words.len() as u16), words.to_vec());
    }
    image
}
