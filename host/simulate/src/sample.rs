//! A site file for a ledger that comes without one: every point with a likely value.

use std::collections::BTreeSet;
use std::fmt::Write;

use busbar_ledger::model::{Ledger, Point, Register, Spoken, SpokenType, Total, ValueType};

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
        // The meter itself is no channel of its own.
        .unwrap_or(u8::from(!speaks_for_itself(ledger)));
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
    for point in &ledger.points {
        if let Some(said) = point.spoken().and_then(|spoken| said(point, spoken)) {
            let _ = writeln!(text, "{} = {said}", point.key);
        }
    }
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

/// Whether its points lie in the telegrams of a meter, and are the meter's own.
fn speaks_for_itself(ledger: &Ledger) -> bool {
    let mut codes = ledger
        .points
        .iter()
        .filter_map(Point::spoken)
        .flat_map(|spoken| &spoken.codes)
        .peekable();
    codes.peek().is_some() && codes.all(|code| code.at(1) == code.at(2))
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

/// The same for a point that lies in telegrams; nothing where a likely meter does not say it.
fn said(point: &Point, spoken: &Spoken) -> Option<String> {
    Some(match spoken.ty {
        SpokenType::Raw => return None,
        SpokenType::Timestamp => "0".to_owned(),
        SpokenType::Text => quoted("50"),
        SpokenType::Octets => quoted("E5100C0FFEE00"),
        SpokenType::Integer => "1".to_owned(),
        SpokenType::Number => match (point.unit.as_deref(), point.class) {
            (Some("V"), _) => "{ wander = { mean = 230, spread = 2, every = \"10s\" } }".to_owned(),
            (Some("A"), _) => "{ wander = { mean = 4, spread = 1, every = \"10s\" } }".to_owned(),
            (Some("W" | "var" | "VA"), _) => {
                "{ wander = { mean = 900, spread = 200, every = \"10s\" } }".to_owned()
            }
            (Some("kWh" | "kvarh"), _) => {
                "{ integral = { of = 900, times = 0.001, start = 100 } }".to_owned()
            }
            (Some("Hz"), _) => "50".to_owned(),
            _ => "1".to_owned(),
        },
    })
}

/// The largest value that fits every type of this size.
fn most(register: &Register) -> f64 {
    let bits = 16 * i32::from(register.span.count.min(4)) - 1;
    2f64.powi(bits) * register.scale.as_f64().abs() + register.offset
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}
