//! A judge over every frame that a device saw: what was written, and was it allowed?
//!
//! It shares no code with whoever decides what is written, but for the ledger's codec: what words mean is decoded from
//! the frames themselves.
//!
//! ```
//! # use busbar_zoo::{Evidence, Judge, Leave, ledgers, simulate::Stats};
//! let hub4 = ledgers().iter().find(|ledger| ledger.name == "victron/gx-hub4").unwrap();
//! let judge = Judge::strict().allow(Leave::of(100, hub4, "overrides_setpoint").within(-3000.0, 3000.0));
//! judge.acquit(&Evidence::from(&Stats::default()));
//! ```

mod evidence;
mod leave;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use busbar_ledger::value::Value;
use busbar_ledger::write::By;
use busbar_simulate::Write;

pub use evidence::{Evidence, Intent};
pub use leave::Leave;

/// How much earlier or later a frame may be seen than it was sent, and a row be dated than it was written.
const JITTER: Duration = Duration::from_millis(50);
/// What a wear budget is for.
const DAY: Duration = Duration::from_secs(86_400);
/// Violations that [`Judge::acquit`] shows.
const SHOWN: usize = 20;

/// What may be written to one device. Reads (functions 1 to 4, 17 and 43) always may be.
#[derive(Clone, Debug)]
pub struct Judge {
    leaves: Vec<Leave>,
    /// Register links that may be asked, by unit and address.
    links: Vec<(u8, u16)>,
    intents: Option<Vec<Intent>>,
    /// When the evidence's time began, in ms since 1970.
    began_ms: i64,
    jitter: Duration,
}

/// What was written under one leave so far.
#[derive(Debug, Default)]
struct Past {
    last: Option<(Duration, Option<f64>)>,
    day: VecDeque<Duration>,
}

/// What an intent says but for its time.
type Frame = (u8, u8, u16, Vec<u16>);
/// Intents of the same frame: from when to when, and whether a write was seen for it.
type Rows = HashMap<Frame, Vec<(i64, i64, bool)>>;

impl Judge {
    /// Nothing may be written.
    pub fn strict() -> Judge {
        Judge {
            leaves: Vec::new(),
            links: Vec::new(),
            intents: None,
            began_ms: 0,
            jitter: JITTER,
        }
    }

    /// This may be written, too. A register link that may be written may also be asked.
    #[must_use]
    pub fn allow(mut self, leave: Leave) -> Judge {
        self.leaves.push(leave);
        self
    }

    /// A register link may be asked: function 23 with an id and nothing more.
    #[must_use]
    pub fn may_ask(mut self, unit: u8, at: u16) -> Judge {
        self.links.push((unit, at));
        self
    }

    /// Each write needs a row of its own among these, and comes within its time. `began` is when the evidence's time
    /// began: [`crate::Record::began`], [`busbar_simulate::Running::began`].
    #[must_use]
    pub fn intents(mut self, intents: Vec<Intent>, began: SystemTime) -> Judge {
        let since = began.duration_since(UNIX_EPOCH).unwrap_or_default();
        self.began_ms = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
        self.intents = Some(intents);
        self
    }

    /// Another tolerance than 50 ms for when frames are seen.
    #[must_use]
    pub fn jitter(mut self, jitter: Duration) -> Judge {
        self.jitter = jitter;
        self
    }

    /// Fails the test where anything was written that may not be.
    ///
    /// # Panics
    /// With what was, as sentences.
    pub fn acquit(&self, evidence: &Evidence) {
        let violations = self.violations(evidence);
        let shown = violations.iter().take(SHOWN).cloned().collect::<Vec<_>>();
        assert!(
            violations.is_empty(),
            "{} violations:\n{}",
            violations.len(),
            shown.join("\n")
        );
    }

    /// Everything that was written and may not be, as sentences, in the order of the frames.
    pub fn violations(&self, evidence: &Evidence) -> Vec<String> {
        let mut violations = Vec::new();
        if evidence.unseen > 0 {
            violations.push(format!(
                "{} requests were not kept, so that nothing can be said of them",
                evidence.unseen
            ));
        }
        let mut past: BTreeMap<(u8, &str), Past> = BTreeMap::new();
        let mut rows = self.rows();
        for write in &evidence.writes {
            let frame = frame(write);
            let mut say = |what: String| violations.push(format!("{frame}: {what}"));
            let asks = write.function == 23 && write.sound && write.words.len() == 1;
            match self.leave(write) {
                Ok(Some((leave, value))) => {
                    let past = past.entry((leave.unit, &leave.group)).or_default();
                    self.pace(past, leave, &value, write.after, &mut say);
                }
                Ok(None) => {}
                Err(what) => say(what),
            }
            if let Some(rows) = rows.as_mut().filter(|_| !asks)
                && let Err(what) = self.announced(rows, write)
            {
                say(what);
            }
        }
        violations
    }

    /// The leave under which this was written, and what; `None` for what changes nothing. Else why it may not be.
    fn leave(&self, write: &Write) -> Result<Option<(&Leave, Value)>, String> {
        match write.function {
            5 | 6 | 15 | 16 | 23 if !write.sound => Err("a write that is not well-formed".to_owned()),
            5 | 6 | 15 | 16 => self.registers(write).map(Some),
            23 => self.link(write),
            other => Err(format!("function {other} neither reads nor may write")),
        }
    }

    fn registers(&self, write: &Write) -> Result<(&Leave, Value), String> {
        let (first, count) = (u32::from(write.at), write.words.len() as u32);
        let touches = |leave: &&Leave| {
            let span = leave.span();
            let touches = |at: u16, end: u32| u32::from(at) < first + count && first < end;
            leave.unit == write.unit
                && leave.is_in_space_of(write.function)
                && span.is_some_and(|span| touches(span.at, span.end()))
        };
        let touched: Vec<&Leave> = self.leaves.iter().filter(touches).collect();
        let is_whole = |leave: &&&Leave| {
            let span = leave.register.span;
            u32::from(span.at) == first && u32::from(span.count) == count
        };
        let whole: Vec<&Leave> = touched.iter().filter(is_whole).copied().collect();
        let Some(first) = whole.first() else {
            let names: Vec<_> = touched.iter().map(|leave| leave.name.as_str()).collect();
            return Err(match names.as_slice() {
                [] => "nothing lies there that may be written".to_owned(),
                [name] if u32::from(touched[0].register.span.count) > count => {
                    format!(
                        "only a part of {name}, which is {} words",
                        touched[0].register.span.count
                    )
                }
                [name] => format!("more than {name}"),
                names => format!("several points at once: {}", names.join(", ")),
            });
        };
        // Bits of one register are several points; the write is right when it is right for one of them.
        let mut fault = None;
        for leave in &whole {
            if leave.by != By::Function(write.function) {
                let By::Function(right) = leave.by else { continue };
                fault.get_or_insert(format!(
                    "function {} instead of {right}, by which {} is written",
                    write.function, leave.name
                ));
                continue;
            }
            match leave.value(&write.words) {
                Ok(value) => return Ok((leave, value)),
                Err(what) => {
                    fault.get_or_insert(what);
                }
            }
        }
        Err(fault.unwrap_or_else(|| format!("{} is not written like this", first.name)))
    }

    fn link(&self, write: &Write) -> Result<Option<(&Leave, Value)>, String> {
        let here = |leave: &&Leave| {
            leave.unit == write.unit && matches!(leave.by, By::RegisterLink { at, .. } if at == write.at)
        };
        let mut leaves = self.leaves.iter().filter(here).peekable();
        let &[id, ref set @ ..] = write.words.as_slice() else {
            return Err("function 23 without an id".to_owned());
        };
        let [length, data @ ..] = set else {
            let may = leaves.peek().is_some() || self.links.contains(&(write.unit, write.at));
            return may
                .then_some(None)
                .ok_or_else(|| "no register link lies there that may be asked".to_owned());
        };
        if leaves.peek().is_none() {
            return Err("no register link lies there that may be written".to_owned());
        }
        let named = leaves.find_map(|leave| match leave.by {
            By::RegisterLink { id: known, bytes, .. } if known == id => Some((leave, bytes)),
            _ => None,
        });
        let (leave, most) = named.ok_or_else(|| format!("nothing of id {id:#06x} may be written"))?;
        let length = usize::from(*length);
        if length > usize::from(most) {
            return Err(format!("{length} bytes for {}, which takes {most}", leave.name));
        }
        if data.len() != length.div_ceil(2) {
            return Err(format!(
                "{} words of data that are said to be {length} bytes",
                data.len()
            ));
        }
        let mut bytes: Vec<u8> = data.iter().flat_map(|word| word.to_be_bytes()).collect();
        if bytes[length..].iter().any(|&byte| byte != 0) {
            return Err("something behind the end of the data".to_owned());
        }
        bytes.truncate(length);
        leave.linked(&bytes).map(|value| Some((leave, value)))
    }

    /// Whether it came too soon, too often or too far from the one before.
    fn pace(
        &self,
        past: &mut Past,
        leave: &Leave,
        value: &Value,
        after: Duration,
        say: &mut impl FnMut(String),
    ) {
        let number = value.as_f64();
        let name = &leave.name;
        if let Some((last, before)) = past.last {
            // What ends a lease may come at any time, once.
            let ends = leave.safe.is_some() && number == leave.safe && before != leave.safe;
            let gap = after.saturating_sub(last);
            if gap + self.jitter < leave.interval && !ends {
                say(format!(
                    "{name} was written {gap:.1?} before, and may be every {:.1?}",
                    leave.interval
                ));
            }
            if let (Some(most), Some(number), Some(before)) = (leave.ramp, number, before)
                && (number - before).abs() > most * (1.0 + 1e-9)
                && !ends
            {
                say(format!(
                    "{name} goes from {before} to {number}, more than {most} at once"
                ));
            }
        }
        past.last = Some((after, number));
        while past
            .day
            .front()
            .is_some_and(|&first| after.saturating_sub(first) >= DAY)
        {
            past.day.pop_front();
        }
        past.day.push_back(after);
        if let Some(most) = leave.daily
            && past.day.len() > most as usize
        {
            say(format!(
                "write {} of {name} within 24 hours, of which {most} may be",
                past.day.len()
            ));
        }
    }

    fn rows(&self) -> Option<Rows> {
        let mut rows = Rows::new();
        for intent in self.intents.as_ref()? {
            let frame = (intent.unit, intent.function, intent.at, intent.words.clone());
            let row = (intent.from_ms, intent.to_ms, false);
            rows.entry(frame).or_default().push(row);
        }
        Some(rows)
    }

    /// Takes the row of a write that was announced.
    fn announced(&self, rows: &mut Rows, write: &Write) -> Result<(), String> {
        let frame = (write.unit, write.function, write.at, write.words.clone());
        let rows = rows.get_mut(&frame).ok_or("no intent says this")?;
        let after = i64::try_from(write.after.as_millis()).unwrap_or(i64::MAX);
        let jitter = i64::try_from(self.jitter.as_millis()).unwrap_or(i64::MAX);
        let seen = self.began_ms.saturating_add(after);
        let open = rows.iter_mut().filter(|(from, to, _)| {
            (from.saturating_sub(jitter)..=to.saturating_add(jitter)).contains(&seen)
        });
        let mut open: Vec<_> = open.collect();
        if open.is_empty() {
            return Err("its intent is of another time".to_owned());
        }
        // The one that runs out first.
        open.sort_by_key(|(_, to, _)| *to);
        let row = open.into_iter().find(|(_, _, taken)| !taken);
        row.ok_or("sent again: its intent has had its write")?.2 = true;
        Ok(())
    }
}

/// A frame as the sentences begin.
fn frame(write: &Write) -> String {
    let words: Vec<_> = write.words.iter().map(|word| format!("{word:04x}")).collect();
    format!(
        "after {:.3} s, unit {}, function {}, {} ({:#06x}), words [{}]",
        write.after.as_secs_f64(),
        write.unit,
        write.function,
        write.at,
        write.at,
        words.join(" ")
    )
}
