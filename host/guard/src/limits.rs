//! The effective limits of one writable point: the narrowest of what the register, the ledger, the device, the site and
//! the owner allow, and which of them binds.

use busbar_ledger::codec;
use busbar_ledger::model::{Point, Register, ValueType};
use busbar_ledger::write::{Bound, By, Kind, SiteLimit, WriteRule};
use serde::{Deserialize, Serialize};

use crate::refusal::{Amount, Cause, Refusal};
use crate::site::{Derived, Side, Site};

/// What the owner allows of one entity; what is left out narrows nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Owner {
    /// The lowest value.
    pub min: Option<f64>,
    /// The highest.
    pub max: Option<f64>,
    /// The only choices.
    pub choices: Option<Vec<f64>>,
    /// The largest change in one write.
    pub max_change: Option<f64>,
    /// Whether the value that lifts the device's own limit may be written.
    pub no_limit: bool,
}

/// What bounds a write from outside the ledger.
#[derive(Clone, Debug, Default)]
pub struct Context<'a> {
    /// The site.
    pub site: Site,
    /// The owner.
    pub owner: Owner,
    /// What the device says of its own lowest value.
    pub device_min: Option<f64>,
    /// And of its highest.
    pub device_max: Option<f64>,
    /// The point of which this one is another register: its bounds hold, too.
    pub alias_of: Option<&'a Point>,
}

/// One end of a range, and what binds it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct End {
    /// The value, in the point's unit.
    pub value: f64,
    /// What binds: `register`, `ledger`, `device`, `owner`, or a key such as `site.ac_current`.
    pub by: String,
    /// How it comes about, for people: `230 V × 24 A`; empty where there is nothing to say.
    pub how: String,
}

impl End {
    /// An end about which there is no more to say than who sets it.
    fn plain(value: f64, by: &str) -> Self {
        End {
            value,
            by: by.to_owned(),
            how: String::new(),
        }
    }

    /// What binds, in parentheses: `230 V × 24 A, site.ac_current`.
    pub fn because(&self) -> String {
        let by = match self.by.as_str() {
            "register" => "the most that the register holds",
            "ledger" => "the maker's bound, by the ledger",
            "device" => "what the device itself says",
            "owner" => "your own limit in connection.writes",
            site => site,
        };
        match self.how.as_str() {
            "" => by.to_owned(),
            how => format!("{how}, {by}"),
        }
    }
}

/// What may be written to one point, all things considered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Effective {
    /// What kind of control it is.
    pub kind: Kind,
    /// Lowest and highest value; `None` where only choices are allowed, and for texts.
    pub range: Option<(End, End)>,
    /// Values allowed besides.
    pub choices: Vec<f64>,
    /// The value that lifts the device's own limit, where the owner has allowed it.
    pub no_limit: Option<f64>,
    /// Values are multiples of this: the ledger's step, or the register's.
    pub step: Option<f64>,
    /// The largest change in one write.
    pub max_change: Option<f64>,
    /// For texts: the most bytes.
    pub max_bytes: Option<usize>,
}

/// Works out what may be written.
///
/// # Errors
/// [`Cause::NoRule`] without a rule; [`Cause::NotSet`] where a limit is needed that is not set; [`Cause::Bounds`] where the
/// limits leave nothing.
pub fn effective(point: &Point, context: &Context<'_>) -> Result<Effective, Refusal> {
    let (rule, register) = rule_of(point)?;
    if rule.kind == Kind::Text {
        let room = match rule.by {
            By::RegisterLink { bytes, .. } => usize::from(bytes),
            By::Function(_) => 2 * usize::from(register.span.count),
        };
        return Ok(Effective {
            kind: Kind::Text,
            range: None,
            choices: Vec::new(),
            no_limit: None,
            step: None,
            max_change: None,
            max_bytes: Some(room.min(2 * usize::from(register.span.count))),
        });
    }
    let unit = point.unit.as_deref();
    let mut range = range(rule, register, &context.site)?;
    if let (Some(ends), Some(Ok((alias, other)))) = (&mut range, context.alias_of.map(rule_of)) {
        // The other register may hold less; what it means is the same.
        if let Some((low, high)) = self::range(alias, other, &context.site)? {
            narrow(ends, low, high);
        }
    }
    if let Some(ends) = &mut range {
        let device = |value: Option<f64>| value.map(|value| End::plain(value, "device"));
        let owner = |value: Option<f64>| value.map(|value| End::plain(value, "owner"));
        narrow_low(ends, device(context.device_min));
        narrow_high(ends, device(context.device_max));
        narrow_low(ends, owner(context.owner.min));
        narrow_high(ends, owner(context.owner.max));
        let step = step_of(rule, register).unwrap_or_default();
        round_inwards(ends, step);
        if ends.0.value > ends.1.value {
            return Err(Refusal::new(
                Cause::Bounds,
                format!(
                    "nothing can be written to it: at least {} ({}), but at most {} ({})",
                    Amount(ends.0.value, unit),
                    ends.0.because(),
                    Amount(ends.1.value, unit),
                    ends.1.because()
                ),
                "Widen the narrower of the two, if that is safe: [site], or the entity's entry in connection.writes.",
            )
            .bound_by(ends.1.by.clone()));
        }
    }
    let within_owner = |value: &f64| {
        context.owner.min.is_none_or(|min| *value >= min)
            && context.owner.max.is_none_or(|max| *value <= max)
            && context
                .owner
                .choices
                .as_ref()
                .is_none_or(|only| only.contains(value))
    };
    let choices: Vec<f64> = rule.choices.iter().copied().filter(within_owner).collect();
    // A list of choices by the owner means those, and no range beside them.
    let range = range.filter(|_| context.owner.choices.is_none());
    if range.is_none() && choices.is_empty() {
        return Err(Refusal::new(
            Cause::Bounds,
            "nothing can be written to it: your own limits leave none of its choices",
            "Widen the entity's entry in connection.writes.",
        )
        .bound_by("owner"));
    }
    let max_change = [rule.max_change, context.owner.max_change]
        .into_iter()
        .flatten()
        .reduce(f64::min);
    Ok(Effective {
        kind: rule.kind,
        range,
        choices,
        no_limit: rule.no_limit.filter(|_| context.owner.no_limit),
        step: step_of(rule, register),
        max_change,
        max_bytes: None,
    })
}

/// The rule of a point and its own register.
pub(crate) fn rule_of(point: &Point) -> Result<(&WriteRule, &Register), Refusal> {
    let missing = || {
        let why = point
            .not_written
            .as_deref()
            .unwrap_or("its ledger gives no rule for writing it");
        let reason = if point.writable {
            format!("Busbar does not write it: {}", why.trim_end_matches('.'))
        } else {
            "it is a value that the device only tells".to_owned()
        };
        Refusal::new(
            Cause::NoRule,
            reason,
            "`busbar limits` lists what can be written; set this one on the device itself.",
        )
    };
    point.write.as_ref().zip(point.register()).ok_or_else(missing)
}

/// The step of a value: the ledger's, or one raw step of a whole number.
fn step_of(rule: &WriteRule, register: &Register) -> Option<f64> {
    let whole = !matches!(register.ty, ValueType::F32 | ValueType::F64 | ValueType::Text);
    rule.step.or_else(|| whole.then(|| register.scale.as_f64().abs()))
}

/// What register, ledger and site allow.
fn range(rule: &WriteRule, register: &Register, site: &Site) -> Result<Option<(End, End)>, Refusal> {
    let Some((min, max)) = rule.range else {
        return Ok(None);
    };
    let mut unset: Vec<&'static str> = Vec::new();
    let mut end = |bound: Bound, side: Side| match bound {
        Bound::Number(value) => Some(End::plain(value, "ledger")),
        Bound::Site { limit, negative } => match of_site(site, limit, negative, side) {
            Ok(derived) => Some(End {
                value: derived.value,
                by: derived.key.into(),
                how: derived.how,
            }),
            Err(keys) => {
                unset.extend(keys);
                None
            }
        },
    };
    let ends = end(min, Side::Low).zip(end(max, Side::High));
    let Some(mut ends) = ends else {
        unset.sort_unstable();
        unset.dedup();
        let keys = unset.join(" and ");
        let verb = if unset.len() == 1 { "is" } else { "are" };
        return Err(Refusal::new(
            Cause::NotSet,
            format!("its limit is not known, because {keys} {verb} not set"),
            format!(
                "Say it in busbar.toml, below [site]: {}. `busbar limits` shows what follows.",
                unset
                    .iter()
                    .map(|key| example(key))
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
        )
        .bound_by(unset.first().copied().unwrap_or("site")));
    };
    if let Some((low, high)) = codec::value_range(register) {
        narrow(
            &mut ends,
            End::plain(low, "register"),
            End::plain(high, "register"),
        );
    }
    Ok(Some(ends))
}

/// What a limit of the site comes to on one side. The lower end of `-ac_power` is the mirror of its upper end.
fn of_site(site: &Site, limit: SiteLimit, negative: bool, side: Side) -> Result<Derived, Vec<&'static str>> {
    if !negative {
        return site.derive(limit, side);
    }
    let mirrored = match side {
        Side::Low => Side::High,
        Side::High => Side::Low,
    };
    site.derive(limit, mirrored).map(|derived| Derived {
        value: -derived.value,
        how: format!("-({})", derived.how),
        key: derived.key,
    })
}

/// What such a key looks like in the configuration.
fn example(key: &str) -> &'static str {
    match key {
        "site.ac_voltage" => "ac_voltage = 230",
        "site.phases" => "phases = 3",
        "site.ac_current" => "ac_current = 24",
        "site.dc_current" => "dc_current = 100",
        _ => "battery = \"lifepo4-16s\"",
    }
}

fn narrow(ends: &mut (End, End), low: End, high: End) {
    narrow_low(ends, Some(low));
    narrow_high(ends, Some(high));
}

fn narrow_low(ends: &mut (End, End), low: Option<End>) {
    if let Some(low) = low.filter(|low| low.value > ends.0.value) {
        ends.0 = low;
    }
}

fn narrow_high(ends: &mut (End, End), high: Option<End>) {
    if let Some(high) = high.filter(|high| high.value < ends.1.value) {
        ends.1 = high;
    }
}

/// How far a count of steps may lie from a whole number and still be taken for one: noise of a division.
const NOISE: f64 = 1e-9;

/// Moves both ends to the next step inside.
fn round_inwards(ends: &mut (End, End), step: f64) {
    if step <= 0.0 {
        return;
    }
    let inside = |value: f64, up: bool| {
        let steps = value / step;
        let nearest = steps.round();
        let steps = if (steps - nearest).abs() <= NOISE * nearest.abs().max(1.0) {
            nearest
        } else if up {
            steps.ceil()
        } else {
            steps.floor()
        };
        tidy(steps, step)
    };
    ends.0.value = inside(ends.0.value, true);
    ends.1.value = inside(ends.1.value, false);
}

/// So many steps, without the noise of a multiplication by a decimal fraction.
pub(crate) fn tidy(steps: f64, step: f64) -> f64 {
    let per_unit = (1.0 / step).round();
    if step < 1.0 && (per_unit * step - 1.0).abs() < 1e-12 {
        steps / per_unit
    } else {
        steps * step
    }
}

/// The count of steps in a value, where it is a whole one.
pub(crate) fn steps_in(value: f64, step: f64) -> Option<f64> {
    let steps = value / step;
    let nearest = steps.round();
    ((steps - nearest).abs() <= NOISE * nearest.abs().max(1.0)).then_some(nearest)
}

/// The keys of the site that a point's limit needs, and that are not set.
pub fn unset(point: &Point, site: &Site) -> Vec<&'static str> {
    let ends = point.write.as_ref().and_then(|rule| rule.range);
    let bounds = ends
        .into_iter()
        .flat_map(|(min, max)| [(min, Side::Low), (max, Side::High)]);
    let mut keys: Vec<&'static str> = bounds
        .filter_map(|(bound, side)| match bound {
            Bound::Site { limit, .. } => site.derive(limit, side).err(),
            Bound::Number(_) => None,
        })
        .flatten()
        .collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// Each limit of a point by itself, a sentence each, the one that binds in the end last named among equals: what `explain`
/// shows.
pub fn each(point: &Point, context: &Context<'_>) -> Vec<String> {
    let Ok((rule, register)) = rule_of(point) else {
        return Vec::new();
    };
    let unit = point.unit.as_deref();
    let mut all = Vec::new();
    if rule.kind == Kind::Text {
        return all;
    }
    if let Some((low, high)) = codec::value_range(register) {
        all.push(format!(
            "the register holds {} to {}",
            Amount(low, unit),
            Amount(high, unit)
        ));
    }
    if let Some((min, max)) = rule.range {
        let end = |bound: Bound, side: Side, word: &str| match bound {
            Bound::Number(value) => format!("the ledger allows {word} {}", Amount(value, unit)),
            Bound::Site { limit, negative } => match of_site(&context.site, limit, negative, side) {
                Ok(derived) => format!(
                    "the site allows {word} {}: {}, {}",
                    Amount(derived.value, unit),
                    derived.how,
                    derived.key
                ),
                Err(unset) => format!("the site's limit is not known: {} not set", unset.join(", ")),
            },
        };
        let low = end(min, Side::Low, "at least");
        let high = end(max, Side::High, "at most");
        all.push(low);
        if all.last() != Some(&high) {
            all.push(high);
        }
    }
    let told = |value: Option<f64>, who: &str, word: &str| {
        value.map(|value| format!("{who} {word} {}", Amount(value, unit)))
    };
    all.extend(told(context.device_min, "the device itself allows", "at least"));
    all.extend(told(context.device_max, "the device itself allows", "at most"));
    all.extend(told(context.owner.min, "you allow", "at least"));
    all.extend(told(context.owner.max, "you allow", "at most"));
    if let Some(alias) = context.alias_of {
        all.push(format!(
            "it is the same setting as {}, and shares its limit",
            alias.key
        ));
    }
    if let Some(change) = rule
        .max_change
        .into_iter()
        .chain(context.owner.max_change)
        .reduce(f64::min)
    {
        all.push(format!("at most {} at a time", Amount(change, unit)));
    }
    if let Some(lifts) = rule.no_limit {
        all.push(match context.owner.no_limit {
            true => format!(
                "{} lifts the device's own limit, which you allow",
                Amount(lifts, unit)
            ),
            false => format!(
                "{} would lift the device's own limit, which you do not allow",
                Amount(lifts, unit)
            ),
        });
    }
    all
}
