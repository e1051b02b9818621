//! What may be written, for people: every entity that the maker lets one set, its effective range, what binds it, what is
//! left of its budget; or why it cannot be written.

use std::sync::Arc;

use busbar_guard::{Amount, Effective, Refusal, Side, budget_of, each, effective, unset};
use busbar_ledger::write::{Kind, SiteLimit, Storage, WriteRule};
use busbar_store::{Registry, StoreError};
use serde::{Deserialize, Serialize};

use super::evidence;
use super::policy::{Allowed, Policy, needed};
use super::target::{Target, targets};
use crate::bus::{Device, DeviceMeta};
use crate::clock;
use crate::config::AllowEntry;
use crate::host::Host;

/// `{"site": {…}, "connections": […], "entities": […], "strays": […]}`
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Limits {
    /// What tells this configuration from another, as far as writing is concerned.
    #[serde(default)]
    pub configuration: String,
    /// Whether the kill switch is on, and why (an empty text where nobody said).
    pub kill_switch: Option<String>,
    /// Whether the registry was restored from a backup, and its owner has not confirmed it: then nothing is written.
    pub unconfirmed: bool,
    /// The limits of the site that follow from what its owner said: name, value, how it comes about.
    pub site: Vec<SiteLimitView>,
    /// What the owner has not said of the site, so that writes which need it are refused.
    pub site_unset: Vec<String>,
    /// Each connection's level.
    pub connections: Vec<ConnectionLevel>,
    /// Every entity that could be written.
    pub entities: Vec<EntityLimits>,
    /// Entries of the configuration that lead nowhere.
    pub strays: Vec<StrayEntry>,
}

/// One limit of the site.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SiteLimitView {
    /// `ac_power`, `ac_power_phase`, `ac_current`, `dc_power`, `dc_current`, `battery_voltage_min`, `battery_voltage_max`.
    pub name: String,
    /// The bound.
    pub value: f64,
    /// Its unit of measurement.
    pub unit: String,
    /// How it comes about: `230 V × 24 A × 3`.
    pub how: String,
}

/// The limits that follow from what the owner said of the site, and the keys that are not set.
fn site(policy: &Policy) -> (Vec<SiteLimitView>, Vec<String>) {
    let (mut known, mut unset) = (Vec::new(), Vec::new());
    for (name, limit) in SiteLimit::NAMES {
        let ends: &[(&str, Side)] = match limit {
            SiteLimit::BatteryVoltage => &[("_min", Side::Low), ("_max", Side::High)],
            _ => &[("", Side::High)],
        };
        for (end, side) in ends {
            match policy.site.derive(limit, *side) {
                Ok(derived) => known.push(SiteLimitView {
                    name: format!("{name}{end}"),
                    value: derived.value,
                    unit: limit.unit().to_owned(),
                    how: derived.how,
                }),
                Err(keys) => unset.extend(keys.into_iter().map(str::to_owned)),
            }
        }
    }
    unset.sort();
    unset.dedup();
    (known, unset)
}

/// How far writing goes on one connection.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ConnectionLevel {
    /// Its name.
    pub connection: String,
    /// 0 read-only, 1 dry run, 2 volatile, 3 stored.
    pub level: u8,
}

/// An entry of `allow` that leads nowhere.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StrayEntry {
    /// The connection.
    pub connection: String,
    /// What it says.
    pub entry: String,
    /// Why it leads nowhere.
    pub why: String,
}

/// What may be written to one entity.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EntityLimits {
    /// Its id.
    pub entity: String,
    /// Its name.
    pub name: String,
    /// The connection.
    pub connection: String,
    /// The Modbus unit.
    pub unit_id: u8,
    /// The ledger.
    pub ledger: String,
    /// The zero-based protocol address.
    pub at: Option<u16>,
    /// Whether it can be written now.
    pub writable: bool,
    /// Whether the owner has opted it in.
    pub allowed: bool,
    /// Why it cannot be written.
    pub reason: Option<String>,
    /// What to do about that.
    pub hint: Option<String>,
    /// The keys of `[site]` that its limit needs, and that are not set.
    pub needs: Vec<String>,
    /// Why Busbar never writes it.
    pub never: Option<String>,
    /// `number`, `switch`, `select`, `button`, `text`.
    pub kind: Option<Kind>,
    /// The effective limits, also of what is not opted in yet.
    pub limits: Option<Effective>,
    /// Each limit by itself, a sentence each.
    pub each: Vec<String>,
    /// The unit of measurement.
    pub unit: Option<String>,
    /// The choices' names.
    pub labels: Vec<(i64, String)>,
    /// `volatile`, `stored` or `unknown`.
    pub storage: Option<Storage>,
    /// The level that it needs.
    pub needs_level: Option<u8>,
    /// Whether it asks twice.
    pub risky: bool,
    /// The shortest time between two writes, in milliseconds.
    pub min_interval_ms: Option<u64>,
    /// Writes in 24 hours; `null`: as many as the interval allows.
    pub daily_budget: Option<u32>,
    /// What is left of them now.
    pub budget_left: Option<u32>,
    /// Whether the device says who it is: else whoever answers at its address is written to.
    pub identified: bool,
    /// Whether it lapses and has to be kept alive.
    pub leased: bool,
    /// What is written when it is let go.
    pub safe: Option<f64>,
    /// When the owner's leave ends, in milliseconds since 1970.
    pub until_ms: Option<i64>,
    /// Where its bounds come from.
    pub source: Option<String>,
}

impl EntityLimits {
    /// What may be written, in a few words: `-5,520 W to 5,520 W`, `1 (On), 4 (Off)`.
    pub fn range(&self) -> String {
        let Some(limits) = &self.limits else {
            return String::new();
        };
        let unit = self.unit.as_deref();
        let mut parts = Vec::new();
        if let Some((low, high)) = &limits.range {
            parts.push(format!(
                "{} to {}",
                Amount(low.value, None),
                Amount(high.value, unit)
            ));
        }
        let choice = |value: &f64| {
            let label = self.labels.iter().find(|(number, _)| *number as f64 == *value);
            match label {
                Some((_, label)) => format!("{} {label}", Amount(*value, None)),
                None => Amount(*value, unit).to_string(),
            }
        };
        if !limits.choices.is_empty() {
            parts.push(limits.choices.iter().map(choice).collect::<Vec<_>>().join(", "));
        }
        if let Some(lifts) = limits.no_limit {
            parts.push(format!("{} no limit", Amount(lifts, None)));
        }
        if let Some(bytes) = limits.max_bytes {
            parts.push(format!("a text of {bytes} bytes"));
        }
        parts.join(", or ")
    }
}

/// What may be written to everything that a bus holds. `host` is the running one, where there is one: then the devices say
/// their own bounds.
///
/// # Errors
/// The store's.
pub async fn limits(
    registry: &Registry,
    policy: &Policy,
    devices: &[Arc<Device>],
    host: Option<&Arc<Host>>,
    kill_switch: Option<String>,
) -> Result<Limits, StoreError> {
    let mut entities = Vec::new();
    for target in targets(devices) {
        let mut entity = of(registry, policy, &target, host).await?;
        if entity.writable && kill_switch.is_some() {
            entity.writable = false;
            entity.reason = Some("the kill switch is on".to_owned());
            entity.hint = Some("`busbar kill-switch off` switches it off, when all is well.".to_owned());
        }
        entities.push(entity);
    }
    let mut connections: Vec<_> = devices.iter().map(|d| &d.meta).collect();
    connections.sort_by_key(|meta| &meta.connection);
    connections.dedup_by_key(|meta| &meta.connection);
    let level = |meta: &DeviceMeta| ConnectionLevel {
        level: policy.level(meta),
        connection: meta.connection.clone(),
    };
    let stray = |stray: super::policy::Stray| StrayEntry {
        connection: stray.connection,
        entry: stray.entry,
        why: stray.why,
    };
    let (site, site_unset) = site(policy);
    Ok(Limits {
        site,
        site_unset,
        configuration: policy.fingerprint().to_owned(),
        kill_switch,
        unconfirmed: registry.needs_owner_confirmation().await?,
        connections: connections.into_iter().map(level).collect(),
        entities,
        strays: policy.strays(devices).into_iter().map(stray).collect(),
    })
}

/// What may be written to one entity.
///
/// # Errors
/// The store's.
pub async fn of(
    registry: &Registry,
    policy: &Policy,
    target: &Target,
    host: Option<&Arc<Host>>,
) -> Result<EntityLimits, StoreError> {
    let (meta, point) = (&target.device.meta, target.point());
    let now = clock::now_ms();
    let allowed = policy.allowed(target, now);
    let mut view = EntityLimits {
        entity: target.id(),
        name: point.label.clone(),
        connection: meta.connection.clone(),
        unit_id: meta.unit,
        ledger: meta.ledger.name.clone(),
        at: point.register().map(|register| register.span.at),
        writable: false,
        allowed: policy.names(target),
        reason: None,
        hint: None,
        needs: Vec::new(),
        never: None,
        kind: None,
        limits: None,
        each: Vec::new(),
        unit: point.unit.clone(),
        labels: point
            .labels
            .iter()
            .map(|(number, label)| (*number, label.clone()))
            .collect(),
        storage: None,
        needs_level: None,
        risky: false,
        min_interval_ms: None,
        daily_budget: None,
        budget_left: None,
        identified: meta.serial.is_some(),
        leased: false,
        safe: None,
        until_ms: None,
        source: None,
    };
    let Some(rule) = &point.write else {
        let why = point.not_written.clone();
        view.never = Some(why.unwrap_or_else(|| "its ledger gives no rule for writing it".to_owned()));
        return Ok(view);
    };
    let not_yet;
    let (leave, in_the_way) = match &allowed {
        Ok(leave) => (leave, None),
        Err(refusal) => {
            // What it could be set to is shown before it is opted in: that is what the owner decides by.
            not_yet = Allowed {
                target: target.clone(),
                level: policy.level(meta),
                entry: AllowEntry::default(),
                until_ms: None,
            };
            (&not_yet, Some(refusal.clone()))
        }
    };
    describe(&mut view, rule, leave);
    let own = match host.and_then(|host| host.lane(&meta.connection_id)) {
        Some(lane) if rule.device_min.is_some() || rule.device_max.is_some() => {
            evidence::own_bounds(&lane.link, target).await.unwrap_or_default()
        }
        _ => (None, None),
    };
    let context = busbar_guard::Context {
        site: policy.site.clone(),
        owner: leave.entry.owner(),
        device_min: own.0,
        device_max: own.1,
        alias_of: target.alias(),
    };
    let limits = effective(point, &context);
    view.each = each(point, &context);
    view.needs = unset(point, &policy.site)
        .into_iter()
        .map(str::to_owned)
        .collect();
    let safe = |limits: &Effective| super::terms::safe(rule, leave, target, limits).map(|_| ());
    let refusal: Option<Refusal> =
        in_the_way.or_else(|| limits.clone().and_then(|limits| safe(&limits)).err());
    view.limits = limits.ok();
    view.writable = refusal.is_none() && leave.level > 1;
    if let Some(refusal) = refusal {
        view.reason = Some(refusal.reason);
        view.hint = Some(refusal.hint);
    } else if leave.level == 1 {
        view.reason = Some("level 1 is a dry run".to_owned());
    }
    if let Some(budget) = view.daily_budget {
        let written = registry
            .intents_since(&target.shared(), now - busbar_guard::DAY_MS)
            .await?;
        view.budget_left = Some(budget.saturating_sub(u32::try_from(written.len()).unwrap_or(u32::MAX)));
    }
    Ok(view)
}

fn describe(view: &mut EntityLimits, rule: &WriteRule, leave: &Allowed) {
    view.kind = Some(rule.kind);
    view.storage = Some(rule.storage);
    view.needs_level = Some(needed(rule));
    view.risky = rule.risk == busbar_ledger::write::Risk::High;
    view.min_interval_ms = u64::try_from(rule.min_interval.as_millis()).ok();
    view.daily_budget = budget_of(rule, leave.entry.daily_budget);
    view.leased = rule.lease.is_some();
    view.safe = rule.lease.and_then(|lease| leave.entry.safe.or(lease.safe));
    view.until_ms = leave.until_ms;
    view.source = rule.source.clone();
}
