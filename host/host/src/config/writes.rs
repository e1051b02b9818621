//! `[connection.writes]`: how far writing goes on one connection, and which entities may be written, one by one.

use std::fmt;

use busbar_guard::Owner;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// `[connection.writes]`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WritesConfig {
    /// 0 read-only, 1 dry run, 2 volatile settings, 3 stored settings, too.
    pub level: u8,
    /// When all of it ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<toml::value::Datetime>,
    /// The entities, each by itself.
    pub allow: Vec<AllowValue>,
}

/// One entity of `allow`: its name, or a table with limits of the owner's own.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum AllowValue {
    /// A name.
    Name(String),
    /// A name and more.
    Entry(Box<AllowEntry>),
}

impl<'de> Deserialize<'de> for AllowValue {
    /// By hand, so that a wrong key in a table is told by its own name.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = AllowValue;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "an entity (\"victron/gx-hub4:2716\"), or a table: { entity = \"…\", min, max, choices, max_change, \
                     safe, no_limit, daily_budget, until }",
                )
            }
            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<AllowValue, E> {
                Ok(AllowValue::Name(name.to_owned()))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<AllowValue, A::Error> {
                let entry = AllowEntry::deserialize(MapAccessDeserializer::new(map))?;
                Ok(AllowValue::Entry(Box::new(entry)))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// An entity with the owner's own limits.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AllowEntry {
    /// Which: an entity's id, `ledger:key`, `ledger:address`, or `connection/unit/ledger:key`.
    pub entity: String,
    /// The lowest value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// The highest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// The only choices.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub choices: Option<Vec<f64>>,
    /// The largest change in one write.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_change: Option<f64>,
    /// What is written when a lease ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub safe: Option<f64>,
    /// Whether the device's own limit may be lifted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_limit: bool,
    /// The most writes in 24 hours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub daily_budget: Option<u32>,
    /// When this one ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<toml::value::Datetime>,
    /// The same in milliseconds since 1970.
    #[serde(skip)]
    pub until_ms: Option<i64>,
}

/// The highest level.
pub const MOST_LEVEL: u8 = 3;

impl AllowValue {
    /// The entry.
    pub fn entry(&self) -> AllowEntry {
        match self {
            AllowValue::Name(name) => AllowEntry {
                entity: name.clone(),
                ..AllowEntry::default()
            },
            AllowValue::Entry(entry) => AllowEntry {
                until_ms: entry.until.as_ref().and_then(|date| moment(date).ok()),
                ..(**entry).clone()
            },
        }
    }
}

impl AllowEntry {
    /// What both allow: the narrower of each. The first names the safe value, where both do.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let highest = |a: Option<f64>, b: Option<f64>| a.into_iter().chain(b).reduce(f64::max);
        let lowest = |a: Option<f64>, b: Option<f64>| a.into_iter().chain(b).reduce(f64::min);
        AllowEntry {
            min: highest(self.min, other.min),
            max: lowest(self.max, other.max),
            choices: match (self.choices, other.choices) {
                (Some(own), Some(others)) => {
                    Some(own.into_iter().filter(|choice| others.contains(choice)).collect())
                }
                (own, others) => own.or(others),
            },
            max_change: lowest(self.max_change, other.max_change),
            safe: self.safe.or(other.safe),
            no_limit: self.no_limit && other.no_limit,
            daily_budget: self.daily_budget.into_iter().chain(other.daily_budget).min(),
            until_ms: self.until_ms.into_iter().chain(other.until_ms).min(),
            until: None,
            entity: self.entity,
        }
    }

    /// The owner's own limits.
    pub fn owner(&self) -> Owner {
        Owner {
            min: self.min,
            max: self.max,
            choices: self.choices.clone(),
            max_change: self.max_change,
            no_limit: self.no_limit,
        }
    }
}

impl WritesConfig {
    /// Checks what can be checked without knowing a device.
    ///
    /// # Errors
    /// What is wrong, and what to write.
    pub fn check(&self) -> Result<(), String> {
        if self.level > MOST_LEVEL {
            return Err(format!(
                "writes.level = {}: write 0 (read-only), 1 (dry run), 2 (volatile settings) or 3 (stored settings, too)",
                self.level
            ));
        }
        if let Some(until) = &self.until {
            moment(until).map_err(|fault| format!("writes.until: {fault}"))?;
        }
        for entry in self.allow.iter().map(AllowValue::entry) {
            entry
                .check()
                .map_err(|fault| format!("writes.allow \"{}\": {fault}", entry.entity))?;
        }
        Ok(())
    }
}

impl AllowEntry {
    fn check(&self) -> Result<(), String> {
        let numbers = [self.min, self.max, self.max_change, self.safe];
        let choices = self.choices.iter().flatten().copied().map(Some);
        if numbers
            .into_iter()
            .chain(choices)
            .flatten()
            .any(|n| !n.is_finite())
        {
            return Err("a number that is none: write finite numbers".to_owned());
        }
        if let (Some(min), Some(max)) = (self.min, self.max)
            && min > max
        {
            return Err(format!("min {min} is above max {max}: swap them"));
        }
        if self.max_change.is_some_and(|change| change <= 0.0) {
            return Err("max_change must be above 0".to_owned());
        }
        if self.choices.as_ref().is_some_and(Vec::is_empty) {
            return Err("no choices at all: leave the entity out instead".to_owned());
        }
        if let Some(until) = &self.until {
            moment(until).map_err(|fault| format!("until: {fault}"))?;
        }
        super::names::Name::parse(&self.entity).map(|_| ())
    }
}

/// The moment that a date and time with its offset means, in milliseconds since 1970.
///
/// # Errors
/// What to write instead.
pub fn moment(date: &toml::value::Datetime) -> Result<i64, String> {
    date.to_string()
        .parse::<jiff::Timestamp>()
        .map(jiff::Timestamp::as_millisecond)
        .map_err(|_| {
            format!(
                "`{date}` names no moment: write date, time and offset, such as 2027-01-31T18:00:00+01:00"
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_owner_allows_is_kept_as_he_said_it() {
        let said = r#"
level = 2
until = 2027-12-31T18:00:00+01:00
allow = [
    "victron/gx-hub4:2716",
    { entity = "victron/gx-vebus:22", min = 6, max = 25, choices = [6, 10], no_limit = true, until = 2027-01-31T00:00:00Z },
]"#;
        let writes: WritesConfig = toml::from_str(said).unwrap();
        let kept = serde_json::to_value(&writes).unwrap();
        let back: WritesConfig = serde_json::from_value(kept).unwrap();
        assert_eq!(back, writes);
        assert_eq!(back.check(), Ok(()));
        let entry = back.allow[1].entry();
        assert_eq!(
            (entry.min, entry.max, entry.no_limit),
            (Some(6.0), Some(25.0), true)
        );
        assert_eq!(entry.until_ms, Some(1_801_353_600_000));
    }
}
