//! What it takes to read a GX: blocks, words, and no exception.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::path::Path;

use busbar_ledger::evidence::Outcome;
use busbar_ledger::extent::{Extent, Learned};
use busbar_ledger::model::Ledger;
use busbar_ledger::plan::{PlanRules, declared, plan, wants};
use busbar_ledger::ranges::Ranges;
use busbar_ledger::readings::{Facts, readings};

fn ledgers() -> Vec<Ledger> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ledgers/victron");
    let mut all: Vec<Ledger> = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            name.starts_with("gx-") && name.ends_with(".toml") && !name.ends_with(".sample.toml")
        })
        .map(|path| (path.clone(), std::fs::read_to_string(path).unwrap()))
        .filter(|(_, text)| text.lines().any(|line| line.starts_with("ledger")))
        .map(|(path, text)| {
            busbar_ledger::parse(&path.to_string_lossy(), &text).unwrap_or_else(|f| panic!("{f}"))
        })
        .filter(|ledger| ledger.name.starts_with("victron/gx-"))
        .collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    assert_eq!(all.len(), 33);
    all
}

/// Scans a service of a GX that knows these addresses.
fn scan(ledger: &Ledger, known: &Ranges) -> Learned {
    let mut extent = Extent::new(ledger, &Facts::default());
    while !extent.is_done() {
        for span in extent.next() {
            let answer = if known.contains(span) {
                Outcome::Words(vec![1; span.count.into()])
            } else {
                Outcome::Exception(2)
            };
            extent.answer(span, answer);
        }
    }
    extent.finish()
}

#[test]
fn a_new_firmware_is_scanned_and_polled_in_the_fewest_blocks_without_an_exception() {
    for ledger in ledgers() {
        let learned = scan(&ledger, &declared(&ledger, &Facts::default()));
        assert_eq!(learned.exceptions, 0, "{}", ledger.name);
        let facts = Facts {
            readable: Some(&learned.readable),
            ..Facts::default()
        };
        let wants = wants(&ledger, 0..ledger.points.len(), &facts);
        let poll = plan(&wants, &learned.readable, &PlanRules::of(&ledger));
        assert_eq!(poll.len(), learned.requests as usize, "{}", ledger.name);
        // No block can hold more than 125 words, and none runs across what is not in the list.
        let least: u32 = declared(&ledger, &Facts::default())
            .iter()
            .filter(|run| wants.iter().any(|want| run.contains(*want)))
            .map(|run| u32::from(run.count).div_ceil(125))
            .sum();
        assert!(
            poll.len() as u32 <= least,
            "{}: {} blocks, {least} would do",
            ledger.name,
            poll.len()
        );
    }
}

#[test]
fn whichever_register_a_firmware_lacks_only_its_point_is_lost() {
    for ledger in ledgers() {
        let all = declared(&ledger, &Facts::default());
        for missing in ledger
            .points
            .iter()
            .filter_map(|point| point.register())
            .map(|register| register.span)
        {
            let mut known = all.clone();
            known.remove(missing);
            let learned = scan(&ledger, &known);
            let facts = Facts {
                readable: Some(&learned.readable),
                ..Facts::default()
            };
            for (point, reading) in ledger
                .points
                .iter()
                .zip(readings(&ledger, &learned.image, &facts))
            {
                let there = point
                    .registers()
                    .iter()
                    .any(|register| known.contains(register.span));
                assert_eq!(
                    reading.at.is_some(),
                    there,
                    "{}: {} without {missing}",
                    ledger.name,
                    point.key
                );
            }
            assert!(
                learned.exceptions <= 9,
                "{}: {} exceptions for {missing}",
                ledger.name,
                learned.exceptions
            );
        }
    }
}

#[test]
fn a_service_that_is_not_there_costs_one_exception_a_block_and_one_more() {
    for ledger in ledgers() {
        let mut extent = Extent::new(&ledger, &Facts::default());
        let blocks = extent.next();
        blocks
            .iter()
            .for_each(|span| extent.answer(*span, Outcome::Exception(10)));
        for span in extent.next() {
            extent.answer(span, Outcome::Exception(10));
        }
        assert!(extent.is_done(), "{}", ledger.name);
        let learned = extent.finish();
        assert!(learned.lost, "{}", ledger.name);
        assert!(learned.exceptions as usize <= blocks.len() + 1, "{}", ledger.name);
    }
}
