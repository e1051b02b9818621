//! How a write is guarded and proven: leases, reading back, interlocks.

use std::time::Duration;

use super::bounds::Values;
use crate::diagnostics::Sink;
use crate::format::{self, Absent, At, Verification};
use crate::parse::common::{self, MAX_TEXT};
use crate::parse::head::ledger_name;
use crate::parse::references::{Reference, Target, condition};
use crate::parse::text::parse_duration;
use crate::write::{Interlock, Lease, SETTLE, Verify};

/// The most interlocks of one point: each may cost a read before the write.
const MAX_INTERLOCKS: usize = 16;

/// A value that lapses. `wears`: each write wears the device, or might.
pub(super) fn lease(
    given: Option<At<format::Lease>>,
    wears: bool,
    min_interval: Duration,
    values: &Values<'_>,
    sink: &mut Sink,
) -> Option<Lease> {
    let At { value: lease, span } = given?;
    if wears {
        sink.add(
            "lease",
            span,
            "a lease writes the value again and again, which wears out what is stored",
            "write storage = \"volatile\" where that is known, or leave `lease` out",
        );
    }
    let device_timeout = lease.device_timeout.and_then(|text| {
        let place = text.span.clone();
        let timeout = duration(text, sink)?;
        if timeout < min_interval.saturating_mul(2) {
            sink.add(
                "lease",
                place,
                "the value would lapse before it may be written again",
                "write a `min_interval` of at most half of this time",
            );
        }
        Some(timeout)
    });
    let safe = lease
        .safe
        .filter(|safe| values.hold(safe.value.0, &safe.span, sink));
    Some(Lease {
        device_timeout,
        safe: safe.map(|safe| safe.value.0),
    })
}

/// How a write is read back: as the file says, or as usual.
pub(super) fn verify(given: Option<At<Verification>>, sink: &mut Sink) -> Option<Verify> {
    let Some(given) = given else {
        return Some(Verify {
            after: SETTLE,
            tolerance: 0.0,
        });
    };
    let Verification::By(verify) = given.value else {
        return None;
    };
    let tolerance = verify.tolerance.map_or(0.0, |tolerance| {
        if tolerance.value.0 < 0.0 {
            sink.add(
                "verify",
                tolerance.span,
                "a negative tolerance",
                "write 0 or more",
            );
        }
        tolerance.value.0
    });
    Some(Verify {
        after: duration(verify.after, sink)?,
        tolerance,
    })
}

/// What must be so before a write. Points of this ledger are noted as references; those of another one cannot be.
pub(super) fn interlocks(
    given: Vec<At<format::Interlock>>,
    lost: &dyn Fn(&str) -> bool,
    references: &mut Vec<Reference>,
    sink: &mut Sink,
) -> Vec<Interlock> {
    let tests = [
        "interlocks",
        "above",
        "below",
        "at_least",
        "in",
        "not_in",
        "non_zero",
        "bits",
    ];
    let complete = !tests.iter().any(|key| lost(key));
    let mut all = Vec::new();
    for At { value: given, span } in given {
        if all.len() == MAX_INTERLOCKS {
            sink.add(
                "interlock",
                span,
                format!("more than {MAX_INTERLOCKS} interlocks"),
                "keep those that prevent harm",
            );
            break;
        }
        let asked = At {
            value: given.condition(),
            span,
        };
        let mut own = Vec::new();
        let Some(condition) = condition(asked, complete, &mut own, sink) else {
            continue;
        };
        let before = sink.len();
        let ledger = given.ledger.map(|name| ledger_name(name.value, name.span, sink));
        let say = common::text(Some(given.say), "say", MAX_TEXT, sink);
        let key = &given.point;
        if ledger.is_some() {
            common::key(&key.value, key.span.clone(), "point", sink);
        } else {
            references.extend(own.into_iter().map(|reference| Reference {
                target: Target::Interlock,
                ..reference
            }));
        }
        if let (Some(say), true) = (say, sink.len() == before) {
            all.push(Interlock {
                ledger,
                condition,
                absent_passes: given.absent == Absent::Pass,
                only_below: given.only_below.map(|limit| limit.0),
                only_above: given.only_above.map(|limit| limit.0),
                say,
            });
        }
    }
    all
}

/// A time such as `500ms`.
pub(in crate::parse) fn duration(text: At<String>, sink: &mut Sink) -> Option<Duration> {
    let duration = parse_duration(&text.value);
    if duration.is_none() {
        sink.add(
            "duration",
            text.span,
            format!(
                "`{}` is not a time",
                text.value.chars().take(40).collect::<String>()
            ),
            "write a whole number with its unit, at most a day: \"500ms\", \"1s\", \"10m\", \"1h\"",
        );
    }
    duration
}
