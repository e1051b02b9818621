//! What is known of a watched device: its newest values, how old they are, and the powers of the last minute. Pure; time
//! is passed in, since the watch began.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde_json::Value;
use unicode_width::UnicodeWidthStr;

use crate::format::visible;
use crate::one_device::ReadReport;

/// So long powers are remembered, where readings come often enough for a curve.
const WINDOW: Duration = Duration::from_secs(60);
/// So many readings are remembered at least.
const FEWEST: u32 = 12;

/// Why there is nothing to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// What happened.
    pub cause: String,
    /// What to check; empty where the cause says it all.
    pub hint: String,
}

/// One value.
#[derive(Clone, Debug)]
pub struct Point {
    /// Its key.
    pub key: String,
    /// Its name for people.
    pub name: String,
    /// The class of its ledger; empty where it has none.
    pub class: String,
    /// The value as it is shown; `None` when it is not known now.
    pub text: Option<String>,
    /// How wide it was when it was last known.
    pub width: usize,
    /// Whether it is a quantity, and no setting or state.
    pub measured: bool,
    /// Whether the value is below 0.
    pub negative: bool,
    /// When it was last known.
    pub at: Option<Duration>,
}

/// A power at a moment; `None` for a gap.
pub type Sample = (Duration, Option<f64>);

/// A watched device.
#[derive(Clone, Debug)]
pub struct Live {
    /// Where it is.
    pub url: String,
    /// How often it is read.
    pub interval: Duration,
    /// What it told of itself; null before the first answer.
    pub device: Value,
    /// Its values, in the order of its ledger.
    pub points: Vec<Point>,
    /// Why nothing, or not all, is known now.
    pub gap: Option<Gap>,
    /// When it last answered.
    pub heard: Option<Duration>,
    powers: BTreeMap<String, VecDeque<Sample>>,
    newest: Duration,
}

impl Live {
    /// A device of which nothing is known yet.
    pub fn new(url: &str, interval: Duration) -> Self {
        Live {
            url: url.to_owned(),
            interval,
            device: Value::Null,
            points: Vec::new(),
            gap: None,
            heard: None,
            powers: BTreeMap::new(),
            newest: Duration::ZERO,
        }
    }

    /// When anything was last taken in.
    pub fn newest(&self) -> Duration {
        self.newest
    }

    /// Takes in a reading.
    pub fn take(&mut self, report: &ReadReport, now: Duration) {
        self.newest = now;
        self.heard = Some(now);
        self.device = report.device.clone();
        self.gap = report.missing.as_ref().map(|cause| Gap {
            cause: cause.clone(),
            hint: String::new(),
        });
        let before = self.points.drain(..);
        let before: BTreeMap<String, Point> = before.map(|point| (point.key.clone(), point)).collect();
        for (key, said) in &report.points {
            let number = said["value"].as_f64();
            let known = said["quality"] != "unavailable";
            let class = said["class"].as_str().unwrap_or_default();
            if class == "power" {
                self.note(key, now, number);
            }
            let old = before.get(key);
            let text = text(said);
            self.points.push(Point {
                key: key.clone(),
                name: visible(said["name"].as_str().unwrap_or(key)),
                class: class.to_owned(),
                width: if known {
                    text.width()
                } else {
                    old.map_or(0, |old| old.width)
                },
                text: known.then_some(text),
                measured: said["unit"].is_string() || class == "power_factor",
                negative: number.is_some_and(|n| n < 0.0),
                at: if known {
                    Some(now)
                } else {
                    old.and_then(|old| old.at)
                },
            });
        }
        let keys: Vec<&String> = report.points.keys().collect();
        self.powers.retain(|key, _| keys.contains(&key));
    }

    /// Notes that there was no reading: what was known is not known any more.
    pub fn miss(&mut self, now: Duration, gap: Gap) {
        self.newest = now;
        // A cause that says more than "late" stays until there is an answer.
        if self.gap.is_none() || !gap.hint.is_empty() {
            self.gap = Some(gap);
        }
        for point in &mut self.points {
            point.text = None;
            point.negative = false;
        }
        let keys: Vec<String> = self.powers.keys().cloned().collect();
        keys.iter().for_each(|key| self.note(key, now, None));
    }

    /// How long nothing has come; `None` while answers come.
    pub fn silent_for(&self, now: Duration) -> Option<Duration> {
        let silent = self.gap.is_some() && self.points.iter().all(|point| point.text.is_none());
        silent.then(|| now.saturating_sub(self.heard.unwrap_or_default()))
    }

    /// How far back curves go.
    pub fn window(&self) -> Duration {
        WINDOW.max(self.interval * FEWEST)
    }

    /// The powers of a point within the window, oldest first.
    pub fn samples(&self, key: &str) -> impl Iterator<Item = Sample> {
        self.powers.get(key).into_iter().flatten().copied()
    }

    fn note(&mut self, key: &str, now: Duration, value: Option<f64>) {
        let from = now.saturating_sub(self.window());
        let samples = self.powers.entry(key.to_owned()).or_default();
        samples.push_back((now, value));
        while samples.front().is_some_and(|(at, _)| *at < from) {
            samples.pop_front();
        }
    }
}

/// A value with its unit.
fn text(said: &Value) -> String {
    let unit = said["unit"]
        .as_str()
        .map(|unit| format!(" {unit}"))
        .unwrap_or_default();
    let decimals = said["decimals"].as_u64().and_then(|n| usize::try_from(n).ok());
    match (&said["value"], said["label"].as_str()) {
        (Value::Null, _) => "no value".to_owned(),
        (_, Some(label)) => visible(label),
        (Value::String(text), _) => visible(text),
        (Value::Number(number), _) => match (number.as_f64(), decimals) {
            (Some(number), Some(decimals)) => {
                let text = format!("{number:.decimals$}");
                // Nobody wants to read -0.00.
                let zero = text.starts_with('-') && text.chars().all(|c| "-0.".contains(c));
                format!("{}{unit}", if zero { &text[1..] } else { &text })
            }
            _ => format!("{number}{unit}"),
        },
        (other, _) => other.to_string(),
    }
}
