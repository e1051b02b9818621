//! The chain that the rows of the audit form: each holds the hash of the one before, so that a row which was changed or
//! taken away is noticed.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::audit::{AuditBreak, AuditHash, AuditKind, AuditRow, NewAudit};

/// Selects what [`Stored::of`] reads.
macro_rules! select_audit {
    ($rest:literal) => {
        concat!(
            "SELECT seq, at_ms, kind, intent, who, through, entity, device, unit_id, function, at, old, wanted, \
             words, safe_words, lease_until_ms, outcome, reason, prev_hash, hash FROM audit ",
            $rest
        )
    };
}
pub(crate) use select_audit;

/// A row as it lies in the file, whether or not it makes sense: what is verified is exactly this.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) seq: i64,
    pub(crate) at_ms: i64,
    pub(crate) kind: String,
    pub(crate) intent: Option<i64>,
    pub(crate) who: String,
    pub(crate) through: String,
    pub(crate) entity: Option<String>,
    pub(crate) device: Option<String>,
    pub(crate) unit_id: Option<i64>,
    pub(crate) function: Option<i64>,
    pub(crate) at: Option<i64>,
    pub(crate) old: Option<String>,
    pub(crate) wanted: Option<String>,
    pub(crate) words: Vec<u8>,
    pub(crate) safe_words: Vec<u8>,
    pub(crate) lease_until_ms: Option<i64>,
    pub(crate) outcome: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) prev_hash: Vec<u8>,
    pub(crate) hash: Vec<u8>,
}

impl Stored {
    /// The row that follows the one with `prev_hash`.
    pub(crate) fn new(seq: i64, new: &NewAudit, prev_hash: AuditHash) -> Self {
        let bytes = |words: &[u16]| words.iter().flat_map(|w| w.to_be_bytes()).collect();
        let mut stored = Self {
            seq,
            at_ms: new.at_ms,
            kind: new.kind.name().to_owned(),
            intent: new.intent,
            who: new.who.clone(),
            through: new.through.clone(),
            entity: new.entity.clone(),
            device: new.device.clone(),
            unit_id: new.unit_id.map(i64::from),
            function: new.function.map(i64::from),
            at: new.at.map(i64::from),
            old: new.old.clone(),
            wanted: new.wanted.clone(),
            words: bytes(&new.words),
            safe_words: bytes(&new.safe_words),
            lease_until_ms: new.lease_until_ms,
            outcome: new.outcome.clone(),
            reason: new.reason.clone(),
            prev_hash: prev_hash.0.to_vec(),
            hash: Vec::new(),
        };
        stored.hash = stored.computed().0.to_vec();
        stored
    }

    pub(crate) fn of(row: &SqliteRow) -> sqlx::Result<Self> {
        Ok(Self {
            seq: row.try_get(0)?,
            at_ms: row.try_get(1)?,
            kind: row.try_get(2)?,
            intent: row.try_get(3)?,
            who: row.try_get(4)?,
            through: row.try_get(5)?,
            entity: row.try_get(6)?,
            device: row.try_get(7)?,
            unit_id: row.try_get(8)?,
            function: row.try_get(9)?,
            at: row.try_get(10)?,
            old: row.try_get(11)?,
            wanted: row.try_get(12)?,
            words: row.try_get(13)?,
            safe_words: row.try_get(14)?,
            lease_until_ms: row.try_get(15)?,
            outcome: row.try_get(16)?,
            reason: row.try_get(17)?,
            prev_hash: row.try_get(18)?,
            hash: row.try_get(19)?,
        })
    }

    /// What the hash of this row must be; the encoding stands beside the table, in the migration.
    fn computed(&self) -> AuditHash {
        let mut sum = Sum(Sha256::new_with_prefix(b"busbar audit 1\0"));
        sum.integer(Some(self.seq));
        sum.integer(Some(self.at_ms));
        sum.text(Some(&self.kind));
        sum.integer(self.intent);
        sum.text(Some(&self.who));
        sum.text(Some(&self.through));
        sum.text(self.entity.as_deref());
        sum.text(self.device.as_deref());
        sum.integer(self.unit_id);
        sum.integer(self.function);
        sum.integer(self.at);
        sum.text(self.old.as_deref());
        sum.text(self.wanted.as_deref());
        sum.bytes(3, &self.words);
        sum.bytes(3, &self.safe_words);
        sum.integer(self.lease_until_ms);
        sum.text(self.outcome.as_deref());
        sum.text(self.reason.as_deref());
        sum.bytes(3, &self.prev_hash);
        AuditHash(sum.0.finalize().into())
    }

    /// The row as others see it; an error where a column holds what no host wrote.
    pub(crate) fn row(self) -> sqlx::Result<AuditRow> {
        Ok(AuditRow {
            seq: self.seq,
            entry: NewAudit {
                at_ms: self.at_ms,
                kind: AuditKind::of(&self.kind)?,
                intent: self.intent,
                who: self.who,
                through: self.through,
                entity: self.entity,
                device: self.device,
                unit_id: narrow(self.unit_id)?,
                function: narrow(self.function)?,
                at: narrow(self.at)?,
                old: self.old,
                wanted: self.wanted,
                words: words(&self.words),
                safe_words: words(&self.safe_words),
                lease_until_ms: self.lease_until_ms,
                outcome: self.outcome,
                reason: self.reason,
            },
            prev_hash: hash(&self.prev_hash)?,
            hash: hash(&self.hash)?,
        })
    }
}

fn words(bytes: &[u8]) -> Vec<u16> {
    bytes
        .chunks_exact(2)
        .map(|b| u16::from_be_bytes([b[0], b[1]]))
        .collect()
}

fn narrow<T: TryFrom<i64>>(value: Option<i64>) -> sqlx::Result<Option<T>> {
    let out_of_range = |v| sqlx::Error::Decode(format!("{v} is out of range in an audit row").into());
    value
        .map(|v| T::try_from(v).map_err(|_| out_of_range(v)))
        .transpose()
}

pub(crate) fn hash(bytes: &[u8]) -> sqlx::Result<AuditHash> {
    let wrong = || sqlx::Error::Decode(format!("a hash of {} bytes in an audit row", bytes.len()).into());
    bytes.try_into().map(AuditHash).map_err(|_| wrong())
}

/// Each column says what it is and how long, so that no two rows give the same bytes.
struct Sum(Sha256);

impl Sum {
    fn integer(&mut self, value: Option<i64>) {
        match value {
            None => self.0.update([0]),
            Some(value) => {
                self.0.update([1]);
                self.0.update(value.to_be_bytes());
            }
        }
    }

    fn text(&mut self, value: Option<&str>) {
        match value {
            None => self.0.update([0]),
            Some(text) => self.bytes(2, text.as_bytes()),
        }
    }

    fn bytes(&mut self, tag: u8, bytes: &[u8]) {
        self.0.update([tag]);
        self.0.update((bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
    }
}

/// The last row that was pruned, from which the chain goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Anchor {
    pub(crate) seq: i64,
    pub(crate) hash: AuditHash,
}

impl Anchor {
    /// As it lies in `meta`. One that cannot be read is none: then the first row does not fit, which is noticed.
    pub(crate) fn of(text: Option<&str>) -> Self {
        text.and_then(|t| serde_json::from_str(t).ok())
            .unwrap_or_default()
    }
}

/// Follows the chain from one row to the next.
pub(crate) struct Chain {
    last: Anchor,
}

impl Chain {
    pub(crate) fn from(anchor: Anchor) -> Self {
        Self { last: anchor }
    }

    pub(crate) fn last(&self) -> Anchor {
        self.last
    }

    /// Takes the next row, or says why it is none.
    pub(crate) fn follow(&mut self, row: &Stored) -> Result<(), AuditBreak> {
        let broken = |seq, why: &str| {
            Err(AuditBreak {
                seq,
                why: why.to_owned(),
            })
        };
        if row.seq != self.last.seq + 1 {
            return broken(self.last.seq + 1, "is missing");
        }
        let computed = row.computed();
        if row.hash != computed.0 {
            return broken(row.seq, "was changed");
        }
        if row.prev_hash != self.last.hash.0 {
            return broken(row.seq, "does not follow from the row before it");
        }
        self.last = Anchor {
            seq: row.seq,
            hash: computed,
        };
        Ok(())
    }
}
