//! `[site]`: the limits of the house, as its owner knows them. What is not said here refuses every write that needs it.

use busbar_guard::{Battery, Phases, Site, Voltage};
use serde::{Deserialize, Serialize};

/// `[site]`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SiteConfig {
    /// Volts of one phase against neutral: 120, 230, another number, or "any".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ac_voltage: Option<VoltageValue>,
    /// 1, 3 or "split" (also "single", "three").
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phases: Option<PhasesValue>,
    /// Amps of one phase: of the main breaker, or less.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ac_current: Option<f64>,
    /// Amps of the battery side.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dc_current: Option<f64>,
    /// A profile such as "lifepo4-16s", or cells, min and max.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub battery: Option<BatteryValue>,
}

/// `ac_voltage`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "write 120, 230 or another number of volts, or \"any\"")]
pub enum VoltageValue {
    /// Volts.
    Volts(f64),
    /// `any`.
    Word(String),
}

/// `phases`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "write 1, 3 or \"split\"")]
pub enum PhasesValue {
    /// 1 or 3.
    Count(i64),
    /// `split`.
    Word(String),
}

/// `battery`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "write a profile such as \"lifepo4-16s\", or { cells = 16, min = 2.5, max = 3.65 }"
)]
pub enum BatteryValue {
    /// The name of a profile.
    Profile(String),
    /// One of the owner's own.
    Custom(CustomBattery),
}

/// A battery that no profile describes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CustomBattery {
    /// Cells in series.
    pub cells: u16,
    /// The lowest voltage of one cell.
    pub min: f64,
    /// The highest.
    pub max: f64,
}

/// The volts that a phase may have: 100 V (Japan) to 277 V (North American businesses), with room.
const VOLTS: std::ops::RangeInclusive<f64> = 90.0..=290.0;
/// The most amps that are taken for one house.
const MOST_AMPS: f64 = 5000.0;

impl SiteConfig {
    /// What this says, and where it says nothing, what the other does.
    #[must_use]
    pub fn or(&self, other: &SiteConfig) -> SiteConfig {
        let (own, other) = (self.clone(), other.clone());
        SiteConfig {
            ac_voltage: own.ac_voltage.or(other.ac_voltage),
            phases: own.phases.or(other.phases),
            ac_current: own.ac_current.or(other.ac_current),
            dc_current: own.dc_current.or(other.dc_current),
            battery: own.battery.or(other.battery),
        }
    }

    /// The limits, checked.
    ///
    /// # Errors
    /// What is wrong, and what to write.
    pub fn site(&self) -> Result<Site, String> {
        Ok(Site {
            ac_voltage: self.ac_voltage.as_ref().map(voltage).transpose()?,
            phases: self.phases.as_ref().map(phases).transpose()?,
            ac_current: amps("ac_current", self.ac_current)?,
            dc_current: amps("dc_current", self.dc_current)?,
            battery: self.battery.as_ref().map(battery).transpose()?,
        })
    }
}

fn voltage(value: &VoltageValue) -> Result<Voltage, String> {
    match value {
        VoltageValue::Volts(volts) if VOLTS.contains(volts) => Ok(Voltage::Volts(*volts)),
        VoltageValue::Word(word) if word == "any" => Ok(Voltage::Any),
        VoltageValue::Volts(volts) => Err(format!(
            "site.ac_voltage = {volts}: write the volts of one phase against neutral, 120 or 230 as a rule"
        )),
        VoltageValue::Word(word) => Err(format!(
            "site.ac_voltage = \"{word}\": write 120, 230 or another number of volts, or \"any\""
        )),
    }
}

fn phases(value: &PhasesValue) -> Result<Phases, String> {
    match value {
        PhasesValue::Count(1) => Ok(Phases::Single),
        PhasesValue::Count(3) => Ok(Phases::Three),
        PhasesValue::Word(word) => match word.as_str() {
            "split" => Ok(Phases::Split),
            "single" | "1" => Ok(Phases::Single),
            "three" | "3" => Ok(Phases::Three),
            _ => Err(format!("site.phases = \"{word}\": write 1, 3 or \"split\"")),
        },
        PhasesValue::Count(count) => Err(format!(
            "site.phases = {count}: write 1, 3 or \"split\" (two halves of 120 V)"
        )),
    }
}

fn amps(key: &str, value: Option<f64>) -> Result<Option<f64>, String> {
    match value {
        Some(amps) if !(amps > 0.0 && amps <= MOST_AMPS) => Err(format!(
            "site.{key} = {amps}: write the amps, more than 0 and at most {MOST_AMPS}"
        )),
        amps => Ok(amps),
    }
}

fn battery(value: &BatteryValue) -> Result<Battery, String> {
    let battery = match value {
        BatteryValue::Profile(name) => Battery::profile(name),
        BatteryValue::Custom(CustomBattery { cells, min, max }) => Battery::custom(*cells, *min, *max),
    };
    battery.map_err(|fault| format!("site.battery: {fault}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(text: &str) -> Result<Site, String> {
        toml::from_str::<SiteConfig>(text).unwrap().site()
    }

    #[test]
    fn a_site_is_said_as_owners_know_it() {
        let all =
            "ac_voltage = 230\nphases = 3\nac_current = 24\ndc_current = 100\nbattery = \"lifepo4-16s\"";
        let said = site(all).unwrap();
        assert_eq!(said.ac_voltage, Some(Voltage::Volts(230.0)));
        assert_eq!(said.phases, Some(Phases::Three));
        assert_eq!(said.battery.unwrap().cells, 16);
        assert_eq!(site("").unwrap(), Site::default());
        assert_eq!(
            site("ac_voltage = \"any\"").unwrap().ac_voltage,
            Some(Voltage::Any)
        );
        assert_eq!(site("phases = \"split\"").unwrap().phases, Some(Phases::Split));
        let own = site("battery = { cells = 14, min = 3.0, max = 4.1 }").unwrap();
        assert_eq!(own.battery.unwrap().max, 4.1);
    }

    #[test]
    fn what_no_house_has_is_refused_with_what_to_write() {
        for (text, word) in [
            ("ac_voltage = 23", "site.ac_voltage = 23"),
            ("ac_voltage = \"many\"", "\"any\""),
            ("phases = 2", "split"),
            ("phases = \"delta\"", "1, 3"),
            ("ac_current = 0", "site.ac_current = 0"),
            ("ac_current = nan", "site.ac_current"),
            ("dc_current = -1", "site.dc_current"),
            ("battery = \"lifepo4\"", "lifepo4-16s"),
            ("battery = { cells = 0, min = 1, max = 2 }", "site.battery"),
        ] {
            let fault = site(text).unwrap_err();
            assert!(fault.contains(word), "{text}: {fault}");
        }
    }
}
