//! Values as people read them, and how far they can be trusted.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A decoded value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// A whole number: counters, states, bits; no fraction was lost or added.
    Integer(i64),
    /// A scaled number. Never NaN, never infinite: those decode to quality `invalid`.
    Number(f64),
    /// A text, cut at its first NUL, with control characters still in it: escape it where it is shown.
    Text(String),
}

impl Value {
    /// The value as a floating-point number; `None` for a text.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Value::Integer(i) => Some(*i as f64),
            Value::Number(n) => Some(*n),
            Value::Text(_) => None,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Integer(i) => write!(f, "{i}"),
            Value::Number(n) => write!(f, "{n}"),
            Value::Text(t) => f.write_str(t),
        }
    }
}

/// How far a reading can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Quality {
    /// What the device said, in time.
    Good,
    /// What the device said once; it is older than it should be.
    Stale,
    /// The device answered, but what it said is no value: a sentinel, NaN, a condition not met.
    Invalid,
    /// The device did not answer, or does not have it.
    Unavailable,
}

impl Quality {
    /// The word of the outward contract.
    pub fn name(self) -> &'static str {
        match self {
            Quality::Good => "good",
            Quality::Stale => "stale",
            Quality::Invalid => "invalid",
            Quality::Unavailable => "unavailable",
        }
    }
}

impl fmt::Display for Quality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What one point said in one poll.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// The value; `None` unless the quality is `good` or `stale`.
    pub value: Option<Value>,
    /// How far it can be trusted.
    pub quality: Quality,
    /// The address it was really read from: a fall-back register may stand in for the point's own. `None` for
    /// computed points and for points that were not read.
    pub at: Option<u16>,
    /// The words as the device sent them; empty when it sent none.
    pub raw: RawWords,
}

impl Reading {
    /// A reading of something that was not there to be read.
    pub fn unavailable() -> Self {
        Reading {
            value: None,
            quality: Quality::Unavailable,
            at: None,
            raw: RawWords::default(),
        }
    }
}

/// The words of one value: a slice of `u16` that needs no allocation for the four words of the longest number.
#[derive(Clone, PartialEq, Eq)]
pub struct RawWords(Store);

#[derive(Clone, PartialEq, Eq)]
enum Store {
    /// How many words, and they; the rest is 0, so that equal words are equal stores.
    Few(u8, [u16; 4]),
    Many(Box<[u16]>),
}

impl From<&[u16]> for RawWords {
    fn from(words: &[u16]) -> Self {
        let mut few = [0; 4];
        match few.get_mut(..words.len()) {
            Some(place) => {
                place.copy_from_slice(words);
                RawWords(Store::Few(words.len() as u8, few))
            }
            None => RawWords(Store::Many(words.into())),
        }
    }
}

impl Default for RawWords {
    fn default() -> Self {
        RawWords(Store::Few(0, [0; 4]))
    }
}

impl std::ops::Deref for RawWords {
    type Target = [u16];

    fn deref(&self) -> &[u16] {
        match &self.0 {
            Store::Few(count, words) => words.get(..usize::from(*count)).unwrap_or_default(),
            Store::Many(words) => words,
        }
    }
}

impl fmt::Debug for RawWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_words_are_the_words() {
        for count in 0..9 {
            let words: Vec<u16> = (1..=count).collect();
            assert_eq!(*RawWords::from(&words[..]), words[..]);
        }
        assert_eq!(format!("{:?}", RawWords::from(&[1, 2][..])), "[1, 2]");
    }
}
