//! For how long a value that lapses is held, and what is written when it is let go.

use std::time::Duration;

use busbar_guard::{Cause, Checked, Effective, Refusal, check};
use busbar_ledger::value::Value;
use busbar_ledger::write::{Lease, WriteRule};

use super::path::Request;
use super::policy::Allowed;
use super::target::Target;

/// How long a leased value is held where nobody says for how long.
pub const DEFAULT_HOLD: Duration = Duration::from_secs(600);

/// The longest that one request holds a value.
pub const LONGEST_HOLD: Duration = Duration::from_secs(24 * 3600);

/// For how long a leased value is held; `None` for one that is not leased.
pub(super) fn hold(rule: &WriteRule, request: &Request) -> Result<Option<Duration>, Refusal> {
    let Some(_) = &rule.lease else {
        return match request.hold {
            None => Ok(None),
            Some(_) => Err(Refusal::new(
                Cause::Value,
                "it keeps what it is set to, so there is nothing to hold for a while",
                "Leave --for out.",
            )),
        };
    };
    if !request.host_stays && !request.dry_run {
        return Err(Refusal::new(
            Cause::NeedsHost,
            "this value lapses unless it is written again and again, and no host runs that would do that",
            "Start the host (`busbar`), then set it.",
        ));
    }
    let hold = request.hold.unwrap_or(DEFAULT_HOLD);
    if hold > LONGEST_HOLD {
        return Err(Refusal::new(
            Cause::Bounds,
            "a value is held for at most 24 hours at a time",
            "Hold it for 24h at most, and set it again then.",
        ));
    }
    Ok(Some(hold))
}

/// The words that end a lease: the owner's safe value, else the ledger's.
pub(super) fn safe(
    rule: &WriteRule,
    allowed: &Allowed,
    target: &Target,
    limits: &Effective,
) -> Result<Option<Checked>, Refusal> {
    let Some(Lease { safe, .. }) = &rule.lease else {
        return Ok(None);
    };
    let Some(safe) = allowed.entry.safe.or(*safe) else {
        return Err(Refusal::new(
            Cause::NotSet,
            "nobody says which value is safe when this one is let go",
            format!(
                "Name it in connection.writes: allow = [{{ entity = \"{}\", safe = 0 }}]",
                target.id()
            ),
        )
        .bound_by("owner"));
    };
    let anywhere = Effective {
        max_change: None,
        ..limits.clone()
    };
    let value = match safe.fract() == 0.0 && safe.abs() < 9e15 {
        true => Value::Integer(safe as i64),
        false => Value::Number(safe),
    };
    check(target.point(), &anywhere, &value, None)
        .map(Some)
        .map_err(|refusal| Refusal {
            reason: format!("its safe value cannot be written: {}", refusal.reason),
            ..refusal
        })
}
