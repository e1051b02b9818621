use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::model::{Point, ReadRules, Register, ValueType};
use crate::testing::{ledger, point, register, scaled};

/// A device that lacks some addresses, or takes no more than so many words.
#[derive(Clone, Default)]
struct Device {
    missing: BTreeSet<u32>,
    longest: Option<u16>,
    code: u8,
}

impl Device {
    fn without(missing: impl IntoIterator<Item = u32>) -> Self {
        Device {
            missing: missing.into_iter().collect(),
            longest: None,
            code: 2,
        }
    }

    fn has(&self, span: Span) -> bool {
        !(u32::from(span.at)..span.end()).any(|at| self.missing.contains(&at))
    }

    fn read(&self, span: Span) -> Outcome {
        if self.has(span) && self.longest.is_none_or(|longest| span.count <= longest) {
            Outcome::Words((span.at..).take(span.count.into()).collect())
        } else {
            Outcome::Exception(self.code)
        }
    }
}

/// Runs a scan to its end; a hard limit on its reads, for what never ends has no end to be seen.
fn scan(ledger: &Ledger, answer: impl Fn(Span) -> Outcome) -> Learned {
    let mut extent = Extent::new(ledger, &Facts::default());
    for _ in 0..10_000 {
        let reads = extent.next();
        if reads.is_empty() {
            assert!(extent.is_done(), "nothing to read, but not done");
            return extent.finish();
        }
        reads
            .into_iter()
            .for_each(|span| extent.answer(span, answer(span)));
    }
    panic!("the scan never ends");
}

/// `count` points of one word, back to back from `at`.
fn row(at: u16, count: u16) -> Vec<Point> {
    (at..at + count)
        .map(|at| point(&format!("p{at}"), [register(at, ValueType::U16)]))
        .collect()
}

fn reads(learned: &Learned) -> (u32, u32) {
    (learned.requests, learned.exceptions)
}

#[test]
fn a_device_that_has_all_is_read_in_the_fewest_blocks_without_an_exception() {
    let mut points = row(100, 10);
    points.extend(row(120, 10));
    points.extend(row(200, 100));
    let mut ledger = ledger(points);
    ledger.reserved = vec![Span::holding(110, 10)];
    let learned = scan(&ledger, |span| Device::default().read(span));
    assert_eq!(reads(&learned), (2, 0));
    assert_eq!(
        learned.readable.iter().collect::<Vec<_>>(),
        [Span::holding(100, 30), Span::holding(200, 100)]
    );
    assert_eq!(learned.image.get(Span::holding(123, 2)), Some(&[123, 124][..]));
    assert_eq!((learned.lost, learned.max_words), (false, 125));
}

#[test]
fn one_missing_register_costs_one_point() {
    let ledger = ledger(row(0, 100));
    let learned = scan(&ledger, |span| Device::without([37]).read(span));
    assert_eq!(
        learned.readable.iter().collect::<Vec<_>>(),
        [Span::holding(0, 37), Span::holding(38, 62)]
    );
    assert!(learned.requests <= 2 * 8, "{} reads", learned.requests);
}

#[test]
fn a_missing_bridge_costs_no_point_and_is_never_asked_for_alone() {
    let mut points = row(0, 8);
    points.extend(row(10, 8));
    points.extend(row(20, 8));
    let mut ledger = ledger(points);
    ledger.reserved = vec![Span::holding(8, 2), Span::holding(18, 2)];
    let device = Device::without([9]);
    let learned = scan(&ledger, |span| {
        assert!(!ledger.reserved.contains(&span), "{span} for its own sake");
        device.read(span)
    });
    assert_eq!(
        learned.readable.iter().collect::<Vec<_>>(),
        [Span::holding(0, 8), Span::holding(10, 18)],
        "the other bridge still joins"
    );
}

#[test]
fn a_refused_register_gives_way_to_its_fall_back() {
    let mut points = row(0, 20);
    points.push(point(
        "wide",
        [
            register(20, ValueType::U32),
            register(40, ValueType::U16),
            register(41, ValueType::U16),
        ],
    ));
    points.push(point(
        "other",
        [register(22, ValueType::U32), register(50, ValueType::U16)],
    ));
    let ledger = ledger(points);
    let readable =
        |missing: &[u32]| scan(&ledger, |span| Device::without(missing.to_vec()).read(span)).readable;
    let full = readable(&[]);
    assert!(
        full.contains(Span::holding(0, 24)) && !full.contains(Span::holding(40, 1)),
        "not read without need"
    );
    let old = readable(&[20, 21]);
    assert!(
        old.contains(Span::holding(22, 2))
            && old.contains(Span::holding(40, 1))
            && !old.contains(Span::holding(20, 1))
    );
    let older = readable(&[20, 21, 40]);
    assert!(older.contains(Span::holding(41, 1)) && !older.contains(Span::holding(40, 1)));
}

#[test]
fn a_finer_twin_is_read_from_the_start() {
    let finer = Register {
        preferred_when_it_fits: true,
        ..scaled(4, ValueType::U16, 1, 10)
    };
    let ledger = ledger(vec![point("energy", [register(0, ValueType::U32), finer])]);
    let learned = scan(&ledger, |span| Device::default().read(span));
    assert!(learned.readable.contains(Span::holding(4, 1)));
    let learned = scan(&ledger, |span| Device::without([4]).read(span));
    assert!(learned.readable.contains(Span::holding(0, 2)));
}

#[test]
fn a_device_that_takes_short_reads_only() {
    let ledger = ledger(row(0, 100));
    let device = Device {
        longest: Some(30),
        code: 3,
        ..Device::default()
    };
    let learned = scan(&ledger, |span| device.read(span));
    assert_eq!(
        learned.readable.iter().collect::<Vec<_>>(),
        [Span::holding(0, 100)]
    );
    assert_eq!(learned.max_words, 25);
    let old = Device {
        code: 3,
        ..Device::without([10, 60])
    };
    let learned = scan(&ledger, |span| old.read(span));
    assert_eq!(learned.max_words, 125, "a hole is not a matter of length");
    assert!(!learned.readable.contains(Span::holding(10, 1)));
}

#[test]
fn a_unit_without_the_service_is_left_after_one_single_read() {
    let ledger = ledger((0..10).flat_map(|i| row(200 * i, 50)).collect());
    for outcome in [Outcome::Exception(10), Outcome::Exception(11), Outcome::Silent] {
        let learned = scan(&ledger, |_| outcome.clone());
        assert!(learned.lost && learned.readable.is_empty());
        assert_eq!(
            learned.requests, 11,
            "the blocks that were under way, and one single register"
        );
    }
}

#[test]
fn a_block_that_is_silent_alone_does_not_end_the_scan() {
    let ledger = ledger(row(0, 100));
    // It does not answer long reads at all.
    let learned = scan(&ledger, |span| {
        if span.count > 30 {
            Outcome::Silent
        } else {
            Device::default().read(span)
        }
    });
    assert!(!learned.lost);
    assert_eq!(
        learned.readable.iter().collect::<Vec<_>>(),
        [Span::holding(0, 100)]
    );
    assert_eq!(learned.max_words, 25);
}

#[test]
fn garbled_answers_are_refusals() {
    let ledger = ledger(row(0, 10));
    let short = |span: Span| {
        if span.count > 5 {
            Outcome::Words(vec![0; 3])
        } else {
            Device::default().read(span)
        }
    };
    assert_eq!(
        scan(&ledger, short).readable.iter().collect::<Vec<_>>(),
        [Span::holding(0, 10)]
    );
    assert!(scan(&ledger, |_| Outcome::Broken).readable.is_empty());
}

#[test]
fn a_function_that_the_device_lacks_is_not_bisected() {
    let input = |at| {
        let span = Span {
            function: Function::Input,
            at,
            count: 1,
        };
        point(
            &format!("i{at}"),
            [
                Register {
                    span,
                    ..register(at, ValueType::U16)
                },
                register(at, ValueType::U16),
            ],
        )
    };
    let mut points: Vec<Point> = (0..50).map(input).collect();
    points.extend((300..350).map(input));
    let ledger = ledger(points);
    let learned = scan(&ledger, |span| match span.function {
        Function::Input => Outcome::Exception(1),
        _ => Device::default().read(span),
    });
    assert_eq!(reads(&learned), (4, 2), "two refused, and the fall-backs in two");
    assert!(learned.readable.contains(Span::holding(300, 50)));
}

#[test]
fn holes_are_tried_where_the_ledger_says_so() {
    let mut points = row(0, 10);
    points.extend(row(30, 10));
    let mut ledger = ledger(points);
    for (bridge, requests, joined) in [
        (Bridge::Declared, 2, false),
        (Bridge::Never, 2, false),
        (Bridge::Learned, 1, true),
        (Bridge::Any, 1, true),
    ] {
        ledger.read = ReadRules {
            bridge,
            ..ledger.read
        };
        let learned = scan(&ledger, |span| Device::default().read(span));
        assert_eq!(learned.requests, requests, "{bridge:?}");
        assert_eq!(
            learned.readable.contains(Span::holding(10, 20)),
            joined,
            "{bridge:?}"
        );
    }
    let learned = scan(&ledger, |span| Device::without([15]).read(span));
    assert_eq!(
        learned.readable.iter().collect::<Vec<_>>(),
        [Span::holding(0, 10), Span::holding(30, 10)]
    );
}

#[test]
fn a_hole_between_two_blocks_is_read_along_where_there_is_room() {
    let mut points = row(0, 100);
    points.extend(row(110, 100));
    let mut ledger = ledger(points);
    ledger.reserved = vec![Span::holding(100, 10)];
    let learned = scan(&ledger, |span| Device::default().read(span));
    assert_eq!(reads(&learned), (2, 0));
    assert_eq!(
        learned.readable.iter().collect::<Vec<_>>(),
        [Span::holding(0, 210)]
    );
}

#[test]
fn answers_to_what_was_not_asked_change_nothing() {
    let ledger = ledger(row(0, 4));
    let mut extent = Extent::new(&ledger, &Facts::default());
    extent.answer(Span::holding(0, 4), Outcome::Words(vec![0; 4]));
    assert_eq!(extent.next(), [Span::holding(0, 4)]);
    assert!(extent.next().is_empty() && !extent.is_done());
    extent.answer(Span::holding(0, 3), Outcome::Words(vec![0; 3]));
    assert!(!extent.is_done());
    extent.answer(Span::holding(0, 4), Outcome::Words(vec![0; 4]));
    assert!(extent.is_done());
    assert_eq!(extent.finish().requests, 1);
}

/// Registers of one to four words, some of which overlap, with holes between them that may be declared.
fn ledgers() -> impl Strategy<Value = Ledger> {
    let each = (
        0u16..4,
        prop::sample::select(vec![ValueType::U16, ValueType::U32, ValueType::U64]),
        any::<bool>(),
    );
    let bridge = prop::sample::select(vec![
        Bridge::Never,
        Bridge::Declared,
        Bridge::Learned,
        Bridge::Any,
    ]);
    (prop::collection::vec(each, 1..60), bridge, 5u16..60).prop_map(|(registers, bridge, max_words)| {
        let mut at = 0;
        let mut points = Vec::new();
        let mut reserved = Vec::new();
        for (i, (gap, ty, declared)) in registers.into_iter().enumerate() {
            // Some registers overlap with the one before.
            if gap > 0 && declared {
                reserved.push(Span::holding(at, gap));
            }
            at = if gap == 0 && i % 5 == 1 { at - 1 } else { at + gap };
            let own = register(at, ty);
            at += own.span.count;
            points.push(point(&format!("p{i}"), [own]));
        }
        let mut ledger = ledger(points);
        ledger.reserved = reserved;
        ledger.read = ReadRules {
            bridge,
            max_words,
            ..ledger.read
        };
        ledger
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn exactly_what_touches_a_missing_address_is_lost(ledger in ledgers(), missing in prop::collection::btree_set(0u32..200, 0..8)) {
        let device = Device::without(missing.iter().copied());
        let fewest = scan(&ledger, |span| Device::default().read(span)).requests;
        let learned = scan(&ledger, |span| device.read(span));
        prop_assert!(!learned.lost);
        prop_assert!(learned.readable.iter().all(|run| device.has(run)), "nothing is readable that is missing");
        let mut lost = 0;
        for point in &ledger.points {
            let span = point.register().unwrap().span;
            prop_assert_eq!(learned.readable.contains(span), device.has(span), "{}", span);
            prop_assert_eq!(learned.image.get(span).is_some(), device.has(span), "{} {:?}", span, learned);
            lost += u32::from(!device.has(span));
        }
        // Each missing address and each lost point is found on one way down a tree of at most 60 points and 60 holes.
        let faults = missing.len() as u32 + lost;
        prop_assert!(learned.requests <= fewest + 2 * 7 * faults, "{} reads for {faults} faults", learned.requests);
    }

    #[test]
    fn it_ends_whatever_comes_back(ledger in ledgers(), noise in prop::collection::vec(0u8..16, 1..40)) {
        let count = std::cell::Cell::new(0);
        let learned = scan(&ledger, |span| {
            count.set(count.get() + 1);
            match noise[count.get() % noise.len()] {
                0..4 => Device::default().read(span),
                4 => Outcome::Silent,
                5 => Outcome::Broken,
                6 => Outcome::Words(vec![1; 3]),
                code => Outcome::Exception(code - 6),
            }
        });
        prop_assert_eq!(learned.requests as usize, count.get());
    }
}
