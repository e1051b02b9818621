//! How often a connection is polled, and what that means for its devices.

use std::time::Duration;

use super::super::screen::{Answer, Ask, Block};
use super::{Answered, Flow, Next, Page, Step, text};
use crate::config::{DEFAULT_INTERVAL, SHORTEST_INTERVAL, format_duration, parse_duration};

/// So many reads a second are felt by small devices.
const MANY: f64 = 20.0;

pub(super) fn page(flow: &Flow) -> Page {
    let interval = Duration::from_millis(flow.draft.interval());
    let reads = flow.draft.found.as_ref().map_or(0, |found| found.reads);
    let mut blocks = vec![Block::text(
        "How often the devices are asked for their values. Faster shows changes sooner and asks more of the devices; 5s \
         is right for a home. Texts, settings and totals are read less often by themselves.",
    )];
    if reads > 0 {
        let often = |interval: Duration| {
            format!(
                "{} reads a minute",
                (f64::from(reads) * 60.0 / interval.as_secs_f64()).round()
            )
        };
        let mut rows = Vec::new();
        for seconds in [1, 5, 30] {
            let interval = Duration::from_secs(seconds);
            rows.push((format_duration(interval), often(interval)));
        }
        blocks.push(Block::text(format!(
            "One poll of everything here takes {reads} reads at most:"
        )));
        blocks.push(Block::Pairs { rows });
    }
    Page {
        title: "How often".to_owned(),
        step: Some(5),
        blocks,
        ask: Ask::Text {
            prompt: "Interval".to_owned(),
            default: format_duration(interval),
        },
        help: "A number and its unit: 500ms, 5s, 1m. The shortest is 100ms. A device that does not keep up is polled as fast \
               as it can; nothing piles up.",
    }
}

pub(super) fn answer(flow: &mut Flow, answer: Answer) -> Answered {
    let default = format_duration(Duration::from_millis(flow.draft.interval()));
    let interval = parse(&text(answer, &default)?)?;
    let reads = flow.draft.found.as_ref().map_or(0, |found| found.reads);
    flow.draft.interval_ms = match interval == DEFAULT_INTERVAL {
        true => None,
        false => u64::try_from(interval.as_millis()).ok(),
    };
    if f64::from(reads) / interval.as_secs_f64() > MANY {
        flow.said_later(Block::note(format!(
            "{} is more than {MANY} reads a second: some devices answer slower then, or stop serving others.",
            format_duration(interval)
        )));
    }
    Ok(Next::Go(Step::Entities))
}

/// An interval as it is typed.
pub(super) fn parse(typed: &str) -> Result<Duration, String> {
    let interval = parse_duration(typed)?;
    if interval < SHORTEST_INTERVAL {
        return Err(format!(
            "{typed} is shorter than {}, the shortest that is polled.",
            format_duration(SHORTEST_INTERVAL)
        ));
    }
    Ok(interval)
}
