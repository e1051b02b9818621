//! The audit: what was to be written to a device, what came of it, what was refused. Its rows, and the chain that they
//! form: each holds the hash of the one before, so that a row which was changed or taken away is noticed.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::error::StoreError;

/// Longest name of a person, an interface, an entity or a device, in bytes.
const NAME_LIMIT: usize = 500;
/// Longest value, in bytes.
const VALUE_LIMIT: usize = 4096;
/// Longest reason, in characters; a longer one is cut.
const REASON_LIMIT: usize = 2000;
/// The most that one request can write: the coils of function 15, a word each.
const WORDS_LIMIT: usize = 1968;

/// What an audit row is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuditKind {
    /// A request that is about to be sent.
    Intent,
    /// What came of an intent. There may be several for one: applied, and later reverted.
    Outcome,
    /// Asked for, and not sent: refused, or only tried out.
    Refused,
    /// Anything else that belongs here: an approval, the kill switch, a gap.
    Note,
}

impl AuditKind {
    /// The word that is stored and shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Intent => "intent",
            Self::Outcome => "outcome",
            Self::Refused => "refused",
            Self::Note => "note",
        }
    }

    fn of(word: &str) -> sqlx::Result<Self> {
        [Self::Intent, Self::Outcome, Self::Refused, Self::Note]
            .into_iter()
            .find(|kind| kind.name() == word)
            .ok_or_else(|| sqlx::Error::Decode(format!("{word:?} is no kind of audit row").into()))
    }
}

impl fmt::Display for AuditKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What an audit row says. The words of people and devices are kept as they are, however hostile: whoever shows them
/// makes them harmless.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NewAudit {
    /// When, milliseconds since 1970.
    pub at_ms: i64,
    /// What it is about.
    pub kind: AuditKind,
    /// The `seq` of the intent that an outcome belongs to; `None` for all other kinds.
    pub intent: Option<i64>,
    /// Who asked for it. At most 500 bytes, as every name here.
    pub who: String,
    /// The interface it came through.
    pub through: String,
    /// The entity.
    pub entity: Option<String>,
    /// Its device.
    pub device: Option<String>,
    /// The Modbus unit id of the request.
    pub unit_id: Option<u8>,
    /// The Modbus function of the request.
    pub function: Option<u8>,
    /// The first address of the request.
    pub at: Option<u16>,
    /// The value before, as the host writes it. At most 4096 bytes.
    pub old: Option<String>,
    /// The value wanted, as the host writes it. At most 4096 bytes.
    pub wanted: Option<String>,
    /// The words of the request, at most 1968 (a coil is one); empty where there is none.
    pub words: Vec<u16>,
    /// For a lease: the words that end it. A host that was killed finds here what it has to write.
    pub safe_words: Vec<u16>,
    /// For a lease: when it ends unless it is kept alive, milliseconds since 1970.
    pub lease_until_ms: Option<i64>,
    /// What came of it, one word: `applied`, `clamped`, `rejected`, `unknown`, `reverted`, `refused`, `dry_run`, ….
    pub outcome: Option<String>,
    /// Why, a sentence for people. What is beyond 2000 characters is cut off.
    pub reason: Option<String>,
}

impl NewAudit {
    /// A row that says this much and no more.
    pub fn new(kind: AuditKind, at_ms: i64, who: impl Into<String>, through: impl Into<String>) -> Self {
        Self {
            at_ms,
            kind,
            intent: None,
            who: who.into(),
            through: through.into(),
            entity: None,
            device: None,
            unit_id: None,
            function: None,
            at: None,
            old: None,
            wanted: None,
            words: Vec::new(),
            safe_words: Vec::new(),
            lease_until_ms: None,
            outcome: None,
            reason: None,
        }
    }

    /// The row that can be stored, or why it cannot be.
    pub(crate) fn checked(mut self) -> Result<Self, StoreError> {
        let names = [
            ("who", Some(&self.who), NAME_LIMIT),
            ("interface", Some(&self.through), NAME_LIMIT),
            ("entity", self.entity.as_ref(), NAME_LIMIT),
            ("device", self.device.as_ref(), NAME_LIMIT),
            ("old value", self.old.as_ref(), VALUE_LIMIT),
            ("wanted value", self.wanted.as_ref(), VALUE_LIMIT),
        ];
        for (what, text, limit) in names {
            if let Some(text) = text.filter(|t| t.len() > limit) {
                let expected = if limit == NAME_LIMIT {
                    "at most 500 bytes"
                } else {
                    "at most 4096 bytes"
                };
                return Err(invalid(what, text, expected));
            }
        }
        let word = |o: &&String| {
            !(1..=32).contains(&o.len()) || o.bytes().any(|b| !b.is_ascii_lowercase() && b != b'_')
        };
        if let Some(outcome) = self.outcome.as_ref().filter(word) {
            return Err(invalid(
                "outcome",
                outcome,
                "one word of 1 to 32 letters a-z and _",
            ));
        }
        if self.words.len().max(self.safe_words.len()) > WORDS_LIMIT {
            let count = format!("{} and {} words", self.words.len(), self.safe_words.len());
            return Err(invalid("request", &count, "at most 1968 words"));
        }
        if (self.kind == AuditKind::Outcome) != self.intent.is_some() {
            let given = self.intent.map_or("none".into(), |i| i.to_string());
            return Err(invalid(
                "intent",
                &given,
                "an intent for an outcome and for nothing else",
            ));
        }
        if let Some(reason) = &mut self.reason
            && let Some((cut, _)) = reason.char_indices().nth(REASON_LIMIT)
        {
            reason.truncate(cut);
            reason.push('…');
        }
        Ok(self)
    }
}

fn invalid(what: &'static str, value: &str, expected: &'static str) -> StoreError {
    StoreError::Invalid {
        what,
        value: value.chars().take(100).collect(),
        expected,
    }
}

/// A row of the audit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuditRow {
    /// Its number: ascending, without gaps, never used again.
    pub seq: i64,
    /// What it says.
    #[serde(flatten)]
    pub entry: NewAudit,
    /// The hash of the row before; zeros in the very first.
    pub prev_hash: AuditHash,
    /// The hash of this row with that of the one before.
    pub hash: AuditHash,
}

/// What a check of the whole audit found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuditProof {
    /// Rows that fit, one after the other; all of them when nothing is broken.
    pub rows: u64,
    /// When the first of them was written, milliseconds since 1970.
    pub first_ms: Option<i64>,
    /// When the last of them was written.
    pub last_ms: Option<i64>,
    /// The last row that was pruned; 0 when none was.
    pub pruned_to: i64,
    /// The hash of the last row that fits. Whoever keeps it elsewhere can show later that nothing before it changed.
    pub head: AuditHash,
    /// The first row that does not fit; `None`: the audit is whole.
    pub broken: Option<AuditBreak>,
}

/// A row of the audit that does not fit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuditBreak {
    /// The row.
    pub seq: i64,
    /// What is wrong with it, as the end of a sentence that begins with the row: `was changed`.
    pub why: String,
}

/// A SHA-256, shown in hexadecimal.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct AuditHash(pub [u8; 32]);

impl fmt::Display for AuditHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for AuditHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for AuditHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for AuditHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digit = |i: usize| {
            text.get(2 * i..2 * i + 2)
                .and_then(|d| u8::from_str_radix(d, 16).ok())
        };
        let mut hash = [0; 32];
        for (i, byte) in hash.iter_mut().enumerate() {
            *byte = digit(i).ok_or_else(|| serde::de::Error::custom("no SHA-256 in hexadecimal"))?;
        }
        Ok(Self(hash))
    }
}

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
