//! Every point of every ledger that ships, against what Home Assistant accepts.

use std::path::{Path, PathBuf};

use busbar_ledger::model::{Class, Total};

use super::*;
use crate::home_assistant::encode::classes::is_text;

/// A kind of quantity in one unit: device class, unit and state class by which it is told. `running` stands for what the
/// point's counter says: `total_increasing`, `total` for one that runs both ways, nothing for none.
type Row = (
    Option<Class>,
    &'static str,
    Option<&'static str>,
    &'static str,
    Option<&'static str>,
);

const RULES: &[Row] = &[
    (
        Some(Class::ApparentPower),
        "VA",
        Some("apparent_power"),
        "VA",
        Some("measurement"),
    ),
    (
        Some(Class::AtmosphericPressure),
        "hPa",
        Some("atmospheric_pressure"),
        "hPa",
        Some("measurement"),
    ),
    (
        Some(Class::Battery),
        "%",
        Some("battery"),
        "%",
        Some("measurement"),
    ),
    (Some(Class::Capacity), "Ah", None, "Ah", Some("measurement")),
    (
        Some(Class::Current),
        "A",
        Some("current"),
        "A",
        Some("measurement"),
    ),
    (Some(Class::Direction), "°", None, "°", None),
    (
        Some(Class::Distance),
        "m",
        Some("distance"),
        "m",
        Some("measurement"),
    ),
    (
        Some(Class::Duration),
        "s",
        Some("duration"),
        "s",
        Some("measurement"),
    ),
    (
        Some(Class::Duration),
        "min",
        Some("duration"),
        "min",
        Some("measurement"),
    ),
    (
        Some(Class::Duration),
        "h",
        Some("duration"),
        "h",
        Some("measurement"),
    ),
    (
        Some(Class::Duration),
        "d",
        Some("duration"),
        "d",
        Some("measurement"),
    ),
    (Some(Class::Energy), "kWh", Some("energy"), "kWh", Some("running")),
    (Some(Class::Energy), "GJ", Some("energy"), "GJ", Some("running")),
    (
        Some(Class::EnergyStorage),
        "kWh",
        Some("energy_storage"),
        "kWh",
        Some("measurement"),
    ),
    (
        Some(Class::Frequency),
        "Hz",
        Some("frequency"),
        "Hz",
        Some("measurement"),
    ),
    (Some(Class::Gas), "m³", Some("gas"), "m³", Some("running")),
    (
        Some(Class::Humidity),
        "%",
        Some("humidity"),
        "%",
        Some("measurement"),
    ),
    (
        Some(Class::Illuminance),
        "lx",
        Some("illuminance"),
        "lx",
        Some("measurement"),
    ),
    (
        Some(Class::Irradiance),
        "W/m²",
        Some("irradiance"),
        "W/m²",
        Some("measurement"),
    ),
    (Some(Class::Location), "°", None, "°", None),
    (Some(Class::Power), "W", Some("power"), "W", Some("measurement")),
    (Some(Class::Power), "kW", Some("power"), "W", Some("measurement")),
    (
        Some(Class::PowerFactor),
        "",
        Some("power_factor"),
        "",
        Some("measurement"),
    ),
    (
        Some(Class::PowerFactor),
        "%",
        Some("power_factor"),
        "%",
        Some("measurement"),
    ),
    (
        Some(Class::Pressure),
        "kPa",
        Some("pressure"),
        "kPa",
        Some("measurement"),
    ),
    (
        Some(Class::ReactiveEnergy),
        "kvarh",
        None,
        "kvarh",
        Some("running"),
    ),
    (
        Some(Class::ReactivePower),
        "var",
        Some("reactive_power"),
        "var",
        Some("measurement"),
    ),
    (
        Some(Class::Temperature),
        "°C",
        Some("temperature"),
        "°C",
        Some("measurement"),
    ),
    (
        Some(Class::Voltage),
        "V",
        Some("voltage"),
        "V",
        Some("measurement"),
    ),
    (Some(Class::Water), "m³", Some("water"), "m³", Some("running")),
    (Some(Class::Water), "L", Some("water"), "L", Some("running")),
    (None, "kVAh", None, "kVAh", Some("running")),
    (None, "rpm", None, "rpm", Some("measurement")),
    (None, "%", None, "%", Some("measurement")),
    (None, "°", None, "°", Some("measurement")),
    (None, "°C", None, "°C", Some("measurement")),
    (None, "MΩ", None, "MΩ", Some("measurement")),
];

/// A point whose class alone does not say it, because its unit and name do: by ledger and key.
type NamedRow = (
    &'static str,
    &'static str,
    Option<&'static str>,
    &'static str,
    Option<&'static str>,
);

const BY_NAME: &[NamedRow] = &[
    (
        "victron/gx-temperature",
        "co2",
        Some("carbon_dioxide"),
        "ppm",
        Some("measurement"),
    ),
    (
        "victron/gx-temperature",
        "pm25",
        Some("pm25"),
        "µg/m³",
        Some("measurement"),
    ),
    (
        "victron/gx-gps",
        "speed",
        Some("speed"),
        "m/s",
        Some("measurement"),
    ),
    (
        "victron/gx-meteo",
        "wind_speed",
        Some("wind_speed"),
        "m/s",
        Some("measurement"),
    ),
];

/// The units that Home Assistant lets each device class have, in 2024.3 and in 2025.4, as far as they occur here.
const UNITS: &[(&str, &[&str])] = &[
    ("apparent_power", &["VA"]),
    (
        "atmospheric_pressure",
        &["hPa", "mbar", "kPa", "Pa", "bar", "psi"],
    ),
    ("battery", &["%"]),
    ("carbon_dioxide", &["ppm"]),
    ("current", &["A", "mA"]),
    ("distance", &["m", "km", "cm", "mm"]),
    ("duration", &["s", "ms", "min", "h", "d"]),
    ("energy", &["kWh", "Wh", "MWh", "MJ", "GJ"]),
    ("energy_storage", &["kWh", "Wh", "MWh", "MJ", "GJ"]),
    ("enum", &[""]),
    ("frequency", &["Hz", "kHz", "MHz", "GHz"]),
    ("gas", &["m³"]),
    ("humidity", &["%"]),
    ("illuminance", &["lx"]),
    ("irradiance", &["W/m²"]),
    ("pm25", &["µg/m³"]),
    ("power", &["W", "kW"]),
    ("power_factor", &["", "%"]),
    ("pressure", &["bar", "mbar", "Pa", "hPa", "kPa", "psi"]),
    ("reactive_power", &["var"]),
    ("speed", &["m/s", "km/h", "kn"]),
    ("temperature", &["°C", "K", "°F"]),
    ("timestamp", &[""]),
    ("voltage", &["V", "mV"]),
    ("volume", &["L", "m³"]),
    ("volume_storage", &["L", "m³"]),
    ("water", &["L", "m³"]),
    ("wind_speed", &["m/s", "km/h", "kn"]),
];

/// The state classes of the device classes that do not only measure.
fn may_be(class: &str, state_class: Option<&str>) -> bool {
    let allowed: &[&str] = match class {
        "enum" | "timestamp" => &[],
        "energy" | "gas" | "volume" | "water" => &["total", "total_increasing"],
        "distance" | "duration" => &["measurement", "total", "total_increasing"],
        _ => &["measurement"],
    };
    state_class.is_none_or(|it| allowed.contains(&it))
}

fn shipped() -> Vec<Ledger> {
    fn within(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            match path.is_dir() {
                true => within(&path, found),
                false if name.ends_with(".toml") && !name.ends_with(".sample.toml") => found.push(path),
                false => {}
            }
        }
    }
    let mut files = Vec::new();
    within(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ledgers"),
        &mut files,
    );
    files.sort();
    files.iter().filter_map(|file| parsed(file)).collect()
}

/// The ledger in a file; `None` for what is only part of others.
fn parsed(file: &Path) -> Option<Ledger> {
    let text = std::fs::read_to_string(file).unwrap();
    let is_ledger = text.lines().any(|line| line.starts_with("ledger "));
    is_ledger.then(|| busbar_ledger::parse(&file.display().to_string(), &text).unwrap())
}

fn expected(
    ledger: &str,
    point: &busbar_ledger::model::Point,
) -> (Option<&'static str>, &'static str, Option<&'static str>) {
    if !point.labels.is_empty() {
        return (Some("enum"), "", None);
    }
    if point.class == Some(Class::Timestamp) {
        return (Some("timestamp"), "", None);
    }
    if let Some(row) = BY_NAME.iter().find(|row| row.0 == ledger && row.1 == point.key) {
        return (row.2, row.3, row.4);
    }
    let running = match point.total {
        Some(Total::Net) => Some("total"),
        Some(_) => Some("total_increasing"),
        None => None,
    };
    // A volume that runs is what was used, one that does not is what a tank holds.
    if point.class == Some(Class::Volume) && point.unit.as_deref() == Some("m³") {
        return match running {
            None => (Some("volume_storage"), "m³", Some("measurement")),
            running => (Some("volume"), "m³", running),
        };
    }
    let unit = point.unit.as_deref().unwrap_or("");
    let bare = unit.is_empty() && point.class != Some(Class::PowerFactor);
    if bare {
        return (None, "", running.filter(|_| point.class.is_none()));
    }
    let row = RULES.iter().find(|row| row.0 == point.class && row.1 == unit);
    let row = row.unwrap_or_else(|| {
        panic!(
            "no rule for {ledger}:{}: {:?} in {unit:?}",
            point.key, point.class
        )
    });
    let state_class = if row.4 == Some("running") { running } else { row.4 };
    (row.2, row.3, state_class)
}

#[test]
fn every_point_of_every_ledger_is_what_home_assistant_expects() {
    let all = shipped();
    assert!(all.len() > 40, "{} ledgers", all.len());
    let mut points = 0;
    for ledger in all {
        let name = ledger.name.clone();
        let device = device(ledger, Status::Present);
        let told = super::told(&device, &[]);
        for point in device.meta.ledger.points.iter().filter(|point| !point.internal) {
            points += 1;
            let at = format!("{name}:{}", point.key);
            let sensor = &told.components[&point.key];
            let (class, unit, state_class) = expected(&name, point);
            let has = (
                field(sensor, "device_class"),
                field(sensor, "unit_of_measurement").unwrap_or(""),
                field(sensor, "state_class"),
            );
            assert_eq!(has, (class, unit, state_class), "{at}");
            follows_the_rules(&at, sensor, point);
        }
    }
    assert!(points > 1000, "{points} points");
}

fn follows_the_rules(at: &str, sensor: &Component, point: &busbar_ledger::model::Point) {
    let (class, unit) = (
        field(sensor, "device_class"),
        field(sensor, "unit_of_measurement"),
    );
    let state_class = field(sensor, "state_class");
    if let Some(class) = class {
        let row = UNITS.iter().find(|(name, _)| *name == class);
        let row = row.unwrap_or_else(|| panic!("{at}: {class} is not known to Home Assistant"));
        assert!(row.1.contains(&unit.unwrap_or("")), "{at}: {class} in {unit:?}");
        assert!(may_be(class, state_class), "{at}: {class} as {state_class:?}");
    }
    // Only numbers have decimals, a unit or a state class; a text in such a sensor is an error.
    let is_number = unit.is_some() || state_class.is_some();
    let decimals = sensor.get("suggested_display_precision");
    assert!(decimals.is_some() || !is_number, "{at}: no decimals");
    assert!(
        !is_number || !is_text(point),
        "{at}: a text with unit or state class"
    );
    if decimals.is_some() {
        assert!(
            decimals.and_then(Value::as_u64).is_some_and(|d| d <= 9),
            "{at}: {decimals:?}"
        );
        assert!(
            field(sensor, "value_template")
                .unwrap()
                .contains("is number else None"),
            "{at}"
        );
    }
    let options: Vec<&str> = sensor
        .get("options")
        .and_then(Value::as_array)
        .map_or_else(Vec::new, |all| {
            all.iter().map(|option| option.as_str().unwrap()).collect()
        });
    assert_eq!(options.is_empty(), class != Some("enum"), "{at}: {options:?}");
    for (n, option) in options.iter().enumerate() {
        assert!(!options[..n].contains(option), "{at}: {option} twice");
        assert!(
            option.len() <= 255 && !option.is_empty() && *option != "None",
            "{at}: {option:?}"
        );
    }
    assert_ne!(
        field(sensor, "entity_category"),
        Some("config"),
        "{at}: config on a sensor"
    );
    if let Some(name) = field(sensor, "name") {
        assert!(
            name.chars().next().unwrap().is_uppercase()
                || name.starts_with(char::is_numeric)
                || name.starts_with("pH"),
            "{at}: {name}"
        );
        let second = name.split(' ').nth(1).unwrap_or("");
        let capital = second.len() > 2
            && second.starts_with(char::is_uppercase)
            && second.chars().skip(1).all(char::is_lowercase);
        assert!(!capital, "{at}: {name:?} is not in sentence case");
    }
    let id = field(sensor, "unique_id").unwrap();
    assert!(
        id.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c)),
        "{at}: {id}"
    );
    assert_eq!(
        sensor.get("enabled_by_default").is_none(),
        !crate::home_assistant::encode::classes::is_noisy(point),
        "{at}"
    );
}

#[test]
fn what_was_never_proven_is_offered_but_not_shown() {
    let device = device(
        of_points("p = { at = 0, type = \"i16\", unit = \"W\", class = \"power\" }"),
        Status::Unproven,
    );
    let told = super::told(&device, &[]);
    assert_eq!(told.components["p"]["enabled_by_default"], false);
}
