//! Which units fit which kind of quantity, and what follows from the kind.
//!
//! Source of the units: Home Assistant's sensor device classes; `capacity` and `reactive_energy` have none there.

use crate::model::{Class, Rate};

impl Class {
    /// The units that a value of this class may have, as Home Assistant spells them; the first is the usual one.
    /// Empty: it has none.
    pub fn units(self) -> &'static [&'static str] {
        match self {
            Class::ApparentPower => &["VA", "kVA"],
            Class::AtmosphericPressure => &["hPa", "mbar", "kPa", "Pa", "bar"],
            Class::Battery | Class::Humidity => &["%"],
            Class::Capacity => &["Ah", "mAh"],
            Class::Concentration => &["µg/m³", "mg/m³", "ppm", "ppb"],
            Class::Current => &["A", "mA"],
            Class::Direction | Class::Location => &["°"],
            Class::Distance => &["m", "km", "cm", "mm"],
            Class::Duration => &["s", "ms", "min", "h", "d"],
            Class::Energy => &["kWh", "Wh", "MWh", "MJ", "GJ"],
            Class::EnergyStorage => &["kWh", "Wh", "MWh"],
            Class::Enum | Class::Identity | Class::State | Class::Timestamp => &[],
            Class::Frequency => &["Hz", "kHz"],
            Class::Gas | Class::Water => &["m³", "L"],
            Class::Illuminance => &["lx"],
            Class::Irradiance => &["W/m²"],
            Class::Power => &["W", "kW", "MW"],
            Class::PowerFactor => &["%"],
            Class::Pressure => &["bar", "mbar", "Pa", "hPa", "kPa", "psi"],
            Class::ReactiveEnergy => &["kvarh", "varh"],
            Class::ReactivePower => &["var", "kvar"],
            Class::Speed => &["m/s", "km/h", "kn"],
            Class::Temperature => &["°C", "K", "°F"],
            Class::Voltage => &["V", "mV"],
            Class::Volume => &["L", "m³"],
            Class::VolumeFlowRate => &["L/min", "L/h", "m³/h"],
        }
    }

    /// Whether a value of this class means something without a unit.
    pub fn unit_may_be_missing(self) -> bool {
        self == Class::PowerFactor || self.units().is_empty()
    }
}

/// How often a point is polled when its ledger does not say so.
///
/// - identity: once, at start and after a reconnect;
/// - what the device lets one set, and history (keys that begin with `history_`): slow;
/// - what changes slowly by nature (counters, temperatures, states of charge, levels, places): normal;
/// - everything else: fast.
pub fn default_rate(class: Option<Class>, writable: bool, key: &str) -> Rate {
    if class == Some(Class::Identity) {
        return Rate::Once;
    }
    if writable || key.starts_with("history_") {
        return Rate::Slow;
    }
    match class {
        Some(
            Class::AtmosphericPressure
            | Class::Battery
            | Class::Capacity
            | Class::Concentration
            | Class::Distance
            | Class::Duration
            | Class::Energy
            | Class::EnergyStorage
            | Class::Gas
            | Class::Humidity
            | Class::Location
            | Class::Pressure
            | Class::ReactiveEnergy
            | Class::Temperature
            | Class::Timestamp
            | Class::Volume
            | Class::Water,
        ) => Rate::Normal,
        _ => Rate::Fast,
    }
}

/// A key as a name for people: `ac_out_l1_v` is `AC out L1 v`.
pub fn default_label(key: &str) -> String {
    let word = |word: &str| match word {
        "l1" | "l2" | "l3" | "ac" | "dc" | "pv" => word.to_ascii_uppercase(),
        word => word.to_owned(),
    };
    let mut label = key.split('_').map(word).collect::<Vec<_>>().join(" ");
    if let Some(first) = label.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    label
}
