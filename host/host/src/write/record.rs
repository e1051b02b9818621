//! The audit: what stands in it of a write, and how a flood of refusals is kept from filling the disk.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use busbar_guard::{Checked, Outcome, Refusal};
use busbar_ledger::value::Value;
use busbar_store::{AuditKind, NewAudit};

use super::target::Target;
use crate::clock;

/// Who asks, and through what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asker {
    /// Who: the user of the control socket, for one.
    pub who: String,
    /// The interface.
    pub through: &'static str,
}

impl Asker {
    /// The host itself: what ends a lease, and what a restart finds.
    pub fn host() -> Self {
        Asker {
            who: "busbar".to_owned(),
            through: "host",
        }
    }

    fn row(&self, kind: AuditKind) -> NewAudit {
        NewAudit::new(kind, clock::now_ms(), cut(&self.who), self.through)
    }
}

/// The longest name that is kept.
const MOST_NAME: usize = 200;
/// The longest value.
const MOST_VALUE: usize = 500;

fn cut(text: &str) -> String {
    text.chars().take(MOST_NAME).collect()
}

fn json(value: &Value) -> String {
    match value {
        Value::Text(text) => text.chars().take(MOST_VALUE).collect(),
        value => value.to_string(),
    }
}

/// What a lease adds to an intent.
#[derive(Clone, Debug)]
pub struct LeaseTerms {
    /// What ends it.
    pub safe: Checked,
    /// When it ends, in milliseconds since 1970.
    pub until_ms: i64,
}

/// The row that is on the disk before a request is sent.
pub fn intent(
    asker: &Asker,
    target: &Target,
    checked: &Checked,
    old: Option<&Value>,
    lease: Option<&LeaseTerms>,
) -> NewAudit {
    let order = checked.order();
    NewAudit {
        entity: Some(target.id()),
        device: Some(target.device.meta.id.clone()),
        unit_id: Some(target.device.meta.unit),
        function: Some(order.function()),
        at: Some(order.at()),
        old: old.map(json),
        wanted: Some(json(checked.value())),
        words: order.words(),
        safe_words: lease.map(|lease| lease.safe.order().words()).unwrap_or_default(),
        lease_until_ms: lease.map(|lease| lease.until_ms),
        ..asker.row(AuditKind::Intent)
    }
}

/// What came of an intent.
pub fn outcome(
    asker: &Asker,
    target: &Target,
    intent: i64,
    outcome: &str,
    read: Option<&Value>,
    reason: &str,
) -> NewAudit {
    NewAudit {
        intent: Some(intent),
        entity: Some(target.id()),
        device: Some(target.device.meta.id.clone()),
        unit_id: Some(target.device.meta.unit),
        old: read.map(json),
        outcome: Some(outcome.to_owned()),
        reason: Some(reason.to_owned()),
        ..asker.row(AuditKind::Outcome)
    }
}

/// A request that was not sent.
pub fn refused(asker: &Asker, entity: &str, wanted: &Value, refusal: &Refusal) -> NewAudit {
    NewAudit {
        entity: Some(cut(entity)),
        wanted: Some(json(wanted)),
        outcome: Some(Outcome::Refused.name().to_owned()),
        reason: Some(refusal.reason.clone()),
        ..asker.row(AuditKind::Refused)
    }
}

/// A request that was checked and, as was asked, not sent.
pub fn tried(asker: &Asker, target: &Target, checked: &Checked) -> NewAudit {
    NewAudit {
        entity: Some(target.id()),
        device: Some(target.device.meta.id.clone()),
        unit_id: Some(target.device.meta.unit),
        function: Some(checked.order().function()),
        at: Some(checked.order().at()),
        wanted: Some(json(checked.value())),
        words: checked.order().words(),
        outcome: Some(Outcome::DryRun.name().to_owned()),
        ..asker.row(AuditKind::Refused)
    }
}

/// Something else that belongs there.
pub fn note(asker: &Asker, what: &str) -> NewAudit {
    NewAudit {
        reason: Some(what.to_owned()),
        ..asker.row(AuditKind::Note)
    }
}

/// So many refusals a minute stand in the audit one by one; of more than that only the number.
const ONE_BY_ONE: usize = 30;
const MINUTE: Duration = Duration::from_secs(60);

/// What keeps a flood of refusals from filling the disk.
#[derive(Debug, Default)]
pub struct Flood {
    noted: VecDeque<Instant>,
    passed_over: u64,
}

impl Flood {
    /// Whether a refusal is noted by itself, and how many were passed over since the last one that was.
    pub fn take(&mut self, now: Instant) -> Option<u64> {
        while self
            .noted
            .front()
            .is_some_and(|at| now.duration_since(*at) >= MINUTE)
        {
            self.noted.pop_front();
        }
        if self.noted.len() >= ONE_BY_ONE {
            self.passed_over += 1;
            return None;
        }
        self.noted.push_back(now);
        Some(std::mem::take(&mut self.passed_over))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_refusals_is_counted_and_not_noted_one_by_one() {
        let now = Instant::now();
        let mut flood = Flood::default();
        let noted = (0..10_000).filter(|_| flood.take(now).is_some()).count();
        assert_eq!(noted, ONE_BY_ONE);
        assert_eq!(flood.take(now + MINUTE), Some(10_000 - ONE_BY_ONE as u64));
        assert_eq!(flood.take(now + MINUTE), Some(0));
    }
}
