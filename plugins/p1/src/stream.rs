//! Finds the telegrams in a stream: of text, encrypted, and what lies between them.

use busbar_ledger::obis::Obis;
use busbar_ledger::telegram::time;
use busbar_plugin_sdk::{Checked, Feed, Heard, Telegram};

use crate::cipher;
use crate::frame::{self, Frame, begins};
use crate::lines;
use crate::noise;
use crate::variant::Variant;

/// The most telegrams of one call; what is behind them is for the next one.
const MAX_TELEGRAMS: usize = 256;
/// The most frames that are tried with a key and do not open, in one call: each costs its whole length.
const MAX_TRIES: u32 = 16;
/// The identification is cut behind so many characters.
const MAX_IDENT: usize = 128;

/// The time that a telegram tells.
const TIME: &str = "0-0:1.0.0";

/// What a stream holds.
pub(crate) fn hear(feed: &Feed<'_>) -> Heard {
    let mut ear = Ear {
        feed,
        heard: Heard::default(),
        noise: 0,
        tries: 0,
        sealed: None,
    };
    while ear.step() {}
    let Ear {
        mut heard,
        noise,
        sealed,
        ..
    } = ear;
    // A little noise is kept, so that there is enough of it to tell what it is.
    let rest = feed.bytes.get(heard.consumed..).unwrap_or_default();
    let is_noise = heard.telegrams.is_empty() && noise > 0;
    heard.note = match sealed {
        Some(why) if heard.telegrams.is_empty() => Some(why.note(feed).to_owned()),
        _ if is_noise => noise::note(feed.bytes.get(..heard.consumed).unwrap_or(rest)).map(str::to_owned),
        _ => None,
    };
    heard
}

/// Why an encrypted telegram was not read.
#[derive(Clone, Copy)]
enum Locked {
    NoKey,
    WrongKey,
}

impl Locked {
    fn note(self, feed: &Feed<'_>) -> &'static str {
        match self {
            Locked::NoKey => {
                "the telegrams are encrypted, as in Luxembourg and Austria; ask the grid operator for the key of this \
                 meter and set it as `key` of the connection (32 hexadecimal digits)"
            }
            Locked::WrongKey if feed.auth_key.is_empty() => {
                "the telegrams are encrypted, and `key` does not open them; check its 32 hexadecimal digits, and outside \
                 of Luxembourg set `auth_key`, too"
            }
            Locked::WrongKey => {
                "the telegrams are encrypted, and `key` with `auth_key` does not open them; check both against what the \
                 grid operator gave out for this meter"
            }
        }
    }
}

struct Ear<'a> {
    feed: &'a Feed<'a>,
    heard: Heard,
    /// Bytes between telegrams, line ends and fill apart.
    noise: usize,
    /// Frames that did not open.
    tries: u32,
    sealed: Option<Locked>,
}

impl Ear<'_> {
    /// Takes the next piece of the stream; no where there is none, or none that is complete.
    fn step(&mut self) -> bool {
        let rest = self.feed.bytes.get(self.heard.consumed..).unwrap_or_default();
        let Some(&first) = rest.first() else {
            return false;
        };
        if self.heard.telegrams.len() >= MAX_TELEGRAMS || self.tries >= MAX_TRIES {
            return false;
        }
        match first {
            b'\r' | b'\n' | 0 => self.heard.consumed += 1,
            cipher::TAG => return self.sealed(rest),
            byte if begins(byte) => return self.text(rest),
            _ => return self.between(rest),
        }
        true
    }

    /// Noise, up to what could begin a telegram. A little of it is kept, so that what follows can tell what it is.
    fn between(&mut self, rest: &[u8]) -> bool {
        let starts = |byte: &u8| begins(*byte) || *byte == cipher::TAG;
        let end = rest.iter().position(starts);
        let len = end.unwrap_or(rest.len());
        if end.is_none() && len < noise::ENOUGH && !self.feed.whole {
            return false;
        }
        self.drop(len);
        true
    }

    fn drop(&mut self, len: usize) {
        self.heard.consumed += len;
        self.noise += len;
        self.heard.dropped = self
            .heard
            .dropped
            .saturating_add(u32::try_from(len).unwrap_or(u32::MAX));
    }

    fn text(&mut self, rest: &[u8]) -> bool {
        match frame::read(rest, self.feed.whole) {
            Frame::Open => false,
            Frame::Broken { len, is_telegram } => {
                self.heard.damaged += u32::from(is_telegram);
                self.drop(len.max(1));
                true
            }
            Frame::Whole { text, checked, len } => {
                if self.take(&text, checked, false) {
                    self.heard.consumed += len;
                } else {
                    self.heard.damaged += 1;
                    self.drop(len);
                }
                true
            }
        }
    }

    fn sealed(&mut self, rest: &[u8]) -> bool {
        let sealed = match cipher::read(rest) {
            cipher::Frame::Open if !self.feed.whole => return false,
            cipher::Frame::Open | cipher::Frame::None => {
                self.drop(1);
                return true;
            }
            cipher::Frame::Whole(sealed) => sealed,
        };
        let opened = sealed.open(self.feed.key, self.feed.auth_key);
        let Some(plain) = opened else {
            self.tries += u32::from(!self.feed.key.is_empty());
            // Without its key nothing says that it is a frame at all: what lies in it may be one.
            self.sealed = Some(if self.feed.key.is_empty() {
                Locked::NoKey
            } else {
                Locked::WrongKey
            });
            self.drop(if self.feed.key.is_empty() { sealed.len } else { 1 });
            return true;
        };
        let taken = match plain
            .iter()
            .position(|byte| begins(*byte))
            .and_then(|at| plain.get(at..))
        {
            Some(plain) => match frame::read(plain, true) {
                Frame::Whole { text, checked, .. } => self.take(&text, checked, true),
                _ => false,
            },
            None => false,
        };
        if taken {
            self.heard.consumed += sealed.len;
        } else {
            self.heard.damaged += 1;
            self.drop(sealed.len);
        }
        true
    }

    /// Takes a telegram in; no where it says nothing.
    fn take(&mut self, text: &str, checked: Checked, encrypted: bool) -> bool {
        let lines = lines::read(text);
        if lines.lines.is_empty() {
            return false;
        }
        let variant = Variant::recognise(&lines, encrypted);
        let offset = self.feed.standard_offset.unwrap_or(variant.standard_offset());
        let code = Obis::parse(TIME);
        let told = lines.lines.iter().find(|line| Some(line.code) == code);
        let told = told.and_then(|line| time::parse(&line.groups.first()?.value, offset));
        self.heard.repeated = self.heard.repeated.saturating_add(lines.repeated);
        self.heard.unchecked += u32::from(checked == Checked::None);
        self.heard.telegrams.push(Telegram {
            checked,
            time_ms: told.map(|seconds| seconds * 1000),
            lines: lines.lines.iter().map(ToString::to_string).collect(),
            variant: variant.name().to_owned(),
            ident: lines.ident.chars().take(MAX_IDENT).collect(),
        });
        true
    }
}
