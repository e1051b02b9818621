//! What a point is to Home Assistant: device class, unit, state class, decimals, category, and whether it is shown from
//! the start. Pure.

use busbar_ledger::model::{Class, Point, PointSource, Rate, SpokenType, Total, ValueType};

/// How Home Assistant measures a point.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measure {
    /// The device class, where it has one for such a quantity.
    pub device_class: Option<&'static str>,
    /// The unit that it is told, which is one that its class knows.
    pub unit: Option<String>,
    /// What a value of the point is multiplied by to be in that unit; `None`: it is in that unit.
    pub factor: Option<f64>,
    /// What it keeps of it for years: `measurement`, `total_increasing`, `total` or nothing.
    pub state_class: Option<&'static str>,
    /// Decimals worth showing in that unit. Only numbers have any.
    pub decimals: Option<u8>,
}

const MEASUREMENT: Option<&str> = Some("measurement");

/// How a point is measured. Enumerations, moments, texts and bare numbers have neither unit nor state class: nobody wants
/// the mean of a fault code.
pub fn measure(point: &Point) -> Measure {
    if !point.labels.is_empty() {
        return of_class("enum");
    }
    let unit = point.unit.as_deref();
    let (device_class, state_class) = match point.class {
        Some(Class::Timestamp) => return of_class("timestamp"),
        _ if is_text(point) => return Measure::default(),
        Some(Class::ApparentPower) => (Some("apparent_power"), MEASUREMENT),
        Some(Class::AtmosphericPressure) => (Some("atmospheric_pressure"), MEASUREMENT),
        Some(Class::Battery) => (Some("battery"), MEASUREMENT),
        Some(Class::Concentration) => (concentration(&point.key, unit), MEASUREMENT),
        Some(Class::Current) => (Some("current"), MEASUREMENT),
        Some(Class::Distance) => (Some("distance"), MEASUREMENT),
        Some(Class::Duration) => (Some("duration"), MEASUREMENT),
        // A finished day's energy neither runs on nor is it a measurement of now.
        Some(Class::Energy) => (Some("energy"), running(point)),
        Some(Class::EnergyStorage) => (Some("energy_storage"), MEASUREMENT),
        Some(Class::Frequency) => (Some("frequency"), MEASUREMENT),
        Some(Class::Gas) => (Some("gas"), running(point)),
        Some(Class::Humidity) => (Some("humidity"), MEASUREMENT),
        Some(Class::Illuminance) => (Some("illuminance"), MEASUREMENT),
        Some(Class::Irradiance) => (Some("irradiance"), MEASUREMENT),
        Some(Class::Power) => (Some("power"), MEASUREMENT),
        Some(Class::PowerFactor) => (Some("power_factor"), MEASUREMENT),
        Some(Class::Pressure) => (Some("pressure"), MEASUREMENT),
        Some(Class::ReactivePower) => (Some("reactive_power"), MEASUREMENT),
        Some(Class::Speed) if point.key.contains("wind") => (Some("wind_speed"), MEASUREMENT),
        Some(Class::Speed) => (Some("speed"), MEASUREMENT),
        Some(Class::Temperature) => (Some("temperature"), MEASUREMENT),
        Some(Class::Voltage) => (Some("voltage"), MEASUREMENT),
        Some(Class::Volume) if point.total.is_none() => (Some("volume_storage"), MEASUREMENT),
        Some(Class::Volume) => (Some("volume"), running(point)),
        Some(Class::VolumeFlowRate) => (Some("volume_flow_rate"), MEASUREMENT),
        Some(Class::Water) => (Some("water"), running(point)),
        // It has no class for these.
        Some(Class::Capacity) => (None, MEASUREMENT),
        Some(Class::ReactiveEnergy) => (None, running(point)),
        // The mean of two directions is none, and that of two places is nowhere.
        Some(Class::Direction | Class::Location) => (None, None),
        Some(Class::Enum | Class::Identity | Class::State) => return Measure::default(),
        None if point.total.is_some() => (None, running(point)),
        None if unit.is_some() => (None, MEASUREMENT),
        None => return Measure::default(),
    };
    let (unit, factor) = match unit {
        None => (None, None),
        Some(unit) => {
            let (unit, factor) = told_in(device_class, unit);
            (Some(unit), factor)
        }
    };
    let shift = factor.map_or(0, |factor| factor.log10().round() as i32);
    let decimals = (i32::from(point.decimals) - shift).clamp(0, 9);
    Measure {
        device_class,
        unit: unit.map(str::to_owned),
        factor,
        state_class,
        decimals: Some(decimals.unsigned_abs() as u8),
    }
}

/// The unit in which a quantity is told, and the factor to it: one for each, so that two meters can be added up, and none
/// that only newer versions know. What Home Assistant converts without loss of meaning stays (°F, MJ, ft).
fn told_in<'a>(device_class: Option<&str>, unit: &'a str) -> (&'a str, Option<f64>) {
    match unit {
        "kVA" => ("VA", Some(1e3)),
        "kvar" => ("var", Some(1e3)),
        "varh" => ("kvarh", Some(1e-3)),
        "mAh" => ("Ah", Some(1e-3)),
        "mV" => ("V", Some(1e-3)),
        "mA" => ("A", Some(1e-3)),
        "kW" => ("W", Some(1e3)),
        "MW" => ("W", Some(1e6)),
        "Wh" => ("kWh", Some(1e-3)),
        "MWh" => ("kWh", Some(1e3)),
        "kHz" => ("Hz", Some(1e3)),
        "L" if device_class == Some("gas") => ("m³", Some(1e-3)),
        unit => (unit, None),
    }
}

/// Something with a class and nothing else.
fn of_class(device_class: &'static str) -> Measure {
    Measure {
        device_class: Some(device_class),
        ..Measure::default()
    }
}

fn running(point: &Point) -> Option<&'static str> {
    point.total.map(|total| match total {
        Total::Net => "total",
        Total::Increasing | Total::Wrapping | Total::Resetting => "total_increasing",
    })
}

/// Of what a concentration is, only its name tells.
fn concentration(key: &str, unit: Option<&str>) -> Option<&'static str> {
    let named = |name: &str| key.split('_').any(|word| word == name);
    match unit? {
        "ppm" if named("co2") => Some("carbon_dioxide"),
        "ppm" if named("co") => Some("carbon_monoxide"),
        "ppm" | "ppb" if named("voc") => Some("volatile_organic_compounds_parts"),
        "µg/m³" if named("pm25") => Some("pm25"),
        "µg/m³" if named("pm10") => Some("pm10"),
        "µg/m³" if named("pm1") => Some("pm1"),
        _ => None,
    }
}

/// Whether its values are texts.
pub fn is_text(point: &Point) -> bool {
    match &point.source {
        PointSource::Registers(registers) => {
            registers.first().is_some_and(|first| first.ty == ValueType::Text)
        }
        PointSource::Obis(spoken) => matches!(spoken.ty, SpokenType::Text | SpokenType::Raw),
        PointSource::Computed(_) | PointSource::Integrated(_) | PointSource::Counted(_) => false,
    }
}

/// Whether an entity tells something of the device's inside rather than of the site: who it is, how it is set, what it
/// remembers of its own faults.
pub fn is_diagnostic(point: &Point) -> bool {
    let remembered = ["diagnostics_", "error_", "n2k_"]
        .iter()
        .any(|first| point.key.starts_with(first));
    let inside = matches!(point.class, Some(Class::Identity | Class::Timestamp));
    inside || remembered || point.writable || point.rate == Rate::Once
}

/// Whether an entity fills a database without telling anybody anything: the device's clock, and what is history already.
pub fn is_noisy(point: &Point) -> bool {
    let of_an_earlier_day = || {
        let day = point.key.strip_prefix("history_daily_")?.split('_').next()?;
        day.parse::<u32>().ok().map(|day| day > 0)
    };
    matches!(point.key.as_str(), "date_and_time" | "time")
        || point.key.starts_with("diagnostics_last_errors")
        || of_an_earlier_day().unwrap_or(false)
}
