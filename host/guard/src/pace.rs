//! How often a setting may be written: the shortest time between two writes, and the day's budget of what wears out.

use busbar_ledger::write::{Storage, WriteRule};

use crate::refusal::{Cause, Refusal};

/// The budget counts the writes of so many milliseconds.
pub const DAY_MS: i64 = 24 * 3_600_000;

/// What is left of a setting's budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Writes left in the 24 hours that end now; `None` where nothing wears out.
    pub left: Option<u32>,
}

/// Whether a setting may be written now. `written` holds when it was written (or may have been) in the last 24 hours, also
/// through its other registers; it comes from the audit, so that a kill changes nothing.
///
/// # Errors
/// [`Cause::Rate`], [`Cause::Budget`], and [`Cause::Clock`] where the audit tells of writes in the future.
pub fn pace(rule: &WriteRule, budget: Option<u32>, written: &[i64], now_ms: i64) -> Result<Pace, Refusal> {
    let newest = written.iter().max().copied();
    // A clock that was set back a little has done nothing bad.
    if let Some(newest) = newest.filter(|newest| *newest > now_ms.saturating_add(60_000)) {
        let ahead = newest.saturating_sub(now_ms) / 1000;
        return Err(Refusal::new(
            Cause::Clock,
            format!("this machine's clock cannot be right: the last write lies {ahead} s in the future"),
            "Set the clock (or let it be set by NTP), then write again.",
        ));
    }
    let shortest = i64::try_from(rule.min_interval.as_millis()).unwrap_or(i64::MAX);
    let since = newest.map(|newest| now_ms.saturating_sub(newest));
    if let Some(since) = since.filter(|since| *since < shortest) {
        let wait = shortest.saturating_sub(since).clamp(0, shortest);
        return Err(Refusal::new(
            Cause::Rate,
            format!(
                "it was written {} ago, and at least {} must lie between two writes",
                seconds(since.max(0)),
                seconds(shortest)
            ),
            format!("Try again in {}.", seconds(wait)),
        )
        .bound_by("ledger"));
    }
    let Some(budget) = budget_of(rule, budget) else {
        return Ok(Pace { left: None });
    };
    let today: Vec<i64> = written
        .iter()
        .copied()
        .filter(|at| now_ms.saturating_sub(*at) < DAY_MS)
        .collect();
    let used = u32::try_from(today.len()).unwrap_or(u32::MAX);
    if used >= budget {
        let oldest = today.iter().min().copied().unwrap_or(now_ms);
        let wait = DAY_MS.saturating_sub(now_ms.saturating_sub(oldest));
        return Err(Refusal::new(
            Cause::Budget,
            format!(
                "the device stores this setting in memory that wears out, and the {budget} writes of 24 hours are used up"
            ),
            format!("Try again in {}, or use a setting that is not stored.", seconds(wait.max(0))),
        )
        .bound_by("budget"));
    }
    Ok(Pace {
        left: Some(budget - used),
    })
}

/// The budget that counts: the narrower of the rule's and the owner's; none for what wears nothing out.
pub fn budget_of(rule: &WriteRule, owner: Option<u32>) -> Option<u32> {
    match rule.storage {
        Storage::Volatile => owner,
        Storage::Stored | Storage::Unknown => rule.daily_budget.into_iter().chain(owner).min(),
    }
}

/// Milliseconds as people say them.
fn seconds(ms: i64) -> String {
    match ms {
        ..10_000 => format!("{:.1} s", ms as f64 / 1000.0),
        10_000..120_000 => format!("{} s", (ms + 999) / 1000),
        120_000..7_200_000 => format!("{} min", (ms + 59_999) / 60_000),
        _ => format!("{} h", (ms + 3_599_999) / 3_600_000),
    }
}
