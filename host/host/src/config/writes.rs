//! `[connection.writes]`: how far writing goes on one connection, and which entities may be written, one by one.

use busbar_guard::Owner;
use serde::Deserialize;

/// `[connection.writes]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WritesConfig {
    /// 0 read-only, 1 dry run, 2 volatile settings, 3 stored settings, too.
    pub level: u8,
    /// When all of it ends.
    pub until: Option<toml::value::Datetime>,
    /// The entities, each by itself.
    pub allow: Vec<AllowValue>,
}

/// One entity of `allow`: its name, or a table with limits of the owner's own.
#[derive(Clone, Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "write an entity (\"victron/gx-hub4:2716\"), or a table: { entity = \"…\", min, max, choices, \
                 max_change, safe, no_limit, daily_budget, until }"
)]
pub enum AllowValue {
    /// A name.
    Name(String),
    /// A name and more.
    Entry(Box<AllowEntry>),
}

/// An entity with the owner's own limits.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AllowEntry {
    /// Which: an entity's id, `ledger:key`, `ledger:address`, or `connection/unit/ledger:key`.
    pub entity: String,
    /// The lowest value.
    pub min: Option<f64>,
    /// The highest.
    pub max: Option<f64>,
    /// The only choices.
    pub choices: Option<Vec<f64>>,
    /// The largest change in one write.
    pub max_change: Option<f64>,
    /// What is written when a lease ends.
    pub safe: Option<f64>,
    /// Whether the device's own limit may be lifted.
    #[serde(default)]
    pub no_limit: bool,
    /// The most writes in 24 hours.
    pub daily_budget: Option<u32>,
    /// When this one ends.
    pub until: Option<toml::value::Datetime>,
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
            AllowValue::Entry(entry) => (**entry).clone(),
        }
    }
}

impl AllowEntry {
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
