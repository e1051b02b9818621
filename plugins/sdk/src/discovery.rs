//! Discovery as a conversation without memory: the host hands over everything learned so far, the plugin answers
//! with what it wants to know next, or with its verdict.

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

/// How thorough a scan is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub enum Mode {
    /// The units that the maker uses for each kind.
    #[default]
    Quick,
    /// Every unit.
    Full,
    /// The units of [`Ask::units`] and no others.
    Listed,
}

/// One small read. Address and count are in registers (or bits for functions 1 and 2), zero-based.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Probe {
    /// Modbus unit identifier.
    pub unit: u8,
    /// Modbus function, 1 to 4.
    pub function: u8,
    /// First protocol address.
    pub at: u16,
    /// How many, at least 1.
    pub count: u16,
}

/// What became of one probe. The words lie in [`Ask::words`]; [`Ask::outcome`] looks them up.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Evidence {
    /// What was asked.
    pub probe: Probe,
    /// 0 words, 1 exception, 2 silent, 3 broken: see [`Outcome`].
    pub outcome: u8,
    /// The exception's code where `outcome` is 1, else 0.
    pub exception: u8,
    /// Where this probe's words begin in [`Ask::words`].
    pub offset: u32,
    /// How many words there are.
    pub len: u32,
}

/// What became of a probe, readable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome<'a> {
    /// The device answered with these registers (bits come one a word).
    Words(&'a [u16]),
    /// The device refused, with this code. That is an answer: on a GX 10 means that there is no such service.
    Exception(u8),
    /// No answer in time. That proves nothing.
    Silent,
    /// The answer was not valid, or the link was lost.
    Broken,
}

/// Everything that a plugin may know when it decides what to probe next. It keeps nothing between two calls:
/// the process that it runs in may be another one the next time.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ask<'a> {
    /// How thorough to be.
    pub mode: Mode,
    /// With [`Mode::Listed`], the units to look at; else empty.
    pub units: &'a [u8],
    /// What was probed so far, in the order in which it was asked.
    pub evidence: &'a [Evidence],
    /// The words of all evidence.
    pub words: &'a [u16],
}

impl<'a> Ask<'a> {
    /// What became of one probe. Evidence that points outside the words counts as [`Outcome::Broken`].
    pub fn outcome(&self, evidence: &Evidence) -> Outcome<'a> {
        match evidence.outcome {
            0 => {
                let from = evidence.offset as usize;
                match from
                    .checked_add(evidence.len as usize)
                    .and_then(|to| self.words.get(from..to))
                {
                    Some(words) => Outcome::Words(words),
                    None => Outcome::Broken,
                }
            }
            1 => Outcome::Exception(evidence.exception),
            2 => Outcome::Silent,
            _ => Outcome::Broken,
        }
    }

    /// All evidence with its outcome.
    pub fn outcomes(&self) -> impl Iterator<Item = (Probe, Outcome<'a>)> + '_ {
        self.evidence
            .iter()
            .map(|evidence| (evidence.probe, self.outcome(evidence)))
    }
}

/// The host's side of the conversation: it owns what an [`Ask`] lends. Tests of plugins use it too.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Conversation {
    /// How thorough to be.
    pub mode: Mode,
    /// With [`Mode::Listed`], the units to look at.
    pub units: Vec<u8>,
    /// What was probed so far.
    pub evidence: Vec<Evidence>,
    /// The words of all evidence.
    pub words: Vec<u16>,
}

impl Conversation {
    /// Begins one.
    pub fn new(mode: Mode, units: Vec<u8>) -> Conversation {
        Conversation {
            mode,
            units,
            ..Conversation::default()
        }
    }

    /// Notes what became of a probe.
    pub fn record(&mut self, probe: Probe, outcome: Outcome<'_>) {
        let offset = u32::try_from(self.words.len()).unwrap_or(u32::MAX);
        let (kind, exception, words): (u8, u8, &[u16]) = match outcome {
            Outcome::Words(words) => (0, 0, words),
            Outcome::Exception(code) => (1, code, &[]),
            Outcome::Silent => (2, 0, &[]),
            Outcome::Broken => (3, 0, &[]),
        };
        self.words.extend_from_slice(words);
        let len = u32::try_from(words.len()).unwrap_or(u32::MAX);
        self.evidence.push(Evidence {
            probe,
            outcome: kind,
            exception,
            offset,
            len,
        });
    }

    /// What a plugin is shown.
    pub fn ask(&self) -> Ask<'_> {
        Ask {
            mode: self.mode,
            units: &self.units,
            evidence: &self.evidence,
            words: &self.words,
        }
    }
}

/// What is still to come, as far as the plugin can tell; shown to the owner before and during a scan.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Forecast {
    /// Probes still to come, those of this step included.
    pub remaining: u32,
    /// How many of them the device will probably answer with an exception (each may be an entry in its log).
    pub expected_exceptions: u32,
    /// How many probes a full coverage would take, from the beginning.
    pub possible: u32,
}

/// A device that was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Found {
    /// Modbus unit identifier.
    pub unit: u8,
    /// Which ledger describes it: `victron/gx-vebus`.
    pub ledger: String,
    /// Its id, `[a-z0-9_]+`, made from its identity; never from an address, a name or a position.
    pub id: String,
    /// A name that its owner gave it.
    pub name: Option<String>,
    /// The maker's name for the model.
    pub model: Option<String>,
    /// Serial number.
    pub serial: Option<String>,
    /// Firmware version, as people write it.
    pub firmware: Option<String>,
    /// A ledger made for this one device, where no other has its registers at the same addresses: TOML as in a file.
    /// Its `ledger` is [`Found::ledger`], which then begins with the plugin's own name and a slash, or is one that the
    /// plugin brings. The host keeps it with the device; another device may have another text under the same name.
    pub ledger_text: Option<String>,
}

/// What the evidence amounts to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Verdict {
    /// What was found, in the order to show it.
    pub devices: Vec<Found>,
    /// One sentence for people; empty when there is nothing to add.
    pub note: String,
}

/// The answer to an [`Ask`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Step {
    /// What to read next, likeliest first. Empty ends the conversation, and then there is a verdict.
    pub probes: Vec<Probe>,
    /// What is still to come.
    pub forecast: Forecast,
    /// Beside probes: what is known so far (kept when the owner stops the scan here). Without probes: the end.
    pub verdict: Option<Verdict>,
}

impl Step {
    /// Nothing to probe and nothing found.
    pub fn nothing() -> Step {
        Step {
            verdict: Some(Verdict::default()),
            ..Step::default()
        }
    }
}
