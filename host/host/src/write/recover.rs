//! After a restart: what was under way when the host ended is looked at on the device and noted. Nothing is sent again; a
//! value that is still held by nobody's lease is brought back to what is safe.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use busbar_guard::{Checked, Noted, Outcome, check, effective, same};
use busbar_ledger::codec::{self, Decoded};
use busbar_ledger::value::Value;
use busbar_store::{AuditKind, AuditRow, Registry, StoreError};
use tracing::{error, info, warn};

use super::evidence::{self, Who};
use super::lease::{self, Held};
use super::policy::needed;
use super::record::{self, Asker, LeaseTerms};
use super::target::Target;
use super::{Writer, path};
use crate::clock;
use crate::config::names::Name;
use crate::host::Host;

/// How often a device that does not answer yet is asked.
const AGAIN: Duration = Duration::from_secs(5);
/// How many times: for an hour, then it is left to the owner.
const TIMES: u32 = 720;
/// Newer rows of an entity that are looked through.
const ROWS: u32 = 200;

/// What a former host has left open.
#[derive(Clone, Debug, Default)]
pub struct Open {
    rows: Vec<(AuditRow, bool)>,
}

impl Open {
    /// Collects it, before anything new is written: what is open then is a former host's.
    ///
    /// # Errors
    /// The store's.
    pub async fn collect(registry: &Registry) -> Result<Self, StoreError> {
        let held = registry.open_leases().await?;
        let open = registry.open_intents().await?;
        // One that began a lease is in both lists.
        let rest = open
            .into_iter()
            .filter(|row| !held.iter().any(|lease| lease.seq == row.seq));
        let mut rows: Vec<_> = rest.map(|row| (row, false)).collect();
        rows.extend(held.iter().cloned().map(|row| (row, true)));
        Ok(Open { rows })
    }

    /// Looks into all of it; what a device has to be asked for goes on by itself.
    pub fn look_into(self, host: &Arc<Host>) {
        for (row, leased) in self.rows {
            tokio::spawn(look_into(Arc::clone(host), row, leased));
        }
    }
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
        Decoded::Value(value) => Some(value),
        // Through a register link, for one.
        Decoded::Invalid(_) => row.entry.wanted.as_deref().map(value),
    };
    let Some((who, now)) = read(&host, &target).await else {
        warn!("{entity}: the device does not answer, so what became of a write to it is not known");
        return;
    };
    // Until it is decided, nobody sets a new value.
    let writer = host.writer();
    let _turn = match &writer {
        Some(writer) => Some(turn(writer, &target).await),
        None => None,
    };
    let (newer, seen) = since(&host, &target, row.seq).await;
    let asker = Asker::host();
    let conclude = async |outcome: &str, reason: &str| {
        let row = record::outcome(&asker, &target, row.seq, outcome, Some(&now), reason);
        if let Err(fault) = host.registry.audit(row).await {
            error!("{entity}: that could not be noted: {fault}");
        }
        info!("{entity}: {reason}");
    };
    if newer {
        return conclude("replaced", "the host ended; another value was set since").await;
    }
    let tolerance = target
        .point()
        .write
        .as_ref()
        .and_then(|rule| rule.verify)
        .map_or(0.0, |v| v.tolerance);
    // What was asked for, or what the device was seen to make of it.
    let meant = [wanted.as_ref(), seen.as_ref()];
    let old = row.entry.old.as_deref().map(value);
    // Killed before anybody had looked: what is neither the old value nor the new one is what the device made of it.
    let unseen = leased && seen.is_none() && old.is_some_and(|old| !same(&now, &old, tolerance));
    let has_it = unseen
        || meant
            .into_iter()
            .flatten()
            .any(|meant| same(&now, meant, tolerance));
    let reads = path::amount(&target, &now);
    // What was restored may be old, or not of this house: nothing is written by it before its owner has looked.
    let confirmed = matches!(host.registry.needs_owner_confirmation().await, Ok(false));
    if leased && has_it {
        if let Some((writer, held)) = writer.as_ref().filter(|_| confirmed).and_then(|writer| {
            Some((
                writer,
                held(writer, &target, &row, (wanted.as_ref()?, &now), who)?,
            ))
        }) {
            return lease::resume(&host, writer, held);
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
    conclude(outcome.name(), &reason).await;
}

/// A value as the audit keeps it.
fn value(text: &str) -> Value {
    let number = text.parse().map(Value::Integer);
    number
        .or_else(|_| text.parse().map(Value::Number))
        .unwrap_or_else(|_| Value::Text(text.to_owned()))
}

fn target(host: &Host, entity: &str) -> Option<Target> {
    let Ok(Name::Id { device, key }) = Name::parse(entity) else {
        return None;
    };
    let device = host.bus.device(&device)?;
    let index = *device.meta.ledger.index.get(&key)?;
    Some(Target { device, index })
}

async fn turn<'a>(writer: &'a Writer, target: &Target) -> super::Turn<'a> {
    loop {
        if let Some(turn) = writer.turn_to_keep(target) {
            return turn;
        }
        tokio::time::sleep(AGAIN / 5).await;
    }
}

/// Whether the setting was written again since that intent, and what the device was last seen to read for it. What was
/// surely not carried out has changed nothing: the older value still stands then.
async fn since(host: &Host, target: &Target, intent: i64) -> (bool, Option<Value>) {
    let none = [Outcome::Rejected.name(), Outcome::Refused.name()];
    let (mut newer, mut seen) = (BTreeSet::new(), None);
    for entity in target.shared() {
        let Ok(rows) = host.registry.audit_rows(Some(&entity), None, ROWS).await else {
            continue;
        };
        for row in rows.iter().rev() {
            match (row.entry.intent, row.entry.outcome.as_deref()) {
                _ if row.entry.kind == AuditKind::Intent && row.seq > intent => {
                    newer.insert(row.seq);
                }
                (Some(of), Some(outcome)) if none.contains(&outcome) => {
                    newer.remove(&of);
                }
                _ => {}
            }
            if row.entry.intent == Some(intent) {
                seen = row.entry.old.as_deref().map(value).or(seen);
            }
        }
    }
    (!newer.is_empty(), seen)
}

/// Who the device is and what it reads, once it answers.
async fn read(host: &Arc<Host>, target: &Target) -> Option<(Who, Value)> {
    let register = target.point().register()?;
    for n in 0..TIMES {
        if n > 0 {
            tokio::time::sleep(AGAIN).await;
        }
        let Some(lane) = host.lane(&target.device.meta.connection_id) else {
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
fn held(
    writer: &Writer,
    target: &Target,
    row: &AuditRow,
    (wanted, now): (&Value, &Value),
    who: Who,
) -> Option<Held> {
    let allowed = writer.policy.allowed(target, clock::now_ms()).ok()?;
    let rule = allowed.rule()?;
    if allowed.level < needed(rule) {
        return None;
    }
    let register = target.point().register()?;
    let Decoded::Value(safe) = codec::decode(register, &row.entry.safe_words, None) else {
        return None;
    };
    let mut limits = effective(target.point(), &path::context(writer, &allowed, (None, None))).ok()?;
    limits.max_change = None;
    let checked = |value: &Value| -> Option<Checked> { check(target.point(), &limits, value, None).ok() };
    let safe = checked(&safe)?;
    Some(Held {
        // It is only let go: the words that were held are never sent again, allowed or not.
        checked: checked(wanted).unwrap_or_else(|| safe.clone()),
        stands: Some(now.clone()),
        terms: LeaseTerms {
            safe,
            until_ms: row.entry.lease_until_ms.unwrap_or_default(),
        },
        until: tokio::time::Instant::now(),
        noted: Noted(row.seq),
        kept: 0,
        seen: None,
        who,
        ending: Some("the host had ended while it was held".to_owned()),
        allowed,
    })
}
