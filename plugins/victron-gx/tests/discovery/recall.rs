//! How much of a site a scan finds, and at what price.

use std::collections::BTreeSet;

use busbar_plugin_sdk::Mode;

use crate::gx::{Gx, Pair, Scan, scan};
use crate::sites::{Dice, any_pairs, any_services, named, realistic};

/// Requests and exceptions of a whole quick scan, less what reading the extent of 25 services may take.
const MOST_PROBES: usize = 900 - 60;
const MOST_EXCEPTIONS: usize = 600 - 15;

fn quick(pairs: &BTreeSet<Pair>) -> (Scan, usize) {
    let gx = Gx::new(pairs.iter().copied());
    let scan = scan(&gx, Mode::Quick, &[]);
    let found = scan.found();
    assert!(
        found.is_subset(&gx.pairs),
        "a phantom: {:?}",
        found.difference(&gx.pairs)
    );
    assert!(scan.probes() <= MOST_PROBES, "{} probes", scan.probes());
    assert!(
        scan.exceptions <= MOST_EXCEPTIONS,
        "{} exceptions",
        scan.exceptions
    );
    assert!(scan.rounds() <= 9, "{} rounds", scan.rounds());
    let missed = gx.pairs.difference(&found).count();
    (scan, missed)
}

#[test]
fn realistic_sites_are_found_whole() {
    let mut most = (0, 0, 0, 0);
    for seed in 0..300 {
        let pairs = realistic(&mut Dice(seed));
        let (scan, missed) = quick(&pairs);
        assert_eq!(missed, 0, "site {seed}: of {pairs:?} not found: {:?}", {
            let found = scan.found();
            pairs.difference(&found).copied().collect::<Vec<_>>()
        });
        most.0 = most.0.max(scan.probes());
        most.1 = most.1.max(scan.exceptions);
        most.2 = most.2.max(scan.rounds());
        most.3 = most.3.max(scan.round_trips(64));
    }
    println!(
        "at most {} probes, {} exceptions, {} rounds, {} round trips at 64 in flight",
        most.0, most.1, most.2, most.3
    );
}

fn recall(name: &str, sites: impl Fn(&mut Dice) -> BTreeSet<Pair>) -> f64 {
    let (mut pairs, mut missed, mut rounds) = (0, 0, 0);
    for seed in 0..60 {
        let site = sites(&mut Dice(seed));
        pairs += site.len();
        let (scan, lost) = quick(&site);
        missed += lost;
        rounds = rounds.max(scan.rounds());
    }
    let recall = 100.0 - 100.0 * missed as f64 / pairs as f64;
    println!("{name}: {recall:.2} % of {pairs} pairs, {rounds} rounds");
    recall
}

/// The budget allows for about three quarters of the table, so no plan can find all of a site whose pairs lie anywhere.
/// What has to give are the nine rare services at the twenty ports of which the maker does not say where they lead.
#[test]
fn of_sites_that_nobody_would_build_most_is_found() {
    for (count, least) in [(5, 73.0), (12, 76.0), (25, 80.0)] {
        let anywhere = recall(&format!("{count} pairs anywhere"), |dice| any_pairs(dice, count));
        assert!(anywhere > least, "{anywhere}");
        let any = recall(&format!("{count} services anywhere"), |dice| {
            any_services(dice, count, |_| true)
        });
        assert!(any > 83.0, "{any}");
        let named = recall(&format!("{count} services at named places"), |dice| {
            any_services(dice, count, named)
        });
        assert!(named > 97.0, "{named}");
    }
}
