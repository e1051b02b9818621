//! How a total came about, in words. Pure.

use busbar_ledger::model::Point;
use busbar_ledger::value::{Quality, Value};
use busbar_store::{KeptStitch, StitchWhy};

use crate::clock;
use crate::format;

/// So many stitches are told one by one.
const TOLD: usize = 5;

/// Where the account of a counter went on over a new beginning, a sentence each, and what it adds up to.
pub fn stitched(point: &Point, total: Option<f64>, stitches: &[KeptStitch]) -> Vec<String> {
    let shown = |value: f64| number(point, value);
    let mut steps: Vec<String> = stitches
        .iter()
        .take(TOLD)
        .map(|stitch| {
            let (from, to) = (shown(stitch.from_value), shown(stitch.to_value));
            let what = match stitch.why {
                StitchWhy::Reset => format!(
                    "it began anew: it had read {from}, and read {to} when that was believed; what it counted unseen \
                     in between is not known, and not added"
                ),
                StitchWhy::Wrap => format!(
                    "its register was full and began again at 0: it had read {from}, and read {to} then; all of it is added"
                ),
                StitchWhy::Replaced => format!(
                    "another meter counts: the one before had read {from}, this one read {to} at first, which is not added"
                ),
            };
            format!("{}: {what}", clock::show(stitch.at_ms))
        })
        .collect();
    if stitches.len() > TOLD {
        steps.push(format!(
            "{} before that (--json lists them)",
            format::count(stitches.len() - TOLD, "such beginning")
        ));
    }
    if let (Some(newest), Some(total)) = (stitches.first(), total) {
        let carried = shown(newest.carried);
        steps.push(format!("plus {carried}, counted before: {} in all", shown(total)));
    }
    steps
}

fn number(point: &Point, value: f64) -> String {
    format::value(
        Some(&Value::Number(value)),
        None,
        point.unit.as_deref(),
        Quality::Good,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_new_beginning_is_told_and_what_it_adds_up_to() {
        let text = "ledger = \"test/one\"\ntitle = \"One\"\n[points]\n\
                    energy = { at = 0, type = \"u32\", unit = \"kWh\", class = \"energy\", total = \"increasing\" }\n";
        let ledger = busbar_ledger::parse("one", text).unwrap();
        let stitch = |at_ms, why| KeptStitch {
            device_id: "d".into(),
            key: "energy".into(),
            at_ms,
            from_value: 101.5,
            to_value: 0.25,
            carried: 101.5,
            why,
        };
        let told = stitched(
            &ledger.points[0],
            Some(101.75),
            &[stitch(1_790_000_000_000, StitchWhy::Reset)],
        );
        assert!(told[0].starts_with("2026-09-21"), "{told:?}");
        assert!(
            told[0].contains("101.5 kWh") && told[0].contains("0.25 kWh"),
            "{told:?}"
        );
        assert_eq!(told[1], "plus 101.5 kWh, counted before: 101.75 kWh in all");
        let many: Vec<KeptStitch> = (0..8).map(|n| stitch(n, StitchWhy::Wrap)).collect();
        assert_eq!(stitched(&ledger.points[0], None, &many).len(), 6);
        assert!(stitched(&ledger.points[0], Some(1.0), &[]).is_empty());
    }
}
