//! Telegrams: what a meter says by itself, without being asked. The host hands over the bytes as they came, the plugin
//! answers with the whole telegrams among them and with how many bytes are done with.

use std::fmt;

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

/// The most bytes of one [`Feed`], and so the most that the host keeps of a stream in which no telegram ends.
pub const MAX_FEED: usize = 64 * 1024;

/// A piece of a stream. The plugin keeps nothing: what it does not consume comes again, with what follows.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Feed<'a> {
    /// All that was not consumed yet, at most [`MAX_FEED`] bytes.
    pub bytes: &'a [u8],
    /// The key that an encrypted telegram is read with: empty or 16 bytes.
    pub key: &'a [u8],
    /// The key that it is authenticated with: empty (then the plugin knows a usual one) or 16 bytes.
    pub auth_key: &'a [u8],
    /// Nothing follows (the answer to one request): what is there is all.
    pub whole: bool,
    /// Standard time of the meter's country, in minutes east of Greenwich, -1440 to 1440. None: the plugin knows.
    pub standard_offset: Option<i16>,
}

/// Without the keys.
impl fmt::Debug for Feed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed")
            .field("bytes", &self.bytes)
            .field("has_key", &!self.key.is_empty())
            .field("has_auth_key", &!self.auth_key.is_empty())
            .field("whole", &self.whole)
            .field("standard_offset", &self.standard_offset)
            .finish()
    }
}

/// The answer to a [`Feed`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Heard {
    /// How many bytes, from the beginning, are done with; at most [`Feed::bytes`] has.
    pub consumed: usize,
    /// The telegrams among them, in the order in which they came.
    pub telegrams: Vec<Telegram>,
    /// How many more were there, but damaged: they are dropped.
    pub damaged: u32,
    /// How many of [`Heard::telegrams`] had no sum that could be checked.
    pub unchecked: u32,
    /// How many lines of [`Heard::telegrams`] were left out, for one with the same code stands behind them.
    pub repeated: u32,
    /// How many of the consumed bytes belong to no telegram that is told, damaged ones and noise between them.
    pub dropped: u32,
    /// What the stream seems to be where it is none of telegrams, and what to do about it, in a sentence or two.
    pub note: Option<String>,
}

/// How far a telegram's bytes are known to be those that the meter sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub enum Checked {
    /// Its sum is right.
    Crc,
    /// Its sum is right with the line ends that something on the way took out.
    Restored,
    /// It has no sum.
    #[default]
    None,
}

impl Checked {
    /// All of them, in the order of their numbers at the border.
    pub const ALL: [Checked; 3] = [Checked::Crc, Checked::Restored, Checked::None];

    /// One word, as it crosses the border and as hosts show it.
    pub const fn name(self) -> &'static str {
        match self {
            Checked::Crc => "crc",
            Checked::Restored => "restored",
            Checked::None => "none",
        }
    }

    /// The one of this name.
    pub fn of(name: &str) -> Option<Checked> {
        Checked::ALL.into_iter().find(|checked| checked.name() == name)
    }
}

/// One whole telegram.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Telegram {
    /// How it was checked.
    pub checked: Checked,
    /// When the meter says that it was made, in milliseconds since 1970 (UTC). None where it does not say, or not in
    /// which zone: then it is the time of arrival.
    pub time_ms: Option<i64>,
    /// One for each code, without line ends: `0-1:24.2.1(101209112500W)(12785.123*m3)`.
    pub lines: Vec<String>,
    /// Which kind of telegram it is, one short word of the plugin's.
    pub variant: String,
    /// What the meter calls itself.
    pub ident: String,
}

impl Heard {
    /// Nothing heard, and all of the feed let go.
    pub fn nothing(feed: &Feed<'_>) -> Heard {
        Heard {
            consumed: feed.bytes.len(),
            dropped: u32::try_from(feed.bytes.len()).unwrap_or(u32::MAX),
            ..Heard::default()
        }
    }
}
