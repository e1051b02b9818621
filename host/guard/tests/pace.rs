//! How often a setting may be written: interval, budget, and clocks that are not to be trusted.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "what cannot be set up fails the test, loudly"
)]

use std::time::Duration;

use busbar_guard::{Cause, DAY_MS, Pace, budget_of, pace};
use busbar_ledger::write::{Storage, WriteRule};
use proptest::prelude::*;

/// A moment in 2027.
const NOW: i64 = 1_798_761_600_000;
const MINUTE: i64 = 60_000;

fn rule(storage: Storage, interval: Duration, budget: Option<u32>) -> WriteRule {
    let text = "ledger = \"test/one\"\ntitle = \"One\"\n[points.a]\nat = 1\ntype = \"u16\"\nwrite = { min = 0, max = 9 }\n";
    let ledger = busbar_ledger::parse("one.toml", text).unwrap_or_else(|faults| panic!("{faults}"));
    WriteRule {
        storage,
        min_interval: interval,
        daily_budget: budget,
        ..ledger.points[0].write.clone().unwrap()
    }
}

fn stored() -> WriteRule {
    rule(Storage::Stored, Duration::from_secs(60), Some(24))
}

#[test]
fn the_shortest_time_between_two_writes_is_kept_to_the_millisecond() {
    let rule = stored();
    let at = |ago: i64| pace(&rule, None, &[NOW - ago], NOW);
    assert_eq!(at(MINUTE), Ok(Pace { left: Some(23) }));
    let refusal = at(MINUTE - 1).unwrap_err();
    assert_eq!(refusal.code, Cause::Rate);
    assert_eq!(refusal.binding_limit.as_deref(), Some("ledger"));
    assert_eq!(at(0).unwrap_err().hint, "Try again in 60 s.");
    assert_eq!(pace(&rule, None, &[], NOW), Ok(Pace { left: Some(24) }));
    // The newest counts, wherever it stands.
    let mixed = [NOW - MINUTE * 9, NOW - 1, NOW - MINUTE * 5];
    assert_eq!(pace(&rule, None, &mixed, NOW).unwrap_err().code, Cause::Rate);
}

#[test]
fn the_budget_counts_the_last_24_hours_and_says_when_there_is_room() {
    let rule = stored();
    let mut written: Vec<i64> = (1..=24).map(|n| NOW - n * 30 * MINUTE).collect();
    let refusal = pace(&rule, None, &written, NOW).unwrap_err();
    assert_eq!(refusal.code, Cause::Budget);
    assert_eq!(refusal.binding_limit.as_deref(), Some("budget"));
    assert!(refusal.hint.contains("12 h"), "{}", refusal.hint);
    // The oldest leaves the day at its end, and not a millisecond before.
    written[23] = NOW - DAY_MS + 1;
    assert_eq!(pace(&rule, None, &written, NOW).unwrap_err().code, Cause::Budget);
    written[23] = NOW - DAY_MS;
    assert_eq!(pace(&rule, None, &written, NOW), Ok(Pace { left: Some(1) }));
}

#[test]
fn a_clock_that_was_set_back_stops_writing_and_a_small_step_does_not_open_the_gate() {
    let rule = stored();
    let ahead = |ms: i64| pace(&rule, None, &[NOW + ms], NOW).unwrap_err();
    let refusal = ahead(DAY_MS);
    assert_eq!(refusal.code, Cause::Clock);
    assert!(refusal.reason.contains("86400 s in the future"), "{refusal}");
    assert_eq!(ahead(MINUTE + 1).code, Cause::Clock);
    // NTP moves a clock by seconds: that was a moment ago.
    let refusal = ahead(MINUTE);
    assert_eq!(refusal.code, Cause::Rate);
    assert!(
        refusal.reason.starts_with("it was written 0.0 s ago"),
        "{refusal}"
    );
    assert_eq!(refusal.hint, "Try again in 60 s.");
}

#[test]
fn an_owner_may_give_a_budget_where_nothing_wears_out_and_narrow_it_where_something_does() {
    let volatile = rule(Storage::Volatile, Duration::from_secs(1), None);
    let many: Vec<i64> = (1..=500).map(|n| NOW - n * MINUTE).collect();
    assert_eq!(pace(&volatile, None, &many, NOW), Ok(Pace { left: None }));
    assert_eq!(
        pace(&volatile, Some(500), &many, NOW).unwrap_err().code,
        Cause::Budget
    );
    assert_eq!(pace(&volatile, Some(501), &many, NOW), Ok(Pace { left: Some(1) }));
    // A ledger's budget means nothing for what wears nothing out.
    assert_eq!(
        budget_of(&rule(Storage::Volatile, Duration::ZERO, Some(3)), None),
        None
    );
    for storage in [Storage::Stored, Storage::Unknown] {
        let rule = rule(storage, Duration::ZERO, Some(24));
        assert_eq!(budget_of(&rule, None), Some(24));
        assert_eq!(budget_of(&rule, Some(2)), Some(2));
        assert_eq!(
            budget_of(&rule, Some(1000)),
            Some(24),
            "never wider than the ledger's"
        );
    }
    assert_eq!(
        pace(&stored(), Some(0), &[], NOW).unwrap_err().code,
        Cause::Budget
    );
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// W7, W8: whoever writes as often as the pace lets it, from whatever history, wears out no more than the budget in any
    /// 24 hours, and never twice within the interval.
    #[test]
    fn w7_no_day_has_more_writes_than_the_budget(
        waits in prop::collection::vec(0i64..3 * 60 * MINUTE, 1..200),
        budget in 1u32..30, owner in prop::option::of(0u32..30), interval in 0u64..120,
    ) {
        let rule = rule(Storage::Stored, Duration::from_secs(interval), Some(budget));
        let mut written: Vec<i64> = Vec::new();
        let mut now = NOW;
        for wait in waits {
            now += wait;
            if let Ok(left) = pace(&rule, owner, &written, now) {
                prop_assert!(left.left.is_some_and(|left| left > 0));
                written.push(now);
            }
        }
        let most = owner.map_or(budget, |owner| owner.min(budget)) as usize;
        for (n, end) in written.iter().enumerate() {
            let day = written[..=n].iter().filter(|at| end - **at < DAY_MS).count();
            prop_assert!(day <= most, "{} writes in a day, {} are allowed", day, most);
        }
        let close = written.windows(2).any(|pair| pair[1] - pair[0] < interval as i64 * 1000);
        prop_assert!(!close);
        prop_assert!(!written.is_empty() || most == 0);
    }

    /// Clocks and histories that cannot be are answered, too.
    #[test]
    fn no_history_makes_it_panic(written in prop::collection::vec(any::<i64>(), 0..6), now: i64, owner: Option<u32>) {
        let _ = pace(&stored(), owner, &written, now);
    }
}
