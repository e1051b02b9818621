//! What became of a request: what the device answered to it, and what it reads afterwards.

use std::sync::Arc;

use busbar_guard::{Outcome, Sent, Verdict, judge};
use busbar_ledger::value::Value;
use busbar_ledger::write::{By, Verify, WriteRule};
use busbar_wire::Link;

use super::answer::shown;
use super::target::Target;
use super::{Lane, Writer, evidence};
use crate::host::Host;

/// What a register link says of what it was told (VM-3P75CT): its id, a status, a length.
pub(super) fn linked(rule: &WriteRule, answer: &[u16]) -> Result<(), String> {
    let By::RegisterLink { id, .. } = rule.by else {
        return Ok(());
    };
    match answer {
        [said, 0, ..] if *said == id => Ok(()),
        [said, status, ..] if *said == id => Err(match status {
            0x8101 => "it does not know this setting".to_owned(),
            0x8102 => "this setting can only be read".to_owned(),
            0x8104 => "it does not accept this value".to_owned(),
            status => format!("status {status:#06x}"),
        }),
        _ => Err("it answered for another setting".to_owned()),
    }
}

pub(super) fn tolerance(rule: &WriteRule) -> f64 {
    rule.verify.map_or(0.0, |verify| verify.tolerance)
}

/// Looks at what the device made of it: after the settle time, and within two polls.
#[allow(clippy::too_many_arguments, reason = "the evidence of one judgement")]
pub(super) async fn read_back(
    host: &Arc<Host>,
    writer: &Writer,
    lane: &Lane,
    target: &Target,
    rule: &WriteRule,
    sent: Sent,
    old: &Value,
    wanted: &Value,
) -> (Outcome, Option<Value>) {
    let Verify { after, tolerance } = rule.verify.unwrap_or(Verify {
        after: busbar_ledger::write::SETTLE,
        tolerance: 0.0,
    });
    let Some(register) = target.point().register() else {
        return (Outcome::Unknown, None);
    };
    let two_polls = lane.interval.saturating_mul(2);
    let begun = tokio::time::Instant::now();
    // After the settle time, half-way, and at the end of two polls.
    let last = two_polls.max(after.saturating_mul(2));
    let times = [after, (after + last) / 2, last];
    let mut looks: Vec<Option<Value>> = Vec::new();
    for (n, time) in times.iter().enumerate() {
        let stopped = tokio::select! {
            () = tokio::time::sleep_until(begun + *time) => false,
            () = writer.stopped() => true,
        };
        let look = look(&lane.link, target, register).await;
        if let Some((value, words)) = &look {
            evidence::publish(&host.bus, target, value, words, lane.interval);
        }
        looks.push(look.map(|(value, _)| value));
        let last = stopped || n + 1 == times.len();
        if let Verdict::Decided(outcome) = judge(sent, Some(old), wanted, tolerance, &looks, last) {
            let outcome = match outcome {
                // Looked at before its time, the old value proves nothing: the device may still take the new one.
                Outcome::Rejected if stopped => Outcome::Unknown,
                outcome => outcome,
            };
            return (outcome, looks.pop().flatten());
        }
    }
    (Outcome::Unknown, looks.pop().flatten())
}

async fn look(
    link: &Link,
    target: &Target,
    register: &busbar_ledger::model::Register,
) -> Option<(Value, Vec<u16>)> {
    evidence::look(link, target.device.meta.unit, register).await
}

/// Why it ended so, in words; empty where there is nothing to add.
pub(super) fn because(
    outcome: Outcome,
    target: &Target,
    wanted: &Value,
    read: Option<&Value>,
    told: Option<&str>,
) -> String {
    let reads = read.map_or("nothing".to_owned(), |read| shown(target, read));
    let unconfirmed = told
        .map(|told| format!(" (the request was not acknowledged: {told})"))
        .unwrap_or_default();
    match outcome {
        Outcome::Applied if told.is_some() => format!("the device reads it back{unconfirmed}"),
        Outcome::Clamped => format!(
            "asked for {}, and the device made {reads} of it{unconfirmed}",
            shown(target, wanted)
        ),
        Outcome::Rejected => format!("the device acknowledged it, and still reads {reads} after two polls"),
        Outcome::Unknown => {
            format!("it is not known whether the device took it; it reads {reads}{unconfirmed}")
        }
        _ => String::new(),
    }
}
