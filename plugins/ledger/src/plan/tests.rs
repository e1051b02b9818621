use proptest::prelude::*;

use super::*;
use crate::model::{Expression, PointSource, Test, ValueType};
use crate::span::Function;
use crate::testing::{computed, condition, ledger, point, register, scaled};

fn rules(max_words: u16, bridge: Bridge) -> PlanRules {
    PlanRules { max_words, bridge }
}

fn all() -> Ranges {
    Ranges::all(Function::Holding)
}

/// Every way to put the wants into blocks, tried out: the fewest requests, then the fewest words.
fn brute_force(wants: &[Span], readable: &Ranges, rules: &PlanRules) -> (usize, u32) {
    fn hull(group: &[Span]) -> Span {
        let at = group.iter().map(|s| s.at).min().unwrap();
        let end = group.iter().map(|s| s.end()).max().unwrap();
        Span {
            at,
            count: (end - u32::from(at)) as u16,
            ..group[0]
        }
    }
    fn go(
        rest: &[Span],
        groups: &mut Vec<Vec<Span>>,
        fits: &dyn Fn(&[Span]) -> bool,
        best: &mut (usize, u32),
    ) {
        if groups.len() > best.0 {
            return;
        }
        let Some((&next, rest)) = rest.split_first() else {
            let cost = (
                groups.len(),
                groups.iter().map(|g| u32::from(hull(g).count)).sum(),
            );
            *best = (*best).min(cost);
            return;
        };
        for i in 0..=groups.len() {
            if i == groups.len() {
                groups.push(Vec::new());
            }
            groups[i].push(next);
            if fits(&groups[i]) {
                go(rest, groups, fits, best);
            }
            groups[i].pop();
            if groups[i].is_empty() {
                groups.pop();
            }
        }
    }
    let wanted: Ranges = wants.iter().copied().collect();
    let fits = |group: &[Span]| {
        let block = hull(group);
        let same = group.iter().all(|s| s.function == block.function);
        let covered = readable.contains(block) && (rules.bridge != Bridge::Never || wanted.contains(block));
        let long = u32::from(block.count) > rules.longest(block);
        same && covered && (!long || group.contains(&block))
    };
    let mut best = (usize::MAX, u32::MAX);
    go(wants, &mut Vec::new(), &fits, &mut best);
    best
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn no_other_way_takes_fewer_requests_or_words(
        wants in prop::collection::vec((0u16..40, 1u16..5, any::<bool>()), 0..7),
        missing in prop::collection::vec(0u16..44, 0..4),
        max_words in 1u16..20,
        never: bool,
    ) {
        let span = |at, count, input| Span { function: if input { Function::Input } else { Function::Holding }, at, count };
        let wants: Vec<Span> = wants.into_iter().map(|(at, count, input)| span(at, count, input)).collect();
        let mut readable = all();
        readable.union(&Ranges::all(Function::Input));
        missing.iter().for_each(|&at| readable.remove(Span::holding(at, 1)));
        let rules = rules(max_words, if never { Bridge::Never } else { Bridge::Learned });

        let blocks = plan(&wants, &readable, &rules);
        let mut kept: Vec<Span> = wants.into_iter().filter(|w| readable.contains(*w)).collect();
        kept.sort_unstable();
        kept.dedup();
        for want in &kept {
            prop_assert!(blocks.iter().any(|block| block.contains(*want)), "{want} is in no block");
        }
        for block in &blocks {
            prop_assert!(readable.contains(*block), "{block} runs across a barrier");
            prop_assert!(block.count <= max_words || kept.contains(block), "{block} is too long");
        }
        if !kept.is_empty() {
            let cost = (blocks.len(), blocks.iter().map(|b| u32::from(b.count)).sum());
            prop_assert_eq!(cost, brute_force(&kept, &readable, &rules));
        }
    }
}

#[test]
fn holes_are_bridged_only_where_they_may_be() {
    let wants = [Span::holding(10, 2), Span::holding(20, 2)];
    let apart = vec![Span::holding(10, 2), Span::holding(20, 2)];
    assert_eq!(
        plan(&wants, &all(), &rules(125, Bridge::Any)),
        [Span::holding(10, 12)]
    );
    assert_eq!(plan(&wants, &all(), &rules(125, Bridge::Never)), apart);
    assert_eq!(
        plan(
            &wants,
            &wants.into_iter().collect(),
            &rules(125, Bridge::Declared)
        ),
        apart
    );
    // What is left out, because the device lacks a part of it, bridges nothing.
    let mut lacking = all();
    lacking.remove(Span::holding(25, 1));
    let wants = [Span::holding(23, 4), Span::holding(19, 4), Span::holding(24, 1)];
    assert_eq!(
        plan(&wants, &lacking, &rules(125, Bridge::Never)),
        [Span::holding(19, 4), Span::holding(24, 1)]
    );
    let touching = [Span::holding(10, 2), Span::holding(12, 2)];
    assert_eq!(
        plan(&touching, &all(), &rules(125, Bridge::Never)),
        [Span::holding(10, 4)]
    );
}

#[test]
fn fewer_words_where_the_requests_are_the_same() {
    // Three wants, two of which fit into a block: the narrower pair goes together.
    let wants = [Span::holding(0, 1), Span::holding(8, 1), Span::holding(10, 1)];
    assert_eq!(
        plan(&wants, &all(), &rules(9, Bridge::Any)),
        [Span::holding(0, 1), Span::holding(8, 3)]
    );
}

#[test]
fn modbus_itself_sets_the_longest_block() {
    let spaced = |function| -> Vec<Span> {
        (0..200)
            .map(|i| Span {
                function,
                at: 20 * i,
                count: 1,
            })
            .collect()
    };
    let all = |function| Ranges::all(function);
    let longest = |function| {
        let blocks = plan(&spaced(function), &all(function), &rules(u16::MAX, Bridge::Any));
        blocks.iter().map(|b| b.count).max().unwrap()
    };
    assert_eq!(longest(Function::Holding), 121);
    assert_eq!(longest(Function::Coils), 1981);
    assert_eq!(
        plan(
            &[Span::holding(0, 200)],
            &all(Function::Holding),
            &rules(125, Bridge::Any)
        ),
        [Span::holding(0, 200)]
    );
}

#[test]
fn twenty_thousand_wants_at_the_end_of_the_address_space() {
    let wants: Vec<Span> = (0..20_000).map(|i| Span::holding(u16::MAX - 3 * i, 1)).collect();
    let blocks = plan(&wants, &all(), &rules(125, Bridge::Any));
    assert_eq!(blocks.len(), 20_000usize.div_ceil(42));
    assert_eq!(blocks.last().unwrap().end(), 65_536);
}

#[test]
fn the_wants_of_points_are_their_registers_and_what_they_lean_on() {
    let mut conditional = point("conditional", [register(1, ValueType::U16)]);
    conditional.valid_when = Some(condition("state", Test::NonZero));
    let mut scaled_point = point("scaled", [register(2, ValueType::U16)]);
    if let PointSource::Registers(all) = &mut scaled_point.source {
        all[0].scale_point = Some("exponent".into());
    }
    let finer = crate::model::Register {
        preferred_when_it_fits: true,
        ..scaled(8, ValueType::U16, 1, 10)
    };
    let ledger = ledger(vec![
        conditional,
        scaled_point,
        point("state", [register(3, ValueType::U16)]),
        point("exponent", [register(4, ValueType::I16)]),
        point("twin", [register(6, ValueType::U32), finer]),
        point(
            "moved",
            [register(10, ValueType::U32), register(12, ValueType::U16)],
        ),
        computed(
            "all",
            Expression::Sum(vec![
                Expression::Point("conditional".into()),
                Expression::Point("scaled".into()),
            ]),
        ),
    ]);
    let wanted = |key: &str, facts: &Facts<'_>| -> Vec<u16> {
        wants(&ledger, [ledger.index[key]].into_iter(), facts)
            .iter()
            .map(|s| s.at)
            .collect()
    };
    let unknown = Facts::default();
    assert_eq!(wanted("all", &unknown), [1, 2, 3, 4]);
    assert_eq!(wanted("twin", &unknown), [6, 8], "the finer one as well");
    assert_eq!(wanted("moved", &unknown), [10]);
    let old: Ranges = [Span::holding(0, 10), Span::holding(12, 1)].into_iter().collect();
    assert_eq!(
        wanted(
            "moved",
            &Facts {
                readable: Some(&old),
                ..Facts::default()
            }
        ),
        [12]
    );
    assert_eq!(
        wanted(
            "moved",
            &Facts {
                readable: Some(&Ranges::default()),
                ..Facts::default()
            }
        ),
        [0u16; 0]
    );
}
