//! Leave to write one point: which frames are right, and how often.

use std::time::Duration;

use busbar_ledger::codec::{Decoded, decode};
use busbar_ledger::model::{Ledger, Register, ValueType};
use busbar_ledger::span::{Function, Span};
use busbar_ledger::value::Value;
use busbar_ledger::write::{Bound, By};

/// Leave to write one point of one device. What the ledger's rule allows can be narrowed here; what it leaves to the
/// site has to be given.
#[derive(Clone, Debug, PartialEq)]
pub struct Leave {
    pub(super) unit: u8,
    /// What the sentences call it.
    pub(super) name: String,
    /// Points of one group are one setting: they share an interval and a budget.
    pub(super) group: String,
    pub(super) register: Register,
    pub(super) by: By,
    /// The ends that the ledger gives in numbers.
    ends: (f64, f64),
    range: Option<(f64, f64)>,
    choices: Vec<f64>,
    step: Option<f64>,
    pub(super) interval: Duration,
    pub(super) daily: Option<u32>,
    pub(super) ramp: Option<f64>,
    pub(super) safe: Option<f64>,
    exponent: Option<i32>,
}

impl Leave {
    /// Leave as the ledger gives it: function, numbers of the range, choices, step, interval, budget and safe value.
    /// Where the range needs the site, or there is no rule, nothing is in it until [`Leave::within`].
    ///
    /// # Panics
    /// The ledger has no such point, or it has no register.
    pub fn of(unit: u8, ledger: &Ledger, key: &str) -> Leave {
        let point = ledger.point(key).expect("a point of this key");
        let register = point.register().expect("a point with a register").clone();
        let rule = point.write.as_ref();
        let usual = match (register.span.function, register.span.count) {
            (Function::Coils, 1) => 5,
            (Function::Coils, _) => 15,
            (_, 1) => 6,
            _ => 16,
        };
        let number = |bound: Bound| match bound {
            Bound::Number(number) => Some(number),
            Bound::Site { .. } => None,
        };
        let (low, high) = rule.and_then(|rule| rule.range).unzip();
        let (low, high) = (low.and_then(number), high.and_then(number));
        let first = rule.and_then(|rule| rule.alias_of.as_deref()).unwrap_or(key);
        Leave {
            unit,
            name: format!("{} {key}", ledger.name),
            group: format!("{} {first}", ledger.name),
            by: rule.map_or(By::Function(usual), |rule| rule.by),
            ends: (low.unwrap_or(f64::NEG_INFINITY), high.unwrap_or(f64::INFINITY)),
            range: low.zip(high),
            choices: rule.map(|rule| rule.choices.clone()).unwrap_or_default(),
            step: rule.and_then(|rule| rule.step),
            interval: rule.map_or(Duration::ZERO, |rule| rule.min_interval),
            daily: rule.and_then(|rule| rule.daily_budget),
            ramp: None,
            safe: rule.and_then(|rule| rule.lease?.safe),
            exponent: None,
            register,
        }
    }

    /// Only this range, in the point's unit; the ledger's own numbers bound it still.
    #[must_use]
    pub fn within(mut self, low: f64, high: f64) -> Leave {
        self.range = Some((low.max(self.ends.0), high.min(self.ends.1)));
        self
    }

    /// Only these single values besides the range.
    #[must_use]
    pub fn or_just(mut self, choices: &[f64]) -> Leave {
        self.choices = choices.to_vec();
        self
    }

    /// At most one write in this time.
    #[must_use]
    pub fn every(mut self, interval: Duration) -> Leave {
        self.interval = interval;
        self
    }

    /// At most so many writes within 24 hours.
    #[must_use]
    pub fn daily(mut self, budget: u32) -> Leave {
        self.daily = Some(budget);
        self
    }

    /// At most this difference between two writes in a row, in the point's unit.
    #[must_use]
    pub fn ramp(mut self, most: f64) -> Leave {
        self.ramp = Some(most);
        self
    }

    /// This value ends a lease: once, it may come sooner and farther off than others.
    #[must_use]
    pub fn safe(mut self, value: f64) -> Leave {
        self.safe = Some(value);
        self
    }

    /// The power of ten that the point's scale register holds.
    #[must_use]
    pub fn scaled(mut self, exponent: i32) -> Leave {
        self.exponent = Some(exponent);
        self
    }

    /// Where it lies, when it is written by functions 5, 6, 15 or 16.
    pub(super) fn span(&self) -> Option<Span> {
        matches!(self.by, By::Function(_)).then_some(self.register.span)
    }

    /// Whether a function writes to the point's space: coils or registers.
    pub(super) fn is_in_space_of(&self, function: u8) -> bool {
        (self.register.span.function == Function::Coils) == matches!(function, 5 | 15)
    }

    /// What the words of its registers mean, when that may be written; else why not.
    pub(super) fn value(&self, words: &[u16]) -> Result<Value, String> {
        match decode(&self.register, words, self.exponent) {
            Decoded::Invalid(why) => Err(format!("no value of {}: {why}", self.name)),
            Decoded::Value(value) => self.may_be(&value).map(|()| value),
        }
    }

    /// What the bytes of a register link mean, when that may be written; else why not.
    pub(super) fn linked(&self, bytes: &[u8]) -> Result<Value, String> {
        let value = match (self.register.ty, std::str::from_utf8(bytes)) {
            (ValueType::Text, Ok(text)) => Value::Text(text.to_owned()),
            (ValueType::Text, Err(_)) => return Err(format!("no text of {}: not UTF-8", self.name)),
            _ if bytes.is_empty() => return Err(format!("no value of {}: no data", self.name)),
            _ => {
                let raw = bytes.iter().fold(0.0, |raw, &byte| raw * 256.0 + f64::from(byte));
                Value::Number(raw * self.register.scale.as_f64() + self.register.offset)
            }
        };
        self.may_be(&value).map(|()| value)
    }

    fn may_be(&self, value: &Value) -> Result<(), String> {
        // A text has no bounds but its length.
        let Some(number) = value.as_f64() else {
            return Ok(());
        };
        // Half a raw step and the end of a float's digits are no violation; the next raw step is.
        let scale = self.register.scale.as_f64().abs() * 10f64.powi(self.exponent.unwrap_or(0));
        let digits = |part: f64| part * number.abs().max(scale);
        let (slack, raw_step) = match self.register.ty {
            ValueType::F32 => (digits(1e-6), 0.0),
            ValueType::F64 => (digits(1e-12), 0.0),
            _ => (digits(1e-12), scale),
        };
        if self.choices.iter().any(|choice| (choice - number).abs() <= slack) {
            return Ok(());
        }
        let name = &self.name;
        let Some((low, high)) = self.range else {
            return Err(format!(
                "{number} is none of the choices of {name}: {:?}",
                self.choices
            ));
        };
        if !(low - slack..=high + slack).contains(&number) {
            return Err(format!(
                "{number} is outside of {low} to {high}, the bounds of {name}"
            ));
        }
        if let Some(step) = self.step {
            let near = slack.max(raw_step / 2.0);
            if ((number / step).round() * step - number).abs() > near {
                return Err(format!("{number} is no multiple of {step}, the step of {name}"));
            }
        }
        Ok(())
    }
}
