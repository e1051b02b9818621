//! The audit: what was to be written to a device, what came of it, what was refused; row by row.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

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

    pub(crate) fn of(word: &str) -> sqlx::Result<Self> {
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
