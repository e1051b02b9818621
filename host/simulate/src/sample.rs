//! A site file for a ledger that comes without one: every point with a likely value.

use std::collections::BTreeSet;
use std::fmt::Write;

use busbar_ledger::model::{Ledger, Point, Register, Total, ValueType};

use crate::{gx, identity};

/// Ledgers whose device is worth a site of its own.
const SITES: &[(&str, &str)] = &[("victron/vm-3p75ct", include_str!("../sites/vm-3p75ct.toml"))];

/// A site file that serves this ledger: its own, or one that is written for this URL.
pub(crate) fn sample(ledger: &Ledger, url: &str) -> String {
    if let Some((_, site)) = SITES.iter().find(|(name, _)| *name == ledger.name) {
        return (*site).to_owned();
    }
    let unit = ledger
        .transports
        .iter()
        .flat_map(|transport| &transport.units)
        .next()
        .copied()
        .unwrap_or(1);
    let mut text = format!(
        "begins = \"11:00\"\n\n[[device]]\nname = {}\nlisten = {}\n",
        quoted(ledger.short_name()),
        quoted(url)
    );
    // Writing to a string cannot fail.
    let _ = match gx::service_of(ledger) {
        Some(service) => write!(
            text,
            "kind = \"gx\"\n\n[[device.service]]\nservice = {}\ninstance = {}\n\n[device.service.values]\n",
            quoted(service),
            gx::instance_of(unit)
        ),
        None => write!(
            text,
            "kind = \"ledger\"\n\n[[device.unit]]\nunit = {unit}\nledger = {}\n\n[device.unit.values]\n",
            quoted(&ledger.name)
        ),
    };
    // What says which device it is is filled from `[identify]`.
    let identity = identity::words(ledger, None);
    let is_identity = |register: &Register| identity.iter().any(|(span, _)| span.overlaps(register.span));
    let mut homes = BTreeSet::new();
    for (place, point) in ledger.points.iter().enumerate() {
        let home = if gx::service_of(ledger).is_some() {
            gx::home(ledger, place)
        } else {
            place
        };
        if let Some(register) = point
            .register()
            .filter(|register| !is_identity(register) && homes.insert(home))
        {
            let _ = writeln!(text, "{} = {}", point.key, likely(point, register));
        }
    }
    // A GX is known by the serial number of its system.
    if gx::service_of(ledger).is_some_and(|service| service != "system") {
        text.push_str("\n[[device.service]]\nservice = \"system\"\n\n[device.service.values]\nserial = \"5100c0ffee00\"\n");
    }
    text
}

/// A likely value, as text of the site file.
fn likely(point: &Point, register: &Register) -> String {
    if register.ty == ValueType::Text {
        return quoted(if point.key.contains("serial") {
            "5100c0ffee00"
        } else {
            "Simulated"
        });
    }
    if let Some(first) = point
        .labels
        .keys()
        .find(|&&number| number > 0)
        .or(point.labels.keys().next())
    {
        return first.to_string();
    }
    let (mean, spread) = match point.unit.as_deref() {
        Some("V") => (230.0, 2.0),
        Some("A") => (4.0, 1.0),
        Some("W" | "VA" | "var") => (900.0, 200.0),
        Some("Hz") => (50.0, 0.02),
        Some("°C") => (21.0, 1.0),
        Some("%") => (64.0, 4.0),
        Some("kWh") if point.total == Some(Total::Increasing) => {
            return "{ integral = { of = 900, times = 0.001, start = 100 } }".to_owned();
        }
        Some("Wh") if point.total == Some(Total::Increasing) => {
            return "{ integral = { of = 900, start = 1000 } }".to_owned();
        }
        _ => return "1".to_owned(),
    };
    if mean + spread > most(register) {
        return "1".to_owned();
    }
    format!("{{ wander = {{ mean = {mean}, spread = {spread}, every = \"10s\" }} }}")
}

/// The largest value that fits every type of this size.
fn most(register: &Register) -> f64 {
    let bits = 16 * i32::from(register.span.count.min(4)) - 1;
    2f64.powi(bits) * register.scale.as_f64().abs() + register.offset
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}
