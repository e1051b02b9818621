//! After a restart: what was under way when the host ended is looked at on the device and noted. Nothing is sent again; a
//! value that is still held by nobody's lease is brought back to what is safe.

use std::sync::Arc;
use std::time::Duration;

use busbar_guard::{Noted, Outcome, check, effective, same};
use busbar_ledger::codec::{self, Decoded};
use busbar_ledger::value::Value;
use busbar_store::AuditRow;
use tracing::{error, info, warn};

use super::evidence::Who;
use super::lease::{self, Held};
use super::policy::{Target, needed};
use super::record::{self, Asker, LeaseTerms};
use super::{evidence, path};
use crate::clock;
use crate::config::names::Name;
use crate::error::Result;
use crate::host::Host;

/// How often a device that does not answer yet is asked.
const AGAIN: Duration = Duration::from_secs(5);
/// How many times: for an hour, then it is left to the owner.
const TIMES: u32 = 720;

/// Looks into everything that was left open. What a device has to be asked for goes on by itself.
///
/// # Errors
/// The store's.
pub async fn recover(host: &Arc<Host>) -> Result<usize> {
    let open = host.registry.open_intents().await?;
    let held = host.registry.open_leases().await?;
    let count = open.len() + held.len();
    for row in open {
        // One that began a lease is in both lists.
        if !held.iter().any(|lease| lease.seq == row.seq) {
            tokio::spawn(look_into(Arc::clone(host), row, false));
        }
    }
    for row in held {
        tokio::spawn(look_into(Arc::clone(host), row, true));
    }
    Ok(count)
}

async fn look_into(host: Arc<Host>, row: AuditRow, leased: bool) {
    let entity = row.entry.entity.clone().unwrap_or_default();
    info!("{entity}: a write was under way when the host ended; the device is asked what became of it");
    let Some(target) = target(&host, &entity) else {
        warn!("{entity}: it is not known any more, so what became of a write to it is not known either");
        return;
    };
    let Some(register) = target.point().register().cloned() else {
        return;
    };
    let wanted = match codec::decode(&register, &row.entry.words, None) {
        Decoded::Value(value) if row.entry.words.len() == usize::from(register.span.count) => Some(value),
        // Through a register link, for one.
        _ => row.entry.wanted.as_deref().map(|text| {
            text.parse()
                .map(Value::Integer)
                .unwrap_or_else(|_| Value::Text(text.to_owned()))
        }),
    };
    let Some((who, now)) = read(&host, &target).await else {
        warn!("{entity}: the device does not answer, so what became of a write to it is not known");
        return;
    };
    let tolerance = target
        .point()
        .write
        .as_ref()
        .and_then(|rule| rule.verify)
        .map_or(0.0, |v| v.tolerance);
    let has_it = wanted
        .as_ref()
        .is_some_and(|wanted| same(&now, wanted, tolerance));
    let reads = path::amount(&target, &now);
    if leased && has_it {
        if let Some(held) = held(&host, &target, &row, wanted.as_ref(), who) {
            lease::let_go(&host, held, "the host had ended while it was held").await;
            return;
        }
        error!(
            "{entity} still reads {reads}, which the host held when it ended, and writing it is not allowed any more: \
             set it on the device"
        );
    }
    let (outcome, reason) = match (leased, has_it) {
        (true, true) => (
            Outcome::Unknown,
            format!(
                "the host ended while it was held; the device still reads {reads}, and writing is not allowed any more"
            ),
        ),
        (true, false) => (
            Outcome::Reverted,
            format!("the host ended while it was held; the device has let it go, and reads {reads}"),
        ),
        (false, true) => (
            Outcome::Applied,
            format!("the host ended before it was proven; after the restart the device reads {reads}"),
        ),
        (false, false) => (
            Outcome::Unknown,
            format!(
                "the host ended before it was proven; after the restart the device reads {reads}; it is not sent again"
            ),
        ),
    };
    let row = record::outcome(
        &Asker::host(),
        &target,
        row.seq,
        outcome.name(),
        Some(&now),
        &reason,
    );
    if let Err(fault) = host.registry.audit(row).await {
        error!("{entity}: that could not be noted: {fault}");
    }
    info!("{entity}: {reason}");
}

fn target(host: &Host, entity: &str) -> Option<Target> {
    let Ok(Name::Id { device, key }) = Name::parse(entity) else {
        return None;
    };
    let device = host.bus.device(&device)?;
    let index = *device.meta.ledger.index.get(&key)?;
    Some(Target { device, index })
}

/// Who the device is and what it reads, once it answers.
async fn read(host: &Arc<Host>, target: &Target) -> Option<(Who, Value)> {
    let register = target.point().register()?;
    for n in 0..TIMES {
        if n > 0 {
            tokio::time::sleep(AGAIN).await;
        }
        let Some(lane) = host.lane(&target.device.meta.connection) else {
            continue;
        };
        let Ok(who) = evidence::who(&lane.link, &target.device, &host.bus.devices()).await else {
            continue;
        };
        // What another device reads says nothing of the one that was written to.
        if let Some(writer) = host.writer()
            && writer.approved(host, target, &who).await.is_err()
        {
            continue;
        }
        if let Some((value, _)) = evidence::look(&lane.link, target.device.meta.unit, register).await {
            return Some((who, value));
        }
    }
    None
}

/// The lease as it was, where its end may be written.
fn held(host: &Arc<Host>, target: &Target, row: &AuditRow, wanted: Option<&Value>, who: Who) -> Option<Held> {
    let writer = host.writer()?;
    let allowed = writer.policy.allowed(target, clock::now_ms()).ok()?;
    let rule = allowed.rule()?;
    if allowed.level < needed(rule) {
        return None;
    }
    let register = target.point().register()?;
    let Decoded::Value(safe) = codec::decode(register, &row.entry.safe_words, None) else {
        return None;
    };
    let mut limits = effective(target.point(), &path::context(&writer, &allowed, (None, None))).ok()?;
    limits.max_change = None;
    let safe = check(target.point(), &limits, &safe, None).ok()?;
    let checked = check(target.point(), &limits, wanted?, None).ok()?;
    Some(Held {
        stands: wanted.cloned(),
        terms: LeaseTerms {
            safe,
            until_ms: row.entry.lease_until_ms.unwrap_or_default(),
        },
        allowed,
        checked,
        noted: Noted(row.seq),
        kept: 0,
        who,
    })
}
